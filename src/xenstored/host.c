/* SPDX-License-Identifier: MIT */
/*
 * The process behind a core. Invariant: what was set here and is to outlive the process is in the
 * journal when the call returns.
 */
#include "xenstored/host.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void host_trace_enable(void *data, bool on)
{
	struct host *h = data;

	trace_enable(h->trace, on);
	journal_set_host(h->journal, on, trace_path(h->trace));
}

static int host_trace_to(void *data, const char *path)
{
	struct host *h = data;
	int r = trace_open(h->trace, path);

	if (!r)
		journal_set_host(h->journal, trace_wanted(h->trace), path);
	return r;
}

static const char *host_trace_path(void *data)
{
	struct host *h = data;

	return trace_path(h->trace);
}

static FILE *host_open_report(void *data, const char *path, bool append)
{
	struct host *h = data;
	int fd = seat_open_file(h->seat, append ? PROTO_OPEN_APPEND : PROTO_OPEN_REPLACE, path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "a");

	if (!f && fd >= 0)
		close(fd);
	return f;
}

static uint64_t host_uptime(void *data)
{
	struct host *h = data;
	uint64_t now = host_real_ms();

	return now > h->started_ms ? now - h->started_ms : 0;
}

/* update.h: asks the keeper. */
static int host_update(void *data, uint64_t conn, uint64_t position, const char *file,
		       const char *args, uint64_t timeout_ms)
{
	struct host *h = data;
	struct proto_msg m;
	int n;

	proto_init(&m, PROTO_UPDATE, h->update.force, NULL);
	m.n_ids = PROTO_PLACE_WORDS;
	m.id[PROTO_CONN] = conn;
	m.id[PROTO_POSITION] = position;
	m.id[PROTO_TIMEOUT] = timeout_ms;
	n = snprintf(m.text, sizeof(m.text), "%s%c%s", file, '\0', args);
	if (n >= (int)sizeof(m.text))
		return E2BIG;
	m.text_len = (uint32_t)n;
	/* the candidate reads what there is while this process goes on */
	journal_freeze(h->journal, true);
	if (!proto_send(h->seat->link, &m, true))
		return 0;
	journal_freeze(h->journal, false);
	return EIO;
}

static void host_update_abort(void *data)
{
	struct host *h = data;

	seat_tell(h->seat, PROTO_ABORT, 0, NULL);
}

void host_init(struct host *h, const struct worker_seat *seat, struct trace *trace)
{
	h->seat = seat;
	h->trace = trace;
	h->journal = NULL;
	h->started_ms = host_real_ms();
	h->control = (struct control_host){
		.trace_enable = host_trace_enable,
		.trace_to = host_trace_to,
		.trace_path = host_trace_path,
		.open_report = host_open_report,
		.uptime_ms = host_uptime,
		.update = &h->update,
		.data = h,
	};
	h->update = (struct control_update){
		.begin = host_update,
		.abort = host_update_abort,
		.data = h,
	};
}

uint64_t host_real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
