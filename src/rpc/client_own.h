/* SPDX-License-Identifier: MIT */
/*
 * The blocking client from within: client.c calls, rpc_client_dial.c connects.
 */
#ifndef DROVER_RPC_CLIENT_OWN_H
#define DROVER_RPC_CLIENT_OWN_H

#include <sys/types.h>

#include "rpc/client.h"
#include "rpc/conn.h"
#include "rpc/tls.h"
#include "rpc/uri.h"

/* A call under way. */
struct client_call {
	uint32_t serial; /* 0: free */
	bool forgotten, done;
	struct rpc_head head; /* of the reply; valid once done, as is: */
	uint8_t *body;	      /* owned */
	size_t body_len;
};

struct rpc_client {
	struct rpc_client_options o;
	struct rpc_conn *conn;	   /* owned */
	struct rpc_tls_cred *cred; /* owned, or NULL */
	bool ready, closed;
	char why[RPC_CONN_WHY_MAX];
	struct client_call calls[RPC_CLIENT_CALLS_MAX];
	int wake_fd;
	pid_t helper; /* ssh, or 0 */
};

uint64_t rpc_client_now_ms(void);
/*
 * One round of the loop: until something came, wake_fd is readable (then EINTR) or `by_ms` is
 * there. 0; EINTR; ECONNRESET: it is over.
 */
int rpc_client_round(struct rpc_client *c, int wake_fd, uint64_t by_ms);
/* Connects c, whose options are set, to where u says. */
int rpc_client_dial(struct rpc_client *c, const struct rpc_uri *u, uint64_t by_ms,
		    struct rpc_error *err);
/* Gives c a connected descriptor (or one that is being connected, or needs TLS). */
int rpc_client_adopt(struct rpc_client *c, int fd, const struct rpc_conn_options *o, uint64_t by_ms,
		     struct rpc_error *err);

#endif
