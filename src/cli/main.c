/* SPDX-License-Identifier: MIT */
/*
 * `drover`: the command line. Invariant: output that could not be written is a failure, even
 * where the command did what it should.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/xs_client.h"

static int main_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	char *version[] = { "version", NULL };
	int c;

	while ((c = getopt_long(argc, argv, "+s:hV", options, NULL)) != -1) {
		switch (c) {
		case 's':
			cli_socket_set(optarg);
			break;
		case 'h':
			cli_help(stdout, NULL);
			return CLI_OK;
		case 'V':
			return cli_run(1, version);
		default:
			fputs("drover: see 'drover help'\n", stderr);
			return CLI_USAGE;
		}
	}
	if (optind == argc) {
		cli_help(stderr, NULL);
		return CLI_USAGE;
	}
	return cli_run(argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	int status = main_run(argc, argv);

	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "drover: output: %s\n", strerror(errno));
		return CLI_FAILED;
	}
	return status;
}
