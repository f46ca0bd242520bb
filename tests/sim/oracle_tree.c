/* SPDX-License-Identifier: MIT */
/*
 * The daemon's tree and budgets against the model's. Invariant: nothing is changed here.
 */
#include <stdio.h>
#include <string.h>

#include "oracle.h"
#include "oracle_msg.h"

/* A walk through the daemon's tree. */
struct walk {
	struct oracle *o;
	char path[MODEL_PATH];
	size_t n;
	unsigned int bad;
};

static void compare_node(struct walk *w, const struct node *n, size_t len)
{
	const struct mnode *m = mtree_find(&w->o->m.live, w->path, len);
	struct mperms perms = { .entry = n->perms->entry, .n = n->perms->n };
	const char *what = NULL;

	w->n++;
	if (!m)
		what = "should not exist";
	else if (m->value_len != n->value_len || memcmp(m->value, node_value(n), n->value_len))
		what = "has another value";
	else if (!mperms_equal(&m->perms, &perms))
		what = "has another list";
	if (what && !w->bad++)
		world_fail(w->o->w, "%.*s %s", (int)len, w->path, what);
}

static void compare_below(struct walk *w, const struct node *up, size_t len)
{
	struct node_iter it;
	const struct node *n;

	compare_node(w, up, len ? len : 1);
	node_iter_init(&it, up->kids);
	while ((n = node_iter_next(&it))) {
		w->path[len] = '/';
		memcpy(w->path + len + 1, n->data, n->name_len);
		compare_below(w, n, len + 1 + n->name_len);
	}
}

static void compare_tree(struct oracle *o)
{
	struct walk w = { .o = o, .path = "/" };

	compare_below(&w, o->w->core->store.live.root, 0);
	if (w.n == o->m.live.n || w.bad)
		return;
	for (size_t i = 0; i < o->m.live.n; i++) {
		const struct mnode *n = o->m.live.node[i];

		if (store_find_node(o->w->core->store.live.root, n->path, n->path_len))
			continue;
		world_fail(o->w, "%s is missing", n->path);
		return;
	}
}

static void compare_domain(struct oracle *o, uint16_t domid)
{
	const struct domain *d = domain_find(&o->w->core->domains, domid);
	uint64_t watches = 0, txns = 0;
	int64_t nodes, octets;

	if (o->m.dom[domid].known != !!d) {
		world_fail(o->w, "domain %u is %sknown", domid, d ? "" : "not ");
		return;
	}
	if (!d)
		return;
	if (d->introduced != o->m.dom[domid].introduced)
		world_fail(o->w, "domain %u is %sintroduced", domid, d->introduced ? "" : "not ");
	for (const struct mconn *c = o->m.conns; c; c = c->next) {
		if (c->domid != domid)
			continue;
		for (const struct mwatch *x = c->watch; x; x = x->next)
			watches++;
		for (const struct mtxn *t = c->txn; t; t = t->next)
			txns++;
	}
	mtree_owned(&o->m.live, domid, &nodes, &octets);
	if (d->budget.used[QUOTA_NODES] != (uint64_t)nodes)
		world_fail(o->w, "domain %u: %lu nodes charged, it owns %ld", domid,
			   (unsigned long)d->budget.used[QUOTA_NODES], (long)nodes);
	if (d->budget.used[QUOTA_WATCHES] != watches)
		world_fail(o->w, "domain %u: %lu watches charged, it has %lu", domid,
			   (unsigned long)d->budget.used[QUOTA_WATCHES], (unsigned long)watches);
	if (d->budget.used[QUOTA_TRANSACTIONS] != txns)
		world_fail(o->w, "domain %u: %lu transactions charged, it has %lu", domid,
			   (unsigned long)d->budget.used[QUOTA_TRANSACTIONS], (unsigned long)txns);
	if (d->budget.used[QUOTA_MEMORY] < (uint64_t)octets)
		world_fail(o->w, "domain %u: %lu octets charged, its nodes are %ld", domid,
			   (unsigned long)d->budget.used[QUOTA_MEMORY], (long)octets);
}

void oracle_compare(struct oracle *o)
{
	if (!o)
		return;
	store_settle(&o->w->core->store);
	compare_tree(o);
	for (uint16_t d = 0; d < MODEL_DOMIDS; d++)
		compare_domain(o, d);
}
