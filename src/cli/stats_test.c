/* SPDX-License-Identifier: MIT */
/*
 * Counters: answers taken in, in one piece and in several, and what is no answer.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/stats.h"

static uint64_t refused(const struct cli_stats *s, uint32_t domid, const char *kind)
{
	const struct cli_domain_stats *d = cli_stats_find(s, domid);

	assert_non_null(d);
	for (size_t i = 0; i < s->n_kinds; i++)
		if (!strcmp(s->kind[i], kind))
			return d->refused[i];
	fail_msg("no kind %s", kind);
	return 0;
}

static void an_answer_fills_the_counters(void **state)
{
	static const char answer[] =
		"daemon nodes=70 watches=6 connections=5 transactions=4 rounds=3 requests=2 "
		"uptime_ms=1234 domains=2\n"
		"domain 0 introduced=1 nodes=60 memory=600 watches=5 transactions=4 queued=3 "
		"events=2 requests=1 conflicts=9 outstanding=8\n"
		"domain 7 introduced=0 nodes=10 refused.nodes=3 refused.path-max=1 "
		"limit.nodes=1000 limit.watches=512 limit.transactions=50 limit.memory=99\n"
		"end\n";
	const struct cli_domain_stats *d;
	struct cli_stats s;
	int32_t next = 5;

	(void)state;
	cli_stats_init(&s);
	assert_int_equal(cli_stats_parse(&s, answer, 0, &next), 0);
	assert_int_equal(next, -1);
	assert_int_equal(s.daemon.nodes, 70);
	assert_int_equal(s.daemon.uptime_ms, 1234);
	assert_int_equal(s.daemon.domains, 2);
	assert_int_equal(s.n_domains, 2);
	d = cli_stats_find(&s, 0);
	assert_int_equal(d->introduced, 1);
	assert_int_equal(d->memory, 600);
	assert_int_equal(d->queued, 3);
	assert_int_equal(d->events, 2);
	assert_int_equal(d->conflicts, 9);
	assert_int_equal(d->outstanding, 8);
	assert_int_equal(cli_stats_refusals(d), 0);
	d = cli_stats_find(&s, 7);
	assert_int_equal(cli_stats_refusals(d), 4);
	assert_int_equal(refused(&s, 7, "nodes"), 3);
	assert_int_equal(refused(&s, 7, "path-max"), 1);
	assert_int_equal(cli_stats_limit_of(d, "watches"), 512);
	assert_int_equal(cli_stats_limit_of(d, "memory"), 99);
	assert_int_equal(cli_stats_limit_of(d, "stall"), 0);
	assert_null(cli_stats_find(&s, 6));
	assert_null(cli_stats_find(&s, 8));
	cli_stats_fini(&s);
}

static void several_answers_add_up(void **state)
{
	struct cli_stats s;
	int32_t next;

	(void)state;
	cli_stats_init(&s);
	assert_int_equal(
		cli_stats_parse(&s, "daemon nodes=1\ndomain 0 nodes=1\nnext 1\n", 0, &next), 0);
	assert_int_equal(next, 1);
	assert_int_equal(cli_stats_parse(&s, "domain 4 nodes=2\nnext 9\n", 1, &next), 0);
	assert_int_equal(next, 9);
	assert_int_equal(cli_stats_parse(&s, "end\n", 9, &next), 0);
	assert_int_equal(next, -1);
	assert_int_equal(s.n_domains, 2);
	assert_int_equal(cli_stats_find(&s, 4)->nodes, 2);
	cli_stats_fini(&s);
}

/* A newer daemon may tell more: other lines, keys, limits and kinds of refusals. */
static void what_is_not_known_is_passed_over(void **state)
{
	struct cli_stats s;
	int32_t next;

	(void)state;
	cli_stats_init(&s);
	assert_int_equal(cli_stats_parse(&s,
					 "weather sun=1\n"
					 "domain 3 colour=7 limit.colours=9 refused.colours=2 "
					 "refused.UPPER=5 nodes=1\n"
					 "end\n",
					 0, &next),
			 0);
	assert_int_equal(cli_stats_find(&s, 3)->nodes, 1);
	assert_int_equal(refused(&s, 3, "colours"), 2);
	assert_int_equal(cli_stats_refusals(cli_stats_find(&s, 3)), 2);
	cli_stats_fini(&s);
}

static void more_kinds_than_there_is_room_for_are_passed_over(void **state)
{
	char answer[4096];
	struct cli_stats s;
	int32_t next;
	int n;

	(void)state;
	cli_stats_init(&s);
	n = snprintf(answer, sizeof(answer), "domain 3");
	for (int i = 0; i < 2 * CLI_KINDS; i++)
		n += snprintf(answer + n, sizeof(answer) - (size_t)n, " refused.%c%c=1",
			      'a' + i / 26, 'a' + i % 26);
	snprintf(answer + n, sizeof(answer) - (size_t)n, "\nend\n");
	assert_int_equal(cli_stats_parse(&s, answer, 0, &next), 0);
	assert_int_equal(s.n_kinds, CLI_KINDS);
	cli_stats_fini(&s);
}

static void what_is_no_answer_is_refused(void **state)
{
	static const struct {
		const char *answer;
		uint32_t from;
	} cases[] = {
		{ "", 0 },			      /* no end */
		{ "domain 1 nodes=1\n", 0 },	      /* no end */
		{ "end", 0 },			      /* half a line */
		{ "\nend\n", 0 },		      /* an empty line */
		{ "next 5\n", 5 },		      /* would never end */
		{ "next 4\n", 5 },		      /* would never end */
		{ "next\n", 0 },		      /* where? */
		{ "next 65536\n", 0 },		      /* no domid */
		{ "domain x nodes=1\nend\n", 0 },     /* no domid */
		{ "domain 65536 nodes=1\nend\n", 0 }, /* no domid */
		{ "domain\nend\n", 0 },		      /* no domid */
		{ "domain 1 nodes\nend\n", 0 },	      /* no value */
		{ "domain 1 nodes=\nend\n", 0 },      /* no value */
		{ "domain 1 nodes=-1\nend\n", 0 },    /* no number */
		{ "domain 1 =1\nend\n", 0 },	      /* no key */
		{ "daemon nodes=1x\nend\n", 0 },      /* no number */
		{ "daemon nodes=18446744073709551616\nend\n", 0 },
		{ "domain 2 nodes=1\ndomain 1 nodes=1\nend\n", 0 }, /* order */
		{ "domain 2 nodes=1\ndomain 2 nodes=1\nend\n", 0 }, /* twice */
		{ "Usage: quota [set|domid]\n", 0 },		    /* another daemon */
	};
	struct cli_stats s;
	int32_t next;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cli_stats_init(&s);
		if (cli_stats_parse(&s, cases[i].answer, cases[i].from, &next) != EBADMSG)
			fail_msg("taken: %s", cases[i].answer);
		cli_stats_fini(&s);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_fills_the_counters),
		cmocka_unit_test(several_answers_add_up),
		cmocka_unit_test(what_is_not_known_is_passed_over),
		cmocka_unit_test(more_kinds_than_there_is_room_for_are_passed_over),
		cmocka_unit_test(what_is_no_answer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
