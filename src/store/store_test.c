/* SPDX-License-Identifier: MIT */
/*
 * Edits of the live tree, what they charge, and the reaper.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "base/own.h"
#include "base/prng.h"
#include "store/store.h"

#define DOMAINS 4u

struct rig {
	struct perm_table *perms;
	struct perms *of[DOMAINS]; /* "n<domid>" */
	struct store s;
	int64_t nodes[DOMAINS], octets[DOMAINS];
	char edges[1024];
};

static void charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct rig *r = data;

	r->nodes[domid] += nodes;
	r->octets[domid] += octets;
	assert_true(r->nodes[domid] >= 0 && r->octets[domid] >= 0);
}

static void edge(void *data, uint16_t domid, const char *path, size_t len)
{
	struct rig *r = data;
	size_t at = strlen(r->edges);

	snprintf(r->edges + at, sizeof(r->edges) - at, "%u:%.*s ", domid, (int)len, path);
}

static void rig_init(struct rig *r)
{
	static const struct tree_ops ops = { .charge = charge, .edge = edge };
	static const struct siphash_key key = { 1, 2 };

	memset(r, 0, sizeof(*r));
	r->perms = perm_table_new(&key);
	for (uint16_t i = 0; i < DOMAINS; i++)
		assert_int_equal(perms_intern(r->perms, &(struct perm){ .domid = i }, 1, &r->of[i]),
				 0);
	assert_int_equal(store_init(&r->s, r->perms, &ops, r, r->of[0]), 0);
}

static void rig_fini(struct rig *r)
{
	store_fini(&r->s);
	for (size_t i = 0; i < DOMAINS; i++) {
		assert_int_equal(r->nodes[i], 0);
		assert_int_equal(r->octets[i], 0);
		assert_int_equal(r->of[i]->refs, 1);
		perms_release(r->perms, r->of[i]);
	}
	perm_table_free(r->perms);
}

static int make(struct rig *r, const char *path, uint16_t owner, const char *value)
{
	return tree_create(&r->s, &r->s.live, path, strlen(path), r->of[owner], value,
			   strlen(value));
}

static int chown_to(struct rig *r, const char *path, uint16_t owner)
{
	return tree_set_perms(&r->s, &r->s.live, path, strlen(path), r->of[owner]);
}

static int set(struct rig *r, const char *path, const char *value)
{
	return tree_set_value(&r->s, &r->s.live, path, strlen(path), value, strlen(value));
}

static int drop(struct rig *r, const char *path)
{
	struct node *gone;
	int e = tree_remove(&r->s, &r->s.live, path, strlen(path), &gone);

	if (!e)
		store_discard(&r->s, gone, true);
	return e;
}

static void tally(void *data, const struct node *n)
{
	int64_t(*sum)[2] = data;

	sum[perms_owner(n->perms)][0]++;
	sum[perms_owner(n->perms)][1] += (int64_t)node_charge(n);
}

/* Charges are those of the tree, once the reaper has done its work. */
static void check_charges(struct rig *r)
{
	int64_t sum[DOMAINS][2] = { 0 };
	bool whole;

	store_settle(&r->s);
	store_walk(r->s.live.root, SIZE_MAX, &whole, tally, sum);
	assert_true(whole);
	for (size_t i = 0; i < DOMAINS; i++) {
		assert_int_equal(r->nodes[i], sum[i][0]);
		assert_int_equal(r->octets[i], sum[i][1]);
	}
}

static void a_path_leads_to_a_node_or_says_what_is_missing(void **state)
{
	static const struct {
		const char *path;
		bool there;
		size_t ancestor_len, missing, octets;
	} table[] = {
		{ "/", true, 0, 0, 0 },		{ "/a", true, 1, 0, 0 },
		{ "/a/b", true, 2, 0, 0 },	{ "/x", false, 1, 1, 1 },
		{ "/xyz/uvw", false, 1, 2, 6 }, { "/a/bb", false, 2, 1, 2 },
		{ "/a/b/c/d", false, 4, 2, 2 }, { "/ab", false, 1, 1, 2 },
	};
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(make(&r, "/a/b", 0, ""), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct store_pos pos;
		const char *path = table[i].path;
		size_t len = strlen(path);

		store_find(r.s.live.root, path, len, &pos);
		assert_int_equal(!!pos.node, table[i].there);
		assert_ptr_equal(store_find_node(r.s.live.root, path, len), pos.node);
		assert_int_equal(pos.ancestor_len, table[i].ancestor_len);
		assert_int_equal(!pos.ancestor, !table[i].ancestor_len);
		assert_int_equal(pos.missing, table[i].missing);
		assert_int_equal(pos.missing_octets, table[i].octets);
		if (pos.ancestor)
			assert_ptr_equal(pos.ancestor,
					 store_find_node(r.s.live.root, path, pos.ancestor_len));
	}
	rig_fini(&r);
}

static void each_edit_charges_whom_it_should(void **state)
{
	static const struct {
		char verb;
		const char *path;
		uint16_t owner;
		const char *value, *edges;
		int64_t nodes1, nodes2, octets1, octets2;
	} table[] = {
		{ 'm', "/a/bb/c", 1, "val", "1:/a ", 3, 0, 3 * NODE_CHARGE + 7, 0 },
		{ 'w', "/a", 0, "12345", "", 3, 0, 3 * NODE_CHARGE + 12, 0 },
		{ 'w', "/a", 0, "1", "", 3, 0, 3 * NODE_CHARGE + 8, 0 },
		{ 'm', "/a/bb/x", 1, "", "", 4, 0, 4 * NODE_CHARGE + 9, 0 },
		{ 'm', "/a/2", 2, "", "2:/a/2 ", 4, 1, 4 * NODE_CHARGE + 9, NODE_CHARGE + 1 },
		{ 'p', "/a/bb", 2, "", "2:/a/bb 1:/a/bb ", 3, 2, 3 * NODE_CHARGE + 7,
		  2 * NODE_CHARGE + 3 },
		{ 'p', "/a/bb", 2, "", "", 3, 2, 3 * NODE_CHARGE + 7, 2 * NODE_CHARGE + 3 },
		{ 'p', "/", 1, "", "1:/ 0:/ ", 4, 2, 4 * NODE_CHARGE + 7, 2 * NODE_CHARGE + 3 },
		{ 'x', "/a/bb", 0, "", "", 2, 1, 2 * NODE_CHARGE + 2, NODE_CHARGE + 1 },
	};
	struct rig r;

	(void)state;
	rig_init(&r);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *path = table[i].path;
		int e = -1;

		r.edges[0] = '\0';
		switch (table[i].verb) {
		case 'm':
			e = make(&r, path, table[i].owner, table[i].value);
			break;
		case 'w':
			e = set(&r, path, table[i].value);
			break;
		case 'p':
			e = chown_to(&r, path, table[i].owner);
			break;
		case 'x':
			e = drop(&r, path);
			break;
		}
		assert_int_equal(e, 0);
		check_charges(&r);
		assert_string_equal(r.edges, table[i].edges);
		assert_int_equal(r.nodes[1], table[i].nodes1);
		assert_int_equal(r.nodes[2], table[i].nodes2);
		assert_int_equal(r.octets[1], table[i].octets1);
		assert_int_equal(r.octets[2], table[i].octets2);
	}
	rig_fini(&r);
}

static void the_child_list_has_a_new_generation_when_it_changes_and_only_then(void **state)
{
	const struct node *a;
	struct rig r;
	uint64_t was;

	(void)state;
	rig_init(&r);
	assert_int_equal(make(&r, "/a", 0, ""), 0);
	a = store_find_node(r.s.live.root, "/a", 2);
	was = a->gen;
	assert_int_equal(set(&r, "/a", "longer than before"), 0);
	assert_int_equal(chown_to(&r, "/a", 1), 0);
	a = store_find_node(r.s.live.root, "/a", 2);
	assert_int_equal(a->gen, was);
	assert_int_equal(make(&r, "/a/b", 0, ""), 0);
	assert_int_not_equal(a->gen, was);
	was = a->gen;
	assert_int_equal(make(&r, "/a/b/c", 0, ""), 0);
	assert_int_equal(a->gen, was);
	assert_int_equal(drop(&r, "/a/b"), 0);
	assert_int_not_equal(a->gen, was);
	rig_fini(&r);
}

/* What is removed is given back once, whether or not, and as long as, a snapshot has it too. */
static void a_removed_subtree_is_given_back_exactly_once(void **state)
{
	(void)state;
	for (unsigned int kind = 0; kind < 4; kind++) {
		struct node *snapshot = NULL;
		struct rig r;
		char path[32];

		rig_init(&r);
		for (unsigned int i = 0; i < 300; i++) {
			snprintf(path, sizeof(path), "/t/%u/%u", i % 7, i);
			assert_int_equal(make(&r, path, (uint16_t)(1 + i % 3), "value"), 0);
		}
		if (kind & 1)
			snapshot = node_take(r.s.live.root);
		assert_int_equal(drop(&r, "/t/3"),
				 0); /* before the rest: its charges still stand */
		assert_int_equal(drop(&r, "/t"), 0);
		if (kind == 3)
			store_discard(&r.s, TAKE(snapshot), false);
		while (store_reap(&r.s, kind & 2 ? 1 : 1000))
			;
		for (size_t i = 1; i < DOMAINS; i++)
			assert_int_equal(r.nodes[i], 0);
		check_charges(&r);
		if (snapshot) {
			assert_non_null(store_find_node(snapshot, "/t/3/3", 6));
			store_discard(&r.s, snapshot, false);
		}
		rig_fini(&r);
	}
}

static void the_reaper_does_no_more_at_a_time_than_it_is_told(void **state)
{
	struct rig r;
	char path[32];
	int64_t was;
	unsigned int slices = 0;

	(void)state;
	rig_init(&r);
	for (unsigned int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "/t/%u", i);
		assert_int_equal(make(&r, path, 1, ""), 0);
	}
	assert_int_equal(drop(&r, "/t"), 0);
	do {
		was = r.nodes[1];
		slices++;
	} while (store_reap(&r.s, 100) && was - r.nodes[1] <= 100);
	assert_int_equal(r.nodes[1], 0);
	assert_in_range(slices, 5001 / 100, 5001 / 100 + 2);
	rig_fini(&r);
}

/* A snapshot that shares all it has with the live tree costs one step to let go of. */
static void what_others_hold_is_not_walked(void **state)
{
	char path[32];
	struct rig r;

	(void)state;
	rig_init(&r);
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/t/%u", i);
		assert_int_equal(make(&r, path, 1, ""), 0);
	}
	store_discard(&r.s, node_take(r.s.live.root), false);
	assert_false(store_reap(&r.s, 1));
	assert_int_equal(r.s.heap.retained, 0);
	rig_fini(&r);
}

/* Deeper than any recursion would stand in a small stack: 1500 levels, 64 KiB. */
static void depth_is_no_matter(void **state)
{
	char path[3001];
	struct store_pos pos;
	struct node *old;
	struct rig r;

	(void)state;
	rig_init(&r);
	for (size_t i = 0; i < 3000; i += 2)
		memcpy(path + i, "/x", 2);
	path[3000] = '\0';
	assert_int_equal(make(&r, path, 1, "deep"), 0);
	assert_int_equal(r.nodes[1], 1500);
	old = node_take(r.s.live.root);
	assert_int_equal(set(&r, path, "changed"), 0);
	store_find(old, path, 3000, &pos);
	assert_memory_equal(node_value(pos.node), "deep", 4);
	assert_int_equal(drop(&r, "/x"), 0);
	store_discard(&r.s, old, false);
	check_charges(&r);
	rig_fini(&r);
}

static void a_list_of_children_may_be_had_in_any_parts(void **state)
{
	static const char *const names[] = { "/d/a", "/d/bb", "/d/c", "/d/dddd", "/d/ee" };
	static const char whole[] = "a\0c\0bb\0ee\0dddd";
	char buf[64];
	struct rig r;
	const struct node *d;

	(void)state;
	rig_init(&r);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(make(&r, names[i], 0, ""), 0);
	d = store_find_node(r.s.live.root, "/d", 2);
	for (size_t offset = 0; offset < 20; offset++) {
		for (size_t room = 0; room < 20; room++) {
			size_t left = offset < sizeof(whole) ? sizeof(whole) - offset : 0;
			size_t want = left < room ? left : room, n;

			memset(buf, '#', sizeof(buf));
			n = store_list(d, offset, buf + 1, room);
			if (offset + room >= sizeof(whole))
				assert_int_equal(n, sizeof(whole));
			else
				assert_in_range(n, offset + room + 1, sizeof(whole));
			assert_memory_equal(buf + 1, whole + (want ? offset : 0), want);
			assert_int_equal(buf[0], '#');
			assert_int_equal(buf[1 + room], '#');
		}
	}
	assert_int_equal(store_list(store_find_node(d, "/a", 2), 0, buf, 10), 0);
	rig_fini(&r);
}

/* --- out of memory ----------------------------------------------------------------------- */

static int one_edit(struct rig *r, unsigned int which)
{
	switch (which) {
	case 0:
		return make(r, "/t/new/er/est", 2, "value");
	case 1:
		return set(r, "/t/5", "a longer value than before");
	case 2:
		return chown_to(r, "/t/6", 2);
	case 3:
		return drop(r, "/t/7");
	default:
		return drop(r, "/t");
	}
}

static void an_edit_without_memory_changes_neither_content_nor_charges(void **state)
{
	(void)state;
	for (unsigned int which = 0; which < 5; which++) {
		for (unsigned long n = 1; n < 50; n++) {
			struct node *snapshot;
			char path[32];
			struct rig r;
			int e;

			rig_init(&r);
			for (unsigned int i = 0; i < 20; i++) {
				snprintf(path, sizeof(path), "/t/%u", i);
				assert_int_equal(make(&r, path, 1, "v"), 0);
			}
			snapshot = node_take(r.s.live.root);
			alloc_fail_nth(n, true);
			e = one_edit(&r, which);
			alloc_fail_end();
			if (e) {
				assert_int_equal(e, -ENOMEM);
				assert_int_equal(r.nodes[1], 21);
				assert_int_equal(r.nodes[2], 0);
				assert_null(store_find_node(r.s.live.root, "/t/new", 6));
				assert_non_null(store_find_node(r.s.live.root, "/t/7", 4));
			}
			check_charges(&r);
			store_discard(&r.s, snapshot, false);
			rig_fini(&r);
			if (!e)
				break;
			assert_in_range(n, 1, 30);
		}
	}
}

/* The reaper's own stack finds no memory: it waits, and who cannot wait does without. */
static void reaping_without_memory_ends_all_the_same(void **state)
{
	static const bool with_snapshot[] = { false, true };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct node *snapshot = NULL;
		char path[64];
		struct rig r;

		rig_init(&r);
		for (unsigned int i = 0; i < 2000; i++) {
			snprintf(path, sizeof(path), "/t/%u/%u/%u", i % 3, i % 31, i);
			assert_int_equal(make(&r, path, 1, ""), 0);
		}
		if (with_snapshot[k])
			snapshot = node_take(r.s.live.root);
		assert_int_equal(drop(&r, "/t"), 0);
		alloc_fail_nth(1, true);
		store_reap(&r.s, 10);
		store_settle(&r.s);
		alloc_fail_end();
		assert_int_equal(r.nodes[1], 0);
		if (snapshot)
			store_discard(&r.s, snapshot, false);
		rig_fini(&r);
	}
}

/* Random edits and snapshots: charges are exact at every step. */
static void charges_are_those_of_the_tree_after_any_edits(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct node *old[4] = { NULL };
		struct prng rnd;
		char path[64];
		struct rig r;

		prng_init(&rnd, seed);
		rig_init(&r);
		for (unsigned int i = 0; i < 3000; i++) {
			struct node **o = &old[prng_below(&rnd, 4)];
			unsigned int d = prng_below(&rnd, 4);
			size_t n = 0;
			bool there;

			for (unsigned int k = 0; k <= d; k++)
				n += (size_t)sprintf(path + n, "/%u", prng_below(&rnd, 5));
			there = store_find_node(r.s.live.root, path, n);
			if (!there)
				make(&r, path, (uint16_t)prng_below(&rnd, DOMAINS), "v");
			else if (prng_once_in(&rnd, 3))
				drop(&r, path);
			else if (prng_once_in(&rnd, 2))
				set(&r, path, &"a long value"[prng_below(&rnd, 12)]);
			else
				chown_to(&r, path, (uint16_t)prng_below(&rnd, DOMAINS));
			if (prng_once_in(&rnd, 20)) {
				store_discard(&r.s, *o, false);
				*o = prng_once_in(&rnd, 2) ? NULL : node_take(r.s.live.root);
			}
			store_reap(&r.s, prng_below(&rnd, 20));
			if (i % 10 == 0)
				check_charges(&r);
		}
		for (size_t i = 0; i < 4; i++)
			store_discard(&r.s, old[i], false);
		check_charges(&r);
		rig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_leads_to_a_node_or_says_what_is_missing),
		cmocka_unit_test(each_edit_charges_whom_it_should),
		cmocka_unit_test(the_child_list_has_a_new_generation_when_it_changes_and_only_then),
		cmocka_unit_test(a_removed_subtree_is_given_back_exactly_once),
		cmocka_unit_test(the_reaper_does_no_more_at_a_time_than_it_is_told),
		cmocka_unit_test(what_others_hold_is_not_walked),
		cmocka_unit_test(depth_is_no_matter),
		cmocka_unit_test(a_list_of_children_may_be_had_in_any_parts),
		cmocka_unit_test(an_edit_without_memory_changes_neither_content_nor_charges),
		cmocka_unit_test(reaping_without_memory_ends_all_the_same),
		cmocka_unit_test(charges_are_those_of_the_tree_after_any_edits),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
