/* SPDX-License-Identifier: MIT */
/*
 * `drover watch`: events as they come, a line each. Invariant: a line is flushed when it is
 * printed; the program that reads them waits for nothing.
 *
 * libxenstore cannot ask for a depth, so that a watch with one goes over a connection of our own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/sim_client.h"
#include "cli/xs_client.h"

struct watching {
	char **path; /* borrowed */
	int n;
	unsigned long count; /* events to print, 0: no end */
	unsigned long seen;
	const char *depth; /* NULL: none */
};

static bool enough(const struct watching *w)
{
	return w->count && w->seen >= w->count;
}

/* "2026-11-22T22:45:01.123 PATH TOKEN" */
static void print_event(struct watching *w, const char *path, const char *token)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	if (enough(w))
		return;
	w->seen++;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	printf("%s.%03ld %s %s\n", text, now.tv_nsec / 1000000, path, token);
	fflush(stdout);
}

static void on_event(void *data, const char *path, const char *token)
{
	print_event(data, path, token);
}

static int fail_depth(const char *path, int r)
{
	if (r != EINVAL)
		return cli_fail("watch", path, r < 0 ? -r : r);
	fprintf(stderr,
		"drover: watch %s: not a valid path, or the daemon knows no depth of "
		"watches (EINVAL)\n",
		path);
	return CLI_FAILED;
}

static int watch_with_depth(struct watching *w)
{
	char payload[XENSTORE_PAYLOAD_MAX];
	struct sim_client *c;
	int r = sim_client_connect(cli_socket_path(), &c);

	if (r)
		return cli_fail("watch", cli_socket_path(), -r);
	sim_client_on_event(c, on_event, w);
	for (int i = 0; i < w->n && !r; i++) {
		struct sim_reply reply;
		int len = snprintf(payload, sizeof(payload), "%s%c%s%c%s", w->path[i], 0,
				   w->path[i], 0, w->depth);

		r = (size_t)len + 1 > sizeof(payload)
			    ? E2BIG
			    : sim_client_call(c, XS_WATCH, 0, payload, (size_t)len + 1, &reply);
		if (r)
			r = fail_depth(w->path[i], r);
	}
	while (!r && !enough(w)) {
		r = sim_client_wait_event(c, -1);
		if (r)
			r = cli_fail("watch", NULL, r < 0 ? -r : r);
	}
	sim_client_free(c);
	return r ? CLI_FAILED : CLI_OK;
}

static int watch_plain(struct watching *w, struct xs_handle *xs)
{
	for (int i = 0; i < w->n; i++)
		if (!xs_watch(xs, w->path[i], w->path[i]))
			return cli_fail("watch", w->path[i], errno);
	while (!enough(w)) {
		unsigned int n;
		char **event = xs_read_watch(xs, &n);

		if (!event)
			return cli_fail("watch", NULL, ENOTCONN);
		print_event(w, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		free(event);
	}
	return CLI_OK;
}

int cli_watch(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "depth", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct watching w = { 0 };
	struct xs_handle *xs;
	unsigned long depth;
	int c, status;

	while ((c = cli_getopt(argc, argv, "n:s:h", options, &status)) != -1) {
		if (c == '?')
			return status;
		if (c == 'n' && !cli_number("watch", "--count", optarg, 1000000000, &w.count))
			return CLI_USAGE;
		if (c == 'd' &&
		    !cli_number("watch", "--depth", optarg, XENSTORE_ABS_PATH_MAX, &depth))
			return CLI_USAGE;
		if (c == 'd')
			w.depth = optarg;
	}
	if (optind == argc)
		return cli_usage("watch", "which path?");
	w.path = argv + optind;
	w.n = argc - optind;
	xs = cli_open("watch");
	if (!xs)
		return CLI_FAILED;
	status = w.depth ? watch_with_depth(&w) : watch_plain(&w, xs);
	xs_close(xs);
	return status;
}
