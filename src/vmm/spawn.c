/* SPDX-License-Identifier: MIT */
/*
 * A guest's process: started, found again, watched, killed. Invariant: whoever is killed by pidfd
 * is the process that the directory names, however often its pid was used again; and no program of
 * a guest runs before the directory names its process.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "vmm/inner.h"

#define STAT_MAX 1024
#define FIRST_FD 3 /* of those that a process is given */

static int file_read(const char *path, char *buf, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, room - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	buf[n] = '\0';
	return 0;
}

int process_boot_id(char ret[VMM_BOOT_ID_MAX])
{
	int r = file_read("/proc/sys/kernel/random/boot_id", ret, VMM_BOOT_ID_MAX);

	if (r < 0)
		return FAULT(r);
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

struct process_stat {
	char state;
	uint64_t utime, stime, start; /* ticks */
};

/*
 * /proc/<pid>/stat, proc(5): the third field follows the last parenthesis. Nothing here allocates:
 * the child of a fork comes here, too.
 */
static int stat_read(const char *path, struct process_stat *ret)
{
	char text[STAT_MAX], *at;
	int r = file_read(path, text, sizeof(text)), field = 3;

	if (r < 0)
		return r;
	at = strrchr(text, ')');
	if (!at || at[1] != ' ')
		return -EINVAL;
	at += 2;
	ret->state = *at;
	for (; field < 22; field++) {
		at = strchr(at, ' ');
		if (!at)
			return -EINVAL;
		at++;
		if (field + 1 == 14)
			ret->utime = strtoull(at, NULL, 10);
		else if (field + 1 == 15)
			ret->stime = strtoull(at, NULL, 10);
		else if (field + 1 == 22)
			ret->start = strtoull(at, NULL, 10);
	}
	return 0;
}

uint64_t vmm_guest_cpu_ns(struct vmm_guest *g)
{
	struct process_stat st;
	char path[32];

	if (g->v->be->cpu_ns && !g->released)
		return g->v->be->cpu_ns(g);
	if (g->pidfd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)g->pid);
	if (stat_read(path, &st) < 0)
		return 0;
	return (st.utime + st.stime) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
}

void process_kill(struct vmm_guest *g)
{
	if (g->pidfd >= 0 && syscall(SYS_pidfd_send_signal, g->pidfd, SIGKILL, NULL, 0) < 0 &&
	    errno != ESRCH)
		FAULT(-errno);
}

/* As wait's, of a child of ours, which is reaped; -1: it is not ours. */
static int exit_status(struct vmm_guest *g)
{
	siginfo_t info = { 0 };

	/* by descriptor: the number may be another's by now */
	if (waitid(P_PIDFD, (id_t)g->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return -1;
	return info.si_code == CLD_EXITED ? (info.si_status & 255) << 8 : info.si_status & 127;
}

static void exit_ready(struct vmm_io *io, uint32_t epoll_events)
{
	struct vmm_guest *g = CONTAINER_OF(io, struct vmm_guest, exit_io);

	(void)epoll_events;
	guest_ended(g, exit_status(g));
}

int process_watch(struct vmm_guest *g)
{
	return vmm_io_add(g->v, &g->exit_io, g->pidfd, EPOLLIN, exit_ready);
}

int process_find(struct vmm_guest *g)
{
	char text[VMM_PROCESS_FILE_MAX], boot[VMM_BOOT_ID_MAX], path[32];
	struct process_stat st;
	uint64_t start;
	int pid, r;

	r = (int)vmm_guest_read_file(g, "process", text, sizeof(text));
	if (r == -ENOENT || r == 0) /* empty: not written out before the kernel ended */
		return 0;
	if (r < 0)
		return r;
	if (sscanf(text, "%d %" SCNu64 " %63s", &pid, &start, boot) != 3 || pid <= 0)
		return FAULT(-EINVAL);
	if (strcmp(boot, g->v->boot_id) != 0)
		return 0;
	g->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (g->pidfd < 0)
		return errno == ESRCH ? 0 : FAULT(-errno);
	/* read after the descriptor was taken: if it matches, the descriptor is that process's */
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (stat_read(path, &st) < 0)
		st = (struct process_stat){ .state = 'X' };
	if (st.start == start && st.state == 'Z')
		waitpid(pid, NULL, WNOHANG); /* where it is a child of ours, after all */
	if (st.start != start || st.state == 'Z' || st.state == 'X') {
		close(g->pidfd);
		g->pidfd = -1;
		return 0;
	}
	g->pid = pid;
	return 1;
}

/* ---- the child, between fork and exec ---- */

static void child_fail(int error_fd)
{
	int err = errno;

	if (write(error_fd, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static int child_claim(int dir_fd, const char *boot_id)
{
	char text[VMM_PROCESS_FILE_MAX];
	struct process_stat st;
	int fd, len;

	if (stat_read("/proc/self/stat", &st) < 0)
		return -1;
	len = snprintf(text, sizeof(text), "%d %" PRIu64 " %s\n", (int)getpid(), st.start, boot_id);
	fd = openat(dir_fd, ".process.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return -1;
	close(fd);
	return renameat(dir_fd, ".process.new", dir_fd, "process");
}

struct child {
	const char *program;
	char *const *argv;
	const char *boot_id;
	int dir_fd, in, out, error;
	int fds[VMM_SPAWN_FDS_MAX];
	size_t n_fds;
};

static void child_run(struct child *c)
{
	static const unsigned char by_default[64] __attribute__((aligned(16)));
	const int error_at = FIRST_FD + (int)c->n_fds;
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/*
	 * Those that the C library keeps for itself, too, which whoever started us may have left
	 * ignored: all zeros is the default action, whatever order the kernel's fields are in.
	 */
	for (int sig = 1; sig < NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, by_default, NULL, sizeof(uint64_t));
	if (fchdir(c->dir_fd) < 0 || child_claim(c->dir_fd, c->boot_id) < 0)
		child_fail(c->error);
	/* All are above the places that they go to: see spawn_fds. */
	if (dup2(c->in, 0) < 0 || dup2(c->out, 1) < 0 || dup2(c->out, 2) < 0)
		child_fail(c->error);
	for (size_t i = 0; i < c->n_fds; i++)
		if (dup2(c->fds[i], FIRST_FD + (int)i) < 0)
			child_fail(c->error);
	if (dup3(c->error, error_at, O_CLOEXEC) < 0)
		child_fail(c->error);
	syscall(SYS_close_range, (unsigned int)error_at + 1, ~0u, 0);
	execv(c->program, c->argv);
	child_fail(error_at);
}

/* ---- the parent ---- */

static int dup_high(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD + (int)VMM_SPAWN_FDS_MAX + 1);
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int log_open(const struct vmm_guest *g)
{
	char *path;
	int fd;

	if (!g->v->opt.log_dir)
		return open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (asprintf(&path, "%s/%s.log", g->v->opt.log_dir, g->name) < 0) {
		errno = ENOMEM;
		return -1;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	free(path);
	return fd;
}

/* Copies of all descriptors, none below those that the process will have. */
static int spawn_fds(const struct vmm_guest *g, const int *fds, struct child *c, int *ret_error)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), out = log_open(g);
	int error[2] = { -1, -1 }, r = 0;

	if (null < 0 || out < 0 || pipe2(error, O_CLOEXEC) < 0)
		r = FAULT(-errno);
	c->in = r < 0 ? -1 : dup_high(null);
	c->out = r < 0 ? -1 : dup_high(out);
	c->error = r < 0 ? -1 : dup_high(error[1]);
	for (size_t i = 0; i < c->n_fds; i++) {
		c->fds[i] = r < 0 ? -1 : dup_high(fds[i]);
		if (r == 0 && c->fds[i] < 0)
			r = FAULT(-errno);
	}
	if (r == 0 && (c->in < 0 || c->out < 0 || c->error < 0))
		r = FAULT(-errno);
	close_if(null);
	close_if(out);
	close_if(error[1]);
	*ret_error = error[0];
	return r;
}

/* 0: it is the program; else what it failed of. */
static int spawn_await(int error_fd)
{
	int err = 0;
	ssize_t n;

	do
		n = read(error_fd, &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(err) && err > 0 ? -err : n == 0 ? 0 : -EIO;
}

/* What was started and is not to be: gone before we go on. */
static int spawn_undo(struct vmm_guest *g, int r)
{
	kill(g->pid, SIGKILL);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close_if(g->pidfd);
	g->pidfd = -1;
	g->pid = 0;
	return r;
}

static int spawn_fork(struct vmm_guest *g, struct child *c, int error_fd)
{
	sigset_t all, before;
	int r;

	/* a handler of the daemon's must not run in the child */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	g->pid = fork();
	if (g->pid == 0)
		child_run(c);
	r = g->pid < 0 ? FAULT(-errno) : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close_if(c->error);
	c->error = -1;
	if (r < 0) {
		g->pid = 0;
		return r;
	}
	r = spawn_await(error_fd);
	if (r < 0)
		return spawn_undo(g, r);
	g->pidfd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	if (g->pidfd < 0)
		return spawn_undo(g, FAULT(-errno));
	r = process_watch(g);
	return r < 0 ? spawn_undo(g, r) : 0;
}

int vmm_spawn(struct vmm_guest *g, const char *program, char *const argv[], const int *fds,
	      size_t n_fds)
{
	struct child c = { .program = program, .argv = argv, .boot_id = g->v->boot_id };
	int error_fd, r;

	if (n_fds > VMM_SPAWN_FDS_MAX)
		return FAULT(-EINVAL);
	c.dir_fd = g->dir_fd;
	c.n_fds = n_fds;
	r = spawn_fds(g, fds, &c, &error_fd);
	if (r == 0)
		r = spawn_fork(g, &c, error_fd);
	close_if(c.in);
	close_if(c.out);
	close_if(c.error);
	for (size_t i = 0; i < n_fds; i++)
		close_if(c.fds[i]);
	close_if(error_fd);
	if (r < 0) {
		vmm_guest_set_why(g, r, "%s could not be started: %s", program, strerror(-r));
		log_error("guest %s: %s", g->name, g->why);
	}
	return r;
}
