/* SPDX-License-Identifier: MIT */
/*
 * Changing fields of an attached device: a medium put into a drive, mostly.
 *
 * Invariant: the store changes in one transaction, so that it has the values before or those
 * after, which tells whoever finds the intent of one who died what the record is to say. Nobody
 * is waited for: both locks are held from the first to the last step.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/change.h"
#include "config/json.h"
#include "config/repair.h"

struct update {
	struct drover_config *c; /* borrowed */
	const struct conf_class *k;
	struct json_object *entry; /* owned: as it is to be */
	char id[CLASS_ID_MAX];
	struct conf_domain d;
	struct conf_judgement all;
	const struct conf_judged *j; /* borrowed from all */
};

static int judge(struct update *u)
{
	int r = conf_judge(&u->d, &u->c->err, &u->all);

	u->j = r ? NULL : change_find(&u->all, u->k, u->id);
	return r;
}

/* What somebody dead left half done comes first. */
static int settle(struct update *u)
{
	int r;

	if (!u->j || !u->j->intent || intent_owner_alive(u->j->intent))
		return 0;
	r = repair_at_once(u->c, &u->d, u->j);
	conf_judgement_fini(&u->all);
	u->j = NULL;
	if (!r)
		r = conf_domain_reload(u->c, &u->d, true);
	return r ? r : judge(u);
}

static int may_update(struct update *u)
{
	struct conf_err *err = &u->c->err;
	const char *name = class_name(u->k);

	if (!u->j)
		return conf_fail(err, -ENOENT, "domain %" PRIu32 " has no %s %s", u->d.domid, name,
				 u->id);
	if (u->j->intent)
		return conf_fail(err, -EBUSY,
				 "%s %s of domain %" PRIu32 ": process %ld has begun to %s it",
				 name, u->id, u->d.domid, (long)u->j->intent->pid,
				 intent_op_name(u->j->intent->op));
	switch (u->j->verdict) {
	case DROVER_ATTACHED:
	case DROVER_EJECTED:
	case DROVER_CHANGED:
		return 0;
	case DROVER_RECORD_ONLY:
		return conf_fail(err, -EOPNOTSUPP,
				 "%s %s: cannot be changed while its domain lives", name, u->id);
	default:
		return conf_fail(
			err, -ENOENT, "%s %s of domain %" PRIu32 " is not attached: %s (%s)", name,
			u->id, u->d.domid, drover_verdict_name(u->j->verdict), u->j->reason);
	}
}

/* What the nodes had must be what was judged. */
static int expect_old(struct update *u, const struct class_nodes *nodes, struct keys *keys)
{
	const struct conf_dev *dev = u->j->dev;
	int r = 0;

	for (size_t i = 0; i < nodes->n && !r; i++) {
		const struct class_node *n = &nodes->v[i];
		const char *dir = n->side == CLASS_LIBXL ? dev->path : dev->backend;
		size_t len = dir ? strlen(dir) : 0;

		if (n->side == CLASS_FRONTEND || !dir || strncmp(n->path, dir, len) != 0 ||
		    n->path[len] != '/')
			continue;
		r = keys_add(keys, KEYS_EXPECT, n->path,
			     conf_values_get(n->side == CLASS_LIBXL ? &dev->libxl : &dev->back,
					     n->path + len + 1),
			     0, 0, &u->c->err);
	}
	return r ? r : keys_add_nodes(keys, nodes, &u->c->err);
}

static int make_keys(struct update *u, struct keys *keys)
{
	struct change_place p = { .type = NULL };
	struct class_nodes nodes = { .n = 0 };
	CLEANUP_JSON struct json_object *old = NULL, *entry = NULL;
	struct conf_err *err = &u->c->err;
	int r = change_place_of_dev(u->c, &u->d, u->j->dev, &p);

	if (!r)
		r = change_entry_settle(u->k, u->j->dev, u->id, u->j->live, err, &old);
	if (!r)
		r = change_entry_settle(u->k, u->j->dev, u->id, u->entry, err, &entry);
	if (!r)
		r = class_update_nodes(u->k, old, entry, &p.where, err, &nodes);
	if (!r)
		r = expect_old(u, &nodes, keys);
	class_nodes_fini(&nodes);
	change_place_fini(&p);
	return r;
}

/* Back to the entry that was; what cannot be undone is left to repair. */
static int undo(struct update *u, struct json_object *old, bool record, int code)
{
	struct drover_config *c = u->c;
	struct conf_err why = c->err;
	/* Whether the store has the new values is not known then, and the intent stays to tell. */
	int r = conf_client_is_dead(c->client) ? -ECONNRESET : 0;

	if (record && !r)
		r = change_entry_put(u->d.config, u->k, u->id, old, &c->err);
	if (record && !r)
		r = conf_domain_store_record(c, &u->d);
	if (!r)
		r = intents_drop(c->userdata, u->d.domid, u->d.uuid, class_name(u->k), u->id,
				 &c->err);
	if (r)
		change_give_up(c, &u->d, u->k, u->id);
	c->err = why;
	return code;
}

static int write_all(struct update *u, const struct keys *keys)
{
	struct drover_config *c = u->c;
	struct json_object *old = json_object_get(u->j->entry ? u->j->entry : u->j->live);
	bool record = false;
	int r = intents_add(c->userdata, u->d.domid, u->d.uuid, INTENT_UPDATE, class_name(u->k),
			    u->id, old, u->entry, &c->err);

	if (r) {
		json_object_put(old);
		return r;
	}
	r = change_entry_put(u->d.config, u->k, u->id, u->entry, &c->err);
	record = !r; /* also where storing it fails: perhaps it was, and not for good */
	if (!r)
		r = conf_domain_store_record(c, &u->d);
	if (!r)
		r = keys_commit(c, &u->d, keys);
	if (r)
		r = undo(u, old, record, r);
	else
		r = intents_drop(c->userdata, u->d.domid, u->d.uuid, class_name(u->k), u->id,
				 &c->err);
	json_object_put(old);
	return r;
}

static int update(struct update *u, uint32_t domid)
{
	__attribute__((cleanup(keys_fini))) struct keys keys = { .n = 0 };
	int r = conf_domain_load(u->c, domid, true, 0, &u->d);

	if (!r)
		r = judge(u);
	if (!r)
		r = settle(u);
	if (!r)
		r = may_update(u);
	if (!r)
		r = make_keys(u, &keys);
	if (r)
		return r;
	if (!keys.n && u->j->entry && conf_json_equal(u->j->entry, u->entry))
		return 0;
	return write_all(u, &keys);
}

int drover_config_update(struct drover_config *c, uint32_t domid, struct drover_device *device,
			 unsigned int flags)
{
	struct update u = { .c = c, .k = device->k };
	int r = conf_session_begin(c);

	(void)flags;
	if (r)
		return r;
	u.d = (struct conf_domain){ .devices = USERDATA_LOCK_INIT, .record = USERDATA_LOCK_INIT };
	u.entry = conf_json_copy(device->entry);
	if (!u.entry)
		return conf_no_memory(&c->err);
	r = class_validate(u.k, u.entry, &c->err);
	if (!r)
		r = class_id(u.k, u.entry, u.id, &c->err);
	if (!r)
		r = update(&u, domid);
	conf_judgement_fini(&u.all);
	conf_domain_fini(&u.d);
	json_object_put(u.entry);
	if (!r)
		c->err.text[0] = '\0';
	return r;
}
