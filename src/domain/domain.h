/* SPDX-License-Identifier: MIT */
/*
 * Domains: what the store knows of each, from the first time its id is named until the
 * hypervisor says it is gone. A domain has a budget at all times, and a ring connection while it
 * is introduced.
 */
#ifndef DROVER_DOMAIN_DOMAIN_H
#define DROVER_DOMAIN_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "conn/conn.h"
#include "hv/hv.h"
#include "quota/quota.h"
#include "store/store.h"
#include "watch/watch.h"

#define DOMAIN_EVENTS_PER_ROUND 1024u
#define DOMAIN_PREFIX_MAX 24u

/* A place where the domain may own nodes: see tree_ops.edge. */
struct domain_edge {
	uint16_t len;
	char path[];
};

struct domain {
	struct list all;
	struct budget budget;
	struct conn *conn; /* borrowed: its ring; NULL: not introduced, or no ring (domain 0) */
	uint16_t domid;
	bool introduced;
	bool shutdown; /* told of once already */
	bool quiesced; /* its ring, also one to come, is left alone */
	bool orphans;  /* gone, but its nodes were to be kept (-K) */
	uint64_t unique;
	uint64_t gfn;
	uint32_t remote_port;
	uint32_t local_port;
	uint32_t features;
	uint32_t counters;     /* block of the connections' area with its budget's; 0: none */
	struct domain *target; /* borrowed: for whom it acts */
	struct list stubs;     /* who acts for it */
	struct list stub_link;
	struct domain_edge **edge; /* owned */
	size_t n_edges;
	size_t edge_room;
	bool edges_lost;		/* no memory for one: its death searches the whole tree */
	char prefix[DOMAIN_PREFIX_MAX]; /* "/local/domain/5" */
};

/* Told of what domains come to, for who keeps a record of them. */
struct domain_ops {
	/* A domain is new, or what is known of it changed. */
	void (*domain)(void *data, const struct domain *d);
	/* Nothing is known of domid any more. */
	void (*domain_gone)(void *data, uint16_t domid);
	/* A life of domid has ended, the ledger's deaths-th death. */
	void (*death)(void *data, uint16_t domid, uint64_t deaths);
	/* domid was taken out of all access lists: see perm_table_strip. */
	void (*strip)(void *data, uint16_t domid);
	/* Access to a special path: "@introduceDomain", "@releaseDomain". */
	void (*special)(void *data, const char *name, const struct perms *perms);
};

struct domain_table {
	const struct domain_ops *ops; /* borrowed; NULL: nobody wants to know */
	void *ops_data;		      /* borrowed */
	struct domain **by_domid;     /* owned: 65536 */
	struct list all;
	size_t n;
	struct conn **by_port; /* owned array of borrowed */
	size_t n_ports;
	struct ledger ledger;
	struct hv *hv;		       /* borrowed */
	struct quota_policy *policy;   /* borrowed */
	struct conn_table *conns;      /* borrowed */
	struct store *store;	       /* borrowed */
	struct watch_index *watches;   /* borrowed */
	struct perms *introduce_perms; /* owned: of @introduceDomain */
	struct perms *release_perms;   /* owned: of @releaseDomain */
	bool keep_orphans;
	uint32_t priv_domid; /* as privileged as domain 0; PERM_NO_DOMID: none */
};

/*
 * Domain 0 exists and counts as introduced at once. The borrowed fields must be set. -ENOMEM.
 */
int domain_table_init(struct domain_table *t);
/* After all connections and all nodes are gone. Accepts a zeroed table. */
void domain_table_fini(struct domain_table *t);

/* What is known of d changed: domain_ops.domain. */
void domain_changed(struct domain_table *t, const struct domain *d);

/* Access to a special path is now perms, whose reference is taken over. */
void domain_set_special(struct domain_table *t, struct perms **special, struct perms *perms);

/* The domain if the store knows it, or NULL. */
struct domain *domain_find(struct domain_table *t, uint16_t domid);

/*
 * The domain, known from now on if the hypervisor knows it. ENOENT: it does not. -ENOMEM.
 */
int domain_get(struct domain_table *t, uint16_t domid, struct domain **ret);

/*
 * Domain 0's ring where the hypervisor has one. 0 also where it has none. port: its event channel,
 * 0: as the hypervisor says.
 */
int domain_connect_dom0(struct domain_table *t, uint32_t port);

/*
 * INTRODUCE. ENOENT: no such domain. EINVAL: the ring page or port cannot be had. -ENOMEM.
 * Introduced already with the same gfn and port: nothing changes. With others: bound anew, and
 * watches, transactions and half messages are dropped.
 */
int domain_introduce(struct domain_table *t, uint16_t domid, uint64_t gfn, uint32_t remote_port);

/* RELEASE; a ring that comes after it is not quiesced. ENOENT: not introduced. */
int domain_release(struct domain_table *t, uint16_t domid);

/* Its ring, or the one that INTRODUCE brings, is left alone: conn_quiesce. */
void domain_quiesce(struct domain_table *t, struct domain *d, bool on);

/* RESUME: its next shutdown is told of again. ENOENT. */
int domain_resume(struct domain_table *t, uint16_t domid);

/* SET_TARGET. ENOENT: either is not introduced. */
int domain_set_target(struct domain_table *t, uint16_t domid, uint16_t target);

/* Takes pending hypervisor events; true: more may be pending. < 0: the channel failed. */
int domain_hv_events(struct domain_table *t);

/* Removes path with all below it from the live tree, with events. The node exists. -ENOMEM. */
int domain_remove_tree(struct store *s, struct watch_index *ix, const char *path, size_t len);

#endif
