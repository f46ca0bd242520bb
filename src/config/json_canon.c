/* SPDX-License-Identifier: MIT */
/*
 * Canonical form, by the schema. After it one configuration has one form, but for what the schema
 * does not know: that is kept as it came. Whatever fails leaves an object that is half done, for
 * its caller to drop.
 */
#include "config/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/json_own.h"
#include "config/schema_own.h"

/* Where a value is: its field in what is above it, and its place if that is a list. */
struct where {
	const struct where *up;
	const char *key;
	size_t index;
	bool in_list;
};

static size_t put_path(const struct where *w, char *ret, size_t size)
{
	size_t at = 0;

	if (!w)
		return 0;
	if (w->in_list) {
		at = put_path(w->up, ret, size);
		at += (size_t)snprintf(ret + at, size - at, "[%zu]", w->index);
	} else {
		at = put_path(w->up, ret, size);
		at += (size_t)snprintf(ret + at, size - at, "%s%s", at ? "." : "", w->key);
	}
	return at < size ? at : size - 1;
}

static int fail(const struct where *w, struct conf_err *err, const char *why)
{
	char path[256] = "";

	put_path(w, path, sizeof(path));
	return *path ? conf_fail(err, -EINVAL, "%s: %s", path, why)
		     : conf_fail(err, -EINVAL, "%s", why);
}

const char *json_key(const struct schema_field *field, char room[JSON_KEY_MAX])
{
	if (field->shape != SCHEMA_UNION)
		return field->name;
	snprintf(room, JSON_KEY_MAX, "%s.%s", field->name, field->variant);
	return room;
}

bool json_knows(const struct schema_type *type, const char *key)
{
	char room[JSON_KEY_MAX];

	for (const struct schema_field *f = type->fields; f->name; f++)
		if (!strcmp(json_key(f, room), key))
			return true;
	return false;
}

bool json_is_struct(const struct schema_field *field)
{
	return field->shape != SCHEMA_ARRAY && field->type->kind == SCHEMA_STRUCT;
}

static int canon_struct(const struct schema_type *type, struct json_object *object,
			const struct where *w, struct conf_err *err);

/* ---- cpuid ---- */

/* The list that a policy always has: made, where canonical form has left it out. */
static int have_list(struct json_object *map, const char *key, struct json_object **ret)
{
	if (json_object_object_get_ex(map, key, ret))
		return 0;
	*ret = json_object_new_array();
	if (!*ret)
		return -ENOMEM;
	if (json_object_object_add(map, key, *ret)) {
		json_object_put(*ret);
		return -ENOMEM;
	}
	return 0;
}

/* What ends the list early for libxl, or means nothing to it. */
static int check_entries(struct json_object *list, const char *need, const struct where *w,
			 struct conf_err *err)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (!json_object_object_get_ex(entry, need, NULL))
			return fail(w, err, "has an entry without a leaf or an index");
	}
	return 0;
}

/*
 * A policy is written as a map of two lists, and was a mere list before there were MSRs in it.
 * The map has both lists, always.
 */
static int canon_cpuid(struct json_object *value, struct json_object **ret, const struct where *w,
		       struct conf_err *err)
{
	CLEANUP_JSON struct json_object *map = NULL;
	struct json_object *cpuid, *msr;
	int r;

	if (json_object_is_type(value, json_type_object)) {
		map = json_object_get(value);
	} else if (json_object_is_type(value, json_type_array)) {
		map = json_object_new_object();
		if (!map || json_object_object_add(map, "cpuid", value))
			return conf_no_memory(err);
		json_object_get(value);
	} else {
		return fail(w, err, "is no policy");
	}
	r = canon_struct(&schema_type_cpuid_policy, map, w, err);
	if (r)
		return r;
	if (have_list(map, "cpuid", &cpuid) || have_list(map, "msr", &msr))
		return conf_no_memory(err);
	r = check_entries(cpuid, "leaf", w, err);
	if (!r)
		r = check_entries(msr, "index", w, err);
	if (!r && (json_object_array_length(cpuid) || json_object_array_length(msr) ||
		   json_object_object_length(map) > 2))
		*ret = TAKE(map);
	return r;
}

/* ---- values ---- */

/* A new reference to the canonical form; *ret NULL: it is the default. */
static int canon_value(const struct schema_type *type, const struct schema_field *field,
		       struct json_object *value, struct json_object **ret, const struct where *w,
		       struct conf_err *err)
{
	char why[JSON_WHY_MAX];
	int r;

	*ret = NULL;
	if (type->kind == SCHEMA_CPUID)
		return canon_cpuid(value, ret, w, err);
	if (type->kind == SCHEMA_STRUCT) {
		if (!json_object_is_type(value, json_type_object))
			return fail(w, err, "is no map");
		r = canon_struct(type, value, w, err);
		if (!r)
			*ret = json_object_get(value);
		return r;
	}
	r = json_leaf_canon(type, field, value, ret, why);
	if (r == -EINVAL)
		return fail(w, err, why);
	return r ? conf_no_memory(err) : 0;
}

int json_value_canon(const struct schema_type *type, const struct schema_field *field,
		     struct json_object *value, struct json_object **ret, struct conf_err *err)
{
	return canon_value(type, field, value, ret, NULL, err);
}

static int canon_array(const struct schema_field *field, struct json_object *value,
		       struct json_object **ret, const struct where *w, struct conf_err *err)
{
	*ret = NULL;
	if (!json_object_is_type(value, json_type_array))
		return fail(w, err, "is no list");
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		struct where here = { .up = w, .index = i, .in_list = true };
		struct json_object *was = json_object_array_get_idx(value, i), *is;
		int r = canon_value(field->type, NULL, was, &is, &here, err);

		if (r)
			return r;
		if (!is) /* a defbool or an address has a value for "none" */
			return fail(&here, err, "is no value for a list");
		if (json_object_array_put_idx(value, i, is)) {
			json_object_put(is);
			return conf_no_memory(err);
		}
	}
	if (json_object_array_length(value))
		*ret = json_object_get(value);
	return 0;
}

static int add(struct json_object *object, const char *key, struct json_object *value,
	       struct conf_err *err)
{
	if (!value || json_object_object_add(object, key, value)) {
		json_object_put(value);
		return conf_no_memory(err);
	}
	return 0;
}

/* A field that is there, or is a structure and must be there. */
static int canon_field(const struct schema_field *f, struct json_object *object,
		       const struct where *w, struct conf_err *err)
{
	char room[JSON_KEY_MAX];
	const char *key = json_key(f, room);
	struct where here = { .up = w, .key = key };
	struct json_object *was, *is;
	int r;

	if (!json_object_object_get_ex(object, key, &was)) {
		if (f->shape != SCHEMA_ONE || f->type->kind != SCHEMA_STRUCT)
			return 0;
		is = json_object_new_object();
		r = add(object, key, is, err);
		return r ? r : canon_struct(f->type, is, &here, err);
	}
	r = f->shape == SCHEMA_ARRAY ? canon_array(f, was, &is, &here, err)
				     : canon_value(f->type, f, was, &is, &here, err);
	if (r)
		return r;
	if (!is)
		json_object_object_del(object, key);
	else if (is != was)
		return add(object, key, is, err);
	else
		json_object_put(is);
	return 0;
}

/* ---- unions ---- */

/* The fields of a union are next to each other in the table. */
static const struct schema_field *union_end(const struct schema_field *f)
{
	const char *name = f->name;

	while (f->name && f->shape == SCHEMA_UNION && !strcmp(f->name, name))
		f++;
	return f;
}

/* Refuses variants that are not known: which one is meant decides what all the others mean. */
static int union_unknown(const struct schema_field *first, struct json_object *object,
			 const struct where *w, struct conf_err *err)
{
	size_t len = strlen(first->name);

	json_object_object_foreach(object, key, value)
	{
		struct where here = { .up = w, .key = key };
		const struct schema_field *f, *end = union_end(first);

		(void)value;
		if (strncmp(key, first->name, len) != 0 || key[len] != '.')
			continue;
		for (f = first; f < end && strcmp(f->variant, key + len + 1) != 0; f++)
			;
		if (f == end)
			return fail(&here, err, "no such variant");
	}
	return 0;
}

/* Exactly one variant, or none where libxl has none by default. */
static int canon_union(const struct schema_field *first, struct json_object *object,
		       const struct where *w, struct conf_err *err)
{
	const struct schema_field *init = NULL, *found = NULL, *end = union_end(first);
	struct where here = { .up = w, .key = first->name };
	struct json_object *own;
	char room[JSON_KEY_MAX], why[JSON_WHY_MAX];
	int r;

	for (const struct schema_field *f = first; f < end; f++) {
		if (f->init)
			init = f;
		if (!json_object_object_get_ex(object, json_key(f, room), NULL))
			continue;
		if (found) {
			snprintf(why, sizeof(why), "is both %s and %s", found->variant, f->variant);
			return fail(&here, err, why);
		}
		found = f;
	}
	r = union_unknown(first, object, w, err);
	if (r)
		return r;
	if (!found && init) {
		r = add(object, json_key(init, room), json_object_new_object(), err);
		found = init;
	}
	if (r || !found)
		return r;
	/* libxl writes no such field; who has written it must mean the same by it. */
	if (json_object_object_get_ex(object, first->name, &own) &&
	    json_object_is_type(own, json_type_string) &&
	    strcmp(json_object_get_string(own), found->variant) != 0)
		return fail(&here, err, "is not the variant that is there");
	return canon_field(found, object, w, err);
}

static int canon_struct(const struct schema_type *type, struct json_object *object,
			const struct where *w, struct conf_err *err)
{
	for (const struct schema_field *f = type->fields; f->name;) {
		int r = f->shape == SCHEMA_UNION ? canon_union(f, object, w, err)
						 : canon_field(f, object, w, err);

		if (r)
			return r;
		f = f->shape == SCHEMA_UNION ? union_end(f) : f + 1;
	}
	return 0;
}

/* ---- the whole ---- */

/* c_info and b_info say each what type the domain is of. */
static int check_types(struct json_object *config, struct conf_err *err)
{
	struct json_object *c_info, *b_info, *type;
	char key[JSON_KEY_MAX];

	if (!json_object_object_get_ex(config, "c_info", &c_info) ||
	    !json_object_object_get_ex(config, "b_info", &b_info) ||
	    !json_object_object_get_ex(c_info, "type", &type) ||
	    json_object_object_get_ex(b_info, "type.invalid", NULL))
		return 0;
	snprintf(key, sizeof(key), "type.%s", json_object_get_string(type));
	if (json_object_object_get_ex(b_info, key, NULL))
		return 0;
	return conf_fail(err, -EINVAL, "b_info.type: is not \"%s\" as c_info.type says",
			 json_object_get_string(type));
}

int conf_json_canon(const struct schema_type *type, struct json_object *object,
		    struct conf_err *err)
{
	int r;

	if (!json_object_is_type(object, json_type_object))
		return fail(NULL, err, "is no map");
	r = canon_struct(type, object, NULL, err);
	if (!r && type == schema_domain_config())
		r = check_types(object, err);
	return r;
}

int conf_json_read(const char *text, size_t len, struct conf_err *err, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *o = NULL;
	int r = conf_json_parse(text, len, err, &o);

	if (!r)
		r = conf_json_canon(schema_domain_config(), o, err);
	if (!r)
		*ret = TAKE(o);
	return r;
}

struct json_object *conf_json_new(const struct schema_type *type)
{
	CLEANUP_JSON struct json_object *o = json_object_new_object();

	return o && !conf_json_canon(type, o, NULL) ? TAKE(o) : NULL;
}
