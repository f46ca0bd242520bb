/* SPDX-License-Identifier: MIT */
/*
 * The children's tree against a sorted array, with snapshots held while it changes: content,
 * balance and reference counts, also where an allocation fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "base/prng.h"
#include "store/node.h"

#define KEYS 96u /* names that may be in a tree */
#define SNAPSHOTS 6u

/* A tree's kids and what should be in them: value by key, 0: absent. */
struct held {
	struct node *kids; /* owned reference */
	unsigned int value[KEYS];
	bool used;
};

struct rig {
	struct node_heap heap;
	struct perms *perms;
	struct prng rnd;
	unsigned int next_value;
	struct held live;
	struct held old[SNAPSHOTS];
};

/* Names of several lengths; their order by length and octets is that of the keys. */
static size_t key_name(unsigned int key, char *buf)
{
	static const size_t pad[] = { 0, 1, 5, 40 };

	return (size_t)sprintf(buf, "%.*s%02u", (int)pad[key * 4 / KEYS],
			       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", key);
}

static void rig_init(struct rig *r, uint64_t seed)
{
	static const struct siphash_key key = { 1, 2 };
	static const struct perm owner = { .domid = 3 };

	memset(r, 0, sizeof(*r));
	r->heap.perms = perm_table_new(&key);
	assert_non_null(r->heap.perms);
	assert_int_equal(perms_intern(r->heap.perms, &owner, 1, &r->perms), 0);
	prng_init(&r->rnd, seed);
}

/* Lets go of one reference and of all that goes with it. */
static void put(struct rig *r, struct node *n)
{
	if (!n || --n->refs)
		return;
	put(r, n->left);
	put(r, n->right);
	put(r, n->kids);
	node_free_alone(&r->heap, n);
}

static void rig_fini(struct rig *r)
{
	put(r, r->live.kids);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		put(r, r->old[i].kids);
	assert_int_equal(r->perms->refs, 1); /* every node gave its own back */
	perms_release(r->heap.perms, r->perms);
	perm_table_free(r->heap.perms);
}

/* --- what must hold ---------------------------------------------------------------------- */

static int checked_height(const struct node *n)
{
	int l, r;

	if (!n)
		return 0;
	l = checked_height(n->left);
	r = checked_height(n->right);
	assert_in_range(l - r + 1, 0, 2);
	assert_int_equal(n->height, (l > r ? l : r) + 1);
	return n->height;
}

static void check_content(const struct held *t)
{
	const struct node *n, *after = NULL;
	struct node_iter it;
	unsigned int value;
	char name[64];

	checked_height(t->kids);
	node_iter_init(&it, t->kids);
	for (unsigned int k = 0; k < KEYS; k++) {
		size_t len = key_name(k, name);

		n = node_find_child(t->kids, name, len);
		assert_int_equal(!!n, !!t->value[k]);
		if (!n)
			continue;
		assert_int_equal(n->value_len, sizeof(value));
		memcpy(&value, node_value(n), sizeof(value));
		assert_int_equal(value, t->value[k]);
		assert_int_equal(!!node_find_child(n->kids, "kid", 3), k % 3 == 0);
		assert_ptr_equal(node_iter_next(&it), n);
		after = node_child_after(t->kids, after);
		assert_ptr_equal(after, n);
	}
	assert_null(node_iter_next(&it));
	assert_null(node_child_after(t->kids, after));
}

struct census {
	const struct node *node[(SNAPSHOTS + 1) * KEYS * 3];
	uint32_t refs[(SNAPSHOTS + 1) * KEYS * 3];
	size_t n;
};

/* Counts the references that links and holders have on each node. */
static void count_refs(struct census *c, const struct node *n)
{
	if (!n)
		return;
	for (size_t i = 0; i < c->n; i++) {
		if (c->node[i] == n) {
			c->refs[i]++;
			return;
		}
	}
	assert_in_range(c->n, 0, sizeof(c->node) / sizeof(c->node[0]) - 1);
	c->node[c->n] = n;
	c->refs[c->n++] = 1;
	count_refs(c, n->left);
	count_refs(c, n->right);
	count_refs(c, n->kids);
}

static void check_refs(const struct rig *r, const struct node *extra)
{
	static struct census c;

	c.n = 0;
	count_refs(&c, r->live.kids);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		count_refs(&c, r->old[i].kids);
	count_refs(&c, extra);
	for (size_t i = 0; i < c.n; i++)
		assert_int_equal(c.node[i]->refs, c.refs[i]);
	assert_int_equal(r->perms->refs, c.n + 1);
}

static void check_all(const struct rig *r, const struct node *extra)
{
	check_content(&r->live);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		if (r->old[i].used)
			check_content(&r->old[i]);
	check_refs(r, extra);
}

/* --- edits ------------------------------------------------------------------------------- */

static struct node *make(struct rig *r, unsigned int key, unsigned int value)
{
	struct node *n;
	char name[64];
	size_t len = key_name(key, name);

	n = node_new(name, len, &value, sizeof(value), r->perms);
	assert_non_null(n);
	if (key % 3 == 0) { /* a child of its own, which copies share */
		n->kids = node_new("kid", 3, NULL, 0, r->perms);
		assert_non_null(n->kids);
	}
	return n;
}

static void edit_value(struct rig *r, struct node **slot, unsigned int key)
{
	unsigned int v = ++r->next_value;

	memcpy((*slot)->data + (*slot)->name_len, &v, sizeof(v));
	r->live.value[key] = v;
}

/* One random edit of the live tree; fail: the nth allocation of it. False: it did fail. */
static bool edit(struct rig *r, unsigned int key, bool set, unsigned long fail)
{
	struct node *child = NULL, **slot = NULL;
	char name[64];
	size_t len = key_name(key, name);
	int err;

	if (!r->live.value[key])
		child = make(r, key, r->next_value + 1);
	if (fail)
		alloc_fail_nth(fail, false);
	if (child) {
		err = node_insert_child(&r->heap, &r->live.kids, child);
	} else if (set) {
		slot = node_child_slot(&r->heap, &r->live.kids, name, len, &err);
		assert_int_equal(!slot, !!err);
	} else {
		err = node_remove_child(&r->heap, &r->live.kids, name, len, &child);
	}
	if (fail)
		assert_int_equal(alloc_fail_end(), !!err);
	if (err) {
		assert_int_equal(err, -12); /* ENOMEM */
		check_all(r, child);
		put(r, child);
		return false;
	}
	if (child && r->live.value[key]) {
		assert_int_equal(child->refs, 1);
		assert_null(child->left);
		assert_null(child->right);
		put(r, child);
		r->live.value[key] = 0;
	} else if (child) {
		r->live.value[key] = ++r->next_value;
	} else {
		edit_value(r, slot, key);
	}
	return true;
}

static void snapshot_some(struct rig *r)
{
	struct held *s = &r->old[prng_below(&r->rnd, SNAPSHOTS)];

	if (s->used) {
		check_content(s);
		put(r, s->kids);
		memset(s, 0, sizeof(*s));
		return;
	}
	*s = r->live;
	s->used = true;
	node_take(s->kids);
}

/* --- claims ------------------------------------------------------------------------------ */

static void every_snapshot_keeps_its_content_whatever_is_edited_later(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 16; seed++) {
		struct rig r;

		print_message("# seed %u\n", (unsigned int)seed);
		rig_init(&r, seed);
		for (unsigned int i = 0; i < 1000; i++) {
			unsigned int keys = 4 + (unsigned int)seed * (KEYS - 4) / 16;

			if (prng_once_in(&r.rnd, 12))
				snapshot_some(&r);
			assert_true(edit(&r, prng_below(&r.rnd, keys), prng_once_in(&r.rnd, 3), 0));
			check_content(&r.live);
			if (i % 37 == 0)
				check_all(&r, NULL);
		}
		check_all(&r, NULL);
		rig_fini(&r);
	}
}

static void an_edit_without_memory_changes_nothing_at_whatever_allocation(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		unsigned long most = 0;
		struct rig r;

		print_message("# seed %u\n", (unsigned int)seed);
		rig_init(&r, seed);
		for (unsigned int i = 0; i < 200; i++) {
			unsigned int key = prng_below(&r.rnd, KEYS);
			bool set = prng_once_in(&r.rnd, 3);
			unsigned long n = 1;

			if (prng_once_in(&r.rnd, 3))
				snapshot_some(&r);
			/* what was copied before the failure stays: each try gets further */
			while (!edit(&r, key, set, n))
				n++;
			most = n > most ? n : most;
		}
		check_all(&r, NULL);
		assert_in_range(most, 3, 40);
		rig_fini(&r);
	}
}

/* As above, but nothing was copied by a try that failed earlier. */
static void the_nth_allocation_failing_first_changes_nothing_either(void **state)
{
	(void)state;
	for (unsigned long nth = 1; nth <= 7; nth++) {
		unsigned int failures = 0;
		struct rig r;

		rig_init(&r, 1000 + nth);
		for (unsigned int i = 0; i < 300; i++) {
			unsigned int key = prng_below(&r.rnd, KEYS);
			bool set = prng_once_in(&r.rnd, 4);

			if (prng_once_in(&r.rnd, 3))
				snapshot_some(&r);
			if (edit(&r, key, set, nth))
				continue;
			failures++;
			assert_true(edit(&r, key, set, 0));
		}
		check_all(&r, NULL);
		assert_true(failures);
		rig_fini(&r);
	}
}

static void an_unshared_tree_is_edited_in_place(void **state)
{
	struct node *before;
	struct rig r;
	char name[64];
	int err;

	(void)state;
	rig_init(&r, 7);
	for (unsigned int k = 0; k < KEYS; k++)
		assert_true(edit(&r, k, false, 0));
	for (unsigned int k = 0; k < KEYS; k++) {
		size_t len = key_name(k, name);

		before = (struct node *)node_find_child(r.live.kids, name, len);
		assert_ptr_equal(*node_child_slot(&r.heap, &r.live.kids, name, len, &err), before);
	}
	for (unsigned int k = 0; k < KEYS; k += 2)
		assert_true(edit(&r, k, false, 0));
	assert_int_equal(r.heap.retained, 0); /* nothing was copied */
	check_all(&r, NULL);
	rig_fini(&r);
}

/* An edit below a snapshot of 4095 siblings copies its way down and what rotates: no more. */
static void an_edit_of_a_shared_tree_copies_a_path_and_not_the_siblings(void **state)
{
	struct node *kids = NULL, *old, *n;
	struct rig r;
	char name[8];

	(void)state;
	rig_init(&r, 9);
	for (unsigned int i = 0; i < 4095; i++) {
		snprintf(name, sizeof(name), "%04u", i);
		n = node_new(name, 4, NULL, 0, r.perms);
		assert_int_equal(node_insert_child(&r.heap, &kids, n), 0);
	}
	assert_in_range(checked_height(kids), 12, 17);
	for (unsigned int i = 0; i < 4095; i += 63) {
		uint64_t was = r.heap.retained;

		old = node_take(kids);
		snprintf(name, sizeof(name), "%04u", i);
		assert_int_equal(node_remove_child(&r.heap, &kids, name, 4, &n), 0);
		assert_in_range(r.heap.retained - was, 1, 3u * 17 * (sizeof(struct node) + 4));
		put(&r, old);
		put(&r, n);
		checked_height(kids);
	}
	put(&r, kids);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_snapshot_keeps_its_content_whatever_is_edited_later),
		cmocka_unit_test(an_edit_without_memory_changes_nothing_at_whatever_allocation),
		cmocka_unit_test(the_nth_allocation_failing_first_changes_nothing_either),
		cmocka_unit_test(an_unshared_tree_is_edited_in_place),
		cmocka_unit_test(an_edit_of_a_shared_tree_copies_a_path_and_not_the_siblings),
	};

	return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
