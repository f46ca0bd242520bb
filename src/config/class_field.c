/* SPDX-License-Identifier: MIT */
/*
 * Fields of an entry of the record, and how a row of the table makes a key's value from its field
 * and back.
 *
 * Invariant: what class_row_get does not refuse, class_row_put gives back, but for values that a
 * field's default stands for.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "config/json.h"

/* No field of the table is deeper than this: "vnc.enable". */
#define FIELD_PART_MAX 64

struct json_object *class_field(struct json_object *entry, const char *path)
{
	struct json_object *value = NULL;
	char part[FIELD_PART_MAX];

	if (json_object_object_get_ex(entry, path, &value))
		return value;
	/* A variant's key has a dot of its own: "type.hostdev". */
	for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
		if ((size_t)(dot - path) >= sizeof(part))
			return NULL;
		memcpy(part, path, (size_t)(dot - path));
		part[dot - path] = '\0';
		if (json_object_object_get_ex(entry, part, &value) &&
		    json_object_is_type(value, json_type_object))
			return class_field(value, dot + 1);
	}
	return NULL;
}

const char *class_field_text(struct json_object *entry, const char *path)
{
	struct json_object *value = class_field(entry, path);
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return text && *text ? text : NULL;
}

int64_t class_field_number(struct json_object *entry, const char *path, int64_t init)
{
	struct json_object *value = class_field(entry, path);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : init;
}

bool class_field_bool(struct json_object *entry, const char *path, bool init)
{
	struct json_object *value = class_field(entry, path);

	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return json_object_get_boolean(value);
	case json_type_int:
		return json_object_get_int64(value) != 0;
	case json_type_string:
		return !strcasecmp(json_object_get_string(value), "true");
	default:
		return init;
	}
}

int class_field_set(struct json_object *entry, const char *path, struct json_object *value)
{
	const char *dot = strchr(path, '.');
	struct json_object *inner = NULL;
	char part[FIELD_PART_MAX];

	if (!value)
		return -ENOMEM;
	if (!dot || (size_t)(dot - path) >= sizeof(part)) {
		if (!json_object_object_add(entry, path, value))
			return 0;
		json_object_put(value);
		return -ENOMEM;
	}
	memcpy(part, path, (size_t)(dot - path));
	part[dot - path] = '\0';
	if (!json_object_object_get_ex(entry, part, &inner)) {
		inner = json_object_new_object();
		if (!inner || json_object_object_add(entry, part, inner)) {
			json_object_put(inner);
			json_object_put(value);
			return -ENOMEM;
		}
	}
	return class_field_set(inner, dot + 1, value);
}

int class_field_set_text(struct json_object *entry, const char *path, const char *value)
{
	return class_field_set(entry, path, json_object_new_string(value));
}

int class_field_set_number(struct json_object *entry, const char *path, uint64_t value)
{
	return class_field_set(entry, path,
			       value <= INT64_MAX ? json_object_new_int64((int64_t)value)
						  : json_object_new_uint64(value));
}

int class_field_set_bool(struct json_object *entry, const char *path, bool value)
{
	return class_field_set(entry, path, json_object_new_boolean(value));
}

int class_field_set_defbool(struct json_object *entry, const char *path, bool value)
{
	return class_field_set_text(entry, path, value ? "True" : "False");
}

bool class_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		unsigned int digit = (unsigned int)(*text - '0');

		if (digit > 9 || n > (max - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = n;
	return n <= max;
}

int class_format(char **ret, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	*ret = text;
	return 0;
}

/* ---- rows ---- */

static int put_number(const struct class_row *row, struct json_object *value, char **ret)
{
	/* Only a field of a row that is always written may be 0. */
	if (!row->init && !json_object_get_int64(value))
		return 0;
	return class_format(ret, "%" PRIu64, json_object_get_uint64(value));
}

static int put_value(const struct class_put *x, const struct class_row *row,
		     struct json_object *value, char **ret)
{
	bool on;

	switch (row->form) {
	case ROW_NUMBER:
		if (json_object_get_int64(value) < 0)
			return conf_fail(x->err, -EINVAL, "%s: %s: is negative", x->k->name,
					 row->field);
		return put_number(row, value, ret);
	case ROW_FLAG:
	case ROW_BOOL:
	case ROW_DEFBOOL:
		on = class_field_bool(x->entry, row->field, false);
		if (!on && !row->init && row->form != ROW_DEFBOOL)
			return 0;
		return class_format(ret, "%d", on);
	default:
		return class_format(ret, "%s", json_object_get_string(value));
	}
}

int class_row_put(const struct class_put *x, const struct class_row *row, char **ret)
{
	struct json_object *value;

	*ret = NULL;
	if (row->when && !row->when(x))
		return 0;
	switch (row->form) {
	case ROW_DEVID:
		return class_format(ret, "%" PRIu32, x->devid);
	case ROW_FIXED:
		return class_format(ret, "%s", row->init);
	case ROW_HOOK:
		return row->put(x, row, ret);
	default:
		break;
	}
	value = class_field(x->entry, row->field);
	if (value)
		return put_value(x, row, value, ret);
	if (row->put)
		return row->put(x, row, ret);
	return row->init ? class_format(ret, "%s", row->init) : 0;
}

/* Whether a word is a name of the row's enumeration. */
static bool word_is_known(const struct conf_class *k, const struct class_row *row, const char *text)
{
	const struct schema_type *type = class_schema(k);
	const struct schema_field *f = type ? type->fields : NULL;

	for (; f && f->name; f++) {
		if (strcmp(f->name, row->field) != 0 || f->type->kind != SCHEMA_ENUM)
			continue;
		for (const struct schema_name *n = f->type->names; n->name; n++)
			if (!strcmp(n->name, text))
				return true;
		return false;
	}
	return true;
}

/* How wide a number's field is. */
static uint64_t number_max(const struct conf_class *k, const struct class_row *row)
{
	const struct schema_type *type = class_schema(k);
	const struct schema_field *f = type ? type->fields : NULL;

	for (; f && f->name; f++) {
		if (strcmp(f->name, row->field) != 0)
			continue;
		if (f->type->kind == SCHEMA_INT)
			return UINT64_MAX >> (65 - f->type->bits);
		if (f->type->kind == SCHEMA_UINT)
			return UINT64_MAX >> (64 - f->type->bits);
	}
	return INT32_MAX;
}

static int get_switch(const struct class_row *row, const char *text, struct json_object *entry)
{
	bool on = !strcmp(text, "1");

	if (!on && strcmp(text, "0") != 0)
		return -EBADMSG;
	if (row->form == ROW_DEFBOOL)
		return class_field_set_defbool(entry, row->field, on);
	if (!on)
		return 0;
	return row->form == ROW_BOOL ? class_field_set_bool(entry, row->field, true)
				     : class_field_set_number(entry, row->field, 1);
}

int class_row_get(const struct conf_class *k, const struct conf_dev *dev,
		  const struct class_row *row, const char *text, struct json_object *entry)
{
	uint64_t n;

	/* no record could hold it */
	if (!conf_json_is_utf8(text, strlen(text)))
		return -EBADMSG;
	switch (row->form) {
	case ROW_FIXED:
		return 0;
	case ROW_DEVID:
		return class_number(text, INT32_MAX, &n) && n == dev->devid ? 0 : -EBADMSG;
	case ROW_HOOK:
		return row->get ? row->get(dev, row, text, entry) : 0;
	case ROW_NUMBER:
		if (!class_number(text, number_max(k, row), &n))
			return -EBADMSG;
		return n ? class_field_set_number(entry, row->field, n) : 0;
	case ROW_FLAG:
	case ROW_BOOL:
	case ROW_DEFBOOL:
		return get_switch(row, text, entry);
	case ROW_WORD:
		if (!word_is_known(k, row, text))
			return -EBADMSG;
		break;
	case ROW_TEXT:
		if (row->get)
			return row->get(dev, row, text, entry);
		break;
	}
	return *text ? class_field_set_text(entry, row->field, text) : 0;
}

const char *class_key(const struct conf_dev *dev, const char *key)
{
	const char *value = conf_values_get(&dev->libxl, key);

	return value ? value : conf_values_get(&dev->back, key);
}
