/* SPDX-License-Identifier: MIT */
/* What CONTROL tells: texts from the core's counters. */
#ifndef DROVER_CONTROL_REPORT_H
#define DROVER_CONTROL_REPORT_H

#include <stdio.h>

#include "op/core.h"

/* Text into a fixed room: what does not fit is left out whole. */
struct text {
	char *buf;
	size_t room;
	size_t len; /* without the NUL */
};

void text_init(struct text *t, char *buf, size_t room);
/* False: it did not fit, the text is as before. */
bool text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void report_memory(struct core *core, FILE *f);
void report_domain_quota(const struct domain *d, struct text *out);
/* The highest use of each quota by any domain but 0; reset: starts anew from the use now. */
int report_quota_max(struct core *core, struct text *out, bool reset);

/*
 * Counters: a line for the daemon where from is 0, then one per domain from id from on, as many
 * as fit, then "next ID" or "end". Each line ends with a newline.
 */
void report_stats(struct core *core, uint64_t uptime_ms, uint16_t from, struct text *out);

/* A limit for all domains that exist. */
void domains_set_quota(struct core *core, enum quota_id q, uint64_t value, bool soft);

#endif
