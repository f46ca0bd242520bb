/* SPDX-License-Identifier: MIT */
/*
 * A host's guests, defined or running: found by uuid, by name, by id. States and reasons have
 * libvirt's numbers (VIR_DOMAIN_*), since clients are told them.
 */
#ifndef DROVER_HOSTD_DOM_H
#define DROVER_HOSTD_DOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "vmm/def.h"
#include "vmm/vmm.h"

struct host;
struct save;

#define DOM_MAX 4096u	    /* guests, defined or running */
#define DOM_ID_FREE 32768   /* ids from there on are no hypervisor's domains */
#define DOM_WAITERS_MAX 64u /* calls that wait for another one on the same guest */

enum dom_state {
	DOM_NOSTATE,
	DOM_RUNNING,
	DOM_BLOCKED,
	DOM_PAUSED,
	DOM_SHUTDOWN,
	DOM_SHUTOFF,
	DOM_CRASHED,
	DOM_STATES,
};

enum { /* reasons, by state */
       DOM_RUNNING_BOOTED = 1,
       DOM_RUNNING_MIGRATED = 2,
       DOM_RUNNING_RESTORED = 3,
       DOM_RUNNING_UNPAUSED = 5,
       DOM_RUNNING_MIGRATION_CANCELED = 6,
       DOM_RUNNING_SAVE_CANCELED = 7,
       DOM_PAUSED_UNKNOWN = 0,
       DOM_PAUSED_USER = 1,
       DOM_PAUSED_MIGRATION = 2,
       DOM_PAUSED_SAVE = 3,
       DOM_PAUSED_IOERROR = 5,
       DOM_PAUSED_CRASHED = 10,
       DOM_PAUSED_STARTING_UP = 11,
       DOM_SHUTDOWN_USER = 1,
       DOM_SHUTOFF_UNKNOWN = 0,
       DOM_SHUTOFF_SHUTDOWN = 1,
       DOM_SHUTOFF_DESTROYED = 2,
       DOM_SHUTOFF_CRASHED = 3,
       DOM_SHUTOFF_MIGRATED = 4,
       DOM_SHUTOFF_SAVED = 5,
       DOM_SHUTOFF_FAILED = 6,
};

enum dom_job_type { /* VIR_DOMAIN_JOB_* */
		    DOM_JOB_NONE,
		    DOM_JOB_BOUNDED,
		    DOM_JOB_UNBOUNDED,
		    DOM_JOB_COMPLETED,
		    DOM_JOB_FAILED,
		    DOM_JOB_CANCELLED,
};

enum dom_job_operation { /* VIR_DOMAIN_JOB_OPERATION_* */
			 DOM_JOB_START = 1,
			 DOM_JOB_SAVE = 2,
			 DOM_JOB_RESTORE = 3,
			 DOM_JOB_MIGRATION_IN = 4,
			 DOM_JOB_MIGRATION_OUT = 5,
};

/* A long job: a migration, a saving or a restoring. type DOM_JOB_NONE: there is none. */
struct dom_job {
	enum dom_job_type type;
	enum dom_job_operation operation;
	uint8_t migration[16];
	uint64_t started_ms, ended_ms; /* monotonic; ended 0: it goes on */
	uint64_t begun_wall_ms;
	struct vmm_progress progress;
	char why[VMM_ERROR_MAX]; /* of a failure */
};

struct dom {
	uint8_t uuid[DEF_UUID_SIZE];
	char *name;		      /* owned */
	int id;			      /* -1: it does not run */
	int domid;		      /* in the store; -1: it is not there */
	struct guest_def *live;	      /* owned: what runs; NULL: nothing */
	struct guest_def *persistent; /* owned: what is defined; NULL: it is transient */
	struct guest_def *again;      /* owned: to be started, if it stays here; NULL: it is not */
	struct vmm_guest *guest;      /* borrowed from vmm; NULL: no process */
	enum dom_state state;
	int reason;
	bool autostart;
	bool managed;  /* the daemon keeps a file that it was saved in */
	bool incoming; /* is being received; not owned by this host yet */
	bool found;    /* of a former daemon */
	bool unserved; /* the store was not told that it runs again: it could not be had */
	/* Of life.c: what is under way with its process. */
	bool starting;	    /* until vmm_start's end: its failure is told there */
	bool ending;	    /* its process and its part of the store are being ended */
	int end_reason;	    /* what it is shut off for then */
	int resume_reason;  /* DOM_RUNNING_*, for when it runs again */
	struct list enders; /* who waits for the end */
	struct dom_job job, last;
	/* One changing call at a time. */
	const char *holder; /* borrowed, a constant: the call's name; NULL: nobody */
	uint64_t held_since_ms;
	struct list waiters;
	unsigned int n_waiters;
	/* Freed between rounds, once nobody needs it. */
	unsigned int refs;
	bool removed;
	struct list dead;
	uint64_t migrate_speed_bps;   /* of migrations for which nothing is said; 0: no limit */
	uint32_t migrate_downtime_ms; /* 0: the backend's default */
	void *migration;	      /* src/hostd/migration*.c's own */
	struct save *save;	      /* src/hostd/save*.c's own; NULL: none is under way */
};

struct registry {
	struct dom **by_uuid, **by_name; /* owned arrays, sorted; the guests are owned, too */
	size_t n, room;
	struct list dead; /* removed, to be freed by dom_reap */
	int next_id;
};

void registry_init(struct registry *r);
void registry_fini(struct registry *r);

/* Borrowed; NULL: there is none. */
struct dom *dom_find_uuid(const struct registry *r, const uint8_t uuid[DEF_UUID_SIZE]);
struct dom *dom_find_name(const struct registry *r, const char *name);
struct dom *dom_find_id(const struct registry *r, int id);
/*
 * Adds a guest that has neither definition nor process yet, shut off. EEXIST: uuid or name is
 * taken; ENOSPC; -ENOMEM.
 */
int dom_new(struct registry *r, const uint8_t uuid[DEF_UUID_SIZE], const char *name,
	    struct dom **ret);
/* EEXIST; -ENOMEM. */
int dom_rename(struct registry *r, struct dom *d, const char *name);
/* Nobody finds it any more; it is freed by a dom_reap once it is not referenced. */
void dom_remove(struct registry *r, struct dom *d);
/* A reference keeps it in memory, nothing else: see d->removed. */
struct dom *dom_ref(struct dom *d);
void dom_unref(struct dom *d);
void dom_reap(struct registry *r);

static inline bool dom_is_active(const struct dom *d)
{
	return d->id >= 0;
}
/* What to show: the live definition, or the persistent one. */
static inline const struct guest_def *dom_def(const struct dom *d)
{
	return d->live ? d->live : d->persistent;
}

/*
 * One changing call at a time, in order of asking. granted is called at once or later, always
 * exactly once: code 0: the guest is the caller's until dom_release (check d->removed and the
 * state again); else one of libvirt's codes with text why (the holder is named). what is a
 * constant. A reference is held meanwhile.
 */
typedef void dom_granted_fn(void *data, struct dom *d, int code, const char *why);
void dom_take(struct host *h, struct dom *d, const char *what, dom_granted_fn *granted, void *data);
/*
 * The same for what has to be done: granted however many wait and however long it takes. It is
 * refused (RPC_ERR_OPERATION_ABORTED) when the daemon ends, and where memory is out: then the
 * daemon fails.
 */
void dom_take_surely(struct host *h, struct dom *d, const char *what, dom_granted_fn *granted,
		     void *data);
void dom_release(struct host *h, struct dom *d);
/* Refuses who has waited too long. To be called about every second. */
void dom_expire(struct host *h);
/* Refuses all who wait: the daemon ends. */
void dom_refuse_waiters(struct host *h);

#endif
