/* SPDX-License-Identifier: MIT */
/*
 * A stream written record by record.
 * Invariant: the buffer holds whole records (the first time, the header before them) that were
 * not handed to the write function yet.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"
#include "image/record.h"

#define WRITER_ROOM (64u * 1024)

struct drover_writer {
	struct drover_writer_options options;
	struct drover_image_error error;
	unsigned char *buf; /* owned */
	size_t room;
	size_t len;
	uint64_t offset; /* in the stream, of what follows */
	uint64_t index;
	int failed;
};

DEFINE_CLEANUP(struct drover_writer *, drover_writer_free)

int drover_writer_new(const struct drover_writer_options *options, struct drover_writer **ret)
{
	CLEANUP(drover_writer_free) struct drover_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return ENOMEM;
	w->options = *options;
	w->buf = malloc(WRITER_ROOM);
	if (!w->buf)
		return ENOMEM;
	w->room = WRITER_ROOM;
	drover_image_header_encode(&w->options.format, w->buf);
	w->len = w->offset = DROVER_IMAGE_HEADER_LEN;
	*ret = TAKE(w);
	return 0;
}

void drover_writer_free(struct drover_writer *writer)
{
	if (!writer)
		return;
	free(writer->buf);
	free(writer);
}

static int flush(struct drover_writer *w)
{
	int r = w->len ? w->options.write(w->options.ctx, w->buf, w->len) : 0;

	w->failed = r;
	w->len = 0;
	return r;
}

/* The buffer empty, and large enough for this record. */
static int make_room(struct drover_writer *w, const struct drover_record *rec)
{
	size_t need = drover_record_size(&w->options.format, rec);
	unsigned char *grown;
	int r = flush(w);

	if (r || need <= w->room)
		return r;
	grown = realloc(w->buf, need);
	if (!grown)
		return ENOMEM;
	w->buf = grown;
	w->room = need;
	return 0;
}

static int put(struct drover_writer *w, const struct drover_record *rec)
{
	const struct drover_image_format *f = &w->options.format;
	size_t len;
	int r;

	if (w->failed)
		return w->failed;
	r = drover_record_encode(f, rec, w->buf + w->len, w->room - w->len, &len, &w->error);
	if (r == ENOBUFS) {
		r = make_room(w, rec);
		if (r)
			return r;
		r = drover_record_encode(f, rec, w->buf, w->room, &len, &w->error);
	}
	if (r) {
		w->error.record = w->index;
		w->error.offset = w->offset;
		return r;
	}
	w->len += len;
	w->offset += len;
	w->index++;
	return 0;
}

int drover_writer_put(struct drover_writer *writer, const struct drover_record *rec)
{
	if (rec->type == DROVER_RECORD_END) {
		image_error_set(&writer->error, rec->type, "type", "drover_writer_end writes it");
		writer->error.record = writer->index;
		writer->error.offset = writer->offset;
		return EINVAL;
	}
	return put(writer, rec);
}

int drover_writer_end(struct drover_writer *writer)
{
	const struct drover_record end = { .type = DROVER_RECORD_END };
	int r = put(writer, &end);

	return r ? r : flush(writer);
}

const struct drover_image_error *drover_writer_error(const struct drover_writer *writer)
{
	return &writer->error;
}
