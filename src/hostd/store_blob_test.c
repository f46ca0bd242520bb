/* SPDX-License-Identifier: MIT */
/*
 * A guest's part of the store as octets: there and back; cut, grown and flipped everywhere.
 */
#include "hostd/store_blob.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h> /* cmocka.h wants them before it */
#include <cmocka.h>

#include "base/own.h"
#include "base/siphash.h"
#include "hostd/store.h"
#include "migrate/migrate.h"

static uint8_t page[HSTORE_PAGE_SIZE] = { 1, 2, 3 };

static const struct hstore_blob whole = {
	.uuid = { 0xde, 0xad, 0xbe, 0xef, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
	.epoch = 0x123456789abcdef0,
	.domid = 0x7fef,
	.json = "{\"c_info\": {}}",
	.json_len = 14,
	.page = page,
	.image = (const uint8_t *)"image of a domain",
	.image_len = 17,
};

/* The checksum made right again. */
static void seal(uint8_t *data, size_t len)
{
	static const struct siphash_key zeros;
	uint64_t sum = siphash(&zeros, data, len - 8);

	for (int i = 0; i < 8; i++)
		data[len - 8 + (size_t)i] = (uint8_t)(sum >> (56 - 8 * i));
}

static void what_was_printed_is_parsed(void **state)
{
	struct hstore_blob b;
	char text[200];
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(hstore_blob_print(&whole, &data, &len), 0);
	assert_int_equal(hstore_blob_parse(data, len, &b, text, sizeof(text)), 0);
	assert_memory_equal(b.uuid, whole.uuid, sizeof(b.uuid));
	assert_int_equal(b.epoch, whole.epoch);
	assert_int_equal(b.domid, whole.domid);
	assert_int_equal(b.json_len, whole.json_len);
	assert_memory_equal(b.json, whole.json, b.json_len);
	assert_memory_equal(b.page, page, sizeof(page));
	assert_int_equal(b.image_len, whole.image_len);
	assert_memory_equal(b.image, whole.image, b.image_len);
	free(data);
}

static void page_and_image_may_be_missing(void **state)
{
	struct hstore_blob b = whole;
	char text[200];
	uint8_t *data;
	size_t len;

	(void)state;
	b.page = b.image = NULL;
	b.image_len = 0;
	assert_int_equal(hstore_blob_print(&b, &data, &len), 0);
	assert_int_equal(hstore_blob_parse(data, len, &b, text, sizeof(text)), 0);
	assert_null(b.page);
	assert_int_equal(b.image_len, 0);
	free(data);
}

static void any_flipped_bit_is_found(void **state)
{
	struct hstore_blob b;
	char text[200];
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(hstore_blob_print(&whole, &data, &len), 0);
	for (size_t bit = 0; bit < 8 * len; bit += bit < 1600 ? 1 : 41) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(hstore_blob_parse(data, len, &b, text, sizeof(text)), -EBADMSG);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(data);
}

/* Also where whoever cut it made length and checksum right. */
static void any_part_of_it_is_refused(void **state)
{
	struct hstore_blob b;
	char text[200];
	uint8_t *data, *cut;
	size_t len;

	(void)state;
	assert_int_equal(hstore_blob_print(&whole, &data, &len), 0);
	for (size_t n = 0; n < len; n++) {
		cut = malloc(n ? n : 1);
		assert_non_null(cut);
		memcpy(cut, data, n);
		assert_int_equal(hstore_blob_parse(cut, n, &b, text, sizeof(text)), -EBADMSG);
		if (n >= 24) {
			cut[12] = cut[13] = 0;
			cut[14] = (uint8_t)(n >> 8);
			cut[15] = (uint8_t)n;
			seal(cut, n);
			/* a whole number of sections, though not all */
			if (hstore_blob_parse(cut, n, &b, text, sizeof(text)) == 0)
				assert_int_equal(b.image_len, 0);
		}
		free(cut);
	}
	free(data);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		size_t at;
		uint8_t octet;
		const char *text;
	} rows[] = {
		{ 0, 'D', "it is no guest's part of a store" },
		{ 11, 2, "version 2, not 1" },
		{ 16, 'x', "section meta is missing" },
		{ 23, 1, "section meta is of a wrong size" },
		{ 50, 0xff, "section meta: 65519 is no guest's domid" },
		{ 55, 1, "section meta: unknown flags 0x1" },
		{ 56, 'x', "section conf is missing" },
		{ 78, 'x', "octet 78: an unknown section, or one at the wrong place" },
		{ 82, 1, "octet 78: section page of 16781312 octets, 4121 are left" },
	};
	struct hstore_blob b;
	char text[200];
	uint8_t *data;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(hstore_blob_print(&whole, &data, &len), 0);
		data[rows[i].at] = rows[i].octet;
		seal(data, len);
		assert_int_equal(hstore_blob_parse(data, len, &b, text, sizeof(text)), -EBADMSG);
		assert_string_equal(text, rows[i].text);
		free(data);
	}
}

static void too_much_is_not_printed(void **state)
{
	struct hstore_blob b = whole;
	uint8_t *data;
	size_t len;

	(void)state;
	b.json_len = HSTORE_CONFIG_MAX + 1;
	assert_int_equal(hstore_blob_print(&b, &data, &len), -EFBIG);
	b = whole;
	b.image_len = MIG_BLOB_MAX;
	assert_int_equal(hstore_blob_print(&b, &data, &len), -EFBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_printed_is_parsed),
		cmocka_unit_test(page_and_image_may_be_missing),
		cmocka_unit_test(any_flipped_bit_is_found),
		cmocka_unit_test(any_part_of_it_is_refused),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(too_much_is_not_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
