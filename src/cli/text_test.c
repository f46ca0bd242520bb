/* SPDX-License-Identifier: MIT */
/*
 * Text forms: escaping, base64, UTF-8, permissions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/text.h"

static void what_does_not_print_is_escaped(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		bool quoted;
		const char *text;
	} cases[] = {
		{ "", 0, false, "" },
		{ "", 0, true, "\"\"" },
		{ "hello world", 11, true, "\"hello world\"" },
		{ "a\"b", 3, true, "\"a\\\"b\"" },
		{ "a\"b", 3, false, "a\"b" },
		{ "\\n", 2, true, "\"\\\\n\"" },
		{ "\n\r\t", 3, false, "\\n\\r\\t" },
		{ "\0\1\x1b[2J", 6, false, "\\x00\\x01\\x1b[2J" },
		{ "\x7f\x80\xff", 3, true, "\"\\x7f\\x80\\xff\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = cli_text_escape(cases[i].data, cases[i].len, cases[i].quoted);

		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

/* RFC 4648, section 10, and octets that use the last digits. */
static void base64_is_that_of_the_rfc(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xef\xbe", "/+++" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = cli_text_base64(cases[i][0], strlen(cases[i][0]));

		assert_string_equal(text, cases[i][1]);
		free(text);
	}
}

static void only_well_formed_utf8_is_taken_for_it(void **state)
{
	static const struct {
		const char *data;
		bool good;
	} cases[] = {
		{ "", true },
		{ "plain", true },
		{ "\xc3\xbc \xe2\x82\xac \xf0\x9f\x90\x84", true },
		{ "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", true },
		{ "\x80", false },	       /* a tail alone */
		{ "\xc3", false },	       /* cut */
		{ "\xe2\x82", false },	       /* cut */
		{ "\xc3(", false },	       /* no tail */
		{ "\xe2(\xac", false },	       /* no tail */
		{ "\xe2\x82(", false },	       /* no tail */
		{ "\xc0\xaf", false },	       /* longer than needed */
		{ "\xe0\x9f\xbf", false },     /* longer than needed */
		{ "\xf0\x8f\xbf\xbf", false }, /* longer than needed */
		{ "\xed\xa0\x80", false },     /* a surrogate */
		{ "\xf4\x90\x80\x80", false }, /* beyond U+10FFFF */
		{ "\xff", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(cli_text_is_utf8(cases[i].data, strlen(cases[i].data)),
				 cases[i].good);
	assert_true(cli_text_is_utf8("a\0b", 3));
}

static void permissions_are_printed_as_they_are_written(void **state)
{
	static const char *const words[] = { "n0", "r5", "w65535", "b32757" };
	struct xs_permissions perms[ARRAY_LEN(words)];
	char *text;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		assert_true(cli_text_perm_parse(words[i], &perms[i]));
	text = cli_text_perms(perms, ARRAY_LEN(words));
	assert_string_equal(text, "n0,r5,w65535,b32757");
	free(text);
	assert_string_equal(cli_text_perm_words(XS_PERM_READ), "reads");
	assert_string_equal(cli_text_perm_words(XS_PERM_READ | XS_PERM_WRITE), "reads and writes");
}

static void what_is_no_permission_is_refused(void **state)
{
	static const char *const words[] = {
		"", "n", "0", "x0", "n-1", "n+1", "n 1", "n1x", "n65536", "n99999999999999999999"
	};
	struct xs_permissions perm;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		assert_false(cli_text_perm_parse(words[i], &perm));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_print_is_escaped),
		cmocka_unit_test(base64_is_that_of_the_rfc),
		cmocka_unit_test(only_well_formed_utf8_is_taken_for_it),
		cmocka_unit_test(permissions_are_printed_as_they_are_written),
		cmocka_unit_test(what_is_no_permission_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
