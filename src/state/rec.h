/* SPDX-License-Identifier: MIT */
/*
 * Objects of a core as records of an image, one at a time: for the log, for checkpoints and for
 * images alike.
 */
#ifndef DROVER_STATE_REC_H
#define DROVER_STATE_REC_H

#include "drover/image.h"

#include "op/core.h"

/* Entries of one access list at most: what fits a SET_PERMS payload. */
#define STATE_PERMS_MAX 2048u

/* Where records go, one after the other. */
struct state_sink {
	/* The record is used up when it returns. < 0: it cannot be kept. */
	int (*put)(void *data, const struct drover_record *rec);
	void *data; /* borrowed */
};

/* A connection's number in records, never 0. */
static inline uint32_t rec_conn_id(const struct conn *c)
{
	return c->slot + 1;
}

/*
 * A node of the committed tree (c NULL), or of a transaction's own (access DROVER_ACCESS_*). n
 * NULL: removed with all below. All of these: errors of the sink.
 */
int rec_put_node(const struct state_sink *s, uint32_t conn_id, uint32_t tx_id, const char *path,
		 size_t len, const struct node *n);
/* The same as a node of a transaction's snapshot. */
int rec_put_base_node(const struct state_sink *s, uint32_t conn_id, uint32_t tx_id,
		      const char *path, size_t len, const struct node *n);
/* A special path with its list, or any other without a value. */
int rec_put_special(const struct state_sink *s, const char *name, const struct perms *perms);
/* plain: as WATCH_DATA even where it has a depth. removed: UNWATCH. */
int rec_put_watch(const struct state_sink *s, const struct watch *w, bool removed, bool plain);
int rec_put_conn_state(const struct state_sink *s, const struct conn *c);
int rec_put_conn_gone(const struct state_sink *s, uint32_t conn_id);
/* extra: octets charged besides those of accesses. */
int rec_put_txn_state(const struct state_sink *s, const struct txn *t, uint64_t extra);
int rec_put_txn_touched(const struct state_sink *s, const struct txn *t, const char *path,
			size_t len, unsigned int saw, unsigned int wrote);
int rec_put_txn_charge(const struct state_sink *s, const struct txn *t, uint64_t octets);
int rec_put_txn_end(const struct state_sink *s, const struct txn *t);
int rec_put_domain_state(const struct state_sink *s, const struct domain *d);
int rec_put_domain_gone(const struct state_sink *s, uint16_t domid);
int rec_put_death(const struct state_sink *s, uint16_t domid, uint64_t deaths);
int rec_put_strip(const struct state_sink *s, uint16_t domid);
int rec_put_policy(const struct state_sink *s, const struct quota_policy *policy);
/* What is the process's: the trace's file, NULL or "" for none. */
int rec_put_host(const struct state_sink *s, bool trace_on, const char *trace_path);
/* started_ms: real time. */
int rec_put_state(const struct state_sink *s, const struct core *core, uint64_t started_ms);

/* Domain limits as GLOBAL_QUOTA_DATA: those that new domains start with. */
int rec_put_quota(const struct state_sink *s, const struct quota_policy *policy);
/* The same of one domain, and its features: DOMAIN_DATA. */
int rec_put_domain(const struct state_sink *s, const struct domain *d);
/* Octets of a connection that are queued on either side, and what its number and kind are. */
int rec_put_connection(const struct state_sink *s, const struct conn *c, int32_t fd,
		       bool unique_id);

/*
 * Every open transaction whole: its state, what its snapshot differs in from that of the next
 * younger one (the youngest: from the live tree), what it touched, what it made of it. So the
 * snapshots together cost what has changed since the oldest. plainly: with TRANSACTION_DATA, too.
 */
int rec_put_txns(const struct state_sink *s, const struct core *core, bool plainly);

#endif
