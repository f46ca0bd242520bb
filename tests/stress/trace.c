/* SPDX-License-Identifier: MIT */
/*
 * Stepping through a child by ptrace. It is stopped at the entry and at the end of each of its
 * calls; killed at an entry, it has not made the call.
 *
 * What it sends to a store goes by in messages, whatever pieces they are sent in: so one may be
 * killed between two requests of one call. The first part of such a call is sent in its place, by
 * its own descriptor, and what the store answers to that is awaited, so that what was done by then
 * does not depend on who was faster.
 */
#include "tests/stress/trace.h"

#include <errno.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#define STREAMS 256	     /* descriptors that may be a store's; higher ones are not looked at */
#define SEND_MAX (4u << 20)  /* octets of one call that are looked at */
#define ANSWER_WAIT_MS 10000 /* for the answers to what was sent in part */
#define NAME_SHOWN_MAX 64
#define PATH_SHOWN_MAX 256

/* Messages in one direction, as their octets go by. */
struct stream {
	struct xsd_sockmsg hdr;
	size_t hdr_len;	   /* octets of it that are known */
	uint32_t body_len; /* octets that are still to come */
};

struct connection {
	struct stream out, in;
	unsigned long sent, answered;
};

struct trace {
	pid_t pid;
	const struct trace_options *opt;
	struct trace_result *ret;
	bool begun; /* the loader is through */
	uint64_t loader_from, loader_to;
	bool spoilt;			   /* the call is to fail */
	bool inside;			   /* between entry and end of a call */
	struct __ptrace_syscall_info call; /* its entry */
	struct connection connections[STREAMS];
	char *copy; /* owned: what the call sends, or has received */
};

/* ---- starting ---- */

static void be_traced(void)
{
	if (setpgid(0, 0) || ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(127);
	raise(SIGSTOP);
}

/* Waits for the stop that the child begins with. */
static pid_t started(pid_t pid)
{
	int status;

	if (pid < 0)
		return -errno;
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -ECHILD;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC)))
		return -errno;
	return pid;
}

pid_t trace_fork(int (*fn)(void *data), void *data)
{
	pid_t pid = fork();

	if (!pid) {
		be_traced();
		_exit(fn(data));
	}
	return started(pid);
}

pid_t trace_exec(char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		be_traced();
		execvp(argv[0], argv);
		_exit(127);
	}
	pid = started(pid);
	if (pid < 0)
		return pid;
	if (ptrace(PTRACE_CONT, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXEC ? pid : -ENOENT;
}

/* Where the dynamic loader lies, which is the file that AT_BASE is in. Of none: nowhere. */
static void loader_find(struct trace *t)
{
	char path[64], line[512];
	uint64_t pair[2], base = 0, from, to;
	unsigned long long inode, of = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/auxv", (int)t->pid);
	f = fopen(path, "re");
	while (f && sizeof(long) == 8 && fread(pair, sizeof(pair), 1, f) == 1)
		if (pair[0] == 7) /* AT_BASE */
			base = pair[1];
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid);
	f = base ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %*s %*s %llu", &from, &to, &inode) != 3)
			continue;
		if (from == base) {
			of = inode;
			t->loader_from = from;
		}
		if (of && inode == of)
			t->loader_to = to;
	}
	if (f)
		fclose(f);
}

/* ---- what it sends and receives ---- */

/* The octets of a buffer of its, NULL where they cannot be had. */
static char *peek(struct trace *t, uint64_t at, size_t len)
{
	struct iovec to = { .iov_len = len }, from = { .iov_len = len };

	free(t->copy);
	t->copy = malloc(len ? len : 1);
	to.iov_base = t->copy;
	from.iov_base = (void *)(uintptr_t)at;
	if (!t->copy || process_vm_readv(t->pid, &to, 1, &from, 1, 0) != (ssize_t)len)
		return NULL;
	return t->copy;
}

/* The connection that a call is about, or NULL. */
static struct connection *connection_of(struct trace *t, bool *ret_send)
{
	const uint64_t *args = t->call.entry.args;
	char path[64];
	struct stat st;

	switch (t->call.entry.nr) {
	case SYS_write:
	case SYS_sendto:
		*ret_send = true;
		break;
	case SYS_read:
	case SYS_recvfrom:
		*ret_send = false;
		break;
	default:
		return NULL;
	}
	if (args[0] >= STREAMS || args[2] > SEND_MAX)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)t->pid, (unsigned int)args[0]);
	if (stat(path, &st) || !S_ISSOCK(st.st_mode))
		return NULL;
	return &t->connections[args[0]];
}

/*
 * Takes one octet more, unless it is of a header that is not complete yet. Whether it was the first
 * of a message.
 */
static bool stream_take(struct stream *s, char octet)
{
	bool first = !s->hdr_len;

	if (s->hdr_len < sizeof(s->hdr)) {
		((char *)&s->hdr)[s->hdr_len++] = octet;
		if (s->hdr_len == sizeof(s->hdr))
			s->body_len = s->hdr.len;
	} else {
		s->body_len--;
	}
	return first;
}

/* Whether a message is complete; then the next octet begins another. */
static bool stream_ended(struct stream *s)
{
	if (s->hdr_len < sizeof(s->hdr) || s->body_len)
		return false;
	s->hdr_len = 0;
	return true;
}

static const char *request_name(uint32_t type)
{
	static const char *const names[] = {
		[XS_CONTROL] = "CONTROL",
		[XS_DIRECTORY] = "DIRECTORY",
		[XS_READ] = "READ",
		[XS_GET_PERMS] = "GET_PERMS",
		[XS_WATCH] = "WATCH",
		[XS_UNWATCH] = "UNWATCH",
		[XS_TRANSACTION_START] = "TRANSACTION_START",
		[XS_TRANSACTION_END] = "TRANSACTION_END",
		[XS_WRITE] = "WRITE",
		[XS_MKDIR] = "MKDIR",
		[XS_RM] = "RM",
		[XS_SET_PERMS] = "SET_PERMS",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "other";
}

/* Tells of the request that begins at p, as far as its octets are there. */
static void request_visit(struct trace *t, const char *p, size_t len)
{
	struct xsd_sockmsg hdr;
	char path[PATH_SHOWN_MAX] = "";

	if (!t->opt->visit)
		return;
	if (len < sizeof(hdr)) {
		t->opt->visit(t->opt->data, t->ret->n, "in pieces", "");
		return;
	}
	memcpy(&hdr, p, sizeof(hdr));
	len -= sizeof(hdr);
	snprintf(path, sizeof(path), "%.*s", (int)(len < hdr.len ? len : hdr.len), p + sizeof(hdr));
	t->opt->visit(t->opt->data, t->ret->n, request_name(hdr.type), path);
}

/* Sends what the call would have sent before the request that is not to be sent. */
static int send_part(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Reads in its place until all that was sent is answered. */
static int await_answers(int fd, struct connection *c)
{
	char in[4096];

	while (c->answered < c->sent) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, ANSWER_WAIT_MS) != 1)
			return -ETIMEDOUT;
		n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		for (ssize_t i = 0; i < n; i++) {
			stream_take(&c->in, in[i]);
			if (stream_ended(&c->in) && c->in.hdr.type != XS_WATCH_EVENT)
				c->answered++;
		}
	}
	return 0;
}

/* Its descriptor as one of ours, or a negative errno. */
static int borrow_fd(struct trace *t, int theirs)
{
	int pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0), fd = -1;

	if (pidfd >= 0)
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	if (fd < 0)
		fd = -errno;
	if (pidfd >= 0)
		close(pidfd);
	return fd;
}

/*
 * The call that is about to be made: the requests that begin in it are counted. 1: the one that it
 * is not to live for is among them, and all before it is done.
 */
static int requests_count(struct trace *t, struct connection *c)
{
	const uint64_t *args = t->call.entry.args;
	const char *p = peek(t, args[1], (size_t)args[2]);
	struct stream s = c->out;
	int fd, r;

	for (size_t i = 0; p && i < args[2]; i++) {
		if (stream_take(&s, p[i])) {
			t->ret->n++;
			request_visit(t, p + i, (size_t)args[2] - i);
			if (t->ret->n == t->opt->at) {
				fd = borrow_fd(t, (int)args[0]);
				if (fd < 0)
					return fd;
				r = send_part(fd, p, i);
				if (!r)
					r = await_answers(fd, c);
				close(fd);
				return r ? r : 1;
			}
			c->sent++;
		}
		stream_ended(&s);
	}
	return 0;
}

/* The call was made: what went by is taken note of. */
static void octets_pass(struct trace *t, struct connection *c, bool send, int64_t n)
{
	const char *p = n > 0 ? peek(t, t->call.entry.args[1], (size_t)n) : NULL;

	for (int64_t i = 0; p && i < n; i++) {
		struct stream *s = send ? &c->out : &c->in;

		stream_take(s, p[i]);
		if (stream_ended(s) && !send && s->hdr.type != XS_WATCH_EVENT)
			c->answered++;
	}
}

/* ---- failing ---- */

#ifdef __x86_64__
bool trace_can_fail(void)
{
	return true;
}

/* At its entry: it becomes a call that there is not. */
static int call_spoil(struct trace *t)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, t->pid, NULL, &regs))
		return -errno;
	regs.orig_rax = UINT64_MAX;
	t->spoilt = true;
	return ptrace(PTRACE_SETREGS, t->pid, NULL, &regs) ? -errno : 0;
}

/* At its end: what that call returns. */
static int call_fail(struct trace *t)
{
	struct user_regs_struct regs;

	t->spoilt = false;
	if (ptrace(PTRACE_GETREGS, t->pid, NULL, &regs))
		return -errno;
	regs.rax = (uint64_t)-EIO;
	return ptrace(PTRACE_SETREGS, t->pid, NULL, &regs) ? -errno : 0;
}
#else
bool trace_can_fail(void)
{
	return false;
}

static int call_spoil(struct trace *t)
{
	(void)t;
	return -ENOSYS;
}

static int call_fail(struct trace *t)
{
	(void)t;
	return -ENOSYS;
}
#endif

/* Calls that do not fail, or never by an error number: nobody looks for one. */
static bool is_sure(uint64_t nr)
{
	return nr == SYS_exit_group || nr == SYS_exit || nr == SYS_rt_sigreturn || nr == SYS_brk ||
	       nr == SYS_getpid || nr == SYS_gettid || nr == SYS_munmap;
}

/* ---- stepping ---- */

static void call_visit(struct trace *t)
{
	char *name;

	if (!t->opt->visit)
		return;
	name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)t->call.entry.nr);
	t->opt->visit(t->opt->data, t->ret->n, name ? name : "unknown", "");
	free(name);
}

/* At the entry of a call. 1: it is not to be made. */
static int call_begins(struct trace *t)
{
	struct connection *c;
	bool send = false;

	if (!t->begun && t->call.instruction_pointer >= t->loader_from &&
	    t->call.instruction_pointer < t->loader_to)
		return 0;
	t->begun = true;
	if (t->opt->what == TRACE_CALLS) {
		t->ret->n++;
		call_visit(t);
		if (t->ret->n != t->opt->at)
			return 0;
		if (!t->opt->fail)
			return 1;
		t->ret->killed = true;
		return is_sure(t->call.entry.nr) ? 0 : call_spoil(t);
	}
	c = connection_of(t, &send);
	return c && send ? requests_count(t, c) : 0;
}

static void call_ends(struct trace *t, const struct __ptrace_syscall_info *info)
{
	struct connection *c;
	bool send = false;

	if (t->opt->what == TRACE_CALLS)
		return;
	c = connection_of(t, &send);
	if (c)
		octets_pass(t, c, send, info->exit.rval);
	if (t->call.entry.nr == SYS_close && t->call.entry.args[0] < STREAMS)
		memset(&t->connections[t->call.entry.args[0]], 0, sizeof(t->connections[0]));
}

/* One stop for a call. 1: it is to be killed. */
static int call_stop(struct trace *t)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, (void *)sizeof(info), &info) < 0)
		return -errno;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->call = info;
		t->inside = true;
		return call_begins(t);
	}
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->inside) {
		t->inside = false;
		if (t->spoilt)
			return call_fail(t);
		call_ends(t, &info);
	}
	return 0;
}

/* Kills it with its process group and waits for its end. */
static void kill_all(struct trace *t)
{
	kill(-t->pid, SIGKILL);
	kill(t->pid, SIGKILL);
	while (waitpid(t->pid, &t->ret->status, 0) == t->pid && WIFSTOPPED(t->ret->status))
		ptrace(PTRACE_CONT, t->pid, NULL, NULL);
}

static int step_all(struct trace *t)
{
	int status, deliver = 0, r = 0;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, t->pid, NULL, (void *)(intptr_t)deliver))
			return -errno;
		if (waitpid(t->pid, &status, 0) != t->pid)
			return -errno;
		deliver = 0;
		if (!WIFSTOPPED(status)) {
			t->ret->status = status;
			return 0;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			r = call_stop(t);
		else if (status >> 16 == 0)
			deliver = WSTOPSIG(status);
		if (r) {
			kill_all(t);
			t->ret->killed = r > 0;
			return r < 0 ? r : 0;
		}
	}
}

int trace_run(pid_t pid, const struct trace_options *opt, struct trace_result *ret)
{
	struct trace *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	memset(ret, 0, sizeof(*ret));
	t->pid = pid;
	t->opt = opt;
	t->ret = ret;
	loader_find(t);
	r = step_all(t);
	free(t->copy);
	free(t);
	return r;
}
