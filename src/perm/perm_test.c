/* SPDX-License-Identifier: MIT */
/*
 * Access lists: what they allow, how they are shared, and taking a domain out of all.
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
#include "perm/perm.h"

static struct perm_table *table_new(void)
{
	static const struct siphash_key key = { 11, 12 };
	struct perm_table *t = perm_table_new(&key);

	assert_non_null(t);
	return t;
}

/* "n0 r5 b6". */
static struct perms *list(struct perm_table *t, const char *text)
{
	struct perm entry[64];
	struct perms *p;
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		assert_int_equal(perm_parse(text, len, &entry[n++]), 0);
		text += len + (text[len] == ' ');
	}
	assert_int_equal(perms_intern(t, entry, n, &p), 0);
	return p;
}

static const char *text_of(const struct perms *p)
{
	static char out[1024];
	size_t at = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		if (i)
			out[at++] = ' ';
		at += perm_print(&p->entry[i], out + at);
	}
	return out;
}

static void the_first_entry_that_names_one_counts(void **state)
{
	static const struct {
		const char *list;
		uint16_t domid;
		uint32_t target;
		unsigned int bits;
	} table[] = {
		{ "n0", 5, PERM_NO_DOMID, 0 },
		{ "r0", 5, PERM_NO_DOMID, PERM_READ },
		{ "b0", 5, PERM_NO_DOMID, PERM_READ | PERM_WRITE },
		{ "n5", 5, PERM_NO_DOMID, PERM_READ | PERM_WRITE | PERM_OWNER },
		{ "n5", 6, 5, PERM_READ | PERM_WRITE | PERM_OWNER },
		{ "n5 r6", 5, PERM_NO_DOMID, PERM_READ | PERM_WRITE | PERM_OWNER },
		{ "n0 r5", 5, PERM_NO_DOMID, PERM_READ },
		{ "b0 n5", 5, PERM_NO_DOMID, 0 },
		{ "b0 n5", 6, PERM_NO_DOMID, PERM_READ | PERM_WRITE },
		{ "n0 r5 b5", 5, PERM_NO_DOMID, PERM_READ },
		{ "n0 r6 w5", 5, 6, PERM_READ },
		{ "n0 w5 r6", 5, 6, PERM_WRITE },
		{ "n0 r32757", 5, PERM_NO_DOMID, PERM_READ },
		{ "n0 w5 r32757", 5, PERM_NO_DOMID, PERM_WRITE },
		{ "n0 r32757 w5", 5, PERM_NO_DOMID, PERM_READ },
		{ "r0 n32757", 5, PERM_NO_DOMID, 0 },
		{ "n32757", 5, PERM_NO_DOMID, 0 }, /* as an owner it is nobody */
		{ "n0 b65535", 5, PERM_NO_DOMID, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct perm_table *t = table_new();
		struct perms *p = list(t, table[i].list);

		if (perms_bits(p, table[i].domid, table[i].target) != table[i].bits)
			fail_msg("[%s] domain %u", table[i].list, table[i].domid);
		perms_release(t, p);
		perm_table_free(t);
	}
}

static void equal_lists_are_one(void **state)
{
	struct perm_table *t = table_new();
	struct perms *a = list(t, "n0 r5"), *b = list(t, "n0 r5"), *c = list(t, "n0 w5"), *d;

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_int_equal(perm_table_count(t), 2);
	assert_int_equal(perms_intern_owner(t, a, 7, &d), 0);
	assert_string_equal(text_of(d), "n7 r5");
	perms_release(t, d);
	perms_release(t, a);
	assert_int_equal(perm_table_count(t), 2);
	perms_release(t, b);
	perms_release(t, c);
	assert_int_equal(perm_table_count(t), 0);
	perms_release(t, NULL);
	perm_table_free(t);
}

static void a_stripped_list_is_equal_to_and_not_mixed_up_with_another(void **state)
{
	struct perm_table *t = table_new();
	struct perms *a = list(t, "n0 r5 r6"), *plain, *again;

	(void)state;
	assert_true(perm_table_strip(t, 5));
	assert_false(perm_table_strip(t, 5));
	assert_string_equal(text_of(a), "n0 r6");
	plain = list(t, "n0 r6");
	again = list(t, "n0 r5 r6"); /* what 5 is given now is not taken from the old list */
	assert_true(perms_equal(a, plain));
	assert_ptr_not_equal(again, a);
	assert_string_equal(text_of(again), "n0 r5 r6");
	assert_string_equal(text_of(a), "n0 r6");
	assert_true(perm_table_strip(t, 6));
	assert_string_equal(text_of(a), "n0");
	assert_string_equal(text_of(plain), "n0");
	assert_string_equal(text_of(again), "n0 r5");
	assert_false(perm_table_strip(t, 0)); /* owners stay */
	perms_release(t, a);
	perms_release(t, plain);
	perms_release(t, again);
	perm_table_free(t);
}

/* Lists come and go, domains are taken out: each list says what a plain copy of it says. */
static void any_history_leaves_each_list_as_it_should_be(void **state)
{
	static struct perms *held[300];
	static struct perm want[300][8];
	static size_t n_want[300];
	struct perm_table *t = table_new();
	struct prng rnd;

	(void)state;
	memset(held, 0, sizeof(held));
	prng_init(&rnd, 5);
	for (unsigned int step = 0; step < 20000; step++) {
		unsigned int i = prng_below(&rnd, 300);
		struct perm *w = want[i];

		if (prng_once_in(&rnd, 40)) {
			uint16_t domid = (uint16_t)prng_below(&rnd, 6);

			perm_table_strip(t, domid);
			for (size_t k = 0; k < 300; k++) {
				size_t kept = 1;

				for (size_t j = 1; j < n_want[k]; j++)
					if (want[k][j].domid != domid)
						want[k][kept++] = want[k][j];
				n_want[k] = kept;
			}
		} else if (held[i]) {
			assert_int_equal(held[i]->n, n_want[i]);
			for (size_t j = 0; j < n_want[i]; j++) {
				assert_int_equal(held[i]->entry[j].domid, w[j].domid);
				assert_int_equal(held[i]->entry[j].bits, w[j].bits);
			}
			perms_release(t, held[i]);
			held[i] = NULL;
		} else {
			n_want[i] = 1 + prng_below(&rnd, 7);
			for (size_t j = 0; j < n_want[i]; j++)
				w[j] = (struct perm){ .domid = (uint16_t)prng_below(&rnd, 6),
						      .bits = (uint8_t)prng_below(&rnd, 4) };
			assert_int_equal(perms_intern(t, w, n_want[i], &held[i]), 0);
		}
	}
	for (size_t i = 0; i < 300; i++)
		perms_release(t, held[i]);
	perm_table_free(t);
}

static void without_memory_there_is_no_list_and_no_harm(void **state)
{
	static const struct siphash_key key = { 11, 12 };
	struct perm_table *t = table_new();
	struct perms *a = list(t, "n0 r1 r2 r3 r4 r5 r6 r7 r8"), *b;

	(void)state;
	alloc_fail_nth(1, true);
	assert_int_equal(perms_intern(t, &(struct perm){ .domid = 3 }, 1, &b), -ENOMEM);
	assert_int_equal(perms_intern_owner(t, a, 9, &b), -ENOMEM);
	alloc_fail_end();
	for (unsigned long n = 1; n < 4; n++) {
		alloc_fail_nth(n, false);
		assert_null(perm_table_new(&key));
		alloc_fail_end();
	}
	assert_int_equal(perm_table_count(t), 1);
	perms_release(t, a);
	perm_table_free(t);
}

/* The table grows when it can: with or without memory for it, all lists are found. */
static void many_lists_are_found_whether_or_not_the_table_could_grow(void **state)
{
	static struct perms *held[5000];
	struct perms *again;

	(void)state;
	for (unsigned int k = 0; k < 2; k++) {
		struct perm_table *t = table_new();

		for (uint16_t i = 0; i < 5000; i++) {
			alloc_fail_nth(k ? 2 : 0, true); /* the list itself is the first */
			assert_int_equal(perms_intern(t, &(struct perm){ .domid = i }, 1, &held[i]),
					 0);
			alloc_fail_end();
		}
		for (uint16_t i = 0; i < 5000; i++) {
			assert_int_equal(perms_intern(t, &(struct perm){ .domid = i }, 1, &again),
					 0);
			assert_ptr_equal(again, held[i]);
			perms_release(t, again);
		}
		for (size_t i = 0; i < 5000; i++)
			perms_release(t, held[i]);
		perm_table_free(t);
	}
}

static void entries_are_a_letter_and_a_domid(void **state)
{
	static const struct {
		const char *str;
		int domid; /* -1: EINVAL */
		unsigned int bits;
	} table[] = {
		{ "n0", 0, 0 },
		{ "r5", 5, PERM_READ },
		{ "w65535", 65535, PERM_WRITE },
		{ "b32757", 32757, PERM_READ | PERM_WRITE },
		{ "", -1, 0 },
		{ "n", -1, 0 },
		{ "x5", -1, 0 },
		{ "5", -1, 0 },
		{ "n65536", -1, 0 },
		{ "n-1", -1, 0 },
		{ "N5", -1, 0 },
		{ "rw5", -1, 0 },
		{ "r 5", -1, 0 },
		{ "r5 ", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char out[PERMS_PRINT_MAX];
		struct perm p;
		int r = perm_parse(table[i].str, strlen(table[i].str), &p);

		assert_int_equal(r, table[i].domid < 0 ? EINVAL : 0);
		if (r)
			continue;
		assert_int_equal(p.domid, table[i].domid);
		assert_int_equal(p.bits, table[i].bits);
		assert_int_equal(perm_print(&p, out), strlen(table[i].str));
		assert_string_equal(out, table[i].str);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_entry_that_names_one_counts),
		cmocka_unit_test(equal_lists_are_one),
		cmocka_unit_test(a_stripped_list_is_equal_to_and_not_mixed_up_with_another),
		cmocka_unit_test(any_history_leaves_each_list_as_it_should_be),
		cmocka_unit_test(without_memory_there_is_no_list_and_no_harm),
		cmocka_unit_test(many_lists_are_found_whether_or_not_the_table_could_grow),
		cmocka_unit_test(entries_are_a_letter_and_a_domid),
	};

	return cmocka_run_group_tests_name("perm", tests, NULL, NULL);
}
