/* SPDX-License-Identifier: MIT */
/*
 * Connections over a pair of sockets, one end ours, the other the test's, by a clock of the test's.
 */
#include "rpc/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

struct ground {
	struct rpc_conn *c;
	int fd; /* the test's end */
	uint64_t now;
	struct rpc_head heads[200]; /* frames that came, in order */
	unsigned int n, ready, closed, woken;
	char why[RPC_CONN_WHY_MAX];
	bool free_in_frame, free_in_closed, close_in_frame;
};

static void on_frame(void *data, struct rpc_conn *c, const struct rpc_frame *f)
{
	struct ground *g = data;

	assert_int_equal(g->ready, 1);
	assert_int_equal(g->closed, 0);
	assert_true(g->n < 200);
	g->heads[g->n++] = f->head;
	if (g->close_in_frame)
		rpc_conn_close(c, true, "enough");
	if (g->free_in_frame) {
		rpc_conn_free(c);
		g->c = NULL;
	}
}

static void on_ready(void *data, struct rpc_conn *c)
{
	struct ground *g = data;

	(void)c;
	g->ready++;
}

static void on_closed(void *data, struct rpc_conn *c, const char *why)
{
	struct ground *g = data;

	assert_true(rpc_conn_fd(c) >= 0);
	g->closed++;
	snprintf(g->why, sizeof(g->why), "%s", why);
	if (g->free_in_closed) {
		rpc_conn_free(c);
		g->c = NULL;
	}
}

static void on_wake(void *data, struct rpc_conn *c)
{
	struct ground *g = data;

	(void)c;
	g->woken++;
}

static const struct rpc_conn_ops ops = {
	.frame = on_frame,
	.ready = on_ready,
	.closed = on_closed,
	.wake = on_wake,
};

static void ground_init(struct ground *g, uint32_t calls_max)
{
	const struct rpc_conn_options o = {
		.server = true, .calls_max = calls_max, .stall_ms = 5000, .id = 77
	};
	int pair[2], size = 4096;

	memset(g, 0, sizeof(*g));
	g->now = 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	/* So small that an end that reads nothing is noticed soon. */
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	g->fd = pair[1];
	assert_int_equal(rpc_conn_new(pair[0], &o, &ops, g, g->now, &g->c), 0);
	assert_int_equal(rpc_conn_id(g->c), 77);
}

static void ground_fini(struct ground *g)
{
	rpc_conn_free(g->c);
	if (g->fd >= 0)
		close(g->fd);
}

/* Rounds until nothing more is to be done. */
static void run(struct ground *g)
{
	for (int i = 0; g->c && i < 100; i++) {
		struct pollfd p;
		bool due;

		rpc_conn_flush(g->c, g->now);
		if (!g->c || rpc_conn_fd(g->c) < 0)
			return;
		p = (struct pollfd){ .fd = rpc_conn_fd(g->c), .events = rpc_conn_events(g->c) };
		due = rpc_conn_deadline_ms(g->c) <= g->now;
		if (poll(&p, 1, 0) == 1)
			rpc_conn_io(g->c, p.revents, g->now);
		else if (!due)
			return;
		if (g->c)
			rpc_conn_tick(g->c, g->now);
	}
}

static void say(struct ground *g, uint32_t program, int32_t procedure, uint32_t type,
		uint32_t serial)
{
	const struct rpc_head h = {
		.program = program,
		.version = 1,
		.procedure = procedure,
		.type = type,
		.serial = serial,
	};
	uint8_t octets[RPC_HEAD_SIZE];

	rpc_head_put(octets, &h, 0);
	assert_int_equal(write(g->fd, octets, sizeof(octets)), sizeof(octets));
}

static void call(struct ground *g, uint32_t serial)
{
	say(g, RPC_PROGRAM, RPC_CONNECT_GET_TYPE, RPC_CALL, serial);
}

/* The next frame that the connection wrote; false: there is none. */
static bool hear(struct ground *g, struct rpc_head *ret)
{
	uint8_t octets[65536];
	ssize_t n = recv(g->fd, octets, RPC_HEAD_SIZE, MSG_DONTWAIT);
	size_t len;

	if (n <= 0)
		return false;
	assert_int_equal(n, RPC_HEAD_SIZE);
	rpc_head_get(octets, ret);
	len = (size_t)octets[2] << 8 | octets[3];
	if (len > RPC_HEAD_SIZE)
		assert_int_equal(recv(g->fd, octets, len - RPC_HEAD_SIZE, 0), len - RPC_HEAD_SIZE);
	return true;
}

static void answer(struct ground *g, unsigned int i)
{
	rpc_string_ret ret = { .value = (char *)(uintptr_t) "Xen" };

	assert_int_equal(rpc_conn_reply(g->c, &g->heads[i], RPC_XDR(rpc_string_ret), &ret), 0);
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

static int event(struct ground *g, char *text)
{
	rpc_string_ret msg = { .value = text };

	return rpc_conn_event(g->c, RPC_PROGRAM, 1, RPC_DOMAIN_EVENT_LIFECYCLE,
			      RPC_XDR(rpc_string_ret), &msg);
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
		cmocka_unit_test(a_client_that_goes_is_noticed_while_held),
		cmocka_unit_test(what_was_sent_before_the_end_arrives),
		cmocka_unit_test(a_client_that_does_not_read),
		cmocka_unit_test(a_slow_reader_is_served),
		cmocka_unit_test(keepalive_asks_and_gives_up),
		cmocka_unit_test(a_long_sleep_is_one_question),
		cmocka_unit_test(nobody_is_asked_while_held),
		cmocka_unit_test(what_is_not_accepted_is_named),
		cmocka_unit_test(streams_are_refused),
		cmocka_unit_test(an_answer_that_is_too_long_is_refused),
		cmocka_unit_test(closing_drains),
		cmocka_unit_test(freeing_from_within),
		cmocka_unit_test(a_flood_comes_in_rounds),
		cmocka_unit_test(without_memory_it_ends_and_says_so),
		cmocka_unit_test(the_other_end_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
