/* SPDX-License-Identifier: MIT */
/*
 * Fairness between transactions. Whoever lost a commit gets, with its next transaction, a hold
 * on the paths it lost: for a bounded time others' conflicting commits wait, and where the loser
 * is the control domain, the conflicting writes of guests wait, too. Losers on the same path
 * start one after the other. The third loss in a row of the control domain holds every write of
 * the guests. So:
 *
 *   try 1    loses on x: an unprivileged guest wrote it
 *   try 2    holds x; loses on y
 *   try 3    holds x and y; loses on z
 *   try 4    holds all: nobody unprivileged writes between START and END
 *
 * A hold lasts until the transaction ends, at most HOLD_MAX_MS (HOLD_MAX_GUEST_MS for a guest's),
 * and a wait for one at most HOLD_WAIT_MS: nobody stops anybody for good. A guest's hold delays
 * only other guests' commits on the same paths, never the control domain.
 *
 * A guest gets one hold for each loss: giving its transaction up, or letting the hold run out,
 * forfeits what it lost. And guests' holds leave room for those of the control domain.
 */
#ifndef DROVER_TXN_HOLD_H
#define DROVER_TXN_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define HOLD_MAX_MS 200u
#define HOLD_MAX_GUEST_MS 50u
#define HOLD_WAIT_MS 1000u
#define HOLD_PATHS 3u
#define HOLD_ALL_AFTER 3u   /* losses in a row */
#define HOLD_ACTIVE_MAX 64u /* guests': half of it; on everything: without limit */

/* One who may lose: part of a connection. */
struct contender {
	/* Called when what it waits for may have passed: the request is to be tried again. */
	void (*wake)(struct contender *c);
	struct list active;	/* link: holds */
	struct list waiting;	/* link: waits */
	uint64_t deadline_ms;	/* of the hold */
	uint64_t wait_until_ms; /* of the wait; 0: not waiting */
	struct lost_path *lost; /* owned: up to HOLD_PATHS, newest first */
	uint32_t tx_id;		/* whose hold it is */
	unsigned int losses;	/* in a row */
	bool privileged;
	bool wants_start; /* waits to start, not to write */
};

struct hold_table {
	struct list active;
	struct list waiting; /* in the order they came */
	size_t n_active;
	uint64_t now_ms; /* as hold_tick was last told */
};

enum hold_access {
	HOLD_WRITE,  /* one request outside a transaction */
	HOLD_COMMIT, /* a transaction that wrote the path */
};

void hold_table_init(struct hold_table *h);
void contender_init(struct contender *c, bool privileged);
/* The contender is off all lists, wakes whom it held back, and forgets its losses. */
void contender_fini(struct hold_table *h, struct contender *c);

/*
 * The contender asks to start a transaction: true, it may (and holds what it lost before, see
 * hold_began); false: its wake will be called.
 */
bool hold_may_start(struct hold_table *h, struct contender *c, uint64_t now_ms);
/* It started tx_id. */
void hold_began(struct hold_table *h, struct contender *c, uint32_t tx_id, uint64_t now_ms);

/*
 * Whether c may change path, len octets, now. removed: all below goes, too. False: its wake will
 * be called, at the latest in HOLD_WAIT_MS, after which the answer is true.
 */
bool hold_may_change(struct hold_table *h, struct contender *c, enum hold_access access,
		     const char *path, size_t len, bool removed, uint64_t now_ms);

/* c goes ahead with what it waited for. */
void hold_wait_over(struct contender *c);

/* tx_id ended: lost on path (path NULL: not lost). */
void hold_ended(struct hold_table *h, struct contender *c, uint32_t tx_id, bool committed,
		const char *lost_path, size_t len);

/* Ends holds and waits that are due. The next deadline, or UINT64_MAX. */
uint64_t hold_tick(struct hold_table *h, uint64_t now_ms);

#endif
