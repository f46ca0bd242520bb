/* SPDX-License-Identifier: MIT */
/*
 * Definitions on disk: <state_dir>/domains/<uuid>.xml, and <uuid>.autostart beside it for a guest
 * that is to be started with the host. A file is replaced as a whole, durably, or not at all.
 */
#ifndef DROVER_HOSTD_DEFS_H
#define DROVER_HOSTD_DEFS_H

#include <stdbool.h>
#include <stdint.h>

#include "hostd/host.h"
#include "vmm/def.h"

#define DEFS_FILE_MAX (4u << 20) /* octets of a file */

/*
 * Reads all into the registry. A file that cannot be understood is named in the log and left as it
 * is; the others are read. < 0: the directory cannot be had, or -ENOMEM.
 */
int defs_load(struct host *h);
/* Durable on return. < 0: the system's error, logged; the former one is still there. */
int defs_write(const struct host *h, const struct guest_def *def);
/*
 * The same of a file that is written and synced already, on the same file system: it is moved here,
 * which takes no room. < 0: the system's error; both files are as they were.
 */
int defs_take(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE], const char *path);
int defs_remove(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE]);
int defs_set_autostart(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE], bool on);

/* One file as text, in dir (a directory's path): for a guest's own directory, too. */
int defs_file_write(const char *dir, const char *name, const char *text, size_t len);
/* *ret is NUL-terminated, to be freed. > 0: ENOENT, EFBIG, EINVAL (a NUL within). */
int defs_file_read(const char *dir, const char *name, char **ret, size_t *ret_len);

#endif
