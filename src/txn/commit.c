/* SPDX-License-Identifier: MIT */
/*
 * Commit. The changes are applied to a tree of their own that shares all else with the live one,
 * which becomes the live one in a single assignment: until then nothing is changed, after it
 * nothing can fail. Invariant: budgets, live tree and events move together or not at all.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "txn/access.h"

/* A commit under way. */
struct commit {
	const struct txn_ground *g;
	struct txn *t;
	struct tree work;      /* the live tree with the changes */
	struct txn_sum sum;    /* what they charge, removals not counted */
	struct txn_sum credit; /* what removed nodes give back; only to decide */
	struct node **gone;    /* owned: array of owned references */
	size_t n_gone;
	struct edge *edges;	  /* owned */
	struct store_finger mine; /* in the transaction's tree */
};

/* An ownership edge to be told of after the commit. */
struct edge {
	struct edge *next;
	uint16_t domid;
	size_t len;
	char path[];
};

static void commit_charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct commit *c = data;

	txn_sum_add(&c->sum, domid, nodes, octets);
}

static void commit_edge(void *data, uint16_t domid, const char *path, size_t len)
{
	struct commit *c = data;
	struct edge *e = malloc(sizeof(*e) + len);

	if (!e) {
		c->sum.failed = true;
		return;
	}
	e->domid = domid;
	e->len = len;
	memcpy(e->path, path, len);
	e->next = c->edges;
	c->edges = e;
}

/* Told of as it is prepared: who writes it down can take it back where the commit is refused. */
static void commit_changed(void *data, const char *path, size_t len, const struct node *n)
{
	const struct commit *c = data;
	const struct tree *live = &c->g->store->live;

	if (live->ops && live->ops->changed)
		live->ops->changed(live->data, path, len, n);
}

static const struct tree_ops commit_ops = { .charge = commit_charge,
					    .edge = commit_edge,
					    .changed = commit_changed };

static void commit_fini(struct commit *c)
{
	struct store *s = c->g->store;

	store_discard(s, c->work.root, false);
	for (size_t i = 0; i < c->n_gone; i++)
		store_discard(s, c->gone[i], false);
	free(c->gone);
	txn_sum_fini(&c->sum);
	txn_sum_fini(&c->credit);
	while (c->edges) {
		struct edge *next = c->edges->next;

		free(c->edges);
		c->edges = next;
	}
}

static bool same_children(struct store *s, const struct node *a, const struct node *b)
{
	const struct node *x, *y;
	struct node_iter i, j;

	if (a->kids == b->kids || a->gen == b->gen)
		return true;
	node_iter_init(&i, a->kids);
	node_iter_init(&j, b->kids);
	do {
		x = node_iter_next(&i);
		y = node_iter_next(&j);
		s->steps++;
		if (!x != !y)
			return false;
		if (x && (x->name_len != y->name_len || memcmp(x->data, y->data, x->name_len)))
			return false;
	} while (x);
	return true;
}

/* Whether what was seen at path is still so. */
static bool still_so(struct store *s, const struct txn_access *a, const struct node *then,
		     const struct node *now)
{
	if (then == now)
		return true;
	if (!then || !now)
		return false;
	if (a->saw & TXN_SAW_VALUE && (then->value_len != now->value_len ||
				       memcmp(node_value(then), node_value(now), now->value_len)))
		return false;
	if (a->saw & TXN_SAW_PERMS && !perms_equal(then->perms, now->perms))
		return false;
	return !(a->saw & TXN_SAW_CHILDREN) || same_children(s, then, now);
}

static int check(struct store *s, struct txn *t, struct txn_conflict *ret)
{
	const struct node *live = s->live.root;
	struct store_finger then, now;
	struct txn_access *a;

	if (!t->doomed && t->base == live)
		return 0;
	store_finger_init(&then, t->base);
	store_finger_init(&now, live);
	list_for_each(a, &t->order, link) {
		if (!t->doomed &&
		    (!a->saw || still_so(s, a, store_finger_find(&then, a->path, a->len, NULL),
					 store_finger_find(&now, a->path, a->len, NULL))))
			continue;
		ret->path = a->path;
		ret->len = a->len;
		return EAGAIN;
	}
	return t->doomed ? EAGAIN : 0;
}

int txn_check(struct store *s, struct txn *t)
{
	struct txn_conflict lost;

	return check(s, t, &lost);
}

static int apply_remove(struct commit *c, const struct txn_access *a)
{
	struct node **p;
	int r;

	if (!store_find_node(c->work.root, a->path, a->len))
		return 0;
	p = realloc(c->gone, (c->n_gone + 1) * sizeof(struct node *));
	if (!p)
		return FAULT(-ENOMEM);
	c->gone = p;
	r = tree_remove(c->g->store, &c->work, a->path, a->len, &c->gone[c->n_gone]);
	if (!r)
		c->n_gone++;
	return r;
}

/* A node that the commit makes. */
struct making {
	struct perms *perms; /* borrowed */
	const char *value;
	size_t value_len;
};

/*
 * The node at a prefix of a path, missing now, below one with the list up. Made by the
 * transaction: as it made it. Else it was removed meanwhile by somebody who does not conflict: as
 * a WRITE now would make it.
 */
static struct making making_of(struct commit *c, const char *path, size_t len, struct perms *up)
{
	const struct txn_access *a = txn_access_find(c->t, path, len);
	const struct node *mine = store_finger_find(&c->mine, path, len, NULL);
	struct making m = { .perms = up, .value = "" };

	if (mine && a && a->wrote & (TXN_CREATED | TXN_WROTE_PERMS))
		m.perms = mine->perms;
	if (mine && a && a->wrote & TXN_WROTE_VALUE) {
		m.value = node_value(mine);
		m.value_len = mine->value_len;
	}
	return m;
}

/* Makes all that is missing of a path, a chain of empty nodes with one list at once. */
static int apply_create(struct commit *c, const char *path, size_t len)
{
	struct making now, next = { 0 };
	struct store_pos pos;
	size_t at, end, name_len;
	const char *name;
	bool more;
	int r;

	store_find(c->work.root, path, len, &pos);
	assert(!pos.node);
	at = pos.ancestor_len == 1 ? 0 : pos.ancestor_len;
	path_next(path, len, &at, &name, &name_len);
	now = making_of(c, path, at, pos.ancestor->perms);
	for (;; at = end, now = next) {
		end = at;
		more = path_next(path, len, &end, &name, &name_len);
		if (more) {
			next = making_of(c, path, end, now.perms);
			if (!now.value_len && next.perms == now.perms)
				continue;
		}
		r = tree_create(c->g->store, &c->work, path, at, now.perms, now.value,
				now.value_len);
		if (r || !more)
			return r;
	}
}

static int apply_write(struct commit *c, const struct txn_access *a)
{
	const struct node *mine = store_finger_find(&c->mine, a->path, a->len, NULL), *now;
	struct store *s = c->g->store;
	int r;

	if (!mine)
		return 0; /* removed after it was written */
	now = store_find_node(c->work.root, a->path, a->len);
	if (!now)
		return apply_create(c, a->path, a->len);
	if (a->wrote & TXN_WROTE_VALUE &&
	    (now->value_len != mine->value_len ||
	     memcmp(node_value(now), node_value(mine), mine->value_len))) {
		r = tree_set_value(s, &c->work, a->path, a->len, node_value(mine), mine->value_len);
		if (r || !(a->wrote & TXN_WROTE_PERMS))
			return r;
		now = store_find_node(c->work.root, a->path, a->len);
	}
	if (a->wrote & TXN_WROTE_PERMS && now->perms != mine->perms)
		return tree_set_perms(s, &c->work, a->path, a->len, mine->perms);
	return 0;
}

/* The writes of what was made as somebody's parent, or of all else. */
static int apply_writes(struct commit *c, bool implied)
{
	struct txn_access *a;
	int r;

	list_for_each(a, &c->t->order, link) {
		if (!(a->wrote & ~TXN_REMOVED) || !(a->wrote & TXN_IMPLIED) == implied)
			continue;
		r = apply_write(c, a);
		if (r)
			return r;
	}
	return 0;
}

static int commit_apply(struct commit *c)
{
	struct txn_access *a;
	int r;

	store_finger_init(&c->mine, c->t->tree.root);
	list_for_each(a, &c->t->order, link) {
		if (!(a->wrote & TXN_REMOVED))
			continue;
		r = apply_remove(c, a);
		if (r)
			return r;
	}
	/* parents last: most are there by then, made in one go with what is below them */
	r = apply_writes(c, false);
	if (!r)
		r = apply_writes(c, true);
	if (r)
		return r;
	return c->sum.failed ? FAULT(-ENOMEM) : 0;
}

static void credit_node(void *data, const struct node *n)
{
	txn_sum_add(data, perms_owner(n->perms), 1, (int64_t)node_charge(n));
}

/* Counts what the removed nodes give back: only when a quota would be passed without it. */
static void credit_all(struct commit *c)
{
	bool whole;

	if (c->credit.n)
		return;
	for (size_t i = 0; i < c->n_gone; i++)
		store_walk(c->gone[i], SIZE_MAX, &whole, credit_node, &c->credit);
}

static int reserve_one(struct commit *c, const struct txn_delta *d, enum quota_id q, int64_t more)
{
	struct budget *b = ledger_find(c->g->ledger, d->domid);

	if (more <= 0)
		return 0;
	if (!b || ledger_died_since(c->g->ledger, d->domid, c->t->deaths_at_start))
		return EAGAIN; /* who was to own it is gone */
	/* what the control domain makes for a guest it answers for, as outside of transactions */
	if (c->t->budget->exempt || !budget_check(b, q, (uint64_t)more))
		return 0;
	store_settle(c->g->store);
	credit_all(c);
	for (size_t i = 0; i < c->credit.n; i++)
		if (c->credit.delta[i].domid == d->domid)
			more -= q == QUOTA_NODES ? c->credit.delta[i].nodes
						 : c->credit.delta[i].octets;
	if (more <= 0 || !budget_check(b, q, (uint64_t)more))
		return 0;
	budget_refuse(b, q,
		      &(struct refusal){ .op = "TRANSACTION_END",
					 .limit = b->limits.hard[q],
					 .use = b->used[q] + (uint64_t)more });
	return ENOSPC;
}

static int commit_reserve(struct commit *c)
{
	int r = 0;

	for (size_t i = 0; i < c->sum.n && !r; i++) {
		r = reserve_one(c, &c->sum.delta[i], QUOTA_NODES, c->sum.delta[i].nodes);
		if (!r)
			r = reserve_one(c, &c->sum.delta[i], QUOTA_MEMORY, c->sum.delta[i].octets);
	}
	return r;
}

static void publish_one(struct commit *c, struct store_finger *then, struct store_finger *now,
			const struct txn_access *a)
{
	const struct node *old_parent, *new_parent;
	struct change ch = {
		.path = a->path,
		.len = a->len,
		.old_node = store_finger_find(then, a->path, a->len, &old_parent),
		.new_node = store_finger_find(now, a->path, a->len, &new_parent),
	};

	if (!ch.old_node && !ch.new_node)
		return;
	ch.removed = a->wrote & TXN_REMOVED && ch.old_node;
	/* made on the way to another node; one that was removed before is told of, as in C */
	if (a->wrote & TXN_IMPLIED && !(a->wrote & TXN_REMOVED))
		return;
	ch.old_parent = old_parent ? old_parent->perms : NULL;
	ch.new_parent = new_parent ? new_parent->perms : NULL;
	watch_fire(c->g->watches, &ch);
}

/* Tells of each change once, in the order in which the nodes were touched first. */
static void publish(struct commit *c, const struct node *old)
{
	struct store_finger then, now;
	struct txn_access *a;

	if (!watch_may_fire(c->g->watches))
		return;
	store_finger_init(&then, old);
	store_finger_init(&now, c->g->store->live.root);
	list_for_each(a, &c->t->order, link)
		if (a->wrote)
			publish_one(c, &then, &now, a);
}

/* The new tree is live; what it no longer has is given back between rounds. */
static void commit_publish(struct commit *c)
{
	struct store *s = c->g->store;
	struct node *old = s->live.root;
	const struct tree_ops *ops = s->live.ops;

	s->live.root = TAKE(c->work.root);
	for (size_t i = 0; i < c->sum.n; i++)
		ops->charge(s->live.data, c->sum.delta[i].domid, c->sum.delta[i].nodes,
			    c->sum.delta[i].octets);
	for (const struct edge *e = c->edges; e; e = e->next)
		if (ops->edge)
			ops->edge(s->live.data, e->domid, e->path, e->len);
	for (size_t i = 0; i < c->n_gone; i++)
		store_discard(s, c->gone[i], true);
	c->n_gone = 0;
	publish(c, old);
	store_discard(s, old, false);
}

static bool held_back(const struct txn_ground *g, struct txn *t, struct contender *who)
{
	struct txn_access *a;

	if (!g->holds->n_active)
		return false;
	list_for_each(a, &t->order, link)
		if (a->wrote && !hold_may_change(g->holds, who, HOLD_COMMIT, a->path, a->len,
						 a->wrote & TXN_REMOVED, g->now_ms))
			return true;
	return false;
}

int txn_commit(const struct txn_ground *g, struct txn *t, struct contender *who,
	       struct txn_conflict *ret_conflict)
{
	struct commit c = { .g = g, .t = t };
	int r;

	*ret_conflict = (struct txn_conflict){ 0 };
	if (t->refused)
		return EAGAIN;
	if (!t->wrote && !t->doomed)
		return 0;
	r = check(g->store, t, ret_conflict);
	if (r)
		return r;
	if (held_back(g, t, who))
		return EBUSY;
	c.work.root = node_take(g->store->live.root);
	c.work.ops = &commit_ops;
	c.work.data = &c;
	r = commit_apply(&c);
	if (!r)
		r = commit_reserve(&c);
	if (!r)
		commit_publish(&c);
	commit_fini(&c);
	return r;
}
