/* SPDX-License-Identifier: MIT */
/*
 * What tells a device from others of its class: in an entry, in the store, and in what somebody
 * typed. All three give the same text for the same device.
 *
 * Invariant: two devices of a class have the same identity only where they would have the same
 * place in the store.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"

static int devid_of(const struct conf_class *k, struct json_object *entry, uint32_t *ret,
		    struct conf_err *err)
{
	int64_t devid = class_field_number(entry, "devid", -1);

	if (devid < 0)
		return conf_fail(err, -EINVAL, "%s: devid: not set", k->name);
	if (devid > INT32_MAX)
		return conf_fail(err, -EINVAL, "%s: devid: %" PRId64 " is too large", k->name,
				 devid);
	*ret = (uint32_t)devid;
	return 0;
}

int class_id(const struct conf_class *k, struct json_object *entry, char ret[CLASS_ID_MAX],
	     struct conf_err *err)
{
	uint32_t devid;
	int r;

	if (k->id)
		return k->id(entry, ret, err);
	r = devid_of(k, entry, &devid, err);
	if (!r)
		snprintf(ret, CLASS_ID_MAX, "%" PRIu32, devid);
	return r;
}

int class_id_of_text(const struct conf_class *k, const char *text, char ret[CLASS_ID_MAX],
		     struct conf_err *err)
{
	uint64_t devid;

	if (k->id_of_text)
		return k->id_of_text(text, ret, err);
	if (!class_number(text, INT32_MAX, &devid))
		return conf_fail(err, -EINVAL, "%s %s: its number is what identifies it", k->name,
				 text);
	snprintf(ret, CLASS_ID_MAX, "%" PRIu64, devid);
	return 0;
}

int class_devid(const struct conf_class *k, struct json_object *entry, uint32_t *ret,
		struct conf_err *err)
{
	if (k->place == CLASS_RECORD_ONLY)
		return conf_fail(err, -EOPNOTSUPP, "%s: has no place in the store", k->name);
	return k->devid ? k->devid(entry, ret, err) : devid_of(k, entry, ret, err);
}

int class_store_ids(const struct conf_class *k, const struct conf_dev *dev, class_id_fn *fn,
		    void *data)
{
	char id[CLASS_ID_MAX];

	if (k->store_ids)
		return k->store_ids(dev, fn, data);
	snprintf(id, sizeof(id), "%" PRIu32, dev->devid);
	return fn(data, id, 0);
}

/* One more than the largest number in record and store, as libxl counts. */
static uint32_t next_devid(const struct conf_class *k, struct json_object *config,
			   const struct conf_snapshot *s)
{
	struct json_object *list = config ? conf_json_list(config, k->list) : NULL;
	size_t n = list ? json_object_array_length(list) : 0;
	int64_t next = !strcmp(k->kind, "console") ? 1 : 0;

	for (size_t i = 0; i < n; i++) {
		int64_t devid = class_field_number(json_object_array_get_idx(list, i), "devid", -1);

		if (devid >= next && devid < INT32_MAX)
			next = devid + 1;
	}
	for (size_t i = 0; s && i < s->n_devs; i++)
		if (!strcmp(s->devs[i].kind, k->kind) && s->devs[i].devid >= next &&
		    s->devs[i].devid < INT32_MAX)
			next = (int64_t)s->devs[i].devid + 1;
	return (uint32_t)next;
}

int class_complete(const struct conf_class *k, struct json_object *entry,
		   struct json_object *config, const struct conf_snapshot *s, uint64_t rnd,
		   struct conf_err *err)
{
	if (k->place == CLASS_DIRECTORY && !k->devid &&
	    class_field_number(entry, "devid", -1) < 0 &&
	    class_field_set_number(entry, "devid", next_devid(k, config, s)))
		return conf_no_memory(err);
	return k->complete ? k->complete(entry, config, s, rnd, err) : 0;
}

int class_settle(const struct conf_class *k, struct json_object *config, struct conf_err *err)
{
	struct json_object *list = conf_json_list(config, k->list);
	size_t n = list ? json_object_array_length(list) : 0;

	if (k->place != CLASS_DIRECTORY || k->devid)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (class_field_number(entry, "devid", -1) < 0 &&
		    class_field_set_number(entry, "devid", next_devid(k, config, NULL)))
			return conf_no_memory(err);
	}
	return 0;
}

/*
 * Each key that must be there can be written, and none that is written would be malformed: what
 * is attached is never found damaged.
 */
static int validate_rows(const struct conf_class *k, struct json_object *entry,
			 struct conf_err *err)
{
	const struct class_where where = {
		.backend_domid = (uint32_t)class_field_number(entry, "backend_domid", 0),
	};
	struct class_put x = { .k = k, .entry = entry, .where = &where, .err = err };
	CLEANUP_JSON struct json_object *scratch = json_object_new_object();
	int r = scratch ? class_devid(k, entry, &x.devid, err) : conf_no_memory(err);
	struct conf_dev dev = { .devid = x.devid };

	for (const struct class_row *row = k->rows; !r && row->key; row++) {
		char *value = NULL;

		r = class_row_put(&x, row, &value);
		if (r == -ENOMEM)
			conf_no_memory(err);
		if (!r && !value && (row->flags & ROW_MUST))
			r = conf_fail(err, -EINVAL, "%s: %s: not set", k->name, row->field);
		if (!r && value && class_row_get(k, &dev, row, value, scratch) == -EBADMSG)
			r = conf_fail(err, -EINVAL, "%s: %s: %s", k->name,
				      row->field ? row->field : row->key, value);
		free(value);
	}
	return r;
}

int class_validate(const struct conf_class *k, struct json_object *entry, struct conf_err *err)
{
	char id[CLASS_ID_MAX];
	int r;

	for (size_t i = 0; k->needs[i]; i++)
		if (!class_field(entry, k->needs[i]))
			return conf_fail(err, -EINVAL, "%s: %s: not set", k->name, k->needs[i]);
	r = class_id(k, entry, id, err);
	if (!r && k->validate)
		r = k->validate(entry, err);
	return r || k->place != CLASS_DIRECTORY ? r : validate_rows(k, entry, err);
}

/* ---- in the record alone ---- */

int class_id_as_is(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	if (!*text || strlen(text) >= CLASS_ID_MAX)
		return conf_fail(err, -EINVAL, "\"%s\" identifies no device", text);
	snprintf(ret, CLASS_ID_MAX, "%s", text);
	return 0;
}

int dtdev_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	const char *path = class_field_text(entry, "path");

	if (!path)
		return conf_fail(err, -EINVAL, "dtdev: path: not set");
	return class_id_as_is(path, ret, err);
}

/* Reserved memory is told apart by where it begins. */
int rdm_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	(void)err;
	snprintf(ret, CLASS_ID_MAX, "0x%" PRIx64, (uint64_t)class_field_number(entry, "start", 0));
	return 0;
}
