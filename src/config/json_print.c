/* SPDX-License-Identifier: MIT */
/*
 * Configurations as text, octet by octet as libxl prints them: the schema's order first, then one
 * of two printers. Until 4.20 libxl printed by YAJL, whose form is made here; since then by
 * json-c, which prints itself.
 */
#include "config/json.h"

#include <errno.h>
#include <inttypes.h>
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

/* ---- text ---- */

/* How text is laid out: YAJL's form, or all in one line. */
struct style {
	int step; /* columns that each map and list is further to the right; 0: no lines at all */
	const char *colon;
};

static const struct style yajl_style = { 4, ": " }, line_style = { 0, ":" };

struct printer {
	FILE *f;
	const struct style *style;
	int indent;
	bool unreadable; /* there was a string that is no UTF-8 */
};

static void new_line(struct printer *p)
{
	if (p->style->step)
		fprintf(p->f, "\n%*s", p->indent, "");
}

static void print_string(struct printer *p, const char *s, size_t len)
{
	static const char from[] = "\"\\\b\f\n\r\t", is[] = "\"\\bfnrt";
	FILE *f = p->f;

	p->unreadable |= !conf_json_is_utf8(s, len);
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

static void print_int(FILE *f, struct json_object *value)
{
	int64_t n = json_object_get_int64(value);

	if (n < 0)
		fprintf(f, "%" PRId64, n);
	else
		fprintf(f, "%" PRIu64, json_object_get_uint64(value));
}

static void print_value(struct printer *p, struct json_object *value);

static void print_members(struct printer *p, struct json_object *map)
{
	bool first = true;

	json_object_object_foreach(map, key, value)
	{
		if (!first)
			putc(',', p->f);
		first = false;
		new_line(p);
		print_string(p, key, strlen(key));
		fputs(p->style->colon, p->f);
		print_value(p, value);
	}
}

static void print_entries(struct printer *p, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (i)
			putc(',', p->f);
		new_line(p);
		print_value(p, json_object_array_get_idx(list, i));
	}
}

/* What is within a map or a list. YAJL begins a line even if nothing is in it. */
static void print_within(struct printer *p, struct json_object *value)
{
	bool map = json_object_is_type(value, json_type_object);

	putc(map ? '{' : '[', p->f);
	if (p->style->step &&
	    !(map ? (size_t)json_object_object_length(value) : json_object_array_length(value)))
		putc('\n', p->f);
	p->indent += p->style->step;
	if (map)
		print_members(p, value);
	else
		print_entries(p, value);
	p->indent -= p->style->step;
	new_line(p);
	putc(map ? '}' : ']', p->f);
}

static void print_value(struct printer *p, struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_object:
	case json_type_array:
		print_within(p, value);
		return;
	case json_type_string:
		print_string(p, json_object_get_string(value),
			     (size_t)json_object_get_string_len(value));
		return;
	case json_type_int:
		print_int(p->f, value);
		return;
	case json_type_double:
		fputs(json_number_text(value), p->f);
		return;
	case json_type_boolean:
		fputs(json_object_get_boolean(value) ? "true" : "false", p->f);
		return;
	case json_type_null:
		fputs("null", p->f);
	}
}

/* An object as text, to be freed; end goes behind it. json-c's own would drop what has no room. */
static int text_of(struct json_object *o, const struct style *style, const char *end, char **ret,
		   size_t *ret_len)
{
	char *text = NULL;
	struct printer p = { .f = open_memstream(&text, ret_len), .style = style };
	int r;

	if (!p.f)
		return -ENOMEM;
	print_value(&p, o);
	fputs(end, p.f);
	r = ferror(p.f) ? -ENOMEM : 0;
	if (fclose(p.f) || !text) /* it may succeed, and have no memory for the last of it */
		r = -ENOMEM;
	if (!r && p.unreadable)
		r = -EILSEQ;
	if (r)
		free(text);
	else
		*ret = text;
	return r;
}

/* json-c's print, which is dropped where it is not all of the object: memory was out. */
static int text_by_json_c(struct json_object *o, char **ret, size_t *ret_len)
{
	CLEANUP_JSON struct json_object *back = NULL;
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY);

	if (!text || conf_json_parse(text, strlen(text), NULL, &back) || !conf_json_equal(o, back))
		return -ENOMEM;
	*ret_len = strlen(text);
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int conf_json_print(struct json_object *config, enum drover_config_layout layout, char **ret,
		    size_t *ret_len)
{
	CLEANUP_JSON struct json_object *o = NULL;
	bool newest = layout == DROVER_CONFIG_LAYOUT_NEWEST;
	int r;

	r = ordered_struct(schema_domain_config(), config, newest ? UINT32_MAX : VERSION_4_17, &o);
	if (r)
		return r;
	/* Also for json-c, so that what is no UTF-8 is told. */
	r = text_of(o, &yajl_style, "\n", ret, ret_len);
	if (r || !newest)
		return r;
	free(*ret);
	*ret = NULL;
	return text_by_json_c(o, ret, ret_len);
}

char *conf_json_line(struct json_object *object)
{
	char *text = NULL;
	size_t len;

	return text_of(object, &line_style, "", &text, &len) ? NULL : text;
}
