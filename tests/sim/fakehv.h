/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor in memory, for the seeded world: domains with lives, ring pages, event channels
 * with a pending and a mask bit per port. It allocates nothing once made, so that a failing
 * allocator hits the daemon alone.
 */
#ifndef DROVER_SIM_FAKEHV_H
#define DROVER_SIM_FAKEHV_H

#include "hv/hv.h"

#define FAKE_DOMIDS 64u
#define FAKE_PORTS 256u /* ours */
#define FAKE_GUEST_PORTS 64u
#define FAKE_PAGES 128u

struct fake_page {
	_Alignas(8) uint8_t octets[HV_RING_SIZE];
	unsigned int refs; /* the guest's life, and each mapping */
};

struct fake_domain {
	bool exists;
	bool shutdown;
	bool dying;
	bool changed;
	bool notified; /* told by the daemon since it last looked */
	uint64_t unique;
	struct fake_page *page; /* borrowed from the pool, a reference */
};

struct fake_port {
	bool bound;
	bool pending;
	bool masked;
	bool left; /* by a daemon that died: nobody has asked for it since */
	uint16_t domid;
	uint32_t remote;
	uint64_t unique;
};

struct fake_hv {
	struct hv hv;
	struct fake_domain dom[FAKE_DOMIDS];
	struct fake_port port[FAKE_PORTS];
	uint64_t next_unique;
	uint32_t next_event; /* where event_next starts to look */
	bool changed;	     /* domains changed: not told of yet */
	bool tell_all;	     /* cannot say which */
	bool dom0_ring;
	struct fake_page page[FAKE_PAGES];
};

void fake_hv_init(struct fake_hv *h);

void fake_hv_create(struct fake_hv *h, uint16_t domid);
void fake_hv_shutdown(struct fake_hv *h, uint16_t domid);
void fake_hv_resume(struct fake_hv *h, uint16_t domid);
void fake_hv_dying(struct fake_hv *h, uint16_t domid);
void fake_hv_destroy(struct fake_hv *h, uint16_t domid);

/* The guest's side. */
void *fake_hv_page(struct fake_hv *h, uint16_t domid);
void fake_hv_kick(struct fake_hv *h, uint16_t domid);
bool fake_hv_take_notice(struct fake_hv *h, uint16_t domid);

/* Whether an event waits for the daemon. */
bool fake_hv_is_pending(const struct fake_hv *h);
/* The daemon died: its mappings are gone, its ports stay bound, events are told of once. */
void fake_hv_abandon(struct fake_hv *h);
/* Nothing of the daemon's is left: ports and mappings; the number of what is. */
unsigned int fake_hv_leaks(const struct fake_hv *h);

#endif
