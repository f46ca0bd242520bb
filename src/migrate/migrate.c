/* SPDX-License-Identifier: MIT */
/*
 * A migrator: rounds, time, questions, and to whom of the two ends what happened is handed. What is
 * told is what is durable: rows as they are shown change in migrator_flush alone, after the journal
 * has them, so that neither an effect nor an answer tells of a decision that a crash could undo.
 *
 * Of several changes of a row in one round only the last is written. Nothing of the round has left
 * the daemon by then, so nobody has seen a state in between; and whatever an effect of the round
 * says, it was queued by a decision that the last state still carries, because no decision is ever
 * taken back within a phase.
 */
#include "migrate/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"

struct migrator *migrator_new(const struct mig_self *self, const struct mig_ops *ops, void *data)
{
	struct migrator *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->self = *self;
	m->ops = ops;
	m->data = data;
	list_init(&m->all);
	list_init(&m->open);
	list_init(&m->touched);
	m->ids.key_len = sizeof(struct mig_id);
	list_init(&m->effects);
	return m;
}

void migrator_free(struct migrator *m)
{
	struct migration *g;
	struct effect *e;

	if (!m)
		return;
	list_for_each(e, &m->effects, link)
		effect_free(e);
	list_for_each(g, &m->all, link)
		migration_free(g);
	free(m);
}

bool migrator_is_idle(const struct migrator *m)
{
	const struct migration *g;

	if (!list_is_empty(&m->effects) || m->broken)
		return false;
	list_for_each(g, &m->touched, touched) {
		if (g->dirty)
			return false;
	}
	return true;
}

/* ---- the end of a round ---- */

struct round {
	const struct mig_row **rows; /* owned */
	struct mig_id *gone;	     /* owned */
	size_t n_rows, n_gone;
};

static void round_fini(struct round *r)
{
	free(r->rows);
	free(r->gone);
}

/* The oldest of those that are over leave, but for what an effect still names. */
static int history_trim(struct migrator *m, struct round *r)
{
	size_t excess = m->n_done > MIG_HISTORY_MAX ? m->n_done - MIG_HISTORY_MAX : 0;
	struct migration *g;

	if (!excess)
		return 0;
	r->gone = calloc(excess, sizeof(*r->gone));
	if (!r->gone)
		return FAULT(-ENOMEM);
	list_for_each(g, &m->all, link) {
		if (!excess)
			break;
		if (g->row.phase != MIG_DONE || g->effects)
			continue;
		if (g->journalled)
			r->gone[r->n_gone++] = g->row.id;
		migration_free(g);
		excess--;
	}
	return 0;
}

static int rows_gather(struct migrator *m, struct round *r)
{
	struct migration *g;
	size_t n = 0;

	list_for_each(g, &m->touched, touched)
		n += g->dirty;
	if (!n)
		return 0;
	r->rows = calloc(n, sizeof(*r->rows));
	if (!r->rows)
		return FAULT(-ENOMEM);
	list_for_each(g, &m->touched, touched) {
		if (g->dirty)
			r->rows[r->n_rows++] = &g->row;
	}
	return 0;
}

static void rows_show(struct migrator *m)
{
	struct migration *g;

	list_for_each(g, &m->touched, touched) {
		g->dirty = false;
		g->shown = g->row;
		g->was_shown = true;
		list_remove(&g->touched);
	}
}

int migrator_flush(struct migrator *m)
{
	__attribute__((cleanup(round_fini))) struct round round = { 0 };
	struct list now;
	struct effect *e;
	int r = m->broken;

	if (!r)
		r = history_trim(m, &round);
	if (!r)
		r = rows_gather(m, &round);
	if (!r && (round.n_rows || round.n_gone))
		r = m->ops->journal(m->data, round.rows, round.n_rows, round.gone, round.n_gone);
	if (r) {
		m->broken = r;
		return r;
	}
	rows_show(m);

	/* What effects cause is the next round's. */
	list_init(&now);
	while ((e = list_first(&m->effects, struct effect, link))) {
		list_remove(&e->link);
		list_append(&now, &e->link);
	}
	while ((e = list_first(&now, struct effect, link))) {
		e->e.row = e->g ? &e->g->shown : NULL;
		m->ops->effect(m->data, &e->e);
		effect_free(e);
	}
	return 0;
}

/* ---- time ---- */

static uint64_t due_of(const struct migration *g)
{
	return g->row.side == MIG_SOURCE ? source_deadline_ms(g) : dest_deadline_ms(g);
}

void migrator_tick(struct migrator *m, uint64_t now_ms, uint64_t wall_ms)
{
	struct migration *g;

	m->now_ms = now_ms;
	m->wall_ms = wall_ms;
	list_for_each(g, &m->open, open) {
		if (due_of(g) > now_ms)
			continue;
		if (g->row.side == MIG_SOURCE)
			source_time(g);
		else
			dest_time(g);
	}
}

uint64_t migrator_deadline_ms(const struct migrator *m)
{
	const struct migration *g;
	uint64_t first = NEVER;

	list_for_each(g, &m->open, open) {
		uint64_t due = due_of(g);

		if (due < first)
			first = due;
	}
	return first;
}

/* ---- peers ---- */

/*
 * A cookie may have been shown to two hosts. The first of them that asks for an OFFLINE guest is
 * its destination; before that it has none, and nobody speaks of it.
 */
static bool is_peer(struct migration *g, const struct mig_msg *msg)
{
	bool offline = g->row.flags & MIG_OFFLINE;

	if (g->row.phase == MIG_BEGUN && offline && msg->type == MIG_MSG_COMMIT)
		snprintf(g->row.peer.name, sizeof(g->row.peer.name), "%s", msg->host);
	return g->row.peer.name[0] && strcmp(g->row.peer.name, msg->host) == 0;
}

void migrator_peer_call(struct migrator *m, const struct mig_msg *msg, uint64_t link, uint64_t call)
{
	struct migration *g = migration_find(m, &msg->id);
	enum mig_answer a = MIG_ANS_REFUSED;
	struct held before;

	if (!g || g->row.epoch != msg->epoch || !is_peer(g, msg)) {
		/* Neither given nor received, as far as this host knows; and not to be said again.
		 */
		if (msg->type != MIG_MSG_START && msg->type != MIG_MSG_STATE &&
		    msg->type != MIG_MSG_COMMIT)
			a = MIG_ANS_OK;
		effect_answer(m, NULL, msg, link, call, a, "no such migration is known here");
		return;
	}
	before = g->held[msg->type];
	g->held[msg->type] = (struct held){ link, call };
	if (before.call)
		effect_answer(m, g, msg, before.link, before.call, MIG_ANS_LATER, "asked again");
	if (g->row.side == MIG_SOURCE)
		source_hear(g, msg);
	else
		dest_hear(g, msg);
}

void migrator_answer(struct migrator *m, const struct mig_id *id, enum mig_msg_type type,
		     enum mig_answer answer, const char *why)
{
	struct migration *g = migration_find(m, id);

	if (!g || !(g->calls & 1u << type) || answer == MIG_ANS_LATER)
		return;
	g->calls &= ~(1u << type);
	if (g->row.side == MIG_SOURCE)
		source_told(g, type, answer, why);
	else
		dest_told(g, type, answer, why);
}

void migrator_peer_reach(struct migrator *m, const struct mig_id *id, bool up)
{
	struct migration *g = migration_find(m, id);

	if (!g)
		return;
	if (up)
		g->down_ms = NEVER;
	else if (g->down_ms == NEVER)
		g->down_ms = m->now_ms;
}

/* ---- what happened to the guest ---- */

void migrator_gone(struct migrator *m, const struct mig_id *id)
{
	struct migration *g = migration_find(m, id);

	if (!g)
		return;
	switch (g->row.phase) {
	case MIG_GIVEN:
		if (!g->destroying)
			return;
		g->row.told = true;
		phase_enter(g, MIG_DONE, MIG_MOVED, NULL);
		break;
	case MIG_DROPPED:
	case MIG_RETURNED:
		dest_gone(g);
		break;
	default:
		return;
	}
	migration_settle(g);
}

void migrator_guest_died(struct migrator *m, const struct mig_id *id, const char *why)
{
	struct migration *g = migration_find(m, id);

	if (!g)
		return;
	if (g->row.side == MIG_DESTINATION) {
		if (dest_has_asked(g))
			g->dead = true;
		else
			dest_drop(g, EIO, why, false);
		return;
	}
	/* Once all of it is sent, the destination's is the guest. Whether it is, nobody tells. */
	g->sending = false;
	if (g->row.phase == MIG_BEGUN || g->row.phase == MIG_PERFORMING)
		source_abort(g, EIO, why);
	source_try_abort(g);
	migration_settle(g);
}

void migrator_arbiter(struct migrator *m, const struct mig_id *id, enum mig_arbiter result)
{
	struct migration *g = migration_find(m, id);

	if (!g || !g->arb_busy)
		return;
	g->arb_busy = false;
	if (g->row.side == MIG_SOURCE)
		source_arbiter(g, result);
	else
		dest_arbiter(g, result);
}
