/* SPDX-License-Identifier: MIT */
/*
 * What an operation costs beside a growing population of idle connections, watches, nodes or
 * siblings: each test takes the populations to stop at, in rising order, and measures at each.
 */
#include "tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROW_LIMIT_NS (180 * 1000000000ull)
#define N_WATCHERS 100u
#define NODES_OUTSTANDING 32u
#define WATCHES_OUTSTANDING 50u
#define BATCH_NODES 1000u
#define MAX_BATCHES 31
#define BATCHES_NS (2 * 1000000000ull)

unsigned long populate_nodes(struct link *l, const char *fmt, unsigned long per, unsigned long from,
			     unsigned long to, uint64_t deadline_ns)
{
	char path[128], body[256];
	struct message m;
	unsigned long i = from;

	while (i < to && meter_now_ns() < deadline_ns) {
		unsigned long n = to - i < NODES_OUTSTANDING ? to - i : NODES_OUTSTANDING;

		for (unsigned long k = i; k < i + n; k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(path, sizeof(path), fmt, k / per, k % per);
#pragma GCC diagnostic pop
			link_send(l, XS_WRITE, 0, body,
				  body_pair(body, sizeof(body), path, BENCH_VALUE, false));
		}
		for (unsigned long k = 0; k < n; k++) {
			link_receive(l, &m);
			if (m.type == XS_ERROR)
				bench_die("node %lu: %.*s", i + k, (int)m.len, m.body);
		}
		i += n;
	}
	return i - from;
}

unsigned long populate_watches(struct link *l, unsigned long from, unsigned long to,
			       uint64_t deadline_ns)
{
	char path[64], token[32], body[128];
	struct message m;
	unsigned long i = from;

	while (i < to && meter_now_ns() < deadline_ns) {
		unsigned long n = to - i < WATCHES_OUTSTANDING ? to - i : WATCHES_OUTSTANDING;

		for (unsigned long k = i; k < i + n; k++) {
			snprintf(path, sizeof(path), "/wu/%lu", k);
			snprintf(token, sizeof(token), "t%lu", k);
			link_send(l, XS_WATCH, 0, body,
				  body_pair(body, sizeof(body), path, token, true));
		}
		/* Each gives a reply and, at once, its first event. */
		for (unsigned long k = 0; k < 2 * n; k++) {
			link_receive(l, &m);
			if (m.type == XS_ERROR)
				bench_die("watch: %.*s", (int)m.len, m.body);
		}
		i += n;
	}
	return i - from;
}

/* One sweep over populations: its state, and what grows it. */
struct sweep {
	struct link *link;   /* owned: measures */
	struct link **crowd; /* owned, with n_crowd owned links in it */
	size_t n_crowd;
	unsigned long have;
};

typedef bool sweep_grow(struct bench *b, struct sweep *s, unsigned long to, uint64_t deadline_ns);
typedef void sweep_probe(struct bench *b, struct sweep *s, const char *param);

static void sweep_add_link(struct bench *b, struct sweep *s)
{
	struct link **crowd = realloc(s->crowd, (s->n_crowd + 1) * sizeof(crowd[0]));

	if (!crowd)
		bench_die("out of memory");
	s->crowd = crowd;
	crowd[s->n_crowd] = link_new_socket(b->socket_path);
	op_read(b, crowd[s->n_crowd++]);
}

/* n_crowd connections are there from the start. */
static void sweep_run(struct bench *b, char **args, size_t n_crowd, sweep_grow *grow,
		      sweep_probe *probe)
{
	struct sweep s = { .link = link_new_socket(b->socket_path) };

	ops_prepare(s.link);
	while (s.n_crowd < n_crowd)
		sweep_add_link(b, &s);
	for (; *args; args++) {
		unsigned long to = strtoul(*args, NULL, 10);

		if (to > s.have && !grow(b, &s, to, meter_now_ns() + GROW_LIMIT_NS)) {
			meter_print(b, *args, "out_of_time", 1);
			break;
		}
		s.have = to;
		meter_settle(b);
		probe(b, &s, *args);
	}
	for (size_t i = 0; i < s.n_crowd; i++)
		link_free(s.crowd[i]);
	free(s.crowd);
	link_free(s.link);
}

static bool idle_grow(struct bench *b, struct sweep *s, unsigned long to, uint64_t deadline_ns)
{
	(void)deadline_ns;
	while (s->n_crowd < to)
		sweep_add_link(b, s);
	return true;
}

static void idle_probe(struct bench *b, struct sweep *s, const char *param)
{
	bench_measure(b, param, "read", s->link, op_read);
}

void test_idle(struct bench *b, char **args)
{
	sweep_run(b, args, 0, idle_grow, idle_probe);
}

static bool watches_grow(struct bench *b, struct sweep *s, unsigned long to, uint64_t deadline_ns)
{
	unsigned long first = s->have, each = (to - s->have) / N_WATCHERS;

	(void)b;
	for (size_t i = 0; i < N_WATCHERS; i++, first += each)
		if (populate_watches(s->crowd[i], first, first + each, deadline_ns) < each)
			return false;
	return true;
}

static void watches_probe(struct bench *b, struct sweep *s, const char *param)
{
	bench_measure(b, param, "write", s->link, op_write);
	bench_measure(b, param, "visit", s->link, op_visit);
}

void test_watches(struct bench *b, char **args)
{
	sweep_run(b, args, N_WATCHERS, watches_grow, watches_probe);
}

static bool nodes_grow(struct bench *b, struct sweep *s, unsigned long to, uint64_t deadline_ns)
{
	(void)b;
	return populate_nodes(s->link, "/b/n/%lu/%lu", 100, s->have, to, deadline_ns) ==
	       to - s->have;
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/*
 * The rate at which a store of this size takes another thousand nodes, beside those that it has:
 * the median of a few such batches, each removed, and the removal awaited, before the next.
 */
static void nodes_probe(struct bench *b, struct sweep *s, const char *param)
{
	uint64_t first = meter_now_ns();
	double rate[MAX_BATCHES];
	char path[64];
	size_t n = 0;

	while (n < MAX_BATCHES && meter_now_ns() - first < BATCHES_NS) {
		uint64_t start = meter_now_ns();

		populate_nodes(s->link, "/b/n/batch%lu/%lu", 100, 0, BATCH_NODES, UINT64_MAX);
		rate[n++] = BATCH_NODES * 1e9 / (double)(meter_now_ns() - start);
		for (unsigned int k = 0; k < BATCH_NODES / 100; k++) {
			snprintf(path, sizeof(path), "/b/n/batch%u", k);
			link_do(s->link, XS_RM, 0, path, NULL);
		}
		meter_settle(b);
	}
	qsort(rate, n, sizeof(rate[0]), double_compare);
	meter_print(b, param, "create/s", rate[n / 2]);
	bench_measure(b, param, "read", s->link, op_read);
	bench_measure(b, param, "write", s->link, op_write);
	bench_measure(b, param, "txn", s->link, op_transaction);
}

void test_nodes(struct bench *b, char **args)
{
	sweep_run(b, args, 0, nodes_grow, nodes_probe);
}

static bool siblings_grow(struct bench *b, struct sweep *s, unsigned long to, uint64_t deadline_ns)
{
	(void)b;
	/* Beside the child that op_mkdir_rm makes. */
	return populate_nodes(s->link, "/b/m/s%lu-%lu", 1, s->have, to, deadline_ns) ==
	       to - s->have;
}

static void siblings_probe(struct bench *b, struct sweep *s, const char *param)
{
	bench_measure(b, param, "mkdirrm", s->link, op_mkdir_rm);
}

void test_siblings(struct bench *b, char **args)
{
	sweep_run(b, args, 0, siblings_grow, siblings_probe);
}

/* Its own memory, and what it maps besides: a journal is as large as what it keeps. */
static void print_growth(struct bench *b, const char *param, const char *metric,
			 const struct memory *before, double n)
{
	const struct memory now = meter_server_memory(b);
	char mapped[64];

	snprintf(mapped, sizeof(mapped), "mapped_%s", metric);
	meter_print(b, param, metric, ((double)now.own - (double)before->own) / n);
	meter_print(b, param, mapped, ((double)now.mapped - (double)before->mapped) / n);
}

void test_memory(struct bench *b, char **args)
{
	unsigned long nodes = arg_number(args, 0, 0), watches = arg_number(args, 1, 0);
	unsigned long links = arg_number(args, 2, 0);
	struct sweep s = { .link = link_new_socket(b->socket_path) };
	uint64_t deadline = meter_now_ns() + GROW_LIMIT_NS;
	struct memory before;

	ops_prepare(s.link);
	meter_settle(b);
	before = meter_server_memory(b);
	meter_print(b, "start", "rss_KB", (double)(before.own + before.mapped) / 1024);
	if (!nodes_grow(b, &s, nodes, deadline))
		bench_die("nodes: out of time");
	meter_settle(b);
	print_growth(b, args[0], "bytes/node", &before, (double)nodes);

	/* The watchers' connections exist before, so that they do not count as watches. */
	for (s.have = 0; s.n_crowd < N_WATCHERS;)
		sweep_add_link(b, &s);
	meter_settle(b);
	before = meter_server_memory(b);
	if (!watches_grow(b, &s, watches, deadline))
		bench_die("watches: out of time");
	meter_settle(b);
	print_growth(b, args[1], "bytes/watch", &before, (double)watches);

	before = meter_server_memory(b);
	idle_grow(b, &s, s.n_crowd + links, deadline);
	meter_settle(b);
	print_growth(b, args[2], "KB/connection", &before, (double)links * 1024);
	for (size_t i = 0; i < s.n_crowd; i++)
		link_free(s.crowd[i]);
	free(s.crowd);
	link_free(s.link);
}
