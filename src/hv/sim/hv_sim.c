/* SPDX-License-Identifier: MIT */
/*
 * hv.h on a simulated hypervisor.
 *
 * Invariant: whatever other processes wrote into the directory, a call gives one of the errors
 * that hv.h names or a number within its range.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/sim/chan.h"
#include "hv/sim/layout.h"

struct hv_sim {
	struct hv hv;
	struct sim *s;	       /* owned */
	struct sim_chan *chan; /* owned */
	uint32_t virq;	       /* our port for changes of domains */
};

static struct hv_sim *hv_sim(struct hv *hv)
{
	return (struct hv_sim *)(void *)hv; /* hv is its first member */
}

static void hv_sim_free(struct hv *hv)
{
	struct hv_sim *h = hv_sim(hv);

	sim_chan_close(h->chan);
	sim_close(h->s);
	free(h);
}

static int hv_sim_domain_info(struct hv *hv, uint16_t domid, struct hv_dominfo *ret)
{
	uint32_t state;
	uint64_t unique;
	int r;

	r = sim_domain_life(hv_sim(hv)->s, domid, &unique, &state);
	if (r)
		return r;
	*ret = (struct hv_dominfo){
		.domid = domid,
		.shutdown = (state & SIM_SHUTDOWN) != 0,
		.dying = (state & SIM_DYING) != 0,
		.unique = unique,
	};
	return 0;
}

static int hv_sim_next_changed(struct hv *hv, uint16_t *ret_domid, bool *ret_all)
{
	struct bits *changed = &hv_sim(hv)->s->table->changed;

	*ret_all = false;
	for (uint32_t n = 0; n < SIM_DOMAINS; n++) {
		int32_t domid = bits_take(changed, 0);

		if (domid < 0)
			return 0;
		if (domid < (int32_t)HV_DOMID_FIRST_RESERVED) {
			*ret_domid = (uint16_t)domid;
			return 1;
		}
	}
	return 0;
}

static int ring_map_life(struct hv_sim *h, uint16_t domid, void **ret_page)
{
	uint32_t state;
	uint64_t unique;
	int fd, r;

	r = sim_domain_life(h->s, domid, &unique, &state);
	if (r)
		return r;
	if (state & SIM_DYING)
		return -ENOENT;
	fd = sim_open_ring(h->s, domid);
	if (fd < 0)
		return fd == -ENOENT ? -ENOENT : -EINVAL;
	r = sim_map_ring(fd, ret_page);
	close(fd);
	return r;
}

static int hv_sim_ring_map(struct hv *hv, uint16_t domid, uint64_t gfn, void **ret_page)
{
	(void)gfn; /* a simulated domain has one page to offer */
	return ring_map_life(hv_sim(hv), domid, ret_page);
}

static void hv_sim_ring_unmap(struct hv *hv, uint16_t domid, void *page)
{
	(void)hv;
	(void)domid;
	munmap(page, HV_RING_SIZE);
}

static int hv_sim_evtchn_bind(struct hv *hv, uint16_t domid, uint32_t remote_port,
			      uint32_t *ret_port)
{
	return sim_chan_bind(hv_sim(hv)->chan, domid, remote_port, ret_port);
}

static int hv_sim_evtchn_rebind(struct hv *hv, uint16_t domid, uint32_t remote_port, uint32_t was,
				uint32_t *ret_port)
{
	(void)was; /* the directory knows */
	return sim_chan_bind(hv_sim(hv)->chan, domid, remote_port, ret_port);
}

static void hv_sim_evtchn_unbind(struct hv *hv, uint32_t port)
{
	if (port != hv_sim(hv)->virq)
		sim_chan_unbind(hv_sim(hv)->chan, port);
}

static int hv_sim_evtchn_notify(struct hv *hv, uint32_t port)
{
	return sim_chan_notify(hv_sim(hv)->chan, port);
}

static int hv_sim_fd(struct hv *hv)
{
	return sim_chan_fd(hv_sim(hv)->chan);
}

static int hv_sim_event_next(struct hv *hv, uint32_t *ret_port)
{
	struct hv_sim *h = hv_sim(hv);
	uint32_t port;
	int r;

	r = sim_chan_next(h->chan, &port);
	if (r <= 0)
		return r;
	if (port == h->virq) {
		sim_chan_unmask(h->chan, port);
		port = 0;
	}
	*ret_port = port;
	return 1;
}

static void hv_sim_evtchn_unmask(struct hv *hv, uint32_t port)
{
	sim_chan_unmask(hv_sim(hv)->chan, port);
}

static int hv_sim_dom0_ring_map(struct hv *hv, void **ret_page, uint32_t *ret_remote_port)
{
	int r;

	r = ring_map_life(hv_sim(hv), 0, ret_page);
	if (!r)
		*ret_remote_port = SIM_XS_PORT;
	return r;
}

static const struct hv_ops hv_sim_ops = {
	.name = "sim",
	.free = hv_sim_free,
	.domain_info = hv_sim_domain_info,
	.next_changed = hv_sim_next_changed,
	.ring_map = hv_sim_ring_map,
	.ring_unmap = hv_sim_ring_unmap,
	.evtchn_bind = hv_sim_evtchn_bind,
	.evtchn_rebind = hv_sim_evtchn_rebind,
	.evtchn_unbind = hv_sim_evtchn_unbind,
	.evtchn_notify = hv_sim_evtchn_notify,
	.fd = hv_sim_fd,
	.event_next = hv_sim_event_next,
	.evtchn_unmask = hv_sim_evtchn_unmask,
	.dom0_ring_map = hv_sim_dom0_ring_map,
};

int hv_sim_open(const char *dir, struct hv **ret_hv)
{
	struct hv_sim *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->hv.ops = &hv_sim_ops;
	r = sim_open(dir, &h->s);
	if (!r)
		r = sim_chan_open(h->s, false, &h->chan);
	if (!r)
		r = sim_chan_bind_virq(h->chan, true, &h->virq);
	if (r) {
		hv_sim_free(&h->hv);
		return r;
	}
	/* Changes that nobody was there to collect. */
	if (bits_find(&h->s->table->changed, 0) >= 0)
		sim_raise(h->s, h->virq);
	*ret_hv = &h->hv;
	return 0;
}
