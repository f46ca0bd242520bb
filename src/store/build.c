/* SPDX-License-Identifier: MIT */
/*
 * A tree from a list of its nodes. Children are collected in an array while their directory is
 * open and joined to a balanced tree when it closes, so that a node costs no search.
 *
 * Invariant: kid[0 … n_kids) are the nodes still apart, those of directory dir[i] from
 * dir[i].first to dir[i + 1].first - 1; dir[i + 1] is the last of these.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "store/walk.h"

struct build_dir {
	size_t first; /* of its children, in kid */
	uint16_t len; /* octets of its path, 0 for "/" */
	bool sorted;  /* its children came in order */
};

void tree_build_init(struct tree_build *b, struct store *s)
{
	memset(b, 0, offsetof(struct tree_build, path));
	b->s = s;
	b->path.len = 0;
}

static int dir_open(struct tree_build *b, size_t len)
{
	struct build_dir *p;

	if (b->n == b->room) {
		p = realloc(b->dir, (b->room ? b->room * 2 : 32) * sizeof(*p));
		if (!p)
			return FAULT(-ENOMEM);
		b->dir = p;
		b->room = b->room ? b->room * 2 : 32;
	}
	b->dir[b->n++] =
		(struct build_dir){ .first = b->n_kids, .len = (uint16_t)len, .sorted = true };
	return 0;
}

static int node_order(const struct node *a, const struct node *b)
{
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return memcmp(a->data, b->data, a->name_len);
}

static int slot_order(const void *a, const void *b)
{
	return node_order(*(struct node *const *)a, *(struct node *const *)b);
}

/* The middle one on top, and so on below: heights of siblings differ by at most one. */
static struct node *join(struct node **kid, size_t n)
{
	struct node *top;
	int l, r;

	if (!n)
		return NULL;
	top = kid[n / 2];
	top->left = join(kid, n / 2);
	top->right = join(kid + n / 2 + 1, n - n / 2 - 1);
	l = top->left ? top->left->height : 0;
	r = top->right ? top->right->height : 0;
	top->height = (uint8_t)((l > r ? l : r) + 1);
	return top;
}

/* The innermost directory has all its children. */
static int dir_close(struct tree_build *b)
{
	struct build_dir *d = &b->dir[b->n - 1];
	struct node **kid, *up;
	size_t n = b->n_kids - d->first;

	b->n--;
	if (!n) /* and maybe no array yet */
		return 0;
	kid = b->kid + d->first;

	if (!d->sorted)
		qsort(kid, n, sizeof(struct node *), slot_order);
	for (size_t i = 1; i < n && !d->sorted; i++)
		if (!node_order(kid[i - 1], kid[i]))
			return EEXIST;
	up = d->first ? b->kid[d->first - 1] : b->s->live.root;
	up->kids = join(kid, n);
	b->n_kids = d->first;
	return 0;
}

static int kid_add(struct tree_build *b, struct node *n)
{
	struct build_dir *d = &b->dir[b->n - 1];
	struct node **p;
	int c;

	if (b->n_kids == b->kid_room) {
		p = realloc(b->kid, (b->kid_room ? b->kid_room * 2 : 256) * sizeof(struct node *));
		if (!p)
			return FAULT(-ENOMEM);
		b->kid = p;
		b->kid_room = b->kid_room ? b->kid_room * 2 : 256;
	}
	if (b->n_kids > d->first) {
		c = node_order(b->kid[b->n_kids - 1], n);
		if (!c)
			return EEXIST;
		if (c > 0)
			d->sorted = false;
	}
	b->kid[b->n_kids++] = n;
	return 0;
}

/* Closes directories until the innermost is the one at path[0 … len). */
static int go_up(struct tree_build *b, const char *path, size_t len)
{
	int r;

	if (!b->n) {
		r = dir_open(b, 0);
		if (r)
			return r;
	}
	/* the node added last may be the directory */
	if (b->path.len && len == b->path.len && !memcmp(path, b->path.str, len))
		return dir_open(b, len);
	while (b->n > 1 && b->dir[b->n - 1].len > len) {
		r = dir_close(b);
		if (r)
			return r;
	}
	if (b->dir[b->n - 1].len != len || memcmp(path, b->path.str, len))
		return ENOENT;
	return 0;
}

int tree_build_add(struct tree_build *b, const char *path, size_t len, struct perms *perms,
		   const void *value, size_t value_len)
{
	size_t up = path_parent_len(path, len);
	const char *name = path_basename(path, len);
	const struct tree *t = &b->s->live;
	uint16_t owner = perms_owner(perms);
	const struct node *parent;
	struct node *n;
	int r;

	assert(len > 1);
	r = go_up(b, path, up == 1 ? 0 : up);
	if (r)
		return r;
	parent = b->dir[b->n - 1].first ? b->kid[b->dir[b->n - 1].first - 1] : t->root;
	n = node_new(name, (size_t)(path + len - name), value, value_len, perms);
	if (!n)
		return FAULT(-ENOMEM);
	n->gen = ++b->s->gen;
	r = kid_add(b, n);
	if (r) {
		n->refs = 0;
		node_free_alone(&b->s->heap, n);
		return r;
	}
	memcpy(b->path.str, path, len);
	b->path.len = len;
	t->ops->charge(t->data, owner, 1, (int64_t)node_charge(n));
	if (t->ops->edge && perms_owner(parent->perms) != owner)
		t->ops->edge(t->data, owner, path, len);
	return 0;
}

int tree_build_end(struct tree_build *b)
{
	int r = 0;

	while (b->n && !r)
		r = dir_close(b);
	b->path.len = 0;
	return r;
}

void tree_build_fini(struct tree_build *b)
{
	for (size_t i = 0; i < b->n_kids; i++)
		store_discard(b->s, b->kid[i], true);
	free(b->kid);
	free(b->dir);
	b->kid = NULL;
	b->dir = NULL;
	b->n = b->n_kids = 0;
}
