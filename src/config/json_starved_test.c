/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out, in json-c too: each allocation fails in turn, and the answer is -ENOMEM or
 * whole. The linker's way (base/alloc_test.h) does not reach into libraries, so malloc and its
 * kin are defined here. A sanitizer has its own: then nothing fails, and the rest is tested.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/json.h"
#include "config/starve_test.h"

static const char text[] =
	"{\"c_info\":{\"type\":\"hvm\",\"xsdata\":{\"k\":\"v\"},\"n\":[1.5,2],\"q\":null,"
	"\"uuid\":\"6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c\",\"hap\":\"True\"},"
	"\"b_info\":{\"max_memkb\":9,\"cpumap\":[2,0],\"extra\":[\"a,b\",\"\"],\"irqs\":[1,2],"
	"\"cpuid\":[{\"leaf\":1,\"eax\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1\"}],"
	"\"type.hvm\":{\"ms_vm_genid\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}},"
	"\"disks\":[{\"vdev\":\"xvda\",\"format\":\"RAW\",\"direct_io_safe\":true}],"
	"\"channels\":[{\"connection.socket\":{\"path\":\"/a/rather/long/path/of/a/socket\"}}]}";

/* What a call gives, and whether it is what it gives when nothing fails. */
struct call {
	int (*run)(struct json_object *o, struct json_object **ret, char **ret_text);
	struct json_object *whole;
	char *whole_text;
};

static int run_read(struct json_object *o, struct json_object **ret, char **ret_text)
{
	struct conf_err err;

	(void)o;
	(void)ret_text;
	return conf_json_read(text, sizeof(text) - 1, &err, ret);
}

static int run_copy(struct json_object *o, struct json_object **ret, char **ret_text)
{
	(void)ret_text;
	*ret = conf_json_copy(o);
	return *ret ? 0 : -ENOMEM;
}

static int run_line(struct json_object *o, struct json_object **ret, char **ret_text)
{
	CLEANUP_JSON struct json_object *fresh = conf_json_copy(o); /* nothing printed yet */

	(void)ret;
	*ret_text = fresh ? conf_json_line(fresh) : NULL;
	return *ret_text ? 0 : -ENOMEM;
}

static int run_print(struct json_object *o, struct json_object **ret, char **ret_text)
{
	size_t len;

	(void)ret;
	return conf_json_print(o, DROVER_CONFIG_LAYOUT_4_17, ret_text, &len);
}

static int run_print_newest(struct json_object *o, struct json_object **ret, char **ret_text)
{
	CLEANUP_JSON struct json_object *fresh = conf_json_copy(o);
	size_t len;

	(void)ret;
	return fresh ? conf_json_print(fresh, DROVER_CONFIG_LAYOUT_NEWEST, ret_text, &len)
		     : -ENOMEM;
}

static int run_get(struct json_object *o, struct json_object **ret, char **ret_text)
{
	(void)ret;
	return conf_json_get(schema_domain_config(), o, "b_info.cpumap", ret_text);
}

static int run_set(struct json_object *o, struct json_object **ret, char **ret_text)
{
	static const char *const sets[][2] = {
		{ "b_info.extra", "x,y" },
		{ "b_info.irqs", "7,8" },
		{ "b_info.cpumap", "0-3" },
		{ "vfbs.0.vnc.listen", "::" },
		{ "usbdevs.0.type.hostdev.hostbus", "3" },
		{ "c_info.xsdata", "{\"a\":\"b\"}" },
		{ "disks.0", "" },
	};
	struct conf_err err;
	int r = run_copy(o, ret, ret_text);

	for (size_t i = 0; i < ARRAY_LEN(sets) && !r; i++)
		r = conf_json_set(schema_domain_config(), *ret, sets[i][0], sets[i][1], &err);
	if (r) {
		json_object_put(*ret);
		*ret = NULL;
	}
	return r;
}

static int count_one(void *data, const char *path, const char *value)
{
	size_t *n = data;

	*n += strlen(path) + strlen(value);
	return 0;
}

static int run_each(struct json_object *o, struct json_object **ret, char **ret_text)
{
	size_t n = 0;

	(void)ret;
	(void)ret_text;
	return conf_json_each(schema_domain_config(), o, count_one, &n);
}

/* Whether the nth allocation was asked for at all. */
static bool starve_at(struct call *c, struct json_object *o, unsigned long n, bool and_all)
{
	struct json_object *got = NULL;
	char *got_text = NULL;
	int r;

	failed = false;
	all = and_all;
	countdown = n;
	r = c->run(o, &got, &got_text);
	countdown = 0;
	if (r) {
		assert_int_equal(r, -ENOMEM);
		assert_true(failed);
		assert_null(got);
	} else if (c->whole || c->whole_text) {
		assert_true(!c->whole || conf_json_equal(got, c->whole));
		assert_true(!c->whole_text || !strcmp(got_text, c->whole_text));
	} else {
		c->whole = got;
		c->whole_text = got_text;
		return failed;
	}
	json_object_put(got);
	free(r ? NULL : got_text);
	return failed;
}

static void without_memory_the_answer_is_whole_or_none(void **state)
{
	static int (*const runs[])(struct json_object *, struct json_object **, char **) = {
		run_read,	  run_copy, run_line, run_print,
		run_print_newest, run_get,  run_set,  run_each,
	};
	struct json_object *o = NULL;
	struct conf_err err;

	(void)state;
	assert_int_equal(conf_json_read(text, sizeof(text) - 1, &err, &o), 0);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
		struct call c = { .run = runs[i] };
		unsigned long n = 1;

		assert_false(starve_at(&c, o, 0, false)); /* nothing fails: that is the whole */
		while (starve_at(&c, o, n, false) || starve_at(&c, o, n, true))
			n++;
		assert_true(n > 1 || !STARVES);
		json_object_put(c.whole);
		free(c.whole_text);
	}
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_the_answer_is_whole_or_none),
	};

	return cmocka_run_group_tests_name("config/json_starved", tests, NULL, NULL);
}
