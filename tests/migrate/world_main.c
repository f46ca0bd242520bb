/* SPDX-License-Identifier: MIT */
/*
 * Runs worlds: a range of seeds, in which everything goes wrong at random; or one migration with
 * each single fault at each step, each pair of them, and a daemon's death after each effect. Prints
 * TAP; a world that fails says how to see it again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "world.h"

static const char *const mistakes[MISTAKES] = {
	[MISTAKE_NONE] = "none",       [MISTAKE_JOURNAL] = "journal", [MISTAKE_GRANT] = "grant",
	[MISTAKE_CANCEL] = "cancel",   [MISTAKE_TAKEN] = "taken",     [MISTAKE_RESTART] = "restart",
	[MISTAKE_RECEIVE] = "receive",
};

struct options {
	uint64_t first, last;
	unsigned int singles, pairs, kills; /* 0: none; n: of every n-th only */
	enum mistake mistake;
	bool trace, arbiter;
	struct plan plan;
	uint64_t kill_at;
	bool planned;
};

struct tally {
	uint64_t runs, failed, moved, stayed, steps, faults, effects;
	struct world first; /* that failed: what it was made of, and why */
};

static const char *program;

static void no_log(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	(void)line;
}

static void log_print(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	printf("#              %s\n", line);
}

/* One run; what it did is added. Returns its number of steps. */
static uint64_t run(struct tally *t, const struct options *o, uint64_t seed, bool arbiter,
		    const struct plan *plan, uint64_t kill_at)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t steps;

	if (!w)
		abort();
	w->seed = seed;
	w->arbiter = arbiter;
	w->mistake = o->mistake;
	w->trace = o->trace;
	w->random_faults = !plan;
	w->n_hosts = plan ? 2 : HOSTS;
	w->n_guests = plan ? 1 : GUESTS;
	w->quiet_ms = plan ? 60000 : 90000;
	w->kill_at = kill_at;
	if (plan)
		w->plan = *plan;
	t->runs++;
	if (world_run(w) && !t->failed++)
		t->first = *w;
	t->moved += w->moved;
	t->stayed += w->stayed;
	t->steps += w->steps;
	t->faults += w->faults;
	t->effects = w->effects;
	steps = w->steps;
	world_fini(w);
	free(w);
	return steps;
}

/* Steps and effects of one migration in which nothing goes wrong. */
static uint64_t length_of(const struct options *o, uint64_t seed, bool arbiter,
			  uint64_t *ret_effects)
{
	struct tally t = { 0 };
	struct plan none = { 0 };
	uint64_t steps = run(&t, o, seed, arbiter, &none, 0);

	*ret_effects = t.effects;
	return steps;
}

static void singles(struct tally *t, const struct options *o, uint64_t seed, bool arbiter)
{
	uint64_t effects, steps = length_of(o, seed, arbiter, &effects);

	for (uint64_t s = 1; s <= steps; s++) {
		for (unsigned int f = FAULT_NONE + 1; f < FAULT_TYPES; f++) {
			struct plan plan = { { { f, s } } };

			run(t, o, seed, arbiter, &plan, 0);
		}
	}
	for (uint64_t e = 1; e <= effects; e++)
		run(t, o, seed, arbiter, &(struct plan){ 0 }, e);
}

/* The second fault may come at any later step, also of those that the first has caused. */
static void pairs(struct tally *t, const struct options *o, uint64_t seed, bool arbiter)
{
	uint64_t effects, steps = length_of(o, seed, arbiter, &effects), n = seed;

	for (uint64_t s = 1; s <= steps; s++) {
		for (uint64_t u = s; u <= steps + 20; u++) {
			for (unsigned int f = FAULT_NONE + 1; f < FAULT_TYPES; f++) {
				for (unsigned int g = FAULT_NONE + 1; g < FAULT_TYPES; g++) {
					struct plan plan = { { { f, s }, { g, u } } };

					if (n++ % o->pairs == 0)
						run(t, o, seed, arbiter, &plan, 0);
				}
			}
		}
	}
}

/* A daemon dies after an effect, and another fault comes at any step. */
static void kills(struct tally *t, const struct options *o, uint64_t seed, bool arbiter)
{
	uint64_t effects, steps = length_of(o, seed, arbiter, &effects), n = seed;

	for (uint64_t e = 1; e <= effects; e++) {
		for (uint64_t s = 1; s <= steps + 20; s++) {
			for (unsigned int f = FAULT_NONE + 1; f < FAULT_TYPES; f++) {
				struct plan plan = { { { f, s } } };

				if (n++ % o->kills == 0)
					run(t, o, seed, arbiter, &plan, e);
			}
		}
	}
}

static void seeds(struct tally *t, const struct options *o)
{
	bool enumerate = o->singles || o->pairs || o->kills;

	for (uint64_t seed = o->first; seed <= o->last; seed++) {
		bool arbiter = o->arbiter || seed % 2;

		if (o->planned)
			run(t, o, seed, arbiter, &o->plan, o->kill_at);
		if (o->singles)
			singles(t, o, seed, arbiter);
		if (o->pairs)
			pairs(t, o, seed, arbiter);
		if (o->kills)
			kills(t, o, seed, arbiter);
		if (!enumerate && !o->planned)
			run(t, o, seed, arbiter, NULL, 0);
	}
}

static void replay_print(const struct options *o, const struct world *w)
{
	printf("# %s\n# again: %s --seeds %llu..%llu --trace", w->why, program,
	       (unsigned long long)w->seed, (unsigned long long)w->seed);
	if (w->mistake)
		printf(" --mistake %s", mistakes[w->mistake]);
	if (o->arbiter)
		printf(" --arbiter");
	if (!w->random_faults)
		printf(" --plan %u@%llu,%u@%llu,%llu", w->plan.at[0].fault,
		       (unsigned long long)w->plan.at[0].step, w->plan.at[1].fault,
		       (unsigned long long)w->plan.at[1].step, (unsigned long long)w->kill_at);
	printf("\n");
}

static bool option_plan(struct options *o, const char *arg)
{
	unsigned long long s1, s2, kill;
	unsigned int f1, f2;

	if (sscanf(arg, "%u@%llu,%u@%llu,%llu", &f1, &s1, &f2, &s2, &kill) != 5 ||
	    f1 >= FAULT_TYPES || f2 >= FAULT_TYPES)
		return false;
	o->plan = (struct plan){ { { f1, s1 }, { f2, s2 } } };
	o->kill_at = kill;
	o->planned = true;
	return true;
}

static bool option_mistake(struct options *o, const char *arg)
{
	for (unsigned int i = 0; i < MISTAKES; i++) {
		if (strcmp(mistakes[i], arg) == 0) {
			o->mistake = i;
			return true;
		}
	}
	return false;
}

static bool option_read(struct options *o, const char *name, const char *arg)
{
	unsigned long long first, last;

	if (strcmp(name, "--seeds") == 0 && sscanf(arg, "%llu..%llu", &first, &last) == 2) {
		o->first = first;
		o->last = last;
		return true;
	}
	if (strcmp(name, "--plan") == 0)
		return option_plan(o, arg);
	if (strcmp(name, "--mistake") == 0)
		return option_mistake(o, arg);
	if (strcmp(name, "--singles") == 0)
		return sscanf(arg, "%u", &o->singles) == 1;
	if (strcmp(name, "--pairs") == 0)
		return sscanf(arg, "%u", &o->pairs) == 1;
	if (strcmp(name, "--kills") == 0)
		return sscanf(arg, "%u", &o->kills) == 1;
	return false;
}

int main(int argc, char **argv)
{
	struct options o = { .first = 1, .last = 1000 };
	static struct tally t;
	bool wrong;

	program = argv[0];
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0) {
			o.trace = true;
		} else if (strcmp(argv[i], "--arbiter") == 0) {
			o.arbiter = true;
		} else if (i + 1 < argc && option_read(&o, argv[i], argv[i + 1])) {
			i++;
		} else {
			fprintf(stderr,
				"usage: %s [--seeds A..B] [--singles N] [--pairs N] [--kills N] "
				"[--arbiter] [--trace] [--mistake NAME] [--plan F@S,F@S,K]\n",
				program);
			return 2;
		}
	}
	log_set_sink(o.trace ? log_print : no_log, NULL);
	seeds(&t, &o);
	wrong = o.mistake ? !t.failed : t.failed;
	if (t.failed)
		replay_print(&o, &t.first);
	printf("# %llu worlds, %llu steps, %llu faults; moved %llu, stayed %llu; "
	       "%llu broke a rule\n",
	       (unsigned long long)t.runs, (unsigned long long)t.steps,
	       (unsigned long long)t.faults, (unsigned long long)t.moved,
	       (unsigned long long)t.stayed, (unsigned long long)t.failed);
	printf("%sok 1 - %s\n1..1\n", wrong ? "not " : "",
	       o.mistake ? "a mistake is found" : "no world breaks a rule");
	return wrong;
}
