/* SPDX-License-Identifier: MIT */
/*
 * `drover top`: looks at the daemon's counters now and then, and shows them. Invariant: whatever
 * ends it, the terminal is as it was before.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/stats.h"
#include "cli/top_view.h"
#include "cli/xs_client.h"

#define SCREEN_ENTER "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define SCREEN_LEAVE "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H"
#define SCREEN_REST "\033[J" /* clears what is below */

struct top {
	struct xs_handle *xs; /* owned */
	bool once;
	uint64_t interval_ms;
	enum cli_column sort;
	struct cli_stats before, now;
	bool has_before;
	uint64_t before_ms, now_ms;
	struct cli_refusals refusals;
	struct termios cooked;
	int signals; /* owned */
};

enum wish {
	WISH_LOOK,
	WISH_DRAW,
	WISH_QUIT,
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* New counters; the former ones become those before. */
static int top_look(struct top *t)
{
	struct cli_stats s;
	int r;

	cli_stats_init(&s);
	r = cli_stats_read(t->xs, &s);
	if (r) {
		cli_stats_fini(&s);
		return r;
	}
	cli_stats_fini(&t->before);
	t->before = t->now;
	t->before_ms = t->now_ms;
	t->now = s;
	t->has_before = t->now_ms != 0;
	t->now_ms = clock_ms();
	cli_refusals_note(&t->refusals, t->has_before ? &t->before : NULL, &t->now, time(NULL));
	return 0;
}

static void top_draw(const struct top *t)
{
	struct cli_top_view v = {
		.before = t->has_before ? &t->before : NULL,
		.now = &t->now,
		.refusals = &t->refusals,
		.elapsed_ms = t->now_ms - t->before_ms,
		.sort = t->sort,
		.eol = "\n",
	};
	struct winsize size;
	char *text = NULL;
	size_t len = 0;
	FILE *to;

	if (t->once) {
		cli_top_print(stdout, &v);
		return;
	}
	v.eol = "\033[K\n";
	v.rows = 24;
	v.columns = 80;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col) {
		v.rows = size.ws_row;
		v.columns = size.ws_col;
	}
	/* One write for the whole screen: it does not flicker. */
	to = cli_must(open_memstream(&text, &len));
	fputs(SCREEN_HOME, to);
	cli_top_print(to, &v);
	fputs(SCREEN_REST, to);
	fclose(to);
	fwrite(text, 1, len, stdout);
	fflush(stdout);
	free(text);
}

static enum wish on_key(struct top *t)
{
	char key;

	if (read(STDIN_FILENO, &key, 1) != 1)
		return WISH_QUIT;
	switch (key) {
	case 'q':
	case 'Q':
		return WISH_QUIT;
	case 's':
		t->sort = (t->sort + 1) % CLI_COLUMN_COUNT;
		return WISH_DRAW;
	case ' ':
		return WISH_LOOK;
	default:
		return WISH_DRAW;
	}
}

static enum wish on_signal(const struct top *t)
{
	struct signalfd_siginfo info;

	if (read(t->signals, &info, sizeof(info)) != sizeof(info))
		return WISH_QUIT;
	return info.ssi_signo == SIGWINCH ? WISH_DRAW : WISH_QUIT;
}

/* Until the next look is due, or somebody wants something. */
static enum wish top_wait(struct top *t)
{
	struct pollfd fds[] = { { .fd = t->signals, .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN } };
	uint64_t due = t->now_ms + t->interval_ms, now = clock_ms();

	if (now >= due)
		return WISH_LOOK;
	if (poll(fds, ARRAY_LEN(fds), (int)(due - now)) < 0)
		return errno == EINTR ? WISH_DRAW : WISH_QUIT;
	if (fds[0].revents)
		return on_signal(t);
	return fds[1].revents ? on_key(t) : WISH_LOOK;
}

static int top_live(struct top *t)
{
	enum wish wish = WISH_LOOK;
	struct termios raw;
	sigset_t set;
	int r = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (t->signals < 0)
		return errno;
	tcgetattr(STDIN_FILENO, &t->cooked);
	raw = t->cooked;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	fputs(SCREEN_ENTER, stdout);
	while (wish != WISH_QUIT) {
		if (wish == WISH_LOOK)
			r = top_look(t);
		if (r)
			break;
		top_draw(t);
		wish = top_wait(t);
	}
	fputs(SCREEN_LEAVE, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSANOW, &t->cooked);
	close(t->signals);
	return r;
}

static int top_run(struct top *t)
{
	int r;

	if (!t->once && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return cli_usage("top", "not a terminal: --once shows one table");
	t->xs = cli_open("top");
	if (!t->xs)
		return CLI_FAILED;
	cli_stats_init(&t->before);
	cli_stats_init(&t->now);
	if (t->once) {
		r = top_look(t);
		if (!r)
			top_draw(t);
	} else {
		r = top_live(t);
	}
	cli_stats_fini(&t->before);
	cli_stats_fini(&t->now);
	xs_close(t->xs);
	return r ? cli_stats_fail("top", r) : CLI_OK;
}

/* Seconds, perhaps with a fraction: 0.1 to 3600. */
static bool interval_parse(const char *word, uint64_t *ret_ms)
{
	char *end;
	double s = strtod(word, &end);

	if (end == word || *end || !(s >= 0.1 && s <= 3600)) {
		cli_usage("top", "--interval: '%s' is not a number from 0.1 to 3600", word);
		return false;
	}
	*ret_ms = (uint64_t)(s * 1000);
	return true;
}

int cli_top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "once", no_argument, NULL, '1' },
		{ "interval", required_argument, NULL, 'd' },
		{ "sort", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct top t = { .interval_ms = 2000, .sort = CLI_COLUMN_DOMAIN };
	int c, status;

	while ((c = cli_getopt(argc, argv, "d:s:h", options, &status)) != -1) {
		switch (c) {
		case '1':
			t.once = true;
			break;
		case 'd':
			if (!interval_parse(optarg, &t.interval_ms))
				return CLI_USAGE;
			break;
		case 'o':
			t.sort = cli_column_find(optarg);
			if (t.sort == CLI_COLUMN_COUNT)
				return cli_usage("top", "--sort: there is no column '%s'", optarg);
			break;
		default:
			return status;
		}
	}
	if (optind < argc)
		return cli_usage("top", "'%s' is not expected", argv[optind]);
	return top_run(&t);
}
