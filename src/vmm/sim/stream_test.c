/* SPDX-License-Identifier: MIT */
/*
 * The stream of a simulated guest's memory: whole in pieces of any size, refused when it is cut,
 * when any octet of it is another, or when it says more than is true.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/sim/stream.h"

#define PAGES 4u

static const uint8_t uuid[16] = { 1, 2, 3 };

struct sample {
	uint8_t octets[4 * (SIM_RECORD_SIZE + SIM_PAGE)];
	size_t len;
	uint8_t pages[PAGES][SIM_PAGE];
};

static void sample_record(struct sample *s, enum sim_record type, uint64_t arg)
{
	s->len += sim_stream_record(s->octets + s->len, type, arg,
				    type == SIM_RECORD_PAGE ? s->pages[arg % PAGES] : NULL);
}

static struct sample *sample_new(void)
{
	struct sample *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < PAGES; i++)
		memset(s->pages[i], (int)(i * 3 + 1), SIM_PAGE);
	sim_stream_header(s->octets, uuid, PAGES);
	s->len = SIM_HEADER_SIZE;
	sample_record(s, SIM_RECORD_ROUND, 0);
	sample_record(s, SIM_RECORD_PAGE, 2);
	sample_record(s, SIM_RECORD_PAGE, 0);
	sample_record(s, SIM_RECORD_CPU, 55);
	sample_record(s, SIM_RECORD_END, 2);
	return s;
}

struct reading {
	struct sim_reader r;
	uint8_t memory[PAGES][SIM_PAGE];
	char text[SIM_STREAM_TEXT_MAX];
};

static struct reading *reading_new(void)
{
	struct reading *in = calloc(1, sizeof(*in));

	assert_non_null(in);
	memcpy(in->r.uuid, uuid, sizeof(uuid));
	in->r.pages = PAGES;
	in->r.memory = in->memory[0];
	return in;
}

static int feed(struct reading *in, const uint8_t *data, size_t len, size_t step)
{
	int r = 0;

	for (size_t at = 0, taken; r == 0 && at < len && !in->r.ended; at += taken) {
		size_t n = step < len - at ? step : len - at;
		/* of its own size, so that reading beyond it is seen */
		uint8_t *piece = malloc(n);

		memcpy(piece, data + at, n);
		r = sim_reader_feed(&in->r, piece, n, &taken, in->text);
		free(piece);
	}
	return r ? r : sim_reader_close(&in->r, in->text);
}

static void pieces_of_any_size_make_the_same(void **state)
{
	struct sample *s = sample_new();
	static const size_t steps[] = { 1, 7, 24, 25, 4096, 4120, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct reading *in = reading_new();

		assert_int_equal(feed(in, s->octets, s->len, steps[i]), 0);
		assert_memory_equal(in->memory[2], s->pages[2], SIM_PAGE);
		assert_memory_equal(in->memory[0], s->pages[0], SIM_PAGE);
		assert_int_equal(in->memory[1][0], 0);
		assert_int_equal(in->r.ticks, 55);
		assert_int_equal(in->r.at, s->len);
		free(in);
	}
	free(s);
}

/* What follows the end is not the reader's. */
static void the_end_is_the_end(void **state)
{
	struct sample *s = sample_new();
	struct reading *in = reading_new();
	size_t taken;

	(void)state;
	assert_int_equal(sim_reader_feed(&in->r, s->octets, s->len + 10, &taken, in->text), 0);
	assert_int_equal(taken, s->len);
	assert_true(in->r.ended);
	free(in);
	free(s);
}

static void cut_anywhere_it_is_refused(void **state)
{
	struct sample *s = sample_new();

	(void)state;
	for (size_t len = 0; len < s->len; len += len < 200 || len > s->len - 200 ? 1 : 97) {
		struct reading *in = reading_new();

		assert_int_equal(feed(in, s->octets, len, 1000), -EBADMSG);
		assert_non_null(strstr(in->text, "octet"));
		free(in);
	}
	free(s);
}

static void any_other_octet_is_refused(void **state)
{
	struct sample *s = sample_new();

	(void)state;
	for (size_t at = 0; at < s->len; at += at < 200 || at > s->len - 200 ? 1 : 31) {
		struct reading *in = reading_new();

		for (int bit = 0; bit < 8; bit += 3) {
			s->octets[at] ^= (uint8_t)(1 << bit);
			assert_int_equal(feed(in, s->octets, s->len, 5000), -EBADMSG);
			s->octets[at] ^= (uint8_t)(1 << bit);
			memset(&in->r.at, 0, sizeof(in->r) - offsetof(struct sim_reader, at));
		}
		free(in);
	}
	free(s);
}

/* Right in every checksum, and wrong all the same. */
static void what_is_not_true_is_refused(void **state)
{
	static const struct {
		enum sim_record records[4];
		uint64_t args[4];
		const char *says;
	} rows[] = {
		{ { SIM_RECORD_PAGE }, { PAGES }, "page 4 of 4" },
		{ { SIM_RECORD_PAGE }, { UINT64_MAX }, "page " },
		{ { SIM_RECORD_END }, { 0 }, "before the processor's state" },
		{ { SIM_RECORD_CPU, SIM_RECORD_END }, { 0, 3 }, "0 pages came, 3 were sent" },
		{ { (enum sim_record)9 }, { 0 }, "record type 9" },
		{ { (enum sim_record)0 }, { 0 }, "record type 0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sample *s = sample_new();
		struct reading *in = reading_new();

		s->len = SIM_HEADER_SIZE;
		for (size_t n = 0; n < 4 && (n == 0 || rows[i].records[n]); n++)
			sample_record(s, rows[i].records[n], rows[i].args[n]);
		assert_int_equal(feed(in, s->octets, s->len, 5000), -EBADMSG);
		assert_non_null(strstr(in->text, rows[i].says));
		free(in);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_any_size_make_the_same),
		cmocka_unit_test(the_end_is_the_end),
		cmocka_unit_test(cut_anywhere_it_is_refused),
		cmocka_unit_test(any_other_octet_is_refused),
		cmocka_unit_test(what_is_not_true_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
