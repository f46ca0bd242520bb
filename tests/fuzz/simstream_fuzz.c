/* SPDX-License-Identifier: MIT */
/*
 * The stream of a simulated guest's memory, as octets of any kind (the first one is even) and as
 * records with checksums that are right (odd): nothing is written outside the guest's memory, and
 * what is accepted is complete.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/sim/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PAGES 3u

static const uint8_t uuid[16] = { 'f', 'u', 'z', 'z' };

struct feeding {
	struct sim_reader reader;
	uint64_t pages; /* that were fed, and can be counted */
	char text[SIM_STREAM_TEXT_MAX];
};

/* In pieces whose size the input decides. False: refused, or over. */
static bool feed(struct feeding *f, const uint8_t *data, size_t len, size_t step)
{
	size_t taken;

	for (size_t at = 0; at < len; at += taken) {
		size_t n = step < len - at ? step : len - at;
		int r = sim_reader_feed(&f->reader, data + at, n, &taken, f->text);

		assert(r == 0 || r == -EBADMSG);
		assert(taken <= n && (taken == n || r < 0 || f->reader.ended));
		assert(r == 0 || strncmp(f->text, "stream, octet ", 14) == 0);
		if (r < 0 || f->reader.ended)
			return false;
	}
	return true;
}

/* Three octets of input are a record: its type, and a number about as large as there are pages. */
static void feed_records(struct feeding *f, const uint8_t *data, size_t len, size_t step)
{
	uint8_t *out = malloc(SIM_RECORD_SIZE + SIM_PAGE);
	static const uint8_t page[SIM_PAGE] = { 7 };
	bool goes_on = true;

	assert(out);
	sim_stream_header(out, uuid, PAGES);
	goes_on = feed(f, out, SIM_HEADER_SIZE, step);
	assert(goes_on);
	for (; goes_on && len >= 3; data += 3, len -= 3) {
		uint64_t arg = data[1] % 8 | (data[2] & 1 ? UINT64_MAX << 3 : 0);
		size_t n = sim_stream_record(out, (enum sim_record)(data[0] % 7), arg, page);

		if (data[0] % 7 == SIM_RECORD_PAGE && arg < PAGES)
			f->pages++;
		goes_on = feed(f, out, n, step);
	}
	free(out);
	assert(!f->reader.ended || (f->reader.has_cpu && f->reader.n_pages == f->pages));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct feeding f = { .reader = { .pages = PAGES } };

	if (len < 2)
		return 0;
	memcpy(f.reader.uuid, uuid, sizeof(uuid));
	f.reader.memory = calloc(PAGES, SIM_PAGE);
	assert(f.reader.memory);
	if (data[0] & 1)
		feed_records(&f, data + 2, len - 2, data[1] + 1u);
	else
		feed(&f, data + 2, len - 2, data[1] + 1u);
	assert((sim_reader_close(&f.reader, f.text) == 0) == f.reader.ended);
	free(f.reader.memory);
	return 0;
}
