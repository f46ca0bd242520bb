/* SPDX-License-Identifier: MIT */
/*
 * CONTROL commands: one table (xenstore.txt, "Miscellaneous"; docs/operations.md for "stats").
 */
#ifndef DROVER_CONTROL_CONTROL_H
#define DROVER_CONTROL_CONTROL_H

#include <stdio.h>

#include "op/core.h"

struct control_update;

/* What commands need of the process; all set. Paths are what the operator wrote. */
struct control_host {
	/* "log on", "log off". */
	void (*trace_enable)(void *data, bool on);
	/* "logfile F": 0 or an errno. */
	int (*trace_to)(void *data, const char *path);
	/* The trace file's path, NULL: none: where memreport goes without a file. */
	const char *(*trace_path)(void *data);
	/* A report's file, new or appended to; NULL: cannot be opened. */
	FILE *(*open_report)(void *data, const char *path, bool append);
	uint64_t (*uptime_ms)(void *data);
	struct control_update *update; /* borrowed: for "live-update" */
	void *data;		       /* borrowed */
};

/* core_options.control; data is a struct control_host. */
int control_handle(void *host, struct core *core, struct conn *c, const struct wire_msg *m,
		   struct op_reply *reply);

#endif
