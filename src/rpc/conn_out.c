/* SPDX-License-Identifier: MIT */
/*
 * What leaves a connection. Invariant: unsent is the sum of what is left of the queued frames, and
 * a frame, once begun, is written to its end before another one.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "rpc/conn_own.h"
#include "rpc/error.h"

#define WRITE_FRAMES 32 /* frames that one call of the system takes */

void rpc_conn_wake(struct rpc_conn *c)
{
	if (!c->depth && c->ops->wake)
		c->ops->wake(c->data, c);
}

int rpc_conn_queue(struct rpc_conn *c, uint8_t *data, size_t len)
{
	struct conn_out *o = malloc(sizeof(*o));

	if (!o) {
		free(data);
		rpc_conn_doom(c, "out of memory");
		return ENOMEM;
	}
	*o = (struct conn_out){ .data = data, .len = len };
	list_append(&c->out, &o->link);
	c->unsent += len;
	return 0;
}

static void out_free(struct conn_out *o)
{
	list_remove(&o->link);
	free(o->data);
	free(o);
}

void rpc_conn_queue_clear(struct rpc_conn *c)
{
	struct conn_out *o;

	list_for_each(o, &c->out, link)
		out_free(o);
	c->unsent = 0;
}

/* n octets of the queue's front are written. */
static void conn_wrote(struct rpc_conn *c, size_t n)
{
	struct conn_out *o;

	assert(n <= c->unsent);
	c->unsent -= n;
	list_for_each(o, &c->out, link) {
		size_t some = o->len - o->off < n ? o->len - o->off : n;

		o->off += some;
		n -= some;
		if (o->off < o->len)
			return;
		out_free(o);
	}
}

static ssize_t write_plain(struct rpc_conn *c)
{
	struct iovec iov[WRITE_FRAMES];
	struct msghdr msg = { .msg_iov = iov };
	struct conn_out *o;
	ssize_t n;

	list_for_each(o, &c->out, link) {
		if (msg.msg_iovlen == WRITE_FRAMES)
			break;
		iov[msg.msg_iovlen].iov_base = o->data + o->off;
		iov[msg.msg_iovlen++].iov_len = o->len - o->off;
	}
	do {
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		rpc_conn_doom(c, "cannot write: %s", strerror(errno));
	return n;
}

static ssize_t write_tls(struct rpc_conn *c)
{
	struct conn_out *o = list_first(&c->out, struct conn_out, link);
	char text[RPC_CONN_WHY_MAX] = "";
	ssize_t n = rpc_tls_write(c->tls, o->data + o->off, o->len - o->off, text, sizeof(text));

	if (n < 0 && errno != EAGAIN)
		rpc_conn_doom(c, "cannot write: %s", text);
	return n;
}

void rpc_conn_write(struct rpc_conn *c)
{
	while (!list_is_empty(&c->out) && !c->blocked) {
		ssize_t n = c->tls ? write_tls(c) : write_plain(c);

		if (n > 0) {
			conn_wrote(c, (size_t)n);
			continue;
		}
		if (n < 0 && errno != EAGAIN)
			return;
		c->blocked = true;
		c->stalled_ms = c->now_ms;
	}
}

size_t rpc_conn_unsent(const struct rpc_conn *c)
{
	return c->unsent;
}

static int conn_send_data(struct rpc_conn *c, uint8_t *data, size_t len)
{
	int r = rpc_conn_queue(c, data, len);

	rpc_conn_wake(c);
	return r;
}

static bool conn_is_over(const struct rpc_conn *c)
{
	return c->state == CONN_CLOSED || c->closing;
}

int rpc_conn_send(struct rpc_conn *c, const struct rpc_head *head, xdrproc_t fn, const void *obj)
{
	uint8_t *data;
	size_t len;
	int r;

	if (conn_is_over(c))
		return EPIPE;
	if (head->type == RPC_EVENT && c->unsent > RPC_CONN_EVENTS_MAX) {
		c->dropped++;
		return ENOBUFS;
	}
	r = rpc_code_frame(head, fn, obj, &data, &len);
	if (r == ENOMEM) {
		rpc_conn_doom(c, "out of memory");
		rpc_conn_wake(c);
	}
	if (r)
		return r;
	if (head->type == RPC_REPLY && c->calls)
		c->calls--;
	return conn_send_data(c, data, len);
}

int rpc_conn_fail(struct rpc_conn *c, const struct rpc_head *call, const struct rpc_error *err)
{
	struct rpc_head head = *call;
	uint8_t *data;
	size_t len;
	int r;

	if (conn_is_over(c))
		return EPIPE;
	/* What came of a stream is answered in it. */
	if (head.type != RPC_STREAM)
		head.type = RPC_REPLY;
	head.status = RPC_ERROR;
	r = rpc_code_error(&head, err, &data, &len);
	if (r) {
		rpc_conn_doom(c, "out of memory");
		rpc_conn_wake(c);
		return r;
	}
	if (head.type == RPC_REPLY && c->calls)
		c->calls--;
	return conn_send_data(c, data, len);
}

int rpc_conn_reply(struct rpc_conn *c, const struct rpc_head *call, xdrproc_t fn, const void *obj)
{
	struct rpc_head head = *call;
	struct rpc_error err;
	int r;

	head.type = RPC_REPLY;
	head.status = RPC_OK;
	r = rpc_conn_send(c, &head, fn, obj);
	if (r != EMSGSIZE)
		return r;
	rpc_error_set(&err, RPC_ERR_RPC, RPC_FROM_RPC,
		      "the answer to procedure %d passes a bound of the protocol", call->procedure);
	return rpc_conn_fail(c, call, &err);
}

int rpc_conn_call(struct rpc_conn *c, uint32_t program, uint32_t version, int32_t procedure,
		  xdrproc_t fn, const void *obj, uint32_t *ret_serial)
{
	struct rpc_head head = {
		.program = program,
		.version = version,
		.procedure = procedure,
		.type = RPC_CALL,
		.serial = c->serial + 1,
	};
	int r = rpc_conn_send(c, &head, fn, obj);

	if (r)
		return r;
	c->serial++;
	*ret_serial = head.serial;
	return 0;
}

int rpc_conn_event(struct rpc_conn *c, uint32_t program, uint32_t version, int32_t procedure,
		   xdrproc_t fn, const void *obj)
{
	const struct rpc_head head = {
		.program = program,
		.version = version,
		.procedure = procedure,
		.type = RPC_EVENT,
	};

	return rpc_conn_send(c, &head, fn, obj);
}
