/* SPDX-License-Identifier: MIT */
/*
 * Lost requests, found in a ring. Invariant: the page is copied once, and only the copy is looked
 * at.
 */
#include "recover/lost.h"

#include <stdbool.h>
#include <string.h>

#include "wire/wire.h"

#define LOAD(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)

/* The octets before `end` that were not overwritten by requests behind it, in their order. */
static size_t copy_history(const struct xenstore_domain_interface *page, size_t in_part,
			   uint8_t ret[XENSTORE_RING_SIZE])
{
	uint32_t cons = LOAD(&page->req_cons), prod = LOAD(&page->req_prod), end;
	size_t len;

	if (prod - cons > XENSTORE_RING_SIZE || in_part > XENSTORE_RING_SIZE - (prod - cons))
		return 0;
	end = cons - (uint32_t)in_part;
	len = XENSTORE_RING_SIZE - (prod - end);
	for (size_t i = 0; i < len; i++)
		ret[i] = (uint8_t)LOAD(&page->req[MASK_XENSTORE_IDX(end - (uint32_t)(len - i))]);
	return len;
}

/* A request that may stand behind a lost one. */
static bool is_plain(const struct xsd_sockmsg *hdr)
{
	return hdr->type < WIRE_TYPE_COUNT && hdr->type != XS_TRANSACTION_END && !hdr->tx_id &&
	       hdr->len <= XENSTORE_PAYLOAD_MAX;
}

static bool is_start(const struct xsd_sockmsg *hdr)
{
	return hdr->type == XS_TRANSACTION_START && !hdr->tx_id && hdr->len <= 1;
}

/*
 * The requests that fill all of text, if they do and the first is a START: those that are, into
 * ret. 0: they do not.
 */
static size_t take_starts(const uint8_t *text, size_t len, uint8_t *ret)
{
	size_t taken = 0;

	for (size_t at = 0; at < len;) {
		struct xsd_sockmsg hdr;
		size_t size;

		if (len - at < sizeof(hdr))
			return 0;
		memcpy(&hdr, text + at, sizeof(hdr));
		if (!is_plain(&hdr) || (!at && !is_start(&hdr)) || hdr.len > len - at - sizeof(hdr))
			return 0;
		size = sizeof(hdr) + hdr.len;
		if (is_start(&hdr)) {
			memcpy(ret + taken, text + at, size);
			taken += size;
		}
		at += size;
	}
	return taken;
}

size_t lost_starts(const struct xenstore_domain_interface *page, size_t in_part,
		   uint8_t ret[LOST_MAX])
{
	uint8_t text[XENSTORE_RING_SIZE];
	size_t len = copy_history(page, in_part, text), taken = 0;

	for (size_t at = 0; at < len && !taken; at++)
		taken = take_starts(text + at, len - at, ret);
	return taken;
}
