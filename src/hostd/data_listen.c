/* SPDX-License-Identifier: MIT */
/*
 * Waiting for the source of a migration to connect. Invariant: a connection that has not said the
 * migration's id within its time costs nothing but one of a few places, the oldest of which makes
 * room for a newer one; the first that has said it ends the listening.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/data.h"

struct pending {
	uv_poll_t poll;
	struct data_listener *listener; /* borrowed */
	int fd;				/* -1: this place is free */
	bool closing;			/* its poll is */
	uint64_t since_ms;
	uint8_t head[DATA_HEAD_SIZE];
	size_t len;
};

struct data_listener {
	uv_loop_t *loop; /* borrowed */
	uv_poll_t poll;
	uv_timer_t timer; /* expires pending ones */
	int fd;
	char path[DATA_PATH_MAX + 1]; /* to be unlinked; "": TCP */
	struct mig_id id;
	data_done_fn *done;
	void *data;
	struct pending pending[DATA_PENDING_MAX];
	unsigned int n_handles; /* open ones: the last that closes frees all */
	bool closed;
};

static void on_closed(struct data_listener *l)
{
	if (--l->n_handles == 0)
		free(l);
}

static void on_poll_closed(uv_handle_t *handle)
{
	on_closed(CONTAINER_OF((uv_poll_t *)handle, struct data_listener, poll));
}

static void on_timer_closed(uv_handle_t *handle)
{
	on_closed(CONTAINER_OF((uv_timer_t *)handle, struct data_listener, timer));
}

static void on_pending_closed(uv_handle_t *handle)
{
	struct pending *p = CONTAINER_OF((uv_poll_t *)handle, struct pending, poll);

	p->closing = false;
	on_closed(p->listener);
}

/* Frees a place; its descriptor is closed unless it is kept. */
static void pending_drop(struct pending *p, bool keep_fd)
{
	if (p->fd < 0)
		return;
	uv_poll_stop(&p->poll);
	if (!keep_fd)
		close(p->fd);
	p->fd = -1;
	p->closing = true;
	uv_close((uv_handle_t *)&p->poll, on_pending_closed);
}

void data_listener_close(struct data_listener *l)
{
	if (!l || l->closed)
		return;
	l->closed = true;
	uv_poll_stop(&l->poll);
	close(l->fd);
	if (l->path[0])
		unlink(l->path);
	for (size_t i = 0; i < ARRAY_LEN(l->pending); i++)
		pending_drop(&l->pending[i], false);
	uv_close((uv_handle_t *)&l->poll, on_poll_closed);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

/* All of the head is there: whoever knows the id has the guest. */
static void judge(struct pending *p)
{
	struct data_listener *l = p->listener;
	data_done_fn *done = l->done;
	void *data = l->data;
	struct mig_id id = l->id;
	int fd = p->fd, flags;

	if (memcmp(p->head, DATA_MAGIC, 8) != 0 ||
	    gnutls_memcmp(p->head + 8, l->id.b, MIG_ID_SIZE) != 0) {
		log_warning("migration data: a connection that names no migration of this address");
		pending_drop(p, false);
		return;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)) {
		pending_drop(p, false);
		return;
	}
	pending_drop(p, true);
	data_listener_close(l); /* freed by the loop, later */
	done(data, &id, fd, "");
}

static void on_octets(uv_poll_t *poll, int status, int events)
{
	struct pending *p = CONTAINER_OF(poll, struct pending, poll);
	ssize_t n;

	(void)events;
	n = status ? 0 : recv(p->fd, p->head + p->len, DATA_HEAD_SIZE - p->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		pending_drop(p, false);
		return;
	}
	p->len += (size_t)n;
	if (p->len == DATA_HEAD_SIZE)
		judge(p);
}

/* A place for one more: a free one, or that of the oldest once its handle has closed. */
static struct pending *place_find(struct data_listener *l)
{
	struct pending *oldest = NULL;

	for (size_t i = 0; i < ARRAY_LEN(l->pending); i++) {
		struct pending *p = &l->pending[i];

		if (p->fd < 0 && !p->closing)
			return p;
		if (p->fd >= 0 && (!oldest || p->since_ms < oldest->since_ms))
			oldest = p;
	}
	if (oldest)
		pending_drop(oldest, false);
	return NULL;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct data_listener *l = CONTAINER_OF(poll, struct data_listener, poll);
	struct pending *p = place_find(l);
	int fd;

	(void)events;
	if (!p || status)
		return; /* asked again: the oldest one's place is free then */
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (uv_poll_init(l->loop, &p->poll, fd)) {
		close(fd);
		return;
	}
	l->n_handles++;
	p->listener = l;
	p->fd = fd;
	p->len = 0;
	p->since_ms = uv_now(l->loop);
	uv_poll_start(&p->poll, UV_READABLE | UV_DISCONNECT, on_octets);
}

static void on_timer(uv_timer_t *timer)
{
	struct data_listener *l = CONTAINER_OF(timer, struct data_listener, timer);

	for (size_t i = 0; i < ARRAY_LEN(l->pending); i++) {
		struct pending *p = &l->pending[i];

		if (p->fd >= 0 && uv_now(l->loop) - p->since_ms >= DATA_HEAD_TIMEOUT_MS)
			pending_drop(p, false);
	}
}

/* A listening TCP socket at address (numeric), port. A descriptor or a negative errno. */
static int listen_tcp(const char *address, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE };
	struct addrinfo *found = NULL;
	char digits[8];
	int fd, err, one = 1;

	snprintf(digits, sizeof(digits), "%u", (unsigned int)port);
	if (getaddrinfo(address, digits, &hints, &found) || !found)
		return -EADDRNOTAVAIL;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = fd < 0 ? -errno : 0;
	if (!err && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		err = -errno;
	if (!err && bind(fd, found->ai_addr, found->ai_addrlen))
		err = -errno;
	if (!err && listen(fd, (int)DATA_PENDING_MAX))
		err = -errno;
	freeaddrinfo(found);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err = 0;

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		err = -errno;
	if (!err && listen(fd, (int)DATA_PENDING_MAX)) {
		err = -errno;
		unlink(path);
	}
	if (err)
		close(fd);
	return err ? err : fd;
}

/* Where to listen for u's host: at it, if it is one of ours in numbers, else where we are told. */
static int listen_port(const struct data_where *where, const struct data_uri *u, uint16_t port)
{
	int fd = u->host[0] ? listen_tcp(u->host, port) : -EADDRNOTAVAIL;

	if (fd != -EADDRNOTAVAIL)
		return fd;
	fd = listen_tcp(where->address ? where->address : "::", port);
	if (fd == -EAFNOSUPPORT && !where->address)
		fd = listen_tcp("0.0.0.0", port);
	return fd;
}

/* A listening socket as u asks for; u's port is filled in. */
static int listen_at(const struct data_where *where, struct data_uri *u)
{
	int fd = -EADDRINUSE;

	if (u->is_unix)
		return listen_unix(u->path);
	if (u->port)
		return listen_port(where, u, u->port);
	for (uint32_t port = where->port_min; fd == -EADDRINUSE && port <= where->port_max;
	     port++) {
		fd = listen_port(where, u, (uint16_t)port);
		if (fd >= 0)
			u->port = (uint16_t)port;
	}
	return fd;
}

static int listener_new(uv_loop_t *loop, int fd, struct data_listener **ret)
{
	struct data_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return FAULT(-ENOMEM);
	if (uv_poll_init(loop, &l->poll, fd)) {
		free(l);
		return FAULT(-ENOMEM);
	}
	uv_timer_init(loop, &l->timer);
	l->n_handles = 2;
	l->loop = loop;
	l->fd = fd;
	for (size_t i = 0; i < ARRAY_LEN(l->pending); i++)
		l->pending[i].fd = -1;
	uv_poll_start(&l->poll, UV_READABLE, on_connection);
	uv_timer_start(&l->timer, on_timer, 1000, 1000);
	*ret = l;
	return 0;
}

int data_listen(uv_loop_t *loop, const struct data_where *where, const char *uri,
		const struct mig_id *id, data_done_fn *done, void *data, struct data_listener **ret,
		char ret_uri[DATA_URI_MAX], char *text, size_t room)
{
	struct data_uri u = { 0 };
	int r, fd;

	if (uri) {
		r = data_uri_parse(uri, &u, text, room);
		if (r)
			return r;
	} else {
		snprintf(u.host, sizeof(u.host), "%s", where->host);
	}
	fd = listen_at(where, &u);
	if (fd < 0) {
		data_uri_print(&u, ret_uri);
		snprintf(text, room, "cannot receive a guest at %s, ports %u to %u: %s", ret_uri,
			 (unsigned int)where->port_min, (unsigned int)where->port_max,
			 strerror(-fd));
		return -fd;
	}
	r = listener_new(loop, fd, ret);
	if (r) {
		close(fd);
		return r;
	}
	if (u.is_unix)
		memcpy((*ret)->path, u.path, sizeof(u.path));
	(*ret)->id = *id;
	(*ret)->done = done;
	(*ret)->data = data;
	data_uri_print(&u, ret_uri);
	return 0;
}
