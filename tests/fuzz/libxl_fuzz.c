/* SPDX-License-Identifier: MIT */
/*
 * A libxl stream of any octets: what comes out of the reader is what went in, and xenstore data
 * that can be read can be written and read again. The first octet says how many octets a read
 * gives, and whether the rest is a stream or one record's body in a certain form.
 */
#include "drover/libxl_stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tape {
	const uint8_t *at;
	size_t left;
	size_t step; /* 0: as many as are asked for */
};

static struct drover_xsdata first, second;
static uint8_t record[DROVER_XSDATA_BODY + 16];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static int tape_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct tape *t = ctx;
	size_t n = t->left < len ? t->left : len;

	if (t->step && n > t->step)
		n = t->step;
	if (n)
		memcpy(buf, t->at, n);
	t->at += n;
	t->left -= n;
	*ret_len = n;
	return 0;
}

static bool same(const struct drover_octets *a, const struct drover_octets *b)
{
	return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static void read_data(enum drover_xsdata_form form, bool big, const uint8_t *body, size_t len)
{
	char text[200] = "";
	size_t whole;
	int r = drover_xsdata_decode(&form, big, body, len, &first, text, sizeof(text));

	must(!r || (r == EINVAL && *text), "refused without a word");
	if (r || form == DROVER_XSDATA_AUTO)
		return;
	r = drover_xsdata_encode(form, big, &first, record, sizeof(record), &whole, text,
				 sizeof(text));
	must(!r, "what was read cannot be written");
	whole = big ? (size_t)record[6] << 8 | record[7] | (size_t)record[5] << 16
		    : (size_t)record[5] << 8 | record[4] | (size_t)record[6] << 16;
	r = drover_xsdata_decode(&form, big, record + 8, whole, &second, text, sizeof(text));
	must(!r, "what was written cannot be read");
	must(first.type == second.type && first.n_perms == second.n_perms &&
		     first.n_txns == second.n_txns,
	     "another kind or number");
	must(same(&first.path, &second.path) && same(&first.value, &second.value) &&
		     same(&first.token, &second.token),
	     "other octets");
	for (uint32_t i = 0; i < first.n_perms; i++)
		must(first.perm[i].letter == second.perm[i].letter &&
			     first.perm[i].domid == second.perm[i].domid,
		     "another permission");
	for (uint32_t i = 0; i < first.n_txns; i++)
		must(first.tx_id[i] == second.tx_id[i], "another transaction");
}

static void read_stream(struct tape *t)
{
	const uint8_t *want = t->at, *end = t->at + t->left;
	struct drover_libxl_options options = { .read = tape_read, .ctx = t };
	struct drover_libxl_reader *r;
	struct drover_libxl_item item;
	char text[320];
	int err;

	must(!drover_libxl_reader_new(&options, &r), "no memory");
	while (!(err = drover_libxl_next(r, &item))) {
		must(item.octets.len <= (size_t)(end - want), "more than there was");
		must(!memcmp(want, item.octets.data, item.octets.len), "other octets");
		want += item.octets.len;
		if (item.kind == DROVER_LIBXL_ITEM_XENSTORE)
			read_data(DROVER_XSDATA_AUTO, drover_libxl_reader_info(r)->big_endian,
				  item.body.data, item.body.len);
	}
	must(err == EINVAL || (err == ENODATA && want == end), "an end that is none");
	if (err == EINVAL)
		must(drover_libxl_error_print(drover_libxl_reader_error(r), text, sizeof(text)) > 0,
		     "refused without a word");
	drover_libxl_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tape t = { .at = data + 1, .left = size ? size - 1 : 0 };

	if (!size)
		return 0;
	t.step = data[0] >> 4;
	if (data[0] & 1u)
		read_data((enum drover_xsdata_form)(data[0] >> 1 & 3u), data[0] & 8u, t.at, t.left);
	else
		read_stream(&t);
	return 0;
}
