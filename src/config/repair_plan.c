/* SPDX-License-Identifier: MIT */
/*
 * The plan for one device, from its verdict, and carrying it out.
 *
 * Invariant: a plan is carried out in the order store, record, intent. Cut short anywhere, what
 * is left is a state whose plan is the rest of this one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/repair.h"

void repair_plan_fini(struct repair_plan *p)
{
	json_object_put(p->put);
	json_object_put(p->del);
	json_object_put(p->entry);
	keys_fini(&p->restore);
	memset(p, 0, sizeof(*p));
}

static void say(struct repair_plan *p, const char *what)
{
	size_t len = strlen(p->text);

	snprintf(p->text + len, sizeof(p->text) - len, "%s%s", len ? "; " : "", what);
}

/* ---- making it ---- */

/* The device as far as anybody knows it: for classes whose keys are found by what it is. */
static int known_entry(const struct conf_judged *j, struct json_object **ret)
{
	const struct intent *i = j->intent;
	struct json_object *entry = j->entry;

	if (!entry && i)
		entry = i->new ? i->new : i->old;
	if (!entry)
		entry = j->live;
	if (entry) {
		*ret = json_object_get(entry);
		return 0;
	}
	if (j->k && j->dev && class_from_store(j->k, j->dev, j->id, NULL, ret) == -ENOMEM)
		return -ENOMEM;
	return 0;
}

static int plan_removal(const struct conf_judged *j, struct repair_plan *p)
{
	if (j->dev) {
		p->remove = true;
		say(p, "store: its keys removed");
	}
	if (j->entry) {
		p->del = json_object_get(j->entry);
		say(p, "record: entry removed");
	}
	return j->dev ? known_entry(j, &p->entry) : 0;
}

static void plan_put(const struct conf_judged *j, struct json_object *entry, struct repair_plan *p)
{
	if (!entry || (j->entry && conf_json_equal(j->entry, entry)))
		return;
	p->put = json_object_get(entry);
	say(p, j->entry ? "record: entry set to what the store has" : "record: entry added");
}

static bool is_pci(const struct conf_judged *j)
{
	return strcmp(class_name(j->k), "pci") == 0;
}

/*
 * What a USB device's controller lacks is the controller's to get back: that its port is not told
 * is no reason to take it away.
 */
static bool is_of_controller(const struct conf_judged *j)
{
	char wrong[160];

	if (class_place(j->k) != CLASS_ENTRY || is_pci(j))
		return false;
	class_check(class_find("usbctrl"), j->dev, "", wrong, sizeof(wrong));
	return wrong[0] || !j->entry;
}

static int plan_damaged(struct drover_config *c, const struct conf_domain *d,
			const struct conf_judged *j, unsigned int flags, struct repair_plan *p)
{
	struct json_object *entry = j->entry ? j->entry : j->intent ? j->intent->new : NULL;
	int r;

	/* it is of its backend's doing, which may end it: both views have the device until then */
	if ((j->dev->overflow && !(flags & DROVER_REPAIR_FORCE)) || is_of_controller(j))
		return 0;
	if (!j->dev->overflow) {
		r = is_pci(j) ? repair_pci(c, d, j, &p->restore)
		    : entry   ? repair_restore(c, d, j, entry, &p->restore)
			      : 0;
		if (r)
			return r;
	}
	if (!p->restore.n)
		return plan_removal(j, p);
	say(p, is_pci(j) ? "store: the directory put in order" : "store: missing keys restored");
	if (!j->entry && entry)
		plan_put(j, entry, p);
	/* what may have been its entry says no more that it was */
	if (j->entry && is_pci(j) && !repair_pci_names(j->k, j->dev, j->id)) {
		p->del = json_object_get(j->entry);
		say(p, "record: entry removed");
	}
	return 0;
}

/*
 * It is only hidden by the damage of the directory, in which it will be found again. What lies
 * behind the number of devices of one that is whole is nobody's.
 */
static bool is_hidden(const struct conf_domain *d, const struct conf_judged *j)
{
	const struct conf_dev *dev;
	char wrong[160];

	if (!is_pci(j))
		return false;
	dev = conf_snapshot_find(d->store, class_kind(j->k), 0);
	if (!dev)
		return false;
	class_check(j->k, dev, "", wrong, sizeof(wrong));
	return wrong[0] && repair_pci_names(j->k, dev, j->id);
}

static int plan_verdict(struct drover_config *c, const struct conf_domain *d,
			const struct conf_judged *j, unsigned int flags, struct repair_plan *p)
{
	switch (j->verdict) {
	case DROVER_ATTACHED:
		/* only where somebody died over it can there be anything to do */
		if (j->intent)
			plan_put(j, j->live, p);
		return 0;
	case DROVER_CHANGED:
	case DROVER_EJECTED:
	case DROVER_STORE_ONLY:
		plan_put(j, j->live, p);
		return 0;
	case DROVER_MISSING:
		return is_hidden(d, j) ? 0 : plan_removal(j, p);
	case DROVER_HALF_ADDED:
	case DROVER_DETACHING:
	case DROVER_ROLLED_BACK:
		return plan_removal(j, p);
	case DROVER_DAMAGED:
		return plan_damaged(c, d, j, flags, p);
	case DROVER_BACKEND_GONE:
		return flags & DROVER_REPAIR_FORCE ? plan_removal(j, p) : 0;
	default:
		return 0;
	}
}

int repair_plan_make(struct drover_config *c, const struct conf_domain *d,
		     const struct conf_judged *j, unsigned int flags, struct repair_plan *ret)
{
	int r;

	if (!j->k || (j->intent && intent_owner_alive(j->intent)))
		return 0;
	r = plan_verdict(c, d, j, flags, ret);
	if (r)
		return r == -ENOMEM ? conf_no_memory(&c->err) : r;
	if (j->intent && j->verdict != DROVER_BACKEND_GONE) {
		ret->drop = true;
		say(ret, "intent dropped");
	}
	return 0;
}

void repair_plan_go_along(const struct conf_judged *j, struct repair_plan *p)
{
	bool drop = p->drop;

	repair_plan_fini(p);
	say(p, "store: goes with its controller");
	if (j->entry) {
		p->del = json_object_get(j->entry);
		say(p, "record: entry removed");
	}
	p->drop = drop;
	if (drop)
		say(p, "intent dropped");
}

/* ---- carrying it out ---- */

static int remove_keys(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j,
		       const struct repair_plan *p)
{
	struct change_place place = { .type = NULL };
	int r;

	/* a directory that is damaged as a whole has no entry, and goes as a whole */
	if (class_place(j->k) == CLASS_ENTRY && p->entry)
		return change_entry_keys(c, d, j->k, p->entry, false);
	r = change_place_of_dev(c, d, j->dev, &place);
	if (!r)
		r = keys_remove_place(c, d, &place, false);
	change_place_fini(&place);
	return r;
}

int repair_plan_run(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j,
		    const struct repair_plan *p)
{
	int r = 0;

	if (p->restore.n)
		r = keys_commit(c, d, &p->restore);
	if (!r && p->remove)
		r = remove_keys(c, d, j, p);
	if (r)
		return conf_fail_in(&c->err, r, "repair of %s %s", class_name(j->k), j->id);
	/* it may never have been the domain's: that is no failure */
	if (p->remove && c->host.pci_assign && strcmp(class_name(j->k), "pci") == 0)
		c->host.pci_assign(c->host.data, d->domid, j->id, false);
	if (p->del)
		change_entry_del(d->config, j->k, j->id);
	return p->put ? change_entry_put(d->config, j->k, j->id, p->put, &c->err) : 0;
}

int repair_plans_finish(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j,
			const struct repair_plan *p, size_t n)
{
	bool record = false;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		record |= p[i].put || p[i].del;
	if (record)
		r = conf_domain_store_record(c, d);
	for (size_t i = 0; i < n && !r; i++)
		if (p[i].drop)
			r = intents_drop(c->userdata, d->domid, d->uuid, class_name(j[i].k),
					 j[i].id, &c->err);
	return r;
}

int repair_at_once(struct drover_config *c, struct conf_domain *d, const struct conf_judged *j)
{
	struct repair_plan p = { .remove = false };
	int r = repair_plan_make(c, d, j, DROVER_REPAIR_FORCE, &p);

	if (!r)
		r = repair_plan_run(c, d, j, &p);
	if (!r)
		r = repair_plans_finish(c, d, j, &p, 1);
	repair_plan_fini(&p);
	return r;
}
