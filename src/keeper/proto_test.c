/* SPDX-License-Identifier: MIT */
/*
 * Messages between keeper and worker, their descriptors, and what is not one; the seat that
 * travels as a HELLO; the table of held sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "keeper/clients.h"
#include "keeper/proto.h"
#include "keeper/seat.h"

static void close_fds(struct proto_msg *m)
{
	while (m->n_fds)
		close(m->fd[--m->n_fds]);
}

static void test_a_message_arrives_as_it_was(void **state)
{
	struct proto_msg out, in;
	int pair[2];

	(void)state;
	assert_int_equal(proto_pair(pair), 0);
	proto_init(&out, PROTO_UPDATE, 7, "file");
	out.n_ids = 3;
	out.id[0] = 1;
	out.id[1] = UINT64_MAX;
	out.id[2] = 3;
	out.fd[out.n_fds++] = pair[0];
	assert_int_equal(proto_send(pair[0], &out, false), 0);
	assert_int_equal(proto_recv(pair[1], &in, false), 0);
	assert_int_equal(in.type, PROTO_UPDATE);
	assert_int_equal(in.value, 7);
	assert_int_equal(in.n_ids, 3);
	assert_memory_equal(in.id, out.id, 3 * sizeof(in.id[0]));
	assert_string_equal(in.text, "file");
	assert_int_equal(in.n_fds, 1);
	assert_int_not_equal(fcntl(in.fd[0], F_GETFD) & FD_CLOEXEC, 0);
	close_fds(&in);
	assert_int_equal(proto_recv(pair[1], &in, false), -EAGAIN);
	close(pair[0]);
	assert_int_equal(proto_recv(pair[1], &in, true), -EPIPE);
	out.n_fds = 0;
	assert_int_equal(proto_send(pair[1], &out, true), -EPIPE);
	close(pair[1]);
}

static void test_what_is_no_message_is_refused(void **state)
{
	static const struct {
		uint32_t head[4];
		size_t len;
	} cases[] = {
		{ { PROTO_SERVE, 0, 0, 0 }, 15 },
		{ { PROTO_SERVE, 0, 0, 1 }, 16 },
		{ { PROTO_SERVE, 0, 1, 0 }, 16 },
		{ { PROTO_SERVE, 0, PROTO_FDS_MAX + 1, 0 }, 16 },
		{ { PROTO_SERVE, 0, UINT32_MAX, UINT32_MAX }, 16 },
		{ { PROTO_SERVE, 0, 0, PROTO_TEXT_MAX + 1 }, 16 },
	};
	struct proto_msg in;
	int pair[2];

	(void)state;
	assert_int_equal(proto_pair(pair), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(send(pair[0], cases[i].head, cases[i].len, 0), cases[i].len);
		assert_int_equal(proto_recv(pair[1], &in, false), -EBADMSG);
	}
	close(pair[0]);
	close(pair[1]);
}

static void test_a_full_pair_says_so(void **state)
{
	struct proto_msg out;
	unsigned int n = 0;
	int pair[2], r;

	(void)state;
	assert_int_equal(proto_pair(pair), 0);
	proto_init(&out, PROTO_LOG, 0, "a line");
	while (!(r = proto_send(pair[0], &out, false)))
		assert_true(++n < 1000000);
	assert_int_equal(r, -EAGAIN);
	close(pair[0]);
	close(pair[1]);
}

static void test_a_seat_survives_hello(void **state)
{
	struct worker_seat seat, back;
	struct proto_msg m;
	int pair[2];

	(void)state;
	assert_int_equal(proto_pair(pair), 0);
	memset(&seat, 0, sizeof(seat));
	seat.call = dup(0);
	seat.lock = dup(0);
	seat.netns = -1;
	seat.hv.evtchn_fd = -1;
	seat.hv.virq = 5;
	seat.deaths = 9;
	for (size_t i = 0; i < SEAT_JOURNAL_FILES; i++)
		seat.journal[i] = i == 2 ? -1 : dup(0);
	snprintf(seat.boot_id, sizeof(seat.boot_id), "%036d", 7);
	seat_to_hello(&seat, &m);
	assert_int_equal(proto_send(pair[0], &m, false), 0);
	assert_int_equal(seat_from_hello(pair[1], &back), 0);
	assert_true(back.candidate && back.call >= 0 && back.lock >= 0);
	assert_int_equal(back.netns, -1);
	assert_int_equal(back.hv.evtchn_fd, -1);
	assert_int_equal(back.hv.virq, 5);
	assert_int_equal(back.deaths, 9);
	assert_int_equal(back.journal[2], -1);
	assert_true(back.journal[1] >= 0 && back.journal[3] >= 0);
	assert_string_equal(back.boot_id, seat.boot_id);

	proto_init(&m, PROTO_HELLO, PROTO_VERSION + 1, seat.boot_id);
	assert_int_equal(proto_send(pair[0], &m, false), 0);
	assert_int_equal(seat_from_hello(pair[1], &back), -EPROTO);
	close(pair[0]);
	close(pair[1]);
}

static void test_clients_are_told_in_order_and_once(void **state)
{
	struct clients c = { 0 };
	struct proto_msg m;
	uint64_t told = 0, seen = 0;

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++)
		assert_int_equal(clients_add(&c, i * 3, dup(0)), 0);
	for (uint64_t i = 1; i <= 1000; i++)
		if (i % 10)
			clients_close(&c, i * 3);
	clients_close(&c, 7); /* never there */
	clients_close(&c, 9); /* twice */
	while (clients_next(&c, told)) {
		told = clients_tell(&c, told, &m);
		assert_true(m.n_ids == m.n_fds && m.n_ids <= PROTO_FDS_MAX);
		for (uint32_t i = 0; i < m.n_ids; i++, seen++)
			assert_int_equal(m.id[i], (seen + 1) * 30);
	}
	assert_int_equal(seen, 100);
	assert_int_equal(clients_last(&c), 3000);
	clients_close(&c, 3000);
	assert_int_equal(clients_last(&c), 3000); /* its number does not come again */
	assert_null(clients_next(&c, 2970));
	clients_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_message_arrives_as_it_was),
		cmocka_unit_test(test_what_is_no_message_is_refused),
		cmocka_unit_test(test_a_full_pair_says_so),
		cmocka_unit_test(test_a_seat_survives_hello),
		cmocka_unit_test(test_clients_are_told_in_order_and_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
