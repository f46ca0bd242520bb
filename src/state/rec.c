/* SPDX-License-Identifier: MIT */
/*
 * One function per record. Invariant: what a record holds is borrowed from the object or from the
 * stack until put returns.
 */
#include "state/rec.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "store/walk.h"
#include "txn/access.h"

#define DEPTH_MAX (UINT16_MAX - 1u) /* of a watch, in a record */

static_assert(DEPTH_MAX > XENSTORE_ABS_PATH_MAX / 2, "no path is as deep as that");

static int put(const struct state_sink *s, const struct drover_record *rec)
{
	return s->put(s->data, rec);
}

static struct drover_octets octets(const void *data, size_t len)
{
	return (struct drover_octets){ .data = data, .len = len };
}

static uint8_t letter_of(unsigned int bits)
{
	static const char letter[] = { 'n', 'r', 'w', 'b' };

	return (uint8_t)letter[bits & (PERM_READ | PERM_WRITE)];
}

/* list's entries into entry, STATE_PERMS_MAX of them. */
static struct drover_list list_of(const struct perms *list, struct drover_perm *entry)
{
	uint32_t n = list->n < STATE_PERMS_MAX ? list->n : STATE_PERMS_MAX;

	for (uint32_t i = 0; i < n; i++)
		entry[i] = (struct drover_perm){ .letter = letter_of(list->entry[i].bits),
						 .domid = list->entry[i].domid };
	return (struct drover_list){ .entry = entry, .n = n };
}

static int put_node(const struct state_sink *s, uint32_t type, uint32_t conn_id, uint32_t tx_id,
		    const char *path, size_t len, const struct node *n)
{
	struct drover_perm entry[STATE_PERMS_MAX];
	struct drover_record rec;

	rec.type = type;
	rec.node.conn_id = conn_id;
	rec.node.tx_id = tx_id;
	rec.node.access = n && conn_id ? DROVER_ACCESS_WRITTEN : 0;
	rec.node.path = octets(path, len);
	rec.node.perms = n ? list_of(n->perms, entry) : (struct drover_list){ 0 };
	rec.node.value = n ? octets(node_value(n), n->value_len) : octets(NULL, 0);
	return put(s, &rec);
}

int rec_put_node(const struct state_sink *s, uint32_t conn_id, uint32_t tx_id, const char *path,
		 size_t len, const struct node *n)
{
	return put_node(s, DROVER_RECORD_NODE, conn_id, tx_id, path, len, n);
}

int rec_put_base_node(const struct state_sink *s, uint32_t conn_id, uint32_t tx_id,
		      const char *path, size_t len, const struct node *n)
{
	return put_node(s, DROVER_RECORD_TXN_BASE_NODE, conn_id, tx_id, path, len, n);
}

int rec_put_special(const struct state_sink *s, const char *name, const struct perms *perms)
{
	struct drover_perm entry[STATE_PERMS_MAX];
	struct drover_record rec = { .type = DROVER_RECORD_NODE };

	rec.node.path = octets(name, strlen(name));
	rec.node.perms = list_of(perms, entry);
	return put(s, &rec);
}

int rec_put_watch(const struct state_sink *s, const struct watch *w, bool removed, bool plain)
{
	const struct conn *c = CONTAINER_OF(w->owner, struct conn, watcher);
	struct drover_record rec = { .type = DROVER_RECORD_WATCH };
	char path[XENSTORE_ABS_PATH_MAX + 1];
	size_t len = watch_path(w, path), skip = w->relative ? c->watcher.rel_len : 0;

	rec.watch.conn_id = rec_conn_id(c);
	rec.watch.depth = DROVER_DEPTH_ANY;
	rec.watch.path = octets(path + skip, len - skip);
	rec.watch.token = octets(w->token, w->token_len);
	if (removed) {
		rec.type = DROVER_RECORD_UNWATCH;
	} else if (w->depth != WATCH_DEPTH_ANY && !plain) {
		rec.type = DROVER_RECORD_WATCH_DEPTH;
		/* more than the record can say is more than any path has */
		rec.watch.depth = w->depth < DEPTH_MAX ? w->depth : DEPTH_MAX;
	}
	return put(s, &rec);
}

int rec_put_conn_state(const struct state_sink *s, const struct conn *c)
{
	struct drover_record rec = { .type = DROVER_RECORD_CONN_STATE };

	rec.conn_state.conn_id = rec_conn_id(c);
	rec.conn_state.slot = c->slot;
	rec.conn_state.id = c->id;
	rec.conn_state.next_tx = c->next_tx;
	rec.conn_state.peer_id = c->peer_id;
	rec.conn_state.domid = c->domain ? c->domain->domid : 0;
	rec.conn_state.flags = (c->failed ? DROVER_CONN_STATE_FAILED : 0) |
			       (c->watcher.privileged ? DROVER_CONN_STATE_PRIVILEGED : 0) |
			       (c->quiesced ? DROVER_CONN_STATE_QUIESCED : 0);
	return put(s, &rec);
}

int rec_put_conn_gone(const struct state_sink *s, uint32_t conn_id)
{
	struct drover_record rec = { .type = DROVER_RECORD_CONN_GONE };

	rec.conn_gone.conn_id = conn_id;
	return put(s, &rec);
}

static int put_txn_state(const struct state_sink *s, const struct txn *t, uint64_t extra,
			 bool chained)
{
	struct drover_record rec = { .type = DROVER_RECORD_TXN_STATE };

	rec.txn_state.conn_id = rec_conn_id(t->owner);
	rec.txn_state.tx_id = t->id;
	rec.txn_state.flags = (t->doomed ? DROVER_TXN_DOOMED : 0) |
			      (t->wrote ? DROVER_TXN_WROTE : 0) |
			      (chained ? DROVER_TXN_CHAINED : 0);
	rec.txn_state.deaths_at_start = t->deaths_at_start;
	rec.txn_state.serial = t->serial;
	rec.txn_state.charge = extra;
	return put(s, &rec);
}

int rec_put_txn_state(const struct state_sink *s, const struct txn *t, uint64_t extra)
{
	return put_txn_state(s, t, extra, false);
}

int rec_put_txn_touched(const struct state_sink *s, const struct txn *t, const char *path,
			size_t len, unsigned int saw, unsigned int wrote)
{
	struct drover_record rec = { .type = DROVER_RECORD_TXN_ACCESS };

	rec.txn_access.conn_id = rec_conn_id(t->owner);
	rec.txn_access.tx_id = t->id;
	rec.txn_access.saw = (uint16_t)saw;
	rec.txn_access.wrote = (uint16_t)wrote;
	rec.txn_access.path = octets(path, len);
	return put(s, &rec);
}

int rec_put_txn_charge(const struct state_sink *s, const struct txn *t, uint64_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_TXN_CHARGE };

	rec.txn_charge.conn_id = rec_conn_id(t->owner);
	rec.txn_charge.tx_id = t->id;
	rec.txn_charge.octets = n;
	return put(s, &rec);
}

int rec_put_txn_end(const struct state_sink *s, const struct txn *t)
{
	struct drover_record rec = { .type = DROVER_RECORD_TXN_END };

	rec.txn.conn_id = rec_conn_id(t->owner);
	rec.txn.tx_id = t->id;
	return put(s, &rec);
}

int rec_put_domain_state(const struct state_sink *s, const struct domain *d)
{
	const struct quota_limits *l = &d->budget.limits;
	struct drover_limit limit[QUOTA_COUNT];
	struct drover_record rec = { .type = DROVER_RECORD_DOMAIN_STATE };

	for (unsigned int q = 0; q < QUOTA_COUNT; q++)
		limit[q] = (struct drover_limit){ .hard = l->hard[q],
						  .soft = l->soft[q],
						  .own = d->budget.own_limit[q] };
	rec.domain_state.domid = d->domid;
	rec.domain_state.flags = (uint16_t)((d->introduced ? DROVER_DOMAIN_INTRODUCED : 0) |
					    (d->shutdown ? DROVER_DOMAIN_SHUTDOWN : 0) |
					    (d->orphans ? DROVER_DOMAIN_ORPHANS : 0) |
					    (d->edges_lost ? DROVER_DOMAIN_EDGES_LOST : 0) |
					    (d->quiesced ? DROVER_DOMAIN_QUIESCED : 0));
	rec.domain_state.target = d->target ? d->target->domid : DROVER_TARGET_NONE;
	rec.domain_state.unique = d->unique;
	rec.domain_state.gfn = d->gfn;
	rec.domain_state.remote_port = d->remote_port;
	rec.domain_state.local_port = d->local_port;
	rec.domain_state.features = d->features;
	rec.domain_state.counters = d->counters;
	rec.domain_state.limits = (struct drover_list){ .entry = limit, .n = QUOTA_COUNT };
	return put(s, &rec);
}

int rec_put_domain_gone(const struct state_sink *s, uint16_t domid)
{
	struct drover_record rec = { .type = DROVER_RECORD_DOMAIN_GONE };

	rec.domain_gone.domid = domid;
	return put(s, &rec);
}

int rec_put_death(const struct state_sink *s, uint16_t domid, uint64_t deaths)
{
	struct drover_record rec = { .type = DROVER_RECORD_DEATH };

	rec.death.domid = domid;
	rec.death.count = deaths;
	return put(s, &rec);
}

int rec_put_strip(const struct state_sink *s, uint16_t domid)
{
	struct drover_record rec = { .type = DROVER_RECORD_PERMS_STRIP };

	rec.perms_strip.domid = domid;
	return put(s, &rec);
}

int rec_put_policy(const struct state_sink *s, const struct quota_policy *policy)
{
	struct drover_policy_limit limit[QUOTA_COUNT];
	struct drover_record rec = { .type = DROVER_RECORD_POLICY };

	for (unsigned int q = 0; q < QUOTA_COUNT; q++)
		limit[q] = (struct drover_policy_limit){ .hard = policy->limits.hard[q],
							 .soft = policy->limits.soft[q] };
	rec.policy.limits = (struct drover_list){ .entry = limit, .n = QUOTA_COUNT };
	return put(s, &rec);
}

int rec_put_host(const struct state_sink *s, bool trace_on, const char *trace_path)
{
	struct drover_record rec = { .type = DROVER_RECORD_HOST };

	rec.host.flags = trace_on ? DROVER_HOST_TRACE : 0;
	rec.host.path = octets(trace_path ? trace_path : "", trace_path ? strlen(trace_path) : 0);
	return put(s, &rec);
}

int rec_put_state(const struct state_sink *s, const struct core *core, uint64_t started_ms)
{
	struct drover_record rec = { .type = DROVER_RECORD_STATE };

	rec.state.next_conn_id = core->conns.next_id;
	rec.state.store_gen = core->store.gen;
	rec.state.deaths = core->domains.ledger.deaths;
	rec.state.started_ms = started_ms;
	return put(s, &rec);
}

/* Names and values of the quotas, as records have them: 32 bits, 0 for none. */
static size_t names_of(const struct quota_limits *l, uint32_t *value, char *names, size_t room)
{
	size_t len = 0;

	for (unsigned int q = 0; q < QUOTA_COUNT; q++) {
		value[q] = l->hard[q] < UINT32_MAX ? (uint32_t)l->hard[q] : UINT32_MAX;
		len += (size_t)snprintf(names + len, room - len, "%s", quota_name(q)) + 1;
	}
	return len;
}

int rec_put_quota(const struct state_sink *s, const struct quota_policy *policy)
{
	struct drover_record rec = { .type = DROVER_RECORD_QUOTA };
	uint32_t value[QUOTA_COUNT];
	char names[512];

	rec.quota.n_dom = QUOTA_COUNT;
	rec.quota.names = octets(names, names_of(&policy->limits, value, names, sizeof(names)));
	rec.quota.values = (struct drover_list){ .entry = value, .n = QUOTA_COUNT };
	return put(s, &rec);
}

int rec_put_domain(const struct state_sink *s, const struct domain *d)
{
	struct drover_record rec = { .type = DROVER_RECORD_DOMAIN };
	uint32_t value[QUOTA_COUNT];
	char names[512];

	rec.domain.domid = d->domid;
	rec.domain.features = d->features;
	rec.domain.names = octets(names, names_of(&d->budget.limits, value, names, sizeof(names)));
	rec.domain.values = (struct drover_list){ .entry = value, .n = QUOTA_COUNT };
	return put(s, &rec);
}

/* What is queued, copied; *ret is the caller's. -ENOMEM. */
static int queued(const struct conn *c, size_t (*peek)(const struct conn *c, void *buf, size_t n),
		  size_t len, uint8_t **ret)
{
	*ret = NULL;
	if (!len)
		return 0;
	*ret = malloc(len);
	if (!*ret)
		return FAULT(-ENOMEM);
	peek(c, *ret, len);
	return 0;
}

int rec_put_connection(const struct state_sink *s, const struct conn *c, int32_t fd, bool unique_id)
{
	const struct conn_queued q = conn_queued(c);
	struct drover_record rec = { .type = DROVER_RECORD_CONNECTION };
	size_t in_len = c->in_len;
	uint8_t *in, *out = NULL;
	int r;

	rec.connection.conn_id = rec_conn_id(c);
	rec.connection.kind = c->domain ? DROVER_CONN_RING : DROVER_CONN_SOCKET;
	rec.connection.fd = fd;
	if (c->domain) {
		rec.connection.domid = c->domain->domid;
		rec.connection.tdomid =
			c->domain->target ? c->domain->target->domid : DROVER_DOMID_NONE;
		rec.connection.evtchn = c->domain->local_port;
		rec.connection.unique_id = c->domain->unique;
		rec.connection.flags = unique_id ? DROVER_CONN_UNIQUE_ID : 0;
	}
	r = queued(c, conn_peek_input, in_len, &in);
	if (!r)
		r = queued(c, conn_peek_output, q.octets, &out);
	rec.connection.input = octets(in, in_len);
	rec.connection.output = octets(out, q.octets);
	rec.connection.resp_len = (uint16_t)q.partial;
	if (!r)
		r = put(s, &rec);
	free(in);
	free(out);
	return r;
}

/* Nodes in which two trees differ, on their way to records. */
struct differing {
	const struct state_sink *s;
	uint32_t conn_id;
	uint32_t tx_id;
	bool base;
	int r;
};

static void put_differing(void *data, const char *path, size_t len, const struct node *a,
			  const struct node *b)
{
	struct differing *d = data;

	(void)a;
	if (d->r)
		return;
	d->r = d->base ? rec_put_base_node(d->s, d->conn_id, d->tx_id, path, len, b)
		       : rec_put_node(d->s, d->conn_id, d->tx_id, path, len, b);
}

/* before: the snapshot of the transaction put before, or the live tree. */
static int put_txn(const struct state_sink *s, const struct txn *t, const struct node *before,
		   bool chained)
{
	const struct node *base = t->base ? t->base : before;
	struct differing d = { .s = s, .conn_id = rec_conn_id(t->owner), .tx_id = t->id };
	uint64_t extra = t->charge - TXN_CHARGE;
	struct txn_access *a;
	int r;

	list_for_each(a, &t->order, link)
		extra -= TXN_NODE_CHARGE + a->len;
	r = put_txn_state(s, t, extra, chained);
	d.base = true;
	if (!r)
		r = tree_diff("/", 1, before, base, put_differing, &d);
	if (r || d.r)
		return r ? r : d.r;
	list_for_each(a, &t->order, link) {
		r = rec_put_txn_touched(s, t, a->path, a->len, a->saw, a->wrote);
		if (r)
			return r;
	}
	d.base = false;
	r = tree_diff("/", 1, base, t->tree.root, put_differing, &d);
	return r ? r : d.r;
}

/* Those without a snapshot first, then the youngest before the older ones. */
static int txn_order(const void *a, const void *b)
{
	const struct txn *x = *(struct txn *const *)a, *y = *(struct txn *const *)b;

	if (x->doomed != y->doomed)
		return x->doomed ? -1 : 1;
	return x->serial > y->serial ? -1 : x->serial < y->serial;
}

static int all_txns(const struct core *core, struct txn ***ret, size_t *ret_n)
{
	struct txn **list = NULL, *t;
	struct conn *c;
	size_t n = 0, at = 0;

	list_for_each(c, &core->conns.all, all)
		n += c->closing ? 0 : c->n_txns;
	list = calloc(n + 1, sizeof(struct txn *));
	if (!list)
		return FAULT(-ENOMEM);
	list_for_each(c, &core->conns.all, all)
		for (t = c->closing ? NULL : txn_first(&c->txns); t && at < n; t = txn_next(t))
			list[at++] = t;
	qsort(list, at, sizeof(struct txn *), txn_order);
	*ret = list;
	*ret_n = at;
	return 0;
}

int rec_put_txns(const struct state_sink *s, const struct core *core, bool plainly)
{
	struct drover_record rec = { .type = DROVER_RECORD_TXN };
	const struct node *before = core->store.live.root;
	struct txn **list = NULL;
	bool chained = false;
	size_t n = 0;
	int r;

	r = all_txns(core, &list, &n);
	if (r)
		return r;
	for (size_t i = 0; i < n && !r; i++) {
		rec.txn.conn_id = rec_conn_id(list[i]->owner);
		rec.txn.tx_id = list[i]->id;
		if (plainly)
			r = put(s, &rec);
		if (!r)
			r = put_txn(s, list[i], before, chained);
		if (!list[i]->base)
			continue;
		before = list[i]->base;
		chained = true;
	}
	free(list);
	return r;
}
