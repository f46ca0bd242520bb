/* SPDX-License-Identifier: MIT */
/*
 * A monitor whose connection breaks while both sides live: it is made again, and what happened
 * meanwhile is told then, each thing once.
 */
#include "vmm/qemu/host_test.h"
#include "vmm/qemu/inner.h"

#define LOST_TEST(test) cmocka_unit_test_teardown(test, host_reap)

static void lose(struct host *h)
{
	struct qemu_guest *qg = qemu_of(h->guest);

	if (qg->q)
		(void)shutdown(qmp_fd(qg->q), SHUT_RDWR);
}

static bool has_monitor(const struct host *h)
{
	const struct qemu_guest *qg = qemu_of(h->guest);

	return qg->q && qg->synced;
}

/* Resumed, though it may be noticed only now that there is no monitor. */
static void resume_surely(struct host *h)
{
	do {
		host_await(h, NULL, has_monitor(h));
		host_call(h, vmm_resume);
	} while (h->done_err == -ECONNRESET);
	assert_int_equal(h->done_err, 0);
}

static void a_guest_is_reached_again(void **state)
{
	struct host *h = host_with_guest();

	(void)state;
	lose(h);
	host_await(h, NULL, !has_monitor(h));
	assert_int_equal(vmm_pause(h->guest, host_done, h), -ENOTCONN);
	assert_int_equal(h->state, VMM_RUNNING);
	host_await(h, NULL, has_monitor(h));
	assert_int_equal(h->n_changed, 1); /* it only ever began to run */
	host_call(h, vmm_pause);
	assert_int_equal(h->done_err, 0);
	lose(h);
	host_await(h, NULL, !has_monitor(h));
	host_await(h, NULL, has_monitor(h));
	assert_int_equal(h->state, VMM_PAUSED);
	host_free(h);
}

static void calls_that_wait_are_told(void **state)
{
	struct host *h = host_with_guest();

	(void)state;
	h->n_done = 0;
	assert_int_equal(vmm_pause(h->guest, host_done, h), 0);
	lose(h);
	host_await(h, NULL, h->n_done);
	/* It may have been heard or not; either way what is told in the end is so. */
	host_await(h, NULL, has_monitor(h));
	if (h->state == VMM_RUNNING) {
		long before = host_ticks(h, NULL);

		host_await(h, NULL, host_ticks(h, NULL) >= before + 2);
	}
	host_free(h);
}

/* At each of the first rounds of a migration one of the two monitors is lost. */
static bool lost_at(unsigned int n, bool source)
{
	struct vmm_send_options opt = { .live = true };
	struct pair p = pair_new();
	struct host *hosts[] = { p.a, p.b };
	bool over;

	pair_send(&p, &opt);
	for (unsigned int i = 0; i < n && !(p.a->n_sent && p.b->n_received); i++)
		host_round(hosts, 2, host_now_us() + 1000000);
	over = p.a->n_sent && p.b->n_received;
	lose(source ? p.a : p.b);
	host_await(p.a, p.b, p.a->n_sent || p.b->n_received);
	if (p.b->n_received && p.b->received_err) {
		/* It was not told to receive: whoever sends hears of that from the other daemon. */
		host_destroy(p.b);
	}
	host_await(p.a, p.b, p.a->n_sent);
	if (p.a->sent_err == 0) {
		host_await(p.a, p.b, p.b->n_received);
		assert_int_equal(p.b->received_err, 0);
		resume_surely(p.b);
		assert_moved(&p);
	} else {
		resume_surely(p.a);
		host_await(p.a, NULL, host_ticks(p.a, NULL) >= 5);
	}
	assert_int_equal(p.a->n_sent, 1);
	assert_true(p.b->n_received <= 1);
	pair_free(&p);
	return over;
}

static void a_migration_goes_on_or_ends_for_good(void **state)
{
	(void)state;
	for (int source = 0; source < 2; source++)
		for (unsigned int n = 0; !lost_at(n, source); n += n < 4 ? 1 : n / 2)
			assert_true(n < 1000);
}

/*
 * What is told after the migration's state was asked for at first, and before the last of those
 * answers, is in none of them.
 */
static void an_end_between_two_answers_is_noted(void **state)
{
	struct vmm_send_options opt = { .live = true };
	struct pair p = pair_new();
	struct qemu_guest *qg = qemu_of(p.b->guest);

	(void)state;
	pair_send(&p, &opt);
	qg->synced = false;
	host_await(p.a, p.b, qg->mig == QEMU_MIG_COMPLETED);
	assert_int_equal(p.b->n_received, 0);
	qemu_run_sync(qg);
	host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
	assert_int_equal(p.a->sent_err, 0);
	assert_int_equal(p.b->received_err, 0);
	resume_surely(p.b);
	assert_moved(&p);
	pair_free(&p);
}

static void a_cancel_without_a_monitor_is_made_good(void **state)
{
	struct vmm_send_options opt = { .live = true, .bandwidth_bps = 1u << 20 };
	struct pair p = pair_new();

	(void)state;
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_progress);
	lose(p.a);
	host_await(p.a, p.b, !has_monitor(p.a));
	assert_int_equal(vmm_send_cancel(p.a->guest), 0);
	host_await(p.a, p.b, p.a->n_sent);
	assert_int_equal(p.a->sent_err, -ECANCELED);
	host_call(p.a, vmm_resume);
	assert_int_equal(p.a->state, VMM_RUNNING);
	pair_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_TEST(a_guest_is_reached_again),
		LOST_TEST(calls_that_wait_are_told),
		LOST_TEST(a_migration_goes_on_or_ends_for_good),
		LOST_TEST(an_end_between_two_answers_is_noted),
		LOST_TEST(a_cancel_without_a_monitor_is_made_good),
	};

	return cmocka_run_group_tests_name("vmm/qemu lost", tests, NULL, NULL);
}
