/* SPDX-License-Identifier: MIT */
/*
 * What the store says of a device: what comes back from it, what is wrong with it, and where it
 * differs from the record.
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
#include "config/class_cases_test.h"

#include <errno.h>

/* ---- a device as a snapshot has it ---- */

static char *copy(const char *text)
{
	char *p = strdup(text);

	assert_non_null(p);
	return p;
}

static void values_put(struct conf_values *v, const char *key, const char *value)
{
	assert_int_equal(conf_values_put(v, key, value, strlen(value)), 0);
}

/* The nodes below one directory, those of `skip` left out. */
static void take_side(struct conf_values *v, const struct class_nodes *nodes, const char *dir,
		      const char *skip)
{
	size_t len = strlen(dir);

	for (size_t i = 0; i < nodes->n; i++) {
		const char *path = nodes->v[i].path;

		if (strncmp(path, dir, len) != 0 || path[len] != '/' ||
		    (skip && !strcmp(path + len + 1, skip)))
			continue;
		values_put(v, path + len + 1, nodes->v[i].value);
	}
	conf_values_sort(v);
}

static void dev_fini(struct conf_dev *dev)
{
	free(dev->kind);
	free(dev->path);
	free(dev->backend);
	free(dev->backend_kind);
	conf_values_fini(&dev->libxl);
	conf_values_fini(&dev->back);
}

/* As class_nodes would have it written, but for one key. */
static void dev_make(const struct class_case *c, const char *skip_libxl, const char *skip_back,
		     struct conf_dev *dev)
{
	const struct conf_class *k = class_find(c->class);
	CLEANUP_JSON struct json_object *entry = case_entry(c);
	struct class_where where = case_where(entry);
	char *front, *back, *libxl, kind[64];
	struct class_nodes nodes;

	assert_int_equal(class_nodes(k, entry, &where, NULL, &nodes), 0);
	assert_int_equal(class_paths(k, entry, &where, &front, &back, &libxl, NULL), 0);
	*dev = (struct conf_dev){ .has_backend = true, .backend_domain = true };
	dev->kind = copy(class_kind_of(k, entry));
	assert_int_equal(class_devid(k, entry, &dev->devid, NULL), 0);
	take_side(&dev->libxl, &nodes, libxl, skip_libxl);
	take_side(&dev->back, &nodes, back, skip_back);
	assert_int_equal(
		sscanf(back, "/local/domain/%u/backend/%63[^/]", &dev->backend_domid, kind), 2);
	if (!skip_libxl || strcmp(skip_libxl, "backend") != 0) {
		dev->backend = copy(back);
		dev->backend_kind = copy(kind);
	}
	dev->path = libxl;
	class_nodes_fini(&nodes);
	free(front);
	free(back);
}

static void set_value(struct conf_values *v, const char *key, const char *value)
{
	for (size_t i = 0; i < v->n; i++) {
		if (strcmp(v->v[i].key, key) != 0)
			continue;
		free(v->v[i].key);
		v->v[i] = v->v[--v->n];
		break;
	}
	values_put(v, key, value);
	conf_values_sort(v);
}

/* ---- what comes back ---- */

/* Takes what the class says is lost out of an entry. */
static void drop_lost(const struct conf_class *k, struct json_object *entry)
{
	char *lost = copy(class_lost(k)), *save = NULL;

	for (char *f = strtok_r(lost, ", ", &save); f; f = strtok_r(NULL, ", ", &save))
		json_object_object_del(entry, f);
	free(lost);
}

/* Each field of the entry is in what the store gives back, and that writes the same nodes. */
static void what_was_written_comes_back_but_for_what_is_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		const struct class_case *c = &class_cases[i];
		const struct conf_class *k = class_find(c->class);
		CLEANUP_JSON struct json_object *entry = case_entry(c), *back = NULL;
		struct conf_err err = { "" };
		struct conf_dev dev;

		dev_make(c, NULL, NULL, &dev);
		if (class_from_store(k, &dev, "", &err, &back))
			fail_msg("%s: %s", c->entry, err.text);
		drop_lost(k, entry);
		json_object_object_foreach(entry, key, value)
		{
			struct json_object *theirs = NULL;

			json_object_object_get_ex(back, key, &theirs);
			/* A bare name of a script came back as its path, empty lists as none. */
			if (!strcmp(key, "script") || json_object_equal(value, theirs) ||
			    (json_object_is_type(value, json_type_object) &&
			     json_object_is_type(theirs, json_type_object)))
				continue;
			fail_msg("%s: %s: came back as %s", c->entry, key,
				 json_object_to_json_string(back));
		}
		dev_fini(&dev);
	}
}

/* Written again, all keys of the backend are the same. */
static void what_came_back_is_written_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		const struct class_case *c = &class_cases[i];
		CLEANUP_JSON struct json_object *back = NULL;
		struct conf_dev dev, again;
		struct class_case second = *c;

		dev_make(c, NULL, NULL, &dev);
		assert_int_equal(class_from_store(class_find(c->class), &dev, "", NULL, &back), 0);
		/* Frontends are not read. */
		if (!strcmp(c->class, "9pfs"))
			json_object_object_add(back, "tag", json_object_new_string("t"));
		second.entry = json_object_to_json_string(back);
		dev_make(&second, NULL, NULL, &again);
		assert_int_equal(again.back.n, dev.back.n);
		for (size_t v = 0; v < dev.back.n; v++) {
			const char *value = conf_values_get(&again.back, dev.back.v[v].key);

			if (!value || strcmp(value, dev.back.v[v].value) != 0)
				fail_msg("%s: %s was %s", c->entry, dev.back.v[v].key,
					 dev.back.v[v].value);
		}
		dev_fini(&dev);
		dev_fini(&again);
	}
}

static void a_whole_device_has_nothing_wrong_and_nothing_changed(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		const struct class_case *c = &class_cases[i];
		const struct conf_class *k = class_find(c->class);
		CLEANUP_JSON struct json_object *entry = case_entry(c), *as_was = NULL;
		char text[512];
		struct conf_dev dev;

		dev_make(c, NULL, NULL, &dev);
		as_was = conf_json_copy(entry);
		class_check(k, &dev, "", text, sizeof(text));
		if (*text)
			fail_msg("%s: %s", c->entry, text);
		assert_int_equal(class_overlay(k, &dev, "", entry, text, sizeof(text), NULL), 0);
		if (*text)
			fail_msg("%s: %s", c->entry, text);
		assert_true(conf_json_equal(entry, as_was));
		dev_fini(&dev);
	}
}

/* ---- what is wrong ---- */

static const char *const must[][8] = {
	{ "vbd", "dev", "type", "mode", "device-type", "removable" },
	{ "vif", "mac", "handle" },
	{ "vtpm", "handle" },
	{ "usbctrl", "type" },
	{ "vfb", "vnc" },
	{ "channel", "connection" },
	{ "9pfs", "path", "security_model" },
};

static const char *const either[][8] = {
	{ "vtpm", "uuid" },
	{ "usbctrl", "usb-ver", "num-ports" },
	{ "virtio", "irq", "base", "type", "transport" },
};

static void expect_named(const struct class_case *c, const char *skip_libxl, const char *skip_back,
			 const char *named)
{
	struct conf_dev dev;
	char text[512];

	dev_make(c, skip_libxl, skip_back, &dev);
	class_check(class_find(c->class), &dev, "", text, sizeof(text));
	if (named ? !strstr(text, named) : *text)
		fail_msg("%s without %s, %s: \"%s\"", c->entry, skip_libxl ? skip_libxl : "-",
			 skip_back ? skip_back : "-", text);
	dev_fini(&dev);
}

static const struct class_case *case_of(const char *class)
{
	for (size_t i = 0; i < N_CLASS_CASES; i++)
		if (!strcmp(class_cases[i].class, class))
			return &class_cases[i];
	fail_msg("no case of %s", class);
	return NULL;
}

static void each_key_that_must_be_there_is_named_when_it_is_not(void **state)
{
	static const char *const backs[] = { "frontend", "frontend-id", "online", "state" };

	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		expect_named(&class_cases[i], "backend", NULL, "backend");
		expect_named(&class_cases[i], "frontend", NULL, "frontend");
		for (size_t b = 0; b < ARRAY_LEN(backs); b++)
			expect_named(&class_cases[i], NULL, backs[b], backs[b]);
	}
	for (size_t i = 0; i < ARRAY_LEN(must); i++)
		for (size_t f = 1; must[i][f]; f++)
			expect_named(case_of(must[i][0]), must[i][f], NULL, must[i][f]);
	for (size_t i = 0; i < ARRAY_LEN(either); i++)
		for (size_t f = 1; either[i][f]; f++) {
			expect_named(case_of(either[i][0]), either[i][f], NULL, NULL);
			expect_named(case_of(either[i][0]), either[i][f], either[i][f],
				     either[i][f]);
		}
}

static void a_value_that_cannot_be_is_named(void **state)
{
	static const struct {
		const char *class, *key, *value;
	} cases[] = {
		{ "vbd", "type", "nope" },
		{ "vbd", "mode", "" },
		{ "vbd", "mode", "rw" },
		{ "vbd", "removable", "2" },
		{ "vbd", "dev", "xvdz" },
		{ "vbd", "dev", "nope" },
		{ "vbd", "device-type", "tape" },
		{ "vbd", "specification", "scsi" },
		{ "vbd", "frontend", "/local/domain/8/device/vbd/51728" },
		{ "vif", "mac", "00:16:3e" },
		{ "vif", "mac", "00:16:3e:11:22:gg" },
		{ "vif", "handle", "1" },
		{ "vif", "handle", "" },
		{ "vif", "rate", "5" },
		{ "vif", "rate", "x,5" },
		{ "vif", "mtu", "-1" },
		{ "vif", "mtu", "99999999999" },
		{ "vif", "type", "tap" },
		{ "vtpm", "uuid", "12345678" },
		{ "usbctrl", "num-ports", "999999999" },
		{ "usbctrl", "num-ports", "-1" },
		{ "usbctrl", "num-ports", "x" },
		{ "usbctrl", "num-ports", "32" },
		{ "usbctrl", "usb-ver", "two" },
		{ "usbctrl", "type", "serial" },
		{ "vfb", "vnc", "yes" },
		{ "vfb", "vncdisplay", "1e9" },
		{ "vkb", "width", "4294967296" },
		{ "vkb", "feature-abs-pointer", "on" },
		{ "channel", "connection", "pipe" },
		{ "9pfs", "max-files", "many" },
		{ "virtio", "irq", "0x21" },
		{ "virtio", "transport", "pci" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct class_case *c = case_of(cases[i].class);
		const struct conf_class *k = class_find(c->class);
		struct json_object *entry = NULL;
		struct conf_dev dev;
		char text[512];

		dev_make(c, NULL, NULL, &dev);
		set_value(&dev.libxl, cases[i].key, cases[i].value);
		class_check(k, &dev, "", text, sizeof(text));
		if (strncmp(text, cases[i].key, strlen(cases[i].key)) != 0)
			fail_msg("%s: %s = %s: \"%s\"", cases[i].class, cases[i].key,
				 cases[i].value, text);
		/* Read all the same, it is refused or passed over. */
		if (!class_from_store(k, &dev, "", NULL, &entry))
			json_object_put(entry);
		dev_fini(&dev);
	}
}

static void a_text_for_what_is_wrong_may_be_short(void **state)
{
	struct conf_dev dev;
	char text[8];

	(void)state;
	dev_make(case_of("vbd"), NULL, NULL, &dev);
	set_value(&dev.libxl, "mode", "a value that is much longer than what there is room for");
	class_check(class_find("vbd"), &dev, "", text, sizeof(text));
	assert_string_equal(text, "mode: a");
	dev_fini(&dev);
}

/* ---- what differs ---- */

#define NIC "\"devid\":0,\"mac\":\"00:16:3e:11:22:44\""

static const struct {
	const char *class, *entry;	   /* the record's */
	const char *key, *value;	   /* NULL: as class_nodes writes it; "-": no such key */
	const char *changed, *field, *now; /* NULL: gone */
} differences[] = {
	{ "vif", "{" NIC "}", NULL, NULL, "", NULL, NULL },
	{ "vif", "{" NIC "}", "bridge", "xenbr9", "", NULL, NULL },
	{ "vif", "{" NIC ",\"bridge\":\"a\"}", "bridge", "b", "bridge", "bridge", "b" },
	{ "vif", "{" NIC ",\"bridge\":\"a\"}", "bridge", "a", "", NULL, NULL },
	{ "vif", "{" NIC ",\"script\":\"vif-x\"}", "script", "/usr/lib/vif-x", "", NULL, NULL },
	{ "vif", "{" NIC ",\"script\":\"vif-x\"}", "script", "/usr/lib/vif-y", "script", "script",
	  "/usr/lib/vif-y" },
	{ "vif", "{" NIC "}", "mac", "00:16:3E:11:22:44", "", NULL, NULL },
	{ "vif", "{" NIC "}", "mac", "00:16:3e:11:22:45", "mac", "mac", "00:16:3e:11:22:45" },
	{ "vif", "{" NIC ",\"mtu\":1500}", NULL, NULL, "", NULL, NULL },
	{ "vif", "{" NIC ",\"ip\":\"10.0.0.1\"}", "ip", "-", "ip", "ip", NULL },
	{ "vif", "{" NIC "}", "rate", "x", "", NULL, NULL },
	{ "vif", "{" NIC ",\"model\":\"e1000\"}", NULL, NULL, "", NULL, NULL },
	{ "vbd", "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/a\"}", "params", "aio:/b",
	  "pdev_path", "pdev_path", "/b" },
	{ "vbd", "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/a\"}", "params",
	  "qcow2:/a", "format", "format", "qcow2" },
	{ "vbd", "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/a\"}", "mode", "w",
	  "readwrite", "readwrite", "1" },
	{ "vbd", "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/a\",\"readwrite\":1}",
	  "mode", "r", "readwrite", "readwrite", NULL },
	{ "vbd",
	  "{\"vdev\":\"hdc\",\"format\":\"raw\",\"pdev_path\":\"/x\",\"removable\":1,"
	  "\"is_cdrom\":1}",
	  "params", "aio:", "format, pdev_path", "pdev_path", NULL },
	{ "vbd",
	  "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/a\",\"discard_enable\":"
	  "\"True\"}",
	  "discard-enable", "0", "", NULL, NULL },
	{ "vtpm", "{\"devid\":0,\"uuid\":\"12345678-1234-4234-8234-123456789abc\"}", "uuid",
	  "12345678-1234-4234-8234-123456789ABC", "", NULL, NULL },
	{ "usbctrl", "{\"type\":\"pv\",\"devid\":0,\"version\":2,\"ports\":4}", "num-ports", "8",
	  "ports", "ports", "8" },
	{ "usbctrl", "{\"type\":\"pv\",\"devid\":0}", "num-ports", "4", "", NULL, NULL },
};

static void only_a_true_difference_is_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(differences); i++) {
		const struct class_case c = { .class = differences[i].class,
					      .entry = differences[i].entry };
		CLEANUP_JSON struct json_object *entry = case_entry(&c);
		bool without = differences[i].value && !strcmp(differences[i].value, "-");
		struct json_object *field = NULL;
		const char *now = NULL;
		struct conf_dev dev;
		char text[512];

		dev_make(&c, without ? differences[i].key : NULL,
			 without ? differences[i].key : NULL, &dev);
		if (differences[i].key && !without)
			set_value(&dev.libxl, differences[i].key, differences[i].value);
		assert_int_equal(class_overlay(class_find(c.class), &dev, "", entry, text,
					       sizeof(text), NULL),
				 0);
		if (strcmp(text, differences[i].changed) != 0)
			fail_msg("%s: %s=%s: changed \"%s\"", c.entry,
				 differences[i].key ? differences[i].key : "", differences[i].value,
				 text);
		if (differences[i].field)
			json_object_object_get_ex(entry, differences[i].field, &field);
		if (field)
			now = json_object_get_string(field);
		if ((now == NULL) != (differences[i].now == NULL) ||
		    (now && strcmp(now, differences[i].now) != 0))
			fail_msg("%s: %s is %s", c.entry, differences[i].field, now);
		dev_fini(&dev);
	}
}

static void a_drive_without_a_medium_is_ejected(void **state)
{
	static const struct {
		const char *removable, *params;
		bool ejected;
	} cases[] = { { "1", "", true },	{ "1", "aio:", true },	  { "0", "", false },
		      { "1", "/x.iso", false }, { "1", "aio:/x", false }, { "0", "aio:", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conf_dev dev;

		dev_make(case_of("vbd"), NULL, NULL, &dev);
		set_value(&dev.libxl, "removable", cases[i].removable);
		set_value(&dev.libxl, "params", cases[i].params);
		assert_int_equal(class_is_ejected(class_find("vbd"), &dev), cases[i].ejected);
		assert_false(class_is_ejected(class_find("vif"), &dev));
		dev_fini(&dev);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_comes_back_but_for_what_is_lost),
		cmocka_unit_test(what_came_back_is_written_the_same),
		cmocka_unit_test(a_whole_device_has_nothing_wrong_and_nothing_changed),
		cmocka_unit_test(each_key_that_must_be_there_is_named_when_it_is_not),
		cmocka_unit_test(a_value_that_cannot_be_is_named),
		cmocka_unit_test(a_text_for_what_is_wrong_may_be_short),
		cmocka_unit_test(only_a_true_difference_is_one),
		cmocka_unit_test(a_drive_without_a_medium_is_ejected),
	};

	return cmocka_run_group_tests_name("class_store", tests, NULL, NULL);
}
