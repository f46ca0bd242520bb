/* SPDX-License-Identifier: MIT */
/*
 * Copies, comparison and the lists of a configuration. All of it on canonical objects.
 */
#include "config/json.h"

#include <errno.h>
#include <string.h>

#include "config/json_own.h"

struct json_object *conf_json_copy(struct json_object *object)
{
	struct json_object *copy = NULL;

	return json_object_deep_copy(object, &copy, NULL) ? NULL : copy;
}

const char *json_number_text(struct json_object *number)
{
	const char *text = json_object_get_userdata(number);

	return text ? text : "0"; /* every such number is made from text: json_parse.c */
}

static bool equal_maps(struct json_object *a, struct json_object *b)
{
	if (json_object_object_length(a) != json_object_object_length(b))
		return false;
	json_object_object_foreach(a, key, value)
	{
		struct json_object *other;

		if (!json_object_object_get_ex(b, key, &other) || !conf_json_equal(value, other))
			return false;
	}
	return true;
}

static bool equal_lists(struct json_object *a, struct json_object *b)
{
	if (json_object_array_length(a) != json_object_array_length(b))
		return false;
	for (size_t i = 0; i < json_object_array_length(a); i++)
		if (!conf_json_equal(json_object_array_get_idx(a, i),
				     json_object_array_get_idx(b, i)))
			return false;
	return true;
}

bool conf_json_equal(const struct json_object *a, const struct json_object *b)
{
	/* Borrowed for reading only; json-c's functions take no const. */
	struct json_object *x = (struct json_object *)(uintptr_t)a;
	struct json_object *y = (struct json_object *)(uintptr_t)b;

	if (x == y)
		return true;
	if (json_object_get_type(x) != json_object_get_type(y))
		return false;
	switch (json_object_get_type(x)) {
	case json_type_object:
		return equal_maps(x, y);
	case json_type_array:
		return equal_lists(x, y);
	case json_type_double:
		/* Kept by their text: two that differ may be the same as a double. */
		return !strcmp(json_number_text(x), json_number_text(y));
	default:
		return json_object_equal(x, y);
	}
}

struct json_object *conf_json_list(struct json_object *config, const char *list)
{
	struct json_object *o;

	return json_object_object_get_ex(config, list, &o) &&
			       json_object_is_type(o, json_type_array)
		       ? o
		       : NULL;
}

int conf_json_list_add(struct json_object *config, const char *list, struct json_object *entry)
{
	struct json_object *o = conf_json_list(config, list);

	if (o)
		return json_object_array_add(o, entry) ? -ENOMEM : 0;
	o = json_object_new_array();
	if (!o)
		return -ENOMEM;
	if (json_object_object_add(config, list, o)) {
		json_object_put(o);
		return -ENOMEM;
	}
	if (json_object_array_add(o, entry)) {
		json_object_object_del(config, list); /* an empty list is not canonical */
		return -ENOMEM;
	}
	return 0;
}

void conf_json_list_del(struct json_object *config, const char *list, size_t i)
{
	struct json_object *o = conf_json_list(config, list);

	if (!o || i >= json_object_array_length(o))
		return;
	if (json_object_array_length(o) == 1)
		json_object_object_del(config, list);
	else
		json_object_array_del_idx(o, i, 1);
}

int64_t conf_json_int(struct json_object *object, const char *field, int64_t init)
{
	struct json_object *o;

	return json_object_object_get_ex(object, field, &o) && json_object_is_type(o, json_type_int)
		       ? json_object_get_int64(o)
		       : init;
}

const char *conf_json_string(struct json_object *object, const char *field)
{
	struct json_object *o;

	return json_object_object_get_ex(object, field, &o) &&
			       json_object_is_type(o, json_type_string)
		       ? json_object_get_string(o)
		       : NULL;
}
