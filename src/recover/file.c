/* SPDX-License-Identifier: MIT */
/*
 * Appending to a mapped file. Invariant: octets below room have space in the file system, so that
 * a store to them cannot fault.
 */
#include "recover/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "recover/journal.h"

const struct drover_image_format *journal_format(void)
{
	static const struct drover_image_format format = {
		.layout = DROVER_LAYOUT_UPSTREAM,
		.version = 2,
		.big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
	};

	return &format;
}

int record_file_open(struct record_file *f, int fd, const char *name, bool writable)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ, err;
	int flags = MAP_SHARED | MAP_NORESERVE;
	struct stat st;
	void *map;

	*f = (struct record_file){ .fd = fd, .name = name };
	map = fstat(fd, &st) ? MAP_FAILED : mmap(NULL, JOURNAL_FILE_MAX, prot, flags, fd, 0);
	if (map == MAP_FAILED) {
		err = errno;
		log_error("journal %s: %s", name, strerror(err));
		return -err;
	}
	f->map = map;
	f->room = (size_t)st.st_size;
	return 0;
}

void record_file_close(struct record_file *f)
{
	if (f->map)
		munmap(f->map, JOURNAL_FILE_MAX);
	f->map = NULL;
}

int record_file_own(struct record_file *f)
{
	return mprotect(f->map, JOURNAL_FILE_MAX, PROT_READ | PROT_WRITE) ? FAULT(-errno) : 0;
}

int record_file_look(struct record_file *f)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	f->room = (size_t)st.st_size;
	return 0;
}

static int grow(struct record_file *f, size_t more)
{
	size_t room = f->len + more + RECORD_FILE_CHUNK;

	room -= room % RECORD_FILE_CHUNK;
	if (room > JOURNAL_FILE_MAX || fallocate(f->fd, 0, 0, (off_t)room))
		return FAULT(-ENOMEM);
	f->room = room;
	return 0;
}

int record_file_reserve(struct record_file *f, size_t more)
{
	return f->room - f->len >= more ? 0 : grow(f, more);
}

int record_file_put(struct record_file *f, const struct drover_record *rec)
{
	size_t len;
	int r;

	for (;;) {
		r = drover_record_encode(journal_format(), rec, f->map + f->len, f->room - f->len,
					 &len, NULL);
		if (!r) {
			f->len += len;
			return 0;
		}
		assert(r == ENOBUFS);
		r = grow(f, drover_record_size(journal_format(), rec));
		if (r)
			return r;
	}
}

void record_file_empty(struct record_file *f, size_t keep)
{
	f->len = 0;
	if (f->room <= keep)
		return;
	keep -= keep % RECORD_FILE_CHUNK;
	if (!ftruncate(f->fd, (off_t)keep))
		f->room = keep;
}
