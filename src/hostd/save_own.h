/* SPDX-License-Identifier: MIT */
/*
 * What save*.c share.
 */
#ifndef DROVER_HOSTD_SAVE_OWN_H
#define DROVER_HOSTD_SAVE_OWN_H

#include <uv.h>

#include "hostd/save.h"
#include "hostd/save_pump.h"

#define SAVE_MARK_FILE "save" /* in a guest's directory */
#define SAVE_PATH_MAX 4096u   /* octets of a file's path and its NUL */

struct saves {
	struct list all;   /* struct save */
	struct list reads; /* of images */
	struct list boots; /* of domains that have a managed file */
	size_t n;	   /* of all */
	char *dir;	   /* owned: of managed files */
};

/* The order is that of the steps; each of the last two ends what is under way. */
enum save_phase {
	SAVE_FOUND,	 /* of a former daemon: is being looked at */
	SAVE_BEGIN,	 /* its file, or its process, is made */
	SAVE_MOVE,	 /* its memory is on its way */
	SAVE_FINISH,	 /* the file's end; or the store's part is imported */
	SAVE_COMMIT,	 /* is given its name; or becomes this host's and runs */
	SAVE_END,	 /* the guest is ended; or its managed file is */
	SAVE_UNDO_BEGIN, /* it came to nothing: the guest is served, runs, the file goes */
	SAVE_UNDO_SERVE,
	SAVE_UNDO_RESUME,
	SAVE_UNDO_FILE,
};

/* One saving or restoring under way. */
struct save {
	struct list link;
	struct host *host; /* borrowed */
	struct dom *dom;   /* referenced */
	life_done_fn *done;
	void *data;
	enum save_phase phase;
	bool restore, managed;
	bool found;	  /* of a former daemon */
	bool waits;	  /* for its process to answer */
	bool was_running; /* before it was saved; to be run after it is restored */
	bool aborted;
	uint64_t epoch; /* the guest's; of a restoring: the one it gets */
	struct save_head head;
	char id[DEF_UUID_TEXT];
	char *path, *part;	  /* owned; part: under which it is written */
	struct save_image *image; /* owned, of a restoring */
	char *xml;		  /* owned, of a saving */
	int fd;
	struct save_pump *pump;
	bool sending; /* or receiving: told by the guest's process */
	bool exporting;
	uint8_t *blob; /* owned */
	size_t blob_len;
	unsigned int busy; /* what has not ended yet */
	int code;	   /* 0, or why it failed */
	char why[VMM_ERROR_MAX];
	int later; /* the same, if nobody knows better: at the other end of what failed */
	char later_why[VMM_ERROR_MAX];
	/* work for a thread, one at a time */
	uv_work_t work;
	void (*run)(struct save *s);
	bool working, dropped;
	int work_err;
	char work_why[VMM_ERROR_MAX];
};

/* NULL: no memory, or too many; done was called. */
struct save *save_new(struct host *h, struct dom *d, life_done_fn *done, void *data);
void save_free(struct save *s);
/* Of its process: not ended, and the same life of the guest. */
bool save_has_process(const struct save *s);
/* run is called in a thread; then save_next, with work_err and work_why. */
void save_work(struct save *s, void (*run)(struct save *s));
/* The first failure counts; what is under way is ended. */
void save_fail(struct save *s, int code, const char *why);
/* As save_fail, of a negative or positive errno. */
void save_fail_errno(struct save *s, int err, const char *why);
/* One of what was under way has ended. */
void save_idle(struct save *s);
/* Nothing is under way: the next step. save_out.c, save_in.c. */
void save_out_next(struct save *s);
void save_in_next(struct save *s);
/* What a former daemon began was looked at. */
void save_found_judge(struct save *s);
/* Tells, and frees it. */
void save_done(struct save *s);
/* socketpair and pump: the guest's end, or < 0. */
int save_connect(struct save *s, const struct save_part *part);
/* What is known of its process came to an end. */
void save_moved(struct save *s, int err, const char *why);

/* The epoch of a restoring was never run in. */
void save_epoch_undo(struct save *s);
/* The daemon ends: what is being read is let go of, and whoever waits for it. */
void save_reads_drop(struct saves *all);
void save_boots_drop(struct saves *all);
/* Which domains have a managed file; what is left of others goes. */
void save_managed_scan(struct host *h);

/* The mark. 0 or < 0. */
int save_mark_write(const struct save *s);
void save_mark_remove(const struct save *s);
/* false: there is none, or it cannot be understood (logged). */
bool save_mark_read(struct save *s, const char *dir);
/* part of path and id; false: no memory. */
bool save_set_path(struct save *s, const char *path);

/* libvirt's code for an errno of a file. */
int save_code(int err);

#endif
