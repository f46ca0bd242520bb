/* SPDX-License-Identifier: MIT */
/*
 * The model's transactions: a copy of everything, and what was touched. A commit conflicts where
 * an aspect that was seen is not as it was (docs/decisions/0003).
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static struct maccess *access_find(const struct mtxn *t, const char *path, size_t len)
{
	struct maccess *a;

	for (a = t->access; a; a = a->next)
		if (a->len == len && !memcmp(a->path, path, len))
			return a;
	return NULL;
}

int mcall_note(struct mcall *o, const char *path, size_t len, unsigned int saw, unsigned int wrote)
{
	struct mtxn *t = o->txn;
	struct maccess *a, **at;
	uint64_t limit;
	unsigned int own = 0;

	if (!t)
		return 0;
	a = access_find(t, path, len);
	if (!a) {
		limit = model_limit(o->m, o->c->domid, QUOTA_TRANSACTION_NODES);
		if (limit && !model_is_exempt(o->m, o->c->domid) && t->n_accesses >= limit)
			return ENOSPC;
		a = calloc(1, sizeof(*a) + len);
		assert(a);
		a->len = len;
		memcpy(a->path, path, len);
		for (at = &t->access; *at; at = &(*at)->next)
			;
		*at = a;
		t->n_accesses++;
	}
	/* what the transaction made itself it does not see of others */
	if (a->wrote & TXN_WROTE_VALUE)
		own |= TXN_SAW_VALUE;
	if (a->wrote & TXN_WROTE_PERMS)
		own |= TXN_SAW_PERMS;
	if (a->wrote & TXN_REMOVED)
		own |= TXN_SAW_VALUE | TXN_SAW_PERMS | TXN_SAW_EXISTENCE | TXN_SAW_CHILDREN;
	a->saw |= saw & ~own;
	if (!wrote)
		return 0;
	t->wrote = true;
	if (!(wrote & TXN_IMPLIED))
		a->wrote &= ~TXN_IMPLIED;
	else if (a->wrote & ~TXN_REMOVED)
		wrote &= ~TXN_IMPLIED;
	if (wrote & TXN_REMOVED)
		a->wrote = 0;
	a->wrote |= wrote;
	return 0;
}

int model_start(struct mcall *o)
{
	struct model *m = o->m;
	uint64_t limit = model_limit(m, o->c->domid, QUOTA_TRANSACTIONS), n = 0;
	struct mtxn *t;

	if (o->txn)
		return EBUSY;
	for (t = o->c->txn; t; t = t->next)
		n++;
	if (!o->c->privileged && limit && n >= limit)
		return ENOSPC;
	t = calloc(1, sizeof(*t));
	assert(t);
	t->id = o->c->last_tx + 1;
	t->deaths = m->deaths;
	mtree_copy(&t->base, &m->live);
	mtree_copy(&t->tree, &m->live);
	t->next = o->c->txn;
	o->c->txn = t;
	o->reply->len = (size_t)sprintf(o->reply->data, "%u", t->id) + 1;
	o->c->last_tx = t->id;
	return 0;
}

static bool still_so(const struct mtxn *t, const struct mtree *now, const struct maccess *a)
{
	const struct mnode *x = mtree_find(&t->base, a->path, a->len);
	const struct mnode *y = mtree_find(now, a->path, a->len);

	if (!x || !y)
		return !x && !y;
	if (a->saw & TXN_SAW_VALUE &&
	    (x->value_len != y->value_len || memcmp(x->value, y->value, x->value_len)))
		return false;
	if (a->saw & TXN_SAW_PERMS && !mperms_equal(&x->perms, &y->perms))
		return false;
	return !(a->saw & TXN_SAW_CHILDREN) || mtree_same_children(&t->base, now, a->path, a->len);
}

/* A missing node and its missing parents: as the transaction made them, else as a WRITE would. */
static void apply_create(struct mtree *work, const struct mtxn *t, const char *path, size_t len)
{
	for (size_t at = 1; at <= len; at++) {
		const struct maccess *a;
		const struct mnode *mine;
		const struct mperms *p;
		bool value;

		if (at < len && path[at] != '/')
			continue;
		if (mtree_find(work, path, at))
			continue;
		a = access_find(t, path, at);
		mine = mtree_find(&t->tree, path, at);
		p = &mtree_parent(work, path, at)->perms;
		if (mine && a && a->wrote & (TXN_CREATED | TXN_WROTE_PERMS))
			p = &mine->perms;
		value = mine && a && a->wrote & TXN_WROTE_VALUE;
		mtree_put(work, path, at, value ? mine->value : "", value ? mine->value_len : 0, p);
	}
}

static void apply(struct mtree *work, const struct mtxn *t)
{
	const struct maccess *a;

	for (a = t->access; a; a = a->next)
		if (a->wrote & TXN_REMOVED)
			mtree_remove_below(work, a->path, a->len);
	for (a = t->access; a; a = a->next) {
		const struct mnode *mine = mtree_find(&t->tree, a->path, a->len), *now;

		if (!(a->wrote & ~TXN_REMOVED) || !mine)
			continue;
		now = mtree_find(work, a->path, a->len);
		if (!now) {
			apply_create(work, t, a->path, a->len);
			continue;
		}
		if (a->wrote & TXN_WROTE_VALUE)
			mtree_put(work, a->path, a->len, mine->value, mine->value_len, &now->perms);
		now = mtree_find(work, a->path, a->len);
		if (a->wrote & TXN_WROTE_PERMS)
			mtree_put(work, a->path, a->len, now->value, now->value_len, &mine->perms);
	}
}

/* Nodes and octets that the commit makes for domid, what it removes left out. */
static void made_for(const struct model *m, const struct mtxn *t, const struct mtree *work,
		     uint16_t domid, int64_t *nodes, int64_t *octets)
{
	struct mtree left;
	int64_t n, x;

	mtree_copy(&left, &m->live);
	for (const struct maccess *a = t->access; a; a = a->next)
		if (a->wrote & TXN_REMOVED)
			mtree_remove_below(&left, a->path, a->len);
	mtree_owned(&left, domid, &n, &x);
	mtree_owned(work, domid, nodes, octets);
	*nodes -= n;
	*octets -= x;
	mtree_fini(&left);
}

/* Whether the owners may have what the commit makes for them. */
static int reserve(const struct mcall *o, const struct mtxn *t, const struct mtree *work)
{
	struct model *m = o->m;

	for (uint16_t d = 0; d < MODEL_DOMIDS; d++) {
		int64_t nodes, octets, had, had_octets, has, has_octets;
		uint64_t limit = model_limit(m, d, QUOTA_NODES);

		made_for(m, t, work, d, &nodes, &octets);
		if (nodes <= 0 && octets <= 0)
			continue;
		if (!m->dom[d].known || m->dom[d].died > t->deaths)
			return EAGAIN;
		mtree_owned(&m->live, d, &had, &had_octets);
		mtree_owned(work, d, &has, &has_octets);
		if (!o->c->privileged && !model_is_exempt(m, d) && limit && has > had &&
		    (uint64_t)has > limit)
			return ENOSPC;
	}
	return 0;
}

static void publish(struct mcall *o, const struct mtxn *t, const struct mtree *before)
{
	struct model *m = o->m;
	unsigned int group = m->group;

	for (const struct maccess *a = t->access; a; a = a->next) {
		bool was = mtree_find(before, a->path, a->len);
		bool is = mtree_find(&m->live, a->path, a->len);
		bool removed = a->wrote & TXN_REMOVED && was;

		if (!a->wrote || (!was && !is) ||
		    (a->wrote & TXN_IMPLIED && !(a->wrote & TXN_REMOVED)))
			continue;
		if (t->fuzzy)
			m->group = group; /* what was touched first is not known either */
		model_fire(m, before, &m->live, a->path, a->len, removed);
	}
}

static int commit(struct mcall *o, struct mtxn *t)
{
	struct model *m = o->m;
	struct mtree work;
	int r;

	if (!t->wrote && !t->fuzzy)
		return 0;
	if (t->fuzzy && o->reply->actual)
		return o->reply->actual;
	for (const struct maccess *a = t->access; a && !t->fuzzy; a = a->next)
		if (a->saw && !still_so(t, &m->live, a))
			return EAGAIN;
	mtree_copy(&work, &m->live);
	apply(&work, t);
	r = reserve(o, t, &work);
	if (!r) {
		struct mtree before = m->live;

		m->live = work;
		publish(o, t, &before);
		work = before;
	}
	mtree_fini(&work);
	return r;
}

int model_end(struct mcall *o)
{
	struct mtxn *t = o->txn, **at;
	int r = 0;

	if (o->len[0] != 1 || (*o->arg[0] != 'T' && *o->arg[0] != 'F'))
		return EINVAL;
	if (!t)
		return ENOENT;
	for (at = &o->c->txn; *at != t; at = &(*at)->next)
		;
	*at = t->next;
	if (*o->arg[0] == 'T')
		r = commit(o, t);
	mtxn_free(t);
	return r;
}
