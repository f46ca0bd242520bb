/* SPDX-License-Identifier: MIT */
/*
 * Keyboards, shared file systems, displays, sound and virtio: devices whose backends are told
 * apart by a field, and those that have lists in their frontend's directory.
 *
 * Invariant: no list is written beyond CLASS_LIST_MAX of it.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Connectors of a display, pcms of a card, streams of a pcm. */
#define CLASS_LIST_MAX 64
/* Octets of a list of rates or formats. */
#define CLASS_PARAMS_MAX 512

static bool word_is(struct json_object *entry, const char *field, const char *word)
{
	const char *text = class_field_text(entry, field);

	return text && !strcmp(text, word);
}

/* ---- keyboards ---- */

bool vkb_has_touch(const struct class_put *x)
{
	return class_field_bool(x->entry, "feature_multi_touch", false);
}

const char *vkb_back_kind_of(struct json_object *entry, const struct class_where *where)
{
	(void)where;
	return word_is(entry, "backend_type", "linux") ? "vinput" : "vkbd";
}

int vkb_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry)
{
	(void)id;
	if (!dev->backend_kind)
		return 0;
	return class_field_set_text(entry, "backend_type",
				    !strcmp(dev->backend_kind, "vinput") ? "linux" : "qemu");
}

/* A guest with emulated hardware gets a keyboard unless its record says not to. */
const char *vkb_implied(struct json_object *config, const struct conf_dev *dev)
{
	if (!config || dev->devid != 0 || !word_is(config, "c_info.type", "hvm") ||
	    !class_field_bool(config, "b_info.type.hvm.vkb_device", true))
		return NULL;
	return "of a hvm guest: b_info.type.hvm.vkb_device";
}

/* ---- file systems ---- */

bool p9_is_daemon(const struct class_put *x)
{
	return word_is(x->entry, "type", "xen_9pfsd");
}

const char *p9_back_kind_of(struct json_object *entry, const struct class_where *where)
{
	(void)where;
	return word_is(entry, "type", "xen_9pfsd") ? "xen_9pfs" : "9pfs";
}

int p9_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry)
{
	(void)id;
	if (!dev->backend_kind || strcmp(dev->backend_kind, "xen_9pfs") != 0)
		return 0;
	return class_field_set_text(entry, "type", "xen_9pfsd");
}

/* ---- virtio ---- */

/* A driver domain cannot map all of a guest: it is granted what it may see. */
int virtio_put_grant_usage(const struct class_put *x, const struct class_row *row, char **ret)
{
	return class_format(ret, "%d",
			    class_field_bool(x->entry, row->field, x->where->backend_domid != 0));
}

/* ---- lists ---- */

static size_t list_len(struct json_object *entry, const char *field)
{
	struct json_object *list = class_field(entry, field);

	return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static struct json_object *list_at(struct json_object *entry, const char *field, size_t i)
{
	return json_object_array_get_idx(class_field(entry, field), i);
}

static int check_list(struct json_object *entry, const char *field, struct conf_err *err)
{
	if (list_len(entry, field) > CLASS_LIST_MAX)
		return conf_fail(err, -EINVAL, "%s: more than %d", field, CLASS_LIST_MAX);
	return 0;
}

int media_validate(struct json_object *entry, struct conf_err *err)
{
	size_t n = list_len(entry, "pcms");
	int r = check_list(entry, "connectors", err);

	for (size_t i = 0; !r && i < list_len(entry, "connectors"); i++)
		if (!class_field_text(list_at(entry, "connectors", i), "unique_id"))
			r = conf_fail(err, -EINVAL, "vdispl: connectors.%zu.unique_id: not set", i);
	r = r ? r : check_list(entry, "pcms", err);
	for (size_t i = 0; !r && i < n; i++) {
		struct json_object *pcm = list_at(entry, "pcms", i);

		r = check_list(pcm, "streams", err);
		for (size_t s = 0; !r && s < list_len(pcm, "streams"); s++)
			if (!class_field_text(list_at(pcm, "streams", s), "unique_id"))
				r = conf_fail(err, -EINVAL,
					      "vsnd: pcms.%zu.streams.%zu.unique_id: not set", i,
					      s);
	}
	if (r || !class_field(entry, "security_model") || word_is(entry, "type", "xen_9pfsd"))
		return r;
	if (!class_field_text(entry, "tag"))
		return conf_fail(err, -EINVAL, "9pfs: tag: not set");
	for (size_t i = 0; i < 4; i++) {
		static const char *const limits[] = { "max_space", "max_files", "max_open_files",
						      "auto_delete" };

		if (class_field_bool(entry, limits[i], false))
			return conf_fail(err, -EINVAL, "9pfs: %s: is for type xen_9pfsd",
					 limits[i]);
	}
	return 0;
}

int vdispl_nodes(const struct class_put *x, struct class_nodes *ret)
{
	char front[CLASS_PATH_MAX], resolution[48];
	size_t n = list_len(x->entry, "connectors");
	int r = 0;

	class_path(x, CLASS_FRONTEND, front);
	for (size_t i = 0; !r && i < n && i < CLASS_LIST_MAX; i++) {
		struct json_object *c = list_at(x->entry, "connectors", i);
		const char *id = class_field_text(c, "unique_id");

		snprintf(resolution, sizeof(resolution), "%" PRId64 "x%" PRId64,
			 class_field_number(c, "width", 0), class_field_number(c, "height", 0));
		r = class_nodes_add(ret, x->where, CLASS_FRONTEND, false, "", "%s/%zu", front, i);
		r = r ? r
		      : class_nodes_add(ret, x->where, CLASS_FRONTEND, true, resolution,
					"%s/%zu/resolution", front, i);
		if (!r && id)
			r = class_nodes_add(ret, x->where, CLASS_FRONTEND, true, id,
					    "%s/%zu/unique-id", front, i);
	}
	return r;
}

/* ---- sound ---- */

/* Values of a list, joined by commas; "" where there is none. */
static int join(struct json_object *params, const char *field, char ret[CLASS_PARAMS_MAX],
		struct conf_err *err)
{
	size_t at = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < list_len(params, field); i++) {
		int n = snprintf(ret + at, CLASS_PARAMS_MAX - at, "%s%s", i ? "," : "",
				 json_object_get_string(list_at(params, field, i)));

		if (n < 0 || at + (size_t)n >= CLASS_PARAMS_MAX)
			return conf_fail(err, -EINVAL, "vsnd: params.%s: too long", field);
		at += (size_t)n;
	}
	return 0;
}

/* What a card, a pcm and a stream each may have, below `dir`. */
static int put_params(const struct class_put *x, struct class_nodes *ret, struct json_object *of,
		      const char *dir)
{
	static const char *const numbers[][2] = { { "channels-min", "channels_min" },
						  { "channels-max", "channels_max" },
						  { "buffer-size", "buffer_size" } };
	static const char *const lists[][2] = { { "sample-rates", "sample_rates" },
						{ "sample-formats", "sample_formats" } };
	struct json_object *params = class_field(of, "params");
	char text[CLASS_PARAMS_MAX];
	int r = 0;

	for (size_t i = 0; !r && i < 2; i++) {
		r = join(params, lists[i][1], text, x->err);
		if (!r && *text)
			r = class_nodes_add(ret, x->where, CLASS_FRONTEND, false, text, "%s/%s",
					    dir, lists[i][0]);
	}
	for (size_t i = 0; !r && i < 3; i++) {
		int64_t n = class_field_number(params, numbers[i][1], 0);

		snprintf(text, sizeof(text), "%" PRId64, n);
		if (n)
			r = class_nodes_add(ret, x->where, CLASS_FRONTEND, false, text, "%s/%s",
					    dir, numbers[i][0]);
	}
	return r;
}

static int put_text(const struct class_put *x, struct class_nodes *ret, struct json_object *of,
		    const char *field, const char *dir, const char *key)
{
	const char *text = class_field_text(of, field);

	if (!text)
		return 0;
	return class_nodes_add(ret, x->where, CLASS_FRONTEND, false, text, "%s/%s", dir, key);
}

static int put_stream(const struct class_put *x, struct class_nodes *ret, struct json_object *s,
		      const char *dir)
{
	int r = class_nodes_add(ret, x->where, CLASS_FRONTEND, false, "", "%s", dir);

	r = r ? r : put_text(x, ret, s, "unique_id", dir, "unique-id");
	r = r ? r : put_text(x, ret, s, "type", dir, "type");
	return r ? r : put_params(x, ret, s, dir);
}

int vsnd_nodes(const struct class_put *x, struct class_nodes *ret)
{
	char front[CLASS_PATH_MAX], dir[CLASS_PATH_MAX + 32], stream[CLASS_PATH_MAX + 64];
	size_t n = list_len(x->entry, "pcms");
	int r;

	class_path(x, CLASS_FRONTEND, front);
	r = put_params(x, ret, x->entry, front);
	for (size_t i = 0; !r && i < n && i < CLASS_LIST_MAX; i++) {
		struct json_object *pcm = list_at(x->entry, "pcms", i);

		snprintf(dir, sizeof(dir), "%s/%zu", front, i);
		r = class_nodes_add(ret, x->where, CLASS_FRONTEND, false, "", "%s", dir);
		r = r ? r : put_text(x, ret, pcm, "name", dir, "name");
		r = r ? r : put_params(x, ret, pcm, dir);
		for (size_t s = 0; !r && s < list_len(pcm, "streams") && s < CLASS_LIST_MAX; s++) {
			snprintf(stream, sizeof(stream), "%s/%zu", dir, s);
			r = put_stream(x, ret, list_at(pcm, "streams", s), stream);
		}
	}
	return r;
}
