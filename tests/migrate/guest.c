/* SPDX-License-Identifier: MIT */
/*
 * Processes of guests, and memory on its way between two of them: all of which goes on when daemons
 * die, and breaks by itself.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

void done_in(struct world *w, uint32_t h, const struct mig_effect *e, int err, uint64_t in_ms)
{
	struct event ev = { .type = EV_DONE,
			    .host = h,
			    .life = w->hosts[h].life,
			    .id = e->id,
			    .done = e->type,
			    .err = err };

	world_push(w, &ev, in_ms);
}

/* What the daemon that lives then is told of a process. */
static void tell(struct world *w, uint32_t h, const struct mig_id *id, enum mig_effect_type done,
		 int err)
{
	struct event ev = { .type = EV_DONE, .host = h, .id = *id, .done = done, .err = err };

	world_push(w, &ev, world_between(w, 0, 8));
}

void proc_run(struct world *w, uint32_t h, uint32_t g, uint64_t epoch)
{
	struct guest *guest = &w->guests[g];
	struct proc *p = &w->hosts[h].procs[g];

	world_trace(w, "host %c: guest %u runs in epoch %llu", 'a' + (char)h, g,
		    (unsigned long long)epoch);
	if (epoch < guest->epoch || (epoch == guest->epoch && guest->ran_at != h))
		world_fail(w, "guest %u runs in epoch %llu, and ran in %llu", g,
			   (unsigned long long)epoch, (unsigned long long)guest->epoch);
	guest->epoch = p->epoch = epoch;
	guest->ran_at = h;
	p->state = PROC_RUNNING;
	p->for_migration = false;
}

void transfer_start(struct world *w, uint32_t h, uint32_t g, const struct mig_row *row)
{
	struct transfer *t = &w->hosts[h].transfers[g];
	struct event ev = { .host = h, .guest = g, .serial = (uint32_t)++w->ids };
	uint64_t stop = world_between(w, 10, 400);

	if (w->hosts[h].procs[g].state == PROC_NONE) {
		tell(w, h, &row->id, MIG_DO_SEND, -3);
		return;
	}
	*t = (struct transfer){ .active = true,
				.to = world_host_of(row->peer.name),
				.serial = ev.serial,
				.mig = row->id };
	ev.type = EV_STOP;
	world_push(w, &ev, stop);
	ev.type = EV_SENT_END;
	world_push(w, &ev, stop + world_between(w, 1, 60));
}

void transfer_end(struct world *w, uint32_t h, uint32_t g, bool good)
{
	struct transfer *t = &w->hosts[h].transfers[g];
	struct proc *p = &w->hosts[t->to].procs[g];
	bool its = p->state == PROC_INCOMING && p->for_migration &&
		   memcmp(&p->mig, &t->mig, sizeof(p->mig)) == 0;

	if (!t->active)
		return;
	t->active = false;
	if (!its || w->cut[h][t->to])
		good = false;
	world_trace(w, "host %c: guest %u is sent: %s", 'a' + (char)h, g, good ? "all" : "failed");
	tell(w, h, &t->mig, MIG_DO_SEND, good ? 0 : -32);
	if (!its)
		return;
	if (good) {
		p->received = true;
		p->state = PROC_PAUSED;
		if (w->mistake == MISTAKE_RECEIVE)
			p->state = PROC_RUNNING;
	}
	/* MIG_DO_ANSWER stands for what the receiving process says. */
	tell(w, t->to, &t->mig, MIG_DO_ANSWER, good ? 0 : -32);
}

void transfer_event(struct world *w, const struct event *e)
{
	struct transfer *t = &w->hosts[e->host].transfers[e->guest];
	struct proc *p = &w->hosts[e->host].procs[e->guest];

	if (!t->active || t->serial != e->serial)
		return;
	if (e->type == EV_SENT_END) {
		transfer_end(w, e->host, e->guest, true);
		return;
	}
	t->stopped = true;
	p->state = PROC_PAUSED;
	world_trace(w, "host %c: guest %u stops", 'a' + (char)e->host, e->guest);
	tell(w, e->host, &t->mig, MIG_DO_SEND_CANCEL, 0); /* stands for: it stopped */
}

/* A process is no more; what was on its way to or from it fails. */
void proc_gone(struct world *w, uint32_t h, uint32_t g)
{
	w->hosts[h].procs[g] = (struct proc){ 0 };
	if (w->hosts[h].transfers[g].active)
		transfer_end(w, h, g, false);
	for (uint32_t s = 0; s < w->n_hosts; s++) {
		if (w->hosts[s].transfers[g].active && w->hosts[s].transfers[g].to == h)
			transfer_end(w, s, g, false);
	}
}
