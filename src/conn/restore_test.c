/* SPDX-License-Identifier: MIT */
/*
 * Connections that outlive their process: it is killed before every single store to the area and to
 * a ring's page, and from what is there then another one goes on. Whatever the instant, every
 * request takes effect once, and every peer gets every message once, whole and in order.
 *
 * The pages are write-protected; the signal that a store raises is the instant before it.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
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
#define SCRIPTS 4u
#define STREAM_MAX 16384u
#define PAGE 4096u
#define TELL 0x1000u /* in the request id of what another peer is told */
#define DEPTH_MAX 2u
#define COPIED_ONE_IN 61u
#define SECOND_ONE_IN 7919u /* deaths of a process that goes on, too, are looked at here */

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
	struct conn *conn[PEERS];
	uint32_t effect[PEERS * REQUESTS];
	bool changed;
	bool mute;    /* neighbours are not told */
	bool in_call; /* within what the kernel does at once */
	unsigned int depth;
	uint32_t deadly; /* the handler dies of this request; 0: of none */
};

static uint8_t stream[PEERS][STREAM_MAX];
static size_t stream_len[PEERS];
static struct world *here; /* who runs */
static bool watched;	   /* its stores are instants */
static uint64_t script;	   /* which one the peers follow */
static unsigned long n_instants;
static unsigned long n_copied; /* stores of memcpy and the like, of which some will do */
extern char __executable_start, etext;

static jmp_buf death;

/* --- peers ------------------------------------------------------------------------------- */

static uint32_t request_type(uint32_t id)
{
	static const uint32_t types[] = { XS_READ,  XS_WRITE, XS_READ, XS_READ,
					  XS_WATCH, XS_WRITE, XS_READ, XS_MKDIR };

	return types[id % ARRAY_LEN(types)];
}

static size_t request_len(uint32_t id)
{
	static const size_t lens[] = { 0, 3, 40, 1, 700, 9, 130, 0, 17, 1500, 5 };

	return lens[id % ARRAY_LEN(lens)];
}

static size_t message_make(uint8_t *buf, uint32_t type, uint32_t id)
{
	const struct xsd_sockmsg h = { .type = type,
				       .req_id = id,
				       .len = (uint32_t)request_len(id & ~TELL) };

	memcpy(buf, &h, sizeof(h));
	memset(buf + sizeof(h), (int)id, h.len);
	return sizeof(h) + h.len;
}

static void streams_make(void)
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

static struct peer *peer_of(void *transport)
{
	return transport;
}

/* As the kernel: what is taken and that it is are one. */
static ssize_t peer_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
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

static ssize_t peer_send(void *transport, struct conn_cell *cell, const void *buf, size_t len)
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

static void peer_free(void *transport)
{
	(void)transport;
}

static const struct transport_ops peer_ops = { .recv = peer_recv,
					       .send = peer_send,
					       .free = peer_free };

/* The guest puts and takes what it can. */
static void guest_move(struct world *w)
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

static int no_notify(struct hv *hv, uint32_t port)
{
	(void)hv;
	(void)port;
	return 0;
}

static void no_unbind(struct hv *hv, uint32_t port)
{
	(void)hv;
	(void)port;
}

static void no_unmap(struct hv *hv, uint16_t domid, void *page)
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
static bool world_handle(void *data, struct conn *c, const struct wire_msg *m)
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

static bool log_has_changes(void *data)
{
	return ((struct world *)data)->changed;
}

static int log_commit(void *data, uint64_t seq, const struct conn_word *words, size_t n)
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

static void log_refused(void *data, const struct conn *c, const struct wire_msg *m)
{
	struct world *w = data;

	(void)c;
	w->log.refused = m->hdr.req_id;
	w->changed = true;
}

static void world_init(struct world *w)
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
	w->t.data = w;
	w->t.log = &log;
	w->t.log_data = w;
	w->t.key = key;
}

static void *transport_of(struct world *w, size_t i, const struct transport_ops **ret_ops)
{
	*ret_ops = i == RING ? ring_transport_ops() : &peer_ops;
	if (i != RING)
		return &w->peer[i];
	return ring_transport_new(&guest_hv, 1, w->page, 1, 0);
}

static int file(void)
{
	int fd = memfd_create("area", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void *page_new(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static struct world *world_new(void)
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
static struct world *world_restore(const struct world *dead)
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

static void world_take_over(struct world *w)
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
static void world_bury(struct world *w)
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
static void world_free(struct world *w)
{
	size_t charged = w->budget.used[QUOTA_MEMORY], spare = 0;

	assert_int_equal(charged, 0);
	for (const struct conn_out *o = w->t.spare; o; o = o->next)
		spare += area_room(w->area, o->ref) + 16;
	assert_int_equal(area_used(w->area) - spare, (128u << 10) + 4096);
	world_bury(w);
}

/* --- what should come of it -------------------------------------------------------------- */

static void world_step(struct world *w)
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

static void check_message(const struct world *w, size_t i, const uint8_t *at, uint32_t *next,
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

static void world_check(const struct world *w)
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

static void world_run(struct world *w)
{
	while (w->step < STEPS + 15)
		world_step(w);
	watched = false;
	world_check(w);
}

/* --- instants ---------------------------------------------------------------------------- */

static void protect(struct world *w, int prot)
{
	uint8_t *base = (uint8_t *)((uintptr_t)area_user(w->area) & ~(uintptr_t)(PAGE - 1));

	assert_int_equal(mprotect(base, area_size(w->area), prot), 0);
	assert_int_equal(mprotect(w->page, PAGE, prot), 0);
}

/* The process is dead: what it has left is enough. */
static void survive(const struct world *dead)
{
	struct world *was = here, *w;
	bool was_watched = watched;

	watched = false;
	w = here = world_restore(dead);
	if (w->depth < DEPTH_MAX && !(n_instants % SECOND_ONE_IN)) {
		watched = true;
		protect(w, PROT_READ);
	}
	world_take_over(w);
	world_run(w);
	protect(w, PROT_READ | PROT_WRITE);
	world_free(w);
	here = was;
	watched = was_watched;
}

#ifdef __x86_64__
#define TRAP_FLAG 0x100

/* Within a copy one instant is like the other. */
static bool is_instant(const char *code)
{
	bool ours = code >= &__executable_start && code < &etext;

	return ours || !(n_copied++ % COPIED_ONE_IN);
}

static void on_store(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)info;
	if (!here || (uc->uc_mcontext.gregs[REG_EFL] & TRAP_FLAG)) {
		signal(sig, SIG_DFL); /* not ours: the instruction fails again */
		return;
	}
	if (watched && !here->in_call && is_instant((char *)uc->uc_mcontext.gregs[REG_RIP])) {
		n_instants++;
		survive(here);
	}
	protect(here, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_stored(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	if (watched)
		protect(here, PROT_READ);
}

static void whatever_the_instant_it_dies_nothing_is_lost_or_done_twice(void **state)
{
	struct sigaction store = { .sa_sigaction = on_store, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction stored = { .sa_sigaction = on_stored,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction was[2];

	(void)state;
	assert_int_equal(sigaction(SIGSEGV, &store, &was[0]), 0);
	assert_int_equal(sigaction(SIGTRAP, &stored, &was[1]), 0);
	for (script = 1; script <= SCRIPTS; script++) {
		print_message("# script %u\n", (unsigned int)script);
		here = world_new();
		watched = true;
		protect(here, PROT_READ);
		world_run(here);
		protect(here, PROT_READ | PROT_WRITE);
		world_free(here);
		here = NULL;
	}
	sigaction(SIGSEGV, &was[0], NULL);
	sigaction(SIGTRAP, &was[1], NULL);
	print_message("# %lu instants, %lu stores of copies\n", n_instants, n_copied);
	assert_in_range(n_instants, 1000, UINT32_MAX);
}
#else
static void whatever_the_instant_it_dies_nothing_is_lost_or_done_twice(void **state)
{
	(void)state;
	skip(); /* instants are told by this processor's trap flag */
}
#endif

static bool world_dies(struct world *w)
{
	here = w;
	if (setjmp(death))
		return true;
	world_run(w);
	return false;
}

/* It is tried again once; who asked for it is answered, the others are not kept from theirs. */
static void a_request_that_kills_twice_is_refused(void **state)
{
	(void)state;
	for (uint32_t id = 1; id < PEERS * REQUESTS; id++) {
		struct world *w = world_new(), *dead;
		unsigned int deaths = 0;

		w->deadly = id;
		while (world_dies(w)) {
			assert_in_range(++deaths, 1, CONN_DEATHS_MAX);
			dead = w;
			w = here = world_restore(dead);
			world_bury(dead);
			w->deadly = id;
			world_take_over(w);
		}
		assert_int_equal(deaths, CONN_DEATHS_MAX);
		assert_int_equal(w->log.refused, id);
		world_free(w);
	}
	here = NULL;
}

/* What was restored goes on with whatever it is; what was not is no more. */
static void damaged_run(struct world *w)
{
	bool restored[PEERS];

	if (conn_table_attach(&w->t, w->area))
		return;
	conn_apply_words(&w->t, w->log.seq, w->log.words, w->log.n);
	for (size_t i = 0; i < PEERS; i++) {
		const struct transport_ops *ops;
		void *transport = transport_of(w, i, &ops);

		restored[i] = !conn_restore(w->conn[i], ops, transport);
	}
	area_settle(w->area);
	conn_table_settle(&w->t);
	for (size_t i = 0; i < PEERS; i++) {
		if (restored[i])
			continue;
		conn_discard(w->conn[i]);
		assert_int_equal(
			conn_new(&w->t, &peer_ops, &w->peer[i], &w->budget, true, i, &w->conn[i]),
			0);
	}
	for (unsigned int n = 0; n < 30; n++) {
		for (size_t i = 0; i < PEERS; i++) {
			w->peer[i].out_len = 0;
			w->peer[i].out_room = STREAM_MAX;
			if (!w->conn[i]->closing)
				conn_wake(w->conn[i]);
		}
		w->mute = true; /* of connections that may be gone nobody is told */
		conn_round(&w->t, 0);
		guest_move(w);
	}
}

static void a_damaged_area_is_an_error_and_never_a_crash(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 600; seed++) {
		struct world *w = here = world_new(), *next;
		struct prng rnd;

		print_message("# seed %u\n", (unsigned int)seed);
		prng_init(&rnd, seed);
		w->deadly = 1 + prng_below(&rnd, PEERS * REQUESTS - 1);
		assert_true(world_dies(w));
		next = here = world_restore(w);
		world_bury(w);
		for (unsigned int n = 1 + prng_below(&rnd, 20); n; n--) {
			static const uint32_t sizes[] = { 64, 2048, 8192, 200u << 10 };
			/* roots, then cells, slots and blocks, all of it */
			uint32_t size = sizes[prng_below(&rnd, ARRAY_LEN(sizes))];
			off_t at = (off_t)(prng_once_in(&rnd, 2) ? 4096 : (132u << 10)) +
				   prng_below(&rnd, size);
			uint8_t c = (uint8_t)prng_next(&rnd);

			assert_int_equal(pwrite(next->fd, &c, 1, at), 1);
		}
		damaged_run(next);
		world_bury(next);
	}
	here = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_kills_twice_is_refused),
		cmocka_unit_test(a_damaged_area_is_an_error_and_never_a_crash),
		cmocka_unit_test(whatever_the_instant_it_dies_nothing_is_lost_or_done_twice),
	};

	streams_make();
	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
