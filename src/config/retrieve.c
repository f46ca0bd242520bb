/* SPDX-License-Identifier: MIT */
/*
 * Retrieving: one domain, or many with their files under lock and their store read side by side.
 *
 * Invariant: of several domains the locks are taken in the order of their domids and let go before
 * those of others are taken, so that two who list domains never wait for each other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/session.h"

/* Domains whose locks are held at the same time. */
#define RETRIEVE_WINDOW 16

int drover_config_retrieve(struct drover_config *c, uint32_t domid, enum drover_config_view view,
			   unsigned int flags, struct drover_domain_config **ret)
{
	struct conf_domain d;
	int r = conf_session_begin(c);

	if (!r)
		r = conf_domain_load(c, domid, true, flags, &d);
	if (r)
		return r;
	conf_domain_unlock(&d);
	r = conf_merge(&d, view, &c->host, &c->err, ret);
	conf_domain_fini(&d);
	return r;
}

struct one {
	struct conf_domain d;
	struct conf_err why;
	uint32_t domid;
	size_t place; /* in the caller's list */
	int err;
	struct drover_domain_config *config; /* owned */
};

static int domid_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct one *)a)->domid, y = ((const struct one *)b)->domid;

	return (x > y) - (x < y);
}

static int place_cmp(const void *a, const void *b)
{
	size_t x = ((const struct one *)a)->place, y = ((const struct one *)b)->place;

	return (x > y) - (x < y);
}

/* Remembers what the last call said as the reason of this one. */
static void note(struct drover_config *c, struct one *o, int err)
{
	o->err = err;
	if (err)
		o->why = c->err;
}

/* The uuids of all in one round trip. Fails where the store went away. */
static int find_uuids(struct drover_config *c, struct one *v, size_t n)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	char path[64];
	size_t i;
	int r = 0;

	for (i = 0; !r && i < n; i++) {
		snprintf(path, sizeof(path), "/local/domain/%" PRIu32, v[i].domid);
		r = conf_batch_add(&b, XS_READ, 0, path, NULL, 0, NULL);
		snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/vm", v[i].domid);
		if (!r)
			r = conf_batch_add(&b, XS_READ, 0, path, NULL, 0, NULL);
	}
	if (r)
		return conf_no_memory(&c->err);
	r = conf_client_run(c->client, &b, &c->err);
	for (i = 0; !r && i < n; i++) {
		const struct conf_reply *here = conf_batch_reply(&b, 2 * i);
		const struct conf_reply *vm = conf_batch_reply(&b, 2 * i + 1);

		conf_domain_init(&v[i].d, v[i].domid);
		note(c, &v[i], conf_take_uuid(&c->err, v[i].domid, here, vm, v[i].d.uuid));
	}
	return r;
}

/* Domains whose store was read before, to be merged while the store answers about others. */
struct ready {
	struct drover_config *c; /* borrowed */
	enum drover_config_view view;
	struct one *v; /* n of them */
	size_t n, at;
};

static void merge_next(struct ready *ready)
{
	struct one *o;

	if (ready->at == ready->n)
		return;
	o = &ready->v[ready->at++];
	if (!o->err)
		o->err = conf_merge(&o->d, ready->view, &ready->c->host, &o->why, &o->config);
	conf_domain_fini(&o->d);
}

/* While the store answers one of the ten rounds or so that a window takes. */
static void merge_some(void *data)
{
	struct ready *ready = data;

	merge_next(ready);
	merge_next(ready);
}

static int load_window(struct drover_config *c, struct one *v, size_t n, unsigned int flags,
		       struct ready *ready)
{
	struct conf_snapshot *stores[RETRIEVE_WINDOW];
	struct conf_err whys[RETRIEVE_WINDOW];
	uint32_t domids[RETRIEVE_WINDOW];
	int errs[RETRIEVE_WINDOW];
	size_t i, m = 0;
	int r;

	memset(whys, 0, sizeof(whys));
	r = find_uuids(c, v, n);
	for (i = 0; !r && i < n; i++) {
		if (!v[i].err)
			/* a list does not wait for who changes a medium: it says what is so now */
			note(c, &v[i], conf_domain_load_files(c, &v[i].d, false, flags));
		if (!v[i].err)
			domids[m++] = v[i].domid;
	}
	if (!r)
		r = conf_snapshot_list(c->client, domids, m, merge_some, ready, stores, errs, whys);
	if (r) {
		if (m)
			c->err = whys[0];
		return r;
	}
	for (i = 0, m = 0; i < n; i++) {
		if (v[i].err)
			continue;
		v[i].err = errs[m];
		v[i].why = whys[m];
		if (!v[i].err)
			note(c, &v[i], conf_domain_take_store(c, &v[i].d, stores[m]));
		m++;
	}
	return 0;
}

/* Domains of the next window. None is in it twice: its locks are had once at a time. */
static size_t window(const uint32_t *domids, size_t n)
{
	size_t m = 0;

	for (; m < n && m < RETRIEVE_WINDOW; m++)
		for (size_t i = 0; i < m; i++)
			if (domids[i] == domids[m])
				return m;
	return m;
}

/* Merges what is left of a window, and gives all of it away in the order asked. */
static int deliver(struct ready *ready, drover_config_each_fn *fn, void *data)
{
	size_t i;
	int r = 0;

	while (ready->at < ready->n)
		merge_next(ready);
	if (ready->n)
		qsort(ready->v, ready->n, sizeof(*ready->v), place_cmp);
	for (i = 0; i < ready->n; i++) {
		struct drover_domain_config *config = TAKE(ready->v[i].config);

		if (r) {
			drover_domain_config_free(config);
			continue;
		}
		ready->c->err = ready->v[i].why;
		r = fn(data, ready->v[i].domid, ready->v[i].err, config);
	}
	ready->n = ready->at = 0;
	return r;
}

/* Loads a window and lets its locks go. Fails where the store went away, or memory. */
static int load_next(struct drover_config *c, struct one *v, const uint32_t *domids, size_t n,
		     unsigned int flags, struct ready *ready)
{
	size_t i;
	int r;

	memset(v, 0, n * sizeof(*v));
	for (i = 0; i < n; i++) {
		v[i].domid = domids[i];
		v[i].place = i;
		conf_domain_init(&v[i].d, v[i].domid);
	}
	qsort(v, n, sizeof(*v), domid_cmp);
	r = load_window(c, v, n, flags, ready);
	for (i = 0; i < n; i++) {
		if (r)
			conf_domain_fini(&v[i].d);
		else
			conf_domain_unlock(&v[i].d);
	}
	return r;
}

int drover_config_retrieve_many(struct drover_config *c, const uint32_t *domids, size_t n,
				enum drover_config_view view, unsigned int flags,
				drover_config_each_fn *fn, void *data)
{
	struct ready ready = { .c = c, .view = view };
	struct one *v, *loading, *merging;
	size_t at, m;
	int r = conf_session_begin(c), delivered;

	if (r)
		return r;
	v = calloc(2 * RETRIEVE_WINDOW, sizeof(*v));
	if (!v)
		return conf_no_memory(&c->err);
	loading = v;
	merging = v + RETRIEVE_WINDOW;
	for (at = 0; !r && at < n; at += m) {
		struct conf_err why;

		m = window(domids + at, n - at);
		ready.v = merging;
		r = load_next(c, loading, domids + at, m, flags, &ready);
		why = c->err;
		delivered = deliver(&ready, fn, data);
		merging = loading;
		loading = ready.v;
		if (delivered) {
			/* nobody wants those that were read meanwhile */
			for (size_t i = 0; !r && i < m; i++)
				conf_domain_fini(&merging[i].d);
			r = delivered;
			break;
		}
		if (r)
			c->err = why;
		ready.n = r ? 0 : m;
	}
	if (!r) {
		ready.v = merging;
		r = deliver(&ready, fn, data);
	}
	free(v);
	return r;
}
