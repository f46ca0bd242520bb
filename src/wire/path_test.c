/* SPDX-License-Identifier: MIT */
/*
 * Paths: which are well-formed, how relative ones are joined, and walking them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/own.h"
#include "wire/path.h"

static void names_are_well_formed_or_not(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} table[] = {
		{ "/", true },
		{ "/a", true },
		{ "a", true },
		{ "a/b", true },
		{ "/a/b-c_d@e/0", true },
		{ "@releaseDomain", true },
		{ "@releaseDomain/5", true },
		{ "", false },
		{ "//", false },
		{ "/a/", false },
		{ "a/", false },
		{ "/a//b", false },
		{ "//a", false },
		{ "/a b", false },
		{ "/a.b", false },
		{ "/a\n", false },
		{ "/\xc3\xa9", false },
		{ "/a:b", false },
		{ "/a\\b", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (path_is_valid(table[i].name, strlen(table[i].name)) != table[i].valid)
			fail_msg("'%s'", table[i].name);
	assert_false(path_is_valid("/a\0b", 4));
}

static void every_octet_that_is_not_of_the_alphabet_is_refused(void **state)
{
	static const char good[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ-/_@";
	char name[3] = "/ x";

	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		bool in = c && c != '/' && strchr(good, (int)c);

		name[1] = (char)c;
		name[2] = 'x';
		assert_int_equal(path_is_valid(name, 3), in);
	}
}

static void lengths_are_bounded_with_the_nul(void **state)
{
	static char name[XENSTORE_ABS_PATH_MAX + 8];
	static struct path p;

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_int_equal(path_make(&p, "/local/domain/5", name, XENSTORE_REL_PATH_MAX), 0);
	assert_int_equal(p.len, 16 + XENSTORE_REL_PATH_MAX);
	assert_int_equal(p.str[p.len], '\0');
	assert_int_equal(path_make(&p, "/local/domain/5", name, XENSTORE_REL_PATH_MAX + 1), EINVAL);
	name[0] = '/';
	assert_int_equal(path_make(&p, NULL, name, XENSTORE_ABS_PATH_MAX - 1), 0);
	assert_int_equal(p.len, XENSTORE_ABS_PATH_MAX - 1);
	assert_int_equal(p.str[p.len], '\0');
	assert_int_equal(path_make(&p, NULL, name, XENSTORE_ABS_PATH_MAX), EINVAL);
	/* a relative path may not become too long to be read back */
	memset(name, 'x', sizeof(name));
	name[XENSTORE_ABS_PATH_MAX - 1000] = '\0';
	assert_int_equal(path_make(&p, name, name, 998), 0);
	assert_int_equal(p.len, XENSTORE_ABS_PATH_MAX - 1);
	assert_int_equal(path_make(&p, name, name, 999), EINVAL);
}

static void relative_paths_need_a_prefix(void **state)
{
	struct path p;

	(void)state;
	assert_int_equal(path_make(&p, "/local/domain/5", "a/b", 3), 0);
	assert_string_equal(p.str, "/local/domain/5/a/b");
	assert_int_equal(path_make(&p, "/local/domain/5", "/a/b", 4), 0);
	assert_string_equal(p.str, "/a/b");
	assert_int_equal(path_make(&p, NULL, "a/b", 3), EINVAL);
	assert_int_equal(path_make(&p, "/local/domain/5", "", 0), EINVAL);
	assert_int_equal(path_make(&p, "/local/domain/5", "a//b", 4), EINVAL);
	assert_int_equal(path_make(&p, NULL, "/local/domain/", 14), EINVAL);
}

static void a_path_is_walked_by_component(void **state)
{
	static const struct {
		const char *path, *walk, *base;
		size_t parent_len;
	} table[] = {
		{ "/", "", "", 0 },
		{ "/a", "a ", "a", 1 },
		{ "/a/bc", "a bc ", "bc", 2 },
		{ "/local/domain/0", "local domain 0 ", "0", 13 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *path = table[i].path, *name;
		size_t len = strlen(path), pos = 0, name_len;
		char walk[64] = "";

		while (path_next(path, len, &pos, &name, &name_len)) {
			strncat(walk, name, name_len);
			strcat(walk, " ");
		}
		assert_string_equal(walk, table[i].walk);
		assert_int_equal(path_parent_len(path, len), table[i].parent_len);
		if (len > 1)
			assert_string_equal(path_basename(path, len), table[i].base);
	}
}

static void below_is_by_component_not_by_octet(void **state)
{
	static const struct {
		const char *path, *base;
		bool below;
	} table[] = {
		{ "/a", "/a", true },	 { "/a/b", "/a", true },  { "/ab", "/a", false },
		{ "/a", "/a/b", false }, { "/x", "/", true },	  { "/", "/", true },
		{ "/", "/a", false },	 { "/b/a", "/a", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_int_equal(path_is_below(table[i].path, strlen(table[i].path), table[i].base,
					       strlen(table[i].base)),
				 table[i].below);
}

static void domids_are_plain_decimal(void **state)
{
	static const struct {
		const char *str;
		int want; /* -1: EINVAL */
	} table[] = {
		{ "0", 0 },	 { "5", 5 },	  { "65535", 65535 }, { "00005", 5 },
		{ "65536", -1 }, { "99999", -1 }, { "100000", -1 },   { "000005", -1 },
		{ "", -1 },	 { "-1", -1 },	  { "+1", -1 },	      { " 1", -1 },
		{ "1 ", -1 },	 { "x3", -1 },	  { "0x3", -1 },      { "3x", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint16_t domid = 77;
		int r = path_parse_domid(table[i].str, strlen(table[i].str), &domid);

		assert_int_equal(r, table[i].want < 0 ? EINVAL : 0);
		assert_int_equal(domid, table[i].want < 0 ? 77 : table[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_well_formed_or_not),
		cmocka_unit_test(every_octet_that_is_not_of_the_alphabet_is_refused),
		cmocka_unit_test(lengths_are_bounded_with_the_nul),
		cmocka_unit_test(relative_paths_need_a_prefix),
		cmocka_unit_test(a_path_is_walked_by_component),
		cmocka_unit_test(below_is_by_component_not_by_octet),
		cmocka_unit_test(domids_are_plain_decimal),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
