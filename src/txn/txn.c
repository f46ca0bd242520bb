/* SPDX-License-Identifier: MIT */
/*
 * Open transactions. Invariant: an access says what was seen of the snapshot before the
 * transaction itself wrote that aspect; its charge stands in the owner's budget until txn_free.
 */
#include "txn/txn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "txn/access.h"

static int id_cmp(const struct txn *a, const struct txn *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

static int bytes_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

static int access_cmp(const struct txn_access *a, const struct txn_access *b)
{
	return bytes_cmp(a->path, a->len, b->path, b->len);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_STATIC(txn_set, txn, by_id, id_cmp)
RB_GENERATE_STATIC(txn_accesses, txn_access, by_path, access_cmp)
#pragma GCC diagnostic pop

void txn_ages_init(struct txn_ages *ages)
{
	list_init(&ages->oldest_first);
}

void txn_set_init(struct txn_set *set)
{
	RB_INIT(set);
}

struct txn *txn_find(struct txn_set *set, uint32_t id)
{
	struct txn key = { .id = id };

	return RB_FIND(txn_set, set, &key);
}

struct txn *txn_first(struct txn_set *set)
{
	return RB_MIN(txn_set, set);
}

struct txn *txn_next(struct txn *t)
{
	return RB_NEXT(txn_set, NULL, t);
}

void txn_sum_add(struct txn_sum *sum, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct txn_delta *d;
	size_t i;

	for (i = 0; i < sum->n; i++)
		if (sum->delta[i].domid == domid)
			break;
	if (i == sum->n) {
		d = realloc(sum->delta, (i + 1) * sizeof(*d));
		if (!d) {
			sum->failed = true;
			return;
		}
		sum->delta = d;
		sum->delta[sum->n++] = (struct txn_delta){ .domid = domid };
	}
	sum->delta[i].nodes += nodes;
	sum->delta[i].octets += octets;
}

void txn_sum_fini(struct txn_sum *sum)
{
	free(sum->delta);
	*sum = (struct txn_sum){ 0 };
}

static void sum_charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	txn_sum_add(data, domid, nodes, octets);
}

static void sum_changed(void *data, const char *path, size_t len, const struct node *n)
{
	struct txn *t = CONTAINER_OF(data, struct txn, sum);

	if (t->ops)
		t->ops->edited(t, path, len, n);
}

static const struct tree_ops sum_ops = { .charge = sum_charge, .changed = sum_changed };

int txn_new(struct store *s, struct txn_set *set, struct txn_ages *ages, struct budget *budget,
	    uint32_t id, uint64_t deaths, struct txn **ret)
{
	struct txn *t = calloc(1, sizeof(*t));

	if (!t)
		return FAULT(-ENOMEM);
	t->id = id;
	t->base = node_take(s->live.root);
	t->tree.root = node_take(s->live.root);
	t->tree.ops = &sum_ops;
	t->tree.data = &t->sum;
	RB_INIT(&t->accesses);
	list_init(&t->order);
	list_init(&t->by_age);
	t->budget = budget;
	t->charge = TXN_CHARGE;
	t->retained_at_start = s->heap.retained;
	t->deaths_at_start = deaths;
	t->serial = ++s->gen;
	budget_add(budget, QUOTA_TRANSACTIONS, 1);
	budget_add(budget, QUOTA_MEMORY, t->charge);
	if (!budget->exempt)
		list_append(&ages->oldest_first, &t->by_age);
	RB_INSERT(txn_set, set, t);
	*ret = t;
	return 0;
}

void txn_free(struct store *s, struct txn_set *set, struct txn *t)
{
	struct txn_access *a;

	if (!t)
		return;
	if (t->ops)
		t->ops->ended(t);
	RB_REMOVE(txn_set, set, t);
	list_remove(&t->by_age);
	list_for_each(a, &t->order, link)
		free(a);
	txn_sum_fini(&t->sum);
	store_discard(s, t->base, false);
	store_discard(s, t->tree.root, false);
	budget_sub(t->budget, QUOTA_TRANSACTIONS, 1);
	budget_sub(t->budget, QUOTA_MEMORY, t->charge);
	free(t);
}

struct txn_access *txn_access_find(struct txn *t, const char *path, size_t len)
{
	struct txn_access *a = RB_ROOT(&t->accesses);

	while (a) {
		int c = bytes_cmp(path, len, a->path, a->len);

		if (!c)
			return a;
		a = c < 0 ? RB_LEFT(a, by_path) : RB_RIGHT(a, by_path);
	}
	return NULL;
}

static void charge(struct txn *t, uint64_t octets)
{
	t->charge += octets;
	budget_add(t->budget, QUOTA_MEMORY, octets);
}

void txn_charge(struct txn *t, uint64_t octets)
{
	charge(t, octets);
	if (t->ops && octets)
		t->ops->charged(t, octets);
}

static int access_new(struct txn *t, const char *path, size_t len, struct txn_access **ret)
{
	struct txn_access *a;

	if (budget_check_value(t->budget, QUOTA_TRANSACTION_NODES, t->n_accesses + 1))
		return ENOSPC;
	a = malloc(sizeof(*a) + len);
	if (!a)
		return FAULT(-ENOMEM);
	a->saw = a->wrote = 0;
	a->len = (uint16_t)len;
	memcpy(a->path, path, len);
	RB_INSERT(txn_accesses, &t->accesses, a);
	list_append(&t->order, &a->link);
	t->n_accesses++;
	charge(t, TXN_NODE_CHARGE + len);
	*ret = a;
	return 0;
}

/* What the transaction wrote itself it does not see of others. */
static unsigned int own_aspects(unsigned int wrote)
{
	unsigned int own = 0;

	if (wrote & TXN_WROTE_VALUE)
		own |= TXN_SAW_VALUE;
	if (wrote & TXN_WROTE_PERMS)
		own |= TXN_SAW_PERMS;
	if (wrote & TXN_REMOVED)
		own |= TXN_SAW_VALUE | TXN_SAW_PERMS | TXN_SAW_EXISTENCE | TXN_SAW_CHILDREN;
	return own;
}

int txn_note(struct txn *t, const char *path, size_t len, unsigned int saw, unsigned int wrote)
{
	struct txn_access *a = txn_access_find(t, path, len);
	unsigned int fresh;
	int r;

	if (!a) {
		r = access_new(t, path, len, &a);
		if (r)
			return r;
		fresh = 1;
	} else {
		fresh = saw & ~own_aspects(a->wrote) & ~a->saw;
	}
	if (t->ops && (fresh || wrote))
		t->ops->touched(t, path, len, saw, wrote);
	a->saw |= (uint8_t)(saw & ~own_aspects(a->wrote));
	if (!wrote)
		return 0;
	t->wrote = true;
	if (a->wrote & TXN_IMPLIED && !(wrote & TXN_IMPLIED))
		a->wrote &= (uint8_t)~TXN_IMPLIED;
	if (wrote & TXN_IMPLIED && a->wrote & ~TXN_REMOVED)
		wrote &= ~TXN_IMPLIED;
	if (wrote & TXN_REMOVED)
		a->wrote = 0; /* what was done to it before is gone with it */
	a->wrote |= (uint8_t)wrote;
	return 0;
}

void txn_delta_of(const struct txn *t, uint16_t domid, int64_t *ret_nodes, int64_t *ret_octets)
{
	*ret_nodes = *ret_octets = 0;
	for (size_t i = 0; i < t->sum.n; i++) {
		if (t->sum.delta[i].domid == domid) {
			*ret_nodes = t->sum.delta[i].nodes;
			*ret_octets = t->sum.delta[i].octets;
			return;
		}
	}
}

static void credit_node(void *data, const struct node *n)
{
	txn_sum_add(data, perms_owner(n->perms), -1, -(int64_t)node_charge(n));
}

void txn_removed(struct store *s, struct txn *t, struct node *gone)
{
	bool whole;

	store_walk(gone, TXN_CREDIT_MAX, &whole, credit_node, &t->sum);
	store_discard(s, gone, false);
}

/* It becomes the youngest of all, and lets go again when what it then stands on has grown old. */
void txn_doom(struct store *s, struct txn_ages *ages, struct txn *t)
{
	t->doomed = true;
	if (t->ops)
		t->ops->doomed(t);
	if (!t->budget->exempt) {
		list_remove(&t->by_age);
		list_append(&ages->oldest_first, &t->by_age);
	}
	t->retained_at_start = s->heap.retained;
	store_discard(s, TAKE(t->base), false);
	store_discard(s, t->tree.root, false);
	t->tree.root = node_take(s->live.root);
}

void txn_limit_retained(struct store *s, struct txn_ages *ages)
{
	struct txn *t;

	while ((t = list_first(&ages->oldest_first, struct txn, by_age))) {
		if (s->heap.retained - t->retained_at_start <= TXN_RETAINED_MAX)
			return;
		txn_doom(s, ages, t);
	}
}
