/* SPDX-License-Identifier: MIT */
/*
 * What is refused of one record, and of a stream's header, and by which rule.
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
static const struct drover_image_format upstream_1 = { DROVER_LAYOUT_UPSTREAM, 1, false };
static const struct drover_image_format seed = { DROVER_LAYOUT_SEED, 1, false };

static char longest[65536];
static const struct {
	const struct drover_image_format *format;
	const char *text;
	struct drover_record rec;
} inexpressible[] = {
	{ &upstream_1,
	  "type: not one of this layout and version",
	  { .type = DROVER_RECORD_WATCH_DEPTH, .watch = { .conn_id = 1 } } },
	{ &upstream,
	  "depth: more than 65534",
	  { .type = DROVER_RECORD_WATCH_DEPTH, .watch = { .conn_id = 1, .depth = 65535 } } },
	{ &upstream_1,
	  "features: this layout or version cannot express it",
	  { .type = DROVER_RECORD_DOMAIN, .domain = { .features = 1 } } },
	{ &seed,
	  "in-data: this layout or version cannot express it",
	  { .type = DROVER_RECORD_CONNECTION, .connection = { .conn_id = 1, .input = STR("x") } } },
	{ &seed,
	  "out-resp-len: this layout or version cannot express it",
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 1, .output = STR("x"), .resp_len = 1 } } },
	{ &upstream,
	  "mfn: this layout or version cannot express it",
	  { .type = DROVER_RECORD_CONNECTION, .connection = { .conn_id = 1, .mfn = 1 } } },
	{ &upstream,
	  "read-only: this layout or version cannot express it",
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .kind = DROVER_CONN_SOCKET, .flags = DROVER_CONN_READ_ONLY } } },
	{ &seed,
	  "stale permission: this layout or version cannot express it",
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = LIST(sample_perms), .path = STR("/") } } },
	{ &seed, "type: not one of this layout and version", { .type = DROVER_RECORD_QUOTA } },
	{ &seed,
	  "evtchn-fd: this layout or version cannot express it",
	  { .type = DROVER_RECORD_GLOBAL, .global = { -1, -1, 3 } } },
	{ &upstream,
	  "ro-socket-fd: this layout or version cannot express it",
	  { .type = DROVER_RECORD_GLOBAL, .global = { -1, 3, -1 } } },
	{ &upstream,
	  "value: longer than 65535 octets",
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = { .entry = sample_perms, .n = 1 },
		      .path = STR("/"),
		      .value = { longest, 65536 } } } },
	{ &upstream,
	  "path: longer than 65534 octets",
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = { .entry = sample_perms, .n = 1 }, .path = { longest, 65535 } } } },
	{ &upstream,
	  "in-data: longer than 65535 octets",
	  { .type = DROVER_RECORD_CONNECTION, .connection = { .input = { longest, 65536 } } } },
	{ &upstream,
	  "perm-count: more than 65535",
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = { .entry = longest, .n = 65536 }, .path = STR("/") } } },
	{ &upstream,
	  "quota-names: fewer of them than values",
	  { .type = DROVER_RECORD_QUOTA,
	    .quota = { .n_dom = 1, .values = { .entry = sample_values, .n = 1 } } } },
	{ &upstream,
	  "quota-names: more of them than values",
	  { .type = DROVER_RECORD_QUOTA, .quota = { .names = { "a", 2 } } } },
	{ &upstream,
	  "quota-val: not as many as stated",
	  { .type = DROVER_RECORD_QUOTA, .quota = { .n_dom = 1 } } },
	{ &upstream,
	  "conn-type: neither ring nor socket",
	  { .type = DROVER_RECORD_CONNECTION, .connection = { .kind = 2 } } },
	{ &upstream,
	  "body: longer than its type may be",
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .output = { longest, IMAGE_CONNECTION_MAX } } } },
};

static void what_a_format_cannot_express_is_refused_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(inexpressible); i++) {
		struct drover_image_error err;
		unsigned char buf[64];
		size_t len;

		assert_int_equal(drover_record_encode(inexpressible[i].format,
						      &inexpressible[i].rec, buf, sizeof(buf), &len,
						      &err),
				 EINVAL);
		assert_string_equal(err.text, inexpressible[i].text);
		assert_int_equal(err.type, inexpressible[i].rec.type);
	}
}

static const struct {
	const char *octets;
	size_t len;
	const char *text; /* NULL: accepted */
} broken[] = {
	{ OCTETS("\0\0\0\0\1\0\0\0"
		 "\0\0\0\0\0\0\0\0"),
	  "length: more than its type may have" },
	{ OCTETS("\1\0\0\0\4\0\0\0"
		 "\1\0\0\0\0\0\0\0"),
	  "evtchn-fd: the record ends within it" },
	{ OCTETS("\1\0\0\0\20\0\0\0"
		 "\1\0\0\0\2\0\0\0"
		 "\0\0\0\0\0\0\0\0"),
	  "length: more than the record's fields" },
	{ OCTETS("\1\0\0\0\10\0\0\0"
		 "\xfe\xff\xff\xff\0\0\0\0"),
	  "socket-fd: below -1" },
	{ OCTETS("\4\0\0\0\10\0\0\0"
		 "\0\0\0\0\1\0\0\0"),
	  "conn-id: 0" },
	{ OCTETS("\4\0\0\0\10\0\0\0"
		 "\1\0\0\0\0\0\0\0"),
	  "tx-id: 0" },
	{ OCTETS("\4\0\0\0\10\0\0\0"
		 "\1\0\0\0\1\0\0\0"),
	  NULL },
	/* CONNECTION_DATA */
	{ OCTETS("\2\0\0\0\30\0\0\0"
		 "\1\0\0\0\2\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\0\0\0\0\0\0\0\0"),
	  "conn-type: neither ring nor socket" },
	{ OCTETS("\2\0\0\0\30\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\xf0\x7f\xf4\x7f\1\0\0\0"
		 "\0\0\0\0\0\0\0\0"),
	  "domid: no domain's" },
	{ OCTETS("\2\0\0\0\30\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\1\0\xf5\x7f\1\0\0\0"
		 "\0\0\0\0\0\0\0\0"),
	  "tdomid: no domain's" },
	{ OCTETS("\2\0\0\0\31\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\1\0\xf4\x7f\1\0\0\0"
		 "\0\0\2\0\1\0\0\0"
		 "x\0\0\0\0\0\0\0"),
	  "out-resp-len: more than out-data-len" },
	{ OCTETS("\2\0\0\0\30\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\1\0\xf4\x7f\1\0\0\0"
		 "\0\0\0\0\xff\xff\xff\xff"),
	  "out-data: the record ends within it" },
	{ OCTETS("\2\0\0\0\30\0\0\0"
		 "\1\0\0\0\1\0\1\0"
		 "\1\0\0\0\1\0\0\0"
		 "\0\0\0\0\0\0\0\0"),
	  "unique-id: the record ends within it" },
	/* WATCH_DATA */
	{ OCTETS("\3\0\0\0\15\0\0\0"
		 "\1\0\0\0\3\0\2\0"
		 "/a\0t\0\0\0\0"),
	  NULL },
	{ OCTETS("\3\0\0\0\20\0\0\0"
		 "\1\0\0\0\3\0\2\0"
		 "/a\0t\0\0\0\0"),
	  NULL },
	{ OCTETS("\3\0\0\0\15\0\0\0"
		 "\1\0\0\0\0\0\2\0"
		 "/a\0t\0\0\0\0"),
	  "wpath: its length does not count a NUL" },
	{ OCTETS("\3\0\0\0\15\0\0\0"
		 "\1\0\0\0\2\0\3\0"
		 "/a\0t\0\0\0\0"),
	  "wpath: no NUL exactly at its end" },
	{ OCTETS("\3\0\0\0\15\0\0\0"
		 "\1\0\0\0\3\0\2\0"
		 "/ \0t\0\0\0\0"),
	  "wpath: malformed" },
	{ OCTETS("\3\0\0\0\13\0\0\0"
		 "\1\0\0\0\1\0\2\0"
		 "\0t\0\0\0\0\0\0"),
	  "wpath: empty" },
	/* NODE_DATA */
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0\0\0\1\0"
		 "n\0\0\0/a\0\0"),
	  NULL },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0\0\0\1\0"
		 "x\0\0\0/a\0\0"),
	  "permissions: a letter other than n, r, w, b" },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0\0\0\1\0"
		 "n\2\0\0/a\0\0"),
	  "permissions: unknown flags" },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0\0\0\1\0"
		 "n\0\0\0a/\0\0"),
	  "path: neither absolute nor special" },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0\0\0\1\0"
		 "n\0\0\0//\0\0"),
	  "path: malformed" },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\3\0\0\0\1\0\1\0"
		 "n\0\0\0/a\0\0"),
	  "tx-id: 0" },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\1\0\0\0\1\0\0\0"
		 "\3\0\0\0\0\0\1\0"
		 "n\0\0\0/a\0\0"),
	  "access: 0 is for what was deleted, which has no permissions" },
	{ OCTETS("\5\0\0\0\27\0\0\0"
		 "\1\0\0\0\1\0\0\0"
		 "\3\0\0\0\4\0\1\0"
		 "n\0\0\0/a\0\0"),
	  "access: unknown bits" },
	{ OCTETS("\5\0\0\0\24\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\1\0\0\0\0\0"
		 "/a\0x\0\0\0\0"),
	  "value: of a node that was deleted" },
	{ OCTETS("\5\0\0\0\20\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\3\0\0\0\0\0\xff\xff"),
	  "permissions: the record ends within it" },
	/* Quotas */
	{ OCTETS("\6\0\0\0\12\0\0\0"
		 "\1\0\0\0\5\0\0\0"
		 "a\0\0\0\0\0\0\0"),
	  NULL },
	{ OCTETS("\6\0\0\0\11\0\0\0"
		 "\1\0\0\0\5\0\0\0"
		 "a\0\0\0\0\0\0\0"),
	  "quota-names: fewer of them than values" },
	{ OCTETS("\7\0\0\0\10\0\0\0"
		 "\xf0\x7f\0\0\0\0\0\0"),
	  "domain-id: no domain's" },
	/* COMMIT */
	{ OCTETS("\xc\0\x52\x44\30\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\40\0\0\0\0\0\0\0"),
	  NULL },
	{ OCTETS("\xc\0\x52\x44\30\0\0\0"
		 "\0\0\0\0\0\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\50\0\0\0\0\0\0\0"),
	  "octets: not those of the record" },
	{ OCTETS("\xc\0\x52\x44\30\0\0\0"
		 "\xff\xff\xff\xff\0\0\0\0"
		 "\1\0\0\0\0\0\0\0"
		 "\40\0\0\0\0\0\0\0"),
	  "words: the record ends within it" },
};

/* Types that came later are no more read in an old layout than written. */
static void a_type_that_came_later_is_refused_by_an_old_layout(void **state)
{
	static const struct {
		const struct drover_image_format *format;
		const char *octets;
		int r;
	} table[] = {
		{ &seed, "\6\0\0\0\4\0\0\0\0\0\0\0\0\0\0", EINVAL },
		{ &seed, "\7\0\0\0\10\0\0\0\0\0\0\0\0\0\0", EINVAL },
		{ &upstream_1, "\6\0\0\0\4\0\0\0\0\0\0\0\0\0\0", 0 },
		{ &upstream_1, "\10\0\0\0\4\0\0\0\0\0\0\0\0\0\0", EINVAL },
		{ &upstream, "\7\0\0\0\10\0\0\0\0\0\0\0\0\0\0", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct drover_image_error err;
		struct drover_record rec;
		size_t len;

		assert_int_equal(drover_record_decode(table[i].format, table[i].octets, 16, &rec,
						      &len, &err),
				 table[i].r);
		if (table[i].r)
			assert_string_equal(err.text, "type: not one of this layout and version");
	}
}

static void broken_records_are_refused_by_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct drover_image_error err = { .text = "accepted" };
		struct drover_record rec;
		size_t len;
		int r = drover_record_decode(&upstream, broken[i].octets, broken[i].len, &rec, &len,
					     &err);

		if (r != (broken[i].text ? EINVAL : 0) ||
		    (r && strcmp(err.text, broken[i].text) != 0))
			fail_msg("case %zu: %d, %s", i, r, err.text);
	}
}

static void a_header_is_checked(void **state)
{
	static const struct {
		const char octets[DROVER_IMAGE_HEADER_LEN + 1];
		const char *text; /* NULL: accepted */
		unsigned int version;
		bool big_endian;
	} table[] = {
		{ "xenstore\0\0\0\1\0\0\0\0", NULL, 1, false },
		{ "xenstore\0\0\0\2\0\0\0\1", NULL, 2, true },
		{ "xenstora\0\0\0\1\0\0\0\0", "header: ident: not \"xenstore\"", 0, false },
		{ "xenstore\0\0\0\0\0\0\0\0", "header: version: neither 1 nor 2", 0, false },
		{ "xenstore\0\0\0\3\0\0\0\0", "header: version: neither 1 nor 2", 0, false },
		{ "xenstore\1\0\0\0\0\0\0\0", "header: version: neither 1 nor 2", 0, false },
		{ "xenstore\0\0\0\1\0\0\0\2", "header: flags: reserved ones are set", 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct drover_image_format f = { .layout = DROVER_LAYOUT_SEED };
		struct drover_image_error err;
		unsigned char again[DROVER_IMAGE_HEADER_LEN];
		char text[256];
		int r = drover_image_header_decode(table[i].octets, &f, &err);

		if (table[i].text) {
			assert_int_equal(r, EINVAL);
			drover_image_error_print(&err, text, sizeof(text));
			assert_string_equal(text, table[i].text);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(f.version, table[i].version);
		assert_int_equal(f.big_endian, table[i].big_endian);
		assert_int_equal(f.layout, DROVER_LAYOUT_SEED);
		drover_image_header_encode(&f, again);
		assert_memory_equal(again, table[i].octets, sizeof(again));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_format_cannot_express_is_refused_by_name),
		cmocka_unit_test(a_type_that_came_later_is_refused_by_an_old_layout),
		cmocka_unit_test(broken_records_are_refused_by_rule),
		cmocka_unit_test(a_header_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
