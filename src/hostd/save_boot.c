/* SPDX-License-Identifier: MIT */
/*
 * Files that the daemon keeps by itself, one for a domain, and what is started from them.
 * Invariant: d->managed is whether there is one; a domain that has one is never started otherwise
 * unless its owner says so.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "hostd/save_own.h"
#include "rpc/error.h"

/* One that waits until its file was read. */
struct save_boot {
	struct list link;
	struct host *host; /* borrowed */
	struct dom *dom;   /* referenced */
	bool paused;
	life_done_fn *done;
	void *data;
};

static void boot_free(struct save_boot *b)
{
	list_remove(&b->link);
	dom_unref(b->dom);
	free(b);
}

void save_boots_drop(struct saves *all)
{
	struct save_boot *b;

	list_for_each(b, &all->boots, link)
		boot_free(b);
}

static void on_read(void *data, struct save_image *image, int code, const char *why)
{
	struct save_boot *b = data;
	char text[VMM_ERROR_MAX];

	if (code) {
		snprintf(text, sizeof(text), "its managed file cannot be restored: %.400s", why);
		b->done(b->data, b->dom, code, text);
	} else {
		save_restore(b->host, b->dom, image, true, b->paused ? 0 : -1, b->done, b->data);
	}
	boot_free(b);
}

void save_start(struct host *h, struct dom *d, bool paused, life_done_fn *done, void *data)
{
	struct guest_def *def = d->managed ? NULL : def_copy(d->persistent);
	struct save_boot *b = NULL;
	char *path;

	if (def) {
		life_start(h, d, def, paused, done, data);
		return;
	}
	path = d->managed ? save_managed_path(h, d->uuid) : NULL;
	if (path)
		b = calloc(1, sizeof(*b));
	if (b) {
		*b = (struct save_boot){
			.host = h, .dom = dom_ref(d), .paused = paused, .done = done, .data = data
		};
		list_init(&b->link);
		list_append(&h->saves->boots, &b->link);
		save_image_read(h, path, on_read, b);
	} else {
		done(data, d, RPC_ERR_NO_MEMORY, "no memory");
	}
	free(path);
}

char *save_managed_path(const struct host *h, const uint8_t uuid[DEF_UUID_SIZE])
{
	char text[DEF_UUID_TEXT], *path;

	def_uuid_print(uuid, text);
	return asprintf(&path, "%s/%s.save", h->saves->dir, text) < 0 ? NULL : path;
}

int save_managed_remove(struct host *h, struct dom *d, char *text, size_t room)
{
	char *path = d->managed ? save_managed_path(h, d->uuid) : NULL;
	int r = 0;

	if (path)
		r = save_file_remove(path, text, room);
	else if (d->managed)
		r = ENOMEM;
	free(path);
	if (!r)
		d->managed = false;
	return r ? save_code(r) : 0;
}

/* Whether a saving that is to be gone on with writes it. */
static bool is_used(const struct saves *all, const char *name)
{
	const struct save *s;

	list_for_each(s, &all->all, link) {
		const char *slash = s->part ? strrchr(s->part, '/') : NULL;

		if (slash && !strcmp(slash + 1, name))
			return true;
	}
	return false;
}

/* A domain's own, or what a daemon left that died with its guest. */
static void look_at(struct host *h, int dir, const char *name)
{
	size_t len = strlen(name), uuid_len = DEF_UUID_TEXT - 1;
	char text[DEF_UUID_TEXT];
	uint8_t uuid[DEF_UUID_SIZE];
	struct dom *d;

	if (len > 5 && !strcmp(name + len - 5, ".part")) {
		if (!is_used(h->saves, name) && !unlinkat(dir, name, 0))
			log_notice("%s/%s: removed: it was never finished", h->saves->dir, name);
		return;
	}
	if (len != uuid_len + 5 || strcmp(name + uuid_len, ".save") != 0)
		return;
	memcpy(text, name, uuid_len);
	text[uuid_len] = '\0';
	d = def_uuid_parse(text, uuid) ? dom_find_uuid(&h->doms, uuid) : NULL;
	if (d)
		d->managed = true;
	else
		log_warning("%s/%s: of a domain that is not defined", h->saves->dir, name);
}

void save_managed_scan(struct host *h)
{
	DIR *dir = opendir(h->saves->dir);
	const struct dirent *e;

	if (!dir) {
		log_error("%s: %s", h->saves->dir, strerror(errno));
		return;
	}
	while ((e = readdir(dir)))
		look_at(h, dirfd(dir), e->d_name);
	closedir(dir);
}
