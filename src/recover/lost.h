/* SPDX-License-Identifier: MIT */
/*
 * Requests that C xenstored took from a ring and lost. While its live update waits for open
 * transactions it puts off each TRANSACTION_START, and what was put off has no place in its image:
 * the guest would wait for ever.
 */
#ifndef DROVER_RECOVER_LOST_H
#define DROVER_RECOVER_LOST_H

#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#define LOST_MAX XENSTORE_RING_SIZE /* octets of such requests: what a ring can tell of */

/*
 * Looks at what a ring still holds of requests that were consumed; in_part octets of them are the
 * beginning of the last one, which is not lost. Whoever calls knows that the connection has no open
 * transaction: so each TRANSACTION_START that no TRANSACTION_END follows was never answered. The
 * requests into ret; their octets, 0: none. page is shared with the guest, which can but deceive
 * itself.
 */
size_t lost_starts(const struct xenstore_domain_interface *page, size_t in_part,
		   uint8_t ret[LOST_MAX]);

#endif
