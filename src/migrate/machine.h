/* SPDX-License-Identifier: MIT */
/*
 * The inside of a migrator: what is known of each migration beside its row, and the few functions
 * by which its parts act. Nothing outside this folder includes it.
 */
#ifndef DROVER_MIGRATE_MACHINE_H
#define DROVER_MIGRATE_MACHINE_H

#include "base/idtree.h"
#include "base/list.h"
#include "migrate/migrate.h"

#define NEVER UINT64_MAX

/* A peer's call that is not answered yet; call 0: none. */
struct held {
	uint64_t link, call;
};

/* A client's call that is not answered yet; call 0: none. */
struct wait {
	uint64_t client, call;
	bool cancelled; /* Finish, Confirm: what it was told */
};

enum wait_for { WAIT_PREPARE, WAIT_PERFORM, WAIT_FINISH, WAIT_CONFIRM, WAITS };

struct migration {
	struct list link;	 /* of all */
	struct list open;	 /* of those that are not done */
	struct list touched;	 /* of those that are not shown as they are */
	struct idtree_link ided; /* by row.id */
	struct migrator *m;	 /* borrowed */
	struct mig_row row;	 /* as it is */
	struct mig_row shown;	 /* as it was when the last round ended: all that others see */
	bool was_shown;		 /* a round has ended with it */
	bool dirty;		 /* row is to be made durable; it is on the list of those touched */
	bool journalled;	 /* the journal has one */
	unsigned int effects;	 /* queued, and name it */

	struct held held[MIG_MSGS];
	struct wait waits[WAITS];
	unsigned int calls; /* bits: types under way to the peer */
	uint64_t client;    /* on whose connection it hangs; 0: nobody's */
	uint64_t due_ms;    /* the phase's time limit; NEVER */
	uint64_t down_ms;   /* since when the peer is out of reach; NEVER: it is not */
	int err;	    /* what a client is told of a failure: a positive errno */
	bool restored;	    /* from the journal: what was not written is not known */
	bool settled;	    /* all that the phase asked of this host is done */

	bool arb_busy;	 /* the arbiter has not answered yet */
	uint64_t arb_ms; /* when to ask it, at the earliest */

	/* source */
	bool started;	/* START was said */
	bool sending;	/* MIG_DO_SEND, and not over */
	bool sent_all;	/* and nothing was missing */
	bool exporting; /* MIG_DO_EXPORT, and not over */
	bool export_asked;
	bool state_said; /* STATE may have left */
	bool arb_reads;	 /* the arbiter was asked whether it is the destination's */
	bool promised;	 /* the destination will never run it */
	bool destroying;

	/* destination */
	bool incoming; /* it is ready for START */
	bool received, importing, imported;
	bool found; /* after a restart: all of it is there */
	bool is_found;
	bool dead;	/* what was received has died */
	bool arb_asked; /* the arbiter was asked to make it ours */
};

struct effect {
	struct list link;
	struct migration *g; /* borrowed; NULL: none */
	struct mig_effect e;
	struct mig_msg msg;
	struct mig_cookie *cookie; /* owned */
	uint8_t *blob;		   /* owned */
	char why[MIG_WHY_MAX];
};

struct migrator {
	struct mig_self self;
	const struct mig_ops *ops; /* borrowed */
	void *data;		   /* borrowed */
	struct list all;	   /* in the order in which they began */
	struct list open;    /* of them those that are not done: what time or a guest may end */
	struct list touched; /* of them those that the round changed, in the order of that */
	struct idtree ids;
	struct list effects; /* of this round */
	size_t n_jobs, n_done;
	uint64_t now_ms, wall_ms;
	int broken; /* a fault that ends the daemon at the next flush */
};

/* ---- effect.c ---- */

/*
 * Queues an effect; why may be NULL. NULL: no memory, and the next flush fails: the caller has
 * nothing more to do.
 */
struct effect *effect_add(struct migrator *m, struct migration *g, enum mig_effect_type type,
			  const char *why);
void effect_free(struct effect *e);
/* MIG_DO_CALL of that type, unless it is under way. blob is copied. */
void effect_call(struct migration *g, enum mig_msg_type type, const uint8_t *blob, size_t len);
void effect_call_cancel(struct migration *g, enum mig_msg_type type);
void effect_answer(struct migrator *m, struct migration *g, const struct mig_msg *msg,
		   uint64_t link, uint64_t call, enum mig_answer answer, const char *why);
/* Answers a client that waits, and forgets it. cookie: the row's, by this host. */
void effect_reply(struct migration *g, enum wait_for w, int err, const char *why, bool guest_runs,
		  bool cookie);
/* As the end `from` would compare, and `to` is to be; put: without comparing. */
void effect_arbiter(struct migration *g, bool put, const char *from_host, uint64_t from_epoch,
		    const char *to_host, uint64_t to_epoch);
void row_cookie(const struct migration *g, struct mig_cookie *ret);

/* ---- phase.c ---- */

/* A migration in its first phase; NULL: no memory. It belongs to m. */
struct migration *migration_new(struct migrator *m, const struct mig_id *id, enum mig_side side,
				enum mig_phase phase);
void migration_free(struct migration *g);
struct migration *migration_find(const struct migrator *m, const struct mig_id *id);
/* The only writer of a phase. why: NULL: the row keeps its reason. */
void phase_enter(struct migration *g, enum mig_phase next, enum mig_outcome outcome,
		 const char *why);
bool phase_may_follow(enum mig_phase from, enum mig_phase to);
/* The row is written with this round, if the journal knows the migration at all. */
void row_touch(struct migration *g);
/* Its phase is MIG_DONE: what is left of it is history. */
void migration_end(struct migration *g);
/*
 * After anything that happened: ends what is over, answers whoever can be answered now.
 */
void migration_settle(struct migration *g);
bool migration_is_busy(const struct migration *g);

/* ---- source.c, destination.c: each end ---- */

void source_abort(struct migration *g, int err, const char *why);
void source_try_abort(struct migration *g);
void source_perform(struct migration *g);
void source_hear(struct migration *g, const struct mig_msg *msg);
void source_told(struct migration *g, enum mig_msg_type type, enum mig_answer answer,
		 const char *why);
void source_time(struct migration *g);
void source_arbiter(struct migration *g, enum mig_arbiter result);
uint64_t source_deadline_ms(const struct migration *g);
/* What is answered as things stand; MIG_ANS_LATER: that is not known yet. */
enum mig_answer source_answer(const struct migration *g, enum mig_msg_type type);
void source_restore(struct migration *g, bool superseded);

void dest_drop(struct migration *g, int err, const char *why, bool told);
void dest_ready(struct migration *g);
void dest_gone(struct migration *g);
void dest_hear(struct migration *g, const struct mig_msg *msg);
void dest_told(struct migration *g, enum mig_msg_type type, enum mig_answer answer,
	       const char *why);
void dest_time(struct migration *g);
void dest_arbiter(struct migration *g, enum mig_arbiter result);
uint64_t dest_deadline_ms(const struct migration *g);
enum mig_answer dest_answer(const struct migration *g, enum mig_msg_type type);
void dest_restore(struct migration *g, bool superseded);
/* Nothing but S's word can end it: Finish(cancelled), a closed connection and so on are late. */
bool dest_has_asked(const struct migration *g);

#endif
