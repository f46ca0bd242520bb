/* SPDX-License-Identifier: MIT */
/*
 * What a command of `drover image` could not carry over, told on stderr.
 */
#ifndef DROVER_CLI_IMAGE_LOST_H
#define DROVER_CLI_IMAGE_LOST_H

#include <stddef.h>
#include <stdint.h>

struct image_lost {
	const char *command;	      /* borrowed */
	struct image_lost_type *type; /* owned */
	size_t n_types;
	uint64_t pending; /* nodes of open transactions */
};

/* Something of the record with that index is not as it was: says it at once. */
void image_lost_say(const struct image_lost *lost, uint64_t record, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A record was left out; how many of its type, image_lost_end says. */
void image_lost_type(struct image_lost *lost, uint32_t type);

void image_lost_end(const struct image_lost *lost);
void image_lost_fini(struct image_lost *lost);

#endif
