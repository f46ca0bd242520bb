/* SPDX-License-Identifier: MIT */
/*
 * The worker: the process that serves. It comes from the keeper by fork, or is a candidate that
 * takes another's place in a live update.
 */
#ifndef DROVER_XENSTORED_WORKER_H
#define DROVER_XENSTORED_WORKER_H

#include "keeper/seat.h"
#include "xenstored/options.h"
#include "xenstored/trace.h"

struct worker_options {
	struct options *opt;
	struct trace *trace; /* the process's log */
};

/* keeper_options.worker; data is a struct worker_options. The exit status: see seat.h. */
int worker_run(void *data, const struct worker_seat *seat);

/* Whether the hypervisor is to be Xen, and where the simulated one is. */
bool worker_wants_xen(const struct options *o);
const char *worker_sim_dir(const struct options *o);

#endif
