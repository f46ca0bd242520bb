/* SPDX-License-Identifier: MIT */
/*
 * Whole trees: random ones are walked, compared and built again, against lists of their paths.
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
#include "store/walk.h"

#define DOMAINS 4u
#define LINES_MAX 4096u

struct rig {
	struct perm_table *perms;
	struct perms *of[DOMAINS];
	struct store s;
	int64_t nodes, octets;
	unsigned int edges;
};

static void charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct rig *r = data;

	(void)domid;
	r->nodes += nodes;
	r->octets += octets;
}

static void edge(void *data, uint16_t domid, const char *path, size_t len)
{
	struct rig *r = data;

	(void)domid;
	(void)path;
	(void)len;
	r->edges++;
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
	assert_int_equal(r->nodes, 0);
	assert_int_equal(r->octets, 0);
	for (size_t i = 0; i < DOMAINS; i++)
		perms_release(r->perms, r->of[i]);
	perm_table_free(r->perms);
}

static void random_path(struct prng *p, char *path)
{
	size_t at = 0;

	for (uint32_t n = 1 + prng_below(p, 5); n; n--) {
		path[at++] = '/';
		for (uint32_t k = 1 + prng_below(p, 3); k; k--)
			path[at++] = (char)('a' + prng_below(p, 4));
	}
	path[at] = '\0';
}

/* One random edit of the live tree. */
static void edit(struct rig *r, struct prng *p)
{
	struct tree *t = &r->s.live;
	char path[64], value[8];
	struct node *gone;
	size_t len;

	random_path(p, path);
	len = strlen(path);
	snprintf(value, sizeof(value), "%u", prng_below(p, 100));
	if (!store_find_node(t->root, path, len))
		assert_int_equal(tree_create(&r->s, t, path, len, r->of[prng_below(p, DOMAINS)],
					     value, strlen(value)),
				 0);
	else if (!prng_below(p, 4)) {
		assert_int_equal(tree_remove(&r->s, t, path, len, &gone), 0);
		store_discard(&r->s, gone, true);
	} else if (prng_below(p, 2))
		assert_int_equal(tree_set_value(&r->s, t, path, len, value, strlen(value)), 0);
	else
		assert_int_equal(tree_set_perms(&r->s, t, path, len, r->of[prng_below(p, DOMAINS)]),
				 0);
}

/* All nodes of a tree, a line for each, sorted. */
struct lines {
	char *line[LINES_MAX]; /* owned */
	size_t n;
};

static void lines_add(struct lines *l, const char *path, size_t len, const struct node *n)
{
	char text[256];

	assert_true(l->n < LINES_MAX);
	snprintf(text, sizeof(text), "%.*s = %.*s of %u", (int)len, path, (int)n->value_len,
		 node_value(n), perms_owner(n->perms));
	l->line[l->n++] = strdup(text);
}

static void lines_below(struct lines *l, const char *path, size_t len, const struct node *n)
{
	struct node_iter it;
	char sub[256];

	lines_add(l, path, len, n);
	node_iter_init(&it, n->kids);
	while ((n = node_iter_next(&it))) {
		int sub_len = snprintf(sub, sizeof(sub), "%.*s/%.*s", len == 1 ? 0 : (int)len, path,
				       (int)n->name_len, n->data);

		lines_below(l, sub, (size_t)sub_len, n);
	}
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void lines_equal(struct lines *a, struct lines *b)
{
	qsort(a->line, a->n, sizeof(char *), line_cmp);
	qsort(b->line, b->n, sizeof(char *), line_cmp);
	for (size_t i = 0; i < a->n && i < b->n; i++)
		assert_string_equal(a->line[i], b->line[i]);
	assert_int_equal(a->n, b->n);
}

static void lines_fini(struct lines *l)
{
	while (l->n)
		free(l->line[--l->n]);
}

static void walk_visits_each_node_once_parents_first(void **state)
{
	static struct lines want, got;
	const struct node *n;
	struct tree_walk w;
	struct prng p;
	struct rig r;

	(void)state;
	prng_init(&p, 3);
	rig_init(&r);
	for (int i = 0; i < 600; i++) {
		edit(&r, &p);
		if (i % 40)
			continue;
		tree_walk_init(&w, r.s.live.root, "/", 1);
		while ((n = tree_walk_next(&w))) {
			lines_add(&got, w.path.str, w.path.len, n);
			assert_ptr_equal(store_find_node(r.s.live.root, w.path.str, w.path.len), n);
		}
		assert_false(w.failed);
		tree_walk_fini(&w);
		lines_below(&want, "/", 1, r.s.live.root);
		lines_equal(&want, &got);
		lines_fini(&want);
		lines_fini(&got);
	}
	rig_fini(&r);
}

/* What a diff tells is done to another tree. */
struct patch {
	struct rig *r;
	struct tree *t;
	size_t told;
};

static void apply(void *data, const char *path, size_t len, const struct node *a,
		  const struct node *b)
{
	struct patch *p = data;
	struct store *s = &p->r->s;
	struct node *gone;

	p->told++;
	if (!b) {
		assert_non_null(a);
		assert_int_equal(tree_remove(s, p->t, path, len, &gone), 0);
		store_discard(s, gone, false);
	} else if (!a) {
		assert_int_equal(
			tree_create(s, p->t, path, len, b->perms, node_value(b), b->value_len), 0);
	} else {
		assert_int_equal(tree_set_value(s, p->t, path, len, node_value(b), b->value_len),
				 0);
		assert_int_equal(tree_set_perms(s, p->t, path, len, b->perms), 0);
	}
}

static void diff_leads_from_one_tree_to_the_other(void **state)
{
	static struct lines want, got;
	struct prng p;
	struct rig r;

	(void)state;
	prng_init(&p, 4);
	rig_init(&r);
	for (int round = 0; round < 60; round++) {
		struct node *old = node_take(r.s.live.root);
		struct tree_ops none = { .charge = NULL };
		struct tree t = { .root = node_take(old), .ops = &none };
		struct patch patch = { .r = &r, .t = &t };
		uint32_t n = prng_below(&p, 30);

		for (uint32_t i = 0; i < n; i++)
			edit(&r, &p);
		assert_int_equal(tree_diff("/", 1, old, r.s.live.root, apply, &patch), 0);
		if (!n)
			assert_int_equal(patch.told, 0);
		lines_below(&want, "/", 1, r.s.live.root);
		lines_below(&got, "/", 1, t.root);
		lines_equal(&want, &got);
		lines_fini(&want);
		lines_fini(&got);
		store_discard(&r.s, t.root, false);
		store_discard(&r.s, old, false);
		store_settle(&r.s);
	}
	rig_fini(&r);
}

static int build_copy(struct rig *to, const struct rig *from)
{
	struct tree_build b;
	const struct node *n;
	struct tree_walk w;
	int r = 0;

	tree_build_init(&b, &to->s);
	tree_walk_init(&w, from->s.live.root, "/", 1);
	while (!r && (n = tree_walk_next(&w)))
		if (w.path.len > 1)
			r = tree_build_add(&b, w.path.str, w.path.len,
					   to->of[perms_owner(n->perms)], node_value(n),
					   n->value_len);
	if (!r && w.failed)
		r = -ENOMEM;
	tree_walk_fini(&w);
	if (!r)
		r = tree_build_end(&b);
	tree_build_fini(&b);
	return r;
}

static void what_is_built_is_a_tree_like_any_other(void **state)
{
	static struct lines want, got;
	struct rig r, copy;
	struct prng p;

	(void)state;
	prng_init(&p, 5);
	rig_init(&r);
	for (int i = 0; i < 400; i++)
		edit(&r, &p);
	assert_int_equal(tree_set_perms(&r.s, &r.s.live, "/", 1, r.of[0]), 0);
	store_settle(&r.s);
	rig_init(&copy);
	assert_int_equal(build_copy(&copy, &r), 0);
	assert_int_equal(copy.nodes, r.nodes);
	assert_int_equal(copy.octets, r.octets);
	assert_true(copy.edges > 0);
	for (int round = 0; round < 2; round++) {
		struct prng a, b;

		lines_below(&want, "/", 1, r.s.live.root);
		lines_below(&got, "/", 1, copy.s.live.root);
		lines_equal(&want, &got);
		lines_fini(&want);
		lines_fini(&got);
		prng_init(&a, 6);
		prng_init(&b, 6);
		for (int i = 0; i < 400; i++) {
			edit(&r, &a);
			edit(&copy, &b);
		}
	}
	rig_fini(&copy);
	rig_fini(&r);
}

static void siblings_come_in_any_order_but_not_twice(void **state)
{
	static const char *const order[] = { "/b", "/b/x", "/a", "/ccc", "/cc", "/cc/1", "/c" };
	struct tree_build b;
	struct rig r;

	(void)state;
	rig_init(&r);
	tree_build_init(&b, &r.s);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		assert_int_equal(tree_build_add(&b, order[i], strlen(order[i]), r.of[1], NULL, 0),
				 0);
	assert_int_equal(tree_build_add(&b, "/c", 2, r.of[1], NULL, 0), EEXIST);
	assert_int_equal(tree_build_add(&b, "/x/y", 4, r.of[1], NULL, 0), ENOENT);
	assert_int_equal(tree_build_add(&b, "/b/z", 4, r.of[1], NULL, 0), ENOENT);
	assert_int_equal(tree_build_end(&b), 0);
	tree_build_fini(&b);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		assert_non_null(store_find_node(r.s.live.root, order[i], strlen(order[i])));
	rig_fini(&r);

	rig_init(&r);
	tree_build_init(&b, &r.s);
	assert_int_equal(tree_build_add(&b, "/a", 2, r.of[1], NULL, 0), 0);
	assert_int_equal(tree_build_add(&b, "/b", 2, r.of[1], NULL, 0), 0);
	assert_int_equal(tree_build_add(&b, "/a", 2, r.of[1], NULL, 0), 0);
	assert_int_equal(tree_build_end(&b), EEXIST);
	tree_build_fini(&b);
	rig_fini(&r);
}

static void count_calls(void *data, const char *path, size_t len, const struct node *a,
			const struct node *b)
{
	(void)path;
	(void)len;
	(void)a;
	(void)b;
	++*(size_t *)data;
}

static void out_of_memory_leaves_nothing_behind(void **state)
{
	struct rig r, copy;
	unsigned long n = 0;
	struct node *old;
	struct prng p;
	size_t calls;
	int err;

	(void)state;
	prng_init(&p, 7);
	rig_init(&r);
	for (int i = 0; i < 150; i++)
		edit(&r, &p);
	do {
		rig_init(&copy);
		alloc_fail_nth(++n, false);
		err = build_copy(&copy, &r);
		assert_int_equal(alloc_fail_end(), err == -ENOMEM);
		rig_fini(&copy);
	} while (err);
	old = node_take(r.s.live.root);
	for (int i = 0; i < 30; i++)
		edit(&r, &p);
	n = 0;
	do {
		calls = 0;
		alloc_fail_nth(++n, false);
		err = tree_diff("/", 1, old, r.s.live.root, count_calls, &calls);
		assert_int_equal(alloc_fail_end(), err == -ENOMEM);
	} while (err);
	assert_true(calls > 0);
	store_discard(&r.s, old, false);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_visits_each_node_once_parents_first),
		cmocka_unit_test(diff_leads_from_one_tree_to_the_other),
		cmocka_unit_test(what_is_built_is_a_tree_like_any_other),
		cmocka_unit_test(siblings_come_in_any_order_but_not_twice),
		cmocka_unit_test(out_of_memory_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
