/* SPDX-License-Identifier: MIT */
/*
 * Files of saved guests. Invariant: what is under a file's final name has a head, and a head is
 * written only after all that it tells of is on disk.
 */
#include "hostd/save_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "hostd/save_head.h"
#include "hostd/xml.h"

static void fd_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void text_freep(char **p)
{
	free(*p);
}

static int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* err with what was being done, for the caller's text. */
static int fail(int err, const char *what, char *text, size_t room)
{
	snprintf(text, room, "%s: %s", what, strerror(err));
	return err;
}

static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* EBADMSG: the file ends before. */
static int read_at(int fd, void *data, size_t len, uint64_t at)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? errno : EBADMSG;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int save_file_sync(const char *path)
{
	CLEANUP(text_free) char *dir = dir_of(path);
	CLEANUP(fd_close) int fd = -1;

	if (!dir)
		return ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? errno : 0;
}

/* ---- writing ---- */

static int write_head(int fd, const struct save_head *h, char *text, size_t room)
{
	uint8_t octets[SAVE_HEAD_SIZE];
	int r;

	save_head_print(h, octets);
	r = write_at(fd, octets, sizeof(octets), save_head_place(h->generation));
	if (!r && fsync(fd))
		r = errno;
	return r ? fail(r, "its head", text, room) : 0;
}

static uint64_t next_page(uint64_t at)
{
	return (at + SAVE_HEAD_STEP - 1) / SAVE_HEAD_STEP * SAVE_HEAD_STEP;
}

int save_file_begin(const char *part, const char *path, const char *xml, size_t xml_len,
		    struct save_head *h, int *ret_fd, char *text, size_t room)
{
	CLEANUP(fd_close) int fd = -1;
	struct stat st;
	int r;

	if (!lstat(path, &st) && !S_ISREG(st.st_mode)) {
		snprintf(text, room, "%s is there, and is no file", path);
		return EEXIST;
	}
	fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(errno, part, text, room);
	r = write_at(fd, xml, xml_len, SAVE_DATA_AT);
	if (r)
		return fail(r, "its definition", text, room);
	h->xml = (struct save_part){ SAVE_DATA_AT, xml_len, save_sum(xml, xml_len) };
	h->memory.at = next_page(SAVE_DATA_AT + xml_len);
	*ret_fd = fd_take(&fd);
	return 0;
}

int save_file_finish(int fd, struct save_head *h, const uint8_t *store, size_t store_len,
		     char *text, size_t room)
{
	uint64_t at = next_page(h->memory.at + h->memory.len);
	int r = write_at(fd, store, store_len, at);

	/* To its full length, so that what is there can be told from what was cut off. */
	if (!r && ftruncate(fd, (off_t)next_page(at + store_len)))
		r = errno;
	if (!r && fsync(fd))
		r = errno;
	if (r)
		return fail(r, "its end", text, room);
	h->store = (struct save_part){ at, store_len, save_sum(store, store_len) };
	h->generation = 1;
	return write_head(fd, h, text, room);
}

int save_file_commit(const char *part, const char *path, char *text, size_t room)
{
	int r = rename(part, path) ? errno : 0;

	if (r)
		return fail(r, path, text, room);
	r = save_file_sync(path);
	if (!r)
		return 0;
	/* It may not be there after the host's end: so it is not there at all. */
	if (rename(path, part))
		unlink(path);
	return fail(r, "its directory", text, room);
}

int save_file_remove(const char *path, char *text, size_t room)
{
	int r = unlink(path) ? errno : 0;

	if (r == ENOENT)
		return 0;
	if (!r)
		r = save_file_sync(path);
	return r ? fail(r, path, text, room) : 0;
}

int save_file_define(int fd, struct save_head *h, const char *xml, size_t len, char *text,
		     size_t room)
{
	struct save_head next = *h;
	struct stat st;
	uint64_t at;
	int r = 0;

	if (fstat(fd, &st))
		return fail(errno, "the file", text, room);
	at = next_page((uint64_t)st.st_size);
	next.xml = (struct save_part){ at, len, save_sum(xml, len) };
	if (h->generation == UINT32_MAX || at + len > INT64_MAX / 2)
		return fail(EFBIG, "its definition", text, room);
	next.generation = h->generation + 1;
	r = write_at(fd, xml, len, at);
	if (!r && fsync(fd))
		r = errno;
	if (r)
		return fail(r, "its definition", text, room);
	r = write_head(fd, &next, text, room);
	if (!r)
		*h = next;
	return r;
}

/* ---- reading ---- */

int save_file_open(const char *path, bool for_writing, int *ret_fd, struct save_head *ret,
		   char *text, size_t room)
{
	int flags = (for_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	uint8_t octets[SAVE_DATA_AT];
	CLEANUP(fd_close) int fd = open(path, flags);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return fail(errno, path, text, room);
	if (!S_ISREG(st.st_mode)) {
		snprintf(text, room, "%s is no file", path);
		return EBADMSG;
	}
	/* Two that are to be defined otherwise at once would write over each other. */
	if (for_writing && flock(fd, LOCK_EX | LOCK_NB))
		return fail(errno == EWOULDBLOCK ? EBUSY : errno, path, text, room);
	r = (uint64_t)st.st_size < sizeof(octets) ? EBADMSG
						  : read_at(fd, octets, sizeof(octets), 0);
	if (r == EBADMSG)
		snprintf(text, room, "it is no saved domain: only %" PRIu64 " octets",
			 (uint64_t)st.st_size);
	else if (r)
		fail(r, path, text, room);
	else
		r = save_heads_parse(octets, (uint64_t)st.st_size, ret, text, room);
	if (r)
		return r;
	*ret_fd = fd_take(&fd);
	return 0;
}

int save_file_read(int fd, const struct save_part *part, uint64_t max, const char *what,
		   uint8_t **ret, char *text, size_t room)
{
	uint8_t *data;
	int r;

	if (part->len > max) {
		snprintf(text, room, "%s has %" PRIu64 " octets, at most %" PRIu64 " are read",
			 what, part->len, max);
		return EFBIG;
	}
	data = malloc((size_t)part->len + 1);
	if (!data)
		return -ENOMEM;
	r = read_at(fd, data, (size_t)part->len, part->at);
	if (!r && save_sum(data, (size_t)part->len) != part->sum) {
		snprintf(text, room, "%s is damaged: its checksum differs", what);
		r = EBADMSG;
	} else if (r) {
		fail(r, what, text, room);
	}
	if (r) {
		free(data);
		return r;
	}
	data[part->len] = '\0';
	*ret = data;
	return 0;
}
