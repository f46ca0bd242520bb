/* SPDX-License-Identifier: MIT */
/*
 * What a round of reading domains asks: which request, of which path.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/snapshot_read.h"

void asks_clear(struct asks *a)
{
	a->n = 0;
	a->text_len = 0;
}

void asks_fini(struct asks *a)
{
	free(a->v);
	free(a->text);
}

/* Keys lie behind each other; where they begin is told once no more are added. */
static int put_key(struct asks *a, const char *key, size_t *ret_at)
{
	size_t len = strlen(key) + 1, room = a->text_room ? a->text_room : 4096;
	char *p;

	while (room < a->text_len + len)
		room *= 2;
	if (room != a->text_room) {
		p = realloc(a->text, room);
		if (!p)
			return -ENOMEM;
		a->text = p;
		a->text_room = room;
	}
	memcpy(a->text + a->text_len, key, len);
	*ret_at = a->text_len;
	a->text_len += len;
	return 0;
}

void asks_settle(struct asks *a)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		a->v[i].key = a->v[i].has_key ? a->text + a->v[i].key_at : NULL;
}

int ask(struct reading *rd, unsigned int slot, enum ask_what what, size_t dev, const char *key)
{
	struct asks *a = &rd->next;
	struct ask q = { .what = what, .slot = slot, .dev = dev };

	if (a->n == a->room) {
		size_t room = a->room ? a->room * 2 : 64;
		struct ask *p = realloc(a->v, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		a->v = p;
		a->room = room;
	}
	if (key && put_key(a, key, &q.key_at))
		return -ENOMEM;
	q.has_key = key != NULL;
	rd->slots[slot].waits = true;
	a->v[a->n++] = q;
	return 0;
}

int ask_path_print(char *path, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, PATH_SIZE, fmt, ap);
	va_end(ap);
	return n < 0 || n >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

int ask_path_join(char *path, const char *dir, const char *below)
{
	size_t dir_len = strlen(dir), len = strlen(below);
	bool between = dir_len && len;

	if (dir_len + between + len >= PATH_SIZE)
		return -ENAMETOOLONG;
	memcpy(path, dir, dir_len);
	if (between)
		path[dir_len++] = '/';
	memcpy(path + dir_len, below, len + 1);
	return 0;
}

/* The path that an ask is about. */
int ask_path(const struct ask *q, const struct slot *t, char *path)
{
	const struct conf_dev *d = NULL;

	if (q->what >= ASK_LIBXL_LIST && q->what <= ASK_BACK_DOMAIN)
		d = &t->s->devs[q->dev];
	switch (q->what) {
	case ASK_START:
		return ask_path_print(path, "%s", "");
	case ASK_END:
		return ask_path_print(path, "%s", t->err ? "F" : "T");
	case ASK_HERE:
		return ask_path_print(path, "/local/domain/%" PRIu32, t->domid);
	case ASK_VM:
		return ask_path_print(path, "/local/domain/%" PRIu32 "/vm", t->domid);
	case ASK_NAME:
		return ask_path_print(path, "/local/domain/%" PRIu32 "/name", t->domid);
	case ASK_TYPE:
		return ask_path_print(path, "/libxl/%" PRIu32 "/type", t->domid);
	case ASK_VALUE:
		return ask_path_print(path, "/local/domain/%" PRIu32 "/%s", t->domid, q->key);
	case ASK_CPUS:
		return ask_path_print(path, "/local/domain/%" PRIu32 "/cpu", t->domid);
	case ASK_KINDS:
		return ask_path_print(path, "/libxl/%" PRIu32 "/device", t->domid);
	case ASK_DEVICES:
		return ask_path_print(path, "/libxl/%" PRIu32 "/device/%s", t->domid, q->key);
	case ASK_LIBXL_LIST:
	case ASK_LIBXL_VALUE:
		return ask_path_join(path, d->path, q->key);
	case ASK_BACK_LIST:
	case ASK_BACK_VALUE:
		return ask_path_join(path, d->backend, q->key);
	case ASK_BACK_DOMAIN:
		return ask_path_print(path, "/local/domain/%" PRIu32, d->backend_domid);
	}
	return -EINVAL;
}

enum xsd_sockmsg_type ask_type(enum ask_what what)
{
	switch (what) {
	case ASK_START:
		return XS_TRANSACTION_START;
	case ASK_END:
		return XS_TRANSACTION_END;
	case ASK_CPUS:
	case ASK_KINDS:
	case ASK_DEVICES:
	case ASK_LIBXL_LIST:
	case ASK_BACK_LIST:
		return XS_DIRECTORY;
	default:
		return XS_READ;
	}
}
