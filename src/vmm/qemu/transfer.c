/* SPDX-License-Identifier: MIT */
/*
 * A guest being sent, or received. Events drive it: the guest's stop and the end of its migration
 * are told as they come, and nothing is asked in between, for then the guest stands still. Only
 * while it runs on it is asked for progress.
 *
 * A sending that failed is told once QEMU has wound it up: it makes the guest run again by itself
 * where it had stopped it, and until then it lets nobody else do so.
 *
 * QEMU qapi/migration.json: MIGRATION, MIGRATION_PASS, migrate, migrate-incoming, query-migrate.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "vmm/qemu/inner.h"
#include "vmm/qemu/stream.h"

#define BANDWIDTH_MAX (INT64_MAX / 2) /* octets a second: as good as none */

enum qemu_mig qemu_mig_of(const char *status)
{
	if (!status || !strcmp(status, "none"))
		return QEMU_MIG_NONE;
	if (!strcmp(status, "completed"))
		return QEMU_MIG_COMPLETED;
	if (!strcmp(status, "failed"))
		return QEMU_MIG_FAILED;
	if (!strcmp(status, "cancelled"))
		return QEMU_MIG_CANCELLED;
	return QEMU_MIG_ACTIVE;
}

/* ---- capabilities and parameters ---- */

static void add_capability(struct json_object *list, const char *name, bool on)
{
	struct json_object *one =
		qmp_args_bool(qmp_args_text(qmp_args_new(), "capability", name), "state", on);

	if (one && json_object_array_add(list, one))
		json_object_put(one);
}

/* n names; a list that could not be made whole is refused by QEMU or lacks something: told. */
static int set_capabilities(struct qemu_guest *qg, const char *const *names, const bool *on,
			    size_t n, qmp_done_fn *done)
{
	struct json_object *args = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; list && i < n; i++)
		add_capability(list, names[i], on[i]);
	if (!args || !list || json_object_array_length(list) != n ||
	    json_object_object_add(args, "capabilities", list)) {
		json_object_put(list);
		json_object_put(args);
		return -ENOMEM;
	}
	return qemu_ask(qg, "migrate-set-capabilities", args, -1, done);
}

/* Refused while a migration is under way, of a former daemon, who had set them. */
void qemu_transfer_capabilities(struct qemu_guest *qg)
{
	static const char *const names[] = { "events", "late-block-activate" };
	static const bool on[] = { true, true };

	(void)set_capabilities(qg, names, on, ARRAY_LEN(names), NULL);
}

/*
 * How long the guest may stand still, where nobody said: QEMU stops it as soon as it expects to
 * send the rest in that time, even if another round would make that far shorter. So it is asked for
 * little, and for more with each round that did not get there.
 */
static uint32_t patience(unsigned int pass)
{
	uint32_t ms = QEMU_DOWNTIME_FIRST_MS;

	for (; pass > QEMU_DOWNTIME_PASSES && ms < QEMU_DOWNTIME_MS; pass--)
		ms *= 2;
	return ms < QEMU_DOWNTIME_MS ? ms : QEMU_DOWNTIME_MS;
}

static struct json_object *parameters(struct qemu_guest *qg, const struct vmm_send_options *opt)
{
	struct json_object *args = qmp_args_new();
	uint64_t rate = opt->bandwidth_bps;

	qg->patient = !opt->downtime_ms;
	qg->downtime_ms = opt->downtime_ms ? opt->downtime_ms : patience(qg->pass);
	args = qmp_args_int(args, "max-bandwidth",
			    rate && rate < BANDWIDTH_MAX ? (int64_t)rate : BANDWIDTH_MAX);
	return qmp_args_int(args, "downtime-limit", (int64_t)qg->downtime_ms);
}

void qemu_transfer_pass(struct qemu_guest *qg, unsigned int pass)
{
	uint32_t ms = patience(pass);

	qg->pass = pass;
	vmm_guest_iteration(qg->g, pass);
	if (!qg->patient || !qg->g->sending || qg->g->stopped || ms == qg->downtime_ms)
		return;
	qg->downtime_ms = ms;
	(void)qemu_ask(qg, "migrate-set-parameters",
		       qmp_args_int(qmp_args_new(), "downtime-limit", ms), -1, NULL);
}

/* ---- progress ---- */

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *v;
	double d;

	if (!o || !json_object_object_get_ex(o, key, &v))
		return 0;
	d = json_object_get_double(v);
	return d > 0 && d < 1e15 ? (uint64_t)d : 0;
}

static void progress(struct qemu_guest *qg, struct json_object *ret)
{
	struct json_object *ram = qmp_object(ret, "ram"), *xbzrle = qmp_object(ret, "xbzrle-cache");
	struct vmm_progress p = {
		.memory_total = qmp_uint(ram, "total"),
		.memory_remaining = qmp_uint(ram, "remaining"),
		.memory_processed = qmp_uint(ram, "transferred"),
		.pages_constant = qmp_uint(ram, "duplicate"),
		.pages_normal = qmp_uint(ram, "normal"),
		.rate_bps = number(ram, "mbps") * 125000u,
		.dirty_rate_pages = qmp_uint(ram, "dirty-pages-rate"),
		.page_size = qmp_uint(ram, "page-size"),
		.iteration = qmp_uint(ram, "dirty-sync-count"),
		.elapsed_ms = qmp_uint(ret, "total-time"),
		.setup_ms = qmp_uint(ret, "setup-time"),
		.downtime_ms = qmp_uint(ret, "downtime"),
		.throttle_percent = (unsigned int)qmp_uint(ret, "cpu-throttle-percentage"),
		.compressed = xbzrle != NULL,
		.compress_bytes = qmp_uint(xbzrle, "bytes"),
		.compress_pages = qmp_uint(xbzrle, "pages"),
	};

	if (!p.downtime_ms)
		p.downtime_ms = qmp_uint(ret, "expected-downtime");
	if (ram)
		vmm_guest_progress(qg->g, &p);
}

static void poll_due(struct vmm_timer *t);

/*
 * The event of a sending's end may come just before an answer that was made up before it, and that
 * would be believed for ever: what QEMU says later counts.
 */
static bool ended_unheard(struct qemu_guest *qg, struct json_object *ret)
{
	const char *status = qmp_text(ret, "status");
	enum qemu_mig mig = status ? qemu_mig_of(status) : QEMU_MIG_NONE;

	if (!qg->g->sending || qg->send_err || mig == qg->mig ||
	    (mig != QEMU_MIG_COMPLETED && mig != QEMU_MIG_FAILED && mig != QEMU_MIG_CANCELLED))
		return false;
	qemu_transfer_entered(qg, mig);
	return true;
}

static void poll_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	(void)why;
	qg->polling = false;
	if (err)
		return;
	if (qg->mig == QEMU_MIG_COMPLETED && !qmp_uint(ret, "total-time") &&
	    qg->settle_tries++ < QEMU_SETTLE_TRIES) {
		/* The event comes a moment before the account is made up. */
		vmm_timer_set(qg->g->v, &qg->poll, QEMU_SETTLE_MS, poll_due);
		return;
	}
	progress(qg, ret);
	if (!ended_unheard(qg, ret) && qg->mig == QEMU_MIG_ACTIVE && qg->g->sending)
		vmm_timer_set(qg->g->v, &qg->poll, QEMU_POLL_MS, poll_due);
}

static void poll_now(struct qemu_guest *qg)
{
	if (!qg->polling && qemu_ask(qg, "query-migrate", NULL, -1, poll_answered) == 0)
		qg->polling = true;
}

static void poll_due(struct vmm_timer *t)
{
	struct qemu_guest *qg = CONTAINER_OF(t, struct qemu_guest, poll);

	if (qg->g->sending || qg->mig == QEMU_MIG_COMPLETED)
		poll_now(qg);
}

/* ---- a sending ends ---- */

static void sent(struct qemu_guest *qg, int err, const char *why)
{
	struct vmm_call *call = qg->send;

	vmm_timer_stop(&qg->poll);
	qg->send = NULL;
	qg->send_err = 0;
	vmm_call_end(call, err, why);
	vmm_guest_sent(qg->g, err, why);
}

static void settle_due(struct vmm_timer *t);

static void settled(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	enum qemu_run run;

	(void)why;
	if (err || !qg->send_err || !qg->g->sending)
		return; /* after a new connection it is looked at again */
	run = qemu_run_of(qmp_text(ret, "status"));
	if (run == QEMU_RUN_FINISH_MIGRATE && qg->settle_tries++ < QEMU_SETTLE_TRIES) {
		vmm_timer_set(qg->g->v, &qg->settle, QEMU_SETTLE_MS, settle_due);
		return;
	}
	qemu_run_apply(qg, run);
	sent(qg, qg->send_err, qg->why);
}

static void settle_due(struct vmm_timer *t)
{
	struct qemu_guest *qg = CONTAINER_OF(t, struct qemu_guest, settle);

	(void)qemu_ask(qg, "query-status", NULL, -1, settled);
}

static void failure_known(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	const char *desc = qmp_text(ret, "error-desc");

	(void)err;
	(void)why;
	if (desc && !qg->cancelled)
		(void)snprintf(qg->why, sizeof(qg->why), "%s", desc);
}

/* It failed; why is asked for, and then how the guest is. */
static void failed(struct qemu_guest *qg)
{
	qg->send_err = qg->cancelled ? -ECANCELED : -EIO;
	(void)snprintf(qg->why, sizeof(qg->why), "%s",
		       qg->cancelled ? "the migration was cancelled"
				     : "the emulator could not send the guest");
	qg->settle_tries = 0;
	(void)qemu_ask(qg, "query-migrate", NULL, -1, failure_known);
	(void)qemu_ask(qg, "query-status", NULL, -1, settled);
}

static void sending_entered(struct qemu_guest *qg)
{
	switch (qg->mig) {
	case QEMU_MIG_COMPLETED:
		qg->spent = true;
		qemu_run_enter(qg, VMM_PAUSED, VMM_MIGRATING);
		vmm_guest_stopped(qg->g);
		sent(qg, 0, NULL);
		qg->settle_tries = 0;
		poll_now(qg); /* how long it took; nobody waits for that */
		break;
	case QEMU_MIG_CANCELLED:
		qg->cancelled = true;
		failed(qg);
		break;
	case QEMU_MIG_FAILED:
		failed(qg);
		break;
	default:
		if (list_is_empty(&qg->poll.link))
			vmm_timer_set(qg->g->v, &qg->poll, QEMU_POLL_MS, poll_due);
	}
}

static void receiving_entered(struct qemu_guest *qg)
{
	if (qg->mig == QEMU_MIG_COMPLETED) {
		qemu_run_enter(qg, VMM_PAUSED, VMM_MIGRATING);
		vmm_guest_receive_ended(qg->g, 0, NULL);
	} else if (qg->mig == QEMU_MIG_FAILED || qg->mig == QEMU_MIG_CANCELLED) {
		vmm_guest_receive_ended(qg->g, -EIO, "the emulator could not read the guest");
	}
}

void qemu_transfer_entered(struct qemu_guest *qg, enum qemu_mig mig)
{
	qg->mig = mig;
	if (qg->g->sending)
		sending_entered(qg);
	else if (qg->g->receiving)
		receiving_entered(qg);
}

/* What was not heard of while there was no connection. */
void qemu_transfer_synced(struct qemu_guest *qg, enum qemu_run run)
{
	bool begun = qg->mig != QEMU_MIG_NONE;

	/* One that was completed before this one was asked for left the guest running. */
	if (qg->mig == QEMU_MIG_COMPLETED && qg->g->sending)
		begun = run == QEMU_RUN_POSTMIGRATE || run == QEMU_RUN_FINISH_MIGRATE;
	if (qg->finding && qg->g->sending)
		vmm_timer_set(qg->g->v, &qg->poll, QEMU_POLL_MS, poll_due);
	else if (qg->finding)
		return;
	else if (qg->g->sending && !begun)
		sent(qg, -EIO, "the emulator's monitor was lost before it began to send");
	else if (qg->g->receiving && !begun)
		vmm_guest_receive_ended(qg->g, -EIO,
					"the emulator's monitor was lost before it received");
	else
		qemu_transfer_entered(qg, qg->mig);
	if (qg->g->sending && qg->cancelled && qg->mig == QEMU_MIG_ACTIVE)
		(void)qemu_ask(qg, "migrate_cancel", NULL, -1, NULL);
}

/* ---- sending ---- */

static void prepare_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	(void)ret;
	if (err && !qg->send_err) {
		qg->send_err = err;
		(void)snprintf(qg->why, sizeof(qg->why), "%s", why);
	}
}

static void prepare_stopped(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	qg->stops--;
	prepare_answered(data, ret, err, why);
}

static void migrate_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	struct vmm_call *call = qg->send;

	(void)ret;
	if (err == -EREMOTEIO) {
		sent(qg, err, why);
		return;
	}
	if (err || !qg->g->sending)
		return; /* after a new connection it is seen whether it sends */
	qg->send = NULL;
	vmm_call_end(call, 0, NULL);
	if (qg->g->state == VMM_PAUSED)
		vmm_guest_stopped(qg->g);
}

/* All that had to be said before; so nothing is sent that was not prepared, or was cancelled. */
static void fd_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	prepare_answered(data, ret, err, why);
	if (err && err != -EREMOTEIO)
		return;
	if (qg->cancelled)
		sent(qg, -ECANCELED, "the migration was cancelled");
	else if (qg->send_err)
		sent(qg, qg->send_err, qg->why);
	else if (qemu_ask(qg, "migrate", qmp_args_text(qmp_args_new(), "uri", "fd:" QEMU_FD_NAME),
			  -1, migrate_answered) < 0)
		sent(qg, -EIO, "the emulator's monitor takes no more calls");
}

static void blinked(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	qg->blinking = false;
	prepare_stopped(data, ret, err, why);
}

/*
 * QEMU does not send a guest twice unless it ran in between. One that was paused before a migration
 * that came to nothing is to be paused all the time: it runs between two commands, which is as
 * short as can be had.
 */
static int ask_blink(struct qemu_guest *qg)
{
	int r = qemu_ask(qg, "cont", NULL, -1, prepare_answered);

	if (r == 0)
		r = qemu_ask(qg, "stop", NULL, -1, blinked);
	qg->blinking = r == 0;
	qg->stops += r == 0;
	return r;
}

static int ask_migrate(struct qemu_guest *qg, int fd, const struct vmm_send_options *opt)
{
	static const char *const names[] = { "auto-converge", "xbzrle" };
	const bool on[] = { opt->auto_converge, opt->compressed };
	int r = 0;

	if (qg->spent && qg->g->state == VMM_PAUSED) {
		r = ask_blink(qg);
	} else if (!opt->live && qg->g->state == VMM_RUNNING) {
		r = qemu_ask(qg, "stop", NULL, -1, prepare_stopped);
		qg->stops += r == 0;
	}
	if (r == 0)
		r = qemu_ask(qg, "migrate-set-parameters", parameters(qg, opt), -1,
			     prepare_answered);
	if (r == 0)
		r = set_capabilities(qg, names, on, ARRAY_LEN(names), prepare_answered);
	if (r < 0) {
		close(fd);
		return r;
	}
	return qemu_ask(qg, "getfd", qmp_args_text(qmp_args_new(), "fdname", QEMU_FD_NAME), fd,
			fd_answered);
}

int qemu_transfer_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
		       struct vmm_call *call)
{
	struct qemu_guest *qg = qemu_of(g);
	int r;

	stream_tune_sender(fd);
	qg->cancelled = false;
	qg->send_err = 0;
	qg->pass = 0;
	qg->mig = QEMU_MIG_NONE;
	qg->why[0] = '\0';
	r = ask_migrate(qg, fd, opt);
	if (r == 0)
		qg->send = call;
	return r;
}

int qemu_transfer_cancel(struct vmm_guest *g)
{
	struct qemu_guest *qg = qemu_of(g);

	/* Without a connection it is cancelled once there is one. */
	qg->cancelled = true;
	return qg->q ? qemu_ask(qg, "migrate_cancel", NULL, -1, NULL) : 0;
}

int qemu_transfer_tune(struct vmm_guest *g, const struct vmm_send_options *opt)
{
	struct qemu_guest *qg = qemu_of(g);

	return qemu_ask(qg, "migrate-set-parameters", parameters(qg, opt), -1, NULL);
}

/* ---- receiving ---- */

static void receive_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	(void)ret;
	if (err == -EREMOTEIO)
		vmm_guest_receive_ended(qg->g, err, why);
}

int qemu_transfer_receive(struct vmm_guest *g, int fd)
{
	struct qemu_guest *qg = qemu_of(g);
	int r;

	stream_tune_receiver(fd);
	qg->mig = QEMU_MIG_NONE;
	r = qemu_ask(qg, "getfd", qmp_args_text(qmp_args_new(), "fdname", QEMU_FD_NAME), fd,
		     receive_answered);
	if (r < 0)
		return r;
	return qemu_ask(qg, "migrate-incoming",
			qmp_args_text(qmp_args_new(), "uri", "fd:" QEMU_FD_NAME), -1,
			receive_answered);
}
