/* SPDX-License-Identifier: MIT */
/* A domain's end: between domain.c and death.c. */
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

/* Frees a domain that holds nothing any more. */
void domain_forget(struct domain_table *t, struct domain *d);

/* Remembers where the domain may own nodes: the live tree's edge upcall. */
void domain_note_edge(struct domain_table *t, uint16_t domid, const char *path, size_t len);

#endif
