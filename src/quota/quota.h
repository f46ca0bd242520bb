/* SPDX-License-Identifier: MIT */
/*
 * Limits, and who is charged. Each domain has a budget: its hard and soft limits, what it uses,
 * and a count of everything that was refused to it. Names and defaults are those of C xenstored
 * (xenstored --help, CONTROL quota), plus what docs/limits.md explains.
 */
#ifndef DROVER_QUOTA_QUOTA_H
#define DROVER_QUOTA_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quota_id {
	QUOTA_NODES,		 /* nodes owned */
	QUOTA_WATCHES,		 /* watches set */
	QUOTA_TRANSACTIONS,	 /* transactions open */
	QUOTA_OUTSTANDING,	 /* requests whose reply is unread */
	QUOTA_MEMORY,		 /* octets of nodes, watches, transactions, unread output */
	QUOTA_TRANSACTION_NODES, /* nodes touched in one transaction */
	QUOTA_NODE_PERMISSIONS,	 /* entries of one access list */
	QUOTA_PATH_MAX,		 /* octets of a node's path (after the domain's own prefix) */
	QUOTA_NODE_SIZE,	 /* octets of one node: value and access list */
	QUOTA_COUNT
};

/* The first ones are counted in a budget; the rest limit a single request. */
#define QUOTA_COUNTED (QUOTA_MEMORY + 1)

/* What an operator is told about; the quotas come first, with their own numbers. */
enum refusal_kind {
	REFUSAL_EVENT_DROPPED = QUOTA_COUNT, /* a watch event could not be queued or went stale */
	REFUSAL_PROTOCOL,		     /* a message or ring that breaks the protocol */
	REFUSAL_STALL,			     /* requests left waiting: the replies are not read */
	REFUSAL_COUNT
};

struct quota_limits {
	uint64_t hard[QUOTA_COUNT]; /* 0: not checked */
	uint64_t soft[QUOTA_COUNT]; /* 0: none */
};

/* Where a refusal is told: one line per call. */
typedef void quota_report_fn(void *data, const char *line);

/* Shared by all budgets of a daemon. */
struct quota_policy {
	struct quota_limits limits; /* what a new domain starts with */
	quota_report_fn *report;    /* may be NULL */
	void *report_data;	    /* borrowed */
	uint64_t now_ms;	    /* set each round by the loop */
};

/* What is counted for as long as the domain lives, whatever becomes of the process. */
struct budget_counters {
	uint64_t requests;  /* served */
	uint64_t conflicts; /* EAGAINs at TRANSACTION_END */
	uint64_t peak[QUOTA_COUNTED];
	uint64_t refused[REFUSAL_COUNT];
};

struct budget {
	struct quota_policy *policy; /* borrowed */
	uint16_t domid;
	bool exempt; /* the control domain: counted, never refused */
	struct quota_limits limits;
	bool own_limit[QUOTA_COUNT]; /* set for this domain alone: others' changes pass it by */
	uint64_t used[QUOTA_COUNTED];
	struct budget_counters *counters; /* borrowed, or own */
	struct budget_counters own;
	uint64_t next_report_ms[REFUSAL_COUNT]; /* 0: at once */
	uint64_t unreported[REFUSAL_COUNT];	/* refusals since the last line */
	bool soft_warned[QUOTA_COUNTED];
};

/* What was refused, for the line that an operator reads. path may be NULL. */
struct refusal {
	const char *op; /* "WRITE" */
	const char *path;
	size_t path_len; /* octets */
	uint64_t limit;	 /* 0: no limit is behind it */
	uint64_t use;	 /* what it would have come to, or the current use */
};

/* Finds a domain's budget; NULL: there is no such domain. */
struct ledger {
	struct budget *(*find)(void *data, uint16_t domid);
	void *data;	    /* borrowed */
	uint64_t deaths;    /* domains that died so far */
	uint64_t *death_of; /* owned by the ledger's maker: by domid, deaths after its last one */
};

/* Whether a domain of this id died after the ledger had counted so many deaths. */
static inline bool ledger_died_since(const struct ledger *l, uint16_t domid, uint64_t deaths)
{
	return l->death_of[domid] > deaths;
}

static inline struct budget *ledger_find(const struct ledger *l, uint16_t domid)
{
	return l->find(l->data, domid);
}

void quota_policy_init(struct quota_policy *p);

/* "nodes", "transaction-nodes", … and "event-dropped", "protocol", "stall". Never NULL. */
const char *quota_name(enum quota_id q);
const char *refusal_name(unsigned int kind);
/* One line of help for CONTROL quota. */
const char *quota_help(enum quota_id q);

/* The quota called name, len octets: 0 or ENOENT. */
int quota_find(const char *name, size_t len, enum quota_id *ret);

/*
 * Takes the policy's limits; domid 0 is exempt. counters is borrowed, outlives the budget and
 * counts on from where it is. NULL: the budget has its own, from 0.
 */
void budget_init(struct budget *b, struct quota_policy *policy, uint16_t domid,
		 struct budget_counters *counters);
/* Asserts that everything was given back. */
void budget_fini(struct budget *b);

/* Whether n more would pass: 0, or ENOSPC. */
int budget_check(const struct budget *b, enum quota_id q, uint64_t n);

/* Counts n more without a check: for what was checked, or cannot be refused. */
void budget_add(struct budget *b, enum quota_id q, uint64_t n);
void budget_sub(struct budget *b, enum quota_id q, uint64_t n);

/* Whether value passes a per-request limit: 0, or ENOSPC. */
int budget_check_value(const struct budget *b, enum quota_id q, uint64_t value);

/*
 * Counts a refusal of kind (an enum quota_id or enum refusal_kind) and reports it, at most once
 * per domain, kind and minute.
 */
void budget_refuse(struct budget *b, unsigned int kind, const struct refusal *r);

#endif
