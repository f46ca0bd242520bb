/* SPDX-License-Identifier: MIT */
/*
 * Starting workers and candidates. Invariant: a child dies with the keeper, has none of the
 * keeper's descriptors but its seat's, and starts with no signal blocked.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/inside.h"

void child_forget(struct child *c)
{
	if (c->link >= 0)
		close(c->link);
	if (c->call >= 0)
		close(c->call);
	*c = CHILD_NONE;
}

void child_kill(struct child *c)
{
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	child_forget(c);
}

/* In the child: what it inherited and must not have. */
static void drop_keeper(struct keeper *k)
{
	sigset_t none;

	closelog();
	close(k->listen);
	close(k->signals);
	if (k->pid_fd >= 0)
		close(k->pid_fd);
	clients_fini(&k->clients);
	child_forget(&k->worker);
	child_forget(&k->update.candidate);
	child_forget(&k->update.former);
	if (k->update.probe_out >= 0)
		close(k->update.probe_out);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C goes to all processes of a terminal; the keeper alone decides */
	signal(SIGINT, SIG_IGN);
	/* until the worker listens for it; it opens its files anew meanwhile */
	signal(SIGHUP, SIG_IGN);
}

/* In the child. False: the keeper is gone already. */
static bool die_with(pid_t keeper)
{
	return !prctl(PR_SET_PDEATHSIG, SIGKILL) && getppid() == keeper;
}

/* What pidof and ps go by. */
static void set_name(char *argv0)
{
	strncpy(argv0, SEAT_WORKER_NAME, strlen(argv0)); /* pads with NULs */
}

struct pairs {
	int link[2]; /* ours, the child's */
	int call[2];
};

static int pairs_open(struct pairs *p)
{
	int r;

	r = proto_pair(p->link);
	if (r)
		return r;
	r = proto_pair(p->call);
	if (!r)
		return 0;
	close(p->link[0]);
	close(p->link[1]);
	return r;
}

/* In the keeper, after fork; pid < 0: it failed. */
static int pairs_settle(struct pairs *p, pid_t pid, struct child *ret)
{
	int err = errno;

	close(p->link[1]);
	close(p->call[1]);
	if (pid < 0) {
		close(p->link[0]);
		close(p->call[0]);
		return -err;
	}
	*ret = (struct child){
		.pid = pid,
		.link = p->link[0],
		.call = p->call[0],
		.started_ms = keeper_now_ms(),
	};
	return 0;
}

int child_fork(struct keeper *k)
{
	struct worker_seat seat = k->seat;
	pid_t pid, keeper = getpid();
	struct pairs p;
	int r;

	r = pairs_open(&p);
	if (r)
		return r;
	fflush(NULL);
	pid = fork();
	if (pid)
		return pairs_settle(&p, pid, &k->worker);
	close(p.link[0]);
	close(p.call[0]);
	drop_keeper(k);
	set_name(k->o->argv[0]);
	if (!die_with(keeper))
		_exit(EXIT_FAILURE);
	seat.link = p.link[1];
	seat.call = p.call[1];
	exit(k->o->worker(k->o->data, &seat));
}

void child_rank_get(struct rank *ret)
{
	struct sched_param param = { 0 };

	ret->policy = sched_getscheduler(0);
	sched_getparam(0, &param);
	ret->priority = param.sched_priority;
}

void child_rank(pid_t pid, const struct rank *rank)
{
	struct sched_param param = { .sched_priority = rank ? rank->priority : 0 };

	/* where that is not permitted it stays as it is */
	sched_setscheduler(pid, rank ? rank->policy : SCHED_OTHER, &param);
}

/* In the child: never returns. keep: descriptors that stay open over exec. */
static _Noreturn void become(const char *file, char **argv, int keep)
{
	child_rank(0, NULL);
	if (keep >= 0)
		fcntl(keep, F_SETFD, 0);
	execv(file, argv);
	/* what the candidate would have said */
	fprintf(stderr, "drover-xenstored: %s: %s\n", file, strerror(errno));
	_exit(127);
}

/* argv with two more words: the descriptor of the link. */
static char **candidate_args(char **argv, char *number)
{
	static char name[] = SEAT_WORKER_NAME, word[] = "--candidate";
	size_t n = 0;
	char **ret;

	while (argv[n])
		n++;
	ret = calloc(n + 3, sizeof(*ret));
	if (!ret)
		return NULL;
	memcpy(ret, argv, n * sizeof(*ret));
	ret[0] = name;
	ret[n] = word;
	ret[n + 1] = number;
	return ret;
}

int child_exec(struct keeper *k, const char *file, char **argv, struct child *ret)
{
	pid_t pid, keeper = getpid();
	struct worker_seat seat = k->seat;
	char number[16], **args;
	struct proto_msg hello;
	struct pairs p;
	int r;

	r = pairs_open(&p);
	if (r)
		return r;
	/* the call's other end travels with HELLO, which is there before there is a candidate */
	seat.call = p.call[1];
	seat_to_hello(&seat, &hello);
	r = proto_send(p.link[0], &hello, false);
	snprintf(number, sizeof(number), "%d", p.link[1]);
	args = r ? NULL : candidate_args(argv, number);
	if (!args)
		errno = r ? -r : ENOMEM;
	fflush(NULL);
	pid = args ? fork() : -1;
	if (!pid) {
		drop_keeper(k);
		if (!die_with(keeper))
			_exit(EXIT_FAILURE);
		become(file, args, p.link[1]);
	}
	free(args);
	return pairs_settle(&p, pid, ret);
}

int child_probe(struct keeper *k, const char *file, pid_t *ret_pid, int *ret_out)
{
	char help[] = "--help", *name = strdup(file), *argv[] = { name, help, NULL };
	pid_t pid, keeper = getpid();
	int out[2], err;

	if (!name || pipe2(out, O_CLOEXEC | O_NONBLOCK)) {
		free(name);
		return -ENOMEM;
	}
	fflush(NULL);
	pid = fork();
	if (!pid) {
		drop_keeper(k);
		if (!die_with(keeper))
			_exit(EXIT_FAILURE);
		fcntl(out[1], F_SETFL, 0);
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		become(file, argv, -1);
	}
	err = errno;
	free(name);
	close(out[1]);
	if (pid < 0) {
		close(out[0]);
		return -err;
	}
	*ret_pid = pid;
	*ret_out = out[0];
	return 0;
}
