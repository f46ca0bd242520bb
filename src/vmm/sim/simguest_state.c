/* SPDX-License-Identifier: MIT */
/*
 * A simulated guest's state, and its talk with the daemon. Invariant: the log has a change before
 * the daemon is told; what a daemon that went away was not told, the next one learns from the
 * status that answers its greeting.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/sim/simguest.h"
#include "vmm/vmm.h"

static void ctl_close(struct simguest *g)
{
	if (g->ctl >= 0)
		close(g->ctl);
	g->ctl = -1;
	g->n_pending = 0;
}

void simguest_tell_flush(struct simguest *g)
{
	size_t n = 0;
	int r = 0;

	while (g->ctl >= 0 && n < g->n_pending && r == 0) {
		r = sim_msg_send(g->ctl, &g->pending[n], -1);
		if (r == 0)
			n++;
	}
	memmove(g->pending, g->pending + n, (g->n_pending - n) * sizeof(g->pending[0]));
	g->n_pending -= n;
	if (r < 0 && r != -EAGAIN)
		ctl_close(g);
}

void simguest_tell(struct simguest *g, enum sim_msg_type type, uint32_t id, int err,
		   const char *text)
{
	struct sim_msg *msg;

	if (g->ctl < 0)
		return;
	/* progress is of no use later; whoever reads none of the rest has to greet again */
	if (type == SIM_PROGRESS && g->n_pending)
		return;
	if (g->n_pending == SIMGUEST_PENDING_MAX) {
		ctl_close(g);
		return;
	}
	msg = &g->pending[g->n_pending++];
	memset(msg, 0, sizeof(*msg));
	msg->version = SIM_PROTO_VERSION;
	msg->type = type;
	msg->id = id;
	msg->err = err;
	msg->epoch = g->epoch;
	msg->status = g->status;
	msg->options = g->send.opt;
	msg->progress = g->send.last;
	snprintf(msg->text, sizeof(msg->text), "%s", text);
	simguest_tell_flush(g);
}

void simguest_enter(struct simguest *g, enum sim_state state, enum vmm_reason reason)
{
	if (g->status.state == state)
		return;
	g->status.state = state;
	g->status.reason = reason;
	simguest_timer_arm(g);
	simguest_log(g, state == SIM_RUNNING ? "RESUME" : "PAUSE");
	simguest_tell(g, SIM_CHANGED, 0, 0, "");
}

void simguest_reboot(struct simguest *g)
{
	g->status.reason = VMM_REBOOTED;
	simguest_log(g, "REBOOT");
	simguest_tell(g, SIM_CHANGED, 0, 0, "");
}

/* How it ended stays in its directory: the process is not always the daemon's child. */
void simguest_end(struct simguest *g, const char *how, int exit_code)
{
	int fd = open(SIM_END_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, how, strlen(how)) < 0)
		perror("drover-simguest: its end");
	if (fd >= 0)
		close(fd);
	simguest_log(g, "END");
	g->ended = true;
	g->exit_code = exit_code;
}

static int do_resume(struct simguest *g, const struct sim_msg *msg)
{
	if (g->status.state == SIM_INCOMING || g->status.stopped)
		return -EINVAL;
	if (g->epoch != msg->epoch) {
		g->epoch = msg->epoch;
		simguest_log(g, "EPOCH");
	}
	simguest_enter(g, SIM_RUNNING, VMM_BY_USER);
	return 0;
}

static int do_pause(struct simguest *g)
{
	if (g->status.state == SIM_INCOMING)
		return -EINVAL;
	simguest_enter(g, SIM_PAUSED, VMM_BY_USER);
	return 0;
}

/* fd is taken. */
static int do_call(struct simguest *g, const struct sim_msg *msg, int fd)
{
	if (msg->type == SIM_SEND)
		return simguest_send_begin(g, fd, &msg->options);
	if (msg->type == SIM_RECEIVE)
		return simguest_receive_begin(g, fd);
	if (fd >= 0)
		close(fd);
	switch (msg->type) {
	case SIM_PAUSE:
		return do_pause(g);
	case SIM_RESUME:
		return do_resume(g, msg);
	case SIM_REBOOT:
		if (g->status.state != SIM_RUNNING)
			return -EINVAL;
		simguest_reboot(g);
		return 0;
	case SIM_SHUTDOWN:
		return g->status.state == SIM_INCOMING ? -EINVAL : 0;
	case SIM_QUIT:
		return 0;
	case SIM_CANCEL:
		if (g->send.fd < 0)
			return -EINVAL;
		simguest_send_end(g, -ECANCELED, "it was cancelled");
		return 0;
	case SIM_TUNE:
		simguest_send_tune(g, &msg->options);
		return 0;
	default:
		return -EPROTO;
	}
}

bool simguest_ctl_ready(struct simguest *g)
{
	struct sim_msg msg;
	int fd, r = sim_msg_receive(g->ctl, &msg, &fd);

	if (r == -EAGAIN)
		return true;
	if (r < 0) {
		ctl_close(g);
		return false;
	}
	if (msg.type == SIM_HELLO) {
		if (fd >= 0)
			close(fd);
		simguest_tell(g, SIM_IS, msg.id, 0, "");
		return g->ctl >= 0;
	}
	r = do_call(g, &msg, fd);
	simguest_tell(g, SIM_DONE, msg.id, r, r ? strerror(-r) : "");
	if (r < 0 && (msg.type == SIM_SEND || msg.type == SIM_RECEIVE))
		simguest_tell(g, msg.type == SIM_SEND ? SIM_SENT : SIM_RECEIVED, 0, r,
			      strerror(-r));
	/* a guest that is paused cannot hear that it is to switch itself off */
	if (msg.type == SIM_SHUTDOWN && r == 0 && g->status.state == SIM_RUNNING && !g->words.deaf)
		simguest_end(g, "shutdown", 0);
	else if (msg.type == SIM_QUIT)
		simguest_end(g, "destroyed", 0);
	return g->ctl >= 0;
}

/* What a daemon asked before it went away is done, whoever comes next. */
static void ctl_drain(struct simguest *g)
{
	struct pollfd p = { .fd = g->ctl, .events = POLLIN };

	while (g->ctl >= 0 && !g->ended && poll(&p, 1, 0) > 0)
		simguest_ctl_ready(g);
}

void simguest_ctl_accept(struct simguest *g)
{
	int fd;

	ctl_drain(g);
	fd = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	ctl_close(g);
	g->ctl = fd;
}
