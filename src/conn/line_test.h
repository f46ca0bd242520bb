/* SPDX-License-Identifier: MIT */
/*
 * A connection over a line in memory: what the peer has sent and not yet been read, what it was
 * sent, and how much of that the line takes.
 */
#ifndef DROVER_CONN_LINE_TEST_H
#define DROVER_CONN_LINE_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conn/conn.h"
#include "conn/out.h"

#define LINE_MAX_OCTETS (1u << 20)
#define LINES 4u

struct line {
	uint8_t in[LINE_MAX_OCTETS / 4];
	uint8_t out[LINE_MAX_OCTETS];
	size_t in_len, out_len;
	size_t out_room; /* out_len up to which octets are taken */
	bool want_read, want_write;
	bool freed;
	struct budget budget;
	struct conn *conn;
};

struct bench {
	struct conn_table t;
	struct quota_policy policy;
	struct perm_table *perms;
	struct store store;
	struct watch_index watches;
	struct hold_table holds;
	struct line line[LINES];
	uint64_t now_ms;
	/* what the handler was given, in order: "<line>:<type>:<payload> " */
	char handled[LINE_MAX_OCTETS];
	size_t n_handled;
	bool hold; /* the handler says: not now */
	bool mute; /* no reply */
};

static inline ssize_t line_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	struct line *l = transport;
	size_t n = l->in_len < room ? l->in_len : room;

	memcpy(buf, l->in, n);
	memmove(l->in, l->in + n, l->in_len - n);
	l->in_len -= n;
	conn_cell_note(cell, n);
	return (ssize_t)n;
}

static inline ssize_t line_send(void *transport, struct conn_cell *cell, const void *buf,
				size_t len)
{
	struct line *l = transport;
	size_t n = l->out_room - l->out_len;

	n = n < len ? n : len;
	memcpy(l->out + l->out_len, buf, n);
	l->out_len += n;
	conn_cell_note(cell, n);
	return (ssize_t)n;
}

static inline void line_want(void *transport, bool read, bool write)
{
	struct line *l = transport;

	l->want_read = read;
	l->want_write = write;
}

static inline void line_free(void *transport)
{
	((struct line *)transport)->freed = true;
}

static inline bool bench_handle(void *data, struct conn *c, const struct wire_msg *m)
{
	struct bench *b = data;
	struct line *l = c->transport;
	size_t at;

	if (b->hold)
		return false;
	at = strlen(b->handled);
	snprintf(b->handled + at, sizeof(b->handled) - at, "%d:%u:%.*s ", (int)(l - b->line),
		 m->hdr.req_id, (int)m->hdr.len, m->payload);
	b->n_handled++;
	if (!b->mute)
		conn_reply(c, &m->hdr, m->hdr.type, m->payload, m->hdr.len);
	return true;
}

static inline struct bench *bench_new(void)
{
	static const struct transport_ops ops = {
		.recv = line_recv, .send = line_send, .want = line_want, .free = line_free
	};
	static const struct siphash_key key = { 9, 10 };
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	quota_policy_init(&b->policy);
	hold_table_init(&b->holds);
	b->perms = perm_table_new(&key);
	b->store.heap.perms = b->perms;
	assert_int_equal(watch_index_init(&b->watches), 0);
	b->t.holds = &b->holds;
	b->t.store = &b->store;
	b->t.watches = &b->watches;
	b->t.handle = bench_handle;
	b->t.data = b;
	b->t.key = key;
	assert_int_equal(conn_table_init(&b->t, NULL), 0);
	for (uint16_t i = 0; i < LINES; i++) {
		struct line *l = &b->line[i];

		budget_init(&l->budget, &b->policy, i, NULL); /* line 0 is the control domain's */
		l->want_read = true;
		l->out_room = sizeof(l->out);
		assert_int_equal(conn_new(&b->t, &ops, l, &l->budget, !i, 0, &l->conn), 0);
	}
	return b;
}

/* Makes a line that of a guest: its ring's limits hold. */
static inline struct conn *bench_guest(struct bench *b, unsigned int i)
{
	b->line[i].conn->domain = (struct domain *)(void *)b; /* only whether there is one counts */
	return b->line[i].conn;
}

/* Every charge has been given back. */
static inline void bench_free(struct bench *b)
{
	conn_table_fini(&b->t);
	for (unsigned int i = 0; i < LINES; i++) {
		assert_true(b->line[i].freed);
		budget_fini(&b->line[i].budget);
	}
	watch_index_fini(&b->watches);
	perm_table_free(b->perms);
	free(b);
}

static inline void bench_run(struct bench *b)
{
	unsigned int n = 0;

	while (conn_round(&b->t, b->now_ms))
		assert_in_range(n++, 0, 10000);
}

static inline void line_push(struct bench *b, unsigned int i, const void *data, size_t len)
{
	struct line *l = &b->line[i];

	assert_in_range(l->in_len + len, 0, sizeof(l->in));
	memcpy(l->in + l->in_len, data, len);
	l->in_len += len;
	conn_wake(l->conn);
}

static inline size_t request(uint8_t *buf, uint32_t id, const void *payload, size_t len)
{
	const struct xsd_sockmsg h = { .type = XS_READ, .req_id = id, .len = (uint32_t)len };

	memcpy(buf, &h, sizeof(h));
	if (len)
		memcpy(buf + sizeof(h), payload, len);
	return sizeof(h) + len;
}

static inline void line_ask(struct bench *b, unsigned int i, uint32_t id, const char *payload)
{
	uint8_t buf[WIRE_HEADER_SIZE + XENSTORE_PAYLOAD_MAX];

	line_push(b, i, buf, request(buf, id, payload, strlen(payload)));
}

#endif
