/* SPDX-License-Identifier: MIT */
/*
 * A domain's way from one daemon to another, here out of one and into the same: what its export
 * and its import take together, among however many nodes of others. What a toolstack does in
 * between is not timed.
 */
#include "tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/sim/sim.h"
#include "wire/wire.h"

#define MOVE_DOMID 99u
#define MOVE_NODES 200
#define MOVE_WATCHES 30
#define MOVE_TIMES 60
#define MOVE_IMAGE_MAX (1u << 20)
#define MOVE_GROW_LIMIT_NS (300 * UINT64_C(1000000000))

struct moving {
	struct link *l;
	char *image; /* owned */
	size_t len;
};

static void must(struct link *l, uint32_t type, const void *body, size_t len, struct message *ret)
{
	int r = link_call(l, type, 0, body, len, ret);

	if (r)
		bench_die("request 0x%x: %s", type, strerror(r));
}

static void ask_domid(struct link *l, uint32_t type)
{
	char body[8];

	must(l, type, body, (size_t)snprintf(body, sizeof(body), "%u", MOVE_DOMID) + 1, NULL);
}

static void introduce(struct link *l)
{
	char body[64];
	int n = snprintf(body, sizeof(body), "%u%c%u%c%u%c", MOVE_DOMID, 0, SIM_XS_GFN, 0,
			 SIM_XS_PORT, 0);

	ask_domid(l, WIRE_QUIESCE);
	must(l, XS_INTRODUCE, body, (size_t)n, NULL);
}

/* A guest with all its nodes and watches, quiesced. */
static void furnish(struct bench *b, struct link *l)
{
	struct sim *sim;
	uint16_t made;
	char body[128];
	int n;

	if (sim_open(b->sim_dir, &sim) < 0 || sim_domain_create(sim, MOVE_DOMID, &made) < 0)
		bench_die("no domain %u in %s", MOVE_DOMID, b->sim_dir);
	sim_close(sim);
	introduce(l);
	for (int i = 0; i < MOVE_NODES; i++) {
		snprintf(body, sizeof(body), "/local/domain/%u/device/vbd/%d/key%d", MOVE_DOMID,
			 i % 12, i / 12);
		link_write(l, 0, body, BENCH_VALUE);
	}
	for (int i = 0; i < MOVE_WATCHES; i++) {
		n = snprintf(body, sizeof(body), "%u%cdevice/vbd/%d%ctoken%c", MOVE_DOMID, 0, i, 0,
			     0);
		must(l, WIRE_ADD_DOMAIN_WATCHES, body, (size_t)n, NULL);
	}
}

static void leave(struct moving *m)
{
	struct message reply;
	size_t total = 1, head;
	char body[32];
	int n;

	for (m->len = 0; m->len < total; m->len += reply.len - head) {
		n = snprintf(body, sizeof(body), "%u%c%zu%c", MOVE_DOMID, 0, m->len, 0);
		must(m->l, WIRE_EXPORT_DOMAIN, body, (size_t)n, &reply);
		total = strtoul(reply.body, NULL, 10);
		head = strlen(reply.body) + 1;
		if (total > MOVE_IMAGE_MAX || head >= reply.len)
			bench_die("an image of %zu octets", total);
		memcpy(m->image + m->len, reply.body + head, reply.len - head);
	}
}

static void arrive(struct moving *m)
{
	char body[XENSTORE_PAYLOAD_MAX];
	size_t head, n;

	for (size_t at = 0; at < m->len; at += n) {
		head = (size_t)snprintf(body, sizeof(body), "%u%c%zu%c%zu%c", MOVE_DOMID, 0, at, 0,
					m->len, 0);
		n = m->len - at;
		if (n > sizeof(body) - head)
			n = sizeof(body) - head;
		memcpy(body + head, m->image + at, n);
		must(m->l, WIRE_IMPORT_DOMAIN, body, head + n, NULL);
	}
}

/* The domain is gone, and another one of its id waits for what it had. */
static void clear_the_way(struct link *l)
{
	char home[32];

	ask_domid(l, XS_RELEASE);
	snprintf(home, sizeof(home), "/local/domain/%u", MOVE_DOMID);
	link_do(l, XS_RM, 0, home, NULL);
	introduce(l);
}

static void measure(struct bench *b, struct moving *m, const char *param)
{
	uint64_t start, out;

	for (int i = 0; i < MOVE_TIMES; i++) {
		meter_settle(b);
		start = meter_now_ns();
		leave(m);
		out = meter_now_ns() - start;
		clear_the_way(m->l);
		meter_settle(b);
		start = meter_now_ns();
		arrive(m);
		meter_sample_add(b, out + meter_now_ns() - start);
	}
	meter_print(b, param, "move_ms", (double)meter_quantile(b, .5) / 1e6);
	meter_print(b, param, "worst_move_ms", (double)meter_quantile(b, 1) / 1e6);
	b->n_samples = 0;
}

void test_move(struct bench *b, char **args)
{
	struct moving m = { .l = link_new_socket(b->socket_path), .image = malloc(MOVE_IMAGE_MAX) };
	unsigned long have = 0, to;

	if (!m.image)
		bench_die("move: out of memory");
	furnish(b, m.l);
	for (; *args; args++, have = to) {
		to = strtoul(*args, NULL, 10);
		if (populate_nodes(m.l, "/b/n%lu/c%lu", 100, have, to,
				   meter_now_ns() + MOVE_GROW_LIMIT_NS) != to - have)
			bench_die("no %lu nodes in time", to);
		measure(b, &m, *args);
	}
	ask_domid(m.l, WIRE_UNQUIESCE);
	link_free(m.l);
	free(m.image);
}
