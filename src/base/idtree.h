/* SPDX-License-Identifier: MIT */
/*
 * Intrusive search trees over keys of one length: what is asked for by id again and again. Depth is
 * at most one more than the bits of a key, whoever chose the keys, and nothing is allocated: so an
 * entry that exists can always be added, and needs no secret against those who guess a hash.
 */
#ifndef DROVER_BASE_IDTREE_H
#define DROVER_BASE_IDTREE_H

#include <stddef.h>

struct idtree_link {
	struct idtree_link *kids[2];
	const void
		*key; /* borrowed: of the entry, unchanged while it is in the tree; NULL: in none */
};

struct idtree {
	struct idtree_link *root;
	size_t key_len; /* octets */
};

/* The entry with that key, borrowed; NULL: none. CONTAINER_OF makes it what it is. */
struct idtree_link *idtree_find(const struct idtree *t, const void *key);
/* l is all zeroes, or was removed. The key must not be there. */
void idtree_add(struct idtree *t, struct idtree_link *l, const void *key);
/* Nothing where it is in no tree. */
void idtree_remove(struct idtree *t, struct idtree_link *l);

#endif
