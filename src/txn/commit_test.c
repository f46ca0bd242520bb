/* SPDX-License-Identifier: MIT */
/*
 * What commits, what does not, what it leaves and what it tells: docs/decisions/0003.
 */
#include "base/own.h"
#include "txn/ground_test.h"

struct race {
	const char *before;  /* done first */
	const char *in;	     /* done in the transaction */
	const char *outside; /* done by others before it ends */
	int want;	     /* what END says */
	const char *after;   /* the tree */
	const char *events;  /* what a watch of "/" is told by END; NULL: whatever */
};

static void run_race(const struct race *c)
{
	struct ground *g = ground_new();
	struct txn_conflict lost;
	char text[GROUND_TEXT];
	struct txn *t;
	int r;

	assert_int_equal(ground_run(g, NULL, c->before), 0);
	ground_watch(g, "/");
	t = ground_start(g, 0);
	assert_int_equal(ground_run(g, t, c->in), 0);
	assert_int_equal(ground_run(g, NULL, c->outside), 0);
	g->events[0] = '\0';
	r = txn_commit(&g->g, t, &g->me, &lost);
	if (r != c->want || strcmp(tree_text(g->store.live.root, text), c->after) ||
	    (c->events && strcmp(g->events, c->events)))
		fail_msg("[%s] in [%s] outside [%s]: %d, tree [%s], events [%s]", c->before, c->in,
			 c->outside, r, text, g->events);
	if (r == EAGAIN)
		assert_non_null(lost.path);
	txn_free(&g->store, &g->set, t);
	ground_check(g);
	ground_free(g);
}

static void only_a_changed_aspect_that_was_seen_conflicts(void **state)
{
	static const struct race table[] = {
		{ "w/a=1", "r/a", "w/a=2", 0, "/a=2", "" },
		{ "w/a=1", "r/a w/b=1", "w/a=2", EAGAIN, "/a=2", "" },
		{ "w/a=1", "r/a w/b=1", "w/a=1", 0, "/a=1 /b=1", "/b" },
		{ "w/a=1", "r/a w/b=1", "w/a=2 w/a=1", 0, "/a=1 /b=1", "/b" },
		{ "w/a=1", "r/a w/b=1", "x/a w/a=1", 0, "/a=1 /b=1", "/b" },
		{ "w/a=1", "r/a w/b=1", "x/a", EAGAIN, "", "" },
		{ "w/a=1", "r/a w/b=1", "p/a=3", 0, "/a=1:3 /b=1", "/b" },
		{ "w/a=1", "g/a w/b=1", "p/a=3", EAGAIN, "/a=1:3", "" },
		{ "w/a=1", "g/a w/b=1", "p/a=3 p/a=0", 0, "/a=1 /b=1", "/b" },
		{ "w/a=1", "g/a w/b=1", "w/a=2", 0, "/a=2 /b=1", "/b" },
		{ "w/a=1", "e/a w/b=1", "w/a=2 p/a=3 m/a/x", 0, "/a=2:3 /a/x:3 /b=1", "/b" },
		{ "w/a=1", "w/a=5", "w/a=2", 0, "/a=5", "/a" },
		{ "w/a=1", "w/a=5 r/a", "w/a=2", 0, "/a=5", "/a" },
		{ "w/a=1", "r/a w/a=5", "w/a=2", EAGAIN, "/a=2", "" },
		{ "w/a=1", "w/a=5 g/a", "p/a=3", EAGAIN, "/a=1:3", "" },
		{ "m/p", "m/p/1", "m/p/2", 0, "/p /p/1 /p/2", "/p/1" },
		{ "m/p", "m/p/1", "w/p=x", 0, "/p=x /p/1", "/p/1" },
		{ "m/p", "m/p/1", "p/p=3", EAGAIN, "/p:3", "" },
		{ "m/p", "m/p/1", "x/p", EAGAIN, "", "" },
		{ "m/p", "m/p/1", "m/p/1", EAGAIN, "/p /p/1", "" },
		{ "m/p", "w/p/1=1", "w/p/1=2", 0, "/p /p/1=1", "/p/1" },
		{ "", "r/a w/b=1", "w/a=1", EAGAIN, "/a=1", "" },
		{ "", "r/a/b/c w/b=1", "m/a", 0, "/a /b=1", "/b" },
		{ "m/t", "d/t w/b=1", "m/t/x", EAGAIN, "/t /t/x", "" },
		{ "m/t/x", "d/t w/b=1", "x/t/x", EAGAIN, "/t", "" },
		{ "m/t/x", "d/t w/b=1", "x/t/x m/t/y", EAGAIN, "/t /t/y", "" },
		{ "m/t/x", "d/t w/b=1", "x/t/x m/t/x", 0, "/b=1 /t /t/x", "/b" },
		{ "m/t/x", "d/t w/b=1", "m/t/x/y w/t/x=1", 0, "/b=1 /t /t/x=1 /t/x/y", "/b" },
		{ "m/t/x", "d/t w/b=1", "w/t=5", 0, "/b=1 /t=5 /t/x", "/b" },
		{ "m/t", "d/t m/t/x", "", 0, "/t /t/x", "/t/x" },
		{ "w/a=1 w/c=1", "r/a r/c", "w/a=2 x/c", 0, "/a=2", "" },
		{ "w/a=1", "x/a", "x/a", 0, "", "" },
		{ "w/a=1", "x/a", "w/a=2 m/a/y", 0, "", "/a" },
		{ "", "x/a w/b=1", "w/a=1", EAGAIN, "/a=1", "" },
		{ "", "w/a/b/c=1", "m/a/b", EAGAIN, "/a /a/b", "" },
		{ "", "w/a/b/c=1", "m/d", 0, "/a /a/b /a/b/c=1 /d", "/a/b/c" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		run_race(&table[i]);
}

static void removals_and_recreations_keep_their_order(void **state)
{
	static const struct race table[] = {
		{ "w/a=1", "x/a m/a", "", 0, "/a", "/a" },
		{ "w/a=1 m/a/x", "x/a m/a", "", 0, "/a", "/a" },
		{ "w/a=1 m/a/x", "x/a w/a/y=2", "", 0, "/a /a/y=2", "/a /a/y" },
		{ "w/a=1", "w/a=2 x/a", "", 0, "", "/a" },
		{ "", "w/a=2 x/a", "", 0, "", "" },
		{ "", "w/a/b=2 x/a", "", 0, "", "" },
		{ "", "w/a/b=2 x/a w/a/c=1", "", 0, "/a /a/c=1", NULL },
		{ "w/a/b=1", "w/a/b=2 x/a w/a/b=3", "", 0, "/a /a/b=3", NULL },
		{ "w/a/b=1", "x/a/b x/a m/a", "", 0, "/a", NULL },
		{ "w/a/b=1", "x/a/b w/a=7 x/a", "", 0, "", NULL },
		{ "w/a=1", "x/a w/a=2 x/a w/a=3", "", 0, "/a=3", "/a" },
		{ "w/a=1", "x/a w/a=2 x/a", "", 0, "", "/a" },
		{ "w/a=1", "p/a=3 x/a w/a=2", "", 0, "/a=2", "/a" },
		{ "w/a=1", "x/a w/a=2 p/a=3", "", 0, "/a=2:3", "/a" },
		{ "w/a=1", "x/a m/a p/a=3 w/a/b=1", "", 0, "/a:3 /a/b=1:3", "/a /a/b" },
		{ "w/a=1", "x/a w/a=2", "w/a=9 m/a/new", 0, "/a=2", "/a" },
		{ "w/a/b=1", "w/a/b=2", "x/a/b", 0, "/a /a/b=2", "/a/b" },
		{ "w/a/b=1", "w/a/b=2", "x/a", 0, "/a /a/b=2", "/a/b" },
		{ "w/a/b=1", "p/a/b=3", "x/a", 0, "/a /a/b:3", "/a/b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		run_race(&table[i]);
}

/* A node that was removed is told of, though the same transaction makes it again as a parent. */
static void a_removed_node_made_again_by_implication_is_still_told_of(void **state)
{
	struct ground *g = ground_new();
	struct txn_conflict lost;
	struct txn *t;

	(void)state;
	assert_int_equal(ground_run(g, NULL, "w/a/old=1"), 0);
	ground_watch(g, "/a/old");
	t = ground_start(g, 0);
	assert_int_equal(ground_run(g, t, "x/a w/a/new=1"), 0);
	assert_int_equal(txn_commit(&g->g, t, &g->me, &lost), 0);
	assert_string_equal(g->events, "/a/old");
	txn_free(&g->store, &g->set, t);
	ground_free(g);
}

static void a_commit_that_passes_a_quota_changes_nothing(void **state)
{
	static const struct {
		enum quota_id q;
		uint64_t limit;
		const char *in;
		int want;
	} table[] = {
		{ QUOTA_NODES, 2, "m/h/1", 0 },
		{ QUOTA_NODES, 2, "m/h/1 m/h/2", ENOSPC },
		{ QUOTA_NODES, 2, "x/h/0 m/h/1", 0 },
		{ QUOTA_NODES, 2, "x/h/0 m/h/1 m/h/2", 0 },
		{ QUOTA_NODES, 2, "x/h/0 m/h/1 m/h/2 m/h/3", ENOSPC },
		{ QUOTA_NODES, 3, "m/h/1/2", 0 },
		{ QUOTA_NODES, 2, "m/h/1/2", ENOSPC },
		{ QUOTA_NODES, 2, "m/z p/z=3", 0 },
		{ QUOTA_NODES, 1, "m/z p/z=3", ENOSPC },
		{ QUOTA_NODES, 1, "p/h/0=4 m/h/1 p/h/1=0 w/h=1", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct ground *g = ground_new();
		char before[GROUND_TEXT], after[GROUND_TEXT];
		struct txn_conflict lost;
		struct txn *t;

		assert_int_equal(ground_run(g, NULL, "m/h/0 p/h/0=3"), 0);
		assert_int_equal(ground_run(g, NULL, "p/h=3"), 0);
		/* /h itself counts for domain 3, too: one more than the table says */
		g->budget[3].limits.hard[table[i].q] = table[i].limit + 1;
		ground_watch(g, "/");
		t = ground_start(g, 4);
		assert_int_equal(ground_run(g, t, table[i].in), 0);
		tree_text(g->store.live.root, before);
		if (txn_commit(&g->g, t, &g->me, &lost) != table[i].want)
			fail_msg("row %zu", i);
		tree_text(g->store.live.root, after);
		assert_int_equal(!strcmp(before, after), table[i].want != 0);
		assert_int_equal(!g->events[0], table[i].want != 0);
		assert_int_equal(g->budget[3].counters->refused[table[i].q], table[i].want != 0);
		txn_free(&g->store, &g->set, t);
		ground_check(g);
		ground_free(g);
	}
}

/* Outside of a transaction the control domain may pass a guest's quota: in one, too. */
static void the_control_domain_commits_past_a_guests_quota(void **state)
{
	struct ground *g = ground_new();
	struct txn_conflict lost;
	struct txn *t;

	(void)state;
	g->budget[3].limits.hard[QUOTA_NODES] = 1;
	t = ground_start(g, 0);
	assert_int_equal(ground_run(g, t, "m/a p/a=3 m/a/b m/a/c"), 0);
	assert_int_equal(txn_commit(&g->g, t, &g->me, &lost), 0);
	txn_free(&g->store, &g->set, t);
	ground_check(g);
	ground_free(g);
}

static void nobody_who_died_since_becomes_an_owner(void **state)
{
	static const struct {
		const char *in;
		bool again; /* the id is in use anew */
		int want;
	} table[] = {
		{ "m/a p/a=3", false, EAGAIN }, { "m/a p/a=3", true, EAGAIN },
		{ "m/h/x", false, EAGAIN }, /* /h was domain 3's and went with it */
		{ "w/b=1", false, 0 },		{ "w/b=1", true, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct ground *g = ground_new();
		struct txn_conflict lost;
		char text[GROUND_TEXT];
		struct txn *t;

		assert_int_equal(ground_run(g, NULL, "m/h p/h=3"), 0);
		t = ground_start(g, 0);
		assert_int_equal(ground_run(g, t, table[i].in), 0);
		assert_int_equal(ground_run(g, NULL, "x/h"), 0);
		store_settle(&g->store);
		g->death_of[3] = ++g->ledger.deaths;
		g->gone[3] = !table[i].again;
		assert_int_equal(txn_commit(&g->g, t, &g->me, &lost), table[i].want);
		assert_string_equal(tree_text(g->store.live.root, text),
				    table[i].want ? "" : "/b=1");
		txn_free(&g->store, &g->set, t);
		ground_check(g);
		ground_free(g);
	}
}

static void edges_of_ownership_are_told_once_it_is_committed(void **state)
{
	struct ground *g = ground_new();
	struct txn_conflict lost;
	struct txn *t;

	(void)state;
	t = ground_start(g, 0);
	assert_int_equal(ground_run(g, t, "m/a/b p/a/b=3 w/a/b/c=1 m/x p/x=4 x/x"), 0);
	assert_string_equal(g->edges, "");
	assert_int_equal(txn_commit(&g->g, t, &g->me, &lost), 0);
	assert_non_null(strstr(g->edges, "3:/a/b"));
	assert_null(strstr(g->edges, "4:/x"));
	txn_free(&g->store, &g->set, t);
	ground_free(g);
}

static void snapshots_are_of_one_instant_and_their_edits_nobody_elses(void **state)
{
	struct ground *g = ground_new();
	char text[GROUND_TEXT];
	struct txn *a, *b;

	(void)state;
	assert_int_equal(ground_run(g, NULL, "w/a=1 w/b=1"), 0);
	a = ground_start(g, 3);
	assert_int_equal(ground_run(g, NULL, "w/a=2 x/b"), 0);
	b = ground_start(g, 3);
	assert_int_equal(ground_run(g, b, "w/c=1"), 0);
	assert_string_equal(tree_text(a->tree.root, text), "/a=1 /b=1");
	assert_string_equal(tree_text(b->tree.root, text), "/a=2 /c=1");
	assert_string_equal(tree_text(g->store.live.root, text), "/a=2");
	ground_check(g);
	ground_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_changed_aspect_that_was_seen_conflicts),
		cmocka_unit_test(removals_and_recreations_keep_their_order),
		cmocka_unit_test(a_removed_node_made_again_by_implication_is_still_told_of),
		cmocka_unit_test(a_commit_that_passes_a_quota_changes_nothing),
		cmocka_unit_test(the_control_domain_commits_past_a_guests_quota),
		cmocka_unit_test(nobody_who_died_since_becomes_an_owner),
		cmocka_unit_test(edges_of_ownership_are_told_once_it_is_committed),
		cmocka_unit_test(snapshots_are_of_one_instant_and_their_edits_nobody_elses),
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
