/* SPDX-License-Identifier: MIT */
/*
 * What a calm leaves in the transport, and what it does not.
 */
#include "conn/line_test.h"

static size_t line_peek(void *transport, void *buf, size_t len)
{
	struct line *l = transport;
	size_t n = l->in_len < len ? l->in_len : len;

	memcpy(buf, l->in, n);
	return n;
}

static const struct transport_ops peek_ops = { .recv = line_recv,
					       .peek = line_peek,
					       .send = line_send,
					       .want = line_want,
					       .free = line_free };

static struct bench *calm_bench(void)
{
	struct bench *b = bench_new();

	for (unsigned int i = 0; i < LINES; i++)
		b->line[i].conn->ops = &peek_ops;
	conn_table_calm(&b->t, true);
	return b;
}

/* A request to start, of which only len octets come. */
static void ask_start(struct bench *b, unsigned int i, uint32_t id, size_t len)
{
	struct xsd_sockmsg h = { .type = XS_TRANSACTION_START, .req_id = id, .len = 1 };
	uint8_t buf[WIRE_HEADER_SIZE + 1] = { 0 };

	memcpy(buf, &h, sizeof(h));
	line_push(b, i, buf, len);
}

static void a_start_and_all_behind_it_stay_where_they_are(void **state)
{
	struct bench *b = calm_bench();
	struct line *l = &b->line[1];

	(void)state;
	line_ask(b, 1, 1, "one");
	line_ask(b, 1, 2, "");
	ask_start(b, 1, 3, WIRE_HEADER_SIZE + 1);
	line_ask(b, 1, 4, "behind");
	line_ask(b, 2, 5, "other");
	/* a socket tells of its octets for as long as there are any */
	for (unsigned int i = 0; i < 4; i++) {
		conn_wake(l->conn);
		bench_run(b);
	}
	assert_int_equal(b->n_handled, 3);
	assert_int_equal(l->in_len, 2 * WIRE_HEADER_SIZE + 1 + 6);
	assert_int_equal(l->conn->in_len, 0);
	assert_false(l->want_read);
	assert_true(b->line[2].want_read);
	conn_table_calm(&b->t, false);
	bench_run(b);
	assert_int_equal(b->n_handled, 5);
	assert_true(l->want_read);
	bench_free(b);
}

static void what_was_begun_to_be_received_is_received_to_its_end(void **state)
{
	struct bench *b = calm_bench();
	struct line *l = &b->line[1];
	static const uint8_t rest[WIRE_HEADER_SIZE + 1] = { [12] = 1 }; /* its length */

	(void)state;
	ask_start(b, 1, 1, 3); /* not yet to be told from others */
	bench_run(b);
	assert_int_equal(l->in_len, 0);
	line_push(b, 1, rest + 3, sizeof(rest) - 3);
	for (unsigned int i = 0; i < 2; i++) {
		conn_wake(l->conn);
		bench_run(b);
	}
	assert_int_equal(b->n_handled, 1);
	bench_free(b);
}

static void who_has_a_transaction_may_end_it_behind_another_start(void **state)
{
	struct bench *b = calm_bench();
	struct line *l = &b->line[1];

	(void)state;
	l->conn->n_txns = 1;
	ask_start(b, 1, 1, WIRE_HEADER_SIZE + 1);
	line_ask(b, 1, 2, "end");
	for (unsigned int i = 0; i < 2; i++) {
		conn_wake(l->conn);
		bench_run(b);
	}
	assert_int_equal(b->n_handled, 2);
	l->conn->n_txns = 0;
	ask_start(b, 1, 3, WIRE_HEADER_SIZE + 1);
	bench_run(b);
	assert_int_equal(b->n_handled, 2);
	bench_free(b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_and_all_behind_it_stay_where_they_are),
		cmocka_unit_test(what_was_begun_to_be_received_is_received_to_its_end),
		cmocka_unit_test(who_has_a_transaction_may_end_it_behind_another_start),
	};

	return cmocka_run_group_tests_name("calm", tests, NULL, NULL);
}
