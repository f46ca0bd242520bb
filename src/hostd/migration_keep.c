/* SPDX-License-Identifier: MIT */
/*
 * What a destination is to define once a guest is its own, in a file from before Prepare is
 * answered: <state_dir>/incoming/<migration's id>.xml. Beside the definitions, not in the guest's
 * directory: that goes with the guest, or with the host's power, and the source undefines the guest
 * all the same. And that a user has paused a guest while it is sent, in the guest's directory.
 * Invariant: a file is there for as long as what it says has still to be defined, or
 * its migration can come to that; whoever starts next removes those of no migration.
 */
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
#include "hostd/defs.h"
#include "hostd/migration.h"
#include "hostd/settings.h"
#include "hostd/xml.h"

#define KEEP_NAME_MAX (DEF_UUID_TEXT + 4u) /* an id, ".xml" and a NUL */
#define KEEP_SUSPENDED_FILE "suspended"	   /* in the guest's directory */

DEFINE_CLEANUP(struct guest_def *, def_free)

static void text_freep(char **p)
{
	free(*p);
}

static char *keep_dir(const struct host *h)
{
	char *dir = NULL;

	if (asprintf(&dir, "%s/incoming", h->set->state_dir) < 0) {
		FAULT(-ENOMEM);
		return NULL;
	}
	return dir;
}

static void keep_name(const struct mig_id *id, char ret[KEEP_NAME_MAX])
{
	char text[DEF_UUID_TEXT];

	def_uuid_print(id->b, text);
	snprintf(ret, KEEP_NAME_MAX, "%s.xml", text);
}

int run_keep_write(struct run *r)
{
	CLEANUP(text_free) char *dir = keep_dir(r->host);
	CLEANUP(text_free) char *text = NULL;
	char name[KEEP_NAME_MAX];
	int err = dir ? xml_print(r->persist, -1, XML_INACTIVE | XML_SECURE, &text) : -ENOMEM;

	if (err)
		return err;
	keep_name(&r->id, name);
	r->kept = true; /* also what is half written is removed */
	return defs_file_write(dir, name, text, strlen(text));
}

int run_keep_define(struct run *r)
{
	CLEANUP(text_free) char *dir = r->kept ? keep_dir(r->host) : NULL;
	CLEANUP(text_free) char *path = NULL;
	char name[KEEP_NAME_MAX];
	int err;

	if (!dir)
		return -ENOENT;
	keep_name(&r->id, name);
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	err = defs_take(r->host, r->uuid, path);
	if (!err)
		r->kept = false;
	return err;
}

/* Not synced: one that is there again after a loss of power has no migration, and is swept. */
static void remove_file(const char *dir, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return;
	if (unlink(path) && errno != ENOENT)
		log_warning("%s: cannot be removed: %s", path, strerror(errno));
	free(path);
}

void run_keep_remove(struct run *r)
{
	CLEANUP(text_free) char *dir = r->kept ? keep_dir(r->host) : NULL;
	char name[KEEP_NAME_MAX];

	if (!dir)
		return;
	keep_name(&r->id, name);
	remove_file(dir, name);
	r->kept = false;
}

/* One of a migration that is not over. What cannot be read is named: what runs is defined then. */
static int take_file(struct run *r, const char *dir, const char *name)
{
	CLEANUP(text_free) char *text = NULL;
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct xml_error why;
	size_t len;
	int err = defs_file_read(dir, name, &text, &len);

	r->kept = true;
	if (err > 0)
		snprintf(why.text, sizeof(why.text), "%s", strerror(err));
	else if (!err)
		err = xml_parse(text, len, NULL, NULL, &def, &why);
	if (!err && memcmp(def->uuid, r->uuid, DEF_UUID_SIZE) != 0) {
		err = EINVAL;
		snprintf(why.text, sizeof(why.text), "<uuid> is another domain's");
	}
	if (err < 0)
		return err;
	if (err)
		log_error("%s/%s: what was to be defined here cannot be understood: %s", dir, name,
			  why.text);
	else
		r->persist = TAKE(def);
	return 0;
}

static int look_at(struct host *h, const char *dir, const char *name)
{
	char id_text[DEF_UUID_TEXT];
	struct mig_id id;
	struct run *r;

	if (name[0] == '.')
		return 0;
	snprintf(id_text, sizeof(id_text), "%.36s", name);
	r = strlen(name) == KEEP_NAME_MAX - 1 && !strcmp(name + DEF_UUID_TEXT - 1, ".xml") &&
			    def_uuid_parse(id_text, id.b)
		    ? run_find(h, &id)
		    : NULL;
	if (r && r->side == MIG_DESTINATION)
		return take_file(r, dir, name);
	remove_file(dir, name);
	return 0;
}

/* The file has the migration's id: one that an earlier migration left says nothing. */
void run_keep_suspended(struct run *r, bool suspended)
{
	const char *dir = r->dom && r->dom->guest ? vmm_guest_dir(r->dom->guest) : NULL;
	char id[DEF_UUID_TEXT];

	r->suspended = suspended;
	if (!dir)
		return;
	def_uuid_print(r->id.b, id);
	if (suspended)
		(void)defs_file_write(dir, KEEP_SUSPENDED_FILE, id, strlen(id));
	else
		remove_file(dir, KEEP_SUSPENDED_FILE);
}

void run_keep_read_suspended(struct run *r)
{
	const char *dir = r->dom && r->dom->guest ? vmm_guest_dir(r->dom->guest) : NULL;
	CLEANUP(text_free) char *text = NULL;
	char id[DEF_UUID_TEXT];
	size_t len;

	def_uuid_print(r->id.b, id);
	if (dir && !defs_file_read(dir, KEEP_SUSPENDED_FILE, &text, &len))
		r->suspended = !strcmp(text, id);
}

/* The directory's own name is to last, too. */
static int sync_parent(const char *state_dir)
{
	int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

int migration_keep_open(struct host *h)
{
	CLEANUP(text_free) char *dir = keep_dir(h);
	struct dirent **names = NULL;
	int n = -1, r = dir ? 0 : -ENOMEM;

	if (!r && mkdir(dir, 0700) && errno != EEXIST)
		r = -errno;
	if (!r)
		r = sync_parent(h->set->state_dir);
	if (!r) {
		n = scandir(dir, &names, NULL, alphasort);
		r = n < 0 ? -errno : 0;
	}
	if (r)
		log_error("%s: %s", dir ? dir : "incoming", strerror(-r));
	for (int i = 0; i < n; i++) {
		if (!r)
			r = look_at(h, dir, names[i]->d_name);
		free(names[i]);
	}
	free((void *)names);
	return r;
}
