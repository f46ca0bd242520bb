/* SPDX-License-Identifier: MIT */
/*
 * What a former daemon left under way. Invariant: the file's name decides. Where it has it, the
 * guest is ended; where the file is still under the other name, the guest goes on; where neither
 * is there, a person took one away, and a guest that stands still is left so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "hostd/save_own.h"
#include "rpc/error.h"

void save_found(struct host *h, struct dom *d)
{
	struct save *s = save_new(h, d, NULL, NULL);

	if (!s)
		return;
	s->phase = SAVE_FOUND;
	s->found = true;
	s->epoch = vmm_guest_epoch(d->guest);
	if (!save_mark_read(s, vmm_guest_dir(d->guest)))
		save_free(s);
}

/* 0: it has its name; EAGAIN: not yet; ENOENT: neither is there. */
static void look(struct save *s)
{
	struct save_head head;
	struct stat st;
	int fd = -1;
	int r = save_file_open(s->path, false, &fd, &head, s->work_why, sizeof(s->work_why));

	if (!r) {
		close(fd);
		r = memcmp(head.id, s->head.id, sizeof(head.id)) ? ENOENT : 0;
	}
	if (!r)
		r = save_file_sync(s->path);
	else
		r = lstat(s->part, &st) ? ENOENT : EAGAIN;
	s->work_err = r;
}

static void end(struct save *s, int code, const char *why)
{
	save_fail(s, code, why);
	save_done(s);
}

static void on_stands(struct save *s)
{
	struct dom *d = s->dom;

	log_error("domain %s: was being saved, and neither %s nor %s is there any more: it stays "
		  "paused, for its file may have been taken away; end it, or resume it",
		  d->name, s->path, s->part);
	if (save_has_process(s))
		life_set_state(s->host, d, DOM_PAUSED, DOM_PAUSED_SAVE);
	save_mark_remove(s);
	end(s, RPC_ERR_OPERATION_FAILED, "its file is not there");
}

void save_found_judge(struct save *s)
{
	struct dom *d = s->dom;
	int r = s->work_err;

	s->work_err = s->code = 0; /* that a sending ended is no failure now */
	if (!r) {
		s->phase = SAVE_END;
		save_out_next(s);
	} else if (r == EAGAIN || !s->was_running || !save_has_process(s) ||
		   d->state == DOM_RUNNING) {
		log_notice("domain %s: was being saved; it goes on", d->name);
		save_fail(s, RPC_ERR_OPERATION_ABORTED, "the daemon was ended meanwhile");
		s->phase = SAVE_UNDO_BEGIN;
		save_out_next(s);
	} else {
		on_stands(s);
	}
}

/* Its process answers, or is gone. */
static void go_on(struct save *s)
{
	struct dom *d = s->dom;

	if (s->restore) {
		if (!save_has_process(s))
			s->phase = SAVE_COMMIT; /* it may have run */
		save_in_next(s);
		return;
	}
	s->busy++;
	/* Its process may still send to the former daemon, who reads no more. */
	if (save_has_process(s) && !vmm_send_cancel(d->guest)) {
		s->sending = true;
		s->busy++;
	}
	save_work(s, look);
	save_idle(s);
}

static void on_released(void *data, struct dom *d, int code, const char *why)
{
	struct host *h = data;

	(void)code;
	(void)why;
	dom_release(h, d);
}

static void on_granted(void *data, struct dom *d, int code, const char *why)
{
	struct host *h = data;
	struct save *s = d->save;

	(void)why;
	if (code)
		return; /* the daemon ends */
	if (!s) {
		dom_release(h, d);
		return;
	}
	s->done = on_released;
	s->data = h;
	if (!d->guest || vmm_guest_state(d->guest) != VMM_STARTING)
		go_on(s);
	else
		s->waits = true;
}

void save_changed(struct dom *d)
{
	struct save *s = d->save;

	if (!s->waits || vmm_guest_state(d->guest) == VMM_STARTING)
		return;
	s->waits = false;
	go_on(s);
}

bool save_is_kept(const struct dom *d)
{
	const struct save *s = d->save;
	struct save_head head;
	bool kept = false;
	int fd;

	if (s->restore)
		return false;
	if (s->phase != SAVE_FOUND)
		return s->phase == SAVE_COMMIT || s->phase == SAVE_END;
	/* Its process ended while no daemon was there: seen before anything else can be. */
	if (!save_file_open(s->path, false, &fd, &head, (char[VMM_ERROR_MAX]){ "" },
			    VMM_ERROR_MAX)) {
		kept = !memcmp(head.id, s->head.id, sizeof(head.id));
		close(fd);
	}
	return kept;
}

void saves_found(struct host *h)
{
	struct save *s;

	list_for_each(s, &h->saves->all, link) {
		struct dom *d = s->dom;

		if (s->restore && (d->incoming || !d->guest)) {
			/* It never ran, and is ended as one that was received for nobody. */
			if (d->incoming)
				save_epoch_undo(s);
			save_free(s);
		} else {
			dom_take_surely(h, d, "save", on_granted, h);
		}
	}
	save_managed_scan(h);
}
