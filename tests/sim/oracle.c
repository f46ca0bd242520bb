/* SPDX-License-Identifier: MIT */
/*
 * The oracle stands between the connections and the operations: each request that the daemon
 * takes is answered by the model, too, and what was queued for whom is compared at once.
 * Invariant: between two requests every connection's queue is exactly the messages kept here.
 */
#include "oracle.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "model.h"
#include "op/op.h"
#include "oracle_msg.h"

struct oracle *oracle_new(struct world *w)
{
	struct oracle *o = calloc(1, sizeof(*o));
	struct conn *c;

	assert(o);
	o->w = w;
	model_init(&o->m, w);
	w->core->conns.handle = oracle_hook;
	list_for_each(c, &w->core->conns.all, all)
		model_conn_new(&o->m, c);
	return o;
}

void oracle_free(struct oracle *o)
{
	if (!o)
		return;
	oracle_unsave(o);
	model_fini(&o->m);
	free(o->peek);
	free(o);
}

void oracle_conn_new(struct oracle *o, struct conn *c)
{
	struct mconn *x;

	if (!o)
		return;
	x = model_conn_new(&o->m, c);
	for (size_t i = 0; i < WORLD_PEERS; i++)
		if (o->w->peer[i].used && o->w->peer[i].conn == c)
			x->peer = &o->w->peer[i];
}

/* --- before and after something happens ----------------------------------------------------------
 */

static uint64_t refusals(const struct oracle *o, unsigned int kind)
{
	uint64_t n = 0;
	struct domain *d;

	list_for_each(d, &o->w->core->domains.all, all)
		n += d->budget.counters->refused[kind];
	return n;
}

static void before(struct oracle *o)
{
	for (struct mconn *c = o->m.conns; c; c = c->next) {
		c->q_before = conn_queued(c->conn).octets;
		c->drops = c->conn->watcher.budget->counters->refused[REFUSAL_EVENT_DROPPED];
	}
	o->refused = refusals(o, QUOTA_MEMORY);
	o->touches = refusals(o, QUOTA_TRANSACTION_NODES);
	o->failed = alloc_has_failed();
	o->deaths = o->m.deaths;
}

static bool is_deaf(const struct mconn *c)
{
	return c->restarting || c->conn->closing || c->conn->failed;
}

void oracle_judge_all(struct oracle *o)
{
	bool fault = alloc_has_failed() && !o->failed;

	/* who once had no memory to note where a domain's nodes are may not find the topmost first
	 */
	fault |= o->faults && o->m.deaths != o->deaths;
	for (struct mconn *c = o->m.conns; c; c = c->next) {
		if (is_deaf(c))
			oracle_msgs_clear(c);
		else
			oracle_match(o, c, fault);
	}
}

/* --- one request
 * ---------------------------------------------------------------------------------- */

/* What the daemon answered: its error, 0: none; -1: nothing was queued. */
static int actual_reply(struct oracle *o, struct mconn *c)
{
	size_t size = conn_queued(c->conn).octets, at = c->q_before;
	struct xsd_sockmsg hdr;

	if (is_deaf(c) || size <= at)
		return -1;
	oracle_peek(o, c->conn, size);
	for (; at + sizeof(hdr) <= size; at += sizeof(hdr) + hdr.len) {
		memcpy(&hdr, o->peek + at, sizeof(hdr));
		if (hdr.type == XS_ERROR)
			return wire_errno_value((char *)o->peek + at + sizeof(hdr));
		if (hdr.type != XS_WATCH_EVENT)
			return 0;
	}
	return -1;
}

/* After a failed allocation: what a request did before it failed, but for the tree. */
static void resync(struct oracle *o)
{
	for (uint16_t d = 1; d < MODEL_DOMIDS; d++) {
		struct domain *core = domain_find(&o->w->core->domains, d);

		if (core && !o->m.dom[d].known)
			model_dom_get(&o->m, d);
		if (o->m.dom[d].introduced && core && !core->introduced) {
			struct mconn *c, *next;

			for (c = o->m.conns; c; c = next) {
				next = c->next;
				if (c->is_ring && c->domid == d)
					model_conn_free(&o->m, c);
			}
			o->m.dom[d].introduced = false;
		}
	}
}

/* The request was refused for want of memory, ours or the domain's: nothing happened. */
static void refused_whole(struct oracle *o, struct mconn *c, const struct wire_msg *msg)
{
	struct mtxn **at;

	c->last_tx = c->conn->next_tx;
	for (at = &c->txn; *at && (*at)->id != msg->hdr.tx_id; at = &(*at)->next)
		;
	if (*at && msg->hdr.type == XS_TRANSACTION_END) {
		struct mtxn *t = *at;

		*at = t->next;
		mtxn_free(t);
	} else if (*at) {
		(*at)->fuzzy = true;
	}
	resync(o);
}

static void expect_reply(struct oracle *o, struct mconn *c, const struct wire_msg *msg, int err,
			 const struct mreply *reply)
{
	struct xsd_sockmsg hdr = msg->hdr;
	const char *text = err ? wire_errno_name(err) : "OK";
	bool has_data = reply->len || msg->hdr.type == XS_READ || msg->hdr.type == XS_DIRECTORY;

	o->own_check = !err && reply->own_check;
	o->reply = reply;
	hdr.type = err ? XS_ERROR : msg->hdr.type;
	if (!err && has_data) {
		hdr.len = o->own_check ? 0 : (uint32_t)reply->len;
		model_expect(&o->m, c, &hdr, reply->data);
		return;
	}
	hdr.len = (uint32_t)strlen(text) + 1;
	model_expect(&o->m, c, &hdr, text);
}

static bool is_fuzzy(const struct mconn *c, uint32_t tx_id)
{
	const struct mtxn *t;

	for (t = c->txn; t && t->id != tx_id; t = t->next)
		;
	return t && t->fuzzy;
}

static void judge(struct oracle *o, struct mconn *c, const struct wire_msg *msg)
{
	static struct mreply reply;
	bool fault = alloc_has_failed() && !o->failed;
	bool short_of =
		refusals(o, QUOTA_MEMORY) != o->refused ||
		(is_fuzzy(c, msg->hdr.tx_id) && refusals(o, QUOTA_TRANSACTION_NODES) != o->touches);
	int actual = actual_reply(o, c), err;
	uint64_t id = c->id;
	unsigned int first = ++o->m.group;

	memset(&reply, 0, offsetof(struct mreply, data));
	reply.actual = actual < 0 ? 0 : actual;
	if ((fault && actual == ENOMEM) || (short_of && actual == ENOSPC)) {
		err = actual;
		refused_whole(o, c, msg);
	} else {
		err = model_request(&o->m, c, msg, &reply);
	}
	for (c = o->m.conns; c && c->id != id; c = c->next)
		;
	if (fault)
		resync(o);
	if (c && !is_deaf(c)) {
		if (msg->hdr.type == XS_RELEASE)
			o->reply_group = first;
		else
			o->reply_group = ++o->m.group;
		expect_reply(o, c, msg, err, &reply);
		c->want[c->n_want - 1].group = o->reply_group;
		if (msg->hdr.type == XS_WATCH && !err)
			oracle_first_event(o, c, msg);
	}
	oracle_judge_all(o);
}

static void note_wait(struct oracle *o, struct mconn *c)
{
	uint64_t now = o->w->now_ms;

	if (!c->waits_since)
		c->waits_since = now;
	else if (now > c->waits_since + HOLD_WAIT_MS * 2)
		world_fail(o->w, "domain %u waits since %lu ms", c->domid,
			   (unsigned long)(now - c->waits_since));
}

static void say(const struct oracle *o, const struct conn *c, const struct wire_msg *m, bool done)
{
	char text[160];
	size_t n = m->hdr.len < sizeof(text) - 1 ? m->hdr.len : sizeof(text) - 1;

	if (!o->w->verbose)
		return;
	for (size_t i = 0; i < n; i++)
		text[i] = m->payload[i] < ' ' || m->payload[i] > '~' ? '|' : m->payload[i];
	text[n] = '\0';
	printf("# %lu: conn %lu domain %u tx %u %s %s%s\n", (unsigned long)o->w->now_ms,
	       (unsigned long)c->id, c->watcher.domid, m->hdr.tx_id, wire_type_name(m->hdr.type),
	       text, done ? "" : " (waits)");
}

/* What the daemon has taken is what its peer sent, octet by octet. */
static void compare_request(struct oracle *o, const struct mconn *c, const struct wire_msg *msg)
{
	struct peer *p = c->peer;
	size_t len = sizeof(msg->hdr) + msg->hdr.len;

	for (size_t i = 0; c->is_ring && i < WORLD_PEERS; i++)
		if (o->w->peer[i].used && o->w->peer[i].is_ring && o->w->peer[i].domid == c->domid)
			p = &o->w->peer[i];
	if (!p || p->raw || p->lossy)
		return;
	if (stream_left(&p->asks) < len || memcmp(stream_head(&p->asks), &msg->hdr, 16) ||
	    memcmp(stream_head(&p->asks) + sizeof(msg->hdr), msg->payload, msg->hdr.len)) {
		world_fail(o->w, "connection %lu: a request is not what was sent",
			   (unsigned long)c->id);
		p->raw = true;
		return;
	}
	stream_drop(&p->asks, len);
	p->taken += len;
}

bool oracle_hook(void *data, struct conn *c, const struct wire_msg *msg)
{
	struct core *core = data;
	struct world *w = core->opt.control_data;
	struct oracle *o = w->oracle;
	struct wire_msg known = *msg;
	struct mconn *x;
	bool done;

	/* operations of a domain that moves have tests of their own; the model knows none */
	if (c->watcher.privileged && msg->hdr.type >= WIRE_VENDOR_FIRST &&
	    msg->hdr.type < WIRE_VENDOR_END)
		known.hdr.type = WIRE_VENDOR_FIRST - 1;
	alloc_pause();
	x = model_conn(&o->m, c);
	assert(x);
	before(o);
	o->requests++;
	oracle_note(o, &c->id, sizeof(c->id));
	oracle_note(o, msg->payload, msg->hdr.len);
	alloc_resume();
	done = op_handle(o->w->core, c, &known);
	alloc_pause();
	say(o, c, msg, done);
	if (done) {
		x->waits_since = 0;
		compare_request(o, x, msg);
		judge(o, x, msg);
	} else {
		note_wait(o, x);
		oracle_judge_all(o);
	}
	alloc_resume();
	return done;
}

/* --- rounds
 * --------------------------------------------------------------------------------------- */

void oracle_before_events(struct oracle *o)
{
	if (!o)
		return;
	before(o);
	o->looks = o->w->hv.changed;
	for (size_t i = 0; i < FAKE_DOMIDS; i++)
		o->changed[i] = o->w->hv.dom[i].changed;
}

void oracle_after_events(struct oracle *o)
{
	struct model *m;

	if (!o)
		return;
	m = &o->m;
	for (uint16_t d = 0; o->looks && !o->w->hv.tell_all && d < MODEL_DOMIDS; d++)
		if (o->changed[d])
			model_dom_look(m, d);
	/* who cannot say which domains changed has all looked at, as they became known */
	if (o->looks && o->w->hv.tell_all)
		model_dom_look_all(m);
	oracle_judge_all(o);
}

void oracle_before_round(struct oracle *o)
{
	if (!o)
		return;
	before(o);
	conn_tick(&o->w->core->conns, o->w->now_ms);
	for (struct mconn *c = o->m.conns; c; c = c->next)
		if (!is_deaf(c) && conn_queued(c->conn).octets != c->q_before)
			oracle_stale(o, c);
}

static bool core_has(const struct oracle *o, uint64_t id)
{
	struct conn *c;

	list_for_each(c, &o->w->core->conns.all, all)
		if (c->id == id)
			return true;
	return false;
}

void oracle_after_round(struct oracle *o)
{
	struct mconn *c, *next;

	if (!o)
		return;
	o->faults |= alloc_has_failed();
	for (c = o->m.conns; c; c = next) {
		next = c->next;
		if (!core_has(o, c->id) || c->conn->closing) {
			if (!(c->peer && c->peer->hung_up) && !o->faults && !o->w->violations)
				world_fail(o->w, "connection %lu of domain %u is gone",
					   (unsigned long)c->id, c->domid);
			model_conn_free(&o->m, c);
			continue;
		}
		if (c->restarting && !c->conn->failed && fake_hv_page(&o->w->hv, c->domid) &&
		    ((struct xenstore_domain_interface *)fake_hv_page(&o->w->hv, c->domid))
				    ->connection == XENSTORE_CONNECTED) {
			c->restarting = c->unread = false;
			model_conn_forget(c);
			oracle_msgs_clear(c);
		}
		if (!c->conn->failed)
			continue;
		if (!c->unread && !o->faults && !o->w->violations)
			world_fail(o->w, "the ring of domain %u failed", c->domid);
		c->unread = true;
		model_conn_forget(c);
		oracle_msgs_clear(c);
	}
}

void oracle_restart(struct oracle *o, struct conn *c)
{
	struct mconn *x = o ? model_conn(&o->m, c) : NULL;

	if (x)
		x->restarting = true;
}

void oracle_spoilt(struct oracle *o, struct conn *c)
{
	struct mconn *x = o ? model_conn(&o->m, c) : NULL;

	if (x)
		x->unread = true;
}

uint32_t oracle_txn(const struct oracle *o, const struct conn *c, uint32_t any)
{
	struct mconn *x = o && c ? model_conn((struct model *)(uintptr_t)&o->m, c) : NULL;
	uint32_t n = 0;
	struct mtxn *t;

	for (t = x ? x->txn : NULL; t; t = t->next)
		n++;
	if (!n)
		return 0;
	for (t = x->txn, any %= n; any; any--)
		t = t->next;
	return t->id;
}

uint64_t oracle_digest(const struct oracle *o)
{
	return o->digest;
}
