/* SPDX-License-Identifier: MIT */
/*
 * A migration's progress as numbers in a row, for the peer: the end that takes is told what the
 * end that gave has counted, so that both tell the same of the job when it is over.
 */
#ifndef DROVER_HOSTD_JOB_NUMBERS_H
#define DROVER_HOSTD_JOB_NUMBERS_H

#include <stddef.h>
#include <sys/types.h>

#include "vmm/vmm.h"

#define JOB_NUMBERS 12u

void job_numbers_put(const struct vmm_progress *p, u_quad_t ret[JOB_NUMBERS]);
/* Numbers that are missing are 0; of a later version's more than JOB_NUMBERS the rest is unknown.
 */
void job_numbers_take(const u_quad_t *numbers, size_t n, struct vmm_progress *ret);

#endif
