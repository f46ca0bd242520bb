/* SPDX-License-Identifier: MIT */
/*
 * The directory of a domain's PCI devices, put in order: entries that still say which device they
 * are stay, one behind the other; what is left of others goes.
 *
 * Invariant: the directory is rewritten in one transaction, in which each key that is touched is
 * as it was judged; an entry that was whole says afterwards what it said before.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/repair.h"

/* Entries that are looked at. */
#define REPAIR_PCI_MAX 256

static const char *const names[] = { "key", "dev", "vdevfn", "vdev", "name", "opts", "state" };

/* The number of a key of an entry, "dev-3", or -1; *ret_name: its name's place in names. */
static int entry_of(const char *key, size_t *ret_name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t len = strlen(names[i]);
		unsigned long n;
		char *end;

		if (strncmp(key, names[i], len) != 0 || key[len] != '-' || key[len + 1] < '0' ||
		    key[len + 1] > '9')
			continue;
		n = strtoul(key + len + 1, &end, 10);
		*ret_name = i;
		return *end || n >= REPAIR_PCI_MAX ? -1 : (int)n;
	}
	return -1;
}

static const char *value_of(const struct conf_dev *dev, const char *name, int i)
{
	char key[32];

	snprintf(key, sizeof(key), "%s-%d", name, i);
	return conf_values_get(&dev->back, key);
}

/* Which device an entry is, by either of the two keys that say it. */
static bool entry_id(const struct conf_class *k, const struct conf_dev *dev, int i,
		     char ret[CLASS_ID_MAX])
{
	const char *address = value_of(dev, "dev", i), *key = value_of(dev, "key", i);

	return (address && !class_id_of_text(k, address, ret, NULL)) ||
	       (key && !class_id_of_text(k, key, ret, NULL));
}

/* What the directory is to have; kept: the devices in it, by their old numbers. */
struct order {
	const struct conf_class *k;
	const struct conf_dev *dev;
	struct conf_values to;
	char (*ids)[CLASS_ID_MAX]; /* owned */
	int n;
};

static int put(struct order *o, const char *name, int i, const char *value)
{
	char key[32];

	snprintf(key, sizeof(key), "%s-%d", name, i);
	return conf_values_put(&o->to, key, value, strlen(value));
}

static bool has_id(const struct order *o, const char *id)
{
	for (int i = 0; i < o->n; i++)
		if (strcmp(o->ids[i], id) == 0)
			return true;
	return false;
}

/* Entry `from` as the next one. The backend alone knows the state of it, or nobody. */
static int keep_entry(struct order *o, int from, const char *id)
{
	const char *whole = conf_values_get(&o->dev->back, "state");
	int r = put(o, "key", o->n, id);

	if (!r)
		r = put(o, "dev", o->n, id);
	for (size_t i = 2; i < ARRAY_LEN(names) && !r; i++) {
		const char *value = value_of(o->dev, names[i], from);

		if (!value && strcmp(names[i], "state") == 0)
			value = whole && strcmp(whole, "1") == 0 ? "1" : "3";
		if (value)
			r = put(o, names[i], o->n, value);
	}
	snprintf(o->ids[o->n++], CLASS_ID_MAX, "%s", id);
	return r;
}

static int keep_entries(struct order *o)
{
	char id[CLASS_ID_MAX], count[16];
	int r = 0;

	o->ids = calloc(REPAIR_PCI_MAX, sizeof(*o->ids));
	if (!o->ids)
		return -ENOMEM;
	for (int i = 0; i < REPAIR_PCI_MAX && !r; i++)
		if (entry_id(o->k, o->dev, i, id) && !has_id(o, id))
			r = keep_entry(o, i, id);
	snprintf(count, sizeof(count), "%d", o->n);
	return r ? r : conf_values_put(&o->to, "num_devs", count, strlen(count));
}

/* What is not of an entry, and what can be told of it if it is missing. */
static int keep_rest(struct order *o, const struct conf_domain *d, const char *front)
{
	const struct conf_values *back = &o->dev->back;
	char domid[16];
	size_t name;
	int r = 0;

	for (size_t i = 0; i < back->n && !r; i++) {
		const struct conf_value *v = &back->v[i];

		if (entry_of(v->key, &name) < 0 && strcmp(v->key, "num_devs") != 0)
			r = conf_values_put(&o->to, v->key, v->value, v->len);
	}
	snprintf(domid, sizeof(domid), "%" PRIu32, d->domid);
	if (!r && !conf_values_get(back, "frontend"))
		r = conf_values_put(&o->to, "frontend", front, strlen(front));
	if (!r && !conf_values_get(back, "frontend-id"))
		r = conf_values_put(&o->to, "frontend-id", domid, strlen(domid));
	if (!r && !conf_values_get(back, "online"))
		r = conf_values_put(&o->to, "online", "1", 1);
	return r;
}

static int write_order(struct drover_config *c, const struct order *o, const struct conf_domain *d,
		       struct keys *ret)
{
	const struct conf_values *was = &o->dev->back;
	char path[XENSTORE_ABS_PATH_MAX + 1];
	int r = 0;

	for (size_t i = 0; i < was->n && !r; i++) {
		const char *to = conf_values_get(&o->to, was->v[i].key);

		if (to && strlen(to) == was->v[i].len && !strcmp(to, was->v[i].value))
			continue;
		snprintf(path, sizeof(path), "%s/%s", o->dev->backend, was->v[i].key);
		if (!to)
			r = keys_add(ret, KEYS_REMOVE, path, NULL, 0, 0, &c->err);
	}
	for (size_t i = 0; i < o->to.n && !r; i++) {
		const struct conf_value *v = &o->to.v[i];
		const char *is = conf_values_get(was, v->key);

		if (is && strcmp(is, v->value) == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", o->dev->backend, v->key);
		r = keys_add(ret, KEYS_EXPECT, path, is, 0, 0, &c->err);
		if (!r)
			r = keys_add(ret, KEYS_WRITE, path, v->value, o->dev->backend_domid,
				     d->domid, &c->err);
	}
	return r;
}

bool repair_pci_names(const struct conf_class *k, const struct conf_dev *dev, const char *id)
{
	char other[CLASS_ID_MAX];

	for (int i = 0; i < REPAIR_PCI_MAX; i++)
		if (entry_id(k, dev, i, other) && strcmp(other, id) == 0)
			return true;
	return false;
}

int repair_pci(struct drover_config *c, const struct conf_domain *d, const struct conf_judged *j,
	       struct keys *ret)
{
	struct order o = { .k = j->k, .dev = j->dev };
	struct change_place p = { .type = NULL };
	int r;

	/* how it stands only the backend can say */
	if (!j->dev->backend || !conf_values_get(&j->dev->back, "state"))
		return 0;
	r = change_place_of_dev(c, d, j->dev, &p);
	if (!r) {
		r = keep_entries(&o);
		if (!r)
			r = keep_rest(&o, d, p.front);
		if (r)
			r = conf_no_memory(&c->err);
	}
	conf_values_sort(&o.to);
	if (!r && o.n)
		r = write_order(c, &o, d, ret);
	conf_values_fini(&o.to);
	free(o.ids);
	change_place_fini(&p);
	return r;
}
