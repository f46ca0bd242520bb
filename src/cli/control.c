/* SPDX-License-Identifier: MIT */
/*
 * `drover control`: any CONTROL command of the daemon, its answer as it is. Invariant: words
 * after the command go to the daemon unread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/xs_client.h"

int cli_control(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct xs_handle *xs;
	char *answer;
	int r, status;

	if (cli_getopt(argc, argv, "+s:h", options, &status) != -1)
		return status;
	if (optind == argc)
		return cli_usage("control", "which command? 'drover control help' lists them");
	xs = cli_open("control");
	if (!xs)
		return CLI_FAILED;
	r = cli_control_call(xs, argv[optind], argv + optind + 1, (size_t)(argc - optind - 1),
			     &answer);
	xs_close(xs);
	if (r == EINVAL) {
		fprintf(stderr,
			"drover: control %s: not a command of the daemon, or wrong arguments "
			"(EINVAL); 'drover control help' lists them\n",
			argv[optind]);
		return CLI_FAILED;
	}
	if (r)
		return cli_fail("control", argv[optind], r);
	fputs(answer, stdout);
	if (*answer && answer[strlen(answer) - 1] != '\n')
		putchar('\n');
	free(answer);
	return CLI_OK;
}
