/* SPDX-License-Identifier: MIT */
/*
 * A guest is restored. Invariant: its process runs only after its epoch is in the journal and its
 * mark in its directory; before that it is one that waits, and is ended where anything fails, or
 * by the next daemon; the file is as it was.
 *
 *   BEGIN   a process that waits
 *   MOVE    its memory, checked against its checksum
 *   FINISH  the store's part
 *   COMMIT  epoch, mark; served; it runs
 *   END     a managed file is removed, the mark after it
 *   UNDO_…  the process is ended
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/job.h"
#include "hostd/save_own.h"
#include "hostd/store.h"
#include "hostd/store_blob.h"
#include "migrate/journal.h"
#include "rpc/error.h"
#include "vmm/xl_config.h"

static void text_freep(char **p)
{
	free(*p);
}

/* ---- whether it may be ---- */

static int refuse(char *text, size_t room, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(char *text, size_t room, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, room, fmt, ap);
	va_end(ap);
	return RPC_ERR_OPERATION_INVALID;
}

/*
 * What the journal knows of the guest beside what the file does. A guest that ran after it was
 * saved has changed its disks: of the file that the daemon keeps by itself nobody can want that.
 */
static int judge_epoch(struct host *h, struct dom *d, const struct save_image *i, bool managed,
		       uint64_t *ret, char *text, size_t room)
{
	uint64_t last = 0;
	bool given = false;
	int r = journal_epoch_get(h->journal, d->uuid, &last, &given);

	if (r)
		return refuse(text, room, "the journal cannot be read: %s", strerror(-r));
	if (given)
		return refuse(text, room,
			      "domain '%s' was given to another host after it was saved (it was "
			      "saved in epoch %" PRIu64 ", and given away in %" PRIu64 ")",
			      d->name, i->head.epoch, last);
	if (managed && last > i->head.epoch)
		return refuse(text, room,
			      "domain '%s' has run since it was saved (in epoch %" PRIu64
			      ", now %" PRIu64 "): its file is only removed, or passed over",
			      d->name, i->head.epoch, last);
	if (last > i->head.epoch)
		log_warning("domain %s: has run since %s was saved (in epoch %" PRIu64
			    ", now %" PRIu64 ")",
			    d->name, i->path, i->head.epoch, last);
	*ret = (last > i->head.epoch ? last : i->head.epoch) + 1;
	return 0;
}

static int judge(struct host *h, struct dom *d, const struct save_image *i, bool managed,
		 uint64_t *ret, char *text, size_t room)
{
	if (d->removed || d->ending || dom_is_active(d))
		return refuse(text, room, "domain '%s' is already running", d->name);
	if (memcmp(d->uuid, i->head.uuid, DEF_UUID_SIZE) != 0)
		return refuse(text, room, "%s is another domain's", i->path);
	if (strcmp(i->head.backend, vmm_name(h->vmm)) != 0)
		return refuse(text, room,
			      "%s is a domain of backend %s; this daemon's guests are of %s",
			      i->path, i->head.backend, vmm_name(h->vmm));
	return judge_epoch(h, d, i, managed, ret, text, room);
}

/* ---- its process and its memory ---- */

static void on_waits(void *data, struct dom *d, int code, const char *why)
{
	struct save *s = data;

	(void)d;
	if (code)
		save_fail(s, code, why);
	save_idle(s);
}

void save_restore(struct host *h, struct dom *d, struct save_image *image, bool managed, int run,
		  life_done_fn *done, void *data)
{
	char text[VMM_ERROR_MAX];
	struct guest_def *def;
	uint64_t epoch = 0;
	struct save *s = NULL;
	int code = judge(h, d, image, managed, &epoch, text, sizeof(text));

	if (code)
		done(data, d, code, text);
	else
		s = save_new(h, d, done, data);
	if (!s) {
		save_image_free(image);
		return;
	}
	s->image = image;
	s->restore = true;
	s->managed = managed;
	s->epoch = epoch;
	s->was_running = run < 0 ? image->head.running : run;
	s->head = image->head;
	s->phase = SAVE_BEGIN;
	def_uuid_print(image->head.id, s->id);
	job_begin(h, d, DOM_JOB_RESTORE, NULL);
	def = save_set_path(s, image->path) ? def_copy(image->def) : NULL;
	if (!def) {
		save_fail_errno(s, -ENOMEM, "no memory");
		save_done(s);
		return;
	}
	s->busy++;
	life_incoming(h, d, def, epoch, s->id, on_waits, s);
}

/* The number that it had, where that is free: what the guest knows of itself stays true. */
static void wish_domid(struct save *s)
{
	char text[VMM_ERROR_MAX];
	struct hstore_blob b;

	if (s->image->head.store.len &&
	    !hstore_blob_parse(s->image->store, (size_t)s->image->head.store.len, &b, text,
			       sizeof(text)))
		vmm_set_domid_wish(s->dom->guest, b.domid);
}

static void move(struct save *s)
{
	int fd, r;

	s->phase = SAVE_MOVE;
	s->busy++; /* until all of it has begun */
	fd = save_has_process(s) ? save_connect(s, &s->image->head.memory) : -ENOTCONN;
	if (fd < 0) {
		save_fail_errno(s, fd, "");
		save_idle(s);
		return;
	}
	s->sending = true;
	s->busy++;
	wish_domid(s);
	r = vmm_receive(s->dom->guest, fd);
	if (r)
		save_moved(s, r, "the guest's process cannot receive");
	save_idle(s);
}

/* ---- the store's part ---- */

static void import(struct save *s);

static void on_imported(void *data, int err, const char *why, int domid)
{
	struct save *s = data;

	if (err)
		save_fail_errno(s, err, why);
	else
		s->dom->domid = domid;
	save_idle(s);
}

static void on_joined(void *data, int err, const char *why, int domid)
{
	struct save *s = data;

	if (err || !s->image->head.store.len)
		on_imported(s, err, why, domid);
	else
		import(s);
}

/* Where libxl has made the domain, its number is told before what is to be in it. */
static void join(struct save *s)
{
	struct hstore *store = s->host->store;
	int r;

	s->phase = SAVE_FINISH;
	s->busy++;
	if (!hstore_is_joined(store) || !save_has_process(s)) {
		import(s);
		return;
	}
	r = hstore_join(store, s->dom->uuid, s->epoch, vmm_guest_domid(s->dom->guest),
			s->image->head.store.len > 0, on_joined, s);
	if (r)
		on_imported(s, r, "too many wait for the store", -1);
}

/* One that was saved where there was no store gets what a guest that boots gets. */
static void import(struct save *s)
{
	const struct save_image *i = s->image;
	CLEANUP(text_free) char *json = NULL;
	struct hstore *store = s->host->store;
	char text[VMM_ERROR_MAX] = "no memory";
	size_t len = 0;
	int r = 0;

	if (!save_has_process(s))
		r = -ENOTCONN;
	if (!r && !hstore_is_none(store))
		r = xl_config_print(s->dom->live, &json, &len, text, sizeof(text));
	if (r) {
		save_fail_errno(s, r, r == -ENOTCONN ? "the guest's process has ended" : text);
		save_idle(s);
		return;
	}
	if (i->head.store.len)
		r = hstore_import(store, s->dom->uuid, s->epoch, 0, i->store,
				  (size_t)i->head.store.len, json, len, on_imported, s);
	else
		r = hstore_create(store, s->dom->uuid, s->epoch, json ? json : "", len, on_imported,
				  s);
	if (r)
		on_imported(s, r, "too many wait for the store", -1);
}

/* ---- it is this host's, and runs ---- */

static void on_owned(void *data, struct dom *d, int code, const char *why)
{
	struct save *s = data;

	/* One that has ended, or runs, may have run; so may one of a former daemon. */
	if (code && !s->found && save_has_process(s) && vmm_guest_state(d->guest) != VMM_RUNNING)
		save_fail(s, code, why);
	else if (code)
		log_error("domain %s: was restored: %s", d->name, why);
	save_idle(s);
}

/* The journal last, so that it seldom knows of a life that never began. */
static void on_served(void *data, int err, const char *why, int domid)
{
	struct save *s = data;

	if (err && s->found) {
		s->dom->unserved = err != -ENOENT;
		err = 0;
	}
	if (!err && !save_has_process(s))
		err = -ENOTCONN;
	if (!err)
		err = save_mark_write(s);
	if (!err)
		err = journal_epoch_set(s->host->journal, s->dom->uuid, s->epoch, false);
	if (err) {
		save_fail_errno(s, err, why);
		save_idle(s);
		return;
	}
	s->dom->domid = domid;
	life_owned(s->host, s->dom, s->epoch, !s->was_running, on_owned, s);
}

static void own(struct save *s)
{
	int r = -ENOTCONN;

	s->phase = SAVE_COMMIT;
	s->busy++;
	if (save_has_process(s))
		r = hstore_serve(s->host->store, s->dom->uuid, s->epoch, on_served, s);
	if (r)
		on_served(s, r, "", -1);
}

/* ---- the end ---- */

static void remove_managed(struct save *s)
{
	s->work_err = save_file_remove(s->path, s->work_why, sizeof(s->work_why));
}

static void end(struct save *s)
{
	s->phase = SAVE_END;
	log_notice("domain %s: restored from %s", s->dom->name, s->path);
	if (s->managed) {
		save_work(s, remove_managed);
		return;
	}
	save_mark_remove(s);
	save_done(s);
}

static void ended(struct save *s)
{
	if (s->work_err)
		log_error("domain %s: runs, and its file stays: %s", s->dom->name, s->work_why);
	s->dom->managed = s->work_err != 0;
	save_mark_remove(s);
	save_done(s);
}

static void on_destroyed(void *data, struct dom *d, int code, const char *why)
{
	(void)code;
	(void)why;
	(void)d;
	save_done(data);
}

void save_epoch_undo(struct save *s)
{
	if (journal_epoch_set(s->host->journal, s->dom->uuid, s->epoch - 1, false))
		log_error("domain %s: the journal cannot be written", s->dom->name);
}

static void undo(struct save *s)
{
	if (s->phase == SAVE_COMMIT)
		save_epoch_undo(s);
	s->phase = SAVE_UNDO_FILE;
	log_error("domain %s: was not restored from %s: %s", s->dom->name, s->path, s->why);
	life_destroy(s->host, s->dom, false, DOM_SHUTOFF_FAILED, on_destroyed, s);
}

void save_in_next(struct save *s)
{
	if (s->code && s->found) {
		log_error("domain %s: was restored: %s", s->dom->name, s->why);
		s->code = 0;
	} else if (s->code && s->phase != SAVE_END) {
		undo(s);
		return;
	}
	switch (s->phase) {
	case SAVE_FOUND: /* it is owned already: done again, and the rest of it */
		own(s);
		break;
	case SAVE_BEGIN:
		move(s);
		break;
	case SAVE_MOVE:
		join(s);
		break;
	case SAVE_FINISH:
		own(s);
		break;
	case SAVE_COMMIT:
		end(s);
		break;
	case SAVE_END:
		ended(s);
		break;
	default:
		save_done(s);
	}
}
