/* SPDX-License-Identifier: MIT */
/*
 * A guest's part of the store where the guest stays: made, removed, served, found, swept.
 * Invariant: a job that failed to make one leaves nothing of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "config/create.h"
#include "config/json.h"
#include "config/session.h"
#include "hostd/store_seat.h"
#include "wire/wire.h"

#define MARKS_DIR "/drover/guests"

/* Removes what was begun; the reason stays that of the failure, and so does r. */
int guest_undo(struct hstore_seat *s, const char *uuid, struct hstore_mark *m, int r)
{
	struct conf_err why = s->err;

	if (!conf_client_is_dead(seat_client(s)) && guest_wipe(s, uuid, m))
		log_warning("store: guest %s: not all of it could be removed: %s", uuid,
			    s->err.text);
	s->err = why;
	return r;
}

int guest_make(struct hstore_seat *s, const char *uuid, uint64_t epoch, struct json_object *config,
	       int *ret_domid)
{
	struct hstore_mark m = { .domid = 0 };
	int r = guest_begin(s, uuid, epoch, &m);

	if (!r) {
		r = conf_create(s->config, m.domid, config);
		if (r)
			conf_fail(&s->err, r, "%s", drover_config_error(s->config));
	}
	if (!r)
		r = guest_introduce(s, &m);
	m.state = HSTORE_HERE;
	if (!r)
		r = mark_write(s, uuid, &m);
	if (r && m.domid)
		return guest_undo(s, uuid, &m, r);
	*ret_domid = m.domid;
	return r;
}

int job_create(struct hstore_seat *s, struct hstore_job *job)
{
	CLEANUP_JSON struct json_object *config = NULL;
	int r;

	if (s->shared->joined)
		return 0;
	r = guest_config(s, job->uuid_text, job->json, job->json_len, &config);
	if (!r)
		r = guest_clear(s, job->uuid_text, job->epoch, NULL);
	return r ? r : guest_make(s, job->uuid_text, job->epoch, config, &job->domid);
}

/* The guest's mark, if it is this host's; *ret_domid 0 where there is none. */
static int mark_of(struct hstore_seat *s, const char *uuid, struct hstore_mark *ret)
{
	int r = mark_read(s, uuid, ret);

	if (r == -ENOENT || (!r && strcmp(ret->host, s->shared->host) != 0))
		ret->domid = 0;
	return r == -ENOENT ? 0 : r;
}

int guest_find(struct hstore_seat *s, const char *uuid, struct hstore_mark *ret)
{
	int r = mark_of(s, uuid, ret);

	if (!r && (!ret->domid || ret->state != HSTORE_HERE))
		r = conf_fail(&s->err, -ENOENT, "store: guest %s is not in it", uuid);
	return r;
}

int job_destroy(struct hstore_seat *s, struct hstore_job *job)
{
	struct hstore_mark m;
	int r = mark_of(s, job->uuid_text, &m);

	if (!r && m.domid) {
		job->domid = m.domid;
		r = guest_wipe(s, job->uuid_text, &m);
	}
	return r;
}

int job_serve(struct hstore_seat *s, struct hstore_job *job)
{
	char path[64], text[HSTORE_MARK_MAX];
	struct hstore_mark m;
	int r = guest_find(s, job->uuid_text, &m), err;

	if (r)
		return r;
	m.epoch = job->epoch;
	mark_path(job->uuid_text, path);
	seat_begin(s);
	seat_add(s, XS_WRITE, path, text, mark_print(&m, text));
	seat_add_domid(s, WIRE_UNQUIESCE, m.domid, NULL, 0);
	r = seat_send(s);
	if (r)
		return r;
	err = seat_reply(s, 0)->err;
	if (err)
		return seat_refused(s, path, err, false);
	err = seat_reply(s, 1)->err;
	if (err && err != ENOSYS) /* who cannot quiesce serves all the time */
		return seat_refused(s, "the guest is not served", err, false);
	job->domid = m.domid;
	return 0;
}

int job_find(struct hstore_seat *s, struct hstore_job *job)
{
	struct hstore_mark m;
	int r = guest_find(s, job->uuid_text, &m);

	if (!r)
		job->domid = m.domid;
	return r == -ENOENT ? 0 : r;
}

static bool is_known(const struct hstore_job *job, const char *text)
{
	uint8_t uuid[DEF_UUID_SIZE];

	if (!def_uuid_parse(text, uuid))
		return true; /* somebody else's */
	for (size_t i = 0; i < job->n_known; i++)
		if (!memcmp(job->known[i], uuid, sizeof(uuid)))
			return true;
	return false;
}

static int sweep_one(struct hstore_seat *s, const char *uuid, int *count)
{
	struct hstore_mark m;
	int r = mark_of(s, uuid, &m);

	if (r == -EBADMSG) {
		log_warning("%s", s->err.text);
		return 0;
	}
	if (r || !m.domid)
		return r;
	r = guest_wipe(s, uuid, &m);
	if (!r) {
		log_notice("store: removed what was left of guest %s, domain %u", uuid, m.domid);
		(*count)++;
	}
	return r;
}

int job_sweep(struct hstore_seat *s, struct hstore_job *job)
{
	struct conf_err why;
	char *names = NULL;
	size_t len = 0;
	int count = 0;
	int r = conf_client_directory(seat_client(s), 0, MARKS_DIR, &why, &names, &len);

	if (r && r != -ENOENT)
		return conf_fail(&s->err, r, "%s", why.text);
	r = 0;
	for (size_t at = 0; at < len && !r; at += strlen(names + at) + 1)
		if (!is_known(job, names + at))
			r = sweep_one(s, names + at, &count);
	free(names);
	job->domid = count;
	return r;
}
