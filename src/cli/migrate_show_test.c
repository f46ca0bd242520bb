/* SPDX-License-Identifier: MIT */
/*
 * The line that says how far a migration is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/migrate.h"

#define MIB (UINT64_C(1) << 20)

static void a_line_tells_what_is_known_and_fits(void **state)
{
	static const struct {
		struct move_stats s;
		unsigned int width;
		const char *line;
	} rows[] = {
		{ { .total = 0 }, 80, "tick  begins" },
		{ { .total = 64 * MIB, .remaining = 32 * MIB },
		  80,
		  "tick  [############------------]  50%  32.0 MiB left" },
		{ { .total = 64 * MIB, .remaining = 16 * MIB, .rate_bps = 8 * MIB },
		  80,
		  "tick  [##################------]  75%  8.0 MiB/s  16.0 MiB left  3 s" },
		{ { .total = 64 * MIB,
		    .remaining = 16 * MIB,
		    .rate_bps = 8 * MIB,
		    .iteration = 3,
		    .downtime_ms = 40,
		    .dirty_pages = 256,
		    .page_size = 4096 },
		  120,
		  "tick  [##################------]  75%  8.0 MiB/s  16.0 MiB left  3 s  round 3"
		  "  stops for 40 ms  writes 1.0 MiB/s" },
		{ { .total = 64 * MIB, .remaining = 16 * MIB, .rate_bps = 8 * MIB },
		  40,
		  "tick  [##################------]  75%" },
		{ { .total = 5, .remaining = 900 },
		  80,
		  "tick  [------------------------]   0%  900 B left" },
		{ { .total = UINT64_MAX, .remaining = 0 },
		  80,
		  "tick  [########################] 100%  0 B left" },
	};
	char line[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = move_line("tick", &rows[i].s, rows[i].width, line, sizeof(line));

		assert_string_equal(line, rows[i].line);
		assert_int_equal(len, strlen(line));
		assert_true(len <= rows[i].width);
	}
}

static void a_size_has_the_unit_that_suits_it(void **state)
{
	static const struct {
		uint64_t octets;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 31 * MIB + MIB / 2, "31.5 MiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		move_print_size(rows[i].octets, text);
		assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_tells_what_is_known_and_fits),
		cmocka_unit_test(a_size_has_the_unit_that_suits_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
