/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor in memory, for unit tests: a few domains with ring pages and one port each. What
 * its user left mapped or bound is counted.
 */
#ifndef DROVER_HV_FAKE_TEST_H
#define DROVER_HV_FAKE_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xen/io/xs_wire.h>

#include "hv/hv.h"

#define FAKE_DOMAINS 16u
#define FAKE_PORTS 64u
#define FAKE_DOM0_PORT 7u

struct fake_domain {
	bool exists, dying, shutdown, changed;
	uint64_t unique;
	uint32_t port; /* last bound for it */
	unsigned int maps;
	struct xenstore_domain_interface *page;
};

struct fake_hv {
	struct hv hv;
	struct fake_domain dom[FAKE_DOMAINS];
	uint64_t next_unique;
	bool virq;
	bool all; /* cannot tell which domain changed */
	bool bound[FAKE_PORTS], pending[FAKE_PORTS];
	unsigned int notified;
};

static inline struct fake_hv *fake_of(struct hv *hv)
{
	return (struct fake_hv *)(void *)hv;
}

static inline int fake_info(struct hv *hv, uint16_t domid, struct hv_dominfo *ret)
{
	const struct fake_domain *d;

	if (domid >= FAKE_DOMAINS || (domid && !fake_of(hv)->dom[domid].exists))
		return -ENOENT;
	d = &fake_of(hv)->dom[domid];
	*ret = (struct hv_dominfo){
		.domid = domid, .shutdown = d->shutdown, .dying = d->dying, .unique = d->unique
	};
	return 0;
}

static inline int fake_changed(struct hv *hv, uint16_t *ret_domid, bool *ret_all)
{
	struct fake_hv *f = fake_of(hv);

	*ret_all = f->all;
	for (uint16_t i = 0; i < FAKE_DOMAINS && !f->all; i++) {
		if (!f->dom[i].changed)
			continue;
		f->dom[i].changed = false;
		*ret_domid = i;
		return 1;
	}
	return 0;
}

static inline int fake_map(struct hv *hv, uint16_t domid, uint64_t gfn, void **ret)
{
	if (!gfn)
		return -EINVAL;
	fake_of(hv)->dom[domid].maps++;
	*ret = fake_of(hv)->dom[domid].page;
	return 0;
}

static inline void fake_unmap(struct hv *hv, uint16_t domid, void *page)
{
	assert_ptr_equal(page, fake_of(hv)->dom[domid].page);
	assert_true(fake_of(hv)->dom[domid].maps);
	fake_of(hv)->dom[domid].maps--;
}

static inline int fake_bind(struct hv *hv, uint16_t domid, uint32_t remote, uint32_t *ret)
{
	struct fake_hv *f = fake_of(hv);

	if (remote > 1000)
		return -EINVAL;
	for (uint32_t port = 1; port < FAKE_PORTS; port++) {
		if (f->bound[port])
			continue;
		f->bound[port] = f->pending[port] = true;
		f->dom[domid].port = *ret = port;
		return 0;
	}
	return -ENOSPC;
}

static inline int fake_rebind(struct hv *hv, uint16_t domid, uint32_t remote, uint32_t was,
			      uint32_t *ret)
{
	struct fake_hv *f = fake_of(hv);

	if (was >= FAKE_PORTS || !f->bound[was] || f->dom[domid].port != was)
		return fake_bind(hv, domid, remote, ret);
	f->pending[was] = true;
	*ret = was;
	return 0;
}

static inline void fake_unbind(struct hv *hv, uint32_t port)
{
	assert_true(fake_of(hv)->bound[port]);
	fake_of(hv)->bound[port] = fake_of(hv)->pending[port] = false;
}

static inline int fake_notify(struct hv *hv, uint32_t port)
{
	assert_true(fake_of(hv)->bound[port]);
	fake_of(hv)->notified++;
	return 0;
}

static inline int fake_event(struct hv *hv, uint32_t *ret_port)
{
	struct fake_hv *f = fake_of(hv);

	if (f->virq) {
		f->virq = false;
		*ret_port = 0;
		return 1;
	}
	for (uint32_t i = 1; i < FAKE_PORTS; i++) {
		if (!f->pending[i])
			continue;
		f->pending[i] = false;
		*ret_port = i;
		return 1;
	}
	return 0;
}

static inline void fake_unmask(struct hv *hv, uint32_t port)
{
	assert_true(fake_of(hv)->bound[port]);
}

static inline int fake_dom0_ring(struct hv *hv, void **page, uint32_t *port)
{
	struct fake_domain *dom0 = &fake_of(hv)->dom[0];

	if (!dom0->page)
		return -ENOENT;
	*port = FAKE_DOM0_PORT;
	dom0->maps++;
	*page = dom0->page;
	return 0;
}

static inline void fake_init(struct fake_hv *f)
{
	static const struct hv_ops ops = {
		.domain_info = fake_info,
		.next_changed = fake_changed,
		.ring_map = fake_map,
		.ring_unmap = fake_unmap,
		.evtchn_bind = fake_bind,
		.evtchn_rebind = fake_rebind,
		.evtchn_unbind = fake_unbind,
		.evtchn_notify = fake_notify,
		.event_next = fake_event,
		.evtchn_unmask = fake_unmask,
		.dom0_ring_map = fake_dom0_ring,
	};

	memset(f, 0, sizeof(*f));
	f->hv.ops = &ops;
	for (unsigned int i = 1; i < FAKE_DOMAINS; i++) {
		f->dom[i].page = calloc(1, sizeof(*f->dom[i].page));
		assert_non_null(f->dom[i].page);
	}
}

/* Nothing is mapped or bound any more. */
static inline void fake_fini(struct fake_hv *f)
{
	for (unsigned int i = 0; i < FAKE_DOMAINS; i++) {
		assert_int_equal(f->dom[i].maps, 0);
		free(f->dom[i].page);
	}
	for (unsigned int i = 0; i < FAKE_PORTS; i++)
		assert_false(f->bound[i]);
}

/* A life of domid begins; what its page held is zeroed. Nobody is told. */
static inline void fake_create(struct fake_hv *f, unsigned int domid)
{
	struct fake_domain *d = &f->dom[domid];

	if (!d->maps)
		memset(d->page, 0, sizeof(*d->page));
	d->exists = true;
	d->dying = d->shutdown = false;
	d->unique = ++f->next_unique;
}

static inline void fake_tell(struct fake_hv *f, unsigned int domid)
{
	f->dom[domid].changed = true;
	f->virq = true;
}

static inline void fake_destroy(struct fake_hv *f, unsigned int domid)
{
	f->dom[domid].exists = false;
	fake_tell(f, domid);
}

#endif
