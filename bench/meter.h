/* SPDX-License-Identifier: MIT */
/*
 * What is measured: time on the monotonic clock, the server's CPU time by the scheduler's own
 * count, its resident memory; and how results are printed.
 */
#ifndef DROVER_BENCH_METER_H
#define DROVER_BENCH_METER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One run of bench-client: its options, and the samples of the measurement under way. */
struct bench {
	const char *socket_path;
	const char *sim_dir; /* NULL: no simulated domains */
	const char *test;    /* the name printed with each value */
	pid_t server;	     /* 0: CPU and memory are not reported */
	double seconds;	     /* length of one measurement */
	uint64_t *sample;    /* owned; ns each */
	size_t n_samples;
};

#define METER_MAX_SAMPLES 2000000u

void meter_init(struct bench *b);
void meter_fini(struct bench *b);

uint64_t meter_now_ns(void);

/* Nanoseconds of CPU used by all threads of the server and of its child processes. */
uint64_t meter_server_cpu_ns(const struct bench *b);
/* Octets that the server and its descendants have: of their own, and mapped of files. 0: unknown.
 */
struct memory {
	uint64_t own;
	uint64_t mapped;
};
struct memory meter_server_memory(const struct bench *b);
/* Waits until the server has used no CPU for a few milliseconds, two seconds at most. */
void meter_settle(const struct bench *b);

void meter_sample_add(struct bench *b, uint64_t ns);
/* The q-quantile of the samples, in ns; sorts them. 0 without samples. */
uint64_t meter_quantile(struct bench *b, double q);

/* Prints one line: test, parameter, metric, value. */
void meter_print(const struct bench *b, const char *param, const char *metric, double value);
/* Prints prefix_p50, _p99, _max in us, _ops per second and, of the server, _cpu in us per op. */
void meter_print_samples(struct bench *b, const char *param, const char *prefix, uint64_t wall_ns,
			 uint64_t cpu_ns);

#endif
