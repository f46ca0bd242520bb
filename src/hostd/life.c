/* SPDX-License-Identifier: MIT */
/*
 * Guests that run: pause, resume, shut down, and what their processes tell. Invariant: state and
 * reason of a guest follow what its process told last, never what was asked of it.
 */
#include "hostd/life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/defs.h"
#include "hostd/event.h"
#include "hostd/life_own.h"
#include "hostd/save.h"
#include "hostd/xml.h"
#include "rpc/error.h"

static void text_freep(char **p)
{
	free(*p);
}

int life_code(int err)
{
	switch (err) {
	case 0:
		return 0;
	case -ENOMEM:
		return RPC_ERR_NO_MEMORY;
	case -EINVAL:
	case -ENOTCONN:
	case -ESTALE:
		return RPC_ERR_OPERATION_INVALID;
	case -EOPNOTSUPP:
		return RPC_ERR_CONFIG_UNSUPPORTED;
	case -ETIMEDOUT:
		return RPC_ERR_OPERATION_TIMEOUT;
	case -ECANCELED:
		return RPC_ERR_OPERATION_ABORTED;
	default:
		return RPC_ERR_OPERATION_FAILED;
	}
}

struct life_op *life_op_new(struct host *h, struct dom *d, life_done_fn *done, void *data)
{
	struct life_op *op = calloc(1, sizeof(*op));

	if (!op) {
		if (done)
			done(data, d, RPC_ERR_NO_MEMORY, "no memory");
		return NULL;
	}
	list_init(&op->link);
	list_append(&h->life, &op->all);
	op->host = h;
	op->dom = dom_ref(d);
	op->done = done;
	op->data = data;
	return op;
}

void life_op_end(struct life_op *op, int code, const char *why)
{
	list_remove(&op->link);
	list_remove(&op->all);
	if (op->done)
		op->done(op->data, op->dom, code, why);
	dom_unref(op->dom);
	free(op);
}

void life_forget_all(struct host *h)
{
	struct life_op *op;

	list_for_each(op, &h->life, all) {
		op->done = NULL;
		life_op_end(op, 0, "");
	}
}

int life_write_files(struct dom *d)
{
	CLEANUP(text_free) char *text = NULL;
	const char *dir = vmm_guest_dir(d->guest);
	char id[16];
	int r = xml_print(d->live, d->id, XML_SECURE, &text);

	if (!r)
		r = defs_file_write(dir, LIFE_DEF_FILE, text, strlen(text));
	snprintf(id, sizeof(id), "%d\n", d->id);
	if (!r)
		r = defs_file_write(dir, LIFE_ID_FILE, id, strlen(id));
	return r;
}

void life_set_state(struct host *h, struct dom *d, enum dom_state state, int reason)
{
	(void)h;
	d->state = state;
	d->reason = reason;
}

/* ---- what is asked of a process ---- */

static void on_done(void *data, int err, const char *why)
{
	struct life_op *op = data;

	life_op_end(op, life_code(err), err ? why : "");
}

/* r: how the call to vmm went, which tells by on_done if it went well. */
static void begun(struct life_op *op, int r)
{
	if (r)
		life_op_end(op, life_code(r),
			    r == -ENOTCONN ? "the guest's process has ended"
			    : r == -EINVAL ? "the guest is not in a state for that"
					   : strerror(-r));
}

static bool has_process(struct dom *d, life_done_fn *done, void *data)
{
	if (d->guest && !d->ending && !d->removed)
		return true;
	if (done)
		done(data, d, RPC_ERR_OPERATION_INVALID, "domain is not running");
	return false;
}

void life_suspend(struct host *h, struct dom *d, life_done_fn *done, void *data)
{
	struct life_op *op;

	if (!has_process(d, done, data))
		return;
	op = life_op_new(h, d, done, data);
	if (op)
		begun(op, vmm_pause(d->guest, on_done, op));
}

void life_resume(struct host *h, struct dom *d, int reason, life_done_fn *done, void *data)
{
	struct life_op *op;

	if (!has_process(d, done, data))
		return;
	op = life_op_new(h, d, done, data);
	if (!op)
		return;
	d->resume_reason = reason;
	begun(op, vmm_resume(d->guest, on_done, op));
}

void life_shutdown(struct host *h, struct dom *d, bool reboot, life_done_fn *done, void *data)
{
	struct life_op *op;

	if (!has_process(d, done, data))
		return;
	op = life_op_new(h, d, done, data);
	if (op)
		begun(op, reboot ? vmm_reboot(d->guest, on_done, op)
				 : vmm_shutdown(d->guest, on_done, op));
}

static void owned_runs(void *data, struct dom *d, int code, const char *why)
{
	struct life_op *op = data;

	(void)d;
	life_op_end(op, code, why);
}

void life_owned(struct host *h, struct dom *d, uint64_t epoch, bool paused, life_done_fn *done,
		void *data)
{
	struct life_op *op;
	int r;

	if (!has_process(d, done, data))
		return;
	op = life_op_new(h, d, done, data);
	if (!op)
		return;
	r = vmm_set_epoch(d->guest, epoch);
	if (r) {
		life_op_end(op, life_code(r), "the guest's epoch cannot be written");
		return;
	}
	if (d->incoming) {
		d->incoming = false;
		event_lifecycle(h, d, EVENT_STARTED,
				d->save ? EVENT_STARTED_RESTORED : EVENT_STARTED_MIGRATED);
		if (paused)
			event_lifecycle(h, d, EVENT_SUSPENDED, EVENT_SUSPENDED_PAUSED);
	}
	if (paused) {
		life_set_state(h, d, DOM_PAUSED, DOM_PAUSED_USER);
		life_op_end(op, 0, "");
		return;
	}
	life_resume(h, d, d->save ? DOM_RUNNING_RESTORED : DOM_RUNNING_MIGRATED, owned_runs, op);
}

/* ---- what a process tells ---- */

static void now_runs(struct host *h, struct dom *d, enum vmm_reason reason)
{
	bool did_run = d->state == DOM_RUNNING;

	if (reason == VMM_REBOOTED && did_run) {
		event_reboot(h, d);
		return;
	}
	life_set_state(h, d, DOM_RUNNING,
		       reason == VMM_BOOTED || d->starting ? DOM_RUNNING_BOOTED : d->resume_reason);
	if (!did_run && !d->starting)
		event_lifecycle(h, d, EVENT_RESUMED,
				d->resume_reason == DOM_RUNNING_MIGRATED ? EVENT_RESUMED_MIGRATED
									 : EVENT_RESUMED_UNPAUSED);
	d->resume_reason = DOM_RUNNING_UNPAUSED;
}

static void now_paused(struct host *h, struct dom *d, enum vmm_reason reason)
{
	static const struct {
		int reason, detail;
	} kinds[VMM_REASONS] = {
		[VMM_BY_USER] = { DOM_PAUSED_USER, EVENT_SUSPENDED_PAUSED },
		[VMM_BOOTED] = { DOM_PAUSED_USER, EVENT_SUSPENDED_PAUSED },
		[VMM_MIGRATING] = { DOM_PAUSED_MIGRATION, EVENT_SUSPENDED_MIGRATED },
		[VMM_CRASHED] = { DOM_PAUSED_CRASHED, EVENT_SUSPENDED_PAUSED },
		[VMM_IO_ERROR] = { DOM_PAUSED_IOERROR, EVENT_SUSPENDED_IOERROR },
	};
	bool did_run = d->state == DOM_RUNNING;

	life_set_state(h, d, DOM_PAUSED,
		       d->save	     ? DOM_PAUSED_SAVE
		       : d->incoming ? DOM_PAUSED_MIGRATION
				     : kinds[reason].reason);
	if (did_run)
		event_lifecycle(h, d, EVENT_SUSPENDED, kinds[reason].detail);
}

static void on_changed(void *data, struct vmm_guest *guest, enum vmm_state state,
		       enum vmm_reason reason)
{
	struct host *h = data;
	struct dom *d = vmm_guest_data(guest);

	if (!d) {
		/* One that life_found had ended: nobody was ever told of it. */
		if (state == VMM_GONE)
			vmm_guest_free(guest);
		return;
	}
	if (h->hooks->changed && h->hooks->changed(h, d, state, reason))
		return;
	if (d->save)
		save_changed(d);
	life_take_id(d);
	if (state == VMM_RUNNING || state == VMM_PAUSED)
		life_join(h, d);
	switch (state) {
	case VMM_RUNNING:
		now_runs(h, d, reason);
		break;
	case VMM_PAUSED:
		now_paused(h, d, reason);
		break;
	case VMM_INCOMING:
		life_set_state(h, d, DOM_PAUSED, DOM_PAUSED_MIGRATION);
		break;
	case VMM_GONE:
		if (!d->starting)
			life_end(h, d,
				 d->save && save_is_kept(d) ? DOM_SHUTOFF_SAVED
				 : reason == VMM_SHUTDOWN   ? DOM_SHUTOFF_SHUTDOWN
				 : reason == VMM_REBOOTED   ? DOM_SHUTOFF_SHUTDOWN
				 : reason == VMM_BY_USER    ? DOM_SHUTOFF_DESTROYED
							    : DOM_SHUTOFF_CRASHED);
		break;
	default:
		break;
	}
}

static void on_progress(void *data, struct vmm_guest *guest, const struct vmm_progress *p)
{
	struct host *h = data;
	struct dom *d = vmm_guest_data(guest);

	if (d && h->hooks->progress)
		h->hooks->progress(h, d, p);
}

static void on_stopped(void *data, struct vmm_guest *guest)
{
	struct host *h = data;
	struct dom *d = vmm_guest_data(guest);

	if (d && d->save)
		save_stopped(d);
	else if (d && h->hooks->stopped)
		h->hooks->stopped(h, d);
}

static void on_sent(void *data, struct vmm_guest *guest, int err, const char *why)
{
	struct host *h = data;
	struct dom *d = vmm_guest_data(guest);

	if (d && d->save)
		save_sent(d, err, why);
	else if (d && h->hooks->sent)
		h->hooks->sent(h, d, err, why);
}

static void on_received(void *data, struct vmm_guest *guest, int err, const char *why)
{
	struct host *h = data;
	struct dom *d = vmm_guest_data(guest);

	if (d && d->save)
		save_received(d, err, why);
	else if (d && h->hooks->received)
		h->hooks->received(h, d, err, why);
}

static void on_iteration(void *data, struct vmm_guest *guest, unsigned int n)
{
	struct host *h = data;
	struct dom *d = vmm_guest_data(guest);

	if (!d)
		return;
	event_iteration(h, d, (int)n);
	if (h->hooks->iteration)
		h->hooks->iteration(h, d, n);
}

const struct vmm_events *life_vmm_events(void)
{
	static const struct vmm_events events = {
		.found = life_found,
		.changed = on_changed,
		.progress = on_progress,
		.stopped = on_stopped,
		.sent = on_sent,
		.received = on_received,
		.iteration = on_iteration,
	};

	return &events;
}
