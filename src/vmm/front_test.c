/* SPDX-License-Identifier: MIT */
/*
 * The front alone, with a backend whose guests are shells: directories, processes, calls and their
 * ends, and what is never touched.
 */
#include <sys/syscall.h>

#include "vmm/shell_test.h"

static void a_process_has_nothing_of_the_daemons(void **state)
{
	char path[128], *text;
	int leak = dup(0);				     /* not close-on-exec */
	const uintptr_t ignored[8] = { (uintptr_t)SIG_IGN }; /* the handler is the first field */

	(void)state;
	assert_true(dup2(leak, 200) == 200);
	signal(SIGUSR1, SIG_IGN);
	/* one that the C library keeps for itself, as some harnesses leave it */
	assert_int_equal(syscall(SYS_rt_sigaction, 32, ignored, NULL, 8), 0);
	/* the descriptors, the session, the directory, what is ignored */
	script = "echo fds $(ls /proc/$$/fd) end; ps -o sid= -p $$ | grep -qx \" *$$\" && echo "
		 "leads; pwd; grep SigIgn /proc/$$/status; exit 0";
	assert_int_equal(start_uuid(1, 0), 0);
	AWAIT(n_gone == 1);
	assert_int_equal(gone_why, VMM_SHUTDOWN);
	assert_int_equal(n_done, 1);
	assert_int_equal(done_err, -ENOTCONN); /* it never was ready */
	snprintf(path, sizeof(path), "%s/log/shell.log", dir);
	text = file_of(path);
	/* 10 or 255 and the like are the shell's own */
	assert_non_null(strstr(text, "fds 0 1 2 3 "));
	assert_null(strstr(text, "200"));
	assert_non_null(strstr(text, "leads\n"));
	assert_non_null(strstr(text, "deep/run/00000000-0000-0000-0000-000000000001\n"));
	assert_non_null(strstr(text, "SigIgn:\t0000000000000000"));
	free(text);
	signal(SIGUSR1, SIG_DFL);
	close(leak);
	close(200);
}

static void what_is_known_of_a_guest_outlives_the_daemon(void **state)
{
	int pid;

	(void)state;
	start();
	pid = vmm_guest_pid(guest);
	front_close();
	front_open();
	assert_int_equal(n_found, 1);
	assert_int_equal(vmm_guest_pid(guest), pid);
	assert_int_equal(vmm_guest_epoch(guest), 5);
	assert_string_equal(vmm_guest_migration_id(guest), "the-migration");
	assert_int_equal(guest->memory_kib, 2048);
	assert_string_equal(guest->name, "shell");
	assert_int_equal(vmm_set_epoch(guest, UINT64_MAX), 0);
	front_close();
	front_open();
	assert_int_equal(vmm_guest_epoch(guest), UINT64_MAX);
	assert_string_equal(vmm_guest_migration_id(guest), "");
	assert_int_equal(vmm_guest_uuid(guest)[DEF_UUID_SIZE - 1], 1);
}

static void calls_end_once_and_from_dispatch(void **state)
{
	struct vmm_call *call;

	(void)state;
	start();
	assert_int_equal(vmm_resume(guest, on_done, NULL), 0); /* runs already */
	assert_int_equal(n_done, 0);
	assert_int_equal(vmm_timeout_ms(v), 0);
	AWAIT(n_done == 1);
	assert_int_equal(vmm_pause(guest, on_done, NULL), 0);
	call = TAKE(open_call);
	turn();
	assert_int_equal(n_done, 1);
	vmm_call_end(call, -EBUSY, "no time");
	AWAIT(n_done == 2);
	assert_int_equal(done_err, -EBUSY);
	assert_string_equal(done_why, "no time");
	/* not taken by the backend: the caller knows at once, and is not told again */
	assert_int_equal(vmm_shutdown(guest, on_done, NULL), -EIO);
	assert_int_equal(vmm_reboot(guest, on_done, NULL), -EOPNOTSUPP);
	turn();
	assert_int_equal(n_done, 2);
	assert_int_equal(vmm_pause(guest, on_done, NULL), 0);
	front_close(); /* and not by vmm_free */
	assert_int_equal(n_done, 2);
}

static void a_death_ends_what_is_under_way(void **state)
{
	int fds[2];

	(void)state;
	start();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(vmm_send(guest, fds[0], &(struct vmm_send_options){ 0 }, on_done, NULL),
			 0);
	AWAIT(n_done == 1);
	assert_int_equal(vmm_send(guest, dup(0), &(struct vmm_send_options){ 0 }, on_done, NULL),
			 -EINVAL); /* twice */
	assert_int_equal(vmm_pause(guest, on_done, NULL), 0);
	open_call = NULL;
	kill(vmm_guest_pid(guest), SIGKILL);
	AWAIT(n_gone == 1 && n_done == 2);
	assert_int_equal(done_err, -ENOTCONN);
	assert_int_equal(n_sent, 1);
	assert_int_equal(sent_err, -ENOTCONN);
	assert_int_equal(gone_why, VMM_CRASHED);
	assert_int_equal(n_released, 1);
	close(fds[1]);
}

static void a_guest_that_ignores_its_end_is_killed(void **state)
{
	uint64_t begun = vmm_now_ms();
	char path[128];

	(void)state;
	script = "trap '' TERM; : >ready; while :; do sleep 100; done";
	start();
	snprintf(path, sizeof(path), "%s/ready", vmm_guest_dir(guest));
	while (access(path, F_OK) < 0)
		turn();
	assert_int_equal(vmm_destroy(guest, true, on_done, NULL), 0);
	AWAIT(n_done == 1);
	assert_int_equal(done_err, 0);
	assert_int_equal(n_gone, 1);
	assert_int_equal(gone_why, VMM_BY_USER);
	assert_true(vmm_now_ms() - begun >= VMM_QUIT_MS);
}

static void a_failed_start_leaves_nothing(void **state)
{
	char path[128];

	(void)state;
	dies_in_start = true;
	assert_int_equal(start_uuid(1, 0), -EIO);
	snprintf(path, sizeof(path), "%s/deep/run/00000000-0000-0000-0000-000000000001", dir);
	assert_int_equal(access(path, F_OK), -1);
	dies_in_start = false;
	start(); /* and it can be tried again */
}

/* One file of a directory that a former daemon, or nobody, left. */
static void plant(const char *uuid, const char *file, const char *text)
{
	char path[192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/deep/run/%s", dir, uuid);
	mkdir(path, 0700);
	if (!file)
		return;
	snprintf(path, sizeof(path), "%s/deep/run/%s/%s", dir, uuid, file);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool is_there(const char *uuid)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/deep/run/%s", dir, uuid);
	return access(path, F_OK) == 0;
}

#define GOOD "backend fake\nname x\nmemory_kib 1\nvcpus 1\nincoming 0\nepoch 3\nmigration \n"

static void what_is_not_ours_is_left_alone(void **state)
{
	static const struct {
		const char *file, *text;
		bool stays;
	} rows[] = {
		{ NULL, NULL, false },	       /* killed before anything was written */
		{ ".guest.new", "ba", false }, /* while it was */
		{ "guest", "backend other\nname x\n", true },
		{ "guest", "", false }, /* nor is any of these a process's */
		{ "guest", "name\n", false },
		{ "guest", "backend fake\nepoch 3\n", false },
		{ "guest", "backend fake\nname x\nepoch -3\n", false },
		{ "guest", "backend fake\nname x\nepoch 99999999999999999999\n", false },
		{ "guest", "backend fake\nname x\nvcpus 100000\n", false },
		{ "guest", "backend fake\nname x\nunknown 1\n", false },
		{ "process", "1 x\n", true }, /* whose that is cannot be told */
		{ "process", "", false },
		{ "guest", GOOD, false }, /* no process: it is gone, and freed by on_changed */
	};
	char uuid[DEF_UUID_TEXT];

	(void)state;
	front_close();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0000-0000000000%02zu", i);
		plant(uuid, rows[i].file, rows[i].text);
	}
	plant("no-uuid", "guest", GOOD);
	front_open();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(uuid, sizeof(uuid), "00000000-0000-0000-0000-0000000000%02zu", i);
		if (is_there(uuid) != rows[i].stays)
			fail_msg("row %zu", i);
	}
	assert_true(is_there("no-uuid"));
	assert_int_equal(n_found, 1);
	assert_int_equal(n_gone, 1);
	/* whose directory is another's is not started over it */
	assert_int_equal(start_uuid(2, 0), -EEXIST);
}

/* A later version's, or one that was damaged: its process goes on. */
static void a_guest_that_is_not_understood_is_left_alone(void **state)
{
	char path[160];
	int pid;
	FILE *f;

	(void)state;
	start();
	pid = vmm_guest_pid(guest);
	snprintf(path, sizeof(path), "%s/guest", vmm_guest_dir(guest));
	front_close();
	f = fopen(path, "a");
	fputs("later 1\n", f);
	fclose(f);
	front_open();
	assert_int_equal(n_found, 0);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(start_uuid(1, 0), -EEXIST);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A pid that somebody else has by now: neither found nor killed. */
static void a_pid_used_again_is_somebody_else(void **state)
{
	char text[128], boot[64] = "";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
	pid_t other = fork();
	int status;

	(void)state;
	if (other == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(fscanf(f, "%63s", boot), 1);
	fclose(f);
	front_close();
	plant("00000000-0000-0000-0000-000000000001", "guest", GOOD);
	snprintf(text, sizeof(text), "%d 12345 %s\n", (int)other, boot);
	plant("00000000-0000-0000-0000-000000000001", "process", text);
	front_open();
	assert_int_equal(n_gone, 1);
	assert_int_equal(kill(other, 0), 0);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, &status, 0), other);
}

static unsigned int n_ran;
static struct vmm_timer one, two;

static void on_two(struct vmm_timer *t)
{
	(void)t;
	n_ran += 10;
}

static void on_one(struct vmm_timer *t)
{
	n_ran++;
	vmm_timer_stop(&two); /* due in this very round */
	if (n_ran == 1)
		vmm_timer_set(v, t, 0, on_one);
}

static void timers_run_once_and_wake_the_descriptor(void **state)
{
	struct pollfd p = { .fd = vmm_fd(v), .events = POLLIN };

	(void)state;
	n_ran = 0;
	vmm_timer_init(&one);
	vmm_timer_init(&two);
	assert_int_equal(vmm_timeout_ms(v), -1);
	vmm_timer_set(v, &two, 100000, on_two);
	assert_true(vmm_timeout_ms(v) > 90000);
	vmm_timer_set(v, &one, 0, on_one);
	vmm_timer_set(v, &two, 0, on_two);
	assert_int_equal(poll(&p, 1, 0), 1);
	turn();
	assert_int_equal(n_ran, 1);
	turn(); /* set again while it ran */
	assert_int_equal(n_ran, 2);
	turn();
	assert_int_equal(n_ran, 2);
	assert_int_equal(vmm_timeout_ms(v), -1);
}

#define FRONT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRONT_TEST(a_process_has_nothing_of_the_daemons),
		FRONT_TEST(what_is_known_of_a_guest_outlives_the_daemon),
		FRONT_TEST(calls_end_once_and_from_dispatch),
		FRONT_TEST(a_death_ends_what_is_under_way),
		FRONT_TEST(a_guest_that_ignores_its_end_is_killed),
		FRONT_TEST(a_failed_start_leaves_nothing),
		FRONT_TEST(what_is_not_ours_is_left_alone),
		FRONT_TEST(a_guest_that_is_not_understood_is_left_alone),
		FRONT_TEST(a_pid_used_again_is_somebody_else),
		FRONT_TEST(timers_run_once_and_wake_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
