/* SPDX-License-Identifier: MIT */
/*
 * The verdict on one device, given its entry, its directory and its intent, as far as there are
 * such. Decision 0014 has the table.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/judge.h"
#include "config/session.h"

static const char *const verdict_names[] = {
	[DROVER_ATTACHED] = "attached",
	[DROVER_RECORD_ONLY] = "record-only",
	[DROVER_IMPLIED] = "implied",
	[DROVER_EJECTED] = "ejected",
	[DROVER_CHANGED] = "changed",
	[DROVER_STORE_ONLY] = "store-only",
	[DROVER_ADDING] = "adding",
	[DROVER_REMOVING] = "removing",
	[DROVER_HALF_ADDED] = "half-added",
	[DROVER_DETACHING] = "detaching",
	[DROVER_DAMAGED] = "damaged",
	[DROVER_MISSING] = "missing",
	[DROVER_BACKEND_GONE] = "backend-gone",
	[DROVER_ROLLED_BACK] = "rolled-back",
};

const char *drover_verdict_name(enum drover_verdict verdict)
{
	return (size_t)verdict < ARRAY_LEN(verdict_names) ? verdict_names[verdict] : "?";
}

bool drover_verdict_is_fault(enum drover_verdict verdict)
{
	switch (verdict) {
	case DROVER_STORE_ONLY:
	case DROVER_HALF_ADDED:
	case DROVER_DETACHING:
	case DROVER_DAMAGED:
	case DROVER_MISSING:
	case DROVER_BACKEND_GONE:
	case DROVER_ROLLED_BACK:
		return true;
	default:
		return false;
	}
}

const char *conf_state_name(const char *state)
{
	static const char *const names[] = {
		"0, Unknown",	  "1, Initialising",  "2, InitWait",
		"3, Initialised", "4, Connected",     "5, Closing",
		"6, Closed",	  "7, Reconfiguring", "8, Reconfigured",
	};

	if (state && state[0] >= '0' && state[0] <= '8' && !state[1])
		return names[state[0] - '0'];
	return state ? state : "none";
}

/* ---- one device ---- */

void judge_decide(struct conf_judged *g, enum drover_verdict verdict, const char *fmt, ...)
{
	va_list ap;

	g->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(g->reason, sizeof(g->reason), fmt, ap);
	va_end(ap);
}

static int give_live(struct conf_judged *g, struct json_object *entry)
{
	g->live = entry ? conf_json_copy(entry) : NULL;
	return entry && !g->live ? -ENOMEM : 0;
}

/* The record's own: nobody changes it there. */
static void give_persistent(struct conf_judged *g, struct json_object *entry)
{
	g->persistent = json_object_get(entry);
}

static int give_both(struct conf_judged *g, struct json_object *entry)
{
	give_persistent(g, entry);
	return give_live(g, entry);
}

enum backend {
	BACKEND_NONE_WANTED, /* of a device that has none by its nature */
	BACKEND_SERVES,
	BACKEND_SILENT,
	BACKEND_LEAVES, /* asked to go */
	BACKEND_NO_STATE,
	BACKEND_NO_DIRECTORY,
	BACKEND_NO_DOMAIN,
};

static enum backend backend_of(const struct conf_dev *dev, const char **ret_state)
{
	const char *state, *online;

	*ret_state = NULL;
	if (!dev->backend)
		return BACKEND_NONE_WANTED;
	if (!dev->has_backend)
		return dev->backend_domain ? BACKEND_NO_DIRECTORY : BACKEND_NO_DOMAIN;
	*ret_state = state = conf_values_get(&dev->back, "state");
	online = conf_values_get(&dev->back, "online");
	if (!state || strlen(state) != 1 || *state < '0' || *state > '8')
		return BACKEND_NO_STATE;
	switch (*state) {
	case '0':
	case '1':
		return BACKEND_SILENT;
	case '5':
	case '6':
		return online && !strcmp(online, "0") ? BACKEND_LEAVES : BACKEND_SERVES;
	default:
		return BACKEND_SERVES;
	}
}

/* An entry beside what the store has of it: which of the two, or both alike. */
static int judge_values(struct conf_judged *g, struct json_object *entry, const char *state,
			struct conf_err *err)
{
	char changed[128];
	int r = give_both(g, entry);

	if (!r)
		r = class_overlay(g->k, g->dev, g->id, g->live, changed, sizeof(changed), err);
	if (r)
		return r;
	if (class_is_ejected(g->k, g->dev))
		judge_decide(g, DROVER_EJECTED, "there is no medium in it");
	else if (changed[0])
		judge_decide(g, DROVER_CHANGED, "the store has another %.200s", changed);
	else if (state && (*state == '5' || *state == '6'))
		judge_decide(g, DROVER_ATTACHED, "online, its backend is in state %s",
			     conf_state_name(state));
	else if (state)
		judge_decide(g, DROVER_ATTACHED, "its backend is in state %s",
			     conf_state_name(state));
	else
		judge_decide(g, DROVER_ATTACHED, "it needs no backend");
	return 0;
}

/* In record and store, and nobody is at it. */
static int judge_both(struct conf_judged *g, struct json_object *entry, struct conf_err *err)
{
	const char *state;
	enum backend b = backend_of(g->dev, &state);
	char wrong[160];

	switch (b) {
	case BACKEND_NO_DOMAIN:
		judge_decide(g, DROVER_BACKEND_GONE, "domain %" PRIu32 " of its backend is gone",
			     g->dev->backend_domid);
		return give_both(g, entry);
	case BACKEND_LEAVES:
		judge_decide(g, DROVER_DETACHING, "asked to go, its backend is in state %s",
			     conf_state_name(state));
		return 0;
	case BACKEND_SILENT:
		judge_decide(g, DROVER_HALF_ADDED, "its backend is in state %s",
			     conf_state_name(state));
		return 0;
	default:
		break;
	}
	class_check(g->k, g->dev, g->id, wrong, sizeof(wrong));
	/* a channel that has lost what tells it from the consoles that every domain has */
	if (!wrong[0] && class_implied(g->k, NULL, g->dev))
		snprintf(wrong, sizeof(wrong), "name: missing");
	if (g->dev->overflow)
		judge_decide(g, DROVER_DAMAGED, "more than %d nodes below it",
			     CONF_DEVICE_NODES_MAX);
	else if (wrong[0])
		judge_decide(g, DROVER_DAMAGED, "%s", wrong);
	else if (b == BACKEND_NO_DIRECTORY)
		judge_decide(g, DROVER_DAMAGED, "the directory of its backend is gone");
	else if (b == BACKEND_NO_STATE)
		judge_decide(g, DROVER_DAMAGED, "its backend's state is %.40s",
			     state ? state : "not there");
	else
		return judge_values(g, entry, state, err);
	return give_both(g, entry);
}

/* In the store alone, and nobody is at it. */
static int judge_store(const struct conf_domain *d, struct conf_judged *g, struct conf_err *err)
{
	const char *state, *implied = class_implied(g->k, d->config, g->dev);
	struct conf_err why = { 0 };
	enum backend b = backend_of(g->dev, &state);
	char wrong[160];
	int r;

	if (implied) {
		judge_decide(g, DROVER_IMPLIED, "%s", implied);
		return 0;
	}
	if (b == BACKEND_LEAVES) {
		judge_decide(g, DROVER_DETACHING, "not in the record; its backend is in state %s",
			     conf_state_name(state));
		return 0;
	}
	if (b == BACKEND_SILENT) {
		judge_decide(g, DROVER_HALF_ADDED, "not in the record; its backend is in state %s",
			     conf_state_name(state));
		return 0;
	}
	if (b == BACKEND_NO_DOMAIN) {
		judge_decide(g, DROVER_BACKEND_GONE,
			     "not in the record; domain %" PRIu32 " of its backend is gone",
			     g->dev->backend_domid);
		return 0;
	}
	class_check(g->k, g->dev, g->id, wrong, sizeof(wrong));
	if (g->dev->overflow)
		snprintf(wrong, sizeof(wrong), "more than %d nodes below it",
			 CONF_DEVICE_NODES_MAX);
	if (wrong[0] || b == BACKEND_NO_DIRECTORY || b == BACKEND_NO_STATE) {
		judge_decide(g, DROVER_DAMAGED, "not in the record; %s",
			     wrong[0] ? wrong : "its backend has no state");
		return 0;
	}
	r = class_from_store(g->k, g->dev, g->id, &why, &g->live);
	if (r == -ENOMEM)
		return conf_no_memory(err);
	if (r) {
		judge_decide(g, DROVER_DAMAGED, "not in the record; %.200s", why.text);
		return 0;
	}
	judge_decide(g, DROVER_STORE_ONLY, "not in the record; %s%.100s",
		     *class_lost(g->k) ? "the store does not tell " : "the store tells all",
		     class_lost(g->k));
	if (!d->config)
		give_persistent(g, g->live);
	return 0;
}

/* Its maker lives: whatever is there is in the making. */
static int judge_in_hand(const struct conf_domain *d, struct conf_judged *g, struct conf_err *err)
{
	const struct intent *i = g->intent;

	switch (i->op) {
	case INTENT_ADD:
		judge_decide(g, DROVER_ADDING, "being attached by process %d", (int)i->pid);
		return 0;
	case INTENT_REMOVE:
		judge_decide(g, DROVER_REMOVING, "being detached by process %d", (int)i->pid);
		return 0;
	default:
		if (g->dev && g->entry)
			return judge_both(g, g->entry, err);
		if (g->dev)
			return judge_store(d, g, err);
		judge_decide(g, DROVER_MISSING, "the store has lost it while process %d changes it",
			     (int)i->pid);
		give_persistent(g, g->entry);
		return 0;
	}
}

/* "process 12 died" or, of one that knows it failed and lives on, "a process gave up". */
struct ended {
	char text[32];
};
static struct ended ended(const struct intent *i)
{
	struct ended e = { "a process gave up" };

	if (i->pid)
		snprintf(e.text, sizeof(e.text), "process %d died", (int)i->pid);
	return e;
}

static int judge_cut_add(struct conf_judged *g, struct conf_err *err)
{
	struct ended e = ended(g->intent);
	const char *state;
	int r;

	if (!g->dev) {
		judge_decide(g, DROVER_ROLLED_BACK, "%s attaching it, before the store was touched",
			     e.text);
		return 0;
	}
	switch (backend_of(g->dev, &state)) {
	case BACKEND_SERVES:
	case BACKEND_NONE_WANTED:
		r = judge_both(g, g->entry ? g->entry : g->intent->new, err);
		if (!r && g->verdict == DROVER_ATTACHED)
			judge_decide(g, DROVER_ATTACHED, "%s attaching it, but its backend has it",
				     e.text);
		return r;
	default:
		judge_decide(g, DROVER_HALF_ADDED, "%s attaching it, its backend is in state %s",
			     e.text, conf_state_name(state));
		return 0;
	}
}

/* The store was changed as a whole or not at all: it says which of the two states it is. */
static int judge_cut_update(const struct conf_domain *d, struct conf_judged *g,
			    struct conf_err *err)
{
	const struct intent *i = g->intent;
	struct json_object *side = i->old ? i->old : i->new;
	CLEANUP_JSON struct json_object *probe = NULL;
	char changed[128] = "";
	int r;

	if (!g->dev || !i->new)
		return g->dev ? judge_store(d, g, err) : 0;
	probe = conf_json_copy(i->new);
	if (!probe)
		return -ENOMEM;
	r = class_overlay(g->k, g->dev, g->id, probe, changed, sizeof(changed), err);
	if (r)
		return r;
	if (!changed[0])
		side = i->new;
	r = judge_both(g, side, err);
	if (!r && g->entry && g->live && !conf_json_equal(g->entry, g->live))
		judge_decide(g, DROVER_CHANGED, "%s changing it: the store has the %s values",
			     ended(i).text, side == i->new ? "new" : "old");
	return r;
}

int judge_device(const struct conf_domain *d, struct conf_judged *g, struct conf_err *err)
{
	const struct intent *i = g->intent;

	if (i && intent_owner_alive(i))
		return judge_in_hand(d, g, err);
	if (i && i->op == INTENT_ADD)
		return judge_cut_add(g, err);
	if (i && i->op == INTENT_REMOVE) {
		judge_decide(g, DROVER_DETACHING, "%s detaching it%s", ended(i).text,
			     g->dev ? "" : ", the store has let it go");
		return 0;
	}
	if (i && g->dev)
		return judge_cut_update(d, g, err);
	if (class_place(g->k) == CLASS_RECORD_ONLY) {
		judge_decide(g, DROVER_RECORD_ONLY, "the store never has devices of this class");
		return give_both(g, g->entry);
	}
	if (g->entry && g->dev)
		return judge_both(g, g->entry, err);
	if (g->dev)
		return judge_store(d, g, err);
	judge_decide(g, DROVER_MISSING, "the record has it, the store has not");
	give_persistent(g, g->entry);
	return 0;
}
