/* SPDX-License-Identifier: MIT */
/*
 * The keyed hash: its result depends on key and octets alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "base/siphash.h"

static const struct siphash_key key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };

static void siphash_agrees_with_known_answers(void **state)
{
	/* SipHash-1-3 of 00, 01, 02 ... of each length, under the key 00 01 ... 0f. */
	static const struct {
		size_t len;
		uint64_t hash;
	} rows[] = {
		{ 0, 0xabac0158050fc4dcu },
		{ 1, 0xc9f49bf37d57ca93u },
		{ 7, 0xd3927d989bb11140u },
		{ 8, 0x369095118d299a8eu },
	};
	unsigned char in[64];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)i;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(siphash(&key, in, rows[i].len), rows[i].hash);
}

static void siphash_ignores_alignment(void **state)
{
	unsigned char buf[80];

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		memset(buf, 0, sizeof(buf));
		memcpy(buf + shift, "/local/domain/1/device/vif/0", 28);
		assert_int_equal(siphash(&key, buf + shift, 28),
				 siphash(&key, "/local/domain/1/device/vif/0", 28));
	}
}

static void siphash_changes_with_key(void **state)
{
	struct siphash_key other = key;

	(void)state;
	other.k1 ^= 1;
	assert_int_not_equal(siphash(&key, "a", 1), siphash(&other, "a", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_agrees_with_known_answers),
		cmocka_unit_test(siphash_ignores_alignment),
		cmocka_unit_test(siphash_changes_with_key),
	};

	return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
