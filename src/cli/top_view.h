/* SPDX-License-Identifier: MIT */
/*
 * What `drover top` shows, as text: no terminal, no clock, no daemon.
 */
#ifndef DROVER_CLI_TOP_VIEW_H
#define DROVER_CLI_TOP_VIEW_H

#include <stdio.h>
#include <time.h>

#include "cli/stats.h"

enum cli_column {
	CLI_COLUMN_DOMAIN,
	CLI_COLUMN_NODES,
	CLI_COLUMN_BYTES,
	CLI_COLUMN_WATCHES,
	CLI_COLUMN_TRANSACTIONS,
	CLI_COLUMN_QUEUED,
	CLI_COLUMN_REFUSALS,
	CLI_COLUMN_REQUESTS,
	CLI_COLUMN_EAGAINS,
	CLI_COLUMN_COUNT
};

/* The column called name, in small letters; CLI_COLUMN_COUNT: none is. */
enum cli_column cli_column_find(const char *name);

/* A rise of a domain's refusals of one kind between two looks. */
struct cli_refusal {
	time_t when; /* 0: before the first look */
	uint32_t domid;
	char kind[CLI_KIND_SIZE];
	uint64_t more;	/* by how much it rose */
	uint64_t total; /* to what */
	uint64_t limit; /* 0: none known */
};

/* The latest refusals; the oldest are forgotten. */
#define CLI_REFUSALS 64
struct cli_refusals {
	struct cli_refusal entry[CLI_REFUSALS];
	size_t next; /* where the next one goes */
	size_t n;
};

/*
 * Notes what rose from `before` to `now`; before NULL: from nothing, at no known time. A domain
 * whose counter fell is another one with the same domid.
 */
void cli_refusals_note(struct cli_refusals *r, const struct cli_stats *before,
		       const struct cli_stats *now, time_t when);

struct cli_top_view {
	const struct cli_stats *before; /* NULL: totals of requests instead of rates */
	const struct cli_stats *now;
	const struct cli_refusals *refusals;
	uint64_t elapsed_ms; /* between the two */
	enum cli_column sort;
	unsigned int rows, columns; /* of the screen; 0: no end */
	const char *eol;	    /* ends a line: "\n", or with what clears the rest of it */
};

void cli_top_print(FILE *to, const struct cli_top_view *v);

#endif
