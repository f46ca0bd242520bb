/* SPDX-License-Identifier: MIT */
/*
 * Migrations of one host: the five phases and the hand-over between two daemons, as
 * docs/decisions/0015-handing-over.md has them. Pure: no socket, no clock, no file. What happened
 * comes in by the functions below, each with the time; what is to be done about it is queued as
 * effects, in order. The owner of the migrator ends each round of its loop with migrator_flush,
 * which first hands out all rows for the journal, to be made durable together, and only then the
 * other effects: so nothing leaves the daemon before what it says is durable.
 *
 * Every effect that says so is answered by exactly one call of the function named there, in this
 * or a later round, never from within the effect. After a crash all effects that were not flushed
 * never happened; migrator_restore is given the rows, and repeats what has to be repeated.
 *
 * Ids of clients (connections) and of calls (requests to be replied to) are the owner's, not 0,
 * and never used twice.
 */
#ifndef DROVER_MIGRATE_MIGRATE_H
#define DROVER_MIGRATE_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIG_ID_SIZE 16u
#define MIG_UUID_SIZE 16u
#define MIG_NAME_MAX 128u
#define MIG_ADDRESS_MAX 256u
#define MIG_FINGERPRINT_MAX 96u /* "sha256:" and hexadecimal digits */
#define MIG_WHY_MAX 512u
#define MIG_JOBS_MAX 1024u	 /* not done yet, on one host */
#define MIG_HISTORY_MAX 1000u	 /* done, kept for who asks what became of them */
#define MIG_BLOB_MAX (24u << 20) /* octets of a STATE: configuration and image */

#define MIG_COOKIE_MAX (4u << 20)		/* octets, with the definition: libvirt's limit */
#define MIG_EPOCH_MAX ((uint64_t)INT64_MAX - 3) /* of a guest; more is nobody's */

enum mig_side { MIG_SOURCE, MIG_DESTINATION };

enum mig_phase {
	MIG_BEGUN, /* source */
	MIG_PERFORMING,
	MIG_SENT,
	MIG_ABORTING,
	MIG_GIVEN,
	MIG_ABORTED,
	MIG_PREPARED, /* destination */
	MIG_RECEIVING,
	MIG_READY,
	MIG_OWNED,
	MIG_RETURNED,
	MIG_DROPPED,
	MIG_DONE, /* either */
	MIG_PHASES,
};

/* What became of it; of a MIG_DONE for good. */
enum mig_outcome { MIG_OPEN, MIG_MOVED, MIG_STAYED, MIG_OUTCOMES };

/* Flags, with libvirt's values (VIR_MIGRATE_*). */
enum mig_flag {
	MIG_LIVE = 1u << 0,
	MIG_PEER2PEER = 1u << 1,
	MIG_TUNNELLED = 1u << 2,
	MIG_PERSIST_DEST = 1u << 3,
	MIG_UNDEFINE_SOURCE = 1u << 4,
	MIG_PAUSED = 1u << 5,
	MIG_NON_SHARED_DISK = 1u << 6,
	MIG_NON_SHARED_INC = 1u << 7,
	MIG_CHANGE_PROTECTION = 1u << 8,
	MIG_UNSAFE = 1u << 9,
	MIG_OFFLINE = 1u << 10,
	MIG_COMPRESSED = 1u << 11,
	MIG_ABORT_ON_ERROR = 1u << 12,
	MIG_AUTO_CONVERGE = 1u << 13,
};

struct mig_id {
	uint8_t b[MIG_ID_SIZE];
};

/* One end of a migration, as cookies carry it. */
struct mig_host {
	char name[MIG_NAME_MAX];
	char address[MIG_ADDRESS_MAX]; /* of its daemon, for peers: "unix:///…", "tls://h:p" */
	char fingerprint[MIG_FINGERPRINT_MAX]; /* of its certificate; "": none */
};

/*
 * A cookie: what the client carries from one daemon to the other. Text, a "key=value" a line after
 * a first line of "drover-migration 1", strictly read (cookie.c).
 */
struct mig_cookie {
	struct mig_id id;
	uint8_t uuid[MIG_UUID_SIZE]; /* of the guest */
	char guest[MIG_NAME_MAX];    /* its name */
	uint64_t epoch; /* that it leaves the source with; the destination's is one more */
	uint32_t flags;
	bool arbiter;
	uint16_t domid;	      /* of its writer's, where guests are domains; 0: it has none */
	struct mig_host host; /* who wrote it */
};

/* To text, NUL-terminated, to be freed; NULL: no memory. *ret_len without the NUL. */
char *mig_cookie_print(const struct mig_cookie *c, size_t *ret_len);
/*
 * Appends, after a NUL, what the guest is defined as at the source, as the destination is to define
 * it: XML, with a NUL at its end. 0; E2BIG: the cookie would be longer than MIG_COOKIE_MAX; ENOMEM.
 */
int mig_cookie_add(char **cookie, size_t *len, const char *definition);
/* That definition, borrowed; NULL: there is none. */
const char *mig_cookie_definition(const char *data, size_t len);
/*
 * 0; EINVAL: text (room octets) says which line or key; a NUL at the end is allowed, and what
 * mig_cookie_add has appended.
 */
int mig_cookie_parse(const char *data, size_t len, struct mig_cookie *ret, char *text, size_t room);

/* ---- the journal's rows ---- */

/* One per migration; the latest one replaces it. Also what `drover migrations` tells. */
struct mig_row {
	struct mig_id id;
	enum mig_side side;
	enum mig_phase phase;
	enum mig_outcome outcome;
	uint8_t uuid[MIG_UUID_SIZE];
	char guest[MIG_NAME_MAX];
	char new_name[MIG_NAME_MAX]; /* dname; "": the same */
	uint64_t epoch;		     /* that it leaves the source with, at both ends */
	uint32_t flags;
	bool arbiter;
	/* Source: before it was sent, so an abort makes it run; once it does, or never will, not
	 * any more. Destination: it was made to run here, or to wait as asked. */
	bool was_running;
	bool told; /* the peer has heard the outcome, or need not */
	struct mig_host peer;
	uint64_t begun_ms, phase_ms; /* wall clock, Unix epoch */
	char why[MIG_WHY_MAX];
};

/*
 * The epoch of the guest on this host as the row has it: of a source before it is given the row's
 * own, of one that kept it two more, at the destination one more, so that whoever runs it after an
 * attempt does so in an epoch that was nobody's. *ret_given: that epoch was given away, or never
 * was this host's: nothing of it or below may run here.
 */
uint64_t mig_row_epoch(const struct mig_row *row, bool *ret_given);
/* 0; -EINVAL: no daemon of ours wrote it (strings, phase and side, outcome). */
int mig_row_check(const struct mig_row *row);

const char *mig_phase_name(enum mig_phase phase);
const char *mig_outcome_name(enum mig_outcome outcome);

/* ---- between daemons ---- */

enum mig_msg_type {
	MIG_MSG_START = 1, /* source to destination: is sending, to this id */
	MIG_MSG_STATE,	   /* the guest has stopped; configuration and image */
	MIG_MSG_ABORT,	   /* it stays; with an arbiter a question: will you promise? */
	MIG_MSG_COMMIT,	   /* destination to source: may I run it? */
	MIG_MSG_FAILED,	   /* I cannot; if dropped: a promise never to */
	MIG_MSG_TAKEN,	   /* owned */
	MIG_MSG_RETURN,	   /* granted, never run, never to be */
	MIG_MSGS,
};

struct mig_msg {
	enum mig_msg_type type;
	struct mig_id id;
	uint64_t epoch;
	bool promise;	     /* FAILED: dropped is durable */
	bool arbiter;	     /* START: the source's name is with the arbiter */
	const char *host;    /* who says it: its mig_host.name; never NULL; borrowed */
	const char *why;     /* ABORT, FAILED, RETURN; never NULL; borrowed */
	const uint8_t *blob; /* STATE; borrowed */
	size_t blob_len;
};

enum mig_answer {
	MIG_ANS_OK, /* START, STATE taken; ABORT: dropped, or never heard of; TAKEN, RETURN, … */
	MIG_ANS_GRANTED, /* COMMIT, FAILED: it is given away */
	MIG_ANS_REFUSED, /* COMMIT: it is not, and never will be; START, STATE: dropped */
	MIG_ANS_OWNED,	 /* ABORT: too late, it runs here */
	MIG_ANS_LATER,	 /* not decided yet: ask again, after MIG_RETRY_MS */
	MIG_ANSWERS,
};
const char *mig_msg_name(enum mig_msg_type type);
const char *mig_answer_name(enum mig_answer answer);

/* ---- effects ---- */

enum mig_effect_type {
	/* Send msg to the peer at address, again after MIG_RETRY_MS and after each reconnection
	 * until migrator_answer, also while the answer is MIG_ANS_LATER; at most one of each type
	 * and migration is under way. msg is borrowed for this call: what it points to, too. */
	MIG_DO_CALL,
	MIG_DO_CALL_CANCEL, /* no answer to that type is needed any more */
	MIG_DO_ANSWER,	    /* to a peer's call: answer, why */
	/* To a client's call: err 0, or text why. cookie for Begin, Prepare, Perform. guest_runs
	 * for Finish: reply with the domain. */
	MIG_DO_REPLY,
	/* Destination: make ready to receive (a guest of the prepared XML, a place to connect to):
	 * migrator_incoming_ready. */
	MIG_DO_INCOMING,
	/* Source: connect to where Prepare said and send the guest: migrator_stopped, migrator_sent
	 */
	MIG_DO_SEND,
	MIG_DO_SEND_CANCEL, /* migrator_sent follows all the same */
	/* Source: quiesce and export the guest's part of the store: migrator_exported. */
	MIG_DO_EXPORT,
	/* Destination: domain, configuration and image into the store, quiesced: migrator_imported
	 */
	MIG_DO_IMPORT,
	/* Destination: owned. The store's part serves, the guest runs (or stays paused: flag), is
	 * defined where asked for: migrator_running. Must be repeatable. */
	MIG_DO_RUN,
	/* Source: the store serves the guest again, and it runs again if it did before:
	 * migrator_resumed. Must be repeatable. */
	MIG_DO_RESUME,
	/* Source: it is gone: destroy the paused guest, its part of the store, its definition where
	 * asked for: migrator_gone. Destination: destroy what was received or prepared, whatever
	 * there is of it: migrator_gone. Must be repeatable. */
	MIG_DO_DESTROY,
	/* Arbiter: make (from host/epoch) into (to host/epoch): migrator_arbiter. */
	MIG_DO_ARBITER,
	MIG_DO_CHANGED, /* phase or outcome: for events, job statistics and the log */
	MIG_EFFECTS,
};

#define MIG_RETRY_MS 1000u

struct mig_effect {
	enum mig_effect_type type;
	struct mig_id id;
	/* Borrowed, for this call: as it is durable. NULL: an ANSWER about an id not known. */
	const struct mig_row *row;
	uint64_t call, link;	   /* REPLY: call. ANSWER: link and call as given to peer_call */
	const struct mig_msg *msg; /* CALL; CALL_CANCEL: its type alone */
	enum mig_answer answer;	   /* ANSWER */
	int err;		   /* REPLY: 0, or a positive errno; ECANCELED: aborted */
	const char *why;	   /* never NULL */
	bool guest_runs;	   /* REPLY to Finish */
	const struct mig_cookie *cookie; /* REPLY, NULL: none */
	const uint8_t *blob;		 /* IMPORT */
	size_t blob_len;
	/* ARBITER: put: without a condition (Begin, the key put right); else compared first. */
	bool put;
	struct {
		char host[MIG_NAME_MAX];
		uint64_t epoch;
	} from, to;
};

struct mig_ops {
	/* Makes all rows durable, in one transaction; `gone`: ids whose rows are to be removed
	 * (they fell out of the history). 0, or < 0: nothing is durable, and migrator_flush returns
	 * it: the daemon must not go on. */
	int (*journal)(void *data, const struct mig_row *const *rows, size_t n,
		       const struct mig_id *gone, size_t n_gone);
	void (*effect)(void *data, const struct mig_effect *e);
	/* 128 bits that nobody can guess. */
	void (*random_id)(void *data, struct mig_id *ret);
};

struct mig_limits {	     /* milliseconds */
	uint32_t begin_ms;   /* from Begin to Perform without CHANGE_PROTECTION */
	uint32_t prepare_ms; /* from Prepare to START */
	uint32_t peer_ms;    /* performing with the peer out of reach */
	uint32_t commit_ms;  /* sent, and no COMMIT */
	uint32_t arbiter_ms; /* cut off, until the arbiter is asked */
};
#define MIG_LIMITS_DEFAULT                                                                         \
	{                                                                                          \
		60000, 120000, 10000, 5000, 2000                                                   \
	}

struct mig_self {
	struct mig_host host;
	bool arbiter; /* one is configured */
	struct mig_limits limits;
};

/* ops, data borrowed until migrator_free. NULL: no memory. */
struct migrator *migrator_new(const struct mig_self *self, const struct mig_ops *ops, void *data);
void migrator_free(struct migrator *m);

/*
 * Before anything else: the journal's rows, in the order in which they began, as journal_read has
 * them: a later one of the same guest says that all that an older one asked for here was done. And
 * now. What has to be done about them is queued. 0; -EINVAL: a row that cannot be (logged; nothing
 * was taken); -ENOMEM.
 */
int migrator_restore(struct migrator *m, const struct mig_row *rows, size_t n, uint64_t wall_ms,
		     uint64_t now_ms);

/* Ends a round: journal, then effects. Effects may call migrator_*; those are for the next one. */
int migrator_flush(struct migrator *m);
bool migrator_is_idle(const struct migrator *m); /* nothing is queued */

/* Sets what time it is: monotonic and wall clock. Runs what is due. */
void migrator_tick(struct migrator *m, uint64_t now_ms, uint64_t wall_ms);
/* When to call it at the latest, monotonic; UINT64_MAX: never. */
uint64_t migrator_deadline_ms(const struct migrator *m);

/* ---- the client's calls. 0: MIG_DO_REPLY answers `call`; else a positive errno with text. ---- */

struct mig_begin {
	uint8_t uuid[MIG_UUID_SIZE];
	const char *guest, *new_name; /* new_name may be NULL */
	uint64_t epoch;
	uint32_t flags;
	bool running;
};

/*
 * Begin: *ret is what its reply carries; nothing is queued. EBUSY: the guest is being migrated;
 * EINVAL: flags that contradict; ENOSPC.
 */
int migrator_begin(struct migrator *m, const struct mig_begin *b, uint64_t client,
		   struct mig_cookie *ret, char *text, size_t room);
/* cookie: as Begin gave it. uuid and guest are those of the XML: EINVAL unless the cookie's. */
int migrator_prepare(struct migrator *m, const struct mig_cookie *cookie, uint32_t flags,
		     const char *new_name, uint64_t client, uint64_t call, char *text, size_t room);
/* cookie: as Prepare gave it. ENOENT: not begun; EINVAL: another guest's, other flags. */
int migrator_perform(struct migrator *m, const struct mig_cookie *cookie, uint32_t flags,
		     uint64_t client, uint64_t call, char *text, size_t room);
/* id NULL: the newest migration to here of the guest of that name. ENOENT. */
int migrator_finish(struct migrator *m, const struct mig_id *id, const char *guest, bool cancelled,
		    uint64_t client, uint64_t call, char *text, size_t room);
int migrator_confirm(struct migrator *m, const struct mig_id *id, const uint8_t *uuid,
		     bool cancelled, uint64_t client, uint64_t call, char *text, size_t room);
/* domjobabort. ENOENT: no job; EBUSY: it is given away, nothing can be aborted. */
int migrator_abort(struct migrator *m, const uint8_t *uuid, const char *why, char *text,
		   size_t room);
void migrator_client_closed(struct migrator *m, uint64_t client);

/* ---- what happened ---- */

/*
 * A peer's call; MIG_DO_ANSWER with the same link and call answers it, maybe much later: a call
 * that cannot be answered yet is kept until it can, and answered LATER when it is repeated
 * meanwhile. What
 * another host says than the migration's peer is answered as if the migration were not known;
 * whether it is that host the owner checks (migrator_find, row->peer.fingerprint). Of an OFFLINE
 * source, which has never heard of its destination, the first that says COMMIT is the peer.
 */
void migrator_peer_call(struct migrator *m, const struct mig_msg *msg, uint64_t link,
			uint64_t call);
/* An answer to MIG_DO_CALL. why never NULL. */
void migrator_answer(struct migrator *m, const struct mig_id *id, enum mig_msg_type type,
		     enum mig_answer answer, const char *why);
/* Whether that migration's peer can be reached now; told when it changes. Up at first. */
void migrator_peer_reach(struct migrator *m, const struct mig_id *id, bool up);

void migrator_incoming_ready(struct migrator *m, const struct mig_id *id, int err, const char *why);
void migrator_stopped(struct migrator *m, const struct mig_id *id);
void migrator_sent(struct migrator *m, const struct mig_id *id, int err, const char *why);
/* blob is copied. */
void migrator_exported(struct migrator *m, const struct mig_id *id, int err, const char *why,
		       const uint8_t *blob, size_t len);
void migrator_received(struct migrator *m, const struct mig_id *id, int err, const char *why);
void migrator_imported(struct migrator *m, const struct mig_id *id, int err, const char *why);
/*
 * err: it has not run a single instruction here, for certain, and is given back; as what is gone
 * although its directory still names the migration, which is taken out before it is told to run. 0:
 * it runs, is paused as asked, or may have run and died. The source destroys its own only then.
 */
void migrator_running(struct migrator *m, const struct mig_id *id, int err, const char *why);
void migrator_resumed(struct migrator *m, const struct mig_id *id, int err, const char *why);
void migrator_gone(struct migrator *m, const struct mig_id *id);
/*
 * The guest's process ended by itself, at either end, at any time. Of a source that was sending it,
 * migrator_sent need not follow.
 */
void migrator_guest_died(struct migrator *m, const struct mig_id *id, const char *why);

enum mig_arbiter {
	MIG_ARB_YES,	     /* done */
	MIG_ARB_IS_TO,	     /* it said so already */
	MIG_ARB_IS_OTHER,    /* it says something else */
	MIG_ARB_UNREACHABLE, /* not known whether it was done */
};
void migrator_arbiter(struct migrator *m, const struct mig_id *id, enum mig_arbiter result);

/*
 * After migrator_restore, once for each row of a destination that is not done: what there is of the
 * guest. received: all of its memory and its part of the store are there.
 */
void migrator_found(struct migrator *m, const struct mig_id *id, bool process, bool received);

/* ---- questions: rows are told as they are durable, that is as of the last flush ---- */

/*
 * The migration that the guest is busy with; NULL: none. One that is over on this host, and of
 * which only the peer has to hear yet, is none. Borrowed, until the next call.
 */
const struct mig_row *migrator_job(const struct migrator *m, const uint8_t *uuid);
const struct mig_row *migrator_find(const struct migrator *m, const struct mig_id *id);
/* Each row, oldest first, done ones, too. */
void migrator_each(const struct migrator *m, void (*fn)(void *data, const struct mig_row *row),
		   void *data);
/* What an open migration waits for, in words; "" : nothing. */
const char *migrator_waits_for(const struct migrator *m, const struct mig_id *id);

#endif
