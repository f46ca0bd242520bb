/* SPDX-License-Identifier: MIT */
/*
 * The oracle's messages and comparisons: between oracle.c, oracle_msg.c, oracle_save.c and
 * oracle_tree.c.
 */
#ifndef DROVER_SIM_ORACLE_MSG_H
#define DROVER_SIM_ORACLE_MSG_H

#include "model.h"

struct oracle {
	struct world *w; /* borrowed */
	struct model m;
	struct model saved; /* what was committed last */
	bool has_saved;
	uint64_t requests;
	uint64_t digest; /* of everything taken and queued */
	uint64_t refused;
	uint64_t touches;
	uint64_t deaths; /* of the model, before */
	bool failed;	 /* an allocation had failed before */
	bool faults;	 /* one ever did */
	bool looks;	 /* domains changed: the daemon looks at them */
	bool changed[FAKE_DOMIDS];
	bool own_check; /* of the reply expected now */
	unsigned int reply_group;
	const struct mreply *reply; /* borrowed */
	uint8_t *peek;		    /* owned: what oracle_peek found */
	size_t peek_room;
};

void oracle_note(struct oracle *o, const void *data, size_t len);
/* All that is queued for c, size octets, into peek. */
void oracle_peek(struct oracle *o, struct conn *c, size_t size);
/* What was queued for c since before against what is expected. */
void oracle_match(struct oracle *o, struct mconn *c, bool fault);
/* WATCH: the initial event, behind the reply. */
void oracle_first_event(struct oracle *o, struct mconn *c, const struct wire_msg *msg);
/* Messages have vanished from the queue: only events that are old enough may. */
void oracle_stale(struct oracle *o, struct mconn *c);
void oracle_msgs_clear(struct mconn *c);
/* In place of op_handle. */
bool oracle_hook(void *data, struct conn *c, const struct wire_msg *msg);
/* All that was queued since before against all that is expected. */
void oracle_judge_all(struct oracle *o);
/* A message as it is in the queue. */
void oracle_append(struct oracle *o, struct mconn *c, const uint8_t *octets);
/* Forgets what was saved. */
void oracle_unsave(struct oracle *o);

#endif
