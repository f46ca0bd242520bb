/* SPDX-License-Identifier: MIT */
/*
 * Requests and rounds: cut anywhere, served in order and in turn, none for who reads nothing.
 */
#include "conn/line_test.h"

/* Requests 1, 2, 3 with payloads of different lengths. */
static size_t three_requests(uint8_t *buf)
{
	size_t len = request(buf, 1, "first", 5);

	len += request(buf + len, 2, "", 0);
	return len + request(buf + len, 3, "the last one", 12);
}

static const char three_handled[] = "1:1:first 1:2: 1:3:the last one ";

static void requests_may_be_cut_at_every_octet(void **state)
{
	uint8_t buf[256];
	size_t len = three_requests(buf);

	(void)state;
	for (size_t a = 0; a <= len; a++) {
		for (size_t b = a; b <= len; b++) {
			struct bench *x = bench_new();

			line_push(x, 1, buf, a);
			bench_run(x);
			line_push(x, 1, buf + a, b - a);
			bench_run(x);
			line_push(x, 1, buf + b, len - b);
			bench_run(x);
			assert_string_equal(x->handled, three_handled);
			assert_int_equal(x->line[1].out_len, len);
			assert_null(x->line[1].conn->in);
			bench_free(x);
		}
	}
}

static void half_a_request_is_charged_and_delays_nobody(void **state)
{
	struct bench *b = bench_new();
	uint8_t buf[256];
	size_t len = three_requests(buf);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		line_push(b, 1, buf + i, 1);
		line_ask(b, 2, (uint32_t)i, "x");
		bench_run(b);
		assert_int_equal(b->line[1].budget.used[QUOTA_MEMORY], b->line[1].conn->in_len);
		assert_int_equal(b->line[2].out_len, (i + 1) * (WIRE_HEADER_SIZE + 1));
	}
	assert_int_equal(b->n_handled, 3 + len);
	assert_int_equal(b->line[1].budget.used[QUOTA_MEMORY], 0);
	/* and it is dropped with its connection */
	line_push(b, 1, buf, 7);
	bench_run(b);
	assert_int_equal(b->line[1].budget.used[QUOTA_MEMORY], 7);
	conn_close(b->line[1].conn);
	bench_run(b);
	assert_int_equal(b->line[1].budget.used[QUOTA_MEMORY], 0);
	bench_free(b);
}

static void a_length_over_4096_closes_a_socket_at_once_and_serves_what_came_before(void **state)
{
	static const uint32_t lens[] = { 4097, 65536, 1u << 30, INT32_MAX, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct xsd_sockmsg h = { .type = XS_READ, .len = lens[i] };
		struct bench *b = bench_new();
		uint8_t buf[256];
		size_t len = three_requests(buf);

		memcpy(buf + len, &h, sizeof(h));
		line_push(b, 1, buf, len + sizeof(h));
		line_push(b, 1, buf, len);
		bench_run(b);
		assert_string_equal(b->handled, three_handled);
		assert_true(b->line[1].freed);
		assert_int_equal(b->line[1].budget.counters->refused[REFUSAL_PROTOCOL], 1);
		bench_free(b);
	}
}

static void a_whole_payload_of_4096_is_served(void **state)
{
	static uint8_t buf[WIRE_HEADER_SIZE + XENSTORE_PAYLOAD_MAX];
	static char payload[XENSTORE_PAYLOAD_MAX];
	struct bench *b = bench_new();

	(void)state;
	memset(payload, 'p', sizeof(payload));
	request(buf, 1, payload, sizeof(payload));
	line_push(b, 1, buf, sizeof(buf));
	bench_run(b);
	assert_int_equal(b->line[1].out_len, sizeof(buf));
	assert_memory_equal(b->line[1].out, buf, sizeof(buf));
	bench_free(b);
}

static void a_round_serves_each_connection_a_bounded_number_in_turn(void **state)
{
	struct bench *b = bench_new();
	unsigned int rounds = 1;

	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		line_ask(b, 1, i, "");
	line_ask(b, 2, 900, "");
	line_ask(b, 3, 901, "");
	assert_true(conn_round(&b->t, 0));
	assert_int_equal(b->n_handled, CONN_REQUESTS_PER_ROUND + 2);
	assert_non_null(strstr(b->handled, "2:900:"));
	assert_non_null(strstr(b->handled, "3:901:"));
	while (conn_round(&b->t, 0)) {
		size_t most = ++rounds * CONN_REQUESTS_PER_ROUND;

		assert_int_equal(b->n_handled, (most < 200 ? most : 200) + 2);
		assert_in_range(rounds, 1, 10);
	}
	assert_int_equal(b->n_handled, 202);
	bench_free(b);
}

/* A request that visits a thousand watches is a turn of its own. */
static bool handle_at_length(void *data, struct conn *c, const struct wire_msg *m)
{
	struct bench *b = data;

	if (!memcmp(m->payload, "long", 4))
		b->watches.steps += 2000;
	else if (!memcmp(m->payload, "list", 4))
		b->store.steps += 2000;
	return bench_handle(data, c, m);
}

static void a_request_with_many_steps_ends_the_turn(void **state)
{
	static const char *const kinds[] = { "long", "list" };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct bench *b = bench_new();

		b->t.handle = handle_at_length;
		line_ask(b, 1, 1, "soon");
		for (uint32_t i = 2; i < 20; i++)
			line_ask(b, 1, i, kinds[k]);
		for (uint32_t i = 0; i < 20; i++)
			line_ask(b, 2, i, "soon");
		assert_true(conn_round(&b->t, 0));
		assert_int_equal(b->n_handled, 2 + 20);
		for (size_t n = 1; n < 18; n++) {
			conn_round(&b->t, 0);
			assert_int_equal(b->n_handled, 2 + 20 + n);
		}
		bench_free(b);
	}
}

static void a_request_that_must_wait_keeps_its_place_and_the_others_theirs(void **state)
{
	struct bench *b = bench_new();

	(void)state;
	b->hold = true;
	line_ask(b, 1, 1, "a");
	line_ask(b, 1, 2, "b");
	bench_run(b);
	assert_true(b->line[1].conn->waiting);
	assert_false(b->line[1].want_read);
	b->hold = false;
	line_ask(b, 1, 3, "c"); /* more octets do not hurry it */
	line_ask(b, 2, 4, "d");
	bench_run(b);
	assert_string_equal(b->handled, "2:4:d ");
	b->line[1].conn->contender.wake(&b->line[1].conn->contender);
	bench_run(b);
	assert_string_equal(b->handled, "2:4:d 1:1:a 1:2:b 1:3:c ");
	assert_true(b->line[1].want_read);
	bench_free(b);
}

static void a_guest_that_reads_no_replies_is_not_read_past_its_quota(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];

	(void)state;
	bench_guest(b, 1);
	l->out_room = 0;
	for (uint32_t i = 0; i < 100; i++)
		line_ask(b, 1, i, "x");
	bench_run(b);
	assert_int_equal(b->n_handled, 20);
	assert_int_equal(l->budget.counters->refused[REFUSAL_STALL], 1);
	for (unsigned int i = 0; i < 50; i++) { /* one reply read, one request more */
		l->out_room += WIRE_HEADER_SIZE + 1;
		conn_wake(l->conn);
		bench_run(b);
		assert_int_equal(b->n_handled, 21 + i);
	}
	l->out_room = sizeof(l->out);
	conn_wake(l->conn);
	bench_run(b);
	assert_int_equal(b->n_handled, 100);
	assert_int_equal(l->budget.used[QUOTA_MEMORY], 0);
	bench_free(b);
}

static void a_socket_that_reads_nothing_is_bounded_too(void **state)
{
	static char payload[XENSTORE_PAYLOAD_MAX];
	struct bench *b = bench_new();
	struct line *l = &b->line[0];

	(void)state;
	memset(payload, 'x', sizeof(payload) - 1);
	l->out_room = 0;
	for (uint32_t i = 0; i < 600; i++) {
		if (l->in_len < sizeof(l->in) / 2)
			line_ask(b, 0, i, payload);
		bench_run(b);
	}
	assert_in_range(conn_queued(l->conn).octets, CONN_BACKLOG_MAX - 5000u,
			CONN_BACKLOG_MAX + 5000u);
	assert_false(l->want_read);
	bench_free(b);
}

static void a_reset_drops_half_requests_watches_and_output(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];
	uint8_t buf[64];

	(void)state;
	l->out_room = 3;
	line_ask(b, 1, 1, "answered");
	line_push(b, 1, buf, request(buf, 2, "half", 4) - 2);
	assert_int_equal(watch_add(&b->watches, &l->conn->watcher, "/a", 2, "t", 1, WATCH_DEPTH_ANY,
				   false, NULL),
			 0);
	bench_run(b);
	assert_int_not_equal(l->budget.used[QUOTA_MEMORY], 0);
	conn_reset(l->conn);
	assert_int_equal(l->budget.used[QUOTA_MEMORY], 0);
	assert_int_equal(l->budget.used[QUOTA_WATCHES], 0);
	assert_int_equal(b->watches.n, 0);
	line_ask(b, 1, 3, "fresh"); /* not merged with the half one */
	bench_run(b);
	assert_string_equal(b->handled, "1:1:answered 1:3:fresh ");
	bench_free(b);
}

static void a_closed_connection_is_deaf_and_dumb_and_freed_between_rounds(void **state)
{
	struct bench *b = bench_new();
	struct watch *w;

	(void)state;
	for (unsigned int i = 0; i < 2 * CONN_REAP_PER_ROUND; i++) {
		char token[8];

		snprintf(token, sizeof(token), "%u", i);
		assert_int_equal(watch_add(&b->watches, &b->line[0].conn->watcher, "/a", 2, token,
					   strlen(token), WATCH_DEPTH_ANY, false, &w),
				 0);
	}
	line_ask(b, 0, 1, "x");
	conn_close(b->line[0].conn);
	conn_close(b->line[0].conn);
	conn_wake(b->line[0].conn);
	watch_fire(&b->watches, &(struct change){ .path = "/a", .len = 2 });
	assert_true(conn_round(&b->t, 0)); /* its watches go in slices */
	assert_false(b->line[0].freed);
	assert_int_equal(b->watches.n, CONN_REAP_PER_ROUND);
	bench_run(b);
	assert_true(b->line[0].freed);
	assert_int_equal(b->n_handled, 0);
	assert_int_equal(b->line[0].out_len, 0);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_may_be_cut_at_every_octet),
		cmocka_unit_test(half_a_request_is_charged_and_delays_nobody),
		cmocka_unit_test(
			a_length_over_4096_closes_a_socket_at_once_and_serves_what_came_before),
		cmocka_unit_test(a_whole_payload_of_4096_is_served),
		cmocka_unit_test(a_round_serves_each_connection_a_bounded_number_in_turn),
		cmocka_unit_test(a_request_with_many_steps_ends_the_turn),
		cmocka_unit_test(a_request_that_must_wait_keeps_its_place_and_the_others_theirs),
		cmocka_unit_test(a_guest_that_reads_no_replies_is_not_read_past_its_quota),
		cmocka_unit_test(a_socket_that_reads_nothing_is_bounded_too),
		cmocka_unit_test(a_reset_drops_half_requests_watches_and_output),
		cmocka_unit_test(a_closed_connection_is_deaf_and_dumb_and_freed_between_rounds),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
