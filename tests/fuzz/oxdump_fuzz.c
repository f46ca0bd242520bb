/* SPDX-License-Identifier: MIT */
/*
 * Any octets as oxenstored's dump: read at once or in pieces it is the same image, or broken at the
 * same line; what is refused says by which rule; and the image's reader takes what comes out of it,
 * or says what is wrong.
 */
#include "image/oxdump.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/stream_test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "oxdump_fuzz: %s\n", what);
	abort();
}

/* A dump as octets of an image. 0, or EINVAL. */
static int convert(struct stream *dump, struct stream *ret, uint64_t *ret_line)
{
	struct oxdump *o = oxdump_new(stream_read, dump);
	unsigned char piece[777];
	size_t n;
	int r;

	must(o, "no memory");
	while (!(r = oxdump_read(o, piece, sizeof(piece), &n)) && n)
		must(!stream_write(ret, piece, n), "no memory");
	must(!oxdump_error(o, ret_line) == !r, "refused without a word, or for nothing");
	must(!r || r == EINVAL, "another error");
	oxdump_free(o);
	return r;
}

static void read_image(struct stream *image)
{
	struct drover_reader *reader = stream_reader(image, DROVER_LAYOUT_UPSTREAM, 0);
	struct drover_record rec;
	int r;

	do
		r = drover_reader_next(reader, &rec);
	while (!r);
	must(r == ENODATA || (r == EINVAL && drover_reader_error(reader)->text[0]),
	     "an image that is refused without a word");
	drover_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream whole = { .len = size }, pieces = { .len = size, .step = 5 };
	struct stream once = { 0 }, again = { 0 };
	uint64_t line[2] = { 0 };
	struct oxdump_head head;
	int r;

	/* Of its exact length, so that a sanitizer sees its end. */
	whole.data = malloc(size ? size : 1);
	pieces.data = malloc(size ? size : 1);
	must(whole.data && pieces.data, "no memory");
	if (size) {
		memcpy(whole.data, data, size);
		memcpy(pieces.data, data, size);
	}
	if (oxdump_read_head((const char *)whole.data, size, &head))
		must(head.listen_fd >= 0 && head.evtchn_fd >= 0, "a head without its numbers");
	r = convert(&whole, &once, &line[0]);
	must(convert(&pieces, &again, &line[1]) == r && line[0] == line[1],
	     "in pieces it is another dump");
	must(once.len == again.len && (!once.len || !memcmp(once.data, again.data, once.len)),
	     "in pieces it is another image");
	if (!r)
		read_image(&once);
	stream_fini(&whole);
	stream_fini(&pieces);
	stream_fini(&once);
	stream_fini(&again);
	return 0;
}
