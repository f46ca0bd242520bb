/* SPDX-License-Identifier: MIT */
/*
 * A process that serves two sockets and a ring and may die: what it leaves is its area, the ring's
 * page, what the peers have sent and got, and a log of what was committed. From that another one
 * goes on.
 */
#ifndef DROVER_CONN_DEATH_TEST_H
#define DROVER_CONN_DEATH_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/own.h"
#include "base/prng.h"
#include "conn/conn.h"
#include "conn/out.h"
#include "conn/ring.h"

#define BOOT "this one"
#define PEERS 3u /* two sockets and a ring */
#define RING 2u
#define REQUESTS 12u /* of each peer */
#define STEPS 70u
#define STREAM_MAX 16384u
#define PAGE 4096u
#define TELL 0x1000u /* in the request id of what another peer is told */

/* What a peer sends, all of it, and what it has got so far. */
struct peer {
	size_t pushed, read; /* of its stream */
	uint8_t out[STREAM_MAX];
	size_t out_len, out_room;
};

/* What the log holds. */
struct log {
	uint64_t seq;
	struct conn_word words[PEERS];
	size_t n;
	uint32_t effect[PEERS * REQUESTS];
	uint64_t id[PEERS];
	uint32_t slot[PEERS];
	uint32_t refused;
};

struct world {
	/* what a death leaves: peers, what they are about to do, the log; and the files */
	struct peer peer[PEERS];
	unsigned int step;
	struct log log;
	int fd;
	struct xenstore_domain_interface *page;
	/* the process */
	struct area *area;
	struct conn_table t;
	struct quota_policy policy;
	struct perm_table *perms;
	struct store store;
	struct watch_index watches;
	struct hold_table holds;
	struct budget budget;
	struct conn *conn[PEERS]; /* NULL: gone */
	uint32_t effect[PEERS * REQUESTS];
	bool changed;
	bool mute;    /* neighbours are not told */
	bool in_call; /* within what the kernel does at once */
	unsigned int depth;
	uint32_t deadly; /* the handler dies of this request; UINT32_MAX: of none */
};

static uint8_t stream[PEERS][STREAM_MAX];
static size_t stream_len[PEERS];
static struct world *here; /* who runs */
static uint64_t script;	   /* which one the peers follow */

static jmp_buf death;

/* --- peers ------------------------------------------------------------------------------- */

static inline uint32_t request_type(uint32_t id)
{
	static const uint32_t types[] = { XS_READ,  XS_WRITE, XS_READ, XS_READ,
					  XS_WATCH, XS_WRITE, XS_READ, XS_MKDIR };

	return types[id % ARRAY_LEN(types)];
}

static inline size_t request_len(uint32_t id)
{
	static const size_t lens[] = { 0, 3, 40, 1, 700, 9, 130, 0, 17, 1500, 5 };

	return lens[id % ARRAY_LEN(lens)];
}

static inline size_t message_make(uint8_t *buf, uint32_t type, uint32_t id)
{
	const struct xsd_sockmsg h = { .type = type,
				       .req_id = id,
				       .len = (uint32_t)request_len(id & ~TELL) };

	memcpy(buf, &h, sizeof(h));
	memset(buf + sizeof(h), (int)id, h.len);
	return sizeof(h) + h.len;
}

static inline void streams_make(void)
{
	for (uint32_t p = 0; p < PEERS; p++) {
		stream_len[p] = 0;
		for (uint32_t i = 0; i < REQUESTS; i++) {
			uint32_t id = p * REQUESTS + i;

			stream_len[p] +=
				message_make(stream[p] + stream_len[p], request_type(id), id);
		}
	}
}

static inline struct peer *peer_of(void *transport)
{
	return transport;
}

/* As the kernel: what is taken and that it is are one. */
static inline ssize_t peer_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	struct peer *p = peer_of(transport);
	size_t n = p->pushed - p->read;

	n = n < room ? n : room;
	here->in_call = true;
	memcpy(buf, stream[p - here->peer] + p->read, n);
	p->read += n;
	conn_cell_note(cell, n);
	here->in_call = false;
	return (ssize_t)n;
}

static inline ssize_t peer_send(void *transport, struct conn_cell *cell, const void *buf,
				size_t len)
{
	struct peer *p = peer_of(transport);
	size_t n = p->out_room - p->out_len;

	n = n < len ? n : len;
	assert_in_range(p->out_len + n, 0, STREAM_MAX);
	here->in_call = true;
	memcpy(p->out + p->out_len, buf, n);
	p->out_len += n;
	conn_cell_note(cell, n);
	here->in_call = false;
	return (ssize_t)n;
}

static inline void peer_free(void *transport)
{
	(void)transport;
}

static const struct transport_ops peer_ops = { .recv = peer_recv,
					       .send = peer_send,
					       .free = peer_free };

/* The guest puts and takes what it can. */
static inline void guest_move(struct world *w)
{
	struct xenstore_domain_interface *r = w->page;
	struct peer *p = &w->peer[RING];

	w->in_call = true;
	while (p->read < p->pushed && r->req_prod - r->req_cons < XENSTORE_RING_SIZE)
		r->req[MASK_XENSTORE_IDX(r->req_prod++)] = (char)stream[RING][p->read++];
	while (p->out_len < p->out_room && r->rsp_cons != r->rsp_prod)
		p->out[p->out_len++] = (uint8_t)r->rsp[MASK_XENSTORE_IDX(r->rsp_cons++)];
	w->in_call = false;
}

static inline int no_notify(struct hv *hv, uint32_t port)
{
	(void)hv;
	(void)port;
	return 0;
}

static inline void no_unbind(struct hv *hv, uint32_t port)
{
	(void)hv;
	(void)port;
}

static inline void no_unmap(struct hv *hv, uint16_t domid, void *page)
{
	(void)hv;
	(void)domid;
	(void)page;
}

static const struct hv_ops guest_hv_ops = { .evtchn_notify = no_notify,
					    .evtchn_unbind = no_unbind,
					    .ring_unmap = no_unmap };
static struct hv guest_hv = { .ops = &guest_hv_ops };

/* --- the process ------------------------------------------------------------------------- */

/* WRITE changes something, WATCH tells a neighbour, MKDIR does both. */
static inline bool world_handle(void *data, struct conn *c, const struct wire_msg *m)
{
	struct world *w = data;
	uint32_t id = m->hdr.req_id, type = m->hdr.type;

	if (id == w->deadly)
		longjmp(death, 1);
	if ((id & ~TELL) >= PEERS * REQUESTS)
		return true; /* of a damaged area */
	if (type == XS_WRITE || type == XS_MKDIR) {
		w->effect[id]++;
		w->changed = true;
	}
	conn_reply(c, &m->hdr, type, m->payload, m->hdr.len);
	if (!w->mute && (type == XS_WATCH || type == XS_MKDIR)) {
		struct xsd_sockmsg h = m->hdr;

		h.req_id |= TELL;
		conn_reply(w->conn[(id + id / REQUESTS + 1) % PEERS], &h, type, m->payload,
			   m->hdr.len);
	}
	return true;
}

static inline bool log_has_changes(void *data)
{
	return ((struct world *)data)->changed;
}

static inline int log_commit(void *data, uint64_t seq, const struct conn_word *words, size_t n)
{
	struct world *w = data;

	assert_in_range(n, 0, PEERS);
	w->log.seq = seq;
	w->log.n = n;
	if (n)
		memcpy(w->log.words, words, n * sizeof(*words));
	memcpy(w->log.effect, w->effect, sizeof(w->effect));
	w->changed = false;
	return 0;
}

static inline void log_refused(void *data, const struct conn *c, const struct wire_msg *m)
{
	struct world *w = data;

	(void)c;
	w->log.refused = m->hdr.req_id;
	w->changed = true;
}

static inline void world_gone(void *data, struct conn *c)
{
	struct world *w = data;

	for (size_t i = 0; i < PEERS; i++)
		if (w->conn[i] == c)
			w->conn[i] = NULL;
}

static inline void world_init(struct world *w)
{
	static const struct conn_log_ops log = { .has_changes = log_has_changes,
						 .commit = log_commit,
						 .refused = log_refused };
	static const struct siphash_key key = { 9, 10 };

	quota_policy_init(&w->policy);
	hold_table_init(&w->holds);
	w->perms = perm_table_new(&key);
	w->store.heap.perms = w->perms;
	assert_int_equal(watch_index_init(&w->watches), 0);
	budget_init(&w->budget, &w->policy, 0, NULL);
	w->t.holds = &w->holds;
	w->t.store = &w->store;
	w->t.watches = &w->watches;
	w->t.handle = world_handle;
	w->t.gone = world_gone;
	w->t.data = w;
	w->t.log = &log;
	w->t.log_data = w;
	w->t.key = key;
}

static inline void *transport_of(struct world *w, size_t i, const struct transport_ops **ret_ops)
{
	*ret_ops = i == RING ? ring_transport_ops() : &peer_ops;
	if (i != RING)
		return &w->peer[i];
	return ring_transport_new(&guest_hv, 1, w->page, 1, 0);
}

static inline int file(void)
{
	int fd = memfd_create("area", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline void *page_new(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static inline struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->deadly = UINT32_MAX;
	w->fd = file();
	w->page = page_new();
	assert_int_equal(area_new(w->fd, BOOT, &w->area), 0);
	world_init(w);
	assert_int_equal(conn_table_init(&w->t, w->area), 0);
	for (size_t i = 0; i < PEERS; i++) {
		const struct transport_ops *ops;
		void *transport = transport_of(w, i, &ops);

		assert_int_equal(conn_new(&w->t, ops, transport, &w->budget, true, i, &w->conn[i]),
				 0);
		w->log.id[i] = w->conn[i]->id;
		w->log.slot[i] = w->conn[i]->slot;
	}
	return w;
}

/* Another process finds what the dead one has left. */
static inline struct world *world_restore(const struct world *dead)
{
	static uint8_t copy[8u << 20];
	struct world *w = calloc(1, sizeof(*w));
	ssize_t n;

	assert_non_null(w);
	memcpy(w->peer, dead->peer, sizeof(w->peer));
	w->step = dead->step;
	w->log = dead->log;
	w->depth = dead->depth + 1;
	w->deadly = UINT32_MAX;
	w->fd = file();
	n = pread(dead->fd, copy, sizeof(copy), 0);
	assert_in_range(n, 1, sizeof(copy) - 1);
	assert_int_equal(pwrite(w->fd, copy, (size_t)n, 0), n);
	w->page = page_new();
	memcpy(w->page, dead->page, PAGE);
	memcpy(w->effect, w->log.effect, sizeof(w->effect));
	world_init(w);
	assert_int_equal(area_attach(w->fd, BOOT, true, &w->area), 0);
	assert_int_equal(conn_table_init(&w->t, NULL), 0);
	for (size_t i = 0; i < PEERS; i++) {
		assert_int_equal(conn_make(&w->t, w->log.slot[i], i, &w->budget, true, &w->conn[i]),
				 0);
		w->conn[i]->id = w->log.id[i];
	}
	return w;
}

static inline void world_take_over(struct world *w)
{
	assert_int_equal(conn_table_attach(&w->t, w->area), 0);
	if (w->log.seq)
		assert_int_equal(conn_apply_words(&w->t, w->log.seq, w->log.words, w->log.n), 0);
	for (size_t i = 0; i < PEERS; i++) {
		const struct transport_ops *ops;
		void *transport = transport_of(w, i, &ops);

		assert_int_equal(conn_restore(w->conn[i], ops, transport), 0);
	}
	area_settle(w->area);
	conn_table_settle(&w->t);
}

/* A process that is dead has it all still. */
static inline void world_bury(struct world *w)
{
	w->t.log = NULL;
	conn_table_fini(&w->t);
	budget_fini(&w->budget);
	area_free(w->area);
	watch_index_fini(&w->watches);
	perm_table_free(w->perms);
	munmap(w->page, PAGE);
	close(w->fd);
	free(w);
}

/* With nothing queued and nothing kept the area has nothing but what it began with. */
static inline void world_free(struct world *w)
{
	size_t charged = w->budget.used[QUOTA_MEMORY], spare = 0;

	assert_int_equal(charged, 0);
	for (const struct conn_out *o = w->t.spare; o; o = o->next)
		spare += area_room(w->area, o->ref) + 16;
	assert_int_equal(area_used(w->area) - spare, (128u << 10) + 4096);
	world_bury(w);
}

/* --- what should come of it -------------------------------------------------------------- */

static inline void world_step(struct world *w)
{
	static const uint32_t most[] = { 3, 20, 20, 60, 60, 400, 2500 };
	struct prng rnd; /* for one who goes on, too, the step is the same */

	/* what the peers do comes before what the process does, which may die of it */
	if (w->step < STEPS) {
		struct peer *p = &w->peer[w->step % PEERS];
		size_t i = (size_t)(p - w->peer);

		prng_init(&rnd, script * 1000 + w->step);
		p->pushed += prng_below(&rnd, most[prng_below(&rnd, ARRAY_LEN(most))]);
		if (p->pushed > stream_len[i])
			p->pushed = stream_len[i];
		p->out_room += prng_below(&rnd, most[prng_below(&rnd, ARRAY_LEN(most))]);
	} else {
		for (size_t i = 0; i < PEERS; i++) {
			w->peer[i].pushed = stream_len[i];
			w->peer[i].out_room = STREAM_MAX;
		}
	}
	w->step++;
	guest_move(w);
	for (size_t i = 0; i < PEERS; i++)
		conn_wake(w->conn[i]);
	conn_round(&w->t, 0);
	guest_move(w);
}

static inline void check_message(const struct world *w, size_t i, const uint8_t *at, uint32_t *next,
				 uint8_t *told)
{
	uint8_t want[WIRE_HEADER_SIZE + XENSTORE_PAYLOAD_MAX];
	struct xsd_sockmsg h;
	uint32_t id;
	size_t size;

	memcpy(&h, at, sizeof(h));
	id = h.req_id & ~TELL;
	assert_in_range(id, 0, PEERS * REQUESTS - 1);
	if (h.type == XS_ERROR) {
		assert_int_equal(id, w->log.refused);
		assert_memory_equal(at + sizeof(h), "EIO", 4);
	} else {
		size = message_make(want, request_type(id), h.req_id);
		assert_memory_equal(at, want, size);
	}
	if (!(h.req_id & TELL)) {
		assert_int_equal(id, i * REQUESTS + (*next)++); /* in order, each once */
		return;
	}
	assert_int_equal((id + id / REQUESTS + 1) % PEERS, i);
	assert_int_equal(told[id], 0);
	told[id] = 1;
}

static inline void world_check(const struct world *w)
{
	uint8_t told[PEERS * REQUESTS] = { 0 };

	for (size_t i = 0; i < PEERS; i++) {
		const struct peer *p = &w->peer[i];
		uint32_t next = 0, len;
		size_t at = 0;

		while (at < p->out_len) {
			assert_in_range(p->out_len - at, WIRE_HEADER_SIZE, STREAM_MAX);
			check_message(w, i, p->out + at, &next, told);
			memcpy(&len, p->out + at + 12, sizeof(len));
			at += WIRE_HEADER_SIZE + len;
		}
		assert_int_equal(at, p->out_len);
		assert_int_equal(next, REQUESTS);
	}
	for (uint32_t id = 0; id < PEERS * REQUESTS; id++) {
		uint32_t type = request_type(id);
		bool refused = id && id == w->log.refused;

		assert_int_equal(told[id], !refused && (type == XS_WATCH || type == XS_MKDIR));
		assert_int_equal(w->log.effect[id],
				 !refused && (type == XS_WRITE || type == XS_MKDIR));
	}
}

static inline void world_run(struct world *w)
{
	while (w->step < STEPS + 15)
		world_step(w);
	world_check(w);
}

#endif
