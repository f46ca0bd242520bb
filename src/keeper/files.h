/* SPDX-License-Identifier: MIT */
/*
 * The journal's files, and files that a worker asks for.
 */
#ifndef DROVER_KEEPER_FILES_H
#define DROVER_KEEPER_FILES_H

#include <stdbool.h>

#include "keeper/proto.h"
#include "keeper/seat.h"

#define FILES_LOCK_WAIT_MS 10000 /* for a worker whose keeper was killed to be gone, too */

/*
 * Locks and opens journal/ below rundir into seat. discard: empties it. -EBUSY: a living daemon
 * has it. -errno. Each is logged with the path.
 */
int files_open_journal(struct worker_seat *seat, const char *rundir, bool discard);

/* Which boot of the machine this is, into seat. -errno, logged. */
int files_read_boot_id(struct worker_seat *seat);

/*
 * Opens what a worker asked for. The descriptor, or a negative errno: -EPERM for what is no plain
 * file, device or pipe, or may be executed.
 */
int files_open_for_worker(enum proto_open how, const char *path);

#endif
