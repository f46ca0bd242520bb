/* SPDX-License-Identifier: MIT */
/*
 * From what was known of a domain to a domain that is served. Invariant: until domain_reconnect
 * nothing is asked of the hypervisor, and nothing that others share is changed.
 */
#include "domain/restore.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "conn/ring.h"
#include "domain/death.h"

int domain_restore(struct domain_table *t, uint16_t domid, struct domain **ret)
{
	*ret = domain_find(t, domid);
	return *ret ? 0 : domain_new(t, domid, ret);
}

void domain_restore_conn(struct domain *d, struct conn *c)
{
	c->domain = d;
	c->prefix = d->prefix;
	c->watcher.rel_len = (uint32_t)strlen(d->prefix) + 1;
	if (d->target)
		c->watcher.target = d->target->domid;
	d->conn = c;
}

void domain_restore_target(struct domain *d, struct domain *target)
{
	list_remove(&d->stub_link);
	d->target = target;
	if (target)
		list_append(&target->stubs, &d->stub_link);
	if (d->conn)
		d->conn->watcher.target = target ? target->domid : PERM_NO_DOMID;
}

bool domain_goes_on(struct domain_table *t, struct domain *d)
{
	struct hv_dominfo info;

	if (!d->unique && !t->hv->ops->domain_info(t->hv, d->domid, &info))
		d->unique = info.unique;
	return !domain_is_over(t, d, &info);
}

static int map_ring(struct domain_table *t, struct domain *d, void **ret_page, uint32_t *ret_port)
{
	struct hv *hv = t->hv;

	if (hv->ops->ring_map(hv, d->domid, d->gfn, ret_page))
		return EINVAL;
	if (!hv->ops->evtchn_rebind(hv, d->domid, d->remote_port, d->local_port, ret_port))
		return 0;
	hv->ops->ring_unmap(hv, d->domid, *ret_page);
	return EINVAL;
}

/* page and port are taken over. */
static int restore(struct domain_table *t, struct domain *d, void *page, uint32_t port)
{
	struct ring_transport *ring;
	int r;

	r = domain_make_ring(t, d, page, port, &ring);
	if (!r) {
		ring->moved = true; /* what was done and not told of is told of now */
		r = conn_restore(d->conn, ring_transport_ops(), ring);
	}
	if (r)
		return r;
	t->by_port[port] = d->conn;
	d->local_port = port;
	return 0;
}

int domain_restore_ring(struct domain_table *t, struct domain *d)
{
	uint32_t port;
	void *page;
	int r;

	r = map_ring(t, d, &page, &port);
	return r ? r : restore(t, d, page, port);
}

int domain_restore_dom0(struct domain_table *t, uint32_t dom0_port)
{
	uint32_t port;
	void *page;
	int r;

	r = domain_map_dom0(t, dom0_port, &page, &port);
	return r ? -r : restore(t, domain_find(t, 0), page, port);
}

int domain_reconnect(struct domain_table *t, struct domain *d)
{
	uint32_t port;
	void *page;
	int r;

	r = map_ring(t, d, &page, &port);
	return r ? r : domain_connect_ring(t, d, page, port);
}

void domain_set_counters(struct domain_table *t, struct domain *d)
{
	struct area *a = t->conns->area;
	struct budget_counters *at;

	if (d->counters) {
		d->budget.counters = area_at(a, d->counters);
		return;
	}
	d->counters = area_alloc(a, sizeof(*at));
	if (!d->counters)
		return;
	at = area_at(a, d->counters);
	*at = *d->budget.counters;
	d->budget.counters = at;
}
