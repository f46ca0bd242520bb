/* SPDX-License-Identifier: MIT */
/*
 * The oracle when a daemon dies: its model goes back to what was committed last, and on with the
 * daemon that took over. Invariant: what was saved shares nothing with the model that is changed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"
#include "oracle_msg.h"

static void *copy_of(const void *data, size_t len)
{
	void *p = malloc(len ? len : 1);

	assert(p);
	if (len)
		memcpy(p, data, len);
	return p;
}

static struct mwatch *copy_watches(const struct mwatch *x)
{
	struct mwatch *first = NULL, **at = &first;

	for (; x; x = x->next) {
		*at = copy_of(x, sizeof(*x));
		(*at)->path = copy_of(x->path, strlen(x->path) + 1);
		(*at)->token = copy_of(x->token, strlen(x->token) + 1);
		at = &(*at)->next;
	}
	return first;
}

static struct maccess *copy_accesses(const struct maccess *a)
{
	struct maccess *first = NULL, **at = &first;

	for (; a; a = a->next) {
		*at = copy_of(a, sizeof(*a) + a->len);
		at = &(*at)->next;
	}
	return first;
}

static struct mtxn *copy_txns(const struct mtxn *t)
{
	struct mtxn *first = NULL, **at = &first;

	for (; t; t = t->next) {
		*at = copy_of(t, sizeof(*t));
		mtree_copy(&(*at)->base, &t->base);
		mtree_copy(&(*at)->tree, &t->tree);
		(*at)->access = copy_accesses(t->access);
		at = &(*at)->next;
	}
	return first;
}

static struct mconn *copy_conn(const struct mconn *c)
{
	struct mconn *to = copy_of(c, sizeof(*c));

	to->watch = copy_watches(c->watch);
	to->txn = copy_txns(c->txn);
	to->msg = copy_of(c->msg, c->n_msgs * sizeof(*c->msg));
	to->msg_room = c->n_msgs;
	for (size_t i = 0; i < c->n_msgs; i++)
		to->msg[i].payload = copy_of(c->msg[i].payload, c->msg[i].hdr.len);
	/* what is expected at once is not expected any more when something is final */
	to->want = NULL;
	to->n_want = to->want_room = 0;
	return to;
}

static void copy_perms(struct mperms *p)
{
	p->entry = copy_of(p->entry, p->n * sizeof(*p->entry));
}

static void model_copy(struct model *to, const struct model *from)
{
	struct mconn **at = &to->conns;

	*to = *from;
	mtree_copy(&to->live, &from->live);
	copy_perms(&to->introduce_perms);
	copy_perms(&to->release_perms);
	for (const struct mconn *c = from->conns; c; c = c->next) {
		*at = copy_conn(c);
		at = &(*at)->next;
	}
	*at = NULL;
}

void oracle_save(struct oracle *o)
{
	if (!o)
		return;
	oracle_unsave(o);
	model_copy(&o->saved, &o->m);
	o->has_saved = true;
	for (size_t i = 0; i < WORLD_PEERS; i++)
		o->w->peer[i].taken = 0;
}

void oracle_unsave(struct oracle *o)
{
	if (o->has_saved)
		model_fini(&o->saved);
	o->has_saved = false;
}

void oracle_rollback(struct oracle *o)
{
	if (!o)
		return;
	assert(o->has_saved);
	model_fini(&o->m);
	model_copy(&o->m, &o->saved);
	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &o->w->peer[i];

		p->asks.at -= p->taken;
		p->taken = 0;
	}
}

/* --- who took over --------------------------------------------------------------------------- */

static struct conn *find(const struct oracle *o, uint64_t id)
{
	struct conn *c;

	list_for_each(c, &o->w->core->conns.all, all)
		if (c->id == id)
			return c;
	return NULL;
}

/* Octets that were sent and that the peer has not read. */
static uint64_t on_the_way(const struct oracle *o, const struct mconn *c)
{
	const struct xenstore_domain_interface *r;

	if (!c->is_ring)
		return c->peer ? stream_left(&c->peer->back) : 0;
	r = fake_hv_page(&o->w->hv, c->domid);
	return r ? r->rsp_prod - r->rsp_cons - c->skip : 0;
}

/* The connections as they are now; those of who is gone are none any more. */
static void map_conns(struct oracle *o)
{
	struct mconn *c, *next;

	for (c = o->m.conns; c; c = next) {
		next = c->next;
		c->conn = find(o, c->id);
		c->waits_since = 0;
		for (size_t i = 0; i < c->n_msgs; i++)
			c->msg[i].queued_ms = o->w->now_ms; /* how old they are is not kept */
		if (c->conn)
			continue;
		if (c->is_ring) {
			const struct fake_domain *d = &o->w->hv.dom[c->domid];

			/* its domain's death is looked at below */
			if (d->exists && !d->dying && d->unique == o->m.dom[c->domid].unique &&
			    !o->faults && !o->w->violations)
				world_fail(o->w, "the ring of domain %u was lost", c->domid);
		} else if (!c->peer->hung_up && !o->faults && !o->w->violations) {
			world_fail(o->w, "connection %lu was lost", (unsigned long)c->id);
		}
		model_conn_free(&o->m, c);
	}
}

/* Where what was queued by the taking over itself begins. */
static void note_queued(struct oracle *o)
{
	for (struct mconn *c = o->m.conns; c; c = c->next) {
		size_t queued = conn_queued(c->conn).octets;
		uint64_t left = c->end - c->read - on_the_way(o, c);

		/* begun anew, which is told when the round is over: it may never have been */
		if (c->conn->failed || (c->restarting && !c->conn->watcher.n && !c->conn->n_txns))
			model_conn_forget(c);
		c->q_before = queued;
		if (c->unread || c->restarting || c->conn->failed) {
			c->unread |= !c->restarting;
			oracle_msgs_clear(c);
			continue;
		}
		if (left > queued) {
			world_fail(o->w,
				   "connection %lu of domain %u has %zu octets to be sent, of %lu",
				   (unsigned long)c->id, c->domid, queued, (unsigned long)left);
			left = queued;
		}
		c->q_before = left;
	}
}

/*
 * Of whose reading nothing is known: all that is queued is taken for what it was, up to what is
 * expected.
 */
static void guess_queued(struct oracle *o, struct mconn *c)
{
	const size_t head = sizeof(struct xsd_sockmsg);
	struct conn_queued q = conn_queued(c->conn);
	size_t expected = 0;

	for (size_t i = 0; i < c->n_want; i++)
		expected += head + c->want[i].hdr.len;
	c->q_before = q.octets > expected ? q.octets - expected : 0;
	oracle_peek(o, c->conn, q.octets);
	c->end = q.partial;
	while (c->end + head <= c->q_before)
		oracle_append(o, c, o->peek + c->end);
}

void oracle_recovered(struct oracle *o)
{
	if (!o)
		return;
	map_conns(o);
	note_queued(o);
	o->w->core->conns.handle = oracle_hook;
	model_dom_look_all(&o->m);
	for (struct mconn *c = o->m.conns; c; c = c->next)
		if (c->unread && !c->conn->failed)
			guess_queued(o, c);
	oracle_judge_all(o);
	oracle_compare(o);
}
