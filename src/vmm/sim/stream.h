/* SPDX-License-Identifier: MIT */
/*
 * A simulated guest's memory as a stream: a header, then records.
 *
 *   header  magic, version, page size, uuid, pages of the guest, checksum
 *   record  type, length of its payload, argument, checksum of all of it
 *             ROUND  number of the round that begins; no payload
 *             PAGE   number of the page; its octets
 *             CPU    ticks so far; no payload: the guest has stopped
 *             END    pages sent in all; no payload; the last
 *
 * Numbers are little-endian. What was not sent is zero. The reader is fed octets as they come, and
 * says of each error where in the stream it is.
 */
#ifndef DROVER_VMM_SIM_STREAM_H
#define DROVER_VMM_SIM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE 4096u
#define SIM_PAGES_MAX (UINT64_C(1) << 20) /* 4 GiB of simulated memory */
#define SIM_HEADER_SIZE 56u
#define SIM_RECORD_SIZE 24u
#define SIM_STREAM_TEXT_MAX 200u

enum sim_record {
	SIM_RECORD_ROUND = 1,
	SIM_RECORD_PAGE,
	SIM_RECORD_CPU,
	SIM_RECORD_END,
};

/* Writes SIM_HEADER_SIZE octets. */
void sim_stream_header(uint8_t *out, const uint8_t uuid[16], uint64_t pages);
/* Writes SIM_RECORD_SIZE octets and, for a PAGE, SIM_PAGE more. Octets written. */
size_t sim_stream_record(uint8_t *out, enum sim_record type, uint64_t arg, const uint8_t *page);

struct sim_reader {
	/* As the guest is that receives. */
	uint8_t uuid[16];
	uint64_t pages;
	uint8_t *memory; /* borrowed; pages * SIM_PAGE octets */
	/* So far. */
	uint64_t at;	/* octets taken */
	uint64_t ticks; /* of CPU */
	uint64_t n_pages, round;
	bool has_header, has_cpu, ended;
	size_t held; /* octets in buf: a record that is not whole yet */
	uint8_t buf[SIM_RECORD_SIZE + SIM_PAGE];
};

/*
 * Takes octets. *ret_taken: how many; less than len only once it has ended. 0; -EBADMSG: with text
 * (SIM_STREAM_TEXT_MAX) that says what is wrong, and where.
 */
int sim_reader_feed(struct sim_reader *r, const uint8_t *data, size_t len, size_t *ret_taken,
		    char *text);
/* The stream is over. 0: it had ended; -EBADMSG with text. */
int sim_reader_close(const struct sim_reader *r, char *text);

#endif
