/* SPDX-License-Identifier: MIT */
/*
 * Connections for a guest's memory. The destination listens for one migration at an address of its
 * own; the source connects and sends 24 octets: DATA_MAGIC and the migration's id, which nobody
 * else can know. What follows is the backend's. A listener takes one such connection and closes.
 */
#ifndef DROVER_HOSTD_DATA_H
#define DROVER_HOSTD_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hostd/data_uri.h"
#include "migrate/migrate.h"

#define DATA_MAGIC "DrvrMem1" /* 8 octets */
#define DATA_HEAD_SIZE (8u + MIG_ID_SIZE)
#define DATA_PENDING_MAX 8u	    /* connections that have not said yet what they are */
#define DATA_HEAD_TIMEOUT_MS 10000u /* for those 24 octets */
#define DATA_CONNECT_TIMEOUT_MS 10000u

/* fd >= 0: the callee's from now on, blocking; else a negative errno, with why in words. */
typedef void data_done_fn(void *data, const struct mig_id *id, int fd, const char *why);

struct data_where {
	const char *address; /* numeric, to listen at; NULL: any */
	const char *host;    /* that the source is told where the URI names none */
	uint16_t port_min, port_max;
};

struct data_listener;

/*
 * Listens for a migration. uri: what the client asked for; NULL: nothing. ret_uri: what the source
 * is to connect to. done is called at most once, from the loop. 0; > 0: libvirt's words for it in
 * text (room octets): EINVAL: the URI; EADDRINUSE: no port is free; EADDRNOTAVAIL; < 0: -ENOMEM.
 */
int data_listen(uv_loop_t *loop, const struct data_where *where, const char *uri,
		const struct mig_id *id, data_done_fn *done, void *data, struct data_listener **ret,
		char ret_uri[DATA_URI_MAX], char *text, size_t room);
/* Stops: port or socket are free at once. Accepts NULL. */
void data_listener_close(struct data_listener *l);

/*
 * Connects, and says the id, in the loop's thread pool. done is called once, from the loop. > 0:
 * EINVAL with text; < 0: -ENOMEM; then done is not called.
 */
int data_connect(uv_loop_t *loop, const char *uri, const struct mig_id *id, data_done_fn *done,
		 void *data, char *text, size_t room);

#endif
