/* SPDX-License-Identifier: MIT */
/*
 * Tables for people: aligned, wrapped to the screen, coloured, and nothing in them that a terminal
 * obeys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/config_table.h"

static const struct config_column columns[] = {
	{ "NAME", false },
	{ "ID", true },
	{ "VERDICT", false },
};

static char *print(const struct config_table *t, unsigned int width, bool colour)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	config_table_print(f, t, width, colour);
	fclose(f);
	return text;
}

static void assert_table(const char *const (*rows)[3], size_t n, unsigned int width,
			 const char *want)
{
	struct config_table t;
	char *text;

	config_table_init(&t, columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < n; i++)
		config_table_add(&t, CONFIG_PLAIN, rows[i]);
	text = print(&t, width, false);
	assert_string_equal(text, want);
	free(text);
	config_table_fini(&t);
}

static const char *const two[][3] = {
	{ "pv1", "7", "ok" },
	{ "a-longer-name", "65000", "vbd xvdb half-added, vif 1 damaged" },
};

static void columns_are_as_wide_as_their_cells(void **state)
{
	(void)state;
	assert_table(two, 2, 0,
		     "NAME              ID  VERDICT\n"
		     "pv1                7  ok\n"
		     "a-longer-name  65000  vbd xvdb half-added, vif 1 damaged\n");
	assert_table(two, 0, 0, "NAME  ID  VERDICT\n");
}

static void the_widest_column_is_wrapped_where_the_screen_ends(void **state)
{
	(void)state;
	assert_table(two, 2, 40,
		     "NAME              ID  VERDICT\n"
		     "pv1                7  ok\n"
		     "a-longer-name  65000  vbd xvdb\n"
		     "                      half-added, vif 1\n"
		     "                      damaged\n");
}

static void nothing_of_a_cell_is_lost(void **state)
{
	const char *const row[][3] = { { "0123456789abcdef", "1", "ghijklmnopqrstuvwxyz" } };

	(void)state;
	assert_table(row, 1, 20,
		     "NAME      ID  VERDICT\n"
		     "01234567   1  ghijklmn\n"
		     "89abcdef      opqrstuv\n"
		     "              wxyz\n");
	assert_table(row, 1, 1,
		     "NAME      ID  VERDICT\n"
		     "01234567   1  ghijklmn\n"
		     "89abcdef      opqrstuv\n"
		     "              wxyz\n");
}

static void no_line_is_wider_than_the_screen(void **state)
{
	struct config_table t;

	(void)state;
	config_table_init(&t, columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < ARRAY_LEN(two); i++)
		config_table_add(&t, CONFIG_PLAIN, two[i]);
	for (unsigned int width = 26; width < 80; width++) {
		char *text = print(&t, width, false), *rest = text, *line;

		while ((line = strsep(&rest, "\n")))
			assert_true(strlen(line) <= width);
		free(text);
	}
	config_table_fini(&t);
}

static void a_name_moves_no_cursor(void **state)
{
	const char *const row[][3] = { { "a\033[2J\nb", NULL, "\xff" } };

	(void)state;
	assert_table(row, 1, 0,
		     "NAME         ID  VERDICT\n"
		     "a\\x1b[2J\\nb      \\xff\n");
}

static void colours_are_around_whole_lines(void **state)
{
	struct config_table t;
	char *text;

	(void)state;
	config_table_init(&t, columns, ARRAY_LEN(columns));
	config_table_add(&t, CONFIG_RED, two[0]);
	config_table_add(&t, CONFIG_PLAIN, two[0]);
	text = print(&t, 0, true);
	assert_string_equal(text, "\033[1mNAME  ID  VERDICT\033[m\n"
				  "\033[31mpv1    7  ok\033[m\n"
				  "pv1    7  ok\n");
	free(text);
	config_table_fini(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_their_cells),
		cmocka_unit_test(the_widest_column_is_wrapped_where_the_screen_ends),
		cmocka_unit_test(nothing_of_a_cell_is_lost),
		cmocka_unit_test(no_line_is_wider_than_the_screen),
		cmocka_unit_test(a_name_moves_no_cursor),
		cmocka_unit_test(colours_are_around_whole_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
