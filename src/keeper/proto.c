/* SPDX-License-Identifier: MIT */
/*
 * Messages between keeper and worker. Invariant: what proto_recv returns is within its own
 * bounds, and no descriptor that came is lost.
 */
#include "keeper/proto.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD offsetof(struct proto_msg, id)

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * PROTO_FDS_MAX)];
};

int proto_pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd))
		return -errno;
	return 0;
}

void proto_init(struct proto_msg *m, enum proto_type type, uint32_t value, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	m->type = type;
	m->value = value;
	m->n_ids = m->n_fds = 0;
	m->text_len = (uint32_t)(len < PROTO_TEXT_MAX ? len : PROTO_TEXT_MAX);
	if (m->text_len)
		memcpy(m->text, text, m->text_len);
	m->text[m->text_len] = '\0';
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	poll(&p, 1, -1); /* whatever ends it, the next call tells */
}

int proto_send(int fd, const struct proto_msg *m, bool wait)
{
	struct iovec part[] = {
		{ (void *)(uintptr_t)m, HEAD },
		{ (void *)(uintptr_t)m->id, m->n_ids * sizeof(m->id[0]) },
		{ (void *)(uintptr_t)m->text, m->text_len },
	};
	union control control = { .buf = { 0 } };
	struct msghdr hdr = { .msg_iov = part, .msg_iovlen = 3 };
	struct cmsghdr *c;

	if (m->n_fds) {
		hdr.msg_control = control.buf;
		hdr.msg_controllen = CMSG_SPACE(sizeof(int) * m->n_fds);
		c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * m->n_fds);
		memcpy(CMSG_DATA(c), m->fd, sizeof(int) * m->n_fds);
	}
	while (sendmsg(fd, &hdr, MSG_NOSIGNAL) < 0) {
		/* too many descriptors on their way is the same as no room */
		if (errno != EAGAIN && errno != EINTR && errno != ETOOMANYREFS)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (!wait && errno != EINTR)
			return -EAGAIN;
		if (errno != EINTR)
			wait_for(fd, POLLOUT);
	}
	return 0;
}

static void take_fds(struct proto_msg *m, struct msghdr *hdr)
{
	struct cmsghdr *c;

	m->n_fds = 0;
	for (c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		m->n_fds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fd, CMSG_DATA(c), m->n_fds * sizeof(int));
	}
}

static bool is_whole(const struct proto_msg *m, size_t n, int flags)
{
	return n >= HEAD && !(flags & MSG_TRUNC) && m->n_ids <= PROTO_FDS_MAX &&
	       m->text_len <= PROTO_TEXT_MAX &&
	       n == HEAD + m->n_ids * sizeof(m->id[0]) + m->text_len;
}

int proto_recv(int fd, struct proto_msg *m, bool wait)
{
	char body[sizeof(m->id) + PROTO_TEXT_MAX];
	union control control;
	struct iovec part[] = { { m, HEAD }, { body, sizeof(body) } };
	struct msghdr hdr;
	size_t ids;
	ssize_t n;

	for (;;) {
		hdr = (struct msghdr){ .msg_iov = part,
				       .msg_iovlen = 2,
				       .msg_control = control.buf,
				       .msg_controllen = sizeof(control.buf) };
		n = recvmsg(fd, &hdr, MSG_CMSG_CLOEXEC);
		if (n >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
		if (!wait && errno != EINTR)
			return -EAGAIN;
		if (errno != EINTR)
			wait_for(fd, POLLIN);
	}
	take_fds(m, &hdr);
	if (!n && !m->n_fds)
		return -EPIPE;
	if (!is_whole(m, (size_t)n, hdr.msg_flags)) {
		while (m->n_fds)
			close(m->fd[--m->n_fds]);
		return -EBADMSG;
	}
	ids = m->n_ids * sizeof(m->id[0]);
	memcpy(m->id, body, ids);
	memcpy(m->text, body + ids, m->text_len);
	m->text[m->text_len] = '\0';
	return 0;
}
