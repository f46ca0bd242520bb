/* SPDX-License-Identifier: MIT */
/*
 * What must be so of a configuration after somebody died who changed it. The rules are not those
 * of the code that is tested: views and store are compared, octet for octet, with how they looked
 * before and after the same change undisturbed.
 */
#include "tests/stress/config_world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/intent.h"
#include "config/userdata.h"

/* A device's state changes a few times at most while nobody is at it but its backend. */
#define LOOKS_MAX 16

static const char *const state_names[] = { "absent", "attached", "updated", "none of these" };

static bool broken(char why[WHY_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool broken(char why[WHY_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WHY_MAX, fmt, ap);
	va_end(ap);
	return false;
}

static bool failed(struct crash_world *w, char why[WHY_MAX], const char *what, int r)
{
	return broken(why, "%s: %s (%d)", what, drover_config_error(w->c), r);
}

/* ---- the store itself ---- */

/* Names of nodes, owned. */
struct paths {
	char **v; /* owned */
	size_t n, room;
};

static void *no_null(void *p)
{
	if (!p)
		abort();
	return p;
}

static void paths_add(struct paths *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void paths_add(struct paths *s, const char *fmt, ...)
{
	va_list ap;

	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->v = no_null(reallocarray(s->v, s->room, sizeof(*s->v)));
	}
	va_start(ap, fmt);
	if (vasprintf(&s->v[s->n++], fmt, ap) < 0)
		abort();
	va_end(ap);
}

static void paths_fini(struct paths *s)
{
	while (s->n)
		free(s->v[--s->n]);
	free(s->v);
}

/* Nodes that scripts and drivers make, whose presence tells nothing. */
static bool is_drivers(const char *name)
{
	return !strncmp(name, "hotplug-", 8) || !strcmp(name, "error");
}

/* Adds all children of the nodes from `from` on; a node that is not there is forgotten. */
static bool children(struct crash_world *w, struct paths *s, size_t from)
{
	struct conf_batch b = { 0 };
	size_t n = s->n;
	bool ok = true;

	for (size_t i = from; i < n; i++)
		ok = ok && !conf_batch_add(&b, XS_DIRECTORY, 0, s->v[i], NULL, 0, NULL);
	ok = ok && !conf_client_run(w->store, &b, NULL);
	for (size_t i = from; ok && i < n; i++) {
		const struct conf_reply *reply = conf_batch_reply(&b, i - from);

		if (reply->err)
			s->v[i][0] = '\0';
		for (size_t at = 0; !reply->err && at < reply->len;
		     at += strlen(reply->data + at) + 1)
			if (!is_drivers(reply->data + at))
				paths_add(s, "%s/%s", s->v[i], reply->data + at);
	}
	conf_batch_fini(&b);
	return ok;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * All nodes of the domain's devices, a line each, sorted; to be freed. Values are not looked at:
 * views have them. NULL: the store is gone.
 */
static char *paths_now(struct crash_world *w)
{
	struct paths s = { 0 };
	size_t len = 0, kinds, from;
	char *text = NULL;
	FILE *f;

	paths_add(&s, "/local/domain/0/backend");
	if (!children(w, &s, 0))
		goto out;
	kinds = s.n;
	for (size_t i = 1; i < kinds; i++) {
		paths_add(&s, "%s/%" PRIu32, s.v[i], w->domid);
		s.v[i][0] = '\0'; /* whatever others have there */
	}
	paths_add(&s, "/libxl/%" PRIu32 "/device", w->domid);
	paths_add(&s, "/local/domain/%" PRIu32 "/device", w->domid);
	for (from = kinds; from < s.n;) {
		size_t n = s.n;

		if (!children(w, &s, from))
			goto out;
		from = n;
	}
	qsort(s.v, s.n, sizeof(s.v[0]), name_compare);
	f = no_null(open_memstream(&text, &len));
	for (size_t i = 0; i < s.n; i++)
		if (s.v[i][0])
			fprintf(f, "%s\n", s.v[i]);
	fclose(f);
out:
	paths_fini(&s);
	return text;
}

/* ---- the library's word ---- */

/* What was told of the device; DROVER_VERDICTS: nothing. */
struct said {
	enum drover_verdict verdict;
	char reason[256];
};

/* A view as JSON, and what it says of the device. False: there is no answer. */
static bool view(struct crash_world *w, enum drover_config_view which, char **ret_json,
		 struct said *ret_said, char why[WHY_MAX])
{
	struct drover_domain_config *config = NULL;
	int r = drover_config_retrieve(w->c, w->domid, which, 0, &config);

	*ret_json = NULL;
	*ret_said = (struct said){ .verdict = DROVER_VERDICTS };
	if (r)
		return failed(w, why, "retrieve", r);
	for (size_t i = 0; i < drover_domain_config_report_len(config); i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);

		if (!strcmp(item->class_name, w->device->class) && !strcmp(item->id, w->id)) {
			ret_said->verdict = item->verdict;
			snprintf(ret_said->reason, sizeof(ret_said->reason), "%s", item->reason);
		} else if (drover_verdict_is_fault(item->verdict)) {
			broken(why, "%s %s is told to be %s: %s", item->class_name, item->id,
			       drover_verdict_name(item->verdict), item->reason);
		}
	}
	r = drover_domain_config_to_json(config, DROVER_CONFIG_LAYOUT_4_17, ret_json, NULL);
	drover_domain_config_free(config);
	if (r)
		return failed(w, why, "to_json", r);
	return !*why;
}

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* How the world looks, as states that look so; the device may look the same in some. */
struct look {
	enum crash_state live, persistent, paths;
	struct said live_item, persistent_item;
	size_t intents;
	char *live_json, *persistent_json, *paths_text; /* owned */
};

static void look_fini(struct look *l)
{
	free(l->live_json);
	free(l->persistent_json);
	free(l->paths_text);
}

static bool count_intents(struct crash_world *w, size_t *ret, char why[WHY_MAX])
{
	struct userdata *u = NULL;
	struct intents s = { 0 };
	struct conf_err err = { "" };
	int r = userdata_open(w->opt.userdata, 1000, &err, &u);

	if (!r)
		r = intents_read(u, w->domid, w->uuid, &err, &s);
	*ret = s.n;
	intents_fini(&s);
	userdata_close(u);
	return r ? broken(why, "intents: %s", err.text) : true;
}

/* Of both views, and there are such. */
static bool same_item(const struct look *l)
{
	return l->persistent_json && l->live_item.verdict == l->persistent_item.verdict;
}

static bool look(struct crash_world *w, struct look *ret, char why[WHY_MAX])
{
	memset(ret, 0, sizeof(*ret));
	*why = '\0';
	ret->paths_text = paths_now(w);
	/* Two views of one instant: a backend that is alive may take the device in between. */
	for (int i = 0; i < LOOKS_MAX && !same_item(ret); i++) {
		free(ret->live_json);
		free(ret->persistent_json);
		ret->persistent_json = NULL;
		if (!view(w, DROVER_VIEW_LIVE, &ret->live_json, &ret->live_item, why) ||
		    !view(w, DROVER_VIEW_PERSISTENT, &ret->persistent_json, &ret->persistent_item,
			  why))
			return false;
	}
	if (!same_item(ret))
		return broken(why, "the views never agree on its verdict: \"%s\", \"%s\"",
			      ret->live_item.reason, ret->persistent_item.reason);
	if (!count_intents(w, &ret->intents, why))
		return false;
	ret->live = ret->persistent = ret->paths = STATE_NONE;
	for (enum crash_state s = CRASH_STATES; s-- > 0;) {
		if (same(ret->live_json, w->seen[s].live))
			ret->live = s;
		if (same(ret->persistent_json, w->seen[s].persistent))
			ret->persistent = s;
		if (same(ret->paths_text, w->seen[s].paths))
			ret->paths = s;
	}
	return true;
}

enum crash_state crash_world_state(struct crash_world *w, char why[WHY_MAX])
{
	struct look l;
	enum crash_state s = STATE_NONE;

	if (look(w, &l, why)) {
		if (l.live == l.persistent && l.live != STATE_NONE)
			s = l.live;
		else
			broken(why,
			       "live is %s, persistent is %s; live:\n%.900s\npersistent:\n%.900s",
			       state_names[l.live], state_names[l.persistent], l.live_json,
			       l.persistent_json);
	}
	look_fini(&l);
	return s;
}

/* ---- changes ---- */

static int update(struct drover_config *c, const struct crash_world *w)
{
	struct drover_domain_config *config = NULL;
	const char *class = w->device->class, *id;
	struct drover_device *d;
	int r = drover_config_retrieve(c, w->domid, DROVER_VIEW_LIVE, 0, &config);

	if (r)
		return r;
	r = -ENOENT;
	for (size_t i = 0; r && i < drover_domain_config_devices(config, class); i++) {
		d = drover_domain_config_device(config, class, i);
		id = d ? drover_device_id(d) : NULL;
		if (!id || strcmp(id, w->id) != 0)
			continue;
		r = crash_device_update(c, w->device, d);
		if (!r)
			r = drover_config_update(c, w->domid, d, 0);
		break;
	}
	drover_domain_config_free(config);
	return r;
}

static int change(struct drover_config *c, const struct crash_world *w, enum crash_op op)
{
	struct drover_device *d = NULL;
	int r;

	if (op == CRASH_UPDATE)
		return update(c, w);
	if (op == CRASH_DETACH)
		return drover_config_detach(c, w->domid, w->device->class, w->id, 0);
	r = crash_device_make(c, w->device, w->script, &d);
	if (!r)
		r = drover_config_attach(c, w->domid, d, 0);
	drover_device_free(d);
	return r;
}

int crash_world_change(const struct crash_world *w, enum crash_op op)
{
	struct drover_config *c = NULL;
	int r = drover_config_open(&w->opt, &c);

	if (!r)
		r = change(c, w, op);
	drover_config_close(c);
	return r;
}

int crash_world_repair(const struct crash_world *w)
{
	struct drover_config *c = NULL;
	int r = drover_config_open(&w->opt, &c);

	if (!r)
		r = drover_config_repair(c, w->domid, 0, NULL, NULL);
	drover_config_close(c);
	return r;
}

/* Does op and remembers how the world looks then. */
static bool pass(struct crash_world *w, int op, enum crash_state to, char why[WHY_MAX])
{
	static const char *const names[] = { "attach", "detach", "update" };
	struct said item;
	int r = op < 0 ? 0 : change(w->c, w, (enum crash_op)op);

	if (r)
		return failed(w, why, names[op], r);
	if (!view(w, DROVER_VIEW_LIVE, &w->seen[to].live, &item, why) ||
	    !view(w, DROVER_VIEW_PERSISTENT, &w->seen[to].persistent, &item, why))
		return false;
	w->seen[to].paths = paths_now(w);
	if (!same(w->seen[to].live, w->seen[to].persistent))
		return broken(why, "undisturbed, and the views differ:\n%.900s\n%.900s",
			      w->seen[to].live, w->seen[to].persistent);
	return true;
}

bool crash_world_init(struct crash_world *w, enum crash_op op, bool silent, char why[WHY_MAX])
{
	int r;

	*why = '\0';
	r = crash_device_make(w->c, w->device, w->script, &w->example);
	if (r)
		return failed(w, why, "device", r);
	w->id = drover_device_id(w->example);
	if (!w->id)
		return broken(why, "the device has no identity");
	if (!pass(w, -1, STATE_ABSENT, why))
		return false;
	if (silent)
		return true;
	if (!pass(w, CRASH_ATTACH, STATE_ATTACHED, why) ||
	    (op == CRASH_UPDATE && !pass(w, CRASH_UPDATE, STATE_UPDATED, why)))
		return false;
	if (same(w->seen[STATE_ABSENT].live, w->seen[STATE_ATTACHED].live))
		return broken(why, "attached, and nothing to be seen of it");
	if (op == CRASH_UPDATE && same(w->seen[STATE_UPDATED].live, w->seen[STATE_ATTACHED].live))
		return broken(why, "updated, and nothing to be seen of it");
	return crash_world_go(w, STATE_ABSENT, why);
}

void crash_world_fini(struct crash_world *w)
{
	for (size_t s = 0; s < CRASH_STATES; s++) {
		free(w->seen[s].live);
		free(w->seen[s].persistent);
		free(w->seen[s].paths);
	}
	drover_device_free(w->example);
	drover_config_close(w->c);
	conf_client_close(w->store);
}

bool crash_world_go(struct crash_world *w, enum crash_state to, char why[WHY_MAX])
{
	enum crash_state now = crash_world_state(w, why);
	struct look l;
	int r = 0;

	if (now == to)
		return true;
	if (now == STATE_NONE)
		return false;
	if (now != STATE_ABSENT) {
		r = change(w->c, w, CRASH_DETACH);
		if (r)
			return failed(w, why, "detach", r);
	}
	if (to != STATE_ABSENT) {
		r = change(w->c, w, CRASH_ATTACH);
		if (r)
			return failed(w, why, "attach", r);
	}
	if (!look(w, &l, why))
		r = -1;
	else if (l.live != to || l.persistent != to || !same(l.paths_text, w->seen[to].paths) ||
		 l.intents)
		r = broken(why,
			   "made %s: live is %s, persistent %s, the store's nodes %s, %zu intents",
			   state_names[to], state_names[l.live], state_names[l.persistent],
			   state_names[l.paths], l.intents) -
		    1;
	look_fini(&l);
	return !r;
}

/* ---- after a crash ---- */

/* What the verdict promises must be what is seen. */
static bool verdict_is_true(const struct look *l, enum crash_op op, char why[WHY_MAX])
{
	enum drover_verdict v = l->persistent_item.verdict;
	bool absent = l->live == STATE_ABSENT && l->persistent == STATE_ABSENT;

	switch (v) {
	case DROVER_VERDICTS: /* nothing is told of it */
		if (!absent || l->intents || op == CRASH_UPDATE)
			return broken(why,
				      "nothing is told of it: live %s, persistent %s, %zu intents",
				      state_names[l->live], state_names[l->persistent], l->intents);
		return true;
	case DROVER_ATTACHED:
	case DROVER_CHANGED:
		if (l->live != l->persistent || l->live == STATE_NONE || l->live == STATE_ABSENT)
			return broken(why, "it is attached: live %s, persistent %s",
				      state_names[l->live], state_names[l->persistent]);
		if (op != CRASH_UPDATE && (v == DROVER_CHANGED || l->live == STATE_UPDATED))
			return broken(why, "it was changed by whom?");
		return true;
	case DROVER_ROLLED_BACK:
	case DROVER_HALF_ADDED:
	case DROVER_DETACHING:
		if (!absent)
			return broken(why, "it is %s: live %s, persistent %s",
				      drover_verdict_name(v), state_names[l->live],
				      state_names[l->persistent]);
		if (op != (v == DROVER_DETACHING ? CRASH_DETACH : CRASH_ATTACH))
			return broken(why, "it is %s after another change", drover_verdict_name(v));
		return true;
	default:
		return broken(why, "it is %s: %s", drover_verdict_name(v),
			      l->persistent_item.reason);
	}
}

struct actions {
	unsigned int n;
	char text[512];
};

static void note(void *data, const struct drover_repair_action *action)
{
	struct actions *a = data;

	a->n++;
	snprintf(a->text, sizeof(a->text), "%s %s (%s): %s", action->class_name, action->id,
		 drover_verdict_name(action->found), action->action);
}

static bool repair(struct crash_world *w, unsigned int flags, struct actions *ret,
		   char why[WHY_MAX])
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = drover_config_repair(w->c, w->domid, flags, note, ret);
	return r ? failed(w, why, "repair", r) : true;
}

/* Both views, the store's nodes and the intents say the same. */
static bool agree(struct crash_world *w, char why[WHY_MAX])
{
	struct look l;
	bool ok = look(w, &l, why);

	if (ok && (l.live != l.persistent || l.live == STATE_NONE || l.intents))
		ok = broken(why, "repaired: live %s, persistent %s, %zu intents",
			    state_names[l.live], state_names[l.persistent], l.intents);
	if (ok && !same(l.paths_text, w->seen[l.live].paths))
		ok = broken(why, "repaired: it is %s, and the store's nodes are\n%.1800s",
			    state_names[l.live], l.paths_text);
	look_fini(&l);
	return ok;
}

bool crash_world_check(struct crash_world *w, enum crash_op op, enum drover_verdict *ret_verdict,
		       char why[WHY_MAX])
{
	struct actions planned, done, again;
	struct look l;
	bool ok = look(w, &l, why) && verdict_is_true(&l, op, why);

	*ret_verdict = l.persistent_item.verdict;
	look_fini(&l);
	if (!ok || !repair(w, DROVER_REPAIR_DRY_RUN, &planned, why) || !repair(w, 0, &done, why) ||
	    !agree(w, why) || !repair(w, 0, &again, why))
		return false;
	if (again.n)
		return broken(why, "repaired, and repaired again: %s; and then: %s", done.text,
			      again.text);
	return true;
}
