/* SPDX-License-Identifier: MIT */
/*
 * Each step of the model, done by the code. In the names: c the client, s the source, d the
 * destination, g the guest's processes, a the arbiter, n the network.
 */
#include "replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const uint8_t replay_uuid[MIG_UUID_SIZE] = { 5 };

bool expect(struct replay *r, bool what, const char *said)
{
	return what || differs(r, "%s", said);
}

static bool expect_phase(struct party *p, enum mig_phase phase)
{
	enum mig_phase is = party_phase(p);

	return is == phase || differs(p->r, "%s is %s, not %s", p->name, mig_phase_name(is),
				      mig_phase_name(phase));
}

/* ---- what is done when the model does not say so ---- */

void guest_resume(struct replay *r)
{
	struct party *s = &r->s;

	transfer_cancel(r);
	if (!s->m || !s->due[MIG_DO_RESUME])
		return;
	s->due[MIG_DO_RESUME] = false;
	if (r->d_ran)
		differs(r, "it is resumed, and ran at the destination");
	r->s_guest = GUEST_RUNS;
	r->s_stopped = false;
	migrator_resumed(s->m, &r->id, 0, "");
	party_flush(s);
}

void guest_destroy(struct party *p)
{
	struct replay *r = p->r;

	if (!p->m || !p->due[MIG_DO_DESTROY])
		return;
	p->due[MIG_DO_DESTROY] = false;
	if (p == &r->s) {
		r->s_guest = GUEST_GONE;
	} else {
		r->d_guest = GUEST_GONE;
		r->d_state = false;
	}
	migrator_gone(p->m, &r->id);
	party_flush(p);
}

/* In the model it asks in a step of its own: that it has all is told then. */
void all_is_there(struct replay *r)
{
	struct party *d = &r->d;
	bool received = r->d_guest == GUEST_FULL || (r->has_all && r->d_guest == GUEST_DEAD);

	if (party_phase(d) != MIG_RECEIVING || !received || !r->d_state)
		return;
	migrator_received(d->m, &r->id, 0, "");
	migrator_imported(d->m, &r->id, 0, "");
	party_flush(d);
}

/* A guest that died is known before anything else is. */
void death_is_known(struct party *p)
{
	struct replay *r = p->r;

	if (p == &r->d && r->d_guest == GUEST_DEAD && !r->d_may_run && !r->death_is_told) {
		r->death_is_told = true;
		migrator_guest_died(p->m, &r->id, "it died");
	}
}

/* It may have run, and is dead: that is told as if it did. */
void guest_ran(struct replay *r)
{
	struct party *d = &r->d;

	if (!d->m || !d->due[MIG_DO_RUN] || !r->d_may_run || r->d_guest == GUEST_FULL)
		return;
	d->due[MIG_DO_RUN] = false;
	migrator_running(d->m, &r->id, 0, "");
	party_flush(d);
}

static bool nothing(struct replay *r)
{
	(void)r;
	return true;
}

/* ---- time limits and errors: of all, the abort is the one that needs no clock ---- */

static bool gives_up(struct party *p)
{
	char text[256] = "";

	if (migrator_abort(p->m, replay_uuid, "told to", text, sizeof(text)))
		return differs(p->r, "abort: %s", text);
	party_flush(p);
	return true;
}

static bool s_gives_up(struct replay *r)
{
	return gives_up(&r->s);
}

static bool d_gives_up(struct replay *r)
{
	return gives_up(&r->d);
}

/* ---- the guest ---- */

static bool s_sends(struct replay *r)
{
	r->may_send = true;
	transfer(r);
	return true;
}

static bool g_stops(struct replay *r)
{
	r->may_stop = true;
	transfer(r);
	return true;
}

static bool g_is_received(struct replay *r)
{
	r->may_receive = true;
	transfer(r);
	return true;
}

static bool d_has_all(struct replay *r)
{
	r->has_all = true;
	return true;
}

static bool g_dies(struct replay *r)
{
	if (r->d_guest != GUEST_GONE) /* the code has destroyed it already */
		r->d_guest = GUEST_DEAD;
	return true;
}

static bool d_sees_dead(struct replay *r)
{
	r->death_is_told = true;
	migrator_guest_died(r->d.m, &r->id, "it died");
	party_flush(&r->d);
	return true;
}

static bool s_says_state(struct replay *r)
{
	struct party *s = &r->s;

	if (s->wanted[MIG_MSG_STATE])
		return true; /* again */
	if (!s->due[MIG_DO_EXPORT])
		return differs(r, "nothing is exported");
	s->due[MIG_DO_EXPORT] = false;
	migrator_exported(s->m, &r->id, 0, "", (const uint8_t *)"store", 6);
	party_flush(s);
	return expect(r, s->wanted[MIG_MSG_STATE], "STATE is not said");
}

static bool s_aborts(struct replay *r)
{
	transfer_cancel(r);
	return expect_phase(&r->s, r->s.row.phase == MIG_DONE ? MIG_DONE : MIG_ABORTED);
}

static bool s_resumes(struct replay *r)
{
	const struct mig_row *row;

	guest_resume(r);
	row = migrator_find(r->s.m, &r->id);
	return expect(r, !row || row->outcome == MIG_STAYED, "it is not to be resumed");
}

static bool s_destroys(struct replay *r)
{
	if (!r->s.due[MIG_DO_DESTROY])
		return differs(r, "nothing is to be destroyed");
	guest_destroy(&r->s);
	return true;
}

static bool s_is_done(struct replay *r)
{
	transfer_cancel(r);
	if (r->s.due[MIG_DO_RESUME] && r->s_stopped)
		return differs(r, "it was not resumed");
	guest_resume(r);
	return expect_phase(&r->s, MIG_DONE);
}

static bool d_may_run(struct replay *r)
{
	r->d_may_run = true;
	return expect(r, r->d.due[MIG_DO_RUN], "it is not told to run");
}

static bool d_runs(struct replay *r)
{
	struct party *d = &r->d;

	if (!d->due[MIG_DO_RUN])
		return differs(r, "it is not told to run");
	if (r->s_guest == GUEST_RUNS && !r->s_stopped && !r->offline)
		return differs(r, "it runs at the source");
	if (r->asked[CALL_FINISH].replied && r->asked[CALL_FINISH].err)
		return differs(r, "it runs, and finish was told that it does not");
	d->due[MIG_DO_RUN] = false;
	r->d_guest = GUEST_RUNS;
	r->d_ran = true;
	migrator_running(d->m, &r->id, 0, "");
	party_flush(d);
	return true;
}

static bool d_gives_back(struct replay *r)
{
	struct party *d = &r->d;

	if (!d->due[MIG_DO_RUN])
		return differs(r, "it is not told to run");
	d->due[MIG_DO_RUN] = false;
	migrator_running(d->m, &r->id, EIO, "it is dead");
	party_flush(d);
	return true;
}

static bool d_destroys(struct replay *r)
{
	guest_destroy(&r->d);
	/* What was prepared before a restart, its daemon clears away by itself. */
	if (!migrator_find(r->d.m, &r->id))
		r->d_guest = GUEST_GONE;
	return expect(r, r->d_guest == GUEST_GONE, "it is not destroyed");
}

static bool d_buries(struct replay *r)
{
	guest_ran(r);
	r->d_guest = GUEST_GONE;
	return true;
}

static bool d_is_done(struct replay *r)
{
	guest_ran(r);
	if (r->d.due[MIG_DO_DESTROY] && r->d_guest != GUEST_GONE)
		return differs(r, "it was not destroyed");
	guest_destroy(&r->d);
	return expect_phase(&r->d, MIG_DONE);
}

/* ---- daemons ---- */

static bool s_dies(struct replay *r)
{
	party_kill(&r->s);
	return true;
}

static bool d_dies(struct replay *r)
{
	party_kill(&r->d);
	return true;
}

static bool s_starts(struct replay *r)
{
	party_start(&r->s);
	return true;
}

static bool d_starts(struct replay *r)
{
	party_start(&r->d);
	return true;
}

/* ---- the arbiter ---- */

/* Only a daemon that is cut off asks, and only after a while. */
static bool asks_the_arbiter(struct party *p)
{
	if (p->due[MIG_DO_ARBITER]) { /* in vain, the last time */
		p->due[MIG_DO_ARBITER] = false;
		migrator_arbiter(p->m, &p->r->id, MIG_ARB_UNREACHABLE);
		party_flush(p);
	}
	if (p == &p->r->d)
		migrator_peer_reach(p->m, &p->r->id, false);
	p->now_ms += 60000;
	migrator_tick(p->m, p->now_ms, p->now_ms);
	party_flush(p);
	if (p == &p->r->d)
		migrator_peer_reach(p->m, &p->r->id, true);
	p->asks = p->due[MIG_DO_ARBITER];
	return expect(p->r, p->asks, "the arbiter is not asked");
}

/* The code is not in two steps aborting and aborted where nobody has to be asked. */
static bool s_asks(struct replay *r)
{
	const struct mig_row *row;

	transfer_cancel(r);
	row = migrator_find(r->s.m, &r->id);
	return !row || row->outcome == MIG_STAYED || asks_the_arbiter(&r->s);
}

static bool d_asks(struct replay *r)
{
	return asks_the_arbiter(&r->d);
}

static bool a_serves_s(struct replay *r)
{
	if (r->s.asks)
		arbiter_serve(r, &r->s);
	return true;
}

static bool a_serves_d(struct replay *r)
{
	if (r->d.asks)
		arbiter_serve(r, &r->d);
	return true;
}

static bool hears_the_arbiter(struct party *p)
{
	death_is_known(p);
	if (!p->due[MIG_DO_ARBITER] || !p->arbiter_served) {
		enum mig_phase is = party_phase(p);

		if (is != MIG_ABORTING && is != MIG_READY)
			return true; /* it has heard already */
		/* Asked before it died: what it was answered, the code has not heard; it asks
		 * again. */
		if (!asks_the_arbiter(p))
			return false;
		arbiter_serve(p->r, p);
	}
	p->due[MIG_DO_ARBITER] = false;
	migrator_arbiter(p->m, &p->r->id, p->arbiter_says);
	party_flush(p);
	if (!p->due[MIG_DO_ARBITER])
		return true;
	/* What is not its own it looks at. */
	arbiter_serve(p->r, p);
	p->due[MIG_DO_ARBITER] = false;
	migrator_arbiter(p->m, &p->r->id, p->arbiter_says);
	party_flush(p);
	return true;
}

static bool s_hears_arbiter(struct replay *r)
{
	transfer_cancel(r);
	return hears_the_arbiter(&r->s);
}

static bool d_hears_arbiter(struct replay *r)
{
	return hears_the_arbiter(&r->d);
}

static bool n_loses_s_arbiter(struct replay *r)
{
	r->s.arbiter_served = false;
	return true;
}

static bool n_loses_d_arbiter(struct replay *r)
{
	r->d.arbiter_served = false;
	return true;
}

static const struct step steps[] = {
	{ "s gives up", s_gives_up },
	{ "d gives up", d_gives_up },
	{ "s sends", s_sends },
	{ "g stops", g_stops },
	{ "g is received", g_is_received },
	{ "g dies", g_dies },
	{ "d sees the guest dead", d_sees_dead },
	{ "s has sent", nothing },
	{ "d has all", d_has_all },
	{ "s says state", s_says_state },
	{ "s aborts", s_aborts },
	{ "s resumes", s_resumes },
	{ "s destroys", s_destroys },
	{ "s is done", s_is_done },
	{ "d may run", d_may_run },
	{ "d runs", d_runs },
	{ "d gives back", d_gives_back },
	{ "d destroys", d_destroys },
	{ "d buries", d_buries },
	{ "d is done", d_is_done },
	{ "s dies", s_dies },
	{ "d dies", d_dies },
	{ "s starts", s_starts },
	{ "d starts", d_starts },
	{ "s asks the arbiter", s_asks },
	{ "d asks the arbiter", d_asks },
	{ "a serves s", a_serves_s },
	{ "a serves d", a_serves_d },
	{ "s hears the arbiter", s_hears_arbiter },
	{ "d hears the arbiter", d_hears_arbiter },
	{ "n loses s arbiter", n_loses_s_arbiter },
	{ "n loses d arbiter", n_loses_d_arbiter },
	{ NULL, NULL },
};

bool replay_step(struct replay *r, const char *step)
{
	static const struct step *const tables[] = { steps, client_steps, NULL };
	char who[4] = "", verb[16] = "", what[16] = "", answer[16] = "";

	for (const struct step *const *t = tables; *t; t++) {
		for (const struct step *st = *t; st->name; st++) {
			if (strcmp(st->name, step) == 0)
				return st->act(r) && !r->why[0];
		}
	}
	if (step_loses(r, step))
		return true;
	if (sscanf(step, "%3s %15s %15s %15s", who, verb, what, answer) < 3)
		return differs(r, "the step is not known");
	return step_message(r, who, verb, what, answer) && !r->why[0];
}

static bool party_end(struct party *p, bool moved)
{
	const struct mig_row *row = migrator_find(p->m, &p->r->id);

	if (row && row->phase != MIG_DONE)
		return differs(p->r, "%s is %s at the end", p->name, mig_phase_name(row->phase));
	if ((row && row->outcome == MIG_MOVED) != moved)
		return differs(p->r, "%s says of it: %s", p->name,
			       row ? mig_outcome_name(row->outcome) : "nothing");
	for (unsigned int k = 0; k < MSG_KINDS; k++) {
		if (p->wanted[k])
			return differs(p->r, "%s says %s at the end", p->name, replay_kinds[k]);
	}
	return true;
}

bool replay_end(struct replay *r, bool s_moved, bool d_moved, unsigned int s_guest,
		unsigned int d_guest, bool lost)
{
	if (!party_end(&r->s, s_moved) || !party_end(&r->d, d_moved))
		return false;
	if (r->s_guest != s_guest)
		return differs(r, "at the source it is in state %d", r->s_guest);
	if (r->d_guest != d_guest)
		return differs(r, "at the destination it is in state %d", r->d_guest);
	if (!replies_came(r))
		return false;
	return expect(r, lost || (r->s_guest == GUEST_RUNS) + (r->d_guest == GUEST_RUNS) == 1,
		      "it is not in one place");
}
