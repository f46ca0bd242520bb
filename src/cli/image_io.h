/* SPDX-License-Identifier: MIT */
/*
 * Files of `drover image`: images read and files written, "-" being standard input and output.
 * Everything that goes wrong is said on stderr, with the file's name, where it went wrong.
 */
#ifndef DROVER_CLI_IMAGE_IO_H
#define DROVER_CLI_IMAGE_IO_H

#include "drover/image.h"
#include "drover/libxl_stream.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_HEAD_LEN 32u

/* A file to read. */
struct image_in {
	const char *command; /* borrowed, for messages: "verify" */
	const char *name;    /* borrowed; "standard input" for "-" */
	int fd;
	size_t head_len, head_at; /* the head is read ahead, and given first */
	uint8_t head[IMAGE_HEAD_LEN];
};

/* False: it cannot be read, and that was said. */
bool image_in_open(struct image_in *in, const char *command, const char *name);
void image_in_close(struct image_in *in);

/* The read function of a reader, whose ctx is the struct image_in. */
int image_in_read(void *ctx, void *buf, size_t len, size_t *ret_len);

/* Says what a reader returned as err; text is what it said, where err is EINVAL. */
void image_in_fail(const struct image_in *in, int err, const char *text);

/* An image that is read. */
struct image_src {
	struct image_in in;
	struct drover_reader *reader; /* owned */
	struct drover_image_format format;
	bool domain; /* a domain's image: its nodes have no root */
	bool failed;
};

enum image_scope {
	IMAGE_SCOPE_AUTO,  /* a domain's image opens with its ring or its nodes */
	IMAGE_SCOPE_STORE, /* every node has its parent */
	IMAGE_SCOPE_DOMAIN,
};

/* How images are to be read. */
struct image_how {
	enum drover_image_layout layout;
	enum image_scope scope;
	bool loose; /* records out of order, without what they refer to, twice */
};

/*
 * Opens an image and reads its header. False: that failed, which was said; there is nothing to
 * close. `in` was opened already, and is taken over.
 */
bool image_src_start(struct image_src *src, const struct image_in *in, const struct image_how *how);

/* The same from the file's name; a libxl stream is refused. */
bool image_src_open(struct image_src *src, const char *command, const char *name,
		    const struct image_how *how);

/* The next record but END, until the next call. False at the end, or src->failed, which was said.
 */
bool image_src_next(struct image_src *src, struct drover_record *rec);

void image_src_close(struct image_src *src);

/* "upstream layout, version 2, little-endian" */
const char *image_format_text(const struct drover_image_format *format, char buf[64]);

/*
 * A file to write. It has its name when it is whole, and is not there before: it is written
 * beside it. What is not a regular file is written as it is.
 */
struct image_out {
	const char *command; /* borrowed */
	const char *name;    /* borrowed; "standard output" for "-" */
	char *target;	     /* owned; where it goes in the end */
	char *beside;	     /* owned; NULL: it is written as it is */
	int fd;
	bool failed; /* which was said */
	size_t have;
	uint8_t buf[65536];
};

bool image_out_open(struct image_out *out, const char *command, const char *name);

/* The write function of a writer, whose ctx is the struct image_out. An errno: it was said. */
int image_out_write(void *ctx, const void *data, size_t len);

/* Ends it. keep: whether it is to stay; it does not when anything failed. Returns whether it did.
 */
bool image_out_close(struct image_out *out, bool keep);

#endif
