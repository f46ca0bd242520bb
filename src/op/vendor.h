/* SPDX-License-Identifier: MIT */
/*
 * Moving a domain to another daemon: what the operations of docs/protocol.md, "A domain that
 * moves", keep from one request to the next.
 */
#ifndef DROVER_OP_VENDOR_H
#define DROVER_OP_VENDOR_H

#include "base/list.h"
#include "op/core.h"

#define VENDOR_IMAGES_MAX (64u << 20) /* octets of images under way, of all connections */

/* One privileged connection that moves domains. */
struct vendor_session {
	struct list link;  /* core.vendor */
	struct conn *conn; /* borrowed */
	bool quiescing;	   /* its QUIESCE waits for requests of domid */
	uint16_t domid;
	struct vendor_image {
		uint16_t domid;
		uint8_t *data; /* owned; NULL: none is under way */
		size_t len;    /* of it that is there */
		size_t total;
	} export, import;
	char why[CORE_WHY_MAX]; /* the last refusal */
};

/* The session of c; NULL: there is none yet. */
struct vendor_session *vendor_find(struct core *core, const struct conn *c);
/* The same, made where there is none. -ENOMEM. */
int vendor_get(struct core *core, struct conn *c, struct vendor_session **ret);

/* c is about to be freed. */
void vendor_gone(struct core *core, const struct conn *c);

/* Asks again those who waited for a domain that is idle now. True: there is one. */
bool vendor_tick(struct core *core);

#endif
