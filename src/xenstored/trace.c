/* SPDX-License-Identifier: MIT */
/*
 * Trace file and log. Invariant: a failing write or open of the trace file is told once and
 * never stops the daemon.
 */
#include "xenstored/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

struct trace {
	char *path; /* owned; NULL: none */
	int fd;	    /* -1: not open */
	bool on;
	bool foreground;
	bool info;
	bool write_failed; /* told already */
	struct trace_host host;
};

static void put(struct trace *t, const char *line, size_t len)
{
	ssize_t n;

	if (t->fd < 0)
		return;
	if (t->write_failed)
		return;
	n = write(t->fd, line, len);
	if (n == (ssize_t)len)
		return;
	t->write_failed = true; /* the line below is not tried there again */
	log_error("trace file %s: %s", t->path, n < 0 ? strerror(errno) : "written in part");
}

static void sink(void *data, enum log_level level, const char *line)
{
	static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO };
	struct trace *t = data;
	char buf[4700];
	int n;

	if (level == LOG_LEVEL_INFO && !t->info)
		return;
	if (t->host.log)
		t->host.log(t->host.data, level, line);
	else if (t->foreground)
		fprintf(stderr, "drover-xenstored: %s\n", line);
	else
		syslog(priority[level], "%s", line);
	if (t->fd < 0 || !t->on)
		return;
	n = snprintf(buf, sizeof(buf), "%s\n", line);
	put(t, buf, n < (int)sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
}

struct trace *trace_new(bool info)
{
	struct trace *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fd = -1;
	t->on = true;
	t->foreground = true;
	t->info = info;
	log_set_sink(sink, t);
	return t;
}

void trace_to_syslog(struct trace *t)
{
	openlog("drover-xenstored", LOG_PID, LOG_DAEMON);
	t->foreground = false;
}

void trace_set_host(struct trace *t, const struct trace_host *host)
{
	t->host = *host;
}

void trace_free(struct trace *t)
{
	if (!t)
		return;
	log_set_sink(NULL, NULL);
	trace_close(t);
	free(t);
}

static int open_append(struct trace *t, const char *path)
{
	int fd;

	if (t->host.open)
		return t->host.open(t->host.data, path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	return fd < 0 ? -errno : fd;
}

int trace_open(struct trace *t, const char *path)
{
	int fd = open_append(t, path);
	char *copy = fd < 0 ? NULL : strdup(path);

	if (fd < 0)
		return -fd;
	if (!copy) {
		close(fd);
		return ENOMEM;
	}
	trace_close(t);
	t->path = copy;
	t->fd = fd;
	t->write_failed = false;
	return 0;
}

void trace_close(struct trace *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	free(t->path);
	t->path = NULL;
}

void trace_reopen(struct trace *t)
{
	int fd;

	if (!t->path)
		return;
	fd = open_append(t, t->path);
	if (fd < 0) {
		log_error("trace file %s cannot be reopened: %s", t->path, strerror(-fd));
		return;
	}
	close(t->fd);
	t->fd = fd;
	t->write_failed = false;
}

void trace_enable(struct trace *t, bool on)
{
	t->on = on;
}

bool trace_wanted(const struct trace *t)
{
	return t->on;
}

bool trace_is_on(const struct trace *t)
{
	return t->on && t->fd >= 0;
}

const char *trace_path(const struct trace *t)
{
	return t->path;
}

/* Octets that a terminal can stand; the others as a dot. */
static size_t printable(char *to, size_t room, const char *from, size_t len)
{
	size_t n = len < room ? len : room;

	for (size_t i = 0; i < n; i++) {
		unsigned char ch = (unsigned char)from[i];

		to[i] = !ch ? ' ' : ch >= 32 && ch < 127 ? (char)ch : '.';
	}
	return n;
}

void trace_message(void *data, const struct conn *c, bool out, const struct wire_msg *m)
{
	struct trace *t = data;
	char line[XENSTORE_PAYLOAD_MAX + 160];
	struct tm tm;
	time_t now;
	size_t len;

	if (!trace_is_on(t))
		return;
	now = time(NULL);
	localtime_r(&now, &tm);
	len = (size_t)snprintf(line, sizeof(line), "%s c%llu d%u %04d%02d%02d %02d:%02d:%02d %s (",
			       out ? "OUT" : "IN", (unsigned long long)c->id, c->watcher.domid,
			       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			       tm.tm_sec, wire_type_name(m->hdr.type));
	len += printable(line + len, XENSTORE_PAYLOAD_MAX, m->payload, m->hdr.len);
	line[len++] = ')';
	line[len++] = '\n';
	put(t, line, len);
}
