/* SPDX-License-Identifier: MIT */
/*
 * Search trees over the bits of keys. Invariant: an entry i levels below the root has the same
 * first i bits as every key that is looked for there, the bits of an octet counted from its lowest;
 * so of numbers in a row each level holds twice as many as the one above.
 */
#include "base/idtree.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

static unsigned int bit_of(const void *key, size_t i)
{
	unsigned int octet = ((const uint8_t *)key)[i / 8];

	return octet >> i % 8 & 1u;
}

/*
 * Where the key is, or would be added. An entry as deep as the key has bits has all of them, so
 * that no bit after the last is asked for.
 */
static struct idtree_link **slot_of(struct idtree *t, const void *key)
{
	struct idtree_link **at = &t->root;

	for (size_t i = 0; *at && memcmp((*at)->key, key, t->key_len) != 0; i++)
		at = &(*at)->kids[bit_of(key, i)];
	return at;
}

struct idtree_link *idtree_find(const struct idtree *t, const void *key)
{
	struct idtree_link *l = t->root;

	for (size_t i = 0; l && memcmp(l->key, key, t->key_len) != 0; i++)
		l = l->kids[bit_of(key, i)];
	return l;
}

void idtree_add(struct idtree *t, struct idtree_link *l, const void *key)
{
	struct idtree_link **at = slot_of(t, key);

	assert(!l->key && !*at);
	*l = (struct idtree_link){ .key = key };
	*at = l;
}

void idtree_remove(struct idtree *t, struct idtree_link *l)
{
	struct idtree_link **at, **leaf, *last;

	if (!l->key)
		return;
	at = slot_of(t, l->key);
	assert(*at == l);
	/* Whatever is below it has its bits, and may be in its place. */
	leaf = at;
	while ((*leaf)->kids[0] || (*leaf)->kids[1])
		leaf = &(*leaf)->kids[!(*leaf)->kids[0]];
	last = *leaf;
	*leaf = NULL;
	if (last != l) {
		memcpy(last->kids, l->kids, sizeof(last->kids));
		*at = last;
	}
	*l = (struct idtree_link){ 0 };
}
