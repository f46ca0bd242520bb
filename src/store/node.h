/* SPDX-License-Identifier: MIT */
/*
 * Nodes: an immutable, reference-counted tree in which a node that nobody else holds is edited
 * in place. The children of a node form an AVL tree, ordered by length and octets of the name,
 * whose links are in the nodes themselves: left and right are siblings, kids is the root of the
 * children's own tree.
 *
 * Whoever edits first unshares the path to the node: each shared node on it is replaced by a
 * copy that holds references to the same links. So a snapshot is one reference to a root, and
 * finding, creating or removing a child costs O(log siblings) at each level.
 */
#ifndef DROVER_STORE_NODE_H
#define DROVER_STORE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "perm/perm.h"

struct node {
	struct node *left; /* owned reference, as the three below */
	struct node *right;
	struct node *kids;
	struct perms *perms;
	uint64_t gen; /* changes whenever the list of children does */
	uint32_t refs;
	uint16_t name_len;  /* octets */
	uint16_t value_len; /* octets */
	uint8_t height;	    /* of the AVL tree below, 1 for a leaf */
	char data[];	    /* name, then value */
};

/* What nodes need besides malloc. */
struct node_heap {
	struct perm_table *perms; /* borrowed */
	uint64_t retained;	  /* octets that edits left to snapshots so far */
};

/* Fixed octets that a node is charged with, besides name and value. */
#define NODE_CHARGE 64u

static inline const char *node_value(const struct node *n)
{
	return n->data + n->name_len;
}

static inline uint64_t node_charge(const struct node *n)
{
	return NODE_CHARGE + n->name_len + n->value_len;
}

/*
 * A node with one reference and no links. perms: a reference is taken. NULL: no memory.
 */
struct node *node_new(const char *name, size_t name_len, const void *value, size_t value_len,
		      struct perms *perms);

static inline struct node *node_take(struct node *n)
{
	if (n)
		n->refs++;
	return n;
}

/* Frees this one node, whose links must have been taken out; its perms are released. */
void node_free_alone(struct node_heap *h, struct node *n);

/* The child called name in the tree at kids, borrowed; NULL: none. */
const struct node *node_find_child(const struct node *kids, const char *name, size_t name_len);

#define NODE_HEIGHT_MAX 96 /* of an AVL tree with 2^64 nodes, rounded up */

/* Visits children in order, while the tree does not change. */
struct node_iter {
	const struct node *stack[NODE_HEIGHT_MAX];
	int depth;
};

void node_iter_init(struct node_iter *it, const struct node *kids);
/* The next child, NULL at the end. */
const struct node *node_iter_next(struct node_iter *it);

/* The first child in order, and the one after prev: also while the tree changes. */
const struct node *node_child_after(const struct node *kids, const struct node *prev);

/*
 * Makes *slot, which must not be NULL, a node that nobody else holds. -ENOMEM: unchanged.
 */
int node_unshare(struct node_heap *h, struct node **slot);

/*
 * The slot of the existing child called name, all nodes on the way unshared. kids must be a slot
 * in an unshared node. NULL with *ret_err 0: no such child; *ret_err -ENOMEM.
 */
struct node **node_child_slot(struct node_heap *h, struct node **kids, const char *name,
			      size_t name_len, int *ret_err);

/*
 * Puts child (one reference, now the tree's) below. Its name must be new. -ENOMEM: unchanged, and
 * child is still the caller's.
 */
int node_insert_child(struct node_heap *h, struct node **kids, struct node *child);

/*
 * Takes the child called name, which must exist, out: *ret_child is the caller's reference, its
 * sibling links cleared (so the node is unshared; what is below may be shared). -ENOMEM:
 * unchanged.
 */
int node_remove_child(struct node_heap *h, struct node **kids, const char *name, size_t name_len,
		      struct node **ret_child);

#endif
