/* SPDX-License-Identifier: MIT */
/*
 * drover-simguest: one simulated guest. The daemon starts it in the guest's directory, with a
 * listening socket as descriptor 3, and may go away and come back as it likes; the guest goes on.
 * Invariant: while it is not running nothing writes into its memory but what it receives.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/own.h"
#include "vmm/sim/simguest.h"
#include "vmm/vmm.h"

enum option_id {
	OPT_NAME,
	OPT_UUID,
	OPT_HOST,
	OPT_EPOCH,
	OPT_MEMORY,
	OPT_LOG,
	OPT_WORDS,
	OPT_INCOMING,
	OPT_PAUSED,
	OPT_NO_REBOOT,
};

static const struct option options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "uuid", required_argument, NULL, OPT_UUID },
	{ "host", required_argument, NULL, OPT_HOST },
	{ "epoch", required_argument, NULL, OPT_EPOCH },
	{ "memory-kib", required_argument, NULL, OPT_MEMORY },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "words", required_argument, NULL, OPT_WORDS },
	{ "incoming", no_argument, NULL, OPT_INCOMING },
	{ "paused", no_argument, NULL, OPT_PAUSED },
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
	{ 0 },
};

struct start {
	bool incoming, paused;
	const char *words;
};

/* The number of "name=N" among the words; what is no number is not there. */
static uint64_t word_number(const char *words, const char *name, uint64_t otherwise, uint64_t max)
{
	size_t len = strlen(name);

	while (words && *words) {
		words += strspn(words, " ");
		if (!strncmp(words, name, len) && words[len] == '=') {
			char *end;
			uint64_t n = strtoull(words + len + 1, &end, 10);

			return (*end == ' ' || !*end) && n <= max ? n : otherwise;
		}
		words += strcspn(words, " ");
	}
	return otherwise;
}

static bool word_is_there(const char *words, const char *name)
{
	size_t len = strlen(name);

	while (words && *words) {
		words += strspn(words, " ");
		if (!strncmp(words, name, len) && (words[len] == ' ' || !words[len]))
			return true;
		words += strcspn(words, " ");
	}
	return false;
}

static void words_read(struct simguest *g, const char *words)
{
	struct simguest_words *w = &g->words;

	w->tick_ms = (uint32_t)word_number(words, "tick", SIMGUEST_TICK_MS, 10000);
	if (!w->tick_ms)
		w->tick_ms = SIMGUEST_TICK_MS;
	w->dirty = (uint32_t)word_number(words, "dirty", 0, 65536);
	w->crash = word_number(words, "crash", 0, UINT64_MAX);
	w->reboot = word_number(words, "reboot", 0, UINT64_MAX);
	w->poweroff = word_number(words, "poweroff", 0, UINT64_MAX);
	w->ioerror = word_number(words, "ioerror", 0, UINT64_MAX);
	w->deaf = word_is_there(words, "deaf");
	w->fill = word_is_there(words, "fill");
}

static bool options_read(struct simguest *g, struct start *start, int argc, char **argv)
{
	uint64_t kib = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0)
		switch (opt) {
		case OPT_NAME:
			g->name = optarg;
			break;
		case OPT_UUID:
			if (!def_uuid_parse(optarg, g->uuid))
				return false;
			break;
		case OPT_HOST:
			g->host = optarg;
			break;
		case OPT_EPOCH:
			g->epoch = strtoull(optarg, NULL, 10);
			break;
		case OPT_MEMORY:
			kib = strtoull(optarg, NULL, 10);
			break;
		case OPT_LOG:
			g->log_path = optarg;
			break;
		case OPT_WORDS:
			start->words = optarg;
			break;
		case OPT_INCOMING:
			start->incoming = true;
			break;
		case OPT_PAUSED:
			start->paused = true;
			break;
		case OPT_NO_REBOOT:
			g->ends_at_reboot = true;
			break;
		default:
			return false;
		}
	words_read(g, start->words);
	kib = kib < DEF_MEMORY_MIN_KIB ? DEF_MEMORY_MIN_KIB : kib;
	if (kib > SIMGUEST_MEMORY_MAX_KIB && !word_is_there(start->words, "whole"))
		kib = SIMGUEST_MEMORY_MAX_KIB;
	g->pages = kib * 1024 / SIM_PAGE;
	return g->name && g->host && g->pages <= SIM_PAGES_MAX;
}

static int guest_open(struct simguest *g)
{
	int r;

	g->send.fd = g->receive_fd = g->log = -1;
	g->status.domid = -1;
	r = agent_end_init(&g->end, AGENT_CTL_FD);
	if (r < 0)
		return r;
	if (g->log_path) {
		g->log = open(g->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (g->log < 0)
			return -errno;
	}
	g->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return g->timer < 0 ? -errno : simguest_memory_init(g);
}

static void guest_begin(struct simguest *g, const struct start *start)
{
	if (start->incoming) {
		g->status.state = AGENT_INCOMING;
		g->status.reason = VMM_BOOTED;
		return;
	}
	g->status.state = AGENT_PAUSED;
	g->status.reason = VMM_BOOTED;
	simguest_log(g, "START");
	if (!start->paused)
		simguest_enter(g, AGENT_RUNNING, VMM_BOOTED);
}

enum { POLL_TIMER, POLL_LISTENER, POLL_CTL, POLL_SEND, POLL_RECEIVE, POLLS };

/* A late tick is one tick: what the guest missed it does not make up for. */
static void timer_ready(struct simguest *g)
{
	uint64_t times;

	if (read(g->timer, &times, sizeof(times)) == (ssize_t)sizeof(times) &&
	    g->status.state == AGENT_RUNNING)
		simguest_tick(g);
}

static int guest_run(struct simguest *g)
{
	while (!g->ended) {
		int wait_ms = g->send.fd < 0 ? 0 : simguest_send_wait_ms(g);
		struct pollfd polls[POLLS] = {
			[POLL_TIMER] = { .fd = g->timer, .events = POLLIN },
			[POLL_LISTENER] = { .fd = g->end.listener, .events = POLLIN },
			[POLL_CTL] = { .fd = g->end.ctl,
				       .events =
					       (short)(POLLIN | (g->end.n_pending ? POLLOUT : 0)) },
			[POLL_SEND] = { .fd = wait_ms ? -1 : g->send.fd, .events = POLLOUT },
			[POLL_RECEIVE] = { .fd = g->receive_fd, .events = POLLIN },
		};

		if (poll(polls, POLLS, wait_ms ? wait_ms : -1) < 0 && errno != EINTR)
			return 1;
		if (polls[POLL_TIMER].revents)
			timer_ready(g);
		if (g->ended)
			break;
		if (polls[POLL_LISTENER].revents)
			simguest_ctl_accept(g);
		else if (polls[POLL_CTL].revents & POLLOUT)
			agent_end_flush(&g->end);
		if (g->end.ctl == polls[POLL_CTL].fd && g->end.ctl >= 0 &&
		    polls[POLL_CTL].revents & (POLLIN | POLLHUP | POLLERR))
			simguest_ctl_ready(g);
		if (g->send.fd >= 0 && !g->ended && !simguest_send_wait_ms(g))
			simguest_send_some(g);
		if (g->receive_fd >= 0 && polls[POLL_RECEIVE].revents &&
		    polls[POLL_RECEIVE].fd == g->receive_fd)
			simguest_receive_some(g);
	}
	return g->exit_code;
}

int main(int argc, char **argv)
{
	static struct simguest guest; /* its queue of messages is large for a stack */
	struct start start = { 0 };
	int r;

	signal(SIGPIPE, SIG_IGN);
	if (!options_read(&guest, &start, argc, argv)) {
		fprintf(stderr, "drover-simguest: is started by drover-hostd\n");
		return 2;
	}
	prctl(PR_SET_NAME, guest.name);
	r = guest_open(&guest);
	if (r < 0) {
		fprintf(stderr, "drover-simguest: %s: %s\n", guest.name, strerror(-r));
		return 1;
	}
	guest_begin(&guest, &start);
	return guest_run(&guest);
}
