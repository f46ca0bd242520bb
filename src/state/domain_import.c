/* SPDX-License-Identifier: MIT */
/*
 * A domain from its image. All that can fail is done first, the commit of its nodes last, and what
 * follows can only make a transaction end in EAGAIN:
 *
 *   watches, transactions (each as if lost already), unread input and output
 *   nodes, built apart and committed at once
 *   transactions go on from there, where all that they touched came along
 *
 * Invariant: until the commit the domain can be put back by conn_reset, and the log by its mark.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "conn/ring.h"
#include "domain/domain.h"
#include "state/domain_plan.h"
#include "state/rec.h"

/* --- the connection ---------------------------------------------------------------------- */

static int add_watch(struct domain_plan *p, const struct drover_watch *rec)
{
	const char *str = rec->path.data;
	struct conn *c = p->conn;
	struct path path;
	int r = 0;

	if (str[0] == '@') {
		memcpy(path.str, str, rec->path.len);
		path.str[rec->path.len] = '\0';
		path.len = rec->path.len;
	} else {
		r = path_make(&path, c->prefix, str, rec->path.len);
	}
	if (!r)
		r = watch_add(&p->core->watches, &c->watcher, path.str, path.len, rec->token.data,
			      rec->token.len,
			      rec->depth == DROVER_DEPTH_ANY ? WATCH_DEPTH_ANY : rec->depth,
			      str[0] != '/' && str[0] != '@', NULL);
	return r == EEXIST ? 0 : r; /* once relative and once absolute */
}

static int start_txn(struct domain_plan *p, uint32_t id)
{
	struct txn *t;
	int r;

	r = core_start_txn(p->core, p->conn, id, &t);
	if (r)
		return r;
	if (p->conn->next_tx < id)
		p->conn->next_tx = id;
	txn_doom(&p->core->store, &p->core->ages, t);
	return 0;
}

static int load(struct domain_plan *p, const struct drover_connection *rec)
{
	const struct conn_freight freight = {
		.in = rec->input.data,
		.in_len = rec->input.len,
		.out = rec->output.data,
		.out_len = rec->output.len,
		.out_partial = rec->resp_len,
	};
	int r = conn_load(p->conn, &freight);

	if (r == EINVAL)
		snprintf(p->why, CORE_WHY_MAX, "unsent output that is no messages");
	return r;
}

static int furnish(struct domain_plan *p, const struct drover_record *rec, void *data)
{
	(void)data;
	switch (rec->type) {
	case DROVER_RECORD_CONNECTION:
		return load(p, &rec->connection);
	case DROVER_RECORD_CONN_STATE:
		if (p->conn->next_tx < rec->conn_state.next_tx)
			p->conn->next_tx = rec->conn_state.next_tx;
		return 0;
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return add_watch(p, &rec->watch);
	case DROVER_RECORD_TXN:
		return start_txn(p, rec->txn.tx_id);
	default:
		return 0;
	}
}

/* --- nodes ------------------------------------------------------------------------------- */

/* The parents of a subtree that are missing here, like those of a WRITE. */
static int add_parents(struct domain_plan *p, struct txn *t, const char *path,
		       const struct store_pos *pos, size_t len)
{
	size_t at = pos->ancestor_len == 1 ? 0 : pos->ancestor_len, name_len;
	const char *name;
	int r = 0;

	while (!r && path_next(path, len, &at, &name, &name_len))
		r = txn_note(t, path, at, 0, TXN_CREATED | TXN_IMPLIED);
	if (r)
		return r;
	return tree_create(&p->core->store, &t->tree, path, len, pos->ancestor->perms, NULL, 0);
}

static int add_node(struct domain_plan *p, const struct drover_record *rec, void *data)
{
	const struct drover_node *n = &rec->node;
	struct store *s = &p->core->store;
	struct txn *t = data;
	struct store_pos pos;
	struct perms *perms;
	struct path path;
	int r;

	if (rec->type != DROVER_RECORD_NODE || n->conn_id)
		return 0;
	r = path_make(&path, NULL, n->path.data, n->path.len);
	if (r)
		return r;
	store_find(t->tree.root, path.str, path.len, &pos);
	if (pos.missing > 1)
		r = add_parents(p, t, path.str, &pos, path_parent_len(path.str, path.len));
	if (!r)
		r = txn_note(t, path.str, path.len, 0, TXN_CREATED | TXN_WROTE_VALUE);
	if (!r)
		r = domain_plan_perms(p, &n->perms, &perms);
	if (r)
		return r;
	r = tree_create(s, &t->tree, path.str, path.len, perms, n->value.data, n->value.len);
	perms_release(p->core->perms, perms);
	return r;
}

static void silence(struct watcher *w, const struct watch *watch, const char *path, size_t len)
{
	(void)w;
	(void)watch;
	(void)path;
	(void)len;
}

/* Nobody's hold keeps a domain from arriving. */
static int commit(struct domain_plan *p, struct txn *t)
{
	struct core *core = p->core;
	struct hold_table holds = { 0 };
	struct contender nobody;
	const struct txn_ground ground = {
		.store = &core->store,
		.watches = &core->watches,
		.ledger = &core->domains.ledger,
		.holds = &holds,
		.now_ms = core->now_ms,
	};
	struct txn_conflict lost;
	void (*event)(struct watcher * w, const struct watch *watch, const char *path, size_t len);
	int r;

	hold_table_init(&holds);
	contender_init(&nobody, true);
	if (!p->conn)
		return txn_commit(&ground, t, &nobody, &lost);
	event = p->conn->watcher.event;
	p->conn->watcher.event = silence;
	r = txn_commit(&ground, t, &nobody, &lost);
	p->conn->watcher.event = event;
	return r;
}

/* In a transaction of domain 0 that nobody else knows of, so that it is all or nothing. */
static int make_nodes(struct domain_plan *p)
{
	struct core *core = p->core;
	struct budget *b = &domain_find(&core->domains, 0)->budget;
	uint64_t retained = core->store.heap.retained;
	struct txn_set set;
	struct txn *t;
	int r;

	txn_set_init(&set);
	r = txn_new(&core->store, &set, &core->ages, b, 1, core->domains.ledger.deaths, &t);
	if (r)
		return r;
	r = domain_plan_each(p, add_node, t);
	/* what it copied is nobody's age: see op_edited */
	core->store.heap.retained = retained;
	if (!r)
		r = commit(p, t);
	txn_free(&core->store, &set, t);
	return r;
}

/* --- transactions go on ------------------------------------------------------------------ */

/* As if it began now: what it saw elsewhere is what came along. */
static void revive(struct domain_plan *p, struct txn *t)
{
	struct core *core = p->core;
	struct store *s = &core->store;

	store_discard(s, TAKE(t->tree.root), false);
	t->base = node_take(s->live.root);
	t->tree.root = node_take(s->live.root);
	t->doomed = false;
	if (core->log)
		core->log->txn(core->log_data, t);
}

/* Those that cannot go on see what came along all the same. */
static void refresh_all(struct domain_plan *p)
{
	struct txn *t;

	for (t = txn_first(&p->conn->txns); t; t = txn_next(t)) {
		revive(p, t);
		txn_doom(&p->core->store, &p->core->ages, t);
	}
}

static int edit(struct domain_plan *p, struct txn *t, const struct drover_node *n)
{
	struct store *s = &p->core->store;
	struct perms *perms;
	struct store_pos pos;
	struct node *gone;
	struct path path;
	int r;

	if (path_make(&path, NULL, n->path.data, n->path.len))
		return EINVAL;
	store_find(t->tree.root, path.str, path.len, &pos);
	if (!n->perms.n) {
		if (!pos.node)
			return 0;
		r = tree_remove(s, &t->tree, path.str, path.len, &gone);
		if (!r)
			txn_removed(s, t, gone);
		return r;
	}
	if (!pos.node && pos.missing > 1)
		return ENOENT;
	r = domain_plan_perms(p, &n->perms, &perms);
	if (r)
		return r;
	if (!pos.node)
		r = tree_create(s, &t->tree, path.str, path.len, perms, n->value.data,
				n->value.len);
	else
		r = tree_set_value(s, &t->tree, path.str, path.len, n->value.data, n->value.len);
	if (!r && pos.node)
		r = tree_set_perms(s, &t->tree, path.str, path.len, perms);
	perms_release(p->core->perms, perms);
	return r;
}

/* One record of a transaction; what cannot be done again makes it end in EAGAIN. */
static int go_on(struct domain_plan *p, const struct drover_record *rec, void *data)
{
	const struct drover_txn_access *a = &rec->txn_access;
	uint64_t retained = p->core->store.heap.retained;
	struct txn *t;
	uint32_t id;
	int r = 0;

	(void)data;
	if (rec->type == DROVER_RECORD_TXN_STATE)
		id = rec->txn_state.tx_id;
	else if (rec->type == DROVER_RECORD_TXN_ACCESS)
		id = a->tx_id;
	else if (rec->type == DROVER_RECORD_NODE && rec->node.conn_id)
		id = rec->node.tx_id;
	else
		return 0;
	t = txn_find(&p->conn->txns, id);
	if (rec->type == DROVER_RECORD_TXN_STATE && !(rec->txn_state.flags & DROVER_TXN_DOOMED)) {
		if (t->doomed && !t->n_accesses)
			revive(p, t);
		txn_charge(t, rec->txn_state.charge);
	} else if (t->doomed) {
		return 0;
	} else if (rec->type == DROVER_RECORD_TXN_ACCESS) {
		r = domain_plan_has(p, a->path.data, a->path.len) ? 0 : EAGAIN;
		if (!r)
			r = txn_note(t, a->path.data, a->path.len, a->saw, a->wrote);
	} else if (rec->type == DROVER_RECORD_NODE) {
		r = edit(p, t, &rec->node);
	}
	p->core->store.heap.retained = retained;
	if (r)
		txn_doom(&p->core->store, &p->core->ages, t);
	return 0;
}

/* --- the domain -------------------------------------------------------------------------- */

/* It and every owner is known; those that exist only. */
static int know(struct domain_plan *p, const struct drover_record *rec, void *data)
{
	struct domain *owner;

	(void)data;
	if (rec->type != DROVER_RECORD_NODE || !rec->node.perms.n)
		return 0;
	return domain_get(&p->core->domains, drover_perm_at(&rec->node.perms, 0).domid, &owner);
}

static void set_features(struct domain_plan *p, uint32_t features)
{
	struct ring_transport *ring = p->conn ? p->conn->transport : NULL;

	p->d->features = features;
	if (!ring)
		return;
	ring->features = features;
	ring_transport_offer(ring);
}

static int set_state(struct domain_plan *p, const struct drover_record *rec, void *data)
{
	const struct drover_domain_state *s = &rec->domain_state;
	struct budget *b = &p->d->budget;
	struct drover_limit limit;

	(void)data;
	if (rec->type != DROVER_RECORD_DOMAIN_STATE)
		return 0;
	for (uint32_t q = 0; q < s->limits.n && q < QUOTA_COUNT; q++) {
		limit = drover_limit_at(&s->limits, q);
		if (!limit.own)
			continue;
		b->own_limit[q] = true;
		b->limits.hard[q] = limit.hard;
		b->limits.soft[q] = limit.soft;
	}
	set_features(p, s->features & RING_FEATURES);
	domain_changed(&p->core->domains, p->d);
	return 0;
}

/* What was watched of the other host is another thing here. */
static void fire_elsewhere(struct domain_plan *p)
{
	struct watcher *own = &p->conn->watcher;
	char path[XENSTORE_ABS_PATH_MAX + 1];
	const struct watch *w;

	for (w = watch_first(own); w; w = watch_next(w)) {
		size_t len = watch_path(w, path), skip = w->relative ? own->rel_len : 0;

		if (path[0] == '@' || !domain_plan_has(p, path, len))
			own->event(own, w, path + skip, len - skip);
	}
}

static int apply(struct domain_plan *p)
{
	struct core *core = p->core;
	uint32_t next_tx = p->conn ? p->conn->next_tx : 0;
	uint64_t mark = core->log ? core->log->mark(core->log_data) : 0;
	int r = p->conn ? domain_plan_each(p, furnish, NULL) : 0;

	if (!r)
		r = make_nodes(p);
	if (!r)
		return 0;
	if (p->conn) {
		conn_reset(p->conn);
		p->conn->next_tx = next_tx;
	}
	if (core->log)
		core->log->rewind(core->log_data, mark);
	return r;
}

int domain_image_import(struct core *core, uint16_t domid, const uint8_t *image, size_t len,
			char *why)
{
	struct domain_plan p = {
		.core = core, .domid = domid, .image = image, .len = len, .why = why
	};
	int r;

	r = domain_plan_check(&p);
	if (!r)
		r = domain_get(&core->domains, domid, &p.d);
	if (!r)
		r = domain_plan_each(&p, know, NULL);
	if (!r)
		r = apply(&p);
	if (!r)
		r = domain_plan_each(&p, set_state, NULL);
	if (!r && p.conn) {
		refresh_all(&p);
		domain_plan_each(&p, go_on, NULL);
		fire_elsewhere(&p);
		if (core->log)
			core->log->conn(core->log_data, p.conn);
	}
	domain_plan_fini(&p);
	return r;
}
