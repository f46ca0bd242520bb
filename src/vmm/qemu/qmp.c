/* SPDX-License-Identifier: MIT */
/*
 * The monitor's client: octets to lines, lines to objects, objects to whom they concern. Calls
 * wait in the order in which they were made; one that is being written is the first of those not
 * written yet. An answer is found by its id, so that an odd order harms nobody.
 */
#include "vmm/qemu/qmp.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/list.h"
#include "base/own.h"
#include "vmm/vmm.h"

struct call {
	struct list link; /* in unsent or waiting */
	uint64_t id, deadline_ms;
	char *text; /* owned: the line */
	size_t len, sent;
	int fd; /* owned, -1: none, or gone */
	qmp_done_fn *done;
	void *data; /* borrowed */
};

struct qmp {
	int fd; /* owned, -1: over */
	const struct qmp_events *events;
	void *data; /* borrowed */
	bool greeted, ready;
	uint64_t next_id;
	struct list hello;  /* qmp_capabilities, before all others */
	struct list unsent; /* of struct call */
	struct list waiting;
	unsigned int n_calls;
	char *line; /* owned: what came of a line that has not ended; NULL: nothing */
	size_t line_len;
	char why[VMM_ERROR_MAX];
};

static void call_free(struct call *c)
{
	if (!c)
		return;
	list_remove(&c->link);
	if (c->fd >= 0)
		close(c->fd);
	free(c->text);
	free(c);
}
DEFINE_CLEANUP(struct call *, call_free)

static void object_put(struct json_object *o)
{
	if (o)
		json_object_put(o);
}
DEFINE_CLEANUP(struct json_object *, object_put)

static void tokener_free(struct json_tokener *t)
{
	if (t)
		json_tokener_free(t);
}
DEFINE_CLEANUP(struct json_tokener *, tokener_free)

struct qmp *qmp_new(int fd, uint32_t first_id, const struct qmp_events *events, void *data)
{
	struct qmp *q = calloc(1, sizeof(*q));

	if (!q) {
		close(fd);
		return NULL;
	}
	q->fd = fd;
	q->events = events;
	q->data = data;
	q->next_id = (uint64_t)first_id << 20;
	list_init(&q->hello);
	list_init(&q->unsent);
	list_init(&q->waiting);
	return q;
}

static void list_drop(struct list *calls)
{
	struct call *c;

	while ((c = list_first(calls, struct call, link)))
		call_free(c);
}

void qmp_free(struct qmp *q)
{
	if (!q)
		return;
	list_drop(&q->hello);
	list_drop(&q->unsent);
	list_drop(&q->waiting);
	if (q->fd >= 0)
		close(q->fd);
	free(q->line);
	free(q);
}

int qmp_fd(const struct qmp *q)
{
	return q->fd;
}

bool qmp_is_ready(const struct qmp *q)
{
	return q->ready;
}

/* Whose line is next: the handshake's, or, once that is over, the oldest one's. */
static struct call *to_write(const struct qmp *q)
{
	struct call *c = list_first(&q->hello, struct call, link);

	if (c)
		return q->greeted ? c : NULL;
	return q->ready ? list_first(&q->unsent, struct call, link) : NULL;
}

bool qmp_wants_write(const struct qmp *q)
{
	return q->fd >= 0 && to_write(q);
}

const char *qmp_why(const struct qmp *q)
{
	return q->why;
}

static uint64_t list_deadline(const struct list *calls, uint64_t so_far)
{
	const struct call *c;

	list_for_each(c, calls, link)
		if (c->deadline_ms < so_far)
			so_far = c->deadline_ms;
	return so_far;
}

uint64_t qmp_deadline_ms(const struct qmp *q)
{
	uint64_t t = list_deadline(&q->hello, UINT64_MAX);

	if (q->fd < 0)
		return UINT64_MAX;
	t = list_deadline(&q->unsent, t);
	return list_deadline(&q->waiting, t);
}

/* Ends the connection: words for qmp_why, and for every call that waits. */
static int over(struct qmp *q, int err, const char *what)
{
	struct list all;
	struct call *c;

	if (q->fd < 0)
		return err;
	close(q->fd);
	q->fd = -1;
	(void)snprintf(q->why, sizeof(q->why), "the emulator's monitor: %s", what);

	list_init(&all);
	while ((c = list_first(&q->waiting, struct call, link)) ||
	       (c = list_first(&q->hello, struct call, link)) ||
	       (c = list_first(&q->unsent, struct call, link))) {
		list_remove(&c->link);
		list_append(&all, &c->link);
	}
	q->n_calls = 0;
	while ((c = list_first(&all, struct call, link))) {
		list_remove(&c->link);
		if (c->done)
			c->done(c->data, NULL, err, q->why);
		call_free(c);
	}
	return err;
}

/* ---- calls ---- */

static char *line_of(const char *command, struct json_object *args, uint64_t id, size_t *ret_len)
{
	CLEANUP(object_put) struct json_object *o = json_object_new_object();
	struct json_object *name = json_object_new_string(command);
	struct json_object *number = json_object_new_int64((int64_t)id);
	const char *text;
	char *line;

	if (!o || !name || !number || json_object_object_add(o, "execute", name) ||
	    json_object_object_add(o, "id", number) ||
	    (args && json_object_object_add(o, "arguments", json_object_get(args))))
		return NULL;
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (!text)
		return NULL;
	*ret_len = strlen(text) + 1;
	line = malloc(*ret_len + 1);
	if (line)
		(void)snprintf(line, *ret_len + 1, "%s\n", text);
	return line;
}

static struct call *call_new(struct qmp *q, const char *command, struct json_object *args,
			     uint64_t now_ms)
{
	CLEANUP(call_free) struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	list_init(&c->link);
	c->fd = -1;
	c->id = q->next_id++;
	c->deadline_ms = now_ms + QMP_ANSWER_MS;
	c->text = line_of(command, args, c->id, &c->len);
	return c->text ? TAKE(c) : NULL;
}

int qmp_call(struct qmp *q, const char *command, struct json_object *args, int fd, uint64_t now_ms,
	     qmp_done_fn *done, void *data)
{
	CLEANUP(object_put) struct json_object *mine = args;
	struct call *c = NULL;
	int r = 0;

	if (q->fd < 0)
		r = -ENOTCONN;
	else if (q->n_calls >= QMP_CALLS_MAX)
		r = -ENOBUFS;
	else if (!(c = call_new(q, command, mine, now_ms)))
		r = FAULT(-ENOMEM);
	if (r) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	c->fd = fd;
	c->done = done;
	c->data = data;
	q->n_calls++;
	list_append(&q->unsent, &c->link);
	return 0;
}

/* ---- what QEMU says ---- */

static void hello_done(void *data, struct json_object *ret, int err, const char *why)
{
	struct qmp *q = data;

	(void)ret;
	(void)why;
	q->ready = !err;
}

static int take_greeting(struct qmp *q, struct json_object *o, uint64_t now_ms)
{
	struct call *c;

	if (q->greeted || !qmp_object(o, "QMP"))
		return over(q, -EPROTO, "its greeting is odd");
	c = call_new(q, "qmp_capabilities", NULL, now_ms);
	if (!c)
		return over(q, FAULT(-ENOMEM), "no memory");
	c->done = hello_done;
	c->data = q;
	q->n_calls++;
	q->greeted = true;
	list_append(&q->hello, &c->link);
	return 0;
}

static int take_answer(struct qmp *q, struct json_object *o)
{
	struct json_object *id, *ret = NULL, *error = qmp_object(o, "error");
	struct call *c, *found = NULL;

	if (!json_object_object_get_ex(o, "return", &ret) && !error)
		return over(q, -EPROTO, "an object of no known kind");
	if (!json_object_object_get_ex(o, "id", &id)) {
		/* It answers so only to what it could not read at all. */
		return over(q, -EPROTO, error ? "it could not read a call" : "an answer to nobody");
	}
	list_for_each(c, &q->waiting, link) {
		if (json_object_is_type(id, json_type_int) &&
		    json_object_get_int64(id) == (int64_t)c->id)
			found = c;
	}
	if (!found)
		return 0; /* a former client's */
	list_remove(&found->link);
	q->n_calls--;
	if (found->done && error) {
		const char *desc = qmp_text(error, "desc");
		char why[VMM_ERROR_MAX];

		(void)snprintf(why, sizeof(why), "%s", desc ? desc : "it does not say why");
		found->done(found->data, NULL, -EREMOTEIO, why);
	} else if (found->done) {
		found->done(found->data, ret, 0, "");
	}
	call_free(found);
	return 0;
}

static int take_object(struct qmp *q, struct json_object *o, uint64_t now_ms)
{
	const char *event = qmp_text(o, "event");

	if (!q->greeted)
		return take_greeting(q, o, now_ms);
	if (event) {
		q->events->event(q->data, event, qmp_object(o, "data"));
		return 0;
	}
	return take_answer(q, o);
}

/* Of hundreds of guests nearly all are silent: nothing is kept between two lines. */
static int take_line(struct qmp *q, const char *line, size_t len, uint64_t now_ms)
{
	CLEANUP(tokener_free) struct json_tokener *tokener = NULL;
	CLEANUP(object_put) struct json_object *o = NULL;

	while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (!len)
		return 0;
	tokener = json_tokener_new_ex((int)QMP_DEPTH_MAX);
	if (!tokener)
		return over(q, FAULT(-ENOMEM), "no memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tokener, line, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != len)
		return over(q, -EPROTO, "a line is not JSON");
	if (!json_object_is_type(o, json_type_object))
		return over(q, -EPROTO, "a line is not an object");
	return take_object(q, o, now_ms);
}

/* Keeps what begins a line that has not ended. */
static int keep(struct qmp *q, const char *text, size_t len)
{
	char *grown;

	if (q->line_len + len >= QMP_LINE_MAX)
		return over(q, -EPROTO, "a line is too long");
	grown = realloc(q->line, q->line_len + len);
	if (!grown)
		return over(q, FAULT(-ENOMEM), "no memory");
	memcpy(grown + q->line_len, text, len);
	q->line = grown;
	q->line_len += len;
	return 0;
}

/* A line that ends here; it began here, too, or in what was kept. */
static int take_end(struct qmp *q, const char *text, size_t len, uint64_t now_ms)
{
	char *whole;
	int r;

	if (!q->line)
		return take_line(q, text, len, now_ms);
	r = len ? keep(q, text, len) : 0;
	if (r < 0)
		return r;
	whole = TAKE(q->line);
	len = q->line_len;
	q->line_len = 0;
	r = take_line(q, whole, len, now_ms);
	free(whole);
	return r;
}

static int receive(struct qmp *q, uint64_t now_ms)
{
	char text[QMP_READ_MAX], *at = text, *end;
	ssize_t n = recv(q->fd, text, sizeof(text), MSG_DONTWAIT);
	size_t left;
	int r = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : over(q, -errno, strerror(errno));
	if (!n)
		return over(q, -ECONNRESET, "it was closed");
	left = (size_t)n;
	while (r == 0 && q->fd >= 0 && left && (end = memchr(at, '\n', left))) {
		r = take_end(q, at, (size_t)(end - at), now_ms);
		left -= (size_t)(end - at) + 1;
		at = end + 1;
	}
	return r == 0 && left && q->fd >= 0 ? keep(q, at, left) : r;
}

/* ---- what it is told ---- */

/* Some of the call's line, with its descriptor at the first octet. 0: the socket took it. */
static int write_some(struct qmp *q, struct call *c)
{
	struct iovec iov = { c->text + c->sent, c->len - c->sent };
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (c->fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &c->fd, sizeof(int));
	}
	n = sendmsg(q->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR ? 0 : errno;
	if (c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	}
	c->sent += (size_t)n;
	return 0;
}

/* 0: all that may be written now is; EAGAIN: the socket takes no more; or another errno. */
static int transmit(struct qmp *q)
{
	struct call *c;

	while (q->fd >= 0 && (c = to_write(q))) {
		int r = write_some(q, c);

		if (r)
			return r;
		if (c->sent == c->len) {
			list_remove(&c->link);
			list_append(&q->waiting, &c->link);
		}
	}
	return 0;
}

void qmp_flush(struct qmp *q)
{
	(void)transmit(q);
}

int qmp_serve(struct qmp *q, uint64_t now_ms)
{
	int r;

	if (q->fd < 0)
		return -ENOTCONN;
	r = receive(q, now_ms);
	if (!r && q->fd >= 0) {
		r = transmit(q);
		r = r && r != EAGAIN ? over(q, -r, strerror(r)) : 0;
	}
	if (!r && qmp_deadline_ms(q) <= now_ms)
		r = over(q, -ETIMEDOUT, "it does not answer");
	return r;
}

/* ---- objects ---- */

struct json_object *qmp_args_new(void)
{
	return json_object_new_object();
}

static struct json_object *args_add(struct json_object *args, const char *key,
				    struct json_object *value)
{
	if (args && value && !json_object_object_add(args, key, value))
		return args;
	object_put(value);
	object_put(args);
	return NULL;
}

struct json_object *qmp_args_text(struct json_object *args, const char *key, const char *value)
{
	return args_add(args, key, json_object_new_string(value));
}

struct json_object *qmp_args_int(struct json_object *args, const char *key, int64_t value)
{
	return args_add(args, key, json_object_new_int64(value));
}

struct json_object *qmp_args_bool(struct json_object *args, const char *key, bool value)
{
	return args_add(args, key, json_object_new_boolean(value));
}

static struct json_object *member(struct json_object *obj, const char *key, json_type type)
{
	struct json_object *v = NULL;

	if (!obj || !json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &v) || !json_object_is_type(v, type))
		return NULL;
	return v;
}

const char *qmp_text(struct json_object *obj, const char *key)
{
	struct json_object *v = member(obj, key, json_type_string);

	return v ? json_object_get_string(v) : NULL;
}

uint64_t qmp_uint(struct json_object *obj, const char *key)
{
	struct json_object *v = member(obj, key, json_type_int);

	return v && json_object_get_int64(v) > 0 ? json_object_get_uint64(v) : 0;
}

bool qmp_bool(struct json_object *obj, const char *key)
{
	struct json_object *v = member(obj, key, json_type_boolean);

	return v && json_object_get_boolean(v);
}

struct json_object *qmp_object(struct json_object *obj, const char *key)
{
	return member(obj, key, json_type_object);
}
