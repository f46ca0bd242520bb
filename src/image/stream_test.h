/* SPDX-License-Identifier: MIT */
/*
 * Streams in memory for tests: written to a buffer, read from one a few octets at a time.
 */
#ifndef DROVER_IMAGE_STREAM_TEST_H
#define DROVER_IMAGE_STREAM_TEST_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drover/image.h"

struct stream {
	unsigned char *data; /* owned */
	size_t len;
	size_t at;   /* read so far */
	size_t step; /* octets of one read at most; 0: as many as asked for */
	int fails;   /* errno that a read or write returns, once at is past fails_at */
	size_t fails_at;
};

static inline void stream_fini(struct stream *s)
{
	free(s->data);
	s->data = NULL;
}

static inline int stream_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct stream *s = ctx;

	if (s->fails && s->at >= s->fails_at)
		return s->fails;
	if (s->step && len > s->step)
		len = s->step;
	if (len > s->len - s->at)
		len = s->len - s->at;
	memcpy(buf, s->data + s->at, len);
	s->at += len;
	*ret_len = len;
	return 0;
}

static inline int stream_write(void *ctx, const void *data, size_t len)
{
	struct stream *s = ctx;
	unsigned char *grown;

	if (s->fails)
		return s->fails;
	grown = realloc(s->data, s->len + len);
	if (!grown)
		return ENOMEM;
	memcpy(grown + s->len, data, len);
	s->data = grown;
	s->len += len;
	return 0;
}

/* The reader from its start. NULL: ENOMEM. */
static inline struct drover_reader *stream_reader(struct stream *s, enum drover_image_layout layout,
						  unsigned int flags)
{
	const struct drover_reader_options options = { .read = stream_read,
						       .ctx = s,
						       .layout = layout,
						       .flags = flags,
						       .hash_key = { 1, 2 } };
	struct drover_reader *r = NULL;

	s->at = 0;
	return drover_reader_new(&options, &r) ? NULL : r;
}

/* Reads all of it. 0, or what drover_reader_next said; err, which may be NULL, after EINVAL. */
static inline int stream_check(struct stream *s, enum drover_image_layout layout,
			       unsigned int flags, size_t *ret_records,
			       struct drover_image_error *err)
{
	struct drover_reader *r = stream_reader(s, layout, flags);
	struct drover_record rec;
	int e;

	if (!r)
		return ENOMEM;
	for (*ret_records = 0;; ++*ret_records) {
		e = drover_reader_next(r, &rec);
		if (e)
			break;
	}
	if (e == EINVAL && err)
		*err = *drover_reader_error(r);
	drover_reader_free(r);
	return e == ENODATA ? 0 : e;
}

#endif
