/* SPDX-License-Identifier: MIT */
/*
 * The model's lists and trees. Invariant: a tree is sorted by path, and every node's parent is in
 * it, too.
 */
#include "model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
	assert(p);
	return p;
}

void mperms_set(struct mperms *p, const struct perm *entry, size_t n)
{
	struct perm *copy = must(malloc(n * sizeof(*entry)));

	memcpy(copy, entry, n * sizeof(*entry));
	free(p->entry);
	p->entry = copy;
	p->n = n;
}

bool mperms_equal(const struct mperms *a, const struct mperms *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (a->entry[i].domid != b->entry[i].domid || a->entry[i].bits != b->entry[i].bits)
			return false;
	return true;
}

static bool is_him(const struct model *m, const struct mconn *c, uint16_t domid)
{
	if (domid == c->domid)
		return true;
	return c->is_ring && c->domid < MODEL_DOMIDS && m->dom[c->domid].target == domid &&
	       domid != 0xffff;
}

unsigned int mperms_bits(const struct model *m, const struct mperms *p, const struct mconn *c)
{
	if (c->privileged || is_him(m, c, p->entry[0].domid))
		return PERM_READ | PERM_WRITE | PERM_OWNER;
	for (size_t i = 1; i < p->n; i++)
		if (is_him(m, c, p->entry[i].domid) || p->entry[i].domid == PERM_DOMID_ANY)
			return p->entry[i].bits;
	return p->entry[0].bits;
}

static int path_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

static size_t place_of(const struct mtree *t, const char *path, size_t len, bool *found)
{
	size_t lo = 0, hi = t->n;

	*found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = path_cmp(path, len, t->node[mid]->path, t->node[mid]->path_len);

		if (!c) {
			*found = true;
			return mid;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct mnode *mtree_find(const struct mtree *t, const char *path, size_t len)
{
	bool found;
	size_t i = place_of(t, path, len, &found);

	return found ? t->node[i] : NULL;
}

static void node_release(struct mnode *n)
{
	if (--n->refs)
		return;
	free(n->perms.entry);
	free(n);
}

void mtree_put(struct mtree *t, const char *path, size_t len, const void *value, size_t value_len,
	       const struct mperms *p)
{
	struct mnode *n = must(calloc(1, sizeof(*n) + len + 1 + value_len));
	bool found;
	size_t i;

	n->refs = 1;
	n->path_len = len;
	memcpy(n->path, path, len);
	n->value = n->path + len + 1;
	n->value_len = value_len;
	if (value_len)
		memcpy(n->value, value, value_len);
	mperms_set(&n->perms, p->entry, p->n);
	i = place_of(t, path, len, &found);
	if (found) {
		node_release(t->node[i]);
		t->node[i] = n;
		return;
	}
	if (t->n == t->room) {
		t->room = t->room * 2 + 16;
		t->node = must(realloc(t->node, t->room * sizeof(struct mnode *)));
	}
	memmove(t->node + i + 1, t->node + i, (t->n - i) * sizeof(struct mnode *));
	t->node[i] = n;
	t->n++;
}

bool model_is_below(const char *path, size_t len, const char *base, size_t base_len)
{
	if (base_len == 1)
		return true;
	return len >= base_len && !memcmp(path, base, base_len) &&
	       (len == base_len || path[base_len] == '/');
}

void mtree_remove_below(struct mtree *t, const char *path, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (model_is_below(t->node[i]->path, t->node[i]->path_len, path, len))
			node_release(t->node[i]);
		else
			t->node[kept++] = t->node[i];
	}
	t->n = kept;
}

void mtree_copy(struct mtree *to, const struct mtree *from)
{
	to->n = to->room = from->n;
	to->node = must(malloc((from->n + 1) * sizeof(struct mnode *)));
	for (size_t i = 0; i < from->n; i++) {
		to->node[i] = from->node[i];
		to->node[i]->refs++;
	}
}

void mtree_fini(struct mtree *t)
{
	for (size_t i = 0; i < t->n; i++)
		node_release(t->node[i]);
	free(t->node);
	*t = (struct mtree){ 0 };
}

struct mnode *mtree_parent(const struct mtree *t, const char *path, size_t len)
{
	size_t up = path_parent_len(path, len);

	return up ? mtree_find(t, path, up) : NULL;
}

static bool is_child(const struct mnode *n, const char *path, size_t len)
{
	return n->path_len > 1 && n->path_len > len &&
	       path_parent_len(n->path, n->path_len) == len && !memcmp(n->path, path, len);
}

bool mtree_same_children(const struct mtree *a, const struct mtree *b, const char *path, size_t len)
{
	size_t i = 0, k = 0;

	for (;; i++, k++) {
		while (i < a->n && !is_child(a->node[i], path, len))
			i++;
		while (k < b->n && !is_child(b->node[k], path, len))
			k++;
		if (i >= a->n || k >= b->n)
			return i >= a->n && k >= b->n;
		if (path_cmp(a->node[i]->path, a->node[i]->path_len, b->node[k]->path,
			     b->node[k]->path_len))
			return false;
	}
}

void mtree_owned(const struct mtree *t, uint16_t domid, int64_t *nodes, int64_t *octets)
{
	*nodes = *octets = 0;
	for (size_t i = 0; i < t->n; i++) {
		const struct mnode *n = t->node[i];

		if (n->perms.entry[0].domid != domid)
			continue;
		++*nodes;
		*octets += (int64_t)(NODE_CHARGE + n->value_len);
		*octets += (int64_t)(n->path_len - path_parent_len(n->path, n->path_len));
		*octets -= path_parent_len(n->path, n->path_len) > 1 || n->path_len == 1;
	}
}

/* --- connections ------------------------------------------------------------------------------ */

struct mconn *model_conn(struct model *m, const struct conn *c)
{
	struct mconn *x;

	for (x = m->conns; x && x->id != c->id; x = x->next)
		;
	return x;
}

struct mconn *model_conn_new(struct model *m, struct conn *c)
{
	struct mconn *x = must(calloc(1, sizeof(*x)));

	x->id = c->id;
	x->conn = c;
	x->domid = c->watcher.domid;
	x->is_ring = c->domain;
	x->privileged = !x->is_ring || !x->domid || x->domid == m->w->core->opt.priv_domid;
	x->next = m->conns;
	m->conns = x;
	return x;
}

void mtxn_free(struct mtxn *t)
{
	while (t->access) {
		struct maccess *next = t->access->next;

		free(t->access);
		t->access = next;
	}
	mtree_fini(&t->base);
	mtree_fini(&t->tree);
	free(t);
}

void model_conn_forget(struct mconn *c)
{
	while (c->txn) {
		struct mtxn *next = c->txn->next;

		mtxn_free(c->txn);
		c->txn = next;
	}
	while (c->watch) {
		struct mwatch *next = c->watch->next;

		free(c->watch->path);
		free(c->watch->token);
		free(c->watch);
		c->watch = next;
	}
}

void model_conn_free(struct model *m, struct mconn *c)
{
	struct mconn **at;

	for (at = &m->conns; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	model_conn_forget(c);
	for (size_t i = 0; i < c->n_msgs; i++)
		free(c->msg[i].payload);
	for (size_t i = 0; i < c->n_want; i++)
		free(c->want[i].payload);
	free(c->msg);
	free(c->want);
	free(c);
}

void model_init(struct model *m, struct world *w)
{
	static const struct perm nobody = { .domid = 0 };
	static const struct perm readers[] = { { .domid = 0 },
					       { .domid = PERM_DOMID_ANY, .bits = PERM_READ } };
	static const char *const initial[] = { "/", "/tool", "/tool/xenstored", "/local" };
	struct mperms p = { 0 };

	memset(m, 0, sizeof(*m));
	m->w = w;
	for (size_t i = 0; i < MODEL_DOMIDS; i++)
		m->dom[i].target = 0xffff;
	m->dom[0].known = m->dom[0].introduced = true;
	mperms_set(&p, &nobody, 1);
	for (size_t i = 0; i < sizeof(initial) / sizeof(initial[0]); i++)
		mtree_put(&m->live, initial[i], strlen(initial[i]), "", 0, &p);
	free(p.entry);
	mperms_set(&m->introduce_perms, &nobody, 1);
	mperms_set(&m->release_perms, readers, 2);
}

void model_fini(struct model *m)
{
	while (m->conns)
		model_conn_free(m, m->conns);
	mtree_fini(&m->live);
	free(m->introduce_perms.entry);
	free(m->release_perms.entry);
}
