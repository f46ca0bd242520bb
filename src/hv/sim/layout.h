/* SPDX-License-Identifier: MIT */
/*
 * The directory of a simulated hypervisor, private to hv/sim:
 *
 *   lock         flock of whoever creates or ends domains; the daemon and guests never take it
 *   table        struct sim_table, mapped by everybody
 *   wake         FIFO: one octet tells the daemon that a bit is set in table.ready
 *   dom/N.ring   ring page of domain N's present life, HV_RING_SIZE octets
 *   dom/N.wake   FIFO: the daemon tells domain N, one octet a guest port
 *
 * Event channels. A guest has ports 1 to SIM_GUEST_PORTS; the daemon has ports of its own,
 * numbers in table.port. A channel joins the two: gport[g] names the daemon's port, the
 * daemon's port names domain, life and g. Ends are joined and parted by compare-and-swap on
 * gport[g] alone, so that nobody who was killed half way can block the daemon.
 *
 * A port of the daemon is quiet (0), delivered and not yet unmasked (MASKED), or that and
 * raised again (MASKED | PENDING): unmasking then delivers it again.
 *
 * What is written here is the word of other processes. Numbers are checked before use as an
 * index; the daemon keeps what it knows of its own ports in memory of its own.
 */
#ifndef DROVER_HV_SIM_LAYOUT_H
#define DROVER_HV_SIM_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "hv/hv.h"
#include "hv/sim/bits.h"
#include "hv/sim/sim.h"

#define SIM_MAGIC 0x44525653u /* "DRVS" */
#define SIM_VERSION 1u
#define SIM_DOMAINS 32768u
#define SIM_PORTS BITS_SIZE
#define SIM_LISTENERS 4u

#define SIM_UNBOUND UINT32_MAX /* gport: allocated, nobody at the other end */

enum sim_state {
	SIM_EXISTS = 1u,
	SIM_SHUTDOWN = 2u,
	SIM_DYING = 4u,
};

enum sim_port_kind {
	SIM_PORT_FREE,
	SIM_PORT_DOMAIN, /* joined to a guest's port */
	SIM_PORT_VIRQ,	 /* domains changed */
};

enum sim_port_state {
	SIM_PENDING = 1u,
	SIM_MASKED = 2u,
};

struct sim_dom {
	_Atomic uint64_t unique;		     /* 0 while it does not exist */
	_Atomic uint32_t state;			     /* enum sim_state */
	_Atomic uint32_t told;			     /* bit g: an octet for g is on its way */
	_Atomic uint32_t gport[SIM_GUEST_PORTS + 1]; /* 0: free, SIM_UNBOUND, the daemon's port */
};

struct sim_port {
	_Atomic uint32_t kind;
	_Atomic uint32_t state;
	_Atomic uint64_t unique; /* the life of domid that it belongs to */
	_Atomic uint32_t domid;
	_Atomic uint32_t gport;
	_Atomic uint32_t epoch; /* of the daemon that bound it */
	_Atomic uint32_t spare;
};

/* Who is told that domains changed. */
struct sim_listener {
	_Atomic uint32_t port;	 /* 0: free */
	_Atomic uint32_t births; /* also of domains created */
};

struct sim_table {
	_Atomic uint32_t magic; /* written last */
	uint32_t version;
	_Atomic uint32_t epoch;	    /* counts the daemons that opened the directory */
	_Atomic uint32_t under_way; /* 1 + domid being changed under the lock, 0: none */
	uint64_t next_unique;	    /* under the lock, as the next */
	uint32_t next_domid;
	uint32_t spare;
	struct sim_listener listener[SIM_LISTENERS];
	struct bits exists;  /* domains */
	struct bits changed; /* domains, since last reported */
	struct bits used;    /* the daemon's ports */
	struct bits ready;   /* the daemon's ports with an event to collect */
	struct sim_dom dom[SIM_DOMAINS];
	struct sim_port port[SIM_PORTS];
};

struct sim {
	struct sim_table *table; /* mapped */
	int dir_fd;
	int dom_fd; /* dom/ */
	int lock_fd;
	int wake_fd;
};

/* Raises an event on the daemon's port. */
void sim_raise(struct sim *s, uint32_t port);
/* Makes the daemon look at table.ready. */
void sim_poke(struct sim *s);

/* For changes of domid: takes the lock, and finishes what a killed holder left. */
int sim_lock(struct sim *s, uint16_t domid);
void sim_unlock(struct sim *s);

/* Opens dom/N.ring or dom/N.wake; -errno. */
int sim_open_ring(struct sim *s, uint16_t domid);
int sim_open_wake(struct sim *s, uint16_t domid);
/* Maps a ring file; -EINVAL where it is no page. */
int sim_map_ring(int fd, void **ret_page);

/* Fresh files and table entry for domid; the lock is held. */
int sim_domain_begin(struct sim *s, uint16_t domid);

/* The life that domid now leads: 0 or -ENOENT. */
int sim_domain_life(struct sim *s, uint16_t domid, uint64_t *ret_unique, uint32_t *ret_state);

#endif
