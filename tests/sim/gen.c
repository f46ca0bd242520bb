/* SPDX-License-Identifier: MIT */
/*
 * Random happenings. Invariant: every choice comes from the seed's numbers, in one order.
 */
#include "gen.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "crash.h"
#include "oracle.h"
#include "scenario.h"

#define SOCKETS 4u

static uint32_t below(struct gen *g, uint32_t n)
{
	return prng_below(&g->prng, n);
}

static void shared_places(struct gen *g, struct peer *p)
{
	scenario_send(g->w, p, "MKDIR /s");
	scenario_send(g->w, p, "SET_PERMS /s b0");
	scenario_send(g->w, p, "MKDIR /a/b");
	scenario_send(g->w, p, "SET_PERMS /a r0 b1 b2 n3");
	scenario_send(g->w, p, "MKDIR /local/domain");
	scenario_send(g->w, p, "SET_PERMS /local/domain r0");
}

static void low_quotas(struct gen *g)
{
	uint64_t *hard = g->w->policy.limits.hard;

	hard[QUOTA_NODES] = 4 + below(g, 20);
	hard[QUOTA_WATCHES] = 2 + below(g, 8);
	hard[QUOTA_TRANSACTIONS] = 1 + below(g, 4);
	hard[QUOTA_TRANSACTION_NODES] = 3 + below(g, 20);
	hard[QUOTA_NODE_PERMISSIONS] = 2 + below(g, 4);
	hard[QUOTA_OUTSTANDING] = 2 + below(g, 20);
	if (!below(g, 3))
		hard[QUOTA_MEMORY] = 1500 + below(g, 6000);
	core_policy_changed(g->w->core);
}

struct world *gen_world(struct gen *g, uint64_t seed, uint64_t kills, bool verbose)
{
	struct world_options opt = { .priv_domid = PERM_NO_DOMID, .verbose = verbose };
	struct peer *p;

	memset(g, 0, sizeof(*g));
	prng_init(&g->prng, seed);
	opt.journal = kills;
	opt.dom0_ring = !below(g, 4);
	opt.tell_all = !below(g, 4);
	if (!below(g, 4))
		opt.priv_domid = GEN_GUESTS;
	g->scribble = !below(g, 3);
	g->faults = !below(g, 3) && !kills;
	g->deaths = below(g, 4);
	g->deaf = !below(g, 2);
	g->quotas = below(g, 2);
	g->w = world_new(&opt);
	if (g->quotas)
		low_quotas(g);
	if (kills)
		crash_plan(g->w, kills, seed);
	p = world_socket(g->w);
	shared_places(g, p);
	world_socket(g->w);
	if (opt.dom0_ring)
		world_ring(g->w, 0);
	for (uint16_t d = 1; d <= 3; d++)
		world_guest(g->w, p, d);
	return g->w;
}

static struct peer *some_peer(struct gen *g, bool socket)
{
	struct peer *found = NULL;
	uint32_t n = 0;

	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &g->w->peer[i];

		if (!p->used || (socket && p->is_ring) || (!p->is_ring && !p->conn) || p->hung_up ||
		    (p->is_ring && !peer_page(p)))
			continue;
		if (!below(g, ++n))
			found = p;
	}
	return found;
}

static void drain(struct world *w)
{
	static char payload[XENSTORE_PAYLOAD_MAX + 1];
	struct xsd_sockmsg hdr;

	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &w->peer[i];

		if (!p->used)
			continue;
		if (p->is_ring && p->lossy)
			stream_drop(&p->in, stream_left(&p->in));
		while (peer_take(p, &hdr, payload))
			;
		if (!p->is_ring && !p->conn)
			peer_forget(p);
	}
}

static void ask(struct gen *g)
{
	struct peer *p = some_peer(g, false);

	if (!p || stream_left(&p->out) > 16384)
		return;
	p->burst = below(g, 6) ? 0 : 1 + below(g, 60);
	for (uint32_t n = below(g, 4) ? 1 : 1 + below(g, 12); n; n--)
		gen_request(g, p);
}

/* --- domains ---------------------------------------------------------------------------------- */

static void boot(struct gen *g, uint16_t domid)
{
	struct peer *t = some_peer(g, true), *p = world_ring(g->w, domid);
	char line[128];

	if (!t)
		return;
	if (!g->w->hv.dom[domid].exists)
		fake_hv_create(&g->w->hv, domid);
	if (!peer_conn(p)) {
		/* half a request may be in the ring already */
		g->w->violations += stream_left(&p->out) > 0;
		stream_drop(&p->out, stream_left(&p->out));
	}
	p->deaf = false;
	p->lossy = true;
	if (below(g, 8)) {
		snprintf(line, sizeof(line), "MKDIR /local/domain/%u", domid);
		scenario_send(g->w, t, line);
		snprintf(line, sizeof(line), "SET_PERMS /local/domain/%u n%u", domid, domid);
		scenario_send(g->w, t, line);
	}
	snprintf(line, sizeof(line), "INTRODUCE %u 1000 %u", domid, WORLD_GUEST_PORT);
	scenario_send(g->w, t, line);
}

static void fate(struct gen *g)
{
	uint16_t domid = (uint16_t)(1 + below(g, GEN_GUESTS));
	struct fake_domain *d = &g->w->hv.dom[domid];

	if (!d->exists) {
		boot(g, domid);
		return;
	}
	switch (below(g, 8)) {
	case 0:
		fake_hv_shutdown(&g->w->hv, domid);
		break;
	case 1:
		fake_hv_resume(&g->w->hv, domid);
		break;
	case 2:
		if (g->deaths)
			fake_hv_dying(&g->w->hv, domid);
		break;
	case 3:
	case 4:
		if (!g->deaths)
			break;
		fake_hv_destroy(&g->w->hv, domid);
		if (below(g, 2))
			boot(g, domid);
		break;
	default:
		boot(g, domid);
		break;
	}
}

static void reconnect(struct gen *g, struct peer *p)
{
	struct xenstore_domain_interface *r = peer_page(p);
	struct domain *d = domain_find(&g->w->core->domains, p->domid);

	if (!r || !d || !d->conn || !(d->features & XENSTORE_SERVER_FEATURE_RECONNECTION))
		return;
	world_run(g->w);
	if (!peer_conn(p))
		return;
	oracle_restart(g->w->oracle, peer_conn(p));
	stream_drop(&p->out, stream_left(&p->out));
	stream_drop(&p->in, stream_left(&p->in));
	p->deaf = false;
	p->lossy = true;
	r->connection = XENSTORE_RECONNECT;
	fake_hv_kick(&g->w->hv, p->domid);
	world_run(g->w);
}

/* --- mischief ----------------------------------------------------------------------------------
 */

static void scribble_field(struct gen *g, struct peer *p, struct xenstore_domain_interface *r)
{
	static const uint32_t far[] = { 1, 3, 16, 100, 1024, 1025, 4096, 0x7fffffff, 0x80000000 };
	uint32_t by = far[below(g, sizeof(far) / sizeof(far[0]))];

	switch (below(g, 8)) {
	case 0:
		r->req_prod += by;
		break;
	case 1:
		r->req_cons -= by;
		break;
	case 2:
		r->rsp_cons += by;
		break;
	case 3:
		r->rsp_prod += by;
		break;
	case 4:
		r->error = by;
		break;
	case 5:
		r->connection = 2 + by;
		break;
	case 6:
		r->server_features = by;
		break;
	default:
		for (uint32_t i = 0; i < 64; i++)
			r->req[below(g, XENSTORE_RING_SIZE)] = (char)below(g, 32);
		r->req_prod += by % 1024;
		break;
	}
	(void)p;
}

static void scribble(struct gen *g)
{
	struct peer *p = world_ring(g->w, (uint16_t)(1 + below(g, GEN_GUESTS)));
	struct xenstore_domain_interface *r = peer_page(p);

	if (!r || !peer_conn(p)) {
		if (!r && !stream_left(&p->in))
			p->lossy = true;
		return;
	}
	if (!below(g, 3) || r->error) {
		reconnect(g, p);
		return;
	}
	world_run(g->w);
	if (!peer_conn(p))
		return;
	g->w->violations++;
	p->lossy = true;
	oracle_spoilt(g->w->oracle, peer_conn(p));
	for (uint32_t n = 1 + below(g, 3); n; n--)
		scribble_field(g, p, r);
	fake_hv_kick(&g->w->hv, p->domid);
	world_run(g->w);
}

static void too_long(struct gen *g)
{
	struct xsd_sockmsg hdr = { .type = below(g, 30), .len = 4097 + below(g, 3) * 0x3fffffffu };
	struct peer *p = some_peer(g, false);

	if (!p)
		return;
	g->w->violations++;
	p->lossy = true;
	peer_send_raw(p, &hdr, sizeof(hdr));
}

static void come_and_go(struct gen *g)
{
	uint32_t n = 0;
	struct peer *p;

	for (size_t i = 0; i < WORLD_PEERS; i++)
		n += g->w->peer[i].used && !g->w->peer[i].is_ring;
	if (n < SOCKETS) {
		world_socket(g->w);
		return;
	}
	p = some_peer(g, true);
	if (p)
		peer_hang_up(p);
}

static void turn_deaf(struct gen *g)
{
	struct peer *p = some_peer(g, false);

	if (!p || !g->deaf)
		return;
	p->deaf = !p->deaf;
	p->pipe_room = p->is_ring || below(g, 2) ? 65536 : 64 + below(g, 3000);
	if (p->is_ring)
		g->w->hv.dom[p->domid].notified = true;
}

static void time_passes(struct gen *g)
{
	static const uint64_t ms[] = { 10, 60, 250, 1200, 5000, 22000 };

	world_advance(g->w, ms[below(g, below(g, 4) ? 3 : 6)]);
}

void gen_step(struct gen *g)
{
	struct world *w = g->w;
	uint32_t what = below(g, 100);

	g->step++;
	if (what < 84)
		ask(g);
	else if (what < 89)
		fate(g);
	else if (what < 92)
		turn_deaf(g);
	else if (what < 94)
		come_and_go(g);
	else if (what < 95)
		time_passes(g);
	else if (g->scribble)
		what < 99 ? scribble(g) : too_long(g);
	if (g->faults && !below(g, 4))
		alloc_fail_at(1 + below(g, 12));
	for (uint32_t n = below(g, 4); n; n--)
		world_turn(w);
	alloc_disarm();
	w->now_ms += below(g, 3);
	drain(w);
	if (!(g->step % 8)) {
		if (core_check(w->core))
			world_fail(w, "contradictions inside");
		oracle_compare(w->oracle);
		crash_compare(w);
	}
}

void gen_end(struct gen *g)
{
	struct world *w = g->w;

	for (int i = 0; i < 4; i++) {
		for (size_t k = 0; k < WORLD_PEERS; k++) {
			w->peer[k].deaf = false;
			w->peer[k].burst = 0;
			w->peer[k].pipe_room = 65536;
			if (w->peer[k].used && w->peer[k].is_ring)
				w->hv.dom[w->peer[k].domid].notified = true;
		}
		world_run(w);
		drain(w);
		world_advance(w, HOLD_WAIT_MS);
	}
	for (size_t k = 0; k < WORLD_PEERS; k++) {
		struct peer *p = &w->peer[k];

		if (p->used && !p->is_ring && p->conn && !p->hung_up && !p->lossy &&
		    p->asked != p->answered && !g->faults)
			world_fail(w, "a socket has %zu answers to %zu requests", p->answered,
				   p->asked);
	}
	if (core_check(w->core))
		world_fail(w, "contradictions inside");
	oracle_compare(w->oracle);
}
