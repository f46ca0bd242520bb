/* SPDX-License-Identifier: MIT */
/*
 * The end that gives. It alone decides: until *given* it may abort, and nothing that the other end
 * or a client says makes it do both. With an arbiter it leaves that right to whoever asks the
 * arbiter first, from the moment that the destination may have everything.
 */
#include "migrate/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static void calls_cancel(struct migration *g)
{
	for (unsigned int t = MIG_MSG_START; t < MIG_MSGS; t++)
		effect_call_cancel(g, t);
}

static bool is_offline(const struct migration *g)
{
	return g->row.flags & MIG_OFFLINE;
}

static uint64_t now_of(const struct migration *g)
{
	return g->m->now_ms;
}

void source_perform(struct migration *g)
{
	bool arbiter = g->row.arbiter;

	/* The row says that it takes part once it has our name: only then is START said. */
	g->row.arbiter = false;
	phase_enter(g, MIG_PERFORMING, MIG_OPEN, NULL);
	if (arbiter) {
		effect_arbiter(g, true, "", 0, g->m->self.host.name, g->row.epoch);
		return;
	}
	g->started = true;
	effect_call(g, MIG_MSG_START, NULL, 0);
}

/* The guest is the destination's, from the moment that this is durable. */
static void given(struct migration *g)
{
	calls_cancel(g);
	phase_enter(g, MIG_GIVEN, MIG_MOVED, "");
}

/* D asked for it while nothing was decided: that is answered now, if it can be. */
static void grant_if_asked(struct migration *g)
{
	if (g->row.phase == MIG_SENT && g->held[MIG_MSG_COMMIT].call)
		given(g);
}

static void sent_if_all(struct migration *g)
{
	if (g->row.phase != MIG_PERFORMING || !g->sent_all || !g->state_said)
		return;
	phase_enter(g, MIG_SENT, MIG_OPEN, NULL);
	g->due_ms = now_of(g) + g->m->self.limits.commit_ms;
	grant_if_asked(g);
}

/* ---- giving up ---- */

void source_abort(struct migration *g, int err, const char *why)
{
	switch (g->row.phase) {
	case MIG_BEGUN:
		g->err = err;
		g->row.told = true;
		phase_enter(g, MIG_DONE, MIG_STAYED, why);
		break;
	case MIG_PERFORMING:
	case MIG_SENT:
		g->err = err;
		effect_call_cancel(g, MIG_MSG_START);
		effect_call_cancel(g, MIG_MSG_STATE);
		phase_enter(g, MIG_ABORTING, MIG_OPEN, why);
		g->arb_ms = now_of(g) + g->m->self.limits.arbiter_ms;
		if (g->sending)
			(void)effect_add(g->m, g, MIG_DO_SEND_CANCEL, why);
		source_try_abort(g);
		break;
	default: /* decided, or about to be */
		break;
	}
	migration_settle(g);
}

/* Whether it can be aborted without asking: D cannot be ready, or has promised. */
static bool stays_for_sure(const struct migration *g)
{
	return !g->row.arbiter || g->promised || !g->state_said;
}

void source_try_abort(struct migration *g)
{
	if (g->row.phase != MIG_ABORTING || g->sending || g->exporting)
		return;
	if (!stays_for_sure(g)) {
		effect_call(g, MIG_MSG_ABORT, NULL, 0);
		return;
	}
	/* Whoever was not told START has nothing, and who promised knows. */
	if (!g->started || g->promised)
		g->row.told = true;
	phase_enter(g, MIG_ABORTED, MIG_STAYED, NULL);
	(void)effect_add(g->m, g, MIG_DO_RESUME, g->row.why);
	if (g->row.told)
		effect_call_cancel(g, MIG_MSG_ABORT);
	else
		effect_call(g, MIG_MSG_ABORT, NULL, 0);
}

/* D will not run it, ever: it said so after that was durable, or has never heard of it. */
static void promised(struct migration *g, const char *why)
{
	g->promised = true;
	source_abort(g, EIO, why && why[0] ? why : "the destination could not take it");
	source_try_abort(g);
}

/* ---- what the destination says ---- */

static void hear_commit(struct migration *g)
{
	/* OFFLINE: nothing is performed, and COMMIT follows upon Begin. */
	if (g->row.phase == MIG_BEGUN && is_offline(g))
		given(g);
	grant_if_asked(g);
}

static void hear_taken(struct migration *g)
{
	/* The arbiter has given it to D, which says so before the arbiter does. */
	if (g->row.arbiter && (g->row.phase == MIG_PERFORMING || g->row.phase == MIG_SENT ||
			       g->row.phase == MIG_ABORTING))
		given(g);
	if (g->row.phase == MIG_GIVEN && !g->destroying) {
		g->destroying = true;
		(void)effect_add(g->m, g, MIG_DO_DESTROY, NULL);
	}
	if (g->row.outcome == MIG_STAYED)
		log_error("migration of %s: %s says that it took what it was not given",
			  g->row.guest, g->row.peer.name);
}

/* Granted, and not run: the paused guest here is the only one, and goes on. */
static void hear_return(struct migration *g, const char *why)
{
	if (g->row.phase != MIG_GIVEN) {
		promised(g, why);
		return;
	}
	if (g->destroying || g->sending)
		return;
	g->row.told = true;
	g->err = EIO;
	phase_enter(g, MIG_ABORTED, MIG_STAYED, why[0] ? why : "the destination gave it back");
	(void)effect_add(g->m, g, MIG_DO_RESUME, g->row.why);
}

void source_hear(struct migration *g, const struct mig_msg *msg)
{
	switch (msg->type) {
	case MIG_MSG_COMMIT:
		hear_commit(g);
		break;
	case MIG_MSG_TAKEN:
		hear_taken(g);
		break;
	case MIG_MSG_RETURN:
		hear_return(g, msg->why);
		break;
	case MIG_MSG_FAILED:
		if (g->row.phase == MIG_ABORTED && !g->row.told) {
			g->row.told = true;
			row_touch(g);
			effect_call_cancel(g, MIG_MSG_ABORT);
		} else if (msg->promise) {
			promised(g, msg->why);
		} else {
			source_abort(g, EIO, msg->why[0] ? msg->why : "the destination failed");
		}
		break;
	default:
		break;
	}
	migration_settle(g);
}

/* Each phase's answers. COMMIT and FAILED are asked in place of the other after a crash. */
enum mig_answer source_answer(const struct migration *g, enum mig_msg_type type)
{
	bool moved = g->row.outcome == MIG_MOVED;
	bool undecided = g->row.outcome == MIG_OPEN && g->row.phase != MIG_BEGUN;

	switch (type) {
	case MIG_MSG_COMMIT:
		return undecided ? MIG_ANS_LATER : moved ? MIG_ANS_GRANTED : MIG_ANS_REFUSED;
	case MIG_MSG_FAILED:
		return undecided ? MIG_ANS_LATER : moved ? MIG_ANS_GRANTED : MIG_ANS_OK;
	case MIG_MSG_TAKEN:
		if (g->row.phase == MIG_GIVEN)
			return MIG_ANS_LATER;
		return moved ? MIG_ANS_OK : MIG_ANS_REFUSED;
	case MIG_MSG_RETURN:
		if (g->row.phase == MIG_GIVEN || undecided)
			return MIG_ANS_LATER;
		return moved ? MIG_ANS_REFUSED : MIG_ANS_OK;
	default:
		return MIG_ANS_REFUSED; /* what only a source says */
	}
}

/* ---- what the destination answered ---- */

static void told_abort(struct migration *g, enum mig_answer answer, const char *why)
{
	if (g->row.phase == MIG_ABORTED) {
		if (answer != MIG_ANS_OK)
			log_error("migration of %s: %s was told that it stays here, and says: %s",
				  g->row.guest, g->row.peer.name, mig_answer_name(answer));
		g->row.told = true;
		row_touch(g);
	} else if (g->row.phase == MIG_ABORTING && answer == MIG_ANS_OK) {
		g->promised = true;
		source_try_abort(g);
	} else if (g->row.phase == MIG_ABORTING && answer == MIG_ANS_OWNED && g->row.arbiter) {
		log_info("migration of %s: %s", g->row.guest, why);
		given(g);
	}
}

void source_told(struct migration *g, enum mig_msg_type type, enum mig_answer answer,
		 const char *why)
{
	bool performing = g->row.phase == MIG_PERFORMING || g->row.phase == MIG_SENT;

	if (type == MIG_MSG_ABORT) {
		told_abort(g, answer, why);
	} else if (performing && answer == MIG_ANS_REFUSED) {
		promised(g, why);
	} else if (performing && answer != MIG_ANS_OK) {
		source_abort(g, EIO, "the destination answers what cannot be");
	} else if (performing && type == MIG_MSG_START && !g->sending && !g->sent_all) {
		g->sending = true;
		(void)effect_add(g->m, g, MIG_DO_SEND, NULL);
	} else if (g->row.phase == MIG_SENT && type == MIG_MSG_STATE) {
		g->due_ms = now_of(g) + g->m->self.limits.commit_ms;
	}
	migration_settle(g);
}

/* ---- what happened here ---- */

static void export_once(struct migration *g)
{
	if (g->row.phase != MIG_PERFORMING || g->export_asked)
		return;
	g->export_asked = g->exporting = true;
	(void)effect_add(g->m, g, MIG_DO_EXPORT, NULL);
}

void migrator_stopped(struct migrator *m, const struct mig_id *id)
{
	struct migration *g = migration_find(m, id);

	/*
	 * With an arbiter the destination may come to own the guest once it has all of it, without
	 * being granted it. So it is not given STATE before the sending is over: one that is
	 * cancelled then may make the guest run again here by itself, as QEMU does.
	 */
	if (g && g->row.side == MIG_SOURCE && g->sending && !g->row.arbiter)
		export_once(g);
}

void migrator_sent(struct migrator *m, const struct mig_id *id, int err, const char *why)
{
	struct migration *g = migration_find(m, id);

	if (!g || g->row.side != MIG_SOURCE || !g->sending)
		return;
	g->sending = false;
	g->sent_all = !err;
	if (err)
		source_abort(g, EIO, why);
	else
		export_once(g);
	sent_if_all(g);
	source_try_abort(g);
	migration_settle(g);
}

void migrator_exported(struct migrator *m, const struct mig_id *id, int err, const char *why,
		       const uint8_t *blob, size_t len)
{
	struct migration *g = migration_find(m, id);

	if (!g || g->row.side != MIG_SOURCE || !g->exporting)
		return;
	g->exporting = false;
	if (!err && len > MIG_BLOB_MAX) {
		err = E2BIG;
		why = "its part of the store is too large";
	}
	if (err) {
		source_abort(g, EIO, why);
	} else if (g->row.phase == MIG_PERFORMING) {
		g->state_said = true;
		effect_call(g, MIG_MSG_STATE, blob, len);
	}
	sent_if_all(g);
	source_try_abort(g);
	migration_settle(g);
}

void migrator_resumed(struct migrator *m, const struct mig_id *id, int err, const char *why)
{
	struct migration *g = migration_find(m, id);

	if (!g || g->row.phase != MIG_ABORTED || g->settled)
		return;
	if (err) {
		log_error("migration of %s: it stays here, and does not run: %s", g->row.guest,
			  why);
		snprintf(g->row.why, sizeof(g->row.why), "it does not run: %s", why);
	}
	g->row.was_running = false;
	row_touch(g);
	g->settled = true;
	migration_settle(g);
}

/* ---- time, and the arbiter ---- */

static bool waits_for_arbiter(const struct migration *g)
{
	return g->row.phase == MIG_ABORTING && !g->sending && !g->exporting && !stays_for_sure(g) &&
	       !g->arb_busy;
}

uint64_t source_deadline_ms(const struct migration *g)
{
	if (g->row.phase == MIG_PERFORMING)
		return g->down_ms == NEVER ? NEVER : g->down_ms + g->m->self.limits.peer_ms;
	if (g->row.phase == MIG_ABORTING)
		return waits_for_arbiter(g) ? g->arb_ms : NEVER;
	return g->due_ms;
}

static void claim(struct migration *g)
{
	const char *self = g->m->self.host.name;

	g->arb_reads = false;
	effect_arbiter(g, false, self, g->row.epoch, self, g->row.epoch + 1);
}

/* What is not ours need not be the destination's: asked by changing nothing. */
static void look(struct migration *g)
{
	const char *peer = g->row.peer.name;

	g->arb_reads = true;
	effect_arbiter(g, false, peer, g->row.epoch + 1, peer, g->row.epoch + 1);
}

void source_time(struct migration *g)
{
	switch (g->row.phase) {
	case MIG_BEGUN:
		source_abort(g, ETIMEDOUT, "it was begun, and not performed in time");
		break;
	case MIG_PERFORMING:
		source_abort(g, ETIMEDOUT, "the destination is out of reach");
		break;
	case MIG_SENT:
		source_abort(g, ETIMEDOUT, "the destination did not ask for it in time");
		break;
	case MIG_ABORTING:
		claim(g);
		break;
	default:
		break;
	}
}

void source_arbiter(struct migration *g, enum mig_arbiter result)
{
	if (g->row.phase == MIG_PERFORMING && !g->started) {
		/* Both ends go on without, rather than not at all: D is told in START. */
		g->row.arbiter = result == MIG_ARB_YES || result == MIG_ARB_IS_TO;
		if (!g->row.arbiter)
			log_warning("migration of %s: the arbiter is out of reach", g->row.guest);
		row_touch(g);
		g->started = true;
		effect_call(g, MIG_MSG_START, NULL, 0);
	} else if (g->row.phase == MIG_ABORTING) {
		bool yes = result == MIG_ARB_YES || result == MIG_ARB_IS_TO;

		g->arb_ms = now_of(g) + g->m->self.limits.arbiter_ms;
		if (yes && g->arb_reads) {
			given(g);
		} else if (yes) {
			g->promised = true;
			source_try_abort(g);
		} else if (result == MIG_ARB_IS_OTHER && !g->arb_reads) {
			look(g);
		}
	}
	migration_settle(g);
}

/* ---- after a restart ---- */

void source_restore(struct migration *g, bool superseded)
{
	g->started = g->state_said = true;
	switch (g->row.phase) {
	case MIG_PERFORMING:
	case MIG_SENT:
	case MIG_ABORTING:
		g->row.phase = MIG_PERFORMING;
		g->sending = true; /* for all that is known */
		source_abort(g, EIO, "the daemon was restarted");
		break;
	case MIG_ABORTED:
		g->settled = superseded;
		if (!superseded)
			(void)effect_add(g->m, g, MIG_DO_RESUME, g->row.why);
		if (!g->row.told)
			effect_call(g, MIG_MSG_ABORT, NULL, 0);
		break;
	default: /* given: D will say what it did with it */
		break;
	}
}
