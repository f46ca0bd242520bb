/* SPDX-License-Identifier: MIT */
/*
 * Callers: a connection each, polled by the loop, written to at the end of a round alone.
 * Invariant: a caller that has something to send, or whose descriptor is to be polled for something
 * else, is on the list of those to look at when the round ends.
 */
#include "hostd/front.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "hostd/call.h"
#include "hostd/event.h"
#include "hostd/front_own.h"
#include "hostd/settings.h"
#include "rpc/conn.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"
#include "rpc/peer.h"

static void look_at(struct caller *c)
{
	if (list_is_empty(&c->dirty))
		list_append(&c->host->front->dirty, &c->dirty);
}

/* ---- what a connection tells ---- */

static void refuse_frame(struct caller *c, const struct rpc_head *head, int code, const char *why)
{
	struct rpc_error err;

	if (head->type != RPC_CALL && head->type != RPC_CALL_FDS) {
		caller_close(c, why);
		return;
	}
	rpc_error_set(&err, code, RPC_FROM_RPC, "%s", why);
	rpc_conn_fail(c->conn, head, &err);
}

static void on_frame(void *data, struct rpc_conn *conn, const struct rpc_frame *f)
{
	struct caller *c = data;
	char why[96];

	(void)conn;
	look_at(c);
	if (f->head.program == RPC_PROGRAM || f->head.program == PEER_PROGRAM) {
		call_frame(c->host, c, f);
	} else {
		snprintf(why, sizeof(why), "unknown program 0x%x, version %u",
			 (unsigned int)f->head.program, (unsigned int)f->head.version);
		refuse_frame(c, &f->head, RPC_ERR_RPC, why);
	}
}

static void poll_closed(uv_handle_t *handle)
{
	struct caller *c = handle->data;

	free(c->uri);
	free(c);
}

/* Its calls and subscriptions end; what it began is told to migrations. */
static void forget(struct caller *c)
{
	struct host *h = c->host;

	if (c->gone)
		return;
	c->gone = true;
	uv_poll_stop(&c->poll);
	call_forget(c);
	event_forget(h, c);
	list_remove(&c->link);
	h->front->n_callers--;
	if (h->hooks->caller_closed && !h->stopping)
		h->hooks->caller_closed(h, c->id);
	look_at(c);
}

static void on_closed(void *data, struct rpc_conn *conn, const char *why)
{
	struct caller *c = data;

	(void)conn;
	if (*why && c->host->set->verbose)
		log_info("connection %llu: closed: %s", (unsigned long long)c->id, why);
	forget(c);
}

static void on_wake(void *data, struct rpc_conn *conn)
{
	(void)conn;
	look_at(data);
}

static const struct rpc_conn_ops conn_ops = {
	.frame = on_frame,
	.closed = on_closed,
	.wake = on_wake,
};

/* ---- the loop ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct caller *c = poll->data;
	short revents = 0;

	if (c->gone)
		return;
	if (status)
		revents = POLLERR;
	if (events & UV_READABLE)
		revents |= POLLIN;
	if (events & UV_WRITABLE)
		revents |= POLLOUT;
	if (events & UV_DISCONNECT)
		revents |= POLLRDHUP;
	look_at(c);
	rpc_conn_io(c->conn, revents, hostd_now_ms(c->host));
}

static void on_tick(uv_timer_t *timer)
{
	struct front *f = timer->data;
	uint64_t now = hostd_now_ms(f->host);
	struct caller *c;

	list_for_each(c, &f->callers, link) {
		if (rpc_conn_deadline_ms(c->conn) > now)
			continue;
		look_at(c);
		rpc_conn_tick(c->conn, now);
	}
}

void front_caller_new(struct front *f, const struct listener *l, int fd)
{
	struct host *h = f->host;
	struct rpc_conn_options o = {
		.server = true,
		.tls = l->tls ? f->tls : NULL,
		.calls_max = h->set->max_calls,
	};
	struct caller *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->host = h;
	c->id = o.id = ++h->last_id;
	c->read_only = l->read_only;
	c->plain_tcp = !l->tls && !l->local;
	list_init(&c->dirty);
	list_init(&c->calls);
	list_init(&c->subscriptions);
	c->poll.data = c;
	if (rpc_conn_new(fd, &o, &conn_ops, c, hostd_now_ms(h), &c->conn)) {
		free(c);
		return;
	}
	if (uv_poll_init(h->loop, &c->poll, rpc_conn_fd(c->conn))) {
		log_error("a connection cannot be polled");
		rpc_conn_free(c->conn);
		free(c);
		return;
	}
	list_append(&f->callers, &c->link);
	f->n_callers++;
	look_at(c);
}

/* What is to be waited for now. */
static void poll_again(struct caller *c)
{
	short want = rpc_conn_events(c->conn);
	int events = (want & POLLIN ? UV_READABLE : 0) | (want & POLLOUT ? UV_WRITABLE : 0) |
		     (want & POLLRDHUP ? UV_DISCONNECT : 0);

	if (events == c->polled)
		return;
	c->polled = events;
	if (!events)
		uv_poll_stop(&c->poll);
	else if (uv_poll_start(&c->poll, events, on_poll))
		rpc_conn_close(c->conn, false, "it cannot be polled");
}

static void bury(struct caller *c)
{
	rpc_conn_free(c->conn);
	c->conn = NULL;
	uv_close((uv_handle_t *)&c->poll, poll_closed);
}

void front_flush(struct host *h)
{
	uint64_t now = hostd_now_ms(h);
	struct front *f = h->front;
	struct caller *c;

	if (!f)
		return;
	/* Flushing may end a connection, which puts it on the list again, at its end. */
	while ((c = list_first(&f->dirty, struct caller, dirty))) {
		list_remove(&c->dirty);
		if (!c->gone)
			rpc_conn_flush(c->conn, now);
		if (!c->gone && !rpc_conn_deadline_ms(c->conn)) {
			/* Frames that were held back; what they ask for is of the next round. */
			rpc_conn_tick(c->conn, now);
			hostd_wake(h);
		}
		if (!c->gone) {
			poll_again(c);
			continue;
		}
		list_remove(&c->dirty);
		bury(c);
	}
	if (f->n_callers && !uv_is_active((uv_handle_t *)&f->tick))
		uv_timer_start(&f->tick, on_tick, FRONT_TICK_MS, FRONT_TICK_MS);
	else if (!f->n_callers)
		uv_timer_stop(&f->tick);
}

void front_callers_close(struct front *f)
{
	struct caller *c;

	list_for_each(c, &f->callers, link)
		forget(c);
	while ((c = list_first(&f->dirty, struct caller, dirty))) {
		list_remove(&c->dirty);
		bury(c);
	}
}

/* ---- questions ---- */

struct caller *caller_find(const struct host *h, uint64_t id)
{
	struct caller *c;

	if (!h->front)
		return NULL;
	list_for_each(c, &h->front->callers, link)
		if (c->id == id)
			return c;
	return NULL;
}

uint64_t caller_id(const struct caller *c)
{
	return c->id;
}

struct host *caller_host(const struct caller *c)
{
	return c->host;
}

struct rpc_conn *caller_conn(const struct caller *c)
{
	return c->gone ? NULL : c->conn;
}

bool caller_is_read_only(const struct caller *c)
{
	return c->read_only;
}

bool caller_is_open(const struct caller *c)
{
	return c->open;
}

int caller_set_open(struct caller *c, bool open, const char *uri)
{
	char *copy = strdup(uri);

	if (!copy)
		return FAULT(-ENOMEM);
	free(c->uri);
	c->uri = copy;
	c->open = open;
	return 0;
}

void caller_set_read_only(struct caller *c)
{
	c->read_only = true;
}

const char *caller_uri(const struct caller *c)
{
	return c->uri ? c->uri : "";
}

bool caller_is_peer(const struct caller *c)
{
	uid_t uid;
	gid_t gid;
	pid_t pid;

	if (c->gone || c->read_only)
		return false;
	if (!rpc_conn_is_local(c->conn))
		return !c->plain_tcp || c->host->set->allow_plain_tcp;
	return !rpc_conn_peer_user(c->conn, &pid, &uid, &gid) && (!uid || uid == geteuid());
}

const char *caller_fingerprint(const struct caller *c)
{
	return c->gone ? "" : rpc_conn_fingerprint(c->conn);
}

int caller_send(struct caller *c, const struct rpc_head *head, xdrproc_t fn, const void *obj)
{
	if (c->gone)
		return EPIPE;
	look_at(c);
	return rpc_conn_send(c->conn, head, fn, obj);
}

void caller_close(struct caller *c, const char *why)
{
	if (c->gone)
		return;
	look_at(c);
	rpc_conn_close(c->conn, true, why);
}

struct list *caller_calls(struct caller *c)
{
	return &c->calls;
}

struct list *caller_subscriptions(struct caller *c)
{
	return &c->subscriptions;
}
