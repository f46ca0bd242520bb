/* SPDX-License-Identifier: MIT */
/*
 * Connecting to an address, in two steps: its addresses are looked up, which may block for long
 * and can be done in a thread, and connect(2) is started, which never blocks.
 */
#ifndef DROVER_RPC_DIAL_H
#define DROVER_RPC_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "rpc/uri.h"

#define RPC_DIAL_MAX 8u /* addresses of a host that are tried */

struct rpc_dial {
	size_t n;
	struct {
		struct sockaddr_storage addr;
		socklen_t len;
	} to[RPC_DIAL_MAX];
};

/* Whether rpc_dial_resolve would not ask anybody: a path or a number. */
bool rpc_dial_is_numeric(const struct rpc_uri *u);
/*
 * May block, uses nothing shared. unix: u->socket. 0; EINVAL, ENOENT: there is no such host; text
 * names it.
 */
int rpc_dial_resolve(const struct rpc_uri *u, struct rpc_dial *ret, char *text, size_t room);
/*
 * Starts to connect to the i-th. 0: *ret_fd is connected; EINPROGRESS: it will be writable, and
 * rpc_conn_new is told `connecting`; else an errno, no descriptor, and text.
 */
int rpc_dial_start(const struct rpc_dial *d, size_t i, int *ret_fd, char *text, size_t room);
/* An address in words, for messages: "127.0.0.1:16514", "/run/x". */
void rpc_dial_name(const struct rpc_dial *d, size_t i, char *ret, size_t room);

#endif
