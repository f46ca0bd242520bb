/* SPDX-License-Identifier: MIT */
/*
 * Who made an intent: a process, told from all that ever had its pid.
 */
#ifndef DROVER_CONFIG_INTENT_OWNER_H
#define DROVER_CONFIG_INTENT_OWNER_H

#include "config/err.h"
#include "config/intent.h"

/* Fills in this process. -EIO: /proc does not tell. */
int intent_owner_self(struct intent *i, struct conf_err *err);

/*
 * Reads what /proc/PID/stat says: when the process started, and whether it is dead (a zombie, with
 * no thread that still runs). False: it is not such a line.
 */
bool intent_owner_parse(const char *stat, uint64_t *ret_start_ticks, bool *ret_dead);

#endif
