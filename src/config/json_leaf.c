/* SPDX-License-Identifier: MIT */
/*
 * Values that are no structure, in canonical form: numbers within their width, enumerations and
 * addresses in lower case, bitmaps ascending. What is not of its type is refused, never mended.
 */
#include "config/json_own.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "config/json.h"

#define UUID_LEN 36
#define MAC_LEN 17
#define GENID_LEN 16

__attribute__((format(printf, 2, 3))) static int refuse(char why[JSON_WHY_MAX], const char *fmt,
							...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, JSON_WHY_MAX, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* Hands on a new object, which is NULL where memory is out. */
static int made(struct json_object *o, struct json_object **ret)
{
	if (!o)
		return -ENOMEM;
	*ret = o;
	return 0;
}

/* A string without a NUL within, and of characters that can be printed and read; or NULL. */
static const char *plain_string(struct json_object *value)
{
	const char *s;
	size_t len;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	s = json_object_get_string(value);
	len = (size_t)json_object_get_string_len(value);
	return s && strlen(s) == len && conf_json_is_utf8(s, len) ? s : NULL;
}

static int leaf_int(const struct schema_type *type, const struct schema_field *field,
		    struct json_object *value, struct json_object **ret, char *why)
{
	int64_t max = INT64_MAX >> (64 - type->bits), n;

	if (!json_object_is_type(value, json_type_int))
		return refuse(why, "is no whole number");
	n = json_object_get_int64(value);
	if (n > max || n < -max - 1)
		return refuse(why, "is out of range: %lld to %lld", (long long)(-max - 1),
			      (long long)max);
	if (field && n == field->init)
		return 0;
	return made(json_object_new_int64(n), ret);
}

static int leaf_uint(const struct schema_type *type, const struct schema_field *field,
		     struct json_object *value, struct json_object **ret, char *why)
{
	uint64_t max = UINT64_MAX >> (64 - type->bits), n;

	if (!json_object_is_type(value, json_type_int))
		return refuse(why, "is no whole number");
	n = json_object_get_uint64(value);
	if (json_object_get_int64(value) < 0 || n > max)
		return refuse(why, "is out of range: 0 to %llu", (unsigned long long)max);
	if (field && n == (uint64_t)field->init)
		return 0;
	/* One value has one form: only what needs it is unsigned. */
	return made(n > INT64_MAX ? json_object_new_uint64(n) : json_object_new_int64((int64_t)n),
		    ret);
}

static int leaf_bool(const struct schema_field *field, struct json_object *value,
		     struct json_object **ret, char *why)
{
	if (!json_object_is_type(value, json_type_boolean))
		return refuse(why, "is neither true nor false");
	if (field && !json_object_get_boolean(value))
		return 0;
	return made(json_object_new_boolean(json_object_get_boolean(value)), ret);
}

static int leaf_defbool(struct json_object *value, struct json_object **ret, char *why)
{
	const char *s = plain_string(value);

	if (s && !strcmp(s, "<default>"))
		return 0;
	if (!s || (strcmp(s, "True") != 0 && strcmp(s, "False") != 0))
		return refuse(why, "is neither \"True\" nor \"False\"");
	return made(json_object_new_string(s), ret);
}

/* "is no hdtype: ide, ahci", as many as there is room for. */
static int refuse_names(char *why, const struct schema_type *type)
{
	size_t at = (size_t)snprintf(why, JSON_WHY_MAX, "is no %s: ", type->name);

	for (const struct schema_name *n = type->names; n->name; n++) {
		if (at + strlen(n->name) + sizeof(", ...") > JSON_WHY_MAX) {
			snprintf(why + at, JSON_WHY_MAX - at, "...");
			break;
		}
		at += (size_t)snprintf(why + at, JSON_WHY_MAX - at, "%s%s", n->name,
				       n[1].name ? ", " : "");
	}
	return -EINVAL;
}

static int leaf_enum(const struct schema_type *type, const struct schema_field *field,
		     struct json_object *value, struct json_object **ret, char *why)
{
	const char *s = plain_string(value);

	/* libxl writes null for a number without a name, and reads it as the default. */
	if (field && !value)
		return 0;
	for (const struct schema_name *n = type->names; s && n->name; n++) {
		if (strcasecmp(n->name, s) != 0)
			continue;
		if (field && n->value == field->init)
			return 0;
		return made(json_object_new_string(n->name), ret);
	}
	return refuse_names(why, type);
}

/* Hexadecimal digits in lower case, and a separator at each of the places. */
static int leaf_hex(struct json_object *value, size_t len, const char *form,
		    struct json_object **ret, char *why)
{
	const char *s = plain_string(value);
	char text[UUID_LEN + 1] = "";
	bool zero = true;

	if (!s || strlen(s) != len)
		return refuse(why, "is not of the form %s", form);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (form[i] == 'x' ? !isxdigit(c) : s[i] != form[i])
			return refuse(why, "is not of the form %s", form);
		text[i] = (char)tolower(c);
		zero &= form[i] != 'x' || c == '0';
	}
	return zero ? 0 : made(json_object_new_string(text), ret);
}

/* Calls take for each entry of a list, and appends what it makes of it. */
static int leaf_list(struct json_object *value, bool empty_too,
		     int (*take)(struct json_object *entry, struct json_object **ret, char *why),
		     struct json_object **ret, char *why)
{
	CLEANUP_JSON struct json_object *list = NULL;
	size_t n;

	if (!json_object_is_type(value, json_type_array))
		return refuse(why, "is no list");
	n = json_object_array_length(value);
	if (!n && !empty_too)
		return 0;
	list = json_object_new_array();
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		CLEANUP_JSON struct json_object *entry = NULL;
		int r = take(json_object_array_get_idx(value, i), &entry, why);

		if (r)
			return r;
		if (json_object_array_add(list, entry))
			return -ENOMEM;
		entry = NULL;
	}
	*ret = TAKE(list);
	return 0;
}

static int take_bit(struct json_object *entry, struct json_object **ret, char *why)
{
	int64_t n = json_object_get_int64(entry);

	if (!json_object_is_type(entry, json_type_int) || n < 0 || n > JSON_BIT_MAX)
		return refuse(why, "is no list of numbers up to %d", JSON_BIT_MAX);
	return made(json_object_new_int64(n), ret);
}

static int take_string(struct json_object *entry, struct json_object **ret, char *why)
{
	const char *s = plain_string(entry);

	if (!s)
		return refuse(why, "is no list of strings");
	return made(json_object_new_string(s), ret);
}

static int take_octet(struct json_object *entry, struct json_object **ret, char *why)
{
	int64_t n = json_object_get_int64(entry);

	if (!json_object_is_type(entry, json_type_int) || n < 0 || n > UINT8_MAX)
		return refuse(why, "is no list of %d octets", GENID_LEN);
	return made(json_object_new_int64(n), ret);
}

static int by_number(const void *a, const void *b)
{
	/* json-c gives its comparison the addresses of its pointers. */
	struct json_object *x = *(struct json_object *const *)a;
	struct json_object *y = *(struct json_object *const *)b;
	int64_t m = json_object_get_int64(x), n = json_object_get_int64(y);

	return (m > n) - (m < n);
}

int json_bitmap_sort(struct json_object *list)
{
	json_object_array_sort(list, by_number);
	for (size_t i = json_object_array_length(list); i-- > 1;) {
		if (json_object_get_int64(json_object_array_get_idx(list, i)) !=
		    json_object_get_int64(json_object_array_get_idx(list, i - 1)))
			continue;
		if (json_object_array_del_idx(list, i, 1))
			return -ENOMEM;
	}
	return 0;
}

static int leaf_bitmap(const struct schema_field *field, struct json_object *value,
		       struct json_object **ret, char *why)
{
	CLEANUP_JSON struct json_object *list = NULL;
	int r = leaf_list(value, !field, take_bit, &list, why);

	if (!r && list)
		r = json_bitmap_sort(list);
	if (!r)
		*ret = TAKE(list);
	return r;
}

static int leaf_genid(struct json_object *value, struct json_object **ret, char *why)
{
	CLEANUP_JSON struct json_object *list = NULL;
	bool zero = true;
	int r = leaf_list(value, false, take_octet, &list, why);

	if (r)
		return r;
	if (!list || json_object_array_length(list) != GENID_LEN)
		return refuse(why, "is no list of %d octets", GENID_LEN);
	for (size_t i = 0; i < GENID_LEN; i++)
		zero &= !json_object_get_int64(json_object_array_get_idx(list, i));
	if (!zero)
		*ret = TAKE(list);
	return 0;
}

static int leaf_key_values(const struct schema_field *field, struct json_object *value,
			   struct json_object **ret, char *why)
{
	if (!json_object_is_type(value, json_type_object))
		return refuse(why, "is no map of strings");
	if (field && !json_object_object_length(value))
		return 0;
	json_object_object_foreach(value, key, entry)
	{
		(void)key;
		if (entry && !plain_string(entry))
			return refuse(why, "is no map of strings");
	}
	return made(json_object_get(value), ret);
}

int json_leaf_canon(const struct schema_type *type, const struct schema_field *field,
		    struct json_object *value, struct json_object **ret, char why[JSON_WHY_MAX])
{
	const char *s = plain_string(value);

	*ret = NULL;
	switch (type->kind) {
	case SCHEMA_STRING:
		if (field && !value)
			return 0; /* libxl's NULL */
		if (!s)
			return refuse(why, json_object_is_type(value, json_type_string)
						   ? "is not UTF-8"
						   : "is no string");
		if (type->bits && strlen(s) != type->bits)
			return refuse(why, "has not %u characters", type->bits);
		return made(json_object_get(value), ret);
	case SCHEMA_INT:
		return leaf_int(type, field, value, ret, why);
	case SCHEMA_UINT:
		return leaf_uint(type, field, value, ret, why);
	case SCHEMA_BOOL:
		return leaf_bool(field, value, ret, why);
	case SCHEMA_DEFBOOL:
		return leaf_defbool(value, ret, why);
	case SCHEMA_ENUM:
		return leaf_enum(type, field, value, ret, why);
	case SCHEMA_UUID:
		return leaf_hex(value, UUID_LEN, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", ret, why);
	case SCHEMA_MAC:
		return leaf_hex(value, MAC_LEN, "xx:xx:xx:xx:xx:xx", ret, why);
	case SCHEMA_BITMAP:
		return leaf_bitmap(field, value, ret, why);
	case SCHEMA_STRINGS:
		return leaf_list(value, !field, take_string, ret, why);
	case SCHEMA_KEY_VALUES:
		return leaf_key_values(field, value, ret, why);
	case SCHEMA_GENID:
		return leaf_genid(value, ret, why);
	case SCHEMA_CPUID: /* structures: json_canon.c */
	case SCHEMA_STRUCT:
		break;
	}
	return refuse(why, "is no single value");
}
