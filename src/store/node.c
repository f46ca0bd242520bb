/* SPDX-License-Identifier: MIT */
/*
 * The children's AVL tree, copied on write. Invariant: a node with more than one reference is
 * never changed; heights of siblings differ by at most one; an edit that runs out of memory
 * leaves a tree with the same content.
 */
#include "store/node.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

struct node *node_new(const char *name, size_t name_len, const void *value, size_t value_len,
		      struct perms *perms)
{
	struct node *n = malloc(offsetof(struct node, data) + name_len + value_len);

	if (!n)
		return NULL;
	n->left = n->right = n->kids = NULL;
	n->perms = perms_take(perms);
	n->gen = 0;
	n->refs = 1;
	n->name_len = (uint16_t)name_len;
	n->value_len = (uint16_t)value_len;
	n->height = 1;
	memcpy(n->data, name, name_len);
	if (value_len)
		memcpy(n->data + name_len, value, value_len);
	return n;
}

void node_free_alone(struct node_heap *h, struct node *n)
{
	assert(!n->refs);
	perms_release(h->perms, n->perms);
	free(n);
}

static inline int name_cmp(const char *name, size_t len, const struct node *n)
{
	if (len != n->name_len)
		return len < n->name_len ? -1 : 1;
	return memcmp(name, n->data, len);
}

const struct node *node_find_child(const struct node *n, const char *name, size_t name_len)
{
	while (n) {
		int c = name_cmp(name, name_len, n);

		if (!c)
			return n;
		n = c < 0 ? n->left : n->right;
	}
	return NULL;
}

const struct node *node_child_after(const struct node *n, const struct node *prev)
{
	const struct node *best = NULL;

	while (n) {
		if (!prev || name_cmp(prev->data, prev->name_len, n) < 0) {
			best = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

static void iter_push(struct node_iter *it, const struct node *n)
{
	for (; n; n = n->left) {
		assert(it->depth < NODE_HEIGHT_MAX);
		it->stack[it->depth++] = n;
	}
}

void node_iter_init(struct node_iter *it, const struct node *kids)
{
	it->depth = 0;
	iter_push(it, kids);
}

const struct node *node_iter_next(struct node_iter *it)
{
	const struct node *n;

	if (!it->depth)
		return NULL;
	n = it->stack[--it->depth];
	iter_push(it, n->right);
	return n;
}

int node_unshare(struct node_heap *h, struct node **slot)
{
	struct node *n = *slot, *copy;
	size_t size = offsetof(struct node, data) + n->name_len + n->value_len;

	if (n->refs == 1)
		return 0;
	copy = malloc(size);
	if (!copy)
		return FAULT(-ENOMEM);
	memcpy(copy, n, size);
	copy->refs = 1;
	node_take(copy->left);
	node_take(copy->right);
	node_take(copy->kids);
	perms_take(copy->perms);
	h->retained += size;
	n->refs--;
	*slot = copy;
	return 0;
}

struct node **node_child_slot(struct node_heap *h, struct node **slot, const char *name,
			      size_t name_len, int *ret_err)
{
	*ret_err = 0;
	while (*slot) {
		int c = name_cmp(name, name_len, *slot);

		*ret_err = node_unshare(h, slot);
		if (*ret_err)
			return NULL;
		if (!c)
			return slot;
		slot = c < 0 ? &(*slot)->left : &(*slot)->right;
	}
	return NULL;
}

static inline int height(const struct node *n)
{
	return n ? n->height : 0;
}

static inline void height_update(struct node *n)
{
	int l = height(n->left), r = height(n->right);

	n->height = (uint8_t)((l > r ? l : r) + 1);
}

static void rotate_right(struct node **slot)
{
	struct node *n = *slot, *l = n->left;

	n->left = l->right;
	l->right = n;
	height_update(n);
	height_update(l);
	*slot = l;
}

static void rotate_left(struct node **slot)
{
	struct node *n = *slot, *r = n->right;

	n->right = r->left;
	r->left = n;
	height_update(n);
	height_update(r);
	*slot = r;
}

/* Unshares what a rotation at n towards the lighter side may move. */
static int balance_prepare(struct node_heap *h, struct node **heavy, bool heavy_is_left)
{
	struct node **inner;
	int r;

	r = node_unshare(h, heavy);
	if (r)
		return r;
	inner = heavy_is_left ? &(*heavy)->right : &(*heavy)->left;
	return *inner ? node_unshare(h, inner) : 0;
}

/* *slot is unshared and off by at most two; what moves was unshared by balance_prepare. */
static void balance(struct node **slot)
{
	struct node *n = *slot;
	int d = height(n->left) - height(n->right);

	if (d > 1) {
		if (height(n->left->left) < height(n->left->right))
			rotate_left(&n->left);
		rotate_right(slot);
	} else if (d < -1) {
		if (height(n->right->right) < height(n->right->left))
			rotate_right(&n->right);
		rotate_left(slot);
	} else {
		height_update(n);
	}
}

/* The way down from a root, kept instead of recursing. */
struct slot_path {
	struct node **slot[NODE_HEIGHT_MAX];
	int depth;
};

static void path_push(struct slot_path *p, struct node **slot)
{
	assert(p->depth < NODE_HEIGHT_MAX);
	p->slot[p->depth++] = slot;
}

/* Rebalances from the deepest slot up. The slots stay valid: each lies in the one before it. */
static void path_balance(struct slot_path *p)
{
	while (p->depth) {
		struct node **slot = p->slot[--p->depth];

		if (*slot)
			balance(slot);
	}
}

int node_insert_child(struct node_heap *h, struct node **kids, struct node *child)
{
	struct slot_path path;
	struct node **slot = kids;
	int r;

	path.depth = 0;
	while (*slot) {
		int c = name_cmp(child->data, child->name_len, *slot);

		assert(c);
		r = node_unshare(h, slot);
		if (r)
			return r;
		path_push(&path, slot);
		slot = c < 0 ? &(*slot)->left : &(*slot)->right;
	}
	*slot = child;
	path_balance(&path);
	return 0;
}

/*
 * After a removal below one side of *slot a rotation may move nodes of the other side: unshared
 * here, before anything is changed.
 */
static int remove_prepare(struct node_heap *h, struct node *n, bool from_left)
{
	struct node **other = from_left ? &n->right : &n->left;

	if (!*other || height(*other) < height(from_left ? n->left : n->right) + 1)
		return 0;
	return balance_prepare(h, other, !from_left);
}

/* The slots from *slot, which is to go, to the smallest node of its right tree. */
static int successor_prepare(struct node_heap *h, struct slot_path *path, struct node **slot)
{
	struct node **s;
	int r;

	r = remove_prepare(h, *slot, false);
	if (r)
		return r;
	for (s = &(*slot)->right;; s = &(*s)->left) {
		r = node_unshare(h, s);
		if (r)
			return r;
		path_push(path, s);
		if (!(*s)->left)
			return 0;
		r = remove_prepare(h, *s, true);
		if (r)
			return r;
	}
}

static void unlink_node(struct slot_path *path, int at)
{
	struct node **slot = path->slot[at], *n = *slot;

	if (path->depth == at + 1) { /* at most one side */
		*slot = n->left ? n->left : n->right;
		path->depth--;
	} else {
		struct node **last = path->slot[path->depth - 1], *s = *last;

		*last = s->right;
		s->left = n->left;
		/* when the successor is the right child itself, *last was in n and is copied */
		s->right = n->right;
		s->height = n->height;
		*slot = s;
		path->depth--;
		if (path->depth > at + 1)
			path->slot[at + 1] = &s->right;
	}
	n->left = n->right = NULL;
	n->height = 1;
}

int node_remove_child(struct node_heap *h, struct node **kids, const char *name, size_t name_len,
		      struct node **ret_child)
{
	struct slot_path path;
	struct node **slot = kids;
	int at, c, r;

	path.depth = 0;
	for (;;) {
		assert(*slot);
		r = node_unshare(h, slot);
		if (r)
			return r;
		path_push(&path, slot);
		c = name_cmp(name, name_len, *slot);
		if (!c)
			break;
		r = remove_prepare(h, *slot, c < 0);
		if (r)
			return r;
		slot = c < 0 ? &(*slot)->left : &(*slot)->right;
	}
	at = path.depth - 1;
	if ((*slot)->left && (*slot)->right) {
		r = successor_prepare(h, &path, slot);
		if (r)
			return r;
	}
	*ret_child = *slot;
	unlink_node(&path, at);
	path_balance(&path);
	return 0;
}
