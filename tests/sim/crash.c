/* SPDX-License-Identifier: MIT */
/*
 * Deaths and those who take over. Invariant: between two calls of crash_run the world has a core,
 * and nothing of a former one but what outlives a process.
 */
#include "crash.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "oracle.h"
#include "recover/header.h"

#define CHECKPOINT_AT 20000u /* octets of log: often, so that deaths meet them */

static struct world *current; /* whose daemon runs now */

int __real_record_file_put(struct record_file *f, const struct drover_record *rec);
int __wrap_record_file_put(struct record_file *f, const struct drover_record *rec);
uint32_t __real_area_alloc(struct area *a, size_t size);
uint32_t __wrap_area_alloc(struct area *a, size_t size);
void __real_area_release(struct area *a, uint32_t ref);
void __wrap_area_release(struct area *a, uint32_t ref);
int __real_conn_commit(struct conn_table *t);
int __wrap_conn_commit(struct conn_table *t);

/* --- points --------------------------------------------------------------------------------- */

static uint64_t random_gap(struct crash *c)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u;
	return 1 + (c->random >> 33) % (c->gap * (1 + c->barren++));
}

/* Whether the request that is handled now has been under way at a death: it would be refused. */
static bool has_killed(const struct world *w)
{
	const struct conn_root *r = w->core ? w->core->conns.root : NULL;

	if (!r || !r->serving.id)
		return false;
	for (size_t i = 0; i < CONN_KILLERS_MAX; i++)
		if (r->killer[i].id == r->serving.id && r->killer[i].in_pos == r->serving.in_pos)
			return true;
	return false;
}

void crash_point(bool committed)
{
	struct crash *c = current ? current->crash : NULL;

	if (!c || !c->armed)
		return;
	c->passed++;
	if (!c->left || --c->left)
		return;
	if (has_killed(current)) {
		c->left = 1;
		return;
	}
	alloc_pause();
	if (committed && c->committing)
		oracle_save(current->oracle);
	if (current->verbose)
		printf("# the daemon dies at point %lu\n", (unsigned long)c->passed);
	longjmp(c->env, 1);
}

int __wrap_record_file_put(struct record_file *f, const struct drover_record *rec)
{
	int r;

	crash_point(false);
	r = __real_record_file_put(f, rec);
	crash_point(false);
	return r;
}

uint32_t __wrap_area_alloc(struct area *a, size_t size)
{
	crash_point(false);
	return __real_area_alloc(a, size);
}

/* In a commit blocks are let go of when it is final. */
void __wrap_area_release(struct area *a, uint32_t ref)
{
	crash_point(true);
	__real_area_release(a, ref);
}

int __wrap_conn_commit(struct conn_table *t)
{
	struct crash *c = current ? current->crash : NULL;
	int r;

	if (!c || !c->armed || c->committing || c->recover)
		return __real_conn_commit(t);
	c->committing = true;
	r = __real_conn_commit(t);
	c->committing = false;
	if (!r) {
		alloc_pause();
		oracle_save(current->oracle);
		alloc_resume();
	}
	crash_point(false);
	return r;
}

void crash_plan(struct world *w, uint64_t gap, uint64_t seed)
{
	struct crash *c = w->crash;

	c->random = seed;
	c->gap = gap;
	c->left = gap ? random_gap(c) : 0;
}

/* --- taking over ---------------------------------------------------------------------------- */

static int find_socket(void *data, uint64_t peer_id, struct conn *conn,
		       const struct transport_ops **ret_ops, void **ret_transport)
{
	struct world *w = data;

	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &w->peer[i];

		if (!p->used || p->is_ring || p->peer_id != peer_id || !p->was_conn)
			continue;
		p->conn = conn;
		p->want_read = true;
		p->want_write = false;
		*ret_ops = world_pipe_ops();
		*ret_transport = p;
		return 0;
	}
	return ENOENT;
}

/* Nothing is left of it but what outlives a process. */
static void abandon(struct world *w)
{
	struct crash *c = w->crash;
	struct journal *j = c->journal;

	for (size_t i = 0; j && i < 2; i++) {
		record_file_close(&j->base[i]);
		record_file_close(&j->log[i]);
	}
	if (j)
		area_free(j->area);
	alloc_abandon();
	fake_hv_abandon(&w->hv);
	c->journal = NULL;
	c->recover = NULL;
	w->core = NULL;
}

static void take_over(struct world *w)
{
	const struct recover_sockets sockets = { .find = find_socket, .data = w };
	struct crash *c = w->crash;
	struct core_options opt = w->opt;
	struct core *core;
	int r;

	for (size_t i = 0; i < WORLD_PEERS; i++)
		w->peer[i].conn = NULL;
	/* every second one as in an update: what is read along is owned only when it takes over */
	r = journal_attach(c->fd, CRASH_BOOT, c->passed & 1, &c->journal);
	if (!r) {
		c->journal->log_min = CHECKPOINT_AT;
		opt.area = journal_area(c->journal);
		opt.counters = journal_counters(c->journal);
		r = recover_new(c->journal, &opt, &c->recover);
	}
	if (!r)
		r = recover_read(c->recover);
	if (!r)
		r = recover_read(c->recover);
	if (!r)
		r = recover_take_over(c->recover, c->journal, &w->hv.hv, &sockets, &core);
	if (r) {
		world_fail(w, "cannot take over: %d %s", r,
			   c->recover ? recover_error(c->recover) : "");
		printf("# cannot take over: %d\n", r);
		abort();
	}
	w->core = core;
	recover_free(c->recover);
	c->recover = NULL;
}

/* A daemon that takes over may die, too. */
static void recover_now(struct world *w)
{
	struct crash *c = w->crash;

	for (size_t i = 0; i < WORLD_PEERS; i++)
		w->peer[i].was_conn = w->peer[i].conn;
	if (setjmp(c->env))
		c->deaths++;
	alloc_pause();
	c->armed = c->committing = false;
	abandon(w);
	c->left = c->gap ? random_gap(c) : 0;
	alloc_track(true);
	alloc_resume();
	c->armed = true;
	take_over(w);
	c->armed = false;
	alloc_pause();
	alloc_track(false);
	oracle_recovered(w->oracle);
	if (core_check(w->core))
		world_fail(w, "contradictions inside after a death");
}

void crash_run(struct world *w, void (*fn)(struct world *w))
{
	struct crash *c = w->crash;

	if (!c) {
		fn(w);
		return;
	}
	oracle_save(w->oracle);
	if (setjmp(c->env)) {
		c->deaths++;
		oracle_rollback(w->oracle);
		alloc_disarm();
		recover_now(w);
		return;
	}
	alloc_track(true);
	c->armed = true;
	fn(w);
	c->armed = false;
	c->barren = 0;
	alloc_track(false);
}

void crash_between_rounds(struct world *w)
{
	if (!w->crash)
		return;
	conn_commit(&w->core->conns);
	journal_round(w->crash->journal);
}

/* --- making and unmaking -------------------------------------------------------------------- */

void crash_init(struct world *w)
{
	struct crash *c = calloc(1, sizeof(*c));

	assert(c);
	for (size_t i = 0; i < JOURNAL_FILES; i++) {
		c->fd[i] = memfd_create(journal_file_name[i], MFD_CLOEXEC);
		assert(c->fd[i] >= 0);
	}
	w->crash = c;
	current = w;
	alloc_track(true);
	alloc_resume();
	if (journal_new(c->fd, CRASH_BOOT, &c->journal))
		abort();
	c->journal->log_min = CHECKPOINT_AT;
	w->opt.area = journal_area(c->journal);
	w->opt.counters = journal_counters(c->journal);
	if (core_new(&w->opt, &w->hv.hv, &w->core) ||
	    journal_start(c->journal, w->core, &(struct state_host){ .started_ms = 5 }, true))
		abort();
	conn_commit(&w->core->conns);
	alloc_pause();
	alloc_track(false);
}

void crash_fini(struct world *w)
{
	struct crash *c = w->crash;

	if (!c)
		return;
	current = NULL;
	journal_free(c->journal);
	for (size_t i = 0; i < JOURNAL_FILES; i++)
		close(c->fd[i]);
	free(c);
	w->crash = NULL;
}
