/* SPDX-License-Identifier: MIT */
/*
 * The table of `drover top`. Invariant: no line is wider than the screen and none is printed
 * below it; the latest refusals keep a quarter of it, the rest is the domains'.
 */
#include "cli/top_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"

/* Which column is shown how, and what a sort by it puts first. */
static const struct {
	const char *name; /* for --sort */
	const char *title;
	int width;
} columns[CLI_COLUMN_COUNT] = {
	[CLI_COLUMN_DOMAIN] = { "domain", "DOMAIN", 6 },
	[CLI_COLUMN_NODES] = { "nodes", "NODES", 8 },
	[CLI_COLUMN_BYTES] = { "bytes", "BYTES", 11 },
	[CLI_COLUMN_WATCHES] = { "watches", "WATCHES", 8 },
	[CLI_COLUMN_TRANSACTIONS] = { "transactions", "TRANS", 6 },
	[CLI_COLUMN_QUEUED] = { "queued", "QUEUED", 7 },
	[CLI_COLUMN_REFUSALS] = { "refusals", "REFUSALS", 9 },
	[CLI_COLUMN_REQUESTS] = { "requests", "REQ/S", 11 },
	[CLI_COLUMN_EAGAINS] = { "eagains", "EAGAINS", 8 },
};

struct row {
	uint64_t cell[CLI_COLUMN_COUNT]; /* requests: tenths a second, or the total */
};

struct screen {
	FILE *to;
	const struct cli_top_view *v;
	unsigned int line;
};

enum cli_column cli_column_find(const char *name)
{
	enum cli_column c = 0;

	while (c < CLI_COLUMN_COUNT && strcmp(columns[c].name, name))
		c++;
	return c;
}

static void refusal_add(struct cli_refusals *r, const struct cli_stats *now, size_t kind,
			const struct cli_domain_stats *d, uint64_t more, time_t when)
{
	struct cli_refusal *e = &r->entry[r->next];

	*e = (struct cli_refusal){ .when = when,
				   .domid = d->domid,
				   .more = more,
				   .total = d->refused[kind],
				   .limit = cli_stats_limit_of(d, now->kind[kind]) };
	memcpy(e->kind, now->kind[kind], sizeof(e->kind));
	r->next = (r->next + 1) % CLI_REFUSALS;
	if (r->n < CLI_REFUSALS)
		r->n++;
}

/* What was counted before for the kind, which may have another number there. */
static uint64_t refused_before(const struct cli_stats *before, uint32_t domid, const char *kind)
{
	const struct cli_domain_stats *d = before ? cli_stats_find(before, domid) : NULL;

	for (size_t i = 0; d && i < before->n_kinds; i++)
		if (!strcmp(before->kind[i], kind))
			return d->refused[i];
	return 0;
}

void cli_refusals_note(struct cli_refusals *r, const struct cli_stats *before,
		       const struct cli_stats *now, time_t when)
{
	for (size_t i = 0; i < now->n_domains; i++) {
		const struct cli_domain_stats *d = &now->domain[i];

		for (size_t k = 0; k < now->n_kinds; k++) {
			uint64_t was = refused_before(before, d->domid, now->kind[k]);

			if (was > d->refused[k])
				was = 0;
			if (d->refused[k] > was)
				refusal_add(r, now, k, d, d->refused[k] - was, before ? when : 0);
		}
	}
}

/* Tenths of requests a second. */
static uint64_t rate(uint64_t before, uint64_t now, uint64_t elapsed_ms)
{
	if (before > now)
		before = 0;
	return elapsed_ms ? (now - before) * 10000 / elapsed_ms : 0;
}

static struct row row_of(const struct cli_top_view *v, const struct cli_domain_stats *d)
{
	struct row row = { .cell = {
				   [CLI_COLUMN_DOMAIN] = d->domid,
				   [CLI_COLUMN_NODES] = d->nodes,
				   [CLI_COLUMN_BYTES] = d->memory,
				   [CLI_COLUMN_WATCHES] = d->watches,
				   [CLI_COLUMN_TRANSACTIONS] = d->transactions,
				   [CLI_COLUMN_QUEUED] = d->events + d->outstanding,
				   [CLI_COLUMN_REFUSALS] = cli_stats_refusals(d),
				   [CLI_COLUMN_REQUESTS] = d->requests,
				   [CLI_COLUMN_EAGAINS] = d->conflicts,
			   } };
	const struct cli_domain_stats *was;

	if (v->before) {
		/* A domain not seen before began somewhen in between: what it has is the rise. */
		was = cli_stats_find(v->before, d->domid);
		row.cell[CLI_COLUMN_REQUESTS] =
			rate(was ? was->requests : 0, d->requests, v->elapsed_ms);
	}
	return row;
}

static int row_compare(const void *pa, const void *pb, void *data)
{
	const struct row *a = pa, *b = pb;
	enum cli_column c = *(const enum cli_column *)data;

	if (c != CLI_COLUMN_DOMAIN && a->cell[c] != b->cell[c])
		return a->cell[c] > b->cell[c] ? -1 : 1;
	return a->cell[CLI_COLUMN_DOMAIN] < b->cell[CLI_COLUMN_DOMAIN] ? -1 : 1;
}

/* A line, cut at the screen's edge; below the screen, nothing. */
static void screen_line(struct screen *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void screen_line(struct screen *s, const char *fmt, ...)
{
	char text[512];
	size_t width = sizeof(text) - 1;
	va_list ap;

	if (s->v->rows && s->line >= s->v->rows)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->v->columns && s->v->columns < width)
		width = s->v->columns;
	text[width] = '\0';
	/* Nothing after the last line of a screen, which would move it up. */
	s->line++;
	fprintf(s->to, "%s%s", text,
		s->v->rows && s->line == s->v->rows && *s->v->eol == '\033' ? "\033[K" : s->v->eol);
}

static void print_head(struct screen *s)
{
	const struct cli_daemon_stats *d = &s->v->now->daemon;
	uint64_t up = d->uptime_ms / 1000;
	char requests[64];
	uint64_t tenths;

	if (s->v->before) {
		tenths = rate(s->v->before->daemon.requests, d->requests, s->v->elapsed_ms);
		snprintf(requests, sizeof(requests), "%" PRIu64 ".%" PRIu64 " requests/s",
			 tenths / 10, tenths % 10);
	} else {
		snprintf(requests, sizeof(requests), "%" PRIu64 " requests", d->requests);
	}
	screen_line(s, "up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ", %s, by %s", up / 3600,
		    up / 60 % 60, up % 60, requests, columns[s->v->sort].name);
	screen_line(s,
		    "%zu domains, %" PRIu64 " nodes, %" PRIu64 " watches, %" PRIu64
		    " transactions, %" PRIu64 " connections",
		    s->v->now->n_domains, d->nodes, d->watches, d->transactions, d->connections);
	screen_line(s, "%s", "");
}

static void print_titles(struct screen *s)
{
	char line[256];
	int n = 0;

	for (enum cli_column c = 0; c < CLI_COLUMN_COUNT; c++)
		n += snprintf(
			line + n, sizeof(line) - (size_t)n, "%s%*s", c ? " " : "", columns[c].width,
			c == CLI_COLUMN_REQUESTS && !s->v->before ? "REQUESTS" : columns[c].title);
	screen_line(s, "%s", line);
}

static void print_row(struct screen *s, const struct row *row)
{
	char line[512];
	int n = 0;

	for (enum cli_column c = 0; c < CLI_COLUMN_COUNT; c++) {
		size_t room = sizeof(line) - (size_t)n;

		if (c == CLI_COLUMN_REQUESTS && s->v->before)
			n += snprintf(line + n, room, " %*" PRIu64 ".%" PRIu64,
				      columns[c].width - 2, row->cell[c] / 10, row->cell[c] % 10);
		else
			n += snprintf(line + n, room, "%s%*" PRIu64, c ? " " : "", columns[c].width,
				      row->cell[c]);
	}
	screen_line(s, "%s", line);
}

static void print_refusals(struct screen *s)
{
	const struct cli_refusals *r = s->v->refusals;

	screen_line(s, "%s", "");
	if (!r->n) {
		screen_line(s, "nothing was refused");
		return;
	}
	screen_line(s, "latest refusals");
	for (size_t i = 1; i <= r->n; i++) {
		const struct cli_refusal *e =
			&r->entry[(r->next + CLI_REFUSALS - i) % CLI_REFUSALS];
		char when[16] = "earlier ", limit[48] = "";
		struct tm tm;

		if (e->when && localtime_r(&e->when, &tm))
			strftime(when, sizeof(when), "%H:%M:%S", &tm);
		if (e->limit)
			snprintf(limit, sizeof(limit), ", limit %" PRIu64, e->limit);
		screen_line(s, "%s  domain %u  %s: %" PRIu64 " (%" PRIu64 " in all%s)", when,
			    e->domid, e->kind, e->more, e->total, limit);
	}
}

void cli_top_print(FILE *to, const struct cli_top_view *v)
{
	struct screen s = { .to = to, .v = v };
	struct row *rows = cli_must(calloc(v->now->n_domains + 1, sizeof(*rows)));
	enum cli_column sort = v->sort;
	size_t n = v->now->n_domains, shown = n;

	for (size_t i = 0; i < n; i++)
		rows[i] = row_of(v, &v->now->domain[i]);
	qsort_r(rows, n, sizeof(*rows), row_compare, &sort);
	print_head(&s);
	print_titles(&s);
	if (v->rows) {
		/* the blank line, the title and the refusals themselves */
		size_t below = 2 + (v->refusals->n < v->rows / 4 ? v->refusals->n : v->rows / 4);
		size_t room = v->rows > s.line + below ? v->rows - s.line - below : 1;

		if (shown > room)
			shown = room - 1; /* one line to say so */
	}
	for (size_t i = 0; i < shown; i++)
		print_row(&s, &rows[i]);
	if (shown < n)
		screen_line(&s, "%*s and %zu more", columns[0].width, "", n - shown);
	print_refusals(&s);
	free(rows);
}
