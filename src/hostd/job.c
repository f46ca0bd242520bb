/* SPDX-License-Identifier: MIT */
/*
 * Jobs: what a migration has done so far, and what became of the last one. Invariant: a job that
 * has ended is never changed again.
 */
#include "hostd/job.h"

#include <stdio.h>
#include <string.h>

#include "hostd/event.h"
#include "hostd/job_own.h"
#include "migrate/migrate.h"

void job_begin(struct host *h, struct dom *d, enum dom_job_operation op,
	       const uint8_t migration[16])
{
	memset(&d->job, 0, sizeof(d->job));
	d->job.type = DOM_JOB_UNBOUNDED;
	d->job.operation = op;
	if (migration)
		memcpy(d->job.migration, migration, sizeof(d->job.migration));
	d->job.started_ms = hostd_now_ms(h);
	d->job.begun_wall_ms = hostd_wall_ms(h);
}

void job_progress(struct host *h, struct dom *d, const struct vmm_progress *p)
{
	(void)h;
	if (d->job.type != DOM_JOB_NONE)
		d->job.progress = *p;
}

void job_end(struct host *h, struct dom *d, enum dom_job_type outcome, const char *why)
{
	if (d->job.type == DOM_JOB_NONE)
		return;
	d->last = d->job;
	d->last.type = outcome;
	d->last.ended_ms = hostd_now_ms(h);
	snprintf(d->last.why, sizeof(d->last.why), "%s", why);
	if (outcome == DOM_JOB_COMPLETED)
		d->last.progress.memory_remaining = 0;
	memset(&d->job, 0, sizeof(d->job));
	event_job_completed(h, d);
}

struct search {
	const uint8_t *uuid;
	const struct mig_row *newest; /* borrowed from the migrator */
};

static void consider(void *data, const struct mig_row *row)
{
	struct search *s = data;

	if (!memcmp(row->uuid, s->uuid, sizeof(row->uuid)))
		s->newest = row;
}

/* A guest that runs in another epoch than that migration left it in was started anew since. */
static bool was_another_life(const struct dom *d, const struct mig_row *row)
{
	bool given;
	uint64_t epoch = mig_row_epoch(row, &given);

	return d->guest && (given || epoch != vmm_guest_epoch(d->guest));
}

void job_last(const struct host *h, const struct dom *d, struct dom_job *ret)
{
	struct search s = { .uuid = d->uuid };

	*ret = d->last;
	if (ret->type != DOM_JOB_NONE || !h->migrator)
		return;
	migrator_each(h->migrator, consider, &s);
	if (!s.newest || s.newest->outcome == MIG_OPEN || was_another_life(d, s.newest))
		return;
	ret->type = s.newest->outcome == MIG_MOVED ? DOM_JOB_COMPLETED : DOM_JOB_FAILED;
	ret->operation =
		s.newest->side == MIG_SOURCE ? DOM_JOB_MIGRATION_OUT : DOM_JOB_MIGRATION_IN;
	memcpy(ret->migration, s.newest->id.b, sizeof(ret->migration));
	ret->begun_wall_ms = s.newest->begun_ms;
	ret->started_ms = 1;
	ret->ended_ms = 1;
	if (s.newest->phase_ms > s.newest->begun_ms)
		ret->ended_ms += s.newest->phase_ms - s.newest->begun_ms;
	snprintf(ret->why, sizeof(ret->why), "%s", s.newest->why);
}

static void put_memory(struct params *w, const struct dom_job *j)
{
	const struct vmm_progress *p = &j->progress;

	params_put_u64(w, "data_total", p->memory_total);
	params_put_u64(w, "data_processed", p->memory_processed);
	params_put_u64(w, "data_remaining", p->memory_remaining);
	params_put_u64(w, "memory_total", p->memory_total);
	params_put_u64(w, "memory_processed", p->memory_processed);
	params_put_u64(w, "memory_remaining", p->memory_remaining);
	if (p->rate_bps)
		params_put_u64(w, "memory_bps", p->rate_bps);
	params_put_u64(w, "memory_constant", p->pages_constant);
	params_put_u64(w, "memory_normal", p->pages_normal);
	params_put_u64(w, "memory_normal_bytes", p->pages_normal * p->page_size);
	params_put_u64(w, "memory_dirty_rate", p->dirty_rate_pages);
	params_put_u64(w, "memory_iteration", p->iteration);
	if (p->page_size)
		params_put_u64(w, "memory_page_size", p->page_size);
	if (p->compressed) {
		params_put_u64(w, "compression_bytes", p->compress_bytes);
		params_put_u64(w, "compression_pages", p->compress_pages);
	}
	if (p->throttle_percent)
		params_put_int(w, "auto_converge_throttle", (int)p->throttle_percent);
}

void job_params(const struct host *h, const struct dom_job *j, struct params *ret)
{
	uint64_t end = j->ended_ms ? j->ended_ms : hostd_now_ms(h);

	ret->n = 0;
	params_put_int(ret, "operation", (int)j->operation);
	params_put_u64(ret, "time_elapsed", end - j->started_ms);
	if (j->progress.downtime_ms)
		params_put_u64(ret, "downtime", j->progress.downtime_ms);
	if (j->progress.setup_ms)
		params_put_u64(ret, "setup_time", j->progress.setup_ms);
	put_memory(ret, j);
	if (!j->ended_ms)
		return;
	params_put_bool(ret, "success", j->type == DOM_JOB_COMPLETED);
	if (*j->why)
		params_put_text(ret, "errmsg", j->why);
}
