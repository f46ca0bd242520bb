/* SPDX-License-Identifier: MIT */
/*
 * bench-echo SOCKET
 *
 * The limit of what a xenstored can do for a given client: it reads the same frames and answers
 * each with OK, storing nothing but watches. A round gives every ready connection one recv and
 * one send, whatever number of requests that makes. A watch is answered, then fires once; a
 * WRITE fires the watches on exactly its path. Starting a transaction answers an id.
 *
 * Invariant: what a connection wants sent is in its out buffer until the end of its turn; events
 * for another connection are appended to that one's and sent when the round ends.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#define IN_SIZE 65536u
#define OUT_SIZE 131072u
#define N_BUCKETS 65536u
#define MAX_READY 256

struct client {
	int fd; /* owned */
	size_t in_len;
	size_t out_len;
	size_t n_watches;
	struct client *next_pending; /* with events to send at the end of the round */
	bool is_pending;
	char in[IN_SIZE];
	char out[OUT_SIZE];
};

struct echo_watch {
	struct echo_watch *next;
	struct client *client; /* borrowed */
	char *token;	       /* owned */
	char path[];
};

struct echo {
	int epoll_fd;
	struct client *pending;
	struct echo_watch *buckets[N_BUCKETS]; /* owned */
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void client_flush(struct client *c)
{
	size_t sent = 0;

	while (sent < c->out_len) {
		ssize_t n = send(c->fd, c->out + sent, c->out_len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* gone: the next recv says so */
		sent += (size_t)n;
	}
	c->out_len = 0;
}

static void client_put(struct client *c, const struct xsd_sockmsg *request, uint32_t type,
		       const void *body, uint32_t len)
{
	struct xsd_sockmsg head = { .type = type, .len = len };

	if (request) {
		head.req_id = request->req_id;
		head.tx_id = request->tx_id;
	}
	if (c->out_len + sizeof(head) + len > OUT_SIZE)
		client_flush(c);
	memcpy(c->out + c->out_len, &head, sizeof(head));
	memcpy(c->out + c->out_len + sizeof(head), body, len);
	c->out_len += sizeof(head) + len;
}

static unsigned int path_bucket(const char *path)
{
	uint32_t h = 2166136261u;

	while (*path)
		h = (h ^ (unsigned char)*path++) * 16777619u;
	return h % N_BUCKETS;
}

static void watch_fire(struct echo *e, struct echo_watch *w)
{
	char body[XENSTORE_PAYLOAD_MAX];
	size_t path_len = strlen(w->path) + 1, token_len = strlen(w->token) + 1;

	if (path_len + token_len > sizeof(body))
		return;
	memcpy(body, w->path, path_len);
	memcpy(body + path_len, w->token, token_len);
	client_put(w->client, NULL, XS_WATCH_EVENT, body, (uint32_t)(path_len + token_len));
	if (!w->client->is_pending) {
		w->client->is_pending = true;
		w->client->next_pending = e->pending;
		e->pending = w->client;
	}
}

static void watch_add(struct echo *e, struct client *c, const char *path, const char *token)
{
	struct echo_watch **bucket = &e->buckets[path_bucket(path)];
	struct echo_watch *w = malloc(sizeof(*w) + strlen(path) + 1);

	if (!w || !(w->token = strdup(token)))
		die("watch");
	strcpy(w->path, path);
	w->client = c;
	w->next = *bucket;
	*bucket = w;
	c->n_watches++;
	watch_fire(e, w);
}

static void watches_drop(struct echo *e, const struct client *c)
{
	for (size_t i = 0; c->n_watches && i < N_BUCKETS; i++)
		for (struct echo_watch **p = &e->buckets[i]; *p;) {
			struct echo_watch *w = *p;

			if (w->client != c) {
				p = &w->next;
				continue;
			}
			*p = w->next;
			free(w->token);
			free(w);
		}
}

static void client_request(struct echo *e, struct client *c, const struct xsd_sockmsg *head,
			   const char *body)
{
	const char *end = memchr(body, 0, head->len);

	if (head->type == XS_TRANSACTION_START) {
		client_put(c, head, head->type, "1", 2);
		return;
	}
	client_put(c, head, head->type, "OK", 3);
	if (!end)
		return;
	if (head->type == XS_WATCH && memchr(end + 1, 0, head->len - (size_t)(end + 1 - body))) {
		watch_add(e, c, body, end + 1);
	} else if (head->type == XS_WRITE) {
		for (struct echo_watch *w = e->buckets[path_bucket(body)]; w; w = w->next)
			if (!strcmp(w->path, body))
				watch_fire(e, w);
	}
}

static void client_free(struct echo *e, struct client *c)
{
	watches_drop(e, c);
	for (struct client **p = &e->pending; *p; p = &(*p)->next_pending)
		if (*p == c) {
			*p = c->next_pending;
			break;
		}
	close(c->fd);
	free(c);
}

/* One turn: what one recv brings, answered by one send. */
static void client_turn(struct echo *e, struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_SIZE - c->in_len, 0);
	struct xsd_sockmsg head;
	size_t at = 0;

	if (n <= 0) {
		client_free(e, c);
		return;
	}
	c->in_len += (size_t)n;
	while (c->in_len - at >= sizeof(head)) {
		memcpy(&head, c->in + at, sizeof(head));
		if (head.len > XENSTORE_PAYLOAD_MAX) {
			client_free(e, c);
			return;
		}
		if (c->in_len - at < sizeof(head) + head.len)
			break;
		client_request(e, c, &head, c->in + at + sizeof(head));
		at += sizeof(head) + head.len;
	}
	if (at < c->in_len)
		memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	if (c->out_len)
		client_flush(c);
}

static void client_accept(struct echo *e, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct client *c;

	if (fd < 0)
		return;
	c = malloc(sizeof(*c));
	if (!c)
		die("accept");
	c->fd = fd;
	c->in_len = c->out_len = c->n_watches = 0;
	c->is_pending = false;
	if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd,
		      &(struct epoll_event){ EPOLLIN, { .ptr = c } }))
		die("epoll_ctl");
}

static void echo_round(struct echo *e, int listen_fd)
{
	struct epoll_event ready[MAX_READY];
	int n = epoll_wait(e->epoll_fd, ready, MAX_READY, -1);

	for (int i = 0; i < n; i++) {
		if (ready[i].data.ptr)
			client_turn(e, ready[i].data.ptr);
		else
			client_accept(e, listen_fd);
	}
	while (e->pending) {
		struct client *c = e->pending;

		e->pending = c->next_pending;
		c->is_pending = false;
		if (c->out_len)
			client_flush(c);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct rlimit files;
	struct echo *e = calloc(1, sizeof(*e));
	int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (argc != 2 || strlen(argv[1]) >= sizeof(addr.sun_path)) {
		fputs("usage: bench-echo SOCKET\n", stderr);
		return 2;
	}
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	strcpy(addr.sun_path, argv[1]);
	if (!e || listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listen_fd, 128))
		die(argv[1]);
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->epoll_fd < 0 || epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, listen_fd,
					 &(struct epoll_event){ EPOLLIN, { .ptr = NULL } }))
		die("epoll");
	for (;;)
		echo_round(e, listen_fd);
}
