/* SPDX-License-Identifier: MIT */
/*
 * Does with the code what a run of the model did (tests/model/handover.pml, TRACE): two migrators,
 * and one guest, client and arbiter between them, all played by a few flags. Nothing happens but
 * what the trace says, when it says so: a message is taken, an answer heard, a guest stopped, a
 * daemon dead. What the code says and answers on its way is held against what the model did.
 *
 * The model is finer than the code in some places, and coarser in others: the steps (replay_step.c)
 * say where.
 */
#ifndef DROVER_TESTS_MIGRATE_REPLAY_H
#define DROVER_TESTS_MIGRATE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/migrate.h"

/* FAILED is two: a promise, and after a restart a question. */
#define MSG_QUESTION MIG_MSGS
#define MSG_KINDS (MIG_MSGS + 1)

enum guest_state { GUEST_GONE, GUEST_RUNS, GUEST_WAITS, GUEST_FULL, GUEST_DEAD };

/* An answer on its way: the peer's daemon has given it, and it has left it. */
enum way { WAY_NONE, WAY_MADE, WAY_SENT };

struct said {
	bool ever;
	bool needless;	    /* the model says it, and the code knows that the peer has heard */
	struct mig_msg msg; /* its pointers: to what is constant, or to host and why */
	char host[MIG_NAME_MAX], why[MIG_WHY_MAX];
	uint8_t blob[8];
	enum way way; /* of the answer */
	enum mig_answer answer;
};

/* A call of a client. */
enum reply { REPLY_NONE, REPLY_OK, REPLY_ERROR, REPLY_ANY };

struct asked {
	bool replied;
	int err;
	enum reply awaited; /* the model has replied, the code not yet */
};

struct party {
	struct replay *r;
	const char *name;
	struct migrator *m; /* NULL: its daemon is dead */
	uint64_t now_ms;
	struct mig_row row; /* durable */
	bool has_row, was_given;
	/* What its daemon knows. */
	bool due[MIG_EFFECTS];	   /* to be done, and not done yet */
	bool wanted[MSG_KINDS];	   /* said until it is answered */
	uint64_t taken[MSG_KINDS]; /* the peer's calls that it holds */
	struct mig_effect arbiter;
	bool asks, arbiter_served; /* the first outlives the daemon: the request is on its way */
	enum mig_arbiter arbiter_says;
	/* Messages outlive it. */
	struct said said[MSG_KINDS];
};

enum call { CALL_NONE, CALL_PREPARE, CALL_PERFORM, CALL_FINISH, CALL_CONFIRM, CALLS_ };

struct replay {
	bool arbiter, offline;
	struct party s, d;
	uint64_t ids;
	struct mig_id id; /* of the migration, once begun */
	struct mig_cookie s_cookie, d_cookie;
	bool cancelled;
	struct asked asked[CALLS_];
	enum guest_state s_guest, d_guest;
	bool s_stopped, d_state, d_may_run, d_ran;
	bool death_is_told; /* to the destination: as it happened, or as what it found */
	/* The transfer: what the trace has allowed, and what came of it. */
	bool may_send, may_stop, may_receive, sending;
	bool has_all; /* the model's destination does; the code is told when it asks */
	char key_host[MIG_NAME_MAX];
	uint64_t key_epoch;
	char why[256]; /* what differs; "": nothing */
};

/* Begins a trace. */
void replay_init(struct replay *r, bool arbiter, bool offline);
void replay_fini(struct replay *r);
/* One step of it. False: it differs, r->why tells. */
bool replay_step(struct replay *r, const char *step);
/* The last line: where the guest is, and what both daemons say of it. */
bool replay_end(struct replay *r, bool s_moved, bool d_moved, unsigned int s_guest,
		unsigned int d_guest, bool lost);

/* replay.c, for the steps */
bool differs(struct replay *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void party_start(struct party *p);
void party_kill(struct party *p);
void party_flush(struct party *p);
/* Its connection to the client is gone: nobody waits for what it has not replied yet. */
void replies_are_lost(struct party *p);
enum mig_phase party_phase(const struct party *p);
struct party *party_peer(struct party *p);
bool deliver(struct party *from, unsigned int kind);
void arbiter_serve(struct replay *r, struct party *p);
void transfer(struct replay *r);
void transfer_cancel(struct replay *r);

struct step {
	const char *name; /* NULL: no more */
	bool (*act)(struct replay *r);
};

/* replay_step.c */
extern const uint8_t replay_uuid[MIG_UUID_SIZE];
void guest_resume(struct replay *r);
bool expect(struct replay *r, bool what, const char *said);
void guest_destroy(struct party *p);
void guest_ran(struct replay *r);
void all_is_there(struct replay *r);
void death_is_known(struct party *p);

/* replay_client.c */
bool replies_came(struct replay *r);
extern const struct step client_steps[];

/* replay_message.c */
extern const char *const replay_kinds[MSG_KINDS];
bool step_message(struct replay *r, const char *who, const char *verb, const char *what,
		  const char *answer);
bool step_loses(struct replay *r, const char *step);

#endif
