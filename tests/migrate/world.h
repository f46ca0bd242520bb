/* SPDX-License-Identifier: MIT */
/*
 * A world of hosts that migrate guests between them, in one process and in no time: each host has a
 * migrator and what its daemon would have around it (processes, a store, a journal, links to
 * peers), all of it played by tables and a queue of events. One seed decides every delay, loss and
 * death.
 *
 * What outlives a daemon here outlives it there: processes of guests, the store's parts, journal
 * and definitions. What a daemon knows otherwise is gone when it dies.
 */
#ifndef DROVER_TESTS_MIGRATE_WORLD_H
#define DROVER_TESTS_MIGRATE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"
#include "migrate/migrate.h"

#define HOSTS 3u
#define GUESTS 3u
#define CLIENTS 48u
#define ROWS 64u
#define CALLS 64u
#define ANSWERS 256u
#define NOBODY UINT32_MAX
#define FAULTS_MAX 2u

enum proc_state { PROC_NONE, PROC_INCOMING, PROC_PAUSED, PROC_RUNNING };
enum store_state { STORE_NONE, STORE_QUIET, STORE_SERVES };

struct proc {
	enum proc_state state;
	bool for_migration; /* it was received for mig */
	struct mig_id mig;
	bool received;
	uint64_t epoch;
};

/* Memory on its way, by process, not by daemon. */
struct transfer {
	bool active, stopped;
	uint32_t to, serial;
	struct mig_id mig;
};

/* A call to a peer that is asked until it is answered. */
struct out_call {
	bool used;
	struct mig_id id;
	struct mig_msg msg;
	uint32_t to, serial;
};

/* A peer's call that the daemon has not answered. */
struct in_call {
	uint64_t call; /* 0: unused */
	uint32_t from, from_life;
	struct mig_id id;
	enum mig_msg_type type;
};

struct host {
	struct migrator *m; /* NULL: its daemon is dead */
	uint32_t life;	    /* how often it was started */
	bool dying;	    /* it is dead from the next effect on */
	uint64_t stopped_until_ms;
	uint64_t restart_ms;
	/* outlives it */
	struct mig_row rows[ROWS];
	size_t n_rows;
	struct proc procs[GUESTS];
	struct mig_id waiting[GUESTS]; /* received for it, and never told to run */
	struct transfer transfers[GUESTS];
	enum store_state store[GUESTS];
	bool defined[GUESTS];
	uint64_t epochs[GUESTS];
	/* the daemon's */
	struct out_call out[CALLS];
	struct in_call in[ANSWERS];
};

struct guest {
	bool offline; /* only a definition */
	bool crashed; /* it died of itself: nothing is expected any more */
	bool wanted;  /* it is to run: else it is paused */
	uint64_t epoch;
	uint32_t ran_at;
	bool arbiter_set;
	uint32_t arbiter_host;
	uint64_t arbiter_epoch;
};

enum step { STEP_BEGIN, STEP_PREPARE, STEP_PERFORM, STEP_FINISH, STEP_CONFIRM, STEP_END };

struct client {
	bool alive;
	enum step step;
	uint32_t guest, src, dst, flags;
	uint64_t conns[2]; /* to src and dst; 0: closed */
	uint64_t call;	   /* the one it waits for; 0: none */
	uint64_t since_ms;
	uint32_t at;	/* whom it waits for */
	bool cancelled; /* what it says with Finish and Confirm */
	bool arrived;	/* the call did, in that life of the daemon's */
	bool lost;	/* and its reply was lost */
	uint32_t life;
	struct mig_cookie cookie;
};

enum event_type {
	EV_MSG,	       /* a peer's call arrives */
	EV_ANSWER,     /* an answer to one */
	EV_RETRY,      /* an out_call is said again */
	EV_CLIENT,     /* a client's call arrives */
	EV_REPLY,      /* its reply */
	EV_CLOSED,     /* a daemon notices that a client's connection is closed */
	EV_BROKEN,     /* a client notices */
	EV_REACH,      /* a daemon notices whether a peer is in reach */
	EV_STOP,       /* a transfer stops its guest */
	EV_SENT_END,   /* and ends */
	EV_DONE,       /* something a daemon began has ended: done */
	EV_ARBITER,    /* the arbiter is asked */
	EV_ARBITER_IS, /* and answers */
	EV_START,      /* a client starts */
	EV_FAULT,      /* something breaks, at random */
};

struct event {
	uint64_t at_ms, order;
	enum event_type type;
	uint32_t host, life; /* whose; life 0: any */
	uint32_t other, guest, serial;
	uint64_t call;
	struct mig_id id;
	struct mig_msg msg;
	enum mig_answer answer;
	enum mig_effect_type done;
	int err;
	bool flag, put;
	uint32_t from_host, to_host;
	uint64_t from_epoch, to_epoch;
	struct mig_cookie *cookie; /* owned */
};

/* What may go wrong at one chosen step; FAULT_NONE: nothing. */
enum fault {
	FAULT_NONE,
	FAULT_KILL_SOURCE,
	FAULT_KILL_DEST,
	FAULT_KILL_BOTH,
	FAULT_KILL_CLIENT,
	FAULT_STOP_SOURCE,
	FAULT_STOP_DEST,
	FAULT_CUT,
	FAULT_LOSE, /* the next message between daemons */
	FAULT_TWICE,
	FAULT_LOSE_REPLY, /* the next to a client */
	FAULT_ABORT,
	FAULT_ARBITER,	    /* out of reach for a while */
	FAULT_DIE_RECEIVED, /* the process that receives */
	FAULT_FAIL,	    /* the next thing that a daemon does fails */
	FAULT_TYPES,
};

/* Rules broken on purpose, to see that they are missed. */
enum mistake {
	MISTAKE_NONE,
	MISTAKE_JOURNAL, /* a round's rows are durable only with the next one */
	MISTAKE_GRANT,	 /* COMMIT is always granted */
	MISTAKE_CANCEL,	 /* a client's cancel is obeyed, whatever was given */
	MISTAKE_TAKEN,	 /* TAKEN is never said */
	MISTAKE_RESTART, /* a daemon that starts again has no journal */
	MISTAKE_RECEIVE, /* what is all there runs without being asked for */
	MISTAKES,
};

struct plan {
	struct {
		enum fault fault;
		uint64_t step;
	} at[FAULTS_MAX];
};

struct world {
	uint64_t seed;
	struct prng rng;
	bool arbiter, trace, random_faults;
	enum mistake mistake;
	struct plan plan;
	uint64_t now_ms, quiet_ms; /* from when nothing breaks any more */
	uint64_t orders, ids, steps;
	struct event *queue; /* a heap */
	size_t n_queue, room_queue;
	struct host hosts[HOSTS];
	struct guest guests[GUESTS];
	struct client clients[CLIENTS];
	size_t n_hosts, n_guests, n_clients;
	bool cut[HOSTS][HOSTS], arbiter_cut[HOSTS];
	bool lose_next, twice_next, lose_reply, fail_next;
	uint64_t effects, kill_at; /* of a daemon: after that many effects */
	/* what was seen */
	uint64_t moved, stayed, replies, faults;
	bool failed;
	char why[256];
};

/* world.c */
int world_run(struct world *w);
void world_fini(struct world *w);
/* The first violation is kept. */
void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_push(struct world *w, const struct event *e, uint64_t in_ms);
uint64_t world_between(struct world *w, uint64_t low, uint64_t high);
bool world_luck(struct world *w, uint32_t once_in); /* never, once nothing breaks any more */
uint32_t world_guest_of(const uint8_t *uuid);
uint32_t world_host_of(const char *name);

/* host.c */
void host_start(struct world *w, uint32_t h);
void host_kill(struct world *w, uint32_t h);
/* Runs fn's consequences: time before, rounds after. */
void host_round(struct world *w, uint32_t h);
void host_event(struct world *w, const struct event *e);
const struct mig_row *host_row(const struct host *h, const struct mig_id *id);

/* effect.c */
void host_effect(struct world *w, uint32_t h, const struct mig_effect *e);

void arbiter_event(struct world *w, const struct event *e);

/* guest.c */
void transfer_start(struct world *w, uint32_t h, uint32_t guest, const struct mig_row *row);
void transfer_end(struct world *w, uint32_t h, uint32_t guest, bool good);
void transfer_event(struct world *w, const struct event *e);
void proc_run(struct world *w, uint32_t h, uint32_t guest, uint64_t epoch);
void proc_gone(struct world *w, uint32_t h, uint32_t guest);
void done_in(struct world *w, uint32_t h, const struct mig_effect *e, int err, uint64_t in_ms);

/* client.c */
void client_start(struct world *w);
void client_call(struct world *w, const struct event *e);
void client_reply(struct world *w, const struct event *e);
void client_broken(struct world *w, uint32_t c, uint32_t host);
void client_kill(struct world *w, uint32_t c);
/* Some other client says something. */
void client_chaos(struct world *w);
/* Those that still wait: whoever asked a daemon that lives has been answered. */
void clients_end(struct world *w);

/* fault.c */
void fault_do(struct world *w, enum fault f);
void fault_random(struct world *w);
void world_heal(struct world *w);
void link_set(struct world *w, uint32_t a, uint32_t b, bool cut);

/* judge.c */
void judge_always(struct world *w);
void judge_effect(struct world *w, uint32_t h, const struct mig_effect *e);
void judge_end(struct world *w);

#endif
