/* SPDX-License-Identifier: MIT */
/*
 * One table for both ways: the order is a part of the protocol, and new numbers come behind.
 */
#include "hostd/job_numbers.h"

#include <string.h>

static const size_t fields[JOB_NUMBERS] = {
	offsetof(struct vmm_progress, memory_total),
	offsetof(struct vmm_progress, memory_remaining),
	offsetof(struct vmm_progress, memory_processed),
	offsetof(struct vmm_progress, pages_constant),
	offsetof(struct vmm_progress, pages_normal),
	offsetof(struct vmm_progress, rate_bps),
	offsetof(struct vmm_progress, dirty_rate_pages),
	offsetof(struct vmm_progress, page_size),
	offsetof(struct vmm_progress, iteration),
	offsetof(struct vmm_progress, elapsed_ms),
	offsetof(struct vmm_progress, setup_ms),
	offsetof(struct vmm_progress, downtime_ms),
};

void job_numbers_put(const struct vmm_progress *p, u_quad_t ret[JOB_NUMBERS])
{
	for (size_t i = 0; i < JOB_NUMBERS; i++) {
		uint64_t n;

		memcpy(&n, (const char *)p + fields[i], sizeof(n));
		ret[i] = n;
	}
}

void job_numbers_take(const u_quad_t *numbers, size_t n, struct vmm_progress *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < JOB_NUMBERS && i < n; i++) {
		uint64_t number = numbers[i];

		memcpy((char *)ret + fields[i], &number, sizeof(number));
	}
}
