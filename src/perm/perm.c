/* SPDX-License-Identifier: MIT */
/*
 * Interned access lists. Invariant: a list in the table has at least one reference, and its hash
 * is the one of the entries it was interned with; after a strip it keeps its old chain, where
 * nobody finds it again by content, until its last reference goes.
 */
#include "perm/perm.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "wire/path.h"

#define TABLE_MIN 64u

struct perm_table {
	struct siphash_key key;
	struct perms **bucket; /* owned */
	size_t n_buckets;      /* a power of two */
	size_t count;
	struct perm_link **named; /* owned: by domid, the entries 1… that name it */
};

struct perm_table *perm_table_new(const struct siphash_key *key)
{
	struct perm_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->key = *key;
	t->n_buckets = TABLE_MIN;
	t->bucket = calloc(t->n_buckets, sizeof(struct perms *));
	t->named = calloc(UINT16_MAX + 1u, sizeof(struct perm_link *));
	if (!t->bucket || !t->named) {
		free(t->bucket);
		free(t->named);
		free(t);
		return NULL;
	}
	return t;
}

void perm_table_free(struct perm_table *t)
{
	if (!t)
		return;
	assert(!t->count);
	free(t->named);
	free(t->bucket);
	free(t);
}

size_t perm_table_count(const struct perm_table *t)
{
	return t->count;
}

/* Growing is a favour: without memory the chains just stay longer. */
static void table_grow(struct perm_table *t)
{
	size_t n = t->n_buckets * 2;
	struct perms **b = calloc(n, sizeof(struct perms *));

	if (!b)
		return;
	for (size_t i = 0; i < t->n_buckets; i++) {
		struct perms *p = t->bucket[i], *next;

		for (; p; p = next) {
			next = p->next;
			p->next = b[p->hash & (n - 1)];
			b[p->hash & (n - 1)] = p;
		}
	}
	free(t->bucket);
	t->bucket = b;
	t->n_buckets = n;
}

static bool entries_equal(const struct perm *a, const struct perm *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].domid != b[i].domid || a[i].bits != b[i].bits)
			return false;
	return true;
}

static uint64_t entries_hash(const struct perm_table *t, const struct perm *e, size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; i < n; i++) {
		uint64_t word[2] = { h, (uint64_t)e[i].domid << 8 | e[i].bits };

		h = siphash(&t->key, word, sizeof(word));
	}
	return h;
}

static void link_remove(struct perm_link *l)
{
	if (!l->at)
		return;
	*l->at = l->next;
	if (l->next)
		l->next->at = l->at;
	l->at = NULL;
}

static void links_add(struct perm_table *t, struct perms *p)
{
	for (uint32_t i = 1; i < p->n; i++) {
		struct perm_link **head = &t->named[p->entry[i].domid], *l = &p->link[i - 1];

		l->list = p;
		l->next = *head;
		l->at = head;
		if (l->next)
			l->next->at = &l->next;
		*head = l;
	}
}

static struct perms *list_new(struct perm_table *t, const struct perm *entry, size_t n)
{
	size_t size = sizeof(struct perms) + n * sizeof(*entry), at;
	struct perms *p;

	at = (size + _Alignof(struct perm_link) - 1) / _Alignof(struct perm_link) *
	     _Alignof(struct perm_link);
	p = malloc(at + (n - 1) * sizeof(struct perm_link));
	if (!p)
		return NULL;
	p->refs = 1;
	p->n = (uint32_t)n;
	p->n_links = (uint32_t)n - 1;
	p->link = (struct perm_link *)(void *)((char *)p + at);
	memcpy(p->entry, entry, n * sizeof(*entry));
	links_add(t, p);
	return p;
}

int perms_intern(struct perm_table *t, const struct perm *entry, size_t n, struct perms **ret)
{
	uint64_t h = entries_hash(t, entry, n);
	struct perms *p;

	assert(n);
	for (p = t->bucket[h & (t->n_buckets - 1)]; p; p = p->next) {
		if (p->hash == h && p->n == n && entries_equal(p->entry, entry, n)) {
			*ret = perms_take(p);
			return 0;
		}
	}
	p = list_new(t, entry, n);
	if (!p)
		return FAULT(-ENOMEM);
	p->hash = h;
	if (t->count >= t->n_buckets)
		table_grow(t);
	p->next = t->bucket[h & (t->n_buckets - 1)];
	t->bucket[h & (t->n_buckets - 1)] = p;
	t->count++;
	*ret = p;
	return 0;
}

int perms_intern_owner(struct perm_table *t, const struct perms *list, uint16_t owner,
		       struct perms **ret)
{
	struct perm small[8], *e = small;
	int r;

	if (list->n > sizeof(small) / sizeof(small[0])) {
		e = malloc(list->n * sizeof(*e));
		if (!e)
			return FAULT(-ENOMEM);
	}
	memcpy(e, list->entry, list->n * sizeof(*e));
	e[0].domid = owner;
	r = perms_intern(t, e, list->n, ret);
	if (e != small)
		free(e);
	return r;
}

void perms_release(struct perm_table *t, struct perms *p)
{
	struct perms **at;

	if (!p || --p->refs)
		return;
	for (at = &t->bucket[p->hash & (t->n_buckets - 1)]; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	for (uint32_t i = 0; i < p->n_links; i++)
		link_remove(&p->link[i]);
	t->count--;
	free(p);
}

unsigned int perms_bits(const struct perms *p, uint16_t domid, uint32_t target)
{
	if (p->entry[0].domid == domid || p->entry[0].domid == target)
		return PERM_READ | PERM_WRITE | PERM_OWNER;
	for (uint32_t i = 1; i < p->n; i++)
		if (p->entry[i].domid == domid || p->entry[i].domid == target ||
		    p->entry[i].domid == PERM_DOMID_ANY)
			return p->entry[i].bits;
	return p->entry[0].bits;
}

bool perms_equal(const struct perms *a, const struct perms *b)
{
	return a == b || (a->n == b->n && entries_equal(a->entry, b->entry, a->n));
}

bool perm_table_strip(struct perm_table *t, uint16_t domid)
{
	bool changed = false;

	while (t->named[domid]) {
		struct perms *p = t->named[domid]->list;
		uint32_t kept = 1;

		link_remove(t->named[domid]);
		for (uint32_t j = 1; j < p->n; j++)
			if (p->entry[j].domid != domid)
				p->entry[kept++] = p->entry[j];
		p->n = kept;
		changed = true;
	}
	return changed;
}

int perm_parse(const char *str, size_t len, struct perm *ret)
{
	struct perm p = { 0 };
	int r;

	if (len < 2)
		return EINVAL;
	switch (str[0]) {
	case 'r':
		p.bits = PERM_READ;
		break;
	case 'w':
		p.bits = PERM_WRITE;
		break;
	case 'b':
		p.bits = PERM_READ | PERM_WRITE;
		break;
	case 'n':
		break;
	default:
		return EINVAL;
	}
	r = path_parse_domid(str + 1, len - 1, &p.domid);
	if (r)
		return r;
	*ret = p;
	return 0;
}

size_t perm_print(const struct perm *p, char *str)
{
	static const char letter[4] = { 'n', 'r', 'w', 'b' };

	return (size_t)snprintf(str, PERMS_PRINT_MAX, "%c%u", letter[p->bits & 3], p->domid);
}
