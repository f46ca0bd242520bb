/* SPDX-License-Identifier: MIT */
/*
 * Configurations as lists of paths and values. Invariant: whatever a configuration says is in its
 * picture, fields that are not known to anybody, too.
 */
#include "cli/config_fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"

void config_fields_add(struct config_fields *f, const char *path, const char *value)
{
	if (f->n == f->room) {
		f->room = f->room ? 2 * f->room : 16;
		f->v = cli_must(reallocarray(f->v, f->room, sizeof(*f->v)));
	}
	f->v[f->n++] = (struct config_field){ .path = cli_must(strdup(path)),
					      .value = cli_must(strdup(value)) };
}

void config_fields_fini(struct config_fields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].path);
		free(f->v[i].value);
	}
	free(f->v);
	*f = (struct config_fields){ 0 };
}

static bool is_plain(struct json_object *o)
{
	return !json_object_is_type(o, json_type_object) &&
	       !json_object_is_type(o, json_type_array);
}

static const char *plain_text(struct json_object *o)
{
	return o ? json_object_get_string(o) : "null";
}

/* A list of plain values as one text; NULL: it is none. */
static char *list_text(struct json_object *list)
{
	size_t n = json_object_array_length(list), len;
	char *text;
	FILE *to;

	for (size_t i = 0; i < n; i++)
		if (!is_plain(json_object_array_get_idx(list, i)))
			return NULL;
	to = cli_must(open_memstream(&text, &len));
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%s%s", i ? "," : "", plain_text(json_object_array_get_idx(list, i)));
	fclose(to);
	return cli_must(text);
}

static void fields_list(struct config_fields *f, const char *path, struct json_object *list)
{
	char *text = list_text(list);

	if (text)
		config_fields_add(f, path, text);
	for (size_t i = 0; !text && i < json_object_array_length(list); i++) {
		char *below;

		if (asprintf(&below, "%s.%zu", path, i) < 0)
			cli_must(NULL);
		config_fields_json(f, below, json_object_array_get_idx(list, i), NULL);
		free(below);
	}
	free(text);
}

void config_fields_json(struct config_fields *f, const char *prefix, struct json_object *o,
			bool (*skip)(const char *name))
{
	if (json_object_is_type(o, json_type_array)) {
		fields_list(f, prefix, o);
		return;
	}
	if (!json_object_is_type(o, json_type_object)) {
		config_fields_add(f, prefix, plain_text(o));
		return;
	}
	json_object_object_foreach(o, name, member)
	{
		char *path;

		if (skip && skip(name))
			continue;
		if (asprintf(&path, "%s%s%s", prefix, *prefix ? "." : "", name) < 0)
			cli_must(NULL);
		config_fields_json(f, path, member, NULL);
		free(path);
	}
}

/* Where name is in the list from `from` on, among those not seen yet. */
static size_t align_find(const char *name, const char *const *list, size_t n, size_t from,
			 const bool *seen)
{
	for (size_t i = from; i < n; i++)
		if (!(seen && seen[i]) && !strcmp(list[i], name))
			return i;
	return CONFIG_NONE;
}

void config_align(const char *const *a, size_t n_a, const char *const *b, size_t n_b,
		  config_align_fn *fn, void *data)
{
	bool *seen = cli_must(calloc(n_b + 1, sizeof(*seen)));
	size_t i = 0, j = 0;

	while (i < n_a || j < n_b) {
		size_t k;

		if (j < n_b && seen[j]) {
			j++;
			continue;
		}
		k = i < n_a ? align_find(a[i], b, n_b, j, seen) : CONFIG_NONE;
		/* What b alone has goes where b has it: before what follows it there. */
		if (j < n_b && k != j && align_find(b[j], a, n_a, i, NULL) == CONFIG_NONE &&
		    (k != CONFIG_NONE || i == n_a)) {
			fn(data, CONFIG_NONE, j++);
			continue;
		}
		fn(data, i++, k);
		if (k != CONFIG_NONE)
			seen[k] = true;
	}
	free(seen);
}

void config_fields_align(const struct config_fields *a, const struct config_fields *b,
			 config_align_fn *fn, void *data)
{
	const char **names = cli_must(calloc(a->n + b->n + 1, sizeof(*names)));

	for (size_t i = 0; i < a->n; i++)
		names[i] = a->v[i].path;
	for (size_t i = 0; i < b->n; i++)
		names[a->n + i] = b->v[i].path;
	config_align(names, a->n, names + a->n, b->n, fn, data);
	free(names);
}

void config_pictures_align(const struct config_picture *a, const struct config_picture *b,
			   config_align_fn *fn, void *data)
{
	size_t n = a->n_devices + b->n_devices;
	const char **names = cli_must(calloc(n + 1, sizeof(*names)));

	for (size_t i = 0; i < a->n_devices; i++)
		names[i] = a->devices[i].title;
	for (size_t i = 0; i < b->n_devices; i++)
		names[a->n_devices + i] = b->devices[i].title;
	config_align(names, a->n_devices, names + a->n_devices, b->n_devices, fn, data);
	free(names);
}

/* ---- a view of a domain ---- */

static bool is_device_list(const char *name)
{
	const char *class;

	for (size_t i = 0; (class = drover_class_name(i)); i++) {
		const char *list = drover_class_list(class);

		if (list && !strcmp(list, name))
			return true;
	}
	return false;
}

static int picture_domain(struct drover_domain_config *config, struct config_fields *ret)
{
	struct json_object *whole;
	char *text;
	int r = drover_domain_config_to_json(config, DROVER_CONFIG_LAYOUT_NEWEST, &text, NULL);

	if (r)
		return r;
	whole = json_tokener_parse(text);
	free(text);
	if (!whole)
		return -ENOMEM;
	config_fields_json(ret, "", whole, is_device_list);
	json_object_put(whole);
	return 0;
}

static struct config_device *picture_add(struct config_picture *p, const char *class,
					 const char *id)
{
	struct config_device *d;

	p->devices = cli_must(reallocarray(p->devices, p->n_devices + 1, sizeof(*p->devices)));
	d = &p->devices[p->n_devices++];
	*d = (struct config_device){ .class = cli_must(strdup(class)),
				     .id = cli_must(strdup(id)),
				     .reason = cli_must(strdup("")) };
	if (asprintf(&d->title, "%s %s", class, id) < 0)
		cli_must(NULL);
	return d;
}

static void field_into(void *data, const char *path, const char *value)
{
	config_fields_add(data, path, value);
}

static void picture_devices(struct config_picture *p, struct drover_domain_config *config)
{
	const char *class;

	for (size_t c = 0; (class = drover_class_name(c)); c++) {
		size_t n = drover_domain_config_devices(config, class);

		for (size_t i = 0; i < n; i++) {
			struct drover_device *from = drover_domain_config_device(config, class, i);
			const char *id = from ? drover_device_id(from) : NULL;
			struct config_device *d = picture_add(p, class, id ? id : "?");

			d->in_view = true;
			if (from)
				drover_device_each(from, field_into, &d->fields);
		}
	}
}

static void picture_report(struct config_picture *p, const struct drover_domain_config *config)
{
	size_t n = drover_domain_config_report_len(config);

	for (size_t i = 0; i < n; i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);
		const char *class = item->class_name;
		struct config_device *d = NULL;

		if (!strcmp(class, "domain"))
			continue; /* one of its values */
		for (size_t k = 0; k < p->n_devices && !d; k++)
			if (!p->devices[k].judged && !strcmp(p->devices[k].class, class) &&
			    !strcmp(p->devices[k].id, item->id))
				d = &p->devices[k];
		if (!d)
			d = picture_add(p, class, item->id);
		d->judged = true;
		d->verdict = item->verdict;
		free(d->reason);
		d->reason = cli_must(strdup(item->reason ? item->reason : ""));
	}
}

static char *text_of(struct drover_domain_config *config, const char *path)
{
	const char *text = drover_domain_config_get(config, path);

	return cli_must(strdup(text ? text : ""));
}

int config_picture_take(struct drover_domain_config *config, struct config_picture *ret)
{
	struct config_picture p = { .domid = drover_domain_config_domid(config),
				    .degraded = drover_domain_config_degraded(config) };
	int r = picture_domain(config, &p.domain);

	if (r)
		return r;
	p.name = text_of(config, "c_info.name");
	p.uuid = text_of(config, "c_info.uuid");
	p.type = text_of(config, "c_info.type");
	picture_devices(&p, config);
	picture_report(&p, config);
	*ret = p;
	return 0;
}

void config_picture_fini(struct config_picture *p)
{
	for (size_t i = 0; i < p->n_devices; i++) {
		struct config_device *d = &p->devices[i];

		free(d->class);
		free(d->id);
		free(d->title);
		free(d->reason);
		config_fields_fini(&d->fields);
	}
	free(p->devices);
	free(p->name);
	free(p->uuid);
	free(p->type);
	config_fields_fini(&p->domain);
	*p = (struct config_picture){ 0 };
}
