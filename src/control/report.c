/* SPDX-License-Identifier: MIT */
/*
 * Texts about the daemon's counters. Invariant: a line is whole or not there.
 */
#include "control/report.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>

void text_init(struct text *t, char *buf, size_t room)
{
	*t = (struct text){ .buf = buf, .room = room };
	buf[0] = '\0';
}

bool text_add(struct text *t, const char *fmt, ...)
{
	size_t room = t->room - t->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room) {
		t->buf[t->len] = '\0';
		return false;
	}
	t->len += (size_t)n;
	return true;
}

static uint64_t open_transactions(const struct core *core)
{
	uint64_t n = 0;
	struct conn *c;

	list_for_each(c, &core->conns.all, all)
		n += c->n_txns;
	return n;
}

static uint64_t live_nodes(const struct core *core)
{
	uint64_t n = 0;
	struct domain *d;

	list_for_each(d, &core->domains.all, all)
		n += d->budget.used[QUOTA_NODES];
	return n;
}

void report_memory(struct core *core, FILE *f)
{
	struct mallinfo2 mi = mallinfo2();
	struct domain *d;

	fprintf(f, "memory: %zu octets in use, %zu held free, %zu mapped\n", mi.uordblks,
		mi.fordblks, mi.hblkhd);
	fprintf(f,
		"nodes: %" PRIu64 "; watches: %zu; connections: %zu; transactions: %" PRIu64
		"; access lists: %zu; waiting for the reaper: %zu\n",
		live_nodes(core), core->watches.n, core->conns.n, open_transactions(core),
		perm_table_count(core->perms), core->store.charged.n + core->store.uncharged.n);
	list_for_each(d, &core->domains.all, all) {
		fprintf(f, "domain %u:", d->domid);
		for (enum quota_id q = 0; q < QUOTA_COUNTED; q++)
			fprintf(f, " %s %" PRIu64 " (at most %" PRIu64 ")", quota_name(q),
				d->budget.used[q], d->budget.counters->peak[q]);
		fprintf(f, "\n");
	}
}

static uint64_t outstanding(const struct domain *d)
{
	return d->conn ? conn_queued(d->conn).replies : 0;
}

void report_domain_quota(const struct domain *d, struct text *out)
{
	text_add(out, "Domain %u:\n", d->domid);
	for (enum quota_id q = 0; q < QUOTA_COUNTED; q++)
		text_add(out, "%-16s: %8" PRIu64 "\n", quota_name(q),
			 q == QUOTA_OUTSTANDING ? outstanding(d) : d->budget.used[q]);
}

int report_quota_max(struct core *core, struct text *out, bool reset)
{
	struct domain *d;

	text_add(out, "Max used quota values:\n");
	for (enum quota_id q = 0; q < QUOTA_COUNTED; q++) {
		uint64_t max = 0;

		list_for_each(d, &core->domains.all, all) {
			if (d->domid && d->budget.counters->peak[q] > max)
				max = d->budget.counters->peak[q];
			if (reset)
				d->budget.counters->peak[q] = d->budget.used[q];
		}
		text_add(out, "%-17s: %8" PRIu64 "\n", quota_name(q), max);
	}
	return 0;
}

static bool add_domain(const struct domain *d, struct text *out)
{
	static const enum quota_id limits[] = { QUOTA_NODES, QUOTA_WATCHES, QUOTA_TRANSACTIONS,
						QUOTA_MEMORY };
	const struct budget *b = &d->budget;
	struct conn_queued q = { 0 };
	char line[1536];
	struct text l;

	if (d->conn)
		q = conn_queued(d->conn);
	text_init(&l, line, sizeof(line));
	text_add(&l,
		 "domain %u introduced=%d nodes=%" PRIu64 " memory=%" PRIu64 " watches=%" PRIu64
		 " transactions=%" PRIu64 " queued=%zu events=%zu requests=%" PRIu64
		 " conflicts=%" PRIu64 " outstanding=%zu",
		 d->domid, d->introduced, b->used[QUOTA_NODES], b->used[QUOTA_MEMORY],
		 b->used[QUOTA_WATCHES], b->used[QUOTA_TRANSACTIONS], q.octets, q.events,
		 b->counters->requests, b->counters->conflicts, q.replies);
	for (unsigned int k = 0; k < REFUSAL_COUNT; k++)
		if (b->counters->refused[k])
			text_add(&l, " refused.%s=%" PRIu64, refusal_name(k),
				 b->counters->refused[k]);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		text_add(&l, " limit.%s=%" PRIu64, quota_name(limits[i]),
			 b->limits.hard[limits[i]]);
	/* room for the last line stays */
	return out->len + l.len + sizeof("next 65535\n") + 1 < out->room &&
	       text_add(out, "%s\n", line);
}

void report_stats(struct core *core, uint64_t uptime_ms, uint16_t from, struct text *out)
{
	const struct domain *d;

	if (!from)
		text_add(out,
			 "daemon nodes=%" PRIu64
			 " watches=%zu connections=%zu transactions=%" PRIu64 " rounds=%" PRIu64
			 " requests=%" PRIu64 " uptime_ms=%" PRIu64 " domains=%zu\n",
			 live_nodes(core), core->watches.n, core->conns.n, open_transactions(core),
			 core->counters->rounds, core->counters->requests, uptime_ms,
			 core->domains.n);
	for (unsigned int id = from; id <= UINT16_MAX; id++) {
		d = domain_find(&core->domains, (uint16_t)id);
		if (d && !add_domain(d, out)) {
			text_add(out, "next %u\n", id);
			return;
		}
	}
	text_add(out, "end\n");
}

void domains_set_quota(struct core *core, enum quota_id q, uint64_t value, bool soft)
{
	struct domain *d;

	list_for_each(d, &core->domains.all, all) {
		if (soft)
			d->budget.limits.soft[q] = value;
		else if (!d->budget.own_limit[q])
			d->budget.limits.hard[q] = value;
		domain_changed(&core->domains, d);
	}
	core_policy_changed(core);
}
