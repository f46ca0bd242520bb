/* SPDX-License-Identifier: MIT */
/*
 * CONTROL check: derives again, from the objects that exist, what the budgets say.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "op/core.h"

struct tally {
	uint64_t (*used)[QUOTA_COUNTED]; /* by domid */
};

static void tally_node(void *data, const struct node *n)
{
	struct tally *t = data;

	t->used[perms_owner(n->perms)][QUOTA_NODES]++;
	t->used[perms_owner(n->perms)][QUOTA_MEMORY] += node_charge(n);
}

static void tally_watches(struct tally *t, const struct conn *c)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	uint64_t *used = t->used[c->watcher.budget->domid];
	const struct watch *w;

	for (w = watch_first(&c->watcher); w; w = watch_next(w)) {
		size_t len = watch_path(w, path);

		used[QUOTA_WATCHES]++;
		used[QUOTA_MEMORY] += watch_charge(path, len, w->token_len);
	}
}

static void tally_conn(struct tally *t, struct conn *c)
{
	uint64_t *used = t->used[c->watcher.budget->domid];
	struct txn *x;

	tally_watches(t, c);
	for (x = txn_first(&c->txns); x; x = txn_next(x)) {
		used[QUOTA_TRANSACTIONS]++;
		used[QUOTA_MEMORY] += x->charge;
	}
	used[QUOTA_MEMORY] += c->in_len + conn_queued(c).octets;
}

static unsigned int compare(const struct domain *d, const struct tally *t)
{
	static const enum quota_id checked[] = { QUOTA_NODES, QUOTA_WATCHES, QUOTA_TRANSACTIONS,
						 QUOTA_MEMORY };
	unsigned int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(checked); i++) {
		enum quota_id q = checked[i];

		if (d->budget.used[q] == t->used[d->domid][q])
			continue;
		log_error("check: domain %u is charged %" PRIu64
			  " %s, its objects come to %" PRIu64,
			  d->domid, d->budget.used[q], quota_name(q), t->used[d->domid][q]);
		bad++;
	}
	return bad;
}

unsigned int core_check(struct core *core)
{
	struct tally t = { .used = calloc(UINT16_MAX + 1u, sizeof(*t.used)) };
	unsigned int bad = 0;
	struct domain *d;
	struct conn *c;
	bool whole;

	if (!t.used) {
		log_error("check: no memory");
		return 1;
	}
	store_settle(&core->store);
	store_walk(core->store.live.root, SIZE_MAX, &whole, tally_node, &t);
	list_for_each(c, &core->conns.all, all)
		tally_conn(&t, c);
	list_for_each(d, &core->domains.all, all)
		bad += compare(d, &t);
	free(t.used);
	return bad;
}
