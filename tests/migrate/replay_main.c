/* SPDX-License-Identifier: MIT */
/*
 * Reads traces of the model from standard input and does each of them again. A line "=name" begins
 * one, "=name arbiter" and "=name offline" say what it was begun with; "@step" is a step of it,
 * "@end" with five numbers its end. Prints one line a trace that differs, and at last which steps
 * were done, each with how often.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "replay.h"

#define STEPS_MAX 160u

struct step_count {
	char name[48];
	uint64_t n;
};

struct reading {
	struct replay r;
	bool open, differs;
	char name[128];
	char last[48];
	unsigned long n, traces, differing, ended;
	struct step_count counts[STEPS_MAX];
};

static void no_log(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	(void)line;
}

static void count(struct reading *g, const char *step)
{
	struct step_count *c = g->counts;

	while (c < g->counts + STEPS_MAX && c->name[0] && strcmp(c->name, step) != 0)
		c++;
	if (c == g->counts + STEPS_MAX)
		abort();
	snprintf(c->name, sizeof(c->name), "%s", step);
	c->n++;
}

static void trace_close(struct reading *g)
{
	if (!g->open)
		return;
	if (g->differs) {
		g->differing++;
		printf("differs: %s, step %lu, %s: %s\n", g->name, g->n, g->last, g->r.why);
	}
	replay_fini(&g->r);
	g->open = false;
}

static void trace_open(struct reading *g, const char *name)
{
	trace_close(g);
	snprintf(g->name, sizeof(g->name), "%s", name);
	g->n = 0;
	g->differs = false;
	g->traces++;
	replay_init(&g->r, strstr(name, " arbiter") != NULL, strstr(name, " offline") != NULL);
	g->open = true;
}

static void trace_step(struct reading *g, const char *step)
{
	unsigned int m[2], guest[2], lost;

	if (!g->open || g->differs)
		return;
	g->n++;
	snprintf(g->last, sizeof(g->last), "%s", step);
	if (sscanf(step, "end %u %u %u %u %u", &m[0], &m[1], &guest[0], &guest[1], &lost) == 5) {
		g->ended++;
		g->differs = !replay_end(&g->r, m[0], m[1], guest[0], guest[1], lost);
		return;
	}
	g->differs = !replay_step(&g->r, step);
	if (!g->differs)
		count(g, step);
}

int main(void)
{
	struct reading *g = calloc(1, sizeof(*g));
	char *line = NULL;
	size_t room = 0;
	int status;

	if (!g)
		abort();
	log_set_sink(no_log, NULL);
	while (getline(&line, &room, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '=')
			trace_open(g, line + 1);
		else if (line[0] == '@')
			trace_step(g, line + 1);
	}
	trace_close(g);
	for (size_t i = 0; i < STEPS_MAX && g->counts[i].name[0]; i++)
		printf("step: %llu %s\n", (unsigned long long)g->counts[i].n, g->counts[i].name);
	printf("traces: %lu, ended %lu, differing %lu\n", g->traces, g->ended, g->differing);
	status = g->differing || g->ended != g->traces;
	free(line);
	free(g);
	return status;
}
