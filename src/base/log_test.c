/* SPDX-License-Identifier: MIT */
/*
 * The log: whole lines to one sink, errno left alone, faults named where they arose.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/log.h"

struct heard {
	char line[200];
	enum log_level level;
	int count;
};

static void hear(void *data, enum log_level level, const char *line)
{
	struct heard *h = data;

	snprintf(h->line, sizeof(h->line), "%s", line);
	h->level = level;
	h->count++;
	errno = EIO;
}

static void a_line_reaches_the_sink_and_errno_stays(void **state)
{
	struct heard h = { 0 };

	(void)state;
	log_set_sink(hear, &h);
	errno = ENOENT;
	log_warning("domain %d: %s", 5, "gone");
	assert_int_equal(errno, ENOENT);
	log_set_sink(NULL, NULL);
	assert_string_equal(h.line, "domain 5: gone");
	assert_int_equal(h.level, LOG_LEVEL_WARNING);
	assert_int_equal(h.count, 1);
}

static void a_fault_is_named_once_and_passed_on(void **state)
{
	struct heard h = { 0 };
	int err;

	(void)state;
	log_set_sink(hear, &h);
	err = fault_at("a.c", 7, -ENOMEM);
	log_set_sink(NULL, NULL);
	assert_int_equal(err, -ENOMEM);
	assert_string_equal(h.line, "fault: ENOMEM at a.c:7");
	assert_int_equal(h.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_reaches_the_sink_and_errno_stays),
		cmocka_unit_test(a_fault_is_named_once_and_passed_on),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
