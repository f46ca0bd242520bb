/* SPDX-License-Identifier: MIT */
/*
 * What the daemon asks of a domain's process, and what it is told. Invariant: what a daemon that
 * went away was not told, the next one learns from the status that answers its greeting.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/xl/xlguest.h"

void xlguest_tell(struct xlguest *g, enum agent_msg_type type, uint32_t id, int err,
		  const char *text)
{
	struct agent_msg msg = { .type = type,
				 .id = id,
				 .err = err,
				 .epoch = g->epoch,
				 .status = g->status,
				 .options = g->send_options,
				 .progress = g->progress };

	snprintf(msg.text, sizeof(msg.text), "%s", text);
	agent_end_tell(&g->ctl, &msg);
}

void xlguest_enter(struct xlguest *g, enum agent_state state, enum vmm_reason reason)
{
	if (g->status.state == state)
		return;
	g->status.state = state;
	g->status.reason = reason;
	xlguest_tell(g, AGENT_CHANGED, 0, 0, "");
}

static bool is_made(const struct xlguest *g)
{
	return g->record.phase == XLGUEST_MADE && g->op == XLGUEST_NOTHING && !*g->end;
}

static int busy(struct xlguest *g)
{
	snprintf(g->log.error, sizeof(g->log.error), "%s",
		 g->record.phase == XLGUEST_SENDING ? "the guest is being sent"
						    : "the guest is being made or ended");
	return -EINVAL;
}

/* What it has used so far goes with the answer. */
static int do_look(struct xlguest *g)
{
	bool is_suspended, is_paused;

	if (g->record.domid >= 0)
		xlguest_look(g, &is_suspended, &is_paused);
	return 0;
}

static int do_pause(struct xlguest *g)
{
	int rc;

	if (!is_made(g))
		return busy(g);
	rc = libxl_domain_pause(g->ctx, (uint32_t)g->record.domid, NULL);
	if (rc == 0)
		xlguest_enter(g, AGENT_PAUSED, VMM_BY_USER);
	return xlguest_errno(rc);
}

/* One that is suspended goes on as if it never had been; one that is paused is let run. */
static int do_resume(struct xlguest *g, uint64_t epoch)
{
	bool is_suspended, is_paused;
	int r = is_made(g) && !g->pump ? xlguest_look(g, &is_suspended, &is_paused) : -EINVAL;

	if (r == 0 && is_suspended)
		r = xlguest_errno(libxl_domain_resume(g->ctx, (uint32_t)g->record.domid, 1, NULL));
	if (r == 0 && is_paused)
		r = xlguest_errno(libxl_domain_unpause(g->ctx, (uint32_t)g->record.domid, NULL));
	if (r == 0 && is_suspended)
		r = xlguest_watch_death(g);
	if (r < 0)
		return r;
	g->epoch = epoch;
	xlguest_enter(g, AGENT_RUNNING, VMM_BY_USER);
	return 0;
}

/* One without drivers of Xen's hears nothing but its power button, if it has one. */
static int do_shutdown(struct xlguest *g)
{
	int rc;

	if (!is_made(g))
		return busy(g);
	rc = libxl_domain_shutdown(g->ctx, (uint32_t)g->record.domid, NULL);
	if (rc == ERROR_NOPARAVIRT && g->config.c_info.type == LIBXL_DOMAIN_TYPE_HVM)
		rc = libxl_send_trigger(g->ctx, (uint32_t)g->record.domid, LIBXL_TRIGGER_POWER, 0,
					NULL);
	if (rc == ERROR_NOPARAVIRT)
		snprintf(g->log.error, sizeof(g->log.error), "%s",
			 "the guest has no drivers of Xen's that would hear it");
	return xlguest_errno(rc);
}

static int do_reboot(struct xlguest *g)
{
	int rc;

	if (!is_made(g))
		return busy(g);
	rc = libxl_domain_reboot(g->ctx, (uint32_t)g->record.domid, NULL);
	if (rc == ERROR_NOPARAVIRT)
		snprintf(g->log.error, sizeof(g->log.error), "%s",
			 "the guest has no drivers of Xen's that would hear it");
	return xlguest_errno(rc);
}

static int do_receive(struct xlguest *g, int fd, int domid)
{
	if (fd < 0)
		return -EBADF;
	if (g->record.phase == XLGUEST_WAITING && g->op == XLGUEST_NOTHING && !*g->end)
		return xlguest_restore(g, fd, domid);
	close(fd);
	return -EINVAL;
}

static int do_send(struct xlguest *g, int fd, const struct agent_options *opt)
{
	return fd < 0 ? -EBADF : xlguest_send(g, fd, opt);
}

/* fd is taken. */
static int refuse_unknown(struct xlguest *g, int fd)
{
	if (fd >= 0)
		close(fd);
	snprintf(g->log.error, sizeof(g->log.error), "%s", g->last_error);
	return -EIO;
}

/* fd is taken. */
static int do_call(struct xlguest *g, const struct agent_msg *msg, int fd)
{
	g->log.error[0] = '\0';
	if (g->unknown && msg->type != AGENT_QUIT && msg->type != AGENT_LOOK)
		return refuse_unknown(g, fd);
	if (msg->type == AGENT_SEND)
		return do_send(g, fd, &msg->options);
	if (msg->type == AGENT_RECEIVE)
		return do_receive(g, fd, msg->options.domid);
	if (fd >= 0)
		close(fd);
	switch (msg->type) {
	case AGENT_PAUSE:
		return do_pause(g);
	case AGENT_RESUME:
		return do_resume(g, msg->epoch);
	case AGENT_SHUTDOWN:
		return do_shutdown(g);
	case AGENT_REBOOT:
		return do_reboot(g);
	case AGENT_LOOK:
		return do_look(g);
	case AGENT_QUIT:
		return 0;
	case AGENT_CANCEL:
		return xlguest_send_cancel(g);
	case AGENT_TUNE:
		xlguest_send_tune(g, &msg->options);
		return 0;
	default:
		return -EPROTO;
	}
}

static void answer(struct xlguest *g, const struct agent_msg *msg, int err)
{
	const char *why = err ? xlguest_log_why(&g->log, strerror(-err)) : "";

	xlguest_tell(g, AGENT_DONE, msg->id, err, why);
	if (err && msg->type == AGENT_SEND)
		xlguest_tell(g, AGENT_SENT, 0, err, why);
	else if (err && msg->type == AGENT_RECEIVE)
		xlguest_tell(g, AGENT_RECEIVED, 0, err, why);
}

bool xlguest_call_take(struct xlguest *g)
{
	struct agent_msg msg;
	int fd, r = agent_end_receive(&g->ctl, &msg, &fd);

	if (r < 0)
		return false;
	if (msg.type == AGENT_HELLO) {
		if (fd >= 0)
			close(fd);
		xlguest_tell(g, AGENT_IS, msg.id, 0, g->last_error);
	} else {
		answer(g, &msg, do_call(g, &msg, fd));
		if (msg.type == AGENT_QUIT)
			xlguest_end(g, "destroyed", "");
	}
	return g->ctl.ctl >= 0 && !g->over;
}

static bool take_one(void *data)
{
	return xlguest_call_take(data);
}

void xlguest_call_accept(struct xlguest *g)
{
	agent_end_accept(&g->ctl, take_one, g);
}
