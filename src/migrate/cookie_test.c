/* SPDX-License-Identifier: MIT */
/*
 * Cookies: printed and read again they are the same, and one that is wrong anywhere is refused with
 * the name of what is wrong, and gives nothing.
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

#include "base/own.h"
#include "migrate/migrate.h"

#define ID "000102030405060708090a0b0c0d0e0f"
#define UUID "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define HEAD "drover-migration 1\nid=" ID "\nuuid=" UUID "\n"
#define TAIL "host=here\naddress=unix:///here\nfingerprint=\n"
#define GOOD HEAD "guest=tick\nepoch=7\nflags=257\narbiter=1\ndomid=9\n" TAIL

static void what_is_printed_reads_the_same(void **state)
{
	struct mig_cookie c, again;
	char text[MIG_WHY_MAX], *printed;
	size_t len;

	(void)state;
	assert_int_equal(mig_cookie_parse(GOOD, strlen(GOOD), &c, text, sizeof(text)), 0);
	assert_int_equal(c.id.b[15], 15);
	assert_int_equal(c.uuid[0], 0xf0);
	assert_string_equal(c.guest, "tick");
	assert_true(c.epoch == 7 && c.flags == 257 && c.arbiter && c.domid == 9);
	assert_string_equal(c.host.address, "unix:///here");
	printed = mig_cookie_print(&c, &len);
	assert_non_null(printed);
	assert_string_equal(printed, GOOD);
	assert_int_equal(len, strlen(GOOD));
	/* The NUL at its end may be carried, too. */
	assert_int_equal(mig_cookie_parse(printed, len + 1, &again, text, sizeof(text)), 0);
	free(printed);
}

static void what_is_wrong_is_named_and_gives_nothing(void **state)
{
	static const struct {
		const char *cookie, *named;
	} table[] = {
		{ "", "not one of this daemon's" },
		{ "<qemu-migration/>", "not one of this daemon's" },
		{ "drover-migration 2\n", "not one of this daemon's" },
		{ "drover-migration 1\n", "line of id " },
		{ "drover-migration 1\nid=" ID "0\n", "line of id " },
		{ "drover-migration 1\nid=00010203040506070809 a0b0c0d0e0f\n", "line of id " },
		{ "drover-migration 1\nid=000102030405060708090A0B0C0D0E0F\n", "line of id " },
		{ "drover-migration 1\nid=" ID "\nguest=tick\n", "line of uuid " },
		{ HEAD "guest=\nepoch=7\n", "line of guest " },
		{ HEAD "guest=a\tb\nepoch=7\n", "line of guest " },
		{ HEAD "guest=tick\nepoch=-1\n", "line of epoch " },
		{ HEAD "guest=tick\nepoch=07\n", "line of epoch " },
		{ HEAD "guest=tick\nepoch=\n", "line of epoch " },
		{ HEAD "guest=tick\nepoch=9223372036854775805\n", "line of epoch " },
		{ HEAD "guest=tick\nepoch=99999999999999999999\n", "line of epoch " },
		{ HEAD "guest=tick\nepoch=7\nflags=4294967296\n", "line of flags " },
		{ HEAD "guest=tick\nepoch=7\nflags=1\narbiter=2\n", "line of arbiter " },
		{ HEAD "guest=tick\nepoch=7\nflags=1\narbiter=1\ndomid=32752\n", "line of domid " },
		{ HEAD "guest=tick\nepoch=7\nflags=1\narbiter=1\ndomid=0\nhost=here\naddress=x",
		  "line of address " },
		{ GOOD "more=1\n", "more follows" },
		{ GOOD "\n", "more follows" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct mig_cookie c = { .epoch = 99 };
		char text[MIG_WHY_MAX] = "";
		size_t len = strlen(table[i].cookie);

		if (mig_cookie_parse(table[i].cookie, len, &c, text, sizeof(text)) != EINVAL ||
		    !strstr(text, table[i].named) || c.epoch != 99)
			fail_msg("%s: %s", table[i].cookie, text);
	}
}

static void a_definition_comes_along_whole_or_not_at_all(void **state)
{
	struct mig_cookie c = { .guest = "tick", .host = { .name = "here" } }, again;
	char text[MIG_WHY_MAX], *cookie, *huge = calloc(1, MIG_COOKIE_MAX);
	size_t len;

	(void)state;
	assert_non_null(huge);
	memset(huge, 'x', MIG_COOKIE_MAX - 1);
	cookie = mig_cookie_print(&c, &len);
	assert_non_null(cookie);
	assert_null(mig_cookie_definition(cookie, len));
	assert_null(mig_cookie_definition(cookie, len + 1));
	assert_int_equal(mig_cookie_add(&cookie, &len, huge), E2BIG);
	assert_int_equal(mig_cookie_add(&cookie, &len, "<domain/>"), 0);
	assert_string_equal(mig_cookie_definition(cookie, len), "<domain/>");
	assert_int_equal(mig_cookie_parse(cookie, len, &again, text, sizeof(text)), 0);
	assert_string_equal(again.guest, "tick");
	/* cut short; and with a NUL in it */
	assert_null(mig_cookie_definition(cookie, len - 1));
	assert_int_equal(mig_cookie_parse(cookie, len - 1, &again, text, sizeof(text)), EINVAL);
	cookie[len - 4] = '\0';
	assert_null(mig_cookie_definition(cookie, len));
	assert_int_equal(mig_cookie_parse(cookie, len, &again, text, sizeof(text)), EINVAL);
	free(cookie);
	free(huge);
}

static void names_up_to_their_bounds_are_taken(void **state)
{
	static const struct {
		size_t len;
		int err;
	} table[] = {
		{ 1, 0 }, { MIG_NAME_MAX - 1, 0 }, { MIG_NAME_MAX, EINVAL }, { 4000, EINVAL }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char name[4001] = "", text[MIG_WHY_MAX], *cookie = NULL;
		struct mig_cookie c;

		memset(name, 'n', table[i].len);
		assert_true(asprintf(&cookie,
				     HEAD "guest=%s\nepoch=7\nflags=1\narbiter=0\ndomid=0\n" TAIL,
				     name) > 0);
		assert_int_equal(mig_cookie_parse(cookie, strlen(cookie), &c, text, sizeof(text)),
				 table[i].err);
		free(cookie);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_reads_the_same),
		cmocka_unit_test(what_is_wrong_is_named_and_gives_nothing),
		cmocka_unit_test(a_definition_comes_along_whole_or_not_at_all),
		cmocka_unit_test(names_up_to_their_bounds_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
