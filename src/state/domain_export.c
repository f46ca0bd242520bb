/* SPDX-License-Identifier: MIT */
/*
 * A domain as an image. Invariant: nothing is looked at but the domain's own objects and the
 * subtrees that go along.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "state/domain_image.h"
#include "state/rec.h"
#include "store/walk.h"
#include "txn/access.h"

struct export
{
	struct core *core;
	const struct domain *d;
	const struct path **top; /* owned array of borrowed: the subtrees, none in another */
	size_t n_tops;
	struct path own;
	struct state_sink sink;
	uint8_t *buf; /* owned: the image so far */
	size_t len;
	size_t room;
	char *why; /* borrowed */
};

static const struct drover_image_format format = {
	.layout = DROVER_LAYOUT_UPSTREAM,
	.version = 2,
	.big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
};

static int reserve(struct export *x, size_t more)
{
	size_t room = x->room ? x->room : 16384;
	uint8_t *p;

	while (room - x->len < more)
		room *= 2;
	if (room == x->room)
		return 0;
	p = realloc(x->buf, room);
	if (!p)
		return FAULT(-ENOMEM);
	x->buf = p;
	x->room = room;
	return 0;
}

static int put(void *data, const struct drover_record *rec)
{
	struct export *x = data;
	size_t size = drover_record_size(&format, rec);
	struct drover_image_error err;
	int r;

	r = reserve(x, size);
	if (r)
		return r;
	r = drover_record_encode(&format, rec, x->buf + x->len, x->room - x->len, &size, &err);
	if (r == EINVAL)
		snprintf(x->why, CORE_WHY_MAX, "%s", err.text);
	if (!r)
		x->len += size;
	return r;
}

/* --- which nodes ------------------------------------------------------------------------- */

static bool is_covered(const struct export *x, const char *path, size_t len)
{
	for (size_t i = 0; i < x->n_tops; i++)
		if (path_is_below(path, len, x->top[i]->str, x->top[i]->len))
			return true;
	return false;
}

/* One more subtree, in place of those that it holds. */
static void add_top(struct export *x, const struct path *p)
{
	size_t n = 0;

	if (is_covered(x, p->str, p->len))
		return;
	for (size_t i = 0; i < x->n_tops; i++)
		if (!path_is_below(x->top[i]->str, x->top[i]->len, p->str, p->len))
			x->top[n++] = x->top[i];
	x->top[n++] = p;
	x->n_tops = n;
}

static int find_tops(struct export *x, const struct path *paths, size_t n)
{
	const struct node *root = x->core->store.live.root;

	if (n >= DOMAIN_IMAGE_TOPS_MAX) {
		snprintf(x->why, CORE_WHY_MAX, "more than %u paths", DOMAIN_IMAGE_TOPS_MAX - 1);
		return EINVAL;
	}
	x->top = calloc(n + 1, sizeof(*x->top));
	if (!x->top)
		return FAULT(-ENOMEM);
	x->own.len = strlen(x->d->prefix);
	memcpy(x->own.str, x->d->prefix, x->own.len + 1);
	if (store_find_node(root, x->own.str, x->own.len))
		add_top(x, &x->own);
	for (size_t i = 0; i < n; i++) {
		if (paths[i].len == 1) {
			snprintf(x->why, CORE_WHY_MAX, "/ is no domain's");
			return EINVAL;
		}
		if (!store_find_node(root, paths[i].str, paths[i].len)) {
			snprintf(x->why, CORE_WHY_MAX, "%.200s does not exist", paths[i].str);
			return ENOENT;
		}
		add_top(x, &paths[i]);
	}
	return 0;
}

static int put_nodes(struct export *x)
{
	struct tree_walk walk;
	const struct node *n;
	int r = 0;

	for (size_t i = 0; i < x->n_tops && !r; i++) {
		const struct path *p = x->top[i];

		n = store_find_node(x->core->store.live.root, p->str, p->len);
		tree_walk_init(&walk, n, p->str, p->len);
		while (!r && (n = tree_walk_next(&walk)))
			r = rec_put_node(&x->sink, 0, 0, walk.path.str, walk.path.len, n);
		if (!r && walk.failed)
			r = FAULT(-ENOMEM);
		tree_walk_fini(&walk);
	}
	return r;
}

/* --- transactions ------------------------------------------------------------------------ */

/* What it wrote has lost its parent since it began: there, too, it would hang in the air. */
static bool is_cut_off(const struct export *x, const struct txn *t, const struct txn_access *a)
{
	size_t len = path_parent_len(a->path, a->len);

	return a->wrote && store_find_node(t->tree.root, a->path, a->len) &&
	       store_find_node(t->base, a->path, len) &&
	       !store_find_node(x->core->store.live.root, a->path, len);
}

/* Whether it can go on elsewhere as if it had begun there. */
static bool goes_on(const struct export *x, struct txn *t)
{
	const struct txn_access *a;

	if (t->doomed || t->sum.failed)
		return false;
	list_for_each(a, &t->order, link)
		if (!is_covered(x, a->path, a->len) || is_cut_off(x, t, a))
			return false;
	return !txn_check(&x->core->store, t);
}

struct pending {
	struct export *x;
	const struct txn *t;
	int r;
};

static void put_pending(void *data, const char *path, size_t len, const struct node *a,
			const struct node *b)
{
	struct pending *p = data;

	(void)a;
	if (!p->r)
		p->r = rec_put_node(&p->x->sink, rec_conn_id(p->t->owner), p->t->id, path, len, b);
}

/* What it wrote that was so when it began: by now it may be otherwise, and it is to be so again. */
static int put_unchanged(struct export *x, const struct txn *t, const struct txn_access *a)
{
	const struct node *was = store_find_node(t->base, a->path, a->len);
	const struct node *is = store_find_node(t->tree.root, a->path, a->len);

	if (!a->wrote || !was || !is || !tree_same_node(was, is))
		return 0;
	return rec_put_node(&x->sink, rec_conn_id(t->owner), t->id, a->path, a->len, is);
}

/* What it touched, and what it made of the subtrees. */
static int put_touched(struct export *x, const struct txn *t)
{
	struct pending p = { .x = x, .t = t };
	uint64_t extra = t->charge - TXN_CHARGE;
	const struct txn_access *a;
	int r;

	list_for_each(a, &t->order, link)
		extra -= TXN_NODE_CHARGE + a->len;
	r = rec_put_txn_state(&x->sink, t, extra);
	list_for_each(a, &t->order, link)
		if (!r)
			r = rec_put_txn_touched(&x->sink, t, a->path, a->len, a->saw, a->wrote);
	for (size_t i = 0; i < x->n_tops && !r; i++) {
		const struct path *top = x->top[i];

		r = tree_diff(top->str, top->len, store_find_node(t->base, top->str, top->len),
			      store_find_node(t->tree.root, top->str, top->len), put_pending, &p);
		if (!r)
			r = p.r;
	}
	list_for_each(a, &t->order, link)
		if (!r)
			r = put_unchanged(x, t, a);
	return r;
}

static int put_txns(struct export *x)
{
	struct drover_record rec = { .type = DROVER_RECORD_TXN };
	struct conn *c = x->d->conn;
	struct txn *t;
	int r = 0;

	rec.txn.conn_id = rec_conn_id(c);
	for (t = txn_first(&c->txns); t && !r; t = txn_next(t)) {
		rec.txn.tx_id = t->id;
		r = put(x, &rec);
		if (!r && goes_on(x, t))
			r = put_touched(x, t);
	}
	return r;
}

/* --- all --------------------------------------------------------------------------------- */

static int put_conn(struct export *x)
{
	const struct conn *c = x->d->conn;
	const struct watch *w;
	int r;

	r = rec_put_connection(&x->sink, c, -1, false);
	if (!r)
		r = rec_put_conn_state(&x->sink, c);
	for (w = watch_first(&c->watcher); w && !r; w = watch_next(w))
		r = rec_put_watch(&x->sink, w, false, false);
	return r;
}

static int put_all(struct export *x)
{
	const struct drover_record end = { .type = DROVER_RECORD_END };
	int r;

	r = reserve(x, DROVER_IMAGE_HEADER_LEN);
	if (r)
		return r;
	drover_image_header_encode(&format, x->buf);
	x->len = DROVER_IMAGE_HEADER_LEN;
	r = rec_put_domain_state(&x->sink, x->d);
	if (!r && x->d->conn)
		r = put_conn(x);
	if (!r)
		r = put_nodes(x);
	if (!r && x->d->conn)
		r = put_txns(x);
	return r ? r : put(x, &end);
}

int domain_image_export(struct core *core, uint16_t domid, const struct path *paths, size_t n,
			uint8_t **ret, size_t *ret_len, char *why)
{
	struct export x = { .core = core, .why = why };
	int r;

	x.d = domain_find(&core->domains, domid);
	x.sink = (struct state_sink){ .put = put, .data = &x };
	if (!x.d || x.d->orphans) {
		snprintf(why, CORE_WHY_MAX, "there is no domain %u", domid);
		return ENOENT;
	}
	if (x.d->conn && (!x.d->quiesced || conn_is_busy(x.d->conn))) {
		snprintf(why, CORE_WHY_MAX, "domain %u is not quiesced", domid);
		return EBUSY;
	}
	r = find_tops(&x, paths, n);
	if (!r)
		r = put_all(&x);
	free(x.top);
	if (r) {
		free(x.buf);
		return r;
	}
	*ret = x.buf;
	*ret_len = x.len;
	return 0;
}
