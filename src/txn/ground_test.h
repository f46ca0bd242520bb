/* SPDX-License-Identifier: MIT */
/*
 * What transactions stand on, and a small language for what they and others do, blank between
 * words: r/a read, g/a read permissions, e/a see whether it exists, d/a list, w/a=1 write,
 * m/a mkdir, x/a remove, p/a=3 give to domain 3. A tree prints as "/a=1 /a/b=2:3", the owner
 * where it is not domain 0.
 */
#ifndef DROVER_TXN_GROUND_TEST_H
#define DROVER_TXN_GROUND_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "txn/txn.h"

#define GROUND_DOMAINS 8u
#define GROUND_TEXT 8192u

struct ground {
	struct perm_table *perms;
	struct perms *owned_by[GROUND_DOMAINS];
	struct store store;
	struct watch_index watches;
	struct watcher watcher;
	struct hold_table holds;
	struct contender me;
	struct txn_ages ages;
	struct txn_set set;
	struct quota_policy policy;
	struct budget budget[GROUND_DOMAINS];
	bool gone[GROUND_DOMAINS];
	uint64_t death_of[GROUND_DOMAINS];
	struct ledger ledger;
	struct txn_ground g;
	char events[GROUND_TEXT];
	char edges[GROUND_TEXT];
	uint32_t next_id;
};

static inline struct budget *ground_budget(void *data, uint16_t domid)
{
	struct ground *g = data;

	return domid < GROUND_DOMAINS && !g->gone[domid] ? &g->budget[domid] : NULL;
}

static inline void ground_charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct budget *b = ground_budget(data, domid);

	assert_non_null(b);
	b->used[QUOTA_NODES] += (uint64_t)nodes; /* wraps downwards as it should */
	b->used[QUOTA_MEMORY] += (uint64_t)octets;
	assert_in_range(b->used[QUOTA_NODES], 0, 1u << 30);
	assert_in_range(b->used[QUOTA_MEMORY], 0, 1u << 30);
}

static inline void ground_edge(void *data, uint16_t domid, const char *path, size_t len)
{
	struct ground *g = data;
	size_t at = strlen(g->edges);

	snprintf(g->edges + at, sizeof(g->edges) - at, "%s%u:%.*s", at ? " " : "", domid, (int)len,
		 path);
}

static inline void ground_event(struct watcher *w, const struct watch *x, const char *path,
				size_t len)
{
	struct ground *g = (struct ground *)((char *)w - offsetof(struct ground, watcher));
	size_t at = strlen(g->events);

	(void)x;
	snprintf(g->events + at, sizeof(g->events) - at, "%s%.*s", at ? " " : "", (int)len, path);
}

static inline struct ground *ground_new(void)
{
	static const struct tree_ops ops = { .charge = ground_charge, .edge = ground_edge };
	static const struct siphash_key key = { 3, 4 };
	struct ground *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	g->perms = perm_table_new(&key);
	assert_non_null(g->perms);
	quota_policy_init(&g->policy);
	for (uint16_t i = 0; i < GROUND_DOMAINS; i++) {
		budget_init(&g->budget[i], &g->policy, i, NULL);
		assert_int_equal(
			perms_intern(g->perms, &(struct perm){ .domid = i }, 1, &g->owned_by[i]),
			0);
	}
	g->ledger = (struct ledger){ .find = ground_budget, .data = g, .death_of = g->death_of };
	g->store.heap.perms = g->perms;
	assert_int_equal(store_init(&g->store, g->perms, &ops, g, g->owned_by[0]), 0);
	assert_int_equal(watch_index_init(&g->watches), 0);
	watcher_init(&g->watcher);
	g->watcher.event = ground_event;
	g->watcher.budget = &g->budget[0];
	g->watcher.privileged = true;
	hold_table_init(&g->holds);
	contender_init(&g->me, true);
	txn_ages_init(&g->ages);
	txn_set_init(&g->set);
	g->g = (struct txn_ground){
		.store = &g->store, .watches = &g->watches, .ledger = &g->ledger, .holds = &g->holds
	};
	return g;
}

/* Everything is given back: budgets, lists, watches. */
static inline void ground_free(struct ground *g)
{
	struct txn *t;

	while ((t = txn_first(&g->set)))
		txn_free(&g->store, &g->set, t);
	watch_remove_some(&g->watches, &g->watcher, SIZE_MAX);
	watch_index_fini(&g->watches);
	contender_fini(&g->holds, &g->me);
	store_fini(&g->store);
	for (unsigned int i = 0; i < GROUND_DOMAINS; i++) {
		budget_fini(&g->budget[i]);
		perms_release(g->perms, g->owned_by[i]);
	}
	perm_table_free(g->perms);
	free(g);
}

static inline struct txn *ground_start(struct ground *g, uint16_t domid)
{
	struct txn *t;

	assert_int_equal(txn_new(&g->store, &g->set, &g->ages, &g->budget[domid], ++g->next_id,
				 g->ledger.deaths, &t),
			 0);
	return t;
}

/* --- one word ---------------------------------------------------------------------------- */

struct word {
	char verb;
	const char *path, *arg; /* arg: after '=', or "" */
	size_t len;
	char text[512];
};

static inline const char *word_next(const char *script, struct word *w)
{
	size_t n = strcspn(script, " ");
	char *eq;

	assert_in_range(n, 2, sizeof(w->text) - 1);
	memcpy(w->text, script, n);
	w->text[n] = '\0';
	w->verb = w->text[0];
	w->path = w->text + 1;
	eq = strchr(w->text, '=');
	w->arg = eq ? eq + 1 : "";
	w->len = (eq ? (size_t)(eq - w->text) : n) - 1;
	return script + n + (script[n] == ' ');
}

static inline int ground_note(struct txn *t, const char *path, size_t len, unsigned int saw,
			      unsigned int wrote)
{
	return t ? txn_note(t, path, len, saw, wrote) : 0;
}

static inline int ground_create(struct ground *g, struct txn *t, const struct word *w,
				const struct store_pos *pos)
{
	size_t at = pos->ancestor_len == 1 ? 0 : pos->ancestor_len, name_len;
	const char *name;
	int r;

	r = ground_note(t, w->path, pos->ancestor_len, TXN_SAW_PERMS, 0);
	while (!r && path_next(w->path, w->len, &at, &name, &name_len)) {
		bool last = at == w->len;

		r = ground_note(t, w->path, at, last ? 0 : TXN_SAW_EXISTENCE,
				!last ? TXN_CREATED | TXN_IMPLIED
				      : TXN_CREATED | (w->verb == 'w' ? TXN_WROTE_VALUE : 0u));
	}
	return r ? r
		 : tree_create(&g->store, t ? &t->tree : &g->store.live, w->path, w->len,
			       pos->ancestor->perms, w->arg, strlen(w->arg));
}

static inline int ground_edit(struct ground *g, struct txn *t, const struct word *w,
			      const struct store_pos *pos)
{
	struct tree *tree = t ? &t->tree : &g->store.live;
	struct node *gone;
	int r;

	switch (w->verb) {
	case 'w':
		if (!pos->node)
			return ground_create(g, t, w, pos);
		r = ground_note(t, w->path, w->len, 0, TXN_WROTE_VALUE);
		return r ? r
			 : tree_set_value(&g->store, tree, w->path, w->len, w->arg, strlen(w->arg));
	case 'm':
		r = ground_note(t, w->path, w->len, TXN_SAW_EXISTENCE, 0);
		return r || pos->node ? r : ground_create(g, t, w, pos);
	case 'p':
		r = ground_note(t, w->path, w->len, 0, TXN_WROTE_PERMS);
		return r ? r
			 : tree_set_perms(&g->store, tree, w->path, w->len,
					  g->owned_by[atoi(w->arg)]);
	case 'x':
		if (!pos->node)
			return ground_note(t, w->path, w->len, TXN_SAW_EXISTENCE, 0);
		r = ground_note(t, w->path, w->len, 0, TXN_REMOVED);
		if (!r)
			r = tree_remove(&g->store, tree, w->path, w->len, &gone);
		if (!r && t)
			txn_removed(&g->store, t, gone);
		else if (!r)
			store_discard(&g->store, gone, true);
		return r;
	default:
		fail_msg("no such verb: %s", w->text);
		return EINVAL;
	}
}

/* Runs a script in t, or outside of any where it is NULL. The first error. */
static inline int ground_run(struct ground *g, struct txn *t, const char *script)
{
	static const struct {
		char verb;
		unsigned int saw;
	} looks[] = { { 'r', TXN_SAW_VALUE },
		      { 'g', TXN_SAW_PERMS },
		      { 'e', TXN_SAW_EXISTENCE },
		      { 'd', TXN_SAW_CHILDREN } };
	struct store_pos pos;
	struct word w;
	int r = 0;

	while (*script && !r) {
		unsigned int saw = 0;

		script = word_next(script, &w);
		for (size_t i = 0; i < 4; i++)
			saw |= w.verb == looks[i].verb ? looks[i].saw : 0;
		store_find(t ? t->tree.root : g->store.live.root, w.path, w.len, &pos);
		if (saw)
			r = ground_note(t, w.path, w.len, pos.node ? saw : TXN_SAW_EXISTENCE, 0);
		else
			r = ground_edit(g, t, &w, &pos);
	}
	return r;
}

/* --- looking ----------------------------------------------------------------------------- */

static inline void print_below(const struct node *n, const char *path, char *out)
{
	struct node_iter it;
	const struct node *c;
	char own[512];

	node_iter_init(&it, n->kids);
	while ((c = node_iter_next(&it))) {
		size_t at = strlen(out);

		assert_in_range(strlen(path) + c->name_len, 1, sizeof(own) - 2);
		memcpy(stpcpy(stpcpy(own, path), "/"), c->data, c->name_len);
		own[strlen(path) + 1 + c->name_len] = '\0';
		snprintf(out + at, GROUND_TEXT - at, "%s%s%s%.*s", at ? " " : "", own,
			 c->value_len ? "=" : "", (int)c->value_len, node_value(c));
		at = strlen(out);
		if (perms_owner(c->perms))
			snprintf(out + at, GROUND_TEXT - at, ":%u", perms_owner(c->perms));
		print_below(c, own, out);
	}
}

static inline const char *tree_text(const struct node *root, char *out)
{
	out[0] = '\0';
	print_below(root, "", out);
	return out;
}

static inline void count_node(void *data, const struct node *n)
{
	uint64_t(*sum)[2] = data;

	sum[perms_owner(n->perms)][0]++;
	sum[perms_owner(n->perms)][1] += node_charge(n);
}

/* Whether budgets come to what the live tree, open transactions and the watches do. */
static inline void ground_check(struct ground *g)
{
	uint64_t sum[GROUND_DOMAINS][2] = { 0 };
	const struct watch *x;
	char path[XENSTORE_ABS_PATH_MAX + 1];
	struct txn *t;
	bool whole;

	store_settle(&g->store);
	store_walk(g->store.live.root, SIZE_MAX, &whole, count_node, sum);
	for (t = txn_first(&g->set); t; t = txn_next(t))
		sum[t->budget->domid][1] += t->charge;
	for (x = watch_first(&g->watcher); x; x = watch_next(x))
		sum[0][1] += watch_charge(path, watch_path(x, path), x->token_len);
	for (unsigned int i = 0; i < GROUND_DOMAINS; i++) {
		if (g->gone[i])
			continue;
		assert_int_equal(g->budget[i].used[QUOTA_NODES], sum[i][0]);
		assert_int_equal(g->budget[i].used[QUOTA_MEMORY], sum[i][1]);
	}
}

static inline void ground_watch(struct ground *g, const char *path)
{
	assert_int_equal(watch_add(&g->watches, &g->watcher, path, strlen(path), "t", 1,
				   WATCH_DEPTH_ANY, false, NULL),
			 0);
}

#endif
