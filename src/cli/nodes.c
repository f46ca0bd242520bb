/* SPDX-License-Identifier: MIT */
/*
 * `drover read`, `write`, `rm` and `chmod`: single nodes. Invariant: `write` of several nodes
 * changes all of them or none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli/xs_client.h"

/* A value as asked for; raw: its octets and nothing else. */
static void print_value(const char *path, const char *value, unsigned int len, bool raw, bool named)
{
	char *text;

	if (raw) {
		fwrite(value, 1, len, stdout);
		return;
	}
	text = cli_text_escape(value, len, false);
	if (named)
		printf("%s = ", path);
	puts(text);
	free(text);
}

int cli_read(int argc, char **argv)
{
	static const struct option options[] = {
		{ "raw", no_argument, NULL, 'r' },
		{ "paths", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	bool raw = false, named = false;
	struct xs_handle *xs;
	int c, status;

	while ((c = cli_getopt(argc, argv, "rps:h", options, &status)) != -1) {
		if (c == '?')
			return status;
		raw |= c == 'r';
		named |= c == 'p';
	}
	if (optind == argc)
		return cli_usage("read", "which path?");
	xs = cli_open("read");
	if (!xs)
		return CLI_FAILED;
	status = CLI_OK;
	for (int i = optind; i < argc; i++) {
		unsigned int len;
		char *value = xs_read(xs, XBT_NULL, argv[i], &len);

		if (value)
			print_value(argv[i], value, len, raw, named);
		else
			status = cli_fail("read", argv[i], errno);
		free(value);
	}
	xs_close(xs);
	return status;
}

struct pairs {
	char **word; /* path, value, path, value… */
	int n;
	const char *failed; /* the path an error is about */
};

static int write_pairs(struct xs_handle *xs, xs_transaction_t tx, void *data)
{
	struct pairs *p = data;

	for (int i = 0; i < p->n; i += 2) {
		const char *value = p->word[i + 1];

		if (!xs_write(xs, tx, p->word[i], value, (unsigned int)strlen(value))) {
			p->failed = p->word[i];
			return errno;
		}
	}
	return 0;
}

/* The octets of standard input as one node's value. */
static int write_stdin(struct xs_handle *xs, const char *path)
{
	char value[XENSTORE_PAYLOAD_MAX + 1];
	size_t len = fread(value, 1, sizeof(value), stdin);

	if (ferror(stdin))
		return errno ? errno : EIO;
	if (len == sizeof(value))
		return E2BIG;
	return xs_write(xs, XBT_NULL, path, value, (unsigned int)len) ? 0 : errno;
}

int cli_write(int argc, char **argv)
{
	static const struct option options[] = {
		{ "stdin", no_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct pairs p = { 0 };
	struct xs_handle *xs;
	bool from_stdin = false;
	int c, r, status;

	while ((c = cli_getopt(argc, argv, "+is:h", options, &status)) != -1) {
		if (c == '?')
			return status;
		from_stdin = true;
	}
	p.word = argv + optind;
	p.n = argc - optind;
	if (from_stdin ? p.n != 1 : p.n < 2 || p.n % 2)
		return cli_usage("write", "%s",
				 from_stdin ? "--stdin goes with one path"
					    : "each path needs its value");
	xs = cli_open("write");
	if (!xs)
		return CLI_FAILED;
	p.failed = p.word[0];
	if (from_stdin)
		r = write_stdin(xs, p.word[0]);
	else if (p.n == 2)
		r = write_pairs(xs, XBT_NULL, &p);
	else
		r = cli_transact(xs, write_pairs, &p);
	xs_close(xs);
	return r ? cli_fail("write", p.failed, r) : CLI_OK;
}

int cli_rm(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct xs_handle *xs;
	int status;

	if (cli_getopt(argc, argv, "s:h", options, &status) != -1)
		return status;
	if (optind == argc)
		return cli_usage("rm", "which path?");
	xs = cli_open("rm");
	if (!xs)
		return CLI_FAILED;
	status = CLI_OK;
	for (int i = optind; i < argc; i++)
		if (!xs_rm(xs, XBT_NULL, argv[i]))
			status = cli_fail("rm", argv[i], errno);
	xs_close(xs);
	return status;
}

struct chmod {
	struct xs_handle *xs;	      /* borrowed */
	struct xs_permissions *perms; /* owned */
	unsigned int n;
	bool recursive;
	char *failed; /* owned: the path an error is about */
};

static bool node_exists(struct xs_handle *xs, const char *path)
{
	unsigned int n;
	struct xs_permissions *perms = xs_get_permissions(xs, XBT_NULL, path, &n);

	free(perms);
	return perms != NULL;
}

static int chmod_one(const struct cli_node *node, const char *path, void *data)
{
	struct chmod *ch = data;
	int r;

	(void)node;
	if (xs_set_permissions(ch->xs, XBT_NULL, path, ch->perms, ch->n))
		return 0;
	r = errno;
	if (r == ENOENT && node_exists(ch->xs, path))
		r = ESRCH; /* it is the domain that does not exist */
	else if (r == ENOENT && ch->recursive)
		return 0; /* it vanished meanwhile */
	ch->failed = cli_must(strdup(path));
	return r;
}

static int chmod_run(struct chmod *ch, const char *path)
{
	struct cli_node *root = NULL;
	int r;

	ch->xs = cli_open("chmod");
	if (!ch->xs)
		return CLI_FAILED;
	r = ch->recursive ? cli_tree_read(ch->xs, XBT_NULL, path, -1, &root)
			  : chmod_one(NULL, path, ch);
	if (!r && root)
		r = cli_tree_visit(root, chmod_one, ch);
	cli_tree_free(root);
	xs_close(ch->xs);
	if (r)
		cli_fail("chmod", ch->failed ? ch->failed : path, r);
	free(ch->failed);
	return r ? CLI_FAILED : CLI_OK;
}

int cli_chmod(int argc, char **argv)
{
	static const struct option options[] = {
		{ "recursive", no_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct chmod ch = { 0 };
	int c, status;

	while ((c = cli_getopt(argc, argv, "+rs:h", options, &status)) != -1) {
		if (c == '?')
			return status;
		ch.recursive = true;
	}
	if (argc - optind < 2)
		return cli_usage("chmod", "a path and its permissions are needed");
	ch.n = (unsigned int)(argc - optind - 1);
	ch.perms = cli_must(calloc(ch.n, sizeof(*ch.perms)));
	for (unsigned int i = 0; i < ch.n; i++) {
		const char *word = argv[optind + 1 + (int)i];

		if (!cli_text_perm_parse(word, &ch.perms[i])) {
			free(ch.perms);
			return cli_usage("chmod", "'%s' is not n, r, w or b and a domid", word);
		}
	}
	status = chmod_run(&ch, argv[optind]);
	free(ch.perms);
	return status;
}
