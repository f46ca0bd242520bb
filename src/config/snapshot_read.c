/* SPDX-License-Identifier: MIT */
/*
 * Reading domains: a transaction for each, several side by side, a batch for each depth of the
 * tree. A round asks all that is known to be there by then, of all domains that are being read, so
 * the number of rounds depends on the depth alone.
 *
 * Invariant: what a round asks is in the list of asks, in the order of the batch. A domain that
 * failed asks nothing more, but its transaction is ended all the same.
 */
#include "config/snapshot_read.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/own.h"

/* Sends what is to be asked; asks become those of now. */
static int send_round(struct reading *rd, struct conf_err *err)
{
	struct asks was = rd->now;
	char path[PATH_SIZE];
	size_t i;
	int r;

	rd->now = rd->next;
	rd->next = was;
	asks_settle(&rd->now);
	conf_batch_clear(&rd->batch);
	for (i = 0; i < rd->now.n; i++) {
		struct ask *q = &rd->now.v[i];
		struct slot *t = &rd->slots[q->slot];

		r = ask_path(q, t, path);
		if (!r)
			r = conf_batch_add(&rd->batch, ask_type(q->what), t->tx, path, NULL, 0,
					   NULL);
		if (r == -ENOMEM)
			return conf_no_memory(err);
		if (r)
			return conf_fail(err, -EPROTO, "store: a path that is too long: %s", path);
	}
	r = conf_client_start(rd->c, &rd->batch, err);
	if (r)
		return r;
	if (rd->idle)
		rd->idle(rd->idle_data);
	return 0;
}

/* Fails where all of it does; what fails of a domain is the domain's. */
static int take_answer(struct reading *rd, size_t i, struct conf_err *err)
{
	const struct ask *q = &rd->now.v[i];
	struct slot *t = &rd->slots[q->slot];
	int r;

	if (t->err && q->what != ASK_END)
		return 0;
	r = ask_answered(rd, q, conf_batch_reply(&rd->batch, i));
	if (r == -ENOMEM)
		return conf_no_memory(err);
	if (r == -ECONNRESET || r == -ETIMEDOUT)
		return conf_fail(err, r, "%s", t->why->text);
	if (r)
		t->err = r;
	return 0;
}

/* Answers are taken as they come, while the store goes on with those behind them. */
static int take_round(struct reading *rd, struct conf_err *err)
{
	size_t i = 0, n = 0;
	bool lists = false;
	unsigned int k;
	int r = 0;

	for (k = 0; k < rd->n_slots; k++)
		rd->slots[k].waits = false;
	while (!r && n < rd->now.n) {
		r = conf_client_some(rd->c, &rd->batch, err, &n);
		for (; !r && i < n; i++) {
			/* what needs requests of its own has to wait for the end of these */
			if (conf_batch_reply(&rd->batch, i)->err == E2BIG)
				lists = true;
			else
				r = take_answer(rd, i, err);
			if (r && conf_client_finish(rd->c, &rd->batch, err) == 0)
				conf_no_memory(err);
		}
	}
	for (i = 0; !r && lists && i < rd->now.n; i++)
		if (conf_batch_reply(&rd->batch, i)->err == E2BIG)
			r = take_answer(rd, i, err);
	asks_clear(&rd->now);
	return r;
}

/* A domain of which nothing is asked any more: its transaction ends. */
static int end_quiet(struct reading *rd)
{
	unsigned int k;
	int r = 0;

	for (k = 0; !r && k < rd->n_slots; k++) {
		struct slot *t = &rd->slots[k];

		if (t->done || (t->waits && !t->err))
			continue;
		if (t->tx)
			r = ask(rd, k, ASK_END, 0, NULL);
		else if (t->err)
			t->done = true;
		else
			t->err = slot_end(rd, k, t->dirty);
		if (!r && t->err == -ENOMEM)
			r = -ENOMEM;
		else if (!t->tx && t->err)
			t->done = true;
	}
	return r;
}

/* What a failed domain still asked in the next round is of no use. */
static void drop_failed(struct reading *rd)
{
	struct asks *a = &rd->next;
	size_t i, n = 0;

	for (i = 0; i < a->n; i++) {
		if (!rd->slots[a->v[i].slot].err || a->v[i].what == ASK_END)
			a->v[n++] = a->v[i];
	}
	a->n = n;
}

static int read_window(struct reading *rd, struct conf_err *err)
{
	unsigned int k;
	int r = 0;

	for (k = 0; !r && k < rd->n_slots; k++)
		r = rd->guarded ? slot_begin(rd, k) : ask(rd, k, ASK_START, 0, NULL);
	if (r)
		return conf_no_memory(err);
	while (!r && rd->next.n) {
		r = send_round(rd, err);
		if (!r)
			r = take_round(rd, err);
		if (!r && rd->guarded)
			r = guard_take(rd, err);
		if (!r && end_quiet(rd))
			r = conf_no_memory(err);
		drop_failed(rd);
	}
	return r;
}

static int read_all(struct reading *rd, const uint32_t *domids, size_t n,
		    struct conf_snapshot **rets, int *errs, struct conf_err *why,
		    struct conf_err *err)
{
	unsigned int k;
	size_t at;
	int r = 0;

	for (at = 0; !r && at < n; at += rd->n_slots) {
		rd->n_slots = n - at < SNAPSHOT_WINDOW ? (unsigned int)(n - at) : SNAPSHOT_WINDOW;
		for (k = 0; k < rd->n_slots; k++)
			rd->slots[k] =
				(struct slot){ .domid = domids[at + k], .why = &why[at + k] };
		r = read_window(rd, err);
		for (k = 0; k < rd->n_slots; k++) {
			struct slot *t = &rd->slots[k];

			assert(r || t->done);
			errs[at + k] = r ? r : t->err;
			if (!errs[at + k])
				rets[at + k] = TAKE(t->s);
			slot_forget(t);
		}
	}
	return r;
}

static int run(struct reading *rd, const uint32_t *domids, size_t n, struct conf_snapshot **rets,
	       int *errs, struct conf_err *why)
{
	struct conf_err err = { 0 };
	size_t at;
	int r = 0;

	for (at = 0; at < n; at++)
		rets[at] = NULL;
	if (rd->guarded)
		r = guard_begin(rd, &err);
	if (!r)
		r = read_all(rd, domids, n, rets, errs, why, &err);
	if (!r && rd->guarded)
		r = guard_end(rd, &err);
	asks_fini(&rd->now);
	asks_fini(&rd->next);
	conf_batch_fini(&rd->batch);
	for (at = 0; r && at < n; at++) {
		conf_snapshot_free(TAKE(rets[at]));
		errs[at] = r;
		why[at] = err;
	}
	return r;
}

int conf_snapshot_read_many(struct conf_client *c, const uint32_t *domids, size_t n,
			    struct conf_snapshot **rets, int *errs, struct conf_err *why)
{
	struct reading rd = { .c = c };

	return run(&rd, domids, n, rets, errs, why);
}

int conf_snapshot_list(struct conf_client *c, const uint32_t *domids, size_t n,
		       conf_snapshot_idle_fn *idle, void *data, struct conf_snapshot **rets,
		       int *errs, struct conf_err *why)
{
	struct reading rd = { .c = c, .idle = idle, .idle_data = data };

	rd.guarded = conf_client_orders_events(c);

	return run(&rd, domids, n, rets, errs, why);
}

int conf_snapshot_read(struct conf_client *c, uint32_t domid, struct conf_err *err,
		       struct conf_snapshot **ret)
{
	struct conf_err why = { 0 };
	int each = 0;
	int r = conf_snapshot_read_many(c, &domid, 1, ret, &each, &why);

	if (!r)
		r = each;
	if (r)
		conf_fail(err, r, "%s", why.text);
	return r;
}
