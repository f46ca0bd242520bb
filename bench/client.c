/* SPDX-License-Identifier: MIT */
/*
 * bench-client [-p PID] [-t SECONDS] [-d SIM-DIRECTORY] SOCKET TEST [ARGUMENT...]
 *
 * The load generator: runs one test against the server at SOCKET and prints a line for each
 * value, "TEST PARAMETER METRIC VALUE". It takes no part in where anything runs: who starts it
 * pins it away from the server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests.h"

static const struct {
	const char *name;
	int min_args;
	bool needs_domains;
	void (*run)(struct bench *b, char **args);
} tests[] = {
	{ "lat", 0, false, test_lat },		 { "pipe", 3, false, test_pipe },
	{ "conflict", 2, false, test_conflict }, { "idle", 1, false, test_idle },
	{ "watches", 1, false, test_watches },	 { "nodes", 1, false, test_nodes },
	{ "siblings", 1, false, test_siblings }, { "remove", 1, false, test_remove },
	{ "memory", 3, false, test_memory },	 { "idledom", 1, true, test_idledom },
	{ "domains", 1, true, test_domains },	 { "update", 2, false, test_update },
	{ "kill", 1, false, test_kill },	 { "journal", 3, false, test_pipe },
	{ "move", 1, true, test_move },
};

unsigned long arg_number(char **args, int i, unsigned long fallback)
{
	for (int k = 0; k <= i; k++)
		if (!args[k])
			return fallback;
	return strtoul(args[i], NULL, 10);
}

static int usage(void)
{
	fputs("usage: bench-client [-p PID] [-t SECONDS] [-d SIM-DIRECTORY] SOCKET TEST "
	      "[ARGUMENT...]\ntests:",
	      stderr);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		fprintf(stderr, " %s", tests[i].name);
	fputc('\n', stderr);
	return 2;
}

static int options_read(struct bench *b, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+p:t:d:")) != -1)
		switch (c) {
		case 'p':
			b->server = (pid_t)strtol(optarg, NULL, 10);
			break;
		case 't':
			b->seconds = strtod(optarg, NULL);
			break;
		case 'd':
			b->sim_dir = optarg;
			break;
		default:
			return -1;
		}
	if (argc - optind < 2 || b->seconds <= 0)
		return -1;
	b->socket_path = argv[optind];
	b->test = argv[optind + 1];
	return optind + 2;
}

int main(int argc, char **argv)
{
	struct bench b = { .seconds = .4 };
	int first = options_read(&b, argc, argv);

	if (first < 0)
		return usage();
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(tests[i].name, b.test))
			continue;
		if (argc - first < tests[i].min_args || (tests[i].needs_domains && !b.sim_dir))
			return usage();
		meter_init(&b);
		tests[i].run(&b, argv + first);
		meter_fini(&b);
		return 0;
	}
	return usage();
}
