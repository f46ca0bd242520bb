/* SPDX-License-Identifier: MIT */
/*
 * The tables of the schema as JSON, for a test to hold against libxl's header: {"domain_config":
 * {"kind", "bits", "fields": [{"name", "type", "shape", "variant", "init", "since"}], "names":
 * [[value, name, since]]}, ...}, in the order in which types are first met.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

static const char *const kinds[] = {
	[SCHEMA_STRUCT] = "struct",   [SCHEMA_STRING] = "string",
	[SCHEMA_INT] = "int",	      [SCHEMA_UINT] = "uint",
	[SCHEMA_BOOL] = "bool",	      [SCHEMA_DEFBOOL] = "defbool",
	[SCHEMA_ENUM] = "enum",	      [SCHEMA_UUID] = "uuid",
	[SCHEMA_MAC] = "mac",	      [SCHEMA_BITMAP] = "bitmap",
	[SCHEMA_STRINGS] = "strings", [SCHEMA_KEY_VALUES] = "key_values",
	[SCHEMA_CPUID] = "cpuid",     [SCHEMA_GENID] = "genid",
};
static const char *const shapes[] = {
	[SCHEMA_ONE] = "one",
	[SCHEMA_ARRAY] = "array",
	[SCHEMA_UNION] = "union",
};

static void add(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value))
		abort();
}

static void dump(const struct schema_type *type, struct json_object *all);

static struct json_object *dump_names(const struct schema_type *type)
{
	struct json_object *names = json_object_new_array();

	for (const struct schema_name *n = type->names; n && n->name; n++) {
		struct json_object *one = json_object_new_array();

		json_object_array_add(one, json_object_new_int64(n->value));
		json_object_array_add(one, json_object_new_string(n->name));
		json_object_array_add(one, json_object_new_int64(n->since));
		json_object_array_add(names, one);
	}
	return names;
}

static void dump_fields(const struct schema_type *type, struct json_object *fields,
			struct json_object *all)
{
	for (const struct schema_field *f = type->fields; f && f->name; f++) {
		struct json_object *one = json_object_new_object();

		add(one, "name", json_object_new_string(f->name));
		add(one, "type", json_object_new_string(f->type->name));
		add(one, "shape", json_object_new_string(shapes[f->shape]));
		add(one, "variant", f->variant ? json_object_new_string(f->variant) : NULL);
		add(one, "init", json_object_new_int64(f->init));
		add(one, "since", json_object_new_int64(f->since));
		json_object_array_add(fields, one);
		dump(f->type, all);
	}
}

static void dump(const struct schema_type *type, struct json_object *all)
{
	struct json_object *o, *fields;

	if (json_object_object_get_ex(all, type->name, NULL))
		return;
	o = json_object_new_object();
	fields = json_object_new_array();
	add(all, type->name, o);
	add(o, "kind", json_object_new_string(kinds[type->kind]));
	add(o, "bits", json_object_new_int64(type->bits));
	add(o, "names", dump_names(type));
	add(o, "fields", fields);
	dump_fields(type, fields, all);
}

int main(void)
{
	struct json_object *all = json_object_new_object();

	dump(schema_domain_config(), all);
	puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
	json_object_put(all);
	return 0;
}
