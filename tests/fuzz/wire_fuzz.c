/* SPDX-License-Identifier: MIT */
/*
 * Any octets on one connection: the framing, the table of operations and the arguments of each.
 * The first octet says whether it is a socket or a guest's ring, and whether what follows is a
 * stream as it is or a list of requests.
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { .at = data, .left = size };
	uint8_t how = fuzz_octet(&in);
	struct world *w = fuzz_world(true);
	struct peer *toolstack = world_socket(w), *p = toolstack;
	const uint8_t *raw;

	if (how & 1u)
		p = world_guest(w, toolstack, 1);
	world_run(w);
	while (in.left && p->used && !(p->hung_up)) {
		size_t n = how & 2u ? fuzz_take(&in, 1u + fuzz_octet(&in), &raw) : 0;

		if (!peer_conn(p))
			break;
		if (how & 2u)
			peer_send_raw(p, raw, n);
		else
			fuzz_request(&in, p);
		if (how & 4u)
			world_turn(w);
		else
			world_run(w);
	}
	fuzz_end(w, size);
	return 0;
}
