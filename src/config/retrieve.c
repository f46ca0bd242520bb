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
	struct conf_snapshot *store; /* owned */
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

static int load_window(struct drover_config *c, struct one *v, size_t n, unsigned int flags)
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
			note(c, &v[i], conf_domain_load_files(c, &v[i].d, true, flags));
		if (!v[i].err)
			domids[m++] = v[i].domid;
	}
	if (!r)
		r = conf_snapshot_read_many(c->client, domids, m, stores, errs, whys);
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

/* Loads a window, merges each, lets all locks go. Fails where the store went away. */
static int retrieve_window(struct drover_config *c, struct one *v, size_t n,
			   enum drover_config_view view, unsigned int flags)
{
	size_t i;
	int r;

	qsort(v, n, sizeof(*v), domid_cmp);
	r = load_window(c, v, n, flags);
	for (i = 0; i < n; i++) {
		conf_domain_unlock(&v[i].d);
		if (!r && !v[i].err)
			note(c, &v[i], conf_merge(&v[i].d, view, &c->host, &c->err, &v[i].config));
		conf_domain_fini(&v[i].d);
	}
	qsort(v, n, sizeof(*v), place_cmp);
	return r;
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

int drover_config_retrieve_many(struct drover_config *c, const uint32_t *domids, size_t n,
				enum drover_config_view view, unsigned int flags,
				drover_config_each_fn *fn, void *data)
{
	struct one *v;
	size_t at, i, m;
	int r = conf_session_begin(c);

	if (r)
		return r;
	v = calloc(RETRIEVE_WINDOW, sizeof(*v));
	if (!v)
		return conf_no_memory(&c->err);
	for (at = 0; !r && at < n; at += m) {
		m = window(domids + at, n - at);
		memset(v, 0, m * sizeof(*v));
		for (i = 0; i < m; i++) {
			v[i].domid = domids[at + i];
			v[i].place = i;
			conf_domain_init(&v[i].d, v[i].domid);
		}
		r = retrieve_window(c, v, m, view, flags);
		for (i = 0; i < m; i++) {
			struct drover_domain_config *config = TAKE(v[i].config);

			if (r) {
				drover_domain_config_free(config);
				continue;
			}
			c->err = v[i].why;
			r = fn(data, v[i].domid, v[i].err, config);
		}
	}
	free(v);
	return r;
}
