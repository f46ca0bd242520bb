/* SPDX-License-Identifier: MIT */
/*
 * Locks between processes: one holder at a time, also beside one that locks as libxl does; who is
 * killed blocks nobody; who waits in vain is told for whom.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/client.h"
#include "config/userdata.h"

#define UUID "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
#define LOCK USERDATA_LOCK_RECORD
#define LOCK_FILE "userdata-l.7." UUID "." LOCK

#define PROCESSES 8
#define TURNS 100

struct world {
	char dir[64], lock[256], counter[128];
};

static int world_new(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	strcpy(w->dir, "/tmp/drover-lock-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->lock, sizeof(w->lock), "%s/" LOCK_FILE, w->dir);
	snprintf(w->counter, sizeof(w->counter), "%s/counter", w->dir);
	*state = w;
	return 0;
}

static int world_free(void **state)
{
	struct world *w = *state;

	unlink(w->lock);
	unlink(w->counter);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

/* A session of one's own, as each process has. */
static struct userdata *enter(const struct world *w, uint32_t timeout_ms)
{
	struct userdata *u = NULL;

	if (userdata_open(w->dir, timeout_ms, NULL, &u))
		abort();
	return u;
}

/* Reads the counter, lets others run, and writes one more: a lost update without a lock. */
static void count(const struct world *w)
{
	char text[16] = "0";
	int fd = open(w->counter, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || pread(fd, text, sizeof(text) - 1, 0) < 0)
		abort();
	sched_yield();
	snprintf(text, sizeof(text), "%d", atoi(text) + 1);
	if (pwrite(fd, text, strlen(text), 0) < 0)
		abort();
	close(fd);
}

static int counted(const struct world *w)
{
	char text[16] = "0";
	int fd = open(w->counter, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return atoi(text);
}

static void child_ours(const struct world *w)
{
	struct userdata *u = enter(w, 60000);

	for (int i = 0; i < TURNS; i++) {
		struct userdata_lock l = USERDATA_LOCK_INIT;

		if (userdata_lock_take(u, 7, UUID, LOCK, NULL, &l))
			_exit(1);
		count(w);
		userdata_lock_release(&l);
	}
	userdata_close(u);
	_exit(0);
}

/* Locks by the other's rules: waits in flock, looks whether the file is still in place. */
static int other_take(const struct world *w)
{
	struct stat open_st, st;

	for (;;) {
		int fd = open(w->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

		if (fd < 0 || flock(fd, LOCK_EX) || fstat(fd, &open_st))
			_exit(1);
		if (!stat(w->lock, &st) && st.st_ino == open_st.st_ino &&
		    st.st_dev == open_st.st_dev)
			return fd;
		close(fd);
	}
}

static void child_other(const struct world *w)
{
	for (int i = 0; i < TURNS; i++) {
		int fd = other_take(w);

		count(w);
		unlink(w->lock);
		close(fd);
	}
	_exit(0);
}

static void contend(const struct world *w, int others)
{
	pid_t pids[PROCESSES];
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (!pids[i] && i < others)
			child_other(w);
		if (!pids[i])
			child_ours(w);
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(counted(w), PROCESSES * TURNS);
	assert_int_equal(access(w->lock, F_OK), -1);
}

static void eight_processes_lose_no_update(void **state)
{
	contend(*state, 0);
}

static void beside_others_no_update_is_lost(void **state)
{
	contend(*state, PROCESSES / 2);
}

/* A child that holds the lock until it is killed; returns once it has it. */
static pid_t hold(const struct world *w, const char *name)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		struct userdata_lock l = USERDATA_LOCK_INIT;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (name)
			prctl(PR_SET_NAME, name);
		if (userdata_lock_take(enter(w, 1000), 7, UUID, LOCK, NULL, &l) ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void a_killed_holder_blocks_nobody(void **state)
{
	struct world *w = *state;
	struct userdata_lock l = USERDATA_LOCK_INIT;
	struct userdata *u = enter(w, 1000);

	end(hold(w, NULL));
	assert_int_equal(access(w->lock, F_OK), 0);
	assert_int_equal(userdata_lock_take(u, 7, UUID, LOCK, NULL, &l), 0);
	userdata_lock_release(&l);
	assert_int_equal(access(w->lock, F_OK), -1);
	userdata_close(u);
}

/* A child that takes the lock, and tells how long it waited. */
static void one_who_waits(const struct world *w, int ready, int answer)
{
	struct userdata_lock l = USERDATA_LOCK_INIT;
	struct userdata *u = enter(w, 60000);
	uint64_t begin_ms = conf_now_ms();
	uint32_t waited_ms;

	if (write(ready, "x", 1) != 1 || userdata_lock_take(u, 7, UUID, LOCK, NULL, &l))
		_exit(1);
	waited_ms = (uint32_t)(conf_now_ms() - begin_ms);
	if (write(answer, &waited_ms, sizeof(waited_ms)) != sizeof(waited_ms))
		_exit(1);
	userdata_lock_release(&l);
	_exit(0);
}

/* Until a process waits in poll, which is where a wait for a lock is. */
static void await_wait(pid_t pid)
{
	char path[64], text[64];

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	for (;;) {
		FILE *f = fopen(path, "re");
		long nr = -1;

		assert_non_null(f);
		if (fgets(text, sizeof(text), f) && sscanf(text, "%ld", &nr) == 1 &&
		    (nr == SYS_ppoll
#ifdef SYS_poll
		     || nr == SYS_poll
#endif
		     )) {
			fclose(f);
			return;
		}
		fclose(f);
		sched_yield();
	}
}

static void who_waits_goes_on_when_the_holder_is_killed(void **state)
{
	struct world *w = *state;
	int ready[2], answer[2], status;
	pid_t holder = hold(w, NULL), waiter;
	uint32_t waited_ms = 0;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
	waiter = fork();
	if (!waiter)
		one_who_waits(w, ready[1], answer[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	await_wait(waiter);
	end(holder);
	assert_int_equal(read(answer[0], &waited_ms, sizeof(waited_ms)), sizeof(waited_ms));
	assert_int_equal(waitpid(waiter, &status, 0), waiter);
	assert_int_equal(status, 0);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(answer[i]);
	}
}

static void who_waits_in_vain_is_told_for_whom(void **state)
{
	struct world *w = *state;
	struct userdata_lock l = USERDATA_LOCK_INIT;
	struct userdata *u = enter(w, 50);
	pid_t holder = hold(w, NULL);
	struct conf_err err = { "" };
	char expect[64];
	uint64_t begin_ms = conf_now_ms();

	assert_int_equal(userdata_lock_take(u, 7, UUID, LOCK, &err, &l), -EBUSY);
	assert_true(conf_now_ms() - begin_ms >= 50);
	snprintf(expect, sizeof(expect), LOCK ": held by process %d (", (int)holder);
	if (!strstr(err.text, expect) || !strstr(err.text, "lock"))
		fail_msg("%s", err.text);
	assert_int_equal(l.fd, -1);
	end(holder);
	userdata_close(u);
}

/*
 * The lock of libxl's device changes is waited for by a child of its own, which ends: the lock
 * goes on, and /proc/locks names one who is no more.
 */
static void a_holder_whose_child_took_the_lock_is_found(void **state)
{
	struct world *w = *state;
	struct userdata_lock l = USERDATA_LOCK_INIT;
	struct userdata *u = enter(w, 50);
	struct conf_err err = { "" };
	int fd = open(w->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666), status;
	char expect[64];
	pid_t child = fork();

	if (!child)
		_exit(flock(fd, LOCK_EX));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(userdata_lock_take(u, 7, UUID, LOCK, &err, &l), -EBUSY);
	snprintf(expect, sizeof(expect), LOCK ": held by process %d (", (int)getpid());
	if (!strstr(err.text, expect))
		fail_msg("%s", err.text);
	close(fd);
	userdata_close(u);
}

struct seen {
	int n, pid;
	char name[64], what[256];
};

static int see(void *data, const struct drover_lock_info *info)
{
	struct seen *s = data;

	assert_int_equal(info->domid, 7);
	assert_string_equal(info->uuid, UUID);
	s->n++;
	s->pid = info->pid;
	snprintf(s->name, sizeof(s->name), "%s", info->name);
	snprintf(s->what, sizeof(s->what), "%s", info->what);
	return 0;
}

static void locks_are_told_with_their_holders_and_not_taken(void **state)
{
	struct world *w = *state;
	struct userdata *u = enter(w, 50);
	struct seen s = { 0 };
	pid_t holder;

	assert_int_equal(userdata_lock_each(u, see, &s), 0);
	assert_int_equal(s.n, 0);
	holder = hold(w, NULL);
	assert_int_equal(userdata_lock_each(u, see, &s), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.pid, holder);
	assert_string_equal(s.name, LOCK);
	assert_true(s.what[0]);
	end(holder);
	s = (struct seen){ 0 };
	assert_int_equal(userdata_lock_each(u, see, &s), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.pid, 0);
	assert_string_equal(s.what, "");
	assert_int_equal(access(w->lock, F_OK), 0);
	userdata_close(u);
}

/* By whatever means it went: what is there now may be another's. */
static void a_lock_file_of_another_is_not_unlinked(void **state)
{
	struct world *w = *state;
	struct userdata_lock l = USERDATA_LOCK_INIT;
	struct userdata *u = enter(w, 50);

	assert_int_equal(userdata_lock_take(u, 7, UUID, LOCK, NULL, &l), 0);
	assert_int_equal(unlink(w->lock), 0);
	close(open(w->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	userdata_lock_release(&l);
	assert_int_equal(access(w->lock, F_OK), 0);
	userdata_lock_release(&l);
	userdata_close(u);
}

static void what_cannot_be_locked_is_told(void **state)
{
	struct world *w = *state;
	struct userdata_lock l = USERDATA_LOCK_INIT;
	struct userdata *u = enter(w, 50);
	struct conf_err err = { "" };

	assert_int_equal(mkdir(w->lock, 0700), 0);
	assert_int_equal(userdata_lock_take(u, 7, UUID, LOCK, &err, &l), -EIO);
	assert_non_null(strstr(err.text, w->lock));
	assert_int_equal(rmdir(w->lock), 0);
	assert_int_equal(userdata_lock_take(u, 7, "?", LOCK, &err, &l), -EINVAL);
	userdata_close(u);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(eight_processes_lose_no_update),
		TEST(beside_others_no_update_is_lost),
		TEST(a_killed_holder_blocks_nobody),
		TEST(who_waits_goes_on_when_the_holder_is_killed),
		TEST(who_waits_in_vain_is_told_for_whom),
		TEST(a_holder_whose_child_took_the_lock_is_found),
		TEST(locks_are_told_with_their_holders_and_not_taken),
		TEST(a_lock_file_of_another_is_not_unlinked),
		TEST(what_cannot_be_locked_is_told),
	};

	return cmocka_run_group_tests_name("config/lock", tests, NULL, NULL);
}
