/* SPDX-License-Identifier: MIT */
/*
 * Xenstore data in a libxl stream: the three forms by their octets, there and back in both byte
 * orders, told apart without being told, and what is refused.
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

#define LIT(s)                                                                                     \
	{                                                                                          \
		.data = (s), .len = sizeof(s) - 1                                                  \
	}

static uint8_t buf[DROVER_XSDATA_BODY + 16];

static struct drover_xsdata *data_new(uint32_t type)
{
	struct drover_xsdata *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->type = type;
	return d;
}

static struct drover_octets octets(const char *s)
{
	return (struct drover_octets){ .data = s, .len = strlen(s) };
}

/* The whole record, as it must look. */
struct picture {
	enum drover_xsdata_form form;
	uint32_t type;
	const char *path, *second; /* value or token */
	const char *octets;
	size_t len;
};

#define PIC(s) .octets = (s), .len = sizeof(s) - 1
static const struct picture pictures[] = {
	{ DROVER_XSDATA_BINARY, DROVER_XSDATA_NODE, "/local/domain/7/data", "x",
	  PIC("\7\0\0\0\x2c\0\0\0\1\0\0\0\x14\0\0\0/local/domain/7/data"
	      "\1\0\0\0n\0\7\0\1\0\0\0x\0\0\0\0\0\0\0") },
	{ DROVER_XSDATA_BINARY, DROVER_XSDATA_WATCH, "memory/target", "tok1",
	  PIC("\7\0\0\0\x20\0\0\0\2\0\0\0\x0d\0\0\0memory/target\0\0\0\4\0\0\0tok1") },
	{ DROVER_XSDATA_BINARY, DROVER_XSDATA_TXN, "", "",
	  PIC("\7\0\0\0\x08\0\0\0\3\0\0\0\5\0\0\0") },
	{ DROVER_XSDATA_ABSOLUTE, DROVER_XSDATA_NODE, "/a", "x",
	  PIC("\7\0\0\0\x0e\0\0\0\1\0\0\0/a\0"
	      "1\0n7\0x\0\0\0") },
	{ DROVER_XSDATA_ABSOLUTE, DROVER_XSDATA_WATCH, "@releaseDomain", "",
	  PIC("\7\0\0\0\x14\0\0\0\2\0\0\0@releaseDomain\0\0\0\0\0\0") },
	{ DROVER_XSDATA_ABSOLUTE, DROVER_XSDATA_TXN, "", "",
	  PIC("\7\0\0\0\x08\0\0\0\3\0\0\0"
	      "1\0"
	      "5\0") },
	{ DROVER_XSDATA_RELATIVE, DROVER_XSDATA_NODE, "data", "x",
	  PIC("\7\0\0\0\x0e\0\0\0\1\0\0\0data\0x\0n7\0\0\0") },
	{ DROVER_XSDATA_RELATIVE, DROVER_XSDATA_NODE, "", "",
	  PIC("\7\0\0\0\x09\0\0\0\1\0\0\0\0\0n7\0\0\0\0"
	      "\0\0\0\0") },
	{ DROVER_XSDATA_RELATIVE, DROVER_XSDATA_WATCH, "data", "t",
	  PIC("\7\0\0\0\x0b\0\0\0\2\0\0\0data\0t\0\0\0\0\0\0") },
};

static void fill(struct drover_xsdata *d, const struct picture *p)
{
	d->path = octets(p->path);
	if (p->type == DROVER_XSDATA_NODE) {
		d->value = octets(p->second);
		d->n_perms = 1;
		d->perm[0] = (struct drover_perm){ .letter = 'n', .domid = 7 };
	} else if (p->type == DROVER_XSDATA_WATCH) {
		d->token = octets(p->second);
	} else {
		d->n_txns = 1;
		d->tx_id[0] = 5;
	}
}

static void the_octets_are_those_of_the_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pictures); i++) {
		const struct picture *p = &pictures[i];
		struct drover_xsdata *d = data_new(p->type);
		char text[160] = "";
		size_t len;

		fill(d, p);
		assert_int_equal(drover_xsdata_encode(p->form, false, d, buf, sizeof(buf), &len,
						      text, sizeof(text)),
				 0);
		assert_int_equal(len, p->len);
		assert_memory_equal(buf, p->octets, len);
		free(d);
	}
}

static void assert_octets(const struct drover_octets *got, const char *want, size_t len)
{
	assert_int_equal(got->len, len);
	if (len)
		assert_memory_equal(got->data, want, len);
}

/* Encodes, decodes with the form unknown, and compares. */
static void there_and_back(enum drover_xsdata_form form, bool big, const struct drover_xsdata *d)
{
	struct drover_xsdata *back = data_new(0);
	enum drover_xsdata_form found = DROVER_XSDATA_AUTO;
	char text[160] = "";
	size_t len, body = 0;

	assert_int_equal(
		drover_xsdata_encode(form, big, d, buf, sizeof(buf), &len, text, sizeof(text)), 0);
	for (unsigned int i = 4; i < 8; i++)
		body |= (size_t)buf[i] << 8 * (big ? 7 - i : i - 4);
	assert_true(body + 8 <= len && len < body + 16 && len % 8 == 0);
	assert_int_equal(drover_xsdata_decode(&found, big, buf + 8, body, back, text, sizeof(text)),
			 0);
	if (found != DROVER_XSDATA_AUTO)
		assert_int_equal(found, form);
	assert_int_equal(back->type, d->type);
	assert_octets(&back->path, d->path.data, d->path.len);
	assert_octets(&back->value, d->value.data, d->value.len);
	assert_octets(&back->token, d->token.data, d->token.len);
	assert_int_equal(back->n_perms, d->n_perms);
	assert_int_equal(back->n_txns, d->n_txns);
	assert_memory_equal(back->perm, d->perm, sizeof(d->perm));
	assert_memory_equal(back->tx_id, d->tx_id, sizeof(d->tx_id));
	free(back);
}

static void every_form_comes_back_and_is_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pictures); i++) {
		struct drover_xsdata *d = data_new(pictures[i].type);

		fill(d, &pictures[i]);
		there_and_back(pictures[i].form, false, d);
		there_and_back(pictures[i].form, true, d);
		free(d);
	}
}

static void lengths_of_every_size_come_back(void **state)
{
	static char path[300];
	struct drover_xsdata *d = data_new(DROVER_XSDATA_NODE);

	(void)state;
	memset(path, 'p', sizeof(path));
	path[0] = '/';
	d->path.data = path;
	d->value = (struct drover_octets)LIT("a\0b");
	d->n_perms = 2;
	d->perm[0] = (struct drover_perm){ .letter = 'b', .domid = 65535 };
	d->perm[1] = (struct drover_perm){ .letter = 'r', .domid = 0 };
	for (d->path.len = 2; d->path.len < sizeof(path); d->path.len++) {
		there_and_back(DROVER_XSDATA_BINARY, d->path.len & 1, d);
		there_and_back(DROVER_XSDATA_ABSOLUTE, d->path.len & 1, d);
	}
	d->value = (struct drover_octets)LIT("text");
	d->path.data = path + 1;
	for (d->path.len = 0; d->path.len < sizeof(path) - 1; d->path.len++)
		there_and_back(DROVER_XSDATA_RELATIVE, d->path.len & 1, d);
	free(d);
}

static void the_largest_record_fits(void **state)
{
	static char value[65535];
	static char path[3071];
	struct drover_xsdata *d = data_new(DROVER_XSDATA_NODE);

	(void)state;
	memset(path, 'p', sizeof(path));
	path[0] = '/';
	d->path = (struct drover_octets){ .data = path, .len = sizeof(path) };
	d->value = (struct drover_octets){ .data = value, .len = sizeof(value) };
	d->n_perms = DROVER_XSDATA_PERMS;
	for (uint32_t i = 0; i < d->n_perms; i++)
		d->perm[i] = (struct drover_perm){ .letter = 'w', .domid = (uint16_t)(65535 - i) };
	there_and_back(DROVER_XSDATA_BINARY, false, d);
	there_and_back(DROVER_XSDATA_ABSOLUTE, false, d);
	free(d);
	d = data_new(DROVER_XSDATA_TXN);
	d->n_txns = DROVER_XSDATA_TXNS;
	for (uint32_t i = 0; i < d->n_txns; i++)
		d->tx_id[i] = UINT32_MAX - i;
	there_and_back(DROVER_XSDATA_ABSOLUTE, true, d);
	free(d);
}

static void what_a_form_cannot_say_is_refused(void **state)
{
	static const struct {
		enum drover_xsdata_form form;
		struct picture p;
		const char *text;
	} cases[] = {
		{ DROVER_XSDATA_RELATIVE,
		  { .type = DROVER_XSDATA_TXN, .path = "", .second = "" },
		  "the relative form has no transactions" },
		{ DROVER_XSDATA_RELATIVE,
		  { .type = DROVER_XSDATA_NODE, .path = "/vm", .second = "" },
		  "an absolute path in the relative form" },
		{ DROVER_XSDATA_ABSOLUTE,
		  { .type = DROVER_XSDATA_WATCH, .path = "data", .second = "" },
		  "a relative path in the absolute form" },
		{ DROVER_XSDATA_BINARY,
		  { .type = DROVER_XSDATA_NODE, .path = "data", .second = "" },
		  "a node with a relative path" },
		{ DROVER_XSDATA_BINARY,
		  { .type = DROVER_XSDATA_NODE, .path = "/a//b", .second = "" },
		  "'/a//b' is not a path" },
		{ DROVER_XSDATA_BINARY,
		  { .type = DROVER_XSDATA_WATCH, .path = "", .second = "" },
		  "'' is not a path" },
		{ DROVER_XSDATA_BINARY,
		  { .type = 4, .path = "/", .second = "" },
		  "data of kind 4 is not known" },
	};
	struct drover_xsdata *d;
	char text[160];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		d = data_new(cases[i].p.type);
		fill(d, &cases[i].p);
		assert_int_equal(drover_xsdata_encode(cases[i].form, false, d, buf, sizeof(buf),
						      &len, text, sizeof(text)),
				 EINVAL);
		assert_string_equal(text, cases[i].text);
		free(d);
	}
	d = data_new(DROVER_XSDATA_NODE);
	fill(d, &pictures[6]);
	assert_int_equal(drover_xsdata_encode(DROVER_XSDATA_RELATIVE, false, d, buf, 23, &len, text,
					      sizeof(text)),
			 ENOBUFS);
	d->value = (struct drover_octets)LIT("a\0b");
	assert_int_equal(drover_xsdata_encode(DROVER_XSDATA_RELATIVE, false, d, buf, sizeof(buf),
					      &len, text, sizeof(text)),
			 EINVAL);
	assert_string_equal(text, "a value with a NUL in the relative form");
	free(d);
}

static void broken_records_are_named(void **state)
{
	static const struct {
		struct drover_octets body;
		const char *text;
	} cases[] = {
		{ LIT("\1\0\0"), "it ends before the kind of data" },
		{ LIT("\1\0\0\0"), "it ends before the path" },
		{ LIT("\0\0\0\0\1\0\0\0/"), "data of kind 0 is not known" },
		{ LIT("\4\0\0\0\1\0\0\0/"), "data of kind 4 is not known" },
		{ LIT("\3\0\0\0\0\0\0\0"), "a transaction 0" },
		{ LIT("\3\0\0\0\5\0\0\0x"), "1 octets too many" },
		{ LIT("\2\0\0\0\4\0\0\0/a/b\5\0\0\0tok"),
		  "the token of 5 octets goes on behind its end" },
		{ LIT("\2\0\0\0\4\0\0\0/a/b\4\0\0\0to\0n"), "a NUL in a token" },
		{ LIT("\1\0\0\0\4\0\0\0/a/b\0\0\0\0\0\0\0\0"), "a node without permissions" },
		{ LIT("\1\0\0\0\4\0\0\0/a/b\1\0\0\0x\0\7\0\0\0\0\0"),
		  "permission 0x78 is none of n, r, w and b" },
		{ LIT("\1\0\0\0\4\0\0\0/a/b\2\0\0\0n\0\7\0"),
		  "2 permissions go on behind its end" },
		{ LIT("\1\0\0\0\4\0\0\0/a/b\xff\xff\0\0n\0\7\0"),
		  "65535 permissions, at most 1365" },
		{ LIT("\1\0\0\0/a/b/c"), "no NUL behind the path" },
		{ LIT("\1\0\0\0/a/b\0n\0n7\0\0"),
		  "the number of permissions is not a number up to 1365" },
		{ LIT("\1\0\0\0/a/b\0"
		      "1\0n65536\0\0"),
		  "the domid of a permission is not a number up to 65535" },
		{ LIT("\1\0\0\0/a/b\0"
		      "1\0n7\0val"),
		  "no NUL behind the value" },
		{ LIT("\1\0\0\0data\0x\0k7\0"),
		  "a permission starts with 0x6b, not with n, r, w or b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct drover_xsdata *d = data_new(0);
		enum drover_xsdata_form form = DROVER_XSDATA_AUTO;
		char text[160] = "";
		/* On the heap and no octet longer, so that a read behind its end is seen. */
		char *body = malloc(cases[i].body.len);

		assert_non_null(body);
		memcpy(body, cases[i].body.data, cases[i].body.len);
		assert_int_equal(drover_xsdata_decode(&form, false, body, cases[i].body.len, d,
						      text, sizeof(text)),
				 EINVAL);
		assert_string_equal(text, cases[i].text);
		free(body);
		free(d);
	}
}

static void a_stream_keeps_the_form_of_its_first_record(void **state)
{
	static const char node[] = "\1\0\0\0/a\0"
				   "1\0n7\0";
	static const char txn[] = "\3\0\0\0"
				  "1\0"
				  "5\0";
	struct drover_xsdata *d = data_new(0);
	enum drover_xsdata_form form = DROVER_XSDATA_AUTO;
	char text[160];

	(void)state;
	assert_int_equal(
		drover_xsdata_decode(&form, false, node, sizeof(node), d, text, sizeof(text)), 0);
	assert_int_equal(form, DROVER_XSDATA_ABSOLUTE);
	assert_int_equal(
		drover_xsdata_decode(&form, false, txn, sizeof(txn) - 1, d, text, sizeof(text)), 0);
	assert_int_equal(d->tx_id[0], 5);
	form = DROVER_XSDATA_BINARY;
	assert_int_equal(
		drover_xsdata_decode(&form, false, txn, sizeof(txn) - 1, d, text, sizeof(text)), 0);
	assert_int_equal(d->tx_id[0], 0x00350031);
	assert_int_equal(
		drover_xsdata_decode(&form, false, node, sizeof(node), d, text, sizeof(text)),
		EINVAL);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_octets_are_those_of_the_documents),
		cmocka_unit_test(every_form_comes_back_and_is_told_apart),
		cmocka_unit_test(lengths_of_every_size_come_back),
		cmocka_unit_test(the_largest_record_fits),
		cmocka_unit_test(what_a_form_cannot_say_is_refused),
		cmocka_unit_test(broken_records_are_named),
		cmocka_unit_test(a_stream_keeps_the_form_of_its_first_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
