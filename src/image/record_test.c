/* SPDX-License-Identifier: MIT */
/*
 * One record in memory: every type in every format there and back, and the documents' octets.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "image/record.h"
#include "image/sample_test.h"

static const struct drover_image_format upstream = { DROVER_LAYOUT_UPSTREAM, 2, false };
static const struct drover_image_format seed = { DROVER_LAYOUT_SEED, 1, false };
static const struct drover_image_format big = { DROVER_LAYOUT_UPSTREAM, 2, true };

static void every_record_comes_back_in_every_format(void **state)
{
	static struct text before, after;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		describe(&before, &samples[i].rec);
		for (size_t j = 0; j < ARRAY_LEN(sample_formats); j++) {
			const struct drover_image_format *f = &sample_formats[j];
			unsigned char buf[520], again[520];
			struct drover_image_error err;
			struct drover_record rec;
			size_t len, taken, relen;
			int r;

			/* One octet off: records need no alignment. */
			r = drover_record_encode(f, &samples[i].rec, buf + 1, 512, &len, &err);
			if (r != (sample_fits(&samples[i], f) ? 0 : EINVAL))
				fail_msg("sample %zu, format %zu: %d", i, j, r);
			if (r)
				continue;
			assert_int_equal(len, drover_record_size(f, &samples[i].rec));
			assert_int_equal(len % 8, 0);
			r = drover_record_decode(f, buf + 1, len, &rec, &taken, &err);
			if (r)
				fail_msg("sample %zu, format %zu: %s", i, j, err.text);
			assert_int_equal(taken, len);
			describe(&after, &rec);
			assert_string_equal(after.str, before.str);
			assert_int_equal(drover_record_encode(f, &rec, again, 512, &relen, &err),
					 0);
			assert_int_equal(relen, len);
			assert_memory_equal(again, buf + 1, len);
		}
	}
}

/* What was read in one byte order and layout is written in another. */
static void a_record_that_was_read_can_be_written_in_another_format(void **state)
{
	static struct text before, after;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		describe(&before, &samples[i].rec);
		for (size_t j = 0; j < ARRAY_LEN(sample_formats); j++)
			for (size_t k = 0; k < ARRAY_LEN(sample_formats); k++) {
				const struct drover_image_format *f = &sample_formats[j];
				const struct drover_image_format *g = &sample_formats[k];
				struct drover_record rec;
				unsigned char a[512], b[512];
				size_t n;

				if (!sample_fits(&samples[i], f) || !sample_fits(&samples[i], g))
					continue;
				assert_int_equal(drover_record_encode(f, &samples[i].rec, a,
								      sizeof(a), &n, NULL),
						 0);
				assert_int_equal(drover_record_decode(f, a, n, &rec, &n, NULL), 0);
				assert_int_equal(
					drover_record_encode(g, &rec, b, sizeof(b), &n, NULL), 0);
				assert_int_equal(drover_record_decode(g, b, n, &rec, &n, NULL), 0);
				describe(&after, &rec);
				assert_string_equal(after.str, before.str);
			}
	}
}

static const struct drover_perm perm[] = { { 'n', 0, 7 } };
static const struct drover_record node = { .type = DROVER_RECORD_NODE,
					   .node = { .conn_id = 1,
						     .tx_id = 2,
						     .access = 3,
						     .perms = LIST(perm),
						     .path = STR("/a"),
						     .value = STR("xy") } };
static const struct drover_record ring = { .type = DROVER_RECORD_CONNECTION,
					   .connection = { .conn_id = 1,
							   .domid = 7,
							   .tdomid = 0x7ff4,
							   .evtchn = 9,
							   .output = STR("abc") } };
static const struct drover_record watch = {
	.type = DROVER_RECORD_WATCH_DEPTH,
	.watch = { .conn_id = 1, .depth = 2, .path = STR("/a"), .token = STR("t") }
};
static const struct {
	const struct drover_image_format *format;
	const struct drover_record *rec;
	const char *octets;
	size_t len;
} documented[] = {
	{ &upstream, &node,
	  OCTETS("\5\0\0\0\40\0\0\0"
		 "\1\0\0\0\2\0\0\0"
		 "\3\0\2\0\3\0\1\0"
		 "n\0\7\0/a\0x"
		 "y\0\0\0\0\0\0\0") },
	{ &big, &node,
	  OCTETS("\0\0\0\5\0\0\0\40"
		 "\0\0\0\1\0\0\0\2"
		 "\0\3\0\2\0\3\0\1"
		 "n\0\0\7/a\0x"
		 "y\0\0\0\0\0\0\0") },
	{ &seed, &node,
	  OCTETS("\5\0\0\0\31\0\0\0"
		 "\1\0\0\0\2\0\0\0"
		 "\3\0\1\0n\0\7\0"
		 "\3\0\2\0/a\0x"
		 "y\0\0\0\0\0\0\0") },
	{ &upstream, &ring,
	  OCTETS("\2\0\0\0\40\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\7\0\xf4\x7f\11\0\0\0"
		 "\0\0\0\0\3\0\0\0"
		 "abc\0\0\0\0\0") },
	{ &seed, &ring,
	  OCTETS("\2\0\0\0\37\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\7\0\xf4\x7f\11\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0abc\0") },
	{ &upstream, &watch,
	  OCTETS("\10\0\0\0\30\0\0\0"
		 "\1\0\0\0\3\0\2\0"
		 "\2\0\0\0/a\0t"
		 "\0\0\0\0\0\0\0\0") },
};

static void octets_are_those_of_the_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documented); i++) {
		unsigned char buf[64];
		size_t len;

		assert_int_equal(drover_record_encode(documented[i].format, documented[i].rec, buf,
						      sizeof(buf), &len, NULL),
				 0);
		assert_int_equal(len, documented[i].len);
		assert_memory_equal(buf, documented[i].octets, len);
	}
}

static void an_extended_watch_is_read_as_all_writers_write_it(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
		uint32_t depth;
	} table[] = {
		{ OCTETS("\10\0\0\0\21\0\0\0"
			 "\1\0\0\0\3\0\2\0"
			 "\2\0\0\0/a\0t"
			 "\0\0\0\0\0\0\0\0"),
		  2 },
		{ OCTETS("\10\0\0\0\21\0\0\0"
			 "\1\0\0\0\3\0\2\0"
			 "\xff\xff\0\0/a\0t"
			 "\0\0\0\0\0\0\0\0"),
		  DROVER_DEPTH_ANY },
		{ OCTETS("\10\0\0\0\17\0\0\0"
			 "\1\0\0\0\3\0\2\0"
			 "\2\0/a\0t\0\0"),
		  2 },
		{ OCTETS("\10\0\0\0\20\0\0\0"
			 "\1\0\0\0\3\0\2\0"
			 "/a\0t\0\0\0\0"),
		  DROVER_DEPTH_ANY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct drover_image_error err;
		struct drover_record rec;
		size_t len;

		if (drover_record_decode(&upstream, table[i].octets, table[i].len, &rec, &len,
					 &err))
			fail_msg("case %zu: %s", i, err.text);
		assert_int_equal(rec.watch.depth, table[i].depth);
		assert_string_equal(rec.watch.path.data, "/a");
		assert_string_equal(rec.watch.token.data, "t");
	}
}

static void a_record_cut_short_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		unsigned char buf[512];
		struct drover_record rec;
		size_t len, n;

		assert_int_equal(drover_record_encode(&upstream, &samples[i].rec, buf, sizeof(buf),
						      &len, NULL),
				 0);
		for (n = 0; n < len; n++) {
			unsigned char *cut = malloc(n + 1); /* a sanitizer sees its end */
			size_t taken;

			memcpy(cut + 1, buf, n);
			assert_int_equal(
				drover_record_decode(&upstream, cut + 1, n, &rec, &taken, NULL),
				EAGAIN);
			free(cut);
		}
		if (len > 8) {
			assert_int_equal(drover_record_length(&upstream, buf, &n), 0);
			assert_int_equal(n, len);
		}
	}
}

/* Each flipped bit: refused, or a record like any other, which can be written and read again. */
static void a_flipped_bit_is_refused_or_harmless(void **state)
{
	static struct text before, after;
	size_t refused = 0, harmless = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples) * 2; i++) {
		const struct drover_image_format *f = i % 2 ? &big : &upstream;
		unsigned char buf[512], again[512];
		size_t len, n;

		assert_int_equal(
			drover_record_encode(f, &samples[i / 2].rec, buf, sizeof(buf), &len, NULL),
			0);
		for (size_t bit = 0; bit < len * 8; bit++) {
			struct drover_image_error err = { .text = "" };
			struct drover_record rec;
			int r;

			buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
			r = drover_record_decode(f, buf, len, &rec, &n, &err);
			if (r) {
				assert_true(r == EAGAIN || (r == EINVAL && err.text[0]));
				refused++;
			} else {
				harmless++;
				describe(&before, &rec);
				assert_int_equal(drover_record_encode(f, &rec, again, sizeof(again),
								      &n, NULL),
						 0);
				assert_int_equal(drover_record_decode(f, again, n, &rec, &n, NULL),
						 0);
				describe(&after, &rec);
				assert_string_equal(after.str, before.str);
			}
			buf[bit / 8] ^= (unsigned char)(1u << bit % 8);
		}
	}
	assert_true(refused && harmless);
}

static void too_little_room_is_said_and_nothing_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		size_t need = drover_record_size(&upstream, &samples[i].rec), len;
		unsigned char buf[512];

		for (size_t room = 0; room < need; room++) {
			memset(buf, 0xee, sizeof(buf));
			assert_int_equal(drover_record_encode(&upstream, &samples[i].rec, buf, room,
							      &len, NULL),
					 ENOBUFS);
			for (size_t j = 0; j < sizeof(buf); j++)
				assert_int_equal(buf[j], 0xee);
		}
	}
}

static void types_have_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		assert_true(drover_record_type_known(samples[i].rec.type) ==
			    (samples[i].rec.type != 0x7777));
	assert_string_equal(drover_record_type_name(DROVER_RECORD_WATCH_DEPTH),
			    "WATCH_DATA_EXTENDED");
	assert_string_equal(drover_record_type_name(DROVER_RECORD_STATE), "DROVER_STATE");
	assert_string_equal(drover_record_type_name(DROVER_RECORD_COMMIT), "DROVER_COMMIT");
	assert_string_equal(drover_record_type_name(DROVER_RECORD_DEATH), "DROVER_DEATH");
	assert_null(drover_record_type_name(DROVER_RECORD_WATCH_DEPTH + 1));
	assert_null(drover_record_type_name(DROVER_RECORD_STATE - 1));
	assert_null(drover_record_type_name(DROVER_RECORD_DEATH - 1)); /* of no record */
	assert_null(drover_record_type_name(DROVER_RECORD_DEATH + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_record_comes_back_in_every_format),
		cmocka_unit_test(a_record_that_was_read_can_be_written_in_another_format),
		cmocka_unit_test(octets_are_those_of_the_documents),
		cmocka_unit_test(an_extended_watch_is_read_as_all_writers_write_it),
		cmocka_unit_test(a_record_cut_short_goes_on),
		cmocka_unit_test(a_flipped_bit_is_refused_or_harmless),
		cmocka_unit_test(too_little_room_is_said_and_nothing_written),
		cmocka_unit_test(types_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
