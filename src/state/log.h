/* SPDX-License-Identifier: MIT */
/* The log: each change of a core as a record, put to a sink as it happens. */
#ifndef DROVER_STATE_LOG_H
#define DROVER_STATE_LOG_H

#include "state/checkpoint.h"

/* Part of who keeps the log. */
struct state_log {
	struct state_sink sink;
	/* See core_log_ops. */
	uint64_t (*mark)(void *data);
	void (*rewind)(void *data, uint64_t mark);
	struct core *core;		     /* borrowed */
	struct state_checkpoint *checkpoint; /* borrowed: under way; NULL: none */
	int error; /* the first failure of the sink since somebody looked; 0: none */
};

/* From now on core's changes go to l, which must outlive it or a core_set_log of NULL. */
void state_log_attach(struct state_log *l, struct core *core);

#endif
