/* SPDX-License-Identifier: MIT */
/*
 * Names of virtual disks: which number each has, and which name each number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/own.h"
#include "config/class_vdev.h"

#define NONE UINT32_MAX

static void a_name_has_the_number_of_the_interface(void **state)
{
	static const struct {
		const char *name;
		uint32_t devid;
	} cases[] = {
		{ "xvda", 51712 },
		{ "xvda1", 51713 },
		{ "xvdp15", 202u << 8 | 15u << 4 | 15 },
		{ "xvda16", 1u << 28 | 16 },
		{ "xvdq", 1u << 28 | 16u << 8 },
		{ "xvdz", 1u << 28 | 25u << 8 },
		{ "xvdaa", 1u << 28 | 26u << 8 },
		{ "xvdaz255", 1u << 28 | 51u << 8 | 255 },
		{ "xvdba", 1u << 28 | 52u << 8 },
		{ "xvdzz", 1u << 28 | 701u << 8 },
		{ "xvdaaa", 1u << 28 | 702u << 8 },
		{ "d0p0", 51712 },
		{ "d1p0", 51728 },
		{ "d20p3", 1u << 28 | 20u << 8 | 3 },
		{ "d0x10p0x3", 1u << 28 | 16u << 8 | 3 },
		{ "d1048575p255", 0x1fffffff },
		{ "hda", 768 },
		{ "hda1", 769 },
		{ "hdb", 832 },
		{ "hdc", 5632 },
		{ "hdd63", 5759 },
		{ "sda", 2048 },
		{ "sda1", 2049 },
		{ "sdp15", 2303 },
		{ "51712", 51712 },
		{ "0xca00", 51712 },
		{ "2147483647", 2147483647 },
		{ "0", 0 },
		{ "", NONE },
		{ "xvd", NONE },
		{ "xvdA", NONE },
		{ "xvda0", NONE },
		{ "xvda01", NONE },
		{ "xvda256", NONE },
		{ "xvdaaaaaa", NONE },
		{ "xvda1b", NONE },
		{ "d0", NONE },
		{ "dp0", NONE },
		{ "d0p", NONE },
		{ "d-1p0", NONE },
		{ "d0p256", NONE },
		{ "d1048576p0", NONE },
		{ "d0p0x", NONE },
		{ "hde", NONE },
		{ "hda64", NONE },
		{ "sdq", NONE },
		{ "sda16", NONE },
		{ "2147483648", NONE },
		{ "-1", NONE },
		{ " 1", NONE },
		{ "+1", NONE },
		{ "1x", NONE },
		{ "vda", NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t devid = NONE;

		if ((vdev_to_devid(cases[i].name, &devid) == 0) != (cases[i].devid != NONE) ||
		    devid != cases[i].devid)
			fail_msg("%s: %u, not %u", cases[i].name, devid, cases[i].devid);
	}
}

static void a_number_has_the_name_that_gives_it(void **state)
{
	static const struct {
		uint32_t devid;
		const char *name;
	} cases[] = {
		{ 51712, "xvda" },
		{ 51713, "xvda1" },
		{ 1u << 28 | 16u << 8, "xvdq" },
		{ 1u << 28 | 26u << 8, "xvdaa" },
		{ 1u << 28 | 702u << 8 | 7, "xvdaaa7" },
		{ 0x1fffffff, "xvdbgqcv255" },
		{ 768, "hda" },
		{ 5696, "hdd" },
		{ 2049, "sda1" },
		/* "xvda" is another one */
		{ 1u << 28, "268435456" },
		{ 1u << 28 | 1, "268435457" },
		{ 5, "5" },
		{ 3u << 8 | 200, "968" },
		{ 2147483647, "2147483647" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[VDEV_NAME_MAX];

		vdev_of_devid(cases[i].devid, name);
		assert_string_equal(name, cases[i].name);
	}
}

/* All small numbers, and some of each kind beyond. */
static void each_name_leads_back_to_its_number(void **state)
{
	(void)state;
	for (uint32_t devid = 0; devid <= INT32_MAX; devid += devid < 70000 ? 1 : 99991) {
		char name[VDEV_NAME_MAX];
		uint32_t again = NONE;

		vdev_of_devid(devid, name);
		if (vdev_to_devid(name, &again) || again != devid)
			fail_msg("%u: %s is %u", devid, name, again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_has_the_number_of_the_interface),
		cmocka_unit_test(a_number_has_the_name_that_gives_it),
		cmocka_unit_test(each_name_leads_back_to_its_number),
	};

	return cmocka_run_group_tests_name("class_vdev", tests, NULL, NULL);
}
