/* SPDX-License-Identifier: MIT */
/*
 * What can be asked of a class without a device: its names, lists and places, and of a device
 * which class it is of.
 *
 * Invariant: a directory of the store is of at most one class of CLASS_DIRECTORY.
 */
#include "config/class_row.h"

#include <string.h>
#include <strings.h>

static bool class_is(const struct conf_class *k, const char *word)
{
	if (!strcasecmp(word, k->name) || !strcasecmp(word, k->list))
		return true;
	for (size_t i = 0; k->other[i]; i++)
		if (!strcasecmp(word, k->other[i]))
			return true;
	return false;
}

const struct conf_class *class_find(const char *word)
{
	const struct conf_class *k;

	for (size_t i = 0; (k = class_at(i)); i++)
		if (class_is(k, word))
			return k;
	return NULL;
}

const char *class_name(const struct conf_class *k)
{
	return k->name;
}

const char *class_list(const struct conf_class *k)
{
	return k->list;
}

const struct schema_type *class_schema(const struct conf_class *k)
{
	return schema_of_list(k->list);
}

enum class_place class_place(const struct conf_class *k)
{
	return k->place;
}

const char *class_kind(const struct conf_class *k)
{
	return k->kind;
}

const char *class_kind_of(const struct conf_class *k, struct json_object *entry)
{
	return k->kind_of ? k->kind_of(entry, NULL) : k->kind;
}

bool class_owns(const struct conf_class *k, const struct conf_dev *dev)
{
	if (!k->kind)
		return false;
	return k->owns ? k->owns(dev) : !strcmp(dev->kind, k->kind);
}

const char *class_script_arg(const struct conf_class *k, bool add)
{
	return add ? k->script_add : k->script_remove;
}

const char *class_lost(const struct conf_class *k)
{
	return k->lost ? k->lost : "";
}

bool class_is_ejected(const struct conf_class *k, const struct conf_dev *dev)
{
	const char *removable = class_key(dev, "removable"), *params = class_key(dev, "params");

	if (strcmp(k->name, "vbd") != 0 || !removable || strcmp(removable, "1") != 0 || !params)
		return false;
	/* A device model's has the format before it: "aio:". */
	return !*params || params[strlen(params) - 1] == ':';
}

const char *class_implied(const struct conf_class *k, struct json_object *config,
			  const struct conf_dev *dev)
{
	return k->implied ? k->implied(config, dev) : NULL;
}
