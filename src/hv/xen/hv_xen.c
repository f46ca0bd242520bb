/* SPDX-License-Identifier: MIT */
/*
 * hv.h on Xen, from its control domain: libxenctrl for domains, libxenevtchn for events,
 * libxengnttab for ring pages. The only file, with manage.c, that knows libxen*.
 *
 * A domain's handle (its UUID) does not tell two lives of a domid apart: toolstacks may change it
 * while the domain lives. libxenctrl 4.17 has nothing else, so unique stays 0 there.
 *
 * Invariant: a mapped page is the kernel's for domain 0 (dom0_page), in `foreign`, or a grant;
 * it is unmapped by the library that mapped it. bound says which ports this process bound or found
 * again: none of them is found a second time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include "base/list.h"
#include "hv/hv.h"
#include "hv/xen/changes.h"
#include "hv/xen/manage.h"

#define SCAN_BATCH 1024u  /* domains asked for in one hypercall */
#define PORTS_MAX 131072u /* of domain 0, with the larger of Xen's two layouts */

/* A page mapped by frame number: where domains offer no grant, and so rarely. */
struct foreign {
	struct list link;
	void *page; /* owned */
};

struct hv_xen {
	struct hv hv;
	xc_interface *xc; /* owned, as the next four */
	xenevtchn_handle *evtchn;
	xengnttab_handle *gnttab;      /* NULL where the kernel has none */
	xenforeignmemory_handle *fmem; /* opened when first needed */
	struct manage *manage;	       /* NULL: libxenctrl must do */
	struct list foreign;	       /* struct foreign, owned */
	void *dom0_page;	       /* borrowed: the caller unmaps it */
	uint32_t virq;
	bool is_kept;  /* bindings of an earlier process may be there */
	bool scan_due; /* domains changed since the last scan */
	struct changes changes;
	uint64_t bound[PORTS_MAX / 64u]; /* bit p: port p is our caller's */
	xc_domaininfo_t batch[SCAN_BATCH];
};

static struct hv_xen *hv_xen(struct hv *hv)
{
	return (struct hv_xen *)(void *)hv; /* hv is its first member */
}

/* The library's errno; never 0. */
static int xen_error(int otherwise)
{
	return errno ? -errno : -otherwise;
}

static void hv_xen_free(struct hv *hv)
{
	struct hv_xen *h = hv_xen(hv);
	struct foreign *f;

	while ((f = list_first(&h->foreign, struct foreign, link))) {
		xenforeignmemory_unmap(h->fmem, f->page, 1);
		list_remove(&f->link);
		free(f);
	}
	if (h->fmem)
		xenforeignmemory_close(h->fmem);
	manage_close(h->manage);
	if (h->gnttab)
		xengnttab_close(h->gnttab);
	if (h->evtchn)
		xenevtchn_close(h->evtchn);
	if (h->xc)
		xc_interface_close(h->xc);
	free(h);
}

static int hv_xen_domain_info(struct hv *hv, uint16_t domid, struct hv_dominfo *ret)
{
	struct hv_xen *h = hv_xen(hv);
	xc_domaininfo_t info;
	int n;

	if (domid >= HV_DOMID_FIRST_RESERVED)
		return -ENOENT;
	if (h->manage)
		return manage_domain_info(h->manage, domid, ret);
	errno = 0;
	n = xc_domain_getinfolist(h->xc, domid, 1, &info);
	if (n < 0)
		return errno == ESRCH ? -ENOENT : xen_error(EIO);
	if (n != 1 || info.domain != domid)
		return -ENOENT;
	*ret = (struct hv_dominfo){
		.domid = domid,
		.shutdown = (info.flags & XEN_DOMINF_shutdown) != 0,
		.dying = (info.flags & XEN_DOMINF_dying) != 0,
	};
	changes_told(&h->changes, domid);
	return 0;
}

/* 0 or -errno. */
static int domains_scan(struct hv_xen *h)
{
	struct domain_states now = { { 0 }, { 0 }, { 0 } };
	uint32_t first = 0;
	int n;

	do {
		errno = 0;
		n = xc_domain_getinfolist(h->xc, first, SCAN_BATCH, h->batch);
		if (n < 0)
			return xen_error(EIO);
		for (int i = 0; i < n; i++)
			changes_enter(&now, h->batch[i].domain,
				      h->batch[i].flags & XEN_DOMINF_shutdown,
				      h->batch[i].flags & XEN_DOMINF_dying);
		if (n)
			first = h->batch[n - 1].domain + 1u;
	} while (n == (int)SCAN_BATCH && first < HV_DOMID_FIRST_RESERVED);
	changes_update(&h->changes, &now);
	return 0;
}

static int hv_xen_next_changed(struct hv *hv, uint16_t *ret_domid, bool *ret_all)
{
	struct hv_xen *h = hv_xen(hv);

	*ret_all = false;
	if (h->manage)
		return manage_next_changed(h->manage, ret_domid);
	if (h->scan_due) {
		h->scan_due = false;
		*ret_all = domains_scan(h) < 0;
	}
	return *ret_all ? 0 : changes_take(&h->changes, ret_domid);
}

static int foreign_map(struct hv_xen *h, uint16_t domid, uint64_t gfn, void **ret_page)
{
	xen_pfn_t frame = (xen_pfn_t)gfn;
	struct foreign *f;

	errno = 0;
	if (!h->fmem)
		h->fmem = xenforeignmemory_open(NULL, 0);
	if (!h->fmem)
		return -EINVAL;
	f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->page = xenforeignmemory_map(h->fmem, domid, PROT_READ | PROT_WRITE, 1, &frame, NULL);
	if (!f->page) {
		free(f);
		return errno == ESRCH || errno == ENOENT ? -ENOENT : -EINVAL;
	}
	list_append(&h->foreign, &f->link);
	*ret_page = f->page;
	return 0;
}

static int hv_xen_ring_map(struct hv *hv, uint16_t domid, uint64_t gfn, void **ret_page)
{
	struct hv_xen *h = hv_xen(hv);
	void *page = NULL;

	/* The toolstack granted it before the domain ran; gfn is for those that did not. */
	if (h->gnttab)
		page = xengnttab_map_grant_ref(h->gnttab, domid, GNTTAB_RESERVED_XENSTORE,
					       PROT_READ | PROT_WRITE);
	if (!page)
		return foreign_map(h, domid, gfn, ret_page);
	*ret_page = page;
	return 0;
}

static void hv_xen_ring_unmap(struct hv *hv, uint16_t domid, void *page)
{
	struct hv_xen *h = hv_xen(hv);
	struct foreign *f;

	(void)domid;
	if (page == h->dom0_page) {
		h->dom0_page = NULL;
		munmap(page, HV_RING_SIZE);
		return;
	}
	list_for_each(f, &h->foreign, link) {
		if (f->page != page)
			continue;
		xenforeignmemory_unmap(h->fmem, page, 1);
		list_remove(&f->link);
		free(f);
		return;
	}
	xengnttab_unmap(h->gnttab, page, 1);
}

static bool port_is_bound(const struct hv_xen *h, uint32_t port)
{
	return port < PORTS_MAX && h->bound[port / 64u] >> port % 64u & 1u;
}

static void port_mark(struct hv_xen *h, uint32_t port, bool bound)
{
	uint64_t bit = UINT64_C(1) << port % 64u;

	if (port >= PORTS_MAX)
		return;
	if (bound)
		h->bound[port / 64u] |= bit;
	else
		h->bound[port / 64u] &= ~bit;
}

/* 1: port is joined to domid's remote_port (0: to any of domid's). 0: it is not. < 0: no port. */
static int port_is_joined(struct hv_xen *h, uint32_t port, uint16_t domid, uint32_t remote_port)
{
	xc_evtchn_status_t st = { .dom = DOMID_SELF, .port = port };

	if (xc_evtchn_status(h->xc, &st))
		return -1;
	return st.status == EVTCHNSTAT_interdomain && st.u.interdomain.dom == domid &&
	       (!remote_port || st.u.interdomain.port == remote_port);
}

/*
 * The port that a process which had the device before us joined to this one, and died before it
 * could tell anybody.
 */
static bool port_find(struct hv_xen *h, uint16_t domid, uint32_t remote_port, uint32_t *ret_port)
{
	uint32_t port;
	int joined = 0;

	for (port = 1; port < PORTS_MAX && !joined; port++)
		joined = port_is_joined(h, port, domid, remote_port);
	port--;
	/* another program of domain 0 may have bound it: then our device cannot notify by it */
	if (joined <= 0 || port_is_bound(h, port) || xenevtchn_notify(h->evtchn, port) < 0 ||
	    xenevtchn_unmask(h->evtchn, port) < 0)
		return false;
	*ret_port = port;
	return true;
}

static int hv_xen_evtchn_bind(struct hv *hv, uint16_t domid, uint32_t remote_port,
			      uint32_t *ret_port)
{
	struct hv_xen *h = hv_xen(hv);
	int port, r;

	errno = 0;
	port = xenevtchn_bind_interdomain(h->evtchn, domid, remote_port);
	if (port >= 0) {
		*ret_port = (uint32_t)port;
	} else {
		r = xen_error(EINVAL);
		if (r != -EINVAL || !h->is_kept || !remote_port ||
		    !port_find(h, domid, remote_port, ret_port))
			return r;
	}
	port_mark(h, *ret_port, true);
	return 0;
}

static int hv_xen_evtchn_rebind(struct hv *hv, uint16_t domid, uint32_t remote_port, uint32_t was,
				uint32_t *ret_port)
{
	struct hv_xen *h = hv_xen(hv);

	/* its number may be another's by now, where the device was opened anew */
	if (!h->is_kept || port_is_joined(h, was, domid, remote_port) <= 0 ||
	    xenevtchn_unmask(h->evtchn, was) < 0)
		return hv_xen_evtchn_bind(hv, domid, remote_port, ret_port);
	port_mark(h, was, true);
	*ret_port = was;
	return 0;
}

static void hv_xen_evtchn_unbind(struct hv *hv, uint32_t port)
{
	port_mark(hv_xen(hv), port, false);
	xenevtchn_unbind(hv_xen(hv)->evtchn, port);
}

static int hv_xen_evtchn_notify(struct hv *hv, uint32_t port)
{
	errno = 0;
	return xenevtchn_notify(hv_xen(hv)->evtchn, port) < 0 ? xen_error(EIO) : 0;
}

static int hv_xen_fd(struct hv *hv)
{
	return xenevtchn_fd(hv_xen(hv)->evtchn);
}

static int hv_xen_event_next(struct hv *hv, uint32_t *ret_port)
{
	struct hv_xen *h = hv_xen(hv);
	int port;

	errno = 0;
	port = xenevtchn_pending(h->evtchn);
	if (port < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : xen_error(EIO);
	*ret_port = (uint32_t)port;
	if (*ret_port == h->virq) {
		h->scan_due = true;
		xenevtchn_unmask(h->evtchn, h->virq);
		*ret_port = 0;
	}
	return 1;
}

static void hv_xen_evtchn_unmask(struct hv *hv, uint32_t port)
{
	xenevtchn_unmask(hv_xen(hv)->evtchn, port);
}

/* The kernel's port for domain 0; -errno. */
static int dom0_port(uint32_t *ret_port)
{
	FILE *f = fopen("/proc/xen/xsd_port", "re");
	unsigned int port;
	int n;

	if (!f)
		return -errno;
	n = fscanf(f, "%u", &port);
	fclose(f);
	if (n != 1 || !port)
		return -ENOENT;
	*ret_port = port;
	return 0;
}

static int hv_xen_dom0_ring_map(struct hv *hv, void **ret_page, uint32_t *ret_remote_port)
{
	struct hv_xen *h = hv_xen(hv);
	uint32_t port = 0;
	void *page;
	int fd, r;

	r = dom0_port(&port);
	if (r)
		return r;
	fd = open("/proc/xen/xsd_kva", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	page = mmap(NULL, HV_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r = page == MAP_FAILED ? -errno : 0;
	close(fd);
	if (r)
		return r;
	h->dom0_page = page;
	*ret_page = page;
	*ret_remote_port = port;
	return 0;
}

static const struct hv_ops hv_xen_ops = {
	.name = "xen",
	.free = hv_xen_free,
	.domain_info = hv_xen_domain_info,
	.next_changed = hv_xen_next_changed,
	.ring_map = hv_xen_ring_map,
	.ring_unmap = hv_xen_ring_unmap,
	.evtchn_bind = hv_xen_evtchn_bind,
	.evtchn_rebind = hv_xen_evtchn_rebind,
	.evtchn_unbind = hv_xen_evtchn_unbind,
	.evtchn_notify = hv_xen_evtchn_notify,
	.fd = hv_xen_fd,
	.event_next = hv_xen_event_next,
	.evtchn_unmask = hv_xen_evtchn_unmask,
	.dom0_ring_map = hv_xen_dom0_ring_map,
};

/* The device, given or -1, with the port that tells of changed domains. */
static int events_open(int given, xenevtchn_handle **ret, uint32_t *ret_virq)
{
	xenevtchn_handle *x;
	int fd, flags, port, r = 0;

	errno = 0;
	x = given < 0 ? xenevtchn_open(NULL, 0) : xenevtchn_fdopen(NULL, given, 0);
	if (!x)
		return xen_error(ENODEV);
	fd = xenevtchn_fd(x);
	flags = fcntl(fd, F_GETFL);
	/* event_next asks until there is none. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		r = -errno;
	port = r ? -1 : xenevtchn_bind_virq(x, VIRQ_DOM_EXC);
	if (!r && port < 0)
		r = xen_error(ENODEV);
	if (r) {
		xenevtchn_close(x);
		return r;
	}
	*ret = x;
	*ret_virq = (uint32_t)port;
	return 0;
}

int hv_xen_keep(struct hv_kept *ret)
{
	return hv_xen_keep_given(-1, ret);
}

/*
 * Holds on to a handle as long as the process lives: closing it would close the device. Without
 * memory to remember it by, it is open all the same.
 */
static void hold(xenevtchn_handle *x)
{
	static struct held {
		struct held *next;
		xenevtchn_handle *x;
	} * all;
	struct held *h = malloc(sizeof(*h));

	if (!h)
		return;
	h->x = x;
	h->next = all;
	all = h;
}

int hv_xen_keep_given(int evtchn_fd, struct hv_kept *ret)
{
	xenevtchn_handle *x;
	int r;

	r = events_open(evtchn_fd, &x, &ret->virq);
	if (r)
		return r;
	hold(x);
	ret->evtchn_fd = xenevtchn_fd(x);
	return 0;
}

void hv_xen_give(const struct hv_kept *kept)
{
	xenevtchn_handle *x = xenevtchn_fdopen(NULL, kept->evtchn_fd, 0);

	if (!x)
		return;
	hold(x);
	xenevtchn_unbind(x, kept->virq);
}

static int hv_xen_open_events(struct hv_xen *h, const struct hv_kept *kept)
{
	if (!kept || kept->evtchn_fd < 0)
		return events_open(-1, &h->evtchn, &h->virq);
	errno = 0;
	h->evtchn = xenevtchn_fdopen(NULL, kept->evtchn_fd, 0);
	if (!h->evtchn) {
		int err = xen_error(ENODEV);

		close(kept->evtchn_fd);
		return err;
	}
	h->virq = kept->virq;
	h->is_kept = true;
	/* an earlier process may have taken it and died */
	xenevtchn_unmask(h->evtchn, h->virq);
	h->scan_due = true;
	return 0;
}

static int hv_xen_open_all(struct hv_xen *h, const struct hv_kept *kept)
{
	int r;

	errno = 0;
	h->xc = xc_interface_open(NULL, NULL, 0);
	if (!h->xc)
		return xen_error(ENODEV);
	r = hv_xen_open_events(h, kept);
	if (r)
		return r;
	h->gnttab = xengnttab_open(NULL, 0);
	if (h->gnttab) /* older kernels allow few unless asked; newer ones need no asking */
		xengnttab_set_max_grants(h->gnttab, HV_DOMID_FIRST_RESERVED);
	h->manage = manage_open();
	if (h->manage)
		return 0;
	r = domains_scan(h);
	memset(h->changes.pending, 0, sizeof(h->changes.pending));
	return r;
}

int hv_xen_open(const struct hv_kept *kept, struct hv **ret_hv)
{
	struct hv_xen *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->hv.ops = &hv_xen_ops;
	list_init(&h->foreign);
	r = hv_xen_open_all(h, kept);
	if (r) {
		hv_xen_free(&h->hv);
		return r;
	}
	*ret_hv = &h->hv;
	return 0;
}

bool hv_xen_is_present(void)
{
	FILE *f = fopen("/proc/xen/capabilities", "re");
	char line[256];
	bool present = false;

	if (!f)
		return false;
	while (!present && fgets(line, sizeof(line), f))
		present = strstr(line, "control_d");
	fclose(f);
	return present;
}
