/* SPDX-License-Identifier: MIT */
/*
 * A worker's event loop: libuv's poll decides who is ready, the core does one round, and nothing
 * blocks in between, but for what the keeper is asked and a live update stops on purpose.
 */
#ifndef DROVER_XENSTORED_SERVER_H
#define DROVER_XENSTORED_SERVER_H

#include "hv/hv.h"
#include "keeper/seat.h"
#include "op/core.h"
#include "recover/journal.h"
#include "xenstored/trace.h"

struct server;

/* seat and trace are borrowed. -ENOMEM, -errno. */
int server_new(const struct worker_seat *seat, struct trace *trace, struct server **ret);

/* Since when the daemon has been up, in ms of real time; 0: since now. */
void server_set_started(struct server *s, uint64_t real_ms);

/* Fills in what a core is told of its process: CONTROL and the trace file. */
void server_core_options(struct server *s, struct core_options *opt);

/*
 * Takes what the keeper sends until it says that clients are to be served: their sockets. -EPIPE:
 * the keeper is gone. -errno.
 */
int server_await_clients(struct server *s);

/* recover_sockets.find; data is a struct server. */
int server_find_client(void *data, uint64_t number, struct conn *c,
		       const struct transport_ops **ret_ops, void **ret_transport);

/*
 * The core and the hypervisor that are to be served from now on, and the journal, all borrowed.
 * Sockets that nobody took become new connections. -errno.
 */
int server_start(struct server *s, struct core *core, struct hv *hv, struct journal *journal);

/*
 * Serves until SIGTERM: 0. -EPIPE: the keeper is gone. -errno: the event channel is lost.
 */
int server_run(struct server *s);

/* Sockets stay as they are from now on, whatever becomes of their connections. */
void server_end(struct server *s);
/* Lets go of the loop, after the core is gone. */
void server_free(struct server *s);

#endif
