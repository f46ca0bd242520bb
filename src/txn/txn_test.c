/* SPDX-License-Identifier: MIT */
/*
 * What a transaction is charged, how long it may keep former state alive, and that a failing
 * allocation changes nothing.
 */
#include "base/alloc_test.h"
#include "base/own.h"
#include "txn/ground_test.h"

static void a_touched_node_is_charged_once_and_given_back(void **state)
{
	struct ground *g = ground_new();
	struct budget *b = &g->budget[3];
	struct txn *t = ground_start(g, 3);

	(void)state;
	assert_int_equal(b->used[QUOTA_TRANSACTIONS], 1);
	assert_int_equal(b->used[QUOTA_MEMORY], TXN_CHARGE);
	assert_int_equal(ground_run(g, t, "r/abc r/abc e/abc"), 0);
	assert_int_equal(b->used[QUOTA_MEMORY], TXN_CHARGE + TXN_NODE_CHARGE + 4);
	txn_charge(t, 100);
	assert_int_equal(b->used[QUOTA_MEMORY], TXN_CHARGE + TXN_NODE_CHARGE + 104);
	txn_free(&g->store, &g->set, t);
	assert_int_equal(b->used[QUOTA_MEMORY], 0);
	assert_int_equal(b->used[QUOTA_TRANSACTIONS], 0);
	ground_free(g);
}

static void a_transaction_touches_as_many_nodes_as_its_quota_and_no_more(void **state)
{
	struct ground *g = ground_new();
	struct txn *t;

	(void)state;
	g->budget[3].limits.hard[QUOTA_TRANSACTION_NODES] = 3;
	t = ground_start(g, 3);
	assert_int_equal(ground_run(g, t, "r/a r/b r/c r/a w/b=1"), ENOSPC); /* "/" is a fourth */
	assert_int_equal(ground_run(g, t, "r/d"), ENOSPC);
	assert_int_equal(ground_run(g, t, "r/c"), 0);
	assert_int_equal(t->n_accesses, 3);
	ground_free(g);
}

static void ids_are_found_and_listed_in_order(void **state)
{
	struct ground *g = ground_new();
	struct txn *a = ground_start(g, 1), *b = ground_start(g, 1), *c = ground_start(g, 1);

	(void)state;
	assert_ptr_equal(txn_find(&g->set, b->id), b);
	assert_null(txn_find(&g->set, 99));
	assert_ptr_equal(txn_first(&g->set), a);
	assert_ptr_equal(txn_next(a), b);
	txn_free(&g->store, &g->set, b);
	assert_ptr_equal(txn_next(a), c);
	assert_null(txn_next(c));
	ground_free(g);
}

/* Values of 4000 octets written anew until so many octets of former ones were left behind. */
static void churn(struct ground *g, uint64_t octets)
{
	static char value[4000];
	uint64_t to = g->store.heap.retained + octets;

	while (g->store.heap.retained < to) {
		struct node *old = node_take(g->store.live.root);

		value[0]++;
		assert_int_equal(
			tree_set_value(&g->store, &g->store.live, "/a", 2, value, sizeof(value)),
			0);
		store_discard(&g->store, old, false);
		store_reap(&g->store, 100);
	}
}

static void guests_snapshots_that_keep_too_much_let_go_oldest_first(void **state)
{
	struct ground *g = ground_new();
	struct txn *old, *young, *dom0;
	struct txn_conflict lost;

	(void)state;
	assert_int_equal(ground_run(g, NULL, "w/a=1"), 0);
	dom0 = ground_start(g, 0);
	old = ground_start(g, 3);
	churn(g, TXN_RETAINED_MAX / 2);
	young = ground_start(g, 4);
	churn(g, TXN_RETAINED_MAX / 2 + 8192);
	txn_limit_retained(&g->store, &g->ages);
	assert_true(old->doomed);
	assert_false(young->doomed);
	assert_false(dom0->doomed);
	/* it goes on, on what is there now, and ends in EAGAIN though it wrote nothing */
	assert_int_equal(ground_run(g, old, "r/a"), 0);
	assert_int_equal(txn_commit(&g->g, old, &g->me, &lost), EAGAIN);
	assert_int_equal(lost.len, 2);
	assert_memory_equal(lost.path, "/a", 2);
	churn(g, TXN_RETAINED_MAX / 2);
	txn_limit_retained(&g->store, &g->ages);
	assert_true(young->doomed);
	ground_free(g);
}

/* One that let go holds a new snapshot: it is let go of, too, when that has grown old. */
static void who_let_go_once_does_so_again(void **state)
{
	struct ground *g = ground_new();
	struct node *first;
	struct txn *t;

	(void)state;
	assert_int_equal(ground_run(g, NULL, "w/a=1"), 0);
	t = ground_start(g, 3);
	churn(g, TXN_RETAINED_MAX + 8192);
	txn_limit_retained(&g->store, &g->ages);
	assert_true(t->doomed);
	first = t->tree.root;
	churn(g, 8192);
	txn_limit_retained(&g->store, &g->ages);
	assert_ptr_equal(t->tree.root, first);
	churn(g, TXN_RETAINED_MAX);
	txn_limit_retained(&g->store, &g->ages);
	assert_ptr_equal(t->tree.root, g->store.live.root);
	ground_free(g);
}

static void a_commit_without_memory_changes_and_tells_nothing(void **state)
{
	static const struct {
		const char *before, *in, *after;
	} table[] = {
		{ "w/a=1", "w/a=22", "/a=22" },
		{ "m/p", "m/p/1 m/p/2/3", "/p /p/1 /p/2 /p/2/3" },
		{ "w/a/b=1 w/c=1", "x/a p/c=3 w/d=4", "/c=1:3 /d=4" },
		{ "w/a/b=1", "x/a w/a/b=2 p/a/b=4", "/a /a/b=2:4" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct ground *g = ground_new();
		char before[GROUND_TEXT], text[GROUND_TEXT];
		struct txn_conflict lost;
		unsigned long n = 1;
		struct txn *t;
		int r;

		assert_int_equal(ground_run(g, NULL, table[i].before), 0);
		ground_watch(g, "/");
		t = ground_start(g, 0);
		assert_int_equal(ground_run(g, t, table[i].in), 0);
		tree_text(g->store.live.root, before);
		for (;; n++) {
			alloc_fail_nth(n, true);
			r = txn_commit(&g->g, t, &g->me, &lost);
			alloc_fail_end();
			if (!r)
				break; /* what failed, if anything, was room to free in slices */
			assert_int_equal(r, -ENOMEM);
			assert_string_equal(tree_text(g->store.live.root, text), before);
			assert_string_equal(g->events, "");
			ground_check(g);
		}
		assert_in_range(n, 2, 60);
		assert_string_equal(tree_text(g->store.live.root, text), table[i].after);
		txn_free(&g->store, &g->set, t);
		ground_check(g);
		ground_free(g);
	}
}

static void a_start_without_memory_starts_nothing(void **state)
{
	struct ground *g = ground_new();
	struct txn *t;

	(void)state;
	alloc_fail_nth(1, false);
	assert_int_equal(txn_new(&g->store, &g->set, &g->ages, &g->budget[3], 1, 0, &t), -ENOMEM);
	alloc_fail_end();
	assert_null(txn_first(&g->set));
	ground_check(g);
	ground_free(g);
}

/* A hundred transactions of a hundred writes each, ended in any order: nothing is left. */
static void many_transactions_at_once_leave_nothing(void **state)
{
	struct ground *g = ground_new();
	struct txn_conflict lost;
	struct txn *t[50];
	char word[64];

	(void)state;
	for (unsigned int i = 0; i < 50; i++) {
		t[i] = ground_start(g, 3);
		for (unsigned int k = 0; k < 40; k++) {
			snprintf(word, sizeof(word), "w/d%u/%u=%u", k % 7, (i + k) % 11, i);
			assert_int_equal(ground_run(g, t[i], word), 0);
		}
	}
	for (unsigned int i = 0; i < 50; i++) {
		struct txn *x = t[i * 7 % 50];

		if (i % 3)
			txn_commit(&g->g, x, &g->me, &lost);
		txn_free(&g->store, &g->set, x);
		ground_check(g);
	}
	while (store_reap(&g->store, 64))
		;
	assert_int_equal(g->budget[3].used[QUOTA_MEMORY], 0);
	ground_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_touched_node_is_charged_once_and_given_back),
		cmocka_unit_test(a_transaction_touches_as_many_nodes_as_its_quota_and_no_more),
		cmocka_unit_test(ids_are_found_and_listed_in_order),
		cmocka_unit_test(guests_snapshots_that_keep_too_much_let_go_oldest_first),
		cmocka_unit_test(who_let_go_once_does_so_again),
		cmocka_unit_test(a_commit_without_memory_changes_and_tells_nothing),
		cmocka_unit_test(a_start_without_memory_starts_nothing),
		cmocka_unit_test(many_transactions_at_once_leave_nothing),
	};

	return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
