/* SPDX-License-Identifier: MIT */
/*
 * One thread's connection to the store, and its requests. Invariant: a connection that failed is
 * closed before the next job, and a job that failed for one that had failed before it began is done
 * once more: every job may be repeated.
 */
#include "hostd/store_seat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/session.h"
#include "hv/sim/sim.h"
#include "wire/wire.h"

#define LOCK_TIMEOUT_MS 2000u /* a guest that is about to stop waits for nobody longer */

void hstore_seat_fini(struct hstore_seat *s)
{
	drover_config_close(TAKE(s->config));
	sim_close(TAKE(s->sim));
	conf_batch_fini(&s->batch);
}

/* ---- the connection ---- */

static int open_sim(struct hstore_seat *s)
{
	int r = s->sim || s->shared->joined ? 0 : sim_open(s->shared->sim, &s->sim);

	if (r)
		return conf_fail(&s->err, r, "%s: the simulated hypervisor cannot be opened: %s",
				 s->shared->sim, strerror(-r));
	return 0;
}

static int connect_store(struct hstore_seat *s)
{
	struct drover_config_options opt = {
		.size = sizeof(opt),
		.store = s->shared->socket,
		.userdata = s->shared->userdata,
		.lock_timeout_ms = LOCK_TIMEOUT_MS,
		.store_timeout_ms = s->shared->timeout_ms,
		.no_scripts = true,
	};
	int r;

	if (s->config)
		return 0;
	r = drover_config_open(&opt, &s->config);
	if (!r)
		return open_sim(s);
	conf_fail(&s->err, r, "%s", drover_config_error(s->config));
	drover_config_close(TAKE(s->config));
	return r;
}

struct conf_client *seat_client(struct hstore_seat *s)
{
	return s->config->client;
}

/* ---- requests ---- */

void seat_begin(struct hstore_seat *s)
{
	conf_batch_clear(&s->batch);
	s->batch_err = 0;
}

void seat_add(struct hstore_seat *s, uint32_t type, const char *path, const void *tail, size_t len)
{
	if (!s->batch_err)
		s->batch_err = conf_batch_add(&s->batch, (enum xsd_sockmsg_type)type, 0, path, tail,
					      len, NULL);
}

void seat_add_domid(struct hstore_seat *s, uint32_t type, uint16_t domid, const void *tail,
		    size_t len)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", domid);
	seat_add(s, type, text, tail, len);
}

int seat_send(struct hstore_seat *s)
{
	if (s->batch_err == -ENOMEM)
		return conf_no_memory(&s->err);
	if (s->batch_err)
		return conf_fail(&s->err, -EFBIG, "store: a request would be too long");
	return conf_client_run(seat_client(s), &s->batch, &s->err);
}

const struct conf_reply *seat_reply(const struct hstore_seat *s, size_t i)
{
	return conf_batch_reply(&s->batch, i);
}

int seat_call_domid(struct hstore_seat *s, uint32_t type, uint16_t domid, int *ret_err)
{
	int r;

	seat_begin(s);
	seat_add_domid(s, type, domid, NULL, 0);
	r = seat_send(s);
	if (!r)
		*ret_err = seat_reply(s, 0)->err;
	return r;
}

int seat_refused(struct hstore_seat *s, const char *what, int err, bool ask_why)
{
	const struct conf_reply *reply;
	int r;

	if (ask_why) {
		seat_begin(s);
		seat_add(s, WIRE_WHY, "", NULL, 0);
		r = seat_send(s);
		if (r)
			return r;
		reply = seat_reply(s, 0);
		if (!reply->err && reply->len > 1)
			return conf_fail(&s->err, -EIO, "store: %s: %.400s (%s)", what, reply->data,
					 wire_errno_name(err));
	}
	return conf_fail(&s->err, -EIO, "store: %s: %s", what, wire_errno_name(err));
}

/* ---- jobs ---- */

static int run_once(struct hstore_seat *s, struct hstore_job *job)
{
	static int (*const jobs[HSTORE_JOBS])(struct hstore_seat *, struct hstore_job *) = {
		[HSTORE_CREATE] = job_create,	[HSTORE_JOIN] = job_join,
		[HSTORE_DESTROY] = job_destroy, [HSTORE_EXPORT] = job_export,
		[HSTORE_PREPARE] = job_prepare, [HSTORE_IMPORT] = job_import,
		[HSTORE_SERVE] = job_serve,	[HSTORE_FIND] = job_find,
		[HSTORE_SWEEP] = job_sweep,
	};
	int r = connect_store(s);

	s->err.text[0] = r ? s->err.text[0] : '\0';
	if (!r)
		r = jobs[job->type](s, job);
	if (s->config && conf_client_is_dead(seat_client(s)))
		drover_config_close(TAKE(s->config));
	return r;
}

void hstore_seat_run(struct hstore_seat *s, struct hstore_job *job)
{
	bool was_open = s->config != NULL;

	if (job->type != HSTORE_JOIN)
		job->domid = -1;
	job->err = 0;
	job->why[0] = '\0';
	if (!s->shared->socket) {
		job->domid = job->type == HSTORE_SWEEP ? 0 : -1;
		return;
	}
	job->err = run_once(s, job);
	if (job->err == -ECONNRESET && was_open)
		job->err = run_once(s, job);
	if (!job->err)
		return;
	job->domid = -1;
	snprintf(job->why, sizeof(job->why), "%s",
		 s->err.text[0] ? s->err.text : strerror(-job->err));
}
