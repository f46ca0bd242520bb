/* SPDX-License-Identifier: MIT */
/*
 * Any keys in the store as those of a device: the first octet chooses the class, each line that
 * follows is "KEY=VALUE" of the backend's directory, or after a '>' of libxl's. Whatever they say
 * is told or used. A device that class_check finds nothing wrong with gives an entry back, and an
 * entry that came from the store is found to be no other than the store.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/class.h"
#include "config/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what, const char *which)
{
	if (ok)
		return;
	fprintf(stderr, "class_fuzz: %s: %s\n", what, which);
	abort();
}

static void put(struct conf_values *v, const char *key, const char *value, size_t len)
{
	must(!conf_values_put(v, key, value, len), "no memory", key);
}

static void dev_init(const struct conf_class *k, struct conf_dev *dev)
{
	static char kind[16], path[64], back[64];
	char front[64];

	*dev = (struct conf_dev){ .has_backend = true, .backend_domain = true };
	dev->devid = strcmp(class_name(k), "vbd") == 0 ? 51712 : 0;
	snprintf(kind, sizeof(kind), "%s", class_kind(k));
	snprintf(path, sizeof(path), "/libxl/7/device/%s/%u", kind, dev->devid);
	snprintf(back, sizeof(back), "/local/domain/0/backend/%s/7/%u", kind, dev->devid);
	snprintf(front, sizeof(front), "/local/domain/7/device/%s/%u", kind, dev->devid);
	dev->kind = dev->backend_kind = kind;
	dev->path = strcmp(kind, "pci") == 0 ? back : path;
	dev->backend = back;
	put(&dev->back, "frontend", front, strlen(front));
	put(&dev->back, "frontend-id", "7", 1);
	put(&dev->back, "online", "1", 1);
	put(&dev->back, "state", "4", 1);
	if (strcmp(kind, "pci") == 0)
		return;
	put(&dev->libxl, "frontend", front, strlen(front));
	put(&dev->libxl, "backend", back, strlen(back));
}

/* As the snapshot has them: each key once. */
static void put_line(struct conf_dev *dev, char *line, size_t len)
{
	struct conf_values *v = line[0] == '>' ? &dev->libxl : &dev->back;
	char *key = line + (line[0] == '>'), *value = memchr(line, '=', len);

	if (!value || memchr(key, '\0', (size_t)(value - key)))
		return;
	*value++ = '\0';
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->v[i].key, key))
			return;
	put(v, key, value, len - (size_t)(value - line));
}

static int look(void *data, const char *id, unsigned int index)
{
	const struct conf_dev *dev = data;
	const struct conf_class *k;
	char wrong[256], changed[256];

	(void)index;
	for (size_t i = 0; (k = class_at(i)); i++) {
		struct json_object *entry = NULL;
		struct conf_err err = { "" };
		int r;

		if (!class_owns(k, dev))
			continue;
		class_check(k, dev, id, wrong, sizeof(wrong));
		r = class_from_store(k, dev, id, &err, &entry);
		must(r || entry, "neither an entry nor refused", id);
		must(!r || *err.text, "refused without a line", id);
		if (class_place(k) == CLASS_DIRECTORY)
			must(*wrong || !r || class_implied(k, NULL, dev),
			     "nothing wrong, and refused", err.text);
		if (r)
			continue;
		must(!class_overlay(k, dev, id, entry, changed, sizeof(changed), &err),
		     "cannot be compared", id);
		must(!*changed || *wrong, "another than itself", changed);
		json_object_put(entry);
	}
	return 0;
}

static void change(const struct conf_class *k, const struct conf_dev *dev)
{
	const struct class_where where = { .domid = 7, .domain_type = "pv" };
	struct json_object *entry = conf_json_new(class_schema(k));
	struct class_nodes nodes;
	char *remove;
	size_t len;

	must(entry && !conf_json_set(class_schema(k), entry, "bus", "3", NULL), "no entry", "");
	for (int add = 0; add < 2; add++) {
		struct conf_err err = { "" };
		int r = class_entry_nodes(k, entry, &where, dev, add, &err, &nodes, &remove, &len);

		must(!r || *err.text, "refused without a line", "");
		class_nodes_fini(&nodes);
		free(remove);
	}
	json_object_put(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct conf_class *k = size ? class_at(data[0] % 16) : NULL;
	char *text, *line;
	struct conf_dev dev;
	char wrong[256];

	if (!k || !class_kind(k))
		return 0;
	dev_init(k, &dev);
	text = malloc(size + 1);
	must(text != NULL, "no memory", "");
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = text + 1; line < text + size;) {
		char *end = memchr(line, '\n', (size_t)(text + size - line));

		end = end ? end : text + size;
		*end = '\0';
		put_line(&dev, line, (size_t)(end - line));
		line = end + 1;
	}
	conf_values_sort(&dev.libxl);
	conf_values_sort(&dev.back);
	class_check(k, &dev, "", wrong, sizeof(wrong));
	class_is_ejected(k, &dev);
	class_store_ids(k, &dev, look, &dev);
	look(&dev, "0000:03:00.0", 0);
	if (strcmp(class_name(k), "pci") == 0)
		change(k, &dev);
	conf_values_fini(&dev.libxl);
	conf_values_fini(&dev.back);
	free(text);
	return 0;
}
