/* SPDX-License-Identifier: MIT */
/*
 * The journal: what of a worker outlives it, in five files that somebody else opened. The area has
 * the header and the connections' unread input and unsent output; two pairs of base and log have
 * everything else as image records. See docs/decisions/0010-journal-and-recovery.md.
 */
#ifndef DROVER_RECOVER_JOURNAL_H
#define DROVER_RECOVER_JOURNAL_H

#include "base/area.h"
#include "op/core.h"
#include "state/checkpoint.h"

#define JOURNAL_FILES 5u /* area, base.0, log.0, base.1, log.1 */
#ifndef JOURNAL_VERSION	 /* tests build another one */
#define JOURNAL_VERSION 1u
#endif
#define JOURNAL_LOG_MIN (256u << 10)   /* octets of log that no checkpoint is begun for */
#define JOURNAL_RETRY_ROUNDS 10000u    /* until it is looked whether there is room again */
#define JOURNAL_STEP 512u	       /* records of a checkpoint written in one round */
#define JOURNAL_FILE_MAX (16ull << 30) /* octets of a base or log; address space */

struct journal;

/* Names of the files, for messages and for who opens them: "area", "base.0", … */
extern const char *const journal_file_name[JOURNAL_FILES];

/*
 * A fresh journal in these files, which are emptied. They are borrowed and stay open as long as the
 * journal. boot_id: see area_new. fd NULL: an area in memory of this process alone, and no log.
 * -ENOMEM, or a file's error, logged.
 */
int journal_new(const int fd[JOURNAL_FILES], const char *boot_id, struct journal **ret);

/*
 * The journal that a former process has left, or that another one is writing (writable false; then
 * nothing of it is changed). ENOENT: they hold none, or one of another boot or version. EINVAL:
 * damaged, logged with the file's name. -ENOMEM, or a file's error, logged.
 */
int journal_attach(const int fd[JOURNAL_FILES], const char *boot_id, bool writable,
		   struct journal **ret);

/* Lets go of the memory; the files keep what is committed. Accepts NULL. */
void journal_free(struct journal *j);

struct area *journal_area(struct journal *j);
/* Counters of the core, which go on with it: core_options.counters. */
struct core_counters *journal_counters(struct journal *j);

/*
 * From now on core's changes go to the journal; host is copied. fresh: the journal knows nothing
 * yet, and all of core is written to it first. -ENOMEM or a file's error.
 */
int journal_start(struct journal *j, struct core *core, const struct state_host *host, bool fresh);
/*
 * A journal that was attached to be read is written from now on: the process that wrote it has
 * stopped. < 0: the system's error.
 */
int journal_own(struct journal *j);
/*
 * No more: core is about to go, and the files stay as they are after the last commit. What is
 * changed in the area from then on is this process's own affair.
 */
void journal_stop(struct journal *j);

/* A connection that was recorded under this number is no more, and has left nothing. */
void journal_put_conn_gone(struct journal *j, uint32_t conn_id);

/* The process's own settings changed. */
void journal_set_host(struct journal *j, bool trace_on, const char *trace_path);

/*
 * To be called between rounds: commits what is left to commit, and writes a slice of a checkpoint
 * where one is due or under way. True: there is more to write at once.
 */
bool journal_round(struct journal *j);

/* On: no checkpoint begins or goes on, so that another process can read base and log. */
void journal_freeze(struct journal *j, bool on);

/* For reports. */
struct journal_stats {
	uint64_t base_octets;
	uint64_t log_octets;
	uint64_t checkpoints;
	bool broken; /* there was no room: what happens now is not kept */
};
void journal_stats(const struct journal *j, struct journal_stats *ret);

#endif
