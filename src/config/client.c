/* SPDX-License-Identifier: MIT */
/*
 * A client of any xenstored that sends requests in batches.
 *
 * Invariant: between two calls no request is unanswered; the answers of a batch are matched by
 * their request ids. After a failure of the connection the client answers -ECONNRESET for ever,
 * so that an answer that comes late is never taken for another's.
 */
#include "config/client.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "wire/wire.h"

#define CLIENT_DEVICE "/dev/xen/xenbus"
#define CLIENT_IN_SIZE (64u << 10)

/* Events that wait to be asked for. When they are more, one stands for all that come then. */
#define CLIENT_EVENTS_MAX 4096

struct conf_request {
	uint32_t type;
	struct conf_reply reply;
	size_t at; /* of the answer in the batch's input */
	bool answered;
};

struct event {
	char *path, *token; /* owned */
};

struct conf_client {
	int fd;
	bool is_device; /* which takes one message in each write */
	bool dead;
	uint32_t timeout_ms;
	uint32_t next_id;
	uint64_t round_trips;
	char in[CLIENT_IN_SIZE];
	size_t in_len;
	struct event *events; /* owned: CLIENT_EVENTS_MAX of them, a ring */
	size_t events_at, n_events;
	bool events_lost;
	char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

uint64_t conf_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- opening ---- */

static int find_store(const char *socket, struct conf_err *err, char *ret, size_t size,
		      bool *ret_device)
{
	const char *path = socket ? socket : getenv("XENSTORED_PATH");
	const char *dir = getenv("XENSTORED_RUNDIR");
	struct stat st;
	int n;

	if (path)
		n = snprintf(ret, size, "%s", path);
	else
		n = snprintf(ret, size, "%s/socket", dir ? dir : "/run/xenstored");
	if (n < 0 || (size_t)n >= size)
		return conf_fail(err, -EINVAL, "store: the path of its socket is too long: %s",
				 path ? path : dir);
	/* What is not there is looked for as a socket: the refusal then says so. */
	*ret_device = !stat(ret, &st) && S_ISCHR(st.st_mode);
	if (path || dir || access(ret, F_OK) == 0 || access(CLIENT_DEVICE, F_OK))
		return 0;
	snprintf(ret, size, "%s", CLIENT_DEVICE);
	*ret_device = true;
	return 0;
}

static int connect_socket(struct conf_client *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	static_assert(sizeof(addr.sun_path) == sizeof(c->name), "a name is a socket's path");
	memcpy(addr.sun_path, c->name, sizeof(addr.sun_path));
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK))
		return -errno;
	return 0;
}

static int connect_store(struct conf_client *c)
{
	if (!c->is_device)
		return connect_socket(c);
	c->fd = open(c->name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return c->fd < 0 ? -errno : 0;
}

int conf_client_open(const char *socket, uint32_t timeout_ms, struct conf_err *err,
		     struct conf_client **ret)
{
	struct conf_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return conf_no_memory(err);
	c->fd = -1;
	c->timeout_ms = timeout_ms;
	c->next_id = 1;
	r = find_store(socket, err, c->name, sizeof(c->name), &c->is_device);
	if (r)
		goto out;
	r = connect_store(c);
	if (r) {
		const char *why = strerror(-r);

		r = r == -EACCES || r == -EPERM ? -EACCES : -ECONNREFUSED;
		r = conf_fail(err, r, "store %s: %s", c->name, why);
		goto out;
	}
	c->events = calloc(CLIENT_EVENTS_MAX, sizeof(*c->events));
	if (!c->events) {
		r = conf_no_memory(err);
		goto out;
	}
	*ret = TAKE(c);
out:
	conf_client_close(c);
	return r;
}

void conf_client_close(struct conf_client *c)
{
	if (!c)
		return;
	while (c->events && c->n_events) {
		free(c->events[c->events_at].path);
		free(c->events[c->events_at].token);
		c->events_at = (c->events_at + 1) % CLIENT_EVENTS_MAX;
		c->n_events--;
	}
	free(c->events);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

bool conf_client_is_dead(const struct conf_client *c)
{
	return c->dead;
}

uint64_t conf_client_round_trips(const struct conf_client *c)
{
	return c->round_trips;
}

bool conf_client_orders_events(const struct conf_client *c)
{
	return !c->is_device;
}

int conf_client_fd(const struct conf_client *c)
{
	return c->fd;
}

/* ---- a batch ---- */

void conf_batch_clear(struct conf_batch *b)
{
	b->n = 0;
	b->out_len = 0;
	b->in_len = 0;
}

void conf_batch_fini(struct conf_batch *b)
{
	free(b->requests);
	free(b->out);
	free(b->in);
	memset(b, 0, sizeof(*b));
}

/* Room for more octets behind len; false: memory is out. */
static bool make_room(char **buf, size_t *room, size_t len, size_t more)
{
	size_t want = *room ? *room : 4096;
	char *p;

	if (len + more <= *room)
		return true;
	while (want < len + more)
		want *= 2;
	p = realloc(*buf, want);
	if (!p)
		return false;
	*buf = p;
	*room = want;
	return true;
}

int conf_batch_add(struct conf_batch *b, enum xsd_sockmsg_type type, uint32_t tx, const char *path,
		   const void *tail, size_t tail_len, size_t *ret_i)
{
	size_t path_len = strlen(path) + 1, len = path_len + tail_len;
	struct xsd_sockmsg hdr = { .type = type, .tx_id = tx, .len = (uint32_t)len };

	if (path_len > XENSTORE_ABS_PATH_MAX + 1 || tail_len > XENSTORE_PAYLOAD_MAX ||
	    len > XENSTORE_PAYLOAD_MAX)
		return -EINVAL;
	if (b->n == b->room) {
		size_t room = b->room ? b->room * 2 : 64;
		struct conf_request *p = realloc(b->requests, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		b->requests = p;
		b->room = room;
	}
	if (!make_room(&b->out, &b->out_room, b->out_len, sizeof(hdr) + len))
		return -ENOMEM;
	memcpy(b->out + b->out_len, &hdr, sizeof(hdr));
	memcpy(b->out + b->out_len + sizeof(hdr), path, path_len);
	if (tail_len)
		memcpy(b->out + b->out_len + sizeof(hdr) + path_len, tail, tail_len);
	b->out_len += sizeof(hdr) + len;
	if (ret_i)
		*ret_i = b->n;
	b->requests[b->n++] = (struct conf_request){ .type = type };
	return 0;
}

const struct conf_reply *conf_batch_reply(const struct conf_batch *b, size_t i)
{
	assert(i < b->n);
	return &b->requests[i].reply;
}

/* ---- the connection ---- */

/* The connection is of no use any more; the first reason is told. */
static int fail_dead(struct conf_client *c, struct conf_err *err, int code, const char *why)
{
	c->dead = true;
	return conf_fail(err, code, "store %s: %s", c->name, why);
}

static int take_event(struct conf_client *c, const struct wire_msg *m)
{
	const char *nul = memchr(m->payload, '\0', m->hdr.len);
	struct event *e;
	size_t path_len;

	if (!nul)
		return -EPROTO;
	if (c->n_events == CLIENT_EVENTS_MAX) {
		c->events_lost = true;
		return 0;
	}
	path_len = (size_t)(nul - m->payload) + 1;
	e = &c->events[(c->events_at + c->n_events) % CLIENT_EVENTS_MAX];
	e->path = strdup(m->payload);
	e->token = strndup(m->payload + path_len, m->hdr.len - path_len);
	if (!e->path || !e->token) {
		free(e->path);
		free(e->token);
		return -ENOMEM;
	}
	c->n_events++;
	return 0;
}

/* An answer for b, whose first request has the id first. */
static int take_reply(struct conf_batch *b, uint32_t first, const struct wire_msg *m)
{
	uint32_t i = m->hdr.req_id - first;
	struct conf_request *q;

	if (i >= b->n || b->requests[i].answered)
		return -EPROTO;
	q = &b->requests[i];
	if (m->hdr.type != q->type && m->hdr.type != XS_ERROR)
		return -EPROTO;
	if (!make_room(&b->in, &b->in_room, b->in_len, m->hdr.len + 1))
		return -ENOMEM;
	q->at = b->in_len;
	q->answered = true;
	q->reply.len = m->hdr.len;
	memcpy(b->in + b->in_len, m->payload, m->hdr.len);
	b->in[b->in_len + m->hdr.len] = '\0';
	if (m->hdr.type == XS_ERROR) {
		q->reply.err = wire_errno_value(b->in + b->in_len);
		if (!q->reply.err)
			q->reply.err = EIO;
	}
	b->in_len += m->hdr.len + 1;
	return 0;
}

/* All whole messages of the input; *n_left counts down the answers. b NULL: none is awaited. */
static int take_input(struct conf_client *c, struct conf_batch *b, uint32_t first, size_t *n_left)
{
	size_t at = 0, size;
	struct wire_msg m;
	int r = 0;

	while (!r && wire_parse(c->in + at, c->in_len - at, &m, &size) == 0) {
		if (m.hdr.type == XS_WATCH_EVENT) {
			r = take_event(c, &m);
		} else if (b) {
			r = take_reply(b, first, &m);
			(*n_left)--;
		} else {
			r = -EPROTO;
		}
		at += size;
	}
	if (!r && wire_parse(c->in + at, c->in_len - at, &m, &size) == EMSGSIZE)
		r = -EPROTO;
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	return r;
}

/* 0: nothing to be had now, or something came; -ECONNRESET. */
static int receive(struct conf_client *c)
{
	ssize_t n = read(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len);

	if (n > 0) {
		c->in_len += (size_t)n;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return -ECONNRESET;
}

/* Sends what it can from *at on. */
static int send_some(struct conf_client *c, const struct conf_batch *b, size_t *at)
{
	struct xsd_sockmsg hdr;
	size_t len = b->out_len - *at;
	ssize_t n;

	if (c->is_device) {
		memcpy(&hdr, b->out + *at, sizeof(hdr));
		len = sizeof(hdr) + hdr.len;
		n = write(c->fd, b->out + *at, len);
	} else {
		n = send(c->fd, b->out + *at, len, MSG_NOSIGNAL);
	}
	if (n > 0)
		*at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -ECONNRESET;
	return 0;
}

/* Until the socket can be read, or written where want_out; -ETIMEDOUT. */
static int await(struct conf_client *c, bool want_out, uint64_t deadline_ms, short *ret)
{
	struct pollfd p = { .fd = c->fd, .events = (short)(POLLIN | (want_out ? POLLOUT : 0)) };
	uint64_t now = conf_now_ms();
	uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
	int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);

	if (n < 0 && errno != EINTR)
		return -ECONNRESET;
	if (n == 0 && left <= INT32_MAX)
		return -ETIMEDOUT;
	*ret = n > 0 ? p.revents : 0;
	return 0;
}

/* Request ids in sequence, so that an answer tells its place. */
static uint32_t number(struct conf_client *c, struct conf_batch *b)
{
	uint32_t first = c->next_id;
	struct xsd_sockmsg hdr;
	size_t at, i = 0;

	for (at = 0; at < b->out_len; at += sizeof(hdr) + hdr.len) {
		memcpy(&hdr, b->out + at, sizeof(hdr));
		hdr.req_id = first + (uint32_t)i++;
		memcpy(b->out + at, &hdr, sizeof(hdr));
	}
	c->next_id = first + (uint32_t)b->n;
	return first;
}

/* Until more are answered than were at the last call, or all. */
static int exchange(struct conf_client *c, struct conf_batch *b)
{
	uint64_t deadline = conf_now_ms() + c->timeout_ms;
	short got = POLLIN | POLLOUT;
	int r = 0;

	while (!r && b->n_taken < b->n && !b->requests[b->n_taken].answered) {
		size_t left_before = b->n_left, sent_before = b->sent;

		if (got & (POLLIN | POLLHUP | POLLERR))
			r = receive(c);
		if (!r)
			r = take_input(c, b, b->first, &b->n_left);
		if (!r && b->sent < b->out_len && got & POLLOUT)
			r = send_some(c, b, &b->sent);
		if (b->n_left != left_before || b->sent != sent_before)
			deadline = conf_now_ms() + c->timeout_ms;
		if (!r && !b->requests[b->n_taken].answered)
			r = await(c, b->sent < b->out_len, deadline, &got);
	}
	return r;
}

/* The connection is of no use any more, for what r says. */
static int fail_exchange(struct conf_client *c, struct conf_err *err, int r)
{
	switch (r) {
	case -ENOMEM:
		c->dead = true;
		return conf_no_memory(err);
	case -ETIMEDOUT:
		return fail_dead(c, err, r, "no answer in time");
	case -EPROTO:
		return fail_dead(c, err, -ECONNRESET, "an answer that belongs to no request");
	default:
		return fail_dead(c, err, -ECONNRESET, "it closed the connection");
	}
}

int conf_client_start(struct conf_client *c, struct conf_batch *b, struct conf_err *err)
{
	size_t before;
	int r;

	if (c->dead)
		return fail_dead(c, err, -ECONNRESET, "the connection was lost before");
	b->n_left = b->n;
	b->n_taken = 0;
	b->sent = 0;
	if (!b->n)
		return 0;
	c->round_trips++;
	b->first = number(c, b);
	do {
		before = b->sent;
		r = send_some(c, b, &b->sent);
	} while (!r && b->sent != before && b->sent < b->out_len);
	return r ? fail_exchange(c, err, r) : 0;
}

int conf_client_some(struct conf_client *c, struct conf_batch *b, struct conf_err *err,
		     size_t *ret_n)
{
	size_t i;
	int r = exchange(c, b);

	if (r)
		return fail_exchange(c, err, r);
	while (b->n_taken < b->n && b->requests[b->n_taken].answered)
		b->n_taken++;
	/* what was answered before may lie elsewhere by now */
	for (i = 0; i < b->n_taken; i++)
		b->requests[i].reply.data = b->in + b->requests[i].at;
	*ret_n = b->n_taken;
	return 0;
}

int conf_client_finish(struct conf_client *c, struct conf_batch *b, struct conf_err *err)
{
	size_t n = 0;
	int r = 0;

	while (!r && n < b->n)
		r = conf_client_some(c, b, err, &n);
	return r;
}

int conf_client_run(struct conf_client *c, struct conf_batch *b, struct conf_err *err)
{
	int r = conf_client_start(c, b, err);

	return r ? r : conf_client_finish(c, b, err);
}

/* ---- events ---- */

int conf_client_event(struct conf_client *c, uint64_t deadline_ms, struct conf_err *err,
		      char **ret_path, char **ret_token)
{
	short got;
	int r = 0;

	if (c->dead)
		return fail_dead(c, err, -ECONNRESET, "the connection was lost before");
	r = take_input(c, NULL, 0, NULL);
	while (!r && !c->n_events) {
		r = await(c, false, deadline_ms, &got);
		if (r == -ETIMEDOUT)
			return conf_fail(err, r, "store %s: no event in time", c->name);
		if (!r && got)
			r = receive(c);
		if (!r)
			r = take_input(c, NULL, 0, NULL);
	}
	if (r)
		return fail_dead(c, err, -ECONNRESET, "it closed the connection");
	if (c->events_lost) {
		/* of those dropped nobody knows what they were: it could have been anything */
		*ret_path = strdup("");
		*ret_token = strdup("");
		if (!*ret_path || !*ret_token) {
			free(*ret_path);
			free(*ret_token);
			return conf_no_memory(err);
		}
		c->events_lost = false;
		return 0;
	}
	*ret_path = c->events[c->events_at].path;
	*ret_token = c->events[c->events_at].token;
	c->events_at = (c->events_at + 1) % CLIENT_EVENTS_MAX;
	c->n_events--;
	return 0;
}
