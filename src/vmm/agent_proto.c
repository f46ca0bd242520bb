/* SPDX-License-Identifier: MIT */
/*
 * One packet out, one packet in. Invariant: a descriptor that came is either handed on or closed,
 * and a message that is handed on has a known type and a text that ends.
 */
#include "vmm/agent_proto.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int))];
};

int agent_msg_send(int sock, const struct agent_msg *msg, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)msg, sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		hdr.msg_control = &control;
		hdr.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		n = sendmsg(sock, &hdr, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int descriptor_of(struct msghdr *hdr)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

int agent_msg_receive(int sock, struct agent_msg *ret, int *ret_fd)
{
	struct iovec iov = { ret, sizeof(*ret) };
	union control control;
	struct msghdr hdr = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control.room) };
	ssize_t n;

	*ret_fd = -1;
	/* a peer that closed with something unread is told of first, once: what it sent is there */
	do
		n = recvmsg(sock, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : -EPIPE;
	*ret_fd = descriptor_of(&hdr);
	if (n == (ssize_t)sizeof(*ret) && !(hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	    ret->version == AGENT_PROTO_VERSION && ret->type < AGENT_MSG_TYPES) {
		ret->text[sizeof(ret->text) - 1] = '\0';
		return 0;
	}
	if (*ret_fd >= 0)
		close(*ret_fd);
	*ret_fd = -1;
	return n == 0 ? -EPIPE : -EPROTO;
}
