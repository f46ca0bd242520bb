/* SPDX-License-Identifier: MIT */
/*
 * The migration stream of simulated guests, written and read. Invariant of the reader: nothing of a
 * record reaches the guest's memory before all of the record is there and its checksum is right.
 */
#include "vmm/sim/stream.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "DRVRSIM\n"
#define VERSION 1u

/* FNV-1a, eight octets at a time: accidents are found, nothing is kept secret. */
static uint64_t checksum(uint64_t sum, const uint8_t *data, size_t len)
{
	for (; len >= 8; data += 8, len -= 8) {
		uint64_t word;

		memcpy(&word, data, 8);
		sum = (sum ^ le64toh(word)) * UINT64_C(0x100000001b3);
		sum ^= sum >> 29;
	}
	for (; len; data++, len--)
		sum = (sum ^ *data) * UINT64_C(0x100000001b3);
	return sum;
}

#define SUM_START UINT64_C(0xcbf29ce484222325)

static void put32(uint8_t *out, uint32_t n)
{
	n = htole32(n);
	memcpy(out, &n, sizeof(n));
}

static void put64(uint8_t *out, uint64_t n)
{
	n = htole64(n);
	memcpy(out, &n, sizeof(n));
}

static uint32_t get32(const uint8_t *in)
{
	uint32_t n;

	memcpy(&n, in, sizeof(n));
	return le32toh(n);
}

static uint64_t get64(const uint8_t *in)
{
	uint64_t n;

	memcpy(&n, in, sizeof(n));
	return le64toh(n);
}

/* 0 magic, 8 version, 12 page size, 16 uuid, 32 pages, 40 nothing, 48 checksum */
void sim_stream_header(uint8_t *out, const uint8_t uuid[16], uint64_t pages)
{
	memset(out, 0, SIM_HEADER_SIZE);
	memcpy(out, MAGIC, 8);
	put32(out + 8, VERSION);
	put32(out + 12, SIM_PAGE);
	memcpy(out + 16, uuid, 16);
	put64(out + 32, pages);
	put64(out + 48, checksum(SUM_START, out, 48));
}

/* 0 type, 4 length, 8 argument, 16 checksum */
size_t sim_stream_record(uint8_t *out, enum sim_record type, uint64_t arg, const uint8_t *page)
{
	uint32_t len = type == SIM_RECORD_PAGE ? SIM_PAGE : 0;
	uint64_t sum;

	put32(out, (uint32_t)type);
	put32(out + 4, len);
	put64(out + 8, arg);
	sum = checksum(SUM_START, out, 16);
	if (len)
		memcpy(out + SIM_RECORD_SIZE, page, len);
	put64(out + 16, checksum(sum, out + SIM_RECORD_SIZE, len));
	return SIM_RECORD_SIZE + len;
}

static __attribute__((format(printf, 3, 4))) int wrong(const struct sim_reader *r, char *text,
						       const char *fmt, ...)
{
	int n = snprintf(text, SIM_STREAM_TEXT_MAX,
			 "stream, octet %" PRIu64 ", round %" PRIu64 ": ", r->at, r->round);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + n, SIM_STREAM_TEXT_MAX - (size_t)n, fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

static int header_judge(struct sim_reader *r, char *text)
{
	const uint8_t *h = r->buf;

	if (memcmp(h, MAGIC, 8) != 0)
		return wrong(r, text, "this is no simulated guest's memory");
	if (get64(h + 48) != checksum(SUM_START, h, 48))
		return wrong(r, text, "the header's checksum is wrong");
	if (get32(h + 8) != VERSION)
		return wrong(r, text, "version %u is not known", get32(h + 8));
	if (get32(h + 12) != SIM_PAGE)
		return wrong(r, text, "pages of %u octets", get32(h + 12));
	if (memcmp(h + 16, r->uuid, 16) != 0)
		return wrong(r, text, "it is another guest's");
	if (get64(h + 32) != r->pages)
		return wrong(r, text, "%" PRIu64 " pages, the guest here has %" PRIu64,
			     get64(h + 32), r->pages);
	r->has_header = true;
	return 0;
}

static int record_judge(struct sim_reader *r, char *text)
{
	uint32_t type = get32(r->buf), len = get32(r->buf + 4);
	uint64_t arg = get64(r->buf + 8), sum = checksum(SUM_START, r->buf, 16);

	if (get64(r->buf + 16) != checksum(sum, r->buf + SIM_RECORD_SIZE, len))
		return wrong(r, text, "a record's checksum is wrong");
	switch (type) {
	case SIM_RECORD_ROUND:
		r->round = arg;
		return 0;
	case SIM_RECORD_PAGE:
		if (arg >= r->pages)
			return wrong(r, text, "page %" PRIu64 " of %" PRIu64, arg, r->pages);
		memcpy(r->memory + arg * SIM_PAGE, r->buf + SIM_RECORD_SIZE, SIM_PAGE);
		r->n_pages++;
		return 0;
	case SIM_RECORD_CPU:
		r->has_cpu = true;
		r->ticks = arg;
		return 0;
	case SIM_RECORD_END:
		if (!r->has_cpu)
			return wrong(r, text, "it ends before the processor's state");
		if (arg != r->n_pages)
			return wrong(r, text, "%" PRIu64 " pages came, %" PRIu64 " were sent",
				     r->n_pages, arg);
		r->ended = true;
		return 0;
	default:
		return wrong(r, text, "record type %u is not known", type);
	}
}

/* How many octets make what is being read now; 0: that is not known yet. */
static int whole_size(const struct sim_reader *r, size_t *ret, char *text)
{
	uint32_t type, len;

	*ret = r->has_header ? SIM_RECORD_SIZE : SIM_HEADER_SIZE;
	if (!r->has_header || r->held < SIM_RECORD_SIZE)
		return 0;
	type = get32(r->buf);
	len = get32(r->buf + 4);
	if (len != (type == SIM_RECORD_PAGE ? SIM_PAGE : 0))
		return wrong(r, text, "a record of type %u with %u octets", type, len);
	*ret += len;
	return 0;
}

int sim_reader_feed(struct sim_reader *r, const uint8_t *data, size_t len, size_t *ret_taken,
		    char *text)
{
	size_t taken = 0;
	int err = 0;

	while (err == 0 && !r->ended) {
		size_t whole, n;

		err = whole_size(r, &whole, text);
		if (err == 0 && r->held == whole) {
			err = r->has_header ? record_judge(r, text) : header_judge(r, text);
			r->held = 0;
			continue;
		}
		if (err < 0 || taken == len)
			break;
		n = whole - r->held;
		if (n > len - taken)
			n = len - taken;
		memcpy(r->buf + r->held, data + taken, n);
		r->held += n;
		taken += n;
		r->at += n;
	}
	*ret_taken = taken;
	return err;
}

int sim_reader_close(const struct sim_reader *r, char *text)
{
	return r->ended ? 0 : wrong(r, text, "the stream ends too early");
}
