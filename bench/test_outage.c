/* SPDX-License-Identifier: MIT */
/*
 * How long a client that reads without a pause waits at worst: while the daemon is replaced, and
 * when its worker is killed. The same loop just before tells what the machine itself adds.
 */
#include "tests.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUILD_LIMIT_NS (180 * 1000000000ull)
#define QUIET_NS 300000000u
#define N_UPDATES 3
#define N_KILLS 7
#define WORKER "drover-worker"

/* READ after READ until end_ns; or until other has input. The longest wait, in ns. */
static uint64_t read_on(struct link *reader, struct link *other, uint64_t end_ns)
{
	uint64_t before = meter_now_ns(), now, longest = 0;
	struct pollfd fd = { .fd = other ? other->fd : -1, .events = POLLIN };

	do {
		link_do(reader, XS_READ, 0, "/b/a/one", NULL);
		now = meter_now_ns();
		if (now - before > longest)
			longest = now - before;
		before = now;
	} while (now < end_ns && !poll(&fd, 1, 0));
	return longest;
}

/* The quiet before; and what is read is there. */
static void outage_prepare(struct bench *b, char **args, struct link *reader)
{
	unsigned long nodes = arg_number(args, 0, 0);

	ops_prepare(reader);
	if (populate_nodes(reader, "/b/n/%lu/%lu", 100, 0, nodes, meter_now_ns() + BUILD_LIMIT_NS) <
	    nodes)
		bench_die("nodes: out of time");
	meter_settle(b);
	meter_print(b, args[0], "stall_before_ms",
		    (double)read_on(reader, NULL, meter_now_ns() + QUIET_NS) / 1e6);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void outage_print(struct bench *b, const char *nodes, uint64_t *stall, size_t n)
{
	qsort(stall, n, sizeof(stall[0]), compare);
	meter_print(b, nodes, "stall_ms", (double)stall[n / 2] / 1e6);
	meter_print(b, nodes, "stall_worst_ms", (double)stall[n - 1] / 1e6);
}

static void control_must(struct link *l, const char *words, size_t len)
{
	struct message m;

	if (link_call(l, XS_CONTROL, 0, words, len, &m))
		bench_die("live-update: %.*s", (int)m.len, m.body);
	if (m.len < 2 || memcmp(m.body, "OK", 2))
		bench_die("live-update: %.*s", (int)m.len, m.body);
}

/* The longest wait of the reader. A daemon that says BUSY is to be asked again. */
static uint64_t update_once(struct link *reader, struct link *control)
{
	static const char start[] = "live-update\0-s\0-t\00060";
	uint64_t longest = 0, now, end = meter_now_ns() + BUILD_LIMIT_NS;
	struct message m;

	do {
		link_send(control, XS_CONTROL, 0, start, sizeof(start));
		now = read_on(reader, control, end);
		longest = now > longest ? now : longest;
		link_receive(control, &m);
	} while (m.len >= 4 && !memcmp(m.body, "BUSY", 4) && meter_now_ns() < end);
	if (m.type != XS_CONTROL || m.len < 2 || memcmp(m.body, "OK", 2))
		bench_die("live-update: %.*s", (int)m.len, m.body);
	now = read_on(reader, NULL, meter_now_ns() + QUIET_NS);
	return now > longest ? now : longest;
}

void test_update(struct bench *b, char **args)
{
	struct link *reader = link_new_socket(b->socket_path);
	struct link *control = link_new_socket(b->socket_path);
	uint64_t stall[N_UPDATES];
	char file[4096];
	int len;

	outage_prepare(b, args, reader);
	len = snprintf(file, sizeof(file), "live-update%c-f%c%s", '\0', '\0', args[1]);
	for (size_t i = 0; i < N_UPDATES; i++) {
		control_must(control, file, (size_t)len + 1);
		stall[i] = update_once(reader, control);
	}
	outage_print(b, args[0], stall, N_UPDATES);
	link_free(control);
	link_free(reader);
}

/* The child of the server that is called so; 0: it has none. */
static pid_t worker_find(const struct bench *b)
{
	char path[64], name[32];
	pid_t found = 0;
	int pid;
	FILE *children, *comm;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)b->server, (int)b->server);
	children = fopen(path, "r");
	while (children && fscanf(children, "%d", &pid) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		comm = fopen(path, "r");
		if (comm && fgets(name, sizeof(name), comm) && !strcmp(name, WORKER "\n"))
			found = pid;
		if (comm)
			fclose(comm);
	}
	if (children)
		fclose(children);
	return found;
}

void test_kill(struct bench *b, char **args)
{
	struct link *reader = link_new_socket(b->socket_path);
	uint64_t stall[N_KILLS];

	outage_prepare(b, args, reader);
	for (size_t i = 0; i < N_KILLS; i++) {
		pid_t pid = worker_find(b);

		if (!pid || kill(pid, SIGKILL))
			bench_die("the server %d has no " WORKER, (int)b->server);
		stall[i] = read_on(reader, NULL, meter_now_ns() + QUIET_NS);
	}
	outage_print(b, args[0], stall, N_KILLS);
	link_free(reader);
}
