/* SPDX-License-Identifier: MIT */
/*
 * The rules: those that hold at every instant, those of what leaves a daemon, and those of a world
 * that has come to rest.
 */
#include "world.h"

#include <string.h>

/* Decided for good, as the journal has it: moved, stayed, or neither. */
static enum mig_outcome decided(const struct host *h, const struct mig_id *id)
{
	const struct mig_row *row = host_row(h, id);

	return row ? row->outcome : MIG_OPEN;
}

static void judge_guest(struct world *w, uint32_t g)
{
	uint32_t running = 0, holding = 0;

	for (uint32_t h = 0; h < w->n_hosts; h++) {
		const struct proc *p = &w->hosts[h].procs[g];

		running += p->state == PROC_RUNNING;
		holding += p->state >= PROC_PAUSED;
		if (p->state == PROC_RUNNING && p->for_migration)
			world_fail(w, "guest %u runs before it was given", g);
	}
	if (running > 1)
		world_fail(w, "guest %u runs twice", g);
	if (!holding && !w->guests[g].crashed && !w->guests[g].offline)
		world_fail(w, "guest %u is nowhere", g);
}

/* Given away: the process that is left never runs again. */
static void judge_given(struct world *w, uint32_t n)
{
	const struct host *h = &w->hosts[n];

	for (size_t i = 0; i < h->n_rows; i++) {
		const struct mig_row *row = &h->rows[i];
		const struct proc *p = &h->procs[world_guest_of(row->uuid)];

		if (row->side == MIG_SOURCE && row->outcome == MIG_MOVED &&
		    p->state == PROC_RUNNING && p->epoch <= row->epoch)
			world_fail(w, "host %c runs what it gave away", 'a' + (char)n);
	}
}

void judge_always(struct world *w)
{
	for (uint32_t g = 0; g < w->n_guests; g++)
		judge_guest(w, g);
	for (uint32_t h = 0; h < w->n_hosts; h++)
		judge_given(w, h);
}

/* What is said has to be durable. */
void judge_effect(struct world *w, uint32_t n, const struct mig_effect *e)
{
	const struct host *h = &w->hosts[n];
	enum mig_outcome o = decided(h, &e->id);
	const struct mig_row *row = host_row(h, &e->id);
	bool good = true;

	if (w->mistake == MISTAKE_JOURNAL)
		return;
	switch (e->type) {
	case MIG_DO_ANSWER:
		if (e->answer == MIG_ANS_GRANTED || e->answer == MIG_ANS_OWNED)
			good = o == MIG_MOVED;
		break;
	case MIG_DO_CALL:
		if (e->msg->type == MIG_MSG_TAKEN)
			good = o == MIG_MOVED;
		else if (e->msg->type == MIG_MSG_RETURN ||
			 (e->msg->type == MIG_MSG_FAILED && e->msg->promise))
			good = o == MIG_STAYED;
		else if (e->msg->type == MIG_MSG_START)
			good = row && row->phase == MIG_PERFORMING;
		break;
	case MIG_DO_RUN:
		good = o == MIG_MOVED && e->row->side == MIG_DESTINATION;
		break;
	case MIG_DO_RESUME:
		good = o == MIG_STAYED && e->row->side == MIG_SOURCE;
		break;
	case MIG_DO_DESTROY:
		good = e->row->side == MIG_SOURCE ? o == MIG_MOVED : o != MIG_MOVED;
		break;
	case MIG_DO_REPLY:
		if (e->guest_runs)
			good = o == MIG_MOVED;
		break;
	default:
		break;
	}
	if (!good)
		world_fail(w, "host %c: effect %u (%s) before its journal says so", 'a' + (char)n,
			   e->type,
			   e->type == MIG_DO_CALL     ? mig_msg_name(e->msg->type)
			   : e->type == MIG_DO_ANSWER ? mig_answer_name(e->answer)
						      : "");
}

/* ---- at rest ---- */

static void rest_guest(struct world *w, uint32_t g)
{
	const struct guest *guest = &w->guests[g];
	uint32_t at = NOBODY, n = 0, defined = 0;

	for (uint32_t h = 0; h < w->n_hosts; h++) {
		const struct proc *p = &w->hosts[h].procs[g];

		defined += w->hosts[h].defined[g];
		if (p->state == PROC_NONE) {
			if (w->hosts[h].store[g] != STORE_NONE && !guest->crashed)
				world_fail(w, "guest %u: a store's part is left at %c", g,
					   'a' + (char)h);
			continue;
		}
		at = h;
		n++;
		if (p->for_migration || w->hosts[h].transfers[g].active)
			world_fail(w, "guest %u: a process is left at %c", g, 'a' + (char)h);
		else if (p->state != (guest->wanted ? PROC_RUNNING : PROC_PAUSED))
			world_fail(w, "guest %u does not do at %c what it is to do", g,
				   'a' + (char)h);
		if (w->hosts[h].store[g] != STORE_SERVES)
			world_fail(w, "guest %u: the store at %c does not serve it", g,
				   'a' + (char)h);
	}
	if (guest->crashed && n <= 1)
		return;
	if (guest->offline ? defined != 1 : n != 1)
		world_fail(w, "guest %u is there %u times, defined %u times", g, n, defined);
	if (!guest->offline && at != NOBODY && !w->hosts[at].defined[g])
		world_fail(w, "guest %u is not defined where it is", g);
}

struct rest {
	struct world *w;
	uint32_t h;
};

static void rest_row(void *data, const struct mig_row *row)
{
	struct rest *r = data;
	struct world *w = r->w;
	const struct mig_row *mine = host_row(&w->hosts[r->h], &row->id);
	uint32_t peer = world_host_of(row->peer.name);

	if (row->phase != MIG_DONE)
		world_fail(w, "host %c: a migration is %s for ever, waits for %s", 'a' + (char)r->h,
			   mig_phase_name(row->phase),
			   migrator_waits_for(w->hosts[r->h].m, &row->id));
	if (mine && (mine->phase != row->phase || mine->outcome != row->outcome ||
		     mine->told != row->told || mine->arbiter != row->arbiter ||
		     mine->epoch != row->epoch || strcmp(mine->why, row->why) != 0))
		world_fail(w, "host %c: the journal says something else", 'a' + (char)r->h);
	if (row->side == MIG_SOURCE) {
		w->moved += row->outcome == MIG_MOVED;
		w->stayed += row->outcome == MIG_STAYED;
	}
	if (mine && peer < w->n_hosts) {
		const struct mig_row *theirs = host_row(&w->hosts[peer], &row->id);

		/* The same cookie may have been shown to another host. */
		if (theirs && world_host_of(theirs->peer.name) == r->h &&
		    theirs->outcome != row->outcome)
			world_fail(w, "%c says %s, and %c says %s", 'a' + (char)r->h,
				   mig_outcome_name(row->outcome), 'a' + (char)peer,
				   mig_outcome_name(theirs->outcome));
		if (!theirs && row->outcome == MIG_MOVED)
			world_fail(w, "%c knows nothing of what moved", 'a' + (char)peer);
	}
}

void judge_end(struct world *w)
{
	for (uint32_t g = 0; g < w->n_guests; g++)
		rest_guest(w, g);
	for (uint32_t h = 0; h < w->n_hosts; h++) {
		struct rest r = { w, h };

		if (!w->hosts[h].m) {
			world_fail(w, "host %c was not started again", 'a' + (char)h);
			return;
		}
		migrator_each(w->hosts[h].m, rest_row, &r);
		if (migrator_deadline_ms(w->hosts[h].m) != UINT64_MAX)
			world_fail(w, "host %c: a time limit is left", 'a' + (char)h);
		for (size_t i = 0; i < CALLS; i++) {
			if (w->hosts[h].out[i].used)
				world_fail(w, "host %c still says %s", 'a' + (char)h,
					   mig_msg_name(w->hosts[h].out[i].msg.type));
		}
		for (size_t i = 0; i < ANSWERS; i++) {
			if (w->hosts[h].in[i].call)
				world_fail(w, "host %c never answered %s", 'a' + (char)h,
					   mig_msg_name(w->hosts[h].in[i].type));
		}
	}
}
