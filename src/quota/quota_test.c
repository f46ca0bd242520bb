/* SPDX-License-Identifier: MIT */
/*
 * Budgets: inclusive limits, soft ones that only speak, and refusals told once a minute.
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
#include "quota/quota.h"

struct told {
	unsigned int n;
	char last[4096];
};

static void tell(void *data, const char *line)
{
	struct told *t = data;

	t->n++;
	snprintf(t->last, sizeof(t->last), "%s", line);
}

static void start(struct quota_policy *p, struct budget *b, uint16_t domid, struct told *told)
{
	quota_policy_init(p);
	p->report = tell;
	p->report_data = told;
	memset(told, 0, sizeof(*told));
	budget_init(b, p, domid, NULL);
}

static void a_limit_is_the_number_allowed(void **state)
{
	static const struct {
		uint16_t domid;
		uint64_t limit, used, more;
		int want;
	} table[] = {
		{ 5, 10, 9, 1, 0 },	  { 5, 10, 10, 1, ENOSPC }, { 5, 10, 0, 10, 0 },
		{ 5, 10, 0, 11, ENOSPC }, { 5, 0, 1000, 1000, 0 },  { 0, 10, 10, 5, 0 },
		{ 5, 10, 20, 0, ENOSPC }, { 5, 10, 20, 1, ENOSPC },
	};
	struct quota_policy p;
	struct told told;
	struct budget b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		start(&p, &b, table[i].domid, &told);
		b.limits.hard[QUOTA_NODES] = table[i].limit;
		budget_add(&b, QUOTA_NODES, table[i].used);
		assert_int_equal(budget_check(&b, QUOTA_NODES, table[i].more), table[i].want);
		assert_int_equal(b.used[QUOTA_NODES], table[i].used);
		budget_sub(&b, QUOTA_NODES, table[i].used);
		budget_fini(&b);
		b.limits.hard[QUOTA_NODE_SIZE] = 7;
		assert_int_equal(budget_check_value(&b, QUOTA_NODE_SIZE, 7), 0);
		assert_int_equal(budget_check_value(&b, QUOTA_NODE_SIZE, 8),
				 table[i].domid ? ENOSPC : 0);
	}
}

static void a_soft_limit_speaks_each_time_it_is_passed(void **state)
{
	struct quota_policy p;
	struct told told;
	struct budget b;

	(void)state;
	start(&p, &b, 5, &told);
	b.limits.soft[QUOTA_MEMORY] = 100;
	budget_add(&b, QUOTA_MEMORY, 100);
	assert_int_equal(told.n, 0);
	budget_add(&b, QUOTA_MEMORY, 1);
	budget_add(&b, QUOTA_MEMORY, 50);
	assert_int_equal(told.n, 1);
	assert_non_null(strstr(told.last, "domain 5: soft quota memory passed: uses 101"));
	budget_sub(&b, QUOTA_MEMORY, 60);
	budget_add(&b, QUOTA_MEMORY, 60);
	assert_int_equal(told.n, 2);
	budget_sub(&b, QUOTA_MEMORY, 151);
	assert_int_equal(b.counters->peak[QUOTA_MEMORY], 151);
	budget_fini(&b);
}

static void a_refusal_is_counted_always_and_told_once_a_minute_per_kind(void **state)
{
	const struct refusal r = {
		.op = "WRITE", .path = "/a/bXX", .path_len = 4, .limit = 10, .use = 11
	};
	struct quota_policy p;
	struct told told;
	struct budget b, c;

	(void)state;
	start(&p, &b, 5, &told);
	budget_init(&c, &p, 6, NULL);
	p.now_ms = 500;
	for (unsigned int i = 0; i < 100; i++)
		budget_refuse(&b, QUOTA_NODES, &r);
	assert_int_equal(told.n, 1);
	assert_string_equal(told.last,
			    "domain 5: refused by nodes: WRITE /a/b, limit 10, would be 11");
	budget_refuse(&b, QUOTA_WATCHES, &r); /* another kind, another domain: told */
	budget_refuse(&c, QUOTA_NODES, &(struct refusal){ .op = "MKDIR" });
	assert_int_equal(told.n, 3);
	assert_string_equal(told.last, "domain 6: refused by nodes: MKDIR");
	p.now_ms = 60499;
	budget_refuse(&b, QUOTA_NODES, &r);
	assert_int_equal(told.n, 3);
	p.now_ms = 60500;
	budget_refuse(&b, QUOTA_NODES, &r);
	assert_int_equal(told.n, 4);
	assert_non_null(strstr(told.last, "(and 100 more in the last minute)"));
	assert_int_equal(b.counters->refused[QUOTA_NODES], 102);
}

/* The longest path there is, and an operator without a log. */
static void a_refusal_of_any_length_is_told_and_may_go_untold(void **state)
{
	static char path[3072];
	struct quota_policy p;
	struct told told;
	struct budget b;

	(void)state;
	memset(path, 'p', sizeof(path));
	start(&p, &b, 65535, &told);
	for (unsigned int k = 0; k < REFUSAL_COUNT; k++)
		budget_refuse(&b, k,
			      &(struct refusal){ .op = "DIRECTORY_PART",
						 .path = path,
						 .path_len = sizeof(path),
						 .limit = UINT64_MAX,
						 .use = UINT64_MAX });
	assert_int_equal(told.n, REFUSAL_COUNT);
	assert_non_null(strstr(told.last, "would be 18446744073709551615"));
	p.report = NULL;
	budget_refuse(&b, QUOTA_NODES, &(struct refusal){ .op = "WRITE" });
	assert_int_equal(told.n, REFUSAL_COUNT);
}

static void quotas_have_their_known_names_and_defaults(void **state)
{
	static const struct {
		const char *name;
		enum quota_id q;
		uint64_t hard;
	} table[] = {
		{ "nodes", QUOTA_NODES, 1000 },
		{ "watches", QUOTA_WATCHES, 512 },
		{ "transactions", QUOTA_TRANSACTIONS, 50 },
		{ "outstanding", QUOTA_OUTSTANDING, 20 },
		{ "memory", QUOTA_MEMORY, 2621440 },
		{ "transaction-nodes", QUOTA_TRANSACTION_NODES, 1024 },
		{ "node-permissions", QUOTA_NODE_PERMISSIONS, 5 },
		{ "path-max", QUOTA_PATH_MAX, 2048 },
		{ "node-size", QUOTA_NODE_SIZE, 2048 },
		{ "permissions", QUOTA_NODE_PERMISSIONS, 5 },
	};
	struct quota_policy p;
	enum quota_id q;

	(void)state;
	quota_policy_init(&p);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(quota_find(table[i].name, strlen(table[i].name), &q), 0);
		assert_int_equal(q, table[i].q);
		assert_int_equal(p.limits.hard[q], table[i].hard);
		assert_int_equal(p.limits.soft[q], q == QUOTA_MEMORY ? 2097152 : 0);
		assert_non_null(quota_help(q));
	}
	assert_int_equal(quota_find("node", 4, &q), ENOENT);
	assert_int_equal(quota_find("nodesX", 6, &q), ENOENT);
	assert_int_equal(quota_find("nodesX", 5, &q), 0);
	assert_int_equal(quota_find("", 0, &q), ENOENT);
	for (unsigned int k = 0; k < REFUSAL_COUNT; k++)
		assert_non_null(refusal_name(k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_is_the_number_allowed),
		cmocka_unit_test(a_soft_limit_speaks_each_time_it_is_passed),
		cmocka_unit_test(a_refusal_is_counted_always_and_told_once_a_minute_per_kind),
		cmocka_unit_test(a_refusal_of_any_length_is_told_and_may_go_untold),
		cmocka_unit_test(quotas_have_their_known_names_and_defaults),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
