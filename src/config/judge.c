/* SPDX-License-Identifier: MIT */
/*
 * One verdict for each device that record, store or an intent names.
 *
 * Invariant: a judgement depends on nothing but the domain as it was loaded and on whether the
 * makers of its intents live; it names every entry of the record, every directory of the store
 * and every intent exactly once.
 */
#include "config/judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "config/session.h"

struct judging {
	const struct conf_domain *d;
	struct conf_err *err;
	struct conf_judgement *j;
	bool *seen;	   /* owned: directories of the store that a class owns */
	bool *intent_seen; /* owned */
	size_t room;
};

void conf_judgement_fini(struct conf_judgement *j)
{
	size_t i;

	for (i = 0; i < j->n; i++) {
		free(j->v[i].path);
		json_object_put(j->v[i].live);
		json_object_put(j->v[i].persistent);
	}
	free(j->v);
	memset(j, 0, sizeof(*j));
}

static struct conf_judged *add(struct judging *a, const struct conf_class *k, const char *id)
{
	struct conf_judgement *j = a->j;
	struct conf_judged *g;

	if (j->n == a->room) {
		size_t room = a->room ? a->room * 2 : 16;

		g = realloc(j->v, room * sizeof(*g));
		if (!g)
			return NULL;
		j->v = g;
		a->room = room;
	}
	g = &j->v[j->n];
	memset(g, 0, sizeof(*g));
	g->k = k;
	snprintf(g->id, sizeof(g->id), "%s", id);
	return g;
}

/* Where the device is, for people. */
static int name_path(const struct conf_domain *d, struct conf_judged *g)
{
	const char *path = d->record_path ? d->record_path : "";

	if (g->dev)
		path = g->dev->backend ? g->dev->backend : g->dev->path;
	g->path = strdup(path);
	return g->path ? 0 : -ENOMEM;
}

static int finish(struct judging *a, struct conf_judged *g)
{
	const struct intents *s = &a->d->intents;
	int r;

	a->j->n++; /* what is in it is freed from now on */
	if (g->k && !g->intent)
		g->intent = intents_find(s, class_name(g->k), g->id);
	if (g->intent)
		a->intent_seen[g->intent - s->v] = true;
	r = name_path(a->d, g);
	if (!r && !g->reason[0])
		r = judge_device(a->d, g, a->err);
	return r == -ENOMEM ? conf_no_memory(a->err) : r;
}

struct find_id {
	const char *id;
	bool found;
};

static int compare_id(void *data, const char *id, unsigned int index)
{
	struct find_id *f = data;

	(void)index;
	f->found |= !strcmp(f->id, id);
	return 0;
}

/* Whether a directory is one of the class and has the identity. */
static bool holds(const struct conf_class *k, const struct conf_dev *dev, const char *id)
{
	struct find_id f = { .id = id };

	if (!class_owns(k, dev))
		return false;
	return !class_store_ids(k, dev, compare_id, &f) && f.found;
}

/*
 * The directory that holds the record's entry, if it holds it. An entry that does not say its
 * number (libxl chose it and did not write it down) is looked for by its identity.
 */
static const struct conf_dev *find_dev(const struct judging *a, const struct conf_class *k,
				       struct json_object *entry, const char *id)
{
	const struct conf_snapshot *s = a->d->store;
	const struct conf_dev *dev;
	char wrong[160];
	uint32_t devid;
	size_t i;

	if (class_place(k) == CLASS_RECORD_ONLY)
		return NULL;
	if (class_devid(k, entry, &devid, NULL)) {
		for (i = 0; i < s->n_devs; i++)
			if (holds(k, &s->devs[i], id))
				return &s->devs[i];
		return NULL;
	}
	dev = conf_snapshot_find(s, class_kind_of(k, entry), devid);
	if (!dev || !class_owns(k, dev))
		return NULL;
	if (class_place(k) == CLASS_DIRECTORY || holds(k, dev, id))
		return dev;
	/* An entry that lacks the key which would name it may be the one. */
	class_check(k, dev, id, wrong, sizeof(wrong));
	return wrong[0] ? dev : NULL;
}

static struct conf_judged *find_judged(const struct judging *a, const struct conf_class *k,
				       const char *id)
{
	size_t i;

	for (i = 0; i < a->j->n; i++)
		if (a->j->v[i].k == k && !strcmp(a->j->v[i].id, id))
			return &a->j->v[i];
	return NULL;
}

static int judge_record(struct judging *a, const struct conf_class *k)
{
	struct json_object *list =
		a->d->config ? conf_json_list(a->d->config, class_list(k)) : NULL;
	size_t i, n = list ? json_object_array_length(list) : 0;
	int r = 0;

	for (i = 0; !r && i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		char id[CLASS_ID_MAX];
		struct conf_judged *g;

		if (class_id(k, entry, id, a->err))
			return conf_fail_in(a->err, -EBADMSG, "record %s: %s[%zu]",
					    a->d->record_path ? a->d->record_path : "",
					    class_list(k), i);
		if (find_judged(a, k, id))
			return conf_fail(a->err, -EBADMSG, "record %s: %s[%zu]: %s is there twice",
					 a->d->record_path ? a->d->record_path : "", class_list(k),
					 i, id);
		g = add(a, k, id);
		if (!g)
			return conf_no_memory(a->err);
		g->entry = entry;
		g->index = i;
		g->dev = find_dev(a, k, entry, id);
		r = finish(a, g);
	}
	return r;
}

struct store_id {
	struct judging *a;
	const struct conf_class *k;
	const struct conf_dev *dev;
};

static int judge_store_id(void *data, const char *id, unsigned int index)
{
	struct store_id *s = data;
	struct conf_judged *g;
	size_t i;

	(void)index;
	for (i = 0; i < s->a->j->n; i++) {
		g = &s->a->j->v[i];
		if (g->k == s->k && g->dev == s->dev &&
		    (class_place(s->k) == CLASS_DIRECTORY || !strcmp(g->id, id)))
			return 0;
	}
	g = add(s->a, s->k, id);
	if (!g)
		return conf_no_memory(s->a->err);
	g->dev = s->dev;
	return finish(s->a, g);
}

/* What is wrong with a directory of entries as a whole: none of its entries tells. */
static int judge_directory(struct judging *a, const struct conf_class *k,
			   const struct conf_dev *dev)
{
	struct conf_judged *g;
	char wrong[160];

	class_check(k, dev, "", wrong, sizeof(wrong));
	if (!wrong[0])
		return 0;
	g = add(a, k, "");
	if (!g)
		return conf_no_memory(a->err);
	snprintf(g->id, sizeof(g->id), "%" PRIu32, dev->devid);
	g->dev = dev;
	judge_decide(g, DROVER_DAMAGED, "the directory of all: %s", wrong);
	return finish(a, g);
}

static int judge_devices(struct judging *a, const struct conf_class *k)
{
	const struct conf_snapshot *s = a->d->store;
	size_t i;
	int r = 0;

	for (i = 0; !r && i < s->n_devs; i++) {
		struct store_id data = { .a = a, .k = k, .dev = &s->devs[i] };

		if (!class_owns(k, &s->devs[i]))
			continue;
		a->seen[i] = true;
		r = class_store_ids(k, &s->devs[i], judge_store_id, &data);
		if (!r && class_place(k) == CLASS_ENTRY)
			r = judge_directory(a, k, &s->devs[i]);
	}
	return r;
}

/* Intents of devices that neither record nor store has. */
static int judge_intents(struct judging *a)
{
	const struct intents *s = &a->d->intents;
	size_t i;
	int r = 0;

	for (i = 0; !r && i < s->n; i++) {
		const struct conf_class *k = class_find(s->v[i].class);
		struct conf_judged *g;

		if (a->intent_seen[i] || !k)
			continue;
		g = add(a, k, s->v[i].id);
		if (!g)
			return conf_no_memory(a->err);
		g->intent = &s->v[i];
		r = finish(a, g);
	}
	return r;
}

/* Directories of kinds that no class has. */
static int judge_unknown(struct judging *a)
{
	const struct conf_snapshot *s = a->d->store;
	char id[CLASS_ID_MAX];
	size_t i;
	int r = 0;

	for (i = 0; !r && i < s->n_devs; i++) {
		const struct conf_dev *dev = &s->devs[i];
		struct conf_judged *g;

		if (a->seen[i])
			continue;
		snprintf(id, sizeof(id), "%.200s/%" PRIu32, dev->kind, dev->devid);
		g = add(a, NULL, id);
		if (!g)
			return conf_no_memory(a->err);
		g->dev = dev;
		if (!strcmp(dev->kind, "console"))
			judge_decide(g, DROVER_IMPLIED, "a console that every domain has");
		else
			judge_decide(g, DROVER_STORE_ONLY, "of a kind that is not known");
		r = finish(a, g);
	}
	return r;
}

int conf_judge(const struct conf_domain *d, struct conf_err *err, struct conf_judgement *ret)
{
	struct judging a = { .d = d, .err = err, .j = ret };
	const struct conf_class *k;
	size_t i;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	a.seen = calloc(d->store->n_devs + 1, sizeof(*a.seen));
	a.intent_seen = calloc(d->intents.n + 1, sizeof(*a.intent_seen));
	if (!a.seen || !a.intent_seen)
		r = conf_no_memory(err);
	for (i = 0; !r && (k = class_at(i)); i++) {
		r = judge_record(&a, k);
		if (!r)
			r = judge_devices(&a, k);
	}
	if (!r)
		r = judge_intents(&a);
	if (!r)
		r = judge_unknown(&a);
	free(a.seen);
	free(a.intent_seen);
	if (r)
		conf_judgement_fini(ret);
	return r;
}
