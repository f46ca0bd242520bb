/* SPDX-License-Identifier: MIT */
/*
 * Reading and visiting trees. Invariant: the path being worked on is kept in one buffer, of
 * which a level of the recursion uses its own tail; a path is at most XENSTORE_ABS_PATH_MAX
 * octets long, so that the recursion is at most half as deep.
 */
#include "cli/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"

struct walk {
	struct xs_handle *xs; /* borrowed */
	xs_transaction_t tx;
	size_t len; /* of path */
	char path[XENSTORE_ABS_PATH_MAX + XENSTORE_PAYLOAD_MAX];
};

DEFINE_CLEANUP(struct cli_node *, cli_tree_free)

void cli_tree_free(struct cli_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->n_children; i++)
		cli_tree_free(node->child[i]);
	free(node->child);
	free(node->perms);
	free(node->value);
	free(node->name);
	free(node);
}

/* Appends a component; what the path was before is given to path_cut. */
static size_t path_push(struct walk *w, const char *name)
{
	size_t before = w->len;

	if (w->len && w->path[w->len - 1] != '/')
		w->path[w->len++] = '/';
	w->len += (size_t)snprintf(w->path + w->len, sizeof(w->path) - w->len, "%s", name);
	if (w->len >= sizeof(w->path))
		w->len = sizeof(w->path) - 1;
	return before;
}

static void path_cut(struct walk *w, size_t len)
{
	w->len = len;
	w->path[len] = '\0';
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* Value and permissions; what may not be seen is left NULL. */
static int read_self(struct walk *w, struct cli_node *node)
{
	unsigned int n = 0;

	node->value = xs_read(w->xs, w->tx, w->path, &n);
	if (!node->value && errno != EACCES)
		return errno;
	node->value_len = n;
	node->perms = xs_get_permissions(w->xs, w->tx, w->path, &n);
	if (!node->perms && errno != EACCES)
		return errno;
	node->n_perms = node->perms ? n : 0;
	return 0;
}

static int read_node(struct walk *w, const char *name, int depth, struct cli_node **ret);

static int read_children(struct walk *w, int depth, struct cli_node *node)
{
	unsigned int n = 0;
	char **names = xs_directory(w->xs, w->tx, w->path, &n);
	int r = 0;

	if (!names)
		return errno == EACCES ? 0 : errno;
	node->has_children = true;
	qsort(names, n, sizeof(*names), by_name);
	node->child = cli_must(calloc(n + 1u, sizeof(struct cli_node *)));
	for (unsigned int i = 0; i < n && !r; i++) {
		size_t before = path_push(w, names[i]);

		r = read_node(w, names[i], depth, &node->child[node->n_children]);
		if (!r)
			node->n_children++;
		else if (r == ENOENT)
			r = 0;
		path_cut(w, before);
	}
	free(names);
	return r;
}

static int read_node(struct walk *w, const char *name, int depth, struct cli_node **ret)
{
	CLEANUP(cli_tree_free) struct cli_node *node = cli_must(calloc(1, sizeof(*node)));
	int r;

	node->name = cli_must(strdup(name));
	r = read_self(w, node);
	if (!r && depth)
		r = read_children(w, depth - 1, node);
	if (r)
		return r;
	*ret = TAKE(node);
	return 0;
}

int cli_tree_read(struct xs_handle *xs, xs_transaction_t tx, const char *path, int depth,
		  struct cli_node **ret)
{
	struct walk w = { .xs = xs, .tx = tx };

	if (strlen(path) >= XENSTORE_ABS_PATH_MAX)
		return EINVAL;
	path_push(&w, path);
	return read_node(&w, path, depth, ret);
}

static int visit(struct walk *w, const struct cli_node *node, cli_tree_visit_fn *fn, void *data)
{
	int r = fn(node, w->path, data);

	for (size_t i = 0; i < node->n_children && !r; i++) {
		size_t before = path_push(w, node->child[i]->name);

		r = visit(w, node->child[i], fn, data);
		path_cut(w, before);
	}
	return r;
}

int cli_tree_visit(const struct cli_node *root, cli_tree_visit_fn *fn, void *data)
{
	struct walk w = { 0 };

	path_push(&w, root->name);
	return visit(&w, root, fn, data);
}
