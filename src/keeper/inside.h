/* SPDX-License-Identifier: MIT */
/*
 * The keeper's insides, for its own files: keeper.c (the loop, what workers say), child.c (starting
 * them), update.c (replacing them by another program's), handover.c (replacing the keeper).
 */
#ifndef DROVER_KEEPER_INSIDE_H
#define DROVER_KEEPER_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/clients.h"
#include "keeper/keeper.h"
#include "keeper/proto.h"
#include "keeper/seat.h"

#define CHILD_ARGS_MAX 64u /* words of a command line that an update starts */

/* A process of ours that speaks proto.h. */
struct child {
	pid_t pid; /* 0: none */
	int link;
	int call;
	uint64_t started_ms;
	uint64_t told;	 /* clients up to this number */
	bool serve_sent; /* and SERVE behind them */
	bool serving;
};

#define CHILD_NONE ((struct child){ .link = -1, .call = -1 })

enum update_phase {
	UPDATE_NONE,
	UPDATE_PROBE,	 /* FILE --help runs */
	UPDATE_LOADING,	 /* the candidate reads what there is */
	UPDATE_STOPPING, /* the worker finishes its round */
	UPDATE_CATCH_UP, /* the candidate reads the rest */
	UPDATE_CALM,	 /* open transactions come to their ends */
	UPDATE_IMAGE,	 /* the worker writes an image for a program that reads no journal */
	UPDATE_SWITCH,	 /* it is the worker, and is to say that it serves */
};

struct update {
	enum update_phase phase;
	uint64_t deadline_ms;
	bool force;
	uint64_t place[2];	       /* PROTO_CONN, PROTO_POSITION of the request */
	char text[PROTO_TEXT_MAX + 1]; /* file NUL options NUL */
	const char *file;	       /* in text */
	const char *args;
	unsigned int image_version; /* of PROTO_IMAGE_VERSION */
	char **argv; /* owned: the new command line; its words are text's or the keeper's */
	struct child candidate;
	struct child former; /* killed at the last switch, to be reaped */
	pid_t probe;	     /* 0: none */
	int probe_out;	     /* what it prints */
	char said[8192];
	size_t said_len;
};

/* How the scheduler treats a process. */
struct rank {
	int policy;
	int priority;
};

struct keeper {
	const struct keeper_options *o;
	struct rank rank;	 /* of the daemon */
	struct worker_seat seat; /* what every worker gets; link and call unused */
	int listen;
	int pid_fd; /* of the pid file, for its lock; -1: none */
	int signals;
	struct clients clients;
	struct child worker;
	struct update update;
	struct proto_msg verdict; /* of the last update; no text: there was none */
	unsigned int quick;	  /* deaths in a row of workers that never served */
	uint64_t restart_at_ms;	  /* no worker: when to start one */
	uint64_t accept_at_ms;	  /* 0, or until when no client can be accepted */
	uint64_t end_at_ms;	  /* ending: when patience ends */
	bool ending;
	bool out_of_fds;  /* told already */
	bool child_ended; /* one or more */
	bool was_ready;
	int result;
	bool done;
};

uint64_t keeper_now_ms(void);

/* child.c. Forks the worker. -errno. */
int child_fork(struct keeper *k);
/*
 * Starts file with argv as a candidate that gets its seat by HELLO. -errno; that it cannot be
 * executed shows in its early end.
 */
int child_exec(struct keeper *k, const char *file, char **argv, struct child *ret);
/* Starts `file --help`; its output can be read from *ret_out. */
int child_probe(struct keeper *k, const char *file, pid_t *ret_pid, int *ret_out);
/* What the scheduler has of the caller. */
void child_rank_get(struct rank *ret);
/*
 * Where the daemon runs at a real-time priority: who serves has it, and who only gets ready, or
 * ends, must not be in the way (NULL). pid 0: the caller.
 */
void child_rank(pid_t pid, const struct rank *rank);
/* Closes what is held of a child that was reaped. */
void child_forget(struct child *c);
/* Kills and reaps. */
void child_kill(struct child *c);

/* keeper.c. A child's clients and SERVE, as far as they fit now. */
void keeper_feed(struct keeper *k, struct child *c);
void keeper_send(struct child *c, enum proto_type type);
/* Ends the loop with that result. */
void keeper_end(struct keeper *k, int result);

/* update.c. */
void update_init(struct update *u);
void update_begin(struct keeper *k, const struct proto_msg *m);
/* Any phase before the switch: the worker goes on, and tells the requester why. */
void update_fail(struct keeper *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Not wanted any more: m is the requester's message. */
void update_abort(struct keeper *k);
void update_on_probe_out(struct keeper *k);
void update_on_probe_end(struct keeper *k);
void update_on_candidate(struct keeper *k, const struct proto_msg *m);
void update_on_candidate_end(struct keeper *k);
void update_on_stopped(struct keeper *k);
void update_reap_former(struct keeper *k);
void update_on_serving(struct keeper *k);
/* The worker died: in SWITCH it was the candidate. */
void update_on_worker_end(struct keeper *k);

/* handover.c. Becomes file with the running one's options; returns on failure only: -errno. */
int handover_exec(struct keeper *k, const char *file, char **argv);
/* Takes what handover_exec left. -EPROTO. */
int handover_take(struct keeper *k, int fd);

#endif
