/* SPDX-License-Identifier: MIT */
/*
 * Messages: framed from any octets, never beyond them; names of types and errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/own.h"
#include "wire/wire.h"

static void a_message_is_whole_or_wanted_or_hopeless(void **state)
{
	static const uint32_t lens[] = { 0, 1, 5, 4095, 4096 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct xsd_sockmsg h = { .type = XS_READ, .req_id = 7, .tx_id = 9, .len = lens[i] };
		size_t total = sizeof(h) + lens[i], size;

		for (size_t have = 0; have <= total + 1; have++) {
			struct wire_msg m = { .payload = NULL };
			uint8_t *buf = malloc(have ? have : 1); /* no octet more than it may read */
			int r;

			assert_non_null(buf);
			memset(buf, 'p', have ? have : 1);
			memcpy(buf, &h, have < sizeof(h) ? have : sizeof(h));
			size = 12345;
			r = wire_parse(buf, have, &m, &size);
			assert_int_equal(r, have < total ? EAGAIN : 0);
			assert_int_equal(size, r ? 12345 : total);
			if (!r) {
				assert_memory_equal(&m.hdr, &h, sizeof(h));
				assert_ptr_equal(m.payload, buf + sizeof(h));
			}
			free(buf);
		}
	}
}

static void a_length_over_4096_is_hopeless_as_soon_as_it_is_read(void **state)
{
	static const uint32_t lens[] = {
		4097, 65535, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff
	};
	struct wire_msg m;
	size_t size;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct xsd_sockmsg h = { .len = lens[i] };

		assert_int_equal(wire_parse(&h, sizeof(h) - 1, &m, &size), EAGAIN);
		assert_int_equal(wire_parse(&h, sizeof(h), &m, &size), EMSGSIZE);
	}
}

static void errors_are_named_as_the_protocol_does(void **state)
{
	static const struct {
		int err;
		const char *name;
	} table[] = {
		{ EINVAL, "EINVAL" }, { EACCES, "EACCES" },   { EEXIST, "EEXIST" },
		{ EISDIR, "EISDIR" }, { ENOENT, "ENOENT" },   { ENOMEM, "ENOMEM" },
		{ ENOSPC, "ENOSPC" }, { EIO, "EIO" },	      { ENOTEMPTY, "ENOTEMPTY" },
		{ ENOSYS, "ENOSYS" }, { EROFS, "EROFS" },     { EBUSY, "EBUSY" },
		{ EAGAIN, "EAGAIN" }, { EISCONN, "EISCONN" }, { E2BIG, "E2BIG" },
		{ EPERM, "EPERM" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_string_equal(wire_errno_name(table[i].err), table[i].name);
		assert_int_equal(wire_errno_value(table[i].name), table[i].err);
	}
	assert_string_equal(wire_errno_name(EXDEV), "EIO");
	assert_int_equal(wire_errno_value("EXDEV"), 0);
}

static void numbers_are_plain_decimal(void **state)
{
	static const struct {
		const char *str;
		size_t digits;
		int64_t want; /* -1: refused */
	} table[] = {
		{ "0", 10, 0 },
		{ "007", 10, 7 },
		{ "4294967295", 10, UINT32_MAX },
		{ "4294967296", 10, -1 },
		{ "9999999999", 10, -1 },
		{ "00000000001", 10, -1 },
		{ "999999999", 9, 999999999 },
		{ "1000000000", 9, -1 },
		{ "", 10, -1 },
		{ "+1", 10, -1 },
		{ "-1", 10, -1 },
		{ " 1", 10, -1 },
		{ "1 ", 10, -1 },
		{ "0x1", 10, -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint32_t v = 77;
		int r = wire_parse_number(table[i].str, strlen(table[i].str), table[i].digits, &v);

		assert_int_equal(r, table[i].want < 0 ? EINVAL : 0);
		assert_int_equal(v, table[i].want < 0 ? 77 : table[i].want);
	}
}

static void types_have_names_and_others_a_question_mark(void **state)
{
	(void)state;
	assert_string_equal(wire_type_name(XS_CONTROL), "CONTROL");
	assert_string_equal(wire_type_name(XS_DIRECTORY_PART), "DIRECTORY_PART");
	assert_string_equal(wire_type_name(WIRE_SET_QUOTA), "SET_QUOTA");
	assert_string_equal(wire_type_name(20), "?");
	assert_string_equal(wire_type_name(WIRE_TYPE_COUNT), "?");
	assert_string_equal(wire_type_name(UINT32_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_whole_or_wanted_or_hopeless),
		cmocka_unit_test(a_length_over_4096_is_hopeless_as_soon_as_it_is_read),
		cmocka_unit_test(errors_are_named_as_the_protocol_does),
		cmocka_unit_test(numbers_are_plain_decimal),
		cmocka_unit_test(types_have_names_and_others_a_question_mark),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
