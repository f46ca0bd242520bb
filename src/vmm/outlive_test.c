/* SPDX-License-Identifier: MIT */
/*
 * The front with a backend whose guests are more than their processes: what such a process leaves
 * when it dies is another's, and the guest ends when the backend says so. A guest here is a file,
 * "alive", in its directory; whatever removes that file ends it.
 */
#include "vmm/shell_test.h"

static unsigned int n_again, n_quit_asked;
static struct vmm_backend outliving;

static bool is_alive(struct vmm_guest *g)
{
	return faccessat(g->dir_fd, "alive", F_OK, 0) == 0;
}

static int another(struct vmm_guest *g)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), r;

	n_again++;
	r = vmm_spawn(g, "/bin/sh", argv, &fd, 1);
	close(fd);
	return r;
}

static int revive(struct vmm_guest *g)
{
	return is_alive(g) ? another(g) : -ENOENT;
}

static bool outlives(struct vmm_guest *g, int status)
{
	(void)status;
	return is_alive(g) && another(g) == 0;
}

/* It needs its time, as a domain that is destroyed does. */
static void quit(struct vmm_guest *g)
{
	n_quit_asked++;
	assert_int_equal(unlinkat(g->dir_fd, "alive", 0), 0);
}

static void outliving_open(void)
{
	static const struct vmm_events events = { on_found, on_changed,	 on_progress, on_stopped,
						  on_sent,  on_received, on_iteration };
	char run[96], logs[96];
	const struct vmm_options opt = { .run_dir = run, .log_dir = logs, .host_name = "here" };

	snprintf(run, sizeof(run), "%s/deep/run", dir);
	snprintf(logs, sizeof(logs), "%s/log", dir);
	outliving = fake;
	outliving.outlives = outlives;
	outliving.revive = revive;
	outliving.quit = quit;
	outliving.quit_ms = 50;
	assert_int_equal(vmm_open_backend(&outliving, &opt, &events, NULL, &v), 0);
}

static void lives(void)
{
	int fd;

	start();
	fd = openat(guest->dir_fd, "alive", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static int outliving_setup(void **state)
{
	int r = setup(state);

	front_close();
	n_again = n_quit_asked = 0;
	outliving_open();
	return r;
}

static int outliving_teardown(void **state)
{
	if (!v)
		outliving_open();
	return teardown(state);
}

static void a_guest_goes_on_when_its_process_dies(void **state)
{
	char path[160], *text;
	int pid;

	(void)state;
	lives();
	for (unsigned int i = 1; i <= 3; i++) {
		pid = vmm_guest_pid(guest);
		assert_int_equal(kill(pid, SIGKILL), 0);
		AWAIT(n_again == i);
		assert_int_equal(n_gone, 0);
		assert_int_not_equal(vmm_guest_pid(guest), pid);
		assert_int_equal(vmm_guest_state(guest), VMM_RUNNING);
	}
	assert_int_equal(n_released, 0);
	/* the directory names the last one */
	pid = vmm_guest_pid(guest);
	snprintf(path, sizeof(path), "%s/process", vmm_guest_dir(guest));
	text = file_of(path);
	assert_int_equal(atoi(text), pid);
	free(text);
	front_close();
	outliving_open();
	assert_int_equal(vmm_guest_pid(guest), pid);
	assert_int_equal(n_again, 3);
}

static void a_guest_whose_process_died_unseen_is_found_with_another(void **state)
{
	int pid, status;

	(void)state;
	lives();
	pid = vmm_guest_pid(guest);
	front_close();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	outliving_open();
	assert_int_equal(n_found, 1);
	assert_int_equal(n_gone, 0);
	assert_int_equal(n_again, 1);
	assert_int_equal(vmm_guest_state(guest), VMM_RUNNING);
}

static void a_guest_that_ended_with_its_process_is_gone(void **state)
{
	int pid, status;

	(void)state;
	lives();
	pid = vmm_guest_pid(guest);
	unlinkat(guest->dir_fd, "alive", 0);
	front_close();
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	outliving_open();
	assert_int_equal(n_found, 1);
	assert_int_equal(n_gone, 1);
	assert_int_equal(n_again, 0);
}

/* Killing the process would end nothing: it is asked, however much haste there is. */
static void destroying_asks_the_process_and_kills_it_later(void **state)
{
	(void)state;
	lives();
	assert_int_equal(vmm_destroy(guest, false, on_done, NULL), 0);
	assert_int_equal(n_quit_asked, 1);
	assert_int_equal(n_gone, 0);
	AWAIT(n_gone == 1); /* the shell heard nothing */
	AWAIT(n_done == 1);
	assert_int_equal(done_err, 0);
	assert_int_equal(gone_why, VMM_BY_USER);
	assert_int_equal(n_again, 0);
}

#define OUTLIVE_TEST(f) cmocka_unit_test_setup_teardown(f, outliving_setup, outliving_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OUTLIVE_TEST(a_guest_goes_on_when_its_process_dies),
		OUTLIVE_TEST(a_guest_whose_process_died_unseen_is_found_with_another),
		OUTLIVE_TEST(a_guest_that_ended_with_its_process_is_gone),
		OUTLIVE_TEST(destroying_asks_the_process_and_kills_it_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
