/* SPDX-License-Identifier: MIT */
/* Pieces of a domain's life: between domain.c, death.c and restore.c. */
#ifndef DROVER_DOMAIN_DEATH_H
#define DROVER_DOMAIN_DEATH_H

#include "domain/domain.h"

/*
 * The hypervisor no longer knows it: its connection ends, its nodes go with events, its id is
 * taken out of every access list, then @releaseDomain fires. d is freed.
 */
void domain_died(struct domain_table *t, struct domain *d);

/*
 * Removes what a dead domain owned and forgets it; with -K only if it owns nothing. -ENOMEM: some
 * is left, d too, and this is to be called again.
 */
int domain_bury(struct domain_table *t, struct domain *d);

/* It acts for nobody, and nobody for it. */
void domain_leave_targets(struct domain_table *t, struct domain *d);

/* Whoever gets the id next inherits nothing: see perm_table_strip. */
void domain_strip(struct domain_table *t, uint16_t domid);

/* Its ring is let go of. */
void domain_disconnect(struct domain_table *t, struct domain *d);

/* A domain that is not known yet. -ENOMEM. */
int domain_new(struct domain_table *t, uint16_t domid, struct domain **ret);

/*
 * Whether the hypervisor says that a life has ended. That it cannot be asked now ends none: *ret
 * is then as the domain was last seen.
 */
bool domain_is_over(struct domain_table *t, const struct domain *d, struct hv_dominfo *ret);

/* A look at a domain that may have died or shut down, which is told of once. It may be freed. */
void domain_look(struct domain_table *t, uint16_t domid);

struct ring_transport;

/* A ring over page and port, which are taken over also on failure. -ENOMEM. */
int domain_make_ring(struct domain_table *t, struct domain *d, void *page, uint32_t port,
		     struct ring_transport **ret);
/* The same, with a new connection. -ENOMEM. */
int domain_connect_ring(struct domain_table *t, struct domain *d, void *page, uint32_t port);
/* Domain 0's ring page, and its port bound. The hypervisor's errors. */
int domain_map_dom0(struct domain_table *t, uint32_t dom0_port, void **ret_page,
		    uint32_t *ret_port);

/* Frees a domain that holds nothing any more. */
void domain_forget(struct domain_table *t, struct domain *d);

/* Remembers where the domain may own nodes: the live tree's edge upcall. */
void domain_note_edge(struct domain_table *t, uint16_t domid, const char *path, size_t len);

#endif
