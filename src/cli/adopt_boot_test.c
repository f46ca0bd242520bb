/* SPDX-License-Identifier: MIT */
/*
 * Settings of the next boot and command lines: what adopt makes of them, and that unadopt finds
 * its way back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/adopt.h"

#define MARK "# set by drover adopt; drover unadopt removes it\n"
#define WAS "# before drover adopt: "

static const struct {
	const char *before, *after, *restored; /* NULL: as before */
} edits[] = {
	{ "", MARK "XENSTORED=/x\n", NULL },
	{ "#XENSTORED=/o\nA=b\n", "#XENSTORED=/o\nA=b\n" MARK "XENSTORED=/x\n", NULL },
	{ "XENSTORED=/o\nA=b\n", WAS "XENSTORED=/o\n" MARK "XENSTORED=/x\nA=b\n", NULL },
	{ "export XENSTORED='/o p'\n", WAS "export XENSTORED='/o p'\n" MARK "XENSTORED=/x\n",
	  NULL },
	{ "  XENSTORED=/o", WAS "  XENSTORED=/o\n" MARK "XENSTORED=/x\n", "  XENSTORED=/o\n" },
	{ "A=b", "A=b\n" MARK "XENSTORED=/x\n", "A=b\n" },
	{ "XENSTORED=/o\nXENSTORED=/p\n",
	  WAS "XENSTORED=/o\n" MARK "XENSTORED=/x\n" WAS "XENSTORED=/p\n", NULL },
	{ "XENSTORED_ARGS=-V\nXENSTOREDX=1\n",
	  "XENSTORED_ARGS=-V\nXENSTOREDX=1\n" MARK "XENSTORED=/x\n", NULL },
};

static void a_setting_is_kept_and_comes_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		char *after = adopt_boot_edit(edits[i].before, "/x"), *again, *restored;

		assert_string_equal(after, edits[i].after);
		again = adopt_boot_edit(after, "/x");
		assert_string_equal(again, after);
		free(again);
		again = adopt_boot_edit(after, "/y");
		assert_non_null(strstr(again, MARK "XENSTORED=/y\n"));
		assert_null(strstr(again, "/x"));
		restored = adopt_boot_edit(again, NULL);
		assert_string_equal(restored,
				    edits[i].restored ? edits[i].restored : edits[i].before);
		free(again);
		again = adopt_boot_edit(restored, NULL); /* nothing of ours: nothing to do */
		assert_string_equal(again, restored);
		free(again);
		free(after);
		free(restored);
	}
}

/* The comment stands alone: somebody took away what it was about, and wrote a setting himself. */
static void a_setting_that_a_person_wrote_is_his(void **state)
{
	char *got = adopt_boot_edit(MARK "A=1\nXENSTORED=/his\n", NULL);

	(void)state;
	assert_string_equal(got, "A=1\nXENSTORED=/his\n");
	free(got);
	got = adopt_boot_edit(MARK "A=1\nXENSTORED=/his\n", "/x");
	assert_string_equal(got, "A=1\n" WAS "XENSTORED=/his\n" MARK "XENSTORED=/x\n");
	free(got);
}

static void arguments_are_found(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "XENSTORED_ARGS=\n", "" },	     { "#XENSTORED_ARGS=-V\n", "" },
		{ "XENSTORED_ARGS=-V\n", "-V" },     { "XENSTORED_ARGS=\"-V -K\"\n", "-V -K" },
		{ "XENSTORED_ARGS='-T x'", "-T x" }, { "XENSTORED_ARGS=-V\nXENSTORED_ARGS=\n", "" },
	};
	char got[ADOPT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(adopt_boot_args(rows[i].text, got), *rows[i].want != '\0');
		assert_string_equal(got, rows[i].want);
	}
}

static void debians_script_starts_ours_by_another(void **state)
{
	static const char ours[] = "/usr/sbin/drover-xenstored",
			  starter[] = "/usr/libexec/drover/xenstored-boot";

	(void)state;
	assert_string_equal(adopt_boot_program("/etc/default/xen", ours, true), starter);
	assert_string_equal(adopt_boot_program("/etc/default/xen", ours, false), ours);
	assert_string_equal(adopt_boot_program("/etc/default/xen", "/opt/x", true), "/opt/x");
	assert_string_equal(adopt_boot_program("/etc/default/xencommons", ours, true), ours);
}

/* A command line, its words with NULs between them, and what follows. */
static void daemon_of(struct adopt_daemon *d, const char *line)
{
	char text[256];
	size_t len = strlen(line) + 1;

	memset(d, 0, sizeof(*d));
	memcpy(d->exe, "/c", sizeof("/c"));
	memcpy(text, line, len);
	for (size_t i = 0; i < len; i++)
		text[i] = text[i] == '|' ? '\0' : text[i];
	assert_true(adopt_words_split_line(&d->words, text, len));
}

static void words_are_those_that_the_other_knows(void **state)
{
	static const struct {
		const char *line, *more, *ours, *for_c; /* NULL: a space in a word */
	} rows[] = {
		{ "x", NULL, "--hv=xen --back=/c", "" },
		{ "x|-N|-W|5|-U", NULL, "-N -W 5 --hv=xen --back=/c", "-N -W 5" },
		{ "x|--pid-file|/p", "-V", "--pid-file /p -V --hv=xen --back=/c",
		  "--pid-file /p -V" },
		{ "x|--hv|xen|-N", NULL, "--hv xen -N --back=/c", "-N" },
		{ "x|-N|--hv=xen|--back=/o|--no-sandbox|--no-journal", NULL,
		  "-N --hv=xen --back=/o --no-sandbox --no-journal --back=/c", "-N" },
		{ "x|--live|--restart|--no-fork|--config-file|/f|--more=--hv=xen -W 5", NULL,
		  "--live --restart --no-fork --config-file /f --hv=xen -W 5 --back=/c",
		  "--no-fork -W 5" },
		{ "x|-T|/a b", NULL, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct adopt_words words;
		struct adopt_daemon d;
		const char *line;

		daemon_of(&d, rows[i].line);
		assert_true(adopt_words_for_ours(&words, &d, "/p", rows[i].more));
		line = adopt_words_line(&words);
		if (rows[i].ours)
			assert_string_equal(line, rows[i].ours);
		else
			assert_null(line);
		adopt_words_fini(&words);
		assert_true(adopt_words_for_c(&words, &d, "/p", rows[i].more));
		line = adopt_words_line(&words);
		if (rows[i].for_c)
			assert_string_equal(line, rows[i].for_c);
		else
			assert_null(line);
		adopt_words_fini(&words);
		adopt_daemon_fini(&d);
	}
}

static void too_many_words_are_refused(void **state)
{
	struct adopt_words words;
	char text[2 * ADOPT_WORDS_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? '\0' : 'a';
	assert_true(adopt_words_split(&words, text, 2 * (size_t)ADOPT_WORDS_MAX));
	assert_false(adopt_words_add(&words, "b"));
	adopt_words_fini(&words);
	assert_false(adopt_words_split(&words, text, sizeof(text)));
	adopt_words_fini(&words);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_setting_is_kept_and_comes_back),
		cmocka_unit_test(a_setting_that_a_person_wrote_is_his),
		cmocka_unit_test(arguments_are_found),
		cmocka_unit_test(debians_script_starts_ours_by_another),
		cmocka_unit_test(words_are_those_that_the_other_knows),
		cmocka_unit_test(too_many_words_are_refused),
	};

	return cmocka_run_group_tests_name("cli/adopt_boot", tests, NULL, NULL);
}
