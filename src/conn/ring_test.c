/* SPDX-License-Identifier: MIT */
/*
 * The ring transport under a guest that wraps, corrupts and reconnects at any instant
 * (xenstore-ring.txt).
 */
#include "hv/fake_test.h"

#include "base/prng.h"
#include "conn/line_test.h"
#include "conn/ring.h"

#define NOT_RECONNECTION (RING_FEATURES & ~(uint32_t)XENSTORE_SERVER_FEATURE_RECONNECTION)

struct guest {
	struct bench *b;
	struct fake_hv hv;
	struct xenstore_domain_interface *page;
	struct conn *conn;
	struct budget budget;
};

static struct guest *guest_new(uint32_t features)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct ring_transport *t;
	uint32_t port = 0;

	assert_non_null(g);
	g->b = bench_new();
	fake_init(&g->hv);
	g->hv.dom[5].maps = 1;
	assert_int_equal(fake_bind(&g->hv.hv, 5, 1, &port), 0);
	g->page = g->hv.dom[5].page;
	budget_init(&g->budget, &g->b->policy, 5, NULL);
	t = ring_transport_new(&g->hv.hv, 5, g->page, port, features);
	assert_non_null(t);
	ring_transport_offer(t);
	assert_int_equal(
		conn_new(&g->b->t, ring_transport_ops(), t, &g->budget, false, 0, &g->conn), 0);
	g->conn->domain = (struct domain *)(void *)g;
	return g;
}

static void guest_free(struct guest *g)
{
	bench_free(g->b);
	budget_fini(&g->budget);
	fake_fini(&g->hv);
	free(g);
}

static void guest_run(struct guest *g)
{
	conn_wake(g->conn);
	bench_run(g->b);
}

/* Puts what there is room for; the rest is returned. */
static size_t guest_put(struct guest *g, const uint8_t *data, size_t len)
{
	struct xenstore_domain_interface *p = g->page;

	while (len && p->req_prod - p->req_cons < XENSTORE_RING_SIZE) {
		p->req[MASK_XENSTORE_IDX(p->req_prod++)] = (char)*data++;
		len--;
	}
	return len;
}

static size_t guest_get(struct guest *g, uint8_t *data, size_t len)
{
	struct xenstore_domain_interface *p = g->page;
	size_t n = 0;

	while (n < len && p->rsp_cons != p->rsp_prod)
		data[n++] = (uint8_t)p->rsp[MASK_XENSTORE_IDX(p->rsp_cons++)];
	return n;
}

/* One request and its reply, whole. */
static void guest_ask(struct guest *g, uint32_t id, size_t size)
{
	uint8_t buf[WIRE_HEADER_SIZE + XENSTORE_PAYLOAD_MAX], back[sizeof(buf)];
	char payload[XENSTORE_PAYLOAD_MAX];
	size_t len, left, got = 0;

	memset(payload, (int)('a' + id % 26), sizeof(payload));
	left = len = request(buf, id, payload, size);
	for (unsigned int i = 0; i < 50 && got < len; i++) {
		left = guest_put(g, buf + len - left, left);
		guest_run(g);
		got += guest_get(g, back + got, len - got);
	}
	assert_int_equal(left, 0);
	assert_int_equal(got, len);
	assert_memory_equal(back, buf, len);
}

static void octets_pass_at_every_place_of_the_ring_and_past_the_wrap_of_indices(void **state)
{
	static const uint32_t starts[] = { 0,	       1,	   1023,       1024,
					   0x7fffff80, 0xfffffc00, 0xffffff80, 0xffffffff };

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		struct guest *g = guest_new(RING_FEATURES);

		g->page->req_cons = g->page->req_prod = starts[i];
		g->page->rsp_cons = g->page->rsp_prod = starts[i] + 7;
		for (uint32_t k = 0; k < 300; k++)
			guest_ask(g, k, k * 37 % 1500);
		guest_ask(g, 300, XENSTORE_PAYLOAD_MAX);
		assert_int_equal(g->page->error, 0);
		assert_int_equal(g->budget.used[QUOTA_MEMORY], 0);
		guest_free(g);
	}
}

static void an_index_out_of_range_ends_the_ring_until_it_is_reconnected(void **state)
{
	static const struct {
		uint32_t req_cons, req_prod, rsp_cons, rsp_prod;
		uint32_t want;
	} table[] = {
		{ 0, 1025, 0, 0, XENSTORE_ERROR_RINGIDX },
		{ 1, 0, 0, 0, XENSTORE_ERROR_RINGIDX },
		{ 0, 0x80000000, 0, 0, XENSTORE_ERROR_RINGIDX },
		{ 0xffffffff, 0xfffffffe, 0, 0, XENSTORE_ERROR_RINGIDX },
		{ 0xffffffff, 1024, 0, 0, XENSTORE_ERROR_RINGIDX },
		{ 0, 0, 1, 0, XENSTORE_ERROR_RINGIDX },
		{ 0, 0, 0, 1025, XENSTORE_ERROR_RINGIDX },
		{ 0, 0, 0, 1024, 0 }, /* full */
		{ 5, 5, 0xffffffff, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct guest *g = guest_new(RING_FEATURES);
		struct xenstore_domain_interface *p = g->page;

		conn_reply(g->conn, &(struct xsd_sockmsg){ 0 }, XS_READ, "x", 1); /* to be sent */
		p->req_cons = table[i].req_cons;
		p->req_prod = table[i].req_prod;
		p->rsp_cons = table[i].rsp_cons;
		p->rsp_prod = table[i].rsp_prod;
		guest_run(g);
		assert_int_equal(p->error, table[i].want);
		assert_int_equal(g->conn->failed, !!table[i].want);
		if (table[i].want) {
			assert_int_equal(g->budget.counters->refused[REFUSAL_PROTOCOL], 1);
			p->req_cons = p->req_prod = p->rsp_cons = p->rsp_prod = 0;
			assert_int_equal(guest_put(g, (const uint8_t *)"0123456789abcdef", 16), 0);
			guest_run(g); /* repaired indices do not help */
			assert_int_equal(g->b->n_handled, 0);
			assert_int_equal(p->req_cons, 0);
			p->connection = XENSTORE_RECONNECT;
			guest_run(g);
			assert_int_equal(p->connection, XENSTORE_CONNECTED);
			assert_int_equal(p->error, 0);
			assert_int_equal(p->req_prod | p->rsp_prod | p->req_cons | p->rsp_cons, 0);
			guest_ask(g, 1, 5);
		}
		guest_free(g);
	}
}

static void a_length_over_4096_sets_the_error_field_and_no_more_is_read(void **state)
{
	struct guest *g = guest_new(RING_FEATURES);
	struct xsd_sockmsg h = { .type = XS_READ, .len = 4097 };
	unsigned int notified;

	(void)state;
	guest_ask(g, 1, 3);
	notified = g->hv.notified;
	assert_int_equal(guest_put(g, (uint8_t *)&h, sizeof(h)), 0);
	guest_run(g);
	assert_int_equal(g->page->error, XENSTORE_ERROR_PROTO);
	assert_int_equal(g->hv.notified, notified + 1);
	h.len = 0;
	assert_int_equal(guest_put(g, (uint8_t *)&h, sizeof(h)), 0);
	guest_run(g);
	assert_int_equal(g->b->n_handled, 1);
	guest_free(g);
}

static void a_reconnect_drops_all_that_was_half_done(void **state)
{
	struct guest *g = guest_new(RING_FEATURES);
	uint8_t buf[64];

	(void)state;
	assert_int_equal(watch_add(&g->b->watches, &g->conn->watcher, "/a", 2, "t", 1,
				   WATCH_DEPTH_ANY, false, NULL),
			 0);
	guest_put(g, buf, request(buf, 1, "half", 4) - 1);
	guest_run(g);
	g->page->connection = XENSTORE_RECONNECT;
	guest_run(g);
	assert_int_equal(g->page->connection, XENSTORE_CONNECTED);
	assert_int_equal(g->b->watches.n, 0);
	assert_int_equal(g->budget.used[QUOTA_MEMORY], 0);
	guest_ask(g, 2, 9);
	assert_int_equal(g->b->n_handled, 1);
	guest_free(g);
}

/* It has a whole request waiting and its answers fill the ring: it may start anew all the same. */
static void a_guest_that_reads_nothing_may_reconnect(void **state)
{
	struct guest *g = guest_new(RING_FEATURES);
	uint8_t buf[2048];
	char payload[512];

	(void)state;
	memset(payload, 'x', sizeof(payload));
	for (uint32_t i = 0; i < 60; i++) {
		guest_put(g, buf, request(buf, i, payload, sizeof(payload)));
		guest_run(g);
	}
	assert_true(g->conn->blocked);
	g->page->connection = XENSTORE_RECONNECT;
	guest_run(g);
	assert_int_equal(g->page->connection, XENSTORE_CONNECTED);
	guest_ask(g, 99, 9);
	guest_free(g);
}

/* ... also when it has overwritten the indices before we look. */
static void a_reconnect_is_seen_before_indices_are_judged(void **state)
{
	struct guest *g = guest_new(RING_FEATURES);

	(void)state;
	conn_reply(g->conn, &(struct xsd_sockmsg){ 0 }, XS_READ, "x", 1);
	g->page->rsp_cons = 77;
	g->page->req_prod = 7777;
	g->page->connection = XENSTORE_RECONNECT;
	guest_run(g);
	assert_int_equal(g->page->connection, XENSTORE_CONNECTED);
	assert_int_equal(g->page->error, 0);
	assert_int_equal(g->budget.counters->refused[REFUSAL_PROTOCOL], 0);
	guest_ask(g, 1, 9);
	guest_free(g);
}

/* The guest says once that there is more; it is not to be forgotten beside what is kept. */
static void what_came_while_requests_were_kept_is_read_afterwards(void **state)
{
	static const bool by_hold[] = { false, true };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct guest *g = guest_new(RING_FEATURES);
		uint8_t buf[64];

		g->b->mute = true;
		g->b->hold = by_hold[i];
		for (uint32_t k = 0; k < 40; k++)
			assert_int_equal(guest_put(g, buf, request(buf, k, "x", 1)), 0);
		conn_wake(g->conn);
		conn_round(&g->b->t, 0);
		for (uint32_t k = 40; k < 45; k++)
			assert_int_equal(guest_put(g, buf, request(buf, k, "x", 1)), 0);
		guest_run(g);
		g->b->hold = false;
		if (by_hold[i])
			g->conn->contender.wake(&g->conn->contender);
		bench_run(g->b);
		assert_int_equal(g->b->n_handled, 45);
		guest_free(g);
	}
}

static struct guest *busy_guest;

/* While the first request is handled the guest writes another, and sees no need to notify. */
static bool handle_and_write(void *data, struct conn *c, const struct wire_msg *m)
{
	uint8_t buf[64];

	if (!m->hdr.req_id)
		assert_int_equal(guest_put(busy_guest, buf, request(buf, 1, "x", 1)), 0);
	return bench_handle(data, c, m);
}

static void what_came_during_a_turn_is_read_without_being_told_of(void **state)
{
	struct guest *g = guest_new(RING_FEATURES);
	uint8_t buf[64];

	(void)state;
	busy_guest = g;
	g->b->t.handle = handle_and_write;
	assert_int_equal(guest_put(g, buf, request(buf, 0, "x", 1)), 0);
	guest_run(g);
	assert_int_equal(g->b->n_handled, 2);
	guest_free(g);
}

static void what_is_not_offered_is_not_done(void **state)
{
	struct guest *g = guest_new(NOT_RECONNECTION);

	(void)state;
	assert_int_equal(g->page->server_features, NOT_RECONNECTION);
	g->page->connection = XENSTORE_RECONNECT;
	guest_run(g);
	assert_int_equal(g->page->connection, XENSTORE_RECONNECT);
	guest_ask(g, 1, 9);
	guest_free(g);
}

static void scribble(struct guest *g, struct prng *rnd)
{
	uint32_t *const field[] = {
		(uint32_t *)&g->page->req_cons,	  (uint32_t *)&g->page->req_prod,
		(uint32_t *)&g->page->rsp_cons,	  (uint32_t *)&g->page->rsp_prod,
		(uint32_t *)&g->page->connection, (uint32_t *)&g->page->error,
	};
	uint32_t *f = field[prng_below(rnd, 6)];

	switch (prng_below(rnd, 4)) {
	case 0:
		*f = (uint32_t)prng_next(rnd);
		break;
	case 1:
		*f += prng_below(rnd, 2048) - 1024;
		break;
	case 2:
		*f = prng_below(rnd, 3);
		break;
	default:
		memset(g->page->req, (int)prng_below(rnd, 256), prng_below(rnd, 1024));
	}
}

/* Whatever is in the page at whatever instant: no crash, no endless round, others are served. */
static void a_scribbling_guest_hurts_only_itself(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct guest *g = guest_new(RING_FEATURES);
		uint8_t buf[512], back[512];
		struct prng rnd;
		size_t served = 0;

		prng_init(&rnd, seed);
		for (unsigned int i = 0; i < 2000; i++) {
			if (prng_once_in(&rnd, 3))
				scribble(g, &rnd);
			guest_put(g, buf, request(buf, i, "payload", prng_below(&rnd, 8)));
			conn_wake(g->conn);
			line_ask(g->b, 2, i, "x");
			bench_run(g->b);
			served += WIRE_HEADER_SIZE + 1;
			assert_int_equal(g->b->line[2].out_len, served);
			guest_get(g, back, prng_below(&rnd, sizeof(back)));
			g->b->handled[0] = '\0';
		}
		g->page->connection = XENSTORE_RECONNECT;
		guest_run(g);
		guest_ask(g, 7, 100);
		guest_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			octets_pass_at_every_place_of_the_ring_and_past_the_wrap_of_indices),
		cmocka_unit_test(an_index_out_of_range_ends_the_ring_until_it_is_reconnected),
		cmocka_unit_test(a_length_over_4096_sets_the_error_field_and_no_more_is_read),
		cmocka_unit_test(a_reconnect_drops_all_that_was_half_done),
		cmocka_unit_test(a_guest_that_reads_nothing_may_reconnect),
		cmocka_unit_test(a_reconnect_is_seen_before_indices_are_judged),
		cmocka_unit_test(what_came_while_requests_were_kept_is_read_afterwards),
		cmocka_unit_test(what_came_during_a_turn_is_read_without_being_told_of),
		cmocka_unit_test(what_is_not_offered_is_not_done),
		cmocka_unit_test(a_scribbling_guest_hurts_only_itself),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
