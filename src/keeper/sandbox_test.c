/* SPDX-License-Identifier: MIT */
/*
 * What a process can still do in the sandbox, by trying, each time in a child of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "keeper/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED false
#endif

enum verdict {
	DONE,	 /* it could */
	REFUSED, /* EPERM or EACCES */
	KILLED,	 /* by SIGSYS */
	OTHER,
};

static char dir[] = "/tmp/drover-sandbox-XXXXXX";

static int open_below(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/file", dir);
	return open(path, O_RDWR);
}

static int open_shadow(void)
{
	return open("/etc/shadow", O_RDONLY);
}

static int open_above(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/../../etc/passwd", dir);
	return open(path, O_RDONLY);
}

static int make_file(void)
{
	return open("/tmp/drover-sandbox-made", O_WRONLY | O_CREAT, 0600);
}

static int run_program(void)
{
	return execl("/bin/true", "true", NULL);
}

static int trace_parent(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int connect_somewhere(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "/run/nobody" };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&sa, sizeof(sa));
}

static int make_process(void)
{
	return (int)syscall(SYS_fork);
}

static int kill_parent(void)
{
	return kill(getppid(), 0);
}

static int remove_file(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/file", dir);
	return unlink(path);
}

static int map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -1
		       : 0;
}

static int map_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -1
		       : 0;
}

static int gain_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static int become_root(void)
{
	return setuid(0);
}

static int talk(void)
{
	int fd[2];

	/* the pair is from before: see in_child */
	fd[0] = 100;
	fd[1] = 101;
	return send(fd[0], "x", 1, 0) == 1 && recv(fd[1], fd, 1, 0) == 1 ? 0 : -1;
}

static enum verdict in_child(int (*attempt)(void), const char *below)
{
	struct sandbox s = { .dir = below, .netns = -1 };
	int status, pair[2];
	pid_t pid = fork();

	if (!pid) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || dup2(pair[0], 100) < 0 ||
		    dup2(pair[1], 101) < 0)
			_exit(OTHER);
		if (sandbox_enter(&s) || sandbox_seal(&s))
			_exit(OTHER);
		errno = 0;
		if (attempt() >= 0)
			_exit(DONE);
		_exit(errno == EPERM || errno == EACCES ? REFUSED : OTHER);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : OTHER;
	return (enum verdict)WEXITSTATUS(status);
}

/* Serving is possible, and nothing that only an intruder wants. */
static void test_attempts(void **state)
{
	static const struct {
		const char *name;
		int (*attempt)(void);
		enum verdict expected;
	} cases[] = {
		{ "open a file below the directory", open_below, DONE },
		{ "send and receive", talk, DONE },
		{ "map memory", map_memory, DONE },
		{ "open /etc/shadow", open_shadow, REFUSED },
		{ "open by way of ..", open_above, REFUSED },
		{ "make a file", make_file, REFUSED },
		{ "remove a file", remove_file, REFUSED },
		{ "map code", map_code, REFUSED },
		{ "signal its parent", kill_parent, REFUSED },
		{ "undo no_new_privs", gain_privileges, REFUSED },
		{ "execute a program", run_program, KILLED },
		{ "trace its parent", trace_parent, KILLED },
		{ "connect", connect_somewhere, KILLED },
		{ "fork", make_process, KILLED },
		{ "become root", become_root, KILLED },
	};

	(void)state;
	if (IS_SANITIZED)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum verdict v = in_child(cases[i].attempt, dir);

		if (v != cases[i].expected)
			fail_msg("%s: %d, not %d", cases[i].name, (int)v, (int)cases[i].expected);
	}
}

/* On Xen nothing of the simulation can be opened. */
static void test_directory_is_the_simulations(void **state)
{
	(void)state;
	if (IS_SANITIZED)
		skip();
	assert_int_equal(in_child(open_below, NULL), REFUSED);
}

static int setup(void **state)
{
	char path[64];
	int fd;

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof(path), "%s/file", dir);
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_directory_is_the_simulations),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
