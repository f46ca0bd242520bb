/* SPDX-License-Identifier: MIT */
/*
 * Preorder over a persistent tree, and the difference of two. Invariant: nothing recurses, so
 * that no tree is too deep for the stack.
 */
#include "store/walk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

enum walk_stage {
	WALK_LEFT,
	WALK_SELF,
	WALK_KIDS,
	WALK_RIGHT,
};

struct walk_frame {
	const struct node *n; /* borrowed */
	uint16_t up_len;      /* octets of the path above, 0 for "/" */
	uint8_t stage;
};

void tree_walk_init(struct tree_walk *w, const struct node *root, const char *path, size_t len)
{
	w->frame = NULL;
	w->n = w->room = 0;
	w->root = root;
	w->failed = false;
	memcpy(w->path.str, path, len);
	w->path.str[len] = '\0';
	w->path.len = len;
}

void tree_walk_fini(struct tree_walk *w)
{
	free(w->frame);
	w->frame = NULL;
	w->n = w->room = 0;
}

static bool push(struct tree_walk *w, const struct node *n, size_t up_len)
{
	struct walk_frame *p;

	if (w->n == w->room) {
		p = realloc(w->frame, (w->room ? w->room * 2 : 64) * sizeof(*p));
		if (!p) {
			w->failed = true;
			return false;
		}
		w->frame = p;
		w->room = w->room ? w->room * 2 : 64;
	}
	w->frame[w->n++] = (struct walk_frame){ .n = n, .up_len = (uint16_t)up_len };
	return true;
}

static size_t own_path(struct tree_walk *w, const struct walk_frame *f)
{
	w->path.str[f->up_len] = '/';
	memcpy(w->path.str + f->up_len + 1, f->n->data, f->n->name_len);
	w->path.len = f->up_len + 1u + f->n->name_len;
	w->path.str[w->path.len] = '\0';
	return w->path.len;
}

const struct node *tree_walk_next(struct tree_walk *w)
{
	const struct node *n = w->root;
	struct walk_frame *f;

	if (n) {
		w->root = NULL;
		if (n->kids && !push(w, n->kids, w->path.len == 1 ? 0 : w->path.len))
			return NULL;
		return n;
	}
	while (w->n) {
		f = &w->frame[w->n - 1];
		n = f->n;
		switch (f->stage++) {
		case WALK_LEFT:
			if (n->left && !push(w, n->left, f->up_len))
				return NULL;
			break;
		case WALK_SELF:
			own_path(w, f);
			return n;
		case WALK_KIDS:
			if (n->kids && !push(w, n->kids, f->up_len + 1u + n->name_len))
				return NULL;
			break;
		default:
			if (n->right)
				*f = (struct walk_frame){ .n = n->right, .up_len = f->up_len };
			else
				w->n--;
			break;
		}
	}
	return NULL;
}

/* Two lists of siblings, walked side by side. */
struct diff_dir {
	struct diff_dir *up;
	struct node_iter a, b;
	const struct node *x, *y; /* borrowed: of either, not told of yet */
	uint16_t len;		  /* octets of the path above, 0 for "/" */
};

struct diff {
	struct diff_dir *dir; /* owned: the innermost */
	struct path path;
	void (*differs)(void *data, const char *path, size_t len, const struct node *a,
			const struct node *b);
	void *data;
};

/* Whatever lies ahead of both alike is passed over: a node, and all to its right. */
static void skip_shared(struct node_iter *a, struct node_iter *b)
{
	while (a->depth && b->depth && a->stack[a->depth - 1] == b->stack[b->depth - 1]) {
		a->depth--;
		b->depth--;
	}
}

static int dir_push(struct diff *d, const struct node *a, const struct node *b, size_t len)
{
	struct diff_dir *dir = malloc(sizeof(*dir));

	if (!dir)
		return FAULT(-ENOMEM);
	dir->up = d->dir;
	dir->len = (uint16_t)len;
	dir->x = dir->y = NULL;
	node_iter_init(&dir->a, a);
	node_iter_init(&dir->b, b);
	d->dir = dir;
	return 0;
}

static void dir_pop(struct diff *d)
{
	struct diff_dir *dir = d->dir;

	d->dir = dir->up;
	free(dir);
}

static int order(const struct node *x, const struct node *y)
{
	if (!x || !y)
		return x ? -1 : 1;
	if (x->name_len != y->name_len)
		return x->name_len < y->name_len ? -1 : 1;
	return memcmp(x->data, y->data, x->name_len);
}

static int tell_new(struct diff *d, const struct node *n)
{
	struct tree_walk w;
	const struct node *x;

	tree_walk_init(&w, n, d->path.str, d->path.len);
	while ((x = tree_walk_next(&w)))
		d->differs(d->data, w.path.str, w.path.len, NULL, x);
	tree_walk_fini(&w);
	return w.failed ? FAULT(-ENOMEM) : 0;
}

bool tree_same_node(const struct node *a, const struct node *b)
{
	return perms_equal(a->perms, b->perms) && a->value_len == b->value_len &&
	       !memcmp(node_value(a), node_value(b), a->value_len);
}

static int diff_pair(struct diff *d, const struct node *x, const struct node *y)
{
	if (!y) {
		d->differs(d->data, d->path.str, d->path.len, x, NULL);
		return 0;
	}
	if (!x)
		return tell_new(d, y);
	if (!tree_same_node(x, y))
		d->differs(d->data, d->path.str, d->path.len, x, y);
	if (x->kids == y->kids)
		return 0;
	return dir_push(d, x->kids, y->kids, d->path.len == 1 ? 0 : d->path.len);
}

/* One step of the innermost pair of lists. */
static int diff_step(struct diff *d)
{
	struct diff_dir *dir = d->dir;
	const struct node *x, *y, *named;
	int c;

	if (!dir->x && !dir->y)
		skip_shared(&dir->a, &dir->b);
	if (!dir->x)
		dir->x = node_iter_next(&dir->a);
	if (!dir->y)
		dir->y = node_iter_next(&dir->b);
	if (!dir->x && !dir->y) {
		dir_pop(d);
		return 0;
	}
	c = order(dir->x, dir->y);
	x = c <= 0 ? dir->x : NULL;
	y = c >= 0 ? dir->y : NULL;
	if (x)
		dir->x = NULL;
	if (y)
		dir->y = NULL;
	named = x ? x : y;
	assert(named); /* one of the two is there, and comes first or with the other */
	d->path.str[dir->len] = '/';
	memcpy(d->path.str + dir->len + 1, named->data, named->name_len);
	d->path.len = dir->len + 1u + named->name_len;
	d->path.str[d->path.len] = '\0';
	return diff_pair(d, x, y);
}

int tree_diff(const char *path, size_t len, const struct node *a, const struct node *b,
	      void (*differs)(void *data, const char *path, size_t len, const struct node *a,
			      const struct node *b),
	      void *data)
{
	struct diff d = { .differs = differs, .data = data };
	int r;

	if (a == b)
		return 0;
	memcpy(d.path.str, path, len);
	d.path.str[len] = '\0';
	d.path.len = len;
	r = diff_pair(&d, a, b);
	while (!r && d.dir)
		r = diff_step(&d);
	while (d.dir)
		dir_pop(&d);
	return r;
}
