/* SPDX-License-Identifier: MIT */
/*
 * The table of verdicts, row by row, and views made of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "config/intent_owner.h"
#include "config/json.h"
#include "config/session.h"

#define UUID "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
#define DISK                                                                                       \
	"{\"pdev_path\":\"/dev/vg/a\",\"vdev\":\"xvda\",\"backend\":\"phy\",\"format\":\"raw\","   \
	"\"readwrite\":1}"
#define OTHER_DISK                                                                                 \
	"{\"pdev_path\":\"/dev/vg/b\",\"vdev\":\"xvda\",\"backend\":\"phy\",\"format\":\"raw\","   \
	"\"readwrite\":1}"
#define CDROM                                                                                      \
	"{\"pdev_path\":\"/iso\",\"vdev\":\"xvda\",\"backend\":\"phy\",\"format\":\"raw\","        \
	"\"removable\":1,\"is_cdrom\":1}"
#define NIC "{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\",\"bridge\":\"xenbr0\",\"nictype\":\"vif\"}"

enum store {
	NOWHERE,
	WHOLE,
	NO_BACKEND_DIRECTORY,
	NO_BACKEND_DOMAIN,
	NO_STATE,
	NO_DEV_KEY, /* one that must be there */
	OTHER_PARAMS,
	NO_PARAMS,
};
enum maker { NOBODY, ALIVE, DEAD };

struct verdict_case {
	const char *claim;
	const char *record; /* the disk's entry, or NULL */
	enum store store;
	const char *state, *online;
	enum maker maker;
	enum intent_op op;
	enum drover_verdict verdict;
	const char *live, *persistent; /* pdev_path; NULL: not in it */
};

static const struct verdict_case cases[] = {
	{ "connected", DISK, WHOLE, "4", "1", NOBODY, 0, DROVER_ATTACHED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "waiting for its guest", DISK, WHOLE, "2", "1", NOBODY, 0, DROVER_ATTACHED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "closed, but online", DISK, WHOLE, "6", "1", NOBODY, 0, DROVER_ATTACHED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "reconfiguring", DISK, WHOLE, "7", "1", NOBODY, 0, DROVER_ATTACHED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "silent backend", DISK, WHOLE, "1", "1", NOBODY, 0, DROVER_HALF_ADDED, NULL, NULL },
	{ "asked to go", DISK, WHOLE, "5", "0", NOBODY, 0, DROVER_DETACHING, NULL, NULL },
	{ "gone but for its keys", DISK, WHOLE, "6", "0", NOBODY, 0, DROVER_DETACHING, NULL, NULL },
	{ "gone", DISK, NOWHERE, "", "", NOBODY, 0, DROVER_MISSING, NULL, "/dev/vg/a" },
	{ "no state", DISK, NO_STATE, "", "1", NOBODY, 0, DROVER_DAMAGED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "a state of nonsense", DISK, WHOLE, "44", "1", NOBODY, 0, DROVER_DAMAGED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "a key is missing", DISK, NO_DEV_KEY, "4", "1", NOBODY, 0, DROVER_DAMAGED, "/dev/vg/a",
	  "/dev/vg/a" },
	{ "its backend's directory is gone", DISK, NO_BACKEND_DIRECTORY, "", "", NOBODY, 0,
	  DROVER_DAMAGED, "/dev/vg/a", "/dev/vg/a" },
	{ "its backend's domain is gone", DISK, NO_BACKEND_DOMAIN, "", "", NOBODY, 0,
	  DROVER_BACKEND_GONE, "/dev/vg/a", "/dev/vg/a" },
	{ "other values", DISK, OTHER_PARAMS, "4", "1", NOBODY, 0, DROVER_CHANGED, "/dev/vg/b",
	  "/dev/vg/a" },
	{ "no medium", CDROM, NO_PARAMS, "4", "1", NOBODY, 0, DROVER_EJECTED, "", "/iso" },
	{ "in the store alone", NULL, WHOLE, "4", "1", NOBODY, 0, DROVER_STORE_ONLY, "/dev/vg/a",
	  NULL },
	{ "in the store alone, silent", NULL, WHOLE, "1", "1", NOBODY, 0, DROVER_HALF_ADDED, NULL,
	  NULL },
	{ "in the store alone, a key missing", NULL, NO_DEV_KEY, "4", "1", NOBODY, 0,
	  DROVER_DAMAGED, NULL, NULL },
	{ "in the store alone, leaving", NULL, WHOLE, "6", "0", NOBODY, 0, DROVER_DETACHING, NULL,
	  NULL },

	{ "being attached", DISK, WHOLE, "1", "1", ALIVE, INTENT_ADD, DROVER_ADDING, NULL, NULL },
	{ "being attached, nothing written", NULL, NOWHERE, "", "", ALIVE, INTENT_ADD,
	  DROVER_ADDING, NULL, NULL },
	{ "being detached", DISK, WHOLE, "4", "1", ALIVE, INTENT_REMOVE, DROVER_REMOVING, NULL,
	  NULL },
	{ "died before anything", NULL, NOWHERE, "", "", DEAD, INTENT_ADD, DROVER_ROLLED_BACK, NULL,
	  NULL },
	{ "died behind the record", DISK, NOWHERE, "", "", DEAD, INTENT_ADD, DROVER_ROLLED_BACK,
	  NULL, NULL },
	{ "died waiting", DISK, WHOLE, "1", "1", DEAD, INTENT_ADD, DROVER_HALF_ADDED, NULL, NULL },
	{ "died, the backend took it", DISK, WHOLE, "2", "1", DEAD, INTENT_ADD, DROVER_ATTACHED,
	  "/dev/vg/a", "/dev/vg/a" },
	{ "died detaching, nothing done", DISK, WHOLE, "4", "1", DEAD, INTENT_REMOVE,
	  DROVER_DETACHING, NULL, NULL },
	{ "died detaching, keys gone", DISK, NOWHERE, "", "", DEAD, INTENT_REMOVE, DROVER_DETACHING,
	  NULL, NULL },
	{ "died changing it, the store is new", DISK, OTHER_PARAMS, "4", "1", DEAD, INTENT_UPDATE,
	  DROVER_CHANGED, "/dev/vg/b", "/dev/vg/b" },
	{ "died changing it, the store is old", OTHER_DISK, WHOLE, "4", "1", DEAD, INTENT_UPDATE,
	  DROVER_CHANGED, "/dev/vg/a", "/dev/vg/a" },
	{ "died changing it, both are new", OTHER_DISK, OTHER_PARAMS, "4", "1", DEAD, INTENT_UPDATE,
	  DROVER_ATTACHED, "/dev/vg/b", "/dev/vg/b" },
};

static struct json_object *parse(const char *text)
{
	struct json_object *o = NULL;

	assert_int_equal(conf_json_parse(text, strlen(text), NULL, &o), 0);
	return o;
}

/* A record with a nic, and a disk where there is one. */
static struct json_object *record(const char *disk)
{
	char text[2048];
	struct json_object *config = NULL;
	struct conf_err err = { 0 };

	snprintf(text, sizeof(text),
		 "{\"c_info\":{\"type\":\"pv\",\"name\":\"pv1\",\"uuid\":\"" UUID "\"},"
		 "\"b_info\":{\"max_vcpus\":1,\"avail_vcpus\":[0],\"max_memkb\":2048,"
		 "\"target_memkb\":1024,\"video_memkb\":0,\"sched_params\":{},\"type.pv\":{},"
		 "\"arch_arm\":{},\"arch_x86\":{}},"
		 "%s%s%s\"nics\":[" NIC "],\"on_reboot\":\"restart\"}",
		 disk ? "\"disks\":[" : "", disk ? disk : "", disk ? "]," : "");
	if (conf_json_read(text, strlen(text), &err, &config))
		fail_msg("%s", err.text);
	return config;
}

/* What attaching the entry leaves in the store. */
static void fill_dev(struct conf_dev *d, const char *class, const char *entry, enum store store)
{
	const struct conf_class *k = class_find(class);
	const struct class_where where = { .domid = 7, .domain_type = "pv" };
	CLEANUP_JSON struct json_object *o = parse(entry);
	char *front = NULL, *back = NULL, *libxl = NULL;
	struct class_nodes nodes = { 0 };
	struct conf_err err = { 0 };
	size_t i;

	assert_int_equal(conf_json_canon(class_schema(k), o, &err), 0);
	if (class_nodes(k, o, &where, &err, &nodes) ||
	    class_paths(k, o, &where, &front, &back, &libxl, &err) ||
	    class_devid(k, o, &d->devid, &err))
		fail_msg("%s", err.text);
	d->kind = strdup(class_kind(k));
	d->path = libxl;
	d->backend = back;
	d->backend_kind = strdup(class_kind(k));
	d->backend_domain = store != NO_BACKEND_DOMAIN;
	d->has_backend = store != NO_BACKEND_DOMAIN && store != NO_BACKEND_DIRECTORY;
	for (i = 0; i < nodes.n; i++) {
		const struct class_node *n = &nodes.v[i];
		const char *base = n->side == CLASS_LIBXL ? libxl : back;
		size_t len = strlen(base);

		if (n->side == CLASS_FRONTEND || strncmp(n->path, base, len) != 0 ||
		    n->path[len] != '/')
			continue;
		if (store == NO_DEV_KEY && !strcmp(n->path + len, "/dev"))
			continue;
		if (n->side == CLASS_BACKEND &&
		    (!strcmp(n->path + len, "/state") || !strcmp(n->path + len, "/online")))
			continue;
		conf_values_put(n->side == CLASS_LIBXL ? &d->libxl : &d->back, n->path + len + 1,
				n->value, strlen(n->value));
	}
	free(front);
	class_nodes_fini(&nodes);
}

static void set(struct conf_values *v, const char *key, const char *value)
{
	size_t i;

	for (i = 0; i < v->n; i++) {
		if (strcmp(v->v[i].key, key) != 0)
			continue;
		free(v->v[i].key);
		v->v[i] = v->v[--v->n];
		break;
	}
	conf_values_put(v, key, value, strlen(value));
}

static void set_back(struct conf_dev *d, const char *key, const char *value)
{
	set(&d->back, key, value);
}

/* As who changes a medium does. */
static void set_both(struct conf_dev *d, const char *key, const char *value)
{
	set(&d->back, key, value);
	set(&d->libxl, key, value);
}

/* This process, or one that had its pid before it. */
static void make_maker(enum maker maker, struct intent *i)
{
	assert_int_equal(intent_owner_self(i, NULL), 0);
	if (maker == DEAD)
		i->start_ticks--;
}

static struct conf_snapshot *make_store(const struct verdict_case *c)
{
	struct conf_snapshot *s = calloc(1, sizeof(*s));

	s->domid = 7;
	strcpy(s->uuid, UUID);
	s->name = strdup("pv1");
	s->type = strdup("pv");
	s->devs = calloc(2, sizeof(*s->devs));
	if (c->store != NOWHERE) {
		struct conf_dev *d = &s->devs[s->n_devs++];
		const char *entry = c->record && strstr(c->record, "cdrom") ? CDROM : DISK;

		fill_dev(d, "vbd", entry, c->store);
		if (c->store != NO_STATE)
			set_back(d, "state", c->state);
		set_back(d, "online", c->online);
		if (c->store == OTHER_PARAMS)
			set_both(d, "params", "/dev/vg/b");
		if (c->store == NO_PARAMS)
			set_both(d, "params", "");
	}
	fill_dev(&s->devs[s->n_devs], "vif", NIC, WHOLE);
	set_back(&s->devs[s->n_devs], "state", "4");
	set_back(&s->devs[s->n_devs++], "online", "1");
	for (size_t i = 0; i < s->n_devs; i++) {
		conf_values_sort(&s->devs[i].libxl);
		conf_values_sort(&s->devs[i].back);
	}
	return s;
}

static const char *path_of(struct json_object *entry)
{
	const char *path = entry ? conf_json_string(entry, "pdev_path") : NULL;

	return entry && !path ? "" : path;
}

static void check_path(const struct verdict_case *c, const char *view, struct json_object *entry,
		       const char *want)
{
	const char *got = path_of(entry);

	if (!got != !want || (got && strcmp(got, want) != 0))
		fail_msg("%s: %s view has %s", c->claim, view, got ? got : "nothing");
}

static void check_case(const struct verdict_case *c)
{
	struct intent i = { .op = c->op, .class = "vbd", .id = strdup("xvda") };
	struct conf_domain d = { .domid = 7, .uuid = UUID };
	struct conf_judgement j;
	struct conf_err err = { 0 };
	size_t n, seen = 0;

	d.devices = d.record = (struct userdata_lock)USERDATA_LOCK_INIT;
	d.config = record(c->record);
	d.store = make_store(c);
	if (c->maker != NOBODY) {
		make_maker(c->maker, &i);
		i.new = c->op == INTENT_REMOVE ? NULL
					       : parse(c->op == INTENT_ADD ? DISK : OTHER_DISK);
		i.old = c->op == INTENT_ADD ? NULL : parse(DISK);
		d.intents.v = calloc(1, sizeof(i));
		d.intents.v[0] = i;
		d.intents.n = 1;
	} else {
		free(i.id);
	}
	if (conf_judge(&d, &err, &j))
		fail_msg("%s: %s", c->claim, err.text);
	for (n = 0; n < j.n; n++) {
		const struct conf_judged *g = &j.v[n];

		assert_non_null(g->path);
		assert_true(g->reason[0]);
		if (!strcmp(class_name(g->k), "vif")) {
			/* whatever is wrong with the disk, the nic is as it is */
			assert_int_equal(g->verdict, DROVER_ATTACHED);
			assert_true(g->live && g->persistent);
			continue;
		}
		seen++;
		assert_string_equal(g->id, "xvda");
		if (g->verdict != c->verdict)
			fail_msg("%s: %s (%s), not %s", c->claim, drover_verdict_name(g->verdict),
				 g->reason, drover_verdict_name(c->verdict));
		check_path(c, "live", g->live, c->live);
		check_path(c, "persistent", g->persistent, c->persistent);
	}
	assert_int_equal(seen, 1);
	conf_judgement_fini(&j);
	conf_domain_fini(&d);
}

static void verdicts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		check_case(&cases[i]);
}

/* Views and report are the judgement's; values of the domain are the store's in the live view. */
static void a_view_is_made_of_its_parts(void **state)
{
	const struct verdict_case c = { "", DISK, WHOLE, "1", "1", NOBODY, 0, 0, NULL, NULL };
	struct conf_domain d = { .domid = 7, .uuid = UUID };
	struct drover_domain_config *v = NULL;
	struct conf_err err = { 0 };
	bool half = false, memory = false;
	size_t i;

	(void)state;
	d.devices = d.record = (struct userdata_lock)USERDATA_LOCK_INIT;
	d.config = record(c.record);
	d.store = make_store(&c);
	conf_values_put(&d.store->domain, "memory/target", "1536", 4);
	conf_values_put(&d.store->domain, "memory/static-max", "2048", 4);
	conf_values_put(&d.store->domain, "cpu/0/availability", "online", 6);
	conf_values_sort(&d.store->domain);

	assert_int_equal(conf_merge(&d, DROVER_VIEW_LIVE, NULL, &err, &v), 0);
	assert_string_equal(drover_domain_config_get(v, "b_info.target_memkb"), "1536");
	assert_int_equal(drover_domain_config_devices(v, "disk"), 0);
	assert_int_equal(drover_domain_config_devices(v, "vif"), 1);
	assert_string_equal(drover_device_id(drover_domain_config_device(v, "vif", 0)), "0");
	for (i = 0; i < drover_domain_config_report_len(v); i++) {
		const struct drover_report_item *r = drover_domain_config_report(v, i);

		half |= r->verdict == DROVER_HALF_ADDED && !strcmp(r->id, "xvda") && !r->in_live;
		memory |= r->verdict == DROVER_CHANGED && !strcmp(r->class_name, "domain") &&
			  !strcmp(r->id, "b_info.target_memkb");
	}
	assert_true(half && memory);
	drover_domain_config_free(v);

	assert_int_equal(conf_merge(&d, DROVER_VIEW_PERSISTENT, NULL, &err, &v), 0);
	assert_string_equal(drover_domain_config_get(v, "b_info.target_memkb"), "1024");
	drover_domain_config_free(v);
	conf_domain_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(a_view_is_made_of_its_parts),
	};

	return cmocka_run_group_tests_name("config/judge", tests, NULL, NULL);
}
