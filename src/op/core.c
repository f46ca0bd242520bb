/* SPDX-License-Identifier: MIT */
/*
 * Making and unmaking a core, and its rounds. Invariant: between two rounds every charge of a
 * living domain is that of objects which exist, the reaper's backlog included.
 */
#include "op/core.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/own.h"
#include "domain/death.h"
#include "domain/restore.h"
#include "op/op.h"
#include "op/vendor.h"

static void live_charge(void *data, uint16_t domid, int64_t nodes, int64_t octets)
{
	struct core *core = data;
	struct budget *b = ledger_find(&core->domains.ledger, domid);

	if (!b)
		return;
	if (nodes >= 0)
		budget_add(b, QUOTA_NODES, (uint64_t)nodes);
	else
		budget_sub(b, QUOTA_NODES, (uint64_t)-nodes);
	if (octets >= 0)
		budget_add(b, QUOTA_MEMORY, (uint64_t)octets);
	else
		budget_sub(b, QUOTA_MEMORY, (uint64_t)-octets);
}

static void live_edge(void *data, uint16_t domid, const char *path, size_t len)
{
	struct core *core = data;

	domain_note_edge(&core->domains, domid, path, len);
}

static void live_changed(void *data, const char *path, size_t len, const struct node *n)
{
	struct core *core = data;

	if (core->log)
		core->log->node(core->log_data, path, len, n);
}

static const struct tree_ops live_ops = { .charge = live_charge,
					  .edge = live_edge,
					  .changed = live_changed };

/* The core that a transaction's connection belongs to. */
static struct core *txn_core(const struct txn *t)
{
	const struct conn *c = t->owner;

	return CONTAINER_OF(c->table, struct core, conns);
}

static void txn_touched(struct txn *t, const char *path, size_t len, unsigned int saw,
			unsigned int wrote)
{
	struct core *core = txn_core(t);

	if (core->log)
		core->log->txn_touched(core->log_data, t, path, len, saw, wrote);
}

static void txn_edited(struct txn *t, const char *path, size_t len, const struct node *n)
{
	struct core *core = txn_core(t);

	if (core->log)
		core->log->txn_edited(core->log_data, t, path, len, n);
}

static void txn_charged(struct txn *t, uint64_t octets)
{
	struct core *core = txn_core(t);

	if (core->log)
		core->log->txn_charged(core->log_data, t, octets);
}

static void txn_changed(struct txn *t)
{
	struct core *core = txn_core(t);

	if (core->log)
		core->log->txn(core->log_data, t);
}

static void txn_ended(struct txn *t)
{
	struct core *core = txn_core(t);

	if (core->log)
		core->log->txn_ended(core->log_data, t);
}

static const struct txn_ops txn_log_ops = { .touched = txn_touched,
					    .edited = txn_edited,
					    .charged = txn_charged,
					    .doomed = txn_changed,
					    .ended = txn_ended };

int core_start_txn(struct core *core, struct conn *c, uint32_t id, struct txn **ret)
{
	int r;

	r = txn_new(&core->store, &c->txns, &core->ages, c->watcher.budget, id,
		    core->domains.ledger.deaths, ret);
	if (r)
		return r;
	(*ret)->ops = &txn_log_ops;
	(*ret)->owner = c;
	c->n_txns++;
	txn_changed(*ret);
	if (core->conns.calm) /* of who has another one open */
		(*ret)->refused = true;
	return 0;
}

void core_calm(struct core *core, bool on)
{
	struct conn *c;
	struct txn *t;

	conn_table_calm(&core->conns, on);
	list_for_each(c, &core->conns.all, all)
		for (t = on && !c->closing ? txn_first(&c->txns) : NULL; t; t = txn_next(t))
			t->refused = true;
}

size_t core_open_txns(const struct core *core)
{
	const struct conn *c;
	size_t n = 0;

	list_for_each(c, &core->conns.all, all)
		n += c->closing ? 0 : c->n_txns;
	return n;
}

void core_policy_changed(struct core *core)
{
	if (core->log)
		core->log->policy(core->log_data);
}

void core_set_log(struct core *core, const struct core_log_ops *log, void *data)
{
	core->log = log;
	core->log_data = data;
	core->watches.changed = log ? log->watch : NULL;
	core->watches.data = data;
	core->domains.ops = log ? &log->domain : NULL;
	core->domains.ops_data = data;
}

static const char *const initial[] = { "/tool/xenstored", "/local" };

static int tree_init(struct core *core, struct perms *root)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(initial) && !r; i++)
		r = tree_create(&core->store, &core->store.live, initial[i], strlen(initial[i]),
				root, NULL, 0);
	return r;
}

static void conn_gone(void *data, struct conn *c)
{
	vendor_gone(data, c);
	if (c->domain && c->domain->conn == c)
		c->domain->conn = NULL;
}

static void wire_up(struct core *core)
{
	core->conns.key = core->opt.key;
	core->conns.event_timeout_ms = core->opt.event_timeout_ms;
	core->conns.holds = &core->holds;
	core->conns.store = &core->store;
	core->conns.watches = &core->watches;
	core->conns.handle = op_handle;
	core->conns.gone = conn_gone;
	core->conns.data = core;
	core->conns.trace = core->opt.trace;
	core->conns.trace_data = core->opt.trace_data;
	core->domains.hv = core->hv;
	core->domains.policy = core->opt.policy;
	core->domains.conns = &core->conns;
	core->domains.store = &core->store;
	core->domains.watches = &core->watches;
	core->domains.keep_orphans = core->opt.keep_orphans;
	core->domains.priv_domid = core->opt.priv_domid;
	core->store.heap.perms = core->perms;
}

static int core_init(struct core *core)
{
	static const struct perm root_perm = { .domid = 0 };
	struct perms *root;
	int r;

	hold_table_init(&core->holds);
	txn_ages_init(&core->ages);
	core->perms = perm_table_new(&core->opt.key);
	if (!core->perms)
		return FAULT(-ENOMEM);
	wire_up(core);
	r = conn_table_init(&core->conns, core->opt.area);
	if (!r)
		r = watch_index_init(&core->watches);
	if (!r)
		r = domain_table_init(&core->domains);
	if (!r)
		r = perms_intern(core->perms, &root_perm, 1, &root);
	if (r)
		return r;
	r = store_init(&core->store, core->perms, &live_ops, core, root);
	if (!r && !core->opt.empty)
		r = tree_init(core, root);
	perms_release(core->perms, root);
	if (!r && !core->opt.empty)
		domain_set_counters(&core->domains, domain_find(&core->domains, 0));
	if (!r && !core->opt.empty && core->opt.dom0_ring)
		r = domain_connect_dom0(&core->domains, core->opt.dom0_port);
	return r;
}

int core_new(const struct core_options *opt, struct hv *hv, struct core **ret)
{
	struct core *core = calloc(1, sizeof(*core));
	int r;

	if (!core)
		return FAULT(-ENOMEM);
	core->opt = *opt;
	core->counters = opt->counters ? opt->counters : &core->own_counters;
	core->hv = hv;
	list_init(&core->vendor);
	r = core_init(core);
	if (r) {
		core_free(core);
		return r;
	}
	*ret = core;
	return 0;
}

void core_free(struct core *core)
{
	if (!core)
		return;
	conn_table_fini(&core->conns);
	store_fini(&core->store);
	domain_table_fini(&core->domains);
	if (core->watches.root)
		watch_index_fini(&core->watches);
	perm_table_free(core->perms);
	free(core);
}

void core_setup_socket(struct core *core, struct conn *c)
{
	const struct domain *dom0 = domain_find(&core->domains, 0);

	c->prefix = dom0->prefix;
	c->watcher.rel_len = (uint32_t)strlen(dom0->prefix) + 1;
}

int core_add_socket(struct core *core, const struct transport_ops *ops, void *transport,
		    uint64_t peer_id, struct conn **ret)
{
	struct domain *dom0 = domain_find(&core->domains, 0);
	int r;

	r = conn_new(&core->conns, ops, transport, &dom0->budget, true, peer_id, ret);
	if (r)
		return r;
	core_setup_socket(core, *ret);
	conn_opened(*ret);
	return 0;
}

int core_hv_events(struct core *core)
{
	return domain_hv_events(&core->domains);
}

bool core_round(struct core *core, uint64_t now_ms)
{
	bool more;

	core->now_ms = now_ms;
	core->opt.policy->now_ms = now_ms;
	core->counters->rounds++;
	while (hold_tick(&core->holds, now_ms) <= now_ms)
		;
	conn_tick(&core->conns, now_ms);
	more = conn_round(&core->conns, now_ms);
	if (!list_is_empty(&core->vendor))
		more |= vendor_tick(core);
	txn_limit_retained(&core->store, &core->ages);
	return store_reap(&core->store, CORE_REAP_PER_ROUND) || more;
}

uint64_t core_deadline(struct core *core)
{
	uint64_t hold = hold_tick(&core->holds, core->now_ms);
	uint64_t stale = conn_tick(&core->conns, core->now_ms);

	return hold < stale ? hold : stale;
}
