/* SPDX-License-Identifier: MIT */
/*
 * Settings of a host's boot: what adoption makes of them, that it makes nothing of its own work a
 * second time, and that they are what they were afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/adopt.h"

#define OURS "/usr/sbin/drover-xenstored"
#define SET "# set by drover adopt; drover unadopt removes it\nXENSTORED=" OURS "\n"
#define FORMERLY "# before drover adopt: "

static void made(const char *text, const char *program, const char *want)
{
	char *got = adopt_boot_edit(text, program);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void a_setting_is_added_or_takes_the_place_of_the_former_ones(void **state)
{
	static const struct {
		const char *text, *adopted;
	} cases[] = {
		{ "", SET },
		{ "A=1\n", "A=1\n" SET },
		{ "XENSTORED=/c\n", FORMERLY "XENSTORED=/c\n" SET },
		{ "A=1\nXENSTORED=/c\nB=2\n", "A=1\n" FORMERLY "XENSTORED=/c\n" SET "B=2\n" },
		{ "XENSTORED=/c\nXENSTORED=/d\n",
		  FORMERLY "XENSTORED=/c\n" SET FORMERLY "XENSTORED=/d\n" },
		{ " export XENSTORED=/c\n", FORMERLY " export XENSTORED=/c\n" SET },
		{ "#XENSTORED=/c\nXENSTORED_ARGS=-x\n", "#XENSTORED=/c\nXENSTORED_ARGS=-x\n" SET },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		made(cases[i].text, OURS, cases[i].adopted);
		made(cases[i].adopted, OURS, cases[i].adopted);
		made(cases[i].adopted, NULL, cases[i].text);
		made(cases[i].text, NULL, cases[i].text);
	}
}

static void another_program_of_ours_takes_the_place_of_the_first(void **state)
{
	(void)state;
	made("A=1\n" SET, "/other",
	     "A=1\n# set by drover adopt; drover unadopt removes it\nXENSTORED=/other\n");
}

static void a_last_line_that_does_not_end_is_ended(void **state)
{
	(void)state;
	made("A=1", OURS, "A=1\n" SET);
	made("XENSTORED=/c", OURS, FORMERLY "XENSTORED=/c\n" SET);
}

/* The comment stands alone: somebody took away what it was about, and wrote a setting himself. */
static void a_setting_that_a_person_wrote_is_his(void **state)
{
	static const char mark[] = "# set by drover adopt; drover unadopt removes it\n";
	char text[256], want[256];

	(void)state;
	snprintf(text, sizeof(text), "%sA=1\nXENSTORED=/his\n", mark);
	made(text, NULL, "A=1\nXENSTORED=/his\n");
	snprintf(want, sizeof(want), "A=1\n%sXENSTORED=/his\n%s", FORMERLY, SET);
	made(text, OURS, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_setting_is_added_or_takes_the_place_of_the_former_ones),
		cmocka_unit_test(another_program_of_ours_takes_the_place_of_the_first),
		cmocka_unit_test(a_last_line_that_does_not_end_is_ended),
		cmocka_unit_test(a_setting_that_a_person_wrote_is_his),
	};

	return cmocka_run_group_tests_name("adopt_boot", tests, NULL, NULL);
}
