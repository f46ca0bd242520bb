/* SPDX-License-Identifier: MIT */
/*
 * How connections end: by the other end, by what it sends, by their owner, for want of memory.
 */
#include "rpc/ground_test.h"

#include "base/alloc_test.h"
#include "rpc/error.h"

/* Whoever has enough calls under way and goes is noticed all the same. */
static void a_client_that_goes_is_noticed_while_held(void **state)
{
	struct ground g;

	(void)state;
	ground_init(&g, 1);
	call(&g, 1);
	call(&g, 2);
	run(&g);
	assert_int_equal(g.n, 1);
	close(g.fd);
	g.fd = -1;
	run(&g);
	assert_int_equal(g.closed, 1);
	assert_string_equal(g.why, "");
	assert_int_equal(rpc_conn_fd(g.c), -1);
	assert_int_equal(rpc_conn_send(g.c, &g.heads[0], NULL, NULL), EPIPE);
	ground_fini(&g);
}

/* Frames that were sent before the end are handed out; half a frame is told. */
static void what_was_sent_before_the_end_arrives(void **state)
{
	struct ground g;

	(void)state;
	for (int half = 0; half < 2; half++) {
		ground_init(&g, 0);
		call(&g, 1);
		call(&g, 2);
		if (half)
			assert_int_equal(write(g.fd, "\0\0\0\x20", 4), 4);
		close(g.fd);
		g.fd = -1;
		run(&g);
		assert_int_equal(g.n, 2);
		assert_int_equal(g.closed, 1);
		assert_string_equal(g.why, half ? "closed by the other end within a frame" : "");
		ground_fini(&g);
	}
}

static void what_is_not_accepted_is_named(void **state)
{
	struct ground g;

	(void)state;
	ground_init(&g, 0);
	say(&g, RPC_PROGRAM, 443, RPC_CALL_FDS, 1);
	run(&g);
	assert_int_equal(g.n, 0);
	assert_string_equal(g.why, "procedure 443 comes with descriptors, which are not accepted");
	ground_fini(&g);
	ground_init(&g, 0);
	say(&g, RPC_KEEPALIVE_PROGRAM, 3, RPC_EVENT, 0);
	run(&g);
	assert_string_equal(g.why, "a keepalive frame of version 1, procedure 3, type 2, 0 octets");
	ground_fini(&g);
	ground_init(&g, 0);
	assert_int_equal(write(g.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
	run(&g);
	assert_string_equal(g.why, "a frame's length is 1195725856, more than 33554436");
	ground_fini(&g);
}

/* Closing from within a frame: no further one comes, what was queued is still written. */
static void closing_drains(void **state)
{
	struct rpc_head h;
	struct ground g;

	(void)state;
	for (int drain = 0; drain < 2; drain++) {
		ground_init(&g, 0);
		call(&g, 1);
		run(&g);
		answer(&g, 0);
		rpc_conn_close(g.c, drain, "bye");
		rpc_conn_close(g.c, true, "again");
		assert_int_equal(g.closed, 0);
		assert_int_equal(rpc_conn_deadline_ms(g.c), 0);
		rpc_conn_tick(g.c, g.now);
		assert_int_equal(g.closed, !drain);
		rpc_conn_flush(g.c, g.now);
		assert_int_equal(g.closed, 1);
		assert_string_equal(g.why, "bye");
		assert_int_equal(hear(&g, &h), drain);
		ground_fini(&g);
	}
	ground_init(&g, 0);
	g.close_in_frame = true;
	call(&g, 1);
	call(&g, 2);
	run(&g);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.why, "enough");
	ground_fini(&g);
}

static void freeing_from_within(void **state)
{
	struct ground g;

	(void)state;
	ground_init(&g, 0);
	g.free_in_frame = true;
	call(&g, 1);
	call(&g, 2);
	run(&g);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.closed, 0);
	ground_fini(&g);
	ground_init(&g, 0);
	g.free_in_closed = true;
	run(&g);
	close(g.fd);
	g.fd = -1;
	run(&g);
	assert_int_equal(g.closed, 1);
	assert_null(g.c);
	ground_fini(&g);
}

/* Without memory a connection ends, so that nobody waits for an answer that was lost; or it works.
 */
static void without_memory_it_ends_and_says_so(void **state)
{
	rpc_string_ret ret = { .value = (char *)(uintptr_t) "Xen" };
	bool failed = true;

	(void)state;
	for (unsigned long n = 1; failed; n++) {
		struct rpc_error err;
		struct rpc_head h;
		struct ground g;
		unsigned int answers = 0;

		ground_init(&g, 0);
		call(&g, 1);
		call(&g, 2);
		alloc_fail_nth(n, false);
		run(&g);
		if (g.n == 2) {
			rpc_error_set(&err, RPC_ERR_NO_DOMAIN, RPC_FROM_DOM, "none");
			(void)rpc_conn_reply(g.c, &g.heads[0], RPC_XDR(rpc_string_ret), &ret);
			(void)rpc_conn_fail(g.c, &g.heads[1], &err);
			run(&g);
		}
		failed = alloc_fail_end();
		while (hear(&g, &h))
			answers++;
		assert_int_equal(g.closed, failed);
		assert_string_equal(g.why, failed ? "out of memory" : "");
		assert_true(failed || answers == 2);
		ground_fini(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_that_goes_is_noticed_while_held),
		cmocka_unit_test(what_was_sent_before_the_end_arrives),
		cmocka_unit_test(what_is_not_accepted_is_named),
		cmocka_unit_test(closing_drains),
		cmocka_unit_test(freeing_from_within),
		cmocka_unit_test(without_memory_it_ends_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
