/* SPDX-License-Identifier: MIT */
/*
 * Simulated guests that are started, paused, found again and ended: real processes, one host.
 */
#include "vmm/sim/pair_test.h"

static void a_guest_ticks_until_it_is_paused_and_then_goes_on(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "dirty=3", 0);
	struct tick_log before, after;

	(void)state;
	await_ticks(&pair->a, 1, 5);
	CALL(s, vmm_pause(s->guest, on_done, s));
	assert_int_equal(s->done_err, 0);
	assert_int_equal(vmm_guest_state(s->guest), VMM_PAUSED);
	assert_int_equal(vmm_guest_reason(s->guest), VMM_BY_USER);
	before = log_read(&pair->a, 1);
	for (int i = 0; i < 10; i++)
		pair_turn(10);
	after = log_read(&pair->a, 1);
	assert_int_equal(before.n_ticks, after.n_ticks);
	CALL(s, vmm_pause(s->guest, on_done, s)); /* so already */
	assert_int_equal(s->done_err, 0);
	CALL(s, vmm_resume(s->guest, on_done, s));
	assert_int_equal(vmm_guest_state(s->guest), VMM_RUNNING);
	await_ticks(&pair->a, 1, 3);
	assert_true(log_read(&pair->a, 1).monotonic);
	assert_true(vmm_guest_pid(s->guest) > 0);
}

static void a_guest_may_begin_paused(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", VMM_START_PAUSED);

	(void)state;
	assert_int_equal(log_read(&pair->a, 1).n_ticks, 0);
	CALL(s, vmm_resume(s->guest, on_done, s));
	await_ticks(&pair->a, 1, 2);
}

static void what_makes_no_sense_in_a_state_is_refused(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *in = guest_start_at(&pair->a, 2, "", VMM_START_INCOMING);
	struct guest_def *def = def_of(1, "");
	struct vmm_guest *other = NULL;

	(void)state;
	assert_int_equal(vmm_start(pair->a.v, def, 0, 1, NULL, NULL, NULL, &other), -EEXIST);
	assert_null(other);
	def_free(def);
	assert_int_equal(vmm_send_cancel(s->guest), -EINVAL);
	assert_int_equal(vmm_receive(s->guest, dup(0)), -EINVAL);
	assert_int_equal(vmm_pause(in->guest, on_done, in), -EINVAL);
	assert_int_equal(vmm_resume(in->guest, on_done, in), -EINVAL);
	assert_int_equal(vmm_shutdown(in->guest, on_done, in), -EINVAL);
	assert_string_equal(vmm_guest_migration_id(in->guest), "some-migration");
}

static void bad_definitions_are_refused_by_element(void **state)
{
	char text[VMM_ERROR_MAX];
	static const struct {
		const char *name;
		uint64_t memory_kib;
		unsigned int vcpus;
		enum def_type type;
		const char *says;
	} rows[] = {
		{ "", 4096, 1, DEF_TEST, "<name>" },
		{ "../x", 4096, 1, DEF_TEST, "<name>" },
		{ "..", 4096, 1, DEF_TEST, "<name>" },
		{ "a\nb", 4096, 1, DEF_TEST, "<name>" },
		{ "a", 1, 1, DEF_TEST, "<memory>" },
		{ "a", 4096, 0, DEF_TEST, "<vcpu>" },
		{ "a", 4096, 100000, DEF_TEST, "<vcpu>" },
		{ "a", 4096, 1, DEF_KVM, "<domain type='kvm'>" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_def *def = def_of(1, "");

		free(def->name);
		def->name = strdup(rows[i].name);
		def->memory_kib = rows[i].memory_kib;
		def->vcpus = rows[i].vcpus;
		def->type = rows[i].type;
		assert_true(vmm_check(pair->a.v, def, text, sizeof(text)) < 0);
		assert_non_null(strstr(text, rows[i].says));
		def_free(def);
	}
}

static void a_shut_down_guest_is_gone_and_says_so(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *deaf = guest_start_at(&pair->a, 2, "deaf", 0);

	(void)state;
	CALL(s, vmm_shutdown(s->guest, on_done, s));
	AWAIT(s->n_gone);
	assert_int_equal(s->gone_why, VMM_SHUTDOWN);
	CALL(deaf, vmm_shutdown(deaf->guest, on_done, deaf));
	await_ticks(&pair->a, 2, 5);
	assert_non_null(deaf->guest);
	CALL(deaf, vmm_destroy(deaf->guest, true, on_done, deaf));
	assert_int_equal(deaf->n_gone, 1);
	assert_int_equal(deaf->gone_why, VMM_BY_USER);
}

/* It cannot hear that it is to end: it is killed when its second is over. */
static void a_guest_that_does_not_answer_is_destroyed_all_the_same(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);

	(void)state;
	assert_int_equal(kill(vmm_guest_pid(s->guest), SIGSTOP), 0);
	CALL(s, vmm_destroy(s->guest, true, on_done, s));
	assert_int_equal(s->done_err, 0);
	assert_int_equal(s->gone_why, VMM_BY_USER);
}

static void crashes_and_reboots_are_told(void **state)
{
	struct seen *crash = guest_start_at(&pair->a, 1, "crash=5", 0);
	struct seen *reboot = guest_start_at(&pair->a, 2, "reboot=3", 0);
	struct seen *off = guest_start_at(&pair->a, 3, "poweroff=4", 0);
	struct seen *killed = guest_start_at(&pair->a, 4, "", 0);

	(void)state;
	kill(vmm_guest_pid(killed->guest), SIGKILL);
	AWAIT(crash->n_gone && off->n_gone && killed->n_gone && reboot->n_rebooted);
	assert_int_equal(crash->gone_why, VMM_CRASHED);
	assert_int_equal(killed->gone_why, VMM_CRASHED);
	assert_int_equal(off->gone_why, VMM_SHUTDOWN);
	CALL(reboot, vmm_reboot(reboot->guest, on_done, reboot));
	assert_int_equal(reboot->n_rebooted, 2);
	assert_int_equal(vmm_guest_state(reboot->guest), VMM_RUNNING);
}

static void one_that_is_not_to_reboot_ends_instead(void **state)
{
	struct guest_def *def = def_of(1, "reboot=3");
	struct seen *s = &pair->a.seen[1];

	(void)state;
	def->on_reboot = DEF_DESTROY;
	assert_int_equal(vmm_start(pair->a.v, def, 0, 7, NULL, on_done, s, &s->guest), 0);
	AWAIT(s->n_gone);
	assert_int_equal(s->gone_why, VMM_SHUTDOWN);
	assert_int_equal(s->n_rebooted, 0);
	def_free(def);
}

static void an_action_that_nobody_follows_is_refused_by_its_name(void **state)
{
	static const struct {
		enum def_action poweroff, reboot, crash;
		const char *want;
	} rows[] = {
		{ DEF_DESTROY, DEF_RESTART, DEF_RESTART, NULL },
		{ DEF_RESTART, DEF_RESTART, DEF_DESTROY, NULL },
		{ DEF_DESTROY, DEF_DESTROY, DEF_DESTROY, NULL },
		{ DEF_PRESERVE, DEF_RESTART, DEF_DESTROY, "<on_poweroff>preserve" },
		{ DEF_DESTROY, DEF_PRESERVE, DEF_DESTROY, "<on_reboot>preserve" },
		{ DEF_DESTROY, DEF_RESTART, DEF_PRESERVE, "<on_crash>preserve" },
		{ DEF_RENAME_RESTART, DEF_RESTART, DEF_DESTROY, "<on_poweroff>rename-restart" },
		{ DEF_DESTROY, DEF_RENAME_RESTART, DEF_DESTROY, "<on_reboot>rename-restart" },
		{ DEF_DESTROY, DEF_RESTART, DEF_RENAME_RESTART, "<on_crash>rename-restart" },
		{ DEF_RESTART, DEF_DESTROY, DEF_DESTROY, "<on_reboot>destroy with" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_def *def = def_of(1, "");
		char text[VMM_ERROR_MAX] = "";

		def->on_poweroff = rows[i].poweroff;
		def->on_reboot = rows[i].reboot;
		def->on_crash = rows[i].crash;
		assert_int_equal(vmm_check(pair->a.v, def, text, sizeof(text)),
				 rows[i].want ? -EOPNOTSUPP : 0);
		assert_ptr_equal(rows[i].want ? strstr(text, rows[i].want) : text, text);
		def_free(def);
	}
}

/* Its call ends, too, and with the reason. */
static void a_call_to_a_guest_that_dies_meanwhile_fails(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	pid_t pid = vmm_guest_pid(s->guest);

	(void)state;
	kill(pid, SIGSTOP);
	assert_int_equal(vmm_pause(s->guest, on_done, s), 0);
	kill(pid, SIGKILL);
	AWAIT(s->n_gone && s->n_done == 2);
	assert_int_equal(s->done_err, -ENOTCONN);
	assert_non_null(strstr(s->why, "signal 9"));
}

static void a_program_that_cannot_be_started_leaves_nothing(void **state)
{
	struct guest_def *def = def_of(1, "");
	struct vmm_guest *g = NULL;

	(void)state;
	host_close(&pair->a);
	snprintf(pair->program, sizeof(pair->program), "/nonexistent/program");
	host_open(&pair->a);
	assert_int_equal(vmm_start(pair->a.v, def, 0, 1, NULL, NULL, NULL, &g), -ENOENT);
	assert_null(g);
	def_free(def);
}

/* A program that ends at once: the start fails, and the guest is gone. */
static void a_program_that_ends_at_once_fails_the_start(void **state)
{
	struct guest_def *def = def_of(1, "");
	struct seen *s = &pair->a.seen[1];

	(void)state;
	host_close(&pair->a);
	snprintf(pair->program, sizeof(pair->program), "/bin/false");
	host_open(&pair->a);
	assert_int_equal(vmm_start(pair->a.v, def, 0, 1, NULL, on_done, s, &s->guest), 0);
	AWAIT(s->n_done == 1 && s->n_gone == 1);
	assert_int_equal(s->done_err, -ENOTCONN);
	def_free(def);
}

static void guests_are_found_again_as_they_are(void **state)
{
	struct seen *s = pair->a.seen;
	int pid;

	(void)state;
	guest_start_at(&pair->a, 1, "", 0);
	guest_start_at(&pair->a, 2, "", VMM_START_PAUSED);
	guest_start_at(&pair->a, 3, "", VMM_START_INCOMING);
	guest_start_at(&pair->a, 4, "", 0);
	assert_int_equal(vmm_set_epoch(s[1].guest, 12), 0);
	pid = vmm_guest_pid(s[1].guest);
	kill(vmm_guest_pid(s[4].guest), SIGKILL);
	host_close(&pair->a);
	host_open(&pair->a);
	assert_int_equal(vmm_guest_state(s[1].guest), VMM_RUNNING);
	assert_int_equal(vmm_guest_reason(s[1].guest), VMM_FOUND);
	assert_int_equal(vmm_guest_pid(s[1].guest), pid);
	assert_int_equal(vmm_guest_epoch(s[1].guest), 12);
	assert_int_equal(vmm_guest_state(s[2].guest), VMM_PAUSED);
	assert_int_equal(vmm_guest_epoch(s[2].guest), 7);
	assert_int_equal(vmm_guest_state(s[3].guest), VMM_INCOMING);
	assert_string_equal(vmm_guest_migration_id(s[3].guest), "some-migration");
	assert_false(vmm_guest_is_received(s[3].guest));
	AWAIT(s[4].n_gone);
	assert_null(s[4].guest);
	assert_int_equal(s[4].gone_why, VMM_CRASHED);
	await_ticks(&pair->a, 1, 3);
	CALL(&s[2], vmm_resume(s[2].guest, on_done, &s[2]));
	await_ticks(&pair->a, 2, 3);
	CALL(&s[1], vmm_pause(s[1].guest, on_done, &s[1]));
	assert_true(log_read(&pair->a, 1).monotonic);
}

/* A start that nobody waited for: the next daemon has it, in whatever state it is. */
static void a_daemon_that_dies_during_a_start_leaves_a_guest_to_find(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		struct guest_def *def = def_of(i, "");
		struct vmm_guest *g;

		assert_int_equal(vmm_start(pair->a.v, def, 0, 1, NULL, NULL, NULL, &g), 0);
		def_free(def);
		for (unsigned int turn = 0; turn < i / 3; turn++)
			pair_turn(1);
		host_close(&pair->a);
		host_open(&pair->a);
		assert_non_null(pair->a.seen[i].guest);
		AWAIT(vmm_guest_state(pair->a.seen[i].guest) == VMM_RUNNING);
	}
	await_ticks(&pair->a, 0, 2);
	await_ticks(&pair->a, 11, 2);
}

/* The processes of a daemon that was killed are nobody's children; their end is seen as well. */
static void the_end_of_a_guest_that_is_no_child_is_seen(void **state)
{
	struct seen *s = &pair->a.seen[1];
	int status;
	pid_t child;

	(void)state;
	host_close(&pair->a);
	child = fork();
	if (child == 0) {
		host_open(&pair->a);
		guest_start_at(&pair->a, 1, "", 0);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	host_open(&pair->a);
	assert_non_null(s->guest);
	assert_int_equal(vmm_guest_state(s->guest), VMM_RUNNING);
	CALL(s, vmm_pause(s->guest, on_done, s));
	CALL(s, vmm_resume(s->guest, on_done, s));
	CALL(s, vmm_shutdown(s->guest, on_done, s));
	AWAIT(s->n_gone);
	assert_int_equal(s->gone_why, VMM_SHUTDOWN);
}

/* A directory that names a process of another time, or is not as we write it. */
static void a_process_that_is_not_the_guests_is_never_touched(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	pid_t pid = vmm_guest_pid(s->guest);
	char *path;
	FILE *f;

	(void)state;
	assert_true(asprintf(&path, "%s/process", vmm_guest_dir(s->guest)) > 0);
	host_close(&pair->a);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* this process's own pid, with another's time */
	f = fopen(path, "w");
	fprintf(f, "%d 1 %s\n", (int)getpid(), "no-such-boot");
	fclose(f);
	free(path);
	host_open(&pair->a);
	assert_int_equal(s->n_gone, 1);
	assert_null(s->guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(a_guest_ticks_until_it_is_paused_and_then_goes_on),
		PAIR_TEST(a_guest_may_begin_paused),
		PAIR_TEST(what_makes_no_sense_in_a_state_is_refused),
		PAIR_TEST(bad_definitions_are_refused_by_element),
		PAIR_TEST(a_shut_down_guest_is_gone_and_says_so),
		PAIR_TEST(a_guest_that_does_not_answer_is_destroyed_all_the_same),
		PAIR_TEST(crashes_and_reboots_are_told),
		PAIR_TEST(one_that_is_not_to_reboot_ends_instead),
		PAIR_TEST(an_action_that_nobody_follows_is_refused_by_its_name),
		PAIR_TEST(a_call_to_a_guest_that_dies_meanwhile_fails),
		PAIR_TEST(a_program_that_cannot_be_started_leaves_nothing),
		PAIR_TEST(a_program_that_ends_at_once_fails_the_start),
		PAIR_TEST(guests_are_found_again_as_they_are),
		PAIR_TEST(a_daemon_that_dies_during_a_start_leaves_a_guest_to_find),
		PAIR_TEST(the_end_of_a_guest_that_is_no_child_is_seen),
		PAIR_TEST(a_process_that_is_not_the_guests_is_never_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
