/* SPDX-License-Identifier: MIT */
/*
 * Making record and store agree.
 *
 * Invariant: a backend that might yet answer gets its time, all of them the same time at once,
 * with nothing locked; what is done then is decided anew, under the locks. A device that was made
 * meanwhile in the place of one that went has had no time yet: it gets its own, or is left alone.
 */
#include "config/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"

/* Rounds of waiting, where devices come and go all the time. */
#define REPAIR_ROUNDS 4

/* Whether a backend's directory was there while it was waited for, and that to the end. */
struct waited {
	enum await what;
	char *back; /* owned */
	bool spent;
};

struct repair {
	struct drover_config *c; /* borrowed */
	unsigned int flags;
	drover_repair_fn *fn;
	void *data;
	struct conf_domain d;
	struct conf_judgement j;
	struct repair_plan *plans; /* owned: one for each judged device */
	size_t n_values;	   /* of the domain, set in the record */
	struct waited *waited;	   /* owned: of the last round of waiting */
	size_t n_waited;
	int failed; /* the first device that could not be repaired, and why */
	struct conf_err why;
};

static void forget_plans(struct repair *r)
{
	for (size_t i = 0; r->plans && i < r->j.n; i++)
		repair_plan_fini(&r->plans[i]);
	free(r->plans);
	r->plans = NULL;
}

static void forget_waited(struct repair *r)
{
	for (size_t i = 0; i < r->n_waited; i++)
		free(r->waited[i].back);
	free(r->waited);
	r->waited = NULL;
	r->n_waited = 0;
}

static void repair_fini(struct repair *r)
{
	forget_plans(r);
	forget_waited(r);
	conf_judgement_fini(&r->j);
	conf_domain_fini(&r->d);
}

/* ---- those that are waited for ---- */

static bool is_awaited(const struct conf_judged *j)
{
	if (!j->k || !j->dev || !j->dev->has_backend || !j->dev->backend_domain)
		return false;
	if (j->intent && intent_owner_alive(j->intent))
		return false;
	return j->verdict == DROVER_HALF_ADDED ||
	       (j->verdict == DROVER_DETACHING && class_place(j->k) == CLASS_DIRECTORY);
}

static enum await await_what(const struct conf_judged *j)
{
	return j->verdict == DROVER_DETACHING ? AWAIT_CLOSE : AWAIT_CONNECT;
}

/* Whether it has to be waited for, still. */
static bool is_due(const struct repair *r, const struct conf_judged *j)
{
	/* one that is to go does in the end: what is said of it does not hang on the wait */
	if (!is_awaited(j) || (j->verdict == DROVER_DETACHING && r->flags & DROVER_REPAIR_DRY_RUN))
		return false;
	for (size_t i = 0; i < r->n_waited; i++)
		if (r->waited[i].what == await_what(j) &&
		    strcmp(r->waited[i].back, j->dev->backend) == 0)
			return !r->waited[i].spent;
	return true;
}

static bool any_is_due(const struct repair *r)
{
	for (size_t i = 0; i < r->j.n; i++)
		if (is_due(r, &r->j.v[i]))
			return true;
	return false;
}

/*
 * Asks those that are to go and collects all that are waited for, also those that were already:
 * they may go meanwhile. Their paths are the store's.
 */
static int collect(struct repair *r, struct awaited *v, size_t *ret_n)
{
	size_t n = 0;
	int e = 0;

	for (size_t i = 0; i < r->j.n && !e; i++) {
		const struct conf_judged *j = &r->j.v[i];

		if (!is_awaited(j) ||
		    (j->verdict == DROVER_DETACHING && r->flags & DROVER_REPAIR_DRY_RUN))
			continue;
		/* meant and maybe not yet said: the guest may let go before it is taken away */
		if (j->verdict == DROVER_DETACHING)
			e = change_ask_to_go(r->c, &r->d, j->dev->backend);
		/* one that does not hold still for it hinders no repair of the others */
		if (e == -EAGAIN)
			e = 0;
		v[n++] = (struct awaited){
			.what = await_what(j),
			.back = j->dev->backend,
			.backend_domid = j->dev->backend_domid,
		};
	}
	*ret_n = n;
	return e;
}

static int remember(struct repair *r, const struct awaited *v, size_t n)
{
	forget_waited(r);
	r->waited = calloc(n + 1, sizeof(*r->waited));
	if (!r->waited)
		return conf_no_memory(&r->c->err);
	for (; r->n_waited < n; r->n_waited++) {
		const struct awaited *a = &v[r->n_waited];
		struct waited *w = &r->waited[r->n_waited];

		w->what = a->what;
		w->spent = !a->gone && a->result != AWAIT_PENDING &&
			   (a->what == AWAIT_CLOSE || a->result);
		w->back = strdup(a->back);
		if (!w->back)
			return conf_no_memory(&r->c->err);
	}
	return 0;
}

/* Gives them their time; then all is loaded and judged again. */
static int await_round(struct repair *r)
{
	struct awaited *v = calloc(r->j.n + 1, sizeof(*v));
	size_t n = 0;
	int e;

	if (!v)
		return conf_no_memory(&r->c->err);
	e = collect(r, v, &n);
	if (!e) {
		conf_domain_unlock(&r->d);
		e = change_await(r->c, r->d.domid, r->d.uuid, v, n,
				 conf_now_ms() + r->c->opt.backend_timeout_ms);
		if (!e)
			e = remember(r, v, n);
		conf_judgement_fini(&r->j);
		if (!e)
			e = conf_domain_reload(r->c, &r->d, true);
		if (!e)
			e = conf_judge(&r->d, &r->c->err, &r->j);
	}
	free(v);
	return e;
}

static int await_all(struct repair *r)
{
	int e = 0;

	for (int i = 0; i < REPAIR_ROUNDS && !e && any_is_due(r); i++)
		e = await_round(r);
	return e;
}

/* ---- all of it ---- */

/* A directory of entries is put in order once, whoever of them asks for it. */
static void restore_once(struct repair *r, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (r->j.v[k].dev == r->j.v[i].dev && r->plans[k].restore.n)
			keys_fini(&r->plans[i].restore);
}

/* Nothing stays on a controller that goes: what is put into the record for it would be missing. */
static void go_along(struct repair *r, size_t i)
{
	const struct conf_judged *j = &r->j.v[i];

	if (!j->k || !j->dev || class_place(j->k) != CLASS_ENTRY)
		return;
	for (size_t k = 0; k < r->j.n; k++) {
		const struct conf_judged *of = &r->j.v[k];

		if (of->dev != j->dev || !of->k || class_place(of->k) != CLASS_DIRECTORY ||
		    !r->plans[k].remove)
			continue;
		repair_plan_go_along(j, &r->plans[i]);
		return;
	}
}

static int make_plans(struct repair *r)
{
	int e = 0;

	r->plans = calloc(r->j.n + 1, sizeof(*r->plans));
	if (!r->plans)
		return conf_no_memory(&r->c->err);
	for (size_t i = 0; i < r->j.n && !e; i++) {
		e = repair_plan_make(r->c, &r->d, &r->j.v[i], r->flags, &r->plans[i]);
		if (!e && r->j.v[i].dev)
			restore_once(r, i);
	}
	for (size_t i = 0; i < r->j.n && !e; i++)
		go_along(r, i);
	return e;
}

/* A device that cannot be repaired, because its backend never holds still, hinders no other. */
static int run_plans(struct repair *r)
{
	int e = 0;

	for (size_t i = 0; i < r->j.n; i++) {
		e = repair_plan_run(r->c, &r->d, &r->j.v[i], &r->plans[i]);
		if (!e)
			continue;
		repair_plan_fini(&r->plans[i]);
		if (r->failed)
			continue;
		r->failed = e;
		r->why = r->c->err;
	}
	e = 0;
	if (r->n_values)
		e = conf_domain_store_record(r->c, &r->d);
	return e ? e : repair_plans_finish(r->c, &r->d, r->j.v, r->plans, r->j.n);
}

static int tell_values(struct repair *r)
{
	char text[64];
	struct drover_repair_action a = {
		.class_name = "domain",
		.id = "values",
		.found = DROVER_CHANGED,
		.action = text,
	};

	snprintf(text, sizeof(text), "record: %zu set to what the store has", r->n_values);
	r->fn(r->data, &a);
	return 0;
}

static int tell(struct repair *r)
{
	if (!r->fn)
		return 0;
	if (r->n_values)
		tell_values(r);
	for (size_t i = 0; i < r->j.n; i++) {
		const struct conf_judged *j = &r->j.v[i];
		const struct repair_plan *p = &r->plans[i];
		char *entry = p->del ? conf_json_line(p->del) : NULL;
		struct drover_repair_action a = {
			.class_name = j->k ? class_name(j->k) : NULL,
			.id = j->id,
			.found = j->verdict,
			.action = p->text,
			.entry = entry,
		};

		if (p->del && !entry)
			return conf_no_memory(&r->c->err);
		if (p->text[0])
			r->fn(r->data, &a);
		free(entry);
	}
	return 0;
}

static int repair(struct repair *r, uint32_t domid)
{
	int e = conf_domain_load(r->c, domid, true, 0, &r->d);

	if (!e)
		e = conf_judge(&r->d, &r->c->err, &r->j);
	if (!e)
		e = await_all(r);
	if (!e)
		e = make_plans(r);
	if (!e)
		e = conf_merge_values(&r->d, r->d.config, &r->n_values, &r->c->err);
	if (!e && !(r->flags & DROVER_REPAIR_DRY_RUN))
		e = run_plans(r);
	conf_domain_unlock(&r->d);
	if (!e)
		e = tell(r);
	if (e || !r->failed)
		return e;
	r->c->err = r->why;
	return r->failed;
}

int drover_config_repair(struct drover_config *c, uint32_t domid, unsigned int flags,
			 drover_repair_fn *fn, void *data)
{
	struct repair r = { .c = c, .flags = flags, .fn = fn, .data = data };
	int e = conf_session_begin(c);

	if (e)
		return e;
	r.d = (struct conf_domain){ .devices = USERDATA_LOCK_INIT, .record = USERDATA_LOCK_INIT };
	e = repair(&r, domid);
	repair_fini(&r);
	if (!e)
		c->err.text[0] = '\0';
	return e;
}
