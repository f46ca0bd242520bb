/* SPDX-License-Identifier: MIT */
/*
 * Connections and rounds. Invariant: a connection is on the ready list exactly while it may have
 * something to do, on the dirty list while it has output that nobody tried to send yet, and
 * nobody frees one but the reaper between two rounds.
 */
#include "conn/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/out.h"

int conn_table_init(struct conn_table *t, struct area *area)
{
	t->area = area;
	list_init(&t->all);
	list_init(&t->ready);
	list_init(&t->dirty);
	list_init(&t->closed);
	list_init(&t->stalled);
	t->scratch = malloc(CONN_INPUT_MAX + sizeof(struct xsd_sockmsg));
	return t->scratch ? 0 : FAULT(-ENOMEM);
}

static void queue_ready(struct conn *c)
{
	if (list_is_empty(&c->ready) && !c->closing)
		list_append(&c->table->ready, &c->ready);
}

static void conn_contender_wake(struct contender *contender)
{
	struct conn *c = CONTAINER_OF(contender, struct conn, contender);

	c->waiting = false;
	queue_ready(c);
}

static void conn_event(struct watcher *w, const struct watch *watch, const char *path, size_t len)
{
	struct conn *c = CONTAINER_OF(w, struct conn, watcher);
	const struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT,
					 .len = (uint32_t)(len + watch->token_len + 2u) };
	const struct refusal why = { .op = "WATCH_EVENT",
				     .path = path,
				     .path_len = len,
				     .limit = w->budget->limits.hard[QUOTA_MEMORY],
				     .use = w->budget->used[QUOTA_MEMORY] + hdr.len };
	char payload[XENSTORE_PAYLOAD_MAX];

	if (c->closing || c->failed)
		return;
	if (hdr.len <= XENSTORE_PAYLOAD_MAX && path[0] != '@' &&
	    out_has_event(c, path, len, watch->token, watch->token_len))
		return;
	if (hdr.len > XENSTORE_PAYLOAD_MAX || conn_queued(c).octets > CONN_OUTPUT_MAX ||
	    budget_check(w->budget, QUOTA_MEMORY, hdr.len + WIRE_HEADER_SIZE)) {
		budget_refuse(w->budget, REFUSAL_EVENT_DROPPED, &why);
		return;
	}
	memcpy(payload, path, len);
	payload[len] = '\0';
	memcpy(payload + len + 1, watch->token, watch->token_len + 1u);
	if (!out_append(c, &hdr, payload, hdr.len))
		budget_refuse(w->budget, REFUSAL_EVENT_DROPPED, &why);
	else if (c->table->trace)
		c->table->trace(c->table->trace_data, c, true,
				&(struct wire_msg){ .hdr = hdr, .payload = payload });
}

int conn_new(struct conn_table *t, const struct transport_ops *ops, void *transport,
	     struct budget *budget, bool privileged, uint64_t peer_id, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		ops->free(transport);
		return FAULT(-ENOMEM);
	}
	c->table = t;
	c->ops = ops;
	c->transport = transport;
	c->id = ++t->next_id;
	c->peer_id = peer_id;
	watcher_init(&c->watcher);
	c->watcher.event = conn_event;
	c->watcher.budget = budget;
	c->watcher.domid = budget->domid;
	c->watcher.target = PERM_NO_DOMID;
	c->watcher.privileged = privileged;
	contender_init(&c->contender, privileged);
	c->contender.wake = conn_contender_wake;
	txn_set_init(&c->txns);
	list_init(&c->ready);
	list_init(&c->dirty);
	list_init(&c->stalled);
	list_append(&t->all, &c->all);
	c->want_read = true;
	t->n++;
	*ret = c;
	return 0;
}

void conn_opened(struct conn *c)
{
	const struct conn_log_ops *log = c->table->log;

	if (log && log->opened)
		log->opened(c->table->log_data, c);
}

void conn_wake(struct conn *c)
{
	queue_ready(c);
}

void conn_forget(struct conn *c)
{
	struct txn *x;

	watch_remove_some(c->table->watches, &c->watcher, SIZE_MAX);
	while ((x = txn_first(&c->txns)))
		txn_free(c->table->store, &c->txns, x);
	c->n_txns = 0;
	contender_fini(c->table->holds, &c->contender);
	c->waiting = false;
}

static void in_free(struct conn *c)
{
	if (c->in_len)
		budget_sub(c->watcher.budget, QUOTA_MEMORY, c->in_len);
	free(TAKE(c->in));
	c->in_len = 0;
}

void conn_reset(struct conn *c)
{
	conn_forget(c);
	in_free(c);
	out_reset(c);
	list_remove(&c->dirty);
	c->blocked = false;
}

void conn_close(struct conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	list_remove(&c->ready);
	list_append(&c->table->closed, &c->ready);
}

static void conn_free(struct conn *c)
{
	struct conn_table *t = c->table;

	if (t->gone)
		t->gone(t->data, c);
	conn_reset(c);
	list_remove(&c->ready);
	list_remove(&c->all);
	c->ops->free(c->transport);
	t->n--;
	free(c);
}

/* Frees closed connections, those with many watches a slice at a time. True: more remain. */
static bool conn_reap(struct conn_table *t)
{
	size_t left = CONN_REAP_PER_ROUND, had;
	struct conn *c;

	while (left && (c = list_first(&t->closed, struct conn, ready))) {
		had = c->watcher.n;
		if (!watch_remove_some(t->watches, &c->watcher, left))
			return true;
		left -= had < left ? had : left;
		conn_free(c);
	}
	return !list_is_empty(&t->closed);
}

void conn_table_fini(struct conn_table *t)
{
	struct conn *c;

	if (!t->scratch)
		return;
	while ((c = list_first(&t->all, struct conn, all)))
		conn_free(c);
	while (t->spare) {
		struct conn_out *o = t->spare;

		t->spare = o->next;
		out_free(o);
	}
	t->n_spare = 0;
	free(TAKE(t->scratch));
}

void conn_fail(struct conn *c, enum conn_error err, const char *what)
{
	if (c->failed || c->closing)
		return;
	budget_refuse(c->watcher.budget, REFUSAL_PROTOCOL, &(struct refusal){ .op = what });
	c->failed = true;
	if (!c->ops->set_error) {
		conn_close(c);
		return;
	}
	conn_reset(c);
	c->ops->set_error(c->transport, err);
}

void conn_reply(struct conn *c, const struct xsd_sockmsg *req, uint32_t type, const void *data,
		size_t len)
{
	const struct xsd_sockmsg hdr = {
		.type = type, .req_id = req->req_id, .tx_id = req->tx_id, .len = (uint32_t)len
	};

	assert(len <= XENSTORE_PAYLOAD_MAX);
	if (c->closing || c->failed)
		return;
	if (c->table->trace)
		c->table->trace(c->table->trace_data, c, true,
				&(struct wire_msg){ .hdr = hdr, .payload = data });
	if (out_append(c, &hdr, data, len))
		return;
	/* A reply may be late, never missing: without memory for it the connection ends. */
	log_error("connection %llu: no memory for a reply", (unsigned long long)c->id);
	conn_fail(c, CONN_ERROR_COMM, "reply lost for want of memory");
}

void conn_reply_error(struct conn *c, const struct xsd_sockmsg *req, int err)
{
	const char *name = wire_errno_name(err);

	conn_reply(c, req, XS_ERROR, name, strlen(name) + 1);
}

/* Whether the peer must first read what it was sent. */
static bool output_is_full(struct conn *c)
{
	struct conn_queued q = conn_queued(c);
	uint64_t limit = c->watcher.budget->limits.hard[QUOTA_OUTSTANDING];

	if (q.octets > CONN_BACKLOG_MAX)
		return true;
	return c->domain && !c->watcher.budget->exempt && limit && q.replies >= limit;
}

static void set_want(struct conn *c)
{
	bool read = !c->blocked && !c->waiting && !c->failed, write = c->out;

	if (!c->ops->want || (read == c->want_read && write == c->want_write))
		return;
	c->want_read = read;
	c->want_write = write;
	c->ops->want(c->transport, read, write);
}

static uint64_t age_span(const struct conn_table *t)
{
	return t->event_timeout_ms / OUT_AGE_PARTS + 1;
}

static void note_unread(struct conn *c)
{
	struct conn_table *t = c->table;

	out_note_age(c, t->now_ms, age_span(t));
	if (!list_is_empty(&c->stalled))
		return;
	c->out->looked_ms = t->now_ms;
	list_append(&t->stalled, &c->stalled);
}

static bool flush(struct conn *c)
{
	int r = out_flush(c);

	if (r == -EBADMSG)
		conn_fail(c, CONN_ERROR_RINGIDX, "ring index out of range");
	else if (r)
		conn_close(c);
	if (r)
		return false;
	if (!c->out) {
		list_remove(&c->stalled);
	} else if (c->domain && !c->watcher.budget->exempt && c->table->event_timeout_ms) {
		note_unread(c);
	}
	return true;
}

static void keep_input(struct conn *c, const uint8_t *data, size_t len)
{
	uint8_t *p;

	if (!len) {
		if (c->in)
			in_free(c);
		return;
	}
	p = c->in_len >= len ? c->in : realloc(c->in, len);
	if (!p) {
		conn_fail(c, CONN_ERROR_COMM, "request lost for want of memory");
		return;
	}
	memmove(p, data, len);
	budget_add(c->watcher.budget, QUOTA_MEMORY, len);
	budget_sub(c->watcher.budget, QUOTA_MEMORY, c->in_len);
	c->in = p;
	c->in_len = (uint32_t)len;
}

/* All that requests made us pass so far: watches, places, siblings. */
static uint64_t steps_done(const struct conn_table *t)
{
	return t->watches->steps + t->store->steps;
}

/*
 * Handles requests of buf until the connection's share of the round is used up, one must wait, or
 * output is full. A request counts by its steps, too: who removes a node above a thousand places
 * that are watched has his turn sooner over.
 */
static size_t handle_some(struct conn *c, const uint8_t *buf, size_t len, bool *ret_more)
{
	struct conn_table *t = c->table;
	struct wire_msg m;
	uint64_t steps = steps_done(t), n = 0;
	size_t at = 0, size;
	int r = EAGAIN;

	for (; !c->closing && !c->failed; n++) {
		r = wire_parse(buf + at, len - at, &m, &size);
		if (r ||
		    n + (steps_done(t) - steps) / CONN_STEPS_PER_REQUEST >= CONN_REQUESTS_PER_ROUND)
			break;
		if (output_is_full(c)) {
			c->blocked = true;
			break;
		}
		if (t->trace && !c->contender.wait_until_ms)
			t->trace(t->trace_data, c, false, &m);
		t->serving = c;
		if (!t->handle(t->data, c, &m)) {
			c->waiting = true;
			break;
		}
		t->serving = NULL;
		at += size;
	}
	t->serving = NULL;
	if (r == EMSGSIZE)
		conn_fail(c, CONN_ERROR_PROTO, "message over 4096 octets");
	*ret_more = !r;
	return at;
}

static void note_stall(struct conn *c)
{
	struct budget *b = c->watcher.budget;
	struct conn_queued q = conn_queued(c);

	budget_refuse(b, REFUSAL_STALL,
		      &(struct refusal){ .op = "requests wait until replies are read",
					 .limit = b->limits.hard[QUOTA_OUTSTANDING],
					 .use = q.replies });
}

/*
 * Begins anew where the peer asks for it. Looked at before anything else: a peer that asks may
 * have left its indices, full queues and half requests in any state.
 */
static bool restart(struct conn *c)
{
	if (!c->ops->restart ||
	    c->ops->recv(c->transport, &c->table->recv_cell, c->table->scratch, 0) != -ERESTART)
		return false;
	conn_reset(c);
	c->failed = false;
	c->ops->restart(c->transport);
	return true;
}

/* A turn of one connection. True: it has more to do. */
static bool serve(struct conn *c)
{
	struct conn_table *t = c->table;
	struct wire_msg m;
	size_t size, len = c->in_len, done;
	ssize_t n = 0;
	bool more, unread, was_blocked = c->blocked;

	if (restart(c))
		return true;
	if (c->failed || (c->out && !flush(c)))
		return false;
	/* whole requests are handled first; what was not read meanwhile nobody tells of again */
	unread = wire_parse(c->in, len, &m, &size) != EAGAIN;
	if (!unread)
		n = c->ops->recv(c->transport, &t->recv_cell, t->scratch + len,
				 CONN_INPUT_MAX - len);
	if (n == -ERESTART)
		return true;
	if (n == -EBADMSG)
		conn_fail(c, CONN_ERROR_RINGIDX, "ring index out of range");
	else if (n < 0)
		conn_close(c);
	if (n < 0)
		return false;
	c->blocked = false;
	if (len)
		memcpy(t->scratch, c->in, len);
	len += (size_t)n;
	if (!len)
		return false;
	done = handle_some(c, t->scratch, len, &more);
	if (c->closing || c->failed)
		return false;
	keep_input(c, t->scratch + done, len - done);
	if (c->blocked && !was_blocked) {
		/* many requests at once are no stall where their replies can leave at once */
		if (!flush(c))
			return false;
		c->blocked = output_is_full(c);
		if (c->blocked)
			note_stall(c);
	}
	if (c->blocked || c->waiting)
		return false;
	return more || unread || (c->ops->has_more && c->ops->has_more(c->transport));
}

static void end_turn(struct conn *c)
{
	if (c->closing)
		return;
	set_want(c);
	if (c->ops->kick)
		c->ops->kick(c->transport);
}

bool conn_round(struct conn_table *t, uint64_t now_ms)
{
	struct list todo;
	struct conn *c;
	size_t n = 0;

	t->now_ms = now_ms;
	/* those ready now, once each: who becomes ready meanwhile has its turn in the next round */
	list_init(&todo);
	while ((c = list_first(&t->ready, struct conn, ready))) {
		list_remove(&c->ready);
		list_append(&todo, &c->ready);
		n++;
	}
	while ((c = list_first(&todo, struct conn, ready))) {
		list_remove(&c->ready);
		if (c->waiting && !c->failed) {
			if (c->out && flush(c))
				end_turn(c);
			continue;
		}
		if (serve(c))
			queue_ready(c);
		if (list_is_empty(&c->dirty))
			end_turn(c);
	}
	while ((c = list_first(&t->dirty, struct conn, dirty))) {
		list_remove(&c->dirty);
		if (c->closing)
			continue;
		if (flush(c) && c->blocked && !output_is_full(c))
			queue_ready(c);
		end_turn(c);
	}
	return conn_reap(t) || !list_is_empty(&t->ready);
}

static void drop_stale(struct conn *c, uint64_t now_ms)
{
	struct conn_table *t = c->table;
	struct budget *b = c->watcher.budget;
	uint64_t old_ms = t->event_timeout_ms + age_span(t);
	size_t n = now_ms > old_ms ? out_drop_stale(c, now_ms - old_ms) : 0;

	while (n--)
		budget_refuse(b, REFUSAL_EVENT_DROPPED,
			      &(struct refusal){ .op = "WATCH_EVENT left unread" });
	if (!c->out)
		return;
	c->out->looked_ms = now_ms;
	list_remove(&c->stalled);
	list_append(&t->stalled, &c->stalled);
}

uint64_t conn_tick(struct conn_table *t, uint64_t now_ms)
{
	struct conn *c;

	while ((c = list_first(&t->stalled, struct conn, stalled))) {
		uint64_t due = c->out->looked_ms + age_span(t);

		if (now_ms < due)
			return due;
		drop_stale(c, now_ms);
	}
	return UINT64_MAX;
}
