/* SPDX-License-Identifier: MIT */
/*
 * Configurations as text, octet by octet as libxl prints them: the schema's order first, then one
 * of two printers. Until 4.20 libxl printed by YAJL, whose form is made here; since then by
 * json-c, which prints itself.
 */
#include "config/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json_own.h"
#include "config/schema_own.h"

#define VERSION_4_17 0x0417

/* ---- order ---- */

static int ordered_struct(const struct schema_type *type, struct json_object *object,
			  unsigned int version, struct json_object **ret);

/* A structure that says nothing; libxl prints those it knows, and others do not miss it. */
static bool says_nothing(struct json_object *object)
{
	if (!json_object_is_type(object, json_type_object))
		return false;
	json_object_object_foreach(object, key, value)
	{
		(void)key;
		if (!says_nothing(value))
			return false;
	}
	return true;
}

static int ordered_value(const struct schema_type *type, struct json_object *value,
			 unsigned int version, struct json_object **ret)
{
	if (type->kind == SCHEMA_CPUID)
		type = &schema_type_cpuid_policy;
	if (type->kind == SCHEMA_STRUCT && json_object_is_type(value, json_type_object))
		return ordered_struct(type, value, version, ret);
	*ret = json_object_get(value);
	return 0;
}

static int ordered_list(const struct schema_type *type, struct json_object *value,
			unsigned int version, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *list = json_object_new_array();

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		struct json_object *entry;
		int r = ordered_value(type, json_object_array_get_idx(value, i), version, &entry);

		if (r)
			return r;
		if (json_object_array_add(list, entry)) {
			json_object_put(entry);
			return -ENOMEM;
		}
	}
	*ret = TAKE(list);
	return 0;
}

static int ordered_field(const struct schema_field *f, struct json_object *from,
			 unsigned int version, struct json_object *to)
{
	char room[JSON_KEY_MAX];
	const char *key = json_key(f, room);
	struct json_object *was, *is;
	int r;

	if (!json_object_object_get_ex(from, key, &was) ||
	    (f->since > version && json_is_struct(f) && says_nothing(was)))
		return 0;
	r = f->shape == SCHEMA_ARRAY ? ordered_list(f->type, was, version, &is)
				     : ordered_value(f->type, was, version, &is);
	if (r)
		return r;
	if (json_object_object_add(to, key, is)) {
		json_object_put(is);
		return -ENOMEM;
	}
	return 0;
}

static int ordered_struct(const struct schema_type *type, struct json_object *object,
			  unsigned int version, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *o = json_object_new_object();

	if (!o)
		return -ENOMEM;
	for (const struct schema_field *f = type->fields; f->name; f++) {
		int r = ordered_field(f, object, version, o);

		if (r)
			return r;
	}
	json_object_object_foreach(object, key, value)
	{
		if (json_knows(type, key))
			continue;
		if (json_object_object_add(o, key, json_object_get(value))) {
			json_object_put(value);
			return -ENOMEM;
		}
	}
	*ret = TAKE(o);
	return 0;
}

/* ---- YAJL's form ---- */

static void print_string(FILE *f, const char *s, size_t len)
{
	static const char from[] = "\"\\\b\f\n\r\t", is[] = "\"\\bfnrt";

	putc('"', f);
	for (size_t i = 0; i < len; i++) {
		const char *at = s[i] ? strchr(from, s[i]) : NULL;

		if (at)
			fprintf(f, "\\%c", is[at - from]);
		else if ((unsigned char)s[i] < 0x20)
			fprintf(f, "\\u%04X", (unsigned int)(unsigned char)s[i]);
		else
			putc(s[i], f);
	}
	putc('"', f);
}

static int print_value(FILE *f, struct json_object *value, int indent);

static int print_members(FILE *f, struct json_object *map, int indent)
{
	const char *comma = "";

	json_object_object_foreach(map, key, value)
	{
		fprintf(f, "%s%*s", comma, indent, "");
		print_string(f, key, strlen(key));
		fputs(": ", f);
		if (print_value(f, value, indent))
			return -ENOMEM;
		comma = ",\n";
	}
	return 0;
}

static int print_entries(FILE *f, struct json_object *list, int indent)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		fprintf(f, "%s%*s", i ? ",\n" : "", indent, "");
		if (print_value(f, json_object_array_get_idx(list, i), indent))
			return -ENOMEM;
	}
	return 0;
}

static int print_value(FILE *f, struct json_object *value, int indent)
{
	enum json_type type = json_object_get_type(value);
	const char *text;
	int r;

	if (type == json_type_object || type == json_type_array) {
		bool map = type == json_type_object;

		fputs(map ? "{\n" : "[\n", f);
		r = map ? print_members(f, value, indent + 4) : print_entries(f, value, indent + 4);
		fprintf(f, "\n%*s%c", indent, "", map ? '}' : ']');
		return r;
	}
	if (type == json_type_string) {
		print_string(f, json_object_get_string(value),
			     (size_t)json_object_get_string_len(value));
		return 0;
	}
	/* Numbers as they were read, true, false; json-c's null is NULL. */
	text = value ? json_object_to_json_string(value) : "null";
	if (!text)
		return -ENOMEM;
	fputs(text, f);
	return 0;
}

static int print_as_yajl(struct json_object *o, char **ret, size_t *ret_len)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int bad;

	if (!f)
		return -ENOMEM;
	bad = print_value(f, o, 0);
	putc('\n', f);
	bad |= ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

int conf_json_print(struct json_object *config, enum drover_config_layout layout, char **ret,
		    size_t *ret_len)
{
	CLEANUP_JSON struct json_object *o = NULL;
	bool newest = layout == DROVER_CONFIG_LAYOUT_NEWEST;
	const char *text;
	char *copy;
	int r;

	r = ordered_struct(schema_domain_config(), config, newest ? UINT32_MAX : VERSION_4_17, &o);
	if (r)
		return r;
	if (!newest)
		return print_as_yajl(o, ret, ret_len);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);
	copy = text ? strdup(text) : NULL;
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	*ret_len = strlen(copy);
	return 0;
}

char *conf_json_line(struct json_object *object)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? strdup(text) : NULL;
}
