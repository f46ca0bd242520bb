/* SPDX-License-Identifier: MIT */
/*
 * The libxl container: that its items are the input octet for octet, however it comes in, where
 * xenstore data is found and where its place is, and what is refused.
 */
#include "drover/libxl_stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"

/* A stream under construction, and its reading. */
struct tape {
	uint8_t *data;
	size_t len;
	size_t room;
	bool big;
	size_t at;   /* read up to here */
	size_t step; /* octets a read at most; 0: as many as are asked for */
};

static void put(struct tape *t, const void *data, size_t len)
{
	if (t->len + len > t->room) {
		t->room = 2 * (t->len + len);
		t->data = realloc(t->data, t->room);
		assert_non_null(t->data);
	}
	if (len)
		memcpy(t->data + t->len, data, len);
	t->len += len;
}

static void put32(struct tape *t, uint32_t v, bool big)
{
	uint8_t p[4];

	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * (big ? 3 - i : i));
	put(t, p, 4);
}

static void put_zero(struct tape *t, size_t n)
{
	while (n--)
		put(t, "", 1);
}

static void put_record(struct tape *t, uint32_t type, const void *body, size_t len)
{
	put32(t, type, t->big);
	put32(t, (uint32_t)len, t->big);
	put(t, body, len);
	put_zero(t, -len & 7);
}

static void put_header(struct tape *t)
{
	put(t, "LibxlFmt", 8);
	put32(t, 2, true);
	put32(t, t->big, true);
}

static void put_xl(struct tape *t, const char *config)
{
	put(t, "Xen saved domain, xl format\n \0 \r", 32);
	put32(t, 0x01020304, t->big);
	put32(t, 3, t->big);
	put32(t, 0, t->big);
	put32(t, (uint32_t)strlen(config) + 5, t->big);
	put32(t, (uint32_t)strlen(config) + 1, t->big);
	put(t, config, strlen(config) + 1);
}

static void put_libxc_header(struct tape *t)
{
	put_record(t, DROVER_LIBXL_LIBXC_CONTEXT, NULL, 0);
	put(t, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	put32(t, 0x58454e46, true);
	put32(t, 3, true);
	put32(t, (uint32_t)t->big << 16, true);
	put32(t, 0, true);
	put32(t, 1, t->big);
	put32(t, 12, t->big);
	put32(t, 4, t->big);
	put32(t, 17, t->big);
}

/* A libxc stream whose one record holds `memory` octets. */
static void put_libxc(struct tape *t, size_t memory)
{
	uint8_t *page = calloc(1, memory + 1);

	put_libxc_header(t);
	assert_non_null(page);
	for (size_t i = 0; i < memory; i++)
		page[i] = (uint8_t)(i * 7);
	put_record(t, 1, page, memory);
	put_record(t, 0, NULL, 0);
	free(page);
}

static const char emulator[] = "\2\0\0\0\0\0\0\0QEVM";
static const char watch[] = "\2\0\0\0/a\0tok";

/* All that a container may hold. */
static void put_all(struct tape *t)
{
	put_header(t);
	put_libxc(t, 3000001);
	put_record(t, DROVER_LIBXL_DOMAIN_XENSTORE_DATA, watch, sizeof(watch));
	put_record(t, DROVER_LIBXL_EMULATOR_XENSTORE_DATA, emulator, 8);
	put_record(t, DROVER_LIBXL_EMULATOR_CONTEXT, emulator, 12);
	put_record(t, DROVER_LIBXL_OPTIONAL | 5, "?", 1);
	put_record(t, DROVER_LIBXL_END, NULL, 0);
}

static int tape_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct tape *t = ctx;
	size_t n = t->len - t->at;

	n = n < len ? n : len;
	if (t->step && n > t->step)
		n = t->step;
	if (n)
		memcpy(buf, t->data + t->at, n);
	t->at += n;
	*ret_len = n;
	return 0;
}

static struct drover_libxl_reader *reader_of(struct tape *t)
{
	struct drover_libxl_options options = { .read = tape_read, .ctx = t };
	struct drover_libxl_reader *r;

	t->at = 0;
	assert_int_equal(drover_libxl_reader_new(&options, &r), 0);
	return r;
}

/* Reads to the end; the items of each kind, and what was wrong. */
struct seen {
	unsigned int n[DROVER_LIBXL_ITEM_XENSTORE + 1];
	unsigned int records;
	uint64_t place; /* offset */
	int r;
	char text[300];
};

static struct seen read_all(struct tape *t)
{
	struct drover_libxl_reader *r = reader_of(t);
	struct drover_libxl_item item;
	struct seen s = { 0 };
	size_t at = 0;

	while (!(s.r = drover_libxl_next(r, &item))) {
		assert_int_equal(item.offset, at);
		assert_true(at + item.octets.len <= t->len);
		assert_memory_equal(item.octets.data, t->data + at, item.octets.len);
		at += item.octets.len;
		s.n[item.kind]++;
		s.records += item.begins;
		if (item.kind == DROVER_LIBXL_ITEM_PLACE)
			s.place = item.offset;
	}
	if (s.r == ENODATA)
		assert_int_equal(at, t->len);
	if (s.r == EINVAL)
		drover_libxl_error_print(drover_libxl_reader_error(r), s.text, sizeof(s.text));
	assert_int_equal(drover_libxl_next(r, &item), s.r);
	drover_libxl_reader_free(r);
	return s;
}

static void the_items_are_the_input(void **state)
{
	static const size_t steps[] = { 0, 1, 7, 4096, 65537 };

	(void)state;
	for (int big = 0; big < 2; big++) {
		struct tape t = { .big = big };
		struct seen s;

		put_all(&t);
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			t.step = steps[i];
			s = read_all(&t);
			assert_int_equal(s.r, ENODATA);
			assert_int_equal(s.n[DROVER_LIBXL_ITEM_XENSTORE], 1);
			assert_int_equal(s.n[DROVER_LIBXL_ITEM_PLACE], 1);
			assert_int_equal(s.records, 6);
			/* headers, LIBXC_CONTEXT, its headers, two records */
			assert_int_equal(s.place, 16 + 8 + 40 + 8 + 3000008 + 8);
		}
		free(t.data);
	}
}

static void a_file_of_xl_save_is_read_with_its_configuration(void **state)
{
	(void)state;
	for (int big = 0; big < 2; big++) {
		struct tape t = { .big = big };
		struct drover_libxl_reader *r;
		struct drover_libxl_item item;
		const struct drover_libxl_info *info;

		put_xl(&t, "{\"c_info\":{}}");
		put_all(&t);
		assert_true(drover_libxl_is(t.data, t.len));
		assert_int_equal(read_all(&t).r, ENODATA);
		r = reader_of(&t);
		do {
			assert_int_equal(drover_libxl_next(r, &item), 0);
		} while (item.kind != DROVER_LIBXL_ITEM_RECORD);
		info = drover_libxl_reader_info(r);
		assert_true(info->xl_save);
		assert_int_equal(info->big_endian, big);
		assert_int_equal(info->config_len, 18);
		drover_libxl_reader_free(r);
		free(t.data);
	}
}

static void xenstore_data_comes_whole(void **state)
{
	struct tape t = { .step = 1 };
	struct drover_libxl_reader *r;
	struct drover_libxl_item item;

	(void)state;
	put_all(&t);
	r = reader_of(&t);
	do {
		assert_int_equal(drover_libxl_next(r, &item), 0);
	} while (item.kind != DROVER_LIBXL_ITEM_XENSTORE);
	assert_int_equal(item.record, 1);
	assert_int_equal(item.type, DROVER_LIBXL_DOMAIN_XENSTORE_DATA);
	assert_int_equal(item.body_len, sizeof(watch));
	assert_int_equal(item.body.len, sizeof(watch));
	assert_memory_equal(item.body.data, watch, sizeof(watch));
	assert_int_equal(item.octets.len, 8 + 16);
	drover_libxl_reader_free(r);
	free(t.data);
}

static void after_a_checkpoint_the_libxc_stream_goes_on(void **state)
{
	struct tape t = { 0 };
	struct seen s;

	(void)state;
	put_header(&t);
	put_libxc_header(&t);
	put_record(&t, 1, "page", 4);
	put_record(&t, 14, NULL, 0);
	put_record(&t, DROVER_LIBXL_EMULATOR_CONTEXT, emulator, 12);
	put_record(&t, DROVER_LIBXL_CHECKPOINT_END, NULL, 0);
	put_record(&t, 0x7777, "page", 4); /* libxc's, or it would be refused */
	put_record(&t, 0, NULL, 0);
	put_record(&t, DROVER_LIBXL_END, NULL, 0);
	s = read_all(&t);
	assert_int_equal(s.r, ENODATA);
	assert_int_equal(s.n[DROVER_LIBXL_ITEM_PLACE], 1);
	assert_int_equal(s.place, 16 + 8 + 40 + 16 + 8);
	assert_int_equal(s.records, 4);
	free(t.data);
}

static void every_truncation_is_told(void **state)
{
	struct tape t = { 0 };
	size_t whole;

	(void)state;
	put_xl(&t, "{}");
	put_header(&t);
	put_libxc(&t, 100);
	put_record(&t, DROVER_LIBXL_DOMAIN_XENSTORE_DATA, watch, sizeof(watch));
	put_record(&t, DROVER_LIBXL_EMULATOR_CONTEXT, emulator, 12);
	put_record(&t, DROVER_LIBXL_END, NULL, 0);
	whole = t.len;
	for (t.len = 0; t.len < whole; t.len++) {
		struct seen s = read_all(&t);

		assert_int_equal(s.r, EINVAL);
		assert_non_null(strstr(s.text, "the input ends"));
	}
	t.len = whole;
	put(&t, "x", 1);
	assert_string_equal(read_all(&t).text, "record 3 (END) at offset 0x127: octets behind it");
	free(t.data);
}

static void what_is_refused_is_named(void **state)
{
	static const struct {
		uint32_t type;
		const char *body;
		size_t len;
		bool libxc_first;
		const char *text;
	} cases[] = {
		{ 6, "x", 1, true,
		  "record 1 (type 0x6) at offset 0x48: mandatory, and its type is not known" },
		{ 0x7fffffff, "x", 1, true,
		  "record 1 (type 0x7fffffff) at offset 0x48: "
		  "mandatory, and its type is not known" },
		{ 7, "\2\0\0\0", 4, false,
		  "record 0 (DOMAIN_XENSTORE_DATA) at offset 0x10: before LIBXC_CONTEXT" },
		{ 3, "1234567", 7, true,
		  "record 1 (EMULATOR_CONTEXT) at offset 0x4c: 7 octets, 8 at least" },
		{ 0, "x", 1, true, "record 1 (END) at offset 0x4c: 1 octets, and it has no body" },
		{ 1, NULL, 0, true, "record 1 (LIBXC_CONTEXT) at offset 0x48: a second one" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tape t = { 0 };
		struct seen s;

		put_header(&t);
		if (cases[i].libxc_first) {
			put_libxc_header(&t);
			put_record(&t, 0, NULL, 0);
		}
		put_record(&t, cases[i].type, cases[i].body, cases[i].len);
		put_record(&t, DROVER_LIBXL_END, NULL, 0);
		s = read_all(&t);
		assert_int_equal(s.r, EINVAL);
		assert_string_equal(s.text, cases[i].text);
		free(t.data);
	}
}

static void broken_headers_are_named(void **state)
{
	static const struct {
		size_t at; /* the octet there is another */
		uint8_t octet;
		const char *text;
	} cases[] = {
		{ 0, 'x', "header at offset 0x0: neither a file of xl save nor a libxl stream" },
		{ 31, 'x',
		  "header at offset 0x0: not a file of xl save, though it starts like one" },
		{ 33, 9, "header at offset 0x20: the mark of the byte order is 0x1020904" },
		{ 36, 1, "header at offset 0x24: a legacy stream of Xen 4.5 or older" },
		{ 36, 7, "header at offset 0x24: mandatory flags 0x4 are not known" },
		{ 55, 'x', "header at offset 0x37: a libxl stream starts with LibxlFmt" },
		{ 66, 3, "header at offset 0x3f: version 3, and only 2 is known" },
		{ 70, 4, "header at offset 0x43: options 0x4 are reserved" },
		{ 79, 0,
		  "record 0 (LIBXC_CONTEXT), libxc stream at offset 0x4f: "
		  "a libxc stream starts with eight 0xff and XENF" },
		{ 94, 4,
		  "record 0 (LIBXC_CONTEXT), libxc stream at offset 0x5b: "
		  "version 4, and only 2 and 3 are known" },
		{ 126, 0x10,
		  "record 0 (LIBXC_CONTEXT), libxc stream at offset 0x7b: "
		  "a libxc record of 268435460 octets, at most 134217728" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tape t = { 0 };
		struct seen s;

		put_xl(&t, "{}");
		put_header(&t);
		put_libxc(&t, 4);
		put_record(&t, DROVER_LIBXL_END, NULL, 0);
		assert_int_equal(read_all(&t).r, ENODATA);
		t.data[cases[i].at] = cases[i].octet;
		s = read_all(&t);
		assert_int_equal(s.r, EINVAL);
		assert_string_equal(s.text, cases[i].text);
		free(t.data);
	}
}

/* Decides nothing about what it means: that nothing is read that is not there, nor changed. */
static void no_flipped_bit_is_harmful(void **state)
{
	struct drover_xsdata *d = malloc(sizeof(*d));
	struct tape t = { 0 };
	enum drover_xsdata_form form;
	char text[200];

	(void)state;
	assert_non_null(d);
	put_xl(&t, "{}");
	put_header(&t);
	put_libxc(&t, 100);
	put_record(&t, DROVER_LIBXL_DOMAIN_XENSTORE_DATA, watch, sizeof(watch));
	put_record(&t, DROVER_LIBXL_EMULATOR_CONTEXT, emulator, 12);
	put_record(&t, DROVER_LIBXL_END, NULL, 0);
	for (size_t bit = 0; bit < 8 * t.len; bit++) {
		struct seen s;

		t.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		s = read_all(&t);
		assert_true(s.r == ENODATA || (s.r == EINVAL && *s.text));
		t.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * sizeof(watch); bit++) {
		uint8_t body[sizeof(watch)];

		memcpy(body, watch, sizeof(body));
		body[bit / 8] ^= (uint8_t)(1u << bit % 8);
		form = DROVER_XSDATA_AUTO;
		*text = 0;
		if (drover_xsdata_decode(&form, false, body, sizeof(body), d, text, sizeof(text)))
			assert_true(*text);
	}
	free(d);
	free(t.data);
}

static int no_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	(void)ctx;
	(void)buf;
	(void)len;
	(void)ret_len;
	return EAGAIN;
}

static void an_error_of_the_input_is_passed_on(void **state)
{
	struct drover_libxl_options options = { .read = no_read };
	struct drover_libxl_reader *r;
	struct drover_libxl_item item;

	(void)state;
	assert_int_equal(drover_libxl_reader_new(&options, &r), 0);
	assert_int_equal(drover_libxl_next(r, &item), EAGAIN);
	assert_int_equal(drover_libxl_next(r, &item), EAGAIN);
	drover_libxl_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_items_are_the_input),
		cmocka_unit_test(a_file_of_xl_save_is_read_with_its_configuration),
		cmocka_unit_test(xenstore_data_comes_whole),
		cmocka_unit_test(after_a_checkpoint_the_libxc_stream_goes_on),
		cmocka_unit_test(every_truncation_is_told),
		cmocka_unit_test(no_flipped_bit_is_harmful),
		cmocka_unit_test(what_is_refused_is_named),
		cmocka_unit_test(broken_headers_are_named),
		cmocka_unit_test(an_error_of_the_input_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
