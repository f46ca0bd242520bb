/* SPDX-License-Identifier: MIT */
/*
 * The journal of migrations: a SQLite database (WAL, synchronous=FULL) with one row for each
 * migration as it is now, the phases it went through, and the epoch of each guest. What a call
 * wrote is durable when it returns 0; of one that failed, or that a crash cut short, all is there
 * or nothing.
 *
 * What has to be durable before which message (docs/decisions/0015-handing-over.md):
 *
 *   source       performing   before START leaves, and before anything is sent
 *                given        before COMMIT is answered "granted"
 *                aborted      before the guest is resumed, or COMMIT is answered "refused"
 *   destination  receiving    before START is answered
 *                owned        before the guest runs, and before TAKEN leaves
 *                returned     before RETURN leaves
 *                dropped      before FAILED leaves as a promise
 *   either       done         after all that the phase asked for is done here
 *
 * migrator_flush keeps that order for all of them: it writes a round's rows first.
 */
#ifndef DROVER_MIGRATE_JOURNAL_H
#define DROVER_MIGRATE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/migrate.h"

struct journal;

#define JOURNAL_PHASES_MAX 64u /* phases kept of one migration: the first ones and the latest */

/*
 * Opens the file, made where it is missing (mode 0600). One process at a time has it open. All of
 * these are logged with the path: -EBUSY: another process has; -EPROTO: it is no journal of ours,
 * or a later version's; -EIO: it is damaged, or cannot be read or written; -ENOMEM.
 */
int journal_open(const char *path, struct journal **ret);
/* Accepts NULL. */
void journal_close(struct journal *j);

/* All rows, in order of their beginning, to be freed with free(). -EIO, -ENOMEM. */
int journal_read(struct journal *j, struct mig_row **ret, size_t *ret_n);

/*
 * Rows and the removal of others, in one transaction; the guests' epochs and the phases follow from
 * the rows. -ENOSPC: the disk is full; -EIO; -ENOMEM. Nothing was promised then: whoever opens the
 * file next finds all of it or, mostly, nothing.
 */
int journal_write(struct journal *j, const struct mig_row *const *rows, size_t n,
		  const struct mig_id *gone, size_t n_gone);

/* A phase of a migration: when it was entered (Unix epoch), and why. why is borrowed. */
typedef void journal_phase_fn(void *data, enum mig_phase phase, uint64_t wall_ms, const char *why);
/* Calls fn for each, oldest first; for none where the id is not known. -EIO, -ENOMEM. */
int journal_history(struct journal *j, const struct mig_id *id, journal_phase_fn *fn, void *data);

/*
 * The latest epoch of a guest that is known here, and whether it was given away; 0 and false for a
 * guest that is not known. -EIO.
 */
int journal_epoch_get(struct journal *j, const uint8_t *uuid, uint64_t *ret, bool *ret_given);
/* Durable on return; as journal_write. */
int journal_epoch_set(struct journal *j, const uint8_t *uuid, uint64_t epoch, bool given);

#endif
