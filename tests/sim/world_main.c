/* SPDX-License-Identifier: MIT */
/*
 * Runs seeds. A failure prints the command that replays it.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen.h"
#include "moves.h"
#include "oracle.h"

#define STEPS_DEFAULT 1000u
#define SEEDS_PER_LINE 50u

struct options {
	uint64_t from;
	uint64_t to;
	uint32_t steps;
	bool verbose;
	bool soak;
	bool twice;	/* each seed: the same run both times */
	bool moves;	/* after each step: see moves.h */
	uint64_t kills; /* see gen.h */
};

static volatile sig_atomic_t told;

static void stop(int sig)
{
	told = sig;
}

static int usage(void)
{
	fprintf(stderr, "usage: world --seed N | --seeds A..B | --soak  [--steps M] [--twice]\n"
			"             [--kills GAP | --moves] [--verbose]\n");
	return 2;
}

/* 0, or the step at which it failed first, from 1. */
static uint32_t run_seed(const struct options *opt, uint64_t seed, uint64_t *digest)
{
	struct gen g;
	struct world *w = gen_world(&g, seed, opt->kills, opt->verbose);
	uint32_t at = 0;

	for (uint32_t i = 1; i <= opt->steps && !at; i++) {
		if (opt->verbose)
			printf("# step %" PRIu32 "\n", i);
		gen_step(&g);
		if (opt->moves && !w->failures)
			moves_check(w);
		if (w->failures)
			at = i;
	}
	if (!at)
		gen_end(&g);
	*digest = oracle_digest(w->oracle);
	return world_free(w) && !at ? opt->steps : at;
}

static bool try_seed(const struct options *opt, uint64_t seed, const char *argv0)
{
	uint64_t digest, again;
	uint32_t step = run_seed(opt, seed, &digest);

	if (!step && opt->twice && (run_seed(opt, seed, &again) || again != digest)) {
		printf("# the same seed went another way\n");
		step = opt->steps;
	}
	if (!step)
		return true;
	printf("# seed %" PRIu64 " failed at step %" PRIu32 "; replay:\n", seed, step);
	printf("#   %s --seed %" PRIu64 " --steps %" PRIu32 " --kills %" PRIu64 "%s --verbose\n",
	       argv0, seed, opt->steps, opt->kills, opt->moves ? " --moves" : "");
	fflush(stdout);
	return false;
}

static int run_range(const struct options *opt, const char *argv0)
{
	uint64_t failed = 0, in_line = 0, lines = 0, at = opt->from;

	for (uint64_t seed = opt->from; seed <= opt->to && !told; seed++) {
		in_line += !try_seed(opt, seed, argv0);
		if ((seed - opt->from + 1) % SEEDS_PER_LINE && seed != opt->to)
			continue;
		printf("%sok %" PRIu64 " - seeds %" PRIu64 "..%" PRIu64 "\n", in_line ? "not " : "",
		       ++lines, at, seed);
		fflush(stdout);
		at = seed + 1;
		failed += in_line;
		in_line = 0;
	}
	printf("1..%" PRIu64 "\n# %" PRIu64 " seeds, %" PRIu64 " failed\n", lines,
	       opt->to - opt->from + 1, failed);
	return failed ? 1 : 0;
}

static int run_soak(struct options *opt, const char *argv0)
{
	uint64_t n = 0;

	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	for (uint64_t seed = opt->from; !told; seed++) {
		opt->kills = seed % 2 ? 10 + seed % 400 : 0;
		if (!try_seed(opt, seed, argv0))
			return 1;
		if (!(++n % 1000)) {
			printf("# %" PRIu64 " seeds, none failed\n", n);
			fflush(stdout);
		}
	}
	printf("# %" PRIu64 " seeds, none failed\n", n);
	return 0;
}

static int parse(int argc, char **argv, struct options *opt)
{
	char *end;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--verbose")) {
			opt->verbose = true;
		} else if (!strcmp(argv[i], "--twice")) {
			opt->twice = true;
		} else if (!strcmp(argv[i], "--soak")) {
			opt->soak = true;
		} else if (!strcmp(argv[i], "--moves")) {
			opt->moves = true;
		} else if (!strcmp(argv[i], "--steps")) {
			opt->steps = (uint32_t)strtoul(value, NULL, 10);
			i++;
		} else if (!strcmp(argv[i], "--kills")) {
			opt->kills = strtoull(value, NULL, 10);
			i++;
		} else if (!strcmp(argv[i], "--seed")) {
			opt->from = opt->to = strtoull(value, NULL, 10);
			i++;
		} else if (!strcmp(argv[i], "--seeds")) {
			opt->from = strtoull(value, &end, 10);
			if (strncmp(end, "..", 2))
				return -EINVAL;
			opt->to = strtoull(end + 2, NULL, 10);
			i++;
		} else {
			return -EINVAL;
		}
	}
	if (opt->moves && (opt->kills || opt->soak))
		return -EINVAL;
	return opt->steps && opt->from <= opt->to ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	struct options opt = { .from = 1, .to = 1, .steps = STEPS_DEFAULT };

	if (parse(argc, argv, &opt))
		return usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	return opt.soak ? run_soak(&opt, argv[0]) : run_range(&opt, argv[0]);
}
