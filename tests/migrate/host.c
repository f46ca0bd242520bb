/* SPDX-License-Identifier: MIT */
/*
 * A host's daemon: what is around its migrator. It has the duties of the real one: calls to peers
 * are said again until they are answered, a restart finds what outlived it, and what was received
 * for a migration that no row knows is destroyed.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host *host_of(struct world *w, uint32_t h)
{
	return &w->hosts[h];
}

const struct mig_row *host_row(const struct host *h, const struct mig_id *id)
{
	for (size_t i = 0; i < h->n_rows; i++) {
		if (memcmp(&h->rows[i].id, id, sizeof(*id)) == 0)
			return &h->rows[i];
	}
	return NULL;
}

/* ---- what the migrator asks of its owner ---- */

struct owner {
	struct world *w;
	uint32_t h;
	/* what MISTAKE_JOURNAL keeps back */
	struct mig_row late[ROWS];
	size_t n_late;
};

static struct owner owners[HOSTS];

static void row_write(struct world *w, struct host *h, const struct mig_row *row)
{
	uint64_t epoch, *latest = &h->epochs[world_guest_of(row->uuid)];
	size_t i;

	for (i = 0; i < h->n_rows; i++) {
		if (memcmp(&h->rows[i].id, &row->id, sizeof(row->id)) == 0)
			break;
	}
	if (i == ROWS) {
		world_fail(w, "too many rows");
		return;
	}
	if (i == h->n_rows)
		h->n_rows++;
	if (mig_row_check(row))
		world_fail(w, "a row that could not be read again: %s", mig_phase_name(row->phase));
	h->rows[i] = *row;
	/* An older one's row, written again, lowers nothing. */
	epoch = mig_row_epoch(row, &(bool){ false });
	if (epoch > *latest)
		*latest = epoch;
}

static int journal(void *data, const struct mig_row *const *rows, size_t n,
		   const struct mig_id *gone, size_t n_gone)
{
	struct owner *o = data;
	struct world *w = o->w;
	struct host *h = host_of(w, o->h);

	(void)gone;
	(void)n_gone;
	if (world_luck(w, 150)) {
		h->dying = true; /* before it was durable */
		return -5;
	}
	for (size_t i = 0; i < o->n_late; i++)
		row_write(w, h, &o->late[i]);
	o->n_late = 0;
	for (size_t i = 0; i < n; i++) {
		world_trace(w, "host %c: journal: %s %s", 'a' + (char)o->h, rows[i]->guest,
			    mig_phase_name(rows[i]->phase));
		if (w->mistake == MISTAKE_JOURNAL)
			o->late[o->n_late++] = *rows[i];
		else
			row_write(w, h, rows[i]);
	}
	if (world_luck(w, 150)) {
		h->dying = true; /* and just after */
		return -5;
	}
	return 0;
}

static void effect(void *data, const struct mig_effect *e)
{
	struct owner *o = data;
	struct host *h = host_of(o->w, o->h);

	if (h->dying)
		return;
	judge_effect(o->w, o->h, e);
	host_effect(o->w, o->h, e);
	o->w->effects++;
	if (o->w->effects == o->w->kill_at || world_luck(o->w, 250))
		h->dying = true;
}

static void random_id(void *data, struct mig_id *ret)
{
	struct owner *o = data;
	uint64_t n = ++o->w->ids;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &n, sizeof(n));
}

static const struct mig_ops ops = { journal, effect, random_id };

/* ---- life and death ---- */

/* Of everything that was received: what the journal knows is told, the rest is destroyed. */
static void find_all(struct world *w, uint32_t n)
{
	struct host *h = host_of(w, n);

	for (size_t i = 0; i < h->n_rows; i++) {
		const struct mig_row *row = &h->rows[i];
		uint32_t g = world_guest_of(row->uuid);
		const struct proc *p = &h->procs[g];
		bool its = p->state != PROC_NONE && p->for_migration &&
			   memcmp(&p->mig, &row->id, sizeof(p->mig)) == 0;

		if (row->side != MIG_DESTINATION || row->phase == MIG_DONE)
			continue;
		if (row->flags & MIG_OFFLINE)
			migrator_found(h->m, &row->id, false, !world_luck(w, 4));
		else
			migrator_found(h->m, &row->id, its,
				       its && p->received && h->store[g] != STORE_NONE);
	}
	for (uint32_t g = 0; g < w->n_guests; g++) {
		struct proc *p = &h->procs[g];

		if (p->state == PROC_NONE || !p->for_migration || host_row(h, &p->mig))
			continue;
		proc_gone(w, n, g);
		h->store[g] = STORE_NONE;
	}
}

void host_start(struct world *w, uint32_t n)
{
	struct host *h = host_of(w, n);
	struct mig_self self = { .arbiter = w->arbiter, .limits = MIG_LIMITS_DEFAULT };

	snprintf(self.host.name, sizeof(self.host.name), "%c", 'a' + (char)n);
	h->life++;
	h->dying = false;
	h->stopped_until_ms = 0;
	h->restart_ms = UINT64_MAX;
	owners[n] = (struct owner){ .w = w, .h = n };
	h->m = migrator_new(&self, &ops, &owners[n]);
	if (!h->m)
		abort();
	world_trace(w, "host %c starts", 'a' + (char)n);
	if (w->mistake == MISTAKE_RESTART)
		h->n_rows = 0;
	if (migrator_restore(h->m, h->rows, h->n_rows, w->now_ms, w->now_ms))
		world_fail(w, "host %c: its own rows are refused", 'a' + (char)n);
	find_all(w, n);
	for (uint32_t p = 0; p < w->n_hosts; p++) {
		if (p == n || w->cut[n][p])
			continue;
		world_push(w,
			   &(struct event){ .type = EV_REACH, .host = p, .other = n, .flag = true },
			   world_between(w, 1, 200));
	}
	host_round(w, n);
}

void host_kill(struct world *w, uint32_t n)
{
	struct host *h = host_of(w, n);

	if (!h->m)
		return;
	world_trace(w, "host %c dies", 'a' + (char)n);
	w->faults++;
	migrator_free(h->m);
	h->m = NULL;
	h->dying = false;
	memset(h->out, 0, sizeof(h->out));
	memset(h->in, 0, sizeof(h->in));
	h->restart_ms = w->now_ms + (prng_once_in(&w->rng, 4) ? world_between(w, 1000, 40000)
							      : world_between(w, 5, 500));
	for (uint32_t c = 0; c < w->n_clients; c++) {
		struct client *k = &w->clients[c];

		if (k->alive && (k->src == n || k->dst == n))
			world_push(w, &(struct event){ .type = EV_BROKEN, .host = n, .other = c },
				   world_between(w, 0, 50));
	}
	for (uint32_t p = 0; p < w->n_hosts; p++) {
		if (p != n)
			world_push(w, &(struct event){ .type = EV_REACH, .host = p, .other = n },
				   world_between(w, 0, 100));
	}
}

void host_round(struct world *w, uint32_t n)
{
	struct host *h = host_of(w, n);

	if (!h->m)
		return;
	migrator_tick(h->m, w->now_ms, w->now_ms);
	while (!migrator_is_idle(h->m)) {
		int r = migrator_flush(h->m);

		if (r || h->dying) {
			if (!h->dying)
				world_fail(w, "flush says %d", r);
			host_kill(w, n);
			return;
		}
	}
}

/* ---- what arrives ---- */

struct reach {
	struct migrator *m;
	struct mig_id ids[ROWS * 2];
	size_t n;
	uint32_t peer;
};

static void reach_row(void *data, const struct mig_row *row)
{
	struct reach *r = data;

	if (row->phase != MIG_DONE && world_host_of(row->peer.name) == r->peer && r->n < ROWS * 2)
		r->ids[r->n++] = row->id;
}

static void reach_changed(struct world *w, const struct event *e)
{
	struct reach r = { .m = w->hosts[e->host].m, .peer = e->other };

	/* News that are out of date by now are not told. */
	if (e->flag != (w->hosts[e->other].m && !w->cut[e->host][e->other]))
		return;
	migrator_each(r.m, reach_row, &r);
	for (size_t i = 0; i < r.n; i++)
		migrator_peer_reach(r.m, &r.ids[i], e->flag);
}

static void msg_arrived(struct world *w, const struct event *e)
{
	struct host *h = host_of(w, e->host);

	for (size_t i = 0; i < ANSWERS; i++) {
		if (h->in[i].call)
			continue;
		h->in[i] =
			(struct in_call){ ++w->ids, e->other, e->serial, e->msg.id, e->msg.type };
		world_trace(w, "host %c hears %s", 'a' + (char)e->host, mig_msg_name(e->msg.type));
		if (w->mistake == MISTAKE_GRANT && e->msg.type == MIG_MSG_COMMIT) {
			/* As it would be said by one who does not ask its journal. */
			struct event lie = { .type = EV_ANSWER,
					     .host = e->other,
					     .life = e->serial,
					     .id = e->msg.id,
					     .msg = { .type = MIG_MSG_COMMIT },
					     .answer = MIG_ANS_GRANTED };

			world_push(w, &lie, 1);
		}
		migrator_peer_call(h->m, &e->msg, 1 + e->other, h->in[i].call);
		return;
	}
	world_fail(w, "host %c keeps %u calls of its peers", 'a' + (char)e->host, ANSWERS);
}

static void answer_arrived(struct world *w, const struct event *e)
{
	struct host *h = host_of(w, e->host);

	for (size_t i = 0; i < CALLS; i++) {
		struct out_call *o = &h->out[i];

		if (!o->used || memcmp(&o->id, &e->id, sizeof(o->id)) != 0 ||
		    o->msg.type != e->msg.type)
			continue;
		world_trace(w, "host %c is answered %s: %s", 'a' + (char)e->host,
			    mig_msg_name(e->msg.type), mig_answer_name(e->answer));
		if (e->answer == MIG_ANS_LATER)
			return;
		o->used = false;
		migrator_answer(h->m, &e->id, e->msg.type, e->answer, "");
		return;
	}
}

static void msg_say(struct world *w, uint32_t n, struct out_call *o)
{
	struct event e = { .type = EV_MSG,
			   .host = o->to,
			   .other = n,
			   .serial = w->hosts[n].life,
			   .msg = o->msg,
			   .id = o->id };
	struct event again = {
		.type = EV_RETRY, .host = n, .life = w->hosts[n].life, .serial = o->serial
	};
	bool lost = w->cut[n][o->to] || world_luck(w, 20);
	bool twice = world_luck(w, 20);

	if (w->lose_next || w->twice_next) {
		lost = lost || w->lose_next;
		twice = !w->lose_next;
		w->lose_next = w->twice_next = false;
	}
	if (!lost)
		world_push(w, &e, world_between(w, 1, 5));
	if (!lost && (twice || world_luck(w, 40)))
		world_push(w, &e, twice ? world_between(w, 1, 20) : world_between(w, 1000, 30000));
	world_push(w, &again, MIG_RETRY_MS);
}

static void msg_again(struct world *w, const struct event *e)
{
	struct host *h = host_of(w, e->host);

	for (size_t i = 0; i < CALLS; i++) {
		if (h->out[i].used && h->out[i].serial == e->serial)
			msg_say(w, e->host, &h->out[i]);
	}
}

static void done_arrived(struct world *w, const struct event *e)
{
	struct migrator *m = w->hosts[e->host].m;
	const char *why = e->err ? "it fails here" : "";
	uint8_t blob[4] = { 1, 2, 3, 4 };

	switch (e->done) {
	case MIG_DO_INCOMING:
		migrator_incoming_ready(m, &e->id, e->err, why);
		break;
	case MIG_DO_EXPORT:
		migrator_exported(m, &e->id, e->err, why, blob, sizeof(blob));
		break;
	case MIG_DO_IMPORT:
		migrator_imported(m, &e->id, e->err, why);
		break;
	case MIG_DO_RUN:
		migrator_running(m, &e->id, e->err, why);
		break;
	case MIG_DO_RESUME:
		migrator_resumed(m, &e->id, e->err, why);
		break;
	case MIG_DO_DESTROY:
		migrator_gone(m, &e->id);
		break;
	case MIG_DO_SEND_CANCEL:
		migrator_stopped(m, &e->id);
		break;
	case MIG_DO_SEND:
		migrator_sent(m, &e->id, e->err, why);
		break;
	case MIG_DO_ANSWER: /* what the receiving process says */
		migrator_received(m, &e->id, e->err, why);
		break;
	default:
		migrator_guest_died(m, &e->id, "its process ended");
		break;
	}
}

void host_event(struct world *w, const struct event *e)
{
	struct host *h = host_of(w, e->host);

	migrator_tick(h->m, w->now_ms, w->now_ms);
	switch (e->type) {
	case EV_MSG:
		msg_arrived(w, e);
		break;
	case EV_ANSWER:
		answer_arrived(w, e);
		break;
	case EV_RETRY:
		msg_again(w, e);
		break;
	case EV_CLIENT:
		client_call(w, e);
		break;
	case EV_CLOSED:
		migrator_client_closed(h->m, e->call);
		break;
	case EV_REACH:
		reach_changed(w, e);
		break;
	case EV_ARBITER_IS:
		migrator_arbiter(h->m, &e->id, (enum mig_arbiter)e->err);
		break;
	case EV_DONE:
		done_arrived(w, e);
		break;
	default:
		break;
	}
	host_round(w, e->host);
}
