/* SPDX-License-Identifier: MIT */
/*
 * The keeper: the daemon's main process. It holds what must outlive a worker - the listening
 * socket, clients' sockets, the event channel device, the journal's files - and starts workers. It
 * reads no octet that a client or a guest wrote; of a worker it believes nothing beyond proto.h.
 *
 * One thread, poll, no allocation but the table of clients: fork needs it so.
 */
#ifndef DROVER_KEEPER_KEEPER_H
#define DROVER_KEEPER_KEEPER_H

#include <stdbool.h>

#include "keeper/seat.h"

/* Who was in this process before, and left descriptors. */
enum keeper_former {
	KEEPER_FORMER_NONE,
	KEEPER_FORMER_C,
	KEEPER_FORMER_OCAML,
};

struct keeper_options {
	char **argv;		   /* as main got it; argv[0] is overwritten in a worker */
	const char *rundir;	   /* the journal is in journal/ below it */
	int listen_fd;		   /* owned from now on */
	int pid_fd;		   /* kept open; -1: none */
	bool no_journal;	   /* a worker's death is the daemon's end */
	bool discard;		   /* begin with an empty journal */
	enum keeper_former former; /* begin with what that left: see adopt.h */
	const char *back;	   /* its program, to go on where ours cannot; NULL: none */
	char **former_argv;	   /* what it started this process with */
	bool xen;		   /* hold the event channel device */
	/* Runs the worker in a process of its own; its exit status. */
	int (*worker)(void *data, const struct worker_seat *seat);
	/* Clients are served for the first time. */
	void (*ready)(void *data);
	void *data; /* borrowed */
};

/*
 * Serves until SIGTERM or SIGINT: 0. -EBUSY: another daemon has the journal; -ECHILD: the first
 * worker did not come to serve; -EIO: a worker could not recover. Logged.
 */
int keeper_run(const struct keeper_options *o);

/*
 * The same in a process that took another's place by exec: state_fd is what that one left, and
 * o->listen_fd is not looked at. -EPROTO: not understood.
 */
int keeper_resume(const struct keeper_options *o, int state_fd);

#endif
