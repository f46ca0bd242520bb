/* SPDX-License-Identifier: MIT */
/*
 * The transport of a shared ring page (xenstore-ring.txt). The page is the guest's: any field
 * may change at any instant, so each is read once and judged before it is used.
 */
#ifndef DROVER_CONN_RING_H
#define DROVER_CONN_RING_H

#include "conn/conn.h"
#include "hv/hv.h"

/* Features offered at offset 2064: reconnection, error indicator, watch depth, DOMID_ANY. */
#define RING_FEATURES 0xfu

struct ring_transport {
	struct hv *hv; /* borrowed */
	uint16_t domid;
	uint32_t port;				/* ours, bound; unbound when freed; 0: let go of */
	uint32_t features;			/* offered to this domain */
	bool moved;				/* indices changed since the last kick */
	struct xenstore_domain_interface *page; /* owned mapping */
};

/*
 * A ring over page and port, both owned from now on. The page stays as it is. NULL: no memory,
 * nothing taken.
 */
struct ring_transport *ring_transport_new(struct hv *hv, uint16_t domid, void *page, uint32_t port,
					  uint32_t features);

/* For a ring that is new here: tells the guest what is offered, and that there is no error. */
void ring_transport_offer(struct ring_transport *t);

/*
 * Lets go of the event channel ahead of the rest, so that the guest's end can be bound again at
 * once. Nothing is sent any more.
 */
void ring_transport_unbind(struct ring_transport *t);

const struct transport_ops *ring_transport_ops(void);

#endif
