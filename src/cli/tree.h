/* SPDX-License-Identifier: MIT */
/*
 * A subtree of the store, read into memory.
 */
#ifndef DROVER_CLI_TREE_H
#define DROVER_CLI_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <xenstore.h>

struct cli_node {
	char *name;  /* owned; of the root, its path */
	void *value; /* owned; NULL: not permitted to read it */
	size_t value_len;
	struct xs_permissions *perms; /* owned; NULL: not permitted */
	size_t n_perms;
	struct cli_node **child; /* owned, sorted by name, numbers by value */
	size_t n_children;
	bool has_children; /* child[] was asked for and permitted */
};

/*
 * The node at path and `depth` levels below it (negative: all). Nodes that vanish while the tree
 * is read are left out. 0: *ret is to be freed by cli_tree_free. An errno otherwise; ENOENT: no
 * node at path.
 */
int cli_tree_read(struct xs_handle *xs, xs_transaction_t tx, const char *path, int depth,
		  struct cli_node **ret);

/* Accepts NULL. */
void cli_tree_free(struct cli_node *node);

/* Calls fn for path and all below it, parents first; stops at the first errno and returns it. */
typedef int cli_tree_visit_fn(const struct cli_node *node, const char *path, void *data);
int cli_tree_visit(const struct cli_node *root, cli_tree_visit_fn *fn, void *data);

#endif
