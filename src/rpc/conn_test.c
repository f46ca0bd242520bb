/* SPDX-License-Identifier: MIT */
/*
 * Connections: what arrives and leaves, how much of it, and when the other end is asked.
 */
#include "rpc/ground_test.h"

static int event(struct ground *g, char *text)
{
	rpc_string_ret msg = { .value = text };

	return rpc_conn_event(g->c, RPC_PROGRAM, 1, RPC_DOMAIN_EVENT_LIFECYCLE,
			      RPC_XDR(rpc_string_ret), &msg);
}

static void nothing_is_written_before_the_flush(void **state)
{
	struct rpc_head h;
	struct ground g;

	(void)state;
	ground_init(&g, 0);
	call(&g, 9);
	run(&g);
	assert_int_equal(g.n, 1);
	assert_int_equal(rpc_conn_calls(g.c), 1);
	answer(&g, 0);
	assert_int_equal(g.woken, 1);
	assert_int_equal(rpc_conn_calls(g.c), 0);
	rpc_conn_io(g.c, POLLOUT, g.now);
	rpc_conn_tick(g.c, g.now);
	assert_false(hear(&g, &h));
	rpc_conn_flush(g.c, g.now);
	assert_true(hear(&g, &h));
	assert_int_equal(h.serial, 9);
	assert_int_equal(h.type, RPC_REPLY);
	assert_int_equal(h.status, RPC_OK);
	assert_int_equal(rpc_conn_unsent(g.c), 0);
	ground_fini(&g);
}

/* Two calls are under way: the third is taken once one is answered; keepalive meanwhile, too. */
static void calls_under_way_are_bounded(void **state)
{
	struct rpc_head h;
	struct ground g;

	(void)state;
	ground_init(&g, 2);
	for (uint32_t i = 0; i < 2; i++)
		call(&g, i);
	say(&g, RPC_KEEPALIVE_PROGRAM, 1, RPC_EVENT, 0);
	for (uint32_t i = 2; i < 4; i++)
		call(&g, i);
	run(&g);
	assert_int_equal(g.n, 2);
	assert_true(hear(&g, &h));
	assert_int_equal(h.program, RPC_KEEPALIVE_PROGRAM);
	assert_int_equal(h.procedure, 2);
	assert_int_equal(rpc_conn_events(g.c), POLLRDHUP);
	answer(&g, 1);
	run(&g);
	assert_int_equal(g.n, 3);
	assert_int_equal(g.heads[2].serial, 2);
	answer(&g, 0);
	answer(&g, 2);
	run(&g);
	assert_int_equal(g.n, 4);
	assert_int_equal(rpc_conn_events(g.c), POLLIN);
	ground_fini(&g);
}

/* It reads nothing: calls wait, events fall away, at last it is closed. */
static void a_client_that_does_not_read(void **state)
{
	char *text = malloc(600001);
	struct ground g;
	int sent = 0;

	(void)state;
	memset(text, 'x', 600000);
	text[600000] = '\0';
	ground_init(&g, 0);
	run(&g);
	for (; sent < 2; sent++)
		assert_int_equal(event(&g, text), 0);
	run(&g);
	call(&g, 1);
	run(&g);
	assert_int_equal(g.n, 0);
	assert_int_equal(rpc_conn_events(g.c), POLLRDHUP | POLLOUT);
	while (!event(&g, text))
		sent++;
	assert_true(rpc_conn_unsent(g.c) > RPC_CONN_EVENTS_MAX);
	assert_true(rpc_conn_unsent(g.c) < RPC_CONN_EVENTS_MAX + 700000);
	assert_int_equal(event(&g, text), ENOBUFS);
	assert_int_equal(rpc_conn_dropped(g.c), 2);
	assert_int_equal(rpc_conn_deadline_ms(g.c), 1000 + 5000);
	g.now += 4999;
	run(&g);
	assert_int_equal(g.closed, 0);
	g.now += 1;
	run(&g);
	assert_int_equal(g.closed, 1);
	assert_string_equal(g.why, "the other end has read nothing for 5000 ms");
	ground_fini(&g);
	free(text);
}

/* It is not punished when it was us who did not run. */
static void a_slow_reader_is_served(void **state)
{
	static uint8_t sink[1u << 20];
	char *text = malloc(600001);
	struct ground g;
	ssize_t n;
	size_t got = 0;

	(void)state;
	memset(text, 'x', 600000);
	text[600000] = '\0';
	ground_init(&g, 0);
	run(&g);
	assert_int_equal(event(&g, text), 0);
	assert_int_equal(event(&g, text), 0);
	call(&g, 1);
	run(&g);
	assert_int_equal(g.n, 0);
	while ((n = recv(g.fd, sink, sizeof(sink), MSG_DONTWAIT)) > 0) {
		got += (size_t)n;
		g.now += 60000;
		rpc_conn_tick(g.c, g.now);
		rpc_conn_flush(g.c, g.now);
		run(&g);
	}
	assert_int_equal(got, 2 * (600000 + 4 + RPC_HEAD_SIZE));
	assert_int_equal(g.closed, 0);
	assert_int_equal(g.n, 1);
	ground_fini(&g);
	free(text);
}

static void keepalive_asks_and_gives_up(void **state)
{
	struct rpc_head h;
	struct ground g;

	(void)state;
	ground_init(&g, 0);
	run(&g);
	assert_true(rpc_conn_deadline_ms(g.c) == UINT64_MAX);
	rpc_conn_keepalive(g.c, 5000, 2);
	assert_int_equal(rpc_conn_deadline_ms(g.c), 6000);
	for (int i = 0; i < 5; i++) { /* answered: it goes on for ever */
		g.now += 5000;
		run(&g);
		assert_true(hear(&g, &h));
		assert_int_equal(h.procedure, 1);
		assert_false(hear(&g, &h));
		say(&g, RPC_KEEPALIVE_PROGRAM, 2, RPC_EVENT, 0);
		run(&g);
	}
	for (int i = 0; i < 2; i++) {
		g.now += 5000;
		run(&g);
		assert_true(hear(&g, &h));
	}
	assert_int_equal(g.closed, 0);
	g.now += 5000;
	run(&g);
	assert_int_equal(g.closed, 1);
	assert_string_equal(g.why, "no answer to 2 keepalives, one each 5000 ms");
	ground_fini(&g);
}

/* Whoever slept for long asks first, and closes later. */
static void a_long_sleep_is_one_question(void **state)
{
	struct rpc_head h;
	struct ground g;

	(void)state;
	ground_init(&g, 0);
	run(&g);
	rpc_conn_keepalive(g.c, 1000, 2);
	g.now += 60000;
	run(&g);
	assert_int_equal(g.closed, 0);
	assert_true(hear(&g, &h));
	assert_false(hear(&g, &h));
	ground_fini(&g);
}

/* An answer that is behind a call that has to wait cannot be seen: nobody is blamed for it. */
static void nobody_is_asked_while_held(void **state)
{
	struct ground g;

	(void)state;
	ground_init(&g, 1);
	rpc_conn_keepalive(g.c, 1000, 2);
	call(&g, 1);
	call(&g, 2);
	for (int i = 0; i < 10; i++) {
		g.now += 1000;
		run(&g);
	}
	assert_int_equal(g.closed, 0);
	assert_int_equal(g.n, 1);
	answer(&g, 0);
	run(&g);
	assert_int_equal(g.n, 2);
	ground_fini(&g);
}

/* A stream is answered in kind, and the connection goes on. */
static void streams_are_refused(void **state)
{
	struct rpc_head h;
	struct ground g;

	(void)state;
	ground_init(&g, 0);
	say(&g, RPC_PROGRAM, 201, RPC_STREAM, 5);
	call(&g, 6);
	run(&g);
	assert_int_equal(g.n, 1);
	assert_int_equal(rpc_conn_calls(g.c), 1);
	assert_true(hear(&g, &h));
	assert_int_equal(h.type, RPC_STREAM);
	assert_int_equal(h.status, RPC_ERROR);
	assert_int_equal(h.serial, 5);
	ground_fini(&g);
}

/* An answer that passes a bound is a refusal: whoever waits hears of it. */
static void an_answer_that_is_too_long_is_refused(void **state)
{
	rpc_job_stats_ret ret = { .params = { .rpc_params_len = 65 } };
	struct rpc_head h;
	struct ground g;

	(void)state;
	ret.params.rpc_params_val = calloc(65, sizeof(rpc_param));
	ground_init(&g, 0);
	call(&g, 3);
	run(&g);
	assert_int_equal(rpc_conn_reply(g.c, &g.heads[0], RPC_XDR(rpc_job_stats_ret), &ret), 0);
	assert_int_equal(rpc_conn_calls(g.c), 0);
	run(&g);
	rpc_conn_flush(g.c, g.now);
	assert_true(hear(&g, &h));
	assert_int_equal(h.status, RPC_ERROR);
	assert_int_equal(h.serial, 3);
	ground_fini(&g);
	free(ret.params.rpc_params_val);
}

/* More frames than a round hands out: the rest come in the next ones, and nothing is lost. */
static void a_flood_comes_in_rounds(void **state)
{
	struct ground g;

	(void)state;
	ground_init(&g, 1000);
	for (uint32_t i = 0; i < 150; i++)
		call(&g, i);
	rpc_conn_io(g.c, POLLIN, g.now);
	assert_int_equal(g.n, 64);
	assert_int_equal(rpc_conn_deadline_ms(g.c), 0);
	run(&g);
	assert_int_equal(g.n, 150);
	for (uint32_t i = 0; i < 150; i++)
		assert_int_equal(g.heads[i].serial, i);
	ground_fini(&g);
}

static void the_other_end_is_known(void **state)
{
	struct ground g;
	pid_t pid;
	uid_t uid;
	gid_t gid;

	(void)state;
	ground_init(&g, 0);
	assert_int_equal(rpc_conn_peer_user(g.c, &pid, &uid, &gid), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(uid, getuid());
	assert_true(rpc_conn_is_local(g.c));
	assert_true(rpc_conn_is_secure(g.c));
	assert_string_equal(rpc_conn_fingerprint(g.c), "");
	ground_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_written_before_the_flush),
		cmocka_unit_test(calls_under_way_are_bounded),
		cmocka_unit_test(a_client_that_does_not_read),
		cmocka_unit_test(a_slow_reader_is_served),
		cmocka_unit_test(keepalive_asks_and_gives_up),
		cmocka_unit_test(a_long_sleep_is_one_question),
		cmocka_unit_test(nobody_is_asked_while_held),
		cmocka_unit_test(streams_are_refused),
		cmocka_unit_test(an_answer_that_is_too_long_is_refused),
		cmocka_unit_test(a_flood_comes_in_rounds),
		cmocka_unit_test(the_other_end_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
