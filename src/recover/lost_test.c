/* SPDX-License-Identifier: MIT */
/*
 * Which requests in a ring were lost: a table of what a guest sent, at every place of the ring.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recover/lost.h"
#include "wire/wire.h"

/* A letter a request: S START, s one without payload, E END, r READ, w WRITE in a transaction,
 * | what comes is not consumed, . half a READ that is. The number of a request is its place. */
static void send(struct xenstore_domain_interface *page, const char *sent, size_t *ret_part)
{
	bool consumed = true;

	*ret_part = 0;
	for (uint32_t i = 0; sent[i]; i++) {
		struct xsd_sockmsg hdr = { .type = XS_READ, .req_id = i };
		uint8_t octets[sizeof(hdr) + 8] = { 0 };
		size_t size;

		if (sent[i] == '|') {
			consumed = false;
			continue;
		}
		if (sent[i] == 'S' || sent[i] == 's')
			hdr.type = XS_TRANSACTION_START;
		if (sent[i] == 'E')
			hdr.type = XS_TRANSACTION_END;
		if (sent[i] == 'w')
			hdr.type = XS_WRITE;
		hdr.tx_id = sent[i] == 'E' || sent[i] == 'w' ? 7 : 0;
		hdr.len = sent[i] == 'S' ? 1 : sent[i] == 's' ? 0 : 8;
		size = sizeof(hdr) + hdr.len;
		memcpy(octets, &hdr, sizeof(hdr));
		if (sent[i] == '.')
			*ret_part = size = sizeof(hdr) + 3;
		for (size_t k = 0; k < size; k++)
			page->req[MASK_XENSTORE_IDX(page->req_prod + (uint32_t)k)] =
				(char)octets[k];
		page->req_prod += (uint32_t)size;
		if (consumed)
			page->req_cons = page->req_prod;
	}
}

static const struct {
	const char *sent, *want; /* numbers of those that are lost */
} rows[] = {
	{ "", "" },
	{ "r", "" },
	{ "S", " 0" },
	{ "s", " 0" },
	{ "SwE", "" },
	{ "SwES", " 3" },
	{ "SwESr", " 3" },
	{ "SwESrS", " 3 5" },
	{ "rrrrS", " 4" },
	{ "SE", "" },
	{ "rS.", " 1" },
	{ "r.", "" },
	{ "rS|rrr", " 1" },
	{ "rS.|rrr", " 1" },
	{ "r|S", "" },
	{ "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrS", " 59" },
	{ "rS|rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", " 1" },
	{ "rS|rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", "" }, /* it is overwritten */
};

static void what_no_end_follows_is_lost(void **state)
{
	(void)state;
	for (uint32_t first = 0; first < 2 * XENSTORE_RING_SIZE; first += 13)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct xenstore_domain_interface page;
			uint8_t got[LOST_MAX];
			char text[64] = "";
			size_t part, len;

			memset(&page, 0xa5, sizeof(page));
			page.req_cons = page.req_prod = first - XENSTORE_RING_SIZE;
			send(&page, rows[i].sent, &part);
			len = lost_starts(&page, part, got);
			for (size_t at = 0; at < len;) {
				struct xsd_sockmsg hdr;

				memcpy(&hdr, got + at, sizeof(hdr));
				snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u",
					 hdr.req_id);
				at += sizeof(hdr) + hdr.len;
			}
			assert_string_equal(text, rows[i].want);
		}
}

/* Indices are the guest's to write. */
static void a_broken_ring_has_lost_nothing(void **state)
{
	struct xenstore_domain_interface page = { .req_prod = 2000, .req_cons = 0 };
	uint8_t got[LOST_MAX];

	(void)state;
	assert_int_equal(lost_starts(&page, 0, got), 0);
	page.req_cons = 4000;
	assert_int_equal(lost_starts(&page, 0, got), 0);
	page.req_cons = page.req_prod;
	assert_int_equal(lost_starts(&page, XENSTORE_RING_SIZE + 1, got), 0);
	assert_int_equal(lost_starts(&page, SIZE_MAX, got), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_no_end_follows_is_lost),
		cmocka_unit_test(a_broken_ring_has_lost_nothing),
	};

	return cmocka_run_group_tests_name("recover/lost", tests, NULL, NULL);
}
