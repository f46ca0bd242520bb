/* SPDX-License-Identifier: MIT */
/*
 * Log lines and faults. Invariant: a line reaches exactly one sink, whole, and logging never
 * fails its caller nor changes errno.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"

static struct {
	log_sink_fn *fn;
	void *data;
} sink;

void log_set_sink(log_sink_fn *fn, void *data)
{
	sink.fn = fn;
	sink.data = data;
}

void log_writev(enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char line[4608];

	vsnprintf(line, sizeof(line), fmt, ap);
	if (sink.fn)
		sink.fn(sink.data, level, line);
	else
		fprintf(stderr, "%s\n", line);
	errno = saved;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_writev(level, fmt, ap);
	va_end(ap);
}

int fault_at(const char *file, int line, int err)
{
	assert(err < 0);
	log_error("fault: %s at %s:%d", strerrorname_np(-err), file, line);
	return err;
}
