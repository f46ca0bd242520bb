/* SPDX-License-Identifier: MIT */
/*
 * A child that is killed at a chosen instant: when it is about to make its Nth system call, or to
 * send its Nth request to a store. Needs no rights but those over one's own child.
 *
 * Counted are the calls of the program, not those by which the dynamic loader loads it; of its
 * first thread; and not those of its own children, which are killed with it unless they have left
 * its process group.
 */
#ifndef DROVER_STRESS_TRACE_H
#define DROVER_STRESS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum trace_what {
	TRACE_CALLS,
	TRACE_REQUESTS, /* all before the Nth are answered by then, also those sent along with it */
};

/* Something counted: the call's name, or the request's and its path. Borrowed for the call. */
typedef void trace_visit_fn(void *data, unsigned long n, const char *name, const char *path);

struct trace_options {
	enum trace_what what;
	bool fail;	  /* of calls: the Nth fails with EIO, and it lives; where trace_can_fail */
	unsigned long at; /* the one that it does not live to make; 0: it is let be */
	trace_visit_fn *visit; /* NULL: nobody is told */
	void *data;
};

struct trace_result {
	bool killed;	 /* the one named by `at` was reached; it was killed, or that failed */
	unsigned long n; /* how many were counted, that one included */
	int status;	 /* as waitpid says */
};

/* Starts a program, stopped before its first instruction. A negative errno. */
pid_t trace_exec(char *const argv[]);

/* Starts a child that runs fn and exits with what it returns; stopped before fn. */
pid_t trace_fork(int (*fn)(void *data), void *data);

/* Whether calls can be made to fail on this architecture. */
bool trace_can_fail(void);

/* Lets it run until it is killed or has ended; it is waited for. 0 or a negative errno. */
int trace_run(pid_t pid, const struct trace_options *opt, struct trace_result *ret);

#endif
