/* SPDX-License-Identifier: MIT */
/*
 * What is read of versions in a program's --help.
 */
#include "keeper/versions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/own.h"
#include "keeper/seat.h"

static void what_is_not_said_is_not_known(void **state)
{
	static const struct {
		const char *said;
		bool journal;
		unsigned int image;
	} table[] = {
		{ SEAT_VERSIONS, true, 2 },
		{ "text\n" SEAT_VERSIONS "\n", true, 2 },
		{ "text " SEAT_VERSIONS "\n", false, 0 },
		{ SEAT_VERSIONS "; more: 3\n", true, 2 },
		{ SEAT_VERSIONS "0\n", false, 2 },
		{ "image versions: 1; journal version: 0; keeper version: 1\n", false, 1 },
		{ "image versions: 7 2 1; journal version: 2; keeper version: 1\n", false, 2 },
		{ "image versions: 7; journal version: 1; keeper version: 1\n", true, 0 },
		{ "image versions: 99999999999999999999 1\n", false, 0 },
		{ "image versions:\n", false, 0 },
		{ "image versions: x", false, 0 },
		{ "", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(versions_same_journal(table[i].said), table[i].journal);
		assert_int_equal(versions_image(table[i].said), table[i].image);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_said_is_not_known),
	};

	return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
