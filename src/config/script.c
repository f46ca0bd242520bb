/* SPDX-License-Identifier: MIT */
/*
 * Runs one script. Invariant: when script_run returns, the script has ended and is reaped; of one
 * that had to be killed nothing is left of its whole process group. What a script that ended by
 * itself leaves running is its own affair.
 */
#include "config/script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/client.h"

/* How often a script's end is looked for where the kernel tells no event of it. */
#define SCRIPT_LOOK_MS 20

extern char **environ;

int script_env_add(struct script_env *env, struct conf_err *err, const char *fmt, ...)
{
	va_list ap;
	int r;

	if (env->n == SCRIPT_VARS_MAX)
		return conf_no_memory(err);
	va_start(ap, fmt);
	r = vasprintf(&env->v[env->n], fmt, ap);
	va_end(ap);
	if (r < 0)
		return conf_no_memory(err);
	env->n++;
	return 0;
}

void script_env_fini(struct script_env *env)
{
	for (size_t i = 0; i < env->n; i++)
		free(env->v[i]);
	env->n = 0;
}

int script_check(const char *path, struct conf_err *err)
{
	struct stat st;

	if (path[0] != '/')
		return conf_fail(err, -EACCES, "script %s: not an absolute path", path);
	if (stat(path, &st))
		return conf_fail(err, errno == EACCES ? -EACCES : -ENOENT, "script %s: %s", path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return conf_fail(err, -EACCES, "script %s: not a program that we may run", path);
	return 0;
}

/* ---- what it says ---- */

/* The last line so far that was not empty: of endless output no more is kept. */
struct last_line {
	char text[SCRIPT_LINE_MAX];
	size_t len;
	bool ended; /* the next octet begins another */
};

static void last_line_take(struct last_line *l, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			l->ended = l->len > 0;
			continue;
		}
		if (l->ended) {
			l->len = 0;
			l->ended = false;
		}
		if (l->len + 1 < sizeof(l->text))
			l->text[l->len++] = data[i];
	}
	l->text[l->len] = '\0';
}

/* Reads what there is. False: there will be no more. */
static bool last_line_read(struct last_line *l, int fd)
{
	char data[4096];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0) {
		last_line_take(l, data, (size_t)n);
		if ((size_t)n < sizeof(data))
			return true;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* ---- its start ---- */

/* Our environment with the script's own variables in front: of two, the first counts. */
static char **make_environ(const struct script_env *env)
{
	size_t n = 0, at = 0;
	char **all;

	while (environ && environ[n])
		n++;
	all = calloc(n + env->n + 1, sizeof(*all));
	if (!all)
		return NULL;
	for (size_t i = 0; i < env->n; i++)
		all[at++] = env->v[i];
	for (size_t i = 0; i < n; i++) {
		bool ours = false;

		for (size_t j = 0; j < env->n && !ours; j++)
			ours = !strncmp(environ[i], env->v[j],
					(size_t)(strchr(env->v[j], '=') - env->v[j]) + 1);
		if (!ours)
			all[at++] = environ[i];
	}
	return all;
}

static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						   POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawnattr_setpgroup(attr, 0);
	if (!r)
		r = posix_spawnattr_setsigmask(attr, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(attr, &all);
	return r;
}

/* The rest of script_start: returns a positive errno. */
static int spawn(const char *const *argv, char **all, int out, pid_t *ret)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int r;

	if (posix_spawn_file_actions_init(&files))
		return ENOMEM;
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&files);
		return ENOMEM;
	}
	r = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, out, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&files, out, 2);
	if (!r)
		r = set_attributes(&attr);
	if (!r)
		r = posix_spawn(ret, argv[0], &files, &attr, (char *const *)(uintptr_t)argv, all);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return r;
}

static int script_start(const char *const *argv, const struct script_env *env, struct conf_err *err,
			pid_t *ret_pid, int *ret_fd)
{
	char **all = make_environ(env);
	int fds[2], r;

	if (!all)
		return conf_no_memory(err);
	if (pipe2(fds, O_CLOEXEC)) {
		free(all);
		return conf_fail(err, -EAGAIN, "script %s: %s", argv[0], strerror(errno));
	}
	r = spawn(argv, all, fds[1], ret_pid);
	close(fds[1]);
	free(all);
	if (r) {
		close(fds[0]);
		return conf_fail(err, r == ENOENT || r == EACCES ? -r : -EAGAIN, "script %s: %s",
				 argv[0], strerror(r));
	}
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	*ret_fd = fds[0];
	return 0;
}

/* ---- its end ---- */

/*
 * Waits for the end of pid, reading what it says. The pipe's end is no sign: whoever the script
 * leaves behind may hold it. Where there are no process descriptors, we look now and then.
 */
static int script_wait(pid_t pid, int out, uint64_t deadline, struct last_line *said,
		       int *ret_status)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), r = -ETIMEDOUT;
	bool open = true;

	for (;;) {
		struct pollfd fds[2] = { { .fd = open ? out : -1, .events = POLLIN },
					 { .fd = pidfd, .events = POLLIN } };
		pid_t got = waitpid(pid, ret_status, WNOHANG);
		uint64_t now = conf_now_ms();
		int wait_ms;

		if (got == pid || (got < 0 && errno != EINTR)) {
			r = got == pid ? 0 : -ECHILD;
			break;
		}
		if (now >= deadline)
			break;
		wait_ms = deadline - now > INT32_MAX ? INT32_MAX : (int)(deadline - now);
		if (pidfd < 0 && wait_ms > SCRIPT_LOOK_MS)
			wait_ms = SCRIPT_LOOK_MS;
		poll(fds, 2, wait_ms);
		if (fds[0].revents)
			open = last_line_read(said, out);
	}
	if (pidfd >= 0)
		close(pidfd);
	return r;
}

static int script_verdict(const char *const *argv, int status, const struct last_line *said,
			  struct conf_err *err)
{
	const char *colon = said->len ? ": " : "", *what = argv[1] ? argv[1] : "";

	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFEXITED(status))
		return conf_fail(err, -EREMOTEIO, "script %s %s: exit status %d%s%s", argv[0], what,
				 WEXITSTATUS(status), colon, said->text);
	return conf_fail(err, -EREMOTEIO, "script %s %s: killed by signal %d%s%s", argv[0], what,
			 WTERMSIG(status), colon, said->text);
}

int script_run(const char *const *argv, const struct script_env *env, uint32_t timeout_ms,
	       struct conf_err *err)
{
	struct last_line said = { .len = 0 };
	int out = -1, status = 0, r;
	pid_t pid;

	r = script_start(argv, env, err, &pid, &out);
	if (r)
		return r;
	r = script_wait(pid, out, conf_now_ms() + timeout_ms, &said, &status);
	if (r == -ETIMEDOUT) {
		kill(-pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	last_line_read(&said, out);
	close(out);
	if (r == -ETIMEDOUT)
		return conf_fail(err, r, "script %s %s: no end after %u ms, killed%s%s", argv[0],
				 argv[1] ? argv[1] : "", timeout_ms, said.len ? ": " : "",
				 said.text);
	if (r)
		return conf_fail(err, r, "script %s: its end was lost: SIGCHLD is ignored",
				 argv[0]);
	return script_verdict(argv, status, &said, err);
}
