/* SPDX-License-Identifier: MIT */
/*
 * stress-step: runs a program and kills it, with its process group, when it is about to make its
 * Nth system call or to send its Nth request to a store. See trace.h for what is counted.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/stress/trace.h"

static const char usage[] =
	"usage: stress-step [--requests] N PROGRAM [ARGUMENT...]\n"
	"       stress-step [--requests] --list PROGRAM [ARGUMENT...]\n"
	"\n"
	"Runs the program and kills it instead of its Nth system call, from 1 on, or its Nth\n"
	"request to a store. --list runs it to its end and prints all that N may be. The last\n"
	"line on standard error says how many there were: \"calls: 42\".\n"
	"\n"
	"Exit: 137, it was killed; 125, it could not be run; else the program's own status.\n";

static void show(void *data, unsigned long n, const char *name, const char *path)
{
	(void)data;
	fprintf(stderr, "%lu %s%s%s\n", n, name, *path ? " " : "", path);
}

static int run(char **argv, const struct trace_options *opt)
{
	struct trace_result result;
	pid_t pid = trace_exec(argv);
	int r = pid < 0 ? (int)pid : trace_run(pid, opt, &result);

	if (r) {
		fprintf(stderr, "stress-step: %s: %s\n", argv[0], strerror(-r));
		return 125;
	}
	fprintf(stderr, "%s: %lu\n", opt->what == TRACE_CALLS ? "calls" : "requests", result.n);
	if (WIFSIGNALED(result.status))
		return 128 + WTERMSIG(result.status);
	return WEXITSTATUS(result.status);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "requests", no_argument, NULL, 'r' },
						 { "list", no_argument, NULL, 'l' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	struct trace_options opt = { .what = TRACE_CALLS };
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (c == 'r') {
			opt.what = TRACE_REQUESTS;
		} else if (c == 'l') {
			opt.visit = show;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 125;
		}
	}
	argv += optind;
	if (!opt.visit) {
		opt.at = *argv ? strtoul(*argv, &end, 10) : 0;
		if (!opt.at || *end) {
			fputs(usage, stderr);
			return 125;
		}
		argv++;
	}
	if (!*argv) {
		fputs(usage, stderr);
		return 125;
	}
	return run(argv, &opt);
}
