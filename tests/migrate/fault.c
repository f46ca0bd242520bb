/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong: at a chosen step, or at random; and how it stops.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

void link_set(struct world *w, uint32_t a, uint32_t b, bool cut)
{
	if (w->cut[a][b] == cut)
		return;
	world_trace(w, "%c and %c are %s", 'a' + (char)a, 'a' + (char)b,
		    cut ? "cut off" : "together");
	w->cut[a][b] = w->cut[b][a] = cut;
	for (unsigned int i = 0; i < 2; i++) {
		struct event e = {
			.type = EV_REACH, .host = i ? a : b, .other = i ? b : a, .flag = !cut
		};

		world_push(w, &e, world_between(w, 1, 2000));
		for (uint32_t g = 0; cut && g < w->n_guests; g++) {
			if (w->hosts[e.host].transfers[g].to == e.other)
				transfer_end(w, e.host, g, false);
		}
	}
}

static void stop(struct world *w, uint32_t h)
{
	world_trace(w, "host %c is stopped", 'a' + (char)h);
	w->hosts[h].stopped_until_ms = w->now_ms + world_between(w, 500, 30000);
}

static uint32_t some_guest(struct world *w)
{
	return w->random_faults ? prng_below(&w->rng, (uint32_t)w->n_guests) : 0;
}

/* The user at the source, or at any host, has enough. */
static void give_up(struct world *w, uint32_t h)
{
	uint8_t uuid[MIG_UUID_SIZE] = { (uint8_t)some_guest(w) };
	char text[MIG_WHY_MAX];

	if (!w->hosts[h].m || w->hosts[h].stopped_until_ms > w->now_ms)
		return;
	world_trace(w, "host %c: abort", 'a' + (char)h);
	(void)migrator_abort(w->hosts[h].m, uuid, "by its user", text, sizeof(text));
	host_round(w, h);
}

/* A process ends by itself. What was the guest itself is then nowhere, and rightly so. */
static void die(struct world *w, uint32_t h, bool any)
{
	uint32_t g = some_guest(w);
	struct proc *p = &w->hosts[h].procs[g];
	struct event e = { .type = EV_DONE, .host = h, .id = p->mig, .done = MIG_EFFECTS };
	struct transfer *t = &w->hosts[h].transfers[g];

	if (p->state == PROC_NONE || (!p->for_migration && !any))
		return;
	if (!p->for_migration)
		w->guests[g].crashed = true;
	if (!p->for_migration)
		e.id = t->mig;
	world_trace(w, "host %c: the process of guest %u dies", 'a' + (char)h, g);
	proc_gone(w, h, g);
	world_push(w, &e, world_between(w, 0, 5));
}

void fault_do(struct world *w, enum fault f)
{
	w->faults++;
	world_trace(w, "fault %u", f);
	switch (f) {
	case FAULT_KILL_SOURCE:
	case FAULT_KILL_DEST:
		host_kill(w, f == FAULT_KILL_DEST);
		break;
	case FAULT_KILL_BOTH:
		host_kill(w, 0);
		host_kill(w, 1);
		break;
	case FAULT_KILL_CLIENT:
		client_kill(w, 0);
		break;
	case FAULT_STOP_SOURCE:
	case FAULT_STOP_DEST:
		stop(w, f == FAULT_STOP_DEST);
		break;
	case FAULT_CUT:
		link_set(w, 0, 1, true);
		break;
	case FAULT_LOSE:
		w->lose_next = true;
		break;
	case FAULT_TWICE:
		w->twice_next = true;
		break;
	case FAULT_LOSE_REPLY:
		w->lose_reply = true;
		break;
	case FAULT_ABORT:
		give_up(w, 0);
		break;
	case FAULT_ARBITER:
		w->arbiter_cut[0] = w->arbiter_cut[1] = true;
		break;
	case FAULT_DIE_RECEIVED:
		die(w, 1, false);
		break;
	case FAULT_FAIL:
		w->fail_next = true;
		break;
	default:
		break;
	}
}

void fault_random(struct world *w)
{
	uint32_t h = prng_below(&w->rng, (uint32_t)w->n_hosts);
	uint32_t p = (h + 1 + prng_below(&w->rng, (uint32_t)w->n_hosts - 1)) % (uint32_t)w->n_hosts;

	if (w->now_ms >= w->quiet_ms)
		return;
	world_push(w, &(struct event){ .type = EV_FAULT }, world_between(w, 1, 4000));
	switch (prng_below(&w->rng, 16)) {
	case 0:
	case 1:
		host_kill(w, h);
		break;
	case 2:
		if (w->n_clients)
			client_kill(w, prng_below(&w->rng, (uint32_t)w->n_clients));
		break;
	case 3:
		stop(w, h);
		break;
	case 4:
	case 5:
	case 6:
		link_set(w, h, p, !w->cut[h][p]);
		break;
	case 7:
		give_up(w, h);
		break;
	case 8:
		die(w, h, prng_once_in(&w->rng, 8));
		break;
	case 9:
	case 10:
		w->arbiter_cut[h] = !w->arbiter_cut[h];
		break;
	case 11:
		w->lose_reply = true;
		break;
	default:
		if (w->n_clients)
			client_chaos(w);
		break;
	}
}

/* From now on nothing breaks; who waits for what was lost is told to stop. */
void world_heal(struct world *w)
{
	world_trace(w, "everything is well again");
	for (uint32_t a = 0; a < w->n_hosts; a++) {
		for (uint32_t b = 0; b < a; b++)
			link_set(w, a, b, false);
		w->arbiter_cut[a] = false;
		if (!w->hosts[a].m)
			w->hosts[a].restart_ms = w->now_ms;
		if (w->hosts[a].stopped_until_ms > w->now_ms)
			w->hosts[a].stopped_until_ms = w->now_ms;
	}
	w->lose_next = w->twice_next = w->lose_reply = w->fail_next = false;
	world_push(w, &(struct event){ .type = EV_FAULT, .flag = true }, 200000);
}
