/* SPDX-License-Identifier: MIT */
/*
 * Disks: numbers from names, backends chosen as libxl chooses them where the record leaves it
 * open, and "params", which is a path or, for a device model, format and path.
 *
 * Invariant: type, params and the kind of the backend follow from the same choice.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "config/class_vdev.h"

/* A backend, and how it is called in record and store. */
struct disk_backend {
	const char *word; /* the record's */
	const char *type; /* the store's */
	const char *back_kind, *kind;
	const char *script; /* NULL: it runs none */
	bool format;	    /* "params" begins with the format */
};

static const struct disk_backend backends[] = {
	{ "phy", "phy", "vbd", "vbd", "block", false },
	{ "qdisk", "qdisk", "qdisk", "vbd", NULL, true },
	{ "tap", "vbd3", "vbd3", "vbd", "block-tap", true },
	{ "standalone", "standalone", "virtio_disk", "virtio_disk", NULL, false },
};

#define N_BACKENDS (sizeof(backends) / sizeof(backends[0]))

/* The record's words for formats, and those in "params". */
static const char *const formats[][2] = {
	{ "raw", "aio" },     { "empty", "aio" }, { "qcow", "qcow" },
	{ "qcow2", "qcow2" }, { "vhd", "vhd" },	  { "qed", "qed" },
};

#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

static const char *format_of(struct json_object *entry)
{
	const char *format = class_field_text(entry, "format");

	return format ? format : "unknown";
}

static bool is_virtio(struct json_object *entry)
{
	const char *s = class_field_text(entry, "specification");

	return s && !strcmp(s, "virtio");
}

static bool is_block_device(const char *path)
{
	struct stat st;

	return path && !stat(path, &st) && S_ISBLK(st.st_mode);
}

/*
 * The backend's domain of an entry by itself, where nobody resolved it: only whether it is
 * another than domain 0 matters.
 */
static bool is_remote(struct json_object *entry, const struct class_where *where)
{
	const char *name = class_field_text(entry, "backend_domname");

	if (where)
		return where->backend_domid != 0;
	if (name)
		return strcmp(name, "0") != 0 && strcmp(name, "Domain-0") != 0;
	return class_field_number(entry, "backend_domid", 0) != 0;
}

/*
 * As libxl 4.17 decides: a raw disk is the kernel's where its domain is a driver domain, it has a
 * script, or it is a block device here; all else is a device model's. Where libxl cannot see the
 * file it fails; we go on with the device model, which will say itself that it cannot.
 */
static const struct disk_backend *backend_of(struct json_object *entry,
					     const struct class_where *where)
{
	const char *word = class_field_text(entry, "backend");
	bool cdrom = class_field_bool(entry, "is_cdrom", false);

	for (size_t i = 0; word && i < N_BACKENDS; i++)
		if (!strcmp(backends[i].word, word))
			return &backends[i];
	if (is_virtio(entry))
		return &backends[3];
	if (cdrom && where && where->domain_type && !strcmp(where->domain_type, "hvm"))
		return &backends[1];
	if (class_field_bool(entry, "colo_enable", false))
		return &backends[1];
	if (!strcmp(format_of(entry), "raw") &&
	    (is_remote(entry, where) || class_field_text(entry, "script") ||
	     is_block_device(class_field_text(entry, "pdev_path"))))
		return &backends[0];
	return &backends[1];
}

bool disk_is_virtio(const struct class_put *x)
{
	return is_virtio(x->entry);
}

bool disk_is_colo(const struct class_put *x)
{
	return class_field_bool(x->entry, "colo_enable", false);
}

bool disk_owns(const struct conf_dev *dev)
{
	return !strcmp(dev->kind, "vbd") || !strcmp(dev->kind, "virtio_disk");
}

const char *disk_kind_of(struct json_object *entry, const struct class_where *where)
{
	return backend_of(entry, where)->kind;
}

const char *disk_back_kind_of(struct json_object *entry, const struct class_where *where)
{
	return backend_of(entry, where)->back_kind;
}

/* ---- identity ---- */

int disk_devid(struct json_object *entry, uint32_t *ret, struct conf_err *err)
{
	const char *vdev = class_field_text(entry, "vdev");

	if (!vdev)
		return conf_fail(err, -EINVAL, "vbd: vdev: not set");
	if (vdev_to_devid(vdev, ret))
		return conf_fail(err, -EINVAL, "vbd: vdev: \"%s\" is no virtual disk", vdev);
	return 0;
}

int disk_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	uint32_t devid;
	int r = disk_devid(entry, &devid, err);

	if (!r)
		vdev_of_devid(devid, ret);
	return r;
}

int disk_id_of_text(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	uint32_t devid;

	if (vdev_to_devid(text, &devid))
		return conf_fail(err, -EINVAL, "vbd: \"%s\" is no virtual disk", text);
	vdev_of_devid(devid, ret);
	return 0;
}

int disk_store_ids(const struct conf_dev *dev, class_id_fn *fn, void *data)
{
	char id[VDEV_NAME_MAX];

	vdev_of_devid(dev->devid, id);
	return fn(data, id, 0);
}

int disk_validate(struct json_object *entry, struct conf_err *err)
{
	const char *vdev = class_field_text(entry, "vdev"), *format = format_of(entry);
	const char *path = class_field_text(entry, "pdev_path");
	const struct disk_backend *b = backend_of(entry, NULL);
	bool cdrom = class_field_bool(entry, "is_cdrom", false);
	bool empty = !strcmp(format, "empty");
	uint32_t devid;
	int r = disk_devid(entry, &devid, err);

	if (r)
		return r;
	if (empty && !cdrom)
		return conf_fail(err, -EINVAL, "vbd %s: format: empty is for a cdrom alone", vdev);
	if (empty && path)
		return conf_fail(err, -EINVAL, "vbd %s: pdev_path: %s, though format is empty",
				 vdev, path);
	if (!path && !cdrom)
		return conf_fail(err, -EINVAL, "vbd %s: pdev_path: not set", vdev);
	if (b->word && !strcmp(b->word, "phy") && strcmp(format, "raw") != 0 && !empty)
		return conf_fail(err, -EINVAL, "vbd %s: format: backend phy has raw disks, not %s",
				 vdev, format);
	if (!b->script && class_field_text(entry, "script"))
		return conf_fail(err, -EINVAL, "vbd %s: script: backend %s runs none", vdev,
				 b->word);
	if (is_virtio(entry) != (b->word && !strcmp(b->word, "standalone")))
		return conf_fail(err, -EINVAL, "vbd %s: specification: backend %s has another",
				 vdev, b->word);
	return 0;
}

/* ---- keys ---- */

int disk_put_params(const struct class_put *x, const struct class_row *row, char **ret)
{
	const struct disk_backend *b = backend_of(x->entry, x->where);
	const char *path = class_field_text(x->entry, row->field), *format = format_of(x->entry);

	if (!b->format)
		return class_format(ret, "%s", path ? path : "");
	for (size_t i = 0; i < N_FORMATS; i++)
		if (!strcmp(formats[i][0], format))
			return class_format(ret, "%s:%s", formats[i][1], path ? path : "");
	return conf_fail(x->err, -EINVAL, "vbd %s: format: not set",
			 class_field_text(x->entry, "vdev"));
}

int disk_get_params(const struct conf_dev *dev, const struct class_row *row, const char *text,
		    struct json_object *entry)
{
	const char *type = class_key(dev, "type"), *cdrom = class_key(dev, "device-type");
	const char *colon = strchr(text, ':'), *format = "raw";
	const struct disk_backend *b = NULL;

	for (size_t i = 0; type && i < N_BACKENDS; i++)
		if (!strcmp(backends[i].type, type))
			b = &backends[i];
	if (b && b->format && *text) {
		format = NULL;
		for (size_t i = 0; colon && i < N_FORMATS; i++)
			if (!strncmp(formats[i][1], text, (size_t)(colon - text)) &&
			    !formats[i][1][colon - text]) {
				format = formats[i][0];
				break;
			}
		if (!format)
			return -EBADMSG;
		text = colon + 1;
	}
	if (!*text && cdrom && !strcmp(cdrom, "cdrom"))
		format = "empty";
	if (class_field_set_text(entry, "format", format))
		return -ENOMEM;
	return *text ? class_field_set_text(entry, row->field, text) : 0;
}

int disk_put_script(const struct class_put *x, const struct class_row *row, char **ret)
{
	const struct disk_backend *b = backend_of(x->entry, x->where);
	const char *script = class_field_text(x->entry, row->field);

	if (!b->script)
		return 0;
	return class_script_path(script ? script : b->script, ret);
}

int disk_get_script(const struct conf_dev *dev, const struct class_row *row, const char *text,
		    struct json_object *entry)
{
	const char *name = strrchr(text, '/');

	(void)dev;
	name = name ? name + 1 : text;
	for (size_t i = 0; i < N_BACKENDS; i++)
		if (backends[i].script && !strcmp(backends[i].script, name))
			return 0;
	return *text ? class_field_set_text(entry, row->field, text) : -EBADMSG;
}

int disk_put_type(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	return class_format(ret, "%s", backend_of(x->entry, x->where)->type);
}

int disk_get_type(const struct conf_dev *dev, const struct class_row *row, const char *text,
		  struct json_object *entry)
{
	(void)dev;
	for (size_t i = 0; i < N_BACKENDS; i++)
		if (!strcmp(backends[i].type, text))
			return class_field_set_text(entry, row->field, backends[i].word);
	return -EBADMSG;
}

int disk_put_mode(const struct class_put *x, const struct class_row *row, char **ret)
{
	return class_format(ret, "%s", class_field_bool(x->entry, row->field, false) ? "w" : "r");
}

int disk_get_mode(const struct conf_dev *dev, const struct class_row *row, const char *text,
		  struct json_object *entry)
{
	(void)dev;
	if (!strcmp(text, "w"))
		return class_field_set_number(entry, row->field, 1);
	return strcmp(text, "r") != 0 ? -EBADMSG : 0;
}

int disk_put_device_type(const struct class_put *x, const struct class_row *row, char **ret)
{
	return class_format(ret, "%s",
			    class_field_bool(x->entry, row->field, false) ? "cdrom" : "disk");
}

int disk_get_device_type(const struct conf_dev *dev, const struct class_row *row, const char *text,
			 struct json_object *entry)
{
	(void)dev;
	if (!strcmp(text, "cdrom"))
		return class_field_set_number(entry, row->field, 1);
	return strcmp(text, "disk") != 0 ? -EBADMSG : 0;
}

/* What may be written may also be discarded, unless the record says otherwise. */
int disk_put_discard(const struct class_put *x, const struct class_row *row, char **ret)
{
	bool writable = class_field_bool(x->entry, "readwrite", false);

	return class_format(ret, "%d", class_field_bool(x->entry, row->field, writable));
}

int disk_get_discard(const struct conf_dev *dev, const struct class_row *row, const char *text,
		     struct json_object *entry)
{
	const char *mode = class_key(dev, "mode");
	bool on = !strcmp(text, "1");

	if (!on && strcmp(text, "0") != 0)
		return -EBADMSG;
	if (mode && on == !strcmp(mode, "w"))
		return 0;
	return class_field_set_defbool(entry, row->field, on);
}

int disk_get_colo(const struct conf_dev *dev, const struct class_row *row, const char *text,
		  struct json_object *entry)
{
	(void)dev;
	if (class_field_set_defbool(entry, "colo_enable", true))
		return -ENOMEM;
	return *text ? class_field_set_text(entry, row->field, text) : 0;
}

/* Old paravirtual guests rely on being told their own architecture. */
int disk_put_protocol(const struct class_put *x, const struct class_row *row, char **ret)
{
	const struct class_where *w = x->where;

	(void)row;
	if (!w->protocol || !w->domain_type || strcmp(w->domain_type, "pv") != 0)
		return 0;
	return class_format(ret, "%s", w->protocol);
}

void disk_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size)
{
	const char *vdev = class_key(dev, "dev");
	uint32_t devid;

	(void)id;
	if (vdev && (vdev_to_devid(vdev, &devid) || devid != dev->devid))
		snprintf(ret, ret_size, "dev: %s is not the disk of number %" PRIu32, vdev,
			 dev->devid);
}
