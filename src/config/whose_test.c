/* SPDX-License-Identifier: MIT */
/*
 * Whom a change in the store concerns, path by path.
 */
#include "config/whose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void paths(void **state)
{
	static const struct {
		const char *path;
		enum whose whose;
		uint32_t domid;
	} cases[] = {
		{ "/libxl/7/device/vbd/51712/dev", WHOSE_ONE, 7 },
		{ "/libxl/7", WHOSE_ONE, 7 },
		{ "/libxl/x", WHOSE_NOBODY, 0 },
		{ "/local/domain/7/name", WHOSE_ONE, 7 },
		{ "/local/domain/7/memory/target", WHOSE_ONE, 7 },
		{ "/local/domain/7/cpu/0/availability", WHOSE_ONE, 7 },
		{ "/local/domain/7/names", WHOSE_NOBODY, 0 },
		{ "/local/domain/7/data/name", WHOSE_NOBODY, 0 },
		{ "/local/domain/7/device/vbd/51712/state", WHOSE_NOBODY, 0 },
		{ "/local/domain/3/backend/vif/7/0/state", WHOSE_ONE, 7 },
		{ "/local/domain/3/backend/vif", WHOSE_ANY, 0 },
		{ "/local/domain/3/backend", WHOSE_ANY, 0 },
		{ "/local/domain/3", WHOSE_ANY, 0 },
		{ "/local/domain", WHOSE_ANY, 0 },
		{ "/libxl", WHOSE_ANY, 0 },
		{ "@releaseDomain", WHOSE_ANY, 0 },
		{ "", WHOSE_ANY, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t domid = UINT32_MAX;
		enum whose got = whose_node(cases[i].path, &domid);

		if (got != cases[i].whose || (got == WHOSE_ONE && domid != cases[i].domid))
			fail_msg("%s: %d, domain %u", cases[i].path, (int)got, (unsigned int)domid);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests_name("config/whose", tests, NULL, NULL);
}
