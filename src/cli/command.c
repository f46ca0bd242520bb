/* SPDX-License-Identifier: MIT */
/*
 * Arguments and failures of commands. Invariant: whatever goes wrong is said once, on stderr,
 * with the command's name first.
 */
#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/xs_client.h"

/* What an errno of the store means to the person at the terminal. */
static const struct {
	int err;
	const char *words;
} meanings[] = {
	{ ENOENT, "no such node" },
	{ EACCES, "not permitted" },
	{ EPERM, "not permitted: only the owner may" },
	{ EINVAL, "not a valid path or argument" },
	{ EEXIST, "exists already" },
	{ EISDIR, "not possible on this node" },
	{ ENOSPC, "over a quota of the domain, see 'drover top'" },
	{ EAGAIN, "others kept changing the same nodes" },
	{ E2BIG, "too long" },
	{ ESRCH, "no such domain" },
	{ ENOSYS, "the daemon does not know this operation" },
	{ ENOTCONN, "the daemon has gone" },
	{ EPIPE, "the daemon has gone" },
	{ ECONNRESET, "the daemon has gone" },
	{ EBADF, "the daemon has gone" },
};

static const char *meaning(int err)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i].err == err)
			return meanings[i].words;
	return strerror(err);
}

int cli_fail(const char *command, const char *what, int err)
{
	const char *name = strerrorname_np(err);

	fflush(stdout); /* what came before it is seen before it */
	fprintf(stderr, "drover: %s%s%s: %s (%s)\n", command, what ? " " : "", what ? what : "",
		meaning(err), name ? name : "?");
	return CLI_FAILED;
}

int cli_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "drover: %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see 'drover help %s'\n", command);
	return CLI_USAGE;
}

int cli_run_part(const char *whole, const struct cli_part *parts, size_t n, const char *names,
		 int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		cli_help(stdout, whole);
		return CLI_OK;
	}
	for (size_t i = 0; argc > 1 && i < n; i++) {
		if (strcmp(argv[1], parts[i].name))
			continue;
		argv[1] = argv[0];
		optind = 0;
		return parts[i].run(argc - 1, argv + 1);
	}
	if (argc > 1)
		return cli_usage(whole, "'%s' is none of its commands", argv[1]);
	return cli_usage(whole, "what? %s", names);
}

int cli_getopt(int argc, char **argv, const char *letters, const struct option *options,
	       int *ret_status)
{
	int c = getopt_long(argc, argv, letters, options, NULL);

	while (c == 's') {
		cli_socket_set(optarg);
		c = getopt_long(argc, argv, letters, options, NULL);
	}
	*ret_status = CLI_USAGE;
	if (c == 'h') {
		cli_help(stdout, argv[0]);
		*ret_status = CLI_OK;
		return '?';
	}
	if (c == '?')
		fprintf(stderr, "drover: see 'drover help %s'\n", argv[0]);
	return c;
}

bool cli_number(const char *command, const char *what, const char *word, unsigned long most,
		unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(word, &end, 10);
	if (!errno && end != word && !*end && word[0] >= '0' && word[0] <= '9' && *ret <= most)
		return true;
	cli_usage(command, "%s: '%s' is not a number from 0 to %lu", what, word, most);
	return false;
}

void *cli_must(void *p)
{
	if (p)
		return p;
	fputs("drover: out of memory\n", stderr);
	exit(CLI_FAILED);
}
