/* SPDX-License-Identifier: MIT */
/*
 * What saving and restoring have in common. Invariant: a step begins only when nothing of the one
 * before is under way any more, so what a step finds is as the former left it; and whoever asked is
 * told once, last of all.
 */
#include "hostd/save.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/job.h"
#include "hostd/save_own.h"
#include "hostd/settings.h"
#include "rpc/error.h"

int save_code(int err)
{
	switch (err < 0 ? -err : err) {
	case 0:
		return 0;
	case ENOMEM:
		return RPC_ERR_NO_MEMORY;
	case ECANCELED:
		return RPC_ERR_OPERATION_ABORTED;
	case EBADMSG:
		return RPC_ERR_OPERATION_FAILED;
	default:
		return RPC_ERR_SYSTEM;
	}
}

/* ---- one of them ---- */

struct save *save_new(struct host *h, struct dom *d, life_done_fn *done, void *data)
{
	struct save *s = NULL;

	if (h->saves->n >= SAVES_MAX) {
		if (done)
			done(data, d, RPC_ERR_RESOURCE_BUSY,
			     "too many domains are being saved or restored");
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		if (done)
			done(data, d, RPC_ERR_NO_MEMORY, "no memory");
		return NULL;
	}
	s->host = h;
	s->dom = dom_ref(d);
	s->done = done;
	s->data = data;
	s->fd = -1;
	list_init(&s->link);
	list_append(&h->saves->all, &s->link);
	h->saves->n++;
	d->save = s;
	return s;
}

void save_free(struct save *s)
{
	list_remove(&s->link);
	if (s->dom) {
		s->host->saves->n--;
		if (s->dom->save == s)
			s->dom->save = NULL;
		dom_unref(s->dom);
	}
	if (s->fd >= 0)
		close(s->fd);
	save_image_free(s->image);
	free(s->path);
	free(s->part);
	free(s->xml);
	free(s->blob);
	free(s);
}

bool save_set_path(struct save *s, const char *path)
{
	s->path = strdup(path);
	if (asprintf(&s->part, "%s.%s.part", path, s->id) < 0)
		s->part = NULL;
	return s->path && s->part;
}

bool save_has_process(const struct save *s)
{
	const struct dom *d = s->dom;

	return d->guest && !d->ending && vmm_guest_state(d->guest) != VMM_GONE &&
	       vmm_guest_epoch(d->guest) == s->epoch;
}

void save_done(struct save *s)
{
	struct host *h = s->host;
	struct dom *d = s->dom;
	life_done_fn *done = s->done;
	void *data = s->data;
	char why[VMM_ERROR_MAX];
	int code = s->code;

	memcpy(why, s->why, sizeof(why));
	job_end(h, d,
		!code	     ? DOM_JOB_COMPLETED
		: s->aborted ? DOM_JOB_CANCELLED
			     : DOM_JOB_FAILED,
		code ? why : "");
	dom_ref(d);
	save_free(s);
	if (done)
		done(data, d, code, code ? why : "");
	dom_unref(d);
	hostd_wake(h);
}

static void next(struct save *s)
{
	if (s->restore)
		save_in_next(s);
	else
		save_out_next(s);
}

void save_idle(struct save *s)
{
	s->busy--;
	if (s->busy)
		return;
	if (s->later && !s->code)
		save_fail(s, s->later, s->later_why);
	s->later = 0;
	next(s);
}

void save_fail(struct save *s, int code, const char *why)
{
	if (!s->code) {
		s->code = code;
		snprintf(s->why, sizeof(s->why), "%s", why);
	}
	save_pump_stop(s->pump);
	if (s->sending && !s->restore && s->dom->guest)
		(void)vmm_send_cancel(s->dom->guest);
}

void save_fail_errno(struct save *s, int err, const char *why)
{
	save_fail(s, save_code(err), why && *why ? why : strerror(err < 0 ? -err : err));
}

int save_abort(struct dom *d, char *text, size_t room)
{
	struct save *s = d->save;

	if (s->phase >= SAVE_COMMIT || s->phase == SAVE_FOUND) {
		snprintf(text, room,
			 "it is too late: domain '%s' is %s in a moment, or it has failed", d->name,
			 s->restore ? "restored" : "saved");
		return RPC_ERR_OPERATION_INVALID;
	}
	s->aborted = !s->code;
	save_fail(s, RPC_ERR_OPERATION_ABORTED,
		  s->restore ? "the restoring was aborted" : "the saving was aborted");
	return 0;
}

/* ---- work in a thread ---- */

static void on_work(uv_work_t *work)
{
	struct save *s = CONTAINER_OF(work, struct save, work);

	s->run(s);
}

static void on_worked(uv_work_t *work, int status)
{
	struct save *s = CONTAINER_OF(work, struct save, work);

	s->working = false;
	if (s->dropped) {
		save_free(s);
		return;
	}
	if (status)
		s->work_err = -ECANCELED;
	save_idle(s);
}

void save_work(struct save *s, void (*run)(struct save *s))
{
	s->run = run;
	s->work_err = 0;
	s->work_why[0] = '\0';
	s->busy++;
	if (!uv_queue_work(s->host->loop, &s->work, on_work, on_worked)) {
		s->working = true;
		return;
	}
	s->work_err = FAULT(-ENOMEM);
	save_idle(s);
}

/* ---- its memory ---- */

static void on_pumped(void *data, int err, const char *why, const struct save_part *moved)
{
	struct save *s = data;

	s->pump = NULL;
	if (err && (err != ECANCELED || !s->later))
		save_fail_errno(s, err, why);
	else if (err)
		; /* it was stopped for that */
	else if (!s->restore)
		s->head.memory = *moved;
	else if (moved->sum != s->image->head.memory.sum)
		save_fail_errno(s, EBADMSG, "its memory is damaged: its checksum differs");
	save_idle(s);
}

int save_connect(struct save *s, const struct save_part *part)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	r = save_pump_start(s->host->loop, !s->restore, pair[0], s->restore ? s->image->fd : s->fd,
			    part, on_pumped, s, &s->pump);
	if (r) {
		close(pair[1]);
		return r;
	}
	s->busy++;
	return pair[1];
}

void save_moved(struct save *s, int err, const char *why)
{
	if (!s->sending)
		return;
	s->sending = false;
	if (err && s->pump) {
		/* The pump may have failed before, and closed the way: its reason is the one. */
		s->later = save_code(err);
		snprintf(s->later_why, sizeof(s->later_why), "%s",
			 why && *why ? why : strerror(-err));
		save_pump_stop(s->pump);
	} else if (err) {
		save_fail_errno(s, err, why);
	}
	save_idle(s);
}

void save_received(struct dom *d, int err, const char *why)
{
	struct save *s = d->save;

	if (s->restore)
		save_moved(s, err, why);
}

/* ---- all of them ---- */

int saves_open(struct host *h)
{
	struct saves *all = calloc(1, sizeof(*all));

	if (!all)
		return FAULT(-ENOMEM);
	list_init(&all->all);
	list_init(&all->reads);
	list_init(&all->boots);
	h->saves = all;
	if (asprintf(&all->dir, "%s/save", h->set->state_dir) < 0) {
		all->dir = NULL;
		return FAULT(-ENOMEM);
	}
	if (mkdir(all->dir, 0700) && errno != EEXIST) {
		log_error("%s: %s", all->dir, strerror(errno));
		return -errno;
	}
	return 0;
}

void saves_close(struct host *h)
{
	struct saves *all = h->saves;
	struct save *s;

	if (!all)
		return;
	list_for_each(s, &all->all, link) {
		save_pump_drop(TAKE(s->pump));
		if (!s->working) {
			save_free(s);
			continue;
		}
		/* Its thread may write what is its own until it has ended; the guest is let go. */
		s->dropped = true;
		list_remove(&s->link);
		s->dom->save = NULL;
		dom_unref(TAKE(s->dom));
	}
	save_reads_drop(all);
	save_boots_drop(all);
	free(all->dir);
	free(TAKE(h->saves));
}
