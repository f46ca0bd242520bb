/* SPDX-License-Identifier: MIT */
/*
 * A simulated guest's state, and its talk with the daemon. Invariant: the log has a change before
 * the daemon is told; what a daemon that went away was not told, the next one learns from the
 * status that answers its greeting.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/sim/simguest.h"
#include "vmm/vmm.h"

void simguest_tell(struct simguest *g, enum agent_msg_type type, uint32_t id, int err,
		   const char *text)
{
	struct agent_msg msg = { .type = type,
				 .id = id,
				 .err = err,
				 .epoch = g->epoch,
				 .status = g->status,
				 .options = g->send.opt,
				 .progress = g->send.last };

	snprintf(msg.text, sizeof(msg.text), "%s", text);
	agent_end_tell(&g->end, &msg);
}

void simguest_enter(struct simguest *g, enum agent_state state, enum vmm_reason reason)
{
	if (g->status.state == state)
		return;
	g->status.state = state;
	g->status.reason = reason;
	simguest_timer_arm(g);
	simguest_log(g, state == AGENT_RUNNING ? "RESUME" : "PAUSE");
	simguest_tell(g, AGENT_CHANGED, 0, 0, "");
}

void simguest_reboot(struct simguest *g)
{
	if (g->ends_at_reboot) {
		simguest_end(g, "shutdown", 0);
		return;
	}
	g->status.reason = VMM_REBOOTED;
	simguest_log(g, "REBOOT");
	simguest_tell(g, AGENT_CHANGED, 0, 0, "");
}

/* How it ended stays in its directory: the process is not always the daemon's child. */
void simguest_end(struct simguest *g, const char *how, int exit_code)
{
	int fd = open(AGENT_END_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, how, strlen(how)) < 0)
		perror("drover-simguest: its end");
	if (fd >= 0)
		close(fd);
	simguest_log(g, "END");
	g->ended = true;
	g->exit_code = exit_code;
}

static int do_resume(struct simguest *g, const struct agent_msg *msg)
{
	if (g->status.state == AGENT_INCOMING || g->status.stopped)
		return -EINVAL;
	if (g->epoch != msg->epoch) {
		g->epoch = msg->epoch;
		simguest_log(g, "EPOCH");
	}
	simguest_enter(g, AGENT_RUNNING, VMM_BY_USER);
	return 0;
}

static int do_pause(struct simguest *g)
{
	if (g->status.state == AGENT_INCOMING)
		return -EINVAL;
	simguest_enter(g, AGENT_PAUSED, VMM_BY_USER);
	return 0;
}

/* fd is taken. */
static int do_call(struct simguest *g, const struct agent_msg *msg, int fd)
{
	if (msg->type == AGENT_SEND)
		return simguest_send_begin(g, fd, &msg->options);
	if (msg->type == AGENT_RECEIVE)
		return simguest_receive_begin(g, fd);
	if (fd >= 0)
		close(fd);
	switch (msg->type) {
	case AGENT_PAUSE:
		return do_pause(g);
	case AGENT_RESUME:
		return do_resume(g, msg);
	case AGENT_REBOOT:
		if (g->status.state != AGENT_RUNNING)
			return -EINVAL;
		simguest_reboot(g);
		return 0;
	case AGENT_SHUTDOWN:
		return g->status.state == AGENT_INCOMING ? -EINVAL : 0;
	case AGENT_QUIT:
		return 0;
	case AGENT_CANCEL:
		if (g->send.fd < 0)
			return -EINVAL;
		simguest_send_end(g, -ECANCELED, "it was cancelled");
		return 0;
	case AGENT_TUNE:
		simguest_send_tune(g, &msg->options);
		return 0;
	default:
		return -EPROTO;
	}
}

bool simguest_ctl_ready(struct simguest *g)
{
	struct agent_msg msg;
	int fd, r = agent_end_receive(&g->end, &msg, &fd);

	if (r < 0)
		return r == -EAGAIN;
	if (msg.type == AGENT_HELLO) {
		if (fd >= 0)
			close(fd);
		simguest_tell(g, AGENT_IS, msg.id, 0, "");
		return g->end.ctl >= 0;
	}
	r = do_call(g, &msg, fd);
	simguest_tell(g, AGENT_DONE, msg.id, r, r ? strerror(-r) : "");
	if (r < 0 && (msg.type == AGENT_SEND || msg.type == AGENT_RECEIVE))
		simguest_tell(g, msg.type == AGENT_SEND ? AGENT_SENT : AGENT_RECEIVED, 0, r,
			      strerror(-r));
	/* a guest that is paused cannot hear that it is to switch itself off */
	if (msg.type == AGENT_SHUTDOWN && r == 0 && g->status.state == AGENT_RUNNING &&
	    !g->words.deaf)
		simguest_end(g, "shutdown", 0);
	else if (msg.type == AGENT_QUIT)
		simguest_end(g, "destroyed", 0);
	return g->end.ctl >= 0;
}

static bool take_one(void *data)
{
	return simguest_ctl_ready(data) && !((struct simguest *)data)->ended;
}

void simguest_ctl_accept(struct simguest *g)
{
	agent_end_accept(&g->end, take_one, g);
}
