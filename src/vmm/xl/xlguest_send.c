/* SPDX-License-Identifier: MIT */
/*
 * Sending a domain's memory: libxl writes into the pump's pipe. Invariant: the sending is over once
 * libxl's operation has ended and then the pump; of what failed first the words are told. Whatever
 * became of it, what the domain is afterwards is asked of the hypervisor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/xl/xlguest.h"

static int fd_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

/* Whether it can be sent while it runs: Xen has to note what it writes. */
static int check_live(struct xlguest *g, bool live)
{
	libxl_physinfo info;
	bool shadow;

	if (!live || g->config.c_info.type != LIBXL_DOMAIN_TYPE_PV)
		return 0;
	libxl_physinfo_init(&info);
	shadow = libxl_get_physinfo(g->ctx, &info) || info.cap_shadow;
	libxl_physinfo_dispose(&info);
	if (shadow)
		return 0;
	snprintf(g->log.error, sizeof(g->log.error), "%s",
		 "a PV guest cannot be sent while it runs: this Xen is built without shadow "
		 "paging; it can be sent stopped (without --live)");
	return -EOPNOTSUPP;
}

static int check(struct xlguest *g, const struct agent_options *opt)
{
	if (g->record.phase != XLGUEST_MADE || g->op != XLGUEST_NOTHING || g->pump || *g->end)
		return -EINVAL;
	if (g->status.state != AGENT_RUNNING) {
		snprintf(g->log.error, sizeof(g->log.error), "%s",
			 "a guest of Xen that is paused cannot stop for being sent: resume it "
			 "first");
		return -EOPNOTSUPP;
	}
	return check_live(g, opt->live);
}

static int suspend(struct xlguest *g, int to, bool live)
{
	libxl_asyncop_how how = { .callback = NULL };
	int rc;

	how.u.for_event = XLGUEST_OP_SUSPEND;
	rc = libxl_domain_suspend(g->ctx, (uint32_t)g->record.domid, to,
				  live ? LIBXL_SUSPEND_LIVE : 0, &how);
	if (rc == 0)
		g->op = XLGUEST_OP_SUSPEND;
	return xlguest_errno(rc);
}

int xlguest_send(struct xlguest *g, int fd, const struct agent_options *opt)
{
	int to = -1, r;

	xlguest_log_reset(&g->log);
	r = check(g, opt);
	r = r ? r : fd_block(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = xlguest_pump_new(fd, opt->bandwidth_bps, &g->pump, &to);
	if (r < 0)
		return r;
	g->record.phase = XLGUEST_SENDING;
	r = xlguest_record_write(g);
	r = r ? r : suspend(g, to, opt->live);
	if (r < 0) {
		close(to);
		xlguest_pump_free(g->pump);
		g->pump = NULL;
		g->record.phase = XLGUEST_MADE;
		xlguest_record_write(g);
		return r;
	}
	xlguest_look_aware(g);
	g->send_fd = to;
	g->send_options = *opt;
	g->status.sending = 1;
	g->status.stopped = 0;
	g->status.iteration = 0;
	memset(&g->progress, 0, sizeof(g->progress));
	g->begun_ms = g->told_ms = xlguest_now_ms();
	g->stopped_ms = g->told_octets = 0;
	g->send_over = false;
	xlguest_aid_begin(g);
	return 0;
}

void xlguest_send_tune(struct xlguest *g, const struct agent_options *opt)
{
	g->send_options.bandwidth_bps = opt->bandwidth_bps;
	if (g->pump)
		xlguest_pump_set_bandwidth(g->pump, opt->bandwidth_bps);
}

int xlguest_send_cancel(struct xlguest *g)
{
	libxl_asyncop_how how = { .callback = NULL };

	if (!g->pump)
		return -EINVAL;
	g->send_cancelled = true;
	xlguest_pump_cancel(g->pump);
	how.u.for_event = XLGUEST_OP_SUSPEND;
	if (g->op == XLGUEST_OP_SUSPEND)
		libxl_ao_abort(g->ctx, &how);
	return 0;
}

void xlguest_send_stopped(struct xlguest *g)
{
	if (g->status.stopped || !g->pump)
		return;
	g->stopped_ms = xlguest_now_ms();
	g->status.stopped = 1;
	xlguest_enter(g, AGENT_PAUSED, VMM_MIGRATING);
	xlguest_tell(g, AGENT_STOPPED, 0, 0, "");
}

/* The first iteration counts places where a page may be, later ones pages that were written. */
static uint64_t remaining(const struct xlguest *g, uint64_t octets)
{
	uint64_t total = g->progress.memory_total, left;

	if (g->send_over)
		return 0;
	if (!g->log.iteration)
		return octets < total ? total - octets : 0;
	left = (uint64_t)(g->log.frames_total - g->log.frames) * 4096;
	return left < total ? left : total;
}

static void tell_progress(struct xlguest *g)
{
	struct agent_progress *p = &g->progress;
	uint64_t now = xlguest_now_ms(), octets = xlguest_pump_octets(g->pump);

	if (now > g->told_ms)
		p->rate_bps = (octets - g->told_octets) * 1000 / (now - g->told_ms);
	g->told_ms = now;
	g->told_octets = octets;
	p->memory_total = g->config.b_info.max_memkb * 1024;
	p->memory_processed = octets;
	p->memory_remaining = remaining(g, octets);
	p->pages_normal = octets / 4096;
	p->elapsed_ms = now - g->begun_ms;
	p->downtime_ms = g->stopped_ms ? now - g->stopped_ms : 0;
	p->iteration = g->log.iteration;
	if (g->status.iteration != g->log.iteration) {
		g->status.iteration = g->log.iteration;
		xlguest_tell(g, AGENT_ITERATION, 0, 0, "");
	}
	xlguest_tell(g, AGENT_PROGRESS, 0, 0, "");
}

void xlguest_send_tick(struct xlguest *g)
{
	if (g->pump && xlguest_now_ms() - g->told_ms >= XLGUEST_PROGRESS_MS)
		tell_progress(g);
}

/* libxl and the pump are both through. */
static void send_over(struct xlguest *g)
{
	int pumped = xlguest_pump_state(g->pump), err = g->send_rc, r;
	bool is_suspended, is_paused;

	if (err == 0 && pumped < 0)
		err = pumped;
	if (err < 0 && g->send_cancelled)
		err = -ECANCELED;
	snprintf(g->last_error, sizeof(g->last_error), "%s",
		 err == 0			      ? ""
		 : err == -ECANCELED		      ? "it was cancelled"
		 : pumped < 0 && pumped != -ECANCELED ? strerror(-pumped)
						      : xlguest_log_why(&g->log, strerror(-err)));
	r = xlguest_look(g, &is_suspended, &is_paused);
	if (r == 0 && is_suspended)
		xlguest_send_stopped(g);
	g->send_over = err == 0;
	tell_progress(g);
	xlguest_pump_free(g->pump);
	g->pump = NULL;
	xlguest_aid_end(g);
	g->send_cancelled = false;
	g->record.phase = *g->end ? XLGUEST_ENDING : XLGUEST_MADE;
	xlguest_record_write(g);
	g->status.sending = g->status.stopped = 0;
	g->status.send_err = err;
	xlguest_tell(g, AGENT_SENT, 0, err, g->last_error);
	/* libxl itself may have made it run again, or it never stopped */
	if (r == 0 && !is_suspended && !is_paused)
		xlguest_enter(g, AGENT_RUNNING, VMM_BY_USER);
	if (*g->end)
		xlguest_again_due(g);
}

void xlguest_send_op_done(struct xlguest *g, int rc)
{
	g->send_rc = xlguest_errno(rc);
	close(g->send_fd);
	g->send_fd = -1;
	if (g->send_rc < 0)
		xlguest_pump_cancel(g->pump);
	if (xlguest_pump_state(g->pump))
		send_over(g);
}

void xlguest_send_pump_ready(struct xlguest *g)
{
	libxl_asyncop_how how = { .callback = NULL };
	uint64_t times;

	if (read(xlguest_pump_fd(g->pump), &times, sizeof(times)) < 0)
		return;
	how.u.for_event = XLGUEST_OP_SUSPEND;
	if (g->op == XLGUEST_OP_SUSPEND) {
		/* the network is gone: there is no use in going on */
		if (!g->aborting)
			libxl_ao_abort(g->ctx, &how);
		g->aborting = true;
		return;
	}
	send_over(g);
}
