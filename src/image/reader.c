/* SPDX-License-Identifier: MIT */
/*
 * A stream read record by record.
 * Invariant: the buffer holds the record returned last and what was read ahead; it grows with
 * octets that arrived, not with lengths that were stated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "image/record.h"
#include "image/seen.h"

#define READER_ROOM (64u * 1024)

struct drover_reader {
	struct drover_reader_options options;
	struct drover_image_format format;
	struct drover_image_error error;
	struct seen seen;
	unsigned char *buf; /* owned */
	size_t room;
	size_t at;	 /* of the record returned last */
	size_t len;	 /* its octets; 0: none */
	size_t end;	 /* of what was read */
	uint64_t offset; /* of buf[at] in the stream */
	uint64_t index;	 /* of the next record */
	bool has_header;
	bool at_end; /* END was returned */
	bool at_eof; /* of the input */
	int failed;
};

DEFINE_CLEANUP(struct drover_reader *, drover_reader_free)

int drover_reader_new(const struct drover_reader_options *options, struct drover_reader **ret)
{
	CLEANUP(drover_reader_free) struct drover_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return ENOMEM;
	r->options = *options;
	r->format.layout = options->layout;
	seen_init(&r->seen, options->flags & DROVER_READER_DOMAIN, options->hash_key);
	r->buf = malloc(READER_ROOM);
	if (!r->buf)
		return ENOMEM;
	r->room = READER_ROOM;
	*ret = TAKE(r);
	return 0;
}

void drover_reader_free(struct drover_reader *reader)
{
	if (!reader)
		return;
	seen_fini(&reader->seen);
	free(reader->buf);
	free(reader);
}

static int fail(struct drover_reader *r, int err)
{
	r->failed = err;
	return err;
}

/* The error that is described, now with its place. */
static int broken(struct drover_reader *r)
{
	r->error.record = r->index;
	r->error.offset = r->offset;
	return fail(r, EINVAL);
}

static int broken_by(struct drover_reader *r, uint32_t type, const char *field, const char *rule)
{
	image_error_set(&r->error, type, field, rule);
	r->error.in_header = !r->has_header;
	return broken(r);
}

/* Room for at least one octet more behind what was read, of a record of want octets. */
static int make_room(struct drover_reader *r, size_t want)
{
	unsigned char *grown;
	size_t room;

	if (r->at && (r->at == r->end || r->room - r->at < want)) {
		memmove(r->buf, r->buf + r->at, r->end - r->at);
		r->end -= r->at;
		r->at = 0;
	}
	if (r->end < r->room)
		return 0;
	room = r->room * 2 < want ? r->room * 2 : want;
	grown = realloc(r->buf, room);
	if (!grown)
		return fail(r, ENOMEM);
	r->buf = grown;
	r->room = room;
	return 0;
}

/* want octets from at on. ENODATA: the input ended before. */
static int fill(struct drover_reader *r, size_t want)
{
	while (r->end - r->at < want) {
		size_t n = 0;
		int err;

		if (r->at_eof)
			return ENODATA;
		err = make_room(r, want);
		if (err)
			return err;
		err = r->options.read(r->options.ctx, r->buf + r->end, r->room - r->end, &n);
		if (err)
			return fail(r, err);
		r->at_eof = !n;
		r->end += n;
	}
	return 0;
}

static int read_header(struct drover_reader *r)
{
	int err = fill(r, DROVER_IMAGE_HEADER_LEN);

	if (err)
		return err == ENODATA ? broken_by(r, DROVER_RECORD_NONE, "length",
						  "the image ends within it")
				      : err;
	if (drover_image_header_decode(r->buf + r->at, &r->format, &r->error))
		return broken(r);
	r->has_header = true;
	r->len = DROVER_IMAGE_HEADER_LEN;
	return 0;
}

/* Takes the octets of the next record in; *ret_len is how many they are. */
static int take_record(struct drover_reader *r, size_t *ret_len)
{
	int err = fill(r, DROVER_RECORD_HEADER_LEN);

	if (err == ENODATA)
		return broken_by(r, DROVER_RECORD_NONE, "length",
				 r->end == r->at ? "the image ends without END"
						 : "the image ends within the record's header");
	if (err)
		return err;
	if (drover_record_length(&r->format, r->buf + r->at, ret_len)) {
		*ret_len = DROVER_RECORD_HEADER_LEN; /* decoding says what is wrong */
		return 0;
	}
	err = fill(r, *ret_len);
	if (err == ENODATA)
		return broken_by(r, record_type(&r->format, r->buf + r->at), "length",
				 "the image ends within the record");
	return err;
}

/* END is last. */
static int check_end(struct drover_reader *r)
{
	int err = fill(r, DROVER_RECORD_HEADER_LEN + 1);

	if (err == ENODATA)
		return 0;
	return err ? err : broken_by(r, DROVER_RECORD_END, "length", "octets follow it");
}

int drover_reader_next(struct drover_reader *reader, struct drover_record *rec)
{
	struct drover_reader *r = reader;
	size_t len;
	int err;

	if (r->failed)
		return r->failed;
	if (r->at_end)
		return ENODATA;
	if (!r->has_header) {
		err = read_header(r);
		if (err)
			return err;
	}
	r->at += r->len;
	r->offset += r->len;
	r->len = 0;
	err = take_record(r, &len);
	if (err)
		return err;
	if (drover_record_decode(&r->format, r->buf + r->at, r->end - r->at, rec, &len, &r->error))
		return broken(r);
	if (!(r->options.flags & DROVER_READER_LOOSE)) {
		err = seen_record(&r->seen, rec, &r->error);
		if (err)
			return err == EINVAL ? broken(r) : fail(r, err);
	}
	if (rec->type == DROVER_RECORD_END) {
		err = check_end(r);
		if (err)
			return err;
		r->at_end = true;
	}
	r->len = len;
	r->index++;
	return 0;
}

const struct drover_image_error *drover_reader_error(const struct drover_reader *reader)
{
	return &reader->error;
}

int drover_reader_format(struct drover_reader *reader, struct drover_image_format *ret)
{
	if (reader->failed)
		return reader->failed;
	if (!reader->has_header) {
		int err = read_header(reader);

		if (err)
			return err;
	}
	*ret = reader->format;
	return 0;
}

uint64_t drover_reader_index(const struct drover_reader *reader)
{
	return reader->index ? reader->index - 1 : 0;
}

uint64_t drover_reader_offset(const struct drover_reader *reader)
{
	return reader->offset;
}

struct drover_octets drover_reader_octets(const struct drover_reader *reader)
{
	return (struct drover_octets){ reader->buf + reader->at, reader->len };
}
