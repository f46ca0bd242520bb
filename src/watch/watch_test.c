/* SPDX-License-Identifier: MIT */
/*
 * The index of watches: who is told of what and how often, and that nothing is left of a watch
 * that is gone.
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
#include "watch/watch.h"

#define ANY WATCH_DEPTH_ANY

struct ear {
	struct watcher w;
	struct budget budget;
	char heard[65536]; /* "path:token " each */
	size_t n;
};

struct rig {
	struct quota_policy policy;
	struct perm_table *perms;
	struct watch_index ix;
	struct ear ear[3]; /* domain 0, 5, 6 */
};

static void hear(struct watcher *w, const struct watch *x, const char *path, size_t len)
{
	struct ear *e = CONTAINER_OF(w, struct ear, w);
	size_t at = strlen(e->heard);

	snprintf(e->heard + at, sizeof(e->heard) - at, "%.*s:%s ", (int)len, path, x->token);
	e->n++;
}

static struct rig *rig_new(void)
{
	static const struct siphash_key key = { 1, 1 };
	static const uint16_t domids[] = { 0, 5, 6 };
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	quota_policy_init(&r->policy);
	r->perms = perm_table_new(&key);
	assert_int_equal(watch_index_init(&r->ix), 0);
	for (size_t i = 0; i < 3; i++) {
		struct ear *e = &r->ear[i];

		budget_init(&e->budget, &r->policy, domids[i], NULL);
		watcher_init(&e->w);
		e->w.event = hear;
		e->w.budget = &e->budget;
		e->w.domid = domids[i];
		e->w.target = PERM_NO_DOMID;
		e->w.privileged = !i;
		e->w.rel_len = sizeof("/local/domain/5");
	}
	return r;
}

/* Where all watches are gone no place is left: the leak checker, and this, say so. */
static void rig_free(struct rig *r)
{
	for (size_t i = 0; i < 3; i++) {
		watch_remove_some(&r->ix, &r->ear[i].w, SIZE_MAX);
		assert_int_equal(r->ear[i].w.n, 0);
		budget_fini(&r->ear[i].budget);
	}
	watch_index_fini(&r->ix);
	perm_table_free(r->perms);
	free(r);
}

static int add(struct rig *r, size_t ear, const char *path, const char *token, uint32_t depth)
{
	return watch_add(&r->ix, &r->ear[ear].w, path, strlen(path), token, strlen(token), depth,
			 false, NULL);
}

static int del(struct rig *r, size_t ear, const char *path, const char *token)
{
	return watch_remove(&r->ix, &r->ear[ear].w, path, strlen(path), token, strlen(token));
}

static void fire(struct rig *r, const char *path, bool removed)
{
	watch_fire(&r->ix,
		   &(struct change){ .path = path, .len = strlen(path), .removed = removed });
}

static void expect(struct rig *r, size_t ear, const char *want)
{
	assert_string_equal(r->ear[ear].heard, want);
	r->ear[ear].heard[0] = '\0';
}

static void a_change_is_told_at_its_path_and_above(void **state)
{
	static const struct {
		const char *watch, *change;
		uint32_t depth;
		bool told;
	} table[] = {
		{ "/a", "/a", ANY, true },     { "/a", "/a/b", ANY, true },
		{ "/a", "/a/b/c", ANY, true }, { "/a", "/", ANY, false },
		{ "/a", "/ab", ANY, false },   { "/a", "/b", ANY, false },
		{ "/a/b", "/a", ANY, false },  { "/", "/", ANY, true },
		{ "/", "/a/b", ANY, true },    { "/a", "/a", 0, true },
		{ "/a", "/a/b", 0, false },    { "/a", "/a/b", 1, true },
		{ "/a", "/a/b/c", 1, false },  { "/a", "/a/b/c", 2, true },
		{ "/", "/a", 0, false },       { "/", "/a", 1, true },
		{ "/", "/a/b", 1, false },     { "/a", "/a/b/c/d", ANY - 1, true },
		{ "@a", "/a", ANY, false },    { "/@a", "/@a", ANY, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct rig *r = rig_new();

		assert_int_equal(add(r, 0, table[i].watch, "t", table[i].depth), 0);
		fire(r, table[i].change, false);
		if (r->ear[0].n != table[i].told)
			fail_msg("%s told %zu times of %s", table[i].watch, r->ear[0].n,
				 table[i].change);
		rig_free(r);
	}
}

static void a_removal_is_told_below_once_with_each_watchs_own_path(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	assert_int_equal(add(r, 0, "/", "root", ANY), 0);
	assert_int_equal(add(r, 0, "/a", "self", ANY), 0);
	assert_int_equal(add(r, 0, "/a/b", "kid", ANY), 0);
	assert_int_equal(add(r, 0, "/a/b", "shallow", 0), 0);
	assert_int_equal(add(r, 0, "/a/b/c/d", "deep", ANY), 0);
	assert_int_equal(add(r, 0, "/a/zz/y", "never", ANY), 0);
	assert_int_equal(add(r, 0, "/ab", "other", ANY), 0);
	fire(r, "/a", true);
	expect(r, 0, "/a:root /a:self /a/b:shallow /a/b:kid /a/b/c/d:deep /a/zz/y:never ");
	fire(r, "/a/b", true);
	expect(r, 0, "/a/b:root /a/b:self /a/b:shallow /a/b:kid /a/b/c/d:deep ");
	fire(r, "/a/b/c/d/e", true);
	expect(r, 0, "/a/b/c/d/e:root /a/b/c/d/e:self /a/b/c/d/e:kid /a/b/c/d/e:deep ");
	fire(r, "/a/b", false);
	expect(r, 0, "/a/b:root /a/b:self /a/b:shallow /a/b:kid ");
	fire(r, "/q", true);
	expect(r, 0, "/q:root ");
	rig_free(r);
}

static void duplicates_and_strangers_are_refused_and_change_nothing(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	assert_int_equal(add(r, 1, "/a/b", "t", ANY), 0);
	assert_int_equal(add(r, 1, "/a/b", "t", 3), EEXIST);
	assert_int_equal(add(r, 1, "/a/b", "u", ANY), 0);
	assert_int_equal(add(r, 1, "/a", "t", ANY), 0);
	assert_int_equal(add(r, 2, "/a/b", "t", ANY), 0);
	assert_int_equal(del(r, 2, "/a/b", "u"), ENOENT);
	assert_int_equal(del(r, 1, "/a/c", "t"), ENOENT);
	assert_int_equal(del(r, 1, "/a/b/c", "t"), ENOENT);
	assert_int_equal(del(r, 1, "@a", "t"), ENOENT);
	assert_int_equal(del(r, 1, "/a/b", ""), ENOENT);
	assert_int_equal(r->ix.n, 4);
	assert_int_equal(r->ear[1].budget.used[QUOTA_WATCHES], 3);
	assert_int_equal(del(r, 1, "/a/b", "t"), 0);
	assert_int_equal(del(r, 1, "/a/b", "t"), ENOENT);
	assert_int_equal(r->ear[1].budget.used[QUOTA_WATCHES], 2);
	rig_free(r);
}

static struct perms *list_of(struct rig *r, const char *a, const char *b)
{
	struct perm entry[2];
	struct perms *p;

	assert_int_equal(perm_parse(a, strlen(a), &entry[0]), 0);
	if (b)
		assert_int_equal(perm_parse(b, strlen(b), &entry[1]), 0);
	assert_int_equal(perms_intern(r->perms, entry, b ? 2 : 1, &p), 0);
	return p;
}

/* Old and new node and parent: one that lets read is enough. */
static void who_may_read_neither_node_nor_parent_is_not_told(void **state)
{
	struct rig *r = rig_new();
	struct perms *no = list_of(r, "n0", NULL), *yes = list_of(r, "n0", "r5");
	struct node shut = { .perms = no }, open = { .perms = yes };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(add(r, i, "/", "t", ANY), 0);
	for (unsigned int k = 0; k < 32; k++) {
		struct change c = {
			.path = "/a/b",
			.len = 4,
			.old_node = k & 1    ? &open
				    : k & 16 ? NULL
					     : &shut,
			.new_node = k & 2    ? &open
				    : k & 16 ? NULL
					     : &shut,
			.old_parent = k & 4    ? yes
				      : k & 16 ? NULL
					       : no,
			.new_parent = k & 8 ? yes : no,
		};

		watch_fire(&r->ix, &c);
		expect(r, 0, "/a/b:t ");
		expect(r, 1, k & 15 ? "/a/b:t " : "");
		expect(r, 2, "");
	}
	r->ear[2].w.target = 5; /* it acts for domain 5 now */
	watch_fire(&r->ix, &(struct change){ .path = "/a", .len = 2, .new_node = &open });
	expect(r, 2, "/a:t ");
	perms_release(r->perms, no);
	perms_release(r->perms, yes);
	rig_free(r);
}

/* Below a removed node what counts is the node that was there, or the last one on the way. */
static void below_a_removal_the_lists_of_what_was_there_count(void **state)
{
	struct rig *r = rig_new();
	struct perms *no = list_of(r, "n0", NULL), *yes = list_of(r, "n0", "r5");
	struct node_heap heap = { .perms = r->perms };
	struct node *a = node_new("a", 1, NULL, 0, no), *b = node_new("b", 1, NULL, 0, no);
	struct node *c = node_new("c", 1, NULL, 0, yes);

	(void)state;
	assert_int_equal(node_insert_child(&heap, &b->kids, c), 0);
	assert_int_equal(node_insert_child(&heap, &a->kids, b), 0);
	assert_int_equal(add(r, 1, "/a/b", "b", ANY), 0);
	assert_int_equal(add(r, 1, "/a/b/c", "c", ANY), 0);
	assert_int_equal(add(r, 1, "/a/b/c/d", "d", ANY), 0);
	assert_int_equal(add(r, 1, "/a/b/x", "x", ANY), 0);
	watch_fire(&r->ix, &(struct change){ .path = "/a",
					     .len = 2,
					     .old_node = a,
					     .old_parent = no,
					     .new_parent = no,
					     .removed = true });
	expect(r, 1, "/a/b/c:c /a/b/c/d:d ");
	for (struct node *n = a, *kid; n; n = kid) {
		kid = n->kids;
		n->refs = 0;
		node_free_alone(&heap, n);
	}
	perms_release(r->perms, no);
	perms_release(r->perms, yes);
	rig_free(r);
}

static void special_events_come_by_name_depth_domid_and_permission(void **state)
{
	struct rig *r = rig_new();
	struct perms *no = list_of(r, "n0", NULL), *yes = list_of(r, "n0", "r5");

	(void)state;
	assert_int_equal(add(r, 0, "@releaseDomain", "any", ANY), 0);
	assert_int_equal(add(r, 0, "@releaseDomain", "id", 1), 0);
	assert_int_equal(add(r, 0, "@releaseDomain/7", "seven", ANY), 0);
	assert_int_equal(add(r, 0, "@introduceDomain", "in", ANY), 0);
	assert_int_equal(add(r, 0, "@other", "x", ANY), 0);
	assert_int_equal(add(r, 0, "/", "root", ANY), 0);
	assert_int_equal(add(r, 1, "@releaseDomain", "five", ANY), 0);
	watch_fire_special(&r->ix, "@releaseDomain", 7, yes);
	expect(r, 0, "@releaseDomain/7:id @releaseDomain:any @releaseDomain/7:seven ");
	expect(r, 1, "@releaseDomain:five ");
	watch_fire_special(&r->ix, "@releaseDomain", 65535, no);
	expect(r, 0, "@releaseDomain/65535:id @releaseDomain:any ");
	expect(r, 1, "");
	watch_fire_special(&r->ix, "@introduceDomain", 0, no);
	expect(r, 0, "@introduceDomain:in ");
	perms_release(r->perms, no);
	perms_release(r->perms, yes);
	rig_free(r);
}

static void a_relative_watch_is_told_relative_paths(void **state)
{
	static const char path[] = "/local/domain/5/a", below[] = "/local/domain/5/a/b";
	struct rig *r = rig_new();

	(void)state;
	assert_int_equal(
		watch_add(&r->ix, &r->ear[0].w, path, sizeof(path) - 1, "t", 1, ANY, true, NULL),
		0);
	assert_int_equal(
		watch_add(&r->ix, &r->ear[0].w, below, sizeof(below) - 1, "u", 1, ANY, true, NULL),
		0);
	fire(r, path, true);
	expect(r, 0, "a:t a/b:u ");
	fire(r, below, false);
	expect(r, 0, "a/b:t a/b:u ");
	rig_free(r);
}

/* --- against a plain list ---------------------------------------------------------------- */

struct plain {
	size_t ear;
	char path[64], token[4];
	uint32_t depth;
};

static void random_path(struct prng *rnd, char *path)
{
	unsigned int n = prng_below(rnd, 5);

	path[0] = '\0';
	for (unsigned int i = 0; i < n; i++)
		sprintf(path + strlen(path), "/%.*s", (int)prng_below(rnd, 2) + 1,
			&"abbcab"[prng_below(rnd, 5)]);
	if (!n)
		strcpy(path, "/");
}

static unsigned int levels(const char *path)
{
	unsigned int n = 0;

	for (; *path && path[1]; path++)
		n += *path == '/';
	return n;
}

static bool plain_match(const struct plain *p, const char *path, bool removed)
{
	size_t len = strlen(path), p_len = strlen(p->path);

	if (path_is_below(path, len, p->path, p_len))
		return p->depth == ANY || levels(path) - levels(p->path) <= p->depth;
	return removed && path_is_below(p->path, p_len, path, len);
}

static void the_index_tells_whom_a_plain_list_would(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct rig *r = rig_new();
		struct plain list[200];
		size_t n = 0;
		struct prng rnd;
		char path[64];

		prng_init(&rnd, seed);
		for (unsigned int i = 0; i < 1500; i++) {
			struct plain *p = &list[n];
			size_t want = 0, k;

			if (prng_below(&rnd, 3) && n < 200) {
				p->ear = 0;
				random_path(&rnd, p->path);
				snprintf(p->token, sizeof(p->token), "%u", prng_below(&rnd, 3));
				p->depth = prng_once_in(&rnd, 2) ? ANY : prng_below(&rnd, 4);
				for (k = 0; k < n; k++)
					if (!strcmp(list[k].path, p->path) &&
					    !strcmp(list[k].token, p->token))
						break;
				assert_int_equal(add(r, 0, p->path, p->token, p->depth),
						 k < n ? EEXIST : 0);
				n += k == n;
			} else if (n) {
				k = prng_below(&rnd, (uint32_t)n);
				assert_int_equal(del(r, 0, list[k].path, list[k].token), 0);
				list[k] = list[--n];
			}
			random_path(&rnd, path);
			r->ear[0].n = 0;
			r->ear[0].heard[0] = '\0';
			for (k = 0; k < n; k++)
				want += plain_match(&list[k], path, i & 1);
			fire(r, path, i & 1);
			if (r->ear[0].n != want)
				fail_msg("seed %u step %u %s: %zu for %zu", (unsigned int)seed, i,
					 path, r->ear[0].n, want);
			assert_int_equal(r->ix.n, n);
		}
		rig_free(r);
	}
}

static void a_watch_without_memory_leaves_no_place(void **state)
{
	(void)state;
	for (unsigned long n = 1; n < 12; n++) {
		struct rig *r = rig_new();

		assert_int_equal(add(r, 1, "/a/x", "t", ANY), 0);
		alloc_fail_nth(n, true);
		if (add(r, 1, "/a/b/c/d/e", "t", ANY) == 0)
			n = 100;
		alloc_fail_end();
		assert_int_equal(r->ear[1].budget.used[QUOTA_WATCHES], n == 100 ? 2 : 1);
		rig_free(r);
		if (n == 100)
			return;
	}
	fail();
}

/* A path of a thousand components is a thousand places: they are paid for. */
static void the_places_that_a_watch_needs_are_charged(void **state)
{
	struct rig *r = rig_new();
	char path[2049];

	(void)state;
	for (size_t i = 0; i < 2048; i += 2)
		memcpy(path + i, "/x", 2);
	path[2048] = '\0';
	assert_int_equal(add(r, 1, path, "t", ANY), 0);
	assert_in_range(r->ear[1].budget.used[QUOTA_MEMORY], 1024u * 64, 1024u * 200);
	assert_int_equal(del(r, 1, path, "t"), 0);
	assert_int_equal(r->ear[1].budget.used[QUOTA_MEMORY], 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_is_told_at_its_path_and_above),
		cmocka_unit_test(a_removal_is_told_below_once_with_each_watchs_own_path),
		cmocka_unit_test(duplicates_and_strangers_are_refused_and_change_nothing),
		cmocka_unit_test(who_may_read_neither_node_nor_parent_is_not_told),
		cmocka_unit_test(below_a_removal_the_lists_of_what_was_there_count),
		cmocka_unit_test(special_events_come_by_name_depth_domid_and_permission),
		cmocka_unit_test(a_relative_watch_is_told_relative_paths),
		cmocka_unit_test(the_index_tells_whom_a_plain_list_would),
		cmocka_unit_test(a_watch_without_memory_leaves_no_place),
		cmocka_unit_test(the_places_that_a_watch_needs_are_charged),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
