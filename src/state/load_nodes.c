/* SPDX-License-Identifier: MIT */
/*
 * Nodes and transactions from records. Invariant: while nodes are still apart (building) nothing
 * looks at the tree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "domain/restore.h"
#include "state/load_types.h"
#include "state/rec.h"

static int entry_of(struct state_load *l, struct drover_perm p, struct perm *ret)
{
	switch (p.letter) {
	case 'n':
		ret->bits = 0;
		break;
	case 'r':
		ret->bits = PERM_READ;
		break;
	case 'w':
		ret->bits = PERM_WRITE;
		break;
	case 'b':
		ret->bits = PERM_READ | PERM_WRITE;
		break;
	default:
		return load_fail(l, "access letter 0x%02x", p.letter);
	}
	ret->domid = p.domid;
	return 0;
}

/* Entries that name who is gone (C marks them stale) are left out: they grant nothing. */
static int intern(struct state_load *l, const struct drover_list *list, struct perms **ret)
{
	struct perm entry[STATE_PERMS_MAX];
	uint32_t n = 0;
	int r;

	for (uint32_t i = 0; i < list->n; i++) {
		struct drover_perm p = drover_perm_at(list, i);

		if (i && p.flags & DROVER_PERM_STALE)
			continue;
		r = entry_of(l, p, &entry[n++]);
		if (r)
			return r;
	}
	return perms_intern(l->core->perms, entry, n, ret);
}

int load_perms(struct state_load *l, const struct drover_list *list, struct perms **ret)
{
	size_t len = list->n * sizeof(struct drover_perm);
	int r;

	if (!list->n || list->n > STATE_PERMS_MAX)
		return load_fail(l, "an access list has %u entries", list->n);
	if (len == l->last_raw_len && !list->foreign && !memcmp(list->entry, l->last_raw, len)) {
		*ret = perms_take(l->last_perms);
		return 0;
	}
	r = intern(l, list, ret);
	if (r)
		return r;
	if (l->last_perms)
		perms_release(l->core->perms, TAKE(l->last_perms));
	l->last_raw_len = 0;
	if (len <= sizeof(l->last_raw) && !list->foreign) {
		memcpy(l->last_raw, list->entry, len);
		l->last_raw_len = len;
		l->last_perms = perms_take(*ret);
	}
	return 0;
}

int state_load_settle(struct state_load *l)
{
	int r;

	if (!l->building)
		return 0;
	l->building = false;
	r = tree_build_end(&l->build);
	return r == EEXIST ? load_fail(l, "a node comes twice") : r;
}

/* What a tree's node at p is to be: content, or n NULL to go. */
static int edit(struct state_load *l, struct tree *t, const struct path *p,
		const struct drover_node *n, struct perms *perms, struct node **ret_gone)
{
	struct store *s = &l->core->store;
	struct store_pos pos;
	bool same_perms;
	int r = 0;

	store_find(t->root, p->str, p->len, &pos);
	*ret_gone = NULL;
	if (!perms) {
		if (!pos.node || p->len == 1)
			return load_fail(l, "node %s, which is to go, is not there", p->str);
		return tree_remove(s, t, p->str, p->len, ret_gone);
	}
	if (!pos.node && pos.missing > 1)
		return load_fail(l, "node %s comes before its parent", p->str);
	if (!pos.node)
		return tree_create(s, t, p->str, p->len, perms, n->value.data, n->value.len);
	same_perms = pos.node->perms == perms;
	if (pos.node->value_len != n->value.len ||
	    memcmp(node_value(pos.node), n->value.data, n->value.len))
		r = tree_set_value(s, t, p->str, p->len, n->value.data, n->value.len);
	if (!r && !same_perms)
		r = tree_set_perms(s, t, p->str, p->len, perms);
	return r;
}

static int load_special(struct state_load *l, const struct drover_node *n)
{
	struct domain_table *t = &l->core->domains;
	const char *name = n->path.data;
	struct perms **special, *perms;
	int r;

	if (n->path.len == strlen("@introduceDomain") && !memcmp(name, "@introduceDomain", 16))
		special = &t->introduce_perms;
	else if (n->path.len == strlen("@releaseDomain") && !memcmp(name, "@releaseDomain", 14))
		special = &t->release_perms;
	else
		return load_fail(l, "special path %.*s is not known",
				 (int)(n->path.len < 100 ? n->path.len : 100), name);
	r = load_perms(l, &n->perms, &perms);
	if (!r)
		domain_set_special(t, special, perms);
	return r;
}

/* The next node of a whole tree. */
static int build(struct state_load *l, const struct path *p, const struct drover_node *n,
		 struct perms *perms)
{
	int r;

	r = tree_build_add(&l->build, p->str, p->len, perms, n->value.data, n->value.len);
	if (r == EEXIST)
		return load_fail(l, "node %s comes twice", p->str);
	return r;
}

static int load_committed(struct state_load *l, const struct drover_node *n)
{
	struct store *s = &l->core->store;
	struct perms *perms = NULL;
	struct node *gone = NULL;
	struct domain *owner;
	struct path p;
	int r;

	r = load_path(l, NULL, &n->path, &p);
	if (!r && n->value.len > XENSTORE_PAYLOAD_MAX)
		r = load_fail(l, "node %s has a value of %zu octets", p.str, n->value.len);
	if (!r && n->perms.n)
		r = load_perms(l, &n->perms, &perms);
	/* every owner has a budget; a snapshot's nodes may be of one who is gone */
	if (!r && perms)
		r = domain_restore(&l->core->domains, perms_owner(perms), &owner);
	if (r) {
		if (perms)
			perms_release(l->core->perms, perms);
		return r;
	}
	r = ENOENT;
	if (l->building && perms && p.len > 1)
		r = build(l, &p, n, perms);
	if (r == ENOENT) {
		/* a change, the root, or a node out of order */
		r = p.len == 1 && perms && !l->build.n ? 0 : state_load_settle(l);
		if (!r)
			r = edit(l, &s->live, &p, n, perms, &gone);
		store_discard(s, gone, true);
	}
	if (perms)
		perms_release(l->core->perms, perms);
	return r;
}

static int find_txn(struct state_load *l, uint32_t conn_id, uint32_t tx_id, struct txn **ret)
{
	struct load_conn *c = load_find_conn(l, conn_id);

	*ret = c ? txn_find(&c->conn->txns, tx_id) : NULL;
	if (*ret)
		return 0;
	return load_fail(l, "transaction %u of connection %u is not known", tx_id, conn_id);
}

/* A node of a transaction's own tree. */
static int load_pending(struct state_load *l, const struct drover_node *n)
{
	struct store *s = &l->core->store;
	struct perms *perms = NULL;
	struct node *gone = NULL;
	uint64_t retained;
	struct txn *t;
	struct path p;
	int r;

	r = find_txn(l, n->conn_id, n->tx_id, &t);
	if (!r)
		r = load_path(l, NULL, &n->path, &p);
	if (!r && n->perms.n)
		r = load_perms(l, &n->perms, &perms);
	retained = s->heap.retained;
	if (!r)
		r = edit(l, &t->tree, &p, n, perms, &gone);
	/* its own copies are its own charge: see op_edited */
	s->heap.retained = retained;
	if (gone)
		txn_removed(s, t, gone);
	if (perms)
		perms_release(l->core->perms, perms);
	return r;
}

int load_node(struct state_load *l, const struct drover_node *n)
{
	int r;

	if (n->path.len && *(const char *)n->path.data == '@')
		return load_special(l, n);
	if (!n->conn_id && !n->tx_id)
		return load_committed(l, n);
	r = state_load_settle(l);
	return r ? r : load_pending(l, n);
}

int load_base_node(struct state_load *l, const struct drover_node *n)
{
	struct store *s = &l->core->store;
	struct tree base = { 0 };
	struct perms *perms = NULL;
	struct node *gone = NULL;
	uint64_t retained = s->heap.retained;
	struct txn *t;
	struct path p;
	int r;

	r = state_load_settle(l);
	if (!r)
		r = find_txn(l, n->conn_id, n->tx_id, &t);
	if (!r)
		r = load_path(l, NULL, &n->path, &p);
	if (!r && n->perms.n)
		r = load_perms(l, &n->perms, &perms);
	if (r)
		return r;
	if (t->base) {
		/* its own tree starts as the snapshot: nothing was done to it yet */
		if (t->tree.root != t->base)
			return load_fail(l, "transaction %u began before its snapshot", t->id);
		t->tree.root->refs--;
		base.root = t->base;
		r = edit(l, &base, &p, n, perms, &gone);
		store_discard(s, gone, false);
		t->base = base.root;
		t->tree.root = node_take(t->base);
	}
	s->heap.retained = retained;
	if (perms)
		perms_release(l->core->perms, perms);
	return r;
}

static int start(struct state_load *l, struct load_conn *c, uint32_t tx_id, struct txn **ret)
{
	int r;

	if (!tx_id)
		return load_fail(l, "transaction number 0 of connection %u", c->conn_id);
	r = state_load_settle(l);
	if (r)
		return r;
	r = core_start_txn(l->core, c->conn, tx_id, ret);
	if (!r && c->conn->next_tx < tx_id)
		c->conn->next_tx = tx_id;
	return r;
}

/*
 * Known by its number alone: another daemon's. What it saw there is not known, so it ends in
 * EAGAIN, unless a TXN_STATE follows that says all.
 */
int load_txn(struct state_load *l, const struct drover_txn *rec)
{
	struct load_conn *c = load_find_conn(l, rec->conn_id);
	struct txn *t;
	int r;

	if (!c)
		return load_fail(l, "transaction of connection %u, which is not known",
				 rec->conn_id);
	if (txn_find(&c->conn->txns, rec->tx_id))
		return load_fail(l, "transaction %u of connection %u comes twice", rec->tx_id,
				 rec->conn_id);
	r = start(l, c, rec->tx_id, &t);
	if (!r)
		txn_doom(&l->core->store, &l->core->ages, t);
	return r;
}

int load_txn_state(struct state_load *l, const struct drover_txn_state *rec)
{
	struct load_conn *c = load_find_conn(l, rec->conn_id);
	struct txn *t;
	int r = 0;

	if (!c)
		return load_fail(l, "transaction of connection %u, which is not known",
				 rec->conn_id);
	t = txn_find(&c->conn->txns, rec->tx_id);
	if (t && t->doomed && !(rec->flags & DROVER_TXN_DOOMED)) {
		/* it was only named so far: now all that it saw follows */
		if (l->chain == t)
			l->chain = NULL;
		txn_free(&l->core->store, &c->conn->txns, t);
		c->conn->n_txns--;
		t = NULL;
	}
	if (!t)
		r = start(l, c, rec->tx_id, &t);
	if (r)
		return r;
	t->deaths_at_start = rec->deaths_at_start;
	t->serial = rec->serial;
	if (rec->flags & DROVER_TXN_CHAINED) {
		if (!l->chain || !l->chain->base || t->base == NULL)
			return load_fail(l, "transaction %u starts from none", rec->tx_id);
		store_discard(&l->core->store, t->base, false);
		store_discard(&l->core->store, t->tree.root, false);
		t->base = node_take(l->chain->base);
		t->tree.root = node_take(l->chain->base);
	}
	l->chain = t;
	if (rec->flags & DROVER_TXN_DOOMED && !t->doomed)
		txn_doom(&l->core->store, &l->core->ages, t);
	t->wrote |= (rec->flags & DROVER_TXN_WROTE) != 0;
	txn_charge(t, rec->charge);
	return 0;
}

int load_txn_access(struct state_load *l, const struct drover_txn_access *a)
{
	uint64_t *limit, was;
	struct txn *t;
	struct path p;
	int r;

	r = find_txn(l, a->conn_id, a->tx_id, &t);
	if (!r)
		r = load_path(l, NULL, &a->path, &p);
	if (r)
		return r;
	/* a limit that was lowered since does not undo what was granted before */
	limit = &t->budget->limits.hard[QUOTA_TRANSACTION_NODES];
	was = *limit;
	*limit = 0;
	r = txn_note(t, p.str, p.len, a->saw, a->wrote);
	*limit = was;
	return r;
}

int load_txn_charge(struct state_load *l, const struct drover_txn_charge *c)
{
	struct txn *t;
	int r;

	r = find_txn(l, c->conn_id, c->tx_id, &t);
	if (!r)
		txn_charge(t, c->octets);
	return r;
}

int load_txn_end(struct state_load *l, const struct drover_txn *rec)
{
	struct load_conn *c = load_find_conn(l, rec->conn_id);
	struct txn *t;
	int r;

	r = find_txn(l, rec->conn_id, rec->tx_id, &t);
	if (r)
		return r;
	l->chain = NULL;
	txn_free(&l->core->store, &c->conn->txns, t);
	c->conn->n_txns--;
	return 0;
}
