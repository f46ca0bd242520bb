/* SPDX-License-Identifier: MIT */
/*
 * A domain whose configuration is changed by one that is killed: the device that is changed, the
 * states that may be seen of it, and what must be so of them at every instant.
 */
#ifndef DROVER_STRESS_CONFIG_WORLD_H
#define DROVER_STRESS_CONFIG_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/client.h"
#include "drover/config.h"

#define WHY_MAX 2048

/* ---- devices ---- */

#define CRASH_FIELDS_MAX 12

/* A device of a class, and how it is changed while it is attached. */
struct crash_device {
	const char *class;
	const char *fields[CRASH_FIELDS_MAX]; /* "vdev=xvdq", up to NULL */
	const char *update;		      /* NULL: nothing of it can be changed */
};

/* NULL from the end of the table on, or where there is none of that class. */
const struct crash_device *crash_device_at(size_t i);
const struct crash_device *crash_device_find(const char *class);

/* The device that is to be attached, with its script unless that is NULL. */
int crash_device_make(struct drover_config *c, const struct crash_device *from, const char *script,
		      struct drover_device **ret);

/* Sets in d what an update of such a device changes. */
int crash_device_update(struct drover_config *c, const struct crash_device *of,
			struct drover_device *d);

/* ---- a world ---- */

enum crash_op { CRASH_ATTACH, CRASH_DETACH, CRASH_UPDATE, CRASH_OPS };

/* States of the device that both views may agree on. */
enum crash_state {
	STATE_ABSENT,
	STATE_ATTACHED,
	STATE_UPDATED,
	CRASH_STATES,
	STATE_NONE = CRASH_STATES, /* none of them */
};

struct crash_world {
	struct drover_config_options opt;
	struct drover_config *c;   /* owned */
	struct conf_client *store; /* owned: to look at the store itself */
	uint32_t domid;
	char uuid[37];
	const struct crash_device *device;
	const char *id;		       /* owned by example */
	const char *script;	       /* of the device, or NULL */
	struct drover_device *example; /* owned */
	struct {
		char *live, *persistent; /* owned: JSON */
		char *paths;		 /* owned: of all nodes of the domain's devices */
	} seen[CRASH_STATES];
};

/*
 * Goes through all states that op may lead to and remembers how they look; of a silent backend,
 * that is the one. False: why says what is not as it must be even without a crash.
 */
bool crash_world_init(struct crash_world *w, enum crash_op op, bool silent, char why[WHY_MAX]);
void crash_world_fini(struct crash_world *w);

/* Does op by a session of its own; 0, or what the library returned. For the one who is killed. */
int crash_world_change(const struct crash_world *w, enum crash_op op);

/* Repairs, by a session of its own. */
int crash_world_repair(const struct crash_world *w);

/* Brings the device to a state that it is in, or that an attach or detach leads to. */
bool crash_world_go(struct crash_world *w, enum crash_state to, char why[WHY_MAX]);

/*
 * Somebody was killed while he did op. Looks, repairs, looks again. False: why says which rule
 * was broken. ret_verdict: what was told of the device, DROVER_VERDICTS for nothing.
 */
bool crash_world_check(struct crash_world *w, enum crash_op op, enum drover_verdict *ret_verdict,
		       char why[WHY_MAX]);

/* The state both views agree on now. */
enum crash_state crash_world_state(struct crash_world *w, char why[WHY_MAX]);

#endif
