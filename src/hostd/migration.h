/* SPDX-License-Identifier: MIT */
/*
 * Migrations of this host: what the pure machine (migrate/migrate.h) asks for is done here, with
 * guests, store, peers and clients, and what comes of it is told to the machine.
 */
#ifndef DROVER_HOSTD_MIGRATION_H
#define DROVER_HOSTD_MIGRATION_H

#include "base/idtree.h"
#include "base/list.h"
#include "hostd/data.h"
#include "hostd/host.h"
#include "migrate/migrate.h"

struct peers;
struct run_held;
struct arbiter;

/*
 * This daemon's own part of a migration: what the machine need not know. One for each migration
 * that is not done.
 */
struct run {
	struct list link;
	struct idtree_link ided; /* by id */
	struct mig_id id;
	struct host *host; /* borrowed */
	struct dom *dom;   /* referenced; NULL: not there yet, or gone */
	enum mig_side side;
	bool restored; /* from the journal: what a former daemon did of it is not known */
	uint8_t uuid[DEF_UUID_SIZE];
	/* source: as Perform said */
	char uri[DATA_URI_MAX]; /* where to */
	struct vmm_send_options send;
	bool connecting; /* to the destination */
	bool sending;	 /* the guest's process was asked to, and has not told how it ended */
	bool cancel;	 /* of what is connecting */
	bool suspended;	 /* by a user while it is sent: an abort leaves it so */
	bool aborted;	 /* by a client */
	/* destination: as Prepare said */
	bool joined;		   /* the store knows the domain that libxl has restored */
	struct run_held *held;	   /* owned: an import that waits for that */
	struct guest_def *def;	   /* owned, until a process was started for it */
	struct guest_def *persist; /* owned: to be defined here; NULL: what runs, or nothing */
	bool kept;		   /* it may be in a file: migration_keep.c */
	uint16_t domid;		   /* the source's; 0: none */
	char *uri_in;		   /* owned: where the client wants it; NULL: nothing was said */
	char uri_out[DATA_URI_MAX];
	struct data_listener *listener; /* owned */
};

struct migration {
	struct host *host; /* borrowed */
	struct peers *peers;
	struct arbiter *arbiter; /* NULL: none is configured */
	struct list runs;
	struct idtree run_ids;
	struct list laters;	  /* what callbacks of the store are given: migration_run.c */
	struct list steps;	  /* under way: migration_step.c */
	struct list p2ps;	  /* this daemon as the client: p2p.c */
	struct list questions;	  /* after a restart: migration_found.c */
	struct uv_timer_s *timer; /* owned by the loop once it is closed */
};

/*
 * Opens the journal, restores what it tells, sets host's hooks. The registry is read, guests of a
 * former daemon are found already. 0; < 0: logged.
 */
int migration_open(struct host *h);
/* After hstore_close. The loop has to run once more. Nothing where it is not open. */
void migration_close(struct host *h);

/* ---- between migration*.c ---- */

struct run *run_find(struct host *h, const struct mig_id *id);
/* A new one; NULL: no memory, the daemon fails. */
struct run *run_new(struct host *h, const struct mig_id *id, enum mig_side side,
		    const uint8_t uuid[DEF_UUID_SIZE]);
void run_free(struct run *r);
/* Its guest, now and from now on known by d->migration. */
void run_set_dom(struct run *r, struct dom *d);

/* Effects on guests and store: migration_run.c, migration_end.c. Borrowed, for the call. */
void run_incoming(struct run *r, const struct mig_effect *e);
void run_send(struct run *r, const struct mig_effect *e);
void run_send_cancel(struct run *r, const struct mig_effect *e);
/* A guest of a former daemon answers now: what was to be cancelled is. */
void run_answers(struct run *r);
void run_export(struct run *r, const struct mig_effect *e);
void run_import(struct run *r, const struct mig_effect *e);
/* The guest's memory is here, or will not be: err, why. */
void run_received(struct run *r, int err, const char *why);
void run_held_free(struct run_held *held); /* accepts NULL */
void run_own(struct run *r, const struct mig_effect *e);
void run_resume(struct run *r, const struct mig_effect *e);
void run_destroy(struct run *r, const struct mig_effect *e);

/*
 * What a destination is to define, durably: migration_keep.c. r->persist into its file; < 0: the
 * system's error, logged. Harmless where there is no file.
 */
int run_keep_write(struct run *r);
/* The file becomes the guest's definition, as it is. < 0: it does not, and is there still. */
int run_keep_define(struct run *r);
void run_keep_remove(struct run *r);
/*
 * Source: that its user has paused the guest while it is sent, or lets it run again: also for a
 * daemon that comes later. What it said is read into r->suspended.
 */
void run_keep_suspended(struct run *r, bool suspended);
void run_keep_read_suspended(struct run *r);
/* After a restart, once all runs are there: their files are read, others' removed. < 0: logged. */
int migration_keep_open(struct host *h);

/*
 * After a restart: migrator_found follows for each that this host was to receive, once the store
 * has told what it has.
 */
void migration_ask_found(struct host *h);
void migration_drop_questions(struct host *h);
void migration_drop_laters(struct host *h);

/* A MIG_DO_REPLY, and libvirt's code for its err: migration_reply.c. */
int migration_code(int err);
void migration_reply(struct host *h, const struct mig_effect *e);

/*
 * A step that changes a guest: it is taken, act is called with it, and step_end lets it go. The
 * migration's steps wait for each other and for whoever has the guest, however long that takes:
 * they have to be done.
 */
struct step {
	struct list link; /* of the migration's steps: freed with it at the latest */
	struct run *run;  /* borrowed; NULL: gone meanwhile */
	struct host *host;
	struct mig_id id;
	struct mig_row row; /* as it was when the step was asked for */
	struct dom *dom;    /* while it is taken */
	void (*act)(struct step *s);
};

/* act NULL: no memory, the daemon fails. */
void step_begin(struct run *r, const struct mig_row *row, void (*act)(struct step *s));
/* Releases the guest and frees the step. */
void step_end(struct step *s);
/* The daemon ends, and what they wait for never comes: the next one finds in the journal what is to
 * be done. */
void step_drop_all(struct host *h);

#endif
