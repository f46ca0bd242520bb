/* SPDX-License-Identifier: MIT */
/*
 * Devices that are entries of a directory which others share: pci's and a USB controller's.
 *
 * Invariant: the directory is written only as it was when it was read: each key that is to be
 * replaced is expected, within the transaction, to be what it was. Else it is read again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/change.h"

/* What the directory had at a path; *ret_in: whether the path is in one that was read. */
static const char *value_was(const struct conf_dev *dev, const char *path, bool *ret_in)
{
	size_t back = dev->backend ? strlen(dev->backend) : 0, libxl = strlen(dev->path);

	*ret_in = true;
	if (back && strncmp(path, dev->backend, back) == 0 && path[back] == '/')
		return conf_values_get(&dev->back, path + back + 1);
	if (strncmp(path, dev->path, libxl) == 0 && path[libxl] == '/')
		return conf_values_get(&dev->libxl, path + libxl + 1);
	*ret_in = false;
	return NULL;
}

static int expect(struct keys *keys, const struct conf_dev *dev, const char *path,
		  struct conf_err *err)
{
	bool in;
	const char *was = value_was(dev, path, &in);

	return in ? keys_add(keys, KEYS_EXPECT, path, was, 0, 0, err) : 0;
}

/* The steps for the directory as it is in dev (NULL: it is not there). */
static int entry_steps(struct drover_config *c, const struct conf_class *k,
		       struct json_object *entry, const struct class_where *where,
		       const struct conf_dev *dev, bool add, struct keys *keys)
{
	struct class_nodes nodes = { .n = 0 };
	char *remove = NULL;
	size_t remove_len = 0;
	int r = class_entry_nodes(k, entry, where, dev, add, &c->err, &nodes, &remove, &remove_len);

	if (!r && dev && dev->backend && strcmp(dev->kind, "pci") == 0) {
		char path[XENSTORE_ABS_PATH_MAX + 1];

		snprintf(path, sizeof(path), "%s/num_devs", dev->backend);
		r = expect(keys, dev, path, &c->err);
	}
	for (size_t i = 0; dev && i < nodes.n && !r; i++)
		r = expect(keys, dev, nodes.v[i].path, &c->err);
	for (size_t at = 0; dev && at < remove_len && !r; at += strlen(remove + at) + 1)
		r = expect(keys, dev, remove + at, &c->err);
	for (size_t at = 0; at < remove_len && !r; at += strlen(remove + at) + 1)
		r = keys_add(keys, KEYS_REMOVE, remove + at, NULL, 0, 0, &c->err);
	if (!r)
		r = keys_add_nodes(keys, &nodes, &c->err);
	class_nodes_fini(&nodes);
	free(remove);
	return r;
}

/* Whether the directory has entries besides this one. */
struct others {
	const char *id;
	size_t n;
	bool found;
};

static int count_other(void *data, const char *id, unsigned int index)
{
	struct others *o = data;

	(void)index;
	if (strcmp(id, o->id) == 0)
		o->found = true;
	else
		o->n++;
	return 0;
}

/* The last entry of a directory that is there for its entries alone goes with the directory. */
static int entry_is_last(const struct conf_class *k, struct json_object *entry,
			 const struct conf_dev *dev, bool *ret_found, bool *ret_last,
			 struct conf_err *err)
{
	char id[CLASS_ID_MAX];
	struct others o = { .id = id };
	int r = class_id(k, entry, id, err);

	if (!r)
		r = class_store_ids(k, dev, count_other, &o);
	*ret_found = o.found;
	*ret_last = o.found && !o.n && strcmp(class_kind(k), "pci") == 0;
	return r;
}

static int try_entry_keys(struct drover_config *c, const struct conf_domain *d,
			  const struct conf_snapshot *store, const struct conf_class *k,
			  struct json_object *entry, bool add)
{
	__attribute__((cleanup(keys_fini))) struct keys keys = { .n = 0 };
	__attribute__((cleanup(change_place_fini))) struct change_place p = { .type = NULL };
	const struct conf_dev *dev;
	bool found = false, last = false;
	uint32_t devid;
	int r = class_devid(k, entry, &devid, &c->err);

	if (r)
		return r;
	dev = conf_snapshot_find(store, class_kind(k), devid);
	if (!dev && !add)
		return 0;
	r = dev ? change_place_of_dev(c, d, dev, &p) : change_place_find(c, d, k, entry, &p);
	if (!r && !add)
		r = entry_is_last(k, entry, dev, &found, &last, &c->err);
	if (r || (!add && !found))
		return r;
	r = entry_steps(c, k, entry, &p.where, dev, add, &keys);
	if (!r && last && p.back)
		r = keys_add(&keys, KEYS_CLEAN, p.back, NULL, 0, 0, &c->err);
	if (!r && last)
		r = keys_add(&keys, KEYS_CLEAN, p.front, NULL, 0, 0, &c->err);
	return r ? r : keys_commit(c, d, &keys);
}

int change_entry_keys(struct drover_config *c, const struct conf_domain *d,
		      const struct conf_class *k, struct json_object *entry, bool add)
{
	int r = try_entry_keys(c, d, d->store, k, entry, add);

	for (int i = 0; r == -EAGAIN && i < CHANGE_TRIES; i++) {
		struct conf_snapshot *anew = NULL;

		r = conf_snapshot_read(c->client, d->domid, &c->err, &anew);
		if (!r)
			r = try_entry_keys(c, d, anew, k, entry, add);
		conf_snapshot_free(anew);
	}
	return r;
}

struct place_of {
	const char *id;
	int index;
};

static int note_index(void *data, const char *id, unsigned int index)
{
	struct place_of *p = data;

	if (strcmp(id, p->id) == 0)
		p->index = (int)index;
	return 0;
}

int change_entry_ask(struct drover_config *c, const struct conf_domain *d,
		     const struct conf_class *k, const struct conf_dev *dev, const char *id)
{
	__attribute__((cleanup(keys_fini))) struct keys keys = { .n = 0 };
	struct place_of at = { .id = id, .index = -1 };
	char path[XENSTORE_ABS_PATH_MAX + 1];
	int r = class_store_ids(k, dev, note_index, &at);

	if (r || at.index < 0 || !dev->has_backend)
		return r;
	snprintf(path, sizeof(path), "%s/dev-%d", dev->backend, at.index);
	r = expect(&keys, dev, path, &c->err);
	snprintf(path, sizeof(path), "%s/state-%d", dev->backend, at.index);
	if (!r)
		r = keys_add(&keys, KEYS_WRITE, path, "5", CLASS_DEVID_NONE, 0, &c->err);
	snprintf(path, sizeof(path), "%s/state", dev->backend);
	if (!r)
		r = keys_add(&keys, KEYS_WRITE, path, "7", CLASS_DEVID_NONE, 0, &c->err);
	return r ? r : keys_commit(c, d, &keys);
}
