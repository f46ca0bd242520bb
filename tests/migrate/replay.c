/* SPDX-License-Identifier: MIT */
/*
 * The two daemons and what is between them.
 */
#include "replay.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t store_part[] = "store";

bool differs(struct replay *r, const char *fmt, ...)
{
	va_list ap;

	if (r->why[0])
		return false;
	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return false;
}

struct party *party_peer(struct party *p)
{
	return p == &p->r->s ? &p->r->d : &p->r->s;
}

static unsigned int kind_of(const struct mig_msg *msg)
{
	return msg->type == MIG_MSG_FAILED && !msg->promise ? (unsigned int)MSG_QUESTION
							    : msg->type;
}

/* ---- what a migrator asks for ---- */

static int journal(void *data, const struct mig_row *const *rows, size_t n,
		   const struct mig_id *gone, size_t n_gone)
{
	struct party *p = data;

	(void)gone;
	(void)n_gone;
	if (n) {
		p->row = *rows[n - 1];
		p->has_row = true;
		p->was_given |= p->row.phase == MIG_GIVEN;
	}
	return 0;
}

static void random_id(void *data, struct mig_id *ret)
{
	memset(ret, 7, sizeof(*ret));
	(void)data;
}

static void call_keep(struct party *p, const struct mig_msg *msg)
{
	struct said *s = &p->said[kind_of(msg)];

	p->wanted[kind_of(msg)] = true;
	s->ever = true;
	s->msg = *msg;
	snprintf(s->host, sizeof(s->host), "%s", msg->host);
	snprintf(s->why, sizeof(s->why), "%s", msg->why);
	s->msg.host = s->host;
	s->msg.why = s->why;
	if (msg->blob_len > sizeof(s->blob))
		abort();
	if (msg->blob_len)
		memcpy(s->blob, msg->blob, msg->blob_len);
	s->msg.blob = s->blob;
}

static void answer_keep(struct party *p, const struct mig_effect *e)
{
	struct said *said = party_peer(p)->said;

	for (unsigned int k = 0; k < MSG_KINDS; k++) {
		if (p->taken[k] != e->call)
			continue;
		p->taken[k] = 0;
		if (e->answer == MIG_ANS_LATER)
			return;
		said[k].way = WAY_MADE;
		said[k].answer = e->answer;
		return;
	}
}

static void reply_keep(struct replay *r, const struct mig_effect *e)
{
	if (e->call >= CALLS_)
		abort();
	r->asked[e->call].replied = true;
	r->asked[e->call].err = e->err;
	if (e->call == CALL_PREPARE && e->cookie)
		r->d_cookie = *e->cookie;
}

static void effect(void *data, const struct mig_effect *e)
{
	struct party *p = data;

	switch (e->type) {
	case MIG_DO_CALL:
		call_keep(p, e->msg);
		break;
	case MIG_DO_CALL_CANCEL:
		p->wanted[e->msg->type] = false;
		if (e->msg->type == MIG_MSG_FAILED)
			p->wanted[MSG_QUESTION] = false;
		break;
	case MIG_DO_ANSWER:
		answer_keep(p, e);
		break;
	case MIG_DO_REPLY:
		reply_keep(p->r, e);
		break;
	case MIG_DO_ARBITER:
		p->arbiter = *e;
		p->arbiter_served = false;
		p->due[e->type] = true;
		break;
	default:
		p->due[e->type] = true;
		break;
	}
}

static const struct mig_ops ops = { journal, effect, random_id };

void party_flush(struct party *p)
{
	while (p->m && !migrator_is_idle(p->m)) {
		if (migrator_flush(p->m))
			abort();
		if (p->due[MIG_DO_INCOMING]) {
			p->due[MIG_DO_INCOMING] = false;
			p->r->d_guest = GUEST_WAITS;
			migrator_incoming_ready(p->m, &p->r->id, 0, "");
		}
		/* Begin, and the key put right at once: who comes late is in the seeded world. */
		if (p->due[MIG_DO_ARBITER] && p->arbiter.put) {
			arbiter_serve(p->r, p);
			p->due[MIG_DO_ARBITER] = false;
			migrator_arbiter(p->m, &p->r->id, p->arbiter_says);
		}
	}
	transfer(p->r);
}

enum mig_phase party_phase(const struct party *p)
{
	const struct mig_row *row = p->m ? migrator_find(p->m, &p->r->id) : NULL;

	return row ? row->phase : MIG_DONE;
}

/* ---- life and death ---- */

void party_start(struct party *p)
{
	struct mig_self self = { .host = { .fingerprint = "" },
				 .arbiter = p->r->arbiter,
				 .limits = MIG_LIMITS_DEFAULT };

	snprintf(self.host.name, sizeof(self.host.name), "%s", p->name);
	snprintf(self.host.address, sizeof(self.host.address), "unix:///%s", p->name);
	p->m = migrator_new(&self, &ops, p);
	if (!p->m)
		abort();
	if (migrator_restore(p->m, &p->row, p->has_row, 1, p->now_ms))
		abort();
	if (p == &p->r->d)
		p->r->death_is_told = p->r->d_guest == GUEST_DEAD;
	if (p == &p->r->d && p->has_row && p->row.phase != MIG_DONE)
		migrator_found(p->m, &p->r->id,
			       p->r->d_guest != GUEST_GONE && p->r->d_guest != GUEST_DEAD,
			       p->r->d_guest == GUEST_FULL && p->r->d_state);
	party_flush(p);
}

void replies_are_lost(struct party *p)
{
	for (enum call c = CALL_PREPARE; c < CALLS_; c++) {
		if ((p == &p->r->d) == (c == CALL_PREPARE || c == CALL_FINISH))
			p->r->asked[c].awaited = REPLY_NONE;
	}
}

void party_kill(struct party *p)
{
	struct said *said = party_peer(p)->said;

	replies_are_lost(p);
	migrator_free(p->m);
	p->m = NULL;
	memset(p->due, 0, sizeof(p->due));
	memset(p->wanted, 0, sizeof(p->wanted));
	memset(p->taken, 0, sizeof(p->taken));
	for (unsigned int k = 0; k < MSG_KINDS; k++) {
		p->said[k].way = WAY_NONE;
		if (said[k].way == WAY_MADE)
			said[k].way = WAY_NONE;
	}
}

void replay_init(struct replay *r, bool arbiter, bool offline)
{
	memset(r, 0, sizeof(*r));
	r->arbiter = arbiter;
	r->offline = offline;
	r->s_guest = GUEST_RUNS;
	r->s = (struct party){ .r = r, .name = "s", .now_ms = 1 };
	r->d = (struct party){ .r = r, .name = "d", .now_ms = 1 };
	random_id(NULL, &r->id);
	party_start(&r->s);
	party_start(&r->d);
}

void replay_fini(struct replay *r)
{
	migrator_free(r->s.m);
	migrator_free(r->d.m);
}

/* ---- between them ---- */

/* The peer reads what was said, for the first time or again. */
bool deliver(struct party *from, unsigned int kind)
{
	struct party *to = party_peer(from);

	if (!from->said[kind].ever || !to->m)
		return differs(from->r, "%s has not said that", from->name);
	to->taken[kind] = ++from->r->ids + CALLS_;
	migrator_peer_call(to->m, &from->said[kind].msg, 1, to->taken[kind]);
	party_flush(to);
	return true;
}

/* Compare, and swap. */
void arbiter_serve(struct replay *r, struct party *p)
{
	const struct mig_effect *e = &p->arbiter;
	bool is_to = strcmp(r->key_host, e->to.host) == 0 && r->key_epoch == e->to.epoch;
	bool is_from = strcmp(r->key_host, e->from.host) == 0 && r->key_epoch == e->from.epoch;

	p->arbiter_says = is_to		      ? MIG_ARB_IS_TO
			  : is_from || e->put ? MIG_ARB_YES
					      : MIG_ARB_IS_OTHER;
	p->arbiter_served = true;
	if (p->arbiter_says == MIG_ARB_YES) {
		snprintf(r->key_host, sizeof(r->key_host), "%s", e->to.host);
		r->key_epoch = e->to.epoch;
	}
}

/* ---- the guest's memory ---- */

/*
 * In the model the guest is sent as soon as there is somebody to receive it, by the code when START
 * was answered: what is allowed waits for that.
 */
void transfer(struct replay *r)
{
	struct party *s = &r->s;

	if (r->may_send && s->m && s->due[MIG_DO_SEND]) {
		s->due[MIG_DO_SEND] = false;
		r->sending = true;
	}
	if (r->sending && r->may_stop && !r->s_stopped) {
		r->s_stopped = true;
		if (s->m)
			migrator_stopped(s->m, &r->id);
		party_flush(s);
	}
	if (!r->sending || !r->s_stopped || !r->may_receive)
		return;
	r->sending = false;
	if (r->d_guest == GUEST_WAITS)
		r->d_guest = GUEST_FULL;
	if (s->m)
		migrator_sent(s->m, &r->id, 0, "");
	party_flush(s);
}

/* The code waits for the sending and the export to end before it resumes; the model need not. */
void transfer_cancel(struct replay *r)
{
	struct party *s = &r->s;

	if (!s->m || party_phase(s) != MIG_ABORTING)
		return;
	if (s->due[MIG_DO_SEND_CANCEL] || s->due[MIG_DO_SEND]) {
		s->due[MIG_DO_SEND_CANCEL] = s->due[MIG_DO_SEND] = false;
		r->sending = false;
		migrator_sent(s->m, &r->id, ECANCELED, "cancelled");
	}
	if (s->due[MIG_DO_EXPORT]) {
		s->due[MIG_DO_EXPORT] = false;
		migrator_exported(s->m, &r->id, 0, "", store_part, sizeof(store_part));
	}
	party_flush(s);
}
