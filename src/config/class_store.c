/* SPDX-License-Identifier: MIT */
/*
 * What the store says of a device: whether its keys are whole, the entry that can be made of
 * them, and where they say otherwise than the record.
 *
 * Invariant: nothing is read but libxl's directory and the backend's, so nothing that the guest
 * could have written; whatever they hold is named or used, and never trusted to be a number, a
 * name or short.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"

/* ---- what is wrong ---- */

/* The domain of a device, as its path has it: "/libxl/7/device/vbd/51712". */
static const char *frontend_of(const struct conf_dev *dev, char ret[CLASS_PATH_MAX])
{
	unsigned long domid = 0;
	char *end = NULL;

	if (!strncmp(dev->path, "/libxl/", 7))
		domid = strtoul(dev->path + 7, &end, 10);
	if (!end || *end != '/')
		return NULL;
	/* The first console is not among the devices. */
	if (!strcmp(dev->kind, "console") && !dev->devid)
		snprintf(ret, CLASS_PATH_MAX, "/local/domain/%lu/console", domid);
	else
		snprintf(ret, CLASS_PATH_MAX, "/local/domain/%lu/device/%s/%" PRIu32, domid,
			 dev->kind, dev->devid);
	return ret;
}

/* The keys of any device, in libxl's directory. */
static bool check_common(const struct conf_dev *dev, char *ret, size_t ret_size)
{
	const char *backend = conf_values_get(&dev->libxl, "backend");
	const char *frontend = conf_values_get(&dev->libxl, "frontend");
	char expected[CLASS_PATH_MAX];

	if (!backend)
		snprintf(ret, ret_size, "backend: missing");
	else if (!dev->backend_kind)
		snprintf(ret, ret_size, "backend: %.128s", backend);
	else if (!frontend)
		snprintf(ret, ret_size, "frontend: missing");
	else if (frontend_of(dev, expected) && strcmp(frontend, expected) != 0)
		snprintf(ret, ret_size, "frontend: %.128s", frontend);
	else
		return false;
	return true;
}

/* And in its backend's. */
static bool check_backend(const struct conf_dev *dev, char *ret, size_t ret_size)
{
	static const char *const keys[] = { "frontend", "frontend-id", "online", "state" };

	for (size_t i = 0; dev->has_backend && i < ARRAY_LEN(keys); i++) {
		if (conf_values_get(&dev->back, keys[i]))
			continue;
		snprintf(ret, ret_size, "%s: missing from the backend", keys[i]);
		return true;
	}
	return false;
}

static bool check_rows(const struct conf_class *k, const struct conf_dev *dev, char *ret,
		       size_t ret_size)
{
	CLEANUP_JSON struct json_object *scratch = json_object_new_object();

	if (!scratch)
		return false;
	for (const struct class_row *row = k->rows; row->key; row++) {
		const char *text;

		if (!(row->sides & ROW_BACK))
			continue;
		text = class_key(dev, row->key);
		if (!text && (row->flags & ROW_MUST))
			snprintf(ret, ret_size, "%s: missing", row->key);
		else if ((row->flags & (ROW_MUST | ROW_ABOVE)) == ROW_MUST && dev->libxl.n &&
			 !conf_values_get(&dev->libxl, row->key)) /* libxl looks there alone */
			snprintf(ret, ret_size, "%s: missing from libxl's directory", row->key);
		else if (text && class_row_get(k, dev, row, text, scratch) == -EBADMSG)
			snprintf(ret, ret_size, "%s: %.128s", row->key, *text ? text : "empty");
		else
			continue;
		return true;
	}
	return false;
}

void class_check(const struct conf_class *k, const struct conf_dev *dev, const char *id, char *ret,
		 size_t ret_size)
{
	bool alone = k->no_backend && k->no_backend(dev);

	ret[0] = '\0';
	if (dev->overflow) {
		snprintf(ret, ret_size, "more than %d nodes", CONF_DEVICE_NODES_MAX);
		return;
	}
	/* A directory of entries that libxl has none of its own for is the backend's. */
	if (strcmp(dev->kind, "pci") != 0 && !alone && check_common(dev, ret, ret_size))
		return;
	if (!alone && check_backend(dev, ret, ret_size))
		return;
	if (k->implied && k->implied(NULL, dev))
		return;
	if (!check_rows(k, dev, ret, ret_size) && k->check)
		k->check(dev, id, ret, ret_size);
}

/* ---- what it gives back ---- */

static int get_rows(const struct conf_class *k, const struct conf_dev *dev,
		    struct json_object *entry, const char **ret_key)
{
	for (const struct class_row *row = k->rows; row->key; row++) {
		const char *text = row->sides & ROW_BACK ? class_key(dev, row->key) : NULL;
		int r = text ? class_row_get(k, dev, row, text, entry) : 0;

		*ret_key = row->key;
		if (!r && !text && (row->flags & ROW_MUST) && (row->sides & ROW_BACK))
			r = -EBADMSG;
		if (r)
			return r;
	}
	return 0;
}

static int get_common(const struct conf_class *k, const struct conf_dev *dev,
		      struct json_object *entry)
{
	int r = 0;

	if (k->place == CLASS_DIRECTORY && !k->devid)
		r = class_field_set_number(entry, "devid", dev->devid);
	if (!r && k->place == CLASS_DIRECTORY && dev->backend_kind && dev->backend_domid)
		r = class_field_set_number(entry, "backend_domid", dev->backend_domid);
	return r;
}

int class_from_store(const struct conf_class *k, const struct conf_dev *dev, const char *id,
		     struct conf_err *err, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *entry = conf_json_new(class_schema(k));
	const char *key = NULL;
	int r;

	if (!entry)
		return conf_no_memory(err);
	r = get_common(k, dev, entry);
	r = r ? r : get_rows(k, dev, entry, &key);
	if (r == -EBADMSG)
		return conf_fail(err, r, "%s/%s: %s", dev->path, key,
				 class_key(dev, key) ? "malformed" : "missing");
	if (!r && k->from_store)
		r = k->from_store(dev, id, entry);
	if (r == -EBADMSG)
		return conf_fail(err, r, "%s: has no device %s", dev->path, id);
	if (r)
		return conf_no_memory(err);
	/* Fields in libxl's order, those at their defaults left out. */
	r = conf_json_canon(class_schema(k), entry, err);
	if (r)
		return r == -ENOMEM ? r : conf_fail_in(err, -EBADMSG, "%s", dev->path);
	*ret = TAKE(entry);
	return 0;
}

/* ---- where it differs ---- */

static void name_field(char *ret, size_t ret_size, const char *field)
{
	size_t at = strlen(ret);

	if (!strstr(ret, field))
		snprintf(ret + at, ret_size - at, "%s%s", at ? ", " : "", field);
}

/* The store's value of a row as fields, in an object of their own. */
static int read_row(const struct conf_class *k, const struct conf_dev *dev,
		    const struct class_row *row, struct json_object **ret)
{
	const char *text = class_key(dev, row->key);

	*ret = json_object_new_object();
	if (!*ret)
		return -ENOMEM;
	return text ? class_row_get(k, dev, row, text, *ret) : 0;
}

/*
 * Fields of the record and of the store say the same. A field that the record leaves open was
 * filled in by whoever attached the device, and is no difference.
 */
static bool says_the_same(const struct class_row *row, struct json_object *entry, const char *field,
			  struct json_object *value)
{
	struct json_object *mine = class_field(entry, field);
	const char *a, *b, *slash;

	if (!mine)
		return strcmp(field, "pdev_path") != 0 && strcmp(field, "readwrite") != 0;
	if (json_object_equal(mine, value))
		return true;
	if (!json_object_is_type(mine, json_type_string) ||
	    !json_object_is_type(value, json_type_string))
		return false;
	a = json_object_get_string(mine);
	b = json_object_get_string(value);
	/* A script's bare name stands for a path. */
	slash = strrchr(b, '/');
	if (!strcmp(row->key, "script") && slash)
		return !strcmp(a, slash + 1);
	return !strcasecmp(a, b) && (!strcmp(field, "mac") || !strcmp(field, "uuid"));
}

/* Whether the record has a value that no key at all does not say just as well. */
static bool says_something(struct json_object *entry, const char *field)
{
	struct json_object *value = class_field(entry, field);

	switch (json_object_get_type(value)) {
	case json_type_null:
		return false;
	case json_type_boolean:
		return json_object_get_boolean(value);
	case json_type_string:
		return strcasecmp(json_object_get_string(value), "false") != 0;
	default:
		return true;
	}
}

/* Fields that the row sets, those of `value`, over the entry's. */
static int overlay_row(const struct class_row *row, struct json_object *entry,
		       struct json_object *value, char *ret_changed, size_t ret_size)
{
	bool has_field = false;

	json_object_object_foreach(value, field, v)
	{
		has_field = has_field || !strcmp(field, row->field);
		if (says_the_same(row, entry, field, v))
			continue;
		if (class_field_set(entry, field, json_object_get(v)))
			return -ENOMEM;
		name_field(ret_changed, ret_size, field);
	}
	/* The record has a value, the store none: what was there is gone. */
	if (!has_field && says_something(entry, row->field)) {
		json_object_object_del(entry, row->field);
		name_field(ret_changed, ret_size, row->field);
	}
	return 0;
}

int class_overlay(const struct conf_class *k, const struct conf_dev *dev, const char *id,
		  struct json_object *entry, char *ret_changed, size_t ret_size,
		  struct conf_err *err)
{
	const struct class_where where = { .backend_domid = dev->backend_domid };
	const struct class_put x = { .k = k, .entry = entry, .where = &where };

	(void)id;
	ret_changed[0] = '\0';
	for (const struct class_row *row = k->rows; row->key; row++) {
		CLEANUP_JSON struct json_object *value = NULL;
		int r;

		if (!(row->flags & ROW_DECIDES) ||
		    (row->when && !row->when(&x) && !class_key(dev, row->key)))
			continue;
		r = read_row(k, dev, row, &value);
		/* Malformed: class_check has told, and the record's value stands. */
		if (r == -EBADMSG)
			continue;
		if (!r)
			r = overlay_row(row, entry, value, ret_changed, ret_size);
		if (r)
			return conf_no_memory(err);
	}
	return 0;
}
