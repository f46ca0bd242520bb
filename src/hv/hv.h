/* SPDX-License-Identifier: MIT */
/*
 * All that the store asks of a hypervisor: which domains exist and in what state, a domain's
 * ring page, and event channels. Backends: hv/sim (a directory shared by several processes) and
 * hv/xen (libxenctrl, libxenevtchn, libxengnttab). Nothing above this floor knows which it is.
 *
 * Errors of all calls: 0 done; a negative errno otherwise, as each call states. None of them
 * logs what its caller can handle; a backend logs what it alone can explain.
 */
#ifndef DROVER_HV_HV_H
#define DROVER_HV_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HV_DOMID_FIRST_RESERVED 0x7ff0u /* xen/xen.h: DOMID_FIRST_RESERVED */
#define HV_RING_SIZE 4096u		/* octets of a ring page */

struct hv;

/* A domain as the hypervisor sees it at one instant. */
struct hv_dominfo {
	uint16_t domid;
	bool shutdown;	 /* has shut down, crashed or suspended; its memory still exists */
	bool dying;	 /* is being torn down: treated as gone */
	uint64_t unique; /* differs between two lives of one domid where the backend can tell;
			  * 0: cannot tell */
};

struct hv_ops {
	const char *name; /* "sim", "xen" */

	void (*free)(struct hv *hv);

	/*
	 * domid's state into *ret. -ENOENT: no such domain. Domain 0 always exists.
	 */
	int (*domain_info)(struct hv *hv, uint16_t domid, struct hv_dominfo *ret);

	/*
	 * After hv_event said that domains changed: the next domain whose state may have changed
	 * since it was last reported (created, shut down, dying, gone). Returns 1 and the domid
	 * in *ret_domid; 0 when there are no more. A backend that cannot tell which changed
	 * (libxenctrl 4.17) sets *ret_all and returns 0: the caller then looks at every domain it
	 * knows.
	 */
	int (*next_changed)(struct hv *hv, uint16_t *ret_domid, bool *ret_all);

	/*
	 * Maps domid's ring page, HV_RING_SIZE octets, shared with the guest: its content may
	 * change at any instant. gfn is what INTRODUCE said (a backend may map the grant
	 * reserved for xenstore instead). -EINVAL, -ENOENT: cannot be mapped. The page is the
	 * caller's until ring_unmap; domain_gone does not unmap it.
	 */
	int (*ring_map)(struct hv *hv, uint16_t domid, uint64_t gfn, void **ret_page);
	void (*ring_unmap)(struct hv *hv, uint16_t domid, void *page);

	/*
	 * Binds the guest's unbound port remote_port; *ret_port is ours, > 0, unique among bound
	 * ports. As Xen does, the new port is pending at once. What an earlier process bound, and
	 * died before anybody was told, is found again, and may not be pending: look at the ring
	 * once. -ESRCH; -EINVAL: no unbound port of the guest's, or our caller has it; -ENOSPC.
	 */
	int (*evtchn_bind)(struct hv *hv, uint16_t domid, uint32_t remote_port, uint32_t *ret_port);
	/*
	 * The same for a port that an earlier process bound as was: the binding is found again
	 * where it outlived that process, else made anew. The port may have been masked, and what
	 * was pending may be lost: look at the ring once. remote_port 0: not known, what was is
	 * bound to; then there is no other way.
	 */
	int (*evtchn_rebind)(struct hv *hv, uint16_t domid, uint32_t remote_port, uint32_t was,
			     uint32_t *ret_port);
	void (*evtchn_unbind)(struct hv *hv, uint32_t port);
	/* Tells the guest that the ring changed. */
	int (*evtchn_notify)(struct hv *hv, uint32_t port);

	/*
	 * The file descriptor that is readable when an event is pending, -1 where there is none
	 * (the seeded simulation). Borrowed.
	 */
	int (*fd)(struct hv *hv);

	/*
	 * The next pending event: returns 1 and sets *ret_port to one of our ports, which stays
	 * masked until evtchn_unmask, or sets *ret_port to 0 when domains changed (see
	 * next_changed; already unmasked). 0: nothing pending. < 0: the channel device failed.
	 */
	int (*event_next)(struct hv *hv, uint32_t *ret_port);
	void (*evtchn_unmask)(struct hv *hv, uint32_t port);

	/*
	 * Domain 0's own ring, as a kernel without a xenstored of its own offers it: its port is
	 * what the kernel says in /proc/xen/xsd_port. Either may fail with -ENOENT: sockets only.
	 */
	int (*dom0_ring_map)(struct hv *hv, void **ret_page, uint32_t *ret_remote_port);
};

/* The first member of every backend's own struct. */
struct hv {
	const struct hv_ops *ops;
};

/*
 * The simulated hypervisor in the directory dir (created where missing), see hv/sim/sim.h.
 * -errno of the failed call.
 */
int hv_sim_open(const char *dir, struct hv **ret_hv);

/* What outlives the process that serves, held by another: Xen's event channels. */
struct hv_kept {
	int evtchn_fd; /* owned; -1: nothing kept */
	uint32_t virq; /* its port that tells of changed domains */
};

/* For who keeps it: opens the device, and never uses it. Errors as hv_xen_open's. */
int hv_xen_keep(struct hv_kept *ret);
/* The same on a device that another daemon opened, and left with its ports bound. Not owned yet. */
int hv_xen_keep_given(int evtchn_fd, struct hv_kept *ret);
/* Another daemon gets the device; it will ask anew to be told of changed domains. */
void hv_xen_give(const struct hv_kept *kept);

/*
 * The real one, on what is kept; with evtchn_fd -1, or NULL, on a device of its own. The descriptor
 * is its own from now on, also on failure. -ENOENT, -EACCES, -ENODEV: not on a Xen host, or not in
 * its control domain.
 */
int hv_xen_open(const struct hv_kept *kept, struct hv **ret_hv);

/* What hv_xen_probe found. */
struct hv_probe {
	unsigned int major; /* of the hypervisor's version; 0: not known */
	unsigned int minor;
	bool grants; /* the kernel maps granted pages */
};

/*
 * Whether hv_xen_open would find a hypervisor that answers, beside a daemon that has it open:
 * nothing is bound. -EACCES: not permitted, or libxenctrl is of another version; other -errno.
 */
int hv_xen_probe(struct hv_probe *ret);

/* Whether /proc/xen/capabilities says control_d. */
bool hv_xen_is_present(void);

static inline void hv_free(struct hv *hv)
{
	if (hv)
		hv->ops->free(hv);
}

#endif
