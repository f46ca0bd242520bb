/* SPDX-License-Identifier: MIT */
/*
 * `drover ls`: a tree for a person, or as JSON. Invariant: the whole tree was read before the
 * first line of it is printed, so that a failure shows no half of it.
 */
#include <errno.h>
#include <json-c/json.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli/xs_client.h"

#define PERMS_WIDTH 24 /* columns at most that longer lists do not widen */

struct ls {
	bool perms;
	bool full;
	bool json;
	bool consistent;
	int depth;
	const char *path;
	struct cli_node *root; /* owned */
};

/* How the branches of a tree are drawn. */
struct branches {
	const char *inner, *last; /* before a child */
	const char *line, *gap;	  /* below it */
};

static const struct branches branches_utf8 = { "├─ ", "└─ ", "│  ", "   " };
static const struct branches branches_plain = { "  ", "  ", "  ", "  " };

struct printer {
	const struct ls *ls;
	const struct branches *branches;
	int width;    /* of the column of permissions */
	char *prefix; /* owned: branches before the node */
	size_t len;
	size_t room;
};

static size_t prefix_push(struct printer *p, const char *more)
{
	size_t before = p->len, n = strlen(more);

	if (p->len + n + 1 > p->room) {
		p->room = 2 * (p->len + n + 1);
		p->prefix = cli_must(realloc(p->prefix, p->room));
	}
	memcpy(p->prefix + p->len, more, n + 1);
	p->len += n;
	return before;
}

static void prefix_cut(struct printer *p, size_t len)
{
	p->len = len;
	p->prefix[len] = '\0';
}

static char *node_perms(const struct cli_node *node)
{
	return node->perms ? cli_text_perms(node->perms, node->n_perms) : cli_must(strdup("?"));
}

static int widen(const struct cli_node *node, const char *path, void *data)
{
	struct printer *p = data;
	char *perms = node_perms(node);
	int len = (int)strlen(perms);

	(void)path;
	if (len > p->width)
		p->width = len < PERMS_WIDTH ? len : PERMS_WIDTH;
	free(perms);
	return 0;
}

/* One line: permissions, what is before the name, the name, and the value where there is one. */
static void print_line(const struct printer *p, const struct cli_node *node, const char *before,
		       const char *name)
{
	if (p->ls->perms) {
		char *perms = node_perms(node);

		printf("%-*s  ", p->width, perms);
		free(perms);
	}
	printf("%s%s", before, name);
	if (!node->value) {
		printf(" (not permitted)");
	} else if (node->value_len || (node->has_children && !node->n_children)) {
		char *value = cli_text_escape(node->value, node->value_len, true);

		printf(" = %s", value);
		free(value);
	}
	putchar('\n');
}

static int print_full(const struct cli_node *node, const char *path, void *data)
{
	print_line(data, node, "", path);
	return 0;
}

static void print_below(struct printer *p, const struct cli_node *node)
{
	for (size_t i = 0; i < node->n_children; i++) {
		bool last = i + 1 == node->n_children;
		size_t before = prefix_push(p, last ? p->branches->last : p->branches->inner);

		print_line(p, node->child[i], p->prefix, node->child[i]->name);
		prefix_cut(p, before);
		prefix_push(p, last ? p->branches->gap : p->branches->line);
		print_below(p, node->child[i]);
		prefix_cut(p, before);
	}
}

static void print_tree(const struct ls *ls)
{
	bool utf8 = setlocale(LC_CTYPE, "") && !strcmp(nl_langinfo(CODESET), "UTF-8");
	struct printer p = { .ls = ls, .branches = utf8 ? &branches_utf8 : &branches_plain };

	cli_tree_visit(ls->root, widen, &p);
	if (ls->full) {
		cli_tree_visit(ls->root, print_full, &p);
	} else {
		print_line(&p, ls->root, "", ls->root->name);
		print_below(&p, ls->root);
	}
	free(p.prefix);
}

static struct json_object *json_string(const char *s, size_t len)
{
	return cli_must(json_object_new_string_len(s, (int)len));
}

/* "value", or "value_base64" where the octets are no text in UTF-8. */
static void json_add_value(struct json_object *o, const struct cli_node *node)
{
	char *text;

	if (!node->value)
		return;
	if (cli_text_is_utf8(node->value, node->value_len)) {
		json_object_object_add(o, "value", json_string(node->value, node->value_len));
		return;
	}
	text = cli_text_base64(node->value, node->value_len);
	json_object_object_add(o, "value_base64", json_string(text, strlen(text)));
	free(text);
}

static struct json_object *json_node(const struct cli_node *node)
{
	struct json_object *o = cli_must(json_object_new_object());
	struct json_object *part;

	json_add_value(o, node);
	if (node->perms) {
		part = cli_must(json_object_new_array());
		for (size_t i = 0; i < node->n_perms; i++) {
			char *word = cli_text_perms(&node->perms[i], 1);

			json_object_array_add(part, json_string(word, strlen(word)));
			free(word);
		}
		json_object_object_add(o, "perms", part);
	}
	if (node->has_children) {
		part = cli_must(json_object_new_object());
		for (size_t i = 0; i < node->n_children; i++)
			json_object_object_add(part, node->child[i]->name,
					       json_node(node->child[i]));
		json_object_object_add(o, "children", part);
	}
	return o;
}

static void print_json(const struct ls *ls)
{
	struct json_object *top = cli_must(json_object_new_object());
	struct json_object *node = json_node(ls->root);
	const char *text;

	json_object_object_add(top, "path", json_string(ls->root->name, strlen(ls->root->name)));
	json_object_object_foreach(node, key, part)
		json_object_object_add(top, key, json_object_get(part));
	json_object_put(node);
	text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		cli_must(NULL);
	puts(text);
	json_object_put(top);
}

static int read_whole(struct xs_handle *xs, xs_transaction_t tx, void *data)
{
	struct ls *ls = data;

	cli_tree_free(TAKE(ls->root)); /* of a try that lost */
	return cli_tree_read(xs, tx, ls->path, ls->depth, &ls->root);
}

static int ls_run(struct ls *ls)
{
	struct xs_handle *xs = cli_open("ls");
	int r;

	if (!xs)
		return CLI_FAILED;
	r = ls->consistent ? cli_transact(xs, read_whole, ls) : read_whole(xs, XBT_NULL, ls);
	xs_close(xs);
	if (r) {
		cli_tree_free(ls->root);
		return cli_fail("ls", ls->path, r);
	}
	if (ls->json)
		print_json(ls);
	else
		print_tree(ls);
	cli_tree_free(ls->root);
	return CLI_OK;
}

int cli_ls(int argc, char **argv)
{
	static const struct option options[] = {
		{ "perms", no_argument, NULL, 'p' },
		{ "full", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "depth", required_argument, NULL, 'd' },
		{ "consistent", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct ls ls = { .depth = -1, .path = "/" };
	unsigned long n;
	int c, status;

	while ((c = cli_getopt(argc, argv, "pfs:h", options, &status)) != -1) {
		switch (c) {
		case 'p':
			ls.perms = true;
			break;
		case 'f':
			ls.full = true;
			break;
		case 'j':
			ls.json = true;
			break;
		case 'c':
			ls.consistent = true;
			break;
		case 'd':
			if (!cli_number("ls", "--depth", optarg, XENSTORE_ABS_PATH_MAX, &n))
				return CLI_USAGE;
			ls.depth = (int)n;
			break;
		default:
			return status;
		}
	}
	if (argc - optind > 1)
		return cli_usage("ls", "one path at most");
	if (optind < argc)
		ls.path = argv[optind];
	return ls_run(&ls);
}
