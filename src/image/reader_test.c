/* SPDX-License-Identifier: MIT */
/*
 * Streams: the rules between records, each broken once; reading in pieces of any size; failures
 * of memory and of the functions that move octets.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "image/sample_test.h"
#include "image/stream_test.h"

#define RECORDS 6

#define RING(id, dom)                                                                              \
	{                                                                                          \
		.type = DROVER_RECORD_CONNECTION, .connection = {                                  \
			.conn_id = (id),                                                           \
			.domid = (dom),                                                            \
			.tdomid = DROVER_DOMID_NONE                                                \
		}                                                                                  \
	}
#define SOCKET(id, number)                                                                         \
	{                                                                                          \
		.type = DROVER_RECORD_CONNECTION, .connection = {                                  \
			.conn_id = (id),                                                           \
			.kind = DROVER_CONN_SOCKET,                                                \
			.fd = (number)                                                             \
		}                                                                                  \
	}
#define WATCH(id, p, t)                                                                            \
	{                                                                                          \
		.type = DROVER_RECORD_WATCH, .watch = {                                            \
			.conn_id = (id),                                                           \
			.path = STR(p),                                                            \
			.token = STR(t)                                                            \
		}                                                                                  \
	}
#define DEEP_WATCH(id, p, t)                                                                       \
	{                                                                                          \
		.type = DROVER_RECORD_WATCH_DEPTH, .watch = {                                      \
			.conn_id = (id),                                                           \
			.path = STR(p),                                                            \
			.token = STR(t)                                                            \
		}                                                                                  \
	}
#define TXN(id, tx)                                                                                \
	{                                                                                          \
		.type = DROVER_RECORD_TXN, .txn = {(id), (tx) }                                    \
	}
#define NODE(p)                                                                                    \
	{                                                                                          \
		.type = DROVER_RECORD_NODE, .node = {                                              \
			.perms = { .entry = sample_perms, .n = 1 },                                \
			.path = STR(p)                                                             \
		}                                                                                  \
	}
#define PENDING(id, tx, p)                                                                         \
	{                                                                                          \
		.type = DROVER_RECORD_NODE, .node = {                                              \
			.conn_id = (id),                                                           \
			.tx_id = (tx),                                                             \
			.access = DROVER_ACCESS_WRITTEN,                                           \
			.perms = { .entry = sample_perms, .n = 1 },                                \
			.path = STR(p)                                                             \
		}                                                                                  \
	}
#define GLOBAL                                                                                     \
	{                                                                                          \
		.type = DROVER_RECORD_GLOBAL, .global = { 5, -1, 6 }                               \
	}
#define PLAIN(t)                                                                                   \
	{                                                                                          \
		.type = (t)                                                                        \
	}

static const struct rule {
	unsigned int flags;
	const char *text;		   /* NULL: accepted */
	struct drover_record rec[RECORDS]; /* up to an END */
} rules[] = {
	{ 0, NULL, { NODE("/"), NODE("/a"), NODE("/a/b"), NODE("/c"), NODE("/a/d") } },
	{ 0, NULL, { NODE("@releaseDomain"), NODE("/"), NODE("@introduceDomain"), NODE("/a") } },
	{ 0,
	  NULL,
	  { RING(1, 0), SOCKET(2, 5), WATCH(2, "/a", "t"), WATCH(1, "/a", "t"),
	    WATCH(1, "/a", "u") } },
	{ 0, NULL, { RING(1, 0), TXN(1, 1), TXN(1, 2), PENDING(1, 1, "/a"), PENDING(1, 2, "/a") } },
	{ 0, NULL, { SOCKET(1, -1), SOCKET(2, -1) } },
	{ 0, NULL, { PLAIN(DROVER_RECORD_HOST), PLAIN(0x9999), PLAIN(0x9999) } },

	{ 0,
	  "record 1 (NODE_DATA) at offset 0x30: path: its parent did not come before",
	  { NODE("/"), NODE("/a/b") } },
	{ 0,
	  "record 2 (NODE_DATA) at offset 0x50: path: its parent did not come before",
	  { NODE("/"), NODE("/ab"), NODE("/a/b") } },
	{ 0,
	  "record 0 (NODE_DATA) at offset 0x10: path: its parent did not come before",
	  { NODE("/a") } },
	{ 0,
	  "record 2 (NODE_DATA) at offset 0x50: path: came before",
	  { NODE("/"), NODE("/a"), NODE("/a") } },
	{ 0, "record 1 (NODE_DATA) at offset 0x30: path: came before", { NODE("/"), NODE("/") } },
	{ 0,
	  "record 0 (NODE_DATA) at offset 0x10: perm-count: 0 of a committed node",
	  { { .type = DROVER_RECORD_NODE, .node = { .path = STR("/") } } } },
	{ 0,
	  "record 1 (CONNECTION_DATA) at offset 0x30: conn-id: came before",
	  { RING(1, 0), SOCKET(1, 5) } },
	{ 0,
	  "record 1 (CONNECTION_DATA) at offset 0x30: domid: came before",
	  { RING(1, 7), RING(2, 7) } },
	{ 0,
	  "record 1 (CONNECTION_DATA) at offset 0x30: socket-fd: came before",
	  { SOCKET(1, 5), SOCKET(2, 5) } },
	{ 0,
	  "record 0 (WATCH_DATA) at offset 0x10: conn-id: of no connection that came before",
	  { WATCH(1, "/a", "t") } },
	{ 0,
	  "record 2 (WATCH_DATA) at offset 0x48: wpath and token: came before",
	  { RING(1, 0), WATCH(1, "/a", "t"), WATCH(1, "/a", "t") } },
	{ 0,
	  "record 2 (WATCH_DATA_EXTENDED) at offset 0x48: wpath and token: came before",
	  { RING(1, 0), WATCH(1, "/a", "t"), DEEP_WATCH(1, "/a", "t") } },
	{ 0,
	  "record 0 (TRANSACTION_DATA) at offset 0x10: conn-id: of no connection that came before",
	  { TXN(1, 1) } },
	{ 0,
	  "record 2 (TRANSACTION_DATA) at offset 0x40: tx-id: came before",
	  { RING(1, 0), TXN(1, 1), TXN(1, 1) } },
	{ 0,
	  "record 2 (NODE_DATA) at offset 0x40: tx-id: of no transaction that came before",
	  { RING(1, 0), TXN(1, 1), PENDING(1, 2, "/") } },
	{ 0,
	  "record 3 (NODE_DATA) at offset 0x60: path: came before",
	  { RING(1, 0), TXN(1, 1), PENDING(1, 1, "/"), PENDING(1, 1, "/") } },
	{ 0, "record 1 (GLOBAL_DATA) at offset 0x20: type: came before", { GLOBAL, GLOBAL } },
	{ 0,
	  "record 1 (DOMAIN_DATA) at offset 0x20: domain-id: came before",
	  { PLAIN(DROVER_RECORD_DOMAIN), PLAIN(DROVER_RECORD_DOMAIN) } },
	{ 0,
	  "record 0 (DROVER_COMMIT) at offset 0x10: type: of a journal, not of an image",
	  { PLAIN(DROVER_RECORD_COMMIT) } },
	{ 0,
	  "record 0 (DROVER_CONN_STATE) at offset 0x10: conn-id: of no connection that came before",
	  { { .type = DROVER_RECORD_CONN_STATE, .conn_state = { .conn_id = 1 } } } },
	{ 0,
	  "record 0 (DROVER_TXN_ACCESS) at offset 0x10: tx-id: of no transaction that came before",
	  { { .type = DROVER_RECORD_TXN_ACCESS,
	      .txn_access = { .conn_id = 1, .tx_id = 1, .path = STR("/") } } } },

	{ DROVER_READER_DOMAIN,
	  NULL,
	  { RING(1, 7), NODE("/local/domain/7"), NODE("/local/domain/7/a"), NODE("/vm/x"),
	    NODE("/local/domain/7/b") } },
	{ DROVER_READER_DOMAIN,
	  "record 1 (NODE_DATA) at offset 0x40: path: a node below it came before",
	  { NODE("/local/domain/7"), NODE("/local") } },
	{ DROVER_READER_DOMAIN,
	  "record 3 (NODE_DATA) at offset 0x88: path: a node below it came before",
	  { NODE("/a/b"), NODE("/a/b/c"), NODE("/a/d"), NODE("/a") } },
	{ DROVER_READER_DOMAIN,
	  "record 0 (CONNECTION_DATA) at offset 0x10: conn-type: a socket in a domain's image",
	  { SOCKET(1, 5) } },
	{ DROVER_READER_DOMAIN,
	  "record 1 (CONNECTION_DATA) at offset 0x30: conn-id: a second one in a domain's image",
	  { RING(1, 7), RING(2, 8) } },

	{ DROVER_READER_LOOSE, NULL, { NODE("/a"), NODE("/a"), WATCH(1, "/a", "t"), TXN(1, 1) } },
};

/* Writes the records up to an END, and END. */
static int write_all(struct stream *s, const struct drover_image_format *f,
		     const struct drover_record *rec, size_t n)
{
	const struct drover_writer_options options = { stream_write, s, *f };
	struct drover_writer *w;
	int r = drover_writer_new(&options, &w);

	if (r)
		return r;
	for (size_t i = 0; i < n && rec[i].type && !r; i++)
		r = drover_writer_put(w, &rec[i]);
	if (!r)
		r = drover_writer_end(w);
	drover_writer_free(w);
	return r;
}

static void rules_between_records_hold_in_both_byte_orders(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules) * 2; i++) {
		const struct drover_image_format f = { DROVER_LAYOUT_UPSTREAM, 2, i % 2 };
		const struct rule *rule = &rules[i / 2];
		struct drover_image_error err;
		struct stream s = { .step = 7 };
		size_t records;
		char text[256] = "accepted";
		int r;

		assert_int_equal(write_all(&s, &f, rule->rec, RECORDS), 0);
		r = stream_check(&s, f.layout, rule->flags, &records, &err);
		if (r)
			drover_image_error_print(&err, text, sizeof(text));
		if (r != (rule->text ? EINVAL : 0) ||
		    strcmp(text, rule->text ? rule->text : "accepted") != 0)
			fail_msg("rule %zu: %d, %s", i / 2, r, text);
		stream_fini(&s);
	}
}

static void the_size_of_reads_makes_no_difference(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 8, 17, 1000, 0 };
	static struct text t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sample_formats); i++)
		for (size_t j = 0; j < ARRAY_LEN(steps); j++) {
			const struct drover_image_format *f = &sample_formats[i];
			const struct drover_record rec[] = { RING(1, 7), WATCH(1, "/a", "t"),
							     NODE("/"), NODE("/a") };
			struct stream s = { .step = steps[j] };
			struct drover_image_format got;
			struct drover_reader *r;
			struct drover_record back;

			assert_int_equal(write_all(&s, f, rec, ARRAY_LEN(rec)), 0);
			r = stream_reader(&s, f->layout, 0);
			assert_int_equal(drover_reader_format(r, &got), 0);
			assert_memory_equal(&got, f, sizeof(got));
			for (size_t k = 0; k < ARRAY_LEN(rec); k++) {
				assert_int_equal(drover_reader_next(r, &back), 0);
				assert_int_equal(drover_reader_index(r), k);
				assert_memory_equal(drover_reader_octets(r).data,
						    s.data + drover_reader_offset(r),
						    drover_reader_octets(r).len);
				describe(&t, &back);
				assert_int_equal(back.type, rec[k].type);
			}
			assert_int_equal(drover_reader_next(r, &back), 0);
			assert_int_equal(back.type, DROVER_RECORD_END);
			assert_int_equal(drover_reader_next(r, &back), ENODATA);
			assert_int_equal(drover_reader_next(r, &back), ENODATA);
			drover_reader_free(r);
			stream_fini(&s);
		}
}

/* Records of many buffers' length, between small ones. */
static void large_records_pass(void **state)
{
	const size_t len = 3 << 20;
	char *octets = calloc(1, len);
	const struct drover_image_format f = { DROVER_LAYOUT_UPSTREAM, 2, false };
	struct drover_record rec[] = { RING(1, 7), SOCKET(2, 5), NODE("/"), SOCKET(3, 6),
				       NODE("/a") };
	struct stream s = { .step = 100001 };
	struct drover_record back;
	struct drover_reader *r;

	(void)state;
	for (size_t i = 0; i < len; i++)
		octets[i] = (char)(i * i >> 3);
	rec[1].connection.output = (struct drover_octets){ octets, len };
	rec[3].connection.output = (struct drover_octets){ octets, len - 1 };
	assert_int_equal(write_all(&s, &f, rec, ARRAY_LEN(rec)), 0);
	r = stream_reader(&s, f.layout, 0);
	for (size_t i = 0; i < ARRAY_LEN(rec); i++) {
		assert_int_equal(drover_reader_next(r, &back), 0);
		assert_int_equal(back.type, rec[i].type);
		if (back.type != DROVER_RECORD_CONNECTION)
			continue;
		assert_int_equal(back.connection.output.len, rec[i].connection.output.len);
		assert_memory_equal(back.connection.output.data, octets,
				    back.connection.output.len);
	}
	drover_reader_free(r);
	stream_fini(&s);
	free(octets);
}

/* A length that is stated is not allocated before its octets came. */
static void a_stated_length_alone_takes_no_memory(void **state)
{
	static const unsigned char image[] = "xenstore\0\0\0\1\0\0\0\0\2\0\0\0\0\0\0\4";
	struct stream s = { .data = (unsigned char *)(uintptr_t)image, .len = 24 };
	struct drover_image_error err;
	char text[256];
	size_t n;

	(void)state;
	assert_int_equal(stream_check(&s, DROVER_LAYOUT_UPSTREAM, 0, &n, &err), EINVAL);
	drover_image_error_print(&err, text, sizeof(text));
	assert_string_equal(text, "record 0 (CONNECTION_DATA) at offset 0x10: "
				  "length: the image ends within the record");
}

static void an_end_that_is_none_is_refused(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
		const char *text;
	} table[] = {
		{ OCTETS(""), "header: length: the image ends within it" },
		{ OCTETS("xenstore\0\0\0\1\0\0\0"), "header: length: the image ends within it" },
		{ OCTETS("xenstore\0\0\0\1\0\0\0\0"),
		  "record 0 at offset 0x10: length: the image ends without END" },
		{ OCTETS("xenstore\0\0\0\1\0\0\0\0\0\0\0\0"),
		  "record 0 at offset 0x10: length: the image ends within the record's header" },
		{ OCTETS("xenstore\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		  "record 0 (END) at offset 0x10: length: octets follow it" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct stream s = { .data = (unsigned char *)(uintptr_t)table[i].octets,
				    .len = table[i].len };
		struct drover_image_error err;
		char text[256] = "";
		size_t n;

		assert_int_equal(stream_check(&s, DROVER_LAYOUT_UPSTREAM, 0, &n, &err), EINVAL);
		drover_image_error_print(&err, text, sizeof(text));
		assert_string_equal(text, table[i].text);
	}
}

static void what_moves_octets_may_fail(void **state)
{
	const struct drover_image_format f = { DROVER_LAYOUT_UPSTREAM, 2, false };
	const struct drover_record rec[] = { NODE("/"), NODE("/a") };
	const struct drover_record end = PLAIN(DROVER_RECORD_END);
	struct stream s = { .step = 1 }, full = { .fails = ENOSPC };
	const struct drover_writer_options options = { stream_write, &full, f };
	struct drover_reader *r;
	struct drover_writer *w;
	struct drover_record back;

	(void)state;
	assert_int_equal(write_all(&s, &f, rec, ARRAY_LEN(rec)), 0);
	s.fails = EIO;
	for (s.fails_at = 0; s.fails_at < s.len; s.fails_at++) {
		int e;

		r = stream_reader(&s, f.layout, 0);
		do
			e = drover_reader_next(r, &back);
		while (!e);
		assert_int_equal(e, EIO);
		assert_int_equal(drover_reader_next(r, &back), EIO);
		drover_reader_free(r);
	}
	stream_fini(&s);

	assert_int_equal(drover_writer_new(&options, &w), 0);
	assert_int_equal(drover_writer_put(w, &rec[0]), 0);
	assert_int_equal(drover_writer_put(w, &end), EINVAL);
	assert_string_equal(drover_writer_error(w)->text, "type: drover_writer_end writes it");
	assert_int_equal(drover_writer_end(w), ENOSPC);
	assert_int_equal(drover_writer_put(w, &rec[0]), ENOSPC);
	drover_writer_free(w);
}

/* What a writer cannot express leaves the stream as it was. */
static void a_writer_goes_on_after_a_refusal(void **state)
{
	const struct drover_image_format f = { DROVER_LAYOUT_UPSTREAM, 1, false };
	const struct drover_record deep = DEEP_WATCH(1, "/a", "t"), root = NODE("/");
	struct stream s = { 0 };
	const struct drover_writer_options options = { stream_write, &s, f };
	struct drover_writer *w;
	size_t n;

	(void)state;
	assert_int_equal(drover_writer_new(&options, &w), 0);
	assert_int_equal(drover_writer_put(w, &root), 0);
	assert_int_equal(drover_writer_put(w, &deep), EINVAL);
	assert_int_equal(drover_writer_error(w)->record, 1);
	assert_int_equal(drover_writer_error(w)->offset, 0x30);
	assert_int_equal(drover_writer_end(w), 0);
	drover_writer_free(w);
	assert_int_equal(stream_check(&s, f.layout, 0, &n, NULL), 0);
	assert_int_equal(n, 2);
	stream_fini(&s);
}

static void every_allocation_may_fail(void **state)
{
	const struct drover_image_format f = { DROVER_LAYOUT_UPSTREAM, 2, false };
	struct drover_record rec[RECORDS] = { SOCKET(1, 5), NODE("/") };
	static const char octets[1 << 20];
	struct stream s = { 0 };
	size_t n;
	int r;

	(void)state;
	rec[0].connection.output = (struct drover_octets){ octets, sizeof(octets) };
	for (unsigned long i = 1;; i++) {
		stream_fini(&s);
		s.len = 0;
		alloc_countdown = i;
		r = write_all(&s, &f, rec, RECORDS);
		if (!r)
			break;
		assert_int_equal(r, ENOMEM);
	}
	for (unsigned long i = 1;; i++) {
		alloc_countdown = i;
		r = stream_check(&s, f.layout, 0, &n, NULL);
		if (!r)
			break;
		assert_int_equal(r, ENOMEM);
	}
	alloc_countdown = 0;
	assert_int_equal(n, 3);
	stream_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_between_records_hold_in_both_byte_orders),
		cmocka_unit_test(the_size_of_reads_makes_no_difference),
		cmocka_unit_test(large_records_pass),
		cmocka_unit_test(a_stated_length_alone_takes_no_memory),
		cmocka_unit_test(an_end_that_is_none_is_refused),
		cmocka_unit_test(what_moves_octets_may_fail),
		cmocka_unit_test(a_writer_goes_on_after_a_refusal),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
