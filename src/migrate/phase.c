/* SPDX-License-Identifier: MIT */
/*
 * Phases: which may follow which, the one function that writes them, and what a phase answers to
 * those who wait. Who waits is answered from the phase alone, and every answer leaves after the
 * phase is durable: so the journal decides what peers and clients are told.
 */
#include "migrate/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define P(phase) (1u << MIG_##phase)

/* What may come next: of OFFLINE, of a restart and of the arbiter, too. */
static const unsigned int phase_may_enter[MIG_PHASES] = {
	[MIG_BEGUN] = P(PERFORMING) | P(GIVEN) | P(DONE),
	[MIG_PERFORMING] = P(SENT) | P(ABORTING) | P(GIVEN),
	[MIG_SENT] = P(ABORTING) | P(GIVEN),
	[MIG_ABORTING] = P(ABORTED) | P(GIVEN),
	[MIG_GIVEN] = P(ABORTED) | P(DONE),
	[MIG_ABORTED] = P(DONE),
	[MIG_PREPARED] = P(RECEIVING) | P(READY) | P(DROPPED),
	[MIG_RECEIVING] = P(READY) | P(DROPPED) | P(OWNED) | P(RETURNED),
	[MIG_READY] = P(OWNED) | P(DROPPED) | P(RETURNED),
	[MIG_OWNED] = P(RETURNED) | P(DONE),
	[MIG_RETURNED] = P(DONE),
	[MIG_DROPPED] = P(DONE) | P(RETURNED),
	[MIG_DONE] = 0,
};

/* Those that the journal learns of by themselves; it keeps up with what it knows once. */
static const unsigned int phase_opens_row = P(PERFORMING) | P(GIVEN) | P(RECEIVING) | P(OWNED);
static const unsigned int phase_writes_row = P(PERFORMING) | P(GIVEN) | P(ABORTED) | P(RECEIVING) |
					     P(OWNED) | P(RETURNED) | P(DROPPED) | P(DONE);

bool phase_may_follow(enum mig_phase from, enum mig_phase to)
{
	return phase_may_enter[from] & 1u << to;
}

struct migration *migration_new(struct migrator *m, const struct mig_id *id, enum mig_side side,
				enum mig_phase phase)
{
	struct migration *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->m = m;
	g->row.id = *id;
	g->row.side = side;
	g->row.phase = phase;
	g->row.begun_ms = g->row.phase_ms = m->wall_ms;
	g->due_ms = g->down_ms = NEVER;
	list_init(&g->link);
	list_append(&m->all, &g->link);
	list_init(&g->open);
	list_append(&m->open, &g->open);
	list_init(&g->touched);
	list_append(&m->touched, &g->touched);
	idtree_add(&m->ids, &g->ided, &g->row.id);
	m->n_jobs++;
	return g;
}

void migration_free(struct migration *g)
{
	if (!g)
		return;
	assert(!g->effects);
	if (g->row.phase == MIG_DONE)
		g->m->n_done--;
	else
		g->m->n_jobs--;
	list_remove(&g->link);
	list_remove(&g->open);
	list_remove(&g->touched);
	idtree_remove(&g->m->ids, &g->ided);
	free(g);
}

void migration_end(struct migration *g)
{
	g->m->n_jobs--;
	g->m->n_done++;
	g->settled = true;
	list_remove(&g->open);
}

struct migration *migration_find(const struct migrator *m, const struct mig_id *id)
{
	struct idtree_link *l = idtree_find(&m->ids, id);

	return l ? CONTAINER_OF(l, struct migration, ided) : NULL;
}

/* Others see it as it is when the round has ended. */
static void row_hide(struct migration *g)
{
	if (list_is_empty(&g->touched))
		list_append(&g->m->touched, &g->touched);
}

void row_touch(struct migration *g)
{
	row_hide(g);
	if (g->journalled)
		g->dirty = true;
}

void phase_enter(struct migration *g, enum mig_phase next, enum mig_outcome outcome,
		 const char *why)
{
	assert(phase_may_follow(g->row.phase, next));
	log_info("migration of %s: %s, was %s%s%s", g->row.guest, mig_phase_name(next),
		 mig_phase_name(g->row.phase), why && why[0] ? ": " : "", why ? why : "");
	g->row.phase = next;
	g->row.phase_ms = g->m->wall_ms;
	g->row.outcome = outcome;
	if (why)
		snprintf(g->row.why, sizeof(g->row.why), "%s", why);
	g->due_ms = NEVER;
	g->settled = false;
	row_hide(g);
	if (phase_opens_row & 1u << next)
		g->journalled = true;
	if (phase_writes_row & 1u << next)
		row_touch(g);
	if (next == MIG_DONE)
		migration_end(g);
	(void)effect_add(g->m, g, MIG_DO_CHANGED, why);
}

bool migration_is_busy(const struct migration *g)
{
	switch (g->row.phase) {
	case MIG_ABORTED:
	case MIG_OWNED:
	case MIG_DROPPED:
	case MIG_RETURNED:
		return !g->settled;
	case MIG_DONE:
		return false;
	default:
		return true;
	}
}

static void peers_answer(struct migration *g)
{
	bool source = g->row.side == MIG_SOURCE;

	for (unsigned int t = MIG_MSG_START; t < MIG_MSGS; t++) {
		struct held h = g->held[t];
		enum mig_answer a;

		if (!h.call)
			continue;
		a = source ? source_answer(g, t) : dest_answer(g, t);
		if (a == MIG_ANS_LATER)
			continue;
		g->held[t] = (struct held){ 0 };
		effect_answer(g->m, g, NULL, h.link, h.call, a, g->row.why);
	}
}

/* "what it is: why" of a row's reason, or what it is alone. */
static void told(const struct migration *g, const char *what, char *text, size_t room)
{
	snprintf(text, room, "%s%s%.*s", what, g->row.why[0] ? ": " : "", (int)room - 32,
		 g->row.why);
}

static void source_clients_answer(struct migration *g)
{
	char text[MIG_WHY_MAX];
	bool moved = g->row.outcome == MIG_MOVED;

	if (moved)
		effect_reply(g, WAIT_PERFORM, 0, NULL, false, true);
	if (g->row.phase != MIG_DONE && !(g->row.phase == MIG_ABORTED && g->settled))
		return;
	if (moved && g->waits[WAIT_CONFIRM].cancelled) {
		snprintf(text, sizeof(text), "the guest was given away: it is at %s",
			 g->row.peer.name[0] ? g->row.peer.name : "the destination");
		effect_reply(g, WAIT_CONFIRM, EBUSY, text, false, false);
	} else if (moved || g->waits[WAIT_CONFIRM].cancelled) {
		effect_reply(g, WAIT_CONFIRM, 0, NULL, false, false);
	}
	told(g, "the guest stays here", text, sizeof(text));
	effect_reply(g, WAIT_PERFORM, g->err ? g->err : EIO, text, false, false);
	effect_reply(g, WAIT_CONFIRM, g->err ? g->err : EIO, text, false, false);
}

static void dest_clients_answer(struct migration *g)
{
	bool failed = g->row.outcome == MIG_STAYED;
	char text[MIG_WHY_MAX];

	told(g, "the guest is not here", text, sizeof(text));
	if (failed)
		effect_reply(g, WAIT_PREPARE, g->err ? g->err : EIO, text, false, false);
	if (g->row.phase != MIG_DONE && !g->settled)
		return;
	if (g->row.phase < MIG_OWNED)
		return;
	if (failed)
		effect_reply(g, WAIT_FINISH, g->err ? g->err : EIO, text, false, false);
	else
		effect_reply(g, WAIT_FINISH, 0, NULL, true, true);
}

void migration_settle(struct migration *g)
{
	switch (g->row.phase) {
	case MIG_ABORTED:
	case MIG_OWNED:
	case MIG_DROPPED:
	case MIG_RETURNED:
		if (g->settled && g->row.told)
			phase_enter(g, MIG_DONE, g->row.outcome, NULL);
		break;
	default:
		break;
	}
	peers_answer(g);
	if (g->row.side == MIG_SOURCE)
		source_clients_answer(g);
	else
		dest_clients_answer(g);
	if (g->row.phase != MIG_DONE)
		return;
	/* Nobody's answer changes anything any more. */
	for (unsigned int t = MIG_MSG_START; t < MIG_MSGS; t++)
		effect_call_cancel(g, t);
}
