/* SPDX-License-Identifier: MIT */
/*
 * Configurations and devices as those see them who know no JSON.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/session.h"

/* ---- configurations ---- */

void drover_domain_config_free(struct drover_domain_config *config)
{
	size_t i;

	if (!config)
		return;
	for (i = 0; i < config->n_report; i++) {
		free(config->report[i].reason);
		free(config->report[i].path);
	}
	free(config->report);
	for (i = 0; i < config->n_devices; i++)
		drover_device_free(config->devices[i]);
	free(config->devices);
	json_object_put(config->json);
	free(config->text);
	free(config);
}

uint32_t drover_domain_config_domid(const struct drover_domain_config *config)
{
	return config->domid;
}

bool drover_domain_config_degraded(const struct drover_domain_config *config)
{
	return config->degraded;
}

/* The text of a field, which the one who asked keeps in *keep. */
static const char *get_text(const struct schema_type *type, struct json_object *object,
			    const char *path, char **keep)
{
	char *text = NULL;

	if (conf_json_get(type, object, path, &text))
		return NULL;
	free(*keep);
	*keep = text;
	return text;
}

const char *drover_domain_config_get(struct drover_domain_config *config, const char *path)
{
	return get_text(schema_domain_config(), config->json, path, &config->text);
}

int drover_domain_config_to_json(const struct drover_domain_config *config,
				 enum drover_config_layout layout, char **ret, size_t *ret_len)
{
	size_t len;
	int r = conf_json_print(config->json, layout, ret, &len);

	if (!r && ret_len)
		*ret_len = len;
	return r;
}

int drover_domain_config_from_json(struct drover_config *c, const char *text, size_t len,
				   struct drover_domain_config **ret)
{
	struct drover_domain_config *config = calloc(1, sizeof(*config));
	struct conf_err *err = c ? &c->err : NULL;
	int r;

	if (!config)
		return conf_no_memory(err);
	config->domid = UINT32_MAX;
	r = conf_json_read(text, len, err, &config->json);
	if (r) {
		drover_domain_config_free(config);
		return r;
	}
	*ret = config;
	return 0;
}

size_t drover_domain_config_report_len(const struct drover_domain_config *config)
{
	return config->n_report;
}

const struct drover_report_item *
drover_domain_config_report(const struct drover_domain_config *config, size_t i)
{
	return i < config->n_report ? &config->report[i].item : NULL;
}

/* ---- classes ---- */

const char *drover_class_name(size_t i)
{
	const struct conf_class *k = class_at(i);

	return k ? class_name(k) : NULL;
}

const char *drover_class_find(const char *word)
{
	const struct conf_class *k = class_find(word);

	return k ? class_name(k) : NULL;
}

const char *drover_class_list(const char *class)
{
	const struct conf_class *k = class_find(class);

	return k ? class_list(k) : NULL;
}

/* ---- devices ---- */

static struct json_object *list_of(const struct drover_domain_config *config, const char *class)
{
	const struct conf_class *k = class_find(class);

	return k ? conf_json_list(config->json, class_list(k)) : NULL;
}

size_t drover_domain_config_devices(const struct drover_domain_config *config, const char *class)
{
	struct json_object *list = list_of(config, class);

	return list ? json_object_array_length(list) : 0;
}

static struct drover_device *device_of(const struct conf_class *k, struct json_object *entry)
{
	struct drover_device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->k = k;
	device->entry = json_object_get(entry);
	return device;
}

struct drover_device *drover_domain_config_device(struct drover_domain_config *config,
						  const char *class, size_t i)
{
	struct json_object *list = list_of(config, class), *entry;
	struct drover_device **p;
	size_t n;

	if (!list || i >= json_object_array_length(list))
		return NULL;
	entry = json_object_array_get_idx(list, i);
	for (n = 0; n < config->n_devices; n++)
		if (config->devices[n]->entry == entry)
			return config->devices[n];
	p = realloc(config->devices, (n + 1) * sizeof(*p));
	if (!p)
		return NULL;
	config->devices = p;
	p[n] = device_of(class_find(class), entry);
	if (p[n])
		config->n_devices++;
	return p[n];
}

int drover_device_new(const char *class, struct drover_device **ret)
{
	const struct conf_class *k = class_find(class);
	CLEANUP_JSON struct json_object *entry = NULL;

	if (!k)
		return -EINVAL;
	entry = conf_json_new(class_schema(k));
	if (!entry)
		return -ENOMEM;
	*ret = device_of(k, entry);
	return *ret ? 0 : -ENOMEM;
}

void drover_device_free(struct drover_device *device)
{
	if (!device)
		return;
	json_object_put(device->entry);
	free(device->text);
	free(device);
}

const char *drover_device_class(const struct drover_device *device)
{
	return class_name(device->k);
}

const char *drover_device_id(struct drover_device *device)
{
	return class_id(device->k, device->entry, device->id, NULL) ? NULL : device->id;
}

const char *drover_device_get(struct drover_device *device, const char *path)
{
	return get_text(class_schema(device->k), device->entry, path, &device->text);
}

int drover_device_set(struct drover_config *c, struct drover_device *device, const char *path,
		      const char *value)
{
	return conf_json_set(class_schema(device->k), device->entry, path, value,
			     c ? &c->err : NULL);
}

int drover_device_to_json(const struct drover_device *device, char **ret)
{
	*ret = conf_json_line(device->entry);
	return *ret ? 0 : -ENOMEM;
}

struct each {
	void (*fn)(void *data, const char *path, const char *value);
	void *data;
};

static int each_leaf(void *data, const char *path, const char *value)
{
	struct each *e = data;

	e->fn(e->data, path, value);
	return 0;
}

void drover_device_each(struct drover_device *device,
			void (*fn)(void *data, const char *path, const char *value), void *data)
{
	struct each e = { .fn = fn, .data = data };

	(void)conf_json_each(class_schema(device->k), device->entry, each_leaf, &e);
}
