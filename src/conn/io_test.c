/* SPDX-License-Identifier: MIT */
/*
 * Commits: nothing leaves before it is final, and who cannot be made final is lost to all. And
 * connections that are quiesced, or brought here from elsewhere.
 */
#include "conn/line_test.h"

/* A log that remembers no more than that it was asked. */
static struct book {
	bool changed; /* something was told of */
	int result;   /* of the next commits */
	unsigned int commits;
	size_t words; /* in all of them */
	uint64_t seq;
} book;

static bool book_has_changes(void *data)
{
	(void)data;
	return book.changed;
}

static int book_commit(void *data, uint64_t seq, const struct conn_word *words, size_t n)
{
	(void)data;
	(void)words;
	if (book.result)
		return book.result;
	book.commits++;
	book.words += n;
	assert_in_range(seq, book.seq + 1, UINT64_MAX);
	book.seq = seq;
	book.changed = false;
	return 0;
}

/* "tell": line 2 is told, too. "change": something changes. */
static bool handle_and_tell(void *data, struct conn *c, const struct wire_msg *m)
{
	struct bench *b = data;

	if (memmem(m->payload, m->hdr.len, "tell", 4))
		conn_reply(b->line[2].conn, &m->hdr, m->hdr.type, "told", 4);
	if (memmem(m->payload, m->hdr.len, "change", 6))
		book.changed = true;
	return bench_handle(data, c, m);
}

static struct bench *bench_logged(void)
{
	static const struct conn_log_ops ops = { .has_changes = book_has_changes,
						 .commit = book_commit };
	struct bench *b = bench_new();

	memset(&book, 0, sizeof(book));
	b->t.log = &ops;
	b->t.handle = handle_and_tell;
	return b;
}

static void who_changes_nothing_and_touches_nobody_is_not_logged(void **state)
{
	static const struct {
		const char *asks;
		unsigned int commits;
		size_t words;
	} table[] = {
		{ "", 0, 0 },
		{ "tell", 1, 2 },
		{ "change", 1, 1 },
		{ "change, tell", 1, 2 },
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bench *b = bench_logged();

		line_ask(b, 1, 1, table[i].asks);
		line_ask(b, 1, 2, table[i].asks); /* a turn is one commit */
		bench_run(b);
		assert_int_equal(b->n_handled, 2);
		assert_int_equal(book.commits, table[i].commits);
		assert_int_equal(book.words, table[i].words);
		bench_free(b);
	}
}

static void what_is_not_final_is_sent_to_nobody_and_who_did_it_is_lost(void **state)
{
	struct bench *b = bench_logged();
	struct conn *told = b->line[2].conn;

	(void)state;
	book.result = -ENOSPC;
	line_ask(b, 1, 1, "change, tell");
	line_ask(b, 3, 1, "what changes nothing is not kept from its answer");
	bench_run(b);
	assert_true(b->line[1].freed);
	assert_int_equal(b->line[1].out_len, 0);
	assert_int_equal(b->line[2].out_len, 0);
	assert_int_equal(conn_queued(told).octets, WIRE_HEADER_SIZE + 4);
	assert_false(b->line[2].want_write); /* or it would be tried again and again */
	conn_wake(told);
	bench_run(b);
	assert_int_equal(b->line[2].out_len, 0);
	book.result = 0;
	bench_run(b);
	assert_int_equal(b->line[2].out_len, WIRE_HEADER_SIZE + 4);
	bench_free(b);
}

static void who_is_quiesced_is_served_what_it_took_and_read_no_more(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];

	(void)state;
	for (uint32_t i = 0; i < CONN_REQUESTS_PER_ROUND + 8; i++)
		line_ask(b, 1, i, "x");
	conn_round(&b->t, 0);
	assert_int_equal(b->n_handled, CONN_REQUESTS_PER_ROUND);
	conn_quiesce(l->conn, true);
	line_ask(b, 1, 99, "later");
	bench_run(b);
	assert_int_equal(b->n_handled, CONN_REQUESTS_PER_ROUND + 8);
	assert_int_equal(l->in_len, WIRE_HEADER_SIZE + 5);
	assert_false(l->want_read);
	conn_quiesce(l->conn, false);
	bench_run(b);
	assert_int_equal(b->n_handled, CONN_REQUESTS_PER_ROUND + 9);
	assert_true(l->want_read);
	bench_free(b);
}

static const struct transport_ops line_ops = {
	.recv = line_recv, .send = line_send, .want = line_want, .free = line_free
};

static void who_is_brought_here_goes_on_in_the_middle_of_a_request_and_of_a_reply(void **state)
{
	static const char rest[] = "the rest";
	uint8_t out[256], in[256];
	struct bench *b = bench_new();
	struct line *l = calloc(1, sizeof(*l));
	struct conn_freight freight = { .in = in, .out = out, .out_partial = 8 };
	size_t asked = request(in, 7, "asked", 5);

	(void)state;
	assert_non_null(l);
	l->out_room = 3;
	l->want_read = true;
	memcpy(out, rest, 8);
	freight.out_len = 8 + request(out + 8, 6, "whole", 5);
	freight.in_len = asked - 2;
	assert_int_equal(conn_make(&b->t, 77, 0, &b->line[1].budget, false, &l->conn), 0);
	assert_int_equal(conn_adopt(l->conn, &line_ops, l, &freight), 0);
	assert_int_equal(conn_queued(l->conn).partial, 8);
	assert_int_equal(conn_queued(l->conn).replies, 2);
	assert_int_equal(b->line[1].budget.used[QUOTA_MEMORY], freight.in_len + freight.out_len);
	assert_int_equal(conn_peek_input(l->conn, b->handled, 256), freight.in_len);
	assert_memory_equal(b->handled, in, freight.in_len);
	b->handled[0] = '\0';
	bench_run(b);
	assert_int_equal(conn_queued(l->conn).partial, 5);
	l->out_room = sizeof(l->out);
	memcpy(l->in, in + freight.in_len, 2);
	l->in_len = 2;
	conn_wake(l->conn);
	bench_run(b);
	assert_int_equal(b->n_handled, 1);
	assert_int_equal(l->out_len, freight.out_len + asked);
	assert_memory_equal(l->out, out, freight.out_len);
	assert_memory_equal(l->out + freight.out_len, in, asked);
	bench_free(b);
	free(l);
}

static void freight_that_is_no_messages_is_refused(void **state)
{
	static const struct {
		size_t len, partial;
	} table[] = { { 3, 4 }, { 0, 1 }, { 5000, 5000 }, { 16, 0 }, { 39, 0 }, { 27, 4 } };
	static uint8_t out[5000];
	struct bench *b = bench_new();

	(void)state;
	request(out, 1, "12345678", 8); /* 24 octets */
	for (size_t i = 0; i < 6; i++) {
		struct conn_freight freight = { .in = "abc",
						.in_len = 3,
						.out = out,
						.out_len = table[i].len,
						.out_partial = table[i].partial };
		struct line *l = calloc(1, sizeof(*l));
		struct conn *c;

		assert_non_null(l);
		assert_int_equal(conn_make(&b->t, 77, 0, &b->line[1].budget, false, &c), 0);
		assert_int_equal(conn_adopt(c, &line_ops, l, &freight), EINVAL);
		assert_true(l->freed);
		assert_int_equal(b->line[1].budget.used[QUOTA_MEMORY], 0);
		conn_discard(c);
		free(l);
	}
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_changes_nothing_and_touches_nobody_is_not_logged),
		cmocka_unit_test(what_is_not_final_is_sent_to_nobody_and_who_did_it_is_lost),
		cmocka_unit_test(who_is_quiesced_is_served_what_it_took_and_read_no_more),
		cmocka_unit_test(
			who_is_brought_here_goes_on_in_the_middle_of_a_request_and_of_a_reply),
		cmocka_unit_test(freight_that_is_no_messages_is_refused),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
