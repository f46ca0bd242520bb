/* SPDX-License-Identifier: MIT */
/*
 * From upcalls to records. Invariant: a failure is latched; who commits the log looks at it.
 */
#include "state/log.h"

#include "base/own.h"

static void latch(struct state_log *l, int r)
{
	if (r && !l->error)
		l->error = r;
}

static void log_domain(void *data, const struct domain *d)
{
	struct state_log *l = data;

	latch(l, rec_put_domain_state(&l->sink, d));
}

static void log_domain_gone(void *data, uint16_t domid)
{
	struct state_log *l = data;

	latch(l, rec_put_domain_gone(&l->sink, domid));
}

static void log_death(void *data, uint16_t domid, uint64_t deaths)
{
	struct state_log *l = data;

	latch(l, rec_put_death(&l->sink, domid, deaths));
}

static void log_strip(void *data, uint16_t domid)
{
	struct state_log *l = data;

	latch(l, rec_put_strip(&l->sink, domid));
}

static void log_special(void *data, const char *name, const struct perms *perms)
{
	struct state_log *l = data;

	latch(l, rec_put_special(&l->sink, name, perms));
}

static void log_node(void *data, const char *path, size_t len, const struct node *n)
{
	struct state_log *l = data;

	latch(l, rec_put_node(&l->sink, 0, 0, path, len, n));
}

/* What a connection had that is closed went with it. */
static bool is_closed(const struct watcher *w)
{
	return CONTAINER_OF(w, struct conn, watcher)->closing;
}

static void log_watch(void *data, const struct watch *w, bool removed)
{
	struct state_log *l = data;

	if (removed && l->checkpoint)
		state_checkpoint_watch_gone(l->checkpoint, w);
	if (is_closed(w->owner))
		return;
	latch(l, rec_put_watch(&l->sink, w, removed, false));
}

static void log_conn(void *data, const struct conn *c)
{
	struct state_log *l = data;

	latch(l, rec_put_conn_state(&l->sink, c));
}

static void log_conn_closed(void *data, const struct conn *c)
{
	struct state_log *l = data;

	if (l->checkpoint)
		state_checkpoint_conn_gone(l->checkpoint, c);
	latch(l, rec_put_conn_gone(&l->sink, rec_conn_id(c)));
}

static void log_txn(void *data, const struct txn *t)
{
	struct state_log *l = data;

	latch(l, rec_put_txn_state(&l->sink, t, 0));
}

static void log_txn_touched(void *data, const struct txn *t, const char *path, size_t len,
			    unsigned int saw, unsigned int wrote)
{
	struct state_log *l = data;

	latch(l, rec_put_txn_touched(&l->sink, t, path, len, saw, wrote));
}

static void log_txn_edited(void *data, const struct txn *t, const char *path, size_t len,
			   const struct node *n)
{
	struct state_log *l = data;

	latch(l, rec_put_node(&l->sink, rec_conn_id(t->owner), t->id, path, len, n));
}

static void log_txn_charged(void *data, const struct txn *t, uint64_t octets)
{
	struct state_log *l = data;

	latch(l, rec_put_txn_charge(&l->sink, t, octets));
}

static void log_txn_ended(void *data, const struct txn *t)
{
	struct state_log *l = data;

	if (!is_closed(&((const struct conn *)t->owner)->watcher))
		latch(l, rec_put_txn_end(&l->sink, t));
}

static void log_policy(void *data)
{
	struct state_log *l = data;

	latch(l, rec_put_policy(&l->sink, l->core->opt.policy));
}

static uint64_t log_mark(void *data)
{
	struct state_log *l = data;

	return l->mark(l->sink.data);
}

static void log_rewind(void *data, uint64_t mark)
{
	struct state_log *l = data;

	l->rewind(l->sink.data, mark);
}

void state_log_attach(struct state_log *l, struct core *core)
{
	static const struct core_log_ops ops = {
		.domain = { .domain = log_domain,
			    .domain_gone = log_domain_gone,
			    .death = log_death,
			    .strip = log_strip,
			    .special = log_special },
		.node = log_node,
		.watch = log_watch,
		.conn = log_conn,
		.conn_closed = log_conn_closed,
		.txn = log_txn,
		.txn_touched = log_txn_touched,
		.txn_edited = log_txn_edited,
		.txn_charged = log_txn_charged,
		.txn_ended = log_txn_ended,
		.policy = log_policy,
		.mark = log_mark,
		.rewind = log_rewind,
	};

	l->core = core;
	l->error = 0;
	core_set_log(core, &ops, l);
}
