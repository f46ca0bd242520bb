/* SPDX-License-Identifier: MIT */
/*
 * JSON of configurations: what is refused and with which line, one canonical form for what means
 * the same, values by paths, and records that are cut or flipped anywhere.
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

/* ---- helpers ---- */

static struct json_object *must_read(const char *text)
{
	struct conf_err err = { "" };
	struct json_object *o = NULL;

	if (conf_json_read(text, strlen(text), &err, &o))
		fail_msg("%s: %s", text, err.text);
	return o;
}

static char *printed(struct json_object *o, enum drover_config_layout layout)
{
	size_t len = 0;
	char *text = NULL;

	assert_int_equal(conf_json_print(o, layout, &text, &len), 0);
	assert_int_equal(strlen(text), len);
	return text;
}

/* The part of the canonical form that a test looks at, in one line. */
static char *line_at(struct json_object *o, const char *key)
{
	struct json_object *at = o;
	char *line, *copy = strdup(key), *save = NULL;

	for (char *k = strtok_r(copy, "/", &save); k && at; k = strtok_r(NULL, "/", &save))
		at = json_object_is_type(at, json_type_array)
			     ? json_object_array_get_idx(at, (size_t)atoi(k))
			     : json_object_object_get(at, k);
	free(copy);
	line = at ? conf_json_line(at) : strdup("-");
	assert_non_null(line);
	return line;
}

/* ---- what is refused ---- */

static void json_is_read_strictly(void **state)
{
	static const char *const cases[][2] = {
		{ "", "line 1, column 1: neither a map nor a list" },
		{ "7", "line 1, column 1: neither a map nor a list" },
		{ "{\n \"a\": 1,\n \"a\": 2}", "line 3, column 2: this key is there twice" },
		{ "{\"a\":1,\"\\u0061\":2}", "column 8: this key is there twice" },
		{ "{} x", "column 4: text behind the end" },
		{ "{}{}", "column 3: text behind the end" },
		{ "{\"a\":1,}", "column 8: a key is missing" },
		{ "{\"a\" 1}", "column 6: ':' is missing" },
		{ "{\"a\":1 \"b\":2}", "column 8: ',' or '}' is missing" },
		{ "{\"a\":[1 2]}", "column 9: ',' or ']' is missing" },
		{ "{\"a\":[1,]}", "column 9: no value" },
		{ "{a:1}", "column 2: a key is missing" },
		{ "{'a':1}", "column 2: a key is missing" },
		{ "{\"a\":NaN}", "column 6: no value" },
		{ "{\"a\":Infinity}", "column 6: no value" },
		{ "{\"a\":-Infinity}", "column 6: no number" },
		{ "{\"a\":True}", "column 6: no value" },
		{ "{\"a\":tru}", "column 6: no value" },
		{ "{\"a\":nul", "column 6: no value" },
		{ "{\"a\":01}", "column 6: no number" },
		{ "{\"a\":+1}", "column 6: no value" },
		{ "{\"a\":1.}", "column 6: no number" },
		{ "{\"a\":.5}", "column 6: no value" },
		{ "{\"a\":1e}", "column 6: no number" },
		{ "{\"a\":1e+}", "column 6: no number" },
		{ "{\"a\":-}", "column 6: no number" },
		{ "{\"a\":0x10}", "',' or '}' is missing" },
		{ "{\"a\":1/*x*/}", "',' or '}' is missing" },
		{ "{\"a\":\"\\x\"}", "column 7: no such escape" },
		{ "{\"a\":\"\\u12g4\"}", "four hexadecimal digits are missing" },
		{ "{\"a\":\"\\u0000\"}", "column 7: a NUL in a string" },
		{ "{\"a\":\"\\ud800\"}", "column 7: half a surrogate pair" },
		{ "{\"a\":\"\\ud800\\u0041\"}", "half a surrogate pair" },
		{ "{\"a\":\"\\udc00\"}", "half a surrogate pair" },
		{ "{\"a\":\"\t\"}", "column 7: a control character in a string" },
		{ "{\"\xc3\xa9\":\"\xff\"}", "column 7: not UTF-8" },
		{ "{\"a\":\"\xc0\x80\"}", "not UTF-8" },
		{ "{\"a\":\"\xe0\x80\x80\"}", "not UTF-8" },
		{ "{\"a\":\"\xed\xa0\x80\"}", "not UTF-8" },
		{ "{\"a\":\"\xf4\x90\x80\x80\"}", "not UTF-8" },
		{ "{\"a\":\"\xc3\"}", "not UTF-8" },
		{ "{\"a\":\"x", "the text ends within a string" },
		{ "{\"a\":\"x\\", "the text ends within a string" },
		{ "{\"a\":", "the text ends where a value should be" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conf_err err = { "" };
		struct json_object *o = NULL;

		assert_int_equal(conf_json_parse(cases[i][0], strlen(cases[i][0]), &err, &o),
				 -EINVAL);
		assert_null(o);
		if (!strstr(err.text, cases[i][1]))
			fail_msg("%s: \"%s\", not \"%s\"", cases[i][0], err.text, cases[i][1]);
	}
}

static void a_record_of_other_types_is_refused_by_field(void **state)
{
	static const char *const cases[][2] = {
		{ "[]", "is no map" },
		{ "{\"c_info\":[]}", "c_info: is no map" },
		{ "{\"c_info\":null}", "c_info: is no map" },
		{ "{\"c_info\":{\"name\":7}}", "c_info.name: is no string" },
		{ "{\"c_info\":{\"hap\":true}}", "c_info.hap: is neither \"True\" nor \"False\"" },
		{ "{\"c_info\":{\"hap\":\"true\"}}", "c_info.hap: is neither" },
		{ "{\"c_info\":{\"ssidref\":4294967296}}",
		  "c_info.ssidref: is out of range: 0 to 4294967295" },
		{ "{\"c_info\":{\"ssidref\":-1}}", "c_info.ssidref: is out of range" },
		{ "{\"c_info\":{\"ssidref\":1.0}}", "c_info.ssidref: is no whole number" },
		{ "{\"c_info\":{\"ssidref\":\"1\"}}", "c_info.ssidref: is no whole number" },
		{ "{\"c_info\":{\"ssidref\":99999999999999999999}}", "is no whole number" },
		{ "{\"c_info\":{\"ssidref\":null}}", "c_info.ssidref: is no whole number" },
		{ "{\"b_info\":{\"max_memkb\":-1}}", "b_info.max_memkb: is out of range" },
		{ "{\"b_info\":{\"max_vcpus\":2147483648}}",
		  "b_info.max_vcpus: is out of range: -2147483648 to 2147483647" },
		{ "{\"c_info\":{\"uuid\":\"6f1c2b3a0d4e4f5a9b6c7d8e9f0a1b2c\"}}",
		  "c_info.uuid: is not of the form xxxxxxxx-xxxx" },
		{ "{\"nics\":[{\"mac\":\"00:16:3e:11:22:3g\"}]}",
		  "nics[0].mac: is not of the form xx:xx" },
		{ "{\"nics\":[{},{\"mac\":\"\"}]}", "nics[1].mac: is not of the form" },
		{ "{\"c_info\":{\"xsdata\":[]}}", "c_info.xsdata: is no map of strings" },
		{ "{\"c_info\":{\"xsdata\":{\"a\":1}}}", "c_info.xsdata: is no map of strings" },
		{ "{\"b_info\":{\"extra\":\"a\"}}", "b_info.extra: is no list" },
		{ "{\"b_info\":{\"extra\":[1]}}", "b_info.extra: is no list of strings" },
		{ "{\"b_info\":{\"cpumap\":[65536]}}", "b_info.cpumap: is no list of numbers" },
		{ "{\"b_info\":{\"cpumap\":[\"1\"]}}", "b_info.cpumap: is no list of numbers" },
		{ "{\"b_info\":{\"vcpu_hard_affinity\":[[1],[-1]]}}",
		  "b_info.vcpu_hard_affinity[1]: is no list of numbers" },
		{ "{\"b_info\":{\"irqs\":[1,null]}}", "b_info.irqs[1]: is no whole number" },
		{ "{\"b_info\":{\"type.hvm\":{\"ms_vm_genid\":[1,2]}}}",
		  "b_info.type.hvm.ms_vm_genid: is no list of 16 octets" },
		{ "{\"b_info\":{\"type.pv\":{},\"type.hvm\":{}}}", "b_info.type: is both" },
		{ "{\"b_info\":{\"type.qnx\":{}}}", "b_info.type.qnx: no such variant" },
		{ "{\"b_info\":{\"type.pv\":[]}}", "b_info.type.pv: is no map" },
		{ "{\"b_info\":{\"type\":\"hvm\",\"type.pv\":{}}}",
		  "b_info.type: is not the variant that is there" },
		{ "{\"c_info\":{\"type\":\"pv\"},\"b_info\":{\"type.pvh\":{}}}",
		  "b_info.type: is not \"pv\"" },
		{ "{\"disks\":{}}", "disks: is no list" },
		{ "{\"disks\":[null]}", "disks[0]: is no map" },
		{ "{\"disks\":[{},{},{\"format\":\"zip\"}]}",
		  "disks[2].format: is no disk_format" },
		{ "{\"disks\":[{\"direct_io_safe\":1}]}",
		  "disks[0].direct_io_safe: is neither true nor false" },
		{ "{\"pcidevs\":[{\"bus\":256}]}", "pcidevs[0].bus: is out of range: 0 to 255" },
		{ "{\"vsnds\":[{\"pcms\":[{\"streams\":[{\"type\":\"q\"}]}]}]}",
		  "vsnds[0].pcms[0].streams[0].type: is no vsnd_stream_type" },
		{ "{\"b_info\":{\"cpuid\":7}}", "b_info.cpuid: is no policy" },
		{ "{\"b_info\":{\"cpuid\":[{\"eax\":\"x\"}]}}",
		  "b_info.cpuid.cpuid[0].eax: has not 32 characters" },
		{ "{\"b_info\":{\"cpuid\":[{\"subleaf\":1}]}}", "without a leaf" },
		{ "{\"on_crash\":\"explode\"}", "on_crash: is no action_on_shutdown" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conf_err err = { "" };
		struct json_object *o = NULL;

		if (conf_json_read(cases[i][0], strlen(cases[i][0]), &err, &o) != -EINVAL)
			fail_msg("%s: accepted", cases[i][0]);
		if (!strstr(err.text, cases[i][1]))
			fail_msg("%s: \"%s\", not \"%s\"", cases[i][0], err.text, cases[i][1]);
	}
}

static void what_is_too_deep_or_too_long_is_refused(void **state)
{
	struct conf_err err = { "" };
	struct json_object *o = NULL;
	char text[2 * CONF_JSON_DEPTH_MAX + 3];

	(void)state;
	memset(text, '[', CONF_JSON_DEPTH_MAX);
	memset(text + CONF_JSON_DEPTH_MAX, ']', CONF_JSON_DEPTH_MAX);
	assert_int_equal(conf_json_parse(text, 2 * CONF_JSON_DEPTH_MAX, &err, &o), 0);
	json_object_put(o);
	memset(text, '[', CONF_JSON_DEPTH_MAX + 1);
	memset(text + CONF_JSON_DEPTH_MAX + 1, ']', CONF_JSON_DEPTH_MAX + 1);
	assert_int_equal(conf_json_parse(text, 2 * CONF_JSON_DEPTH_MAX + 2, &err, &o), -EINVAL);
	assert_non_null(strstr(err.text, "too deep"));
	/* Refused for its length before an octet of it is looked at. */
	assert_int_equal(conf_json_parse(text, CONF_JSON_MAX + 1, &err, &o), -EINVAL);
}

static void one_nul_may_end_a_record(void **state)
{
	struct conf_err err = { "" };
	struct json_object *o = NULL;

	(void)state;
	assert_int_equal(conf_json_parse("{}\n", 4, &err, &o), 0);
	json_object_put(o);
	assert_int_equal(conf_json_parse("{}\n\0", 5, &err, &o), -EINVAL);
	assert_int_equal(conf_json_parse("{\0}", 3, &err, &o), -EINVAL);
}

/* ---- canonical form ---- */

static const char *const forms[][3] = {
	/* text, where to look, what is there ("-": nothing) */
	{ "{}", "",
	  "{\"c_info\":{},\"b_info\":{\"sched_params\":{},\"type.invalid\":{},"
	  "\"arch_arm\":{\"arm_sci\":{}},\"arch_x86\":{},"
	  "\"xenstore_quota\":{}}}" },
	{ "{\"c_info\":{\"type\":\"PvH\"}}", "c_info/type", "\"pvh\"" },
	{ "{\"c_info\":{\"type\":\"invalid\"}}", "c_info", "{}" },
	{ "{\"c_info\":{\"name\":null,\"type\":null}}", "c_info", "{}" },
	{ "{\"c_info\":{\"name\":\"\"}}", "c_info", "{\"name\":\"\"}" },
	{ "{\"c_info\":{\"hap\":\"<default>\",\"oos\":\"False\"}}", "c_info",
	  "{\"oos\":\"False\"}" },
	{ "{\"c_info\":{\"uuid\":\"6F1C2B3A-0D4E-4F5A-9B6C-7D8E9F0A1B2C\"}}", "c_info/uuid",
	  "\"6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c\"" },
	{ "{\"c_info\":{\"uuid\":\"00000000-0000-0000-0000-000000000000\"}}", "c_info", "{}" },
	{ "{\"c_info\":{\"xsdata\":{}}}", "c_info", "{}" },
	{ "{\"c_info\":{\"xsdata\":{\"b\":\"1\",\"a\":null}}}", "c_info/xsdata",
	  "{\"b\":\"1\",\"a\":null}" },
	{ "{\"b_info\":{\"max_memkb\":18446744073709551615,\"video_memkb\":0}}", "b_info/max_memkb",
	  "-" },
	{ "{\"b_info\":{\"max_memkb\":18446744073709551614}}", "b_info/max_memkb",
	  "18446744073709551614" },
	{ "{\"b_info\":{\"video_memkb\":0}}", "b_info/video_memkb", "0" },
	{ "{\"b_info\":{\"max_grant_frames\":4294967295}}", "b_info/max_grant_frames", "-" },
	{ "{\"b_info\":{\"max_grant_version\":-1}}", "b_info/max_grant_version", "-" },
	{ "{\"b_info\":{\"rtc_timeoffset\":-0}}", "b_info/rtc_timeoffset", "-" },
	{ "{\"b_info\":{\"cpumap\":[3,1,2,1],\"nodemap\":[]}}", "b_info/cpumap", "[1,2,3]" },
	{ "{\"b_info\":{\"nodemap\":[]}}", "b_info/nodemap", "-" },
	{ "{\"b_info\":{\"vcpu_hard_affinity\":[[],[2,0]]}}", "b_info/vcpu_hard_affinity",
	  "[[],[0,2]]" },
	{ "{\"b_info\":{\"extra\":[]}}", "b_info/extra", "-" },
	{ "{\"b_info\":{\"ioports\":[]}}", "b_info/ioports", "-" },
	{ "{\"b_info\":{\"vnuma_nodes\":[{}]}}", "b_info/vnuma_nodes", "[{}]" },
	{ "{\"b_info\":{\"cpuid\":[{\"leaf\":1,\"subleaf\":4294967295}]}}", "b_info/cpuid",
	  "{\"cpuid\":[{\"leaf\":1}],\"msr\":[]}" },
	{ "{\"b_info\":{\"cpuid\":[]}}", "b_info/cpuid", "-" },
	{ "{\"b_info\":{\"cpuid\":{}}}", "b_info/cpuid", "-" },
	{ "{\"b_info\":{\"type.hvm\":{}}}", "b_info/type.hvm",
	  "{\"vga\":{},\"vnc\":{},\"sdl\":{},\"spice\":{},\"rdm\":{}}" },
	{ "{\"b_info\":{\"type.hvm\":{\"ms_vm_genid\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}}",
	  "b_info/type.hvm/ms_vm_genid", "-" },
	{ "{\"disks\":[{\"readwrite\":0,\"removable\":1}]}", "disks", "[{\"removable\":1}]" },
	{ "{\"nics\":[{\"devid\":0,\"mac\":\"00:16:3E:AA:BB:CC\"}]}", "nics",
	  "[{\"devid\":0,\"mac\":\"00:16:3e:aa:bb:cc\"}]" },
	{ "{\"nics\":[{\"devid\":-1,\"mac\":\"00:00:00:00:00:00\"}]}", "nics", "[{}]" },
	{ "{\"nics\":[]}", "nics", "-" },
	{ "{\"channels\":[{}]}", "channels", "[{\"connection.unknown\":{}}]" },
	{ "{\"usbdevs\":[{}]}", "usbdevs", "[{}]" },
	{ "{\"on_poweroff\":\"destroy\",\"on_crash\":\"RESTART\"}", "on_poweroff", "-" },
	{ "{\"x\":{\"y\":[1e2,null,{\"z\":-0.50}]}}", "x", "{\"y\":[1e2,null,{\"z\":-0.50}]}" },
	{ "{\"disks\":[{\"tomorrow\":[]}]}", "disks/0/tomorrow", "[]" },
	{ "{\"c_info\":{\"name\":\"\\u00e9\\ud83d\\ude00\\/\\n\"}}", "c_info/name",
	  "\"\xc3\xa9\xf0\x9f\x98\x80/\\n\"" },
};

static void what_means_the_same_has_one_form(void **state)
{

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct json_object *o = must_read(forms[i][0]);
		char *line = line_at(o, forms[i][1]);

		if (strcmp(line, forms[i][2]) != 0)
			fail_msg("%s: %s, not %s", forms[i][0], line, forms[i][2]);
		free(line);
		json_object_put(o);
	}
}

/* Every kind of value, and what is not known on each level. */
static const char rich[] =
	"{\"c_info\":{\"type\":\"hvm\",\"name\":\"a\\u00e9\",\"xsdata\":{\"k\":\"v\"},\"n\":[1.5],"
	"\"uuid\":\"6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c\",\"hap\":\"True\"},"
	"\"b_info\":{\"max_memkb\":9,\"cpumap\":[0,2],\"extra\":[\"a,b\",\"\"],"
	"\"cpuid\":{\"cpuid\":[{\"leaf\":1,\"eax\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1\"}]},"
	"\"type.hvm\":{\"bios\":\"ovmf\",\"vnc\":{\"display\":-3},"
	"\"ms_vm_genid\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}},"
	"\"disks\":[{\"vdev\":\"xvda\",\"format\":\"raw\",\"readwrite\":1,\"later\":{\"a\":null}}],"
	"\"nics\":[{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\"}],"
	"\"pcidevs\":[{\"bus\":3,\"seize\":true}],"
	"\"channels\":[{\"connection.socket\":{\"path\":\"/c\"}}],"
	"\"usbdevs\":[{\"ctrl\":0,\"type.hostdev\":{\"hostbus\":1}}],"
	"\"vdispls\":[{\"connectors\":[{\"width\":640}]}],"
	"\"on_crash\":\"restart\",\"new\":[{},[],-1e9,true]}";

static void a_copy_is_equal_and_its_own(void **state)
{
	struct json_object *o = must_read(rich), *copy = conf_json_copy(o);
	struct conf_err err;

	(void)state;
	assert_non_null(copy);
	assert_true(conf_json_equal(o, copy));
	assert_int_equal(conf_json_set(schema_domain_config(), copy, "disks.0.vdev", "xvdb", &err),
			 0);
	assert_false(conf_json_equal(o, copy));
	assert_string_equal(
		conf_json_string(json_object_array_get_idx(conf_json_list(o, "disks"), 0), "vdev"),
		"xvda");
	json_object_put(copy);
	json_object_put(o);
}

static void order_makes_no_difference_and_numbers_do(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{ "{\"x\":1,\"y\":2}", "{\"y\":2,\"x\":1}", true },
		{ "{\"x\":[1,2]}", "{\"x\":[2,1]}", false },
		{ "{\"x\":1}", "{\"x\":1.0}", false },
		{ "{\"x\":null}", "{}", false },
		{ "{\"x\":null}", "{\"y\":null}", false },
		{ "{\"x\":100000000000000000001}", "{\"x\":100000000000000000002}", false },
		{ "{\"x\":18446744073709551615}", "{\"x\":-1}", false },
		{ "{\"x\":\"1\"}", "{\"x\":1}", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_object *a = must_read(cases[i].a), *b = must_read(cases[i].b);

		assert_int_equal(conf_json_equal(a, b), cases[i].equal);
		json_object_put(a);
		json_object_put(b);
	}
}

/* ---- text ---- */

static void layouts_print_what_is_read_back(void **state)
{
	struct json_object *o = must_read(rich);

	(void)state;
	for (int layout = 0; layout < 2; layout++) {
		char *text = printed(o, (enum drover_config_layout)layout);
		struct json_object *back = must_read(text);

		assert_true(conf_json_equal(o, back));
		json_object_put(back);
		free(text);
	}
	json_object_put(o);
}

static void layout_4_17_has_yajls_form(void **state)
{
	struct json_object *o = must_read("{\"z\":[],\"on_crash\":\"restart\",\"y\":{\"a\":[{}]},"
					  "\"nics\":[{\"q\":\"\\u001f\\t/\x7f\",\"devid\":0}]}");
	char *text = printed(o, DROVER_CONFIG_LAYOUT_4_17);

	(void)state;
	assert_string_equal(strstr(text, "    \"nics\""), "    \"nics\": [\n"
							  "        {\n"
							  "            \"devid\": 0,\n"
							  "            \"q\": \"\\u001F\\t/\x7f\"\n"
							  "        }\n"
							  "    ],\n"
							  "    \"on_crash\": \"restart\",\n"
							  "    \"z\": [\n"
							  "\n"
							  "    ],\n"
							  "    \"y\": {\n"
							  "        \"a\": [\n"
							  "            {\n"
							  "\n"
							  "            }\n"
							  "        ]\n"
							  "    }\n"
							  "}\n");
	assert_null(strstr(text, "xenstore_quota")); /* 4.17 has no such structure */
	assert_null(strstr(text, "arm_sci"));
	free(text);
	json_object_put(o);
}

static void newer_fields_stay_in_the_older_layout(void **state)
{
	struct json_object *o = must_read(
		"{\"b_info\":{\"xenstore_quota\":{\"quota\":[{\"name\":\"nodes\",\"val\":7}]}},"
		"\"virtios\":[{\"type\":\"x\"}]}");
	char *text = printed(o, DROVER_CONFIG_LAYOUT_4_17);

	(void)state;
	assert_non_null(strstr(text, "\"xenstore_quota\": {"));
	assert_non_null(strstr(text, "\"virtios\": ["));
	free(text);
	text = printed(o, DROVER_CONFIG_LAYOUT_NEWEST);
	assert_non_null(strstr(text, "\"arm_sci\":{"));
	assert_non_null(strstr(text, "  \"virtios\":[\n"));
	free(text);
	json_object_put(o);
}

static void what_nobody_could_read_is_not_printed(void **state)
{
	struct json_object *o = must_read("{}");
	char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(json_object_object_add(o, "x", json_object_new_string("caf\xe9")), 0);
	for (int layout = 0; layout < 2; layout++)
		assert_int_equal(conf_json_print(o, (enum drover_config_layout)layout, &text, &len),
				 -EILSEQ);
	assert_null(conf_json_line(o));
	json_object_put(o);
}

/* ---- damage ---- */

static void a_record_cut_anywhere_is_refused(void **state)
{
	struct json_object *o = must_read(rich);
	char *texts[3] = { strdup(rich), printed(o, DROVER_CONFIG_LAYOUT_4_17),
			   printed(o, DROVER_CONFIG_LAYOUT_NEWEST) };

	(void)state;
	json_object_put(o);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		size_t end = strlen(texts[i]);

		while (texts[i][end - 1] == '\n')
			end--;
		for (size_t len = 0; len < end; len++) {
			struct conf_err err = { "" };
			/* A copy of its own, so that memcheck sees what is read behind it. */
			char *cut = malloc(len + 1);

			memcpy(cut, texts[i], len);
			o = NULL;
			if (conf_json_read(cut, len, &err, &o) != -EINVAL)
				fail_msg("cut at %zu: accepted", len);
			assert_true(*err.text && !strchr(err.text, '\n'));
			free(cut);
		}
		free(texts[i]);
	}
}

/* Refused with a line, or brought to a form that stays as it is. */
static void must_be_refused_or_canonical(const char *text, size_t len)
{
	struct conf_err err = { "" };
	struct json_object *o = NULL, *again;
	char *line, *line_again;

	if (conf_json_read(text, len, &err, &o)) {
		assert_true(*err.text && !strchr(err.text, '\n'));
		return;
	}
	line = conf_json_line(o);
	again = must_read(line);
	line_again = conf_json_line(again);
	assert_true(conf_json_equal(o, again));
	assert_string_equal(line, line_again);
	free(line);
	free(line_again);
	json_object_put(again);
	json_object_put(o);
}

static void a_record_with_any_octet_changed_is_refused_or_canonical(void **state)
{
	char *text = strdup(rich);
	size_t len = strlen(rich);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		for (unsigned int c = 0; c < 256; c++) {
			if (c == (unsigned char)rich[i])
				continue;
			text[i] = (char)c;
			must_be_refused_or_canonical(text, len);
		}
		text[i] = rich[i];
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_read_strictly),
		cmocka_unit_test(a_record_of_other_types_is_refused_by_field),
		cmocka_unit_test(what_is_too_deep_or_too_long_is_refused),
		cmocka_unit_test(one_nul_may_end_a_record),
		cmocka_unit_test(what_means_the_same_has_one_form),
		cmocka_unit_test(a_copy_is_equal_and_its_own),
		cmocka_unit_test(order_makes_no_difference_and_numbers_do),
		cmocka_unit_test(layouts_print_what_is_read_back),
		cmocka_unit_test(layout_4_17_has_yajls_form),
		cmocka_unit_test(newer_fields_stay_in_the_older_layout),
		cmocka_unit_test(what_nobody_could_read_is_not_printed),
		cmocka_unit_test(a_record_cut_anywhere_is_refused),
		cmocka_unit_test(a_record_with_any_octet_changed_is_refused_or_canonical),
	};

	return cmocka_run_group_tests_name("config/json", tests, NULL, NULL);
}
