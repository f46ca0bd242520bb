/* SPDX-License-Identifier: MIT */
/*
 * Connections. Invariant: nobody frees one but the reaper between two rounds.
 */
#include "conn/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/inner.h"
#include "conn/out.h"

int conn_table_init(struct conn_table *t, struct area *area)
{
	int r = 0;

	list_init(&t->all);
	list_init(&t->ready);
	list_init(&t->dirty);
	list_init(&t->closed);
	list_init(&t->stalled);
	t->area = area;
	if (!area)
		r = area_new(-1, "", &t->own_area);
	if (t->own_area)
		t->area = t->own_area;
	return r ? r : io_root_new(t);
}

void conn_queue_ready(struct conn *c)
{
	if (list_is_empty(&c->ready) && !c->closing)
		list_append(&c->table->ready, &c->ready);
}

static void conn_contender_wake(struct contender *contender)
{
	struct conn *c = CONTAINER_OF(contender, struct conn, contender);

	c->waiting = false;
	conn_queue_ready(c);
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

	if (c->closing || c->failed || !c->ops)
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

int conn_make(struct conn_table *t, uint32_t slot, uint64_t peer_id, struct budget *budget,
	      bool privileged, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return FAULT(-ENOMEM);
	c->table = t;
	c->slot = slot;
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

int conn_new(struct conn_table *t, const struct transport_ops *ops, void *transport,
	     struct budget *budget, bool privileged, uint64_t peer_id, struct conn **ret)
{
	struct conn *c = NULL;
	int r;

	r = conn_make(t, 0, peer_id, budget, privileged, &c);
	if (!r)
		r = io_slot_new(c);
	if (r) {
		conn_discard(c);
		ops->free(transport);
		return r;
	}
	c->ops = ops;
	c->transport = transport;
	*ret = c;
	return 0;
}

void conn_opened(struct conn *c)
{
	const struct conn_log_ops *log = c->table->log;

	if (log && log->opened)
		log->opened(c->table->log_data, c);
}

void conn_tell(struct conn *c)
{
	const struct conn_log_ops *log = c->table->log;

	if (log && log->changed)
		log->changed(c->table->log_data, c);
}

void conn_quiesce(struct conn *c, bool on)
{
	if (c->quiesced == on)
		return;
	c->quiesced = on;
	if (!on && c->out)
		c->out->n_ages = 0; /* what was held back has not been left unread */
	conn_tell(c);
	conn_wake(c);
}

void conn_wake(struct conn *c)
{
	conn_queue_ready(c);
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

void conn_reset(struct conn *c)
{
	conn_forget(c);
	in_drop(c);
	out_reset(c);
	list_remove(&c->dirty);
	c->blocked = false;
}

void conn_close(struct conn *c)
{
	if (c->closing)
		return;
	if (c->table->log && c->table->log->closed)
		c->table->log->closed(c->table->log_data, c);
	c->closing = true;
	list_remove(&c->ready);
	list_append(&c->table->closed, &c->ready);
}

/* What it leaves behind goes as one: its end is in the log when its slot is free. */
void conn_free(struct conn *c)
{
	struct conn_table *t = c->table;

	if (t->gone)
		t->gone(t->data, c);
	conn_reset(c);
	list_remove(&c->ready);
	list_remove(&c->all);
	conn_commit(t); /* where it cannot be, its slot is free all the same: gone is gone */
	list_remove(&c->dirty);
	io_slot_free(c);
	c->ops->free(c->transport);
	t->n--;
	free(c);
}

void conn_discard(struct conn *c)
{
	if (!c)
		return;
	if (c->table->gone)
		c->table->gone(c->table->data, c);
	conn_forget(c);
	list_remove(&c->all);
	c->table->n--;
	free(c);
}

/* Frees closed connections, those with many watches a slice at a time. True: more remain. */
bool conn_reap(struct conn_table *t)
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

	if (!t->all.next)
		return;
	t->log = NULL;
	while ((c = list_first(&t->all, struct conn, all))) {
		if (c->ops)
			conn_free(c);
		else
			conn_discard(c);
	}
	while (t->spare) {
		struct conn_out *o = t->spare;

		t->spare = o->next;
		out_free(t->area, o);
	}
	t->n_spare = 0;
	free(TAKE(t->words));
	free(TAKE(t->restored));
	area_free(TAKE(t->own_area));
	t->area = NULL;
}

void conn_fail(struct conn *c, enum conn_error err, const char *what)
{
	if (c->failed || c->closing)
		return;
	budget_refuse(c->watcher.budget, REFUSAL_PROTOCOL, &(struct refusal){ .op = what });
	c->failed = true;
	conn_tell(c);
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

static uint64_t age_span(const struct conn_table *t)
{
	return t->event_timeout_ms / OUT_AGE_PARTS + 1;
}

void conn_note_unread(struct conn *c)
{
	struct conn_table *t = c->table;

	if (!c->domain || c->watcher.budget->exempt || !t->event_timeout_ms)
		return;
	out_note_age(c, t->now_ms, age_span(t));
	if (!list_is_empty(&c->stalled))
		return;
	c->out->looked_ms = t->now_ms;
	list_append(&t->stalled, &c->stalled);
}

static void drop_stale(struct conn *c, uint64_t now_ms)
{
	struct conn_table *t = c->table;
	struct budget *b = c->watcher.budget;
	uint64_t old_ms = t->event_timeout_ms + age_span(t);
	bool may_drop = now_ms > old_ms && !c->quiesced;
	size_t n = may_drop ? out_drop_stale(c, now_ms - old_ms) : 0;

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
