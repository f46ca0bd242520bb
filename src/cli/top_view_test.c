/* SPDX-License-Identifier: MIT */
/*
 * The table of `drover top`: rates, order, refusals, and that it keeps to its screen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/top_view.h"

static void take(struct cli_stats *s, const char *answer)
{
	int32_t next;

	cli_stats_init(s);
	assert_int_equal(cli_stats_parse(s, answer, 0, &next), 0);
}

static char *print(const struct cli_top_view *v)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	cli_top_print(f, v);
	fclose(f);
	return text;
}

/* The words of the nth line of text, squeezed. */
static void assert_line(const char *text, int n, const char *words)
{
	char line[512];
	size_t len = 0;

	while (n--) {
		text = strchr(text, '\n');
		assert_non_null(text);
		text++;
	}
	for (; *text && *text != '\n' && len + 1 < sizeof(line); text++)
		if (*text != ' ' || (len && line[len - 1] != ' '))
			line[len++] = *text;
	line[len] = '\0';
	assert_string_equal(line, words);
}

static const char before[] = "daemon requests=1000 uptime_ms=3600000\n"
			     "domain 1 requests=100 refused.nodes=2\n"
			     "domain 2 requests=500\n"
			     "end\n";
static const char now[] = "daemon nodes=9 watches=8 connections=7 transactions=6 requests=1500 "
			  "uptime_ms=3661000\n"
			  "domain 1 nodes=5 memory=50 watches=4 transactions=3 events=2 "
			  "outstanding=1 requests=125 conflicts=9 refused.nodes=5 "
			  "limit.nodes=1000\n"
			  "domain 2 nodes=7 requests=30 refused.stall=1\n"
			  "domain 3 requests=10\n"
			  "end\n";

static void rates_are_between_two_looks(void **state)
{
	struct cli_refusals refusals = { 0 };
	struct cli_stats a, b;
	struct cli_top_view v = {
		.before = &a, .now = &b, .refusals = &refusals, .elapsed_ms = 2000, .eol = "\n"
	};
	char *text;

	(void)state;
	take(&a, before);
	take(&b, now);
	text = print(&v);
	assert_line(text, 0, "up 1:01:01, 250.0 requests/s, by domain");
	assert_line(text, 1, "3 domains, 9 nodes, 8 watches, 6 transactions, 7 connections");
	assert_line(text, 3, "DOMAIN NODES BYTES WATCHES TRANS QUEUED REFUSALS REQ/S EAGAINS");
	assert_line(text, 4, "1 5 50 4 3 3 5 12.5 9");
	/* Its counter fell: another domain with the same id, which began at nothing. */
	assert_line(text, 5, "2 7 0 0 0 0 1 15.0 0");
	assert_line(text, 6, "3 0 0 0 0 0 0 5.0 0");
	assert_line(text, 8, "nothing was refused");
	free(text);
	cli_stats_fini(&a);
	cli_stats_fini(&b);
}

static void without_a_look_before_there_are_totals(void **state)
{
	struct cli_refusals refusals = { 0 };
	struct cli_stats b;
	struct cli_top_view v = { .now = &b, .refusals = &refusals, .eol = "\n" };
	char *text;

	(void)state;
	take(&b, now);
	cli_refusals_note(&refusals, NULL, &b, 77);
	v.sort = cli_column_find("nodes");
	text = print(&v);
	assert_line(text, 0, "up 1:01:01, 1500 requests, by nodes");
	assert_line(text, 3, "DOMAIN NODES BYTES WATCHES TRANS QUEUED REFUSALS REQUESTS EAGAINS");
	assert_line(text, 4, "2 7 0 0 0 0 1 30 0");
	assert_line(text, 5, "1 5 50 4 3 3 5 125 9");
	assert_line(text, 8, "latest refusals");
	assert_line(text, 9, "earlier domain 2 stall: 1 (1 in all)");
	assert_line(text, 10, "earlier domain 1 nodes: 5 (5 in all, limit 1000)");
	free(text);
	cli_stats_fini(&b);
}

static void a_rise_of_refusals_is_noted_by_name(void **state)
{
	struct cli_refusals refusals = { 0 };
	struct cli_stats a, b;

	(void)state;
	take(&a, before);
	take(&b, now);
	cli_refusals_note(&refusals, &a, &b, 77);
	assert_int_equal(refusals.n, 2);
	assert_int_equal(refusals.entry[0].domid, 1);
	assert_string_equal(refusals.entry[0].kind, "nodes");
	assert_int_equal(refusals.entry[0].more, 3);
	assert_int_equal(refusals.entry[0].total, 5);
	assert_int_equal(refusals.entry[0].limit, 1000);
	assert_int_equal(refusals.entry[0].when, 77);
	cli_refusals_note(&refusals, &b, &b, 78);
	assert_int_equal(refusals.n, 2);
	for (int i = 0; i < CLI_REFUSALS; i++)
		cli_refusals_note(&refusals, &a, &b, 79);
	assert_int_equal(refusals.n, CLI_REFUSALS);
	cli_stats_fini(&a);
	cli_stats_fini(&b);
}

static void every_column_is_found_by_its_name(void **state)
{
	static const char *const names[] = { "domain",	 "nodes",	 "bytes",
					     "watches",	 "transactions", "queued",
					     "refusals", "requests",	 "eagains" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(cli_column_find(names[i]), i);
	assert_int_equal(cli_column_find("NODES"), CLI_COLUMN_COUNT);
	assert_int_equal(cli_column_find(""), CLI_COLUMN_COUNT);
}

static void a_screen_is_never_left(void **state)
{
	struct cli_refusals refusals = { 0 };
	struct cli_stats b;
	struct cli_top_view v = { .now = &b, .refusals = &refusals, .eol = "\n" };
	char answer[4096], *text;
	int n = 0;

	(void)state;
	for (int i = 1; i <= 100; i++)
		n += snprintf(answer + n, sizeof(answer) - (size_t)n, "domain %d refused.nodes=1\n",
			      i);
	snprintf(answer + n, sizeof(answer) - (size_t)n, "end\n");
	take(&b, answer);
	cli_refusals_note(&refusals, NULL, &b, 77);
	for (v.rows = 1; v.rows < 60; v.rows++) {
		for (v.columns = 1; v.columns < 120; v.columns += 17) {
			unsigned int lines = 0;

			text = print(&v);
			for (char *p = text, *end; *p; p = end + 1) {
				end = strchr(p, '\n');
				assert_non_null(end);
				assert_true(end - p <= v.columns);
				lines++;
			}
			assert_true(lines <= v.rows);
			/* a terminal of any use shows of both kinds */
			if (v.rows >= 24 && v.columns > 60) {
				assert_non_null(strstr(text, "more\n"));
				assert_non_null(strstr(text, "domain 100  nodes"));
			}
			free(text);
		}
	}
	cli_stats_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_between_two_looks),
		cmocka_unit_test(without_a_look_before_there_are_totals),
		cmocka_unit_test(a_rise_of_refusals_is_noted_by_name),
		cmocka_unit_test(every_column_is_found_by_its_name),
		cmocka_unit_test(a_screen_is_never_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
