/* SPDX-License-Identifier: MIT */
/*
 * Sending a guest's memory while it ticks: rounds of what was written since, until the rest fits
 * into the downtime that is allowed; then the guest stops and the rest follows. Invariant: nothing
 * is written into memory after the guest has stopped for the end of a sending, unless that failed
 * or was cancelled and the daemon resumes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/sim/simguest.h"
#include "vmm/vmm.h"

#define NS_PER_MS UINT64_C(1000000)
#define RECORD_MAX (SIM_RECORD_SIZE + SIM_PAGE)

static void chunk_record(struct simguest_sender *s, enum sim_record type, uint64_t arg,
			 const uint8_t *page)
{
	s->chunk_len += sim_stream_record(s->chunk + s->chunk_len, type, arg, page);
}

static void stop_guest(struct simguest *g)
{
	if (g->status.stopped)
		return;
	simguest_enter(g, AGENT_PAUSED, VMM_MIGRATING);
	g->status.stopped = 1;
	g->send.stopped_ns = simguest_now_ns();
	simguest_tell(g, AGENT_STOPPED, 0, 0, "");
}

int simguest_send_begin(struct simguest *g, int fd, const struct agent_options *opt)
{
	struct simguest_sender *s = &g->send;

	if (fd < 0)
		return -EBADF;
	if (g->status.state == AGENT_INCOMING || s->fd >= 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return -EINVAL;
	}
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->chunk = malloc(SIMGUEST_SEND_CHUNK);
	if (!s->chunk) {
		close(fd);
		return -ENOMEM;
	}
	s->fd = fd;
	s->opt = *opt;
	s->begun_ns = s->told_ns = s->budget_ns = simguest_now_ns();
	g->status.sending = 1;
	g->status.iteration = 0;
	simguest_all_dirty(g);
	s->constant = g->pages - g->n_dirty;
	s->todo = s->dirty_last = g->n_dirty;
	sim_stream_header(s->chunk, g->uuid, g->pages);
	s->chunk_len = SIM_HEADER_SIZE;
	chunk_record(s, SIM_RECORD_ROUND, 0, NULL);
	if (!opt->live || g->status.state != AGENT_RUNNING)
		stop_guest(g);
	return 0;
}

void simguest_send_tune(struct simguest *g, const struct agent_options *opt)
{
	g->send.opt.bandwidth_bps = opt->bandwidth_bps;
	g->send.opt.downtime_ms = opt->downtime_ms;
	g->send.budget_ns = simguest_now_ns();
}

static void tell_progress(struct simguest *g, uint64_t now)
{
	struct simguest_sender *s = &g->send;
	uint64_t ns = now - s->told_ns;
	struct agent_progress *p = &s->last;

	if (ns > 0) {
		s->rate_bps = (s->processed - s->told_processed) * 1000000000u / ns;
		s->dirty_rate_pages = (g->n_dirtied - s->told_dirtied) * 1000000000u / ns;
	}
	s->told_ns = now;
	s->told_processed = s->processed;
	s->told_dirtied = g->n_dirtied;
	p->memory_total = g->pages * SIM_PAGE;
	p->memory_remaining = g->n_dirty * SIM_PAGE;
	p->memory_processed = s->n_pages * SIM_PAGE;
	p->pages_constant = s->constant;
	p->pages_normal = s->n_pages;
	p->rate_bps = s->rate_bps;
	p->dirty_rate_pages = s->dirty_rate_pages;
	p->elapsed_ms = (now - s->begun_ns) / NS_PER_MS;
	p->downtime_ms = s->stopped_ns	      ? (now - s->stopped_ns) / NS_PER_MS
			 : s->opt.downtime_ms ? s->opt.downtime_ms
					      : SIMGUEST_DOWNTIME_MS;
	p->iteration = s->round;
	p->throttle_percent = s->throttle;
	simguest_tell(g, AGENT_PROGRESS, 0, 0, "");
}

void simguest_send_end(struct simguest *g, int err, const char *text)
{
	struct simguest_sender *s = &g->send;

	tell_progress(g, simguest_now_ns());
	close(s->fd);
	s->fd = -1;
	free(s->chunk);
	s->chunk = NULL;
	s->throttle = 0;
	g->status.sending = g->status.stopped = 0;
	g->status.send_err = err;
	simguest_timer_arm(g);
	if (err == 0)
		simguest_log(g, "SENT");
	simguest_tell(g, AGENT_SENT, 0, err, text);
}

/* Whether what is left fits into the downtime, at the rate at which it went so far. */
static bool rest_fits(const struct simguest *g)
{
	const struct simguest_sender *s = &g->send;
	uint64_t ns = simguest_now_ns() - s->begun_ns, downtime_ms = s->opt.downtime_ms;
	uint64_t rate = ns ? s->processed * 1000 / (ns / 1000000 + 1) : 0;

	if (!downtime_ms)
		downtime_ms = SIMGUEST_DOWNTIME_MS;
	if (s->opt.bandwidth_bps && rate > s->opt.bandwidth_bps)
		rate = s->opt.bandwidth_bps;
	return g->n_dirty * SIM_PAGE <= rate * downtime_ms / 1000;
}

/* A round is over, and the guest still runs: another, or its stop. */
static void round_next(struct simguest *g)
{
	struct simguest_sender *s = &g->send;

	if (rest_fits(g)) {
		stop_guest(g);
	} else if (s->opt.auto_converge && g->n_dirty * 2 > s->dirty_last) {
		s->throttle = s->throttle ? s->throttle + 10 : 20;
		if (s->throttle > SIMGUEST_THROTTLE_MAX)
			s->throttle = SIMGUEST_THROTTLE_MAX;
		simguest_timer_arm(g);
	}
	s->round++;
	s->cursor = 0;
	s->todo = s->dirty_last = g->n_dirty;
	g->status.iteration = s->round;
	chunk_record(s, SIM_RECORD_ROUND, s->round, NULL);
	simguest_tell(g, AGENT_ITERATION, 0, 0, "");
}

/* Fills the chunk with what comes next. */
static void chunk_fill(struct simguest *g)
{
	struct simguest_sender *s = &g->send;

	while (SIMGUEST_SEND_CHUNK - s->chunk_len >= RECORD_MAX && !s->end_sent) {
		while (s->cursor < g->pages && !simguest_is_dirty(g, s->cursor))
			s->cursor++;
		if (s->cursor < g->pages) {
			chunk_record(s, SIM_RECORD_PAGE, s->cursor,
				     g->memory + s->cursor * SIM_PAGE);
			simguest_clean(g, s->cursor);
			s->cursor++;
			s->n_pages++;
		} else if (!g->status.stopped) {
			round_next(g);
		} else if (g->n_dirty) {
			s->cursor = 0;
		} else if (!s->cpu_sent) {
			s->cpu_sent = true;
			chunk_record(s, SIM_RECORD_CPU, simguest_cpu(g)->ticks, NULL);
		} else {
			s->end_sent = true;
			chunk_record(s, SIM_RECORD_END, s->n_pages, NULL);
		}
	}
}

int simguest_send_wait_ms(const struct simguest *g)
{
	uint64_t now = simguest_now_ns();

	if (now >= g->send.budget_ns)
		return 0;
	return (int)((g->send.budget_ns - now) / NS_PER_MS) + 1;
}

/* Time that so many octets take at the bandwidth that is allowed. What was not used is not kept. */
static void budget_take(struct simguest_sender *s, uint64_t octets, uint64_t now)
{
	if (!s->opt.bandwidth_bps)
		return;
	if (s->budget_ns < now)
		s->budget_ns = now;
	s->budget_ns += octets * 1000000000u / s->opt.bandwidth_bps;
}

void simguest_send_some(struct simguest *g)
{
	struct simguest_sender *s = &g->send;
	uint64_t now = simguest_now_ns();
	ssize_t n;

	if (now < s->budget_ns)
		return;
	if (s->chunk_at == s->chunk_len) {
		s->chunk_at = s->chunk_len = 0;
		chunk_fill(g);
	}
	n = send(s->fd, s->chunk + s->chunk_at, s->chunk_len - s->chunk_at, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		simguest_send_end(g, -errno, strerror(errno));
		return;
	}
	if (n > 0) {
		s->chunk_at += (size_t)n;
		s->processed += (uint64_t)n;
		budget_take(s, (uint64_t)n, now);
	}
	if (now - s->told_ns >= SIMGUEST_PROGRESS_MS * NS_PER_MS)
		tell_progress(g, now);
	if (s->end_sent && s->chunk_at == s->chunk_len)
		simguest_send_end(g, 0, "");
}
