/* SPDX-License-Identifier: MIT */
/*
 * The event loop: libuv's poll decides who is ready, the core does one round, and nothing blocks
 * in between.
 */
#ifndef DROVER_XENSTORED_SERVER_H
#define DROVER_XENSTORED_SERVER_H

#include "hv/hv.h"
#include "op/core.h"
#include "xenstored/trace.h"

struct server;

/*
 * A server listening on listen_fd (owned from now on, also on failure). hv and trace are
 * borrowed. -errno.
 */
int server_new(const struct core_options *opt, struct hv *hv, struct trace *trace, int listen_fd,
	       struct server **ret);

/* Serves until SIGTERM or SIGINT (0), or until the event channel is lost (-errno). */
int server_run(struct server *s);

void server_free(struct server *s);

#endif
