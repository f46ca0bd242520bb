/* SPDX-License-Identifier: MIT */
/*
 * The queue of what is to be done. An effect is made of copies, so that nothing that happens before
 * the round ends changes what it says; only rows are looked at later, as the journal has them.
 */
#include "migrate/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

static struct effect *broken(struct migrator *m)
{
	if (!m->broken)
		m->broken = FAULT(-ENOMEM);
	return NULL;
}

struct effect *effect_add(struct migrator *m, struct migration *g, enum mig_effect_type type,
			  const char *why)
{
	struct effect *e = calloc(1, sizeof(*e));

	if (!e)
		return broken(m);
	list_init(&e->link);
	e->g = g;
	e->e.type = type;
	e->e.why = e->why;
	snprintf(e->why, sizeof(e->why), "%s", why ? why : "");
	if (g) {
		e->e.id = g->row.id;
		g->effects++;
	}
	list_append(&m->effects, &e->link);
	return e;
}

void effect_free(struct effect *e)
{
	if (!e)
		return;
	if (e->g)
		e->g->effects--;
	list_remove(&e->link);
	free(e->cookie);
	free(e->blob);
	free(e);
}

void effect_call(struct migration *g, enum mig_msg_type type, const uint8_t *blob, size_t len)
{
	struct effect *e;

	if (g->calls & 1u << type)
		return;
	e = effect_add(g->m, g, MIG_DO_CALL, g->row.why);
	if (!e)
		return;
	if (blob) {
		e->blob = malloc(len ? len : 1);
		if (!e->blob) {
			effect_free(e);
			broken(g->m);
			return;
		}
		memcpy(e->blob, blob, len);
	}
	e->msg = (struct mig_msg){
		.type = type,
		.id = g->row.id,
		.epoch = g->row.epoch,
		.promise = type == MIG_MSG_FAILED && g->row.phase == MIG_DROPPED,
		.arbiter = g->row.arbiter,
		.host = g->m->self.host.name,
		.why = e->why,
		.blob = e->blob,
		.blob_len = len,
	};
	e->e.msg = &e->msg;
	g->calls |= 1u << type;
}

void effect_call_cancel(struct migration *g, enum mig_msg_type type)
{
	struct effect *e;

	if (!(g->calls & 1u << type))
		return;
	g->calls &= ~(1u << type);
	e = effect_add(g->m, g, MIG_DO_CALL_CANCEL, NULL);
	if (!e)
		return;
	e->msg = (struct mig_msg){ .type = type,
				   .id = g->row.id,
				   .epoch = g->row.epoch,
				   .host = g->m->self.host.name,
				   .why = e->why };
	e->e.msg = &e->msg;
}

void effect_answer(struct migrator *m, struct migration *g, const struct mig_msg *msg,
		   uint64_t link, uint64_t call, enum mig_answer answer, const char *why)
{
	struct effect *e = effect_add(m, g, MIG_DO_ANSWER, why);

	if (!e)
		return;
	if (msg)
		e->e.id = msg->id;
	e->e.link = link;
	e->e.call = call;
	e->e.answer = answer;
}

void row_cookie(const struct migration *g, struct mig_cookie *ret)
{
	*ret = (struct mig_cookie){
		.id = g->row.id,
		.epoch = g->row.epoch,
		.flags = g->row.flags,
		.arbiter = g->row.arbiter,
		.host = g->m->self.host,
	};
	memcpy(ret->uuid, g->row.uuid, sizeof(ret->uuid));
	memcpy(ret->guest, g->row.guest, sizeof(ret->guest));
}

void effect_reply(struct migration *g, enum wait_for w, int err, const char *why, bool guest_runs,
		  bool cookie)
{
	struct wait *wait = &g->waits[w];
	struct effect *e;

	if (!wait->call)
		return;
	e = effect_add(g->m, g, MIG_DO_REPLY, why);
	if (!e)
		return;
	e->e.call = wait->call;
	e->e.err = err;
	e->e.guest_runs = guest_runs;
	*wait = (struct wait){ 0 };
	if (!cookie)
		return;
	e->cookie = malloc(sizeof(*e->cookie));
	if (!e->cookie) {
		broken(g->m);
		return;
	}
	row_cookie(g, e->cookie);
	e->e.cookie = e->cookie;
}

void effect_arbiter(struct migration *g, bool put, const char *from_host, uint64_t from_epoch,
		    const char *to_host, uint64_t to_epoch)
{
	struct effect *e;

	assert(!g->arb_busy);
	e = effect_add(g->m, g, MIG_DO_ARBITER, NULL);
	if (!e)
		return;
	g->arb_busy = true;
	e->e.put = put;
	snprintf(e->e.from.host, sizeof(e->e.from.host), "%s", from_host);
	e->e.from.epoch = from_epoch;
	snprintf(e->e.to.host, sizeof(e->e.to.host), "%s", to_host);
	e->e.to.epoch = to_epoch;
}
