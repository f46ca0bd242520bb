/* SPDX-License-Identifier: MIT */
/*
 * A guest ends. Invariant: its directory is removed last, so that a daemon that dies on the way
 * finds it again, and ends the rest.
 *
 *   process gone ─► its part of the store gone ─► directory removed ─► shut off, told
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "hostd/event.h"
#include "hostd/life_own.h"
#include "hostd/store.h"
#include "rpc/error.h"

static int stop_detail(int reason)
{
	switch (reason) {
	case DOM_SHUTOFF_SHUTDOWN:
		return EVENT_STOPPED_SHUTDOWN;
	case DOM_SHUTOFF_DESTROYED:
		return EVENT_STOPPED_DESTROYED;
	case DOM_SHUTOFF_MIGRATED:
		return EVENT_STOPPED_MIGRATED;
	case DOM_SHUTOFF_SAVED:
		return EVENT_STOPPED_SAVED;
	case DOM_SHUTOFF_FAILED:
		return EVENT_STOPPED_FAILED;
	default:
		return EVENT_STOPPED_CRASHED;
	}
}

/* What its definition asks for now that it ended by itself. NULL: nothing. */
static struct guest_def *to_be_restarted(const struct dom *d)
{
	enum def_action action;

	if (!d->live || d->incoming)
		return NULL;
	if (d->end_reason == DOM_SHUTOFF_SHUTDOWN)
		action = d->live->on_poweroff;
	else if (d->end_reason == DOM_SHUTOFF_CRASHED)
		action = d->live->on_crash;
	else
		return NULL;
	return action == DEF_RESTART ? def_copy(d->live) : NULL;
}

static void restarted(void *data, struct dom *d, int code, const char *why)
{
	struct host *h = data;

	if (code) {
		log_error("domain %s: cannot be restarted: %s", d->name, why);
		if (!d->persistent && !d->ending)
			dom_remove(&h->doms, d);
	}
}

void life_again(struct host *h, struct dom *d)
{
	struct guest_def *def = TAKE(d->again);

	if (!def)
		return;
	log_notice("domain %s: is started again, as its definition says", d->name);
	life_start(h, d, def, false, restarted, h);
}

/* Another host may have it by now: then whoever settles that says when it may. */
static void restart(struct host *h, struct dom *d)
{
	char text[VMM_ERROR_MAX] = "";

	if (!h->hooks->may || !h->hooks->may(h, d, HOSTD_START, text, sizeof(text)))
		life_again(h, d);
	else
		log_notice("domain %s: ended by itself, and waits: %s", d->name, text);
}

static void ended(struct host *h, struct dom *d)
{
	bool told_of = d->id >= 0 && !d->incoming && d->end_reason != DOM_SHUTOFF_FAILED;
	struct list enders;
	struct life_op *op;

	def_free(d->again);
	d->again = to_be_restarted(d);
	if (d->guest)
		vmm_guest_free(TAKE(d->guest));
	def_free(TAKE(d->live));
	d->id = d->domid = -1;
	d->ending = d->incoming = d->starting = d->found = d->unserved = false;
	life_set_state(h, d, DOM_SHUTOFF, d->end_reason);
	if (told_of)
		event_lifecycle(h, d, EVENT_STOPPED, stop_detail(d->end_reason));
	if (d->again)
		restart(h, d);
	else if (!d->persistent)
		dom_remove(&h->doms, d);

	/* Whoever is told may end or start it anew. */
	list_init(&enders);
	list_for_each(op, &d->enders, link) {
		list_remove(&op->link);
		list_append(&enders, &op->link);
	}
	list_for_each(op, &enders, link)
		life_op_end(op, 0, "");
}

static void store_gone(void *data, int err, const char *why, int domid)
{
	struct life_op *op = data;
	struct host *h = op->host;
	struct dom *d = op->dom;

	(void)domid;
	if (err) {
		log_error("domain %s: its part of the store stays for now: %s", d->name, why);
		life_sweep_later(h);
	}
	ended(h, d);
	life_op_end(op, 0, "");
}

/* Its process is gone. */
static void end_store(struct host *h, struct dom *d)
{
	struct life_op *op = life_op_new(h, d, NULL, NULL);

	if (d->id >= 0)
		life_set_state(h, d, DOM_SHUTDOWN, DOM_SHUTDOWN_USER);
	if (op && !hstore_destroy(h->store, d->uuid, store_gone, op))
		return;
	if (op)
		store_gone(op, -ENOSPC, "too many wait for it", -1);
	else
		ended(h, d);
}

void life_end(struct host *h, struct dom *d, int reason)
{
	if (d->ending)
		return; /* process_gone follows */
	d->ending = true;
	d->end_reason = reason;
	end_store(h, d);
}

static void process_gone(void *data, int err, const char *why)
{
	struct life_op *op = data;
	struct dom *d = op->dom;

	if (err)
		log_warning("domain %s: ending its process: %s", d->name, why);
	end_store(op->host, d);
	life_op_end(op, 0, "");
}

void life_destroy(struct host *h, struct dom *d, bool graceful, int reason, life_done_fn *done,
		  void *data)
{
	struct life_op *op = life_op_new(h, d, done, data), *end;
	int r;

	if (!op)
		return;
	if (d->removed) {
		life_op_end(op, 0, "");
		return;
	}
	list_append(&d->enders, &op->link);
	if (d->ending)
		return;
	d->ending = true;
	d->end_reason = reason;
	if (!d->guest || vmm_guest_state(d->guest) == VMM_GONE) {
		end_store(h, d);
		return;
	}
	end = life_op_new(h, d, NULL, NULL);
	r = end ? vmm_destroy(d->guest, graceful, process_gone, end) : -ENOMEM;
	if (!r)
		return;
	if (r == -ENOTCONN) {
		process_gone(end, 0, "");
		return;
	}
	/* Nothing is ended while the process is there. */
	if (end)
		life_op_end(end, 0, "");
	d->ending = false;
	list_for_each(op, &d->enders, link)
		life_op_end(op, life_code(r), strerror(-r));
}
