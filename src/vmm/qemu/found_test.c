/* SPDX-License-Identifier: MIT */
/*
 * A daemon that dies, and the next one: real guests are found as they are, at whatever instant the
 * former one ended. Where only its connections matter it is closed in the middle (vmm_free tells
 * nobody anything); where it could die between two system calls, a process is killed.
 */
#include <signal.h>
#include <sys/wait.h>

#include "vmm/qemu/host_test.h"

#define FOUND_TEST(test) cmocka_unit_test_teardown(test, host_reap)

/* What is going on when the daemon dies. */
enum scene { SCENE_RUNNING, SCENE_PAUSED, SCENE_INCOMING, SCENES };

static void a_guest_is_found_as_it_is(void **state)
{
	(void)state;
	for (enum scene s = 0; s < SCENES; s++) {
		static const enum vmm_state expected[] = { VMM_RUNNING, VMM_PAUSED, VMM_INCOMING };
		struct host *h = host_new();
		long before;
		int pid;

		host_start(h, s == SCENE_INCOMING ? VMM_START_INCOMING : 0,
			   s == SCENE_INCOMING ? HOST_MIGRATION_ID : NULL);
		if (s == SCENE_PAUSED)
			host_call(h, vmm_pause);
		pid = vmm_guest_pid(h->guest);
		host_reopen(h);
		assert_int_equal(h->n_found, 1);
		assert_int_equal(h->state, expected[s]);
		assert_int_equal(h->reason, VMM_FOUND);
		assert_int_equal(vmm_guest_pid(h->guest), pid);
		assert_int_equal(vmm_guest_epoch(h->guest), 1);
		assert_string_equal(vmm_guest_migration_id(h->guest),
				    s == SCENE_INCOMING ? HOST_MIGRATION_ID : "");
		assert_false(vmm_guest_is_received(h->guest));
		if (s == SCENE_RUNNING) {
			assert_non_null(vmm_guest_pty(h->guest, 1));
			before = host_ticks(h, NULL);
			host_await(h, NULL, host_ticks(h, NULL) >= before + 2);
			host_call(h, vmm_pause);
			assert_int_equal(h->done_err, 0);
		}
		if (s != SCENE_INCOMING) {
			host_call(h, vmm_resume);
			before = host_ticks(h, NULL);
			host_await(h, NULL, host_ticks(h, NULL) >= before + 2);
		}
		host_free(h);
	}
}

static void a_guest_that_switches_itself_off_meanwhile_is_ended(void **state)
{
	struct host *h = host_with_guest();

	(void)state;
	host_await(h, NULL, host_ticks(h, NULL) >= 2);
	host_call(h, vmm_shutdown);
	assert_int_equal(h->done_err, 0);
	host_reopen(h);
	host_await(h, NULL, h->state == VMM_GONE);
	assert_int_equal(h->reason, VMM_SHUTDOWN);
	host_free(h);
}

static void a_guest_whose_process_ended_meanwhile_is_found_gone(void **state)
{
	struct host *h = host_with_guest();
	int pid;

	(void)state;
	pid = vmm_guest_pid(h->guest);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	host_reopen(h);
	assert_int_equal(h->n_found, 1);
	assert_int_equal(h->state, VMM_GONE);
	host_free(h);
}

/* Rounds of a's and b's loops until the n-th of them: then the one that is to die, dies. */
static void rounds(struct host *a, struct host *b, unsigned int n)
{
	struct host *hosts[] = { a, b };

	while (n-- && !(a->n_sent && b->n_received))
		host_round(hosts, 2, host_now_us() + 1000000);
}

/* Whatever the source had told, the next one knows whether all was sent, or cancels. */
static bool source_dies_at(unsigned int n)
{
	struct vmm_send_options opt = { .live = true };
	struct pair p = pair_new();
	bool over;
	long before;

	pair_send(&p, &opt);
	rounds(p.a, p.b, n);
	over = p.a->n_sent;
	host_reopen(p.a);
	assert_int_equal(p.a->n_found, 1);
	assert_true(p.a->state == VMM_RUNNING || p.a->state == VMM_PAUSED);
	if (vmm_send_cancel(p.a->guest) == 0)
		host_await(p.a, p.b, p.a->n_sent == 1);
	/* Sent or not, it was not given away: it goes on here. */
	host_destroy(p.b);
	host_call(p.a, vmm_resume);
	assert_int_equal(p.a->done_err, 0);
	assert_int_equal(p.a->state, VMM_RUNNING);
	before = host_ticks(p.a, NULL);
	assert_true(before >= 0);
	host_await(p.a, NULL, host_ticks(p.a, NULL) >= before + 2);
	assert_int_equal(host_ticks(p.b, NULL), 0);
	pair_free(&p);
	return over;
}

static void a_source_that_dies_while_it_sends_finds_its_guest(void **state)
{
	(void)state;
	for (unsigned int n = 0; !source_dies_at(n); n += n < 4 ? 1 : n / 4)
		assert_true(n < 1000);
}

/* It was given away, so it runs where all of it is: with another epoch, found again with that. */
static void assert_taken(struct pair *p)
{
	assert_int_equal(p->b->state, VMM_PAUSED);
	host_await(p->a, p->b, p->a->n_sent);
	assert_int_equal(p->a->sent_err, 0);
	assert_int_equal(vmm_set_epoch(p->b->guest, 2), 0);
	host_call(p->b, vmm_resume);
	assert_int_equal(p->b->done_err, 0);
	host_destroy(p->a);
	assert_moved(p);
	host_reopen(p->b);
	assert_int_equal(vmm_guest_epoch(p->b->guest), 2);
	assert_string_equal(vmm_guest_migration_id(p->b->guest), "");
	assert_int_equal(p->b->state, VMM_RUNNING);
}

/* The destination's next one knows whether it has all of the guest; if it has not, it drops it. */
static bool destination_dies_at(unsigned int n)
{
	struct vmm_send_options opt = { .live = true };
	struct pair p = pair_new();
	bool received;
	long before;

	pair_send(&p, &opt);
	rounds(p.a, p.b, n);
	host_reopen(p.b);
	assert_int_equal(p.b->n_found, 1);
	assert_string_equal(vmm_guest_migration_id(p.b->guest), HOST_MIGRATION_ID);
	received = vmm_guest_is_received(p.b->guest);
	if (received) {
		assert_taken(&p);
	} else {
		host_destroy(p.b);
		host_await(p.a, NULL, p.a->n_sent);
		host_call(p.a, vmm_resume);
		assert_int_equal(p.a->done_err, 0);
		before = host_ticks(p.a, NULL);
		host_await(p.a, NULL, host_ticks(p.a, NULL) >= before + 2);
	}
	pair_free(&p);
	return received;
}

static void a_destination_that_dies_while_it_receives_finds_its_guest(void **state)
{
	(void)state;
	for (unsigned int n = 1; !destination_dies_at(n); n += n < 4 ? 1 : n / 4)
		assert_true(n < 1000);
}

/* A daemon in a process of its own, which starts a guest, and is killed after so long. */
static pid_t daemon_fork(const struct host *h, long us)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct sigevent kill_it = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
		struct itimerspec in = { .it_value.tv_nsec = us * 1000 };
		timer_t timer;
		struct vmm_options opt = { .run_dir = h->run, .log_dir = h->log };
		struct host mine = *h;
		struct guest_def *def = host_def(h);
		struct host *hosts[] = { &mine };

		if (timer_create(CLOCK_MONOTONIC, &kill_it, &timer) ||
		    timer_settime(timer, 0, &in, NULL) ||
		    vmm_open("qemu", &opt, &host_events, &mine, &mine.v) ||
		    vmm_start(mine.v, def, 0, 1, NULL, host_done, &mine, &mine.guest))
			_exit(1);
		for (;;)
			host_round(hosts, 1, UINT64_MAX);
	}
	assert_true(pid > 0);
	return pid;
}

/* Killed at any instant of a start, it leaves nothing, or a guest that is found and can be run. */
static void a_daemon_killed_while_it_starts_a_guest_leaves_none_or_one_that_is_found(void **state)
{
	unsigned int found = 0;

	(void)state;
	for (long us = 200; us < 200000; us += us / 2) {
		struct host *h = host_new();
		int status;
		pid_t pid;

		vmm_free(h->v);
		h->v = NULL;
		pid = daemon_fork(h, us);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		host_open(h);
		if (h->n_found && h->state != VMM_GONE) {
			found++;
			host_await(h, NULL, h->state == VMM_RUNNING || h->state == VMM_PAUSED);
			host_call(h, vmm_resume);
			assert_int_equal(h->done_err, 0);
			host_await(h, NULL, host_ticks(h, NULL) >= 2);
		} else {
			assert_int_equal(host_ticks(h, NULL), 0);
		}
		host_free(h);
	}
	assert_true(found > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOUND_TEST(a_guest_is_found_as_it_is),
		FOUND_TEST(a_guest_that_switches_itself_off_meanwhile_is_ended),
		FOUND_TEST(a_guest_whose_process_ended_meanwhile_is_found_gone),
		FOUND_TEST(a_source_that_dies_while_it_sends_finds_its_guest),
		FOUND_TEST(a_destination_that_dies_while_it_receives_finds_its_guest),
		FOUND_TEST(
			a_daemon_killed_while_it_starts_a_guest_leaves_none_or_one_that_is_found),
	};

	return cmocka_run_group_tests_name("vmm/qemu found", tests, NULL, NULL);
}
