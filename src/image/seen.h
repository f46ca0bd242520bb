/* SPDX-License-Identifier: MIT */
/*
 * What a stream has said so far, as far as later records may refer to it or must not repeat it:
 * the rules between records.
 */
#ifndef DROVER_IMAGE_SEEN_H
#define DROVER_IMAGE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "drover/image.h"
#include "wire/wire.h"

/* Connections, watches, transactions and nodes of one image. */
#define IMAGE_OBJECTS_MAX (1u << 24)

struct seen {
	bool domain; /* a domain's image: subtrees need no parents */
	struct siphash_key key;
	uint64_t *slot; /* owned; hashes, 0: free */
	size_t room;	/* a power of two, or 0 */
	size_t count;
	bool has_connection;
	char last[XENSTORE_ABS_PATH_MAX]; /* the committed node that came last */
	size_t last_len;
	size_t last_top; /* ancestors of last at least this long are known */
};

/* key is random. */
void seen_init(struct seen *s, bool domain, const uint64_t key[2]);
void seen_fini(struct seen *s);

/*
 * Takes note of a record that drover_record_decode accepted. EINVAL: it may not follow what came
 * before, err says why. ENOMEM.
 */
int seen_record(struct seen *s, const struct drover_record *rec, struct drover_image_error *err);

#endif
