/* SPDX-License-Identifier: MIT */
/*
 * What a guest goes through: store and process together, states, events. All of it repeatable
 * after a daemon's death: a step that was done is found done.
 */
#ifndef DROVER_HOSTD_LIFE_H
#define DROVER_HOSTD_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "hostd/dom.h"
#include "hostd/host.h"

/* code: 0, or one of libvirt's error codes (rpc/error.h), with why in words (never NULL). */
typedef void life_done_fn(void *data, struct dom *d, int code, const char *why);

/* For vmm_open; their data is the struct host. */
const struct vmm_events *life_vmm_events(void);

/*
 * The guest is the caller's (dom_take) in all of these. done is called exactly once, also from
 * within the call; a reference to the guest is held until then.
 */

/* Starts def (taken over, whatever becomes of it) as d: into the store, then a process. */
void life_start(struct host *h, struct dom *d, struct guest_def *def, bool paused,
		life_done_fn *done, void *data);
/*
 * A process that waits for a guest's memory, for the migration of that id (text). Nothing of it
 * is in the store. d->incoming until life_owned. def is taken over.
 */
void life_incoming(struct host *h, struct dom *d, struct guest_def *def, uint64_t epoch,
		   const char *migration_id, life_done_fn *done, void *data);
/*
 * The guest that was received is this host's: epoch is durable in its directory, it runs (or stays
 * paused), the events say that it has started (migrated). Done again: succeeds.
 */
void life_owned(struct host *h, struct dom *d, uint64_t epoch, bool paused, life_done_fn *done,
		void *data);
void life_suspend(struct host *h, struct dom *d, life_done_fn *done, void *data);
/* reason: DOM_RUNNING_UNPAUSED, DOM_RUNNING_MIGRATION_CANCELED. */
void life_resume(struct host *h, struct dom *d, int reason, life_done_fn *done, void *data);
void life_shutdown(struct host *h, struct dom *d, bool reboot, life_done_fn *done, void *data);
/*
 * Ends its process, if there is one, and its part of the store, if there is one; then it is shut
 * off for reason (DOM_SHUTOFF_DESTROYED, DOM_SHUTOFF_MIGRATED, DOM_SHUTOFF_FAILED), and removed if
 * it is not defined. Succeeds where there is nothing to end.
 */
void life_destroy(struct host *h, struct dom *d, bool graceful, int reason, life_done_fn *done,
		  void *data);

/* What ended by itself while a migration forbade to restart it: stays here, and is restarted. */
void life_again(struct host *h, struct dom *d);

#define LIFE_STORE_AGAIN_MS 2000u /* until a store that could not be had is asked again */

/* Removes from the store what is left of guests that do not run. 0; -ENOMEM; -ENOSPC. */
int life_sweep(struct host *h);
/* The same once the store answers again. */
void life_sweep_later(struct host *h);
/* To be called often: sweeps what is due, serves guests that are d->unserved. */
void life_store_again(struct host *h);

/*
 * Where libxl makes domains: a guest that has one, another one than was known, is made known to
 * this daemon's part of the store. If that cannot be had, life_store_again tries again.
 */
void life_join(struct host *h, struct dom *d);

/* The daemon ends: nobody is told how what is under way ends. */
void life_forget_all(struct host *h);

/* Changes state and reason, nothing else. */
void life_set_state(struct host *h, struct dom *d, enum dom_state state, int reason);

#endif
