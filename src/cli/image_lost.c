/* SPDX-License-Identifier: MIT */
/*
 * Losses. Invariant: each is told, alone or counted with those of its kind.
 */
#include "cli/image_lost.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/image_text.h"

struct image_lost_type {
	uint32_t type;
	uint64_t n;
};

void image_lost_say(const struct image_lost *lost, uint64_t record, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "drover: image %s: record %" PRIu64 ": ", lost->command, record);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void image_lost_type(struct image_lost *lost, uint32_t type)
{
	for (size_t i = 0; i < lost->n_types; i++) {
		if (lost->type[i].type == type) {
			lost->type[i].n++;
			return;
		}
	}
	lost->type = cli_must(reallocarray(lost->type, lost->n_types + 1, sizeof(*lost->type)));
	lost->type[lost->n_types++] = (struct image_lost_type){ .type = type, .n = 1 };
}

void image_lost_end(const struct image_lost *lost)
{
	char buf[16];

	for (size_t i = 0; i < lost->n_types; i++)
		fprintf(stderr, "drover: image %s: %" PRIu64 " %s left out\n", lost->command,
			lost->type[i].n, image_text_type(lost->type[i].type, buf));
	if (lost->pending)
		fprintf(stderr,
			"drover: image %s: %" PRIu64 " nodes of open transactions left out\n",
			lost->command, lost->pending);
}

void image_lost_fini(struct image_lost *lost)
{
	free(lost->type);
}
