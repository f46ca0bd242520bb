/* SPDX-License-Identifier: MIT */
/*
 * Classes and their devices without a store: names, identities, what is filled in, what is
 * refused, and that nothing that is accepted would be found damaged.
 */
#include "config/class.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/own.h"
#include "config/class_cases_test.h"

static struct json_object *make(const char *class, const char *text)
{
	const struct class_case c = { class, text, "", "", "" };

	return case_entry(&c);
}

static void a_class_is_found_by_its_names(void **state)
{
	static const struct {
		const char *word, *name; /* NULL: none */
	} cases[] = {
		{ "vbd", "vbd" },
		{ "disk", "vbd" },
		{ "block", "vbd" },
		{ "disks", "vbd" },
		{ "nic", "vif" },
		{ "network", "vif" },
		{ "VIF", "vif" },
		{ "vtpm", "vtpm" },
		{ "usbctrl", "usbctrl" },
		{ "usbdev", "usbdev" },
		{ "usb", "usbdev" },
		{ "pci", "pci" },
		{ "vfb", "vfb" },
		{ "vkb", "vkb" },
		{ "vkbd", "vkb" },
		{ "channel", "channel" },
		{ "console", "channel" },
		{ "9pfs", "9pfs" },
		{ "p9", "9pfs" },
		{ "pvcalls", "pvcalls" },
		{ "pvcallsif", "pvcalls" },
		{ "vdispl", "vdispl" },
		{ "vdisplay", "vdispl" },
		{ "vsnd", "vsnd" },
		{ "virtio", "virtio" },
		{ "dtdev", "dtdev" },
		{ "rdm", "rdm" },
		{ "", NULL },
		{ "vb", NULL },
		{ "diskette", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct conf_class *k = class_find(cases[i].word);

		assert_int_equal(k != NULL, cases[i].name != NULL);
		if (k)
			assert_string_equal(class_name(k), cases[i].name);
	}
}

static void each_class_has_a_list_of_the_record_and_names_of_its_own(void **state)
{
	const struct conf_class *k;

	(void)state;
	for (size_t i = 0; (k = class_at(i)); i++) {
		assert_non_null(class_schema(k));
		assert_ptr_equal(class_find(class_name(k)), k);
		assert_ptr_equal(class_find(class_list(k)), k);
		assert_int_equal(class_kind(k) == NULL, class_place(k) == CLASS_RECORD_ONLY);
	}
}

/* ---- identities ---- */

static void a_device_is_told_from_others_by_its_identity(void **state)
{
	static const struct {
		const char *class, *entry, *id; /* NULL: refused, */
		const char *named;		/* and this is named */
		uint32_t devid;
	} cases[] = {
		{ "vbd", "{\"vdev\":\"xvda\"}", "xvda", NULL, 51712 },
		{ "vbd", "{\"vdev\":\"d0p0\"}", "xvda", NULL, 51712 },
		{ "vbd", "{\"vdev\":\"51712\"}", "xvda", NULL, 51712 },
		{ "vbd", "{\"vdev\":\"hdc\"}", "hdc", NULL, 5632 },
		{ "vbd", "{\"vdev\":\"nope\"}", NULL, "nope", 0 },
		{ "vbd", "{}", NULL, "vdev", 0 },
		{ "vif", "{\"devid\":0}", "0", NULL, 0 },
		{ "vif", "{\"devid\":12}", "12", NULL, 12 },
		{ "vif", "{}", NULL, "devid", 0 },
		{ "pci", "{\"bus\":3,\"domain\":1}", "0001:03:00.0", NULL, 0 },
		{ "pci", "{\"bus\":255,\"dev\":31,\"func\":7}", "0000:ff:1f.7", NULL, 0 },
		{ "pci", "{\"dev\":32}", NULL, "dev", 0 },
		{ "pci", "{}", NULL, "bus", 0 },
		{ "usbdev", "{\"ctrl\":2,\"port\":3,\"type.hostdev\":{}}", "2:3", NULL, 2 },
		{ "usbdev", "{\"port\":3,\"type.hostdev\":{}}", NULL, "ctrl", 0 },
		{ "usbdev", "{\"ctrl\":0,\"port\":32,\"type.hostdev\":{}}", NULL, "port", 0 },
		{ "channel", "{\"devid\":1,\"name\":\"c\",\"connection.pty\":{}}", "1", NULL, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_JSON struct json_object *entry = make(cases[i].class, cases[i].entry);
		const struct conf_class *k = class_find(cases[i].class);
		char id[CLASS_ID_MAX];
		struct conf_err err = { "" };
		uint32_t devid = 99;
		int r = class_id(k, entry, id, &err);

		assert_int_equal(r, cases[i].id ? 0 : -EINVAL);
		if (r) {
			assert_non_null(strstr(err.text, cases[i].named));
			continue;
		}
		assert_string_equal(id, cases[i].id);
		assert_int_equal(class_devid(k, entry, &devid, &err), 0);
		assert_int_equal(devid, cases[i].devid);
		assert_int_equal(class_id_of_text(k, cases[i].id, id, &err), 0);
		assert_string_equal(id, cases[i].id);
	}
}

static void what_somebody_types_is_an_identity_or_refused(void **state)
{
	static const struct {
		const char *class, *text, *id;
	} cases[] = {
		{ "vbd", "51728", "xvdb" },
		{ "vbd", "d1p0", "xvdb" },
		{ "vbd", "nope", NULL },
		{ "vif", "0", "0" },
		{ "vif", "00", NULL },
		{ "vif", "-1", NULL },
		{ "vif", "1x", NULL },
		{ "vif", "", NULL },
		{ "vif", "2147483648", NULL },
		{ "pci", "03:00.0", "0000:03:00.0" },
		{ "pci", "0:3:0.0", "0000:03:00.0" },
		{ "pci", "AB:1f.7", "0000:ab:1f.7" },
		{ "pci", "03:00", NULL },
		{ "pci", "03:00.8", NULL },
		{ "pci", "03:20.0", NULL },
		{ "pci", "-3:00.0", NULL },
		{ "pci", "0000:03:00.0x", NULL },
		{ "pci", "", NULL },
		{ "usbdev", "0:1", "0:1" },
		{ "usbdev", "0:0", NULL },
		{ "usbdev", "0", NULL },
		{ "usbdev", "0:32", NULL },
		{ "dtdev", "/soc/x", "/soc/x" },
		{ "dtdev", "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char id[CLASS_ID_MAX] = "";
		int r = class_id_of_text(class_find(cases[i].class), cases[i].text, id, NULL);

		if (r != (cases[i].id ? 0 : -EINVAL) || (!r && strcmp(id, cases[i].id) != 0))
			fail_msg("%s %s: %d %s", cases[i].class, cases[i].text, r, id);
	}
}

/* ---- what is filled in ---- */

static struct json_object *whole(const char *text)
{
	struct json_object *config = NULL;
	struct conf_err err = { "" };

	if (conf_json_read(text, strlen(text), &err, &config))
		fail_msg("%s", err.text);
	return config;
}

static void a_device_gets_the_next_number_of_record_and_store(void **state)
{
	static const struct {
		const char *class, *config;
		const char *kind; /* of the one device in the store */
		uint32_t devid;
		int64_t expected;
	} cases[] = {
		{ "vif", "{}", "vbd", 7, 0 },
		{ "vif", "{}", "vif", 7, 8 },
		{ "vif", "{\"nics\":[{\"devid\":0},{\"devid\":4}]}", "vif", 2, 5 },
		{ "vif", "{\"vtpms\":[{\"devid\":4}]}", "vkbd", 2, 0 },
		{ "vkb", "{}", "vkbd", 0, 1 },
		/* The first console is the domain's own. */
		{ "channel", "{}", "vbd", 0, 1 },
		{ "9pfs", "{\"p9s\":[{\"devid\":0}]}", "9pfs", 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct conf_class *k = class_find(cases[i].class);
		CLEANUP_JSON struct json_object *config = whole(cases[i].config);
		CLEANUP_JSON struct json_object *entry = conf_json_new(class_schema(k));
		char kind[16];
		struct conf_dev dev = { .kind = kind, .devid = cases[i].devid };
		struct conf_snapshot s = { .devs = &dev, .n_devs = 1 };

		snprintf(kind, sizeof(kind), "%s", cases[i].kind);
		assert_int_equal(class_complete(k, entry, config, &s, 5, NULL), 0);
		assert_int_equal(conf_json_int(entry, "devid", -1), cases[i].expected);
	}
}

static void a_nic_gets_a_mac_that_no_other_has(void **state)
{
	const struct conf_class *k = class_find("vif");
	CLEANUP_JSON struct json_object *config =
		whole("{\"nics\":[{\"devid\":0,\"mac\":\"00:16:3e:01:02:03\"},"
		      "{\"devid\":1,\"mac\":\"00:16:3e:01:02:04\"}]}");
	CLEANUP_JSON struct json_object *entry = conf_json_new(class_schema(k));
	CLEANUP_JSON struct json_object *twice = make("vif", "{\"mac\":\"00:16:3e:01:02:04\"}");
	struct conf_err err = { "" };

	(void)state;
	assert_int_equal(class_complete(k, entry, config, NULL, 0x010203, &err), 0);
	assert_string_equal(conf_json_string(entry, "mac"), "00:16:3e:01:02:05");
	assert_string_equal(conf_json_string(entry, "nictype"), "vif");
	assert_int_equal(class_complete(k, twice, config, NULL, 0, &err), -EINVAL);
	assert_non_null(strstr(err.text, "that of vif 1"));
}

static void a_tpm_gets_a_uuid(void **state)
{
	const struct conf_class *k = class_find("vtpm");
	CLEANUP_JSON struct json_object *a = conf_json_new(class_schema(k));
	CLEANUP_JSON struct json_object *b = conf_json_new(class_schema(k));

	(void)state;
	assert_int_equal(class_complete(k, a, NULL, NULL, 1, NULL), 0);
	assert_int_equal(class_complete(k, b, NULL, NULL, 2, NULL), 0);
	assert_string_not_equal(conf_json_string(a, "uuid"), conf_json_string(b, "uuid"));
	assert_int_equal(class_validate(k, a, NULL), 0);
}

static void entries_without_a_number_get_the_one_that_libxl_gives(void **state)
{
	static const struct {
		const char *class, *config, *list;
		int64_t devids[3];
	} cases[] = {
		{ "vfb", "{\"vfbs\":[{},{},{}]}", "vfbs", { 0, 1, 2 } },
		{ "vkb", "{\"vkbs\":[{\"devid\":4},{},{}]}", "vkbs", { 4, 5, 6 } },
		{ "channel",
		  "{\"channels\":[{\"connection.pty\":{}},{\"connection.pty\":{}},"
		  "{\"devid\":1,\"connection.pty\":{}}]}",
		  "channels",
		  { 2, 3, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_JSON struct json_object *config = whole(cases[i].config);
		struct json_object *list;

		assert_int_equal(class_settle(class_find(cases[i].class), config, NULL), 0);
		list = conf_json_list(config, cases[i].list);
		for (size_t n = 0; n < 3; n++)
			assert_int_equal(
				conf_json_int(json_object_array_get_idx(list, n), "devid", -1),
				cases[i].devids[n]);
	}
}

/* ---- what is refused ---- */

#define DISK "\"vdev\":\"xvda\",\"pdev_path\":\"/x\""
#define VIRTIO "\"type\":\"virtio,device\",\"devid\":0"

static void what_no_device_can_be_is_refused_and_named(void **state)
{
	static const struct {
		const char *class, *entry, *named;
	} cases[] = {
		{ "vbd", "{\"pdev_path\":\"/x\",\"format\":\"raw\"}", "vdev" },
		{ "vbd", "{\"vdev\":\"xvda\",\"format\":\"raw\"}", "pdev_path" },
		{ "vbd", "{" DISK "}", "format" },
		{ "vbd", "{" DISK ",\"format\":\"empty\"}", "format" },
		{ "vbd", "{" DISK ",\"format\":\"empty\",\"is_cdrom\":1}", "pdev_path" },
		{ "vbd", "{" DISK ",\"format\":\"qcow2\",\"backend\":\"phy\"}", "format" },
		{ "vbd", "{" DISK ",\"format\":\"raw\",\"backend\":\"qdisk\",\"script\":\"s\"}",
		  "script" },
		{ "vbd", "{" DISK ",\"format\":\"raw\",\"backend\":\"standalone\"}",
		  "specification" },
		{ "vbd",
		  "{" DISK ",\"format\":\"raw\",\"backend\":\"phy\",\"specification\":\"virtio\"}",
		  "specification" },
		{ "vif", "{\"devid\":0}", "mac" },
		{ "vif", "{\"devid\":0,\"mac\":\"01:00:00:00:00:00\"}", "mac" },
		{ "vif", "{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\",\"mtu\":67}", "mtu" },
		{ "vif", "{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\",\"mtu\":-5}", "mtu" },
		{ "vtpm", "{\"devid\":0}", "uuid" },
		{ "usbctrl", "{\"devid\":0,\"type\":\"pv\",\"version\":3}", "version" },
		{ "usbctrl", "{\"devid\":0,\"type\":\"pv\",\"ports\":32}", "ports" },
		{ "usbctrl", "{\"devid\":0,\"type\":\"pv\",\"ports\":-1}", "ports" },
		{ "usbctrl", "{\"devid\":0,\"type\":\"devicemodel\",\"ports\":8}", "ports" },
		{ "usbdev", "{\"ctrl\":0,\"port\":1,\"type.hostdev\":{}}", "hostbus" },
		{ "usbdev", "{\"ctrl\":0,\"port\":1,\"type.hostdev\":{\"hostbus\":1}}",
		  "hostaddr" },
		{ "pci", "{}", "bus" },
		{ "channel", "{\"devid\":1,\"connection.pty\":{}}", "name" },
		{ "channel", "{\"devid\":1,\"name\":\"c\"}", "connection" },
		{ "channel", "{\"devid\":1,\"name\":\"c\",\"connection.socket\":{}}", "path" },
		{ "9pfs", "{\"devid\":0,\"path\":\"/\",\"tag\":\"t\"}", "security_model" },
		{ "9pfs", "{\"devid\":0,\"security_model\":\"none\",\"tag\":\"t\"}", "path" },
		{ "9pfs", "{\"devid\":0,\"path\":\"/\",\"security_model\":\"none\"}", "tag" },
		{ "9pfs",
		  "{\"devid\":0,\"path\":\"/\",\"security_model\":\"none\",\"tag\":\"t\","
		  "\"max_files\":3}",
		  "max_files" },
		{ "vdispl", "{\"devid\":0,\"connectors\":[{\"width\":5}]}", "unique_id" },
		{ "vsnd", "{\"devid\":0,\"pcms\":[{\"streams\":[{}]}]}", "unique_id" },
		{ "virtio", "{" VIRTIO "}", "transport" },
		{ "virtio", "{\"devid\":0,\"transport\":\"mmio\"}", "type" },
		{ "dtdev", "{}", "path" },
		{ "vfb", "{\"vnc\":{},\"sdl\":{}}", "devid" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_JSON struct json_object *entry = make(cases[i].class, cases[i].entry);
		struct conf_err err = { "" };
		int r = class_validate(class_find(cases[i].class), entry, &err);

		if (r != -EINVAL || !strstr(err.text, cases[i].named))
			fail_msg("%s: %d %s", cases[i].entry, r, err.text);
	}
}

static void put_back(struct conf_values *v, const char *path, const char *dir, const char *value)
{
	size_t len = strlen(dir);

	if (!strncmp(path, dir, len) && path[len] == '/')
		assert_int_equal(conf_values_put(v, path + len + 1, value, strlen(value)), 0);
}

/* What class_check says of an entry once it is in the store. */
static void check_written(const struct conf_class *k, struct json_object *entry, const char *what)
{
	struct class_where where = case_where(entry);
	char *front, *back, *libxl, kind[64] = "", text[256];
	struct class_nodes nodes;
	struct conf_err err = { "" };
	struct conf_dev dev = { .has_backend = true, .backend_domain = true };

	if (class_nodes(k, entry, &where, &err, &nodes) ||
	    class_paths(k, entry, &where, &front, &back, &libxl, &err))
		fail_msg("%s: accepted, and then %s", what, err.text);
	for (size_t i = 0; i < nodes.n; i++) {
		put_back(&dev.libxl, nodes.v[i].path, libxl, nodes.v[i].value);
		put_back(&dev.back, nodes.v[i].path, back, nodes.v[i].value);
	}
	conf_values_sort(&dev.libxl);
	conf_values_sort(&dev.back);
	assert_int_equal(class_devid(k, entry, &dev.devid, &err), 0);
	sscanf(back, "/local/domain/%u/backend/%63[^/]", &dev.backend_domid, kind);
	dev.path = libxl;
	dev.backend = back;
	dev.backend_kind = kind;
	dev.kind = strdup(class_kind_of(k, entry));
	class_check(k, &dev, "", text, sizeof(text));
	if (*text)
		fail_msg("%s: accepted, written, and then %s", what, text);
	free(dev.kind);
	conf_values_fini(&dev.libxl);
	conf_values_fini(&dev.back);
	class_nodes_fini(&nodes);
	free(front);
	free(back);
	free(libxl);
}

/* Each field of each case left out in turn. */
static void what_is_accepted_is_never_found_damaged(void **state)
{
	size_t accepted = 0, refused = 0;

	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		const struct class_case *c = &class_cases[i];
		const struct conf_class *k = class_find(c->class);
		CLEANUP_JSON struct json_object *entry = case_entry(c);
		struct conf_err err = { "" };

		if (class_validate(k, entry, &err))
			fail_msg("%s: %s", c->entry, err.text);
		check_written(k, entry, c->entry);
		json_object_object_foreach(entry, key, value)
		{
			CLEANUP_JSON struct json_object *less = conf_json_copy(entry);

			(void)value;
			json_object_object_del(less, key);
			if (class_validate(k, less, &err)) {
				refused++;
				continue;
			}
			accepted++;
			check_written(k, less, json_object_to_json_string(less));
		}
	}
	assert_true(accepted > 50 && refused > 20);
}

/* ---- what else is there ---- */

static void a_keyboard_of_a_hvm_guest_is_implied(void **state)
{
	static const struct {
		const char *class, *config;
		uint32_t devid;
		bool implied;
	} cases[] = {
		{ "vkb", "{\"c_info\":{\"type\":\"hvm\"},\"b_info\":{\"type.hvm\":{}}}", 0, true },
		{ "vkb", "{\"c_info\":{\"type\":\"hvm\"},\"b_info\":{\"type.hvm\":{}}}", 1, false },
		{ "vkb",
		  "{\"c_info\":{\"type\":\"hvm\"},\"b_info\":{\"type.hvm\":{\"vkb_device\":"
		  "\"False\"}}}",
		  0, false },
		{ "vkb", "{\"c_info\":{\"type\":\"pv\"},\"b_info\":{\"type.pv\":{}}}", 0, false },
		{ "vif", "{\"c_info\":{\"type\":\"hvm\"},\"b_info\":{\"type.hvm\":{}}}", 0, false },
		/* A console without a name. */
		{ "channel", "{\"c_info\":{\"type\":\"pv\"},\"b_info\":{\"type.pv\":{}}}", 0,
		  true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_JSON struct json_object *config = whole(cases[i].config);
		struct conf_dev dev = { .devid = cases[i].devid };

		if ((class_implied(class_find(cases[i].class), config, &dev) != NULL) !=
		    cases[i].implied)
			fail_msg("%s: %s", cases[i].class, cases[i].config);
	}
}

static void a_class_of_the_record_alone_has_no_place(void **state)
{
	CLEANUP_JSON struct json_object *entry = make("dtdev", "{\"path\":\"/soc\"}");
	struct class_where where = { .domid = 7 };
	char *front, *back, *libxl;
	uint32_t devid;

	(void)state;
	assert_int_equal(class_devid(class_find("dtdev"), entry, &devid, NULL), -EOPNOTSUPP);
	assert_int_equal(
		class_paths(class_find("dtdev"), entry, &where, &front, &back, &libxl, NULL), 0);
	assert_null(front);
	assert_null(back);
	assert_null(libxl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_is_found_by_its_names),
		cmocka_unit_test(each_class_has_a_list_of_the_record_and_names_of_its_own),
		cmocka_unit_test(a_device_is_told_from_others_by_its_identity),
		cmocka_unit_test(what_somebody_types_is_an_identity_or_refused),
		cmocka_unit_test(a_device_gets_the_next_number_of_record_and_store),
		cmocka_unit_test(a_nic_gets_a_mac_that_no_other_has),
		cmocka_unit_test(a_tpm_gets_a_uuid),
		cmocka_unit_test(entries_without_a_number_get_the_one_that_libxl_gives),
		cmocka_unit_test(what_no_device_can_be_is_refused_and_named),
		cmocka_unit_test(what_is_accepted_is_never_found_damaged),
		cmocka_unit_test(a_keyboard_of_a_hvm_guest_is_implied),
		cmocka_unit_test(a_class_of_the_record_alone_has_no_place),
	};

	return cmocka_run_group_tests_name("class", tests, NULL, NULL);
}
