/* SPDX-License-Identifier: MIT */
/* The transport of a connected unix socket. */
#ifndef DROVER_CONN_SOCKET_H
#define DROVER_CONN_SOCKET_H

#include "conn/conn.h"

/* Part of what the loop keeps for a socket. */
struct socket_transport {
	int fd; /* owned, non-blocking */
	/* Sets what the loop polls fd for. */
	void (*poll)(struct socket_transport *s, bool read, bool write);
	/* Stops polling, closes fd and frees the loop's part. */
	void (*release)(struct socket_transport *s);
};

const struct transport_ops *socket_transport_ops(void);

#endif
