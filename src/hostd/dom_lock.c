/* SPDX-License-Identifier: MIT */
/*
 * One changing call at a time on each guest. Invariant: who waits is told exactly once, in the
 * order in which they asked; nobody waits while nobody holds the guest.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "hostd/dom.h"
#include "hostd/host.h"
#include "hostd/settings.h"
#include "rpc/error.h"

struct waiter {
	struct list link;
	const char *what;
	uint64_t since_ms;
	dom_granted_fn *granted;
	void *data;
};

static void refuse(struct dom *d, dom_granted_fn *granted, void *data, const char *how)
{
	char why[256];

	snprintf(why, sizeof(why), "%s: cannot change domain '%.128s' now (held by %s)", how,
		 d->name, d->holder ? d->holder : "nobody");
	granted(data, d, RPC_ERR_OPERATION_TIMEOUT, why);
}

static void hold(struct host *h, struct dom *d, const char *what)
{
	d->holder = what;
	d->held_since_ms = hostd_now_ms(h);
	dom_ref(d);
}

void dom_take(struct host *h, struct dom *d, const char *what, dom_granted_fn *granted, void *data)
{
	struct waiter *w;

	if (!d->holder) {
		hold(h, d, what);
		granted(data, d, 0, "");
		return;
	}
	w = d->n_waiters < DOM_WAITERS_MAX ? calloc(1, sizeof(*w)) : NULL;
	if (!w) {
		refuse(d, granted, data, "Too many calls wait");
		return;
	}
	w->what = what;
	w->since_ms = hostd_now_ms(h);
	w->granted = granted;
	w->data = data;
	list_append(&d->waiters, &w->link);
	d->n_waiters++;
	dom_ref(d);
}

static struct waiter *next_waiter(struct dom *d)
{
	struct waiter *w = list_first(&d->waiters, struct waiter, link);

	if (w) {
		list_remove(&w->link);
		d->n_waiters--;
	}
	return w;
}

void dom_release(struct host *h, struct dom *d)
{
	struct waiter *w;

	assert(d->holder);
	d->holder = NULL;
	/* Whoever is granted may release at once, which goes on here for the next one. */
	w = next_waiter(d);
	if (w) {
		hold(h, d, w->what);
		w->granted(w->data, d, 0, "");
		free(w);
		dom_unref(d);
	}
	dom_unref(d);
}

/* Those that have waited for limit_ms are the first ones. Being refused changes no guest. */
static void expire(struct host *h, struct dom *d, uint64_t limit_ms, const char *how)
{
	uint64_t now = hostd_now_ms(h);
	struct waiter *w = list_first(&d->waiters, struct waiter, link);

	while (w && now - w->since_ms >= limit_ms) {
		w = next_waiter(d);
		refuse(d, w->granted, w->data, how);
		free(w);
		dom_unref(d);
		w = list_first(&d->waiters, struct waiter, link);
	}
}

static void expire_all(struct host *h, uint64_t limit_ms, const char *how)
{
	struct dom *d;

	for (size_t i = 0; i < h->doms.n; i++)
		expire(h, h->doms.by_uuid[i], limit_ms, how);
	list_for_each(d, &h->doms.dead, dead)
		expire(h, d, limit_ms, how);
}

void dom_expire(struct host *h)
{
	expire_all(h, h->set->lock_timeout_ms, "Timed out");
}

void dom_refuse_waiters(struct host *h)
{
	expire_all(h, 0, "The daemon ends");
}
