/* SPDX-License-Identifier: MIT */
/*
 * Holds: who waits for whom, never for long, and nobody for ever. docs/decisions/0004.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "base/prng.h"
#include "txn/hold.h"

#define CROWD 32u

struct one {
	struct contender c;
	bool woken;
	uint32_t tx;
};

struct arena {
	struct hold_table t;
	struct one who[80];
	size_t n;
	uint64_t now;
};

static void wake(struct contender *c)
{
	CONTAINER_OF(c, struct one, c)->woken = true;
}

static void arena_init(struct arena *a)
{
	memset(a, 0, sizeof(*a));
	hold_table_init(&a->t);
}

static struct one *join(struct arena *a, bool privileged)
{
	struct one *o = &a->who[a->n++];

	assert_in_range(a->n, 1, ARRAY_LEN(a->who));
	contender_init(&o->c, privileged);
	o->c.wake = wake;
	return o;
}

static void arena_fini(struct arena *a)
{
	for (size_t i = 0; i < a->n; i++)
		contender_fini(&a->t, &a->who[i].c);
	assert_int_equal(a->t.n_active, 0);
	assert_true(list_is_empty(&a->t.active));
	assert_true(list_is_empty(&a->t.waiting));
}

static bool start(struct arena *a, struct one *o)
{
	if (!hold_may_start(&a->t, &o->c, a->now))
		return false;
	hold_began(&a->t, &o->c, ++o->tx, a->now);
	return true;
}

static void lose(struct arena *a, struct one *o, const char *path)
{
	hold_ended(&a->t, &o->c, o->tx, false, path, strlen(path));
}

static bool change(struct arena *a, struct one *o, enum hold_access how, const char *path, bool rm)
{
	bool may = hold_may_change(&a->t, &o->c, how, path, strlen(path), rm, a->now);

	if (may)
		hold_wait_over(&o->c);
	return may;
}

/* One that lost on path and has begun again. */
static struct one *holder(struct arena *a, bool privileged, const char *path)
{
	struct one *o = join(a, privileged);

	assert_true(start(a, o));
	lose(a, o, path);
	assert_true(start(a, o));
	return o;
}

static void a_loss_holds_nothing_before_the_next_try(void **state)
{
	struct arena a;
	struct one *loser, *other;

	(void)state;
	arena_init(&a);
	loser = join(&a, true);
	other = join(&a, false);
	assert_true(start(&a, loser));
	lose(&a, loser, "/x");
	assert_int_equal(a.t.n_active, 0);
	assert_true(change(&a, other, HOLD_WRITE, "/x", false));
	assert_true(start(&a, loser));
	assert_false(change(&a, other, HOLD_WRITE, "/x", false));
	assert_true(change(&a, loser, HOLD_WRITE, "/x", false)); /* itself is free */
	hold_ended(&a.t, &loser->c, loser->tx, true, NULL, 0);
	assert_true(other->woken);
	assert_true(change(&a, other, HOLD_WRITE, "/x", false));
	assert_true(start(&a, loser)); /* it won: nothing is held for it any more */
	assert_int_equal(a.t.n_active, 0);
	arena_fini(&a);
}

static void it_says_who_waits_for_whom(void **state)
{
	static const struct {
		bool holder_is_dom0, other_is_dom0;
		enum hold_access how;
		bool waits;
	} table[] = {
		{ true, false, HOLD_WRITE, true },   { true, false, HOLD_COMMIT, true },
		{ true, true, HOLD_WRITE, false },   { true, true, HOLD_COMMIT, true },
		{ false, false, HOLD_WRITE, false }, { false, false, HOLD_COMMIT, true },
		{ false, true, HOLD_WRITE, false },  { false, true, HOLD_COMMIT, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena a;
		struct one *other;

		arena_init(&a);
		holder(&a, table[i].holder_is_dom0, "/x");
		other = join(&a, table[i].other_is_dom0);
		if (change(&a, other, table[i].how, "/x", false) == table[i].waits)
			fail_msg("row %zu", i);
		assert_true(change(&a, other, table[i].how, "/y", false));
		arena_fini(&a);
	}
}

static void a_hold_is_on_the_path_its_children_and_removals_above(void **state)
{
	static const struct {
		const char *path;
		bool removed, waits;
	} table[] = {
		{ "/a/b", false, true },      { "/a/b", true, true },	 { "/a/b/c", false, true },
		{ "/a/b/c/d", false, false }, { "/a", false, false },	 { "/a", true, true },
		{ "/", true, true },	      { "/a/bc", false, false }, { "/a/c", true, false },
		{ "/a/b/c/d", true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct arena a;
		struct one *other;

		arena_init(&a);
		holder(&a, true, "/a/b");
		other = join(&a, false);
		if (change(&a, other, HOLD_WRITE, table[i].path, table[i].removed) ==
		    table[i].waits)
			fail_msg("%s", table[i].path);
		arena_fini(&a);
	}
}

static void the_third_loss_of_the_control_domain_holds_every_write_of_guests(void **state)
{
	static const char *const paths[] = { "/1", "/2", "/3" };
	struct arena a;
	struct one *dom0, *guest, *other0;

	(void)state;
	arena_init(&a);
	dom0 = join(&a, true);
	guest = join(&a, false);
	other0 = join(&a, true);
	for (size_t i = 0; i < 3; i++) {
		assert_true(start(&a, dom0));
		assert_true(change(&a, guest, HOLD_WRITE, "/other", false));
		for (size_t k = 0; k < 3; k++) /* what it lost so far is held */
			assert_int_equal(change(&a, guest, HOLD_COMMIT, paths[k], false), k >= i);
		lose(&a, dom0, paths[i]);
	}
	assert_true(start(&a, dom0));
	assert_false(change(&a, guest, HOLD_WRITE, "/other", false));
	assert_false(change(&a, guest, HOLD_COMMIT, "/other", false));
	assert_true(change(&a, other0, HOLD_WRITE, "/other", false));
	arena_fini(&a);
}

/* One loss, one hold: giving up or running out of time forfeits it. */
static void a_guest_cannot_renew_a_hold_without_losing_again(void **state)
{
	(void)state;
	for (unsigned int by_time = 0; by_time < 2; by_time++) {
		struct arena a;
		struct one *h, *other;

		arena_init(&a);
		h = holder(&a, false, "/x");
		other = join(&a, false);
		assert_false(change(&a, other, HOLD_COMMIT, "/x", false));
		a.now = by_time ? HOLD_MAX_GUEST_MS : 1;
		while (hold_tick(&a.t, a.now) <= a.now)
			;
		hold_ended(&a.t, &h->c, h->tx, false, NULL, 0);
		assert_true(start(&a, h));
		assert_int_equal(a.t.n_active, 0);
		assert_true(change(&a, other, HOLD_COMMIT, "/x", false));
		arena_fini(&a);
	}
}

static void a_guest_never_holds_all_and_at_most_three_paths(void **state)
{
	struct arena a;
	struct one *guest, *other;
	char path[8];

	(void)state;
	arena_init(&a);
	guest = join(&a, false);
	other = join(&a, false);
	for (unsigned int i = 0; i < 10; i++) {
		assert_true(start(&a, guest));
		snprintf(path, sizeof(path), "/%u", i);
		lose(&a, guest, path);
	}
	assert_true(start(&a, guest));
	for (unsigned int i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		assert_int_equal(change(&a, other, HOLD_COMMIT, path, false), i < 10 - HOLD_PATHS);
	}
	arena_fini(&a);
}

static void a_hold_ends_at_its_deadline(void **state)
{
	static const struct {
		bool dom0;
		uint64_t ms;
	} table[] = { { true, HOLD_MAX_MS }, { false, HOLD_MAX_GUEST_MS } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct arena a;
		struct one *other;

		arena_init(&a);
		a.now = 1000;
		hold_tick(&a.t, a.now);
		holder(&a, table[i].dom0, "/x");
		other = join(&a, false);
		assert_false(change(&a, other, HOLD_COMMIT, "/x", false));
		assert_int_equal(hold_tick(&a.t, a.now), 1000 + table[i].ms);
		a.now += table[i].ms - 1;
		hold_tick(&a.t, a.now);
		assert_false(other->woken);
		a.now++;
		while (hold_tick(&a.t, a.now) <= a.now)
			;
		assert_true(other->woken);
		assert_true(change(&a, other, HOLD_COMMIT, "/x", false));
		assert_int_equal(hold_tick(&a.t, a.now), UINT64_MAX);
		arena_fini(&a);
	}
}

/* However often the holder begins again, the other waits no longer than it is said. */
static void a_wait_is_bounded_though_the_hold_is_renewed_for_ever(void **state)
{
	static const bool dom0[] = { false, true };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct arena a;
		struct one *h, *other;

		arena_init(&a);
		h = holder(&a, dom0[i], "/x");
		other = join(&a, false);
		while (!change(&a, other, HOLD_COMMIT, "/x", false)) {
			a.now += 10;
			assert_in_range(a.now, 0, HOLD_WAIT_MS);
			while (hold_tick(&a.t, a.now) <= a.now)
				;
			if (a.now % 30)
				continue;
			if (dom0[i]) /* it gives up, and begins again on what it lost */
				hold_ended(&a.t, &h->c, h->tx, false, NULL, 0);
			else
				lose(&a, h, "/x");
			start(&a, h);
		}
		arena_fini(&a);
	}
}

static void losers_on_one_path_start_one_after_the_other_in_order(void **state)
{
	struct arena a;
	struct one *who[5];

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < 5; i++) {
		who[i] = join(&a, false);
		assert_true(start(&a, who[i]));
	}
	for (size_t i = 0; i < 5; i++)
		lose(&a, who[i], "/x");
	assert_true(start(&a, who[0]));
	for (size_t i = 1; i < 5; i++)
		assert_false(start(&a, who[i]));
	for (size_t i = 1; i < 5; i++) {
		hold_ended(&a.t, &who[i - 1]->c, who[i - 1]->tx, true, NULL, 0);
		for (size_t k = i; k < 5; k++)
			assert_int_equal(who[k]->woken, k == i);
		assert_true(start(&a, who[i])); /* it held the path since it was woken */
		assert_int_equal(a.t.n_active, 1);
	}
	arena_fini(&a);
}

/*
 * A crowd reads and writes one node in transactions, in any order of events: whoever lost may
 * try again at once. A commit makes every other open transaction lose.
 */
static void nobody_in_a_crowd_on_one_node_starves(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		unsigned int lost[CROWD] = { 0 }, most = 0, commits = 0;
		bool open[CROWD] = { false }, stale[CROWD] = { false };
		struct arena a;
		struct prng rnd;

		prng_init(&rnd, seed);
		arena_init(&a);
		for (size_t i = 0; i < CROWD; i++)
			join(&a, seed & 1);
		for (unsigned int step = 0; step < 20000; step++) {
			unsigned int i = prng_below(&rnd, CROWD);
			struct one *o = &a.who[i];

			if (prng_once_in(&rnd, 50))
				a.now++;
			while (hold_tick(&a.t, a.now) <= a.now)
				;
			if (!open[i]) {
				open[i] = start(&a, o);
				stale[i] = false;
			} else if (stale[i]) {
				lose(&a, o, "/x");
				most = ++lost[i] > most ? lost[i] : most;
				open[i] = false;
			} else if (change(&a, o, HOLD_COMMIT, "/x", false)) {
				hold_ended(&a.t, &o->c, o->tx, true, NULL, 0);
				for (size_t k = 0; k < CROWD; k++)
					stale[k] = true;
				lost[i] = 0;
				open[i] = false;
				commits++;
			}
		}
		if (most > 7 || commits < 200)
			fail_msg("seed %u: %u losses in a row, %u commits", (unsigned int)seed,
				 most, commits);
		arena_fini(&a);
	}
}

/* Any number of guests who hold is no reason for the control domain not to. */
static void guests_do_not_use_up_the_holds(void **state)
{
	struct arena a;
	struct one *guest;
	char path[8];

	(void)state;
	arena_init(&a);
	for (unsigned int i = 0; i < HOLD_ACTIVE_MAX + 4; i++) {
		snprintf(path, sizeof(path), "/%u", i);
		holder(&a, false, path);
	}
	assert_int_equal(a.t.n_active, HOLD_ACTIVE_MAX / 2);
	guest = &a.who[0];
	holder(&a, true, "/mine");
	assert_int_equal(a.t.n_active, HOLD_ACTIVE_MAX / 2 + 1);
	assert_false(change(&a, guest, HOLD_WRITE, "/mine", false));
	arena_fini(&a);
}

static void who_goes_away_lets_go_and_wakes_who_waited(void **state)
{
	struct arena a;
	struct one *h, *writer, *starter;

	(void)state;
	arena_init(&a);
	h = holder(&a, true, "/x");
	writer = join(&a, false);
	starter = join(&a, false);
	starter->c.losses = 0;
	assert_true(start(&a, starter));
	lose(&a, starter, "/x");
	assert_false(start(&a, starter));
	assert_false(change(&a, writer, HOLD_WRITE, "/x", false));
	contender_fini(&a.t, &h->c);
	assert_true(writer->woken);
	assert_true(starter->woken);
	contender_fini(&a.t, &starter->c); /* one that was handed the hold may go, too */
	assert_int_equal(a.t.n_active, 0);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loss_holds_nothing_before_the_next_try),
		cmocka_unit_test(it_says_who_waits_for_whom),
		cmocka_unit_test(a_hold_is_on_the_path_its_children_and_removals_above),
		cmocka_unit_test(the_third_loss_of_the_control_domain_holds_every_write_of_guests),
		cmocka_unit_test(a_guest_cannot_renew_a_hold_without_losing_again),
		cmocka_unit_test(a_guest_never_holds_all_and_at_most_three_paths),
		cmocka_unit_test(a_hold_ends_at_its_deadline),
		cmocka_unit_test(a_wait_is_bounded_though_the_hold_is_renewed_for_ever),
		cmocka_unit_test(losers_on_one_path_start_one_after_the_other_in_order),
		cmocka_unit_test(nobody_in_a_crowd_on_one_node_starves),
		cmocka_unit_test(guests_do_not_use_up_the_holds),
		cmocka_unit_test(who_goes_away_lets_go_and_wakes_who_waited),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
