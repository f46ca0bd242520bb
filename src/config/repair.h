/* SPDX-License-Identifier: MIT */
/*
 * What is done about a device of a verdict: the column "repair" of docs/config.md's table, as a
 * plan that is made first and carried out then, so that a dry run says what a run would do.
 */
#ifndef DROVER_CONFIG_REPAIR_H
#define DROVER_CONFIG_REPAIR_H

#include <json-c/json.h>
#include <stdbool.h>

#include "config/change.h"
#include "config/session.h"

#define REPAIR_TEXT_MAX 256

/* All of it may be empty: then nothing is to be done. */
struct repair_plan {
	bool remove;		    /* its keys in the store */
	bool drop;		    /* its intent */
	struct json_object *put;    /* owned: what the record's entry is to be; NULL */
	struct json_object *del;    /* owned: the record's entry that is to go; NULL */
	struct json_object *entry;  /* owned: the device to be removed, as far as known; NULL */
	struct keys restore;	    /* keys to be written */
	char text[REPAIR_TEXT_MAX]; /* in words; "" for nothing */
};
void repair_plan_fini(struct repair_plan *p);

/* What is to be done about j of d. flags: DROVER_REPAIR_FORCE. */
int repair_plan_make(struct drover_config *c, const struct conf_domain *d,
		     const struct conf_judged *j, unsigned int flags, struct repair_plan *ret);

/* The plan for a device on a controller that is removed, instead of what was planned for it. */
void repair_plan_go_along(const struct conf_judged *j, struct repair_plan *p);

/* The store's part, then the record's in memory. Lock held. */
int repair_plan_run(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j,
		    const struct repair_plan *p);

/* The record's part and the intent's, durable, in this order, for n plans. Lock held. */
int repair_plans_finish(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j,
			const struct repair_plan *p, size_t n);

/*
 * Settles one device of d at once, without waiting for anybody: store, record, intent, in this
 * order, so that whoever dies in between leaves what the next one settles the same way. Lock
 * held. j is of d and not to be used afterwards, and d->store is as it was before.
 */
int repair_at_once(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j);

/*
 * The keys that make a damaged device whole again, as far as its backend or its entry has them.
 * *ret empty: nothing would.
 */
int repair_restore(struct drover_config *c, const struct conf_domain *d,
		   const struct conf_judged *j, struct json_object *entry, struct keys *ret);

/*
 * The same for the directory of all PCI devices, from an entry of it or the whole: *ret empty
 * where no entry says which device it is.
 */
int repair_pci(struct drover_config *c, const struct conf_domain *d, const struct conf_judged *j,
	       struct keys *ret);

/* Whether an entry of that directory says that it is this device, in whatever key. */
bool repair_pci_names(const struct conf_class *k, const struct conf_dev *dev, const char *id);

#endif
