/* SPDX-License-Identifier: MIT */
/*
 * What migrations say to the rest of the daemon. Invariant: a guest whose owner is being settled
 * is changed by nobody but its migration, but that its owner may end it.
 */
#include "hostd/migration_hooks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "hostd/job.h"
#include "hostd/life.h"
#include "hostd/migration_args.h"
#include "hostd/p2p.h"
#include "hostd/peer.h"
#include "migrate/journal.h"
#include "rpc/error.h"

enum { /* VIR_DRV_FEATURE_* */
       FEATURE_P2P = 4,
       FEATURE_CHANGE_PROTECTION = 7,
       FEATURE_XML_MIGRATABLE = 11,
       FEATURE_OFFLINE = 12,
       FEATURE_PARAMS = 13,
};

static const char *const change_names[] = {
	[HOSTD_START] = "started",   [HOSTD_SUSPEND] = "paused",
	[HOSTD_RESUME] = "resumed",  [HOSTD_SHUTDOWN] = "shut down",
	[HOSTD_REBOOT] = "rebooted", [HOSTD_DESTROY] = "destroyed",
	[HOSTD_DEFINE] = "defined",  [HOSTD_UNDEFINE] = "undefined",
	[HOSTD_SAVE] = "saved",
};

/* While it is still the source's alone. */
static bool owner_may(const struct mig_row *row, enum hostd_change what)
{
	bool here = row->side == MIG_SOURCE && row->phase != MIG_GIVEN &&
		    row->phase != MIG_ABORTED && row->phase != MIG_ABORTING;

	switch (what) {
	case HOSTD_DESTROY:
		return here && !row->arbiter;
	case HOSTD_SHUTDOWN:
	case HOSTD_REBOOT:
		return here && row->phase != MIG_SENT && !row->arbiter;
	case HOSTD_SUSPEND:
	case HOSTD_RESUME:
		return here && row->phase != MIG_SENT;
	default:
		return false;
	}
}

static int may(struct host *h, struct dom *d, enum hostd_change what, char *text, size_t room)
{
	const struct mig_row *row = migrator_job(h->migrator, d->uuid);
	struct run *run = d->migration;

	if (!row)
		return 0;
	if (owner_may(row, what)) {
		if (run && (what == HOSTD_SUSPEND || what == HOSTD_RESUME))
			run_keep_suspended(run, what == HOSTD_SUSPEND);
		/* Before anything is touched: what may have been sent whole must not be asked for
		 * while its owner is told that it is gone. */
		if (run && what == HOSTD_DESTROY && d->guest)
			(void)migrator_abort(h->migrator, d->uuid,
					     "destroyed while it was being moved", text, room);
		return 0;
	}
	snprintf(text, room, "domain '%s' cannot be %s now: it is being migrated %s %s (%s)",
		 d->name, change_names[what], row->side == MIG_SOURCE ? "to" : "from",
		 row->peer.name[0] ? row->peer.name : "another host", mig_phase_name(row->phase));
	return RPC_ERR_OPERATION_INVALID;
}

static int epoch(struct host *h, const uint8_t *uuid, uint64_t *ret, char *text, size_t room)
{
	bool given = false;
	uint64_t last = 0;
	int r = journal_epoch_get(h->journal, uuid, &last, &given);

	/* Each start is an epoch of its own: what was given away stays so. */
	if (!r)
		r = journal_epoch_set(h->journal, uuid, last + 1, false);
	if (r) {
		snprintf(text, room, "the journal cannot be written: %s", strerror(-r));
		return RPC_ERR_OPERATION_FAILED;
	}
	*ret = last + 1;
	return 0;
}

uint64_t migration_epoch(struct host *h, const struct dom *d)
{
	uint64_t last = 0;
	bool given;

	if (d->guest)
		return vmm_guest_epoch(d->guest);
	return journal_epoch_get(h->journal, d->uuid, &last, &given) ? 0 : last;
}

static bool is_away(struct host *h, const struct dom *d)
{
	uint64_t last = 0;
	bool given = false;

	return !journal_epoch_get(h->journal, d->uuid, &last, &given) && given;
}

/* A guest that its host stopped for an I/O error is not sent on, where the client asked for that.
 */
static void io_error(struct host *h, struct run *run)
{
	const struct mig_row *row = migrator_find(h->migrator, &run->id);
	char text[256];

	if (!row || row->side != MIG_SOURCE || !(row->flags & MIG_ABORT_ON_ERROR))
		return;
	run_keep_suspended(run, true); /* here, too, it would meet the error again */
	(void)migrator_abort(h->migrator, row->uuid, "the guest met an I/O error", text,
			     sizeof(text));
}

static bool changed(struct host *h, struct dom *d, enum vmm_state state, enum vmm_reason reason)
{
	struct run *run = d->migration;

	if (run && state != VMM_GONE)
		run_answers(run);
	if (run && state == VMM_PAUSED && reason == VMM_IO_ERROR)
		io_error(h, run);
	else if (run && state == VMM_GONE)
		migrator_guest_died(h->migrator, &run->id,
				    reason == VMM_SHUTDOWN  ? "the guest switched itself off"
				    : reason == VMM_BY_USER ? "the guest was destroyed"
							    : "the guest's process died");
	return false;
}

static void progress(struct host *h, struct dom *d, const struct vmm_progress *p)
{
	job_progress(h, d, p);
}

static void stopped(struct host *h, struct dom *d)
{
	struct run *run = d->migration;

	if (run && run->side == MIG_SOURCE)
		migrator_stopped(h->migrator, &run->id);
}

static void sent(struct host *h, struct dom *d, int err, const char *why)
{
	struct run *run = d->migration;

	if (!run || run->side != MIG_SOURCE)
		return;
	run->sending = false;
	migrator_sent(h->migrator, &run->id, err, why);
}

static void received(struct host *h, struct dom *d, int err, const char *why)
{
	struct run *run = d->migration;

	(void)h;
	if (run && run->side == MIG_DESTINATION)
		run_received(run, err, why);
}

static void caller_closed(struct host *h, uint64_t caller)
{
	migrator_client_closed(h->migrator, caller);
	p2p_caller_closed(h, caller);
}

/* START was never seen, or the journal would know: nobody will ever ask for it. */
void migration_sweep(struct host *h)
{
	for (size_t i = 0; i < h->doms.n; i++) {
		struct dom *d = h->doms.by_uuid[i];

		if (!d->incoming || d->migration)
			continue;
		log_notice("domain %s: was being received for a migration that was not begun; "
			   "it is ended",
			   d->name);
		life_destroy(h, d, false, DOM_SHUTOFF_FAILED, NULL, NULL);
	}
}

const struct hostd_hooks *migration_hooks(void)
{
	/* Versions before the third with parameters are not served, so that clients use that. */
	static const struct hostd_hooks hooks = {
		.procs = migration_procs,
		.peer_procs = peer_procs,
		.features = 1ull << FEATURE_P2P | 1ull << FEATURE_CHANGE_PROTECTION |
			    1ull << FEATURE_XML_MIGRATABLE | 1ull << FEATURE_OFFLINE |
			    1ull << FEATURE_PARAMS,
		.may = may,
		.epoch = epoch,
		.is_away = is_away,
		.changed = changed,
		.progress = progress,
		.stopped = stopped,
		.sent = sent,
		.received = received,
		.caller_closed = caller_closed,
		.round = migration_round,
	};

	return &hooks;
}
