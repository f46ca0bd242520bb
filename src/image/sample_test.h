/* SPDX-License-Identifier: MIT */
/*
 * Records of every type for the image's tests, and a record as text, to compare two by.
 */
#ifndef DROVER_IMAGE_SAMPLE_TEST_H
#define DROVER_IMAGE_SAMPLE_TEST_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "drover/image.h"

#define STR(s)                                                                                     \
	{                                                                                          \
		(s), sizeof(s) - 1                                                                 \
	}
/* Octets and how many; the NUL that the compiler adds is none of them. */
#define OCTETS(s) s, sizeof(s) - 1
#define LIST(a)                                                                                    \
	{                                                                                          \
		.entry = (a), .n = ARRAY_LEN(a)                                                    \
	}

static const struct drover_image_format sample_formats[] = {
	{ DROVER_LAYOUT_UPSTREAM, 1, false }, { DROVER_LAYOUT_UPSTREAM, 1, true },
	{ DROVER_LAYOUT_UPSTREAM, 2, false }, { DROVER_LAYOUT_UPSTREAM, 2, true },
	{ DROVER_LAYOUT_SEED, 1, false },     { DROVER_LAYOUT_SEED, 1, true },
	{ DROVER_LAYOUT_SEED, 2, false },     { DROVER_LAYOUT_SEED, 2, true },
};

static const struct drover_perm sample_perms[] = { { 'n', 0, 7 },
						   { 'r', 0, 0 },
						   { 'b', DROVER_PERM_STALE, 0x1234 } };
static const struct drover_limit sample_limits[] = { { 1000, 0, 0, 0 },
						     { UINT64_MAX, 0x0102030405060708u, 1, 0 } };
static const struct drover_policy_limit sample_policy[] = { { 1000, 0 }, { 1, UINT64_MAX } };
static const struct drover_word sample_words[] = {
	{ .id = 0x0102030405060708u, .io_word = 0x1112131415161718u, .slot = 0x01020304 },
	{ .id = 2, .io_word = UINT64_MAX, .slot = 3 },
};
static const uint32_t sample_values[] = { 0, 1, UINT32_MAX };

/* Where a sample can be expressed. */
#define IN_SEED 1u
#define IN_V1 2u
#define ANYWHERE (IN_SEED | IN_V1)

struct sample {
	unsigned int where;
	struct drover_record rec;
};

static const struct sample samples[] = {
	{ ANYWHERE, { .type = DROVER_RECORD_END } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_GLOBAL,
	    .global = { .socket_fd = 5, .ro_socket_fd = -1, .evtchn_fd = -1 } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_GLOBAL,
	    .global = { .socket_fd = -1, .ro_socket_fd = -1, .evtchn_fd = 0x01020304 } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 1,
			    .kind = DROVER_CONN_RING,
			    .domid = 7,
			    .tdomid = DROVER_DOMID_NONE,
			    .evtchn = 0x01020304 } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 0xa1b2c3d4,
			    .kind = DROVER_CONN_RING,
			    .flags = DROVER_CONN_UNIQUE_ID,
			    .domid = 7,
			    .tdomid = 8,
			    .evtchn = 9,
			    .unique_id = 0x0102030405060708u,
			    .input = STR("\0in"),
			    .output = STR("out\0o"),
			    .resp_len = 3 } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 2,
			    .kind = DROVER_CONN_SOCKET,
			    .fd = 17,
			    .input = STR("partial request") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 2,
			    .kind = DROVER_CONN_SOCKET,
			    .fd = -1,
			    .output = STR("reply") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_WATCH,
	    .watch = { .conn_id = 2,
		       .depth = DROVER_DEPTH_ANY,
		       .path = STR("/local/domain/7/data"),
		       .token = STR("a token") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_WATCH,
	    .watch = { .conn_id = 2,
		       .depth = DROVER_DEPTH_ANY,
		       .path = STR("@releaseDomain"),
		       .token = STR("") } } },
	{ 0,
	  { .type = DROVER_RECORD_WATCH_DEPTH,
	    .watch = { .conn_id = 2, .depth = 0x0102, .path = STR("data"), .token = STR("t") } } },
	{ 0,
	  { .type = DROVER_RECORD_WATCH_DEPTH,
	    .watch = { .conn_id = 2,
		       .depth = DROVER_DEPTH_ANY,
		       .path = STR("/"),
		       .token = STR("") } } },
	{ ANYWHERE, { .type = DROVER_RECORD_TXN, .txn = { 2, 0x01020304 } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = { .entry = sample_perms, .n = 2 },
		      .path = STR("/local/domain/7"),
		      .value = STR("va\0lue") } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = LIST(sample_perms), .path = STR("@releaseDomain") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .conn_id = 2,
		      .tx_id = 3,
		      .access = DROVER_ACCESS_READ | DROVER_ACCESS_WRITTEN,
		      .perms = { .entry = sample_perms, .n = 1 },
		      .path = STR("/"),
		      .value = STR("1") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .conn_id = 2, .tx_id = 3, .path = STR("/local") } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_QUOTA,
	    .quota = { .n_dom = 2,
		       .n_glob = 1,
		       .values = LIST(sample_values),
		       .names = { "nodes\0watches\0soft\0", 19 } } } },
	{ IN_V1, { .type = DROVER_RECORD_QUOTA } },
	{ 0,
	  { .type = DROVER_RECORD_DOMAIN,
	    .domain = { .domid = 7,
			.features = 0x01020304,
			.values = { .entry = sample_values, .n = 1 },
			.names = { "nodes\0", 6 } } } },
	{ IN_V1, { .type = DROVER_RECORD_DOMAIN, .domain = { .domid = 7 } } },

	{ ANYWHERE,
	  { .type = DROVER_RECORD_STATE,
	    .state = { 1, 2, 0x0304050607080910u, 4, 5, 6, { 7, 8 } } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_CONN_STATE,
	    .conn_state = { .conn_id = 1,
			    .flags = DROVER_CONN_STATE_QUIESCED,
			    .next_tx = 3,
			    .slot = 4,
			    .peer_id = 0x0102030405060708u,
			    .domid = 7,
			    .id = 0x1112131415161718u } } },
	{ ANYWHERE, { .type = DROVER_RECORD_CONN_GONE, .conn_gone = { 0x01020304 } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_UNWATCH,
	    .watch = { .conn_id = 2,
		       .depth = DROVER_DEPTH_ANY,
		       .path = STR("/a"),
		       .token = STR("t") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_TXN_STATE,
	    .txn_state = { .conn_id = 1,
			   .tx_id = 2,
			   .flags = DROVER_TXN_DOOMED,
			   .deaths_at_start = 0x0102030405060708u,
			   .charge = 5 } } },
	{ ANYWHERE, { .type = DROVER_RECORD_TXN_END, .txn = { 2, 3 } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_TXN_ACCESS,
	    .txn_access = { 2, 3, 0x0102, 0x0304, STR("/a/b") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_TXN_BASE_NODE,
	    .node = { .conn_id = 2,
		      .tx_id = 3,
		      .perms = { .entry = sample_perms, .n = 2 },
		      .path = STR("/a"),
		      .value = STR("x") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_TXN_BASE_NODE,
	    .node = { .conn_id = 2, .tx_id = 3, .path = STR("/a/b") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_DOMAIN_STATE,
	    .domain_state = { 7, DROVER_DOMAIN_SHUTDOWN, DROVER_TARGET_NONE, 0x0102030405060708u, 5,
			      6, 7, 8, 9, LIST(sample_limits) } } },
	{ ANYWHERE, { .type = DROVER_RECORD_DOMAIN_GONE, .domain_gone = { 0x0102 } } },
	{ ANYWHERE, { .type = DROVER_RECORD_PERMS_STRIP, .perms_strip = { 7 } } },
	{ ANYWHERE, { .type = DROVER_RECORD_COMMIT, .commit = { 9, LIST(sample_words) } } },
	{ ANYWHERE, { .type = DROVER_RECORD_COMMIT, .commit = { .seq = UINT64_MAX } } },
	{ ANYWHERE, { .type = DROVER_RECORD_POLICY, .policy = { 1, LIST(sample_policy) } } },
	{ ANYWHERE, { .type = DROVER_RECORD_TXN_CHARGE, .txn_charge = { 2, 3, UINT64_MAX - 1 } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_HOST, .host = { DROVER_HOST_TRACE, STR("/var/log/t") } } },
	{ ANYWHERE, { .type = DROVER_RECORD_HOST } },
	{ ANYWHERE, { .type = DROVER_RECORD_DEATH, .death = { 7, 0x0102030405060708u } } },
	{ ANYWHERE, { .type = 0x7777, .raw = STR("a body\0") } },
};

static inline bool sample_fits(const struct sample *s, const struct drover_image_format *f)
{
	return (s->where & IN_SEED || f->layout != DROVER_LAYOUT_SEED) &&
	       (s->where & IN_V1 || f->version > 1);
}

/* ---- a record as text ---- */

struct text {
	size_t len;
	char str[4096];
};

static inline __attribute__((format(printf, 2, 3))) void say(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->str + t->len, sizeof(t->str) - t->len, fmt, args);
	va_end(args);
	t->len += (size_t)n;
	if (t->len >= sizeof(t->str))
		t->len = sizeof(t->str) - 1;
}

static inline void say_octets(struct text *t, const struct drover_octets *o)
{
	const unsigned char *p = o->data;

	say(t, " %zu:", o->len);
	for (size_t i = 0; i < o->len; i++)
		say(t, p[i] > ' ' && p[i] < 127 ? "%c" : "\\x%02x", p[i]);
}

static inline void say_node(struct text *t, const struct drover_node *n)
{
	say(t, " conn %u tx %u access %u", n->conn_id, n->tx_id, n->access);
	for (uint32_t i = 0; i < n->perms.n; i++) {
		struct drover_perm p = drover_perm_at(&n->perms, i);

		say(t, " %c%u/%u", p.letter, p.domid, p.flags);
	}
	say_octets(t, &n->path);
	say_octets(t, &n->value);
}

static inline void say_connection(struct text *t, const struct drover_connection *c)
{
	say(t,
	    " %u kind %u flags %u dom %u,%u evtchn %u mfn %" PRIu64 " id %" PRIu64 " fd %d resp %u",
	    c->conn_id, c->kind, c->flags, c->domid, c->tdomid, c->evtchn, c->mfn, c->unique_id,
	    c->fd, c->resp_len);
	say_octets(t, &c->input);
	say_octets(t, &c->output);
}

static inline void say_values(struct text *t, const struct drover_list *l)
{
	for (uint32_t i = 0; i < l->n; i++)
		say(t, " %u", drover_u32_at(l, i));
}

static inline void say_domain_state(struct text *t, const struct drover_domain_state *s)
{
	say(t, " %u %u %u %" PRIu64 " %" PRIu64 " %u %u %u %u", s->domid, s->flags, s->target,
	    s->unique, s->gfn, s->remote_port, s->local_port, s->features, s->counters);
	for (uint32_t i = 0; i < s->limits.n; i++) {
		struct drover_limit l = drover_limit_at(&s->limits, i);

		say(t, " %" PRIu64 "/%" PRIu64 "/%u", l.hard, l.soft, l.own);
	}
}

static inline void say_commit(struct text *t, const struct drover_commit *c)
{
	say(t, " %" PRIu64, c->seq);
	for (uint32_t i = 0; i < c->words.n; i++) {
		struct drover_word w = drover_word_at(&c->words, i);

		say(t, " %u/%" PRIx64 "=%" PRIx64, w.slot, w.id, w.io_word);
	}
}

static inline void say_policy(struct text *t, const struct drover_policy *p)
{
	say(t, " %u", p->flags);
	for (uint32_t i = 0; i < p->limits.n; i++) {
		struct drover_policy_limit l = drover_policy_limit_at(&p->limits, i);

		say(t, " %" PRIu64 "/%" PRIu64, l.hard, l.soft);
	}
}

static inline void say_state(struct text *t, const struct drover_state *s)
{
	say(t, " %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
	    s->journal_version, s->flags, s->next_conn_id, s->store_gen, s->deaths, s->started_ms,
	    s->spare[0], s->spare[1]);
}

static inline void say_own(struct text *t, const struct drover_record *r)
{
	switch (r->type) {
	case DROVER_RECORD_STATE:
		return say_state(t, &r->state);
	case DROVER_RECORD_CONN_STATE:
		return say(t, " %u %u %u %u %" PRIu64 " %u %" PRIu64, r->conn_state.conn_id,
			   r->conn_state.flags, r->conn_state.next_tx, r->conn_state.slot,
			   r->conn_state.peer_id, r->conn_state.domid, r->conn_state.id);
	case DROVER_RECORD_CONN_GONE:
		return say(t, " %u", r->conn_gone.conn_id);
	case DROVER_RECORD_TXN_STATE:
		return say(t, " %u %u %u %" PRIu64 " %" PRIu64, r->txn_state.conn_id,
			   r->txn_state.tx_id, r->txn_state.flags, r->txn_state.deaths_at_start,
			   r->txn_state.charge);
	case DROVER_RECORD_TXN_ACCESS:
		say(t, " %u %u %u %u", r->txn_access.conn_id, r->txn_access.tx_id,
		    r->txn_access.saw, r->txn_access.wrote);
		return say_octets(t, &r->txn_access.path);
	case DROVER_RECORD_TXN_CHARGE:
		return say(t, " %u %u %" PRIu64, r->txn_charge.conn_id, r->txn_charge.tx_id,
			   r->txn_charge.octets);
	case DROVER_RECORD_DOMAIN_STATE:
		return say_domain_state(t, &r->domain_state);
	case DROVER_RECORD_DOMAIN_GONE:
		return say(t, " %u", r->domain_gone.domid);
	case DROVER_RECORD_PERMS_STRIP:
		return say(t, " %u", r->perms_strip.domid);
	case DROVER_RECORD_COMMIT:
		return say_commit(t, &r->commit);
	case DROVER_RECORD_POLICY:
		return say_policy(t, &r->policy);
	case DROVER_RECORD_HOST:
		say(t, " %u", r->host.flags);
		return say_octets(t, &r->host.path);
	case DROVER_RECORD_DEATH:
		return say(t, " %u %" PRIu64, r->death.domid, r->death.count);
	default:
		return say_octets(t, &r->raw);
	}
}

static inline void describe(struct text *t, const struct drover_record *r)
{
	t->len = 0;
	say(t, "%x", r->type);
	switch (r->type) {
	case DROVER_RECORD_END:
		break;
	case DROVER_RECORD_GLOBAL:
		return say(t, " %d %d %d", r->global.socket_fd, r->global.ro_socket_fd,
			   r->global.evtchn_fd);
	case DROVER_RECORD_CONNECTION:
		return say_connection(t, &r->connection);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
	case DROVER_RECORD_UNWATCH:
		say(t, " %u depth %u", r->watch.conn_id, r->watch.depth);
		say_octets(t, &r->watch.path);
		return say_octets(t, &r->watch.token);
	case DROVER_RECORD_TXN:
	case DROVER_RECORD_TXN_END:
		return say(t, " %u %u", r->txn.conn_id, r->txn.tx_id);
	case DROVER_RECORD_NODE:
	case DROVER_RECORD_TXN_BASE_NODE:
		return say_node(t, &r->node);
	case DROVER_RECORD_QUOTA:
		say(t, " %u %u", r->quota.n_dom, r->quota.n_glob);
		say_values(t, &r->quota.values);
		return say_octets(t, &r->quota.names);
	case DROVER_RECORD_DOMAIN:
		say(t, " %u %u", r->domain.domid, r->domain.features);
		say_values(t, &r->domain.values);
		return say_octets(t, &r->domain.names);
	default:
		return say_own(t, r);
	}
}

#endif
