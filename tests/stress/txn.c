/* SPDX-License-Identifier: MIT */
/*
 * A client's two transactions: a brief one on what all share, and one on a node of its own that
 * is held open for long.
 *
 * Invariant: the ledger (load.account, load.counter) is changed when a commit is acknowledged,
 * and at no other time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/stress/client.h"

#define BRIEF_ONE_IN 8u
#define HELD_ONE_IN 16u
#define HELD_MIN_NS 200000000u
#define HELD_MAX_NS 3000000000u
#define GUEST_HELD_MAX_NS 800000000u /* before TXN_RETAINED_MAX comes, most of the time */

static void node_path(const struct client *c, const struct txn *t, unsigned int i, char *ret,
		      size_t size)
{
	if (t == &c->held)
		snprintf(ret, size, "%s/held", c->home);
	else if (t->kind == SHORT_COUNT)
		snprintf(ret, size, "/stress/counter/%u", t->node[i]);
	else
		snprintf(ret, size, "/stress/account/%u", t->node[i]);
}

static void step(struct client *c, struct txn *t, uint32_t type, unsigned int i, const char *value)
{
	char path[96] = "";
	struct expect *e;

	if (type != XS_TRANSACTION_START)
		node_path(c, t, i, path, sizeof(path));
	e = client_ask_node(c, t == &c->held ? EXPECT_HELD : EXPECT_SHORT, type, t->id, path, value,
			    strlen(value));
	e->key = i;
}

static void end(struct client *c, struct txn *t)
{
	t->state = TXN_ENDING;
	client_ask(c, t == &c->held ? EXPECT_HELD : EXPECT_SHORT, XS_TRANSACTION_END, t->id, "T",
		   2);
}

static void start(struct client *c, struct txn *t, uint64_t now)
{
	t->state = TXN_STARTING;
	t->id = 0;
	t->n_done = 0;
	t->failed = false;
	t->started_ns = now;
	step(c, t, XS_TRANSACTION_START, 0, "");
}

static void brief_choose(struct client *c, struct txn *t)
{
	uint32_t what = prng_below(&c->prng, 10);

	t->kind = what < 6 ? SHORT_TRANSFER : what < 9 ? SHORT_COUNT : SHORT_AUDIT;
	t->amount = (long)prng_below(&c->prng, 1000) + 1;
	t->n_nodes = 2;
	t->node[0] = prng_below(&c->prng, LOAD_ACCOUNTS);
	t->node[1] = t->node[0] ^ 1u;
	if (t->kind == SHORT_COUNT) {
		t->n_nodes = 1;
		t->node[0] = prng_below(&c->prng, LOAD_COUNTERS);
		t->amount = 1;
	} else if (t->kind == SHORT_AUDIT) {
		t->n_nodes = LOAD_AUDIT;
		for (unsigned int i = 0; i < LOAD_AUDIT; i++)
			t->node[i] = i;
	}
}

/*
 * A daemon that loses transactions may give their numbers anew: then a client has one at a time,
 * and hears of its loss before it starts the next.
 */
static bool may_start(const struct client *c, const struct txn *t)
{
	const struct txn *other = t == &c->held ? &c->brief : &c->held;

	return t->state == TXN_IDLE && !c->load->draining && !c->load->calm &&
	       (c->load->strict || other->state == TXN_IDLE);
}

void txn_turn(struct client *c, uint64_t now)
{
	if (may_start(c, &c->brief) && prng_once_in(&c->prng, BRIEF_ONE_IN)) {
		brief_choose(c, &c->brief);
		start(c, &c->brief, now);
	}
	if (may_start(c, &c->held) && (c->load->strict || prng_once_in(&c->prng, HELD_ONE_IN))) {
		c->held.until_ns = now + HELD_MIN_NS +
				   prng_below(&c->prng, c->domid ? GUEST_HELD_MAX_NS : HELD_MAX_NS);
		c->held.let_go = false;
		c->held.version = c->held_version + 1;
		start(c, &c->held, now);
	}
	if (c->held.state == TXN_OPEN && (c->load->calm || now >= c->held.until_ns)) {
		c->held.state = TXN_READING;
		step(c, &c->held, XS_READ, 0, "");
	}
}

bool txn_idle(const struct client *c)
{
	/* One that is only held open changes nothing that others see. */
	return c->brief.state == TXN_IDLE &&
	       (c->held.state == TXN_IDLE || c->held.state == TXN_OPEN);
}

bool txn_none(const struct client *c)
{
	return c->brief.state == TXN_IDLE && c->held.state == TXN_IDLE;
}

/* A refusal that a transaction may meet: 0 is returned for any other. */
static bool may_lose(struct client *c, const struct expect *e, int err)
{
	if (err == EAGAIN && e->type == XS_TRANSACTION_END && e->kind == EXPECT_SHORT) {
		c->load->conflicts++;
		return true;
	}
	if (err == EAGAIN && e->type == XS_TRANSACTION_END && c->held.let_go) {
		c->load->lost++;
		return true;
	}
	if (!c->load->strict && (err == ENOENT || err == EAGAIN || err == EBUSY)) {
		c->load->lost++;
		return true;
	}
	client_fail(c, "operation %u of a transaction%s: %s", e->type,
		    e->kind == EXPECT_HELD ? " on a node of its own" : "", strerror(err));
	return false;
}

/* The writes that what was read leads to; at once the end where there are none. */
static void brief_decide(struct client *c, struct txn *t)
{
	char value[24];

	if (t->kind == SHORT_AUDIT) {
		end(c, t);
		return;
	}
	t->state = TXN_WRITING;
	t->n_done = 0;
	for (unsigned int i = 0; i < t->n_nodes; i++) {
		snprintf(value, sizeof(value), "%ld",
			 t->value[i] + (i || t->kind == SHORT_COUNT ? t->amount : -t->amount));
		step(c, t, XS_WRITE, i, value);
	}
}

static void brief_committed(struct client *c, struct txn *t)
{
	struct load *l = c->load;

	l->commits++;
	t->state = TXN_IDLE;
	if (t->kind == SHORT_COUNT) {
		l->counter[t->node[0]] += t->amount;
	} else if (t->kind == SHORT_TRANSFER) {
		l->account[t->node[0]] -= t->amount;
		l->account[t->node[1]] += t->amount;
	} else {
		l->audits++;
		for (unsigned int i = 0; i < LOAD_AUDIT; i += 2)
			if (t->value[i] + t->value[i + 1] != 2 * ACCOUNT_START)
				client_fail(c, "one state has accounts %u and %u at %ld and %ld", i,
					    i + 1, t->value[i], t->value[i + 1]);
	}
}

static void brief_reply(struct client *c, const struct expect *e, const struct message *m)
{
	struct txn *t = &c->brief;
	char text[24] = "";

	switch (t->state) {
	case TXN_STARTING:
		t->id = (uint32_t)strtoul(m->body, NULL, 10);
		t->state = TXN_READING;
		for (unsigned int i = 0; i < t->n_nodes; i++)
			step(c, t, XS_READ, i, "");
		break;
	case TXN_READING:
		memcpy(text, m->body, m->head.len < 23 ? m->head.len : 23);
		t->value[e->key] = strtol(text, NULL, 10);
		if (++t->n_done == t->n_nodes)
			brief_decide(c, t);
		break;
	case TXN_WRITING:
		if (++t->n_done == t->n_nodes)
			end(c, t);
		break;
	default:
		brief_committed(c, t);
	}
}

static void held_reply(struct client *c, const struct message *m, uint64_t now)
{
	struct txn *t = &c->held;
	char value[24];

	snprintf(value, sizeof(value), "%u", t->version);
	switch (t->state) {
	case TXN_STARTING:
		t->id = (uint32_t)strtoul(m->body, NULL, 10);
		t->state = TXN_WRITING;
		step(c, t, XS_WRITE, 0, value);
		break;
	case TXN_WRITING:
		t->state = TXN_OPEN;
		break;
	case TXN_READING:
		t->let_go = m->head.len != strlen(value) || memcmp(m->body, value, m->head.len);
		/* a guest's may be let go of (TXN_RETAINED_MAX): it must not be committed then */
		if (t->let_go && !c->domid)
			client_fail(c, "held open, it reads %.*s, not %s", (int)m->head.len,
				    m->body, value);
		end(c, t);
		break;
	default:
		if (t->let_go)
			client_fail(c, "committed, but it read something else than %s", value);
		t->state = TXN_IDLE;
		c->held_version = t->version;
		c->load->held++;
		if (now - t->started_ns > c->load->longest_held_ns)
			c->load->longest_held_ns = now - t->started_ns;
	}
}

void txn_reply(struct client *c, const struct expect *e, int err, const struct message *m)
{
	struct txn *t = e->kind == EXPECT_HELD ? &c->held : &c->brief;

	if (!err && !t->failed) {
		if (t == &c->held)
			held_reply(c, m, now_ns());
		else
			brief_reply(c, e, m);
		return;
	}
	if (err && !may_lose(c, e, err))
		return;
	/* Of several requests under way, the last one's reply gives it up. */
	t->failed = true;
	if (t->state == TXN_READING || t->state == TXN_WRITING) {
		if (++t->n_done < (t == &c->held ? 1 : t->n_nodes))
			return;
	}
	t->state = TXN_IDLE;
}
