/* SPDX-License-Identifier: MIT */
/*
 * The core of a daemon: store, watches, transactions, connections and domains put together, and
 * driven by calls alone: octets arrived (conn_wake), events arrived (core_hv_events), time is T
 * (core_round). It has no loop, no clock and no descriptor of its own.
 */
#ifndef DROVER_OP_CORE_H
#define DROVER_OP_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "conn/conn.h"
#include "domain/domain.h"
#include "hv/hv.h"
#include "quota/quota.h"
#include "store/store.h"
#include "txn/txn.h"
#include "watch/watch.h"

#define CORE_WHY_MAX 256u	  /* octets of the reason for a refusal, with its NUL */
#define CORE_REAP_PER_ROUND 2000u /* nodes freed between two rounds */

struct core;

/* What a request's handler answers with; "OK" unless it says otherwise. */
struct op_reply {
	char data[XENSTORE_PAYLOAD_MAX];
	size_t len;
	bool sent; /* the handler has replied itself */
};

/*
 * Told of every change of the state that is to outlive the process, in the order of the changes;
 * they are final with the commit that follows. See decision 0010.
 */
struct core_log_ops {
	struct domain_ops domain; /* see domain.h */
	/* The node of the live tree is now n; NULL: it went with all below. */
	void (*node)(void *data, const char *path, size_t len, const struct node *n);
	void (*watch)(void *data, const struct watch *w, bool removed);
	/* A connection is new, failed, restarted or quiesced; or is about to close. */
	void (*conn)(void *data, const struct conn *c);
	void (*conn_closed)(void *data, const struct conn *c);
	/* A transaction was started, or let go of its snapshot; the rest as txn_ops. */
	void (*txn)(void *data, const struct txn *t);
	void (*txn_touched)(void *data, const struct txn *t, const char *path, size_t len,
			    unsigned int saw, unsigned int wrote);
	void (*txn_edited)(void *data, const struct txn *t, const char *path, size_t len,
			   const struct node *n);
	void (*txn_charged)(void *data, const struct txn *t, uint64_t octets);
	void (*txn_ended)(void *data, const struct txn *t);
	/* The limits that new domains start with. */
	void (*policy)(void *data);
	/* Where the log stands; all told since then did not happen. */
	uint64_t (*mark)(void *data);
	void (*rewind)(void *data, uint64_t mark);
};

/* What is counted as long as there is a daemon, whatever becomes of the process. */
struct core_counters {
	uint64_t requests;
	uint64_t rounds;
};

struct core_options {
	struct siphash_key key;	     /* of all hashes that guests can feed: random */
	struct quota_policy *policy; /* borrowed: limits of new domains, reports */
	uint64_t event_timeout_ms;   /* -w watch-event; 0: none */
	uint32_t priv_domid;	     /* --priv-domid; PERM_NO_DOMID: none */
	bool keep_orphans;	     /* -K */
	bool dom0_ring;		     /* false with -D */
	bool empty;		     /* see core_new */
	uint32_t dom0_port;	     /* --event; 0: as the hypervisor says */
	/* CONTROL; see control/control.h. Handles m, fills reply. Errors as an operation's. */
	int (*control)(void *data, struct core *core, struct conn *c, const struct wire_msg *m,
		       struct op_reply *reply);
	void *control_data; /* borrowed */
	/*
	 * A domain's image, its own nodes and those at paths, *ret to be freed by the caller; and
	 * one to be applied, all of it or nothing. The domain is quiesced. Errors as an
	 * operation's; then why, CORE_WHY_MAX octets, says more, or is empty. NULL: not offered.
	 * See state/domain_image.h.
	 */
	int (*export_domain)(struct core *core, uint16_t domid, const struct path *paths, size_t n,
			     uint8_t **ret, size_t *ret_len, char *why);
	int (*import_domain)(struct core *core, uint16_t domid, const uint8_t *image, size_t len,
			     char *why);
	/* Octets in and out, for the trace file; may be NULL. */
	void (*trace)(void *data, const struct conn *c, bool out, const struct wire_msg *m);
	void *trace_data; /* borrowed */
	/*
	 * Where connections have what outlives the process; borrowed. One that was attached is
	 * taken over: see conn_table_attach. NULL: in memory of this process alone.
	 */
	struct area *area;
	struct core_counters *counters; /* borrowed; NULL: the core's own */
};

struct core {
	struct core_options opt;
	struct hv *hv;			/* borrowed */
	const struct core_log_ops *log; /* borrowed; NULL: nobody wants to know */
	void *log_data;			/* borrowed */
	struct perm_table *perms;
	struct store store;
	struct watch_index watches;
	struct hold_table holds;
	struct txn_ages ages;
	struct conn_table conns;
	struct domain_table domains;
	struct op_reply reply;
	struct list vendor;   /* owned: see vendor.h */
	size_t vendor_octets; /* of images under way */
	uint64_t now_ms;
	struct core_counters *counters; /* borrowed, or own_counters */
	struct core_counters own_counters;
};

/*
 * hv is borrowed. With empty in the options: without the initial nodes and domain 0's ring, to be
 * filled from records, and hv may be NULL until then. -ENOMEM, or the hypervisor's error.
 */
int core_new(const struct core_options *opt, struct hv *hv, struct core **ret);
/* Accepts NULL. */
void core_free(struct core *core);

/* From now on log is told of changes, with data; NULL: nobody is. Both are borrowed. */
void core_set_log(struct core *core, const struct core_log_ops *log, void *data);

/*
 * Starts a transaction of c under an id that is free, whatever the quota says. -ENOMEM.
 */
int core_start_txn(struct core *core, struct conn *c, uint32_t id, struct txn **ret);

/*
 * A calm, for who is about to lose all open transactions: they will end in EAGAIN, and no others
 * are started (conn_table_calm), until it is over.
 */
void core_calm(struct core *core, bool on);
/* How many transactions are open. */
size_t core_open_txns(const struct core *core);

/* The limits that new domains start with were changed. */
void core_policy_changed(struct core *core);

/*
 * A socket, privileged, charged to domain 0. transport is owned at once. peer_id: see conn_new.
 * -ENOMEM.
 */
int core_add_socket(struct core *core, const struct transport_ops *ops, void *transport,
		    uint64_t peer_id, struct conn **ret);

/* What every socket's connection is: see core_add_socket. */
void core_setup_socket(struct core *core, struct conn *c);

/* Takes hypervisor events; true: more are pending. < 0: the event channel is lost. */
int core_hv_events(struct core *core);

/* One round at now_ms. True: there is more to do at once. */
bool core_round(struct core *core, uint64_t now_ms);

/* When the next round is due without any event: ms on core_round's clock, UINT64_MAX: never. */
uint64_t core_deadline(struct core *core);

/*
 * Checks the innards: charges against what the tree, watches and transactions come to. Returns
 * the number of contradictions found, each logged. Linear in the store.
 */
unsigned int core_check(struct core *core);

#endif
