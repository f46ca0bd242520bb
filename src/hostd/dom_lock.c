/* SPDX-License-Identifier: MIT */
/*
 * One changing call at a time on each guest. Invariant: who waits is told exactly once, in the
 * order in which they asked; nobody waits while nobody holds the guest.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/list.h"
#include "hostd/dom.h"
#include "hostd/host.h"
#include "hostd/settings.h"
#include "rpc/error.h"

struct waiter {
	struct list link;
	const char *what;
	uint64_t since_ms;
	bool surely; /* no time limit, and not counted */
	dom_granted_fn *granted;
	void *data;
};

static void refuse(struct dom *d, dom_granted_fn *granted, void *data, int code, const char *how)
{
	char why[256];

	snprintf(why, sizeof(why), "%s: cannot change domain '%.128s' now (held by %s)", how,
		 d->name, d->holder ? d->holder : "nobody");
	granted(data, d, code, why);
}

static void hold(struct host *h, struct dom *d, const char *what)
{
	d->holder = what;
	d->held_since_ms = hostd_now_ms(h);
	dom_ref(d);
}

/* false: there is no room or no memory. */
static bool wait_for(struct host *h, struct dom *d, const char *what, bool surely,
		     dom_granted_fn *granted, void *data)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w)
		return false;
	w->what = what;
	w->since_ms = hostd_now_ms(h);
	w->surely = surely;
	w->granted = granted;
	w->data = data;
	list_append(&d->waiters, &w->link);
	d->n_waiters += !surely;
	dom_ref(d);
	return true;
}

void dom_take(struct host *h, struct dom *d, const char *what, dom_granted_fn *granted, void *data)
{
	if (!d->holder) {
		hold(h, d, what);
		granted(data, d, 0, "");
	} else if (d->n_waiters >= DOM_WAITERS_MAX || !wait_for(h, d, what, false, granted, data)) {
		refuse(d, granted, data, RPC_ERR_OPERATION_TIMEOUT, "Too many calls wait");
	}
}

void dom_take_surely(struct host *h, struct dom *d, const char *what, dom_granted_fn *granted,
		     void *data)
{
	if (!d->holder) {
		hold(h, d, what);
		granted(data, d, 0, "");
	} else if (!wait_for(h, d, what, true, granted, data)) {
		hostd_fail(h, FAULT(-ENOMEM));
		refuse(d, granted, data, RPC_ERR_OPERATION_ABORTED, "The daemon ends");
	}
}

static void leave(struct dom *d, struct waiter *w)
{
	list_remove(&w->link);
	d->n_waiters -= !w->surely;
}

void dom_release(struct host *h, struct dom *d)
{
	struct waiter *w;

	assert(d->holder);
	d->holder = NULL;
	/* Whoever is granted may release at once, which goes on here for the next one. */
	w = list_first(&d->waiters, struct waiter, link);
	if (w) {
		leave(d, w);
		hold(h, d, w->what);
		w->granted(w->data, d, 0, "");
		free(w);
		dom_unref(d);
	}
	dom_unref(d);
}

/* Being refused changes no guest, and nobody asks again at once. */
static void refuse_waiter(struct dom *d, struct waiter *w, int code, const char *how)
{
	leave(d, w);
	refuse(d, w->granted, w->data, code, how);
	free(w);
	dom_unref(d);
}

static void expire(struct host *h, struct dom *d)
{
	uint64_t now = hostd_now_ms(h);
	struct waiter *w;

	list_for_each(w, &d->waiters, link) {
		if (!w->surely && now - w->since_ms >= h->set->lock_timeout_ms)
			refuse_waiter(d, w, RPC_ERR_OPERATION_TIMEOUT, "Timed out");
	}
}

static void refuse_all(struct host *h, struct dom *d)
{
	struct waiter *w;

	(void)h;
	list_for_each(w, &d->waiters, link)
		refuse_waiter(d, w, RPC_ERR_OPERATION_ABORTED, "The daemon ends");
}

static void each(struct host *h, void (*fn)(struct host *h, struct dom *d))
{
	struct dom *d;

	for (size_t i = 0; i < h->doms.n; i++)
		fn(h, h->doms.by_uuid[i]);
	list_for_each(d, &h->doms.dead, dead)
		fn(h, d);
}

void dom_expire(struct host *h)
{
	each(h, expire);
}

void dom_refuse_waiters(struct host *h)
{
	each(h, refuse_all);
}
