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

int domain_reconnect(struct domain_table *t, struct domain *d)
{
	struct hv *hv = t->hv;
	uint32_t port;
	void *page;

	if (hv->ops->ring_map(hv, d->domid, d->gfn, &page))
		return EINVAL;
	if (hv->ops->evtchn_bind(hv, d->domid, d->remote_port, &port)) {
		hv->ops->ring_unmap(hv, d->domid, page);
		return EINVAL;
	}
	return domain_connect_ring(t, d, page, port);
}
