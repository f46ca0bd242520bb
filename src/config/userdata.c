/* SPDX-License-Identifier: MIT */
/*
 * A domain's files in libxl's userdata directory. At any instant a file is the old one or the new
 * one, whole: what is written has another name until it is on the disk.
 */
#include "config/userdata.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "config/userdata_priv.h"

static void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define CLEANUP_FD __attribute__((cleanup(close_fdp)))

static void free_textp(char **p)
{
	free(*p);
}
#define CLEANUP_TEXT __attribute__((cleanup(free_textp)))

DEFINE_CLEANUP(struct userdata *, userdata_close)

/* What the caller is told for an errno of the file system. */
static int file_error(int e)
{
	switch (e) {
	case ENOENT:
	case ENOMEM:
	case ENOSPC:
		return -e;
	case EDQUOT:
	case EFBIG: /* by a limit of the process */
		return -ENOSPC;
	case EACCES:
	case EPERM:
	case EROFS:
		return -EACCES;
	default:
		return -EIO;
	}
}

int userdata_open(const char *dir, uint32_t lock_timeout_ms, struct conf_err *err,
		  struct userdata **ret)
{
	CLEANUP(userdata_close) struct userdata *u = calloc(1, sizeof(*u));
	struct stat st;
	int e;

	if (!u)
		return conf_no_memory(err);
	u->lock_timeout_ms = lock_timeout_ms;
	u->inotify = -1;
	u->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u->fd < 0 && errno == ENOTDIR)
		return conf_fail(err, -ENOTDIR, "%s: is no directory", dir);
	/* Absolute, so that locks can be released whatever the working directory is by then. */
	if (u->fd >= 0 && !fstat(u->fd, &st))
		u->path = realpath(dir, NULL);
	if (!u->path) {
		e = errno;
		return conf_fail(err, file_error(e), "%s: cannot open the userdata directory: %s",
				 dir, strerror(e));
	}
	u->locks_dev = userdata_locks_dev(u->fd, &st);
	*ret = TAKE(u);
	return 0;
}

void userdata_close(struct userdata *u)
{
	if (!u)
		return;
	if (u->fd >= 0)
		close(u->fd);
	if (u->inotify >= 0)
		close(u->inotify);
	free(u->path);
	free(u);
}

const char *userdata_dir(const struct userdata *u)
{
	return u->path;
}

/* ---- names ---- */

/* libxl's uuids are in lower case; anything else would not be the file that it looks for. */
static bool uuid_is_valid(const char *uuid)
{
	for (size_t i = 0; i < USERDATA_UUID_LEN; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (uuid[i] != '-')
				return false;
		} else if (!uuid[i] || !strchr("0123456789abcdef", uuid[i])) {
			return false;
		}
	}
	return true;
}

bool userdata_file_name(char what, uint32_t domid, const char *uuid, const char *name,
			char ret[NAME_MAX + 1])
{
	int n;

	if (!uuid_is_valid(uuid) || uuid[USERDATA_UUID_LEN])
		return false;
	n = snprintf(ret, NAME_MAX + 1, "userdata-%c.%" PRIu32 ".%s.%s", what, domid, uuid, name);
	return n > 0 && n <= NAME_MAX;
}

bool userdata_name_parse(const char *file, struct userdata_name *ret)
{
	const char *p = file;
	unsigned long domid;
	char *end;

	if (strncmp(p, "userdata-", 9) || !p[9] || !strchr("dnl", p[9]) || p[10] != '.')
		return false;
	ret->what = p[9];
	p += 11;
	if (*p < '0' || *p > '9')
		return false;
	errno = 0;
	domid = strtoul(p, &end, 10);
	if (errno || domid > UINT32_MAX || *end != '.' || (*p == '0' && end != p + 1))
		return false;
	ret->domid = (uint32_t)domid;
	p = end + 1;
	if (!uuid_is_valid(p) || p[USERDATA_UUID_LEN] != '.' || !p[USERDATA_UUID_LEN + 1])
		return false;
	memcpy(ret->uuid, p, USERDATA_UUID_LEN);
	ret->uuid[USERDATA_UUID_LEN] = '\0';
	p += USERDATA_UUID_LEN + 1;
	if (strlen(p) > NAME_MAX)
		return false;
	memcpy(ret->name, p, strlen(p) + 1);
	return true;
}

char *userdata_path(const struct userdata *u, char what, uint32_t domid, const char *uuid,
		    const char *name)
{
	char *path;

	if (asprintf(&path, "%s/userdata-%c.%" PRIu32 ".%s.%s", u->path, what, domid, uuid, name) <
	    0)
		return NULL;
	return path;
}

/* Both the name in the directory and the path for people. */
static int file_names(struct userdata *u, char what, uint32_t domid, const char *uuid,
		      const char *name, struct conf_err *err, char ret_file[NAME_MAX + 1],
		      char **ret_path)
{
	if (!userdata_file_name(what, domid, uuid, name, ret_file))
		return conf_fail(err, -EINVAL, "%s: no file of domain %" PRIu32 " with uuid \"%s\"",
				 name, domid, uuid);
	*ret_path = userdata_path(u, what, domid, uuid, name);
	return *ret_path ? 0 : conf_no_memory(err);
}

/* ---- reading ---- */

/* All that is in fd; not so much more than its size says. */
static int read_all(int fd, const char *path, struct conf_err *err, char **ret, size_t *ret_len)
{
	CLEANUP_TEXT char *data = NULL;
	size_t len = 0, room;
	struct stat st;

	if (fstat(fd, &st))
		return conf_fail(err, -EIO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return conf_fail(err, -EIO, "%s: is no regular file", path);
	if (st.st_size > (off_t)USERDATA_FILE_MAX)
		return conf_fail(err, -EFBIG, "%s: has %jd octets, more than %u", path,
				 (intmax_t)st.st_size, USERDATA_FILE_MAX);
	room = (size_t)st.st_size + 1;
	data = malloc(room);
	if (!data)
		return conf_no_memory(err);
	/* One that is replaced stays as it was; one that grows under us is not whole. */
	while (len < room) {
		ssize_t n = read(fd, data + len, room - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return conf_fail(err, -EIO, "%s: cannot be read: %s", path,
					 strerror(errno));
		if (!n)
			break;
		len += (size_t)n;
	}
	if (len == room)
		return conf_fail(err, -EIO, "%s: grew while it was read", path);
	data[len] = '\0';
	*ret = TAKE(data);
	*ret_len = len;
	return 0;
}

int userdata_read(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		  struct conf_err *err, char **ret, size_t *ret_len)
{
	CLEANUP_TEXT char *path = NULL;
	CLEANUP_FD int fd = -1;
	char file[NAME_MAX + 1];
	int r;

	r = file_names(u, 'd', domid, uuid, name, err, file, &path);
	if (r)
		return r;
	/* Not blocked by what is no file at all. */
	fd = openat(u->fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return conf_fail(err, file_error(errno), "%s: cannot be opened: %s", path,
				 strerror(errno));
	return read_all(fd, path, err, ret, ret_len);
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The new file, whole and on the disk, under its own name. */
static int write_new(struct userdata *u, const char *file, const char *path, const char *data,
		     size_t len, struct conf_err *err)
{
	CLEANUP_FD int fd = -1;
	int e;

	/* What somebody who was killed left: not to be written into, it may have other rights. */
	if (unlinkat(u->fd, file, 0) && errno != ENOENT)
		return conf_fail(err, file_error(errno), "%s: cannot be removed: %s", path,
				 strerror(errno));
	fd = openat(u->fd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return conf_fail(err, file_error(errno), "%s: cannot be created: %s", path,
				 strerror(errno));
	if (!write_all(fd, data, len) && !fsync(fd))
		return 0;
	e = errno;
	unlinkat(u->fd, file, 0);
	return conf_fail(err, file_error(e), "%s: cannot be written: %s", path, strerror(e));
}

/* Gives the new file its name. */
static int put_in_place(struct userdata *u, const char *from, const char *to, bool excl)
{
	struct stat st;

	if (!excl)
		return renameat(u->fd, from, u->fd, to);
	if (!renameat2(u->fd, from, u->fd, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system that cannot: the lock is held, so nobody comes between. */
	if (!fstatat(u->fd, to, &st, AT_SYMLINK_NOFOLLOW)) {
		errno = EEXIST;
		return -1;
	}
	return errno == ENOENT ? renameat(u->fd, from, u->fd, to) : -1;
}

int userdata_write(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		   const char *data, size_t len, bool excl, struct conf_err *err)
{
	CLEANUP_TEXT char *path = NULL, *path_new = NULL;
	char file[NAME_MAX + 1], file_new[NAME_MAX + 1];
	int r, e;

	r = file_names(u, 'd', domid, uuid, name, err, file, &path);
	if (!r)
		r = file_names(u, 'n', domid, uuid, name, err, file_new, &path_new);
	if (!r)
		r = write_new(u, file_new, path_new, data, len, err);
	if (r)
		return r;
	if (put_in_place(u, file_new, file, excl)) {
		e = errno;
		unlinkat(u->fd, file_new, 0);
		if (excl && e == EEXIST)
			return conf_fail(err, -EEXIST, "%s: is there already", path);
		return conf_fail(err, file_error(e), "%s: cannot be replaced: %s", path,
				 strerror(e));
	}
	if (fsync(u->fd))
		return conf_fail(err, -EIO, "%s: replaced, but perhaps not for good: %s", path,
				 strerror(errno));
	return 0;
}

int userdata_remove(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		    struct conf_err *err)
{
	CLEANUP_TEXT char *path = NULL;
	char file[NAME_MAX + 1];
	int r;

	r = file_names(u, 'd', domid, uuid, name, err, file, &path);
	if (r)
		return r;
	if (unlinkat(u->fd, file, 0) && errno != ENOENT)
		return conf_fail(err, file_error(errno), "%s: cannot be removed: %s", path,
				 strerror(errno));
	/* Also where there was none: who removed it may have been killed before this. */
	if (fsync(u->fd))
		return conf_fail(err, -EIO, "%s: removed, but perhaps not for good: %s", path,
				 strerror(errno));
	return 0;
}
