/* SPDX-License-Identifier: MIT */
/* The journal's header, in the area: between journal.c and recover.c. */
#ifndef DROVER_RECOVER_HEADER_H
#define DROVER_RECOVER_HEADER_H

#include "recover/file.h"
#include "recover/journal.h"
#include "state/log.h"

#define JOURNAL_MAGIC 0x4e4a5244u /* "DRJN" */

/* What files hold, in one word so that it changes at once. */
enum journal_holds {
	JOURNAL_NOTHING,
	JOURNAL_PAIR,	 /* base and log of the pair */
	JOURNAL_GOES_ON, /* base and log of the pair, and the other log from its start */
};

/* Offsets in a log. */
struct journal_log_head {
	uint64_t head;	   /* of what is not committed */
	uint64_t begin;	   /* of what follows its own base, transactions open then first */
	uint64_t preamble; /* of what follows these; what is before it is committed, too */
	uint64_t start;	   /* of what follows the other pair's log */
};

struct journal_header {
	uint32_t magic;
	uint32_t version;
	uint32_t holds;	     /* enum journal_holds * 2 + pair */
	uint32_t generation; /* of holds: who reads while it changes has read nothing of use */
	uint64_t base_len[2];
	struct journal_log_head log[2];
	struct core_counters counters;
};

struct journal {
	struct area *area;	       /* owned */
	struct journal_header *header; /* in the area */
	struct record_file base[2];
	struct record_file log[2];
	bool has_log;
	uint32_t generation; /* when it was attached */
	unsigned int pair;   /* the whole one */
	unsigned int write;  /* which log is written */
	bool writable;
	/* writing */
	struct core *core; /* borrowed; NULL: not started */
	struct state_log records;
	struct state_checkpoint *checkpoint; /* owned; NULL: none under way */
	struct state_host host;
	char trace_path[4097];
	uint64_t log_min;  /* JOURNAL_LOG_MIN; tests have less */
	uint64_t next_try; /* octets of log at which a checkpoint is tried again */
	uint64_t n_checkpoints;
	bool frozen;
	bool broken;
};

static inline uint32_t journal_generation(const struct journal *j)
{
	return __atomic_load_n(&j->header->generation, __ATOMIC_ACQUIRE);
}

/* Where the part of a log ends that is committed. */
static inline uint64_t journal_log_end(const struct journal_header *h, unsigned int log)
{
	uint64_t head = __atomic_load_n(&h->log[log].head, __ATOMIC_ACQUIRE);
	uint64_t preamble = __atomic_load_n(&h->log[log].preamble, __ATOMIC_ACQUIRE);

	return head > preamble ? head : preamble;
}

static inline uint32_t journal_holds_make(enum journal_holds what, unsigned int pair)
{
	return (uint32_t)what * 2u + pair;
}

#endif
