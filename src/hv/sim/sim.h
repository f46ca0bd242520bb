/* SPDX-License-Identifier: MIT */
/*
 * The simulated hypervisor: a directory that stands for a host. This is the side of everybody
 * but the daemon (which has hv_sim_open and hv.h): the toolstack, which creates and ends
 * domains, and the guest, which speaks over its ring.
 *
 * Any number of processes may open one directory. A handle belongs to one thread. A process may
 * be killed at any instant: it blocks nobody and leaves nothing that the next does not put
 * right. One daemon serves a directory at a time; a guest's ring has one speaker at a time.
 * Best on a tmpfs: pages of a table on a disk are written back to it.
 *
 * All calls: 0 or what is said; a negative errno otherwise.
 */
#ifndef DROVER_HV_SIM_SIM_H
#define DROVER_HV_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_GUEST_PORTS 11u /* event channel ports of a guest: 1 to this */
#define SIM_XS_PORT 1u	    /* allocated when a domain is created: the one to INTRODUCE */
#define SIM_XS_GFN 0xfeffcu /* frame of the ring page that INTRODUCE may name */

struct sim;
struct sim_guest;

struct sim_dominfo {
	uint16_t domid;
	bool shutdown;
	bool dying;
	bool bound;	 /* a daemon has bound SIM_XS_PORT: the domain is introduced */
	uint64_t unique; /* of this life */
};

/* dir is created where missing, its parents too. -EPROTO: made by another version. */
int sim_open(const char *dir, struct sim **ret_sim);
void sim_close(struct sim *s);

/*
 * A new domain, running, its ring page zeroed, SIM_XS_PORT allocated. domid 0: the next free
 * one, as Xen does rising before a number is used again. -EEXIST, -EINVAL (reserved), -ENOSPC.
 */
int sim_domain_create(struct sim *s, uint16_t domid, uint16_t *ret_domid);
/* -ENOENT: no such domain; -EINVAL: domain 0. So for all of these. */
int sim_domain_shutdown(struct sim *s, uint16_t domid);
int sim_domain_resume(struct sim *s, uint16_t domid);  /* running again after a suspend */
int sim_domain_kill(struct sim *s, uint16_t domid);    /* dying, and stays so */
int sim_domain_destroy(struct sim *s, uint16_t domid); /* dying, then gone */

/* -ENOENT. */
int sim_domain_info(struct sim *s, uint16_t domid, struct sim_dominfo *ret);
/* The first domain from `from` on: 1, or 0 when there is none. */
int sim_domain_next(struct sim *s, uint32_t from, struct sim_dominfo *ret);

/*
 * Speaks as domid: -ENOENT, or -EBUSY while another process does. The handle is for the life
 * that domid now leads; once that is over, its calls give -ESRCH.
 */
int sim_guest_open(const char *dir, uint16_t domid, struct sim_guest **ret_guest);
void sim_guest_close(struct sim_guest *g);

/* Another port, unbound, for INTRODUCE to name. -ENOSPC. */
int sim_guest_port_alloc(struct sim_guest *g, uint32_t *ret_port);
int sim_guest_port_free(struct sim_guest *g, uint32_t port);
/* The port that notify uses, SIM_XS_PORT unless said otherwise. */
int sim_guest_port_use(struct sim_guest *g, uint32_t port);

/* The ring page, struct xenstore_domain_interface, until the handle is closed. */
void *sim_guest_page(struct sim_guest *g);
/*
 * As many octets as there is room for, or there are: >= 0. -EIO: the indices are more than a
 * ring apart. write does not notify; read does when the ring had been full.
 */
int sim_guest_write(struct sim_guest *g, const void *data, size_t len);
int sim_guest_read(struct sim_guest *g, void *data, size_t len);
/* Raises the daemon's end. Nothing happens while nobody has bound it. */
int sim_guest_notify(struct sim_guest *g);
/*
 * Until the daemon notifies: 1; 0 after timeout_ms (-1: never). Look at the ring after each.
 * Notifies first where something was read since the last time: oxenstored fills a ring up to
 * its end only, and then waits to hear that it was read, full or not.
 */
int sim_guest_wait(struct sim_guest *g, int timeout_ms);
/* Readable when wait would not wait. Borrowed. */
int sim_guest_fd(struct sim_guest *g);

#endif
