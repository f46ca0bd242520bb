/* SPDX-License-Identifier: MIT */
/*
 * Values by their paths: what is set from text, what text a value has, and that setting what
 * each field tells makes the same configuration again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/json.h"

static struct json_object *must_read(const char *text)
{
	struct conf_err err = { "" };
	struct json_object *o = NULL;

	if (conf_json_read(text, strlen(text), &err, &o))
		fail_msg("%s: %s", text, err.text);
	return o;
}

static const char *const base = "{\"b_info\":{\"type.hvm\":{}},\"disks\":[{\"vdev\":\"xvda\"}],"
				"\"nics\":[{\"devid\":0},{\"devid\":1}]}";

static const char *const set_cases[][3] = {
	/* path, text, what is got then (NULL: it is at its default) */
	{ "c_info.name", "x y", "x y" },
	{ "c_info.name", "", NULL },
	{ "c_info.hap", "YES", "true" },
	{ "c_info.hap", "off", "false" },
	{ "c_info.hap", "0", "false" },
	{ "c_info.type", "HVM", "hvm" },
	{ "c_info.uuid", "6F1C2B3A-0d4e-4f5a-9b6c-7d8e9f0a1b2c",
	  "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c" },
	{ "c_info.ssidref", "0x1F", "31" },
	{ "c_info.ssidref", "010", "10" },
	{ "c_info.xsdata", "{\"a\":\"b\"}", "{\"a\":\"b\"}" },
	{ "b_info.max_memkb", "18446744073709551614", "18446744073709551614" },
	{ "b_info.max_memkb", "18446744073709551615", NULL },
	{ "b_info.sched_params.weight", "-7", "-7" },
	{ "b_info.cpumap", "0-3,5", "0-3,5" },
	{ "b_info.cpumap", "5,0,1,1-3,2", "0-3,5" },
	{ "b_info.cpumap", "none", NULL },
	{ "b_info.extra", "a,b\\,c,\\\\", "a,b\\,c,\\\\" },
	{ "b_info.extra", "\\", "\\" },
	{ "b_info.irqs", "3,0x10", "3,16" },
	{ "b_info.irqs.0", "4", "4" },
	{ "b_info.vcpu_hard_affinity.0", "1-2", "1-2" },
	{ "b_info.vcpu_hard_affinity.0", "none", "none" },
	{ "b_info.cpuid", "[{\"leaf\":1}]", "{\"cpuid\":[{\"leaf\":1}],\"msr\":[]}" },
	{ "b_info.type.hvm.bios", "ovmf", "ovmf" },
	{ "b_info.type.hvm.vnc.enable", "true", "true" },
	{ "b_info.type.hvm.ms_vm_genid", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
	  "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16" },
	{ "b_info.type", "hvm", "hvm" },
	{ "disks.0.readwrite", "1", "1" },
	{ "disks.0.format", "QCOW2", "qcow2" },
	{ "disks.0.direct_io_safe", "on", "true" },
	{ "disks.0.direct_io_safe", "off", NULL },
	{ "disks.1.vdev", "xvdb", "xvdb" },
	{ "nics.1.mac", "00:16:3E:00:00:01", "00:16:3e:00:00:01" },
	{ "nics.1.devid", "-1", NULL },
	{ "vdispls.0.connectors.0.width", "640", "640" },
	{ "vsnds.0.params.sample_formats", "S8,u8", "s8,u8" },
	{ "channels.0.connection", "PTY", "pty" },
	{ "channels.0.connection", "unknown", NULL },
	{ "channels.0.connection.socket.path", "/x", "/x" },
	{ "usbdevs.0.type.hostdev.hostbus", "3", "3" },
	{ "usbdevs.0.type", "hostdev", "hostdev" },
};

static void what_is_set_is_got(void **state)
{

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(set_cases); i++) {
		struct json_object *o = must_read(base);
		struct conf_err err = { "" };
		char *text = NULL;

		if (conf_json_set(schema_domain_config(), o, set_cases[i][0], set_cases[i][1],
				  &err))
			fail_msg("%s: %s", set_cases[i][0], err.text);
		assert_int_equal(conf_json_get(schema_domain_config(), o, set_cases[i][0], &text),
				 0);
		if (!set_cases[i][2] ? !!text : !text || strcmp(text, set_cases[i][2]) != 0)
			fail_msg("%s=%s: %s", set_cases[i][0], set_cases[i][1],
				 text ? text : "default");
		free(text);
		/* What was set leaves nothing for canonical form to do. */
		text = conf_json_line(o);
		assert_int_equal(conf_json_canon(schema_domain_config(), o, &err), 0);
		char *again = conf_json_line(o);

		assert_string_equal(text, again);
		free(again);
		free(text);
		json_object_put(o);
	}
}

static void what_cannot_be_set_is_refused_by_path(void **state)
{
	static const char *const cases[][3] = {
		{ "", "1", "no such field" },
		{ "name", "1", "no such field" },
		{ "c_info", "1", "is a structure" },
		{ "c_info.", "1", "no such field" },
		{ ".c_info", "1", "no such field" },
		{ "c_info..name", "1", "no such field" },
		{ "c_info.name.x", "1", "no such field" },
		{ "c_info.hap", "maybe", "c_info.hap: is neither true nor false" },
		{ "c_info.type", "arm", "c_info.type: is no domain_type" },
		{ "c_info.type", "arm", "is no domain_type: invalid, hvm, pv, pvh" },
		{ "c_info.name", "caf\xe9", "c_info.name: is not UTF-8" },
		{ "b_info.extra", "a,\xff", "b_info.extra: is no list of strings" },
		{ "c_info.ssidref", "4294967296", "is out of range" },
		{ "c_info.ssidref", "-1", "is out of range" },
		{ "c_info.ssidref", "1 ", "is no whole number" },
		{ "c_info.ssidref", "0x", "is no whole number" },
		{ "c_info.ssidref", "99999999999999999999", "is no whole number" },
		{ "c_info.xsdata", "a=b", "is no JSON: line 1, column 1" },
		{ "c_info.xsdata", "[]", "is no map of strings" },
		{ "b_info.cpumap", "3-1", "descending" },
		{ "b_info.cpumap", "1,", "is no list of numbers" },
		{ "b_info.cpumap", "0-99999999", "too large" },
		{ "b_info.irqs", ",", "is no list" },
		{ "b_info.irqs", "1,x", "is no whole number" },
		{ "b_info.irqs.1", "1", "no such place in the list" },
		{ "b_info.vcpu_hard_affinity", "1", "a place in the list is missing" },
		{ "b_info.type.pv.e820_host", "1", "is hvm already" },
		{ "b_info.type.qnx.x", "1", "no such field" },
		{ "b_info.type", "qnx", "no such variant" },
		{ "b_info.type", "pv", "is hvm already" },
		{ "b_info.type.hvm.ms_vm_genid", "1,2", "is no list of 16 octets" },
		{ "disks", "x", "a place in the list is missing" },
		{ "disks.0", "x", "is a structure" },
		{ "disks.x.vdev", "x", "a place in the list is missing" },
		{ "disks.2.vdev", "x", "disks.2.vdev: no such place in the list" },
		{ "disks.0.nosuch", "x", "disks.0.nosuch: no such field" },
		{ "nics.0.mac", "00-16-3e-00-00-01", "nics.0.mac: is not of the form xx:xx" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_object *o = must_read(base);
		struct conf_err err = { "" };

		if (conf_json_set(schema_domain_config(), o, cases[i][0], cases[i][1], &err) !=
		    -EINVAL)
			fail_msg("%s=%s: accepted", cases[i][0], cases[i][1]);
		if (!strstr(err.text, cases[i][2]))
			fail_msg("%s: \"%s\", not \"%s\"", cases[i][0], err.text, cases[i][2]);
		json_object_put(o);
	}
}

static void a_path_that_leads_nowhere_yet_is_at_its_default(void **state)
{
	static const struct {
		const char *path;
		int r;
	} cases[] = {
		{ "vfbs.0.vnc.enable", 0 },
		{ "disks.9.vdev", 0 },
		{ "b_info.irqs.3", 0 },
		{ "usbdevs.0.type", 0 },
		{ "c_info.name", 0 },
		{ "b_info.irqs", 0 },
		{ "b_info.type.pv.e820_host", 0 },

		{ "c_info", -EINVAL },
		{ "disks", -EINVAL },
		{ "disks.0", -EINVAL },
		{ "disks.0.nosuch", -EINVAL },
		{ "nosuch", -EINVAL },
		{ "", -EINVAL },
		{ "c_info.name.x", -EINVAL },
		{ "b_info.", -EINVAL },
	};
	struct json_object *o = must_read(base);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = NULL;
		int r = conf_json_get(schema_domain_config(), o, cases[i].path, &text);

		if (r != cases[i].r || text)
			fail_msg("%s: %d, %s", cases[i].path, r, text ? text : "-");
	}
	json_object_put(o);
}

static void nothing_resets_structures_entries_and_variants(void **state)
{
	static const char *const cases[][3] = {
		{ "vfbs.0.vnc", "{\"vfbs\":[{\"devid\":0,\"vnc\":{\"display\":3}}]}",
		  "{\"vfbs\":[{\"devid\":0}]}" },
		{ "nics.0", "{\"nics\":[{\"devid\":0},{\"devid\":1}]}",
		  "{\"nics\":[{\"devid\":1}]}" },
		{ "nics.0", "{\"nics\":[{\"devid\":0}]}", "{}" },
		{ "nics", "{\"nics\":[{\"devid\":0}]}", "{}" },
		{ "b_info.irqs.1", "{\"b_info\":{\"irqs\":[1,2]}}", "{\"b_info\":{\"irqs\":[1]}}" },
		{ "b_info.type", "{\"b_info\":{\"type.pv\":{\"e820_host\":\"True\"}}}", "{}" },
		{ "usbdevs.0.type", "{\"usbdevs\":[{\"ctrl\":0,\"type.hostdev\":{\"hostbus\":1}}]}",
		  "{\"usbdevs\":[{\"ctrl\":0}]}" },
		{ "b_info.type.pv", "{\"b_info\":{\"type.pv\":{\"e820_host\":\"True\"}}}",
		  "{\"b_info\":{\"type.pv\":{}}}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_object *o = must_read(cases[i][1]), *want = must_read(cases[i][2]);
		struct conf_err err = { "" };

		assert_int_equal(conf_json_set(schema_domain_config(), o, cases[i][0], "", &err),
				 0);
		if (!conf_json_equal(o, want))
			fail_msg("%s: %s", cases[i][0], conf_json_line(o));
		json_object_put(o);
		json_object_put(want);
	}
}

static int set_too(void *data, const char *path, const char *value)
{
	struct conf_err err = { "" };

	if (conf_json_set(schema_domain_config(), data, path, value, &err))
		fail_msg("%s=%s: %s", path, value, err.text);
	return 0;
}

static int stop_at_second(void *data, const char *path, const char *value)
{
	(void)path;
	(void)value;
	return ++*(int *)data == 2 ? 77 : 0;
}

static void each_value_set_elsewhere_makes_the_same(void **state)
{
	struct json_object *o = must_read(
		"{\"c_info\":{\"type\":\"hvm\",\"xsdata\":{\"k\":\"v\",\"n\":null}},"
		"\"b_info\":{\"max_memkb\":9,\"cpumap\":[0,2,3],\"extra\":[\"a,b\",\"\"],"
		"\"extra_pv\":[\"\"],\"extra_hvm\":[\"\\\\\"],\"irqs\":[4,5],"
		"\"vcpu_soft_affinity\":[[],[7]],\"iomem\":[{\"start\":1},{\"number\":2}],"
		"\"cpuid\":[{\"leaf\":1,\"eax\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1\"}],"
		"\"type.hvm\":{\"bios\":\"ovmf\",\"vnc\":{\"display\":-3},\"boot\":\"c\"}},"
		"\"disks\":[{\"vdev\":\"xvda\"},{\"vdev\":\"xvdb\",\"direct_io_safe\":true}],"
		"\"channels\":[{\"connection.socket\":{\"path\":\"/c\"}},{\"connection.pty\":{}}],"
		"\"usbdevs\":[{\"ctrl\":0,\"type.hostdev\":{\"hostbus\":1}}],"
		"\"vsnds\":[{\"devid\":0,\"pcms\":[{\"name\":\"p\",\"streams\":[{\"type\":\"c\","
		"\"params\":{\"sample_rates\":[44100,48000]}}]}]}],"
		"\"on_crash\":\"restart\"}");
	struct json_object *other = conf_json_new(schema_domain_config());
	int n = 0;

	(void)state;
	assert_int_equal(conf_json_each(schema_domain_config(), o, set_too, other), 0);
	if (!conf_json_equal(o, other))
		fail_msg("%s\n%s", conf_json_line(o), conf_json_line(other));
	assert_int_equal(conf_json_each(schema_domain_config(), o, stop_at_second, &n), 77);
	assert_int_equal(n, 2);
	json_object_put(o);
	json_object_put(other);
}

static int find_unknown(void *data, const char *path, const char *value)
{
	int *found = data;

	*found |= (!strcmp(path, "disks.0.later") && !strcmp(value, "{\"a\":[1]}")) << 0;
	*found |= (!strcmp(path, "soon") && !strcmp(value, "null")) << 1;
	return 0;
}

static void each_tells_what_is_not_known_as_json(void **state)
{
	struct json_object *o = must_read("{\"disks\":[{\"later\":{\"a\":[1]}}],\"soon\":null}");
	int found = 0;

	(void)state;
	assert_int_equal(conf_json_each(schema_domain_config(), o, find_unknown, &found), 0);
	assert_int_equal(found, 3);
	json_object_put(o);
}

static void lists_appear_and_go_with_their_entries(void **state)
{
	struct json_object *o = must_read("{}");
	struct json_object *disk = conf_json_new(schema_of_list("disks"));

	(void)state;
	assert_null(conf_json_list(o, "disks"));
	assert_int_equal(conf_json_list_add(o, "disks", disk), 0);
	assert_int_equal(conf_json_list_add(o, "disks", conf_json_new(schema_of_list("disks"))), 0);
	assert_int_equal(json_object_array_length(conf_json_list(o, "disks")), 2);
	conf_json_list_del(o, "disks", 2); /* there is none */
	conf_json_list_del(o, "disks", 0);
	assert_int_equal(json_object_array_length(conf_json_list(o, "disks")), 1);
	conf_json_list_del(o, "disks", 0);
	assert_null(conf_json_list(o, "disks"));
	assert_null(schema_of_list("c_info"));
	assert_null(schema_of_list("nosuch"));
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_set_is_got),
		cmocka_unit_test(what_cannot_be_set_is_refused_by_path),
		cmocka_unit_test(a_path_that_leads_nowhere_yet_is_at_its_default),
		cmocka_unit_test(nothing_resets_structures_entries_and_variants),
		cmocka_unit_test(each_value_set_elsewhere_makes_the_same),
		cmocka_unit_test(each_tells_what_is_not_known_as_json),
		cmocka_unit_test(lists_appear_and_go_with_their_entries),
	};

	return cmocka_run_group_tests_name("config/json_path", tests, NULL, NULL);
}
