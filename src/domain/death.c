/* SPDX-License-Identifier: MIT */
/*
 * Finding and removing what a dead domain owned, at a cost that follows what it owned and not
 * the size of the store: each place where ownership passes to it is remembered. Invariant: a
 * node that a domain owns has, on its way up through nodes of the same owner, an edge that is
 * remembered, or one above it under which to search; where memory ran out, edges_lost says so.
 */
#include "domain/death.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"

#define EDGES_MIN 16u

int domain_remove_tree(struct store *s, struct watch_index *ix, const char *path, size_t len)
{
	const struct node *parent = store_find_node(s->live.root, path, path_parent_len(path, len));
	struct change c = { .path = path, .len = len, .removed = true };
	struct node *gone;
	int r;

	assert(parent);
	c.old_parent = c.new_parent = parent->perms;
	r = tree_remove(s, &s->live, path, len, &gone);
	if (r)
		return r;
	c.old_node = gone;
	watch_fire(ix, &c);
	store_discard(s, gone, true);
	return 0;
}

static int edge_cmp(const void *a, const void *b)
{
	const struct domain_edge *x = *(struct domain_edge *const *)a;
	const struct domain_edge *y = *(struct domain_edge *const *)b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->path, y->path, x->len);
}

/* Whether the place still says something: it exists, and the domain may own it or below. */
static bool edge_is_live(const struct domain_table *t, const struct domain *d,
			 const struct domain_edge *e)
{
	const struct node *n = store_find_node(t->store->live.root, e->path, e->len);

	return n && (perms_owner(n->perms) == d->domid || n->kids);
}

/* Twice and vanished places go. */
static void edges_compact(struct domain_table *t, struct domain *d)
{
	size_t kept = 0;

	if (!d->n_edges)
		return;
	qsort(d->edge, d->n_edges, sizeof(struct domain_edge *), edge_cmp);
	for (size_t i = 0; i < d->n_edges; i++) {
		if ((kept && !edge_cmp(&d->edge[kept - 1], &d->edge[i])) ||
		    !edge_is_live(t, d, d->edge[i]))
			free(d->edge[i]);
		else
			d->edge[kept++] = d->edge[i];
	}
	d->n_edges = kept;
}

static bool edges_reserve(struct domain_table *t, struct domain *d)
{
	struct domain_edge **p;
	size_t room;

	if (d->n_edges < d->edge_room)
		return true;
	edges_compact(t, d);
	room = d->n_edges * 2 < EDGES_MIN ? EDGES_MIN : d->n_edges * 2;
	if (room <= d->edge_room)
		return true;
	p = realloc(d->edge, room * sizeof(struct domain_edge *));
	if (!p)
		return d->n_edges < d->edge_room;
	d->edge = p;
	d->edge_room = room;
	return true;
}

void domain_note_edge(struct domain_table *t, uint16_t domid, const char *path, size_t len)
{
	struct domain *d = domain_find(t, domid);
	struct domain_edge *e;

	if (!d || !domid)
		return; /* domain 0 does not die */
	e = malloc(sizeof(*e) + len);
	if (!e || !edges_reserve(t, d)) {
		free(e);
		d->edges_lost = true;
		return;
	}
	e->len = (uint16_t)len;
	memcpy(e->path, path, len);
	d->edge[d->n_edges++] = e;
}

/* The first node at or below path that domid owns, in preorder; its path in *at. */
static bool search_below(const struct node *root, uint16_t domid, struct path *at)
{
	const struct node *way[XENSTORE_ABS_PATH_MAX / 2], *n, *kid = NULL;
	size_t depth = 0;

	n = store_find_node(root, at->str, at->len);
	if (!n)
		return false;
	for (;;) {
		if (!kid && perms_owner(n->perms) == domid && at->len > 1)
			return true;
		kid = node_child_after(n->kids, kid);
		if (kid) {
			way[depth++] = n;
			at->len = at->len == 1 ? 0 : at->len;
			at->str[at->len++] = '/';
			memcpy(at->str + at->len, kid->data, kid->name_len);
			at->len += kid->name_len;
			at->str[at->len] = '\0';
			n = kid;
			kid = NULL;
			continue;
		}
		if (!depth)
			return false;
		kid = n;
		n = way[--depth];
		at->len = path_parent_len(at->str, at->len);
	}
}

/* False: no memory for it. */
static bool remove_below(struct domain_table *t, uint16_t domid, const char *path, size_t len)
{
	struct path at;

	for (;;) {
		at.len = len;
		memcpy(at.str, path, len);
		at.str[len] = '\0';
		if (!search_below(t->store->live.root, domid, &at))
			return true;
		if (domain_remove_tree(t->store, t->watches, at.str, at.len))
			return false;
	}
}

/* "/" cannot be removed: it is the control domain's again. */
static bool root_return(struct domain_table *t, uint16_t domid)
{
	struct store *s = t->store;
	struct perms *perms;
	int r;

	if (perms_owner(s->live.root->perms) != domid)
		return true;
	if (perms_intern_owner(s->heap.perms, s->live.root->perms, 0, &perms))
		return false;
	r = tree_set_perms(s, &s->live, "/", 1, perms);
	perms_release(s->heap.perms, perms);
	return !r;
}

static void remove_nodes(struct domain_table *t, struct domain *d)
{
	edges_compact(t, d);
	for (size_t i = 0; i < d->n_edges && d->budget.used[QUOTA_NODES]; i++)
		if (!remove_below(t, d->domid, d->edge[i]->path, d->edge[i]->len))
			d->edges_lost = true;
	if (!root_return(t, d->domid))
		d->edges_lost = true;
	store_settle(t->store);
	if (d->edges_lost && d->budget.used[QUOTA_NODES]) {
		remove_below(t, d->domid, "/", 1);
		store_settle(t->store);
	}
	assert(!d->budget.used[QUOTA_NODES] || d->edges_lost);
}

int domain_bury(struct domain_table *t, struct domain *d)
{
	if (!t->keep_orphans)
		remove_nodes(t, d);
	d->orphans = d->budget.used[QUOTA_NODES];
	if (d->orphans) {
		domain_changed(t, d);
		return t->keep_orphans ? 0 : FAULT(-ENOMEM);
	}
	domain_forget(t, d);
	return 0;
}

/* A special path has no node to go with its owner: the control domain has it back. */
static void special_disown(struct domain_table *t, struct perms **special, uint16_t domid)
{
	struct perms *perms;

	if (perms_owner(*special) != domid ||
	    perms_intern_owner(t->store->heap.perms, *special, 0, &perms))
		return;
	domain_set_special(t, special, perms);
}

void domain_died(struct domain_table *t, struct domain *d)
{
	uint16_t domid = d->domid;
	bool told = d->introduced;

	t->ledger.death_of[domid] = ++t->ledger.deaths;
	if (t->ops)
		t->ops->death(t->ops_data, domid, t->ledger.deaths);
	domain_disconnect(t, d);
	domain_leave_targets(t, d);
	domain_strip(t, domid);
	special_disown(t, &t->introduce_perms, domid);
	special_disown(t, &t->release_perms, domid);
	domain_bury(t, d); /* what there is no memory for now is done before the id lives again */
	if (told)
		watch_fire_special(t->watches, "@releaseDomain", domid, t->release_perms);
}
