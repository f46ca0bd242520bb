/* SPDX-License-Identifier: MIT */
/*
 * A blocking client for programs that do one thing at a time. While it waits it answers keepalive
 * and hands out events. Several calls may be under way: GetJobInfo and AbortJob during Perform.
 * Not for several threads.
 */
#ifndef DROVER_RPC_CLIENT_H
#define DROVER_RPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/code.h"
#include "rpc/error.h"
#include "rpc/tls.h"

struct rpc_client;

#define RPC_CLIENT_CALLS_MAX 16u /* calls under way at once */

struct rpc_client_options {
	uint32_t connect_ms;   /* until it is open; 0: 15 s */
	bool read_only;	       /* the read-only socket, where that is a unix one */
	bool bare;	       /* neither AUTH_LIST nor CONNECT_OPEN: of peers */
	uint32_t keepalive_ms; /* 0: it asks nothing itself */
	uint32_t keepalive_count;
	/*
	 * Certificates where the URI's pkipath names none, borrowed until it is open; NULL: where
	 * libvirt has them.
	 */
	const struct rpc_tls_files *tls;
	int wake_fd; /* borrowed: all that waits ends with EINTR once it is readable; <= 0: none */
	/* procedure and body of an event, borrowed. Called while a function below waits. */
	void (*event)(void *data, int32_t procedure, const uint8_t *body, size_t len);
	void *data;
};

/*
 * Connects to a libvirt URI (or, with `bare`, a peer's address), asks how to authenticate, opens.
 * 0; else an errno and err: EINVAL (the URI), ECONNREFUSED, ENOENT, ETIMEDOUT, EACCES, EPROTO,
 * EREMOTEIO (the daemon refused, err is its). o may be NULL.
 */
int rpc_client_open(const char *uri, const struct rpc_client_options *o, struct rpc_client **ret,
		    struct rpc_error *err);
/* Without CONNECT_CLOSE, as a client that is killed would. */
void rpc_client_free(struct rpc_client *c);
/* With it. */
void rpc_client_close(struct rpc_client *c);

/*
 * Calls and waits. args NULL: none; ret, of ret_size octets, is to be given to rpc_code_free. 0;
 * EREMOTEIO: the daemon answered with *err; ETIMEDOUT: not in timeout_ms (0: for ever), and the
 * answer is dropped when it comes; ECONNRESET: the connection is over; EPROTO: no sense in it;
 * EMSGSIZE, ENOMEM; EAGAIN: RPC_CLIENT_CALLS_MAX are under way. err is always set.
 */
int rpc_client_call(struct rpc_client *c, int32_t procedure, xdrproc_t args_fn, const void *args,
		    xdrproc_t ret_fn, void *ret, size_t ret_size, uint32_t timeout_ms,
		    struct rpc_error *err);
/* The same of another program. */
int rpc_client_call_program(struct rpc_client *c, uint32_t program, uint32_t version,
			    int32_t procedure, xdrproc_t args_fn, const void *args,
			    xdrproc_t ret_fn, void *ret, size_t ret_size, uint32_t timeout_ms,
			    struct rpc_error *err);

/* In two steps. After ETIMEDOUT of rpc_client_wait the call is still under way. */
int rpc_client_start(struct rpc_client *c, int32_t procedure, xdrproc_t args_fn, const void *args,
		     uint32_t *ret_serial, struct rpc_error *err);
int rpc_client_wait(struct rpc_client *c, uint32_t serial, xdrproc_t ret_fn, void *ret,
		    size_t ret_size, uint32_t timeout_ms, struct rpc_error *err);
/* The answer is of no interest any more. */
void rpc_client_forget(struct rpc_client *c, uint32_t serial);
/*
 * Waits for events alone, timeout_ms at most, or until wake_fd (-1: none) is readable. 0; EINTR: a
 * signal or wake_fd; ETIMEDOUT; ECONNRESET.
 */
int rpc_client_poll(struct rpc_client *c, int wake_fd, uint32_t timeout_ms, struct rpc_error *err);
/* As rpc_client_wait, which also ends with EINTR when wake_fd becomes readable or a signal comes.
 */
void rpc_client_set_wake(struct rpc_client *c, int wake_fd);
/* Of the daemon's certificate; "". */
const char *rpc_client_fingerprint(const struct rpc_client *c);

#endif
