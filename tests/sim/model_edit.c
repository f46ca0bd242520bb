/* SPDX-License-Identifier: MIT */
/*
 * The model's requests that change something: WRITE, MKDIR, RM, SET_PERMS, WATCH, UNWATCH.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* How many components are missing, and where the nearest one ends. */
static int64_t missing(const struct mtree *t, const struct path *p, size_t *ret_up)
{
	size_t up = p->len;
	int64_t n = 0;

	while (!mtree_find(t, p->str, up)) {
		up = path_parent_len(p->str, up);
		n++;
	}
	*ret_up = up;
	return n;
}

/* What is missing is noted as seen first: it is made only if there is room for all of it. */
static int note_created(struct mcall *o, const struct path *p, size_t up, unsigned int wrote)
{
	int r = mcall_note(o, p->str, up, TXN_SAW_PERMS, 0);

	for (size_t at = up + 1; !r && at < p->len; at++)
		if (p->str[at] == '/')
			r = mcall_note(o, p->str, at, TXN_SAW_EXISTENCE, 0);
	if (!r)
		r = mcall_note(o, p->str, p->len, 0, 0);
	for (size_t at = up + 1; !r && at < p->len; at++)
		if (p->str[at] == '/')
			mcall_note(o, p->str, at, 0, TXN_CREATED | TXN_IMPLIED);
	return r ? r : mcall_note(o, p->str, p->len, 0, wrote | TXN_CREATED);
}

static int create(struct mcall *o, const struct path *p, const void *value, size_t len,
		  unsigned int wrote)
{
	struct mtree *t = mcall_tree(o), before;
	struct mperms perms = { 0 };
	const struct mnode *n;
	size_t up;
	int64_t more = missing(t, p, &up);
	int r;

	n = mtree_find(t, p->str, up);
	mperms_set(&perms, n->perms.entry, n->perms.n);
	if (!o->c->privileged)
		perms.entry[0].domid = o->c->domid;
	r = mcall_room(o, perms.entry[0].domid, more);
	if (!r)
		r = note_created(o, p, up, wrote);
	if (!r) {
		mtree_copy(&before, t);
		for (size_t at = up + (up > 1); at < p->len; at++)
			if (at > up && p->str[at] == '/')
				mtree_put(t, p->str, at, "", 0, &perms);
		mtree_put(t, p->str, p->len, value, len, &perms);
		if (!o->txn)
			model_fire(o->m, &before, t, p->str, p->len, false);
		mtree_fini(&before);
	}
	free(perms.entry);
	return r;
}

int model_write(struct mcall *o)
{
	uint64_t limit = model_limit(o->m, o->c->domid, QUOTA_NODE_SIZE);
	struct mtree *t = mcall_tree(o), before;
	const struct mnode *n;
	struct path p;
	int r = mcall_path(o, &p), found;

	if (r)
		return r;
	found = mcall_find(o, &p, PERM_WRITE, 0);
	if (found && found != ENOENT)
		return found;
	if (!o->c->privileged && limit && o->tail_len > limit)
		return ENOSPC;
	if (found)
		return create(o, &p, o->tail, o->tail_len, TXN_WROTE_VALUE);
	n = mtree_find(t, p.str, p.len);
	r = mcall_room(o, n->perms.entry[0].domid, 0);
	if (!r)
		r = mcall_note(o, p.str, p.len, 0, TXN_WROTE_VALUE);
	if (r)
		return r;
	mtree_copy(&before, t);
	mtree_put(t, p.str, p.len, o->tail, o->tail_len, &n->perms);
	if (!o->txn)
		model_fire(o->m, &before, t, p.str, p.len, false);
	mtree_fini(&before);
	return 0;
}

int model_mkdir(struct mcall *o)
{
	struct path p;
	int r = mcall_path(o, &p);

	if (!r)
		r = mcall_find(o, &p, PERM_WRITE, TXN_SAW_EXISTENCE);
	return r == ENOENT ? create(o, &p, "", 0, 0) : r;
}

int model_rm(struct mcall *o)
{
	struct mtree *t = mcall_tree(o), before;
	struct path p;
	size_t up;
	int r = mcall_path(o, &p);

	if (!r)
		r = mcall_find(o, &p, PERM_WRITE, 0);
	if (r == ENOENT) {
		r = mcall_note(o, p.str, p.len, TXN_SAW_EXISTENCE, 0);
		if (r || missing(t, &p, &up) == 1)
			return r;
		r = mcall_note(o, p.str, path_parent_len(p.str, p.len), TXN_SAW_EXISTENCE, 0);
		return r ? r : ENOENT;
	}
	if (r)
		return r;
	if (p.len == 1)
		return EINVAL;
	r = mcall_note(o, p.str, p.len, 0, TXN_REMOVED);
	if (r)
		return r;
	mtree_copy(&before, t);
	mtree_remove_below(t, p.str, p.len);
	if (!o->txn)
		model_fire(o->m, &before, t, p.str, p.len, true);
	mtree_fini(&before);
	return 0;
}

/* --- access ----------------------------------------------------------------------------------- */

static int parse_list(const struct mcall *o, struct mperms *ret)
{
	const char *at = o->tail, *end = at + o->tail_len, *nul;

	ret->entry = malloc((o->tail_len + 1) * sizeof(struct perm));
	assert(ret->entry);
	while (at < end && (nul = memchr(at, '\0', (size_t)(end - at)))) {
		if (perm_parse(at, (size_t)(nul - at), &ret->entry[ret->n]))
			return EINVAL;
		ret->n++;
		at = nul + 1;
	}
	return ret->n ? 0 : EINVAL;
}

static int know_domains(struct mcall *o, const struct mperms *list)
{
	for (size_t i = 0; i < list->n; i++)
		if ((!i || list->entry[i].domid < HV_DOMID_FIRST_RESERVED) &&
		    model_dom_get(o->m, list->entry[i].domid) && !i)
			return ENOENT;
	return 0;
}

static int set_special(struct mcall *o, const struct mperms *list)
{
	struct mperms *special;

	if (!strcmp(o->arg[0], "@introduceDomain"))
		special = &o->m->introduce_perms;
	else if (!strcmp(o->arg[0], "@releaseDomain"))
		special = &o->m->release_perms;
	else
		return EINVAL;
	if (!o->c->privileged)
		return EACCES;
	if (know_domains(o, list))
		return ENOENT;
	mperms_set(special, list->entry, list->n);
	return 0;
}

static int set_list(struct mcall *o, const struct mperms *list)
{
	uint64_t limit = model_limit(o->m, o->c->domid, QUOTA_NODE_PERMISSIONS);
	struct mtree *t = mcall_tree(o), before;
	const struct mnode *n;
	struct path p;
	int r = mcall_path(o, &p);

	if (r)
		return r;
	if (!o->c->privileged && !model_is_exempt(o->m, o->c->domid) && limit && list->n > limit)
		return ENOSPC;
	r = know_domains(o, list);
	if (!r)
		r = mcall_find(o, &p, PERM_WRITE | PERM_OWNER, TXN_SAW_EXISTENCE);
	if (r)
		return r;
	n = mtree_find(t, p.str, p.len);
	if (!o->c->privileged && list->entry[0].domid != n->perms.entry[0].domid)
		return EPERM;
	r = mcall_note(o, p.str, p.len, 0, TXN_WROTE_PERMS);
	if (r)
		return r;
	mtree_copy(&before, t);
	mtree_put(t, p.str, p.len, n->value, n->value_len, list);
	if (!o->txn)
		model_fire(o->m, &before, t, p.str, p.len, false);
	mtree_fini(&before);
	return 0;
}

int model_set_perms(struct mcall *o)
{
	struct mperms list = { 0 };
	int r = parse_list(o, &list);

	if (!r)
		r = o->arg[0][0] == '@' ? set_special(o, &list) : set_list(o, &list);
	free(list.entry);
	return r;
}

/* --- watches ------------------------------------------------------------------------------------
 */

static int parse_watch(struct mcall *o, bool with_depth, struct path *p, uint32_t *depth)
{
	*depth = WATCH_DEPTH_ANY;
	if (with_depth && o->n > 2) {
		if (!o->len[2] || o->len[2] > 9 || strspn(o->arg[2], "0123456789") != o->len[2])
			return EINVAL;
		*depth = (uint32_t)strtoul(o->arg[2], NULL, 10);
	}
	if (o->arg[0][0] != '@')
		return mcall_path(o, p);
	if (o->len[0] > XENSTORE_REL_PATH_MAX || !path_is_valid(o->arg[0], o->len[0]) ||
	    (*depth != WATCH_DEPTH_ANY && *depth != 1))
		return EINVAL;
	p->len = o->len[0];
	memcpy(p->str, o->arg[0], p->len + 1);
	return 0;
}

static struct mwatch **find_watch(struct mcall *o, const struct path *p)
{
	struct mwatch **at;

	for (at = &o->c->watch; *at; at = &(*at)->next)
		if (!strcmp((*at)->path, p->str) && !strcmp((*at)->token, o->arg[1]))
			break;
	return at;
}

int model_watch(struct mcall *o)
{
	uint64_t limit = model_limit(o->m, o->c->domid, QUOTA_WATCHES), n = 0;
	struct mwatch *x, **at;
	struct path p;
	uint32_t depth;
	int r = parse_watch(o, true, &p, &depth);

	if (r)
		return r;
	if (o->len[0] + o->len[1] + 2 > XENSTORE_PAYLOAD_MAX)
		return EINVAL;
	for (x = o->c->watch; x; x = x->next)
		n++;
	at = find_watch(o, &p);
	if (*at)
		return EEXIST;
	if (!model_is_exempt(o->m, o->c->domid) && limit && n >= limit)
		return ENOSPC;
	x = calloc(1, sizeof(*x));
	assert(x);
	x->depth = depth;
	x->relative = o->arg[0][0] != '/' && o->arg[0][0] != '@';
	x->path_len = p.len;
	x->path = strdup(p.str);
	x->token = strdup(o->arg[1]);
	*at = x;
	return 0;
}

int model_unwatch(struct mcall *o)
{
	struct mwatch **at, *x;
	struct path p;
	uint32_t depth;

	if (parse_watch(o, false, &p, &depth))
		return ENOENT; /* what cannot be watched is not */
	at = find_watch(o, &p);
	x = *at;
	if (!x)
		return ENOENT;
	*at = x->next;
	free(x->path);
	free(x->token);
	free(x);
	return 0;
}
