/* SPDX-License-Identifier: MIT */
/*
 * The store: a live tree, snapshots of it, edits, and the slow part of removing.
 *
 * A tree is a root and where its charges go. The live tree charges budgets at once; a
 * transaction's tree, and the one a commit prepares, add up what they would charge. Edits either
 * happen whole or, out of memory, leave the same content.
 */
#ifndef DROVER_STORE_STORE_H
#define DROVER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/node.h"
#include "wire/path.h"

/* Upcalls of a tree; data is the tree's. Each may be NULL. */
struct tree_ops {
	/* domid owns nodes more nodes and octets more octets than before (either may be < 0). */
	void (*charge)(void *data, uint16_t domid, int64_t nodes, int64_t octets);
	/* The node at path, which domid owns, has a parent of another owner. */
	void (*edge)(void *data, uint16_t domid, const char *path, size_t len);
	/*
	 * The node at path is new, or has another value or access list; NULL: it went with all
	 * below. Told after the edit, parents before their children.
	 */
	void (*changed)(void *data, const char *path, size_t len, const struct node *n);
};

struct tree {
	struct node *root; /* owned reference */
	const struct tree_ops *ops;
	void *data; /* borrowed */
};

/* What waits for its destructor: see store_reap. */
struct reap_stack {
	struct node **item; /* owned references */
	size_t n;
	size_t room;
};

struct store {
	struct tree live;
	uint64_t gen;
	struct node_heap heap;
	struct reap_stack charged;   /* nodes that left the live tree: charges to give back */
	struct reap_stack uncharged; /* references only */
	uint64_t steps;		     /* siblings passed by listing and comparing: see conn_round */
};

/*
 * A store with the root node alone, owned by root_perms' owner. live_ops: charges of the live
 * tree. -ENOMEM.
 */
int store_init(struct store *s, struct perm_table *perms, const struct tree_ops *live_ops,
	       void *data, struct perms *root_perms);
/* Frees all nodes, charges given back. Accepts a zeroed store. */
void store_fini(struct store *s);

/* Where a path leads. All pointers are borrowed from the tree. */
struct store_pos {
	const struct node *node;     /* NULL: missing */
	const struct node *ancestor; /* the parent, or the nearest one that exists; root: NULL */
	size_t ancestor_len;	     /* octets of the ancestor's path */
	size_t missing;		     /* components that do not exist */
	size_t missing_octets;	     /* of their names together */
};

void store_find(const struct node *root, const char *path, size_t len, struct store_pos *ret);

/* Just the node, or NULL. */
const struct node *store_find_node(const struct node *root, const char *path, size_t len);

/*
 * Finds one path after the other in a tree that does not change meanwhile: what a path shares with
 * the one before is not walked again, so that many deep paths cost no more than their octets.
 */
struct store_finger {
	const struct node *root; /* borrowed */
	const char *path;	 /* borrowed: the one before */
	size_t len;
	size_t depth; /* components of it that exist */
	uint16_t end[XENSTORE_ABS_PATH_MAX / 2 + 1];
	const struct node *node[XENSTORE_ABS_PATH_MAX / 2 + 1];
};

void store_finger_init(struct store_finger *f, const struct node *root);
/*
 * The node, or NULL. path must stay as it is until the next call. ret_parent may be NULL: gets the
 * node above, NULL where there is none.
 */
const struct node *store_finger_find(struct store_finger *f, const char *path, size_t len,
				     const struct node **ret_parent);

/* The node must exist. -ENOMEM. */
int tree_set_value(struct store *s, struct tree *t, const char *path, size_t len, const void *value,
		   size_t value_len);
int tree_set_perms(struct store *s, struct tree *t, const char *path, size_t len,
		   struct perms *perms);
/*
 * The node must be missing. All missing components get perms and an empty value, the last one
 * value. -ENOMEM.
 */
int tree_create(struct store *s, struct tree *t, const char *path, size_t len, struct perms *perms,
		const void *value, size_t value_len);
/*
 * The node must exist and not be "/". It comes out with all below it: *ret_node is the caller's
 * reference, its charges still standing. -ENOMEM.
 */
int tree_remove(struct store *s, struct tree *t, const char *path, size_t len,
		struct node **ret_node);

/*
 * Hands over a reference to be freed in slices. charged: the nodes were in the live tree, so
 * each is given back to its owner, also where a snapshot still holds it. Never fails: without
 * memory for the queue it is done at once.
 */
void store_discard(struct store *s, struct node *n, bool charged);

/* Frees or gives back at most max nodes; true while more remain. */
bool store_reap(struct store *s, size_t max);

/* All charges of removed nodes given back now. */
void store_settle(struct store *s);

/*
 * Calls count once per node of the tree below (and including, but not its siblings) n.
 * Returns the number of nodes, stopping after max; *ret_whole says whether it was all.
 */
size_t store_walk(const struct node *n, size_t max, bool *ret_whole,
		  void (*count)(void *data, const struct node *n), void *data);

/*
 * The names of n's children, a NUL after each, from octet offset of that list on: at most room
 * octets of it into buf. Returns the octets of the whole list, or, where it is longer, any number
 * over offset + room.
 */
size_t store_list(const struct node *n, size_t offset, char *buf, size_t room);

#endif
