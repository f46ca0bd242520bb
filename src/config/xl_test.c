/* SPDX-License-Identifier: MIT */
/*
 * xl's words and files where xl itself cannot tell: entries that have fields already, octets that
 * are no text, memory that is out. What words mean is held against xl in tests/config/xl_test.py.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "config/json.h"
#include "config/session.h"
#include "config/xl.h"

static struct json_object *object(const char *text)
{
	struct json_object *o = json_tokener_parse(text);

	assert_non_null(o);
	return o;
}

typedef int parse_fn(const char *words, struct json_object *entry, struct conf_err *err);

struct row {
	parse_fn *fn;
	const char *before, *words;
	int err;
	const char *after; /* the entry, or of an error its line */
};

static void check(const struct row *row)
{
	CLEANUP_JSON struct json_object *entry = object(row->before);
	CLEANUP_JSON struct json_object *want = object(row->err ? row->before : row->after);
	struct conf_err err = { "" };

	assert_int_equal(row->fn(row->words, entry, &err), row->err);
	assert_true(json_object_equal(entry, want));
	if (row->err)
		assert_string_equal(err.text, row->after);
}

static void fields_that_are_not_said_stay(void **state)
{
	static const struct row rows[] = {
		{ xl_nic_parse, "{\"devid\":3,\"bridge\":\"a\"}", "bridge=b,mtu=1400", 0,
		  "{\"devid\":3,\"bridge\":\"b\",\"mtu\":1400}" },
		{ xl_nic_parse, "{\"mtu\":1400}", "", 0, "{\"mtu\":1400}" },
		{ xl_disk_parse, "{\"trusted\":\"True\",\"readwrite\":1}", "/a,raw,xvda,r", 0,
		  "{\"trusted\":\"True\",\"pdev_path\":\"/a\",\"vdev\":\"xvda\","
		  "\"format\":\"raw\"}" },
		{ xl_disk_parse, "{\"is_cdrom\":1,\"removable\":1}", "/a,raw,xvda,w", 0,
		  "{\"pdev_path\":\"/a\",\"vdev\":\"xvda\",\"format\":\"raw\",\"readwrite\":1}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

static void a_failure_leaves_the_entry_as_it_was(void **state)
{
	static const struct row rows[] = {
		{ xl_nic_parse, "{\"bridge\":\"a\"}", "bridge=b,foo", -EINVAL,
		  "nic, column 10: \"foo\": no such parameter" },
		{ xl_disk_parse, "{\"vdev\":\"a\"}", "vdev=b", -EINVAL,
		  "disk, column 1: \"vdev=b\": no target, and no cdrom" },
		{ xl_disk_parse, "{}", "/a,raw,\xff,w", -EINVAL, "disk, column 8: not in UTF-8" },
		{ xl_disk_parse, "{}", "/\xc0\xaf", -EINVAL, "disk, column 2: not in UTF-8" },
		{ xl_nic_parse, "{}", "ip=\xed\xa0\x80", -EINVAL, "nic, column 4: not in UTF-8" },
		{ xl_nic_parse, "{}", "ip=\xe2\x82", -EINVAL, "nic, column 4: not in UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check(&rows[i]);
}

/* ---- files ---- */

static const char whole[] =
	"{\"c_info\":{\"type\":\"hvm\",\"name\":\"a\",\"xsdata\":{\"k\":\"v\"}},"
	"\"b_info\":{\"max_vcpus\":2,\"avail_vcpus\":[0,1],\"vcpu_hard_affinity\":[[0],[1]],"
	"\"vnuma_nodes\":[{\"memkb\":1024,\"vcpus\":[0],\"distances\":[10]}],"
	"\"irqs\":[5],\"type.hvm\":{\"viridian_enable\":[0],\"serial_list\":[\"pty\"]}},"
	"\"disks\":[{\"vdev\":\"xvda\",\"pdev_path\":\"/a\",\"novelty\":[1]}],"
	"\"vdispls\":[{\"devid\":0,\"connectors\":[{\"unique_id\":\"a\",\"width\":1}]}],"
	"\"vsnds\":[{\"devid\":0,\"pcms\":[{\"name\":\"p\"}]}]}";

static void a_file_is_whole_or_memory_is_out(void **state)
{
	struct drover_domain_config config = { .json = object(whole) };
	char *text, *lost, *want, *want_lost;
	int r = -ENOMEM;
	unsigned long n;

	(void)state;
	assert_int_equal(drover_domain_config_to_xl(&config, &want, &want_lost), 0);
	assert_non_null(strstr(want, "vsnd = [\n"));
	assert_non_null(strstr(want_lost, "disks.0.novelty: [1]\n"));
	for (n = 1; r; n++) {
		alloc_fail_nth(n, false);
		r = drover_domain_config_to_xl(&config, &text, &lost);
		assert_int_equal(r, alloc_fail_end() ? -ENOMEM : 0);
	}
	assert_true(n > 10);
	assert_string_equal(text, want);
	assert_string_equal(lost, want_lost);
	free(text);
	free(lost);
	free(want);
	free(want_lost);
	json_object_put(config.json);
}

static void nothing_to_say_is_a_file_that_says_so(void **state)
{
	struct drover_domain_config config = { .json = object("{\"a\\nb\":\"c\\nd\"}") };
	char *text, *lost;

	(void)state;
	assert_int_equal(drover_domain_config_to_xl(&config, &text, &lost), 0);
	assert_non_null(strstr(lost, "\na?b: \"c\\nd\"\n"));
	assert_non_null(strstr(text, "on_reboot = \"destroy\"\n"));
	assert_non_null(strstr(lost, "c_info.name: not there; xl asks for it\n"));
	free(text);
	free(lost);
	json_object_put(config.json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_that_are_not_said_stay),
		cmocka_unit_test(a_failure_leaves_the_entry_as_it_was),
		cmocka_unit_test(a_file_is_whole_or_memory_is_out),
		cmocka_unit_test(nothing_to_say_is_a_file_that_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
