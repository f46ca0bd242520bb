/* SPDX-License-Identifier: MIT */
/*
 * The line of --help that begins with "image versions:". Invariant: who does not say that it knows
 * something does not know it.
 */
#include "keeper/versions.h"

#include <stdlib.h>
#include <string.h>

#include "keeper/seat.h"

#define VERSION_MAX 63u

static const char images[] = "image versions:";

/* The line, or NULL. */
static const char *line_of(const char *said)
{
	const char *at = strstr(said, images);

	return at && (at == said || at[-1] == '\n') ? at : NULL;
}

/* The versions of images as bits. */
static unsigned long long image_bits(const char *line)
{
	const char *at = line + strlen(images);
	unsigned long long bits = 0;
	unsigned long n;
	char *end;

	while (*at == ' ') {
		n = strtoul(at + 1, &end, 10);
		if (end == at + 1 || n > VERSION_MAX)
			break;
		bits |= 1ull << n;
		at = end;
	}
	return bits;
}

bool versions_same_journal(const char *said)
{
	const char *line = line_of(said), *ours = strchr(SEAT_VERSIONS, ';'), *theirs;
	size_t len = strlen(ours);

	theirs = line ? strchr(line, ';') : NULL;
	return theirs && !strncmp(theirs, ours, len) &&
	       (theirs[len] == '\n' || theirs[len] == ';' || !theirs[len]);
}

unsigned int versions_image(const char *said)
{
	const char *line = line_of(said);
	unsigned long long both = line ? image_bits(line) & image_bits(SEAT_VERSIONS) : 0;
	unsigned int v = VERSION_MAX;

	while (v && !(both & 1ull << v))
		v--;
	return v;
}
