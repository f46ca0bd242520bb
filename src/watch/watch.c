/* SPDX-License-Identifier: MIT */
/*
 * The index of watches. Invariant: a place exists while a watch hangs at it or below it; the
 * serial numbers of places never repeat, so that a watcher's set has one order for all runs.
 */
#include "watch/watch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"

RB_HEAD(place_tree, watch_place);

/* The two roots are made first. */
#define SERIAL_SPECIAL 1u

/* One path component. */
struct watch_place {
	RB_ENTRY(watch_place) by_name;
	struct watch_place *parent; /* borrowed; NULL: a root */
	struct place_tree kids;	    /* owned */
	struct watch *first;	    /* borrowed */
	uint64_t serial;
	uint16_t name_len;
	char name[];
};

static int place_cmp(const struct watch_place *a, const struct watch_place *b)
{
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len ? -1 : 1;
	return memcmp(a->name, b->name, a->name_len);
}

static int token_cmp(const struct watch *a, const struct watch *b)
{
	if (a->place->serial != b->place->serial)
		return a->place->serial < b->place->serial ? -1 : 1;
	if (a->token_len != b->token_len)
		return a->token_len < b->token_len ? -1 : 1;
	return memcmp(a->token, b->token, a->token_len);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_STATIC(place_tree, watch_place, by_name, place_cmp)
RB_GENERATE_STATIC(watch_set, watch, by_token, token_cmp)
#pragma GCC diagnostic pop

static struct watch_place *place_new(struct watch_index *ix, struct watch_place *parent,
				     const char *name, size_t name_len)
{
	struct watch_place *p = malloc(sizeof(*p) + name_len);

	if (!p)
		return NULL;
	RB_INIT(&p->kids);
	p->parent = parent;
	p->first = NULL;
	p->serial = ix->next_serial++;
	p->name_len = (uint16_t)name_len;
	memcpy(p->name, name, name_len);
	return p;
}

/* Iterative descent by name: RB_FIND would need a whole place as its key. */
static struct watch_place *place_find(struct watch_place *parent, const char *name, size_t name_len)
{
	struct watch_place *p = RB_ROOT(&parent->kids);

	while (p) {
		int c;

		if (name_len != p->name_len)
			c = name_len < p->name_len ? -1 : 1;
		else
			c = memcmp(name, p->name, name_len);
		if (!c)
			return p;
		p = c < 0 ? RB_LEFT(p, by_name) : RB_RIGHT(p, by_name);
	}
	return NULL;
}

int watch_index_init(struct watch_index *ix)
{
	memset(ix, 0, sizeof(*ix));
	ix->root = place_new(ix, NULL, "", 0);
	ix->special = place_new(ix, NULL, "", 0);
	if (!ix->root || !ix->special) {
		watch_index_fini(ix);
		return FAULT(-ENOMEM);
	}
	return 0;
}

void watch_index_fini(struct watch_index *ix)
{
	assert(!ix->n);
	free(TAKE(ix->root));
	free(TAKE(ix->special));
}

void watcher_init(struct watcher *w)
{
	RB_INIT(&w->set);
	w->n = 0;
}

/* Frees places that hold nothing any more, from p upwards. */
static void place_prune(struct watch_place *p)
{
	while (p->parent && !p->first && RB_EMPTY(&p->kids)) {
		struct watch_place *parent = p->parent;

		RB_REMOVE(place_tree, &parent->kids, p);
		free(p);
		p = parent;
	}
}

/* The component after *pos; a special path is one component. */
static bool component_next(const char *path, size_t len, size_t *pos, const char **ret_name,
			   size_t *ret_len)
{
	if (path[0] != '@')
		return path_next(path, len, pos, ret_name, ret_len);
	if (*pos)
		return false;
	*ret_name = path;
	*ret_len = *pos = len;
	return true;
}

static struct watch_place *index_base(const struct watch_index *ix, const char *path)
{
	return path[0] == '@' ? ix->special : ix->root;
}

static struct watch_place *index_find(const struct watch_index *ix, const char *path, size_t len)
{
	struct watch_place *p = index_base(ix, path);
	const char *name;
	size_t name_len, pos = 0;

	while (p && component_next(path, len, &pos, &name, &name_len))
		p = place_find(p, name, name_len);
	return p;
}

static struct watch_place *index_make(struct watch_index *ix, const char *path, size_t len)
{
	struct watch_place *p = index_base(ix, path), *kid;
	const char *name;
	size_t name_len, pos = 0;

	while (component_next(path, len, &pos, &name, &name_len)) {
		kid = place_find(p, name, name_len);
		if (!kid) {
			kid = place_new(ix, p, name, name_len);
			if (!kid) {
				place_prune(p);
				return NULL;
			}
			RB_INSERT(place_tree, &p->kids, kid);
		}
		p = kid;
	}
	return p;
}

/* The watcher's watch at p with this token. */
static struct watch *set_find(struct watcher *w, const struct watch_place *p, const char *token,
			      size_t token_len)
{
	struct watch *x = RB_ROOT(&w->set);

	while (x) {
		int c;

		if (p->serial != x->place->serial)
			c = p->serial < x->place->serial ? -1 : 1;
		else if (token_len != x->token_len)
			c = token_len < x->token_len ? -1 : 1;
		else
			c = memcmp(token, x->token, token_len);
		if (!c)
			return x;
		x = c < 0 ? RB_LEFT(x, by_token) : RB_RIGHT(x, by_token);
	}
	return NULL;
}

bool watch_exists(struct watch_index *ix, struct watcher *w, const char *path, size_t len,
		  const char *token, size_t token_len)
{
	const struct watch_place *p = index_find(ix, path, len);

	return p && set_find(w, p, token, token_len);
}

uint64_t watch_charge(const char *path, size_t len, size_t token_len)
{
	uint64_t octets = WATCH_CHARGE + token_len;
	const char *name;
	size_t name_len, pos = 0;

	while (component_next(path, len, &pos, &name, &name_len))
		octets += WATCH_PLACE_CHARGE + name_len + 1;
	return octets;
}

static uint64_t charge_of(const struct watch *w)
{
	uint64_t octets = WATCH_CHARGE + w->token_len;

	for (const struct watch_place *p = w->place; p->parent; p = p->parent)
		octets += WATCH_PLACE_CHARGE + p->name_len + 1u;
	return octets;
}

int watch_add(struct watch_index *ix, struct watcher *w, const char *path, size_t len,
	      const char *token, size_t token_len, uint32_t depth, bool relative,
	      struct watch **ret)
{
	struct watch_place *p = index_make(ix, path, len);
	struct watch *x;

	if (!p)
		return FAULT(-ENOMEM);
	if (set_find(w, p, token, token_len))
		return EEXIST;
	x = malloc(sizeof(*x) + token_len + 1);
	if (!x) {
		place_prune(p);
		return FAULT(-ENOMEM);
	}
	x->place = p;
	x->owner = w;
	x->depth = depth;
	x->relative = relative;
	x->token_len = (uint16_t)token_len;
	memcpy(x->token, token, token_len);
	x->token[token_len] = '\0';
	x->next = p->first;
	x->at = &p->first;
	if (x->next)
		x->next->at = &x->next;
	p->first = x;
	RB_INSERT(watch_set, &w->set, x);
	w->n++;
	ix->n++;
	budget_add(w->budget, QUOTA_WATCHES, 1);
	budget_add(w->budget, QUOTA_MEMORY, charge_of(x));
	if (ix->changed)
		ix->changed(ix->data, x, false);
	if (ret)
		*ret = x;
	return 0;
}

static void watch_free(struct watch_index *ix, struct watch *x)
{
	struct watcher *w = x->owner;
	struct watch_place *p = x->place;

	if (ix->changed)
		ix->changed(ix->data, x, true);
	budget_sub(w->budget, QUOTA_WATCHES, 1);
	budget_sub(w->budget, QUOTA_MEMORY, charge_of(x));
	RB_REMOVE(watch_set, &w->set, x);
	*x->at = x->next;
	if (x->next)
		x->next->at = x->at;
	w->n--;
	ix->n--;
	free(x);
	place_prune(p);
}

int watch_remove(struct watch_index *ix, struct watcher *w, const char *path, size_t len,
		 const char *token, size_t token_len)
{
	struct watch_place *p = index_find(ix, path, len);
	struct watch *x = p ? set_find(w, p, token, token_len) : NULL;

	if (!x)
		return ENOENT;
	watch_free(ix, x);
	return 0;
}

bool watch_remove_some(struct watch_index *ix, struct watcher *w, size_t max)
{
	struct watch *x;

	while (max-- && (x = RB_MIN(watch_set, &w->set)))
		watch_free(ix, x);
	return !w->n;
}

static size_t place_path(const struct watch_place *place, char *buf)
{
	size_t len = 0, at;

	for (const struct watch_place *p = place; p->parent; p = p->parent)
		len += p->name_len + (p->parent->serial == SERIAL_SPECIAL ? 0u : 1u);
	if (!place->parent) {
		buf[0] = '/';
		buf[1] = '\0';
		return 1;
	}
	at = len;
	buf[len] = '\0';
	for (const struct watch_place *p = place; p->parent; p = p->parent) {
		at -= p->name_len;
		memcpy(buf + at, p->name, p->name_len);
		if (at)
			buf[--at] = '/';
	}
	return len;
}

size_t watch_path(const struct watch *w, char *buf)
{
	return place_path(w->place, buf);
}

const struct watch *watch_first(const struct watcher *w)
{
	return RB_MIN(watch_set, (struct watch_set *)&w->set);
}

const struct watch *watch_next(const struct watch *w)
{
	return RB_NEXT(watch_set, NULL, (struct watch *)w);
}

static bool lets_read(const struct perms *p, const struct watcher *w)
{
	return p && perms_bits(p, w->domid, w->target) & PERM_READ;
}

static bool change_is_seen(const struct change *c, const struct watcher *w)
{
	if (w->privileged)
		return true;
	return lets_read(c->old_node ? c->old_node->perms : NULL, w) ||
	       lets_read(c->new_node ? c->new_node->perms : NULL, w) ||
	       lets_read(c->old_parent, w) || lets_read(c->new_parent, w);
}

static void send(const struct watch *x, const char *path, size_t len)
{
	size_t skip = x->relative ? x->owner->rel_len : 0;

	x->owner->event(x->owner, x, path + skip, len - skip);
}

static void place_fire(struct watch_index *ix, const struct watch_place *p, const struct change *c,
		       uint32_t below)
{
	const struct watcher *asked = NULL;
	bool seen = false;

	for (const struct watch *x = p->first; x; x = x->next) {
		ix->steps++;
		if (below > x->depth)
			continue;
		/* one who hangs many watches at one place is asked for once */
		if (x->owner != asked)
			seen = change_is_seen(c, x->owner);
		asked = x->owner;
		if (seen)
			send(x, c->path, c->len);
	}
}

static size_t components(const char *path, size_t len)
{
	size_t n = 0;

	for (size_t i = 1; i < len; i++)
		n += path[i] == '/';
	return len > 1 ? n + 1 : 0;
}

/* Where a walk over the places below a removed node is. */
struct below {
	char path[XENSTORE_ABS_PATH_MAX + 1];
	size_t len;
	size_t depth;
	/* by depth: the node that was there, or NULL, and the list of the nearest one above it */
	const struct node *node[XENSTORE_ABS_PATH_MAX / 2 + 1];
	const struct perms *up[XENSTORE_ABS_PATH_MAX / 2 + 1];
};

static void below_init(struct below *b, const struct change *c)
{
	memcpy(b->path, c->path, c->len);
	b->len = c->len;
	b->depth = 0;
	b->node[0] = c->old_node;
	b->up[0] = NULL;
}

static void below_enter(struct below *b, const struct watch_place *p)
{
	const struct node *n = b->node[b->depth];
	const struct perms *up = b->up[b->depth];

	b->depth++;
	b->up[b->depth] = n ? n->perms : up;
	b->node[b->depth] = n ? node_find_child(n->kids, p->name, p->name_len) : NULL;
	b->path[b->len++] = '/';
	memcpy(b->path + b->len, p->name, p->name_len);
	b->len += p->name_len;
}

static void below_leave(struct below *b, const struct watch_place *p)
{
	b->depth--;
	b->len -= p->name_len + 1u;
}

/* The place after p in preorder, below top; NULL: none. */
static const struct watch_place *below_next(struct below *b, const struct watch_place *p,
					    const struct watch_place *top)
{
	const struct watch_place *next;

	next = RB_MIN(place_tree, (struct place_tree *)&p->kids);
	for (; !next && p != top; p = p->parent) {
		below_leave(b, p);
		next = RB_NEXT(place_tree, NULL, (struct watch_place *)p);
	}
	if (next)
		below_enter(b, next);
	return next;
}

/* Every watch strictly below top fires with its own path. */
static void fire_below(struct watch_index *ix, const struct watch_place *top,
		       const struct change *c)
{
	const struct watch_place *p = top;
	struct change own;
	struct below b;

	below_init(&b, c);
	while ((p = below_next(&b, p, top))) {
		ix->steps++;
		own = (struct change){ .path = b.path,
				       .len = b.len,
				       .old_node = b.node[b.depth],
				       .old_parent = b.up[b.depth] };
		place_fire(ix, p, &own, 0);
	}
}

void watch_fire(struct watch_index *ix, const struct change *c)
{
	const struct watch_place *p = ix->root;
	size_t depth = components(c->path, c->len), level = 0, name_len, pos = 0;
	const char *name;

	if (!ix->n)
		return;
	while (p) {
		if (!c->exact || level == depth)
			place_fire(ix, p, c, (uint32_t)(depth - level));
		if (!path_next(c->path, c->len, &pos, &name, &name_len))
			break;
		p = place_find((struct watch_place *)p, name, name_len);
		level++;
	}
	if (p && c->removed)
		fire_below(ix, p, c);
}

bool watch_may_fire(const struct watch_index *ix)
{
	return ix->n;
}

void watch_fire_special(struct watch_index *ix, const char *name, uint16_t domid,
			const struct perms *perms)
{
	const size_t len = strlen(name);
	char path[64];
	size_t path_len;
	struct watch_place *p = place_find(ix->special, name, len);
	struct watch *x;

	memcpy(path, name, len);
	path[len] = '/';
	path_len = len + 1;
	for (unsigned int div = 10000, any = 0; div; div /= 10) {
		unsigned int digit = domid / div % 10;

		any |= digit || div == 1;
		if (any)
			path[path_len++] = (char)('0' + digit);
	}
	for (x = p ? p->first : NULL; x; x = x->next) {
		bool with_domid = x->depth == 1;

		if (x->owner->privileged || lets_read(perms, x->owner))
			send(x, path, with_domid ? path_len : len);
	}
	p = place_find(ix->special, path, path_len);
	for (x = p ? p->first : NULL; x; x = x->next)
		if (x->owner->privileged || lets_read(perms, x->owner))
			send(x, path, path_len);
}
