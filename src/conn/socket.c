/* SPDX-License-Identifier: MIT */
/*
 * Socket transport. Invariant: no call blocks and none raises a signal; how much was moved is
 * stored by the kernel, in memory that outlives the process, within the call that moves it.
 */
#include "conn/socket.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>

static ssize_t failure(void)
{
	return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
}

static struct mmsghdr *message(struct conn_cell *cell, const void *buf, size_t len)
{
	cell->iov.iov_base = (void *)(uintptr_t)buf;
	cell->iov.iov_len = len;
	cell->msg.msg_hdr.msg_iov = &cell->iov;
	cell->msg.msg_hdr.msg_iovlen = 1;
	return &cell->msg;
}

static ssize_t socket_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	struct socket_transport *s = transport;

	if (!room)
		return 0;
	if (recvmmsg(s->fd, message(cell, buf, room), 1, MSG_DONTWAIT, NULL) != 1)
		return failure();
	return cell->msg.msg_len ? (ssize_t)cell->msg.msg_len : -EPIPE;
}

static size_t socket_peek(void *transport, void *buf, size_t len)
{
	struct socket_transport *s = transport;
	ssize_t n = recv(s->fd, buf, len, MSG_DONTWAIT | MSG_PEEK);

	return n < 0 ? 0 : (size_t)n;
}

static ssize_t socket_send(void *transport, struct conn_cell *cell, const void *buf, size_t len)
{
	struct socket_transport *s = transport;

	if (sendmmsg(s->fd, message(cell, buf, len), 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
		return failure();
	return (ssize_t)cell->msg.msg_len;
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
		.peek = socket_peek,
		.send = socket_send,
		.want = socket_want,
		.free = socket_free,
	};

	return &ops;
}
