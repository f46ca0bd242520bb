/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint: a whole world as records, written a slice at a time while the world goes on. Nodes
 * are those of the instant at which it began; watches are as they are when their slice comes, and
 * the log says again what happened to them meanwhile.
 */
#ifndef DROVER_STATE_CHECKPOINT_H
#define DROVER_STATE_CHECKPOINT_H

#include "state/rec.h"

struct state_checkpoint;

/* What records say besides the core. */
struct state_host {
	uint64_t started_ms; /* real time */
	bool trace_on;
	const char *trace_path; /* borrowed; NULL: none */
};

/*
 * Begins: host, limits, domains and connections are put to base at once. What transactions are open
 * goes to log, to be applied once the base is loaded. Both are borrowed; base until the end.
 * -ENOMEM, or the sink's error.
 */
int state_checkpoint_new(struct core *core, const struct state_host *host,
			 const struct state_sink *base, const struct state_sink *log,
			 struct state_checkpoint **ret);
/* Accepts NULL. */
void state_checkpoint_free(struct state_checkpoint *cp);

/* So many records more at most. 1: there are more; 0: END was put. -ENOMEM, or the sink's error. */
int state_checkpoint_step(struct state_checkpoint *cp, size_t max);

/* To be told as long as the checkpoint exists: w, or c with its watches, is about to go. */
void state_checkpoint_watch_gone(struct state_checkpoint *cp, const struct watch *w);
void state_checkpoint_conn_gone(struct state_checkpoint *cp, const struct conn *c);

#endif
