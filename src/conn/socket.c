/* SPDX-License-Identifier: MIT */
/*
 * Socket transport. Invariant: no call blocks and none raises a signal.
 */
#include "conn/socket.h"

#include <errno.h>
#include <sys/socket.h>

static ssize_t result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
}

static ssize_t socket_recv(void *transport, void *buf, size_t room)
{
	struct socket_transport *s = transport;
	ssize_t n;

	if (!room)
		return 0;
	n = recv(s->fd, buf, room, MSG_DONTWAIT);
	return n ? result(n) : -EPIPE;
}

static ssize_t socket_send(void *transport, const void *buf, size_t len)
{
	struct socket_transport *s = transport;

	return result(send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static void socket_want(void *transport, bool read, bool write)
{
	struct socket_transport *s = transport;

	s->poll(s, read, write);
}

static void socket_free(void *transport)
{
	struct socket_transport *s = transport;

	s->release(s);
}

const struct transport_ops *socket_transport_ops(void)
{
	static const struct transport_ops ops = {
		.recv = socket_recv,
		.send = socket_send,
		.want = socket_want,
		.free = socket_free,
	};

	return &ops;
}
