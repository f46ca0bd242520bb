/* SPDX-License-Identifier: MIT */
/*
 * A guest's long job, and the last one that ended: what domjobinfo tells.
 */
#ifndef DROVER_HOSTD_JOB_H
#define DROVER_HOSTD_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "hostd/dom.h"
#include "hostd/host.h"

void job_begin(struct host *h, struct dom *d, enum dom_job_operation op,
	       const uint8_t migration[16]);
void job_progress(struct host *h, struct dom *d, const struct vmm_progress *p);
/*
 * The job is the last one now: DOM_JOB_COMPLETED, DOM_JOB_FAILED (why), DOM_JOB_CANCELLED; whoever
 * subscribed is told. Without a job: nothing.
 */
void job_end(struct host *h, struct dom *d, enum dom_job_type outcome, const char *why);

#endif
