/* SPDX-License-Identifier: MIT */
/*
 * A view of a domain: the record as the template, values and devices as they were judged, and a
 * report that leaves nothing out.
 *
 * Invariant: every judged device has an item in the report, in whatever view.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/session.h"
#include "wire/wire.h"

/* Virtual cpus that a store's nodes may make us note. */
#define MERGE_VCPUS_MAX 4096

struct merging {
	const struct conf_domain *d;
	struct drover_domain_config *to; /* its report grows; NULL: nobody wants one */
	struct json_object *config;	 /* borrowed: being changed */
	struct conf_err *err;
	size_t n_changed;
	size_t room;
};

/* ---- the report ---- */

static int report(struct merging *m, const char *class, const char *id, enum drover_verdict verdict,
		  const char *path, bool in_live, bool in_persistent, const char *reason)
{
	struct drover_domain_config *to = m->to;
	struct conf_report_item *i;

	if (!to)
		return 0;
	if (to->n_report == m->room) {
		size_t room = m->room ? m->room * 2 : 16;

		i = realloc(to->report, room * sizeof(*i));
		if (!i)
			return conf_no_memory(m->err);
		to->report = i;
		m->room = room;
	}
	i = &to->report[to->n_report];
	memset(i, 0, sizeof(*i));
	snprintf(i->id, sizeof(i->id), "%s", id);
	i->reason = strdup(reason);
	i->path = strdup(path ? path : "");
	i->item = (struct drover_report_item){
		.class_name = class,
		.verdict = verdict,
		.in_live = in_live,
		.in_persistent = in_persistent,
	};
	to->n_report++;
	return i->reason && i->path ? 0 : conf_no_memory(m->err);
}

/* The items' own strings lie still from now on. */
static void point_report(struct drover_domain_config *to)
{
	size_t i;

	for (i = 0; i < to->n_report; i++) {
		struct conf_report_item *r = &to->report[i];

		r->item.id = r->id;
		r->item.reason = r->reason;
		r->item.path = r->path;
	}
}

/*
 * The hypervisor makes domain 0. Its record is an empty one, which nobody keeps, and not every
 * value is in the store: that the two differ says nothing.
 */
static bool has_record(const struct merging *m)
{
	return m->d->domid != 0;
}

static int __attribute__((format(printf, 5, 6)))
report_value(struct merging *m, const char *id, enum drover_verdict verdict, const char *node,
	     const char *fmt, ...)
{
	char path[128], reason[256];
	va_list ap;

	if (!has_record(m))
		return 0;
	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/%s", m->d->domid, node);
	return report(m, "domain", id, verdict, path, true, true, reason);
}

/* ---- values of the domain ---- */

static struct json_object *part(struct json_object *config, const char *name)
{
	struct json_object *o = NULL;

	return json_object_object_get_ex(config, name, &o) ? o : NULL;
}

/* Puts a value (now the object's) and counts it where the text differs. */
static int put_value(struct merging *m, const char *in, const char *field, const char *node,
		     struct json_object *value)
{
	struct json_object *o = part(m->config, in), *was;
	char id[64], before[100], after[100];
	int r = 0;

	if (!value || !o) {
		json_object_put(value);
		return value ? 0 : conf_no_memory(m->err);
	}
	was = part(o, field);
	if (!was || !json_object_equal(was, value)) {
		snprintf(id, sizeof(id), "%s.%s", in, field);
		snprintf(before, sizeof(before), "%.90s",
			 was ? json_object_to_json_string(was) : "nothing");
		snprintf(after, sizeof(after), "%.90s", json_object_to_json_string(value));
		m->n_changed += has_record(m);
		r = report_value(m, id, DROVER_CHANGED, node, "record has %s, store has %s", before,
				 after);
	}
	if (json_object_object_add(o, field, value)) {
		json_object_put(value);
		return conf_no_memory(m->err);
	}
	return r;
}

static int merge_name(struct merging *m)
{
	const char *name = m->d->store->name;

	if (!name)
		return report_value(m, "c_info.name", DROVER_DAMAGED, "name",
				    "the store does not tell the name; the record's is kept");
	if (!conf_json_is_utf8(name, strlen(name)))
		return report_value(m, "c_info.name", DROVER_DAMAGED, "name",
				    "the store's name is no UTF-8; the record's is kept");
	return put_value(m, "c_info", "name", "name", json_object_new_string(name));
}

/* A number of KiB; false: there is none. */
static bool kib(const struct conf_values *v, const char *key, uint64_t *ret)
{
	const char *text = conf_values_get(v, key);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && !*end && *ret < INT64_MAX / 2;
}

/* libxl keeps the memory of the display out of the target that it writes. */
static uint64_t video_kib(const struct merging *m)
{
	struct json_object *b_info = part(m->config, "b_info");
	uint64_t v;

	if (b_info && part(b_info, "video_memkb"))
		return (uint64_t)conf_json_int(b_info, "video_memkb", 0);
	return kib(&m->d->store->domain, "memory/videoram", &v) ? v : 0;
}

static int merge_memory(struct merging *m)
{
	const struct conf_values *v = &m->d->store->domain;
	uint64_t n;
	int r;

	if (kib(v, "memory/target", &n))
		r = put_value(m, "b_info", "target_memkb", "memory/target",
			      json_object_new_uint64(n + video_kib(m)));
	else
		r = report_value(m, "b_info.target_memkb", DROVER_DAMAGED, "memory/target",
				 "the store does not tell it; the record's is kept");
	if (r)
		return r;
	if (kib(v, "memory/static-max", &n))
		return put_value(m, "b_info", "max_memkb", "memory/static-max",
				 json_object_new_uint64(n));
	return report_value(m, "b_info.max_memkb", DROVER_DAMAGED, "memory/static-max",
			    "the store does not tell it; the record's is kept");
}

static int merge_vcpus(struct merging *m)
{
	struct json_object *b_info = part(m->config, "b_info"), *set;
	int64_t i, max = b_info ? conf_json_int(b_info, "max_vcpus", 0) : 0;
	bool any = false;

	set = json_object_new_array();
	if (!set)
		return conf_no_memory(m->err);
	for (i = 0; i < max && i < MERGE_VCPUS_MAX; i++) {
		char key[64];
		const char *is;

		snprintf(key, sizeof(key), "cpu/%" PRIi64 "/availability", i);
		is = conf_values_get(&m->d->store->domain, key);
		any |= is != NULL;
		if (is && !strcmp(is, "online") &&
		    json_object_array_add(set, json_object_new_int64(i))) {
			json_object_put(set);
			return conf_no_memory(m->err);
		}
	}
	if (any && json_object_array_length(set))
		return put_value(m, "b_info", "avail_vcpus", "cpu", set);
	json_object_put(set);
	return report_value(m, "b_info.avail_vcpus", DROVER_DAMAGED, "cpu",
			    "the store tells of no vcpu that is online; the record's are kept");
}

static int merge_uuid(struct merging *m)
{
	if (!has_record(m))
		return 0; /* nor has it a uuid */
	return put_value(m, "c_info", "uuid", "vm", json_object_new_string(m->d->uuid));
}

static int merge_values(struct merging *m)
{
	int r = merge_uuid(m);

	if (!r)
		r = merge_name(m);
	if (!r)
		r = merge_memory(m);
	return r ? r : merge_vcpus(m);
}

int conf_merge_values(const struct conf_domain *d, struct json_object *config, size_t *ret_changed,
		      struct conf_err *err)
{
	struct merging m = { .d = d, .config = config, .err = err };
	int r = merge_values(&m);

	if (!r)
		*ret_changed = m.n_changed;
	return r;
}

/* ---- what the hypervisor knows ---- */

struct sched {
	struct json_object *params;
	int r;
};

static void put_sched(void *arg, const char *field, const char *value)
{
	struct sched *s = arg;
	struct json_object *v;
	char *end;
	long n = strtol(value, &end, 10);

	if (s->r)
		return;
	v = *value && !*end ? json_object_new_int64(n) : json_object_new_string(value);
	if (!v || json_object_object_add(s->params, field, v)) {
		json_object_put(v);
		s->r = -ENOMEM;
	}
}

static int merge_sched(struct merging *m, const struct drover_config_host *host)
{
	struct json_object *b_info = part(m->config, "b_info");
	struct sched s = { .params = b_info ? part(b_info, "sched_params") : NULL };
	int r;

	if (!host || !host->domain_sched || !s.params)
		return 0;
	r = host->domain_sched(host->data, m->d->domid, put_sched, &s);
	if (r || s.r)
		return conf_fail(m->err, r ? r : s.r,
				 "domain %" PRIu32
				 ": the hypervisor does not tell its scheduling: %s",
				 m->d->domid, strerror(r ? -r : -s.r));
	return 0;
}

/* ---- devices ---- */

static bool is_list_of_devices(const char *name)
{
	const struct conf_class *k;
	size_t i;

	for (i = 0; (k = class_at(i)); i++)
		if (!strcmp(class_list(k), name))
			return true;
	return false;
}

/*
 * The record without its devices: their lists are made of what was judged. What is not changed
 * here is the record's own.
 */
static int copy_rest(struct json_object *record, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *config = json_object_new_object();

	if (!config)
		return -ENOMEM;
	json_object_object_foreach(record, name, value)
	{
		bool changes = !strcmp(name, "c_info") || !strcmp(name, "b_info");
		struct json_object *mine;

		if (is_list_of_devices(name))
			continue;
		mine = changes ? conf_json_copy(value) : json_object_get(value);
		if ((changes && !mine) || json_object_object_add(config, name, mine)) {
			json_object_put(mine);
			return -ENOMEM;
		}
	}
	*ret = TAKE(config);
	return 0;
}

static int put_devices(struct merging *m, const struct conf_judgement *j,
		       enum drover_config_view view)
{
	size_t i;
	int r = 0;

	for (i = 0; !r && i < j->n; i++) {
		const struct conf_judged *g = &j->v[i];
		struct json_object *entry = view == DROVER_VIEW_LIVE ? g->live : g->persistent;

		if (entry &&
		    conf_json_list_add(m->config, class_list(g->k), json_object_get(entry)))
			return conf_no_memory(m->err);
		r = report(m, g->k ? class_name(g->k) : "unknown", g->id, g->verdict, g->path,
			   g->live != NULL, g->persistent != NULL, g->reason);
	}
	return r;
}

/* What a configuration is made of where there is no record. */
static int make_template(const struct conf_domain *d, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *config = conf_json_new(schema_domain_config());
	const char *type = d->store->type;
	const struct schema_type *t = schema_domain_config();
	size_t i, n_vcpus = 0;
	char text[16];
	int r;

	if (!config)
		return -ENOMEM;
	for (i = 0; i < d->store->domain.n; i++)
		n_vcpus += !strncmp(d->store->domain.v[i].key, "cpu/", 4);
	snprintf(text, sizeof(text), "%zu", n_vcpus);
	r = conf_json_set(t, config, "c_info.uuid", d->uuid, NULL);
	if (!r && n_vcpus)
		r = conf_json_set(t, config, "b_info.max_vcpus", text, NULL);
	if (!r && type && conf_json_set(t, config, "c_info.type", type, NULL) == -ENOMEM)
		r = -ENOMEM;
	if (!r)
		*ret = TAKE(config);
	return r;
}

static int merge_into(struct merging *m, const struct conf_judgement *j,
		      enum drover_config_view view, const struct drover_config_host *host)
{
	struct drover_domain_config *to = m->to;
	int r;

	if (m->d->config ? copy_rest(m->d->config, &to->json) : make_template(m->d, &to->json))
		return conf_no_memory(m->err);
	m->config = to->json;
	if (view == DROVER_VIEW_LIVE || !m->d->config) {
		r = merge_values(m);
		if (!r)
			r = merge_sched(m, host);
	} else {
		/* the record's values stand, but what differs is told */
		CLEANUP_JSON struct json_object *live = conf_json_copy(to->json);

		if (!live)
			return conf_no_memory(m->err);
		m->config = live;
		r = merge_values(m);
		m->config = to->json;
	}
	if (r)
		return r;
	return put_devices(m, j, view);
}

int conf_merge(const struct conf_domain *d, enum drover_config_view view,
	       const struct drover_config_host *host, struct conf_err *err,
	       struct drover_domain_config **ret)
{
	struct merging m = { .d = d, .err = err };
	struct conf_judgement j;
	int r = conf_judge(d, err, &j);

	if (r)
		return r;
	m.to = calloc(1, sizeof(*m.to));
	if (m.to) {
		m.to->domid = d->domid;
		m.to->degraded = !d->config;
		r = merge_into(&m, &j, view, host);
		point_report(m.to);
	} else {
		r = conf_no_memory(err);
	}
	conf_judgement_fini(&j);
	if (r) {
		drover_domain_config_free(m.to);
		return r;
	}
	*ret = m.to;
	return 0;
}
