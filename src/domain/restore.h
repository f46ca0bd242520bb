/* SPDX-License-Identifier: MIT */
/*
 * Domains that records speak of: made without asking the hypervisor, and joined to it, and to
 * their rings, once there is one.
 */
#ifndef DROVER_DOMAIN_RESTORE_H
#define DROVER_DOMAIN_RESTORE_H

#include "domain/domain.h"

/* The domain, known from now on whether or not the hypervisor knows it. -ENOMEM. */
int domain_restore(struct domain_table *t, uint16_t domid, struct domain **ret);

/* c, which has no transport yet, is its ring's. */
void domain_restore_conn(struct domain *d, struct conn *c);

/* It acts for target; NULL: for nobody. */
void domain_restore_target(struct domain *d, struct domain *target);

/*
 * Whether the life that d speaks of goes on, by what the hypervisor says. A life that was recorded
 * without a number takes the present one's.
 */
bool domain_goes_on(struct domain_table *t, struct domain *d);

/*
 * Maps the ring of an introduced domain and binds its port, the same as before where it is bound
 * still. Its connection, which was made, gets them with what it has in the area: conn_restore.
 * EINVAL: the ring cannot be had, or the area is damaged. -ENOMEM.
 */
int domain_restore_ring(struct domain_table *t, struct domain *d);
/* The same for domain 0's ring. ENOENT: there is none. port: as domain_connect_dom0. */
int domain_restore_dom0(struct domain_table *t, uint32_t port);

/* The same with a new connection, for one that has none. */
int domain_reconnect(struct domain_table *t, struct domain *d);

/* Its counters are where d->counters says, or somewhere new in the connections' area. */
void domain_set_counters(struct domain_table *t, struct domain *d);

#endif
