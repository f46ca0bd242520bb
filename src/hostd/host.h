/* SPDX-License-Identifier: MIT */
/*
 * One host: what the daemon consists of. All of it belongs to the loop's thread; what may take
 * long is done by others (a guest's process, libuv's threads), and ends in a callback on the loop.
 *
 * The loop goes in rounds: it waits, takes what came, and ends with hostd_round: the migrator's
 * journal and effects first, only then the output of all connections, then guests and callers that
 * are gone are freed. So no answer leaves before what it says is durable, and nothing that a
 * handler was given vanishes under it.
 */
#ifndef DROVER_HOSTD_HOST_H
#define DROVER_HOSTD_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/idtree.h"
#include "base/list.h"
#include "hostd/dom.h"
#include "vmm/vmm.h"

struct uv_loop_s;
struct settings;
struct hstore;
struct migrator;
struct journal;
struct migration;
struct hostd_hooks;
struct front;
struct proc;
struct saves;

struct host {
	struct uv_loop_s *loop;
	const struct settings *set; /* borrowed */
	struct vmm *vmm;	    /* owned */
	struct hstore *store;	    /* owned; always there, also with "store = none" */
	/* What src/hostd/migration*.c adds, all of it its own; NULL until it is opened. */
	struct migrator *migrator;
	struct journal *journal;
	struct migration *migration;
	const struct hostd_hooks *hooks; /* never NULL */
	struct registry doms;
	struct list subscriptions; /* event.h */
	struct front *front;	   /* owned: listeners and callers */
	struct saves *saves;	   /* owned: of save*.c */
	struct list life;	   /* of life.c: what is under way */
	struct list calls;	   /* under way, call.h */
	struct idtree call_ids;
	size_t n_calls;
	uint64_t last_id; /* of callers and calls */
	uint8_t uuid[DEF_UUID_SIZE];
	char name[256]; /* of the host, as settings or the system say it */
	char *defs_dir; /* owned: <state_dir>/domains */
	int lock_fd;	/* one daemon for a state directory */
	int failed;	/* < 0: the daemon cannot go on, and says so by its exit status */
	bool stopping;
	/* Of life_store.c: the store is to be swept; is being; has to be once more after that. */
	bool sweep_due, sweeping, sweep_anew;
	uint64_t store_again_ms; /* not before */
};

/* What is being done to a guest, for hooks->may. */
enum hostd_change {
	HOSTD_START,
	HOSTD_SUSPEND,
	HOSTD_RESUME,
	HOSTD_SHUTDOWN,
	HOSTD_REBOOT,
	HOSTD_DESTROY,
	HOSTD_DEFINE,
	HOSTD_UNDEFINE,
	HOSTD_SAVE,
};

/*
 * What migrations have to say about guests. Each may be NULL: then nothing is migrated.
 */
struct hostd_hooks {
	/* Migration's own procedures (call.h), after which comes one with the number 0. */
	const struct proc *procs;
	const struct proc *peer_procs; /* what other daemons may call; the same */
	/* Bits of 1 << VIR_DRV_FEATURE_* that it answers for. */
	uint64_t features;
	/* 0; or one of libvirt's codes with text: the change is refused now, because of a migration
	 * (which text names). */
	int (*may)(struct host *h, struct dom *d, enum hostd_change what, char *text, size_t room);
	/* With which epoch a guest that is started here runs. 0; a code and text. */
	int (*epoch)(struct host *h, const uint8_t *uuid, uint64_t *ret, char *text, size_t room);
	/* Whether it left this host by its last migration, and was not started here since. */
	bool (*is_away)(struct host *h, const struct dom *d);
	/* vmm_events of a guest, as they come. changed: true: it is done with, life.c does not
	 * look at it any more. */
	bool (*changed)(struct host *h, struct dom *d, enum vmm_state state,
			enum vmm_reason reason);
	void (*progress)(struct host *h, struct dom *d, const struct vmm_progress *p);
	void (*stopped)(struct host *h, struct dom *d);
	void (*sent)(struct host *h, struct dom *d, int err, const char *why);
	void (*received)(struct host *h, struct dom *d, int err, const char *why);
	void (*iteration)(struct host *h, struct dom *d, unsigned int n);
	/* A guest of a former daemon, in the registry already. */
	void (*found)(struct host *h, struct dom *d);
	void (*caller_closed)(struct host *h, uint64_t caller);
	/* Ends a round: journal and effects until there are none. < 0: the daemon must not go on.
	 */
	int (*round)(struct host *h);
};

/* Tells the loop that a round is to be ended soon, from outside of a round (threads: uv_async). */
void hostd_wake(struct host *h);
/* The daemon cannot go on: it ends, guests go on, and another one finds them. */
void hostd_fail(struct host *h, int err);
uint64_t hostd_now_ms(const struct host *h);  /* monotonic */
uint64_t hostd_wall_ms(const struct host *h); /* Unix epoch */

#endif
