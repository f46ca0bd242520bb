/* SPDX-License-Identifier: MIT */
/*
 * Domains over a hypervisor in memory, with a store whose charges and edges go where a daemon's
 * go, and a privileged watcher that writes down what it is told.
 */
#ifndef DROVER_DOMAIN_HOST_TEST_H
#define DROVER_DOMAIN_HOST_TEST_H

#include <stdio.h>

#include "hv/fake_test.h"

#include "domain/death.h"
#include "domain/domain.h"

struct host {
	struct fake_hv hv;
	struct quota_policy policy;
	struct perm_table *perms;
	struct store store;
	struct watch_index watches;
	struct hold_table holds;
	struct conn_table conns;
	struct domain_table domains;
	struct watcher watcher;
	char events[4096];
	unsigned int n_requests;
};

static inline void host_charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct host *h = data;
	struct domain *d = domain_find(&h->domains, domid);

	assert_non_null(d); /* no node is owned by nobody */
	if (nodes >= 0)
		budget_add(&d->budget, QUOTA_NODES, (uint64_t)nodes);
	else
		budget_sub(&d->budget, QUOTA_NODES, (uint64_t)-nodes);
	if (octets >= 0)
		budget_add(&d->budget, QUOTA_MEMORY, (uint64_t)octets);
	else
		budget_sub(&d->budget, QUOTA_MEMORY, (uint64_t)-octets);
}

static inline void host_edge(void *data, uint16_t domid, const char *path, size_t len)
{
	domain_note_edge(&((struct host *)data)->domains, domid, path, len);
}

static inline void host_event(struct watcher *w, const struct watch *x, const char *path,
			      size_t len)
{
	struct host *h = (struct host *)(void *)((char *)w - offsetof(struct host, watcher));
	size_t at = strlen(h->events);

	(void)x;
	snprintf(h->events + at, sizeof(h->events) - at, "%s%.*s", at ? " " : "", (int)len, path);
}

static inline bool host_handle(void *data, struct conn *c, const struct wire_msg *m)
{
	struct host *h = data;

	h->n_requests++;
	conn_reply(c, &m->hdr, m->hdr.type, "OK", 3);
	return true;
}

static inline void host_watch(struct host *h, const char *path, uint32_t depth)
{
	assert_int_equal(
		watch_add(&h->watches, &h->watcher, path, strlen(path), "t", 1, depth, false, NULL),
		0);
}

static inline struct host *host_new(void)
{
	static const struct tree_ops ops = { .charge = host_charge, .edge = host_edge };
	static const struct siphash_key key = { 7, 8 };
	static const struct perm root = { .domid = 0 };
	struct host *h = calloc(1, sizeof(*h));
	struct perms *p;

	assert_non_null(h);
	fake_init(&h->hv);
	quota_policy_init(&h->policy);
	hold_table_init(&h->holds);
	h->perms = perm_table_new(&key);
	h->store.heap.perms = h->perms;
	h->conns.holds = &h->holds;
	h->conns.store = &h->store;
	h->conns.watches = &h->watches;
	h->conns.handle = host_handle;
	h->conns.data = h;
	h->domains.hv = &h->hv.hv;
	h->domains.policy = &h->policy;
	h->domains.conns = &h->conns;
	h->domains.store = &h->store;
	h->domains.watches = &h->watches;
	h->domains.priv_domid = PERM_NO_DOMID;
	assert_int_equal(conn_table_init(&h->conns, NULL), 0);
	assert_int_equal(watch_index_init(&h->watches), 0);
	assert_int_equal(domain_table_init(&h->domains), 0);
	assert_int_equal(perms_intern(h->perms, &root, 1, &p), 0);
	assert_int_equal(store_init(&h->store, h->perms, &ops, h, p), 0);
	perms_release(h->perms, p);
	watcher_init(&h->watcher);
	h->watcher.event = host_event;
	h->watcher.privileged = true;
	h->watcher.budget = &domain_find(&h->domains, 0)->budget;
	return h;
}

static inline void host_free(struct host *h)
{
	watch_remove_some(&h->watches, &h->watcher, SIZE_MAX);
	conn_table_fini(&h->conns);
	store_fini(&h->store);
	domain_table_fini(&h->domains);
	watch_index_fini(&h->watches);
	perm_table_free(h->perms);
	fake_fini(&h->hv);
	free(h);
}

/* Rounds and hypervisor events until nothing happens. */
static inline void host_run(struct host *h)
{
	for (unsigned int i = 0; i < 20; i++) {
		domain_hv_events(&h->domains);
		conn_round(&h->conns, i);
		store_reap(&h->store, 10000);
	}
}

/* Creates and introduces. */
static inline struct domain *host_guest(struct host *h, uint16_t domid)
{
	fake_create(&h->hv, domid);
	assert_int_equal(domain_introduce(&h->domains, domid, 100u + domid, 3), 0);
	host_run(h);
	return domain_find(&h->domains, domid);
}

/* An access list from text, "n5 r6". The caller's reference. */
static inline struct perms *host_list(struct host *h, const char *text)
{
	struct perm entry[16];
	struct perms *p;
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, " ");

		assert_int_equal(perm_parse(text, len, &entry[n++]), 0);
		text += len + (text[len] == ' ');
	}
	assert_int_equal(perms_intern(h->perms, entry, n, &p), 0);
	return p;
}

/* Creates path where it is missing, and gives it this list. */
static inline void host_node(struct host *h, const char *path, const char *list)
{
	size_t len = strlen(path);
	struct perms *p = host_list(h, list);

	if (store_find_node(h->store.live.root, path, len))
		assert_int_equal(tree_set_perms(&h->store, &h->store.live, path, len, p), 0);
	else
		assert_int_equal(tree_create(&h->store, &h->store.live, path, len, p, NULL, 0), 0);
	perms_release(h->perms, p);
}

static inline bool host_has(const struct host *h, const char *path)
{
	return store_find_node(h->store.live.root, path, strlen(path));
}

#endif
