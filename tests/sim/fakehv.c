/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor in memory. Invariant: a port that was told of stays silent until it is unmasked,
 * a page lives as long as its domain or a mapping of it.
 */
#include "fakehv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "crash.h"

static struct fake_hv *fake_of(struct hv *hv)
{
	return CONTAINER_OF(hv, struct fake_hv, hv);
}

static struct fake_domain *domain_of(struct fake_hv *h, uint16_t domid)
{
	return domid < FAKE_DOMIDS && h->dom[domid].exists ? &h->dom[domid] : NULL;
}

static void page_release(struct fake_page *p)
{
	if (p)
		p->refs--;
}

static struct fake_page *page_new(struct fake_hv *h)
{
	for (size_t i = 0; i < FAKE_PAGES; i++) {
		if (!h->page[i].refs) {
			h->page[i].refs = 1;
			memset(h->page[i].octets, 0, HV_RING_SIZE);
			return &h->page[i];
		}
	}
	assert(0 && "a page is left");
	return NULL;
}

static void no_free(struct hv *hv)
{
	(void)hv;
}

static int domain_info(struct hv *hv, uint16_t domid, struct hv_dominfo *ret)
{
	struct fake_hv *h = fake_of(hv);
	struct fake_domain *d = domain_of(h, domid);

	if (!d)
		return -ENOENT;
	*ret = (struct hv_dominfo){
		.domid = domid, .shutdown = d->shutdown, .dying = d->dying, .unique = d->unique
	};
	return 0;
}

static int next_changed(struct hv *hv, uint16_t *ret_domid, bool *ret_all)
{
	struct fake_hv *h = fake_of(hv);

	for (uint16_t i = 0; i < FAKE_DOMIDS; i++) {
		if (!h->dom[i].changed)
			continue;
		h->dom[i].changed = false;
		crash_point(false);
		if (h->tell_all) {
			*ret_all = true;
			continue;
		}
		*ret_domid = i;
		return 1;
	}
	return 0;
}

static int ring_map(struct hv *hv, uint16_t domid, uint64_t gfn, void **ret_page)
{
	struct fake_domain *d = domain_of(fake_of(hv), domid);

	if (!d || d->dying)
		return -ENOENT;
	if (gfn > 1000000)
		return -EINVAL;
	d->page->refs++;
	*ret_page = d->page->octets;
	return 0;
}

static void ring_unmap(struct hv *hv, uint16_t domid, void *page)
{
	(void)hv;
	(void)domid;
	page_release(CONTAINER_OF(page, struct fake_page, octets));
}

static int evtchn_bind(struct hv *hv, uint16_t domid, uint32_t remote, uint32_t *ret_port)
{
	struct fake_hv *h = fake_of(hv);
	struct fake_domain *d = domain_of(h, domid);
	uint32_t free_port = 0;

	if (!d || d->dying)
		return -ESRCH;
	if (!remote || remote > FAKE_GUEST_PORTS)
		return -EINVAL;
	for (uint32_t p = FAKE_PORTS - 1; p; p--) {
		struct fake_port *fp = &h->port[p];

		if (fp->bound && fp->domid == domid && fp->remote == remote &&
		    fp->unique == d->unique) {
			if (!fp->left)
				return -EINVAL; /* bound already */
			free_port = p;
			break;
		}
		if (!fp->bound)
			free_port = p;
	}
	if (!free_port)
		return -ENOSPC;
	h->port[free_port] = (struct fake_port){ .bound = true,
						 .pending = true,
						 .domid = domid,
						 .remote = remote,
						 .unique = d->unique };
	*ret_port = free_port;
	crash_point(false);
	return 0;
}

static int evtchn_rebind(struct hv *hv, uint16_t domid, uint32_t remote, uint32_t was,
			 uint32_t *ret_port)
{
	struct fake_hv *h = fake_of(hv);
	struct fake_domain *d = domain_of(h, domid);
	struct fake_port *fp = was < FAKE_PORTS ? &h->port[was] : NULL;

	if (!d || !fp || !fp->bound || fp->domid != domid || fp->remote != remote ||
	    fp->unique != d->unique)
		return evtchn_bind(hv, domid, remote, ret_port);
	fp->pending = true;
	fp->masked = fp->left = false;
	*ret_port = was;
	crash_point(false);
	return 0;
}

static void evtchn_unbind(struct hv *hv, uint32_t port)
{
	struct fake_hv *h = fake_of(hv);

	assert(port < FAKE_PORTS && h->port[port].bound);
	h->port[port].bound = false;
	crash_point(false);
}

static int evtchn_notify(struct hv *hv, uint32_t port)
{
	struct fake_hv *h = fake_of(hv);
	struct fake_domain *d;

	assert(port < FAKE_PORTS && h->port[port].bound);
	d = domain_of(h, h->port[port].domid);
	crash_point(false);
	if (d && d->unique == h->port[port].unique)
		d->notified = true;
	crash_point(false);
	return 0;
}

static int no_fd(struct hv *hv)
{
	(void)hv;
	return -1;
}

static int event_next(struct hv *hv, uint32_t *ret_port)
{
	struct fake_hv *h = fake_of(hv);

	if (h->changed) {
		h->changed = false;
		*ret_port = 0;
		return 1;
	}
	for (uint32_t i = 0; i < FAKE_PORTS; i++) {
		uint32_t p = (h->next_event + i) % FAKE_PORTS;
		struct fake_port *fp = &h->port[p];

		if (!p || !fp->bound || !fp->pending || fp->masked)
			continue;
		fp->pending = false;
		fp->masked = true;
		h->next_event = p + 1;
		*ret_port = p;
		crash_point(false);
		return 1;
	}
	return 0;
}

static void evtchn_unmask(struct hv *hv, uint32_t port)
{
	struct fake_hv *h = fake_of(hv);

	if (port < FAKE_PORTS && h->port[port].bound)
		h->port[port].masked = false;
}

static int dom0_ring_map(struct hv *hv, void **ret_page, uint32_t *ret_remote_port)
{
	struct fake_hv *h = fake_of(hv);

	if (!h->dom0_ring)
		return -ENOENT;
	*ret_remote_port = 1;
	return ring_map(hv, 0, 0, ret_page);
}

static const struct hv_ops fake_ops = {
	.name = "fake",
	.free = no_free,
	.domain_info = domain_info,
	.next_changed = next_changed,
	.ring_map = ring_map,
	.ring_unmap = ring_unmap,
	.evtchn_bind = evtchn_bind,
	.evtchn_rebind = evtchn_rebind,
	.evtchn_unbind = evtchn_unbind,
	.evtchn_notify = evtchn_notify,
	.fd = no_fd,
	.event_next = event_next,
	.evtchn_unmask = evtchn_unmask,
	.dom0_ring_map = dom0_ring_map,
};

void fake_hv_init(struct fake_hv *h)
{
	memset(h, 0, offsetof(struct fake_hv, page));
	for (size_t i = 0; i < FAKE_PAGES; i++)
		h->page[i].refs = 0; /* filled when they are taken */
	h->hv.ops = &fake_ops;
	fake_hv_create(h, 0);
	h->changed = false;
	h->dom[0].changed = false;
}

static void note_change(struct fake_hv *h, uint16_t domid)
{
	h->dom[domid].changed = true;
	h->changed = true;
}

void fake_hv_create(struct fake_hv *h, uint16_t domid)
{
	struct fake_domain *d = &h->dom[domid];

	assert(domid < FAKE_DOMIDS && !d->exists);
	*d = (struct fake_domain){ .exists = true, .unique = ++h->next_unique };
	d->page = page_new(h);
	note_change(h, domid);
}

void fake_hv_shutdown(struct fake_hv *h, uint16_t domid)
{
	h->dom[domid].shutdown = true;
	note_change(h, domid);
}

void fake_hv_resume(struct fake_hv *h, uint16_t domid)
{
	h->dom[domid].shutdown = false;
	note_change(h, domid);
}

void fake_hv_dying(struct fake_hv *h, uint16_t domid)
{
	h->dom[domid].dying = true;
	note_change(h, domid);
}

void fake_hv_destroy(struct fake_hv *h, uint16_t domid)
{
	struct fake_domain *d = &h->dom[domid];

	assert(d->exists && domid);
	page_release(TAKE(d->page));
	d->exists = false;
	note_change(h, domid);
}

void *fake_hv_page(struct fake_hv *h, uint16_t domid)
{
	struct fake_domain *d = domain_of(h, domid);

	return d ? d->page->octets : NULL;
}

void fake_hv_kick(struct fake_hv *h, uint16_t domid)
{
	for (uint32_t p = 1; p < FAKE_PORTS; p++)
		if (h->port[p].bound && h->port[p].domid == domid &&
		    h->port[p].unique == h->dom[domid].unique)
			h->port[p].pending = true;
}

bool fake_hv_take_notice(struct fake_hv *h, uint16_t domid)
{
	bool was = h->dom[domid].notified;

	h->dom[domid].notified = false;
	return was;
}

bool fake_hv_is_pending(const struct fake_hv *h)
{
	if (h->changed)
		return true;
	for (uint32_t p = 1; p < FAKE_PORTS; p++)
		if (h->port[p].bound && h->port[p].pending && !h->port[p].masked)
			return true;
	return false;
}

void fake_hv_abandon(struct fake_hv *h)
{
	for (size_t i = 0; i < FAKE_PAGES; i++)
		h->page[i].refs = 0;
	for (size_t i = 0; i < FAKE_DOMIDS; i++)
		if (h->dom[i].exists)
			h->dom[i].page->refs = 1;
	for (size_t i = 0; i < FAKE_PORTS; i++)
		h->port[i].left = true;
}

unsigned int fake_hv_leaks(const struct fake_hv *h)
{
	unsigned int n = 0;

	for (size_t i = 0; i < FAKE_PORTS; i++)
		n += h->port[i].bound && !h->port[i].left;
	for (size_t i = 0; i < FAKE_PAGES; i++)
		n += h->page[i].refs;
	for (size_t i = 0; i < FAKE_DOMIDS; i++)
		n -= h->dom[i].exists;
	return n;
}
