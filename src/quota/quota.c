/* SPDX-License-Identifier: MIT */
/*
 * Budgets. Invariant: used[] is the sum of what living objects of the domain hold; only the
 * object that took a charge gives it back.
 */
#include "quota/quota.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REPORT_INTERVAL_MS 60000u

static const struct {
	const char *name;
	const char *help;
	uint64_t hard;
	uint64_t soft;
} quotas[QUOTA_COUNT] = {
	[QUOTA_NODES] = { "nodes", "Nodes per domain", 1000, 0 },
	[QUOTA_WATCHES] = { "watches", "Watches per domain", 512, 0 },
	[QUOTA_TRANSACTIONS] = { "transactions", "Transactions per domain", 50, 0 },
	[QUOTA_OUTSTANDING] = { "outstanding", "Outstanding requests per domain", 20, 0 },
	[QUOTA_MEMORY] = { "memory", "Total octets of memory per domain", 2621440, 2097152 },
	[QUOTA_TRANSACTION_NODES] = { "transaction-nodes", "Nodes touched by a transaction", 1024,
				      0 },
	[QUOTA_NODE_PERMISSIONS] = { "node-permissions", "Permissions per node", 5, 0 },
	[QUOTA_PATH_MAX] = { "path-max", "Octets of a node's path", 2048, 0 },
	[QUOTA_NODE_SIZE] = { "node-size", "Octets of a node", 2048, 0 },
};

static const char *const refusal_names[REFUSAL_COUNT - QUOTA_COUNT] = {
	[REFUSAL_EVENT_DROPPED - QUOTA_COUNT] = "event-dropped",
	[REFUSAL_PROTOCOL - QUOTA_COUNT] = "protocol",
	[REFUSAL_STALL - QUOTA_COUNT] = "stall",
};

void quota_policy_init(struct quota_policy *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < QUOTA_COUNT; i++) {
		p->limits.hard[i] = quotas[i].hard;
		p->limits.soft[i] = quotas[i].soft;
	}
}

const char *quota_name(enum quota_id q)
{
	return quotas[q].name;
}

const char *refusal_name(unsigned int kind)
{
	return kind < QUOTA_COUNT ? quotas[kind].name : refusal_names[kind - QUOTA_COUNT];
}

const char *quota_help(enum quota_id q)
{
	return quotas[q].help;
}

/* The names of newer xenstoreds that mean one of ours. */
static const struct {
	const char *name;
	enum quota_id q;
} aliases[] = {
	{ "permissions", QUOTA_NODE_PERMISSIONS },
};

int quota_find(const char *name, size_t len, enum quota_id *ret)
{
	for (size_t i = 0; i < QUOTA_COUNT; i++) {
		if (strlen(quotas[i].name) == len && !memcmp(quotas[i].name, name, len)) {
			*ret = (enum quota_id)i;
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		if (strlen(aliases[i].name) == len && !memcmp(aliases[i].name, name, len)) {
			*ret = aliases[i].q;
			return 0;
		}
	}
	return ENOENT;
}

void budget_init(struct budget *b, struct quota_policy *policy, uint16_t domid,
		 struct budget_counters *counters)
{
	memset(b, 0, sizeof(*b));
	b->counters = counters ? counters : &b->own;
	b->policy = policy;
	b->domid = domid;
	b->limits = policy->limits;
	b->exempt = domid == 0;
}

void budget_fini(struct budget *b)
{
	for (size_t i = 0; i < QUOTA_COUNTED; i++)
		assert(!b->used[i]);
}

int budget_check(const struct budget *b, enum quota_id q, uint64_t n)
{
	uint64_t limit = b->limits.hard[q];

	if (b->exempt || !limit || b->used[q] + n <= limit)
		return 0;
	return ENOSPC;
}

static void soft_check(struct budget *b, enum quota_id q)
{
	uint64_t limit = b->limits.soft[q];
	char line[160];

	if (b->exempt || !limit)
		return;
	if (b->used[q] <= limit) {
		b->soft_warned[q] = false;
		return;
	}
	if (b->soft_warned[q])
		return;
	b->soft_warned[q] = true;
	if (!b->policy->report)
		return;
	snprintf(line, sizeof(line),
		 "domain %u: soft quota %s passed: uses %" PRIu64 ", soft limit %" PRIu64, b->domid,
		 quotas[q].name, b->used[q], limit);
	b->policy->report(b->policy->report_data, line);
}

void budget_add(struct budget *b, enum quota_id q, uint64_t n)
{
	b->used[q] += n;
	if (b->used[q] > b->counters->peak[q])
		b->counters->peak[q] = b->used[q];
	soft_check(b, q);
}

void budget_sub(struct budget *b, enum quota_id q, uint64_t n)
{
	assert(b->used[q] >= n);
	b->used[q] -= n;
	if (b->soft_warned[q])
		soft_check(b, q);
}

int budget_check_value(const struct budget *b, enum quota_id q, uint64_t value)
{
	uint64_t limit = b->limits.hard[q];

	return b->exempt || !limit || value <= limit ? 0 : ENOSPC;
}

static void report(struct budget *b, unsigned int kind, const struct refusal *r)
{
	char line[3584], limit[64] = "", more[64] = "";

	if (r->limit)
		snprintf(limit, sizeof(limit), ", limit %" PRIu64 ", would be %" PRIu64, r->limit,
			 r->use);
	if (b->unreported[kind] > 1)
		snprintf(more, sizeof(more), " (and %" PRIu64 " more in the last minute)",
			 b->unreported[kind] - 1);
	snprintf(line, sizeof(line), "domain %u: refused by %s: %s%s%.*s%s%s", b->domid,
		 refusal_name(kind), r->op, r->path ? " " : "", r->path ? (int)r->path_len : 0,
		 r->path ? r->path : "", limit, more);
	b->policy->report(b->policy->report_data, line);
}

void budget_refuse(struct budget *b, unsigned int kind, const struct refusal *r)
{
	assert(kind < REFUSAL_COUNT);
	b->counters->refused[kind]++;
	b->unreported[kind]++;
	if (!b->policy->report || b->policy->now_ms < b->next_report_ms[kind])
		return;
	b->next_report_ms[kind] = b->policy->now_ms + REPORT_INTERVAL_MS;
	report(b, kind, r);
	b->unreported[kind] = 0;
}
