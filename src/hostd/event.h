/* SPDX-License-Identifier: MIT */
/*
 * Events of guests, to those who subscribed: each is queued to its connection at once, behind
 * answers that are queued already, and leaves with them at the end of the round. A connection
 * that does not read loses events, which are counted, never the daemon's memory.
 */
#ifndef DROVER_HOSTD_EVENT_H
#define DROVER_HOSTD_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "hostd/dom.h"
#include "hostd/host.h"

struct caller;

#define EVENT_SUBSCRIPTIONS_MAX 256u /* of one connection */

enum { /* VIR_DOMAIN_EVENT_ID_* that there are */
       EVENT_ID_LIFECYCLE = 0,
       EVENT_ID_REBOOT = 1,
       EVENT_ID_MIGRATION_ITERATION = 20,
       EVENT_ID_JOB_COMPLETED = 21,
       EVENT_IDS = 27, /* others are subscribed to, and never happen */
};

enum event_lifecycle { /* VIR_DOMAIN_EVENT_* */
		       EVENT_DEFINED,
		       EVENT_UNDEFINED,
		       EVENT_STARTED,
		       EVENT_SUSPENDED,
		       EVENT_RESUMED,
		       EVENT_STOPPED,
		       EVENT_SHUTDOWN,
};

enum { /* details, by event */
       EVENT_DEFINED_ADDED = 0,
       EVENT_DEFINED_UPDATED = 1,
       EVENT_STARTED_BOOTED = 0,
       EVENT_STARTED_MIGRATED = 1,
       EVENT_STARTED_RESTORED = 2,
       EVENT_SUSPENDED_PAUSED = 0,
       EVENT_SUSPENDED_MIGRATED = 1,
       EVENT_SUSPENDED_IOERROR = 2,
       EVENT_RESUMED_UNPAUSED = 0,
       EVENT_RESUMED_MIGRATED = 1,
       EVENT_STOPPED_SHUTDOWN = 0,
       EVENT_STOPPED_DESTROYED = 1,
       EVENT_STOPPED_CRASHED = 2,
       EVENT_STOPPED_MIGRATED = 3,
       EVENT_STOPPED_SAVED = 4,
       EVENT_STOPPED_FAILED = 5,
       EVENT_SHUTDOWN_FINISHED = 0,
       EVENT_SHUTDOWN_GUEST = 1,
};

void event_lifecycle(struct host *h, const struct dom *d, enum event_lifecycle event, int detail);
void event_reboot(struct host *h, const struct dom *d);
void event_iteration(struct host *h, const struct dom *d, int n);
/* With the statistics of d->last. */
void event_job_completed(struct host *h, const struct dom *d);

/*
 * uuid NULL: of every guest. *ret_id: the subscription's number on this connection. 0; one of
 * libvirt's codes with text.
 */
int event_subscribe(struct host *h, struct caller *c, int event_id, const uint8_t *uuid,
		    int *ret_id, char *text, size_t room);
int event_unsubscribe(struct host *h, struct caller *c, int id, char *text, size_t room);
void event_forget(struct host *h, struct caller *c);

#endif
