/* SPDX-License-Identifier: MIT */
/*
 * How far a migration is, on one line of a terminal. Invariant: what cannot be known is not shown.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/config_table.h"
#include "cli/migrate.h"

#define BAR_MAX 24u

void move_print_size(uint64_t octets, char ret[16])
{
	static const char units[][4] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)octets;
	unsigned int i = 0;

	for (; v >= 1024 && i < 6; i++)
		v /= 1024;
	snprintf(ret, 16, i ? "%.1f %s" : "%.0f %s", v, units[i]);
}

/* Appends as long as all of it fits: a line is cut between words, not within. */
__attribute__((format(printf, 4, 5))) static void put(char *line, size_t *len, size_t room,
						      const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + *len, room - *len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room - *len)
		*len += (size_t)n;
	line[*len] = '\0';
}

size_t move_line(const char *name, const struct move_stats *s, unsigned int width, char *ret,
		 size_t room)
{
	uint64_t done = s->total > s->remaining ? s->total - s->remaining : 0;
	unsigned int percent = s->total ? (unsigned int)((double)done * 100 / (double)s->total) : 0;
	unsigned int bar = percent * BAR_MAX / 100;
	char size[16];
	size_t len = 0;

	if (room > width + 1u)
		room = width + 1u;
	put(ret, &len, room, "%.40s", name);
	if (!s->total) {
		put(ret, &len, room, "  begins");
		return len;
	}
	put(ret, &len, room, "  [%.*s%.*s]", (int)bar, "########################",
	    (int)(BAR_MAX - bar), "------------------------");
	put(ret, &len, room, " %3u%%", percent);
	move_print_size(s->rate_bps, size);
	if (s->rate_bps)
		put(ret, &len, room, "  %s/s", size);
	move_print_size(s->remaining, size);
	put(ret, &len, room, "  %s left", size);
	if (s->rate_bps && s->remaining)
		put(ret, &len, room, "  %" PRIu64 " s", s->remaining / s->rate_bps + 1);
	if (s->iteration > 1)
		put(ret, &len, room, "  round %" PRIu64, s->iteration);
	if (s->downtime_ms)
		put(ret, &len, room, "  stops for %" PRIu64 " ms", s->downtime_ms);
	move_print_size(s->dirty_pages * s->page_size, size);
	if (s->dirty_pages && s->page_size)
		put(ret, &len, room, "  writes %s/s", size);
	return len;
}

void move_show(struct move *m)
{
	unsigned int width = config_screen_width();
	char line[512];

	if (m->o.quiet || !isatty(STDERR_FILENO))
		return;
	move_line(m->dom.name, &m->stats, width && width < 400 ? width - 1 : 100, line,
		  sizeof(line));
	fprintf(stderr, "\r%s\033[K", line);
	fflush(stderr);
	m->shown = true;
}

void move_show_end(struct move *m)
{
	if (m->shown)
		fputc('\n', stderr);
	m->shown = false;
}
