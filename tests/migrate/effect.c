/* SPDX-License-Identifier: MIT */
/*
 * What a daemon does about an effect: to processes, the store, peers, clients and the arbiter. Each
 * may fail where it may in earnest, and takes its time.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[HOSTS] = { "a", "b", "c" };
static const uint8_t blob_sent[4] = { 1, 2, 3, 4 };

static void call_peer(struct world *w, uint32_t n, const struct mig_effect *e)
{
	struct host *h = &w->hosts[n];
	uint32_t to = world_host_of(e->row->peer.name);
	struct event again = { .type = EV_RETRY, .host = n, .life = h->life };

	if (to >= w->n_hosts) {
		world_fail(w, "host %c calls nobody: %s", 'a' + (char)n,
			   mig_msg_name(e->msg->type));
		return;
	}
	if (w->mistake == MISTAKE_TAKEN && e->msg->type == MIG_MSG_TAKEN)
		return;
	if (e->msg->type == MIG_MSG_STATE &&
	    (e->msg->blob_len != 4 || memcmp(e->msg->blob, blob_sent, 3) != 0))
		world_fail(w, "STATE carries something else");
	for (size_t i = 0; i < CALLS; i++) {
		struct out_call *o = &h->out[i];

		if (o->used)
			continue;
		*o = (struct out_call){ true, e->id, *e->msg, to, (uint32_t)++w->ids };
		o->msg.host = names[n];
		o->msg.why = "";
		o->msg.blob = e->msg->blob ? blob_sent : NULL;
		if (w->cut[n][to] || !w->hosts[to].m)
			world_push(w, &(struct event){ .type = EV_REACH, .host = n, .other = to },
				   world_between(w, 1, 100));
		world_trace(w, "host %c calls %s", 'a' + (char)n, mig_msg_name(o->msg.type));
		again.serial = o->serial;
		world_push(w, &again, 0);
		return;
	}
	world_fail(w, "host %c has %u calls under way", 'a' + (char)n, CALLS);
}

static void call_cancel(struct world *w, uint32_t n, const struct mig_effect *e)
{
	for (size_t i = 0; i < CALLS; i++) {
		struct out_call *o = &w->hosts[n].out[i];

		if (o->used && o->msg.type == e->msg->type &&
		    memcmp(&o->id, &e->id, sizeof(o->id)) == 0)
			o->used = false;
	}
}

static void answer(struct world *w, uint32_t n, const struct mig_effect *e)
{
	struct host *h = &w->hosts[n];

	for (size_t i = 0; i < ANSWERS; i++) {
		struct in_call *c = &h->in[i];
		struct event ev = { .type = EV_ANSWER,
				    .host = c->from,
				    .life = c->from_life,
				    .id = c->id,
				    .answer = e->answer };

		if (c->call != e->call)
			continue;
		ev.msg.type = c->type;
		*c = (struct in_call){ 0 };
		if (e->link != 1 + ev.host)
			world_fail(w, "an answer for another link");
		if (w->cut[n][ev.host] || world_luck(w, 20))
			return;
		if (w->lose_next) {
			w->lose_next = false;
			return;
		}
		world_push(w, &ev, world_between(w, 1, 5));
		if (world_luck(w, 20))
			world_push(w, &ev, world_between(w, 1, 3000));
		return;
	}
	world_fail(w, "a call is answered that nobody made, or twice");
}

static void reply(struct world *w, uint32_t n, const struct mig_effect *e)
{
	struct event ev = {
		.type = EV_REPLY, .host = n, .call = e->call, .err = e->err, .flag = e->guest_runs
	};

	w->replies++;
	if (w->lose_reply || world_luck(w, 60)) {
		for (uint32_t c = 0; c < w->n_clients; c++)
			w->clients[c].lost |= w->clients[c].call == e->call;
		w->lose_reply = false;
		return;
	}
	if (e->cookie) {
		ev.cookie = malloc(sizeof(*ev.cookie));
		if (!ev.cookie)
			abort();
		*ev.cookie = *e->cookie;
	}
	world_push(w, &ev, world_between(w, 1, 4));
}

static void incoming(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct proc *p = &w->hosts[n].procs[g];

	if (p->state != PROC_NONE || w->hosts[n].store[g] != STORE_NONE) {
		done_in(w, n, e, -17, 1);
		return;
	}
	w->hosts[n].waiting[g] = e->id;
	*p = (struct proc){ .state = PROC_INCOMING, .for_migration = true, .mig = e->id };
	done_in(w, n, e, world_luck(w, 30) ? -5 : 0, world_between(w, 5, 60));
}

static void send_cancel(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct mig_effect sent = *e;

	sent.type = MIG_DO_SEND;
	if (w->hosts[n].transfers[g].active)
		transfer_end(w, n, g, false);
	else
		done_in(w, n, &sent, -125, world_between(w, 1, 10));
}

static void export_it(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct host *h = &w->hosts[n];
	bool bad = world_luck(w, 40) || w->fail_next;

	w->fail_next = false;
	if (h->store[g] == STORE_SERVES)
		h->store[g] = STORE_QUIET;
	done_in(w, n, e, bad ? -5 : 0, world_between(w, 1, 20));
}

static void import_it(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct host *h = &w->hosts[n];
	bool bad = world_luck(w, 40) || w->fail_next;

	w->fail_next = false;
	if (e->blob_len != 4 || memcmp(e->blob, blob_sent, 4) != 0)
		world_fail(w, "what is imported is not what was exported");
	if (!bad)
		h->store[g] = STORE_QUIET;
	done_in(w, n, e, bad ? -5 : 0, world_between(w, 1, 30));
}

static void run(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct host *h = &w->hosts[n];
	struct proc *p = &h->procs[g];
	bool its = p->state != PROC_NONE &&
		   (p->for_migration ? memcmp(&p->mig, &e->id, sizeof(p->mig)) == 0
				     : p->epoch == e->row->epoch + 1);

	if (e->row->flags & MIG_PERSIST_DEST)
		h->defined[g] = true;
	if (w->guests[g].offline) {
		done_in(w, n, e, 0, world_between(w, 1, 20));
		return;
	}
	if (!its) {
		/* Dead; or it may have run, and died then. */
		bool never = memcmp(&h->waiting[g], &e->id, sizeof(e->id)) == 0;

		done_in(w, n, e, never ? -3 : 0, 1);
		return;
	}
	h->store[g] = STORE_SERVES;
	p->for_migration = false;
	h->waiting[g] = (struct mig_id){ 0 };
	if (e->row->flags & MIG_PAUSED) {
		p->state = PROC_PAUSED;
		w->guests[g].wanted = false;
		w->guests[g].ran_at = n;
		w->guests[g].epoch = p->epoch = e->row->epoch + 1;
	} else {
		w->guests[g].wanted = true;
		proc_run(w, n, g, e->row->epoch + 1);
	}
	done_in(w, n, e, 0, world_between(w, 1, 20));
}

static void resume(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct host *h = &w->hosts[n];
	struct proc *p = &h->procs[g];
	uint64_t epoch = mig_row_epoch(e->row, &(bool){ false });

	if (w->guests[g].offline) {
		done_in(w, n, e, 0, 1);
		return;
	}
	if (p->state == PROC_NONE) {
		done_in(w, n, e, -3, 1);
		return;
	}
	if (h->transfers[g].active)
		world_fail(w, "it is resumed while it is being sent");
	if (p->for_migration)
		world_fail(w, "what is received is resumed");
	h->store[g] = STORE_SERVES;
	if (e->row->was_running)
		proc_run(w, n, g, epoch);
	else
		w->guests[g].epoch = p->epoch = epoch;
	done_in(w, n, e, 0, world_between(w, 1, 20));
}

static void destroy(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct host *h = &w->hosts[n];
	struct proc *p = &h->procs[g];

	if (e->row->side == MIG_SOURCE) {
		if (e->row->flags & MIG_UNDEFINE_SOURCE)
			h->defined[g] = false;
		h->store[g] = STORE_NONE;
		proc_gone(w, n, g);
	} else if (p->state != PROC_NONE && p->for_migration &&
		   memcmp(&p->mig, &e->id, sizeof(p->mig)) == 0) {
		h->store[g] = STORE_NONE;
		proc_gone(w, n, g);
	} else if (p->state == PROC_NONE) {
		h->store[g] = STORE_NONE;
	}
	done_in(w, n, e, 0, world_between(w, 1, 100));
}

static void arbiter_ask(struct world *w, uint32_t n, const struct mig_effect *e, uint32_t g)
{
	struct event ask = { .type = EV_ARBITER,
			     .host = n,
			     .life = w->hosts[n].life,
			     .id = e->id,
			     .guest = g,
			     .put = e->put,
			     .from_host = world_host_of(e->from.host),
			     .from_epoch = e->from.epoch,
			     .to_host = world_host_of(e->to.host),
			     .to_epoch = e->to.epoch };
	struct event is = { .type = EV_ARBITER_IS,
			    .host = n,
			    .life = w->hosts[n].life,
			    .id = e->id,
			    .err = MIG_ARB_UNREACHABLE };

	/* Lost; or done, and the answer lost; or done much later, when nobody thinks of it. */
	ask.flag = true;
	if (w->arbiter_cut[n] || world_luck(w, 6)) {
		ask.flag = false;
		world_push(w, &is, 500);
		if (w->arbiter_cut[n] || world_luck(w, 2))
			return;
		world_push(w, &ask, world_between(w, 1, world_luck(w, 3) ? 20000 : 400));
		return;
	}
	world_push(w, &ask, world_between(w, 1, 10));
}

/* At the arbiter: one key for each guest. */
void arbiter_event(struct world *w, const struct event *e)
{
	struct guest *g = &w->guests[e->guest];
	struct event is = { .type = EV_ARBITER_IS, .host = e->host, .life = e->life, .id = e->id };

	if (e->put || (g->arbiter_set && g->arbiter_host == e->from_host &&
		       g->arbiter_epoch == e->from_epoch)) {
		g->arbiter_set = true;
		g->arbiter_host = e->to_host;
		g->arbiter_epoch = e->to_epoch;
		is.err = MIG_ARB_YES;
	} else if (g->arbiter_set && g->arbiter_host == e->to_host &&
		   g->arbiter_epoch == e->to_epoch) {
		is.err = MIG_ARB_IS_TO;
	} else {
		is.err = MIG_ARB_IS_OTHER;
	}
	world_trace(w, "arbiter: %s%c/%llu: %d", e->put ? "put " : "", 'a' + (char)e->to_host,
		    (unsigned long long)e->to_epoch, is.err);
	if (e->flag)
		world_push(w, &is, world_between(w, 1, 10));
}

void host_effect(struct world *w, uint32_t n, const struct mig_effect *e)
{
	uint32_t g;

	if (!e->row) {
		if (e->type != MIG_DO_ANSWER)
			world_fail(w, "effect %u without a row", e->type);
		answer(w, n, e);
		return;
	}
	g = world_guest_of(e->row->uuid);
	switch (e->type) {
	case MIG_DO_CALL:
		call_peer(w, n, e);
		break;
	case MIG_DO_CALL_CANCEL:
		call_cancel(w, n, e);
		break;
	case MIG_DO_ANSWER:
		answer(w, n, e);
		break;
	case MIG_DO_REPLY:
		reply(w, n, e);
		break;
	case MIG_DO_INCOMING:
		incoming(w, n, e, g);
		break;
	case MIG_DO_SEND:
		transfer_start(w, n, g, e->row);
		break;
	case MIG_DO_SEND_CANCEL:
		send_cancel(w, n, e, g);
		break;
	case MIG_DO_EXPORT:
		export_it(w, n, e, g);
		break;
	case MIG_DO_IMPORT:
		import_it(w, n, e, g);
		break;
	case MIG_DO_RUN:
		run(w, n, e, g);
		break;
	case MIG_DO_RESUME:
		resume(w, n, e, g);
		break;
	case MIG_DO_DESTROY:
		destroy(w, n, e, g);
		break;
	case MIG_DO_ARBITER:
		arbiter_ask(w, n, e, g);
		break;
	default:
		break;
	}
}
