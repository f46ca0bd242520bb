/* SPDX-License-Identifier: MIT */
/*
 * What userdata.c and its locks share: the open directory, and names of files in it.
 */
#ifndef DROVER_CONFIG_USERDATA_PRIV_H
#define DROVER_CONFIG_USERDATA_PRIV_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "config/err.h"
#include "config/userdata.h"

#define USERDATA_UUID_LEN 36

struct userdata {
	int fd;	    /* of the directory */
	char *path; /* owned */
	uint32_t lock_timeout_ms;
	int inotify;	 /* for waits, kept: closing one takes the kernel milliseconds; or -1 */
	dev_t locks_dev; /* as /proc/locks names the device of its files */
};

/* A name of ours or of libxl's, taken apart. */
struct userdata_name {
	char what; /* 'd', 'n', 'l' */
	uint32_t domid;
	char uuid[USERDATA_UUID_LEN + 1];
	char name[NAME_MAX + 1];
};

/* False: it is no such name. */
bool userdata_name_parse(const char *file, struct userdata_name *ret);

/* Names of files below the directory, sorted by domid, uuid, kind and name. */
struct userdata_list {
	struct userdata_name *v; /* owned */
	size_t n, room;
};
int userdata_list(struct userdata *u, struct conf_err *err, struct userdata_list *ret);
void userdata_list_fini(struct userdata_list *list);

/* "userdata-d.7.UUID.libxl-json". False: too long for a file, or uuid is none. */
bool userdata_file_name(char what, uint32_t domid, const char *uuid, const char *name,
			char ret[NAME_MAX + 1]);

/* Unlinks a lock file that nobody holds. One that is held, or gone, is left. */
void userdata_lock_sweep(struct userdata *u, const char *file);

/* The device of the directory's file system, as the kernel names it in /proc/locks. */
dev_t userdata_locks_dev(int fd, const struct stat *st);

/*
 * Who holds the flock of a file: its pid, 0 for nobody, -1 for somebody who cannot be told.
 * `what` gets the command line.
 */
int userdata_lock_holder(const struct userdata *u, const struct stat *st, char *what,
			 size_t what_size);

#endif
