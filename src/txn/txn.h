/* SPDX-License-Identifier: MIT */
/*
 * Transactions: a snapshot, what was seen of it, and the changes made to a tree of its own.
 * A commit fails with EAGAIN only where an aspect that the transaction saw has changed since; a
 * transaction that changed nothing always commits.
 */
#ifndef DROVER_TXN_TXN_H
#define DROVER_TXN_TXN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv/tree.h>

#include "base/list.h"
#include "quota/quota.h"
#include "store/store.h"
#include "txn/hold.h"
#include "watch/watch.h"

/* Aspects of a node that a request may depend on. */
#define TXN_SAW_VALUE 1u
#define TXN_SAW_PERMS 2u
#define TXN_SAW_EXISTENCE 4u
#define TXN_SAW_CHILDREN 8u

/* What a request did to a node. */
#define TXN_WROTE_VALUE 1u
#define TXN_WROTE_PERMS 2u
#define TXN_CREATED 4u
#define TXN_REMOVED 8u
#define TXN_IMPLIED 16u /* created as somebody's parent: no event of its own */

/* Fixed octets charged for a transaction, and for each node touched besides its path. */
#define TXN_CHARGE 256u
#define TXN_NODE_CHARGE 96u

#define TXN_CREDIT_MAX 4096u

/*
 * A snapshot of a guest may keep at most so many octets of former state alive; past that its
 * transaction lets go and will end in EAGAIN.
 */
#define TXN_RETAINED_MAX (64u << 20)

struct txn;
RB_HEAD(txn_set, txn);

/* What a transaction's own tree would charge a domain. */
struct txn_delta {
	uint16_t domid;
	int64_t nodes;
	int64_t octets;
};

struct txn_sum {
	struct txn_delta *delta; /* owned */
	size_t n;
	bool failed; /* no memory for it: the commit fails */
};

struct txn_access;
RB_HEAD(txn_accesses, txn_access);

/*
 * Told of what transactions do, for who keeps a record of them. NULL in struct txn: nobody wants to
 * know.
 */
struct txn_ops {
	/* An access is new, or says more than before. */
	void (*touched)(struct txn *t, const char *path, size_t len, unsigned int saw,
			unsigned int wrote);
	/* An edit of its own tree: see tree_ops.changed. */
	void (*edited)(struct txn *t, const char *path, size_t len, const struct node *n);
	/* Octets were charged to it besides those that go with an access. */
	void (*charged)(struct txn *t, uint64_t octets);
	/* It let go of its snapshot. */
	void (*doomed)(struct txn *t);
	/* It is about to be freed. */
	void (*ended)(struct txn *t);
};

struct txn {
	RB_ENTRY(txn) by_id; /* in its owner's set */
	struct list by_age;  /* among all of unprivileged owners */
	uint32_t id;
	bool doomed;  /* let go of its snapshot: EAGAIN at the end */
	bool refused; /* EAGAIN at the end, though all is there; of this process alone */
	bool wrote;
	struct node *base;	      /* owned reference: the snapshot; NULL: doomed */
	struct tree tree;	      /* the snapshot with the changes */
	struct txn_sum sum;	      /* what the changes would charge */
	struct txn_accesses accesses; /* owned, by path */
	struct list order;	      /* the same, as first touched */
	size_t n_accesses;
	struct budget *budget; /* borrowed: whom it is charged to */
	uint64_t charge;       /* octets */
	uint64_t retained_at_start;
	uint64_t deaths_at_start;
	uint64_t serial;	   /* rises with each that is started */
	const struct txn_ops *ops; /* borrowed; set by who started it, as the next */
	void *owner;		   /* borrowed: for ops */
};

/* All open transactions of unprivileged owners. */
struct txn_ages {
	struct list oldest_first;
};

void txn_ages_init(struct txn_ages *ages);

/* Where a commit was refused. */
struct txn_conflict {
	const char *path; /* borrowed from the transaction */
	size_t len;
};

void txn_set_init(struct txn_set *set);
struct txn *txn_find(struct txn_set *set, uint32_t id);
struct txn *txn_first(struct txn_set *set);
struct txn *txn_next(struct txn *t);

/* Takes a snapshot; deaths: the ledger's count. The caller has asked the budget. -ENOMEM. */
int txn_new(struct store *s, struct txn_set *set, struct txn_ages *ages, struct budget *budget,
	    uint32_t id, uint64_t deaths, struct txn **ret);
void txn_free(struct store *s, struct txn_set *set, struct txn *t);

/*
 * Remembers that path was touched. ENOSPC: more nodes than the budget's transaction-nodes; the
 * caller reports it. -ENOMEM.
 */
int txn_note(struct txn *t, const char *path, size_t len, unsigned int saw, unsigned int wrote);

/* Charges octets more to the transaction, until it ends, and tells of it. */
void txn_charge(struct txn *t, uint64_t octets);

/*
 * A subtree that the transaction removed from its own tree: what it gives back is subtracted, as
 * far as it has TXN_CREDIT_MAX nodes. The reference is taken over.
 */
void txn_removed(struct store *s, struct txn *t, struct node *gone);

/* What the transaction would charge domid more than now. */
void txn_delta_of(const struct txn *t, uint16_t domid, int64_t *ret_nodes, int64_t *ret_octets);

/*
 * Lets go of the snapshot: reads and writes go on, on a tree that shares nothing older than now,
 * and the end will be EAGAIN.
 */
void txn_doom(struct store *s, struct txn_ages *ages, struct txn *t);

/* Lets go of snapshots that keep too much alive. Call it between rounds. */
void txn_limit_retained(struct store *s, struct txn_ages *ages);

/* Whether all that it saw of its snapshot is so in the live tree: 0, or EAGAIN. */
int txn_check(struct store *s, struct txn *t);

/* What a commit needs besides the transaction. */
struct txn_ground {
	struct store *store;
	struct watch_index *watches;
	const struct ledger *ledger;
	struct hold_table *holds;
	uint64_t now_ms;
};

/*
 * Reserve, check, apply, publish; only the first two can refuse, and a refused transaction
 * changed nothing, though the live tree's tree_ops.changed has been told of what it prepared; the
 * caller takes that back. 0: committed, events queued. EAGAIN: *ret_conflict says where, if it is
 * anybody's doing. EBUSY: must wait for another's hold, c's wake will be called, call again.
 * ENOSPC: an owner's budget; its refusal is counted. -ENOMEM. The transaction stays the caller's in
 * all cases.
 */
int txn_commit(const struct txn_ground *g, struct txn *t, struct contender *c,
	       struct txn_conflict *ret_conflict);

#endif
