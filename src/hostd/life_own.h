/* SPDX-License-Identifier: MIT */
/*
 * What life*.c share.
 */
#ifndef DROVER_HOSTD_LIFE_OWN_H
#define DROVER_HOSTD_LIFE_OWN_H

#include "hostd/life.h"

#define LIFE_DEF_FILE "def.xml" /* in a guest's directory: what runs */
#define LIFE_ID_FILE "id"	/* its id here, for the next daemon */

/* One call of this floor under way on a guest. */
struct life_op {
	struct list link; /* d->enders of an end */
	struct list all;  /* host->life */
	struct host *host;
	struct dom *dom; /* referenced */
	life_done_fn *done;
	void *data;
	bool paused, incoming, was_active;
	uint64_t epoch;
	char migration[VMM_MIGRATION_ID];
	int code; /* of a start that failed, until what there is of it is gone */
	char why[VMM_ERROR_MAX];
};

/* NULL: no memory, and done was called. done may be NULL. */
struct life_op *life_op_new(struct host *h, struct dom *d, life_done_fn *done, void *data);
/* Tells and frees it. */
void life_op_end(struct life_op *op, int code, const char *why);

/* libvirt's code for a negative errno of vmm or store. */
int life_code(int err);

/* Where a domain's number tells guests apart, that is its id; from when it is known. */
void life_take_id(struct dom *d);
/* Its files in its directory: definition and id. */
int life_write_files(struct dom *d);
/* vmm_events.found. */
void life_found(void *data, struct vmm_guest *guest);
/*
 * The guest's process has ended, or there is none; its part of the store is removed next. Nothing
 * where that is under way already.
 */
void life_end(struct host *h, struct dom *d, int reason);

#endif
