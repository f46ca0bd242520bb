/* SPDX-License-Identifier: MIT */
/*
 * The files in a userdata directory, whose ever they are. The list is complete and sorted before
 * anybody is told of it, so that what they do to the directory cannot change what they are told.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "config/userdata_priv.h"

/* Of files in one directory; more is not libxl's. */
#define USERDATA_LIST_MAX (1u << 20)

static inline void list_finip(struct userdata_list *list)
{
	userdata_list_fini(list);
}
#define CLEANUP_LIST __attribute__((cleanup(list_finip)))

static inline void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

void userdata_list_fini(struct userdata_list *list)
{
	free(list->v);
	memset(list, 0, sizeof(*list));
}

static int name_compare(const void *a, const void *b)
{
	const struct userdata_name *x = a, *y = b;
	int r;

	if (x->domid != y->domid)
		return x->domid < y->domid ? -1 : 1;
	r = strcmp(x->uuid, y->uuid);
	if (!r)
		r = strcmp(x->name, y->name);
	return r ? r : x->what - y->what;
}

static int list_add(struct userdata_list *list, const struct userdata_name *name)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct userdata_name *v = reallocarray(list->v, room, sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->room = room;
	}
	list->v[list->n++] = *name;
	return 0;
}

int userdata_list(struct userdata *u, struct conf_err *err, struct userdata_list *ret)
{
	CLEANUP_LIST struct userdata_list list = { 0 };
	CLEANUP(closedir) DIR *dir = NULL;
	struct userdata_name name;
	struct dirent *de;
	int fd = openat(u->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		return conf_fail(err, e == EACCES ? -EACCES : -EIO, "%s: cannot be listed: %s",
				 u->path, strerror(e));
	}
	while (errno = 0, (de = readdir(dir))) {
		if (!userdata_name_parse(de->d_name, &name))
			continue;
		if (list.n == USERDATA_LIST_MAX)
			return conf_fail(err, -EFBIG, "%s: more than %u files", u->path,
					 USERDATA_LIST_MAX);
		if (list_add(&list, &name))
			return conf_no_memory(err);
	}
	if (errno)
		return conf_fail(err, -EIO, "%s: cannot be listed: %s", u->path, strerror(errno));
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), name_compare);
	*ret = list;
	memset(&list, 0, sizeof(list));
	return 0;
}

int userdata_each(struct userdata *u, const char *name, userdata_each_fn *fn, void *data)
{
	CLEANUP_LIST struct userdata_list list = { 0 };
	int r;

	r = userdata_list(u, NULL, &list);
	for (size_t i = 0; !r && i < list.n; i++)
		if (list.v[i].what == 'd' && !strcmp(list.v[i].name, name))
			r = fn(data, list.v[i].domid, list.v[i].uuid);
	return r;
}

int userdata_remove_all(struct userdata *u, uint32_t domid, const char *uuid, struct conf_err *err)
{
	CLEANUP_LIST struct userdata_list list = { 0 };
	char file[NAME_MAX + 1];
	int r;

	r = userdata_list(u, err, &list);
	for (size_t i = 0; !r && i < list.n; i++) {
		const struct userdata_name *name = &list.v[i];

		if (name->domid != domid || strcmp(name->uuid, uuid))
			continue;
		if (!userdata_file_name(name->what, domid, uuid, name->name, file))
			continue;
		if (name->what == 'l')
			userdata_lock_sweep(u, file);
		else if (unlinkat(u->fd, file, 0) && errno != ENOENT)
			r = conf_fail(err, errno == EIO ? -EIO : -EACCES,
				      "%s/%s: cannot be removed: %s", u->path, file,
				      strerror(errno));
	}
	if (!r && fsync(u->fd))
		r = conf_fail(err, -EIO, "%s: %s", u->path, strerror(errno));
	return r;
}
