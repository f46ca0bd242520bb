/* SPDX-License-Identifier: MIT */
/*
 * A whole daemon: several sockets and guests, the hypervisor's events, time, hang-ups, readers
 * that do not read, and the requests of all of them in any order.
 */
#include "fuzz.h"

#define GUESTS 3u
#define SOCKETS 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_daemon {
	struct world *w;
	struct peer *socket[SOCKETS];
};

static struct peer *choose(struct fuzz_daemon *d, uint8_t which)
{
	which %= SOCKETS + GUESTS;
	return which < SOCKETS ? d->socket[which]
			       : world_ring(d->w, (uint16_t)(which - SOCKETS + 1));
}

/* What happens to a domain that exists; to one that does not, only its birth. */
static void life(struct fuzz_daemon *d, uint8_t what)
{
	uint16_t domid = (uint16_t)(1u + what % GUESTS);
	struct fake_hv *hv = &d->w->hv;

	if (!hv->dom[domid].exists) {
		world_guest(d->w, d->socket[0], domid);
		return;
	}
	switch (what / GUESTS % 5u) {
	case 0:
		fake_hv_shutdown(hv, domid);
		break;
	case 1:
		fake_hv_resume(hv, domid);
		break;
	case 2:
		fake_hv_dying(hv, domid);
		break;
	case 3:
		fake_hv_destroy(hv, domid);
		break;
	default:
		fake_hv_destroy(hv, domid);
		fake_hv_create(hv, domid);
		break;
	}
}

static void step(struct fuzz_daemon *d, struct fuzz_input *in)
{
	uint8_t what = fuzz_octet(in), which = fuzz_octet(in);
	struct peer *p = choose(d, which);

	if (what < 150) {
		if (p)
			fuzz_request(in, p);
	} else if (what < 180) {
		life(d, which);
	} else if (what < 190) {
		if (p)
			p->deaf = !p->deaf;
	} else if (what < 200) {
		world_advance(d->w, which * 100u);
	} else if (what < 205 && p && !p->is_ring && p != d->socket[0]) {
		peer_hang_up(p);
		world_run(d->w);
		peer_forget(p);
		d->socket[which % (SOCKETS + GUESTS)] = world_socket(d->w);
	} else {
		world_turn(d->w);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { .at = data, .left = size };
	struct fuzz_daemon d = { .w = fuzz_world(true) };

	for (unsigned int i = 0; i < SOCKETS; i++)
		d.socket[i] = world_socket(d.w);
	for (uint16_t i = 1; i <= GUESTS; i++)
		world_guest(d.w, d.socket[0], i);
	world_run(d.w);
	while (in.left)
		step(&d, &in);
	fuzz_end(d.w, size);
	return 0;
}
