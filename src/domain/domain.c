/* SPDX-License-Identifier: MIT */
/*
 * Introduce, release, resume, target. Invariant: a connection's domain outlives it; a domain is
 * freed only when its budget is back to nothing.
 */
#include "domain/domain.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/ring.h"
#include "domain/death.h"
#include "domain/restore.h"

#define DOMIDS (UINT16_MAX + 1u)

static struct budget *table_budget(void *data, uint16_t domid)
{
	struct domain_table *t = data;

	return t->by_domid[domid] ? &t->by_domid[domid]->budget : NULL;
}

static int special_perms_init(struct domain_table *t)
{
	static const struct perm introduce = { .domid = 0 };
	static const struct perm release[] = { { .domid = 0 },
					       { .domid = PERM_DOMID_ANY, .bits = PERM_READ } };
	struct perm_table *perms = t->store->heap.perms;
	int r;

	r = perms_intern(perms, &introduce, 1, &t->introduce_perms);
	if (!r)
		r = perms_intern(perms, release, ARRAY_LEN(release), &t->release_perms);
	return r;
}

void domain_changed(struct domain_table *t, const struct domain *d)
{
	if (t->ops)
		t->ops->domain(t->ops_data, d);
}

void domain_strip(struct domain_table *t, uint16_t domid)
{
	if (perm_table_strip(t->store->heap.perms, domid) && t->ops)
		t->ops->strip(t->ops_data, domid);
}

void domain_set_special(struct domain_table *t, struct perms **special, struct perms *perms)
{
	perms_release(t->store->heap.perms, *special);
	*special = perms;
	if (t->ops)
		t->ops->special(t->ops_data,
				special == &t->introduce_perms ? "@introduceDomain"
							       : "@releaseDomain",
				perms);
}

int domain_new(struct domain_table *t, uint16_t domid, struct domain **ret)
{
	struct domain *d = calloc(1, sizeof(*d));

	if (!d)
		return FAULT(-ENOMEM);
	d->domid = domid;
	d->features = RING_FEATURES;
	budget_init(&d->budget, t->policy, domid, NULL);
	if (domid == t->priv_domid)
		d->budget.exempt = true;
	list_init(&d->stubs);
	list_init(&d->stub_link);
	snprintf(d->prefix, sizeof(d->prefix), "/local/domain/%u", domid);
	list_append(&t->all, &d->all);
	t->by_domid[domid] = d;
	t->n++;
	/* whoever had the id before, and lists that named it in advance, give it nothing */
	domain_strip(t, domid);
	*ret = d;
	return 0;
}

int domain_table_init(struct domain_table *t)
{
	struct domain *dom0;
	int r;

	list_init(&t->all);
	t->by_domid = calloc(DOMIDS, sizeof(struct domain *));
	t->ledger.death_of = calloc(DOMIDS, sizeof(uint64_t));
	t->ledger.find = table_budget;
	t->ledger.data = t;
	if (!t->by_domid || !t->ledger.death_of)
		return FAULT(-ENOMEM);
	r = domain_new(t, 0, &dom0);
	if (r)
		return r;
	dom0->introduced = true;
	return special_perms_init(t);
}

void domain_leave_targets(struct domain_table *t, struct domain *d)
{
	struct domain *stub;

	list_for_each(stub, &d->stubs, stub_link) {
		stub->target = NULL;
		list_remove(&stub->stub_link);
		if (stub->conn)
			stub->conn->watcher.target = PERM_NO_DOMID;
		domain_changed(t, stub);
	}
	list_remove(&d->stub_link);
	d->target = NULL;
}

void domain_forget(struct domain_table *t, struct domain *d)
{
	domain_leave_targets(t, d);
	list_remove(&d->all);
	t->by_domid[d->domid] = NULL;
	if (t->ops)
		t->ops->domain_gone(t->ops_data, d->domid);
	t->n--;
	for (size_t i = 0; i < d->n_edges; i++)
		free(d->edge[i]);
	free(d->edge);
	budget_fini(&d->budget);
	/* at the end of all connections and their area went first */
	if (t->conns->area && d->budget.counters != &d->budget.own)
		area_release(t->conns->area, d->counters);
	free(d);
}

void domain_table_fini(struct domain_table *t)
{
	struct domain *d;

	if (!t->by_domid)
		return;
	while ((d = list_first(&t->all, struct domain, all)))
		domain_forget(t, d);
	if (t->introduce_perms)
		perms_release(t->store->heap.perms, TAKE(t->introduce_perms));
	if (t->release_perms)
		perms_release(t->store->heap.perms, TAKE(t->release_perms));
	free(TAKE(t->by_domid));
	free(TAKE(t->by_port));
	free(TAKE(t->ledger.death_of));
}

struct domain *domain_find(struct domain_table *t, uint16_t domid)
{
	return t->by_domid[domid];
}

/* The id of one whose nodes were kept is in use again: those are all that is left of it. */
static void domain_renew(struct domain_table *t, struct domain *d)
{
	struct budget was = d->budget;
	bool own = d->budget.counters == &d->budget.own;

	memset(was.counters, 0, sizeof(*was.counters));
	budget_init(&d->budget, t->policy, d->domid, own ? NULL : was.counters);
	d->budget.exempt = was.exempt;
	memcpy(d->budget.used, was.used, sizeof(was.used));
	memcpy(d->budget.counters->peak, was.used, sizeof(was.used));
	d->features = RING_FEATURES;
	d->quiesced = false;
	domain_strip(t, d->domid);
}

int domain_get(struct domain_table *t, uint16_t domid, struct domain **ret)
{
	struct domain *d = t->by_domid[domid];
	struct hv_dominfo info;
	int r;

	if (d && !d->orphans) {
		*ret = d;
		return 0;
	}
	r = t->hv->ops->domain_info(t->hv, domid, &info);
	if (r || info.dying)
		return ENOENT;
	if (d && !t->keep_orphans) {
		r = domain_bury(t, d);
		if (r)
			return r;
		d = NULL;
	}
	if (d)
		domain_renew(t, d);
	else
		r = domain_new(t, domid, &d);
	if (r)
		return r;
	if (!d->counters)
		domain_set_counters(t, d);
	d->orphans = false;
	d->unique = info.unique;
	d->shutdown = info.shutdown;
	domain_changed(t, d);
	*ret = d;
	return 0;
}

static int port_set(struct domain_table *t, uint32_t port, struct conn *c)
{
	size_t n = t->n_ports ? t->n_ports : 64;
	struct conn **p;

	while (n <= port)
		n *= 2;
	if (n != t->n_ports) {
		p = realloc(t->by_port, n * sizeof(struct conn *));
		if (!p)
			return FAULT(-ENOMEM);
		memset(p + t->n_ports, 0, (n - t->n_ports) * sizeof(struct conn *));
		t->by_port = p;
		t->n_ports = n;
	}
	t->by_port[port] = c;
	return 0;
}

void domain_disconnect(struct domain_table *t, struct domain *d)
{
	if (d->conn) {
		if (d->local_port < t->n_ports)
			t->by_port[d->local_port] = NULL;
		/* its events, watches and charges go now; the rest is reaped between rounds */
		conn_reset(d->conn);
		ring_transport_unbind(d->conn->transport);
		d->conn->watcher.budget = &domain_find(t, 0)->budget;
		d->conn->domain = NULL;
		conn_close(d->conn);
		d->conn = NULL;
	}
	d->local_port = 0;
	d->introduced = false;
	domain_changed(t, d);
}

int domain_make_ring(struct domain_table *t, struct domain *d, void *page, uint32_t port,
		     struct ring_transport **ret)
{
	int r;

	r = port_set(t, port, NULL);
	*ret = r ? NULL : ring_transport_new(t->hv, d->domid, page, port, d->features);
	if (*ret)
		return 0;
	t->hv->ops->evtchn_unbind(t->hv, port);
	t->hv->ops->ring_unmap(t->hv, d->domid, page);
	return r ? r : FAULT(-ENOMEM);
}

int domain_connect_ring(struct domain_table *t, struct domain *d, void *page, uint32_t port)
{
	struct ring_transport *ring;
	struct conn *c;
	int r;

	r = domain_make_ring(t, d, page, port, &ring);
	if (r)
		return r;
	r = conn_new(t->conns, ring_transport_ops(), ring, &d->budget,
		     !d->domid || d->domid == t->priv_domid, 0, &c);
	if (r)
		return r;
	ring_transport_offer(ring);
	c->domain = d;
	c->prefix = d->prefix;
	c->watcher.rel_len = (uint32_t)strlen(d->prefix) + 1;
	if (d->target)
		c->watcher.target = d->target->domid;
	c->quiesced = d->quiesced;
	t->by_port[port] = c;
	d->conn = c;
	d->local_port = port;
	conn_opened(c);
	conn_wake(c);
	return 0;
}

int domain_map_dom0(struct domain_table *t, uint32_t dom0_port, void **ret_page, uint32_t *ret_port)
{
	const struct domain *d = domain_find(t, 0);
	uint32_t remote;
	int r;

	r = t->hv->ops->dom0_ring_map(t->hv, ret_page, &remote);
	if (r)
		return r;
	if (dom0_port)
		remote = dom0_port;
	if (d->local_port) /* an earlier process bound it */
		r = t->hv->ops->evtchn_rebind(t->hv, 0, remote, d->local_port, ret_port);
	else
		r = t->hv->ops->evtchn_bind(t->hv, 0, remote, ret_port);
	if (r)
		t->hv->ops->ring_unmap(t->hv, 0, *ret_page);
	return r;
}

int domain_connect_dom0(struct domain_table *t, uint32_t dom0_port)
{
	uint32_t port;
	void *page;
	int r;

	r = domain_map_dom0(t, dom0_port, &page, &port);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = domain_connect_ring(t, domain_find(t, 0), page, port);
	/* until it was notified once, its kernel starts none of its backends */
	if (!r)
		t->hv->ops->evtchn_notify(t->hv, port);
	return r;
}

/* Bound anew: the page stays the guest's, everything half done is dropped. */
static int rebind(struct domain_table *t, struct domain *d, uint64_t gfn, uint32_t remote_port)
{
	struct hv *hv = t->hv;
	void *page;
	uint32_t port;
	int r;

	if (hv->ops->ring_map(hv, d->domid, gfn, &page))
		return EINVAL;
	/* a guest's port is bound to one of ours at most: the former one must go first */
	if (d->conn && d->remote_port == remote_port)
		domain_disconnect(t, d);
	if (hv->ops->evtchn_bind(hv, d->domid, remote_port, &port)) {
		hv->ops->ring_unmap(hv, d->domid, page);
		return EINVAL;
	}
	domain_disconnect(t, d);
	r = domain_connect_ring(t, d, page, port);
	if (r)
		return r;
	d->introduced = true;
	d->gfn = gfn;
	d->remote_port = remote_port;
	domain_changed(t, d);
	return 0;
}

/*
 * Whether the hypervisor says that a life has ended. That it cannot be asked now ends none: *ret
 * is then as the domain was last seen.
 */
bool domain_is_over(struct domain_table *t, const struct domain *d, struct hv_dominfo *ret)
{
	int r = t->hv->ops->domain_info(t->hv, d->domid, ret);

	if (r && r != -ENOENT) {
		FAULT(r);
		*ret = (struct hv_dominfo){ .domid = d->domid,
					    .shutdown = d->shutdown,
					    .unique = d->unique };
		return false;
	}
	return r || ret->dying || ret->unique != d->unique;
}

int domain_introduce(struct domain_table *t, uint16_t domid, uint64_t gfn, uint32_t remote_port)
{
	struct hv_dominfo info;
	struct domain *d;
	bool again;
	int r;

	if (t->hv->ops->domain_info(t->hv, domid, &info) || info.dying)
		return ENOENT;
	d = domain_find(t, domid);
	if (d && info.unique != d->unique)
		domain_died(t, d); /* the id was reused before anybody told us */
	r = domain_get(t, domid, &d);
	if (r)
		return r;
	again = d->introduced;
	if (again && d->conn && !d->conn->failed && d->gfn == gfn && d->remote_port == remote_port)
		return 0;
	r = rebind(t, d, gfn, remote_port);
	if (r && again && !d->introduced) /* let go of the former ring, and no new one */
		watch_fire_special(t->watches, "@releaseDomain", domid, t->release_perms);
	if (r)
		return r;
	if (!again)
		watch_fire_special(t->watches, "@introduceDomain", domid, t->introduce_perms);
	return 0;
}

int domain_release(struct domain_table *t, uint16_t domid)
{
	struct domain *d = domain_find(t, domid);
	struct hv_dominfo info;

	if (!d || !d->introduced)
		return ENOENT;
	if (domain_is_over(t, d, &info)) {
		domain_died(t, d);
		return 0;
	}
	d->quiesced = false;
	domain_disconnect(t, d);
	watch_fire_special(t->watches, "@releaseDomain", domid, t->release_perms);
	return 0;
}

void domain_quiesce(struct domain_table *t, struct domain *d, bool on)
{
	if (d->quiesced != on) {
		d->quiesced = on;
		domain_changed(t, d);
	}
	if (d->conn)
		conn_quiesce(d->conn, on);
}

int domain_resume(struct domain_table *t, uint16_t domid)
{
	struct domain *d = domain_find(t, domid);

	if (!d || !d->introduced)
		return ENOENT;
	d->shutdown = false;
	domain_changed(t, d);
	return 0;
}

int domain_set_target(struct domain_table *t, uint16_t domid, uint16_t target)
{
	struct domain *d = domain_find(t, domid), *to = domain_find(t, target);

	if (!d || !d->introduced || !to || !to->introduced)
		return ENOENT;
	list_remove(&d->stub_link);
	d->target = to;
	list_append(&to->stubs, &d->stub_link);
	if (d->conn)
		d->conn->watcher.target = target;
	domain_changed(t, d);
	return 0;
}

void domain_look(struct domain_table *t, uint16_t domid)
{
	struct domain *d = domain_find(t, domid);
	struct hv_dominfo info;

	if (!d || !domid || d->orphans)
		return;
	if (domain_is_over(t, d, &info)) {
		domain_died(t, d);
		return;
	}
	if (info.shutdown && !d->shutdown) {
		d->shutdown = true;
		domain_changed(t, d);
		if (d->introduced)
			watch_fire_special(t->watches, "@releaseDomain", domid, t->release_perms);
	}
}

static void domains_changed(struct domain_table *t)
{
	struct domain *d;
	uint16_t domid;
	bool all = false;

	while (t->hv->ops->next_changed(t->hv, &domid, &all) > 0)
		domain_look(t, domid);
	if (!all)
		return;
	list_for_each(d, &t->all, all)
		domain_look(t, d->domid);
}

int domain_hv_events(struct domain_table *t)
{
	uint32_t port;
	int r = 1;

	for (unsigned int n = 0; n < DOMAIN_EVENTS_PER_ROUND; n++) {
		r = t->hv->ops->event_next(t->hv, &port);
		if (r <= 0)
			break;
		if (!port) {
			domains_changed(t);
			continue;
		}
		t->hv->ops->evtchn_unmask(t->hv, port);
		if (port < t->n_ports && t->by_port[port])
			conn_wake(t->by_port[port]);
	}
	return r;
}
