/* SPDX-License-Identifier: MIT */
/*
 * The process's end of a connection. Invariant: messages leave in the order in which they were
 * told, and none of one connection is sent over the next.
 */
#include "vmm/agent_end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int agent_end_init(struct agent_end *e, int listener)
{
	e->ctl = -1;
	e->listener = listener;
	if (fcntl(listener, F_SETFD, FD_CLOEXEC) < 0 || fcntl(listener, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void ctl_close(struct agent_end *e)
{
	if (e->ctl >= 0)
		close(e->ctl);
	e->ctl = -1;
	e->n_pending = 0;
}

void agent_end_flush(struct agent_end *e)
{
	size_t n = 0;
	int r = 0;

	while (e->ctl >= 0 && n < e->n_pending && r == 0) {
		r = agent_msg_send(e->ctl, &e->pending[n], -1);
		if (r == 0)
			n++;
	}
	memmove(e->pending, e->pending + n, (e->n_pending - n) * sizeof(e->pending[0]));
	e->n_pending -= n;
	if (r < 0 && r != -EAGAIN)
		ctl_close(e);
}

void agent_end_tell(struct agent_end *e, const struct agent_msg *msg)
{
	if (e->ctl < 0)
		return;
	/* progress is of no use later; whoever reads none of the rest has to greet again */
	if (msg->type == AGENT_PROGRESS && e->n_pending)
		return;
	if (e->n_pending == AGENT_PENDING_MAX) {
		ctl_close(e);
		return;
	}
	e->pending[e->n_pending] = *msg;
	e->pending[e->n_pending++].version = AGENT_PROTO_VERSION;
	agent_end_flush(e);
}

int agent_end_receive(struct agent_end *e, struct agent_msg *ret, int *ret_fd)
{
	int r = agent_msg_receive(e->ctl, ret, ret_fd);

	if (r < 0 && r != -EAGAIN)
		ctl_close(e);
	return r;
}

void agent_end_accept(struct agent_end *e, bool (*take)(void *data), void *data)
{
	struct pollfd p = { .fd = e->ctl, .events = POLLIN };
	int fd;

	while (e->ctl >= 0 && poll(&p, 1, 0) > 0)
		if (!take(data))
			break;
	fd = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	ctl_close(e);
	e->ctl = fd;
}
