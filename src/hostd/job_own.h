/* SPDX-License-Identifier: MIT */
/*
 * A job's statistics as clients are told them.
 */
#ifndef DROVER_HOSTD_JOB_OWN_H
#define DROVER_HOSTD_JOB_OWN_H

#include "hostd/job.h"
#include "hostd/params.h"

/*
 * The last job that ended. Of a migration that another daemon ended, or was told of only after it
 * had been started again, the journal knows what became of it, not how much was sent.
 */
void job_last(const struct host *h, const struct dom *d, struct dom_job *ret);
void job_params(const struct host *h, const struct dom_job *j, struct params *ret);

#endif
