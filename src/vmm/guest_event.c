/* SPDX-License-Identifier: MIT */
/*
 * Calls on guests and what backends tell of them. Invariant: a guest's fields are as the daemon
 * will be told before it is told; and of each call, sending and receiving it is told exactly one
 * end.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"
#include "vmm/inner.h"

struct vmm_call *call_new(struct vmm_guest *g, enum call_kind kind, vmm_done_fn *done, void *data)
{
	struct vmm_call *call = calloc(1, sizeof(*call));

	if (!call) {
		FAULT(-ENOMEM);
		return NULL;
	}
	call->v = g->v;
	call->kind = kind;
	call->done = done;
	call->data = data;
	list_append(&g->calls, &call->link);
	return call;
}

void call_drop(struct vmm_call *call)
{
	list_remove(&call->link);
	free(call->why);
	free(call);
}

void vmm_call_end(struct vmm_call *call, int err, const char *why)
{
	if (!call)
		return;
	list_remove(&call->link);
	call->err = err;
	call->why = why && *why ? strndup(why, VMM_ERROR_MAX - 1) : NULL;
	list_append(&call->v->ended, &call->link);
	loop_wake(call->v);
}

void vmm_guest_set_why(struct vmm_guest *g, int err, const char *fmt, ...)
{
	va_list ap;

	if (g->err)
		return;
	g->err = err;
	va_start(ap, fmt);
	vsnprintf(g->why, sizeof(g->why), fmt, ap);
	va_end(ap);
}

void vmm_guest_clear_why(struct vmm_guest *g)
{
	g->err = 0;
	g->why[0] = '\0';
}

void vmm_guest_fail(struct vmm_guest *g, int err, const char *fmt, ...)
{
	va_list ap;

	if (!g->err) {
		g->err = err;
		va_start(ap, fmt);
		vsnprintf(g->why, sizeof(g->why), fmt, ap);
		va_end(ap);
	}
	process_kill(g);
}

void vmm_guest_enter(struct vmm_guest *g, enum vmm_state state, enum vmm_reason reason)
{
	struct vmm *v = g->v;

	g->reason = reason;
	if (g->state == state && reason != VMM_REBOOTED)
		return;
	g->state = state;
	v->events->changed(v->data, g, state, reason);
}

void vmm_guest_progress(struct vmm_guest *g, const struct vmm_progress *p)
{
	/* What a migration that is over took may be known only a moment later. */
	if (g->sending || g->receiving || g->reason == VMM_MIGRATING)
		g->v->events->progress(g->v->data, g, p);
}

void vmm_guest_stopped(struct vmm_guest *g)
{
	if (!g->sending || g->stopped)
		return;
	g->stopped = true;
	g->v->events->stopped(g->v->data, g);
}

void vmm_guest_sent(struct vmm_guest *g, int err, const char *why)
{
	if (!g->sending)
		return;
	g->sending = g->stopped = false;
	g->v->events->sent(g->v->data, g, err, why ? why : "");
}

void vmm_guest_receive_ended(struct vmm_guest *g, int err, const char *why)
{
	if (!g->receiving)
		return;
	g->receiving = false;
	g->received = err == 0;
	g->v->events->received(g->v->data, g, err, why ? why : "");
}

void vmm_guest_iteration(struct vmm_guest *g, unsigned int n)
{
	if (g->sending)
		g->v->events->iteration(g->v->data, g, n);
}

/* Calls that will not be answered any more. */
static void end_calls(struct vmm_guest *g)
{
	struct vmm_call *call;

	while ((call = list_first(&g->calls, struct vmm_call, link))) {
		if (call->kind == CALL_DESTROY)
			vmm_call_end(call, 0, NULL);
		else if (g->err)
			vmm_call_end(call, g->err, g->why);
		else
			vmm_call_end(call, -ENOTCONN, "the guest's process has ended");
	}
}

void guest_ended(struct vmm_guest *g, int status)
{
	enum vmm_reason reason;
	const char *why;

	vmm_io_remove(&g->exit_io);
	close(g->pidfd);
	g->pidfd = -1;
	if (g->v->be->outlives && g->v->be->outlives(g, status))
		return;
	reason = g->v->be->died(g, status);
	why = g->err ? g->why : "the guest's process has ended";
	vmm_timer_stop(&g->kill_timer);
	if (!g->released)
		g->v->be->release(g);
	g->released = true;
	end_calls(g);
	vmm_guest_sent(g, -ENOTCONN, why);
	vmm_guest_receive_ended(g, -ENOTCONN, why);
	vmm_guest_enter(g, VMM_GONE, g->destroying ? VMM_BY_USER : reason);
}
