/* SPDX-License-Identifier: MIT */
/*
 * Deaths of the daemon in a seeded world. Its core is thrown away as it is when it appends a
 * record, takes or lets go of a block, receives, sends or asks the hypervisor for something; only
 * the journal's files, sockets, rings and ports outlive it. A new core is made of them, and the
 * model goes on from what was committed.
 */
#ifndef DROVER_SIM_CRASH_H
#define DROVER_SIM_CRASH_H

#include <setjmp.h>

#include "recover/journal.h"
#include "recover/recover.h"
#include "world.h"

#define CRASH_BOOT "a boot"

struct crash {
	int fd[JOURNAL_FILES];	 /* owned */
	struct journal *journal; /* owned */
	struct recover *recover; /* owned: of a taking over under way */
	jmp_buf env;
	bool armed;
	bool committing;
	uint64_t left;	 /* points to pass before the next death; 0: none is planned */
	uint64_t gap;	 /* the next one is planned so many points behind, at most; 0: none */
	uint64_t passed; /* points, in all */
	uint64_t deaths;
	uint64_t barren; /* of them in one turn: they grow further apart */
	uint64_t random;
};

/* The world's core gets a journal, in memory. */
void crash_init(struct world *w);
void crash_fini(struct world *w);

/* From now on the daemon dies at random points, gap or fewer apart; 0: no more. */
void crash_plan(struct world *w, uint64_t gap, uint64_t seed);

/* What the daemon does: fn, which a death may cut short. Then another has taken over. */
void crash_run(struct world *w, void (*fn)(struct world *w));

/* What a daemon with a journal does between rounds. */
void crash_between_rounds(struct world *w);

/* What the journal holds against what is, all being committed. Without a journal: nothing. */
void crash_compare(struct world *w);

/* Here the daemon may die. committed: what it did is final. */
void crash_point(bool committed);

#endif
