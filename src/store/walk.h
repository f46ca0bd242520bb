/* SPDX-License-Identifier: MIT */
/*
 * Whole trees: visiting every node with its path, what differs between two trees, and building
 * one from nodes that come parents first.
 */
#ifndef DROVER_STORE_WALK_H
#define DROVER_STORE_WALK_H

#include "store/store.h"

struct walk_frame;

/*
 * Visits a tree in preorder, siblings in their order. The tree must not change meanwhile: the
 * caller holds a reference to it.
 */
struct tree_walk {
	struct path path;	  /* of the node visited last */
	struct walk_frame *frame; /* owned */
	size_t n;
	size_t room;
	const struct node *root; /* borrowed; NULL: visited */
	bool failed;
};

/* root is the node at path, len octets; it is visited first. */
void tree_walk_init(struct tree_walk *w, const struct node *root, const char *path, size_t len);
/* The next node, its path in w->path; NULL: no more, or out of memory (w->failed). */
const struct node *tree_walk_next(struct tree_walk *w);
void tree_walk_fini(struct tree_walk *w);

/* Whether value and access list are the same. */
bool tree_same_node(const struct node *a, const struct node *b);

/*
 * Calls back for each node that is in b alone (parents first), in a alone (b NULL; what was below
 * is not told of), or differs in value or access list. What both share is not visited. a and b are
 * the nodes at path, len octets; either may be NULL. -ENOMEM.
 */
int tree_diff(const char *path, size_t len, const struct node *a, const struct node *b,
	      void (*differs)(void *data, const char *path, size_t len, const struct node *a,
			      const struct node *b),
	      void *data);

struct build_dir;

/*
 * Builds the live tree of a store that has its root alone. Nodes come in preorder; siblings in any
 * order, best in theirs.
 */
struct tree_build {
	struct store *s;       /* borrowed */
	struct build_dir *dir; /* owned: the way down to the node added last */
	size_t n;
	size_t room;
	struct node **kid; /* owned array of owned references: children still apart */
	size_t n_kids;
	size_t kid_room;
	struct path path; /* of the node added last */
};

void tree_build_init(struct tree_build *b, struct store *s);
/*
 * Adds the node at path, which is not "/". perms: a reference is taken. ENOENT: its parent is not
 * the node added last or above it. EEXIST: a sibling of that name came right before. -ENOMEM.
 */
int tree_build_add(struct tree_build *b, const char *path, size_t len, struct perms *perms,
		   const void *value, size_t value_len);
/* Puts all in place. EEXIST: two siblings have one name. -ENOMEM. */
int tree_build_end(struct tree_build *b);
/* Frees what is not in place. */
void tree_build_fini(struct tree_build *b);

#endif
