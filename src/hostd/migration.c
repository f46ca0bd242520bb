/* SPDX-License-Identifier: MIT */
/*
 * The machine and its host: what happens is told to it, what it asks for is done, at the end of
 * each round, after its rows are in the journal. Invariant: every migration that is not done has a
 * struct run, and d->migration of a guest is the run it takes part in.
 */
#include "hostd/migration.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/arbiter.h"
#include "hostd/call.h"
#include "hostd/job.h"
#include "hostd/job_numbers.h"
#include "hostd/migration_hooks.h"
#include "hostd/p2p.h"
#include "hostd/peer.h"
#include "hostd/peer_own.h"
#include "hostd/settings.h"
#include "migrate/journal.h"

/* ---- runs ---- */

struct run *run_find(struct host *h, const struct mig_id *id)
{
	struct idtree_link *l = idtree_find(&h->migration->run_ids, id);

	return l ? CONTAINER_OF(l, struct run, ided) : NULL;
}

struct run *run_new(struct host *h, const struct mig_id *id, enum mig_side side,
		    const uint8_t uuid[DEF_UUID_SIZE])
{
	struct run *r = calloc(1, sizeof(*r));

	if (!r) {
		hostd_fail(h, FAULT(-ENOMEM));
		return NULL;
	}
	r->host = h;
	r->id = *id;
	r->side = side;
	memcpy(r->uuid, uuid, sizeof(r->uuid));
	list_append(&h->migration->runs, &r->link);
	idtree_add(&h->migration->run_ids, &r->ided, &r->id);
	return r;
}

void run_set_dom(struct run *r, struct dom *d)
{
	if (r->dom == d)
		return;
	if (r->dom) {
		if (r->dom->migration == r)
			r->dom->migration = NULL;
		dom_unref(r->dom);
	}
	r->dom = d ? dom_ref(d) : NULL;
	if (d)
		d->migration = r;
}

void run_free(struct run *r)
{
	run_set_dom(r, NULL);
	data_listener_close(r->listener);
	def_free(r->def);
	def_free(r->persist);
	free(r->uri_in);
	run_held_free(r->held);
	list_remove(&r->link);
	idtree_remove(&r->host->migration->run_ids, &r->ided);
	free(r);
}

/* ---- effects ---- */

static void do_call(struct host *h, const struct mig_effect *e)
{
	peers_call(h->migration->peers, e->row, e->msg);
}

static void do_call_cancel(struct host *h, const struct mig_effect *e)
{
	peers_cancel(h->migration->peers, &e->id, e->msg->type);
}

static void do_answer(struct host *h, const struct mig_effect *e)
{
	struct peer_ans ans = { .answer = (int)e->answer, .why = (char *)(uintptr_t)e->why };
	struct call *c = call_find(h, e->call);
	struct run *run = run_find(h, &e->id);
	u_quad_t numbers[JOB_NUMBERS];

	if (!c)
		return;
	if (run && run->dom && run->side == MIG_SOURCE) {
		job_numbers_put(&run->dom->job.progress, numbers);
		ans.progress.progress_val = numbers;
		ans.progress.progress_len = JOB_NUMBERS;
	}
	call_reply(c, &ans);
}

static void on_arbiter(void *data, const struct mig_id *id, enum mig_arbiter result)
{
	struct host *h = data;

	migrator_arbiter(h->migrator, id, result);
	hostd_wake(h);
}

static void do_arbiter(struct host *h, const struct mig_effect *e)
{
	struct arbiter *a = h->migration->arbiter;

	if (!a || arbiter_ask(a, e, on_arbiter, h))
		migrator_arbiter(h->migrator, &e->id, MIG_ARB_UNREACHABLE);
}

static bool peer_matters(enum mig_phase phase)
{
	return phase != MIG_BEGUN && phase != MIG_PREPARED && phase != MIG_DONE;
}

/* How a job ended that is over at this end. */
static void end_job(struct host *h, struct run *run, const struct mig_row *row)
{
	bool aborted = row->phase == MIG_ABORTED || row->phase == MIG_DROPPED;

	if (!run->dom)
		return;
	if (row->outcome == MIG_MOVED && row->side == MIG_DESTINATION)
		job_end(h, run->dom, DOM_JOB_COMPLETED, "");
	else if (row->outcome == MIG_STAYED && (aborted || row->phase == MIG_DONE))
		job_end(h, run->dom, run->aborted ? DOM_JOB_CANCELLED : DOM_JOB_FAILED, row->why);
}

static void do_changed(struct host *h, const struct mig_effect *e)
{
	const struct mig_row *row = e->row;
	struct run *run = run_find(h, &e->id);
	char id[DEF_UUID_TEXT];

	def_uuid_print(e->id.b, id);
	log_info("migration %s of %s: %s%s%s", id, row->guest, mig_phase_name(row->phase),
		 row->why[0] ? ": " : "", row->why);
	if (peer_matters(row->phase) && row->peer.address[0])
		peers_follow(h->migration->peers, row);
	if (!run)
		return;
	if (row->phase == MIG_PERFORMING && run->dom)
		job_begin(h, run->dom, DOM_JOB_MIGRATION_OUT, row->id.b);
	if (row->phase == MIG_RECEIVING && run->dom)
		job_begin(h, run->dom, DOM_JOB_MIGRATION_IN, row->id.b);
	end_job(h, run, row);
	if (row->phase == MIG_DONE) {
		peers_unfollow(h->migration->peers, &e->id);
		run_keep_remove(run);
		run_free(run);
	}
}

static void on_effect(void *data, const struct mig_effect *e)
{
	static void (*const plain[MIG_EFFECTS])(struct host * h, const struct mig_effect *e) = {
		[MIG_DO_CALL] = do_call,       [MIG_DO_CALL_CANCEL] = do_call_cancel,
		[MIG_DO_ANSWER] = do_answer,   [MIG_DO_REPLY] = migration_reply,
		[MIG_DO_ARBITER] = do_arbiter, [MIG_DO_CHANGED] = do_changed,
	};
	static void (*const local[MIG_EFFECTS])(struct run * r, const struct mig_effect *e) = {
		[MIG_DO_INCOMING] = run_incoming,	[MIG_DO_SEND] = run_send,
		[MIG_DO_SEND_CANCEL] = run_send_cancel, [MIG_DO_EXPORT] = run_export,
		[MIG_DO_IMPORT] = run_import,		[MIG_DO_RUN] = run_own,
		[MIG_DO_RESUME] = run_resume,		[MIG_DO_DESTROY] = run_destroy,
	};
	struct host *h = data;
	struct run *run;

	if (plain[e->type]) {
		plain[e->type](h, e);
		return;
	}
	run = run_find(h, &e->id);
	if (!run)
		run = run_new(h, &e->id, e->row->side, e->row->uuid);
	if (run)
		local[e->type](run, e);
}

static int on_journal(void *data, const struct mig_row *const *rows, size_t n,
		      const struct mig_id *gone, size_t n_gone)
{
	struct host *h = data;

	return journal_write(h->journal, rows, n, gone, n_gone);
}

static void on_random(void *data, struct mig_id *ret)
{
	struct host *h = data;

	if (gnutls_rnd(GNUTLS_RND_KEY, ret->b, sizeof(ret->b)) < 0)
		hostd_fail(h, FAULT(-EIO));
}

/* ---- rounds ---- */

static void on_timer(uv_timer_t *timer)
{
	hostd_wake(timer->data);
}

static void arm(struct host *h)
{
	uint64_t due = migrator_deadline_ms(h->migrator), now = hostd_now_ms(h);

	if (due == UINT64_MAX)
		uv_timer_stop(h->migration->timer);
	else
		uv_timer_start(h->migration->timer, on_timer, due > now ? due - now : 1, 0);
}

int migration_round(struct host *h)
{
	int r;

	migrator_tick(h->migrator, hostd_now_ms(h), hostd_wall_ms(h));
	do {
		r = migrator_flush(h->migrator);
	} while (!r && !migrator_is_idle(h->migrator));
	if (!r) {
		peers_flush(h->migration->peers);
		arm(h);
	}
	return r;
}

/* ---- open and close ---- */

/* Every row that is not done has a run, and its guest, if it is here. */
static void restore_run(void *data, const struct mig_row *row)
{
	struct host *h = data;
	struct run *run;

	if (row->phase == MIG_DONE)
		return;
	run = run_new(h, &row->id, row->side, row->uuid);
	if (!run)
		return;
	run->restored = true;
	run_set_dom(run, dom_find_uuid(&h->doms, row->uuid));
	if (row->side == MIG_SOURCE)
		run_keep_read_suspended(run);
}

static int restore(struct host *h)
{
	struct mig_row *rows = NULL;
	size_t n = 0;
	int r = journal_read(h->journal, &rows, &n);

	if (!r)
		r = migrator_restore(h->migrator, rows, n, hostd_wall_ms(h), hostd_now_ms(h));
	free(rows);
	if (r)
		return r;
	migrator_each(h->migrator, restore_run, h);
	r = migration_keep_open(h);
	if (r)
		return r;
	migration_ask_found(h);
	migration_sweep(h);
	return h->failed;
}

static int open_arbiter(struct host *h)
{
	const struct settings *s = h->set;
	struct arbiter_options opt = {
		.endpoints = (const char *const *)s->etcd.v,
		.n_endpoints = s->etcd.n,
		.prefix = s->etcd_prefix,
		.ca_file = s->etcd_ca,
		.cert_file = s->etcd_cert,
		.key_file = s->etcd_key,
		.timeout_ms = s->arbiter_timeout_ms,
	};

	return s->etcd.n ? arbiter_new(h->loop, &opt, &h->migration->arbiter) : 0;
}

static int open_machine(struct host *h)
{
	static const struct mig_ops ops = { on_journal, on_effect, on_random };
	const struct settings *s = h->set;
	struct mig_self self = {
		.arbiter = s->etcd.n > 0,
		.limits = {
			.begin_ms = s->begin_timeout_ms,
			.prepare_ms = s->prepare_timeout_ms,
			.peer_ms = s->peer_timeout_ms,
			.commit_ms = s->commit_timeout_ms,
			.arbiter_ms = s->arbiter_timeout_ms,
		},
	};

	snprintf(self.host.name, sizeof(self.host.name), "%.127s", h->name);
	snprintf(self.host.address, sizeof(self.host.address), "%s",
		 s->peer_address ? s->peer_address : "");
	snprintf(self.host.fingerprint, sizeof(self.host.fingerprint), "%s",
		 peers_fingerprint(h->migration->peers));
	h->migrator = migrator_new(&self, &ops, h);
	return h->migrator ? 0 : FAULT(-ENOMEM);
}

static int open_all(struct host *h)
{
	char path[1024], text[512] = "";
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s/journal.db", h->set->state_dir) >=
	    sizeof(path))
		return FAULT(-ENAMETOOLONG);
	r = peers_open(h, &h->migration->peers, text, sizeof(text));
	if (r) {
		log_error("%s", text);
		return r > 0 ? -r : r;
	}
	r = open_arbiter(h);
	r = r ? r : journal_open(path, &h->journal);
	r = r ? r : open_machine(h);
	return r ? r : restore(h);
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle);
}

int migration_open(struct host *h)
{
	struct migration *m = calloc(1, sizeof(*m));

	if (!m)
		return FAULT(-ENOMEM);
	m->host = h;
	m->timer = calloc(1, sizeof(*m->timer));
	if (!m->timer) {
		free(m);
		return FAULT(-ENOMEM);
	}
	list_init(&m->runs);
	m->run_ids.key_len = sizeof(struct mig_id);
	list_init(&m->questions);
	list_init(&m->laters);
	list_init(&m->steps);
	list_init(&m->p2ps);
	uv_timer_init(h->loop, m->timer);
	m->timer->data = h;
	h->migration = m;
	h->hooks = migration_hooks();
	return open_all(h); /* what is half open goes with migration_close */
}

void migration_close(struct host *h)
{
	struct migration *m = h->migration;
	struct run *r;

	if (!m)
		return;
	migration_drop_questions(h);
	migration_drop_laters(h);
	step_drop_all(h);
	p2p_drop_all(h);
	list_for_each(r, &m->runs, link)
		run_free(r);
	peers_close(m->peers);
	arbiter_free(m->arbiter);
	uv_close((uv_handle_t *)m->timer, on_timer_closed);
	migrator_free(TAKE(h->migrator));
	journal_close(TAKE(h->journal));
	free(TAKE(h->migration));
}
