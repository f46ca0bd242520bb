/* SPDX-License-Identifier: MIT */
/*
 * Definitions on disk. Invariant: under a definition's name there is always one whole version of
 * it; a name with ".new" is what a daemon left that died while it wrote.
 */
#include "hostd/defs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/xml.h"

#define NAME_LEN 64u /* of a file: uuid and suffix */

static void fd_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void text_freep(char **p)
{
	free(*p);
}

DEFINE_CLEANUP(struct guest_def *, def_free)

static int open_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

int defs_file_write(const char *dir, const char *name, const char *text, size_t len)
{
	__attribute__((cleanup(fd_closep))) int dirfd = open_dir(dir);
	__attribute__((cleanup(fd_closep))) int fd = -1;
	char new[NAME_LEN + 8];
	int r = dirfd < 0 ? dirfd : 0;

	snprintf(new, sizeof(new), "%s.new", name);
	if (!r) {
		fd = openat(dirfd, new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		r = fd < 0 ? -errno : write_all(fd, text, len);
	}
	if (!r && renameat(dirfd, new, dirfd, name))
		r = -errno;
	if (!r && fsync(dirfd))
		r = -errno;
	if (r)
		log_error("%s/%s: cannot be written: %s", dir, name, strerror(-r));
	return r;
}

int defs_file_read(const char *dir, const char *name, char **ret, size_t *ret_len)
{
	__attribute__((cleanup(fd_closep))) int dirfd = open_dir(dir);
	__attribute__((cleanup(fd_closep))) int fd = -1;
	CLEANUP(text_free) char *text = NULL;
	struct stat st;
	size_t len = 0;

	if (dirfd < 0)
		return -dirfd;
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st))
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	if (st.st_size > DEFS_FILE_MAX)
		return EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return FAULT(-ENOMEM);
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + len, (size_t)st.st_size - len);

		if (n < 0 && errno != EINTR)
			return errno;
		if (!n)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = '\0';
	if (strlen(text) != len)
		return EINVAL;
	*ret = TAKE(text);
	*ret_len = len;
	return 0;
}

static void file_name(const uint8_t *uuid, const char *suffix, char ret[NAME_LEN])
{
	char text[DEF_UUID_TEXT];

	def_uuid_print(uuid, text);
	snprintf(ret, NAME_LEN, "%s%s", text, suffix);
}

int defs_write(const struct host *h, const struct guest_def *def)
{
	CLEANUP(text_free) char *text = NULL;
	char name[NAME_LEN];
	int r = xml_print(def, -1, XML_INACTIVE | XML_SECURE, &text);

	if (r)
		return r;
	file_name(def->uuid, ".xml", name);
	return defs_file_write(h->defs_dir, name, text, strlen(text));
}

int defs_take(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE], const char *path)
{
	__attribute__((cleanup(fd_closep))) int dirfd = open_dir(h->defs_dir);
	char name[NAME_LEN];

	if (dirfd < 0)
		return dirfd;
	file_name(uuid, ".xml", name);
	return renameat(AT_FDCWD, path, dirfd, name) || fsync(dirfd) ? -errno : 0;
}

static int remove_file(const struct host *h, const char *name)
{
	__attribute__((cleanup(fd_closep))) int dirfd = open_dir(h->defs_dir);
	int r = dirfd < 0 ? dirfd : 0;

	if (!r && unlinkat(dirfd, name, 0) && errno != ENOENT)
		r = -errno;
	if (!r && fsync(dirfd))
		r = -errno;
	if (r)
		log_error("%s/%s: cannot be removed: %s", h->defs_dir, name, strerror(-r));
	return r;
}

int defs_remove(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE])
{
	char name[NAME_LEN];
	int r;

	file_name(uuid, ".autostart", name);
	r = remove_file(h, name);
	if (r)
		return r;
	file_name(uuid, ".xml", name);
	return remove_file(h, name);
}

int defs_set_autostart(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE], bool on)
{
	char name[NAME_LEN];

	file_name(uuid, ".autostart", name);
	return on ? defs_file_write(h->defs_dir, name, "", 0) : remove_file(h, name);
}

static void refuse(const struct host *h, const char *name, const char *why)
{
	log_error("%s/%s: left alone: %s", h->defs_dir, name, why);
}

/* The definition becomes a guest of the registry. */
static int take_def(struct host *h, const char *file, struct guest_def *def)
{
	CLEANUP(def_free) struct guest_def *own = def;
	char name[NAME_LEN], *text = NULL;
	struct dom *d;
	size_t len;
	int r = dom_new(&h->doms, own->uuid, own->name, &d);

	if (r) {
		refuse(h, file, r == EEXIST ? "another one has its name" : strerror(r));
		return r < 0 ? r : 0;
	}
	file_name(own->uuid, ".autostart", name);
	d->autostart = !defs_file_read(h->defs_dir, name, &text, &len);
	free(text);
	d->persistent = TAKE(own);
	return 0;
}

static int load_file(struct host *h, const char *file)
{
	CLEANUP(text_free) char *text = NULL;
	CLEANUP(def_free) struct guest_def *def = NULL;
	char uuid_text[DEF_UUID_TEXT];
	struct xml_error err;
	size_t len;
	int r = defs_file_read(h->defs_dir, file, &text, &len);

	if (r < 0)
		return r;
	if (r) {
		refuse(h, file, strerror(r));
		return 0;
	}
	r = xml_parse(text, len, NULL, NULL, &def, &err);
	if (r < 0)
		return r;
	if (r) {
		refuse(h, file, err.text);
		return 0;
	}
	def_uuid_print(def->uuid, uuid_text);
	if (strncmp(uuid_text, file, DEF_UUID_TEXT - 1) != 0) {
		refuse(h, file, "its name is not its uuid");
		return 0;
	}
	return take_def(h, file, TAKE(def));
}

static bool is_definition(const char *name)
{
	return strlen(name) == DEF_UUID_TEXT - 1 + 4 && !strcmp(name + DEF_UUID_TEXT - 1, ".xml");
}

int defs_load(struct host *h)
{
	struct dirent **names;
	int r = 0, n = scandir(h->defs_dir, &names, NULL, alphasort);

	if (n < 0) {
		r = -errno;
		log_error("%s: %s", h->defs_dir, strerror(-r));
		return r;
	}
	for (int i = 0; i < n; i++) {
		if (!r && is_definition(names[i]->d_name))
			r = load_file(h, names[i]->d_name);
		free(names[i]);
	}
	free((void *)names);
	return r;
}
