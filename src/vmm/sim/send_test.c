/* SPDX-License-Identifier: MIT */
/*
 * Simulated guests that are sent from one host to another: what arrives, when it stops, and what
 * is left of it after a cancel or a death at any instant.
 */
#include <fcntl.h>

#include "vmm/sim/pair_test.h"
#include "vmm/sim/stream.h"

struct sending {
	struct seen *from, *to;
};

static const struct vmm_send_options live = { .live = true };
static const struct vmm_send_options slow = { .live = true, .bandwidth_bps = 8 << 20 };

/* A socket pair between guest n at a and what waits for it at b. */
static void begin(struct sending *ret, unsigned int n, const char *words,
		  const struct vmm_send_options *opt)
{
	struct seen *from, *to;
	int fds[2];

	ret->from = from =
		pair->a.seen[n].guest ? &pair->a.seen[n] : guest_start_at(&pair->a, n, words, 0);
	await_ticks(&pair->a, n, 3);
	ret->to = to = guest_start_at(&pair->b, n, words, VMM_START_INCOMING);
	from->n_sent = from->n_stopped = to->n_received = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(vmm_receive(to->guest, fds[1]), 0);
	CALL(from, vmm_send(from->guest, fds[0], opt, on_done, from));
	assert_int_equal(from->done_err, 0);
}

static void no_overlap(unsigned int n)
{
	struct tick_log a = log_read(&pair->a, n), b = log_read(&pair->b, n);
	struct tick_log *first = a.first_ns < b.first_ns ? &a : &b;
	struct tick_log *second = first == &a ? &b : &a;

	assert_true(a.n_ticks > 0 && b.n_ticks > 0);
	assert_true(a.monotonic && b.monotonic);
	assert_true(first->last_ns < second->first_ns);
	assert_int_equal(second->last - second->n_ticks, first->last);
}

static void a_guest_goes_on_where_it_stopped(void **state)
{
	struct sending s;

	(void)state;
	begin(&s, 1, "fill dirty=20", &live);
	AWAIT(s.from->n_sent && s.to->n_received);
	assert_int_equal(s.from->sent_err, 0);
	assert_int_equal(s.to->received_err, 0);
	assert_int_equal(s.from->n_stopped, 1);
	assert_true(s.from->n_progress > 0);
	assert_int_equal(vmm_guest_state(s.from->guest), VMM_PAUSED);
	assert_int_equal(vmm_guest_reason(s.from->guest), VMM_MIGRATING);
	assert_int_equal(vmm_guest_state(s.to->guest), VMM_PAUSED);
	assert_true(vmm_guest_is_received(s.to->guest));
	assert_int_equal(log_read(&pair->b, 1).n_ticks, 0);
	assert_int_equal(vmm_set_epoch(s.to->guest, 8), 0);
	assert_string_equal(vmm_guest_migration_id(s.to->guest), "");
	CALL(s.to, vmm_resume(s.to->guest, on_done, s.to));
	guest_destroy(s.from);
	await_ticks(&pair->b, 1, 5);
	no_overlap(1);
}

/* What was sent is kept: the guest can go on at the source, as if nothing had been. */
static void after_a_send_the_source_can_go_on(void **state)
{
	struct sending s;

	(void)state;
	begin(&s, 1, "", &live);
	AWAIT(s.from->n_sent && s.to->n_received);
	guest_destroy(s.to);
	CALL(s.from, vmm_resume(s.from->guest, on_done, s.from));
	await_ticks(&pair->a, 1, 5);
	assert_true(log_read(&pair->a, 1).monotonic);
	begin(&s, 1, "", &live); /* and be sent again */
	AWAIT(s.from->n_sent && s.to->n_received);
	assert_int_equal(s.to->received_err, 0);
}

static void a_paused_guest_arrives_and_stays_paused(void **state)
{
	struct sending s;
	struct seen *from = guest_start_at(&pair->a, 1, "fill", 0);

	(void)state;
	await_ticks(&pair->a, 1, 3);
	CALL(from, vmm_pause(from->guest, on_done, from));
	s.from = from;
	s.to = guest_start_at(&pair->b, 1, "fill", VMM_START_INCOMING);
	{
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(vmm_receive(s.to->guest, fds[1]), 0);
		CALL(from, vmm_send(from->guest, fds[0], &live, on_done, from));
	}
	AWAIT(from->n_sent && s.to->n_received);
	assert_int_equal(from->n_stopped, 1);
	assert_int_equal(vmm_guest_state(s.to->guest), VMM_PAUSED);
}

/* Not live: stopped before anything is sent. */
static void what_is_not_live_stops_first(void **state)
{
	const struct vmm_send_options opt = { .live = false, .bandwidth_bps = 4 << 20 };
	struct sending s;
	uint64_t before;

	(void)state;
	begin(&s, 1, "fill", &opt);
	AWAIT(s.from->n_stopped);
	before = log_read(&pair->a, 1).n_ticks;
	assert_int_equal(s.from->n_sent, 0);
	AWAIT(s.from->n_sent && s.to->n_received);
	assert_int_equal(log_read(&pair->a, 1).n_ticks, before);
}

/* While it is sent it ticks, and the more bandwidth there is, the sooner it is over. */
static void a_limited_bandwidth_is_kept_and_can_be_lifted(void **state)
{
	struct vmm_send_options opt = { .live = true, .bandwidth_bps = 1 << 20 };
	uint64_t begun = vmm_now_ms();
	struct sending s;

	(void)state;
	begin(&s, 1, "fill", &opt);
	await_ticks(&pair->a, 1, 20);
	assert_int_equal(s.from->n_sent, 0);
	opt.bandwidth_bps = 0;
	assert_int_equal(vmm_send_tune(s.from->guest, &opt), 0);
	AWAIT(s.from->n_sent && s.to->n_received);
	/* 4 MiB at 1 MiB a second would be 4 s */
	assert_true(vmm_now_ms() - begun < 3000);
	assert_int_equal(s.from->sent_err, 0);
}

/* It writes faster than it may be sent; slowed down, it comes to its end. */
static void auto_converge_ends_what_would_not_end(void **state)
{
	const struct vmm_send_options opt = {
		.live = true, .auto_converge = true, .downtime_ms = 20, .bandwidth_bps = 3 << 20
	};
	struct sending s;

	(void)state;
	begin(&s, 1, "fill dirty=30", &opt);
	AWAIT(s.from->n_sent && s.to->n_received);
	assert_int_equal(s.from->sent_err, 0);
	assert_int_equal(s.to->received_err, 0);
}

static void cancelled_at_any_instant_the_source_goes_on(void **state)
{
	struct sending s;

	(void)state;
	for (int turns = 0; turns < 24; turns++) {
		begin(&s, 1, "fill dirty=5", turns % 2 ? &live : &slow);
		for (int i = 0; i < turns; i++)
			pair_turn(2);
		if (!s.from->n_sent)
			assert_int_equal(vmm_send_cancel(s.from->guest), 0);
		AWAIT(s.from->n_sent && s.to->n_received);
		assert_true(s.from->sent_err == 0 || s.from->sent_err == -ECANCELED);
		assert_int_equal(s.from->sent_err == 0, s.to->received_err == 0);
		assert_int_equal(vmm_send_cancel(s.from->guest), -EINVAL);
		guest_destroy(s.to);
		CALL(s.from, vmm_resume(s.from->guest, on_done, s.from));
		assert_int_equal(s.from->done_err, 0);
	}
	await_ticks(&pair->a, 1, 3);
	assert_true(log_read(&pair->a, 1).monotonic);
}

static void the_source_survives_the_death_of_the_receiver(void **state)
{
	struct sending s;

	(void)state;
	for (int turns = 0; turns < 10; turns++) {
		begin(&s, 1, "fill dirty=5", &slow);
		for (int i = 0; i < turns; i++)
			pair_turn(3);
		kill(vmm_guest_pid(s.to->guest), SIGKILL);
		AWAIT(s.from->n_sent && !s.to->guest);
		assert_int_equal(s.to->n_received, 1);
		if (s.from->sent_err)
			assert_int_equal(s.from->sent_err, -EPIPE);
		CALL(s.from, vmm_resume(s.from->guest, on_done, s.from));
	}
	await_ticks(&pair->a, 1, 3);
	assert_true(log_read(&pair->a, 1).monotonic);
}

static void the_receiver_says_where_the_stream_broke(void **state)
{
	struct sending s;

	(void)state;
	begin(&s, 1, "fill", &slow);
	pair_turn(20);
	kill(vmm_guest_pid(s.from->guest), SIGKILL);
	AWAIT(s.to->n_received && !s.from->guest);
	assert_int_equal(s.to->received_err, -EBADMSG);
	assert_non_null(strstr(s.to->why, "octet"));
	assert_int_equal(s.from->n_sent, 1);
	assert_int_equal(s.from->sent_err, -ENOTCONN);
	assert_int_equal(vmm_guest_state(s.to->guest), VMM_INCOMING);
	assert_false(vmm_guest_is_received(s.to->guest));
	assert_int_equal(vmm_resume(s.to->guest, on_done, s.to), -EINVAL);
}

static void foreign_and_broken_streams_are_refused(void **state)
{
	uint8_t header[SIM_HEADER_SIZE], record[SIM_RECORD_SIZE + SIM_PAGE];
	static const uint8_t page[SIM_PAGE] = { 1 };
	const uint8_t none[16] = { 0 };
	struct guest_def *def = def_of(1, "");
	static const char *const says[] = { "no simulated guest's memory", "another guest's",
					    "pages", "checksum", "ends too early" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(says); i++) {
		struct seen *to = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);
		size_t len = sim_stream_record(record, SIM_RECORD_PAGE, 3, page);
		int fds[2];

		sim_stream_header(header, i == 1 ? none : def->uuid, i == 2 ? 77 : 1024);
		if (i == 0)
			memcpy(header, "QEVM", 4);
		if (i == 3)
			record[100] ^= 1;
		to->n_received = 0;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(vmm_receive(to->guest, fds[1]), 0);
		assert_int_equal(write(fds[0], header, sizeof(header)), sizeof(header));
		/* it may have heard enough already */
		assert_true(send(fds[0], record, len, MSG_NOSIGNAL) == (ssize_t)len ||
			    errno == EPIPE);
		close(fds[0]);
		AWAIT(to->n_received);
		assert_int_equal(to->received_err, -EBADMSG);
		assert_non_null(strstr(to->why, says[i]));
		guest_destroy(to);
	}
	def_free(def);
}

/* Both daemons die at every instant of a sending; guests go on as they were told to. */
static void daemons_that_die_during_a_sending_find_what_became_of_it(void **state)
{
	struct sending s;

	(void)state;
	for (int turns = 0; turns < 16; turns++) {
		begin(&s, 1, "fill dirty=5", turns % 4 == 3 ? &live : &slow);
		for (int i = 0; i < turns; i++)
			pair_turn(2);
		if (turns % 3 != 1) {
			host_close(&pair->a);
			host_open(&pair->a);
		}
		if (turns % 3 != 0) {
			host_close(&pair->b);
			host_open(&pair->b);
		}
		assert_non_null(s.from->guest);
		assert_non_null(s.to->guest);
		/* cut short, or over already: a restarted source aborts */
		if (turns % 2 == 0 && vmm_send_cancel(s.from->guest) == 0)
			AWAIT(s.from->n_sent);
		/* told, or found */
		AWAIT(s.to->n_received || vmm_guest_is_received(s.to->guest) ||
		      !s.to->guest->receiving);
		if (turns % 2 && !vmm_guest_is_received(s.to->guest))
			fail_msg("turn %d: %u received, %d: %s; sent %d", turns, s.to->n_received,
				 s.to->received_err, s.to->why, s.from->sent_err);
		AWAIT(!s.from->guest->sending);
		guest_destroy(s.to);
		CALL(s.from, vmm_resume(s.from->guest, on_done, s.from));
		assert_int_equal(s.from->done_err, 0);
	}
	await_ticks(&pair->a, 1, 3);
	assert_true(log_read(&pair->a, 1).monotonic);
}

static void twenty_guests_at_once_arrive(void **state)
{
	struct sending s[20];
	unsigned int left = 20;

	(void)state;
	for (unsigned int i = 0; i < 20; i++)
		begin(&s[i], i, "fill dirty=2", &live);
	while (left) {
		left = 0;
		for (unsigned int i = 0; i < 20; i++)
			left += !s[i].from->n_sent || !s[i].to->n_received;
		pair_turn(20);
	}
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(s[i].from->sent_err, 0);
		assert_int_equal(s[i].to->received_err, 0);
		CALL(s[i].to, vmm_resume(s[i].to->guest, on_done, s[i].to));
		guest_destroy(s[i].from);
	}
	for (unsigned int i = 0; i < 20; i++) {
		await_ticks(&pair->b, i, 2);
		no_overlap(i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(a_guest_goes_on_where_it_stopped),
		PAIR_TEST(after_a_send_the_source_can_go_on),
		PAIR_TEST(a_paused_guest_arrives_and_stays_paused),
		PAIR_TEST(what_is_not_live_stops_first),
		PAIR_TEST(a_limited_bandwidth_is_kept_and_can_be_lifted),
		PAIR_TEST(auto_converge_ends_what_would_not_end),
		PAIR_TEST(cancelled_at_any_instant_the_source_goes_on),
		PAIR_TEST(the_source_survives_the_death_of_the_receiver),
		PAIR_TEST(the_receiver_says_where_the_stream_broke),
		PAIR_TEST(foreign_and_broken_streams_are_refused),
		PAIR_TEST(daemons_that_die_during_a_sending_find_what_became_of_it),
		PAIR_TEST(twenty_guests_at_once_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
