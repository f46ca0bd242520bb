/* SPDX-License-Identifier: MIT */
/*
 * CPU time comes from /proc/PID/task/TID/schedstat: nanoseconds, kernel and user, including the
 * kernel's socket work on the server's behalf. A value is exact while its thread sleeps, so
 * callers read it when the server has nothing to do. A server may be several processes: all
 * that descend from the given pid count.
 */
#include "meter.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "link.h"

#define SETTLE_STEP_NS 3000000
#define SETTLE_STEPS 600

void meter_init(struct bench *b)
{
	b->sample = malloc(METER_MAX_SAMPLES * sizeof(b->sample[0]));
	if (!b->sample)
		bench_die("out of memory");
	/* Touched here, so that no page fault falls into a measurement. */
	memset(b->sample, 0, METER_MAX_SAMPLES * sizeof(b->sample[0]));
	b->n_samples = 0;
}

void meter_fini(struct bench *b)
{
	free(b->sample);
	b->sample = NULL;
}

uint64_t meter_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t task_cpu_ns(pid_t pid, const char *tid)
{
	char path[320];
	uint64_t ns = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

/* A line of what the kernel says of a process's memory, in octets; 0: there is none. */
static uint64_t process_memory(pid_t pid, const char *name)
{
	char path[64], line[256];
	uint64_t kib = 0;
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && sscanf(line + len, ": %" SCNu64, &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

/* Of the process alone. */
static uint64_t process_own(pid_t pid)
{
	return process_memory(pid, "Anonymous");
}

/* Of files, a journal's among them. */
static uint64_t process_mapped(pid_t pid)
{
	return process_memory(pid, "Rss") - process_memory(pid, "Anonymous");
}

typedef uint64_t meter_of_task(pid_t pid, const char *tid);

/* Sums over pid and its descendants: of_task for every thread, and of_process once each. */
static uint64_t process_sum(pid_t pid, meter_of_task *of_task, uint64_t (*of_process)(pid_t))
{
	uint64_t sum = of_process ? of_process(pid) : 0;
	char path[320];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		int child;
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		if (of_task)
			sum += of_task(pid, e->d_name);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, e->d_name);
		f = fopen(path, "re");
		while (f && fscanf(f, "%d", &child) == 1)
			sum += process_sum(child, of_task, of_process);
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return sum;
}

uint64_t meter_server_cpu_ns(const struct bench *b)
{
	return b->server ? process_sum(b->server, task_cpu_ns, NULL) : 0;
}

struct memory meter_server_memory(const struct bench *b)
{
	struct memory m = { 0 };

	if (b->server) {
		m.own = process_sum(b->server, NULL, process_own);
		m.mapped = process_sum(b->server, NULL, process_mapped);
	}
	return m;
}

void meter_settle(const struct bench *b)
{
	struct timespec step = { .tv_nsec = SETTLE_STEP_NS };
	uint64_t before = meter_server_cpu_ns(b), after;

	for (int i = 0; i < SETTLE_STEPS; i++) {
		nanosleep(&step, NULL);
		after = meter_server_cpu_ns(b);
		if (after - before < SETTLE_STEP_NS / 20)
			return;
		before = after;
	}
}

void meter_sample_add(struct bench *b, uint64_t ns)
{
	if (b->n_samples < METER_MAX_SAMPLES)
		b->sample[b->n_samples++] = ns;
}

static int sample_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t meter_quantile(struct bench *b, double q)
{
	size_t at = (size_t)((double)b->n_samples * q);

	if (!b->n_samples)
		return 0;
	qsort(b->sample, b->n_samples, sizeof(b->sample[0]), sample_compare);
	return b->sample[at < b->n_samples ? at : b->n_samples - 1];
}

void meter_print(const struct bench *b, const char *param, const char *metric, double value)
{
	printf("%s %s %s %.6g\n", b->test, param, metric, value);
	fflush(stdout);
}

void meter_print_samples(struct bench *b, const char *param, const char *prefix, uint64_t wall_ns,
			 uint64_t cpu_ns)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = { { "p50", .5 }, { "p99", .99 }, { "max", 1 } };
	double n = (double)b->n_samples;
	char metric[64];

	if (!b->n_samples)
		return;
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		snprintf(metric, sizeof(metric), "%s_%s", prefix, quantiles[i].name);
		meter_print(b, param, metric, (double)meter_quantile(b, quantiles[i].q) / 1e3);
	}
	snprintf(metric, sizeof(metric), "%s_ops", prefix);
	meter_print(b, param, metric, n * 1e9 / (double)wall_ns);
	if (b->server) {
		snprintf(metric, sizeof(metric), "%s_cpu", prefix);
		meter_print(b, param, metric, (double)cpu_ns / 1e3 / n);
	}
}
