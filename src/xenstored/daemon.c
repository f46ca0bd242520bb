/* SPDX-License-Identifier: MIT */
/*
 * Daemon chores. Invariant: the socket's path is replaced only after nobody answered there, and
 * a parent that reported success has a serving child.
 */
#include "xenstored/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/log.h"

#define LISTEN_BACKLOG 1024

static int ready_fd = -1; /* tells the parent that forked us */
static int pid_fd = -1;	  /* the pid file's lock */

const char *daemon_rundir(void)
{
	const char *dir = getenv("XENSTORED_RUNDIR");

	return dir && *dir ? dir : "/run/xenstored";
}

static int socket_path(struct sockaddr_un *ret)
{
	const char *path = getenv("XENSTORED_PATH");
	int n;

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (path && *path)
		n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
	else
		n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/socket", daemon_rundir());
	if (n < (int)sizeof(ret->sun_path))
		return 0;
	log_error("socket path longer than %zu octets: %s...", sizeof(ret->sun_path) - 1,
		  ret->sun_path);
	return -ENAMETOOLONG;
}

static int make_dir(const char *dir)
{
	if (!mkdir(dir, 0755) || errno == EEXIST)
		return 0;
	log_error("cannot make %s: %s", dir, strerror(errno));
	return -errno;
}

/* Whether somebody answers at the path. */
static bool is_served(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool served;

	if (fd < 0)
		return false;
	served = !connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) || errno == EAGAIN;
	close(fd);
	return served;
}

static int listen_at(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	mode_t mask;

	if (fd < 0)
		return -errno;
	unlink(sa->sun_path);
	mask = umask(0177); /* no instant at which others may connect */
	err = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) ? errno : 0;
	umask(mask);
	if (!err && listen(fd, LISTEN_BACKLOG))
		err = errno;
	if (!err)
		return fd;
	close(fd);
	return -err;
}

int daemon_listen(int *ret_fd)
{
	struct sockaddr_un sa;
	int r;

	r = socket_path(&sa);
	if (!r)
		r = make_dir(daemon_rundir());
	if (r)
		return r;
	if (is_served(&sa)) {
		log_error("a xenstored answers at %s already", sa.sun_path);
		return -EADDRINUSE;
	}
	r = listen_at(&sa);
	if (r < 0) {
		log_error("cannot listen at %s: %s", sa.sun_path, strerror(-r));
		return r;
	}
	*ret_fd = r;
	return 0;
}

void daemon_unlisten(void)
{
	struct sockaddr_un sa;

	if (!socket_path(&sa))
		unlink(sa.sun_path);
}

int daemon_write_pid(const char *path)
{
	char str[16];
	int err, n;

	pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (pid_fd < 0) {
		err = errno;
		log_error("pid file %s: %s", path, strerror(err));
		return -err;
	}
	if (flock(pid_fd, LOCK_EX | LOCK_NB)) {
		log_error("pid file %s: held by a running daemon", path);
		return -EEXIST;
	}
	n = snprintf(str, sizeof(str), "%d\n", (int)getpid());
	if (!ftruncate(pid_fd, 0) && pwrite(pid_fd, str, (size_t)n, 0) == n)
		return 0;
	err = errno;
	log_error("pid file %s: %s", path, strerror(err));
	return -err;
}

int daemon_pid_fd(void)
{
	return pid_fd;
}

/* The parent: leaves with the child's verdict. */
static void wait_for_child(pid_t pid, int fd)
{
	char byte;
	int status;

	if (read(fd, &byte, 1) == 1)
		_exit(EXIT_SUCCESS);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(EXIT_FAILURE);
}

int daemon_fork(void)
{
	int fd[2], null;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(fd[1]);
		wait_for_child(pid, fd[0]);
	}
	close(fd[0]);
	ready_fd = fd[1];
	setsid();
	if (chdir("/"))
		return -errno;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	dup2(null, STDIN_FILENO);
	close(null);
	return 0;
}

static void silence(void)
{
	int null;

	fflush(NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	close(null);
}

void daemon_ready(void)
{
	if (ready_fd >= 0) {
		/* the terminal is kept until here, for what goes wrong at the start */
		silence();
		if (write(ready_fd, "", 1) != 1)
			log_warning("the starting process is gone");
		close(ready_fd);
		ready_fd = -1;
	}
#ifdef HAVE_SYSTEMD
	sd_notify(0, "READY=1");
#endif
}

void daemon_forget(void)
{
	if (ready_fd >= 0) {
		close(ready_fd);
		silence();
	}
	ready_fd = pid_fd = -1;
}
