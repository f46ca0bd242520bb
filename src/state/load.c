/* SPDX-License-Identifier: MIT */
/*
 * Connections, watches, domains and limits from records; nodes and transactions are in
 * load_nodes.c. Invariant: no limit refuses what a record says; a record that names a connection
 * or transaction finds it, or is refused.
 */
#include "state/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "domain/death.h"
#include "domain/restore.h"
#include "state/load_types.h"

static int conn_id_cmp(const struct load_conn_entry *a, const struct load_conn_entry *b)
{
	return a->c.conn_id < b->c.conn_id ? -1 : a->c.conn_id > b->c.conn_id;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_STATIC(load_conns, load_conn_entry, by_id, conn_id_cmp)
#pragma GCC diagnostic pop

int(load_fail)(struct state_load *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, sizeof(l->why), fmt, ap);
	va_end(ap);
	return EINVAL;
}

const char *state_load_error(const struct state_load *l)
{
	return l->why;
}

int state_load_new(const struct core_options *opt, struct state_load **ret)
{
	struct state_load *l = calloc(1, sizeof(*l));
	struct core_options mine = *opt;
	int r;

	if (!l)
		return FAULT(-ENOMEM);
	RB_INIT(&l->conns);
	l->host.socket_fd = l->host.evtchn_fd = -1;
	mine.empty = true;
	r = core_new(&mine, NULL, &l->core);
	if (r) {
		state_load_free(l);
		return r;
	}
	tree_build_init(&l->build, &l->core->store);
	l->building = true;
	*ret = l;
	return 0;
}

static void entry_free(struct state_load *l, struct load_conn_entry *e)
{
	RB_REMOVE(load_conns, &l->conns, e);
	free(e->c.input);
	free(e->c.output);
	free(e);
}

void state_load_free(struct state_load *l)
{
	struct load_conn_entry *e;

	if (!l)
		return;
	while ((e = RB_MIN(load_conns, &l->conns)))
		entry_free(l, e);
	if (l->core && !l->taken) {
		if (l->last_perms)
			perms_release(l->core->perms, l->last_perms);
		tree_build_fini(&l->build);
		core_free(l->core);
	}
	free(l);
}

struct core *state_load_core(struct state_load *l)
{
	return l->core;
}

const struct load_host *state_load_host(const struct state_load *l)
{
	return &l->host;
}

struct load_conn *state_load_next_conn(struct state_load *l, const struct load_conn *prev)
{
	struct load_conn_entry *e, key;

	if (!prev) {
		e = RB_MIN(load_conns, &l->conns);
		return e ? &e->c : NULL;
	}
	key.c.conn_id = prev->conn_id + 1; /* ids are never the largest number: see conn_add */
	e = RB_NFIND(load_conns, &l->conns, &key);
	return e ? &e->c : NULL;
}

struct load_conn *load_find_conn(struct state_load *l, uint32_t conn_id)
{
	struct load_conn_entry *e, key;

	key.c.conn_id = conn_id;
	e = RB_FIND(load_conns, &l->conns, &key);
	return e ? &e->c : NULL;
}

int load_path(struct state_load *l, const struct conn *c, const struct drover_octets *o,
	      struct path *ret)
{
	const char *str = o->data;

	if (path_make(ret, c ? c->prefix : NULL, str, o->len))
		return load_fail(l, "path \"%.*s\" is not well-formed",
				 (int)(o->len < 100 ? o->len : 100), str);
	return 0;
}

/* --- connections ------------------------------------------------------------------------- */

/* A new one, of domid's ring or of a socket. slot: its place in the area, or PERM_NO_DOMID. */
static int conn_add(struct state_load *l, uint32_t conn_id, uint16_t kind, uint16_t domid,
		    uint64_t peer_id, bool privileged, struct load_conn **ret)
{
	struct core *core = l->core;
	struct load_conn_entry *e;
	struct domain *d;
	int r;

	if (conn_id == UINT32_MAX)
		return load_fail(l, "connection number out of range");
	r = domain_restore(&core->domains, kind == DROVER_CONN_RING ? domid : 0, &d);
	if (r)
		return r;
	if (kind == DROVER_CONN_RING && d->conn)
		return load_fail(l, "domain %u has two rings", domid);
	e = calloc(1, sizeof(*e));
	if (!e)
		return FAULT(-ENOMEM);
	e->c.conn_id = conn_id;
	e->c.kind = kind;
	e->c.fd = -1;
	r = conn_make(&core->conns, conn_id - 1, peer_id, &d->budget, privileged, &e->c.conn);
	if (r) {
		free(e);
		return r;
	}
	if (kind == DROVER_CONN_RING)
		domain_restore_conn(d, e->c.conn);
	else
		core_setup_socket(core, e->c.conn);
	RB_INSERT(load_conns, &l->conns, e);
	*ret = &e->c;
	return 0;
}

static int load_conn_state(struct state_load *l, const struct drover_conn_state *s)
{
	struct load_conn *c = load_find_conn(l, s->conn_id);
	bool privileged = s->flags & DROVER_CONN_STATE_PRIVILEGED;
	int r;

	if (!s->conn_id)
		return load_fail(l, "connection number 0");
	if (!c) {
		r = conn_add(l, s->conn_id, s->peer_id ? DROVER_CONN_SOCKET : DROVER_CONN_RING,
			     s->domid, s->peer_id, privileged, &c);
		if (r)
			return r;
	}
	c->conn->id = s->id;
	c->conn->peer_id = s->peer_id;
	c->conn->next_tx = s->next_tx;
	c->conn->failed = s->flags & DROVER_CONN_STATE_FAILED;
	c->conn->quiesced = s->flags & DROVER_CONN_STATE_QUIESCED;
	c->conn->watcher.privileged = privileged;
	if (l->core->conns.next_id < s->id)
		l->core->conns.next_id = s->id;
	return 0;
}

static int copy_octets(const struct drover_octets *o, uint8_t **ret, size_t *ret_len)
{
	if (!o->len)
		return 0;
	*ret = malloc(o->len);
	if (!*ret)
		return FAULT(-ENOMEM);
	memcpy(*ret, o->data, o->len);
	*ret_len = o->len;
	return 0;
}

static int load_connection(struct state_load *l, const struct drover_connection *rec)
{
	struct core *core = l->core;
	bool privileged = rec->kind == DROVER_CONN_SOCKET || !rec->domid ||
			  rec->domid == core->domains.priv_domid;
	struct load_conn *c;
	struct domain *d, *target;
	int r;

	if (!rec->conn_id || load_find_conn(l, rec->conn_id))
		return load_fail(l, "connection %u comes twice", rec->conn_id);
	r = conn_add(l, rec->conn_id, rec->kind, rec->domid, 0, privileged, &c);
	if (r)
		return r;
	c->fd = rec->kind == DROVER_CONN_SOCKET ? rec->fd : -1;
	r = copy_octets(&rec->input, &c->input, &c->input_len);
	if (!r)
		r = copy_octets(&rec->output, &c->output, &c->output_len);
	c->resp_len = rec->resp_len;
	if (r || rec->kind != DROVER_CONN_RING)
		return r;
	c->local_port = rec->evtchn;
	d = c->conn->domain;
	d->introduced = true;
	d->local_port = rec->evtchn;
	if (rec->mfn) /* the seed layout says it here, DOMAIN_STATE in the other one */
		d->gfn = rec->mfn;
	if (rec->flags & DROVER_CONN_UNIQUE_ID)
		d->unique = rec->unique_id;
	if (rec->tdomid == DROVER_DOMID_NONE || rec->tdomid == rec->domid)
		return 0;
	r = domain_restore(&core->domains, rec->tdomid, &target);
	if (!r)
		domain_restore_target(d, target);
	return r;
}

static int load_conn_gone(struct state_load *l, const struct drover_conn_gone *g)
{
	struct load_conn *c = load_find_conn(l, g->conn_id);

	if (!c)
		return load_fail(l, "connection %u is not known", g->conn_id);
	if (c->conn->domain)
		c->conn->domain->conn = NULL;
	l->chain = NULL;
	conn_discard(c->conn);
	entry_free(l, CONTAINER_OF(c, struct load_conn_entry, c));
	return 0;
}

/* --- watches ----------------------------------------------------------------------------- */

static int watch_place(struct state_load *l, const struct conn *c, const struct drover_watch *rec,
		       struct path *ret)
{
	const char *str = rec->path.data;

	if (!rec->path.len || rec->path.len > XENSTORE_ABS_PATH_MAX)
		return load_fail(l, "a watched path has %zu octets", rec->path.len);
	if (str[0] != '@')
		return load_path(l, c, &rec->path, ret);
	memcpy(ret->str, str, rec->path.len);
	ret->str[rec->path.len] = '\0';
	ret->len = rec->path.len;
	return 0;
}

static int load_watch(struct state_load *l, const struct drover_watch *rec, bool removed)
{
	struct load_conn *c = load_find_conn(l, rec->conn_id);
	const char *str = rec->path.data, *token = rec->token.data;
	struct watch_index *ix = &l->core->watches;
	struct path p;
	int r;

	if (!c)
		return load_fail(l, "watch of connection %u, which is not known", rec->conn_id);
	if (rec->token.len > XENSTORE_PAYLOAD_MAX)
		return load_fail(l, "a watch's token has %zu octets", rec->token.len);
	r = watch_place(l, c->conn, rec, &p);
	if (r)
		return r;
	/* a checkpoint may say already what the log behind it says again: both are no error */
	if (removed) {
		watch_remove(ix, &c->conn->watcher, p.str, p.len, token, rec->token.len);
		return 0;
	}
	r = watch_add(ix, &c->conn->watcher, p.str, p.len, token, rec->token.len,
		      rec->depth == DROVER_DEPTH_ANY ? WATCH_DEPTH_ANY : rec->depth,
		      str[0] != '/' && str[0] != '@', NULL);
	return r < 0 ? r : 0;
}

/* --- domains and limits ------------------------------------------------------------------ */

static int load_domain_state(struct state_load *l, const struct drover_domain_state *s)
{
	struct domain_table *t = &l->core->domains;
	struct domain *d, *target = NULL;
	struct drover_limit limit;
	int r;

	r = domain_restore(t, s->domid, &d);
	if (r)
		return r;
	/* it was a target only so far: its place among all is where it is spoken of */
	if (l->named[s->domid / 8] & 1u << s->domid % 8) {
		l->named[s->domid / 8] &= (uint8_t) ~(1u << s->domid % 8);
		list_remove(&d->all);
		list_append(&t->all, &d->all);
	}
	if (s->target != DROVER_TARGET_NONE) {
		uint16_t domid = (uint16_t)s->target;

		if (!domain_find(t, domid))
			l->named[domid / 8] |= (uint8_t)(1u << domid % 8);
		r = domain_restore(t, domid, &target);
		if (r)
			return r;
	}
	d->introduced = s->flags & DROVER_DOMAIN_INTRODUCED;
	d->shutdown = s->flags & DROVER_DOMAIN_SHUTDOWN;
	d->orphans = s->flags & DROVER_DOMAIN_ORPHANS;
	d->quiesced = s->flags & DROVER_DOMAIN_QUIESCED;
	d->edges_lost |= (s->flags & DROVER_DOMAIN_EDGES_LOST) != 0;
	d->unique = s->unique;
	d->gfn = s->gfn;
	d->remote_port = s->remote_port;
	d->local_port = s->local_port;
	d->features = s->features;
	d->counters = s->counters;
	domain_restore_target(d, target);
	for (uint32_t q = 0; q < s->limits.n && q < QUOTA_COUNT; q++) {
		limit = drover_limit_at(&s->limits, q);
		d->budget.limits.hard[q] = limit.hard;
		d->budget.limits.soft[q] = limit.soft;
		d->budget.own_limit[q] = limit.own;
	}
	return 0;
}

static int load_domain_gone(struct state_load *l, uint16_t domid)
{
	struct core *core = l->core;
	struct domain *d = domain_find(&core->domains, domid);

	if (!d || !domid || d->conn)
		return load_fail(l, "domain %u, which is to go, is %s", domid,
				 d ? "connected" : "not known");
	store_settle(&core->store);
	if (d->budget.used[QUOTA_NODES] || d->budget.used[QUOTA_MEMORY])
		return load_fail(l, "domain %u, which is to go, owns nodes", domid);
	domain_forget(&core->domains, d);
	return 0;
}

static int load_death(struct state_load *l, const struct drover_death *s)
{
	struct ledger *ledger = &l->core->domains.ledger;

	ledger->death_of[s->domid] = s->count;
	if (ledger->deaths < s->count)
		ledger->deaths = s->count;
	return 0;
}

static int load_policy(struct state_load *l, const struct drover_policy *s)
{
	struct quota_limits *limits = &l->core->opt.policy->limits;
	struct drover_policy_limit limit;

	for (uint32_t q = 0; q < s->limits.n && q < QUOTA_COUNT; q++) {
		limit = drover_policy_limit_at(&s->limits, q);
		limits->hard[q] = limit.hard;
		limits->soft[q] = limit.soft;
	}
	return 0;
}

/* Names that we do not know are another daemon's own affair. */
static void load_names(const struct drover_list *values, uint32_t first, uint32_t n, size_t *pos,
		       const struct drover_octets *names,
		       void (*set)(void *data, enum quota_id q, uint64_t v), void *data)
{
	enum quota_id q;
	const char *name;
	size_t len;

	for (uint32_t i = first; i < first + n && drover_name_next(names, pos, &name, &len); i++)
		if (!quota_find(name, len, &q))
			set(data, q, drover_u32_at(values, i));
}

static void set_policy(void *data, enum quota_id q, uint64_t v)
{
	((struct quota_limits *)data)->hard[q] = v;
}

static void set_own(void *data, enum quota_id q, uint64_t v)
{
	struct budget *b = data;

	b->own_limit[q] = v != b->policy->limits.hard[q];
	b->limits.hard[q] = v;
}

static int load_quota(struct state_load *l, const struct drover_quota *rec)
{
	size_t pos = 0;

	load_names(&rec->values, 0, rec->n_dom, &pos, &rec->names, set_policy,
		   &l->core->opt.policy->limits);
	return 0;
}

static int load_domain(struct state_load *l, const struct drover_domain *rec)
{
	struct domain *d;
	size_t pos = 0;
	int r;

	r = domain_restore(&l->core->domains, rec->domid, &d);
	if (r || l->has_state)
		return r;
	load_names(&rec->values, 0, rec->values.n, &pos, &rec->names, set_own, &d->budget);
	return 0;
}

/* --- all --------------------------------------------------------------------------------- */

static int load_state(struct state_load *l, const struct drover_state *s)
{
	struct core *core = l->core;

	if (core->conns.next_id < s->next_conn_id)
		core->conns.next_id = s->next_conn_id;
	core->domains.ledger.deaths = s->deaths;
	l->has_state = true;
	/* what the former process handed out as generations never comes again */
	core->store.gen = s->store_gen;
	l->host.started_ms = s->started_ms;
	return 0;
}

static int load_host(struct state_load *l, const struct drover_host *h)
{
	if (h->path.len >= sizeof(l->host.trace_path))
		return load_fail(l, "a trace file's name has %zu octets", h->path.len);
	l->host.has_trace = true;
	l->host.trace_on = h->flags & DROVER_HOST_TRACE;
	memcpy(l->host.trace_path, h->path.data, h->path.len);
	l->host.trace_path[h->path.len] = '\0';
	return 0;
}

static int load_global(struct state_load *l, const struct drover_global *g)
{
	l->host.socket_fd = g->socket_fd;
	l->host.evtchn_fd = g->evtchn_fd;
	return 0;
}

int state_load_put(struct state_load *l, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_END:
		return state_load_settle(l);
	case DROVER_RECORD_GLOBAL:
		return load_global(l, &rec->global);
	case DROVER_RECORD_CONNECTION:
		return load_connection(l, &rec->connection);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return load_watch(l, &rec->watch, false);
	case DROVER_RECORD_UNWATCH:
		return load_watch(l, &rec->watch, true);
	case DROVER_RECORD_TXN:
		return load_txn(l, &rec->txn);
	case DROVER_RECORD_NODE:
		return load_node(l, &rec->node);
	case DROVER_RECORD_QUOTA:
		return load_quota(l, &rec->quota);
	case DROVER_RECORD_DOMAIN:
		return load_domain(l, &rec->domain);
	case DROVER_RECORD_STATE:
		return load_state(l, &rec->state);
	case DROVER_RECORD_CONN_STATE:
		return load_conn_state(l, &rec->conn_state);
	case DROVER_RECORD_CONN_GONE:
		return load_conn_gone(l, &rec->conn_gone);
	case DROVER_RECORD_TXN_STATE:
		return load_txn_state(l, &rec->txn_state);
	case DROVER_RECORD_TXN_END:
		return load_txn_end(l, &rec->txn);
	case DROVER_RECORD_TXN_ACCESS:
		return load_txn_access(l, &rec->txn_access);
	case DROVER_RECORD_TXN_BASE_NODE:
		return load_base_node(l, &rec->node);
	case DROVER_RECORD_TXN_CHARGE:
		return load_txn_charge(l, &rec->txn_charge);
	case DROVER_RECORD_DOMAIN_STATE:
		return load_domain_state(l, &rec->domain_state);
	case DROVER_RECORD_DOMAIN_GONE:
		return load_domain_gone(l, rec->domain_gone.domid);
	case DROVER_RECORD_DEATH:
		return load_death(l, &rec->death);
	case DROVER_RECORD_PERMS_STRIP:
		perm_table_strip(l->core->perms, rec->perms_strip.domid);
		l->last_raw_len = 0;
		return 0;
	case DROVER_RECORD_POLICY:
		return load_policy(l, &rec->policy);
	case DROVER_RECORD_HOST:
		return load_host(l, &rec->host);
	default:
		return 0; /* COMMIT, and what another daemon added */
	}
}

struct core *state_load_take(struct state_load *l)
{
	struct core *core = l->core;

	if (l->last_perms)
		perms_release(core->perms, TAKE(l->last_perms));
	tree_build_fini(&l->build);
	store_settle(&core->store);
	l->taken = true;
	return core;
}
