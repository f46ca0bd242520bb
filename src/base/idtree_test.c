/* SPDX-License-Identifier: MIT */
/*
 * Trees of ids: all that was added and not removed is found, and nothing else, whatever the order
 * and the keys; and the deepest of them are as deep as the header says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/idtree.h"
#include "base/own.h"
#include "base/prng.h"

#define ITEMS 400u

struct item {
	uint8_t key[16];
	struct idtree_link link;
};

static struct item *find(const struct idtree *t, const uint8_t *key)
{
	struct idtree_link *l = idtree_find(t, key);

	return l ? CONTAINER_OF(l, struct item, link) : NULL;
}

static size_t depth_of(const struct idtree_link *l)
{
	size_t a = l ? depth_of(l->kids[0]) : 0, b = l ? depth_of(l->kids[1]) : 0;

	return l ? 1 + (a > b ? a : b) : 0;
}

/* Keys that differ somewhere in the middle, at the end only, or not before the last bits. */
static void make_keys(struct prng *rng, struct item *items, unsigned int kind)
{
	for (uint32_t i = 0; i < ITEMS; i++) {
		memset(&items[i], 0, sizeof(items[i]));
		memcpy(items[i].key + (kind == 0 ? 6 : 12), &i, sizeof(i));
		if (kind != 2)
			continue;
		for (size_t at = 0; at < 12; at++)
			items[i].key[at] = (uint8_t)prng_next(rng);
	}
}

static void what_is_in_it_is_found_and_nothing_else(void **state)
{
	static struct item items[ITEMS];
	struct prng rng;

	(void)state;
	prng_init(&rng, 1);
	for (unsigned int kind = 0; kind < 3; kind++) {
		struct idtree t = { .key_len = sizeof(items[0].key) };
		bool in[ITEMS] = { 0 };

		make_keys(&rng, items, kind);
		for (unsigned int step = 0; step < 20 * ITEMS; step++) {
			size_t i = prng_next(&rng) % ITEMS, k = prng_next(&rng) % ITEMS;

			if (in[i])
				idtree_remove(&t, &items[i].link);
			else
				idtree_add(&t, &items[i].link, items[i].key);
			in[i] = !in[i];
			assert_ptr_equal(find(&t, items[i].key), in[i] ? &items[i] : NULL);
			assert_ptr_equal(find(&t, items[k].key), in[k] ? &items[k] : NULL);
		}
		for (size_t i = 0; i < ITEMS; i++) {
			assert_ptr_equal(find(&t, items[i].key), in[i] ? &items[i] : NULL);
			idtree_remove(&t, &items[i].link);
		}
		assert_null(t.root);
	}
}

static void removing_twice_is_harmless(void **state)
{
	struct item items[2] = { { .key = { 1 } }, { .key = { 2 } } };
	struct idtree t = { .key_len = sizeof(items[0].key) };

	(void)state;
	idtree_add(&t, &items[0].link, items[0].key);
	idtree_add(&t, &items[1].link, items[1].key);
	idtree_remove(&t, &items[0].link);
	idtree_remove(&t, &items[0].link);
	assert_null(find(&t, items[0].key));
	assert_ptr_equal(find(&t, items[1].key), &items[1]);
}

static void keys_chosen_to_be_deep_are_no_deeper_than_their_bits(void **state)
{
	static struct item items[129];
	struct idtree t = { .key_len = sizeof(items[0].key) };

	(void)state;
	/* Each but the last, which is zero, is as long alike with those before as it can be. */
	for (size_t i = 0; i < 129; i++) {
		if (i < 128)
			items[i].key[i / 8] = (uint8_t)(1u << i % 8);
		idtree_add(&t, &items[i].link, items[i].key);
	}
	assert_int_equal(depth_of(t.root), 129);
	for (size_t i = 0; i < 129; i++)
		assert_ptr_equal(find(&t, items[i].key), &items[i]);
}

static void numbers_in_a_row_make_no_deep_tree(void **state)
{
	static struct {
		uint64_t id;
		struct idtree_link link;
	} items[1023];
	struct idtree t = { .key_len = sizeof(items[0].id) };

	(void)state;
	for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
		items[i].id = i + 1000;
		idtree_add(&t, &items[i].link, &items[i].id);
	}
	assert_true(depth_of(t.root) <= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_it_is_found_and_nothing_else),
		cmocka_unit_test(removing_twice_is_harmless),
		cmocka_unit_test(keys_chosen_to_be_deep_are_no_deeper_than_their_bits),
		cmocka_unit_test(numbers_in_a_row_make_no_deep_tree),
	};

	return cmocka_run_group_tests_name("idtree", tests, NULL, NULL);
}
