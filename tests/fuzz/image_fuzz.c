/* SPDX-License-Identifier: MIT */
/*
 * Any octets as an image. The first octet says how: the layout, the reader's flags, and whether
 * what follows are records without a stream's header, as in a journal. What is accepted is
 * written again, in the same format, and must be read as the same octets from then on; and in the
 * other formats as far as they can express it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/stream_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* A record in another format, there and back. */
static void elsewhere(const struct drover_record *rec)
{
	for (unsigned int i = 0; i < 8; i++) {
		const struct drover_image_format f = { i & 1u ? DROVER_LAYOUT_SEED
							      : DROVER_LAYOUT_UPSTREAM,
						       i & 2u ? 2 : 1, i & 4u };
		size_t room = drover_record_size(&f, rec), len, again_len, n;
		unsigned char *buf = malloc(room), *again = malloc(room);
		struct drover_image_error err;
		struct drover_record back;
		int r = drover_record_encode(&f, rec, buf, room, &len, &err);

		if (!r) {
			must(len == room);
			must(!drover_record_decode(&f, buf, len, &back, &n, &err) && n == len);
			must(!drover_record_encode(&f, &back, again, room, &again_len, &err));
			must(again_len == len && !memcmp(again, buf, len));
		} else {
			must(r == EINVAL && err.text[0]);
		}
		free(buf);
		free(again);
	}
}

/* Everything that can be asked of a record is asked. */
static void touch(const struct drover_record *rec)
{
	const char *name;
	size_t pos = 0, len;

	(void)drover_record_type_name(rec->type);
	if (rec->type == DROVER_RECORD_QUOTA)
		while (drover_name_next(&rec->quota.names, &pos, &name, &len))
			must(!name[len]);
	elsewhere(rec);
}

static void one_record(const struct drover_image_format *f, const uint8_t *data, size_t size)
{
	struct drover_image_error err = { .text = "" };
	struct drover_record rec;
	size_t len;

	while (size) {
		/* Of its exact length, so that a sanitizer sees its end. */
		uint8_t *copy = malloc(size);
		int r;

		memcpy(copy, data, size);
		r = drover_record_decode(f, copy, size, &rec, &len, &err);
		if (r) {
			must(r == EAGAIN || (r == EINVAL && err.text[0]));
			free(copy);
			return;
		}
		must(len <= size);
		touch(&rec);
		free(copy);
		data += len;
		size -= len;
	}
}

/* Reads in and writes what it says to out. */
static int copy_stream(struct stream *in, enum drover_image_layout layout, unsigned int flags,
		       struct stream *out)
{
	struct drover_reader *r = stream_reader(in, layout, flags);
	struct drover_writer_options options = { stream_write, out, { 0 } };
	struct drover_writer *w = NULL;
	struct drover_record rec;
	int e = drover_reader_format(r, &options.format);

	if (!e)
		must(!drover_writer_new(&options, &w));
	while (!e) {
		e = drover_reader_next(r, &rec);
		if (e || rec.type == DROVER_RECORD_END)
			continue;
		touch(&rec);
		must(!drover_writer_put(w, &rec));
	}
	if (e == ENODATA)
		must(!drover_writer_end(w));
	if (e == EINVAL)
		must(drover_reader_error(r)->text[0]);
	drover_writer_free(w);
	drover_reader_free(r);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how = size ? data[0] : 0;
	size_t left = size ? size - 1 : 0;
	enum drover_image_layout layout = how & 1u ? DROVER_LAYOUT_SEED : DROVER_LAYOUT_UPSTREAM;
	unsigned int flags = how >> 1 & (DROVER_READER_DOMAIN | DROVER_READER_LOOSE);
	const struct drover_image_format f = { layout, how & 16u ? 2 : 1, how & 32u };
	struct stream s = { .len = left, .step = how & 64u ? 5 : 0 }, once = { 0 }, twice = { 0 };

	if (how & 8u) {
		one_record(&f, data + 1, left);
		return 0;
	}
	s.data = malloc(left + 1);
	if (left)
		memcpy(s.data, data + 1, left);
	if (copy_stream(&s, layout, flags, &once) == ENODATA) {
		must(copy_stream(&once, layout, flags, &twice) == ENODATA);
		must(once.len == twice.len && !memcmp(once.data, twice.data, once.len));
	}
	stream_fini(&s);
	stream_fini(&once);
	stream_fini(&twice);
	return 0;
}
