/* SPDX-License-Identifier: MIT */
/*
 * The files of a domain in libxl's userdata directory, with libxl's names and locks:
 * userdata-W.DOMID.UUID.NAME, W = d data, n being written, l lock. libxl removes all of a
 * domain's files when it destroys it, so also those of ours.
 */
#ifndef DROVER_CONFIG_USERDATA_H
#define DROVER_CONFIG_USERDATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/err.h"
#include "drover/config.h"

#define USERDATA_DIR "/var/lib/xen"
#define USERDATA_RECORD "libxl-json"
#define USERDATA_INTENTS "drover-intent"
#define USERDATA_LOCK_RECORD "domain-userdata-lock"
#define USERDATA_LOCK_DEVICES "libxl-device-changes-lock"

/* Octets of a file that is read. */
#define USERDATA_FILE_MAX (16u << 20)

struct userdata; /* an open directory */

/* -ENOTDIR, -ENOENT, -EACCES. The directory must be there. */
int userdata_open(const char *dir, uint32_t lock_timeout_ms, struct conf_err *err,
		  struct userdata **ret);
void userdata_close(struct userdata *u);
const char *userdata_dir(const struct userdata *u);

/* "DIR/userdata-d.7.UUID.libxl-json", to be freed; NULL: memory is out. */
char *userdata_path(const struct userdata *u, char what, uint32_t domid, const char *uuid,
		    const char *name);

/* ---- locks ---- */

/* -1 as fd: not held. */
struct userdata_lock {
	int fd;
	char *path; /* owned */
};
#define USERDATA_LOCK_INIT                                                                         \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Takes a lock as libxl does: opens, flock, and again where the path names another file by then.
 * Waits at most the directory's time-out. -EBUSY: the line names pid and command of the holder
 * as far as /proc tells. On success no other of ours or of libxl's holds it.
 */
int userdata_lock_take(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		       struct conf_err *err, struct userdata_lock *ret);

/* Unlinks, then closes: as libxl. Also of a lock not held. */
void userdata_lock_release(struct userdata_lock *l);

/* Calls fn for each lock file, with its holder. See drover_config_locks. */
int userdata_lock_each(struct userdata *u, drover_lock_fn *fn, void *data);

/* ---- files ---- */

/* A whole file, to be freed; a NUL behind it that *ret_len does not count. -ENOENT, -EFBIG, -EIO.
 */
int userdata_read(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		  struct conf_err *err, char **ret, size_t *ret_len);

/*
 * Replaces a file: userdata-n written (mode 0600) and fsynced, renamed, the directory fsynced.
 * Whenever it is cut short, the old file or the new one is there. excl: -EEXIST where there is
 * one. -EIO, -ENOSPC, -EACCES: nothing changed.
 */
int userdata_write(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		   const char *data, size_t len, bool excl, struct conf_err *err);

/* Removes a file and fsyncs the directory. 0 also where there is none. */
int userdata_remove(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		    struct conf_err *err);

/* Removes all files of (domid, uuid) but lock files that are held. */
int userdata_remove_all(struct userdata *u, uint32_t domid, const char *uuid, struct conf_err *err);

/* Calls fn for each (domid, uuid) with a file of this name. Ends where fn returns not 0. */
typedef int userdata_each_fn(void *data, uint32_t domid, const char *uuid);
int userdata_each(struct userdata *u, const char *name, userdata_each_fn *fn, void *data);

#endif
