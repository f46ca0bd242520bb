/* SPDX-License-Identifier: MIT */
/*
 * After a restart: what there is of guests that were being received. Invariant: the machine is told
 * once for each, and only what store and process have told, however long that takes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/migration.h"
#include "hostd/store.h"

/* A question to the store, asked again while it cannot be reached. */
struct question {
	uv_timer_t timer;
	struct list link;
	struct host *host;
	struct mig_id id;
	bool closing;
};

static void on_closed(uv_handle_t *handle)
{
	free(CONTAINER_OF((uv_timer_t *)handle, struct question, timer));
}

static void question_end(struct question *q)
{
	if (q->closing)
		return;
	q->closing = true;
	list_remove(&q->link);
	uv_close((uv_handle_t *)&q->timer, on_closed);
}

static void tell(struct host *h, const struct mig_id *id, bool in_store)
{
	struct run *run = run_find(h, id);
	struct vmm_guest *g = run && run->dom ? run->dom->guest : NULL;
	char text[VMM_MIGRATION_ID];
	bool ours;

	def_uuid_print(id->b, text);
	ours = g && (!strcmp(vmm_guest_migration_id(g), text) || !run->dom->incoming);
	migrator_found(h->migrator, id, ours, ours && vmm_guest_is_received(g) && in_store);
	hostd_wake(h);
}

static void ask(uv_timer_t *timer);

static void on_answer(void *data, int err, const char *why, int domid)
{
	struct question *q = data;

	if (q->closing)
		return;
	if (err && err != -ENOENT) {
		log_warning("the store cannot say yet what there is of a guest: %s", why);
		uv_timer_start(&q->timer, ask, MIG_RETRY_MS, 0);
		return;
	}
	tell(q->host, &q->id, !err && (domid >= 0 || hstore_is_none(q->host->store)));
	question_end(q);
}

static void ask(uv_timer_t *timer)
{
	struct question *q = CONTAINER_OF(timer, struct question, timer);
	struct run *run = run_find(q->host, &q->id);

	if (!run)
		question_end(q);
	else if (hstore_find(q->host->store, run->uuid, on_answer, q))
		uv_timer_start(&q->timer, ask, MIG_RETRY_MS, 0);
}

static void ask_about(struct host *h, const struct mig_id *id)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q) {
		hostd_fail(h, FAULT(-ENOMEM));
		return;
	}
	q->host = h;
	q->id = *id;
	uv_timer_init(h->loop, &q->timer);
	list_append(&h->migration->questions, &q->link);
	uv_timer_start(&q->timer, ask, 0, 0);
}

void migration_ask_found(struct host *h)
{
	struct run *run;

	list_for_each(run, &h->migration->runs, link) {
		if (run->side == MIG_DESTINATION)
			ask_about(h, &run->id);
	}
}

void migration_drop_questions(struct host *h)
{
	struct question *q;

	list_for_each(q, &h->migration->questions, link)
		question_end(q);
}
