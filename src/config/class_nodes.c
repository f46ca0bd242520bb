/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a device: three directories, in each what is common to all devices and what the
 * table's rows add, with the permissions that libxl gives them. What the backend has, libxl's
 * directory has a copy of.
 *
 * Invariant: a directory comes before what is in it; a frontend belongs to the guest, but for
 * nodes that it may only read.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

/* Nodes of one device: its lists are bounded, and this is beyond all of them. */
#define CLASS_NODES_MAX 65536

static inline void freep(char **p)
{
	free(*p);
}

void class_nodes_fini(struct class_nodes *nodes)
{
	for (size_t i = 0; i < nodes->n; i++) {
		free(nodes->v[i].path);
		free(nodes->v[i].value);
	}
	free(nodes->v);
	memset(nodes, 0, sizeof(*nodes));
}

static int nodes_room(struct class_nodes *nodes)
{
	size_t room = nodes->room ? nodes->room * 2 : 32;
	struct class_node *v;

	if (nodes->n < nodes->room)
		return 0;
	if (room > CLASS_NODES_MAX)
		return -E2BIG;
	v = realloc(nodes->v, room * sizeof(*v));
	if (!v)
		return -ENOMEM;
	nodes->v = v;
	nodes->room = room;
	return 0;
}

static void set_owner(struct class_node *node, const struct class_where *w, bool ro)
{
	bool guests = node->side == CLASS_FRONTEND && !ro;

	node->owner = guests ? w->domid : w->backend_domid;
	node->reader = guests ? w->backend_domid : w->domid;
	if (node->side == CLASS_LIBXL) {
		node->owner = 0;
		node->reader = CLASS_DEVID_NONE;
	}
}

int class_nodes_add(struct class_nodes *nodes, const struct class_where *where,
		    enum class_side side, bool ro, const char *value, const char *fmt, ...)
{
	struct class_node node = { .side = side };
	va_list args;
	int n, r = nodes_room(nodes);

	if (r)
		return r;
	va_start(args, fmt);
	n = vasprintf(&node.path, fmt, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	node.value = strdup(value);
	if (!node.value) {
		free(node.path);
		return -ENOMEM;
	}
	set_owner(&node, where, ro);
	nodes->v[nodes->n++] = node;
	return 0;
}

/* ---- directories ---- */

static const char *front_kind(const struct class_put *x)
{
	return x->k->kind_of ? x->k->kind_of(x->entry, x->where) : x->k->kind;
}

/* NULL: it has no backend. */
static const char *back_kind(const struct class_put *x)
{
	if (x->k->back_kind_of)
		return x->k->back_kind_of(x->entry, x->where);
	return front_kind(x);
}

void class_path(const struct class_put *x, enum class_side side, char *ret)
{
	const struct class_where *w = x->where;

	switch (side) {
	case CLASS_FRONTEND:
		snprintf(ret, CLASS_PATH_MAX, "/local/domain/%" PRIu32 "/device/%s/%" PRIu32,
			 w->domid, front_kind(x), x->devid);
		break;
	case CLASS_BACKEND:
		snprintf(ret, CLASS_PATH_MAX,
			 "/local/domain/%" PRIu32 "/backend/%s/%" PRIu32 "/%" PRIu32,
			 w->backend_domid, back_kind(x), w->domid, x->devid);
		break;
	case CLASS_LIBXL:
		snprintf(ret, CLASS_PATH_MAX, "/libxl/%" PRIu32 "/device/%s/%" PRIu32, w->domid,
			 front_kind(x), x->devid);
		break;
	}
}

static int put_begin(struct class_put *x, const struct conf_class *k, struct json_object *entry,
		     const struct class_where *where, struct conf_err *err)
{
	*x = (struct class_put){ .k = k, .entry = entry, .where = where, .err = err };
	return class_devid(k, entry, &x->devid, err);
}

int class_paths(const struct conf_class *k, struct json_object *entry,
		const struct class_where *where, char **ret_front, char **ret_back,
		char **ret_libxl, struct conf_err *err)
{
	CLEANUP(free) char *front = NULL, *back = NULL, *libxl = NULL;
	char path[CLASS_PATH_MAX];
	struct class_put x;
	int r;

	*ret_front = *ret_back = *ret_libxl = NULL;
	if (k->place == CLASS_RECORD_ONLY)
		return 0;
	r = put_begin(&x, k, entry, where, err);
	if (r)
		return r;
	class_path(&x, CLASS_LIBXL, path);
	/* PCI devices are the one class that libxl has no directory for. */
	libxl = strcmp(k->kind, "pci") != 0 ? strdup(path) : NULL;
	if (!libxl && strcmp(k->kind, "pci") != 0)
		return conf_no_memory(err);
	if (back_kind(&x)) {
		class_path(&x, CLASS_FRONTEND, path);
		front = strdup(path);
		class_path(&x, CLASS_BACKEND, path);
		back = strdup(path);
		if (!front || !back)
			return conf_no_memory(err);
	}
	*ret_front = TAKE(front);
	*ret_back = TAKE(back);
	*ret_libxl = TAKE(libxl);
	return 0;
}

/* ---- one side ---- */

/* The key of a row in one directory; *mask: the sides that are written there. */
static int put_row(const struct class_put *x, const struct class_row *row, enum class_side side,
		   const char *dir, struct class_nodes *ret)
{
	CLEANUP(free) char *value = NULL;
	int r = class_row_put(x, row, &value);

	if (r || !value)
		return r;
	return class_nodes_add(ret, x->where, side, (row->sides & ROW_FRONT_RO) != 0, value,
			       "%s/%s", dir, row->key);
}

static int put_rows(const struct class_put *x, enum class_side side, const char *dir,
		    struct class_nodes *ret)
{
	unsigned int sides = side == CLASS_FRONTEND ? ROW_FRONT | ROW_FRONT_RO : ROW_BACK;
	int r = 0;

	for (const struct class_row *row = x->k->rows; !r && row->key; row++)
		if (row->sides & sides)
			r = put_row(x, row, side, dir, ret);
	return r;
}

static int put(const struct class_put *x, enum class_side side, const char *dir, const char *key,
	       const char *value, struct class_nodes *ret)
{
	return class_nodes_add(ret, x->where, side, false, value, "%s/%s", dir, key);
}

static int put_frontend(const struct class_put *x, const char *front, const char *back,
			struct class_nodes *ret)
{
	char backend_id[16];
	int r;

	snprintf(backend_id, sizeof(backend_id), "%" PRIu32, x->where->backend_domid);
	r = class_nodes_add(ret, x->where, CLASS_FRONTEND, false, "", "%s", front);
	r = r ? r : put(x, CLASS_FRONTEND, front, "backend", back, ret);
	r = r ? r : put(x, CLASS_FRONTEND, front, "backend-id", backend_id, ret);
	r = r ? r : put(x, CLASS_FRONTEND, front, "state", "1", ret);
	return r ? r : put_rows(x, CLASS_FRONTEND, front, ret);
}

/* What the backend has, there and in libxl's copy. */
static int put_backend(const struct class_put *x, enum class_side side, const char *dir,
		       struct class_nodes *ret)
{
	char domid[16];
	int r;

	snprintf(domid, sizeof(domid), "%" PRIu32, x->where->domid);
	r = put(x, side, dir, "frontend-id", domid, ret);
	r = r ? r : put(x, side, dir, "online", "1", ret);
	r = r ? r : put(x, side, dir, "state", "1", ret);
	return r ? r : put_rows(x, side, dir, ret);
}

static int put_all(const struct class_put *x, struct class_nodes *ret)
{
	char front[CLASS_PATH_MAX], back[CLASS_PATH_MAX], libxl[CLASS_PATH_MAX];
	int r;

	class_path(x, CLASS_FRONTEND, front);
	class_path(x, CLASS_BACKEND, back);
	class_path(x, CLASS_LIBXL, libxl);
	r = class_nodes_add(ret, x->where, CLASS_LIBXL, false, "", "%s", libxl);
	r = r ? r : put(x, CLASS_LIBXL, libxl, "frontend", front, ret);
	r = r ? r : put(x, CLASS_LIBXL, libxl, "backend", back, ret);
	r = r ? r : put_frontend(x, front, back, ret);
	r = r ? r : class_nodes_add(ret, x->where, CLASS_BACKEND, false, "", "%s", back);
	r = r ? r : put(x, CLASS_BACKEND, back, "frontend", front, ret);
	r = r ? r : put_backend(x, CLASS_BACKEND, back, ret);
	r = r ? r : put_backend(x, CLASS_LIBXL, libxl, ret);
	return r || !x->k->nodes ? r : x->k->nodes(x, ret);
}

/* Errors of the lists themselves have no line yet. */
static int finish(const struct class_put *x, int r)
{
	if (r == -ENOMEM)
		return conf_no_memory(x->err);
	if (r == -E2BIG)
		return conf_fail(x->err, -EINVAL, "%s: more than %d nodes", x->k->name,
				 CLASS_NODES_MAX);
	return r;
}

int class_nodes(const struct conf_class *k, struct json_object *entry,
		const struct class_where *where, struct conf_err *err, struct class_nodes *ret)
{
	struct class_put x;
	int r;

	*ret = (struct class_nodes){ 0 };
	if (k->place != CLASS_DIRECTORY)
		return conf_fail(err, -EOPNOTSUPP, "%s: has no directory of its own", k->name);
	r = put_begin(&x, k, entry, where, err);
	if (r)
		return r;
	if (!back_kind(&x))
		return conf_fail(err, -EOPNOTSUPP,
				 "%s %" PRIu32 ": type: only a device model can attach it", k->name,
				 x.devid);
	r = finish(&x, put_all(&x, ret));
	if (r)
		class_nodes_fini(ret);
	return r;
}

/* ---- entries ---- */

static int paths_of(const struct class_nodes *nodes, char **ret, size_t *ret_len)
{
	size_t len = 0, at = 0;

	for (size_t i = 0; i < nodes->n; i++)
		len += strlen(nodes->v[i].path) + 1;
	*ret = malloc(len + 1);
	if (!*ret)
		return -ENOMEM;
	for (size_t i = 0; i < nodes->n; i++) {
		size_t n = strlen(nodes->v[i].path) + 1;

		memcpy(*ret + at, nodes->v[i].path, n);
		at += n;
	}
	*ret_len = len;
	return 0;
}

int class_entry_nodes(const struct conf_class *k, struct json_object *entry,
		      const struct class_where *where, const struct conf_dev *dev, bool add,
		      struct conf_err *err, struct class_nodes *ret, char **ret_remove,
		      size_t *ret_remove_len)
{
	struct class_nodes remove = { 0 };
	struct class_put x;
	int r;

	*ret = (struct class_nodes){ 0 };
	*ret_remove = NULL;
	*ret_remove_len = 0;
	if (!k->entry_nodes)
		return conf_fail(err, -EOPNOTSUPP, "%s: is no entry of a directory", k->name);
	r = put_begin(&x, k, entry, where, err);
	if (r)
		return r;
	r = k->entry_nodes(&x, dev, add, ret, &remove);
	if (!r)
		r = paths_of(&remove, ret_remove, ret_remove_len);
	class_nodes_fini(&remove);
	r = finish(&x, r);
	if (r)
		class_nodes_fini(ret);
	return r;
}

/* ---- updates ---- */

/* The first field that is not the same in both, by its path; false: none. */
static bool first_difference(struct json_object *a, struct json_object *b, const char *above,
			     const struct conf_class *k, char *ret, size_t ret_size);

static bool may_change(const struct conf_class *k, const char *path)
{
	for (const struct class_row *row = k->rows; row->key; row++)
		if (row->field && (row->flags & ROW_LIVE) && !strcmp(row->field, path))
			return true;
	/* A disk's format and a rate's interval go with the row that has them in its value. */
	return (!strcmp(k->name, "vbd") && !strcmp(path, "format")) ||
	       (!strcmp(k->name, "vif") && !strcmp(path, "rate_interval_usecs"));
}

static bool differs(struct json_object *a, struct json_object *b, const char *path,
		    const struct conf_class *k, char *ret, size_t ret_size)
{
	if (json_object_equal(a, b))
		return false;
	if (json_object_is_type(a, json_type_object) && json_object_is_type(b, json_type_object))
		return first_difference(a, b, path, k, ret, ret_size);
	if (may_change(k, path))
		return false;
	snprintf(ret, ret_size, "%s", path);
	return true;
}

static bool first_difference(struct json_object *a, struct json_object *b, const char *above,
			     const struct conf_class *k, char *ret, size_t ret_size)
{
	char path[128];

	json_object_object_foreach(a, key, value)
	{
		snprintf(path, sizeof(path), "%s%s%s", above, *above ? "." : "", key);
		if (differs(value, class_field(b, key), path, k, ret, ret_size))
			return true;
	}
	json_object_object_foreach(b, other, new_value)
	{
		snprintf(path, sizeof(path), "%s%s%s", above, *above ? "." : "", other);
		if (!class_field(a, other) && differs(NULL, new_value, path, k, ret, ret_size))
			return true;
	}
	return false;
}

/* A disk's medium is all of it that can change, and only where it can be taken out. */
static bool medium_is_fixed(struct json_object *old, struct json_object *entry)
{
	const char *fields[] = { "pdev_path", "format" };

	if (class_field_bool(old, "removable", false) || class_field_bool(old, "is_cdrom", false))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (!json_object_equal(class_field(old, fields[i]), class_field(entry, fields[i])))
			return true;
	return false;
}

/* A key whose value is another now, on both of its sides; one that is gone is written empty. */
static int update_row(const struct class_put *x, const struct class_put *was,
		      const struct class_row *row, struct class_nodes *ret)
{
	CLEANUP(free) char *old = NULL, *new = NULL;
	char back[CLASS_PATH_MAX], libxl[CLASS_PATH_MAX];
	int r = class_row_put(was, row, &old);

	r = r ? r : class_row_put(x, row, &new);
	if (r || (!old && !new) || (old && new && !strcmp(old, new)))
		return r;
	class_path(x, CLASS_BACKEND, back);
	class_path(x, CLASS_LIBXL, libxl);
	r = put(x, CLASS_BACKEND, back, row->key, new ? new : "", ret);
	return r ? r : put(x, CLASS_LIBXL, libxl, row->key, new ? new : "", ret);
}

int class_update_nodes(const struct conf_class *k, struct json_object *old,
		       struct json_object *entry, const struct class_where *where,
		       struct conf_err *err, struct class_nodes *ret)
{
	struct class_put x, was;
	char field[128];
	int r;

	*ret = (struct class_nodes){ 0 };
	if (first_difference(old, entry, "", k, field, sizeof(field)))
		return conf_fail(err, -EOPNOTSUPP,
				 "%s: %s: changes only by detaching and attaching", k->name, field);
	if (!strcmp(k->name, "vbd") && medium_is_fixed(old, entry))
		return conf_fail(err, -EOPNOTSUPP,
				 "vbd: pdev_path: changes only by detaching and attaching: the "
				 "disk is not removable");
	if (k->place != CLASS_DIRECTORY)
		return 0;
	r = put_begin(&x, k, entry, where, err);
	if (r || !back_kind(&x))
		return r;
	was = x;
	was.entry = old;
	for (const struct class_row *row = k->rows; !r && row->key; row++)
		if ((row->flags & ROW_LIVE) && (row->sides & ROW_BACK))
			r = update_row(&x, &was, row, ret);
	r = finish(&x, r);
	if (r)
		class_nodes_fini(ret);
	return r;
}
