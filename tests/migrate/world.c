/* SPDX-License-Identifier: MIT */
/*
 * The world's clock: a queue of events in the order of time, and of their making where the time is
 * the same. Between two of them every rule is checked.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 60000u /* a world that does not come to rest has a livelock */
#define REST_MS 600000u	 /* after faults stop; limits and retries are all below that */

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	if (w->trace)
		printf("# %8llu FAILED: %s\n", (unsigned long long)w->now_ms, w->why);
}

void world_trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->trace)
		return;
	printf("# %8llu.%llu ", (unsigned long long)w->now_ms, (unsigned long long)w->steps);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

uint64_t world_between(struct world *w, uint64_t low, uint64_t high)
{
	return low + prng_below(&w->rng, (uint32_t)(high - low + 1));
}

bool world_luck(struct world *w, uint32_t once_in)
{
	return w->random_faults && w->now_ms < w->quiet_ms && prng_once_in(&w->rng, once_in);
}

uint32_t world_guest_of(const uint8_t *uuid)
{
	return uuid[0];
}

uint32_t world_host_of(const char *name)
{
	return name[0] ? (uint32_t)(name[0] - 'a') : NOBODY;
}

/* ---- the queue ---- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void world_push(struct world *w, const struct event *e, uint64_t in_ms)
{
	size_t i = w->n_queue;

	if (w->n_queue == w->room_queue) {
		w->room_queue = w->room_queue ? 2 * w->room_queue : 256;
		w->queue = realloc(w->queue, w->room_queue * sizeof(*w->queue));
		if (!w->queue)
			abort();
	}
	w->queue[i] = *e;
	w->queue[i].at_ms = w->now_ms + in_ms;
	w->queue[i].order = w->orders++;
	w->n_queue++;
	while (i && before(&w->queue[i], &w->queue[(i - 1) / 2])) {
		struct event up = w->queue[(i - 1) / 2];

		w->queue[(i - 1) / 2] = w->queue[i];
		w->queue[i] = up;
		i = (i - 1) / 2;
	}
}

static struct event pop(struct world *w)
{
	struct event first = w->queue[0];
	size_t i = 0;

	w->queue[0] = w->queue[--w->n_queue];
	for (;;) {
		size_t least = i;
		struct event down;

		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < w->n_queue; c++) {
			if (before(&w->queue[c], &w->queue[least]))
				least = c;
		}
		if (least == i)
			return first;
		down = w->queue[i];
		w->queue[i] = w->queue[least];
		w->queue[least] = down;
		i = least;
	}
}

/* ---- what is next ---- */

static bool is_up(const struct world *w, uint32_t h)
{
	return w->hosts[h].m && w->hosts[h].stopped_until_ms <= w->now_ms;
}

/* When a daemon has something to do by itself: a time limit, the end of being stopped, a start. */
static uint64_t host_due_ms(struct world *w, uint32_t h)
{
	struct host *host = &w->hosts[h];
	uint64_t due;

	if (!host->m)
		return host->restart_ms;
	due = migrator_deadline_ms(host->m);
	if (due < host->stopped_until_ms)
		due = host->stopped_until_ms;
	return due < w->now_ms ? w->now_ms : due;
}

static void host_wake(struct world *w, uint32_t h)
{
	struct host *host = &w->hosts[h];

	if (!host->m) {
		host_start(w, h);
		return;
	}
	host_round(w, h);
	if (host->m && migrator_deadline_ms(host->m) <= w->now_ms)
		world_fail(w, "host %c: a time limit passes, and passes", 'a' + (char)h);
}

static void deliver(struct world *w, const struct event *e)
{
	switch (e->type) {
	case EV_STOP:
	case EV_SENT_END:
		transfer_event(w, e);
		return;
	case EV_REPLY:
		client_reply(w, e);
		return;
	case EV_BROKEN:
		client_broken(w, e->other, e->host);
		return;
	case EV_START:
		client_start(w);
		return;
	case EV_FAULT:
		if (e->flag)
			clients_end(w);
		else
			fault_random(w);
		return;
	case EV_ARBITER:
		arbiter_event(w, e);
		return;
	default:
		break;
	}
	/* To a daemon: lost with it, late while it is stopped. */
	if (!w->hosts[e->host].m || (e->life && w->hosts[e->host].life != e->life)) {
		free(e->cookie);
		return;
	}
	if (!is_up(w, e->host)) {
		world_push(w, e, w->hosts[e->host].stopped_until_ms - w->now_ms);
		return;
	}
	host_event(w, e);
	free(e->cookie);
}

static bool step(struct world *w)
{
	uint64_t at = w->n_queue ? w->queue[0].at_ms : UINT64_MAX;
	uint32_t host = NOBODY;

	for (uint32_t h = 0; h < w->n_hosts; h++) {
		uint64_t due = host_due_ms(w, h);

		if (due < at) {
			at = due;
			host = h;
		}
	}
	if (at >= w->quiet_ms && w->now_ms < w->quiet_ms) {
		w->now_ms = w->quiet_ms;
		world_heal(w);
		return true;
	}
	if (at == UINT64_MAX || at > w->quiet_ms + REST_MS)
		return false;
	w->now_ms = at;
	w->steps++;
	for (unsigned int i = 0; i < FAULTS_MAX; i++) {
		if (w->plan.at[i].fault && w->plan.at[i].step == w->steps)
			fault_do(w, w->plan.at[i].fault);
	}
	if (host != NOBODY) {
		/* A fault may have changed who is due. */
		if (host_due_ms(w, host) <= w->now_ms)
			host_wake(w, host);
	} else {
		struct event e = pop(w);

		deliver(w, &e);
	}
	judge_always(w);
	return !w->failed;
}

static void guests_init(struct world *w)
{
	for (uint32_t g = 0; g < w->n_guests; g++) {
		struct host *h = &w->hosts[w->random_faults ? prng_below(&w->rng, 2) : 0];
		struct guest *guest = &w->guests[g];

		guest->offline = w->random_faults && g == 2;
		guest->wanted = true;
		guest->epoch = 1;
		h->epochs[g] = 1;
		h->defined[g] = true;
		guest->ran_at = (uint32_t)(h - w->hosts);
		if (guest->offline)
			continue;
		h->procs[g] = (struct proc){ .state = PROC_RUNNING, .epoch = 1 };
		h->store[g] = STORE_SERVES;
	}
}

int world_run(struct world *w)
{
	prng_init(&w->rng, w->seed);
	guests_init(w);
	for (uint32_t h = 0; h < w->n_hosts; h++)
		host_start(w, h);
	world_push(w, &(struct event){ .type = EV_START }, 1);
	if (w->random_faults)
		world_push(w, &(struct event){ .type = EV_FAULT }, 1);
	while (step(w)) {
		if (w->steps > STEPS_MAX)
			world_fail(w, "it does not come to rest");
	}
	if (!w->failed)
		judge_end(w);
	return w->failed;
}

void world_fini(struct world *w)
{
	for (uint32_t h = 0; h < HOSTS; h++)
		migrator_free(w->hosts[h].m);
	for (size_t i = 0; i < w->n_queue; i++)
		free(w->queue[i].cookie);
	free(w->queue);
}
