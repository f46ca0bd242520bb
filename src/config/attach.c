/* SPDX-License-Identifier: MIT */
/*
 * Attaching a device to a living domain.
 *
 * Invariant: from the intent on, whatever fails is undone in reverse before the error is told;
 * what cannot be undone keeps its intent, given up, so that repair undoes it. The locks are held
 * while files and store are written, and never while a backend or a script is awaited.
 *
 *   locked    intent - record with the entry - keys
 *   unlocked  backend in state 2 - script
 *   locked    still there? - intent dropped
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/own.h"
#include "config/change.h"
#include "config/json.h"
#include "config/repair.h"

struct attach {
	struct drover_config *c; /* borrowed */
	const struct conf_class *k;
	struct json_object *entry; /* owned: as it is to be */
	char id[CLASS_ID_MAX];
	struct conf_domain d;
	struct change_place place;
	struct conf_values back;    /* what the backend's directory is given */
	struct json_object *config; /* owned: the record before */
	char *text;		    /* owned: its file */
	size_t text_len;
	/* what was done, to be undone */
	bool assigned, intent, record, keys, scripted;
	bool doubt; /* whether the keys were written: then all that was done stays */
};

static void attach_fini(struct attach *a)
{
	conf_domain_fini(&a->d);
	change_place_fini(&a->place);
	conf_values_fini(&a->back);
	json_object_put(a->entry);
	json_object_put(a->config);
	free(a->text);
}

/* ---- before anything is written ---- */

static int refuse_there(struct attach *a, const struct conf_judged *j)
{
	if (j->intent && intent_owner_alive(j->intent))
		return conf_fail(&a->c->err, -EEXIST,
				 "%s %s of domain %" PRIu32 ": process %ld has begun to %s it",
				 class_name(a->k), a->id, a->d.domid, (long)j->intent->pid,
				 intent_op_name(j->intent->op));
	return conf_fail(&a->c->err, -EEXIST, "%s %s of domain %" PRIu32 " is there: %s (%s)%s",
			 class_name(a->k), a->id, a->d.domid, drover_verdict_name(j->verdict),
			 j->reason,
			 drover_verdict_is_fault(j->verdict) ? "; repair settles that" : "");
}

/*
 * Nothing of this device may be there, but for an entry that only the record still has: libxl's
 * own detaching leaves it so, and it is replaced. *ret_settled: what somebody dead left half done
 * was brought to an end, which may be that the device is there.
 */
static int make_room(struct attach *a, bool *ret_settled)
{
	struct conf_judgement j = { .n = 0 };
	const struct conf_judged *found;
	int r = conf_judge(&a->d, &a->c->err, &j);

	*ret_settled = false;
	if (r)
		return r;
	found = change_find(&j, a->k, a->id);
	if (found && found->intent && !intent_owner_alive(found->intent) &&
	    found->verdict != DROVER_ATTACHED) {
		r = repair_at_once(a->c, &a->d, found);
		*ret_settled = !r;
	} else if (found && found->verdict != DROVER_MISSING) {
		r = refuse_there(a, found);
	}
	conf_judgement_fini(&j);
	return r;
}

/* The same until there is nothing more to settle. */
static int make_all_room(struct attach *a)
{
	bool settled;
	int r = make_room(a, &settled);

	if (r || !settled)
		return r;
	r = conf_domain_reload(a->c, &a->d, false);
	if (!r)
		r = make_room(a, &settled);
	return !r && settled ? conf_fail(&a->c->err, -EAGAIN,
					 "%s %s of domain %" PRIu32 ": others are at it",
					 class_name(a->k), a->id, a->d.domid)
			     : r;
}

/* What is left out filled in; then what the device is called, and where it is to be. */
static int identify(struct attach *a)
{
	struct conf_err *err = &a->c->err;
	uint64_t rnd;
	int r;

	if (getrandom(&rnd, sizeof(rnd), 0) != (ssize_t)sizeof(rnd))
		return conf_fail(err, -EIO, "getrandom: %s", strerror(errno));
	r = class_complete(a->k, a->entry, a->d.config, a->d.store, rnd, err);
	if (!r)
		r = class_validate(a->k, a->entry, err);
	if (!r)
		r = class_id(a->k, a->entry, a->id, err);
	if (!r)
		r = change_place_find(a->c, &a->d, a->k, a->entry, &a->place);
	return r;
}

/* ---- what is written ---- */

static int note_back(struct attach *a, const struct class_nodes *nodes)
{
	size_t len = a->place.back ? strlen(a->place.back) : 0;

	for (size_t i = 0; i < nodes->n; i++) {
		const struct class_node *n = &nodes->v[i];

		if (n->side != CLASS_BACKEND || strncmp(n->path, a->place.back, len) != 0 ||
		    n->path[len] != '/')
			continue;
		if (conf_values_put(&a->back, n->path + len + 1, n->value, strlen(n->value)))
			return conf_no_memory(&a->c->err);
	}
	conf_values_sort(&a->back);
	return 0;
}

/*
 * A backend's directory that libxl's does not know may be somebody else's device, which stays; or
 * what a driver wrote too late, or left, which goes, as libxl would have it.
 */
static int clear_back(struct attach *a, struct keys *keys)
{
	static const char *const names[] = { "frontend", "state" };
	char path[2][XENSTORE_ABS_PATH_MAX + 1], *value[2] = { NULL, NULL };
	struct conf_err *err = &a->c->err;
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(names) && !r; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%s", a->place.back, names[i]);
		r = conf_client_read(a->c->client, 0, path[i], err, &value[i], NULL);
		if (r == -ENOENT)
			r = 0;
	}
	if (!r && value[0] && value[1] && strcmp(value[1], "6") != 0) {
		r = conf_fail(err, -EEXIST, "%s %s of domain %" PRIu32 ": %s is another's device",
			      class_name(a->k), a->id, a->d.domid, a->place.back);
	} else if (!r) {
		for (size_t i = 0; i < ARRAY_LEN(names) && !r; i++)
			r = keys_add(keys, KEYS_EXPECT, path[i], value[i], 0, 0, err);
		if (!r)
			r = keys_add(keys, KEYS_REMOVE, a->place.back, NULL, 0, 0, err);
	}
	free(value[0]);
	free(value[1]);
	return r;
}

/* The steps that write a device with directories of its own. */
static int directory_keys(struct attach *a, struct keys *keys)
{
	struct class_nodes nodes = { .n = 0 };
	int r = class_nodes(a->k, a->entry, &a->place.where, &a->c->err, &nodes);

	if (!r && a->place.back)
		r = note_back(a, &nodes);
	if (!r && a->place.libxl)
		r = keys_add(keys, KEYS_ABSENT, a->place.libxl, NULL, 0, 0, &a->c->err);
	if (!r && a->place.back)
		r = clear_back(a, keys);
	/* what a guest, or an earlier device, left in the frontend is of no meaning */
	if (!r && a->place.front)
		r = keys_add(keys, KEYS_REMOVE, a->place.front, NULL, 0, 0, &a->c->err);
	if (!r)
		r = keys_add_nodes(keys, &nodes, &a->c->err);
	class_nodes_fini(&nodes);
	return r;
}

/* Its keys would tell nobody: who emulates it has to be asked, which is libxl's to do. */
static bool is_of_device_model(const struct attach *a)
{
	const struct conf_dev *dev;

	if (class_place(a->k) == CLASS_DIRECTORY)
		return !a->place.back;
	dev = change_place_dev(a->d.store, a->k, &a->place);
	return dev && !dev->backend;
}

/* Before the intent: what will be written is known, what was, too, and the script is there. */
static int prepare(struct attach *a, struct keys *keys)
{
	int r = userdata_read(a->c->userdata, a->d.domid, a->d.uuid, USERDATA_RECORD, &a->c->err,
			      &a->text, &a->text_len);

	if (r)
		return r;
	if (is_of_device_model(a))
		return conf_fail(&a->c->err, -EOPNOTSUPP,
				 "%s %s of domain %" PRIu32
				 ": the device model has it, and has to be asked",
				 class_name(a->k), a->id, a->d.domid);
	a->config = conf_json_copy(a->d.config);
	if (!a->config)
		return conf_no_memory(&a->c->err);
	if (class_place(a->k) == CLASS_ENTRY)
		return 0;
	r = directory_keys(a, keys);
	if (!r)
		r = change_script(a->c, a->k, &a->place, &a->back, true, true);
	return r;
}

static int write_keys(struct attach *a, const struct keys *keys)
{
	int r;

	if (class_place(a->k) == CLASS_ENTRY)
		return change_entry_keys(a->c, &a->d, a->k, a->entry, true);
	r = keys_commit(a->c, &a->d, keys);
	if (r == -EEXIST)
		r = conf_fail_in(&a->c->err, r, "%s %s of domain %" PRIu32, class_name(a->k), a->id,
				 a->d.domid);
	return r;
}

static int write_all(struct attach *a, const struct keys *keys)
{
	struct drover_config *c = a->c;
	int r = intents_add(c->userdata, a->d.domid, a->d.uuid, INTENT_ADD, class_name(a->k), a->id,
			    NULL, a->entry, &c->err);

	if (r)
		return r;
	a->intent = true;
	if (c->host.pci_assign && strcmp(class_name(a->k), "pci") == 0) {
		r = c->host.pci_assign(c->host.data, a->d.domid, a->id, true);
		if (r)
			return conf_fail(&c->err, r, "pci %s: not given to domain %" PRIu32 ": %s",
					 a->id, a->d.domid, strerror(-r));
		a->assigned = true;
	}
	r = change_entry_put(a->d.config, a->k, a->id, a->entry, &c->err);
	if (r)
		return r;
	a->record = true; /* also where that fails: perhaps it was written, and not for good */
	r = conf_domain_store_record(c, &a->d);
	if (r)
		return r;
	r = write_keys(a, keys);
	a->doubt = r && conf_client_is_dead(c->client);
	/* a refusal means that they are not ours: what is there is not for us to undo */
	a->keys = !r;
	return r;
}

/* ---- until it works ---- */

static int await_backend(struct attach *a)
{
	struct awaited w = {
		.what = AWAIT_CONNECT,
		.back = a->place.back,
		.backend_domid = a->place.where.backend_domid,
	};
	int r;

	/* a usbdev is a line in its controller, which is connected or not */
	if (!a->place.back || strcmp(class_name(a->k), "usbdev") == 0)
		return 0;
	r = change_await(a->c, a->d.domid, a->d.uuid, &w, 1,
			 conf_now_ms() + a->c->opt.backend_timeout_ms);
	if (r || !w.result)
		return r;
	a->c->err = w.err;
	return conf_fail_in(&a->c->err, w.result, "%s %s of domain %" PRIu32, class_name(a->k),
			    a->id, a->d.domid);
}

static int run_script(struct attach *a)
{
	int r = change_script(a->c, a->k, &a->place, &a->back, true, false);

	a->scripted = !r;
	return r ? conf_fail_in(&a->c->err, r, "%s %s of domain %" PRIu32, class_name(a->k), a->id,
				a->d.domid)
		 : 0;
}

static int finish(struct attach *a)
{
	int r = conf_domain_reload(a->c, &a->d, false);

	if (r)
		return r;
	if (!change_place_dev(a->d.store, a->k, &a->place))
		return conf_fail(&a->c->err, -ENOENT,
				 "%s %s of domain %" PRIu32
				 ": taken away by somebody else meanwhile",
				 class_name(a->k), a->id, a->d.domid);
	return intents_drop(a->c->userdata, a->d.domid, a->d.uuid, class_name(a->k), a->id,
			    &a->c->err);
}

/* ---- undoing ---- */

static int undo_keys(struct attach *a)
{
	if (class_place(a->k) == CLASS_ENTRY)
		return change_entry_keys(a->c, &a->d, a->k, a->entry, false);
	return keys_remove_place(a->c, &a->d, &a->place, false);
}

/*
 * The record without the entry, or with that which was there before: the file that it was, if
 * nobody changed anything else in it.
 */
static int undo_record(struct attach *a)
{
	struct drover_config *c = a->c;
	struct json_object *was = change_entry(a->config, a->k, a->id, NULL);
	int r;

	if (was) {
		r = change_entry_put(a->d.config, a->k, a->id, was, &c->err);
		if (r)
			return r;
	} else if (!change_entry_del(a->d.config, a->k, a->id)) {
		return 0;
	}
	if (!conf_json_equal(a->d.config, a->config))
		return conf_domain_store_record(c, &a->d);
	return userdata_write(c->userdata, a->d.domid, a->d.uuid, USERDATA_RECORD, a->text,
			      a->text_len, false, &c->err);
}

static int undo_locked(struct attach *a)
{
	struct drover_config *c = a->c;
	int r = 0;

	if (a->doubt)
		r = conf_fail(&c->err, -ECONNRESET, "whether the store has it is not known");
	if (!r && a->keys)
		r = undo_keys(a);
	if (!r && a->record)
		r = undo_record(a);
	if (!r && a->intent)
		r = intents_drop(c->userdata, a->d.domid, a->d.uuid, class_name(a->k), a->id,
				 &c->err);
	if (r)
		change_give_up(c, &a->d, a->k, a->id);
	return r;
}

/* Returns code, and leaves the line that told of it. */
static int undo(struct attach *a, int code)
{
	struct drover_config *c = a->c;
	struct conf_err why = c->err;
	int r = 0;

	if (a->scripted)
		change_script(c, a->k, &a->place, &a->back, false, false);
	if (a->d.record.fd < 0)
		r = conf_domain_reload(c, &a->d, false);
	if (r == -ENOENT || r == -ESTALE)
		r = change_gone(c, &a->d, a->k, a->id, &a->place, a->keys);
	else if (!r)
		r = undo_locked(a);
	else
		change_give_up(c, &a->d, a->k, a->id);
	conf_domain_unlock(&a->d);
	if (a->assigned)
		c->host.pci_assign(c->host.data, a->d.domid, a->id, false);
	if (!r) {
		c->err = why;
		return code;
	}
	return conf_fail(&c->err, code, "%.500s; undoing it failed, repair does it: %.400s",
			 why.text, ((struct conf_err)c->err).text);
}

/* ---- all of it ---- */

/* A reconfiguration of the whole directory that is under way is waited for first. */
static int await_others(struct attach *a)
{
	const struct conf_dev *dev = conf_snapshot_find(a->d.store, "pci", a->place.devid);
	const char *state = dev ? conf_values_get(&dev->back, "state") : NULL;
	int r;

	if (strcmp(class_name(a->k), "pci") != 0 || !state || strcmp(state, "7") != 0)
		return 0;
	conf_domain_unlock(&a->d);
	r = await_backend(a);
	return r ? r : conf_domain_reload(a->c, &a->d, false);
}

static int attach(struct attach *a, uint32_t domid)
{
	__attribute__((cleanup(keys_fini))) struct keys keys = { .n = 0 };
	int r = conf_domain_load(a->c, domid, false, 0, &a->d);

	if (r)
		return r;
	r = identify(a);
	if (!r)
		r = await_others(a);
	if (!r)
		r = make_all_room(a);
	if (!r)
		r = prepare(a, &keys);
	if (r)
		return r;
	r = write_all(a, &keys);
	if (!r) {
		conf_domain_unlock(&a->d);
		r = await_backend(a);
	}
	if (!r)
		r = run_script(a);
	if (!r)
		r = finish(a);
	return r && a->intent ? undo(a, r) : r;
}

int drover_config_attach(struct drover_config *c, uint32_t domid, struct drover_device *device,
			 unsigned int flags)
{
	struct attach a = { .c = c, .k = device->k };
	int r = conf_session_begin(c);

	(void)flags;
	if (r)
		return r;
	if (class_place(a.k) == CLASS_RECORD_ONLY)
		return conf_fail(&c->err, -EOPNOTSUPP,
				 "%s: can be given to a domain only when it is created",
				 class_name(a.k));
	r = change_check_host(c, a.k);
	if (r)
		return r;
	a.d = (struct conf_domain){ .devices = USERDATA_LOCK_INIT, .record = USERDATA_LOCK_INIT };
	a.entry = conf_json_copy(device->entry);
	if (!a.entry)
		return conf_no_memory(&c->err);
	r = attach(&a, domid);
	if (!r) {
		json_object_put(device->entry);
		device->entry = TAKE(a.entry);
		memcpy(device->id, a.id, sizeof(device->id));
		c->err.text[0] = '\0'; /* of what was looked for and need not be there */
	}
	attach_fini(&a);
	return r;
}
