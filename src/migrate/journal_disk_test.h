/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory, for SQLite, that loses power: what was not synced is there, or not, or in part,
 * sector by sector. It stops at a chosen write, truncation, sync or removal, or lets that one fail.
 * For journal_test.c.
 */
#ifndef DROVER_MIGRATE_JOURNAL_DISK_TEST_H
#define DROVER_MIGRATE_JOURNAL_DISK_TEST_H

#include <assert.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

#define DISK_FILES 8u
#define DISK_SECTOR 512u

/* Octets that a write left, or the length that a truncation did: data NULL. */
struct disk_change {
	size_t at, len;
	uint8_t *data; /* owned */
};

struct disk_content {
	uint8_t *data; /* owned */
	size_t len, room;
};

struct disk_file {
	char name[256]; /* "": unused */
	struct disk_content now, safe;
	struct disk_change *changes; /* owned; since it was synced */
	size_t n_changes;
};

struct disk_handle {
	sqlite3_file base;
	struct disk_file *file; /* borrowed */
};

static struct disk {
	struct disk_file files[DISK_FILES];
	uint64_t ops;	  /* so far */
	uint64_t dies_at; /* 0: never */
	uint64_t fails_at;
	int fails_with; /* SQLITE_FULL, SQLITE_IOERR */
	bool dead;
	struct prng rng;
} disk;

static void content_write(struct disk_content *c, size_t at, const void *data, size_t len)
{
	if (at + len > c->room) {
		c->room = 2 * (at + len);
		c->data = realloc(c->data, c->room);
		assert(c->data);
	}
	if (at + len > c->len) {
		memset(c->data + c->len, 0, at + len - c->len);
		c->len = at + len;
	}
	if (len)
		memcpy(c->data + at, data, len);
}

static void content_cut(struct disk_content *c, size_t len)
{
	if (len < c->len)
		c->len = len;
}

static void content_copy(struct disk_content *to, const struct disk_content *from)
{
	content_cut(to, 0);
	if (from->len)
		content_write(to, 0, from->data, from->len);
}

static void disk_note(struct disk_file *f, size_t at, const void *data, size_t len)
{
	struct disk_change *c;

	f->changes = realloc(f->changes, (f->n_changes + 1) * sizeof(*f->changes));
	assert(f->changes);
	c = &f->changes[f->n_changes++];
	*c = (struct disk_change){ .at = at, .len = len };
	if (!data)
		return;
	c->data = malloc(len ? len : 1);
	assert(c->data);
	memcpy(c->data, data, len);
}

static void disk_settle(struct disk_file *f)
{
	for (size_t i = 0; i < f->n_changes; i++)
		free(f->changes[i].data);
	free(f->changes);
	f->changes = NULL;
	f->n_changes = 0;
}

/* An operation: SQLITE_OK, or the error with which it ends; dead: and every other one, too. */
static int disk_op(void)
{
	disk.ops++;
	if (disk.ops == disk.dies_at)
		disk.dead = true;
	if (disk.dead)
		return SQLITE_IOERR;
	return disk.ops == disk.fails_at ? disk.fails_with : SQLITE_OK;
}

/* Power comes back: of what was not synced some is there, each sector for itself. */
static void disk_power(uint64_t seed)
{
	prng_init(&disk.rng, seed);
	for (unsigned int i = 0; i < DISK_FILES; i++) {
		struct disk_file *f = &disk.files[i];

		for (size_t n = 0; n < f->n_changes; n++) {
			const struct disk_change *c = &f->changes[n];
			uint32_t how = prng_below(&disk.rng, 3);

			for (size_t o = 0; c->data && o < c->len; o += DISK_SECTOR) {
				size_t len = c->len - o < DISK_SECTOR ? c->len - o : DISK_SECTOR;

				if (how == 0 || (how == 1 && prng_once_in(&disk.rng, 2)))
					content_write(&f->safe, c->at + o, c->data + o, len);
			}
			if (!c->data && how)
				content_cut(&f->safe, c->len);
		}
		disk_settle(f);
		content_copy(&f->now, &f->safe);
	}
	disk.dead = false;
	disk.ops = disk.dies_at = disk.fails_at = 0;
}

static void disk_wipe(void)
{
	for (unsigned int i = 0; i < DISK_FILES; i++) {
		disk_settle(&disk.files[i]);
		free(disk.files[i].now.data);
		free(disk.files[i].safe.data);
	}
	memset(&disk, 0, sizeof(disk));
}

/* ---- SQLite's view ---- */

static struct disk_file *disk_of(sqlite3_file *h)
{
	return ((struct disk_handle *)(void *)h)->file;
}

static int disk_close(sqlite3_file *h)
{
	(void)h;
	return SQLITE_OK;
}

static int disk_read(sqlite3_file *h, void *to, int len, sqlite3_int64 at)
{
	const struct disk_content *c = &disk_of(h)->now;
	size_t there = (size_t)at < c->len ? c->len - (size_t)at : 0;
	size_t n = there < (size_t)len ? there : (size_t)len;

	if (n)
		memcpy(to, c->data + at, n);
	memset((uint8_t *)to + n, 0, (size_t)len - n);
	return n == (size_t)len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int disk_write(sqlite3_file *h, const void *from, int len, sqlite3_int64 at)
{
	struct disk_file *f = disk_of(h);
	bool was_dead = disk.dead;
	int r = disk_op();

	/* The write in which it dies may have begun. */
	if (r && (was_dead || !disk.dead))
		return r;
	disk_note(f, (size_t)at, from, (size_t)len);
	if (!r)
		content_write(&f->now, (size_t)at, from, (size_t)len);
	return r;
}

static int disk_truncate(sqlite3_file *h, sqlite3_int64 len)
{
	struct disk_file *f = disk_of(h);
	int r = disk_op();

	if (r)
		return r;
	disk_note(f, 0, NULL, (size_t)len);
	content_cut(&f->now, (size_t)len);
	return SQLITE_OK;
}

static int disk_sync(sqlite3_file *h, int flags)
{
	struct disk_file *f = disk_of(h);
	int r = disk_op();

	(void)flags;
	if (r)
		return r;
	for (size_t n = 0; n < f->n_changes; n++) {
		const struct disk_change *c = &f->changes[n];

		if (c->data)
			content_write(&f->safe, c->at, c->data, c->len);
		else
			content_cut(&f->safe, c->len);
	}
	disk_settle(f);
	return SQLITE_OK;
}

static int disk_size(sqlite3_file *h, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64)disk_of(h)->now.len;
	return SQLITE_OK;
}

static int disk_lock(sqlite3_file *h, int level)
{
	(void)h;
	(void)level;
	return SQLITE_OK;
}

static int disk_locked(sqlite3_file *h, int *ret)
{
	(void)h;
	*ret = 0;
	return SQLITE_OK;
}

static int disk_control(sqlite3_file *h, int op, void *arg)
{
	(void)h;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int disk_sector(sqlite3_file *h)
{
	(void)h;
	return DISK_SECTOR;
}

static int disk_traits(sqlite3_file *h)
{
	(void)h;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods disk_methods = {
	.iVersion = 1,
	.xClose = disk_close,
	.xRead = disk_read,
	.xWrite = disk_write,
	.xTruncate = disk_truncate,
	.xSync = disk_sync,
	.xFileSize = disk_size,
	.xLock = disk_lock,
	.xUnlock = disk_lock,
	.xCheckReservedLock = disk_locked,
	.xFileControl = disk_control,
	.xSectorSize = disk_sector,
	.xDeviceCharacteristics = disk_traits,
};

static struct disk_file *disk_find(const char *name)
{
	for (unsigned int i = 0; i < DISK_FILES; i++) {
		if (strcmp(disk.files[i].name, name) == 0)
			return &disk.files[i];
	}
	return NULL;
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *h, int flags, int *ret_flags)
{
	struct disk_handle *d = (struct disk_handle *)(void *)h;

	(void)vfs;
	h->pMethods = NULL;
	d->file = disk_find(name);
	if (!d->file)
		d->file = disk_find("");
	assert(d->file);
	snprintf(d->file->name, sizeof(d->file->name), "%s", name);
	h->pMethods = &disk_methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

/* The folder is synced with it. */
static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	struct disk_file *f = disk_find(name);
	int r = disk_op();

	(void)vfs;
	(void)sync;
	if (r || !f)
		return r;
	disk_settle(f);
	content_cut(&f->now, 0);
	content_cut(&f->safe, 0);
	f->name[0] = '\0';
	return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	const struct disk_file *f = disk_find(name);

	(void)vfs;
	(void)flags;
	*ret = f && f->now.len;
	return SQLITE_OK;
}

static int disk_path(sqlite3_vfs *vfs, const char *name, int room, char *ret)
{
	(void)vfs;
	snprintf(ret, (size_t)room, "%s", name);
	return SQLITE_OK;
}

static sqlite3_vfs disk_vfs;

/* From now on all that SQLite opens is on this disk; off: as before. */
static void disk_use(bool on)
{
	sqlite3_vfs *usual = sqlite3_vfs_find("unix");

	if (!disk_vfs.zName) {
		disk_vfs = *usual;
		disk_vfs.pNext = NULL;
		disk_vfs.iVersion = 1;
		disk_vfs.szOsFile = sizeof(struct disk_handle);
		disk_vfs.zName = "disk";
		disk_vfs.xOpen = disk_open;
		disk_vfs.xDelete = disk_delete;
		disk_vfs.xAccess = disk_access;
		disk_vfs.xFullPathname = disk_path;
	}
	assert(sqlite3_vfs_register(on ? &disk_vfs : usual, 1) == SQLITE_OK);
}

#endif
