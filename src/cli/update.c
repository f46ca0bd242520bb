/* SPDX-License-Identifier: MIT */
/*
 * `drover update`: the three steps of a live update in one. Invariant: an update that is refused
 * is also forgotten by the daemon, and its reason is said.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/sim_client.h"
#include "cli/xs_client.h"

/* The file that the daemon was started from, or what is in its place by now. */
static bool running_file(char file[PATH_MAX])
{
	static const char gone[] = " (deleted)";
	struct sim_client *c;
	char link[64];
	ssize_t n;

	if (sim_client_connect(cli_socket_path(), &c))
		return false;
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)sim_client_peer(c));
	sim_client_free(c);
	n = readlink(link, file, PATH_MAX - 1);
	if (n <= 0)
		return false;
	file[n] = '\0';
	if ((size_t)n > strlen(gone) && !strcmp(file + n - strlen(gone), gone))
		file[(size_t)n - strlen(gone)] = '\0';
	return true;
}

/* One step; what the daemon answers to it, unless OK, is said. */
static int step(struct xs_handle *xs, const char *file, char **words, size_t n)
{
	char *answer;
	int r = cli_control_call(xs, "live-update", words, n, &answer);

	if (r == EINVAL) {
		fprintf(stderr, "drover: update: the daemon does not offer it (EINVAL)\n");
		return CLI_FAILED;
	}
	if (r)
		return cli_fail("update", file, r);
	r = strcmp(answer, "OK") ? CLI_FAILED : CLI_OK;
	if (r)
		fprintf(stderr, "drover: update to %s: refused, the daemon goes on: %s\n", file,
			strcmp(answer, "BUSY") ? answer : "another update is under way");
	free(answer);
	return r;
}

static int update(struct xs_handle *xs, char *file, char *options, char *seconds)
{
	char *set_file[] = { "-f", file }, *set_options[] = { "-c", options };
	char *start[] = { "-s", "-t", seconds }, *abandon[] = { "-a" }, *answer;
	int status = step(xs, file, set_file, ARRAY_LEN(set_file));

	if (!status && options)
		status = step(xs, file, set_options, ARRAY_LEN(set_options));
	if (!status)
		status = step(xs, file, start, ARRAY_LEN(start));
	if (!status)
		printf("%s serves\n", file);
	else if (!cli_control_call(xs, "live-update", abandon, ARRAY_LEN(abandon), &answer))
		free(answer);
	return status;
}

int cli_update(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "timeout", required_argument, NULL, 't' },
		{ "options", required_argument, NULL, 'c' },
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *options = NULL, *seconds = "60", file[PATH_MAX] = "";
	unsigned long number;
	struct xs_handle *xs;
	int c, status;

	while ((c = cli_getopt(argc, argv, "t:c:s:h", long_options, &status)) != -1) {
		if (c == '?')
			return status;
		if (c == 'c')
			options = optarg;
		else if (cli_number("update", "--timeout", optarg, UINT_MAX, &number))
			seconds = optarg;
		else
			return CLI_USAGE;
	}
	if (argc - optind > 1)
		return cli_usage("update", "one file at most");
	if (optind < argc && !realpath(argv[optind], file)) {
		fprintf(stderr, "drover: update: %s: %s\n", argv[optind], strerror(errno));
		return CLI_FAILED;
	}
	xs = cli_open("update");
	if (!xs)
		return CLI_FAILED;
	if (optind == argc && !running_file(file))
		status = cli_usage("update", "which file? the running one's name cannot be read");
	else
		status = update(xs, file, options, seconds);
	xs_close(xs);
	return status;
}
