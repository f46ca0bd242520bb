/* SPDX-License-Identifier: MIT */
/*
 * What a migration ends with: the guest runs at its destination, or goes on at its source, and is
 * gone at the other. Invariant: each of these can be done again, after any part of it was done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/defs.h"
#include "hostd/event.h"
#include "hostd/job.h"
#include "hostd/life.h"
#include "hostd/migration.h"
#include "hostd/store.h"

DEFINE_CLEANUP(struct guest_def *, def_free)

/* ---- the destination's ---- */

/* What was prepared is defined here from now on, as the client asked for. 0, or < 0: logged. */
static int define_here(struct host *h, struct run *run, struct dom *d)
{
	CLEANUP(def_free) struct guest_def *def = NULL;
	bool had = d->persistent, is_kept = run && run->persist;
	int r;

	if (is_kept)
		def = TAKE(run->persist);
	else if (!had && d->live)
		def = def_copy(d->live);
	if (!def)
		return 0; /* it was done before */
	/* What is on disk already needs no room to be what it is from now on. */
	r = is_kept ? run_keep_define(run) : -ENOENT;
	if (r)
		r = defs_write(h, def);
	if (r) {
		log_error("domain %s: it has moved here, but cannot be defined", d->name);
		return r;
	}
	if (run)
		run_keep_remove(run);
	def_free(d->persistent);
	d->persistent = TAKE(def);
	event_lifecycle(h, d, EVENT_DEFINED, had ? EVENT_DEFINED_UPDATED : EVENT_DEFINED_ADDED);
	return 0;
}

/*
 * The definition that moved, for a guest of which there may be nothing else: one that is OFFLINE,
 * or whose host lost its power when it was its own. 0, or an errno: logged, or certain to be told.
 */
static int define_moved(struct step *s)
{
	const char *name = s->row.new_name[0] ? s->row.new_name : s->row.guest;
	struct host *h = s->host;
	struct dom *d = dom_find_uuid(&h->doms, s->row.uuid);
	bool is_new = !d;
	int r = 0;

	if (!d && s->run && s->run->persist)
		r = dom_new(&h->doms, s->row.uuid, name, &d);
	if (!r && !d)
		r = -ENOENT; /* what was prepared cannot be had any more */
	if (!r)
		r = define_here(h, s->run, d);
	if (r && d && is_new)
		dom_remove(&h->doms, d);
	return r;
}

/* err: it has certainly not run one instruction here, and is to be given back. */
static void own_end(struct step *s, int err, const char *why)
{
	if (!err && (s->row.flags & MIG_PERSIST_DEST) && define_moved(s))
		log_error("domain %s: is this host's own, and is not defined here", s->row.guest);
	migrator_running(s->host->migrator, &s->id, err, why);
	hostd_wake(s->host);
	step_end(s);
}

static void own_done(void *data, struct dom *d, int code, const char *why)
{
	struct step *s = data;
	bool waits = d->guest && vmm_guest_state(d->guest) != VMM_RUNNING &&
		     vmm_guest_state(d->guest) != VMM_GONE;

	if (code)
		log_error("domain %s: it has moved here, but does not run: %s", d->name, why);
	/* One that died may have run before. */
	own_end(s, code && waits ? -EIO : 0, why);
}

static void own_served(void *data, int err, const char *why, int domid)
{
	struct step *s = data;

	if (err) {
		own_end(s, err, why);
		return;
	}
	s->dom->domid = domid;
	life_owned(s->host, s->dom, s->row.epoch + 1, s->row.flags & MIG_PAUSED, own_done, s);
}

static void own_act(struct step *s)
{
	bool may_have_run = s->run && s->run->restored;
	int r;

	if (!s->dom || !s->dom->guest) {
		own_end(s, may_have_run ? 0 : -EIO, "the guest's process has ended");
		return;
	}
	r = hstore_serve(s->host->store, s->row.uuid, s->row.epoch + 1, own_served, s);
	if (r)
		own_served(s, r, "too many wait for the store", -1);
}

/* An OFFLINE migration: the definition is all there is. */
static void own_definition(struct step *s)
{
	int r = define_moved(s);

	migrator_running(s->host->migrator, &s->id, r ? -EIO : 0,
			 r ? "it cannot be defined here" : "");
	hostd_wake(s->host);
	step_end(s);
}

void run_own(struct run *run, const struct mig_effect *e)
{
	data_listener_close(TAKE(run->listener));
	step_begin(run, e->row, e->row->flags & MIG_OFFLINE ? own_definition : own_act);
}

/* ---- the source's: it stays ---- */

/* One that ended by itself meanwhile may be restarted now that it stays. */
static void resume_end(struct step *s, int code, const char *why)
{
	bool ended = s->dom && (!s->dom->guest || s->dom->ending);

	if (ended && !s->dom->removed && !s->dom->ending)
		life_again(s->host, s->dom);
	if (ended)
		code = 0;
	if (code)
		log_error("domain %s: it stays here, but cannot go on: %s", s->row.guest, why);
	migrator_resumed(s->host->migrator, &s->id, code ? -EIO : 0, why);
	hostd_wake(s->host);
	step_end(s);
}

static void resume_done(void *data, struct dom *d, int code, const char *why)
{
	(void)d;
	resume_end(data, code, why);
}

static void resume_served(void *data, int err, const char *why, int domid)
{
	struct step *s = data;
	bool stays_paused = s->run && s->run->suspended;

	(void)domid;
	/* A guest goes on without its store, as any does on a host whose store has died. */
	s->dom->unserved = err && err != -ENOENT;
	if (err)
		log_warning("domain %s: goes on, and is not served: %s", s->dom->name, why);
	if (!s->row.was_running || stays_paused) {
		if (s->dom->reason == DOM_PAUSED_MIGRATION)
			life_set_state(s->host, s->dom, DOM_PAUSED, DOM_PAUSED_USER);
		resume_end(s, 0, "");
		return;
	}
	life_resume(s->host, s->dom, DOM_RUNNING_MIGRATION_CANCELED, resume_done, s);
}

static void resume_act(struct step *s)
{
	bool given;
	int r;

	if (!s->dom || !s->dom->guest) {
		resume_end(s, 0, ""); /* OFFLINE, or it has ended: there is nothing to resume */
		return;
	}
	/* A former daemon's sending may go on in the guest's process. */
	vmm_send_cancel(s->dom->guest);
	r = vmm_set_epoch(s->dom->guest, mig_row_epoch(&s->row, &given));
	if (r) {
		resume_end(s, 1, "the guest's epoch cannot be written");
		return;
	}
	r = hstore_serve(s->host->store, s->row.uuid, mig_row_epoch(&s->row, &given), resume_served,
			 s);
	if (r)
		resume_served(s, r, "too many wait for the store", -1);
}

void run_resume(struct run *run, const struct mig_effect *e)
{
	step_begin(run, e->row, resume_act);
}

/* ---- gone ---- */

static void undefine(struct step *s)
{
	struct dom *d = s->dom;

	if (!d->persistent || defs_remove(s->host, d->uuid))
		return;
	def_free(TAKE(d->persistent));
	event_lifecycle(s->host, d, EVENT_UNDEFINED, 0);
	if (!dom_is_active(d) && !d->ending)
		dom_remove(&s->host->doms, d);
}

static void destroy_done(void *data, struct dom *d, int code, const char *why)
{
	struct step *s = data;

	if (code) {
		log_error("domain %s: what is left of it here cannot be removed: %s", d->name, why);
		step_end(s);
		return; /* asked again after a restart */
	}
	if (s->row.side == MIG_SOURCE && (s->row.flags & MIG_UNDEFINE_SOURCE))
		undefine(s);
	migrator_gone(s->host->migrator, &s->id);
	hostd_wake(s->host);
	step_end(s);
}

/* There is no guest in the registry: its part of the store may be there all the same. */
static void store_gone(void *data, int err, const char *why, int domid)
{
	struct step *s = data;

	(void)domid;
	if (err) {
		log_error("domain %s: its part of the store stays for now: %s", s->row.guest, why);
		life_sweep_later(s->host);
	}
	migrator_gone(s->host->migrator, &s->id);
	hostd_wake(s->host);
	step_end(s);
}

/*
 * Whether what there is of the guest is this migration's to end: not a later life of it, one that
 * came back by another migration, say.
 */
static bool is_ours(const struct step *s)
{
	const struct vmm_guest *g = s->dom->guest;
	char id[VMM_MIGRATION_ID];

	if (!g)
		return true;
	if (s->row.side == MIG_SOURCE)
		return vmm_guest_epoch(g) <= s->row.epoch;
	if (s->row.phase == MIG_RETURNED)
		return vmm_guest_epoch(g) == s->row.epoch + 1;
	def_uuid_print(s->id.b, id);
	return !strcmp(vmm_guest_migration_id(g), id);
}

static void destroy_act(struct step *s)
{
	bool source = s->row.side == MIG_SOURCE;
	int reason = source ? DOM_SHUTOFF_MIGRATED : DOM_SHUTOFF_FAILED;

	if (s->dom)
		def_free(TAKE(s->dom->again));
	if (s->dom && source && s->run)
		job_end(s->host, s->dom, DOM_JOB_COMPLETED, "");
	if (s->dom && ((s->row.flags & MIG_OFFLINE) || !is_ours(s))) {
		destroy_done(s, s->dom, 0, "");
	} else if (s->dom) {
		life_destroy(s->host, s->dom, false, reason, destroy_done, s);
	} else if (s->row.flags & MIG_OFFLINE) {
		store_gone(s, 0, "", -1);
	} else {
		int r = hstore_destroy(s->host->store, s->row.uuid, store_gone, s);

		if (r)
			store_gone(s, r, "too many wait for it", -1);
	}
}

void run_destroy(struct run *run, const struct mig_effect *e)
{
	data_listener_close(TAKE(run->listener));
	step_begin(run, e->row, destroy_act);
}
