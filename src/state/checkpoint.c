/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints. Invariant: conn[] holds connections that exist, or NULL; at is a watch that exists
 * of conn[i], or NULL.
 */
#include "state/checkpoint.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/own.h"
#include "store/walk.h"

struct state_checkpoint {
	struct core *core; /* borrowed */
	struct state_sink base;
	struct node *root; /* owned reference */
	struct tree_walk walk;
	bool nodes_done;
	const struct conn **conn; /* owned array of borrowed: those whose watches are to come */
	size_t n_conns;
	size_t i;
	const struct watch *at; /* borrowed: the next one of conn[i]; NULL: not begun */
};

static int put_domains(const struct state_sink *s, struct core *core)
{
	struct domain *d;
	int r;

	list_for_each(d, &core->domains.all, all) {
		r = rec_put_domain_state(s, d);
		if (r)
			return r;
	}
	return 0;
}

/* Deaths that an open transaction may ask for. */
static int put_deaths(const struct state_sink *s, const struct core *core)
{
	const struct ledger *l = &core->domains.ledger;
	int r = 0;

	for (uint32_t i = 0; l->deaths && i <= UINT16_MAX && !r; i++)
		if (l->death_of[i])
			r = rec_put_death(s, (uint16_t)i, l->death_of[i]);
	return r;
}

static int put_special(const struct state_sink *s, const struct core *core)
{
	int r = rec_put_special(s, "@releaseDomain", core->domains.release_perms);

	return r ? r : rec_put_special(s, "@introduceDomain", core->domains.introduce_perms);
}

static int put_conns(struct state_checkpoint *cp)
{
	struct conn_table *t = &cp->core->conns;
	struct conn *c;
	int r;

	cp->conn = calloc(t->n + 1, sizeof(struct conn *));
	if (!cp->conn)
		return FAULT(-ENOMEM);
	list_for_each(c, &t->all, all) {
		if (c->closing)
			continue;
		r = rec_put_conn_state(&cp->base, c);
		if (r)
			return r;
		if (c->watcher.n)
			cp->conn[cp->n_conns++] = c;
	}
	return 0;
}

int state_checkpoint_new(struct core *core, const struct state_host *host,
			 const struct state_sink *base, const struct state_sink *log,
			 struct state_checkpoint **ret)
{
	struct state_checkpoint *cp = calloc(1, sizeof(*cp));
	int r;

	if (!cp)
		return FAULT(-ENOMEM);
	cp->core = core;
	cp->base = *base;
	cp->root = node_take(core->store.live.root);
	tree_walk_init(&cp->walk, cp->root, "/", 1);
	r = rec_put_state(base, core, host->started_ms);
	if (!r)
		r = rec_put_host(base, host->trace_on, host->trace_path);
	if (!r)
		r = rec_put_policy(base, core->opt.policy);
	if (!r)
		r = put_domains(base, core);
	if (!r)
		r = put_deaths(base, core);
	if (!r)
		r = put_special(base, core);
	if (!r)
		r = put_conns(cp);
	if (!r)
		r = rec_put_txns(log, core, false);
	if (r) {
		state_checkpoint_free(cp);
		return r;
	}
	*ret = cp;
	return 0;
}

void state_checkpoint_free(struct state_checkpoint *cp)
{
	if (!cp)
		return;
	tree_walk_fini(&cp->walk);
	store_discard(&cp->core->store, cp->root, false);
	free(cp->conn);
	free(cp);
}

static int step_node(struct state_checkpoint *cp)
{
	const struct node *n = tree_walk_next(&cp->walk);

	if (n)
		return rec_put_node(&cp->base, 0, 0, cp->walk.path.str, cp->walk.path.len, n);
	if (cp->walk.failed)
		return FAULT(-ENOMEM);
	cp->nodes_done = true;
	return 0;
}

static int step_watch(struct state_checkpoint *cp)
{
	const struct watch *w = cp->at;

	if (!w && cp->conn[cp->i])
		w = watch_first(&cp->conn[cp->i]->watcher);
	if (!w) {
		cp->i++;
		return 0;
	}
	cp->at = watch_next(w);
	if (!cp->at)
		cp->i++;
	return rec_put_watch(&cp->base, w, false, false);
}

int state_checkpoint_step(struct state_checkpoint *cp, size_t max)
{
	static const struct drover_record end = { .type = DROVER_RECORD_END };
	int r = 0;

	for (size_t i = 0; i < max && !r; i++) {
		if (!cp->nodes_done)
			r = step_node(cp);
		else if (cp->i < cp->n_conns)
			r = step_watch(cp);
		else
			return cp->base.put(cp->base.data, &end);
	}
	return r ? r : 1;
}

void state_checkpoint_watch_gone(struct state_checkpoint *cp, const struct watch *w)
{
	if (cp->at != w)
		return;
	cp->at = watch_next(w);
	if (!cp->at)
		cp->i++;
}

void state_checkpoint_conn_gone(struct state_checkpoint *cp, const struct conn *c)
{
	for (size_t i = cp->i; i < cp->n_conns; i++) {
		if (cp->conn[i] != c)
			continue;
		cp->conn[i] = NULL;
		if (i == cp->i && cp->at) {
			cp->at = NULL;
			cp->i++;
		}
	}
}
