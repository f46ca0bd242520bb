/* SPDX-License-Identifier: MIT */
/*
 * The tree before and after. Invariant: the watches are there before the first node is read, so
 * that whatever another changes since then comes as an event, before or after the change of
 * daemons: a difference without an event is a loss.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "cli/adopt.h"
#include "cli/command.h"
#include "cli/tree.h"

#define MARK "/tool/drover-adopt" /* made and removed: its event is behind all others */
#define MARK_WAIT_S 20
#define TOLD_MAX 5u /* differences that are named */

static const char *const specials[] = { "@introduceDomain", "@releaseDomain" };

struct reading {
	struct cli_node *root;		    /* owned */
	char *special[ARRAY_LEN(specials)]; /* owned: permissions */
	bool introduced[0x8000];	    /* by domid */
};

struct adopt_tree {
	struct xs_handle *xs; /* borrowed */
	struct reading before, now;
	char **event; /* owned: paths, sorted once all are there */
	size_t n_events;
	bool lost_events; /* more than are remembered */
	bool domains_changed;
	bool marked;
	struct adopt_report *report; /* borrowed, while comparing */
	size_t differences;
	size_t changed; /* by others */
	char path[XENSTORE_ABS_PATH_MAX + XENSTORE_PAYLOAD_MAX];
};

static void reading_fini(struct reading *g)
{
	cli_tree_free(g->root);
	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		free(g->special[i]);
	memset(g, 0, sizeof(*g));
}

void adopt_tree_free(struct adopt_tree *t)
{
	if (!t)
		return;
	reading_fini(&t->before);
	reading_fini(&t->now);
	for (size_t i = 0; i < t->n_events; i++)
		free(t->event[i]);
	free(t->event);
	free(t);
}

static char *perms_text(const struct xs_permissions *perms, size_t n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	cli_must(f);
	for (size_t i = 0; perms && i < n; i++)
		fprintf(f, "%s%u:%u", i ? "," : "", perms[i].id, (unsigned int)perms[i].perms);
	if (fclose(f))
		cli_must(NULL);
	return text;
}

static const struct cli_node *child_of(const struct cli_node *node, const char *name)
{
	for (size_t i = 0; node && i < node->n_children; i++)
		if (!strcmp(node->child[i]->name, name))
			return node->child[i];
	return NULL;
}

static void read_domains(struct adopt_tree *t, struct reading *g)
{
	const struct cli_node *all = child_of(child_of(g->root, "local"), "domain");

	for (size_t i = 0; all && i < all->n_children; i++) {
		char *end;
		unsigned long domid = strtoul(all->child[i]->name, &end, 10);

		if (*end || domid >= ARRAY_LEN(g->introduced))
			continue;
		g->introduced[domid] = xs_is_domain_introduced(t->xs, (unsigned int)domid);
	}
}

static int reading_take(struct adopt_tree *t, struct reading *g)
{
	int r = cli_tree_read(t->xs, XBT_NULL, "/", -1, &g->root);

	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		unsigned int n = 0;
		struct xs_permissions *perms = xs_get_permissions(t->xs, XBT_NULL, specials[i], &n);

		g->special[i] = perms_text(perms, n);
		free(perms);
	}
	read_domains(t, g);
	return 0;
}

/* Remembers an event; said is owned. */
static void keep_event(struct adopt_tree *t, char **said)
{
	const char *path = said[XS_WATCH_PATH];

	t->domains_changed |= *path == '@';
	t->marked |= !strcmp(path, MARK);
	if (*path == '/' && t->n_events < ADOPT_EVENTS_MAX)
		t->event[t->n_events++] = cli_must(strdup(path));
	else if (*path == '/')
		t->lost_events = true;
	free(said);
}

/* Sets a watch, and takes the event by which it tells of itself. */
static int watch(struct adopt_tree *t, const char *path)
{
	unsigned int n;
	char **said;

	if (!xs_watch(t->xs, path, path))
		return errno;
	while ((said = xs_read_watch(t->xs, &n))) {
		if (!strcmp(said[XS_WATCH_TOKEN], path)) {
			free(said);
			return 0;
		}
		keep_event(t, said); /* of a watch that was set before */
	}
	return errno;
}

static int watch_all(struct adopt_tree *t)
{
	int r = watch(t, "/");

	for (size_t i = 0; !r && i < ARRAY_LEN(specials); i++)
		r = watch(t, specials[i]);
	return r;
}

int adopt_tree_take(struct xs_handle *xs, struct adopt_tree **ret)
{
	struct adopt_tree *t = cli_must(calloc(1, sizeof(*t)));
	int r;

	t->xs = xs;
	t->event = cli_must(calloc(ADOPT_EVENTS_MAX, sizeof(*t->event)));
	r = watch_all(t);
	if (!r)
		r = reading_take(t, &t->before);
	if (r) {
		adopt_tree_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct size {
	size_t nodes;
	uint64_t octets;
};

static int add_size(const struct cli_node *node, const char *path, void *data)
{
	struct size *s = data;

	s->nodes++;
	s->octets += strlen(path) + node->value_len;
	return 0;
}

void adopt_tree_size(const struct adopt_tree *t, size_t *ret_nodes, uint64_t *ret_octets)
{
	struct size s = { 0 };

	cli_tree_visit(t->before.root, add_size, &s);
	*ret_nodes = s.nodes;
	*ret_octets = s.octets;
}

/* ---- comparing ---- */

/* Whether a is b, or above it. */
static bool is_above(const char *a, const char *b)
{
	size_t len = strlen(a);

	return !strncmp(a, b, len) && (!b[len] || b[len] == '/' || len == 1);
}

/*
 * Somebody changed the node, removed what is above it, or made what is below it. The events are
 * sorted: what is below stands behind the path itself.
 */
static bool is_explained(const struct adopt_tree *t, const char *path)
{
	for (size_t i = 0; i < t->n_events; i++)
		if (is_above(t->event[i], path) || is_above(path, t->event[i]))
			return true;
	return t->lost_events;
}

static void differ(struct adopt_tree *t, const char *how, bool by_domain)
{
	const char *path = *t->path ? t->path : "/";

	if ((by_domain && t->domains_changed) || is_explained(t, path)) {
		t->changed++;
		return;
	}
	if (t->differences++ < TOLD_MAX)
		adopt_tell(t->report, ADOPT_REFUSED, "tree", "%s: %s", path, how);
}

/* The entry at or after i that says something: who is no domain, now, may nothing anyway. */
static size_t next_entry(const struct adopt_tree *t, const struct cli_node *node, size_t i)
{
	while (i && i < node->n_perms && node->perms[i].id < ARRAY_LEN(t->now.introduced) &&
	       !t->now.introduced[node->perms[i].id] && node->perms[i].id)
		i++;
	return i;
}

static bool same_perms(const struct adopt_tree *t, const struct cli_node *a,
		       const struct cli_node *b)
{
	size_t i = 0, j = 0;

	while (i < a->n_perms && j < b->n_perms) {
		if (a->perms[i].id != b->perms[j].id || a->perms[i].perms != b->perms[j].perms)
			return false;
		i = next_entry(t, a, i + 1);
		j = next_entry(t, b, j + 1);
	}
	return i >= a->n_perms && j >= b->n_perms;
}

/* Of two names of children, either NULL: which comes first in the order of trees. */
static int order(const struct cli_node *a, const struct cli_node *b)
{
	if (!a || !b)
		return a ? -1 : 1;
	return strverscmp(a->name, b->name);
}

/* oxenstored shows them below the root. */
static bool is_special(size_t len, const char *name)
{
	for (size_t i = 0; !len && i < ARRAY_LEN(specials); i++)
		if (!strcmp(name, specials[i]))
			return true;
	return false;
}

static void compare(struct adopt_tree *t, size_t len, const struct cli_node *a,
		    const struct cli_node *b)
{
	size_t i = 0, j = 0;

	if (a->value_len != b->value_len || memcmp(a->value, b->value, a->value_len) != 0)
		differ(t, "another value", false);
	if (!same_perms(t, a, b))
		differ(t, "other permissions", true);
	while (i < a->n_children || j < b->n_children) {
		const struct cli_node *x = i < a->n_children ? a->child[i] : NULL;
		const struct cli_node *y = j < b->n_children ? b->child[j] : NULL;
		int which = order(x, y);
		const char *name = x && which <= 0 ? x->name : y ? y->name : "";
		size_t below =
			len + (size_t)snprintf(t->path + len, sizeof(t->path) - len, "/%s", name);

		if (is_special(len, t->path + 1))
			; /* compared by itself */
		else if (which < 0)
			differ(t, "is gone", false);
		else if (which > 0)
			differ(t, "was not there", false);
		else
			compare(t, below, x, y);
		t->path[len] = '\0';
		i += which <= 0;
		j += which >= 0;
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The same path often: once is enough. */
static void sort_events(struct adopt_tree *t)
{
	size_t n = 0;

	qsort(t->event, t->n_events, sizeof(*t->event), by_text);
	for (size_t i = 0; i < t->n_events; i++) {
		if (n && !strcmp(t->event[n - 1], t->event[i]))
			free(t->event[i]);
		else
			t->event[n++] = t->event[i];
	}
	t->n_events = n;
}

/* Waits for the event that is behind all others. */
static int drain(struct adopt_tree *t)
{
	struct timespec tick = { .tv_nsec = 5000000 };
	char **said;

	t->marked = false;
	if (!xs_mkdir(t->xs, XBT_NULL, MARK) || !xs_rm(t->xs, XBT_NULL, MARK))
		return errno;
	for (int i = 0; i < MARK_WAIT_S * 200; i++) {
		while ((said = xs_check_watch(t->xs)))
			keep_event(t, said);
		if (t->marked)
			return 0;
		nanosleep(&tick, NULL);
	}
	return ETIMEDOUT;
}

static void compare_domains(struct adopt_tree *t)
{
	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		snprintf(t->path, sizeof(t->path), "%s", specials[i]);
		/* not every daemon tells them */
		if (*t->before.special[i] && *t->now.special[i] &&
		    strcmp(t->before.special[i], t->now.special[i]) != 0)
			differ(t, "other permissions", true);
	}
	for (size_t i = 0; i < ARRAY_LEN(t->now.introduced); i++) {
		if (t->before.introduced[i] == t->now.introduced[i] || t->domains_changed)
			continue;
		t->differences++;
		adopt_tell(t->report, ADOPT_REFUSED, "domains", "domain %zu is %s introduced", i,
			   t->now.introduced[i] ? "suddenly" : "no longer");
	}
}

int adopt_tree_compare(struct adopt_tree *t, struct adopt_report *r)
{
	size_t nodes, domains = 0;
	uint64_t octets;
	int err = reading_take(t, &t->now);

	if (err)
		return err;
	err = drain(t);
	if (err == ETIMEDOUT) {
		adopt_tell(r, ADOPT_REFUSED, "watches", "one that was set before does not fire");
		return 0;
	}
	if (err)
		return err;
	sort_events(t);
	t->report = r;
	t->path[0] = '\0';
	compare(t, 0, t->before.root, t->now.root);
	compare_domains(t);
	adopt_tree_size(t, &nodes, &octets);
	for (size_t i = 0; i < ARRAY_LEN(t->now.introduced); i++)
		domains += t->now.introduced[i];
	if (t->differences > TOLD_MAX)
		adopt_tell(r, ADOPT_REFUSED, "tree", "%zu differences in all", t->differences);
	else if (!t->differences)
		adopt_tell(r, ADOPT_FINE, "tree",
			   "%zu nodes and %zu domains are as they were, but %zu that others "
			   "changed; watches fire",
			   nodes, domains, t->changed);
	return 0;
}
