/* SPDX-License-Identifier: MIT */
/*
 * A guest is saved. Invariant: until its file has its name the guest is only paused, and nothing
 * of it is ended; from then on it never runs again.
 *
 *   BEGIN   mark; the file, under another name, with the definition
 *   MOVE    the guest stops; memory and the store's part are taken
 *   FINISH  store's part and head: on disk
 *   COMMIT  renamed
 *   END     process and store's part are ended, the mark with them
 *   UNDO_…  served, resumed, the file and then the mark removed
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/job.h"
#include "hostd/save_own.h"
#include "hostd/store.h"
#include "hostd/xml.h"
#include "rpc/error.h"

/* ---- begin ---- */

static void begin_file(struct save *s)
{
	s->work_err = save_file_begin(s->part, s->path, s->xml, strlen(s->xml), &s->head, &s->fd,
				      s->work_why, sizeof(s->work_why));
}

static int make_id(struct save *s)
{
	if (getrandom(s->head.id, sizeof(s->head.id), 0) != (ssize_t)sizeof(s->head.id))
		return FAULT(-EIO);
	def_uuid_print(s->head.id, s->id);
	return 0;
}

/* What is known before anything is done. */
static int prepare(struct save *s, const struct save_how *how)
{
	struct dom *d = s->dom;
	char *managed = how->path ? NULL : save_managed_path(s->host, d->uuid);
	const char *path = how->path ? how->path : managed;
	int r = make_id(s);

	s->was_running = d->state == DOM_RUNNING;
	s->managed = !how->path;
	s->epoch = vmm_guest_epoch(d->guest);
	memcpy(s->head.uuid, d->uuid, sizeof(s->head.uuid));
	s->head.running = how->run < 0 ? s->was_running : how->run;
	s->head.epoch = s->epoch;
	s->head.saved_s = hostd_wall_ms(s->host) / 1000;
	snprintf(s->head.backend, sizeof(s->head.backend), "%s", vmm_name(s->host->vmm));
	if (!r)
		r = xml_print(how->def ? how->def : d->live, -1, XML_MIGRATABLE | XML_SECURE,
			      &s->xml);
	if (!r && (!path || !save_set_path(s, path)))
		r = FAULT(-ENOMEM);
	free(managed);
	return r;
}

static const char *cannot_be_saved(const struct dom *d, const struct save_how *how)
{
	if (!dom_is_active(d) || !d->guest || d->incoming || d->ending || d->starting)
		return "domain is not running";
	if (vmm_guest_state(d->guest) != VMM_RUNNING && vmm_guest_state(d->guest) != VMM_PAUSED)
		return "the domain's process does not answer";
	if (!how->path && !d->persistent)
		return "a transient domain has no place for a managed file";
	if (how->path && (how->path[0] != '/' || strlen(how->path) >= SAVE_PATH_MAX))
		return "the file's path is not an absolute one";
	return NULL;
}

void save_guest(struct host *h, struct dom *d, const struct save_how *how, life_done_fn *done,
		void *data)
{
	const char *why = cannot_be_saved(d, how);
	struct save *s;
	int r;

	if (why) {
		done(data, d, RPC_ERR_OPERATION_INVALID, why);
		return;
	}
	s = save_new(h, d, done, data);
	if (!s)
		return;
	job_begin(h, d, DOM_JOB_SAVE, NULL);
	r = prepare(s, how);
	if (!r)
		r = save_mark_write(s);
	s->phase = SAVE_BEGIN;
	if (r) {
		save_fail_errno(s, r, "the guest's directory cannot be written");
		save_done(s);
		return;
	}
	save_work(s, begin_file);
}

/* ---- memory and store ---- */

static void on_begun(void *data, int err, const char *why)
{
	struct save *s = data;

	if (err)
		save_moved(s, err, why);
	save_idle(s);
}

static void on_exported(void *data, int err, const char *why, const uint8_t *blob, size_t len)
{
	struct save *s = data;

	if (err) {
		save_fail_errno(s, err, why);
	} else if (len) {
		s->blob = malloc(len);
		if (s->blob)
			memcpy(s->blob, blob, len);
		else
			save_fail_errno(s, FAULT(-ENOMEM), "no memory");
		s->blob_len = len;
	}
	save_idle(s);
}

/* Once it has stopped, whoever says so first. */
static void export(struct save *s)
{
	unsigned int flags = 0;
	int r;

	if (s->exporting || s->code)
		return;
	s->exporting = true;
	if (s->dom->guest && vmm_guest_is_unaware(s->dom->guest))
		flags |= HSTORE_UNAWARE;
	r = hstore_export(s->host->store, s->dom->uuid, flags, on_exported, s);
	if (r)
		save_fail_errno(s, r, "too many wait for the store");
	else
		s->busy++;
}

void save_stopped(struct dom *d)
{
	struct save *s = d->save;

	if (!s->restore && s->phase == SAVE_MOVE)
		export(s);
}

void save_sent(struct dom *d, int err, const char *why)
{
	struct save *s = d->save;

	if (s->restore)
		return;
	if (!err && s->phase == SAVE_MOVE)
		export(s);
	save_moved(s, err, why);
}

static void move(struct save *s)
{
	const struct vmm_send_options opt = { .live = false };
	int fd, r;

	s->phase = SAVE_MOVE;
	if (!save_has_process(s)) {
		save_fail(s, RPC_ERR_OPERATION_FAILED, "the guest's process has ended");
		save_out_next(s);
		return;
	}
	s->busy++; /* until all of it has begun */
	fd = save_connect(s, &s->head.memory);
	if (fd < 0) {
		save_fail_errno(s, fd, "");
		save_idle(s);
		return;
	}
	s->sending = true;
	s->busy += 2; /* its beginning, and its end */
	r = vmm_send(s->dom->guest, fd, &opt, on_begun, s);
	if (r) {
		save_moved(s, r, "the guest cannot be saved as it is now");
		save_idle(s);
	}
	save_idle(s);
}

/* ---- the file's end, and the guest's ---- */

static void finish_file(struct save *s)
{
	s->work_err = save_file_finish(s->fd, &s->head, s->blob, s->blob_len, s->work_why,
				       sizeof(s->work_why));
}

static void commit_file(struct save *s)
{
	s->work_err = save_file_commit(s->part, s->path, s->work_why, sizeof(s->work_why));
}

static void on_ended(void *data, struct dom *d, int code, const char *why)
{
	struct save *s = data;

	if (code) {
		log_error("domain %s: is saved in %s, and its process cannot be ended: %s", d->name,
			  s->path, why);
		save_fail(s, code, why);
	}
	save_done(s);
}

static void end(struct save *s)
{
	struct dom *d = s->dom;

	s->phase = SAVE_END;
	if (s->managed)
		d->managed = true;
	log_notice("domain %s: saved in %s", d->name, s->path);
	life_destroy(s->host, d, false, DOM_SHUTOFF_SAVED, on_ended, s);
}

/* ---- it came to nothing ---- */

static void on_served(void *data, int err, const char *why, int domid)
{
	struct save *s = data;

	(void)domid;
	s->dom->unserved = err && err != -ENOENT;
	if (err)
		log_warning("domain %s: goes on, and is not served: %s", s->dom->name, why);
	save_idle(s);
}

static void undo_serve(struct save *s)
{
	s->phase = SAVE_UNDO_SERVE;
	if (!save_has_process(s)) {
		save_out_next(s);
		return;
	}
	s->busy++;
	if (hstore_serve(s->host->store, s->dom->uuid, s->epoch, on_served, s))
		on_served(s, -ENOSPC, "too many wait for the store", -1);
}

static void on_resumed(void *data, struct dom *d, int code, const char *why)
{
	struct save *s = data;

	if (code)
		log_error("domain %s: was not saved, and cannot go on: %s", d->name, why);
	save_idle(s);
}

static void undo_resume(struct save *s)
{
	struct dom *d = s->dom;

	s->phase = SAVE_UNDO_RESUME;
	if (!save_has_process(s) || !s->was_running) {
		if (save_has_process(s) && d->reason == DOM_PAUSED_SAVE)
			life_set_state(s->host, d, DOM_PAUSED, DOM_PAUSED_USER);
		save_out_next(s);
		return;
	}
	s->busy++;
	life_resume(s->host, d, DOM_RUNNING_SAVE_CANCELED, on_resumed, s);
}

static void remove_file(struct save *s)
{
	s->work_err = save_file_remove(s->part, s->work_why, sizeof(s->work_why));
}

/* ---- one step after the other ---- */

static bool worked(struct save *s)
{
	if (s->work_err)
		save_fail_errno(s, s->work_err, s->work_why);
	s->work_err = 0;
	return !s->code;
}

void save_out_next(struct save *s)
{
	switch (s->phase) {
	case SAVE_FOUND:
		save_found_judge(s);
		break;
	case SAVE_BEGIN:
		if (worked(s))
			move(s);
		else
			undo_serve(s);
		break;
	case SAVE_MOVE:
		if (!s->code && !s->head.memory.len)
			save_fail(s, RPC_ERR_OPERATION_FAILED, "the guest's process sent nothing");
		if (s->code) {
			undo_serve(s);
			break;
		}
		s->phase = SAVE_FINISH;
		save_work(s, finish_file);
		break;
	case SAVE_FINISH:
		if (!worked(s)) {
			undo_serve(s);
			break;
		}
		s->phase = SAVE_COMMIT;
		save_work(s, commit_file);
		break;
	case SAVE_COMMIT:
		if (worked(s))
			end(s);
		else
			undo_serve(s);
		break;
	case SAVE_END:
		end(s);
		break;
	case SAVE_UNDO_BEGIN:
		undo_serve(s);
		break;
	case SAVE_UNDO_SERVE:
		undo_resume(s);
		break;
	case SAVE_UNDO_RESUME:
		s->phase = SAVE_UNDO_FILE;
		save_work(s, remove_file);
		break;
	case SAVE_UNDO_FILE:
		if (s->work_err)
			log_warning("%s: stays: %s", s->part, s->work_why);
		save_mark_remove(s);
		save_done(s);
		break;
	}
}
