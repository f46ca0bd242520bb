/* SPDX-License-Identifier: MIT */
/*
 * Values of a canonical object by their path: names, the variant of a union, and places in lists,
 * divided by dots. A path ends at a value, never at a structure; whatever is set leaves the object
 * canonical.
 */
#include "config/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/json_own.h"

/* Where a path leads: a field of a map, and perhaps an entry of its list. */
struct spot {
	const struct schema_type *type; /* of the structure that `map` is */
	struct json_object *map;	/* borrowed */
	const struct schema_field *field;
	char key[JSON_KEY_MAX];
	bool in_list;
	size_t index;
	bool selects; /* the path is a union's own name: its value is which variant it is */
	const char *path;
	struct conf_err *err;
};

static int refuse(const struct spot *s, const char *why)
{
	return conf_fail(s->err, -EINVAL, "%s: %s", s->path, why);
}

/* The next name of a path; false: there is none, or it is longer than any. */
static bool next_name(const char **at, char name[JSON_KEY_MAX])
{
	size_t len = strcspn(*at, ".");

	if (!len || len >= JSON_KEY_MAX)
		return false;
	memcpy(name, *at, len);
	name[len] = '\0';
	*at += len;
	if (**at)
		(*at)++;
	else
		return true;
	return **at; /* nothing behind a dot is no name */
}

static bool read_index(const char *name, size_t *ret)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	*ret = n;
	return *name >= '0' && *name <= '9' && !*end;
}

/* Finds the field that the path is at in s->type, and the key it has in the map. */
static int find_field(struct spot *s, const char **at)
{
	char name[JSON_KEY_MAX], variant[JSON_KEY_MAX] = "";

	s->selects = false;
	if (!next_name(at, name))
		return refuse(s, "no such field");
	for (const struct schema_field *f = s->type->fields; f->name; f++) {
		if (strcmp(f->name, name) != 0)
			continue;
		s->field = f;
		if (f->shape != SCHEMA_UNION) {
			snprintf(s->key, sizeof(s->key), "%s", f->name);
			return 0;
		}
		if (!*variant && !**at) {
			s->selects = true;
			return 0;
		}
		if (!*variant && !next_name(at, variant))
			break;
		if (strcmp(f->variant, variant) != 0)
			continue;
		json_key(f, s->key);
		return 0;
	}
	return refuse(s, "no such field");
}

static const struct schema_field *variant_of(const struct schema_type *type,
					     struct json_object *map, const char *name)
{
	char room[JSON_KEY_MAX];

	for (const struct schema_field *f = type->fields; f->name; f++)
		if (f->shape == SCHEMA_UNION && !strcmp(f->name, name) &&
		    json_object_object_get_ex(map, json_key(f, room), NULL))
			return f;
	return NULL;
}

/* Appends entry, which is the list's then, or dropped. */
static int add_entry(struct spot *s, struct json_object *entry)
{
	if (!entry || conf_json_list_add(s->map, s->key, entry)) {
		json_object_put(entry);
		return conf_no_memory(s->err);
	}
	return 0;
}

/* Makes f the variant of its union; what another says must be nothing. */
static int select_variant(struct spot *s, const struct schema_field *f)
{
	const struct schema_field *was = variant_of(s->type, s->map, f->name);
	struct json_object *made;
	char room[JSON_KEY_MAX];

	if (was == f)
		return 0;
	if (was) {
		struct json_object *value;

		json_object_object_get_ex(s->map, json_key(was, room), &value);
		if (json_object_object_length(value))
			return conf_fail(s->err, -EINVAL, "%s: is %s already", s->path,
					 was->variant);
		json_object_object_del(s->map, room);
	}
	made = conf_json_new(f->type);
	if (!made || json_object_object_add(s->map, json_key(f, room), made)) {
		json_object_put(made);
		return conf_no_memory(s->err);
	}
	return 0;
}

/* Goes into the structure, or the list's entry, that the spot is. -ENOENT: there is none. */
static int enter(struct spot *s, bool make)
{
	struct json_object *value = NULL;
	size_t n;
	int r;

	if (s->field->type->kind != SCHEMA_STRUCT)
		return refuse(s, "no such field");
	if (s->field->shape == SCHEMA_UNION && make) {
		r = select_variant(s, s->field);
		if (r)
			return r;
	}
	json_object_object_get_ex(s->map, s->key, &value);
	if (s->in_list) {
		n = value ? json_object_array_length(value) : 0;
		if (s->index == n && make) {
			r = add_entry(s, conf_json_new(s->field->type));
			if (r)
				return r;
			json_object_object_get_ex(s->map, s->key, &value);
		} else if (s->index >= n) {
			return make ? refuse(s, "no such place in the list") : -ENOENT;
		}
		value = json_object_array_get_idx(value, s->index);
	}
	if (!value)
		return -ENOENT;
	s->map = value;
	s->type = s->field->type;
	return 0;
}

/* Follows the path to its end. make: structures are made on the way. */
static int find_spot(struct spot *s, bool make)
{
	const char *at = s->path;
	char name[JSON_KEY_MAX];

	for (;;) {
		int r = find_field(s, &at);

		if (r)
			return r;
		s->in_list = s->field->shape == SCHEMA_ARRAY && *at;
		if (s->in_list && (!next_name(&at, name) || !read_index(name, &s->index)))
			return refuse(s, "a place in the list is missing");
		if (!*at)
			return 0;
		r = enter(s, make);
		if (r)
			return r;
	}
}

/* ---- set ---- */

/* The canonical value that text means; *ret NULL: the default. */
static int value_of_text(struct spot *s, const struct schema_field *field, const char *text,
			 struct json_object **ret)
{
	CLEANUP_JSON struct json_object *raw = NULL;
	char why[JSON_WHY_MAX];
	int r = json_leaf_from_text(s->field->type, text, &raw, why);

	if (r == -EINVAL)
		return refuse(s, why);
	if (r)
		return conf_no_memory(s->err);
	r = json_value_canon(s->field->type, field, raw, ret, s->err);
	return r == -EINVAL ? conf_fail_in(s->err, r, "%s", s->path) : r;
}

static int put(struct spot *s, struct json_object *value)
{
	if (!value || json_object_object_add(s->map, s->key, value)) {
		json_object_put(value);
		return conf_no_memory(s->err);
	}
	return 0;
}

static int set_variant(struct spot *s, const char *value)
{
	const struct schema_field *was = variant_of(s->type, s->map, s->field->name);
	char room[JSON_KEY_MAX];

	for (const struct schema_field *f = s->type->fields; f->name; f++) {
		if (f->shape != SCHEMA_UNION || strcmp(f->name, s->field->name) != 0)
			continue;
		if (*value ? strcasecmp(f->variant, value) != 0 : !f->init)
			continue;
		if (!*value && was)
			json_object_object_del(s->map, json_key(was, room));
		return select_variant(s, f);
	}
	if (*value)
		return refuse(s, "no such variant");
	if (was)
		json_object_object_del(s->map, json_key(was, room));
	return 0;
}

static int set_entry(struct spot *s, const char *text)
{
	struct json_object *list = conf_json_list(s->map, s->key), *value;
	size_t n = list ? json_object_array_length(list) : 0;
	int r;

	if (s->index > n || (s->index == n && !*text))
		return refuse(s, "no such place in the list");
	if (!*text) {
		conf_json_list_del(s->map, s->key, s->index);
		return 0;
	}
	r = value_of_text(s, NULL, text, &value);
	if (r)
		return r;
	if (s->index == n)
		return add_entry(s, value);
	if (json_object_array_put_idx(list, s->index, value)) {
		json_object_put(value);
		return conf_no_memory(s->err);
	}
	return 0;
}

/* All of a list at once: "3,4,7". */
static int set_list(struct spot *s, const char *text)
{
	CLEANUP_JSON struct json_object *list = json_object_new_array();
	char *copy, *save = NULL;
	int r = 0;

	if (s->field->type->kind == SCHEMA_STRUCT || s->field->type->kind == SCHEMA_BITMAP)
		return refuse(s, "a place in the list is missing");
	copy = strdup(text);
	if (!list || !copy) {
		free(copy);
		return conf_no_memory(s->err);
	}
	for (char *word = strtok_r(copy, ",", &save); word && !r;
	     word = strtok_r(NULL, ",", &save)) {
		struct json_object *value = NULL;

		r = value_of_text(s, NULL, word, &value);
		if (!r && json_object_array_add(list, value)) {
			json_object_put(value);
			r = conf_no_memory(s->err);
		}
	}
	free(copy);
	if (r)
		return r;
	return json_object_array_length(list) ? put(s, TAKE(list)) : refuse(s, "is no list");
}

int conf_json_set(const struct schema_type *type, struct json_object *object, const char *path,
		  const char *value, struct conf_err *err)
{
	struct spot s = { .type = type, .map = object, .path = path, .err = err };
	struct json_object *is = NULL;
	int r = find_spot(&s, true);

	if (r)
		return r;
	if (s.selects)
		return set_variant(&s, value);
	if (s.in_list)
		return set_entry(&s, value);
	if (!*value && json_is_struct(s.field)) {
		if (s.field->shape == SCHEMA_UNION &&
		    s.field != variant_of(s.type, s.map, s.field->name))
			return 0;
		return put(&s, conf_json_new(s.field->type));
	}
	if (!*value) {
		json_object_object_del(s.map, s.key);
		return 0;
	}
	if (s.field->shape == SCHEMA_ARRAY)
		return set_list(&s, value);
	r = value_of_text(&s, s.field, value, &is);
	if (r)
		return r;
	if (is)
		return put(&s, is);
	json_object_object_del(s.map, s.key);
	return 0;
}

/* ---- get ---- */

/* A list of numbers or words in one line. */
static char *list_text(const struct schema_type *type, struct json_object *list)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int bad = 0;

	if (!f)
		return NULL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		char *entry = json_leaf_text(type, json_object_array_get_idx(list, i));

		bad |= !entry;
		fprintf(f, "%s%s", i ? "," : "", entry ? entry : "");
		free(entry);
	}
	bad |= ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return NULL;
	}
	return text;
}

static bool is_line(const struct schema_field *f)
{
	return f->shape == SCHEMA_ARRAY && f->type->kind != SCHEMA_STRUCT &&
	       f->type->kind != SCHEMA_BITMAP;
}

int conf_json_get(const struct schema_type *type, struct json_object *object, const char *path,
		  char **ret)
{
	struct spot s = { .type = type, .map = object, .path = path };
	const struct schema_field *variant;
	struct json_object *value;
	int r = find_spot(&s, false);

	*ret = NULL;
	if (r)
		return r == -ENOENT ? 0 : r;
	if (s.selects) {
		variant = variant_of(s.type, s.map, s.field->name);
		if (!variant || variant->init)
			return 0;
		*ret = strdup(variant->variant);
		return *ret ? 0 : -ENOMEM;
	}
	if (s.field->type->kind == SCHEMA_STRUCT ||
	    (s.field->shape == SCHEMA_ARRAY && !s.in_list && !is_line(s.field)))
		return -EINVAL;
	if (!json_object_object_get_ex(s.map, s.key, &value))
		return 0;
	if (s.in_list && s.index >= json_object_array_length(value))
		return 0;
	if (s.in_list)
		value = json_object_array_get_idx(value, s.index);
	*ret = is_line(s.field) && !s.in_list ? list_text(s.field->type, value)
					      : json_leaf_text(s.field->type, value);
	return *ret ? 0 : -ENOMEM;
}

/* ---- each ---- */

struct visit {
	conf_json_leaf_fn *fn;
	void *data;
};

static int each_struct(const struct visit *v, const struct schema_type *type,
		       struct json_object *map, const char *path);

/* Gives away text, which is freed. */
static int give(const struct visit *v, const char *path, char *text)
{
	int r = text ? v->fn(v->data, path, text) : -ENOMEM;

	free(text);
	return r;
}

static int each_value(const struct visit *v, const struct schema_type *type,
		      struct json_object *value, const char *path)
{
	if (type->kind == SCHEMA_STRUCT)
		return each_struct(v, type, value, path);
	return give(v, path, json_leaf_text(type, value));
}

static int each_entry(const struct visit *v, const struct schema_field *f, struct json_object *list,
		      const char *path)
{
	int r = 0;

	for (size_t i = 0; i < json_object_array_length(list) && !r; i++) {
		char *here;

		if (asprintf(&here, "%s.%zu", path, i) < 0)
			return -ENOMEM;
		r = each_value(v, f->type, json_object_array_get_idx(list, i), here);
		free(here);
	}
	return r;
}

static int each_field(const struct visit *v, const struct schema_field *f, struct json_object *map,
		      const char *path)
{
	const char *dot = *path ? "." : "";
	char room[JSON_KEY_MAX], *here;
	struct json_object *value;
	int r = 0;

	if (!json_object_object_get_ex(map, json_key(f, room), &value))
		return 0;
	if (f->shape == SCHEMA_UNION && !f->init) {
		if (asprintf(&here, "%s%s%s", path, dot, f->name) < 0)
			return -ENOMEM;
		r = v->fn(v->data, here, f->variant);
		free(here);
	}
	if (r)
		return r;
	if (asprintf(&here, "%s%s%s", path, dot, json_key(f, room)) < 0)
		return -ENOMEM;
	if (is_line(f))
		r = give(v, here, list_text(f->type, value));
	else if (f->shape == SCHEMA_ARRAY)
		r = each_entry(v, f, value, here);
	else
		r = each_value(v, f->type, value, here);
	free(here);
	return r;
}

static int each_struct(const struct visit *v, const struct schema_type *type,
		       struct json_object *map, const char *path)
{
	int r = 0;

	for (const struct schema_field *f = type->fields; f->name && !r; f++)
		r = each_field(v, f, map, path);
	if (r)
		return r;
	json_object_object_foreach(map, key, value)
	{
		char *here;

		if (json_knows(type, key))
			continue;
		if (asprintf(&here, "%s%s%s", path, *path ? "." : "", key) < 0)
			return -ENOMEM;
		r = give(v, here, value ? conf_json_line(value) : strdup("null"));
		free(here);
		if (r)
			return r;
	}
	return 0;
}

int conf_json_each(const struct schema_type *type, struct json_object *object,
		   conf_json_leaf_fn *fn, void *data)
{
	struct visit v = { .fn = fn, .data = data };

	return each_struct(&v, type, object, "");
}
