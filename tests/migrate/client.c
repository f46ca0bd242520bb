/* SPDX-License-Identifier: MIT */
/*
 * Clients that do what libvirt's library does: five calls, and on each failure what it does then.
 * They hang when a reply is lost, and die in the middle.
 */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ask(struct world *w, uint32_t c, enum step step)
{
	struct client *k = &w->clients[c];
	bool to_dst = step == STEP_PREPARE || step == STEP_FINISH;
	uint32_t at = to_dst ? k->dst : k->src;
	struct event e = { .type = EV_CLIENT, .host = at, .other = c, .call = ++w->ids };

	k->step = step;
	k->since_ms = w->now_ms;
	k->at = at;
	k->call = e.call;
	k->arrived = k->lost = false;
	if (step == STEP_END) {
		client_kill(w, c);
		return;
	}
	e.serial = step;
	if (!w->hosts[at].m || !k->conns[to_dst])
		world_push(w, &(struct event){ .type = EV_BROKEN, .host = at, .other = c }, 1);
	else if (!world_luck(w, 80))
		world_push(w, &e, world_between(w, 1, 4));
}

/* Somebody wants some guest somewhere else. */
void client_start(struct world *w)
{
	struct client *k = &w->clients[w->n_clients];
	uint32_t g = w->random_faults ? prng_below(&w->rng, (uint32_t)w->n_guests) : 0;
	uint32_t src = 0;

	if (w->n_clients >= CLIENTS || w->now_ms >= w->quiet_ms)
		return;
	if (w->random_faults)
		world_push(w, &(struct event){ .type = EV_START }, world_between(w, 1, 3000));
	while (src < w->n_hosts &&
	       (w->guests[g].offline ? !w->hosts[src].defined[g]
				     : w->hosts[src].procs[g].state < PROC_PAUSED))
		src++;
	if (src == w->n_hosts)
		return;
	*k = (struct client){ .alive = true, .guest = g, .src = src };
	k->dst =
		(src + 1 + (w->random_faults ? prng_below(&w->rng, (uint32_t)w->n_hosts - 1) : 0)) %
		(uint32_t)w->n_hosts;
	k->flags = MIG_LIVE | MIG_PERSIST_DEST | MIG_UNDEFINE_SOURCE;
	if (!w->random_faults || prng_once_in(&w->rng, 2))
		k->flags |= MIG_CHANGE_PROTECTION;
	if (w->random_faults && prng_once_in(&w->rng, 8))
		k->flags |= MIG_PAUSED;
	if (w->guests[g].offline)
		k->flags = (k->flags & ~(uint32_t)(MIG_LIVE | MIG_PAUSED)) | MIG_OFFLINE;
	k->conns[0] = ++w->ids;
	k->conns[1] = ++w->ids;
	w->n_clients++;
	ask(w, (uint32_t)w->n_clients - 1, STEP_BEGIN);
}

/* Its connections close; daemons notice some time later. */
void client_kill(struct world *w, uint32_t c)
{
	struct client *k = &w->clients[c];

	if (!k->alive)
		return;
	k->alive = false;
	for (unsigned int i = 0; i < 2; i++) {
		struct event e = { .type = EV_CLOSED,
				   .host = i ? k->dst : k->src,
				   .call = k->conns[i] };

		if (k->conns[i])
			world_push(w, &e, world_between(w, 0, 10));
	}
}

void clients_end(struct world *w)
{
	for (uint32_t c = 0; c < w->n_clients; c++) {
		const struct client *k = &w->clients[c];

		if (k->alive && k->call && k->arrived && !k->lost && k->conns[k->at == k->dst] &&
		    w->hosts[k->at].life == k->life)
			world_fail(w, "client %u was never answered by %c (step %u)", c,
				   'a' + (char)k->at, k->step);
		client_kill(w, c);
	}
}

/* ---- at the daemon ---- */

static int begin(struct world *w, struct client *k, const struct event *e, char *text, size_t room)
{
	struct host *h = &w->hosts[e->host];
	struct mig_begin b = { .guest = "guest", .flags = k->flags };
	const struct proc *p = &h->procs[k->guest];

	b.uuid[0] = (uint8_t)k->guest;
	b.epoch = w->guests[k->guest].offline ? h->epochs[k->guest] : p->epoch;
	b.running = p->state == PROC_RUNNING;
	if (w->guests[k->guest].offline ? !h->defined[k->guest]
					: p->state < PROC_PAUSED || p->for_migration)
		return ENOENT;
	return migrator_begin(h->m, &b, k->conns[0], &k->cookie, text, room);
}

static int prepare(struct world *w, struct client *k, const struct event *e, char *text,
		   size_t room)
{
	struct host *h = &w->hosts[e->host];
	struct mig_cookie cookie;
	char *printed;
	size_t len;
	int r;

	if (h->procs[k->guest].state != PROC_NONE)
		return EEXIST;
	printed = mig_cookie_print(&k->cookie, &len);
	if (!printed)
		abort();
	r = mig_cookie_parse(printed, len, &cookie, text, room);
	free(printed);
	if (r)
		world_fail(w, "%s", text);
	return migrator_prepare(h->m, &cookie, k->flags, NULL, k->conns[1], e->call, text, room);
}

/* What the daemon's front door does with a call. */
void client_call(struct world *w, const struct event *e)
{
	struct client *k = &w->clients[e->other];
	struct host *h = &w->hosts[e->host];
	struct event reply = { .type = EV_REPLY, .host = e->host, .call = e->call };
	uint8_t uuid[MIG_UUID_SIZE] = { (uint8_t)k->guest };
	char text[MIG_WHY_MAX] = "";
	int r = 0;

	if (!k->alive)
		return;
	if (k->call == e->call) {
		k->arrived = true;
		k->life = h->life;
	}
	switch (e->serial) {
	case STEP_BEGIN:
		r = begin(w, k, e, text, sizeof(text));
		break;
	case STEP_PREPARE:
		r = prepare(w, k, e, text, sizeof(text));
		break;
	case STEP_PERFORM:
		r = migrator_perform(h->m, &k->cookie, k->flags, k->conns[0], e->call, text,
				     sizeof(text));
		break;
	case STEP_FINISH:
		r = migrator_finish(h->m, &k->cookie.id, NULL, k->cancelled, k->conns[1], e->call,
				    text, sizeof(text));
		break;
	default:
		if (w->mistake == MISTAKE_CANCEL && k->cancelled &&
		    h->procs[k->guest].state == PROC_PAUSED)
			proc_run(w, e->host, k->guest, h->procs[k->guest].epoch);
		r = migrator_confirm(h->m, &k->cookie.id, uuid, k->cancelled, k->conns[0], e->call,
				     text, sizeof(text));
		break;
	}
	world_trace(w, "client %u: step %u at %c: %d %s", e->other, e->serial, 'a' + (char)e->host,
		    r, text);
	if (r && !text[0] && r != ENOENT && r != EEXIST)
		world_fail(w, "a client is refused without a word");
	reply.err = r;
	if (!r && e->serial != STEP_BEGIN)
		return;
	world_push(w, &reply, world_between(w, 1, 4));
}

/*
 * Somebody else has a cookie, or guesses, and says anything to anybody: no rule is broken by that.
 * He is told something, too, and goes away some time.
 */
void client_chaos(struct world *w)
{
	const struct client *k = &w->clients[prng_below(&w->rng, (uint32_t)w->n_clients)];
	uint32_t n = prng_below(&w->rng, (uint32_t)w->n_hosts), step = prng_below(&w->rng, 4);
	struct migrator *m = w->hosts[n].m;
	struct event closed = { .type = EV_CLOSED, .host = n, .call = ++w->ids };
	uint8_t uuid[MIG_UUID_SIZE] = { (uint8_t)k->guest };
	bool cancelled = prng_once_in(&w->rng, 2);
	struct mig_cookie c = k->cookie;
	char text[MIG_WHY_MAX] = "";
	uint64_t call = ++w->ids;
	int r;

	if (!m || w->hosts[n].stopped_until_ms > w->now_ms || !c.guest[0])
		return;
	if (step == 0 && w->hosts[n].procs[k->guest].state == PROC_NONE)
		r = migrator_prepare(m, &c, k->flags, NULL, closed.call, call, text, sizeof(text));
	else if (step == 1)
		r = migrator_perform(m, &c, k->flags, closed.call, call, text, sizeof(text));
	else if (step == 2)
		r = migrator_finish(m, &c.id, NULL, cancelled, closed.call, call, text,
				    sizeof(text));
	else
		r = migrator_confirm(m, &c.id, uuid, cancelled, closed.call, call, text,
				     sizeof(text));
	world_trace(w, "somebody: step %u at %c: %d %s", step, 'a' + (char)n, r, text);
	if (r && !text[0])
		world_fail(w, "somebody is refused without a word");
	world_push(w, &closed, world_between(w, 1, 3000));
	host_round(w, n);
}

/* ---- what it does next ---- */

static void failed(struct world *w, uint32_t c)
{
	struct client *k = &w->clients[c];

	k->cancelled = true;
	switch (k->step) {
	case STEP_PREPARE:
		ask(w, c, k->flags & MIG_CHANGE_PROTECTION ? STEP_CONFIRM : STEP_END);
		break;
	case STEP_PERFORM:
		ask(w, c, STEP_FINISH);
		break;
	case STEP_FINISH:
		ask(w, c, STEP_CONFIRM);
		break;
	default:
		ask(w, c, STEP_END);
		break;
	}
}

static void succeeded(struct world *w, uint32_t c)
{
	struct client *k = &w->clients[c];

	switch (k->step) {
	case STEP_BEGIN:
		ask(w, c, STEP_PREPARE);
		break;
	case STEP_PREPARE:
		ask(w, c, k->flags & MIG_OFFLINE ? STEP_FINISH : STEP_PERFORM);
		break;
	case STEP_PERFORM:
		ask(w, c, STEP_FINISH);
		break;
	case STEP_FINISH:
		k->cancelled = false;
		ask(w, c, STEP_CONFIRM);
		break;
	default:
		ask(w, c, STEP_END);
		break;
	}
}

void client_reply(struct world *w, const struct event *e)
{
	uint32_t c;

	for (c = 0; c < w->n_clients; c++) {
		if (w->clients[c].alive && w->clients[c].call == e->call)
			break;
	}
	if (c == w->n_clients) {
		free(e->cookie);
		return;
	}
	world_trace(w, "client %u: step %u: reply %d", c, w->clients[c].step, e->err);
	if (e->cookie)
		w->clients[c].cookie = *e->cookie;
	free(e->cookie);
	w->clients[c].call = 0;
	/* Where Perform fails, Finish is the last that it says. */
	if (w->clients[c].step == STEP_FINISH && w->clients[c].cancelled && e->err)
		ask(w, c, STEP_END);
	else if (e->err)
		failed(w, c);
	else
		succeeded(w, c);
}

/* A connection is closed at the other end: the call that waits there fails. */
void client_broken(struct world *w, uint32_t c, uint32_t host)
{
	struct client *k = &w->clients[c];
	struct event closed = { .type = EV_CLOSED, .host = host };

	if (!k->alive)
		return;
	closed.call = k->conns[k->dst == host];
	if (closed.call)
		world_push(w, &closed, 0);
	k->conns[k->dst == host] = 0;
	if (!k->call || k->at != host)
		return;
	k->call = 0;
	if (k->step == STEP_FINISH && k->cancelled)
		ask(w, c, STEP_END);
	else
		failed(w, c);
}
