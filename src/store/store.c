/* SPDX-License-Identifier: MIT */
/*
 * Edits of a tree and the reaper. Invariant: the charges of the live tree are those of the nodes
 * reachable from its root plus those on the charged reap stack and below.
 */
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"

static void tree_charge(const struct tree *t, uint16_t domid, int64_t nodes, int64_t octets)
{
	if (t->ops && t->ops->charge)
		t->ops->charge(t->data, domid, nodes, octets);
}

static void tree_edge(const struct tree *t, uint16_t domid, const char *path, size_t len)
{
	if (t->ops && t->ops->edge)
		t->ops->edge(t->data, domid, path, len);
}

static void tree_changed(const struct tree *t, const char *path, size_t len, const struct node *n)
{
	if (t->ops && t->ops->changed)
		t->ops->changed(t->data, path, len, n);
}

int store_init(struct store *s, struct perm_table *perms, const struct tree_ops *live_ops,
	       void *data, struct perms *root_perms)
{
	memset(s, 0, sizeof(*s));
	s->heap.perms = perms;
	s->live.ops = live_ops;
	s->live.data = data;
	s->live.root = node_new("", 0, NULL, 0, root_perms);
	if (!s->live.root)
		return FAULT(-ENOMEM);
	s->live.root->gen = ++s->gen;
	tree_charge(&s->live, perms_owner(root_perms), 1, (int64_t)node_charge(s->live.root));
	return 0;
}

void store_fini(struct store *s)
{
	if (s->live.root)
		store_discard(s, TAKE(s->live.root), true);
	while (store_reap(s, SIZE_MAX))
		;
	free(s->charged.item);
	free(s->uncharged.item);
	s->charged.item = s->uncharged.item = NULL;
}

void store_find(const struct node *root, const char *path, size_t len, struct store_pos *ret)
{
	const struct node *n = root, *up = NULL;
	const char *name;
	size_t name_len = 0, pos = 0, up_len = 0, at = 1;

	*ret = (struct store_pos){ 0 };
	while (n && path_next(path, len, &pos, &name, &name_len)) {
		up = n;
		up_len = at;
		n = node_find_child(n->kids, name, name_len);
		at = pos;
	}
	ret->node = n;
	ret->ancestor = up;
	ret->ancestor_len = up_len;
	if (n)
		return;
	do {
		ret->missing++;
		ret->missing_octets += name_len;
	} while (path_next(path, len, &pos, &name, &name_len));
}

const struct node *store_find_node(const struct node *root, const char *path, size_t len)
{
	const struct node *n = root;
	const char *name;
	size_t name_len, pos = 0;

	while (n && path_next(path, len, &pos, &name, &name_len))
		n = node_find_child(n->kids, name, name_len);
	return n;
}

void store_finger_init(struct store_finger *f, const struct node *root)
{
	f->root = root;
	f->path = "";
	f->len = f->depth = 0;
}

/* Octets that two paths have in common at their start. */
static size_t common(const char *a, const char *b, size_t n)
{
	size_t i = 0;

	if (a == b)
		return n;
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

const struct node *store_finger_find(struct store_finger *f, const char *path, size_t len,
				     const struct node **ret_parent)
{
	size_t same = common(path, f->path, len < f->len ? len : f->len), pos = 0, name_len;
	const struct node *n = f->root, *up = NULL;
	const char *name;

	while (f->depth && (f->end[f->depth - 1] > same ||
			    (f->end[f->depth - 1] < len && path[f->end[f->depth - 1]] != '/')))
		f->depth--;
	f->path = path;
	f->len = len;
	if (f->depth) {
		pos = f->end[f->depth - 1];
		n = f->node[f->depth - 1];
		up = f->depth > 1 ? f->node[f->depth - 2] : f->root;
	}
	while (n && path_next(path, len, &pos, &name, &name_len)) {
		up = n;
		n = node_find_child(n->kids, name, name_len);
		if (!n)
			break;
		f->end[f->depth] = (uint16_t)pos;
		f->node[f->depth++] = n;
	}
	if (ret_parent)
		*ret_parent = n || pos == len ? up : NULL;
	return n;
}

/* The slot of an existing node, everything on the way unshared; NULL: no memory. */
static struct node **tree_slot(struct store *s, struct tree *t, const char *path, size_t len)
{
	struct node **slot = &t->root;
	const char *name;
	size_t name_len, pos = 0;
	int r;

	if (node_unshare(&s->heap, slot))
		return NULL;
	while (path_next(path, len, &pos, &name, &name_len)) {
		slot = node_child_slot(&s->heap, &(*slot)->kids, name, name_len, &r);
		if (!slot) {
			assert(r);
			return NULL;
		}
	}
	return slot;
}

int tree_set_value(struct store *s, struct tree *t, const char *path, size_t len, const void *value,
		   size_t value_len)
{
	struct node **slot = tree_slot(s, t, path, len), *n;

	if (!slot)
		return -ENOMEM;
	n = *slot;
	if (n->value_len != value_len) {
		n = realloc(n, offsetof(struct node, data) + n->name_len + value_len);
		if (!n)
			return FAULT(-ENOMEM);
		*slot = n;
		tree_charge(t, perms_owner(n->perms), 0, (int64_t)value_len - n->value_len);
		n->value_len = (uint16_t)value_len;
	}
	if (value_len)
		memcpy(n->data + n->name_len, value, value_len);
	tree_changed(t, path, len, n);
	return 0;
}

/* After the owner at path changed from was: tells of edges, the node's own and its children's. */
static void edges_after_chown(struct tree *t, const struct node *n, const char *path, size_t len,
			      uint16_t was)
{
	const struct node *parent =
		len > 1 ? store_find_node(t->root, path, path_parent_len(path, len)) : NULL;
	uint16_t owner = perms_owner(n->perms);

	if (!parent || perms_owner(parent->perms) != owner)
		tree_edge(t, owner, path, len);
	/* children of the former owner are edges now; told as one, to be searched below */
	if (n->kids)
		tree_edge(t, was, path, len);
}

int tree_set_perms(struct store *s, struct tree *t, const char *path, size_t len,
		   struct perms *perms)
{
	struct node **slot = tree_slot(s, t, path, len), *n;
	uint16_t was;

	if (!slot)
		return -ENOMEM;
	n = *slot;
	was = perms_owner(n->perms);
	perms_take(perms);
	perms_release(s->heap.perms, n->perms);
	n->perms = perms;
	if (was != perms_owner(perms)) {
		tree_charge(t, was, -1, -(int64_t)node_charge(n));
		tree_charge(t, perms_owner(perms), 1, (int64_t)node_charge(n));
		edges_after_chown(t, n, path, len, was);
	}
	tree_changed(t, path, len, n);
	return 0;
}

/* Frees a chain of new nodes, each with at most one child. */
static void chain_free(struct store *s, struct node *n)
{
	while (n) {
		struct node *kid = n->kids;

		n->refs = 0;
		node_free_alone(&s->heap, n);
		n = kid;
	}
}

/* path's components from octet from on, as a chain of nodes. */
static struct node *chain_new(struct store *s, const char *path, size_t len, size_t from,
			      struct perms *perms, const void *value, size_t value_len)
{
	struct node *top = NULL, **at = &top;
	const char *name;
	size_t name_len, pos = from;

	while (path_next(path, len, &pos, &name, &name_len)) {
		bool last = pos == len;

		*at = node_new(name, name_len, last ? value : NULL, last ? value_len : 0, perms);
		if (!*at) {
			chain_free(s, top);
			return NULL;
		}
		(*at)->gen = ++s->gen;
		at = &(*at)->kids;
	}
	return top;
}

/* Tells of a chain of new nodes below octet from of path. */
static void chain_changed(const struct tree *t, const char *path, size_t len, size_t from,
			  const struct node *n)
{
	const char *name;
	size_t name_len, pos = from;

	for (; path_next(path, len, &pos, &name, &name_len); n = n->kids)
		tree_changed(t, path, pos, n);
}

int tree_create(struct store *s, struct tree *t, const char *path, size_t len, struct perms *perms,
		const void *value, size_t value_len)
{
	struct store_pos pos;
	struct node **slot, *chain;
	uint16_t owner = perms_owner(perms);
	size_t from, first;

	store_find(t->root, path, len, &pos);
	assert(!pos.node);
	from = pos.ancestor_len == 1 ? 0 : pos.ancestor_len;
	chain = chain_new(s, path, len, from, perms, value, value_len);
	if (!chain)
		return FAULT(-ENOMEM);
	slot = tree_slot(s, t, path, pos.ancestor_len);
	if (!slot || node_insert_child(&s->heap, &(*slot)->kids, chain)) {
		chain_free(s, chain);
		return -ENOMEM;
	}
	(*slot)->gen = ++s->gen;
	tree_charge(t, owner, (int64_t)pos.missing,
		    (int64_t)(pos.missing * NODE_CHARGE + pos.missing_octets + value_len));
	if (perms_owner((*slot)->perms) != owner) {
		first = from + 1 + chain->name_len;
		tree_edge(t, owner, path, first);
	}
	if (t->ops && t->ops->changed)
		chain_changed(t, path, len, from, chain);
	return 0;
}

int tree_remove(struct store *s, struct tree *t, const char *path, size_t len,
		struct node **ret_node)
{
	size_t parent_len = path_parent_len(path, len);
	const char *name = path_basename(path, len);
	struct node **slot;
	int r;

	assert(len > 1);
	slot = tree_slot(s, t, path, parent_len);
	if (!slot)
		return -ENOMEM;
	r = node_remove_child(&s->heap, &(*slot)->kids, name, (size_t)(path + len - name),
			      ret_node);
	if (r)
		return r;
	(*slot)->gen = ++s->gen;
	tree_changed(t, path, len, NULL);
	return 0;
}

size_t store_list(const struct node *n, size_t offset, char *buf, size_t room)
{
	const struct node *c;
	struct node_iter it;
	size_t at = 0;

	node_iter_init(&it, n->kids);
	while (at <= offset + room && (c = node_iter_next(&it))) {
		size_t size = c->name_len + 1u;

		if (at + size > offset && at < offset + room) {
			size_t skip = offset > at ? offset - at : 0;

			for (size_t i = skip; i < size && at + i - offset < room; i++)
				buf[at + i - offset] = i < c->name_len ? c->data[i] : '\0';
		}
		at += size;
	}
	return at;
}
