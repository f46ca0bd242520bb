/* SPDX-License-Identifier: MIT */
/*
 * drover-xlguest: looks after one domain of real Xen. The daemon starts it in the guest's
 * directory, with a listening socket as descriptor 3, and may go away and come back as it likes;
 * if this process dies, the daemon starts another one, which goes on (--again).
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/xl/xlguest.h"

enum option_id { OPT_NAME, OPT_UUID, OPT_EPOCH, OPT_INCOMING, OPT_PAUSED, OPT_AGAIN };

static const struct option options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "uuid", required_argument, NULL, OPT_UUID },
	{ "epoch", required_argument, NULL, OPT_EPOCH },
	{ "incoming", no_argument, NULL, OPT_INCOMING },
	{ "paused", no_argument, NULL, OPT_PAUSED },
	{ "again", no_argument, NULL, OPT_AGAIN },
	{ 0 },
};

struct start {
	bool incoming, again, has_uuid;
};

uint64_t xlguest_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool options_read(struct xlguest *g, struct start *start, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (opt) {
		case OPT_NAME:
			g->name = optarg;
			break;
		case OPT_UUID:
			start->has_uuid = def_uuid_parse(optarg, g->uuid);
			break;
		case OPT_EPOCH:
			g->epoch = strtoull(optarg, NULL, 10);
			break;
		case OPT_INCOMING:
			start->incoming = true;
			break;
		case OPT_PAUSED:
			g->paused = true;
			break;
		case OPT_AGAIN:
			start->again = true;
			break;
		default:
			return false;
		}
	return g->name && start->has_uuid;
}

static int guest_open(struct xlguest *g)
{
	int r = agent_end_init(&g->ctl, AGENT_CTL_FD);

	g->receive_fd = g->send_fd = -1;
	g->record.domid = g->status.domid = -1;
	xlguest_log_init(&g->log);
	if (r < 0)
		return r;
	return xlguest_errno(libxl_ctx_alloc(&g->ctx, LIBXL_VERSION, 0, &g->log.logger));
}

static int guest_begin(struct xlguest *g, const struct start *start)
{
	int r;

	g->status.state = AGENT_STARTING;
	g->status.reason = VMM_BOOTED;
	if (start->again)
		return xlguest_again(g);
	if (start->incoming) {
		g->record.phase = XLGUEST_WAITING;
		g->status.state = AGENT_INCOMING;
		return xlguest_record_write(g);
	}
	r = xlguest_create(g);
	if (r < 0) /* nothing was made, and whatever has our uuid is not ours */
		xlguest_end_unmade(g, "failed", xlguest_log_why(&g->log, strerror(-r)));
	return 0;
}

enum { POLL_LISTENER, POLL_CTL, POLL_PUMP, POLL_AID, POLLS };

static int wait_ms(const struct xlguest *g)
{
	uint64_t now = xlguest_now_ms();

	if (g->again_ms)
		return g->again_ms > now ? (int)(g->again_ms - now) : 0;
	return g->pump ? (int)XLGUEST_PROGRESS_MS : -1;
}

static void events_take(struct xlguest *g)
{
	libxl_event *event;

	while (!g->over &&
	       libxl_event_check(g->ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) == 0) {
		if (event->type != LIBXL_EVENT_TYPE_OPERATION_COMPLETE)
			xlguest_domain_event(g, event);
		else if (event->for_user == g->op)
			xlguest_op_done(g, event->u.operation_complete.rc);
		libxl_event_free(g->ctx, event);
	}
}

static void ready(struct xlguest *g, const struct pollfd *polls)
{
	if (polls[POLL_LISTENER].revents)
		xlguest_call_accept(g);
	else if (polls[POLL_CTL].revents & POLLOUT)
		agent_end_flush(&g->ctl);
	if (!g->over && g->ctl.ctl == polls[POLL_CTL].fd && g->ctl.ctl >= 0 &&
	    polls[POLL_CTL].revents & (POLLIN | POLLHUP | POLLERR))
		xlguest_call_take(g);
	if (g->pump && polls[POLL_PUMP].revents && polls[POLL_PUMP].fd == xlguest_pump_fd(g->pump))
		xlguest_send_pump_ready(g);
	if (g->aid && polls[POLL_AID].revents)
		xlguest_aid_ready(g);
	xlguest_send_tick(g);
	if (!g->over && g->again_ms && xlguest_now_ms() >= g->again_ms)
		xlguest_again_due(g);
}

static int guest_run(struct xlguest *g)
{
	struct pollfd polls[POLLS + XLGUEST_POLLS_MAX];

	while (!g->over) {
		int n = XLGUEST_POLLS_MAX, timeout = wait_ms(g);
		struct timeval now;

		/* what a call above has made libxl find out already */
		events_take(g);
		if (g->over)
			break;
		gettimeofday(&now, NULL);
		polls[POLL_LISTENER] = (struct pollfd){ .fd = g->ctl.listener, .events = POLLIN };
		polls[POLL_CTL] = (struct pollfd){
			.fd = g->ctl.ctl,
			.events = (short)(POLLIN | (g->ctl.n_pending ? POLLOUT : 0))
		};
		polls[POLL_PUMP] = (struct pollfd){ .fd = g->pump ? xlguest_pump_fd(g->pump) : -1,
						    .events = POLLIN };
		polls[POLL_AID] = (struct pollfd){ .fd = xlguest_aid_fd(g), .events = POLLIN };
		if (libxl_osevent_beforepoll(g->ctx, &n, polls + POLLS, &timeout, now))
			return 1;
		if (poll(polls, (nfds_t)POLLS + (nfds_t)n, timeout) < 0 && errno != EINTR)
			return 1;
		gettimeofday(&now, NULL);
		libxl_osevent_afterpoll(g->ctx, n, polls + POLLS, now);
		events_take(g);
		if (!g->over)
			ready(g, polls);
	}
	return g->exit_code;
}

int main(int argc, char **argv)
{
	static struct xlguest guest; /* its queue of messages is large for a stack */
	struct start start = { 0 };
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (!options_read(&guest, &start, argc, argv)) {
		fprintf(stderr, "drover-xlguest: is started by drover-hostd\n");
		return 2;
	}
	prctl(PR_SET_NAME, guest.name);
	r = guest_open(&guest);
	r = r ? r : guest_begin(&guest, &start);
	if (r < 0) {
		fprintf(stderr, "drover-xlguest: %s: %s\n", guest.name,
			xlguest_log_why(&guest.log, strerror(-r)));
		return 1;
	}
	r = guest_run(&guest);
	agent_end_flush(&guest.ctl);
	libxl_ctx_free(guest.ctx);
	return r;
}
