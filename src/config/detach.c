/* SPDX-License-Identifier: MIT */
/*
 * Taking a device away from a domain, from store and record.
 *
 * Invariant: from the intent on the device is on its way out, whoever dies: whatever cannot be
 * brought to its end here keeps the intent, given up, and repair ends it.
 *
 *   locked    intent - its backend is asked
 *   unlocked  backend in state 6, or gone - script
 *   locked    keys removed - record without the entry - intent dropped
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/change.h"
#include "config/json.h"
#include "config/repair.h"

struct detach {
	struct drover_config *c; /* borrowed */
	const struct conf_class *k;
	char id[CLASS_ID_MAX];
	bool force;
	struct conf_domain d;
	struct change_place place;
	struct conf_values back;   /* what the backend's directory had: for the script */
	struct json_object *entry; /* owned: the device as far as known; NULL */
	bool asked;
};

static void detach_fini(struct detach *x)
{
	conf_domain_fini(&x->d);
	change_place_fini(&x->place);
	conf_values_fini(&x->back);
	json_object_put(x->entry);
}

static int fail_in(struct detach *x, int code)
{
	return conf_fail_in(&x->c->err, code, "%s %s of domain %" PRIu32, class_name(x->k), x->id,
			    x->d.domid);
}

static int refuse(struct detach *x, int code, const char *why)
{
	return conf_fail(&x->c->err, code, "%s %s of domain %" PRIu32 ": %s", class_name(x->k),
			 x->id, x->d.domid, why);
}

/* ---- whether ---- */

static int may_detach(struct detach *x, const struct conf_judged *j)
{
	if (!j)
		return refuse(x, -ENOENT, "neither record nor store has it");
	if (j->intent && intent_owner_alive(j->intent))
		return conf_fail(&x->c->err, -EBUSY,
				 "%s %s of domain %" PRIu32 ": process %ld has begun to %s it",
				 class_name(x->k), x->id, x->d.domid, (long)j->intent->pid,
				 intent_op_name(j->intent->op));
	if (j->verdict == DROVER_RECORD_ONLY)
		return refuse(x, -EOPNOTSUPP, "cannot be taken from a living domain");
	if (j->verdict == DROVER_IMPLIED)
		return refuse(x, -EOPNOTSUPP, j->reason);
	/* no entry of the directory would be found to be its own, and so none removed */
	if (j->verdict == DROVER_DAMAGED && strcmp(class_name(x->k), "pci") == 0)
		return refuse(x, -EBADMSG, "its directory is damaged; repair settles that");
	if (j->dev && !j->dev->backend && !x->force)
		return refuse(x, -EOPNOTSUPP,
			      "is in the hands of the device model, which has to be asked");
	return 0;
}

/* Nothing of it works: who detaches it and who repairs it do the same. */
static bool is_settled_at_once(const struct conf_judged *j)
{
	if (!j->dev)
		return true;
	return j->intent && j->intent->op == INTENT_ADD && j->verdict == DROVER_HALF_ADDED;
}

static int copy_values(const struct conf_values *from, struct conf_values *to)
{
	int r = 0;

	for (size_t i = 0; i < from->n && !r; i++)
		r = conf_values_put(to, from->v[i].key, from->v[i].value, from->v[i].len);
	return r;
}

static int note(struct detach *x, const struct conf_judged *j)
{
	struct conf_err *err = &x->c->err;
	int r = change_place_of_dev(x->c, &x->d, j->dev, &x->place);

	if (!r && copy_values(&j->dev->back, &x->back))
		r = conf_no_memory(err);
	conf_values_sort(&x->back);
	if (r)
		return r;
	if (j->entry || j->live) {
		x->entry = json_object_get(j->entry ? j->entry : j->live);
		return 0;
	}
	/* what is known of it only serves to find its keys; without, the directories do */
	r = class_from_store(x->k, j->dev, x->id, NULL, &x->entry);
	return r == -ENOMEM ? conf_no_memory(err) : 0;
}

/* ---- asking ---- */

static int begin(struct detach *x, const struct conf_judged *j)
{
	struct drover_config *c = x->c;
	int r = 0;

	if (j->intent)
		r = intents_drop(c->userdata, x->d.domid, x->d.uuid, class_name(x->k), x->id,
				 &c->err);
	if (!r)
		r = intents_add(c->userdata, x->d.domid, x->d.uuid, INTENT_REMOVE, class_name(x->k),
				x->id, x->entry, NULL, &c->err);
	return r;
}

static int ask(struct detach *x, const struct conf_judged *j)
{
	int r;

	if (x->force || !j->dev->has_backend || !j->dev->backend_domain)
		return 0;
	if (class_place(x->k) == CLASS_DIRECTORY)
		r = change_ask_to_go(x->c, &x->d, x->place.back);
	else if (strcmp(class_name(x->k), "pci") == 0)
		r = change_entry_ask(x->c, &x->d, x->k, j->dev, x->id);
	else
		return 0; /* a port of a controller: its backend watches */
	x->asked = !r;
	return r;
}

static int await_backend(struct detach *x)
{
	struct awaited w = {
		.what = class_place(x->k) == CLASS_ENTRY ? AWAIT_CONNECT : AWAIT_CLOSE,
		.back = x->place.back,
		.backend_domid = x->place.where.backend_domid,
	};
	uint64_t deadline = conf_now_ms() + x->c->opt.backend_timeout_ms;
	uint32_t own;
	int r;

	if (!x->asked)
		return 0;
	r = change_await(x->c, x->d.domid, x->d.uuid, &w, 1, deadline);
	if (!r && w.result == -ETIMEDOUT) {
		x->c->err = w.err;
		return fail_in(x, w.result);
	}
	/* another domain has scripts of its own to run, for which it needs the directory */
	if (!r)
		r = change_own_domid(x->c, &own);
	if (r || w.what != AWAIT_CLOSE || own == x->place.where.backend_domid)
		return r;
	w.what = AWAIT_GONE;
	return change_await(x->c, x->d.domid, x->d.uuid, &w, 1, deadline);
}

/* ---- the end ---- */

/* Somebody who knows no intents has attached it anew meanwhile: then that one stays. */
static bool is_another(const struct detach *x)
{
	const struct conf_dev *dev = change_place_dev(x->d.store, x->k, &x->place);
	const char *online = dev ? conf_values_get(&dev->back, "online") : NULL;

	return x->asked && class_place(x->k) == CLASS_DIRECTORY && online &&
	       strcmp(online, "0") != 0;
}

static int remove_keys(struct detach *x)
{
	if (class_place(x->k) == CLASS_ENTRY) {
		if (x->entry)
			return change_entry_keys(x->c, &x->d, x->k, x->entry, false);
		return refuse(x, -EBADMSG, "its directory is damaged; repair settles that");
	}
	return keys_remove_place(x->c, &x->d, &x->place, false);
}

static int finish(struct detach *x)
{
	struct drover_config *c = x->c;
	int r = conf_domain_reload(c, &x->d, false);

	if (!r && !is_another(x)) {
		r = remove_keys(x);
		if (!r && change_entry_del(x->d.config, x->k, x->id))
			r = conf_domain_store_record(c, &x->d);
	}
	if (!r)
		r = intents_drop(c->userdata, x->d.domid, x->d.uuid, class_name(x->k), x->id,
				 &c->err);
	if (!r && c->host.pci_assign && strcmp(class_name(x->k), "pci") == 0) {
		r = c->host.pci_assign(c->host.data, x->d.domid, x->id, false);
		if (r)
			r = conf_fail(&c->err, r,
				      "pci %s: detached, but not taken from domain %" PRIu32 ": %s",
				      x->id, x->d.domid, strerror(-r));
	}
	return r;
}

/* From the intent on. */
static int carry_out(struct detach *x, const struct conf_judged *j)
{
	struct conf_err said = { 0 };
	int script = 0, r = ask(x, j);

	conf_domain_unlock(&x->d);
	if (!r)
		r = await_backend(x);
	if (!r) {
		/* a script that fails does not keep the device, and is told all the same */
		script = change_script(x->c, x->k, &x->place, &x->back, false, false);
		said = x->c->err;
		r = finish(x);
	}
	if (r == -ENOENT || r == -ESTALE) {
		struct conf_err why = x->c->err;

		if (!change_gone(x->c, &x->d, x->k, x->id, &x->place, true))
			x->c->err = why;
	} else if (r) {
		change_give_up(x->c, &x->d, x->k, x->id);
	}
	conf_domain_unlock(&x->d);
	if (r || !script)
		return r;
	return conf_fail(&x->c->err, script, "%s %s of domain %" PRIu32 ": detached, but %s",
			 class_name(x->k), x->id, x->d.domid, said.text);
}

static int detach(struct detach *x, uint32_t domid)
{
	struct conf_judgement all = { .n = 0 };
	const struct conf_judged *j;
	int r = conf_domain_load(x->c, domid, false, 0, &x->d);

	if (!r)
		r = conf_judge(&x->d, &x->c->err, &all);
	if (r)
		return r;
	j = change_find(&all, x->k, x->id);
	r = may_detach(x, j);
	if (!r && is_settled_at_once(j)) {
		r = repair_at_once(x->c, &x->d, j);
		/* of pci an entry may be hidden by others that are damaged: then nothing was done
		 */
		if (!r && change_entry(x->d.config, x->k, x->id, NULL))
			r = refuse(x, -EBADMSG, "its directory is damaged; repair settles that");
	} else if (!r) {
		r = note(x, j);
		if (!r)
			r = begin(x, j);
		if (!r)
			r = carry_out(x, j);
	}
	conf_judgement_fini(&all);
	return r;
}

int drover_config_detach(struct drover_config *c, uint32_t domid, const char *class, const char *id,
			 unsigned int flags)
{
	struct detach x = { .c = c, .force = flags & DROVER_CHANGE_FORCE };
	int r = conf_session_begin(c);

	if (r)
		return r;
	x.k = class_find(class);
	if (!x.k)
		return conf_fail(&c->err, -EINVAL, "there is no class of devices \"%s\"", class);
	r = change_check_host(c, x.k);
	if (!r)
		r = class_id_of_text(x.k, id, x.id, &c->err);
	if (r)
		return r;
	x.d = (struct conf_domain){ .devices = USERDATA_LOCK_INIT, .record = USERDATA_LOCK_INIT };
	r = detach(&x, domid);
	detach_fini(&x);
	if (!r)
		c->err.text[0] = '\0';
	return r;
}
