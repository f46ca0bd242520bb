/* SPDX-License-Identifier: MIT */
/*
 * Requests out, messages in. Input is kept in one flat buffer: [in_head, in_tail) is received
 * and not yet taken. Every request is a send of its own, which is what clients cost a server.
 */
#include "link.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "hv/sim/sim.h"

_Noreturn void bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench-client: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(3);
}

static struct link *link_new(void)
{
	struct link *l = malloc(sizeof(*l));

	if (!l)
		bench_die("out of memory");
	l->fd = -1;
	l->guest = NULL;
	l->next_id = 1;
	l->n_events = 0;
	l->in_head = 0;
	l->in_tail = 0;
	return l;
}

struct link *link_new_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = LINK_TIMEOUT_S };
	struct link *l = link_new();

	if (strlen(path) >= sizeof(addr.sun_path))
		bench_die("%s: path too long", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&addr, sizeof(addr)))
		bench_die("%s: %s", path, strerror(errno));
	setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return l;
}

struct link *link_new_ring(const char *sim_dir, uint16_t domid)
{
	struct link *l = link_new();
	int r = sim_guest_open(sim_dir, domid, &l->guest);

	if (r < 0)
		bench_die("domain %u: %s", domid, strerror(-r));
	return l;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	if (l->guest)
		sim_guest_close(l->guest);
	free(l);
}

static void ring_wait(struct link *l)
{
	int r = sim_guest_wait(l->guest, LINK_TIMEOUT_S * 1000);

	if (r <= 0)
		bench_die("ring: %s", r ? strerror(-r) : "no answer");
}

static void ring_put(struct link *l, const char *data, size_t len)
{
	while (len) {
		int n = sim_guest_write(l->guest, data, len);

		if (n < 0)
			bench_die("ring: %s", strerror(-n));
		if (n)
			sim_guest_notify(l->guest);
		else
			ring_wait(l);
		data += n;
		len -= (size_t)n;
	}
}

static void ring_fill(struct link *l)
{
	int n;

	while (!(n = sim_guest_read(l->guest, l->in + l->in_tail, LINK_IN_SIZE - l->in_tail)))
		ring_wait(l);
	if (n < 0)
		bench_die("ring: %s", strerror(-n));
	l->in_tail += (size_t)n;
}

static void link_put(struct link *l, const char *data, size_t len)
{
	if (l->guest) {
		ring_put(l, data, len);
		return;
	}
	while (len) {
		ssize_t n = send(l->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			bench_die("send: %s", strerror(errno));
		data += n;
		len -= (size_t)n;
	}
}

uint32_t link_send(struct link *l, uint32_t type, uint32_t tx, const void *body, size_t len)
{
	struct xsd_sockmsg head = {
		.type = type,
		.req_id = l->next_id++,
		.tx_id = tx,
		.len = (uint32_t)len,
	};
	char buf[sizeof(head) + XENSTORE_PAYLOAD_MAX];

	if (len > XENSTORE_PAYLOAD_MAX)
		bench_die("request of %zu octets", len);
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), body, len);
	link_put(l, buf, sizeof(head) + len);
	return head.req_id;
}

bool link_next(struct link *l, struct message *ret)
{
	size_t have = l->in_tail - l->in_head;
	struct xsd_sockmsg head;

	if (have < sizeof(head))
		return false;
	memcpy(&head, l->in + l->in_head, sizeof(head));
	if (head.len > XENSTORE_PAYLOAD_MAX)
		bench_die("message of %u octets", head.len);
	if (have < sizeof(head) + head.len)
		return false;
	ret->type = head.type;
	ret->req_id = head.req_id;
	ret->len = head.len;
	ret->body = l->in + l->in_head + sizeof(head);
	l->in_head += sizeof(head) + head.len;
	return true;
}

void link_fill(struct link *l)
{
	ssize_t n;

	if (l->in_head) {
		memmove(l->in, l->in + l->in_head, l->in_tail - l->in_head);
		l->in_tail -= l->in_head;
		l->in_head = 0;
	}
	if (l->guest) {
		ring_fill(l);
		return;
	}
	do
		n = recv(l->fd, l->in + l->in_tail, LINK_IN_SIZE - l->in_tail, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		bench_die("no answer in %d s", LINK_TIMEOUT_S);
	if (n < 0)
		bench_die("receive: %s", strerror(errno));
	if (!n)
		bench_die("the server closed the connection");
	l->in_tail += (size_t)n;
}

void link_receive(struct link *l, struct message *ret)
{
	while (!link_next(l, ret))
		link_fill(l);
}

static int message_errno(const struct message *m)
{
	static const struct {
		const char *name;
		int err;
	} names[] = {
		{ "EAGAIN", EAGAIN }, { "ENOENT", ENOENT }, { "EEXIST", EEXIST },
		{ "EACCES", EACCES }, { "ENOSPC", ENOSPC }, { "EINVAL", EINVAL },
		{ "ENOMEM", ENOMEM }, { "ENOSYS", ENOSYS }, { "E2BIG", E2BIG },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (m->len > strlen(names[i].name) && !strcmp(m->body, names[i].name))
			return names[i].err;
	return EIO;
}

int link_call(struct link *l, uint32_t type, uint32_t tx, const void *body, size_t len,
	      struct message *ret)
{
	struct message own, *m = ret ? ret : &own;

	link_send(l, type, tx, body, len);
	for (;;) {
		link_receive(l, m);
		if (m->type != XS_WATCH_EVENT)
			break;
		l->n_events++;
	}
	return m->type == XS_ERROR ? message_errno(m) : 0;
}

static void link_check(int err, uint32_t type, const char *path)
{
	if (err)
		bench_die("operation %u on %s: %s", type, path, strerror(err));
}

void link_do(struct link *l, uint32_t type, uint32_t tx, const char *path, struct message *ret)
{
	link_check(link_call(l, type, tx, path, strlen(path) + 1, ret), type, path);
}

void link_write(struct link *l, uint32_t tx, const char *path, const char *value)
{
	char body[XENSTORE_PAYLOAD_MAX];
	size_t len = body_pair(body, sizeof(body), path, value, false);

	link_check(link_call(l, XS_WRITE, tx, body, len, NULL), XS_WRITE, path);
}

void link_watch(struct link *l, const char *path, const char *token)
{
	char body[XENSTORE_PAYLOAD_MAX];
	size_t len = body_pair(body, sizeof(body), path, token, true);

	link_check(link_call(l, XS_WATCH, 0, body, len, NULL), XS_WATCH, path);
}

uint32_t link_begin(struct link *l)
{
	struct message m;

	link_do(l, XS_TRANSACTION_START, 0, "", &m);
	return (uint32_t)strtoul(m.body, NULL, 10);
}

int link_commit(struct link *l, uint32_t tx)
{
	int err = link_call(l, XS_TRANSACTION_END, tx, "T", 2, NULL);

	if (err && err != EAGAIN)
		bench_die("commit: %s", strerror(err));
	return err;
}

size_t body_pair(char *buf, size_t size, const char *first, const char *second, bool end_nul)
{
	size_t a = strlen(first) + 1, b = strlen(second) + (end_nul ? 1 : 0);

	if (a + b > size)
		bench_die("%s: request too long", first);
	memcpy(buf, first, a);
	memcpy(buf + a, second, b);
	return a + b;
}
