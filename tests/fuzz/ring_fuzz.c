/* SPDX-License-Identifier: MIT */
/*
 * A ring page under a guest that writes anything anywhere at any instant: indices, content,
 * connection state, error field, with requests in between. Another guest must not notice.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scribble(struct fuzz_input *in, struct xenstore_domain_interface *r)
{
	uint32_t *const fields[] = { &r->req_cons, &r->req_prod,   &r->rsp_cons,       &r->rsp_prod,
				     &r->error,	   &r->connection, &r->server_features };
	uint8_t which = fuzz_octet(in);
	uint8_t *page = (uint8_t *)r;

	if (which < 160)
		*fields[which % 7u] = which & 8u ? fuzz_word(in) : *fields[which % 7u] + which;
	else
		page[fuzz_word(in) % HV_RING_SIZE] = fuzz_octet(in);
}

/* The bystander's read is answered whatever the other does. */
static void must_serve(struct world *w, struct peer *p)
{
	static const char path[] = "/tool";
	struct xsd_sockmsg hdr;
	char payload[XENSTORE_PAYLOAD_MAX];
	uint32_t id = peer_send(p, XS_READ, 0, path, sizeof(path));

	world_run(w);
	while (peer_take(p, &hdr, payload))
		if (hdr.req_id == id)
			return;
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { .at = data, .left = size };
	struct world *w = fuzz_world(false);
	struct peer *toolstack = world_socket(w);
	struct peer *bad = world_guest(w, toolstack, 1), *good = world_guest(w, toolstack, 2);

	world_run(w);
	while (in.left) {
		struct xenstore_domain_interface *r = peer_page(bad);
		uint8_t what = fuzz_octet(&in) % 8u;

		if (what < 3u && r)
			scribble(&in, r);
		else if (what < 5u)
			fuzz_request(&in, bad);
		else if (what == 5u)
			fake_hv_kick(&w->hv, 1);
		else
			world_turn(w);
	}
	must_serve(w, good);
	fuzz_end(w, size);
	return 0;
}
