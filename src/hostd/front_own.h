/* SPDX-License-Identifier: MIT */
/*
 * What front.c and front_listen.c share.
 */
#ifndef DROVER_HOSTD_FRONT_OWN_H
#define DROVER_HOSTD_FRONT_OWN_H

#include <stdbool.h>
#include <uv.h>

#include "hostd/front.h"

#define FRONT_TICK_MS 250u  /* how exact the time limits of connections are */
#define FRONT_PAUSE_MS 100u /* nothing is accepted for so long when there are no descriptors */

struct rpc_tls_cred;

struct listener {
	struct front *front;
	uv_poll_t poll;
	bool polled; /* the handle is to be closed */
	int fd;
	bool read_only, tls, local;
	char *path; /* owned; of a unix socket, removed at the end; NULL */
	dev_t dev;  /* of that socket: another daemon's is left alone */
	ino_t ino;
};

struct front {
	struct host *host;
	struct listener listeners[FRONT_LISTENERS_MAX];
	size_t n_listeners;
	struct rpc_tls_cred *tls; /* owned; NULL: nobody listens so */
	struct list callers;	  /* in order of coming */
	size_t n_callers;
	struct list dirty; /* callers to look at when the round ends */
	uv_timer_t tick, pause;
	unsigned int handles; /* of its own that are not closed yet */
	bool serving;
};

struct caller {
	struct list link, dirty;
	struct host *host;
	struct rpc_conn *conn; /* owned */
	uint64_t id;
	bool read_only, plain_tcp, open, gone;
	char *uri; /* owned */
	struct list calls, subscriptions;
	uv_poll_t poll;
	int polled; /* UV_READABLE and so on */
};

/* fd is taken in any case. */
void front_caller_new(struct front *f, const struct listener *l, int fd);
void front_callers_close(struct front *f);

#endif
