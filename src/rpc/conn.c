/* SPDX-License-Identifier: MIT */
/*
 * A connection's life, and what arrives on it. Invariant: ops->closed is called once, as the last
 * of its callbacks, and no frame is handed out before ops->ready or after rpc_conn_close.
 */
#include "rpc/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "rpc/conn_own.h"
#include "rpc/error.h"

#define READ_SIZE (64u << 10) /* octets asked for at once */
#define ROUND_READS 16u	      /* of those, until others have their turn */
#define ROUND_FRAMES 64u      /* frames handed out, likewise */
#define KEEPALIVE_PING 1
#define KEEPALIVE_PONG 2

void rpc_conn_doom(struct rpc_conn *c, const char *fmt, ...)
{
	va_list ap;

	if (c->closing || c->state == CONN_CLOSED)
		return;
	c->closing = true;
	va_start(ap, fmt);
	if (vsnprintf(c->why, sizeof(c->why), fmt, ap) < 0)
		c->why[0] = '\0';
	va_end(ap);
}

static void conn_close_fd(struct rpc_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void conn_destroy(struct rpc_conn *c)
{
	conn_close_fd(c);
	rpc_tls_free(c->tls);
	rpc_conn_queue_clear(c);
	rpc_parser_fini(&c->in);
	free(c);
}

/* Ends what is to be ended: the owner hears of it while the descriptor is still open. */
static void conn_end(struct rpc_conn *c)
{
	if (!c->closing || c->state == CONN_CLOSED)
		return;
	if (c->tls && c->state == CONN_READY)
		rpc_tls_bye(c->tls);
	c->state = CONN_CLOSED;
	rpc_conn_queue_clear(c);
	c->ops->closed(c->data, c, c->why);
	conn_close_fd(c);
}

static void conn_enter(struct rpc_conn *c, uint64_t now_ms)
{
	c->depth++;
	c->now_ms = now_ms;
}

static void conn_leave(struct rpc_conn *c)
{
	/* What is still to be written goes with rpc_conn_flush. */
	if (c->depth == 1 && !c->freed && !c->drain)
		conn_end(c);
	if (!--c->depth && c->freed)
		conn_destroy(c);
}

int rpc_conn_new(int fd, const struct rpc_conn_options *o, const struct rpc_conn_ops *ops,
		 void *data, uint64_t now_ms, struct rpc_conn **ret)
{
	struct rpc_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return FAULT(-ENOMEM);
	}
	c->fd = fd;
	c->o = *o;
	c->ops = ops;
	c->data = data;
	c->now_ms = now_ms;
	list_init(&c->out);
	rpc_parser_init(&c->in);
	if (!c->o.calls_max)
		c->o.calls_max = RPC_CONN_CALLS_DEFAULT;
	if (!c->o.stall_ms)
		c->o.stall_ms = RPC_CONN_STALL_MS;
	if (!c->o.handshake_ms)
		c->o.handshake_ms = RPC_CONN_HANDSHAKE_MS;
	c->handshake_by_ms = now_ms + c->o.handshake_ms;
	c->state = o->connecting ? CONN_CONNECTING : o->tls ? CONN_HANDSHAKE : CONN_READY;
	if (o->tls) {
		c->tls = rpc_tls_new(o->tls, fd, o->peer_name, o->no_verify);
		if (!c->tls) {
			conn_destroy(c);
			return FAULT(-EIO);
		}
	}
	c->o.peer_name = NULL;
	*ret = c;
	return 0;
}

void rpc_conn_free(struct rpc_conn *c)
{
	if (!c)
		return;
	c->freed = true;
	c->state = CONN_CLOSED;
	if (!c->depth)
		conn_destroy(c);
}

/* A call waits because enough are under way, or nothing at all is taken from one who reads not. */
static bool conn_is_held(const struct rpc_conn *c)
{
	struct rpc_frame f;
	char text[8];

	if (c->o.server && c->unsent > RPC_CONN_REPLIES_MAX)
		return true;
	return c->calls >= c->o.calls_max && !rpc_parser_next(&c->in, &f, text, sizeof(text)) &&
	       f.head.type == RPC_CALL;
}

/* Whether there is something that poll does not tell of. */
static bool conn_has_more(const struct rpc_conn *c)
{
	struct rpc_frame f;
	char text[8];

	if (c->state != CONN_READY || c->closing)
		return false;
	if (!c->told_ready)
		return true;
	if (conn_is_held(c))
		return false;
	return rpc_parser_next(&c->in, &f, text, sizeof(text)) != EAGAIN ||
	       (c->tls && rpc_tls_has_more(c->tls));
}

static void conn_send_keepalive(struct rpc_conn *c, int32_t procedure)
{
	const struct rpc_head head = {
		.program = RPC_KEEPALIVE_PROGRAM,
		.version = RPC_KEEPALIVE_VERSION,
		.procedure = procedure,
		.type = RPC_EVENT,
	};

	/* A question that does not fit any more is as good as unanswered. */
	(void)rpc_conn_send(c, &head, NULL, NULL);
}

static void conn_take_keepalive(struct rpc_conn *c, const struct rpc_frame *f)
{
	if (f->head.version != RPC_KEEPALIVE_VERSION || f->head.type != RPC_EVENT || f->body_len ||
	    (f->head.procedure != KEEPALIVE_PING && f->head.procedure != KEEPALIVE_PONG))
		rpc_conn_doom(c,
			      "a keepalive frame of version %u, procedure %d, type %u, %zu octets",
			      f->head.version, f->head.procedure, f->head.type, f->body_len);
	else if (f->head.procedure == KEEPALIVE_PING)
		conn_send_keepalive(c, KEEPALIVE_PONG);
}

static void conn_take(struct rpc_conn *c, const struct rpc_frame *f)
{
	struct rpc_error err;

	c->ka_asked = 0;
	c->ka_next_ms = c->now_ms + c->ka_interval_ms;
	if (f->head.program == RPC_KEEPALIVE_PROGRAM) {
		conn_take_keepalive(c, f);
		return;
	}
	switch (f->head.type) {
	case RPC_CALL_FDS:
	case RPC_REPLY_FDS:
		/* What follows the frame cannot be told from the next one. */
		rpc_conn_doom(c, "procedure %d comes with descriptors, which are not accepted",
			      f->head.procedure);
		return;
	case RPC_STREAM:
	case RPC_STREAM_HOLE:
		rpc_error_set(&err, RPC_ERR_NO_SUPPORT, RPC_FROM_RPC,
			      "procedure %d has no stream here", f->head.procedure);
		(void)rpc_conn_fail(c,
				    &(struct rpc_head){ .program = f->head.program,
							.version = f->head.version,
							.procedure = f->head.procedure,
							.type = RPC_STREAM,
							.serial = f->head.serial },
				    &err);
		return;
	case RPC_CALL:
		c->calls++;
		break;
	default:
		break;
	}
	c->ops->frame(c->data, c, f);
}

/* Hands out what is there. True: it may go on reading. */
static bool conn_deliver(struct rpc_conn *c, unsigned int *left)
{
	char text[RPC_CONN_WHY_MAX];
	struct rpc_frame f;
	int r;

	for (;;) {
		if (c->freed || c->closing || conn_is_held(c))
			return false;
		r = rpc_parser_next(&c->in, &f, text, sizeof(text));
		if (r == EAGAIN)
			return true;
		if (r) {
			rpc_conn_doom(c, "%s", text);
			return false;
		}
		if (!*left)
			return false;
		--*left;
		conn_take(c, &f);
		rpc_parser_drop(&c->in, &f);
	}
}

/* Octets, 0 at the end, -1 with errno EAGAIN or, having failed, another. */
static ssize_t conn_recv(struct rpc_conn *c, uint8_t *buf, size_t len)
{
	char text[RPC_CONN_WHY_MAX] = "";
	ssize_t n;

	if (c->tls) {
		n = rpc_tls_read(c->tls, buf, len, text, sizeof(text));
	} else {
		do {
			n = recv(c->fd, buf, len, MSG_DONTWAIT);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			snprintf(text, sizeof(text), "%s", strerror(errno));
	}
	if (n < 0 && errno != EAGAIN)
		rpc_conn_doom(c, "cannot read: %s", text);
	return n;
}

static void conn_read(struct rpc_conn *c)
{
	unsigned int left = ROUND_FRAMES;

	for (unsigned int i = 0; conn_deliver(c, &left) && i < ROUND_READS; i++) {
		uint8_t *at = rpc_parser_room(&c->in, READ_SIZE);
		ssize_t n;

		if (!at) {
			rpc_conn_doom(c, "out of memory");
			return;
		}
		n = conn_recv(c, at, READ_SIZE);
		if (n < 0)
			return;
		if (!n) {
			if (rpc_parser_held(&c->in))
				rpc_conn_doom(c, "closed by the other end within a frame");
			else
				rpc_conn_doom(c, "%s", "");
			return;
		}
		rpc_parser_added(&c->in, (size_t)n);
	}
}

static void conn_connected(struct rpc_conn *c)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err)
		rpc_conn_doom(c, "cannot connect: %s", strerror(err));
	else
		c->state = c->tls ? CONN_HANDSHAKE : CONN_READY;
}

static void conn_handshake(struct rpc_conn *c)
{
	char text[RPC_CONN_WHY_MAX];
	int r = rpc_tls_handshake(c->tls, text, sizeof(text));

	if (!r)
		c->state = CONN_READY;
	else if (r != EAGAIN)
		rpc_conn_doom(c, "%s", text);
}

/* Everything that has to do with the other end's octets, as far as it goes now. */
static void conn_advance(struct rpc_conn *c, short revents)
{
	if (c->state == CONN_CONNECTING && revents & (POLLOUT | POLLERR | POLLHUP))
		conn_connected(c);
	if (c->state == CONN_HANDSHAKE && !c->closing)
		conn_handshake(c);
	if (c->state != CONN_READY || c->closing)
		return;
	if (!c->told_ready) {
		c->told_ready = true;
		if (c->ops->ready)
			c->ops->ready(c->data, c);
	}
	if (c->freed || c->closing)
		return;
	if (revents & (POLLHUP | POLLERR | POLLRDHUP) && conn_is_held(c))
		rpc_conn_doom(c, "%s", "");
	else if (revents & (POLLIN | POLLHUP | POLLERR | POLLRDHUP) || conn_has_more(c))
		conn_read(c);
}

void rpc_conn_io(struct rpc_conn *c, short revents, uint64_t now_ms)
{
	conn_enter(c, now_ms);
	if (revents & (POLLOUT | POLLERR | POLLHUP))
		c->blocked = false;
	if (c->state != CONN_CLOSED && !c->closing)
		conn_advance(c, revents);
	conn_leave(c);
}

static void conn_ask_keepalive(struct rpc_conn *c)
{
	if (!c->ka_interval_ms || c->state != CONN_READY || c->now_ms < c->ka_next_ms)
		return;
	c->ka_next_ms = c->now_ms + c->ka_interval_ms;
	/* Its answer would not be seen now. */
	if (conn_is_held(c))
		return;
	if (c->ka_asked >= c->ka_count) {
		rpc_conn_doom(c, "no answer to %u keepalives, one each %u ms", c->ka_count,
			      c->ka_interval_ms);
		return;
	}
	c->ka_asked++;
	conn_send_keepalive(c, KEEPALIVE_PING);
}

static void conn_check_stall(struct rpc_conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	if (!c->blocked || list_is_empty(&c->out) || c->now_ms < c->stalled_ms + c->o.stall_ms)
		return;
	/* Perhaps it was us who did not run for so long. */
	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT)
		c->blocked = false;
	else
		rpc_conn_doom(c, "the other end has read nothing for %u ms", c->o.stall_ms);
}

void rpc_conn_tick(struct rpc_conn *c, uint64_t now_ms)
{
	conn_enter(c, now_ms);
	if (c->state != CONN_CLOSED && !c->closing) {
		if (c->state < CONN_READY && now_ms >= c->handshake_by_ms)
			rpc_conn_doom(c, "%s took longer than %u ms",
				      c->state == CONN_CONNECTING ? "connecting"
								  : "agreeing on TLS",
				      c->o.handshake_ms);
		conn_check_stall(c);
		conn_ask_keepalive(c);
		if (!c->closing && conn_has_more(c))
			conn_advance(c, 0);
	}
	conn_leave(c);
}

void rpc_conn_flush(struct rpc_conn *c, uint64_t now_ms)
{
	conn_enter(c, now_ms);
	if (c->state == CONN_READY && (!c->closing || c->drain))
		rpc_conn_write(c);
	c->drain = false;
	conn_leave(c);
}

void rpc_conn_close(struct rpc_conn *c, bool drain, const char *why)
{
	if (c->closing || c->state == CONN_CLOSED)
		return;
	rpc_conn_doom(c, "%s", why);
	c->drain = drain;
	rpc_conn_wake(c);
}

short rpc_conn_events(const struct rpc_conn *c)
{
	short events;

	if (c->state == CONN_CLOSED || c->closing)
		return 0;
	if (c->state == CONN_CONNECTING)
		return POLLOUT;
	if (c->state == CONN_HANDSHAKE)
		return rpc_tls_events(c->tls);
	events = conn_is_held(c) ? POLLRDHUP : POLLIN;
	if (c->blocked && !list_is_empty(&c->out))
		events |= POLLOUT;
	return events;
}

uint64_t rpc_conn_deadline_ms(const struct rpc_conn *c)
{
	uint64_t by = UINT64_MAX;

	if (c->state == CONN_CLOSED)
		return UINT64_MAX;
	if (c->closing || conn_has_more(c))
		return 0;
	if (c->state != CONN_READY)
		return c->handshake_by_ms;
	if (c->ka_interval_ms)
		by = c->ka_next_ms;
	if (c->blocked && !list_is_empty(&c->out) && c->stalled_ms + c->o.stall_ms < by)
		by = c->stalled_ms + c->o.stall_ms;
	return by;
}

void rpc_conn_keepalive(struct rpc_conn *c, uint32_t interval_ms, uint32_t count)
{
	c->ka_interval_ms = interval_ms;
	c->ka_count = count;
	c->ka_asked = 0;
	c->ka_next_ms = c->now_ms + interval_ms;
	rpc_conn_wake(c);
}

int rpc_conn_fd(const struct rpc_conn *c)
{
	return c->fd;
}

uint64_t rpc_conn_id(const struct rpc_conn *c)
{
	return c->o.id;
}

bool rpc_conn_is_ready(const struct rpc_conn *c)
{
	return c->state == CONN_READY && !c->closing;
}

bool rpc_conn_is_local(const struct rpc_conn *c)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	return c->fd >= 0 && !getsockname(c->fd, (struct sockaddr *)&a, &len) &&
	       a.ss_family == AF_UNIX;
}

bool rpc_conn_is_secure(const struct rpc_conn *c)
{
	return c->tls || rpc_conn_is_local(c);
}

int rpc_conn_peer_user(const struct rpc_conn *c, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid)
{
	struct ucred u;
	socklen_t len = sizeof(u);

	if (!rpc_conn_is_local(c) || getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &u, &len) < 0)
		return ENOTSUP;
	*ret_pid = u.pid;
	*ret_uid = u.uid;
	*ret_gid = u.gid;
	return 0;
}

const char *rpc_conn_fingerprint(const struct rpc_conn *c)
{
	return c->tls ? rpc_tls_fingerprint(c->tls) : "";
}

const char *rpc_conn_peer_dn(const struct rpc_conn *c)
{
	return c->tls ? rpc_tls_dn(c->tls) : "";
}

uint32_t rpc_conn_calls(const struct rpc_conn *c)
{
	return c->calls;
}

uint64_t rpc_conn_dropped(const struct rpc_conn *c)
{
	return c->dropped;
}
