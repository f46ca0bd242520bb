/* SPDX-License-Identifier: MIT */
/*
 * The front door: sockets that are listened on, and callers, those who connected to them. A caller
 * may be a client of libvirt's or another daemon; which one its frames tell.
 */
#ifndef DROVER_HOSTD_FRONT_H
#define DROVER_HOSTD_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "hostd/host.h"
#include "rpc/code.h"
#include "rpc/frame.h"

struct front;
struct caller;
struct rpc_conn;

#define FRONT_LISTENERS_MAX 32u /* sockets */
#define FRONT_BACKLOG 128	/* connections that are not accepted yet */

/* Opens what settings say to listen on; nothing is accepted before front_serve. < 0: logged. */
int front_open(struct host *h);
void front_serve(struct host *h);
/* Output of all callers that have some, at the end of a round; callers that are gone are freed. */
void front_flush(struct host *h);
/* Closes all, and frees it. The loop has to run once more for its handles. */
void front_close(struct host *h);

struct caller *caller_find(const struct host *h, uint64_t id);
uint64_t caller_id(const struct caller *c);
struct host *caller_host(const struct caller *c);
/* Borrowed; NULL: it is closed. */
struct rpc_conn *caller_conn(const struct caller *c);
bool caller_is_read_only(const struct caller *c);
/* CONNECT_OPEN was answered. */
bool caller_is_open(const struct caller *c);
/* -ENOMEM. */
int caller_set_open(struct caller *c, bool open, const char *uri);
/* For the rest of its life. */
void caller_set_read_only(struct caller *c);
const char *caller_uri(const struct caller *c); /* as given to CONNECT_OPEN; "" */
/*
 * Whether it may speak as another daemon: on a unix socket root or the daemon's own user; with TLS
 * everybody who was let in; over plain TCP where that is allowed at all.
 */
bool caller_is_peer(const struct caller *c);
/* "sha256:..." of its certificate; "": none. */
const char *caller_fingerprint(const struct caller *c);
/* Queues a frame that leaves with the round. As rpc_conn_send. */
int caller_send(struct caller *c, const struct rpc_head *head, xdrproc_t fn, const void *obj);
/* Ends it; what is queued is still tried to be sent. */
void caller_close(struct caller *c, const char *why);
/* Its list of calls under way (call.c), and of subscriptions (event.c). */
struct list *caller_calls(struct caller *c);
struct list *caller_subscriptions(struct caller *c);

/* Frames of libvirt's program and of peers' (call.c). */
void call_frame(struct host *h, struct caller *c, const struct rpc_frame *f);
/* It is gone: its calls go on, their answers nowhere. */
void call_forget(struct caller *c);

#endif
