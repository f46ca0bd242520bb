/* SPDX-License-Identifier: MIT */
/*
 * The client's steps: its calls, what they are answered, and the end of its connections.
 */
#include "replay.h"

#include <string.h>

#define CLIENT_S 1u /* its connections */
#define CLIENT_D 2u

static uint32_t flags(const struct replay *r)
{
	return r->offline ? MIG_OFFLINE | MIG_PERSIST_DEST | MIG_CHANGE_PROTECTION
			  : MIG_LIVE | MIG_CHANGE_PROTECTION;
}

/* ---- what it makes up its mind to ---- */

static bool c_cancelled(struct replay *r)
{
	r->cancelled = true;
	return true;
}

static bool c_goes_on(struct replay *r)
{
	r->cancelled = false;
	return true;
}

static bool c_waits(struct replay *r)
{
	(void)r;
	return true;
}

static bool closed(struct party *p, uint64_t client)
{
	if (!p->m)
		return differs(p->r, "nobody is there to see it");
	replies_are_lost(p);
	migrator_client_closed(p->m, client);
	party_flush(p);
	return true;
}

static bool s_sees_gone(struct replay *r)
{
	transfer_cancel(r);
	return closed(&r->s, CLIENT_S);
}

static bool d_sees_gone(struct replay *r)
{
	if (r->has_all)
		all_is_there(r);
	return closed(&r->d, CLIENT_D);
}

/* ---- its calls ---- */

static bool s_begin_ok(struct replay *r)
{
	struct mig_begin b = { .guest = "g", .epoch = 7, .flags = flags(r), .running = true };
	char text[256] = "";

	memcpy(b.uuid, replay_uuid, sizeof(replay_uuid));
	if (migrator_begin(r->s.m, &b, CLIENT_S, &r->s_cookie, text, sizeof(text)))
		return differs(r, "begin: %s", text);
	party_flush(&r->s);
	return true;
}

static bool d_prepare_ok(struct replay *r)
{
	char text[256] = "";

	if (migrator_prepare(r->d.m, &r->s_cookie, flags(r), NULL, CLIENT_D, CALL_PREPARE, text,
			     sizeof(text)))
		return differs(r, "prepare: %s", text);
	party_flush(&r->d);
	r->d_guest = GUEST_WAITS; /* or, with OFFLINE, a definition */
	return expect(r, r->asked[CALL_PREPARE].replied && !r->asked[CALL_PREPARE].err,
		      "prepare is not answered");
}

static int perform(struct replay *r, char *text, size_t room)
{
	int err = migrator_perform(r->s.m, &r->d_cookie, flags(r), CLIENT_S, CALL_PERFORM, text,
				   room);

	party_flush(&r->s);
	return err;
}

static bool s_perform_ok(struct replay *r)
{
	char text[256] = "";

	return !perform(r, text, sizeof(text)) || differs(r, "perform: %s", text);
}

static bool s_perform_refused(struct replay *r)
{
	char text[256] = "";

	return expect(r, perform(r, text, sizeof(text)), "perform is not refused");
}

/* What a call that is refused at once is told is a reply, too. */
static void reply_at_once(struct replay *r, enum call call, int err)
{
	if (!err)
		return;
	r->asked[call].replied = true;
	r->asked[call].err = err;
}

static bool s_confirm(struct replay *r)
{
	char text[256];

	transfer_cancel(r);
	reply_at_once(r, CALL_CONFIRM,
		      migrator_confirm(r->s.m, &r->id, replay_uuid, r->cancelled, CLIENT_S,
				       CALL_CONFIRM, text, sizeof(text)));
	party_flush(&r->s);
	return true;
}

static bool d_finish(struct replay *r)
{
	char text[256];

	reply_at_once(r, CALL_FINISH,
		      migrator_finish(r->d.m, &r->id, NULL, r->cancelled, CLIENT_D, CALL_FINISH,
				      text, sizeof(text)));
	if (r->offline && !r->cancelled && r->d_guest == GUEST_WAITS) {
		r->d_guest = GUEST_FULL;
		r->d_state = true;
	}
	party_flush(&r->d);
	return true;
}

/*
 * The model's replies may come later than the code's: to Perform after the guest was given, and
 * given back. And earlier: when the phase is entered, and not when all is done; the code's then is
 * looked at in the end.
 */
static bool replies(struct replay *r, enum call call, enum reply reply)
{
	struct asked *a = &r->asked[call];

	if (!a->replied)
		a->awaited = reply;
	return !a->replied || reply == REPLY_ANY || (reply == REPLY_OK) == !a->err ||
	       differs(r, "the call is answered with %d", a->err);
}

bool replies_came(struct replay *r)
{
	for (enum call c = CALL_PERFORM; c < CALLS_; c++) {
		if (!r->asked[c].awaited)
			continue;
		if (!r->asked[c].replied)
			return differs(r, "call %d is not answered", c);
		if (!replies(r, c, r->asked[c].awaited))
			return false;
	}
	return true;
}

static bool s_replies_perform_ok(struct replay *r)
{
	return expect(r, r->asked[CALL_PERFORM].replied, "perform is not answered") &&
	       replies(r, CALL_PERFORM, REPLY_OK);
}

static bool s_replies_perform_error(struct replay *r)
{
	return r->s.was_given || replies(r, CALL_PERFORM, REPLY_ERROR);
}

static bool s_replies_confirm(struct replay *r)
{
	return replies(r, CALL_CONFIRM, REPLY_ANY);
}

static bool d_replies_finish_ok(struct replay *r)
{
	guest_ran(r);
	return expect(r, r->asked[CALL_FINISH].replied, "finish is not answered") &&
	       replies(r, CALL_FINISH, REPLY_OK);
}

static bool d_replies_finish_error(struct replay *r)
{
	return replies(r, CALL_FINISH, REPLY_ERROR);
}

const struct step client_steps[] = {
	{ "c begin", c_waits },
	{ "c prepare", c_waits },
	{ "c perform", c_waits },
	{ "c finish", c_goes_on },
	{ "c finish, cancelled", c_cancelled },
	{ "c confirm", c_goes_on },
	{ "c confirm, cancelled", c_cancelled },
	{ "c hang up", c_waits },
	{ "c loses s", c_waits },
	{ "c loses d", c_waits },
	{ "s begin ok", s_begin_ok },
	{ "d prepare ok", d_prepare_ok },
	{ "s perform ok", s_perform_ok },
	{ "s perform refused", s_perform_refused },
	{ "s confirm", s_confirm },
	{ "d finish", d_finish },
	{ "s replies perform ok", s_replies_perform_ok },
	{ "s replies perform error", s_replies_perform_error },
	{ "s replies confirm", s_replies_confirm },
	{ "d replies finish ok", d_replies_finish_ok },
	{ "d replies finish error", d_replies_finish_error },
	{ "s sees the client gone", s_sees_gone },
	{ "d sees the client gone", d_sees_gone },
	{ NULL, NULL },
};
