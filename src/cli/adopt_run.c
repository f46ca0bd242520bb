/* SPDX-License-Identifier: MIT */
/*
 * A program that is asked something. Invariant: it is dead and reaped when the call returns, and
 * held none of our descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/adopt.h"

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* The child: only what is async-signal-safe. */
static void become(char *const *argv, char *const *env, int out)
{
	int null = open("/dev/null", O_RDONLY);

	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execve(argv[0], argv, env);
	dprintf(STDERR_FILENO, "%s\n", strerror(errno));
	_exit(127);
}

/* Until the other end is closed. False: the time is over. */
static bool listen_to(int fd, char said[ADOPT_OUTPUT_MAX])
{
	int64_t end = now_ms() + ADOPT_RUN_MS;
	char more[4096];
	size_t len = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = end - now_ms();
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return false;
		n = read(fd, more, sizeof(more));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		if ((size_t)n > ADOPT_OUTPUT_MAX - 1 - len)
			n = (ssize_t)(ADOPT_OUTPUT_MAX - 1 - len);
		memcpy(said + len, more, (size_t)n);
		len += (size_t)n;
		said[len] = '\0';
	}
}

int adopt_run(char *const *argv, char *const *env, char said[ADOPT_OUTPUT_MAX])
{
	int fd[2], status = 0;
	bool in_time;
	pid_t pid;

	said[0] = '\0';
	if (pipe2(fd, O_CLOEXEC)) {
		snprintf(said, ADOPT_OUTPUT_MAX, "%s", strerror(errno));
		return -1;
	}
	fflush(NULL);
	pid = fork();
	if (!pid)
		become(argv, env, fd[1]);
	close(fd[1]);
	in_time = pid > 0 && listen_to(fd[0], said);
	close(fd[0]);
	if (pid < 0) {
		snprintf(said, ADOPT_OUTPUT_MAX, "%s", strerror(errno));
		return -1;
	}
	if (!in_time)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (in_time && WIFEXITED(status))
		return WEXITSTATUS(status);
	snprintf(said, ADOPT_OUTPUT_MAX, "%s",
		 in_time ? "it was killed by a signal" : "it does not come to an end");
	return -1;
}
