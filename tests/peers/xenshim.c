/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD stand-in for libxenctrl, libxenevtchn and libxengnttab on a simulated hypervisor,
 * so that an unmodified xenstored or oxenstored, or this project's own Xen backend, runs with
 * domain 0 and guests but without Xen:
 *
 *   DROVER_SIM_DIR=/dev/shm/x LD_PRELOAD=build/tests/peers/xenshim.so xenstored -N
 *   build/drover sim --dir /dev/shm/x create 5
 *
 * The directory is hv/sim's (src/hv/sim/sim.h): one guest program speaks to every daemon.
 * Redirected paths: redirect.c. Not provided: what a xenstored never calls (the real library's
 * function then fails on the handle), and libxenmanage.
 *
 * Invariant: a call answers as Xen's library does, errno included, where a daemon looks at it.
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
#include <xengnttab.h>

#include "hv/sim/chan.h"
#include "hv/sim/layout.h"
#include "redirect.h"

#define EXPORT __attribute__((visibility("default")))

struct xenevtchn_handle {
	struct sim_chan *chan; /* owned */
	int fd;
	uint32_t last; /* the port reported last; or the VIRQ's */
	uint32_t virq;
};

static struct sim *shim_sim(void)
{
	static struct sim *sim;
	const char *dir = shim_dir();
	int r;

	if (sim)
		return sim;
	r = dir ? sim_open(dir, &sim) : -ENOENT;
	if (!r)
		return sim;
	fprintf(stderr, "xenshim: DROVER_SIM_DIR %s: %s\n", dir ? dir : "unset", strerror(-r));
	errno = -r;
	return NULL;
}

/* 0, or -1 with errno. */
static int shim_ret(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/* ---- libxenctrl ---- */

EXPORT xc_interface *xc_interface_open(xentoollog_logger *log, xentoollog_logger *dombuild,
				       unsigned int flags)
{
	(void)log;
	(void)dombuild;
	(void)flags;
	return (xc_interface *)(void *)shim_sim();
}

EXPORT int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

EXPORT int xc_domain_getinfo(xc_interface *xch, uint32_t first, unsigned int max,
			     xc_dominfo_t *info)
{
	struct sim_dominfo d;
	unsigned int n;

	(void)xch;
	for (n = 0; n < max && sim_domain_next(shim_sim(), first, &d); n++) {
		memset(&info[n], 0, sizeof(info[n]));
		info[n].domid = d.domid;
		info[n].running = !d.shutdown && !d.dying;
		info[n].shutdown = d.shutdown;
		info[n].dying = d.dying;
		first = d.domid + 1u;
	}
	return n ? (int)n : shim_ret(-ESRCH);
}

EXPORT int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
				 xc_domaininfo_t *info)
{
	struct sim_dominfo d;
	unsigned int n;

	(void)xch;
	for (n = 0; n < max && sim_domain_next(shim_sim(), first, &d); n++) {
		memset(&info[n], 0, sizeof(info[n]));
		info[n].domain = d.domid;
		info[n].flags = d.shutdown ? XEN_DOMINF_shutdown : XEN_DOMINF_running;
		if (d.dying)
			info[n].flags |= XEN_DOMINF_dying;
		first = d.domid + 1u;
	}
	return (int)n;
}

EXPORT int xc_evtchn_status(xc_interface *xch, xc_evtchn_status_t *status)
{
	struct sim_table *t = shim_sim()->table;
	struct sim_port *sp;

	(void)xch;
	if (status->dom != DOMID_SELF || status->port >= SIM_PORTS)
		return shim_ret(-EINVAL);
	sp = &t->port[status->port];
	status->status = EVTCHNSTAT_closed;
	if (atomic_load(&sp->kind) != SIM_PORT_DOMAIN ||
	    atomic_load(&sp->epoch) != atomic_load(&t->epoch))
		return 0;
	status->status = EVTCHNSTAT_interdomain;
	status->u.interdomain.dom = (domid_t)atomic_load(&sp->domid);
	status->u.interdomain.port = atomic_load(&sp->gport);
	return 0;
}

EXPORT const xc_error *xc_get_last_error(xc_interface *xch)
{
	static const xc_error error = { XC_INTERNAL_ERROR, "not simulated" };

	(void)xch;
	return &error;
}

EXPORT const char *xc_error_code_to_desc(int code)
{
	(void)code;
	return "Internal error";
}

static void *shim_map(uint32_t domid)
{
	uint64_t unique;
	uint32_t state;
	void *page = NULL;
	int fd, r;

	r = domid < HV_DOMID_FIRST_RESERVED
		    ? sim_domain_life(shim_sim(), (uint16_t)domid, &unique, &state)
		    : -ESRCH;
	if (!r) {
		fd = sim_open_ring(shim_sim(), (uint16_t)domid);
		r = fd < 0 ? fd : sim_map_ring(fd, &page);
		if (fd >= 0)
			close(fd);
	}
	shim_ret(r);
	return page;
}

EXPORT void *xc_map_foreign_range(xc_interface *xch, uint32_t domid, int size, int prot,
				  unsigned long gfn)
{
	(void)xch;
	(void)size;
	(void)prot;
	(void)gfn;
	return shim_map(domid);
}

/* ---- libxengnttab ---- */

EXPORT xengnttab_handle *xengnttab_open(struct xentoollog_logger *log, unsigned int flags)
{
	(void)log;
	(void)flags;
	return (xengnttab_handle *)(void *)shim_sim();
}

EXPORT int xengnttab_close(xengnttab_handle *xgt)
{
	(void)xgt;
	return 0;
}

EXPORT int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t count)
{
	(void)xgt;
	(void)count;
	return 0;
}

EXPORT void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
	(void)xgt;
	(void)prot;
	if (ref != 1) { /* GNTTAB_RESERVED_XENSTORE: the only page there is */
		errno = EINVAL;
		return NULL;
	}
	return shim_map(domid);
}

EXPORT int xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	(void)xgt;
	return munmap(start, (size_t)count * HV_RING_SIZE);
}

/* ---- libxenevtchn ---- */

/* fd -1: anew; otherwise the descriptor that was left open across exec. */
static xenevtchn_handle *evtchn_open(int fd, unsigned int flags)
{
	xenevtchn_handle *xce = calloc(1, sizeof(*xce));
	struct sim *s = shim_sim();
	int r;

	if (!xce || !s) {
		free(xce);
		return NULL;
	}
	r = sim_chan_open(s, fd >= 0, &xce->chan);
	if (r) {
		free(xce);
		shim_ret(r);
		return NULL;
	}
	xce->fd = fd >= 0 ? fd : sim_chan_fd(xce->chan);
	if (flags & XENEVTCHN_NO_CLOEXEC)
		fcntl(xce->fd, F_SETFD, 0);
	return xce;
}

EXPORT xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *log, unsigned int flags)
{
	(void)log;
	return evtchn_open(-1, flags);
}

EXPORT xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *log, int fd, unsigned int flags)
{
	(void)log;
	return evtchn_open(fd, flags);
}

EXPORT int xenevtchn_close(xenevtchn_handle *xce)
{
	if (xce) {
		sim_chan_close(xce->chan);
		free(xce);
	}
	return 0;
}

EXPORT int xenevtchn_fd(xenevtchn_handle *xce)
{
	return xce->fd;
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
	uint32_t port;

	if (virq != VIRQ_DOM_EXC)
		return shim_ret(-EINVAL);
	if (shim_ret(sim_chan_bind_virq(xce->chan, false, &port)))
		return -1;
	xce->virq = port;
	return (int)port;
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
							    evtchn_port_t remote)
{
	uint32_t port;
	int r;

	r = domid > UINT16_MAX ? -ESRCH : sim_chan_bind(xce->chan, (uint16_t)domid, remote, &port);
	return shim_ret(r) ? -1 : (int)port;
}

EXPORT int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	if (xce->last == port)
		xce->last = 0;
	return shim_ret(sim_chan_unbind(xce->chan, port));
}

EXPORT int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	return shim_ret(sim_chan_notify(xce->chan, port));
}

EXPORT xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
	bool woken;
	uint32_t port;
	int r;

	r = sim_chan_next(xce->chan, &port);
	if (r < 0)
		return shim_ret(r);
	woken = sim_chan_woken(xce->chan);
	sim_chan_settle(xce->chan);
	if (r) {
		xce->last = port;
		return (int)port;
	}
	/*
	 * The octet of an event that was collected before its raiser wrote it. A caller that
	 * polled would take an error for the end of the world; an event too many harms nobody.
	 */
	port = xce->last ? xce->last : xce->virq;
	return woken && port ? (int)port : shim_ret(-EAGAIN);
}

EXPORT int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	sim_chan_unmask(xce->chan, port);
	return 0; /* Linux passes over ports that are not the device's */
}
