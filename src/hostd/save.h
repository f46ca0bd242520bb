/* SPDX-License-Identifier: MIT */
/*
 * Guests saved to files of this host, and restored from them (docs/save.md).
 *
 *   save     guest stops ─► memory, store's part, head: on disk under another name
 *            ─► renamed: from now on the file is the guest ─► process and store's part ended
 *   restore  process that waits ─► memory, store's part ─► epoch and mark durable ─► runs
 *            ─► a managed file is removed
 *
 * A mark in the guest's directory tells the next daemon that one of them was under way. Renamed or
 * not is what decides, after a daemon's death as before.
 */
#ifndef DROVER_HOSTD_SAVE_H
#define DROVER_HOSTD_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "hostd/life.h"
#include "hostd/save_file.h"

struct save_image;

#define SAVES_MAX 64u /* under way at once: each has a thread and a file */

/* The directory of managed files; the first step of the daemon. 0; < 0: logged. */
int saves_open(struct host *h);
/* After hstore_close. The loop has to run once more. Nothing where it is not open. */
void saves_close(struct host *h);
/* After migrations were opened: what a former daemon did not end is gone on with. */
void saves_found(struct host *h);

/* ---- saving; d is the caller's (dom_take) until done, as in life.h ---- */

struct save_how {
	const char *path;	     /* absolute; NULL: the managed file. Borrowed, as all */
	const struct guest_def *def; /* to be in the file; NULL: what runs */
	int run;		     /* when it is restored; -1: if it runs now */
};

void save_guest(struct host *h, struct dom *d, const struct save_how *how, life_done_fn *done,
		void *data);

/* ---- a file's head, definition and part of the store ---- */

struct save_image {
	struct save_head head;
	struct guest_def *def; /* owned: the definition as it was read */
	int fd;		       /* owned */
	uint8_t *store;	       /* owned; head.store.len octets */
	char *path;	       /* owned */
};

/* code: 0, and image is the callee's; or libvirt's with why. */
typedef void save_image_fn(void *data, struct save_image *image, int code, const char *why);

/* path is copied. done is called once, never from within the call, but for saves_close. */
void save_image_read(struct host *h, const char *path, save_image_fn *done, void *data);
/*
 * Replaces a file's definition by that of xml, if it is the same machine, and, where run is not -1,
 * whether it is to run; done as above, with no image.
 */
void save_image_define(struct host *h, const char *path, const char *xml, int run,
		       save_image_fn *done, void *data);
/* Accepts NULL. */
void save_image_free(struct save_image *image);

/* ---- restoring; d is the caller's, as above ---- */

/*
 * image is taken over; its def is what is started. run: -1: as it was saved. Refused: the guest
 * was given to another host since; the file is another backend's.
 */
void save_restore(struct host *h, struct dom *d, struct save_image *image, bool managed, int run,
		  life_done_fn *done, void *data);
/* Starts what is defined: from its managed file, where there is one. */
void save_start(struct host *h, struct dom *d, bool paused, life_done_fn *done, void *data);

/* ---- the managed file: d->managed says whether there is one ---- */

/* <state_dir>/save/<uuid>.save, to be freed; NULL: no memory. */
char *save_managed_path(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE]);
/* 0 also where there is none; a code with text. */
int save_managed_remove(struct host *h, struct dom *d, char *text, size_t room);

/* ---- while d->save ---- */

/* What life.c hears of its process. */
void save_stopped(struct dom *d);
void save_sent(struct dom *d, int err, const char *why);
void save_received(struct dom *d, int err, const char *why);
/* Any change of its state. */
void save_changed(struct dom *d);
/* Whether its file is, or may be, the guest already: then it is not to be started again. */
bool save_is_kept(const struct dom *d);
/* A guest of a former daemon, in the registry. */
void save_found(struct host *h, struct dom *d);
/* 0: it ends soon, and nothing has happened; or a code with text. */
int save_abort(struct dom *d, char *text, size_t room);

#endif
