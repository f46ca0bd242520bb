/* SPDX-License-Identifier: MIT */
/*
 * Connecting to where a guest is received. Names are looked up and addresses tried one after the
 * other, which may take long: a thread of the pool does it. Invariant: the thread touches nothing
 * but its own request.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/data.h"

struct dial {
	uv_work_t work;
	struct data_uri uri;
	struct mig_id id;
	data_done_fn *done;
	void *data;
	int fd; /* or a negative errno */
	char why[256];
};

/* Connects within the time limit: the descriptor, blocking; or a negative errno. */
static int connect_to(int family, const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = fd < 0 ? errno : 0, one = 1;
	socklen_t size = sizeof(err);

	if (err)
		return -err;
	if (connect(fd, sa, len))
		err = errno;
	if (err == EINPROGRESS) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int n = poll(&p, 1, (int)DATA_CONNECT_TIMEOUT_MS);

		err = n == 0 ? ETIMEDOUT : n < 0 ? errno : 0;
		if (!err && getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
			err = errno;
	}
	if (!err && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
		err = errno;
	if (err) {
		close(fd);
		return -err;
	}
	/* the end of a guest is small, and is waited for */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* No descriptor tells when a socket file's queue has a place again: connect itself waits for it. */
static int dial_unix(const struct data_uri *u)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = DATA_CONNECT_TIMEOUT_MS / 1000 }, none = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, u->path, strlen(u->path) + 1);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)))
		err = errno;
	if (!err)
		return fd;
	close(fd);
	return err == EAGAIN ? -ETIMEDOUT : -err;
}

static int dial_tcp(struct dial *d)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char port[8];
	int fd = -EHOSTUNREACH, r;

	snprintf(port, sizeof(port), "%u", (unsigned int)d->uri.port);
	r = getaddrinfo(d->uri.host, port, &hints, &found);
	if (r) {
		snprintf(d->why, sizeof(d->why), "%s", gai_strerror(r));
		return -EHOSTUNREACH;
	}
	for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
		fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
	return fd;
}

static void on_work(uv_work_t *work)
{
	struct dial *d = CONTAINER_OF(work, struct dial, work);
	uint8_t head[DATA_HEAD_SIZE];

	d->fd = d->uri.is_unix ? dial_unix(&d->uri) : dial_tcp(d);
	if (d->fd < 0) {
		if (!d->why[0])
			snprintf(d->why, sizeof(d->why), "%s", strerror(-d->fd));
		return;
	}
	memcpy(head, DATA_MAGIC, 8);
	memcpy(head + 8, d->id.b, MIG_ID_SIZE);
	/* A fresh connection has room for so little: it is sent whole or not at all. */
	if (send(d->fd, head, sizeof(head), MSG_NOSIGNAL) != (ssize_t)sizeof(head)) {
		snprintf(d->why, sizeof(d->why), "closed at once");
		close(d->fd);
		d->fd = -ECONNRESET;
	}
}

static void on_done(uv_work_t *work, int status)
{
	struct dial *d = CONTAINER_OF(work, struct dial, work);
	char why[256 + DATA_URI_MAX + 32] = "", uri[DATA_URI_MAX];

	if (status)
		d->fd = -ECANCELED;
	if (d->fd < 0) {
		data_uri_print(&d->uri, uri);
		snprintf(why, sizeof(why), "cannot connect to %s: %s", uri, d->why);
	}
	d->done(d->data, &d->id, d->fd, why);
	free(d);
}

int data_connect(uv_loop_t *loop, const char *uri, const struct mig_id *id, data_done_fn *done,
		 void *data, char *text, size_t room)
{
	struct dial *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return FAULT(-ENOMEM);
	r = data_uri_parse(uri, &d->uri, text, room);
	if (!r && !d->uri.is_unix && !d->uri.port) {
		snprintf(text, room, "migration URI \"%.200s\": a port is needed to connect to",
			 uri);
		r = EINVAL;
	}
	d->id = *id;
	d->done = done;
	d->data = data;
	if (!r && uv_queue_work(loop, &d->work, on_work, on_done))
		r = FAULT(-ENOMEM);
	if (r)
		free(d);
	return r;
}
