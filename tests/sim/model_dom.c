/* SPDX-License-Identifier: MIT */
/*
 * The model's domains: known, introduced, dead. Invariant: what the hypervisor knows is asked of
 * the same hypervisor as the daemon asks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static const struct fake_domain *at_hv(const struct model *m, uint16_t domid)
{
	const struct fake_domain *d = domid < FAKE_DOMIDS ? &m->w->hv.dom[domid] : NULL;

	return d && d->exists && !d->dying ? d : NULL;
}

uint64_t model_limit(const struct model *m, uint16_t domid, enum quota_id q)
{
	const struct domain *d = domain_find(&m->w->core->domains, domid);

	return d ? d->budget.limits.hard[q] : m->w->policy.limits.hard[q];
}

bool model_is_exempt(const struct model *m, uint16_t domid)
{
	return !domid || domid == m->w->core->opt.priv_domid;
}

static void perms_strip(struct mperms *p, uint16_t domid)
{
	size_t kept = 1;

	for (size_t i = 1; i < p->n; i++)
		if (p->entry[i].domid != domid)
			p->entry[kept++] = p->entry[i];
	p->n = kept;
}

static bool names(const struct mperms *p, uint16_t domid)
{
	for (size_t i = 1; i < p->n; i++)
		if (p->entry[i].domid == domid)
			return true;
	return false;
}

/* Nodes are shared with trees that stay as they are. */
static void tree_strip(struct mtree *t, uint16_t domid)
{
	for (size_t i = 0; i < t->n; i++) {
		struct mnode *n = t->node[i];
		struct mperms p = { 0 };

		if (!names(&n->perms, domid))
			continue;
		mperms_set(&p, n->perms.entry, n->perms.n);
		perms_strip(&p, domid);
		mtree_put(t, n->path, n->path_len, n->value, n->value_len, &p);
		free(p.entry);
	}
}

void model_strip(struct model *m, uint16_t domid)
{
	tree_strip(&m->live, domid);
	for (struct mconn *c = m->conns; c; c = c->next) {
		for (struct mtxn *t = c->txn; t; t = t->next) {
			tree_strip(&t->base, domid);
			tree_strip(&t->tree, domid);
		}
	}
	perms_strip(&m->introduce_perms, domid);
	perms_strip(&m->release_perms, domid);
}

int model_dom_get(struct model *m, uint16_t domid)
{
	const struct fake_domain *hv = at_hv(m, domid);
	struct mdom *d;

	if (domid < MODEL_DOMIDS && m->dom[domid].known)
		return 0;
	if (!hv)
		return ENOENT;
	d = &m->dom[domid];
	d->known = true;
	d->unique = hv->unique;
	d->shutdown = hv->shutdown;
	d->introduced = false;
	d->target = 0xffff;
	d->serial = ++m->serial;
	model_strip(m, domid);
	return 0;
}

static void drop_conn(struct model *m, uint16_t domid)
{
	struct mconn *c, *next;

	for (c = m->conns; c; c = next) {
		next = c->next;
		if (c->is_ring && c->domid == domid)
			model_conn_free(m, c);
	}
	m->dom[domid].introduced = false;
}

/* All that it owns, each topmost node with what is below. */
static void remove_owned(struct model *m, uint16_t domid)
{
	unsigned int group = m->group;
	size_t i = 0;

	while (i < m->live.n) {
		struct mnode *n = m->live.node[i];
		struct mtree before;
		char path[MODEL_PATH];
		size_t len = n->path_len;

		if (n->perms.entry[0].domid != domid || len == 1) {
			i++;
			continue;
		}
		memcpy(path, n->path, len);
		mtree_copy(&before, &m->live);
		mtree_remove_below(&m->live, path, len);
		m->group = group; /* which subtree goes first is free */
		model_fire(m, &before, &m->live, path, len, true);
		mtree_fini(&before);
	}
	if (m->live.node[0]->perms.entry[0].domid == domid) {
		struct mnode *root = m->live.node[0];
		struct mperms p = { 0 };

		mperms_set(&p, root->perms.entry, root->perms.n);
		p.entry[0].domid = 0;
		mtree_put(&m->live, "/", 1, root->value, root->value_len, &p);
		free(p.entry);
	}
}

void model_dom_died(struct model *m, uint16_t domid)
{
	struct mdom *d = &m->dom[domid];
	bool told = d->introduced;

	d->died = ++m->deaths;
	drop_conn(m, domid);
	for (size_t i = 0; i < MODEL_DOMIDS; i++)
		if (m->dom[i].target == domid)
			m->dom[i].target = 0xffff;
	d->target = 0xffff;
	model_strip(m, domid);
	if (m->introduce_perms.entry[0].domid == domid)
		m->introduce_perms.entry[0].domid = 0;
	if (m->release_perms.entry[0].domid == domid)
		m->release_perms.entry[0].domid = 0;
	remove_owned(m, domid);
	d->known = false;
	if (told)
		model_fire_special(m, "@releaseDomain", domid, &m->release_perms);
}

void model_dom_look(struct model *m, uint16_t domid)
{
	const struct fake_domain *hv = at_hv(m, domid);
	struct mdom *d = &m->dom[domid];

	if (!d->known || !domid)
		return;
	if (!hv || hv->unique != d->unique) {
		model_dom_died(m, domid);
		return;
	}
	if (!hv->shutdown || d->shutdown)
		return;
	d->shutdown = true;
	if (d->introduced)
		model_fire_special(m, "@releaseDomain", domid, &m->release_perms);
}

void model_dom_look_all(struct model *m)
{
	uint64_t last = 0;

	for (;;) {
		uint16_t next = 0;

		for (uint16_t d = 1; d < MODEL_DOMIDS; d++)
			if (m->dom[d].known && m->dom[d].serial > last &&
			    (!next || m->dom[d].serial < m->dom[next].serial))
				next = d;
		if (!next)
			return;
		last = m->dom[next].serial;
		model_dom_look(m, next);
	}
}

static bool number(const struct mcall *o, size_t i, long long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(o->arg[i], &end, 10);
	return o->len[i] && !*end && !errno;
}

/* The connection of a domain that was introduced just now. */
static void take_conn(struct model *m, uint16_t domid)
{
	struct domain *d = domain_find(&m->w->core->domains, domid);

	const struct xenstore_domain_interface *r = fake_hv_page(&m->w->hv, domid);
	struct mconn *c;

	if (!d || !d->conn || model_conn(m, d->conn))
		return;
	c = model_conn_new(m, d->conn);
	/* what the guest has not read yet of the former connection is none of this one's */
	c->skip = r->rsp_prod - r->rsp_cons;
	c->unread = c->skip > XENSTORE_RING_SIZE;
	c->restarting = r->connection == XENSTORE_RECONNECT;
}

int model_introduce(struct mcall *o)
{
	struct model *m = o->m;
	const struct fake_domain *hv;
	long long gfn, port;
	uint16_t domid;
	struct mdom *d;
	struct mconn *c;
	bool again, failed = false;

	if (path_parse_domid(o->arg[0], o->len[0], &domid) || !number(o, 1, &gfn) ||
	    !number(o, 2, &port) || port <= 0 || port > INT32_MAX || !domid ||
	    domid >= HV_DOMID_FIRST_RESERVED)
		return EINVAL;
	hv = at_hv(m, domid);
	if (!hv)
		return ENOENT;
	d = &m->dom[domid];
	if (d->known && d->unique != hv->unique)
		model_dom_died(m, domid);
	model_dom_get(m, domid);
	again = d->introduced;
	for (c = m->conns; c; c = c->next)
		failed |= c->is_ring && c->domid == domid && c->conn->failed;
	if (again && !failed && d->gfn == (uint64_t)gfn && d->port == (uint32_t)port)
		return 0;
	if (gfn > 1000000 || gfn < 0)
		return EINVAL;
	if (port > (long long)FAKE_GUEST_PORTS)
		return EINVAL;
	drop_conn(m, domid);
	d->introduced = true;
	d->gfn = (uint64_t)gfn;
	d->port = (uint32_t)port;
	take_conn(m, domid);
	if (!again)
		model_fire_special(m, "@introduceDomain", domid, &m->introduce_perms);
	return 0;
}

int model_release(struct mcall *o)
{
	struct model *m = o->m;
	const struct fake_domain *hv;
	uint16_t domid;
	struct mdom *d;

	if (path_parse_domid(o->arg[0], o->len[0], &domid) || !domid)
		return EINVAL;
	d = domid < MODEL_DOMIDS ? &m->dom[domid] : NULL;
	if (!d || !d->introduced)
		return ENOENT;
	hv = at_hv(m, domid);
	if (!hv || hv->unique != d->unique) {
		model_dom_died(m, domid);
		return 0;
	}
	drop_conn(m, domid);
	model_fire_special(m, "@releaseDomain", domid, &m->release_perms);
	return 0;
}

int model_set_target(struct mcall *o)
{
	struct model *m = o->m;
	uint16_t domid, target;

	if (path_parse_domid(o->arg[0], o->len[0], &domid) ||
	    path_parse_domid(o->arg[1], o->len[1], &target))
		return EINVAL;
	if (domid >= MODEL_DOMIDS || target >= MODEL_DOMIDS || !m->dom[domid].introduced ||
	    !m->dom[target].introduced)
		return ENOENT;
	m->dom[domid].target = target;
	return 0;
}
