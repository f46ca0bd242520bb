/* SPDX-License-Identifier: MIT */
/*
 * Changes between scans: a table of what was known, what is found, and what is reported.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/xen/changes.h"

/* "1 2s 3d": domain 1 runs, 2 has shut down, 3 is dying. */
static void enter(struct domain_states *states, const char *text)
{
	memset(states, 0, sizeof(*states));
	while (*text) {
		char *end;
		uint16_t domid = (uint16_t)strtoul(text, &end, 10);

		changes_enter(states, domid, *end == 's', *end == 'd');
		text = end + strcspn(end, " ");
		text += strspn(text, " ");
	}
}

static const char *taken(struct changes *c)
{
	static char text[128];
	uint16_t domid;

	text[0] = '\0';
	while (changes_take(c, &domid))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", *text ? " " : "",
			 domid);
	return text;
}

/* But for those that have shut down: they may have run meanwhile. */
static void difference_is_reported_once(void **state)
{
	static const struct {
		const char *before, *told, *now, *want, *again;
	} rows[] = {
		{ "0 1 2", "", "0 1 2", "", "" },
		{ "0 1", "", "0 1 2 64 32751", "2 64 32751", "" },
		{ "0 1 2", "", "0 2", "1", "" },
		{ "0 1 2", "", "0 1s 2", "1", "1" },
		{ "0 1s 2", "", "0 1d 2", "1", "" },
		{ "0 1s 2", "", "0 1s 2", "1", "1" },
		{ "0 1s 2", "", "0 1 2", "1", "" },
		{ "0", "5", "0", "5", "" },	/* born, told and gone between two scans */
		{ "0", "5", "0 5", "", "" },	/* told of already */
		{ "0", "5", "0 5s", "5", "5" }, /* but not of this */
		{ "0 1 2 3", "", "", "0 1 2 3", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct domain_states now;
		struct changes c;

		memset(&c, 0, sizeof(c));
		enter(&c.known, rows[i].before);
		if (*rows[i].told)
			changes_told(&c, (uint16_t)atoi(rows[i].told));
		enter(&now, rows[i].now);
		changes_update(&c, &now);
		assert_string_equal(taken(&c), rows[i].want);
		changes_update(&c, &now);
		assert_string_equal(taken(&c), rows[i].again);
	}
}

static void reserved_domids_are_no_domains(void **state)
{
	struct domain_states states, none = { { 0 }, { 0 }, { 0 } };

	(void)state;
	enter(&states, "32752 65535");
	assert_memory_equal(&states, &none, sizeof(none));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(difference_is_reported_once),
		cmocka_unit_test(reserved_domids_are_no_domains),
	};

	return cmocka_run_group_tests_name("hv/xen/changes", tests, NULL, NULL);
}
