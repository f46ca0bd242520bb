/* SPDX-License-Identifier: MIT */
/*
 * The front alone, with a backend whose guests are shells: directories, processes, calls and their
 * ends, and what is never touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/backend.h"

#define AWAIT_MS 10000u

static char dir[64];
static struct vmm *v;
static struct vmm_guest *guest;		 /* the last that was started or found */
static struct vmm_call *open_call;	 /* that the backend was last asked for */
static const char *script = "sleep 100"; /* what a guest is */
static unsigned int n_found, n_changed, n_gone, n_sent, n_received, n_done, n_released;
static int done_err, sent_err;
static char done_why[VMM_ERROR_MAX];
static enum vmm_reason gone_why;
static bool dies_in_start;

/* ---- the backend ---- */

static const char *fake_version(const struct vmm *vmm, unsigned long *ret_number)
{
	(void)vmm;
	*ret_number = 1;
	return "fake";
}

static int fake_check(struct vmm *vmm, const struct guest_def *def, char *text, size_t room)
{
	(void)vmm;
	(void)def;
	(void)text;
	(void)room;
	return 0;
}

static int fake_start(struct vmm_guest *g, unsigned int flags, struct vmm_call *call)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), r;

	(void)flags;
	if (dies_in_start) {
		close(fd);
		return -EIO;
	}
	r = vmm_spawn(g, "/bin/sh", argv, &fd, 1);
	close(fd);
	open_call = call;
	return r;
}

static int fake_find(struct vmm_guest *g)
{
	g->state = VMM_RUNNING;
	return 0;
}

static enum vmm_reason fake_died(struct vmm_guest *g, int status)
{
	(void)g;
	return status == 0 ? VMM_SHUTDOWN : VMM_CRASHED;
}

static void fake_release(struct vmm_guest *g)
{
	(void)g;
	n_released++;
}

static int fake_ask(struct vmm_guest *g, struct vmm_call *call)
{
	(void)g;
	open_call = call;
	return 0;
}

static int fake_refuse(struct vmm_guest *g, struct vmm_call *call)
{
	(void)g;
	(void)call;
	return -EIO;
}

static void fake_quit(struct vmm_guest *g)
{
	kill(g->pid, SIGTERM);
}

static int fake_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
		     struct vmm_call *call)
{
	(void)g;
	(void)opt;
	close(fd);
	vmm_call_end(call, 0, NULL);
	return 0;
}

static int fake_cancel(struct vmm_guest *g)
{
	(void)g;
	return 0;
}

static int fake_tune(struct vmm_guest *g, const struct vmm_send_options *opt)
{
	(void)g;
	(void)opt;
	return 0;
}

static int fake_receive(struct vmm_guest *g, int fd)
{
	(void)g;
	close(fd);
	return 0;
}

static const struct vmm_backend fake = {
	.name = "fake",
	.version = fake_version,
	.check = fake_check,
	.start = fake_start,
	.find = fake_find,
	.died = fake_died,
	.release = fake_release,
	.pause = fake_ask,
	.resume = fake_ask,
	.shutdown = fake_refuse,
	.quit = fake_quit,
	.send = fake_send,
	.send_cancel = fake_cancel,
	.send_tune = fake_tune,
	.receive = fake_receive,
};

/* ---- what the daemon is told ---- */

static void on_found(void *data, struct vmm_guest *g)
{
	(void)data;
	guest = g;
	n_found++;
}

static void on_changed(void *data, struct vmm_guest *g, enum vmm_state state,
		       enum vmm_reason reason)
{
	(void)data;
	n_changed++;
	if (state != VMM_GONE)
		return;
	n_gone++;
	gone_why = reason;
	guest = NULL;
	vmm_guest_free(g);
}

static void on_progress(void *data, struct vmm_guest *g, const struct vmm_progress *p)
{
	(void)data;
	(void)g;
	(void)p;
}

static void on_stopped(void *data, struct vmm_guest *g)
{
	(void)data;
	(void)g;
}

static void on_sent(void *data, struct vmm_guest *g, int err, const char *why)
{
	(void)data;
	(void)why;
	sent_err = err;
	n_sent++;
	/* it is as good as gone: nothing can be asked of it any more */
	if (err == -ENOTCONN)
		assert_int_equal(vmm_resume(g, NULL, NULL), -ENOTCONN);
}

static void on_received(void *data, struct vmm_guest *g, int err, const char *why)
{
	(void)data;
	(void)g;
	(void)err;
	(void)why;
	n_received++;
}

static void on_iteration(void *data, struct vmm_guest *g, unsigned int n)
{
	(void)data;
	(void)g;
	(void)n;
}

static void on_done(void *data, int err, const char *why)
{
	(void)data;
	n_done++;
	done_err = err;
	snprintf(done_why, sizeof(done_why), "%s", why);
}

static void front_open(void)
{
	static const struct vmm_events events = { on_found, on_changed,	 on_progress, on_stopped,
						  on_sent,  on_received, on_iteration };
	char run[96], logs[96];
	const struct vmm_options opt = { .run_dir = run, .log_dir = logs, .host_name = "here" };

	snprintf(run, sizeof(run), "%s/deep/run", dir);
	snprintf(logs, sizeof(logs), "%s/log", dir);
	assert_int_equal(vmm_open_backend(&fake, &opt, &events, NULL, &v), 0);
}

static void front_close(void)
{
	vmm_free(v);
	v = NULL;
	guest = NULL;
}

static void turn(void)
{
	struct pollfd p = { .fd = vmm_fd(v), .events = POLLIN };
	int due = vmm_timeout_ms(v);

	poll(&p, 1, due >= 0 && due < 50 ? due : 50);
	assert_int_equal(vmm_dispatch(v), 0);
}

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		uint64_t until_ = vmm_now_ms() + AWAIT_MS;                                         \
		while (!(condition)) {                                                             \
			if (vmm_now_ms() > until_)                                                 \
				fail_msg("awaited in vain: %s", #condition);                       \
			turn();                                                                    \
		}                                                                                  \
	} while (0)

static int start_uuid(uint8_t last, unsigned int flags)
{
	struct guest_def *def = def_new();
	int r;

	def->type = DEF_TEST;
	def->name = strdup("shell");
	def->memory_kib = 2048;
	def->uuid[DEF_UUID_SIZE - 1] = last;
	r = vmm_start(v, def, flags, 5, "the-migration", on_done, NULL, &guest);
	def_free(def);
	return r;
}

static void start(void)
{
	assert_int_equal(start_uuid(1, 0), 0);
	assert_int_equal(n_done, 0);
	vmm_guest_enter(guest, VMM_RUNNING, VMM_BOOTED);
	vmm_call_end(TAKE(open_call), 0, NULL);
	assert_int_equal(n_done, 0); /* from vmm_dispatch alone */
	AWAIT(n_done == 1);
	assert_int_equal(done_err, 0);
	n_done = 0;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/drover-front-XXXXXX");
	assert_non_null(mkdtemp(dir));
	n_found = n_changed = n_gone = n_sent = n_received = n_done = n_released = 0;
	script = "sleep 100";
	dies_in_start = false;
	front_open();
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	if (!v)
		front_open();
	if (guest) {
		n_gone = 0;
		assert_int_equal(vmm_destroy(guest, false, NULL, NULL), 0);
		AWAIT(n_gone == 1);
	}
	front_close();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

static char *file_of(const char *path)
{
	char *text = calloc(1, 65536);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) < 65535);
	fclose(f);
	return text;
}

/* ---- tests ---- */

static void a_process_has_nothing_of_the_daemons(void **state)
{
	char path[128], *text;
	int leak = dup(0); /* not close-on-exec */

	(void)state;
	assert_true(dup2(leak, 200) == 200);
	signal(SIGUSR1, SIG_IGN);
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
		{ "guest", "", true },
		{ "guest", "name\n", true },
		{ "guest", "backend fake\nepoch 3\n", true },
		{ "guest", "backend fake\nname x\nepoch -3\n", true },
		{ "guest", "backend fake\nname x\nepoch 99999999999999999999\n", true },
		{ "guest", "backend fake\nname x\nvcpus 100000\n", true },
		{ "guest", "backend fake\nname x\nunknown 1\n", true },
		{ "process", "1 1 x\n", true },
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
	/* whose directory is not understood is not started over it */
	assert_int_equal(start_uuid(3, 0), -EEXIST);
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
		FRONT_TEST(a_pid_used_again_is_somebody_else),
		FRONT_TEST(timers_run_once_and_wake_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
