/* SPDX-License-Identifier: MIT */
/*
 * The end that takes. It runs nothing that was not granted, by the source or by the arbiter, and
 * until it has asked it may drop what it has; afterwards only an answer ends it. Having asked is
 * not in the journal: after a restart it may have.
 */
#include "migrate/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

bool dest_has_asked(const struct migration *g)
{
	return g->row.phase == MIG_READY || (g->row.phase == MIG_RECEIVING && g->restored);
}

static bool is_over(const struct migration *g)
{
	return g->row.phase >= MIG_OWNED;
}

/* ---- what ends it ---- */

/* told: the source knows, or has never said START. */
void dest_drop(struct migration *g, int err, const char *why, bool told)
{
	if (is_over(g))
		return;
	g->err = err;
	g->row.told = told || g->row.phase == MIG_PREPARED;
	effect_call_cancel(g, MIG_MSG_COMMIT);
	effect_call_cancel(g, MIG_MSG_FAILED);
	phase_enter(g, MIG_DROPPED, MIG_STAYED, why);
	(void)effect_add(g->m, g, MIG_DO_DESTROY, g->row.why);
	if (!g->row.told)
		effect_call(g, MIG_MSG_FAILED, NULL, 0);
	migration_settle(g);
}

/*
 * Granted, and dead before it ran: the source's is the only one. It is told when there is nothing
 * left here that could run.
 */
static void give_back(struct migration *g, const char *why)
{
	g->err = EIO;
	g->row.told = false;
	phase_enter(g, MIG_RETURNED, MIG_STAYED, why);
	(void)effect_add(g->m, g, MIG_DO_DESTROY, g->row.why);
}

void dest_gone(struct migration *g)
{
	g->settled = true;
	if (g->row.phase == MIG_RETURNED && !g->row.told)
		effect_call(g, MIG_MSG_RETURN, NULL, 0);
}

static void granted(struct migration *g)
{
	bool lost = g->dead || (g->restored && !g->found);

	effect_call_cancel(g, MIG_MSG_COMMIT);
	effect_call_cancel(g, MIG_MSG_FAILED);
	if (lost) {
		give_back(g, "what was received was lost before it ran");
		return;
	}
	phase_enter(g, MIG_OWNED, MIG_MOVED, "");
	(void)effect_add(g->m, g, MIG_DO_RUN, NULL);
}

/* All of it is here. What was never performed has its row from now on. */
void dest_ready(struct migration *g)
{
	bool offline = g->row.flags & MIG_OFFLINE;

	phase_enter(g, MIG_READY, MIG_OPEN, NULL);
	if (offline) {
		g->journalled = true;
		row_touch(g);
	}
	effect_call(g, MIG_MSG_COMMIT, NULL, 0);
}

static void ready_if_all(struct migration *g)
{
	if (g->row.phase == MIG_RECEIVING && !g->restored && g->received && g->imported)
		dest_ready(g);
	migration_settle(g);
}

/* ---- what the source says ---- */

static void hear_start(struct migration *g, const struct mig_msg *msg)
{
	if (g->row.phase != MIG_PREPARED || !g->incoming || g->row.flags & MIG_OFFLINE)
		return;
	/* Both have to have one; and the source may not reach it today. */
	g->row.arbiter = g->row.arbiter && msg->arbiter;
	phase_enter(g, MIG_RECEIVING, MIG_OPEN, NULL);
}

static void hear_state(struct migration *g, const struct mig_msg *msg)
{
	struct effect *e;

	if (g->row.phase != MIG_RECEIVING || g->restored || g->importing || g->imported)
		return;
	e = effect_add(g->m, g, MIG_DO_IMPORT, NULL);
	if (!e)
		return;
	e->blob = malloc(msg->blob_len ? msg->blob_len : 1);
	if (!e->blob) {
		effect_free(e);
		dest_drop(g, ENOMEM, "no memory for its part of the store", false);
		return;
	}
	if (msg->blob_len)
		memcpy(e->blob, msg->blob, msg->blob_len);
	e->e.blob = e->blob;
	e->e.blob_len = msg->blob_len;
	g->importing = true;
}

/*
 * Without an arbiter the source has decided. With one it asks, and until it has heard the promise
 * it may hear from the arbiter that it gave: so the promise is said until it is answered.
 */
static void hear_abort(struct migration *g, const char *why)
{
	dest_drop(g, ECANCELED, why[0] ? why : "the source keeps it", !g->row.arbiter);
}

void dest_hear(struct migration *g, const struct mig_msg *msg)
{
	switch (msg->type) {
	case MIG_MSG_START:
		hear_start(g, msg);
		break;
	case MIG_MSG_STATE:
		hear_state(g, msg);
		break;
	case MIG_MSG_ABORT:
		hear_abort(g, msg->why);
		break;
	default:
		break;
	}
	migration_settle(g);
}

enum mig_answer dest_answer(const struct migration *g, enum mig_msg_type type)
{
	bool lost = g->row.phase == MIG_RECEIVING && g->restored;

	switch (type) {
	case MIG_MSG_START:
		if (g->row.phase == MIG_PREPARED && !(g->row.flags & MIG_OFFLINE))
			return MIG_ANS_LATER;
		if (g->row.outcome == MIG_STAYED || g->row.phase == MIG_PREPARED)
			return MIG_ANS_REFUSED;
		return lost ? MIG_ANS_LATER : MIG_ANS_OK;
	case MIG_MSG_STATE:
		if (g->row.phase == MIG_PREPARED || g->row.outcome == MIG_STAYED)
			return MIG_ANS_REFUSED;
		return lost ? MIG_ANS_LATER : MIG_ANS_OK;
	case MIG_MSG_ABORT:
		if (!is_over(g))
			return MIG_ANS_LATER;
		return g->row.outcome == MIG_MOVED ? MIG_ANS_OWNED : MIG_ANS_OK;
	default:
		return MIG_ANS_REFUSED; /* what only a destination says */
	}
}

/* ---- what the source answered ---- */

static void told_failed(struct migration *g, enum mig_answer answer, const char *why)
{
	if (answer == MIG_ANS_GRANTED && g->row.phase == MIG_DROPPED) {
		give_back(g, "it was given after it had been dropped");
	} else if (answer == MIG_ANS_GRANTED && dest_has_asked(g)) {
		granted(g);
	} else if (g->row.phase == MIG_DROPPED) {
		g->row.told = true;
		row_touch(g);
	} else {
		dest_drop(g, EIO, why[0] ? why : "the daemon was restarted", true);
	}
}

void dest_told(struct migration *g, enum mig_msg_type type, enum mig_answer answer, const char *why)
{
	switch (type) {
	case MIG_MSG_COMMIT:
		if (g->row.phase == MIG_READY && answer == MIG_ANS_GRANTED)
			granted(g);
		else if (g->row.phase == MIG_READY)
			dest_drop(g, ECANCELED, why[0] ? why : "the source keeps it", true);
		break;
	case MIG_MSG_FAILED:
		told_failed(g, answer, why);
		break;
	case MIG_MSG_TAKEN:
	case MIG_MSG_RETURN:
		if (answer != MIG_ANS_OK)
			log_error("migration of %s: %s answers %s with %s: %s", g->row.guest,
				  g->row.peer.name, mig_msg_name(type), mig_answer_name(answer),
				  why);
		g->row.told = true;
		row_touch(g);
		break;
	default:
		break;
	}
	migration_settle(g);
}

/* ---- what happened here ---- */

static struct migration *dest_find(const struct migrator *m, const struct mig_id *id)
{
	struct migration *g = migration_find(m, id);

	return g && g->row.side == MIG_DESTINATION ? g : NULL;
}

void migrator_incoming_ready(struct migrator *m, const struct mig_id *id, int err, const char *why)
{
	struct migration *g = dest_find(m, id);

	if (!g || g->row.phase != MIG_PREPARED || g->incoming)
		return;
	if (err) {
		dest_drop(g, EIO, why, true);
		return;
	}
	g->incoming = true;
	g->due_ms = m->now_ms + m->self.limits.prepare_ms;
	effect_reply(g, WAIT_PREPARE, 0, NULL, false, true);
	migration_settle(g);
}

void migrator_received(struct migrator *m, const struct mig_id *id, int err, const char *why)
{
	struct migration *g = dest_find(m, id);

	if (!g)
		return;
	if (err && dest_has_asked(g))
		g->dead = true;
	else if (err && !is_over(g))
		dest_drop(g, EIO, why, false);
	else if (!err)
		g->received = true;
	ready_if_all(g);
}

void migrator_imported(struct migrator *m, const struct mig_id *id, int err, const char *why)
{
	struct migration *g = dest_find(m, id);

	if (!g || !g->importing)
		return;
	g->importing = false;
	if (err)
		dest_drop(g, EIO, why, false);
	else
		g->imported = true;
	ready_if_all(g);
}

void migrator_running(struct migrator *m, const struct mig_id *id, int err, const char *why)
{
	struct migration *g = dest_find(m, id);

	if (!g || g->row.phase != MIG_OWNED || g->settled)
		return;
	if (err) {
		give_back(g, why[0] ? why : "it does not run here");
		migration_settle(g);
		return;
	}
	/* A daemon that starts again does not do it again: its user may have paused it since. */
	g->settled = g->row.was_running = true;
	row_touch(g);
	effect_call(g, MIG_MSG_TAKEN, NULL, 0);
	migration_settle(g);
}

/* ---- time, and the arbiter ---- */

uint64_t dest_deadline_ms(const struct migration *g)
{
	const struct mig_limits *l = &g->m->self.limits;

	if (g->row.phase == MIG_RECEIVING && !g->restored)
		return g->down_ms == NEVER ? NEVER : g->down_ms + l->peer_ms;
	if (g->row.phase != MIG_READY)
		return g->due_ms;
	if (!g->row.arbiter || g->dead || g->arb_busy)
		return NEVER;
	/* Once asked, it is asked until it answers: the source may be able to ask nobody. */
	if (g->arb_asked)
		return g->arb_ms;
	return g->down_ms == NEVER ? NEVER : g->down_ms + l->arbiter_ms;
}

void dest_time(struct migration *g)
{
	if (g->row.phase == MIG_PREPARED) {
		dest_drop(g, ETIMEDOUT, "it was prepared, and not sent in time", true);
	} else if (g->row.phase == MIG_RECEIVING) {
		dest_drop(g, ETIMEDOUT, "the source is out of reach", false);
	} else if (g->row.phase == MIG_READY) {
		g->arb_asked = true;
		effect_arbiter(g, false, g->row.peer.name, g->row.epoch, g->m->self.host.name,
			       g->row.epoch + 1);
	}
}

void dest_arbiter(struct migration *g, enum mig_arbiter result)
{
	if (g->row.phase == MIG_READY) {
		g->arb_ms = g->m->now_ms + g->m->self.limits.arbiter_ms;
		if (result == MIG_ARB_YES || result == MIG_ARB_IS_TO)
			granted(g);
		else if (result == MIG_ARB_IS_OTHER)
			dest_drop(g, EIO, "the arbiter says that it is another's", false);
	} else if (result == MIG_ARB_YES) {
		log_error("migration of %s: the arbiter gave what was %s already", g->row.guest,
			  mig_phase_name(g->row.phase));
	}
	migration_settle(g);
}

/* ---- after a restart ---- */

void dest_restore(struct migration *g, bool superseded)
{
	switch (g->row.phase) {
	case MIG_OWNED:
		g->settled = superseded || g->row.was_running;
		if (!g->settled)
			(void)effect_add(g->m, g, MIG_DO_RUN, NULL);
		else if (!g->row.told)
			effect_call(g, MIG_MSG_TAKEN, NULL, 0);
		break;
	case MIG_RETURNED:
	case MIG_DROPPED:
		if (superseded)
			dest_gone(g);
		else
			(void)effect_add(g->m, g, MIG_DO_DESTROY, g->row.why);
		if (g->row.phase == MIG_DROPPED && !g->row.told)
			effect_call(g, MIG_MSG_FAILED, NULL, 0);
		break;
	default: /* migrator_found */
		break;
	}
}

void migrator_found(struct migrator *m, const struct mig_id *id, bool process, bool received)
{
	struct migration *g = dest_find(m, id);
	bool offline;

	if (!g || !g->restored || g->is_found)
		return;
	g->is_found = true;
	offline = g->row.flags & MIG_OFFLINE;
	g->found = received && (process || offline);
	if (g->row.phase == MIG_RECEIVING)
		effect_call(g, MIG_MSG_FAILED, NULL, 0);
	else if (g->row.phase == MIG_READY)
		effect_call(g, MIG_MSG_COMMIT, NULL, 0);
	migration_settle(g);
}
