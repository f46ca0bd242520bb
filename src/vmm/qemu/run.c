/* SPDX-License-Identifier: MIT */
/*
 * What a guest does: run states and events, and what is done about them. A guest that switches
 * itself off, panics or reboots stands still until its definition's word for that was followed, so
 * that it is followed also where no daemon was there when it happened.
 *
 * QEMU qapi/run-state.json: RunState, SHUTDOWN, STOP, RESUME, GUEST_PANICKED.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "vmm/qemu/inner.h"

#define RESUME_RETRY_MS 10u
#define RESUME_TRIES_MAX 500u

enum qemu_run qemu_run_of(const char *status)
{
	static const char *const names[QEMU_RUNS] = {
		[QEMU_RUN_RUNNING] = "running",
		[QEMU_RUN_INMIGRATE] = "inmigrate",
		[QEMU_RUN_FINISH_MIGRATE] = "finish-migrate",
		[QEMU_RUN_POSTMIGRATE] = "postmigrate",
		[QEMU_RUN_SHUTDOWN] = "shutdown",
		[QEMU_RUN_IO_ERROR] = "io-error",
		[QEMU_RUN_PANICKED] = "guest-panicked",
	};

	for (size_t i = 0; status && i < ARRAY_LEN(names); i++)
		if (names[i] && !strcmp(status, names[i]))
			return (enum qemu_run)i;
	return QEMU_RUN_OTHER;
}

void qemu_run_enter(struct qemu_guest *qg, enum vmm_state state, enum vmm_reason reason)
{
	if (qg->finding) {
		qg->g->state = state;
		qg->g->reason = VMM_FOUND;
	} else {
		vmm_guest_enter(qg->g, state, reason);
	}
}

/* ---- the guest ends, or begins anew ---- */

static void end(struct qemu_guest *qg, enum vmm_reason reason)
{
	qg->end_reason = reason;
	if (qemu_ask(qg, "quit", NULL, -1, NULL) < 0)
		vmm_guest_fail(qg->g, -EIO, "the emulator cannot be told to end");
}

static void restarted(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	(void)ret;
	if (err && err != -ENOTCONN)
		log_warning("guest %s cannot be restarted: %s", qg->g->name, why);
}

/* The definition's word for something that stopped the guest. */
static void follow(struct qemu_guest *qg, enum def_action action, enum vmm_reason reason)
{
	switch (action) {
	case DEF_RESTART:
		(void)qemu_ask(qg, "system_reset", NULL, -1, restarted);
		(void)qemu_ask(qg, "cont", NULL, -1, restarted);
		break;
	case DEF_PRESERVE:
		qemu_run_enter(qg, VMM_PAUSED, reason);
		break;
	default:
		end(qg, reason);
	}
}

static void on_shutdown(struct qemu_guest *qg, struct json_object *data)
{
	const char *reason = qmp_text(data, "reason");

	qg->stop_reason = VMM_SHUTDOWN;
	if (!reason || !strncmp(reason, "host-", 5))
		qg->end_reason = VMM_SHUTDOWN; /* it ends by itself */
	else if (!strcmp(reason, "guest-reset"))
		follow(qg, qg->on_reboot, VMM_REBOOTED);
	else
		follow(qg, qg->on_poweroff, VMM_SHUTDOWN);
}

static void on_panicked(struct qemu_guest *qg, struct json_object *data)
{
	const char *action = qmp_text(data, "action");

	log_warning("guest %s has panicked", qg->g->name);
	qg->stop_reason = VMM_CRASHED;
	if (!action || strcmp(action, "run") != 0)
		follow(qg, qg->on_crash, VMM_CRASHED);
}

static void on_io_error(struct qemu_guest *qg, struct json_object *data)
{
	const char *action = qmp_text(data, "action"), *device = qmp_text(data, "device");

	if (!action || strcmp(action, "stop") != 0)
		return;
	log_warning("guest %s: input or output of %s failed", qg->g->name, device ? device : "?");
	qg->stop_reason = VMM_IO_ERROR;
}

/* Unless somebody said why, a guest that is being sent stops because all but the rest is sent. */
static void on_stop(struct qemu_guest *qg)
{
	enum vmm_reason reason = qg->stop_reason;
	bool last = qg->g->sending && reason == VMM_REASONS && !qg->stops;

	qg->stop_reason = VMM_REASONS;
	if (qg->blinking && reason == VMM_REASONS)
		return;
	if (reason == VMM_SHUTDOWN || reason == VMM_CRASHED)
		return; /* followed already */
	if (last)
		reason = VMM_MIGRATING;
	qemu_run_enter(qg, VMM_PAUSED, reason == VMM_REASONS ? VMM_BY_USER : reason);
	if (last)
		vmm_guest_stopped(qg->g);
}

static void on_resume(struct qemu_guest *qg)
{
	qg->stop_reason = VMM_REASONS;
	qg->spent = false;
	if (!qg->blinking)
		qemu_run_enter(qg, VMM_RUNNING, qg->start ? VMM_BOOTED : VMM_BY_USER);
}

/* A reset of a guest that stands still is a part of something else. */
static void on_reset(struct qemu_guest *qg)
{
	if (qg->g->state == VMM_RUNNING)
		qemu_run_enter(qg, VMM_RUNNING, VMM_REBOOTED);
}

static void on_migration(struct qemu_guest *qg, struct json_object *data)
{
	qemu_transfer_entered(qg, qemu_mig_of(qmp_text(data, "status")));
}

static void on_pass(struct qemu_guest *qg, struct json_object *data)
{
	qemu_transfer_pass(qg, (unsigned int)qmp_uint(data, "pass"));
}

void qemu_run_event(void *data, const char *name, struct json_object *event_data)
{
	struct qemu_guest *qg = data;

	if (!qg->synced) {
		/* All else is in query-status's answer, which is the last; this was asked before.
		 */
		if (!strcmp(name, "MIGRATION"))
			qg->mig = qemu_mig_of(qmp_text(event_data, "status"));
		return;
	}
	if (!strcmp(name, "SHUTDOWN"))
		on_shutdown(qg, event_data);
	else if (!strcmp(name, "STOP"))
		on_stop(qg);
	else if (!strcmp(name, "RESUME"))
		on_resume(qg);
	else if (!strcmp(name, "RESET"))
		on_reset(qg);
	else if (!strcmp(name, "MIGRATION"))
		on_migration(qg, event_data);
	else if (!strcmp(name, "MIGRATION_PASS"))
		on_pass(qg, event_data);
	else if (!strcmp(name, "GUEST_PANICKED"))
		on_panicked(qg, event_data);
	else if (!strcmp(name, "BLOCK_IO_ERROR"))
		on_io_error(qg, event_data);
}

void qemu_run_apply(struct qemu_guest *qg, enum qemu_run run)
{
	qg->spent = run == QEMU_RUN_POSTMIGRATE;
	switch (run) {
	case QEMU_RUN_RUNNING:
		qemu_run_enter(qg, VMM_RUNNING, VMM_BY_USER);
		break;
	case QEMU_RUN_INMIGRATE:
		qemu_run_enter(qg, VMM_INCOMING, VMM_BOOTED);
		break;
	case QEMU_RUN_FINISH_MIGRATE:
	case QEMU_RUN_POSTMIGRATE:
		qemu_run_enter(qg, VMM_PAUSED, VMM_MIGRATING);
		break;
	case QEMU_RUN_SHUTDOWN:
		follow(qg, qg->on_poweroff, VMM_SHUTDOWN);
		break;
	case QEMU_RUN_PANICKED:
		follow(qg, qg->on_crash, VMM_CRASHED);
		break;
	case QEMU_RUN_IO_ERROR:
		qemu_run_enter(qg, VMM_PAUSED, VMM_IO_ERROR);
		break;
	default:
		qemu_run_enter(qg, VMM_PAUSED,
			       qg->g->received || qg->g->receiving ? VMM_MIGRATING : VMM_BY_USER);
	}
}

/* ---- after a connection was made ---- */

static void started(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	struct vmm_call *call = qg->start;

	(void)ret;
	if (!call)
		return;
	if (err == -EREMOTEIO) {
		vmm_guest_fail(qg->g, err, "it cannot be started: %s", why);
		return;
	}
	if (err)
		return; /* the next connection begins anew */
	qg->start = NULL;
	qemu_run_enter(qg, VMM_RUNNING, VMM_BOOTED);
	vmm_call_end(call, 0, NULL);
}

/* A process of ours that answers for the first time. */
static void start_on(struct qemu_guest *qg, enum qemu_run run)
{
	struct vmm_call *call = qg->start;

	if (run == QEMU_RUN_OTHER && !(qg->start_flags & VMM_START_PAUSED)) {
		(void)qemu_ask(qg, "cont", NULL, -1, started);
		return;
	}
	qg->start = NULL;
	qemu_run_apply(qg, run);
	vmm_call_end(call, 0, NULL);
}

/* What a former daemon had begun; of one that answers late, its end is told like any other's. */
static void recall(struct qemu_guest *qg, enum qemu_run run)
{
	struct vmm_guest *g = qg->g;
	bool inside = run == QEMU_RUN_INMIGRATE;

	g->incoming = g->migration_id[0];
	if (g->incoming && !inside && qg->mig == QEMU_MIG_COMPLETED) {
		g->received = qg->finding;
		g->receiving = !qg->finding;
	} else {
		g->receiving = inside && qg->mig == QEMU_MIG_ACTIVE;
		g->sending = !inside && qg->mig == QEMU_MIG_ACTIVE;
		g->stopped = g->sending && run == QEMU_RUN_FINISH_MIGRATE;
	}
	qg->recall = false;
}

static void status_known(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	enum qemu_run run;

	(void)why;
	if (err || !qmp_text(ret, "status"))
		return;
	run = qemu_run_of(qmp_text(ret, "status"));
	qg->synced = true;
	qg->retries = 0;
	if (qg->start) {
		start_on(qg, run);
		return;
	}
	if (qg->recall)
		recall(qg, run);
	qemu_run_apply(qg, run);
	qemu_transfer_synced(qg, run);
}

static void migration_known(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	(void)why;
	if (!err)
		qg->mig = qemu_mig_of(qmp_text(ret, "status"));
}

/* Where the i-th serial line leads, if it is a pty; QEMU's word is not taken for any other path. */
static void pty_known(struct qemu_guest *qg, const char *label, const char *file)
{
	static const char kind[] = "pty:/dev/pts/";
	const char *digits;
	unsigned int i;

	if (!label || !file || strncmp(label, "charserial", 10) != 0 || strlen(label) != 11 ||
	    strncmp(file, kind, sizeof(kind) - 1) != 0)
		return;
	i = (unsigned int)label[10] - '0';
	digits = file + sizeof(kind) - 1;
	if (i < ARGV_SERIALS_MAX && *digits && strlen(digits) < 10 &&
	    !digits[strspn(digits, "0123456789")])
		(void)snprintf(qg->pty[i], QEMU_PTY_MAX, "/dev/pts/%.9s", digits);
}

static void chardevs_known(void *data, struct json_object *ret, int err, const char *why)
{
	size_t n;

	(void)why;
	if (err || !json_object_is_type(ret, json_type_array))
		return;
	n = json_object_array_length(ret);
	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(ret, i);

		pty_known(data, qmp_text(one, "label"), qmp_text(one, "filename"));
	}
}

static void vnc_known(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	const char *service = qmp_text(ret, "service");
	unsigned int port;

	(void)why;
	if (!err && service && strlen(service) <= 5 && sscanf(service, "%u", &port) == 1 &&
	    port <= UINT16_MAX)
		qg->vnc_port = port;
}

void qemu_run_sync(struct qemu_guest *qg)
{
	qemu_transfer_capabilities(qg);
	(void)qemu_ask(qg, "query-chardev", NULL, -1, chardevs_known);
	(void)qemu_ask(qg, "query-vnc", NULL, -1, vnc_known);
	(void)qemu_ask(qg, "query-migrate", NULL, -1, migration_known);
	(void)qemu_ask(qg, "query-status", NULL, -1, status_known);
}

/* ---- calls ---- */

static void stop_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;

	(void)ret;
	(void)why;
	(void)err;
	qg->stops--;
}

static void pause_answered(void *data, struct json_object *ret, int err, const char *why)
{
	if (!err && qmp_bool(ret, "running"))
		vmm_call_end(data, -EIO, "the guest runs on");
	else
		vmm_call_end(data, err, why);
}

/* The event STOP comes before the answers, so that the state is right when the call ends. */
int qemu_run_pause(struct vmm_guest *g, struct vmm_call *call)
{
	struct qemu_guest *qg = qemu_of(g);
	int r = qemu_ask(qg, "stop", NULL, -1, stop_answered);

	if (r < 0)
		return r;
	qg->stops++;
	return qemu_ask_call(qg, "query-status", pause_answered, call);
}

static void resume_answered(void *data, struct json_object *ret, int err, const char *why);

static void resume_again(struct vmm_timer *t)
{
	struct qemu_guest *qg = CONTAINER_OF(t, struct qemu_guest, again);
	struct vmm_call *call = qg->resume;

	if (call && qemu_ask(qg, "cont", NULL, -1, resume_answered) < 0) {
		qg->resume = NULL;
		vmm_call_end(call, -ENOTCONN, "the emulator cannot be reached");
	}
}

/* A migration that is over may not be wound up yet; then QEMU lets nobody run for a moment. */
static void resume_answered(void *data, struct json_object *ret, int err, const char *why)
{
	struct qemu_guest *qg = data;
	struct vmm_call *call = qg->resume;

	(void)ret;
	if (!call)
		return;
	if (err == -EREMOTEIO && strstr(why, "not finalized") &&
	    qg->resume_tries++ < RESUME_TRIES_MAX) {
		vmm_timer_set(qg->g->v, &qg->again, RESUME_RETRY_MS, resume_again);
		return;
	}
	qg->resume = NULL;
	if (!err)
		qemu_run_enter(qg, VMM_RUNNING, VMM_BY_USER);
	vmm_call_end(call, err, why);
}

int qemu_run_resume(struct vmm_guest *g, struct vmm_call *call)
{
	struct qemu_guest *qg = qemu_of(g);
	int r;

	if (qg->resume)
		return -EBUSY;
	r = qemu_ask(qg, "cont", NULL, -1, resume_answered);
	if (r < 0)
		return r;
	qg->resume = call;
	qg->resume_tries = 0;
	return 0;
}

static void call_answered(void *data, struct json_object *ret, int err, const char *why)
{
	(void)ret;
	vmm_call_end(data, err, why);
}

int qemu_run_shutdown(struct vmm_guest *g, struct vmm_call *call)
{
	return qemu_ask_call(qemu_of(g), "system_powerdown", call_answered, call);
}

int qemu_run_reboot(struct vmm_guest *g, struct vmm_call *call)
{
	return qemu_ask_call(qemu_of(g), "system_reset", call_answered, call);
}
