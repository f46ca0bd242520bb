/* SPDX-License-Identifier: MIT */
/*
 * The steps that are messages between the daemons: said, taken, answered, heard and lost.
 */
#include "replay.h"

#include <stdio.h>
#include <string.h>

/* ---- messages: "<who> takes|answers|hears|says <message> [<answer>]", "n loses …" ---- */

const char *const replay_kinds[MSG_KINDS] = {
	[MIG_MSG_START] = "start",   [MIG_MSG_STATE] = "state",	  [MIG_MSG_ABORT] = "abort",
	[MIG_MSG_COMMIT] = "commit", [MIG_MSG_FAILED] = "failed", [MIG_MSG_TAKEN] = "taken",
	[MIG_MSG_RETURN] = "return", [MSG_QUESTION] = "question",
};
static const char *const answers[MIG_ANSWERS] = {
	[MIG_ANS_OK] = "ok",
	[MIG_ANS_GRANTED] = "granted",
	[MIG_ANS_REFUSED] = "refused",
	[MIG_ANS_OWNED] = "owned",
};

static unsigned int find(const char *const *names, unsigned int n, const char *name)
{
	unsigned int i = 0;

	while (i < n && (!names[i] || strcmp(names[i], name) != 0))
		i++;
	return i;
}

static bool is_from_source(unsigned int kind)
{
	return kind == MIG_MSG_START || kind == MIG_MSG_STATE || kind == MIG_MSG_ABORT;
}

static bool tell_failed(struct replay *r)
{
	enum mig_phase is = party_phase(&r->s);

	return (is != MIG_PERFORMING && is != MIG_SENT) || !r->d.wanted[MIG_MSG_FAILED] ||
	       deliver(&r->d, MIG_MSG_FAILED);
}

static bool hears_it(struct party *p, unsigned int kind)
{
	struct said *said = &p->said[kind];

	if (said->needless)
		return true;
	if (kind == MIG_MSG_RETURN)
		guest_destroy(p); /* which the code says only then */
	if (!p->wanted[kind]) /* heard before: of what it dropped since, the destination speaks */
		return said->answer != MIG_ANS_REFUSED || p == &p->r->d || tell_failed(p->r);
	if (said->way != WAY_SENT)
		return differs(p->r, "nothing was answered");
	death_is_known(p);
	p->wanted[kind] = false;
	migrator_answer(p->m, &p->r->id,
			kind == MSG_QUESTION ? MIG_MSG_FAILED : (enum mig_msg_type)kind,
			said->answer, "");
	party_flush(p);
	return true;
}

/*
 * What one hears from a message that the code does not say, it hears from the answer to what it
 * says itself: the source to its ABORT, in place of FAILED; the destination to its question, in
 * place of ABORT.
 */
static bool hears_otherwise(struct party *p, unsigned int kind)
{
	struct said *said = &p->said[kind];

	if (!p->m || !p->wanted[kind] || !party_peer(p)->m)
		return true;
	if (!deliver(p, kind) || said->way != WAY_MADE || said->answer != MIG_ANS_OK)
		return differs(p->r, "%s is not told", p->name);
	said->way = WAY_SENT;
	return hears_it(p, kind);
}

/*
 * The model journals and answers in two steps, and something may come in between: what the code had
 * answered by then is lost, and it is asked again.
 */
static bool answers_it(struct party *from, unsigned int kind, enum mig_answer expected)
{
	struct said *said = &from->said[kind];

	if (said->needless)
		return kind != MIG_MSG_FAILED || hears_otherwise(&from->r->s, MIG_MSG_ABORT);
	if ((said->way != WAY_MADE || said->answer != expected) && !deliver(from, kind))
		return false;
	if (said->way != WAY_MADE)
		return differs(from->r, "it is not answered");
	if (said->answer != expected)
		return differs(from->r, "the answer is %s", mig_answer_name(said->answer));
	said->way = WAY_SENT;
	if (kind == MIG_MSG_STATE && from->r->d.due[MIG_DO_IMPORT]) {
		from->r->d.due[MIG_DO_IMPORT] = false;
		from->r->d_state = true;
	}
	return true;
}

static bool takes_it(struct party *from, unsigned int kind)
{
	if (from->said[kind].needless)
		return kind != MIG_MSG_ABORT || hears_otherwise(&from->r->d, MSG_QUESTION);
	if (!deliver(from, kind))
		return false;
	/* Whoever says that it took it must not hear that all is done before it is. */
	return kind != MIG_MSG_TAKEN || from->said[kind].way != WAY_MADE ||
	       from->r->s_guest == GUEST_GONE ||
	       differs(from->r, "it is answered before the guest is gone");
}

static bool knows_it_heard(const struct party *p)
{
	const struct mig_row *row = migrator_find(p->m, &p->r->id);

	return !row || row->told;
}

static bool says_it(struct party *p, unsigned int kind)
{
	if (kind == MIG_MSG_COMMIT)
		all_is_there(p->r);
	if (kind == MIG_MSG_TAKEN)
		guest_ran(p->r);
	if (kind == MIG_MSG_RETURN)
		guest_destroy(p);
	p->said[kind].needless = !p->wanted[kind] &&
				 (kind == MIG_MSG_ABORT || kind == MIG_MSG_FAILED) &&
				 knows_it_heard(p);
	return p->said[kind].needless || expect(p->r, p->wanted[kind], "that is not said");
}

bool step_message(struct replay *r, const char *who, const char *verb, const char *what,
		  const char *answer)
{
	unsigned int kind = find(replay_kinds, MSG_KINDS, what);
	unsigned int a = find(answers, MIG_ANSWERS, answer);
	struct party *p = who[0] == 's' ? &r->s : &r->d;

	if (kind == MSG_KINDS)
		return differs(r, "the step is not known");
	if (p == &r->s)
		transfer_cancel(r);
	if (strcmp(verb, "takes") == 0)
		return takes_it(party_peer(p), kind);
	if (strcmp(verb, "answers") == 0 && a < MIG_ANSWERS)
		return answers_it(party_peer(p), kind, (enum mig_answer)a);
	if (strcmp(verb, "hears") == 0)
		return hears_it(p, kind);
	if (strcmp(verb, "says") == 0)
		return says_it(p, kind);
	return differs(r, "the step is not known");
}

bool step_loses(struct replay *r, const char *step)
{
	char what[16] = "";

	if (sscanf(step, "n loses answer %15s", what) == 1) {
		unsigned int kind = find(replay_kinds, MSG_KINDS, what);
		struct party *p = is_from_source(kind) ? &r->s : &r->d;

		if (kind == MSG_KINDS)
			return differs(r, "the step is not known");
		p->said[kind].way = WAY_NONE;
		return true;
	}
	return strncmp(step, "n loses ", 8) == 0; /* it is said until it is answered */
}
