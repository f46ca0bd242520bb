/* SPDX-License-Identifier: MIT */
/*
 * Keys of a damaged device, restored from whoever still has them.
 *
 * Invariant: nothing is restored unless that makes the device whole: it is tried on a copy first.
 * What only the backend may say (its state) is never written, and one that was asked to go is not
 * asked to stay.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/repair.h"

static bool is_of_backend(const char *key)
{
	static const char *const keys[] = { "state", "hotplug-status", "hotplug-error" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

/* A copy of the values, with those of `more` that it has not (all: those that differ, too). */
static int values_with(const struct conf_values *from, const struct conf_values *more, bool all,
		       struct conf_values *ret)
{
	int r = 0;

	for (size_t i = 0; i < from->n && !r; i++) {
		const struct conf_value *v = &from->v[i];

		if (!all || !conf_values_get(more, v->key))
			r = conf_values_put(ret, v->key, v->value, v->len);
	}
	for (size_t i = 0; i < more->n && !r; i++) {
		const struct conf_value *v = &more->v[i];

		if (all || !conf_values_get(from, v->key))
			r = conf_values_put(ret, v->key, v->value, v->len);
	}
	conf_values_sort(ret);
	return r;
}

struct restoring {
	const struct conf_judged *j;
	struct class_nodes nodes;	/* as attaching it would write them */
	struct conf_values libxl, back; /* what of them is to be written */
};

static void restoring_fini(struct restoring *x)
{
	class_nodes_fini(&x->nodes);
	conf_values_fini(&x->libxl);
	conf_values_fini(&x->back);
}

/* The key of a node below a directory, or NULL: it is not below it. */
static const char *key_below(const char *dir, const char *path)
{
	size_t len = strlen(dir);

	return strncmp(dir, path, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

/* Values for one side: what is missing, from the other side or the record; or all that differ. */
static int choose(const struct restoring *x, enum class_side side, bool all,
		  struct conf_values *ret)
{
	const struct conf_dev *dev = x->j->dev;
	const struct conf_values *own = side == CLASS_LIBXL ? &dev->libxl : &dev->back;
	const struct conf_values *other = side == CLASS_LIBXL ? &dev->back : &dev->libxl;
	const char *dir = side == CLASS_LIBXL ? dev->path : dev->backend;
	int r = 0;

	for (size_t i = 0; dir && i < x->nodes.n && !r; i++) {
		const struct class_node *n = &x->nodes.v[i];
		const char *key = n->side == side ? key_below(dir, n->path) : NULL;
		const char *is = key ? conf_values_get(own, key) : NULL, *value = n->value;

		if (!key || (side == CLASS_BACKEND && is_of_backend(key)))
			continue;
		if (is && (!all || strcmp(is, n->value) == 0 || strcmp(key, "online") == 0))
			continue;
		if (!all && conf_values_get(other, key))
			value = conf_values_get(other, key);
		r = conf_values_put(ret, key, value, strlen(value));
	}
	conf_values_sort(ret);
	return r;
}

/* Whether the device would be whole with what was chosen. *ret_whole only on success. */
static int try_chosen(const struct restoring *x, bool all, bool *ret_whole)
{
	struct conf_dev sim = *x->j->dev;
	char wrong[160] = "";
	int r;

	sim.libxl = (struct conf_values){ .n = 0 };
	sim.back = (struct conf_values){ .n = 0 };
	r = values_with(&x->j->dev->libxl, &x->libxl, all, &sim.libxl);
	if (!r)
		r = values_with(&x->j->dev->back, &x->back, all, &sim.back);
	if (!r)
		class_check(x->j->k, &sim, x->j->id, wrong, sizeof(wrong));
	conf_values_fini(&sim.libxl);
	conf_values_fini(&sim.back);
	*ret_whole = !wrong[0];
	return r;
}

static int write_chosen(struct drover_config *c, const struct restoring *x, struct keys *ret)
{
	int r = 0;

	for (size_t i = 0; i < x->nodes.n && !r; i++) {
		const struct class_node *n = &x->nodes.v[i];
		const struct conf_values *of = n->side == CLASS_LIBXL ? &x->libxl : &x->back;
		const char *dir = n->side == CLASS_LIBXL ? x->j->dev->path : x->j->dev->backend;
		const char *key = n->side != CLASS_FRONTEND && dir ? key_below(dir, n->path) : NULL;
		const char *value = key ? conf_values_get(of, key) : NULL;

		if (value)
			r = keys_add(ret, KEYS_WRITE, n->path, value, n->owner, n->reader, &c->err);
	}
	return r;
}

static int restore(struct drover_config *c, struct restoring *x, struct keys *ret)
{
	bool whole = false;
	int r = 0;

	for (int all = 0; all < 2 && !r && !whole; all++) {
		conf_values_fini(&x->libxl);
		conf_values_fini(&x->back);
		r = choose(x, CLASS_LIBXL, all, &x->libxl);
		if (!r)
			r = choose(x, CLASS_BACKEND, all, &x->back);
		if (!r)
			r = try_chosen(x, all, &whole);
	}
	if (r)
		return conf_no_memory(&c->err);
	return whole ? write_chosen(c, x, ret) : 0;
}

int repair_restore(struct drover_config *c, const struct conf_domain *d,
		   const struct conf_judged *j, struct json_object *entry, struct keys *ret)
{
	struct change_place p = { .type = NULL };
	struct restoring x = { .j = j };
	struct conf_err was = c->err;
	const char *state = conf_values_get(&j->dev->back, "state");
	CLEANUP_JSON struct json_object *whole = NULL;
	int r;

	/* without a backend that says where it stands there is nothing to be made whole */
	if (class_place(j->k) != CLASS_DIRECTORY || (j->dev->backend && !j->dev->has_backend) ||
	    (j->dev->has_backend && !state))
		return 0;
	r = change_place_of_dev(c, d, j->dev, &p);
	if (!r)
		r = change_entry_settle(j->k, j->dev, j->id, entry, &c->err, &whole);
	/* what lies elsewhere than the device does is not taken from these */
	if (!r)
		r = class_nodes(j->k, whole, &p.where, &c->err, &x.nodes);
	if (!r)
		r = restore(c, &x, ret);
	else if (r != -ENOMEM)
		r = 0; /* the entry tells too little: then it is not restored */
	if (!r)
		c->err = was;
	restoring_fini(&x);
	change_place_fini(&p);
	return r;
}
