/* SPDX-License-Identifier: MIT */
/*
 * `drover image diff`: what two images say, whatever their layout, version and order of records.
 * Invariant: an image becomes a sorted list of lines, a name and what is said of it; numbers that
 * a daemon gives out as it likes (connection ids, descriptors, ports) are in none of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/image.h"
#include "cli/image_text.h"
#include "cli/text.h"

struct line {
	char *name; /* owned; both start with the kind */
	char *said; /* owned */
};

struct conn {
	uint32_t id;
	char name[24]; /* "domain 5", "socket 2": the second one in the image */
};

struct lines {
	struct line *line; /* owned */
	size_t n, room;
	struct conn *conn; /* owned, by rising id */
	size_t n_conns, conn_room;
	unsigned int sockets;
};

static void *grown(void *array, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return array;
	*room = *room ? 2 * *room : 64;
	return cli_must(reallocarray(array, *room, size));
}

/* A line whose text is written to what this returns; close it with line_end. */
static FILE *line_begin(struct lines *l, char *name, size_t *size)
{
	FILE *to;

	l->line = grown(l->line, l->n, &l->room, sizeof(*l->line));
	l->line[l->n] = (struct line){ .name = name };
	to = open_memstream(&l->line[l->n].said, size);
	return cli_must(to);
}

static void line_end(struct lines *l, FILE *to)
{
	if (fclose(to))
		cli_must(NULL);
	l->n++;
}

static char *__attribute__((format(printf, 1, 2))) name_of(const char *fmt, ...)
{
	va_list ap;
	char *name;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&name, fmt, ap);
	va_end(ap);
	return n < 0 ? cli_must(NULL) : name;
}

static const char *conn_name(const struct lines *l, uint32_t id)
{
	for (size_t low = 0, high = l->n_conns; low < high;) {
		size_t mid = (low + high) / 2;

		if (l->conn[mid].id == id)
			return l->conn[mid].name;
		if (l->conn[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return "?"; /* not one that the reader would have let pass */
}

static void conn_add(struct lines *l, const struct drover_connection *c)
{
	size_t at = l->n_conns;
	struct conn *k;

	l->conn = grown(l->conn, l->n_conns, &l->conn_room, sizeof(*l->conn));
	while (at && l->conn[at - 1].id > c->conn_id)
		at--;
	k = &l->conn[at];
	memmove(k + 1, k, (l->n_conns++ - at) * sizeof(*k));
	k->id = c->conn_id;
	if (c->kind == DROVER_CONN_RING)
		snprintf(k->name, sizeof(k->name), "domain %u", c->domid);
	else
		snprintf(k->name, sizeof(k->name), "socket %u", ++l->sockets);
}

static void add_connection(struct lines *l, const struct drover_connection *c)
{
	struct image_text t = { 0 };
	size_t size;

	conn_add(l, c);
	t.to = line_begin(l, name_of("connection %s", conn_name(l, c->conn_id)), &size);
	if (c->kind == DROVER_CONN_RING && c->tdomid != DROVER_DOMID_NONE)
		image_text_number(&t, "target", c->tdomid);
	if (c->flags & DROVER_CONN_READ_ONLY)
		image_text_word(&t, "access", "read-only");
	if (c->input.len)
		image_text_octets(&t, "input", &c->input);
	if (c->output.len)
		image_text_octets(&t, "output", &c->output);
	line_end(l, t.to);
}

static void add_watch(struct lines *l, const struct drover_watch *w)
{
	char *path = cli_text_escape(w->path.data, w->path.len, false);
	char *token = cli_text_escape(w->token.data, w->token.len, true);
	struct image_text t = { 0 };
	size_t size;

	t.to = line_begin(l,
			  name_of("watch of %s %s token=%s", conn_name(l, w->conn_id), path, token),
			  &size);
	if (w->depth != DROVER_DEPTH_ANY)
		image_text_number(&t, "depth", w->depth);
	line_end(l, t.to);
	free(path);
	free(token);
}

static void add_node(struct lines *l, const struct drover_node *n)
{
	char *path = cli_text_escape(n->path.data, n->path.len, false), *perms;
	struct image_text t = { 0 };
	size_t size;

	if (n->conn_id || n->tx_id)
		t.to = line_begin(l,
				  name_of("transaction of %s %" PRIu32 " node %s",
					  conn_name(l, n->conn_id), n->tx_id, path),
				  &size);
	else
		t.to = line_begin(l, name_of("node %s", path), &size);
	if (n->conn_id && n->access)
		image_text_word(&t, "access",
				n->access & DROVER_ACCESS_WRITTEN ? "written" : "read");
	if (n->perms.n) {
		perms = image_text_perms(&n->perms);
		image_text_word(&t, "perms", perms);
		image_text_octets(&t, "value", &n->value);
		free(perms);
	} else {
		image_text_word(&t, "access", "deleted");
	}
	line_end(l, t.to);
	free(path);
}

static void add_txn(struct lines *l, const struct drover_txn *x)
{
	size_t size;

	line_end(l, line_begin(l,
			       name_of("transaction of %s %" PRIu32, conn_name(l, x->conn_id),
				       x->tx_id),
			       &size));
}

/* A line for each quota; whose: "", "of domain 5". */
static void add_quotas(struct lines *l, const char *whose, const struct drover_list *values,
		       const struct drover_octets *names)
{
	size_t pos = 0, len, size;
	const char *name;

	for (uint32_t i = 0; i < values->n && drover_name_next(names, &pos, &name, &len); i++) {
		char *text = cli_text_escape(name, len, false);
		struct image_text t = { 0 };

		t.to = line_begin(l, name_of("quota %s%s", text, whose), &size);
		image_text_number(&t, "value", drover_u32_at(values, i));
		line_end(l, t.to);
		free(text);
	}
}

static void add_domain(struct lines *l, const struct drover_domain *d)
{
	struct image_text t = { 0 };
	char whose[24];
	size_t size;

	snprintf(whose, sizeof(whose), " of domain %u", d->domid);
	add_quotas(l, whose, &d->values, &d->names);
	if (!d->features)
		return;
	t.to = line_begin(l, name_of("features%s", whose), &size);
	image_text_number(&t, "value", d->features);
	line_end(l, t.to);
}

static void add(struct lines *l, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_CONNECTION:
		add_connection(l, &rec->connection);
		break;
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		add_watch(l, &rec->watch);
		break;
	case DROVER_RECORD_TXN:
		add_txn(l, &rec->txn);
		break;
	case DROVER_RECORD_NODE:
		add_node(l, &rec->node);
		break;
	case DROVER_RECORD_QUOTA:
		add_quotas(l, "", &rec->quota.values, &rec->quota.names);
		break;
	case DROVER_RECORD_DOMAIN:
		add_domain(l, &rec->domain);
		break;
	default: /* how a daemon goes on, not what it keeps */
		break;
	}
}

static int line_compare(const void *a, const void *b)
{
	const struct line *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : strcmp(x->said, y->said);
}

static bool lines_read(struct lines *l, const char *name, const struct image_how *how)
{
	struct image_src src;
	struct drover_record rec;

	if (!image_src_open(&src, "diff", name, how))
		return false;
	while (image_src_next(&src, &rec))
		add(l, &rec);
	image_src_close(&src);
	if (l->n)
		qsort(l->line, l->n, sizeof(*l->line), line_compare);
	return !src.failed;
}

static void lines_fini(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->line[i].name);
		free(l->line[i].said);
	}
	free(l->line);
	free(l->conn);
}

/* Prints what only one of them has; returns whether there was anything. */
static bool lines_compare(const struct lines *a, const struct lines *b)
{
	size_t i = 0, k = 0;
	bool differ = false;

	while (i < a->n || k < b->n) {
		int r = i == a->n ? 1 : k == b->n ? -1 : line_compare(&a->line[i], &b->line[k]);

		if (r < 0)
			printf("- %s%s\n", a->line[i].name, a->line[i].said);
		if (r > 0)
			printf("+ %s%s\n", b->line[k].name, b->line[k].said);
		differ |= r != 0;
		i += r <= 0;
		k += r >= 0;
	}
	return differ;
}

int cli_image_diff(int argc, char **argv)
{
	static const struct option options[] = {
		IMAGE_HOW_OPTIONS,
		{ "layout", required_argument, NULL, 'L' },
		{ 0 },
	};
	struct lines a = { 0 }, b = { 0 };
	struct image_how how[2] = { 0 };
	unsigned int layouts = 0;
	int c, status;

	while ((c = cli_getopt(argc, argv, IMAGE_HOW_LETTERS, options, &status)) != -1) {
		if (c == '?')
			return status;
		/* The first --layout is of both, a second one of B. */
		if (!(c == 'L' && layouts) && !image_how_option(&how[0], c, optarg))
			return CLI_USAGE;
		if (!image_how_option(&how[1], c, optarg))
			return CLI_USAGE;
		layouts += c == 'L';
	}
	if (argc - optind != 2)
		return cli_usage("image", "diff: two files, A and B");
	status = CLI_FAILED;
	if (lines_read(&a, argv[optind], &how[0]) && lines_read(&b, argv[optind + 1], &how[1]))
		status = lines_compare(&a, &b) ? CLI_FAILED : CLI_OK;
	lines_fini(&a);
	lines_fini(&b);
	return status;
}
