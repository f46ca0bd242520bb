/* SPDX-License-Identifier: MIT */
/*
 * The trace file (-T, CONTROL logfile) and the log: a line per message in and out, and every log
 * line. Format as C xenstored's, so that its readers' scripts go on.
 */
#ifndef DROVER_XENSTORED_TRACE_H
#define DROVER_XENSTORED_TRACE_H

#include <stdbool.h>

#include "base/log.h"
#include "conn/conn.h"

struct trace;

/*
 * The process's log: to stderr, and to the trace file where one is open. info: also
 * informational lines. NULL: no memory.
 */
struct trace *trace_new(bool info);
/* To syslog instead of stderr, from now on. */
void trace_to_syslog(struct trace *t);
/* Where lines go instead of stderr, and who opens files; for a worker. Both may be NULL. */
struct trace_host {
	void (*log)(void *data, enum log_level level, const char *line);
	/* For appending: a descriptor, or a negative errno. */
	int (*open)(void *data, const char *path);
	void *data; /* borrowed */
};
void trace_set_host(struct trace *t, const struct trace_host *host);
void trace_free(struct trace *t);

/* Opens path for appending instead of what was open. 0 or an errno; on error all is as before. */
int trace_open(struct trace *t, const char *path);
/* None from now on. */
void trace_close(struct trace *t);
/* SIGHUP: the same path again, created where it was moved away. */
void trace_reopen(struct trace *t);
void trace_enable(struct trace *t, bool on);
/* Whether messages are wanted there, if a file is open or not. */
bool trace_wanted(const struct trace *t);
bool trace_is_on(const struct trace *t);
/* NULL: none. */
const char *trace_path(const struct trace *t);

/* core_options.trace; data is a struct trace. */
void trace_message(void *data, const struct conn *c, bool out, const struct wire_msg *m);

#endif
