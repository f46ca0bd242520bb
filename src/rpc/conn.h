/* SPDX-License-Identifier: MIT */
/*
 * One end of a connection, server's or client's, over a non-blocking descriptor that the owner
 * polls. It parses, queues, watches over time; what frames mean is the owner's.
 *
 *   poll says something:  rpc_conn_io(c, revents, now)     frames arrive in ops->frame
 *   a deadline passed:    rpc_conn_tick(c, now)
 *   end of the round:     rpc_conn_flush(c, now)           the only place that writes frames
 *   then again:           rpc_conn_events, rpc_conn_deadline_ms
 *
 * rpc_conn_send only queues, so that nothing leaves before the owner says so. ops->closed is called
 * once, from rpc_conn_io, rpc_conn_tick or rpc_conn_flush and never from within rpc_conn_send or
 * rpc_conn_close; after it the descriptor is closed.
 *
 * A client that does not read: above RPC_CONN_REPLIES_MAX octets of unsent output no more calls are
 * taken from it; above RPC_CONN_EVENTS_MAX events to it are dropped and counted; when nothing could
 * be written for stall_ms, the connection is closed.
 */
#ifndef DROVER_RPC_CONN_H
#define DROVER_RPC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/code.h"
#include "rpc/frame.h"

struct rpc_conn;
struct rpc_error;
struct rpc_tls_cred;

#define RPC_CONN_REPLIES_MAX (1u << 20) /* octets unsent: no more calls are taken */
#define RPC_CONN_EVENTS_MAX (16u << 20) /* octets unsent: events are dropped */
#define RPC_CONN_CALLS_DEFAULT 32u	/* calls under way of one connection */
#define RPC_CONN_STALL_MS 60000u
#define RPC_CONN_HANDSHAKE_MS 15000u /* connecting and TLS together */
#define RPC_CONN_WHY_MAX 512u

struct rpc_conn_ops {
	/* A frame of another program than keepalive. body is borrowed for this call. */
	void (*frame)(void *data, struct rpc_conn *c, const struct rpc_frame *f);
	/* It can be used: connected, TLS agreed. Called once, before the first frame, from
	 * rpc_conn_io, _tick or _flush. May be NULL. */
	void (*ready)(void *data, struct rpc_conn *c);
	/* It is over; why in words, "" when the other end closed it between frames. */
	void (*closed)(void *data, struct rpc_conn *c, const char *why);
	/* Something was queued, or it was closed, outside of rpc_conn_io: have a look at events and
	 * deadline, flush at the end of the round. May be NULL. */
	void (*wake)(void *data, struct rpc_conn *c);
};

struct rpc_conn_options {
	bool server;	 /* calls arrive, and count against calls_max; else they are sent */
	bool connecting; /* connect(2) is under way */
	/* Not NULL: TLS. Of a client, peer_name is verified. Borrowed until the conn is freed. */
	struct rpc_tls_cred *tls;
	const char *peer_name;		 /* borrowed for this call */
	bool no_verify;			 /* client: any certificate will do */
	uint32_t calls_max;		 /* 0: RPC_CONN_CALLS_DEFAULT */
	uint32_t stall_ms, handshake_ms; /* 0: as above */
	uint64_t id;			 /* the owner's, for rpc_conn_id */
};

/* fd becomes the connection's in any case. ops and data borrowed. 0; -ENOMEM; -EIO (TLS). */
int rpc_conn_new(int fd, const struct rpc_conn_options *o, const struct rpc_conn_ops *ops,
		 void *data, uint64_t now_ms, struct rpc_conn **ret);
/*
 * Closes without ops->closed, and frees, which may be done from within ops->closed and any other
 * callback, too: the memory goes when the outermost call on it returns. NULL is fine.
 */
void rpc_conn_free(struct rpc_conn *c);

int rpc_conn_fd(const struct rpc_conn *c); /* -1: closed */
uint64_t rpc_conn_id(const struct rpc_conn *c);
short rpc_conn_events(const struct rpc_conn *c); /* POLLIN, POLLOUT; 0: none */
/* When to call rpc_conn_tick at the latest; 0: at once; UINT64_MAX: never. */
uint64_t rpc_conn_deadline_ms(const struct rpc_conn *c);
void rpc_conn_io(struct rpc_conn *c, short revents, uint64_t now_ms);
void rpc_conn_tick(struct rpc_conn *c, uint64_t now_ms);
void rpc_conn_flush(struct rpc_conn *c, uint64_t now_ms);
/* Octets that wait to be written. */
size_t rpc_conn_unsent(const struct rpc_conn *c);

/*
 * Ends it: ops->closed follows with why. Output that is queued is still tried to be written, once,
 * if drain. Frames that came are not looked at any more.
 */
void rpc_conn_close(struct rpc_conn *c, bool drain, const char *why);

/*
 * Queues a frame. A REPLY lets one more call in. 0; EMSGSIZE: obj passes a bound; ENOBUFS: an event
 * was dropped; EPIPE: it is closed; ENOMEM (the connection is closed: the other end would wait for
 * ever).
 */
int rpc_conn_send(struct rpc_conn *c, const struct rpc_head *head, xdrproc_t fn, const void *obj);
/* The reply to a call with that head. As above, but EMSGSIZE is answered with an error instead. */
int rpc_conn_reply(struct rpc_conn *c, const struct rpc_head *call, xdrproc_t fn, const void *obj);
int rpc_conn_fail(struct rpc_conn *c, const struct rpc_head *call, const struct rpc_error *err);
/* A call; *ret_serial is what its reply has. */
int rpc_conn_call(struct rpc_conn *c, uint32_t program, uint32_t version, int32_t procedure,
		  xdrproc_t fn, const void *obj, uint32_t *ret_serial);
/* An event. */
int rpc_conn_event(struct rpc_conn *c, uint32_t program, uint32_t version, int32_t procedure,
		   xdrproc_t fn, const void *obj);

/*
 * Asks the other end whether it is there when nothing came for interval_ms, and closes when it did
 * not answer `count` times. Questions of the other end are always answered. interval_ms 0: stops.
 * A server starts this once the client asked for feature 10 (its keepalive program is known); a
 * client once the server said that it has it.
 */
void rpc_conn_keepalive(struct rpc_conn *c, uint32_t interval_ms, uint32_t count);

bool rpc_conn_is_ready(const struct rpc_conn *c);
bool rpc_conn_is_local(const struct rpc_conn *c);  /* a unix socket */
bool rpc_conn_is_secure(const struct rpc_conn *c); /* TLS, or a unix socket */
/* Of a unix socket's other end. 0; ENOTSUP. */
int rpc_conn_peer_user(const struct rpc_conn *c, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid);
/* "sha256:" and digits of the other end's certificate; "": there is none. */
const char *rpc_conn_fingerprint(const struct rpc_conn *c);
/* Its distinguished name; "". */
const char *rpc_conn_peer_dn(const struct rpc_conn *c);
/* Calls under way, and events dropped because it does not read. */
uint32_t rpc_conn_calls(const struct rpc_conn *c);
uint64_t rpc_conn_dropped(const struct rpc_conn *c);

#endif
