/* SPDX-License-Identifier: MIT */
/*
 * Within the reading of domains: what is asked of the store in a round, for whom, and what the
 * answers lead to. snapshot_read.c makes the rounds, snapshot_ask.c the requests and
 * snapshot_answer.c sees to the answers.
 */
#ifndef DROVER_CONFIG_SNAPSHOT_READ_H
#define DROVER_CONFIG_SNAPSHOT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "config/client.h"
#include "config/err.h"
#include "config/snapshot.h"

/* Domains that are read side by side: each has a transaction open. */
#define SNAPSHOT_WINDOW 16

/*
 * A domain of which events came so often while it was read without a transaction is read in one:
 * what others write, or flood us with, then counts no more than in any transaction.
 */
#define GUARD_TRIES 2

#define PATH_SIZE (XENSTORE_ABS_PATH_MAX + 1)

enum ask_what {
	ASK_START, /* the transaction */
	ASK_HERE,  /* /local/domain/N */
	ASK_VM,
	ASK_NAME,
	ASK_TYPE,
	ASK_VALUE,	/* key: the path below /local/domain/N */
	ASK_CPUS,	/* list of /local/domain/N/cpu */
	ASK_KINDS,	/* list of /libxl/N/device */
	ASK_DEVICES,	/* list of /libxl/N/device/KEY */
	ASK_LIBXL_LIST, /* of a device; key: the path below its directory, "" for itself */
	ASK_LIBXL_VALUE,
	ASK_BACK_LIST,
	ASK_BACK_VALUE,
	ASK_BACK_DOMAIN, /* /local/domain/B */
	ASK_END,
};

struct ask {
	enum ask_what what;
	unsigned int slot;
	size_t dev; /* index in the snapshot */
	bool has_key;
	size_t key_at;	 /* in the text of the asks */
	const char *key; /* borrowed from there, once all are asked; NULL: none */
};

struct asks {
	struct ask *v; /* owned */
	size_t n, room;
	char *text; /* owned: the keys */
	size_t text_len, text_room;
};

struct slot {
	struct conf_snapshot *s; /* owned while it is read */
	struct conf_err *why;	 /* borrowed */
	size_t *nodes;		 /* owned: read of each device so far */
	int err;
	uint32_t domid, tx;
	unsigned int tries;
	bool dirty;	  /* guarded: something of it changed since its reading began */
	bool done, waits; /* waits: something of it is in the next round */
};

struct reading {
	struct conf_client *c;
	struct conf_batch batch;
	struct asks now, next;
	conf_snapshot_idle_fn *idle; /* NULL; called while the store answers */
	void *idle_data;
	bool guarded;	    /* by watches, without transactions */
	bool guard_seen[2]; /* the events that making the watches caused */
	struct slot slots[SNAPSHOT_WINDOW];
	unsigned int n_slots;
};

/* One more for the next round; key is copied. -ENOMEM. */
int ask(struct reading *rd, unsigned int slot, enum ask_what what, size_t dev, const char *key);

/* Forgets what was asked. */
void asks_clear(struct asks *a);
void asks_fini(struct asks *a);

/* No more are added: their keys can be looked at. */
void asks_settle(struct asks *a);

/* The path that an ask is about, in PATH_SIZE octets. -ENAMETOOLONG. */
int ask_path(const struct ask *q, const struct slot *t, char *path);
/* "DIR/BELOW" or, where one of them is "", the other. Most of the paths are such. */
int ask_path_join(char *path, const char *dir, const char *below);
int ask_path_print(char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum xsd_sockmsg_type ask_type(enum ask_what what);

/* An answer: what it tells is kept, what follows from it is asked. Else the domain's failure. */
int ask_answered(struct reading *rd, const struct ask *q, const struct conf_reply *a);

/*
 * The watches that guard a reading without transactions: made, asked what changed (whose domains
 * are then dirty), and taken back. -EACCES and failures of the store.
 */
int guard_begin(struct reading *rd, struct conf_err *err);
int guard_take(struct reading *rd, struct conf_err *err);
int guard_end(struct reading *rd, struct conf_err *err);

/* Begins to read a domain: its first asks, in the transaction that it has or none. -ENOMEM. */
int slot_begin(struct reading *rd, unsigned int slot);

/* All of a domain was read, at one moment or not: done, or read anew, or failed. */
int slot_end(struct reading *rd, unsigned int slot, bool changed);

/* What was read of a domain so far is of no use. */
void slot_forget(struct slot *t);

#endif
