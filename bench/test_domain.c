/* SPDX-License-Identifier: MIT */
/*
 * Simulated domains: what idle ones cost others, and whether the thousandth is as cheap as the
 * first. Making the domain is the simulated hypervisor's work and is not timed.
 */
#include "tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/sim/sim.h"

#define FIRST_DOMID 100u
#define DOMAIN_NODES 60
#define DOMAIN_WATCHES 12
#define DOMAIN_TRANSACTIONS 4
#define EDGE_DOMAINS 50u /* "first" and "last" are medians of so many */

/* The toolstack's part: INTRODUCE, the home directory, its owner. */
static void domain_introduce(struct link *l, uint16_t domid)
{
	char home[64], body[128], owner[16];
	int len = snprintf(body, sizeof(body), "%u%c%u%c%u%c", domid, 0, SIM_XS_GFN, 0, SIM_XS_PORT,
			   0);
	size_t n;

	if (link_call(l, XS_INTRODUCE, 0, body, (size_t)len, NULL))
		bench_die("INTRODUCE %u was refused", domid);
	snprintf(home, sizeof(home), "/local/domain/%u", domid);
	link_write(l, 0, home, "");
	snprintf(owner, sizeof(owner), "n%u", domid);
	n = body_pair(body, sizeof(body), home, owner, true);
	if (link_call(l, XS_SET_PERMS, 0, body, n, NULL))
		bench_die("SET_PERMS on %s was refused", home);
}

static void domain_create(struct sim *sim, uint16_t domid)
{
	uint16_t made;
	int r = sim_domain_create(sim, domid, &made);

	if (r < 0)
		bench_die("domain %u: %s", domid, strerror(-r));
}

static struct sim *domains_open(struct bench *b)
{
	struct sim *sim;
	int r = sim_open(b->sim_dir, &sim);

	if (r < 0)
		bench_die("%s: %s", b->sim_dir, strerror(-r));
	return sim;
}

void test_idledom(struct bench *b, char **args)
{
	struct link *l = link_new_socket(b->socket_path);
	struct sim *sim = domains_open(b);
	unsigned long have = 0;

	ops_prepare(l);
	for (; *args; args++) {
		for (unsigned long to = strtoul(*args, NULL, 10); have < to; have++) {
			domain_create(sim, (uint16_t)(FIRST_DOMID + have));
			domain_introduce(l, (uint16_t)(FIRST_DOMID + have));
		}
		meter_settle(b);
		bench_measure(b, *args, "read", l, op_read);
		bench_measure(b, *args, "write", l, op_write);
	}
	sim_close(sim);
	link_free(l);
}

/* The guest's part, as its drivers come up: all over its own ring. */
static void domain_come_up(struct link *l)
{
	char path[64], token[16];

	for (int i = 0; i < DOMAIN_WATCHES; i++) {
		snprintf(path, sizeof(path), "device/vbd/%d", i);
		snprintf(token, sizeof(token), "t%d", i);
		link_watch(l, path, token);
	}
	for (int i = 0; i < DOMAIN_NODES; i++) {
		snprintf(path, sizeof(path), "device/vbd/%d/key%d", i % DOMAIN_WATCHES,
			 i / DOMAIN_WATCHES);
		link_write(l, 0, path, BENCH_VALUE);
	}
	for (int i = 0; i < DOMAIN_TRANSACTIONS; i++) {
		uint32_t tx = link_begin(l);

		snprintf(path, sizeof(path), "device/vbd/%d/key0", i);
		link_do(l, XS_READ, tx, path, NULL);
		link_write(l, tx, path, BENCH_VALUE);
		if (link_commit(l, tx))
			bench_die("a transaction without a rival got EAGAIN");
	}
}

static int ns_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median_ns(uint64_t *values, size_t n)
{
	qsort(values, n, sizeof(values[0]), ns_compare);
	return values[n / 2];
}

static void print_edges(const struct bench *b, const char *what, uint64_t *ns, size_t n)
{
	size_t edge = n / 2 < EDGE_DOMAINS ? n / 2 : EDGE_DOMAINS;
	char metric[32];

	snprintf(metric, sizeof(metric), "first_%s_us", what);
	meter_print(b, b->test, metric, (double)median_ns(ns, edge) / 1e3);
	snprintf(metric, sizeof(metric), "last_%s_us", what);
	meter_print(b, b->test, metric, (double)median_ns(ns + n - edge, edge) / 1e3);
}

void test_domains(struct bench *b, char **args)
{
	size_t n = arg_number(args, 0, 1000);
	uint64_t *wall = calloc(n, sizeof(wall[0])), *cpu = calloc(n, sizeof(cpu[0]));
	struct link **guests = calloc(n, sizeof(guests[0]));
	struct link *l = link_new_socket(b->socket_path);
	struct sim *sim = domains_open(b);

	if (n < 2 || !wall || !cpu || !guests)
		bench_die("domains: %s", n < 2 ? "two at least" : "out of memory");
	link_write(l, 0, "/local/domain", "");
	for (size_t i = 0; i < n; i++) {
		uint16_t domid = (uint16_t)(FIRST_DOMID + i);

		domain_create(sim, domid);
		guests[i] = link_new_ring(b->sim_dir, domid);
		cpu[i] = meter_server_cpu_ns(b);
		wall[i] = meter_now_ns();
		domain_introduce(l, domid);
		domain_come_up(guests[i]);
		wall[i] = meter_now_ns() - wall[i];
		cpu[i] = meter_server_cpu_ns(b) - cpu[i];
	}
	print_edges(b, "wall", wall, n);
	if (b->server)
		print_edges(b, "cpu", cpu, n);
	for (size_t i = 0; i < n; i++)
		link_free(guests[i]);
	sim_close(sim);
	link_free(l);
	free(guests);
	free(wall);
	free(cpu);
}
