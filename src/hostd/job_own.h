/* SPDX-License-Identifier: MIT */
/*
 * A job's statistics as clients are told them.
 */
#ifndef DROVER_HOSTD_JOB_OWN_H
#define DROVER_HOSTD_JOB_OWN_H

#include "hostd/job.h"
#include "hostd/params.h"

void job_params(const struct host *h, const struct dom_job *j, struct params *ret);

#endif
