/* SPDX-License-Identifier: MIT */
/*
 * What the daemon asks of one guest: the checks common to all backends. A backend is asked for what
 * makes sense in the guest's state only, and never of a guest that has ended.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "vmm/inner.h"

void vmm_guest_set_data(struct vmm_guest *g, void *data)
{
	g->owner = data;
}

void *vmm_guest_data(const struct vmm_guest *g)
{
	return g->owner;
}

enum vmm_state vmm_guest_state(const struct vmm_guest *g)
{
	return g->state;
}

enum vmm_reason vmm_guest_reason(const struct vmm_guest *g)
{
	return g->reason;
}

const uint8_t *vmm_guest_uuid(const struct vmm_guest *g)
{
	return g->uuid;
}

uint64_t vmm_guest_epoch(const struct vmm_guest *g)
{
	return g->epoch;
}

const char *vmm_guest_migration_id(const struct vmm_guest *g)
{
	return g->migration_id;
}

int vmm_guest_pid(const struct vmm_guest *g)
{
	return g->pid;
}

int vmm_guest_domid(const struct vmm_guest *g)
{
	return g->domid;
}

bool vmm_guest_is_unaware(const struct vmm_guest *g)
{
	return g->unaware;
}

void vmm_set_domid_wish(struct vmm_guest *g, int domid)
{
	g->domid_wish = domid;
}

const char *vmm_guest_dir(const struct vmm_guest *g)
{
	return g->dir;
}

bool vmm_guest_is_received(const struct vmm_guest *g)
{
	return g->received;
}

const char *vmm_guest_pty(const struct vmm_guest *g, unsigned int i)
{
	return g->v->be->pty && !g->released ? g->v->be->pty(g, i) : NULL;
}

unsigned int vmm_guest_vnc_port(const struct vmm_guest *g)
{
	return g->v->be->vnc_port && !g->released ? g->v->be->vnc_port(g) : 0;
}

int vmm_set_epoch(struct vmm_guest *g, uint64_t epoch)
{
	uint64_t before = g->epoch;
	char id[VMM_MIGRATION_ID];
	int r;

	memcpy(id, g->migration_id, sizeof(id));
	g->epoch = epoch;
	g->migration_id[0] = '\0';
	r = guest_dir_write(g);
	if (r < 0) {
		g->epoch = before;
		memcpy(g->migration_id, id, sizeof(id));
	}
	return r;
}

void vmm_guest_free(struct vmm_guest *g)
{
	struct vmm *v = g->v;

	assert(g->state == VMM_GONE);
	v->n_guests--;
	guest_dir_remove(g);
	guest_forget(g);
}

enum { IN_STATE_PAUSED = 1u << VMM_PAUSED, IN_STATE_RUNNING = 1u << VMM_RUNNING };

static int check_state(const struct vmm_guest *g, unsigned int states)
{
	if (g->state == VMM_GONE || g->released)
		return -ENOTCONN;
	return states & 1u << g->state ? 0 : -EINVAL;
}

/* A call that a backend is asked for, or that is so already. */
static int call_make(struct vmm_guest *g, bool is_so,
		     int (*ask)(struct vmm_guest *g, struct vmm_call *call), vmm_done_fn *done,
		     void *data)
{
	struct vmm_call *call = call_new(g, CALL_SIMPLE, done, data);
	int r = 0;

	if (!call)
		return -ENOMEM;
	if (is_so)
		vmm_call_end(call, 0, NULL);
	else
		r = ask(g, call);
	if (r < 0)
		call_drop(call);
	return r;
}

int vmm_pause(struct vmm_guest *g, vmm_done_fn *done, void *data)
{
	int r = check_state(g, IN_STATE_PAUSED | IN_STATE_RUNNING);

	return r ? r : call_make(g, g->state == VMM_PAUSED, g->v->be->pause, done, data);
}

int vmm_resume(struct vmm_guest *g, vmm_done_fn *done, void *data)
{
	int r = check_state(g, IN_STATE_PAUSED | IN_STATE_RUNNING);

	if (r == 0 && g->stopped)
		r = -EINVAL;
	return r ? r : call_make(g, g->state == VMM_RUNNING, g->v->be->resume, done, data);
}

int vmm_shutdown(struct vmm_guest *g, vmm_done_fn *done, void *data)
{
	int r = check_state(g, IN_STATE_PAUSED | IN_STATE_RUNNING);

	return r ? r : call_make(g, false, g->v->be->shutdown, done, data);
}

int vmm_reboot(struct vmm_guest *g, vmm_done_fn *done, void *data)
{
	int r = check_state(g, IN_STATE_RUNNING);

	if (r == 0 && !g->v->be->reboot)
		r = -EOPNOTSUPP;
	return r ? r : call_make(g, false, g->v->be->reboot, done, data);
}

static void kill_due(struct vmm_timer *t)
{
	struct vmm_guest *g = CONTAINER_OF(t, struct vmm_guest, kill_timer);

	process_kill(g);
	/* the process that takes its place is asked, too, and may fail, too */
	if (g->v->be->outlives)
		vmm_timer_set(g->v, t, g->v->be->quit_ms, kill_due);
}

int vmm_destroy(struct vmm_guest *g, bool graceful, vmm_done_fn *done, void *data)
{
	if (g->state == VMM_GONE || g->released)
		return -ENOTCONN;
	if (!call_new(g, CALL_DESTROY, done, data))
		return -ENOMEM;
	g->destroying = true;
	if (graceful || g->v->be->outlives) {
		vmm_timer_set(g->v, &g->kill_timer,
			      g->v->be->quit_ms ? g->v->be->quit_ms : VMM_QUIT_MS, kill_due);
		g->v->be->quit(g);
	} else {
		process_kill(g);
	}
	return 0;
}

int vmm_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt, vmm_done_fn *done,
	     void *data)
{
	int r = check_state(g, IN_STATE_PAUSED | IN_STATE_RUNNING);
	struct vmm_call *call = NULL;

	if (r == 0 && (g->sending || g->receiving))
		r = -EINVAL;
	if (r == 0 && !(call = call_new(g, CALL_SIMPLE, done, data)))
		r = -ENOMEM;
	if (r < 0) {
		close(fd);
		return r;
	}
	g->sending = true;
	g->stopped = false;
	r = g->v->be->send(g, fd, opt, call);
	if (r < 0) {
		g->sending = false;
		call_drop(call);
	}
	return r;
}

int vmm_send_cancel(struct vmm_guest *g)
{
	if (g->state == VMM_GONE || g->released)
		return -ENOTCONN;
	return g->sending ? g->v->be->send_cancel(g) : -EINVAL;
}

int vmm_send_tune(struct vmm_guest *g, const struct vmm_send_options *opt)
{
	if (g->state == VMM_GONE || g->released)
		return -ENOTCONN;
	return g->sending ? g->v->be->send_tune(g, opt) : -EINVAL;
}

int vmm_receive(struct vmm_guest *g, int fd)
{
	int r = check_state(g, 1u << VMM_INCOMING);

	if (r == 0 && (g->receiving || g->received))
		r = -EINVAL;
	if (r < 0) {
		close(fd);
		return r;
	}
	g->receiving = true;
	r = g->v->be->receive(g, fd);
	if (r < 0)
		g->receiving = false;
	return r;
}
