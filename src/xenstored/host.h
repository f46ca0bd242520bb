/* SPDX-License-Identifier: MIT */
/*
 * What a worker's core asks of its process: the trace file, reports, time, and a live update. Files
 * and updates are the keeper's.
 */
#ifndef DROVER_XENSTORED_HOST_H
#define DROVER_XENSTORED_HOST_H

#include "control/control.h"
#include "control/update.h"
#include "keeper/seat.h"
#include "recover/journal.h"
#include "xenstored/trace.h"

struct host {
	struct control_host control; /* for control_handle */
	struct control_update update;
	const struct worker_seat *seat; /* borrowed, as the next two */
	struct trace *trace;
	struct journal *journal; /* NULL until there is one */
	uint64_t started_ms;	 /* real time; of the first worker */
};

void host_init(struct host *h, const struct worker_seat *seat, struct trace *trace);

/* The real time in ms. */
uint64_t host_real_ms(void);

#endif
