/* SPDX-License-Identifier: MIT */
/*
 * Intents: what somebody is about to do to a domain's devices, durable before anything else is
 * touched. They lie in one file of the domain, a JSON list, read and replaced under the lock of
 * its record; the file is removed with its last entry.
 */
#ifndef DROVER_CONFIG_INTENT_H
#define DROVER_CONFIG_INTENT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/err.h"
#include "config/userdata.h"

#define INTENTS_MAX 1024 /* of one domain */
#define INTENT_FOREIGN_MAX_S 600

enum intent_op { INTENT_ADD, INTENT_REMOVE, INTENT_UPDATE };

struct intent {
	enum intent_op op;
	const char *class;	 /* of the table: static */
	char *id;		 /* owned */
	struct json_object *old; /* owned; the record's entry before; NULL: none */
	struct json_object *new; /* owned; the entry to be; NULL of INTENT_REMOVE */
	/* Who: a process is its pid and when it started, in this boot and pid namespace. */
	pid_t pid; /* 0: it gave up, and knows that it left something to be done */
	uint64_t start_ticks;
	uint64_t pid_ns; /* inode of /proc/self/ns/pid; 0: not known */
	char boot_id[37];
	int64_t time_s; /* since the epoch, for people */
};

struct intents {
	struct intent *v; /* owned */
	size_t n;
};

void intents_fini(struct intents *s);

/* All of a domain; none where there is no file. -EBADMSG: the file is damaged. */
int intents_read(struct userdata *u, uint32_t domid, const char *uuid, struct conf_err *err,
		 struct intents *ret);

/*
 * Adds one, of this process, made now; durable on return. Lock held. old and new are borrowed.
 * -EBUSY: too many, or the device has one.
 */
int intents_add(struct userdata *u, uint32_t domid, const char *uuid, enum intent_op op,
		const char *class, const char *id, struct json_object *old, struct json_object *new,
		struct conf_err *err);

/* Drops that of a device, whoever made it; durable on return. Lock held. 0 where there is none. */
int intents_drop(struct userdata *u, uint32_t domid, const char *uuid, const char *class,
		 const char *id, struct conf_err *err);

/*
 * Says of that of a device that its maker gave up: for a process that could neither finish nor
 * undo a change, and lives on. Its owner counts as dead from then on. Lock held. 0: none there.
 */
int intents_disown(struct userdata *u, uint32_t domid, const char *uuid, const char *class,
		   const char *id, struct conf_err *err);

/* That of a device, or NULL. */
const struct intent *intents_find(const struct intents *s, const char *class, const char *id);

/*
 * Whether the process that made it is still there. A process of another pid namespace (a toolstack
 * in a container) cannot be looked up: it counts as alive for as long as a change can take,
 * INTENT_FOREIGN_MAX_S.
 */
bool intent_owner_alive(const struct intent *i);

const char *intent_op_name(enum intent_op op); /* "attach", "detach", "update" */

/* Calls fn for each intent of each domain, as drover_config_locks. Ends where fn returns not 0. */
int intents_each(struct userdata *u, drover_lock_fn *fn, void *data);

#endif
