/* SPDX-License-Identifier: MIT */
/*
 * A connection from within: conn.c (its life and what arrives) and conn_out.c (what leaves).
 */
#ifndef DROVER_RPC_CONN_OWN_H
#define DROVER_RPC_CONN_OWN_H

#include <sys/socket.h>

#include "base/list.h"
#include "rpc/conn.h"
#include "rpc/tls.h"

enum conn_state { CONN_CONNECTING, CONN_HANDSHAKE, CONN_READY, CONN_CLOSED };

/* A frame to be written. */
struct conn_out {
	struct list link;
	size_t len, off;
	uint8_t *data; /* owned */
};

struct rpc_conn {
	int fd;				/* owned; -1 once ops->closed has returned */
	struct rpc_conn_options o;	/* peer_name is gone */
	const struct rpc_conn_ops *ops; /* borrowed */
	void *data;			/* borrowed */
	struct rpc_tls *tls;		/* owned, or NULL */
	enum conn_state state;
	bool told_ready;
	bool closing, drain; /* to be ended: why */
	char why[RPC_CONN_WHY_MAX];
	unsigned int depth; /* calls of ours that are under way */
	bool freed;	    /* goes with the outermost of them */

	struct rpc_parser in;
	struct list out; /* struct conn_out, oldest first */
	size_t unsent;
	bool blocked;		/* the last write could not take all */
	uint64_t stalled_ms;	/* since when nothing could be written; valid if blocked */
	uint32_t calls, serial; /* under way; of the last call that was sent */
	uint64_t dropped;

	uint64_t now_ms, handshake_by_ms;
	uint32_t ka_interval_ms, ka_count, ka_asked; /* asked: questions without an answer */
	uint64_t ka_next_ms;
};

/* Notes the first reason; the end comes later. */
void rpc_conn_doom(struct rpc_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A frame of ours, without waking the owner. Takes data. ENOMEM: the connection is closed. */
int rpc_conn_queue(struct rpc_conn *c, uint8_t *data, size_t len);
void rpc_conn_queue_clear(struct rpc_conn *c);
/* Writes what can be. */
void rpc_conn_write(struct rpc_conn *c);
void rpc_conn_wake(struct rpc_conn *c);

#endif
