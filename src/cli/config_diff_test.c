/* SPDX-License-Identifier: MIT */
/*
 * Two views side by side: which lines stand beside each other, what is told, what is counted, and
 * configurations as paths and values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "cli/config_diff.h"

/* "A-A -B C-" for what is called: names of a, then of b. */
struct pairs {
	const char *const *a, *const *b;
	char text[256];
};

static void pair(void *data, size_t a, size_t b)
{
	struct pairs *p = data;
	size_t len = strlen(p->text);

	snprintf(p->text + len, sizeof(p->text) - len, "%s%s-%s", len ? " " : "",
		 a == CONFIG_NONE ? "" : p->a[a], b == CONFIG_NONE ? "" : p->b[b]);
}

static size_t split(char *words, const char **ret)
{
	size_t n = 0;

	for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
		ret[n++] = w;
	return n;
}

static void names_stand_beside_their_like(void **state)
{
	static const struct {
		const char *a, *b, *want;
	} rows[] = {
		{ "", "", "" },
		{ "A B C", "A B C", "A-A B-B C-C" },
		{ "A C", "A B C", "A-A -B C-C" },
		{ "A B C", "A C", "A-A B- C-C" },
		{ "A", "B", "A- -B" },
		{ "A B", "B A", "A-A B-B" },
		{ "C A", "A C", "C-C A-A" },
		{ "A D B", "A C B", "A-A D- -C B-B" },
		{ "A", "B C A", "-B -C A-A" },
		{ "A A", "A", "A-A A-" },
		{ "A", "A A", "A-A -A" },
		{ "", "A B", "-A -B" },
		{ "A B", "", "A- B-" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char wa[32], wb[32];
		const char *a[16], *b[16];
		struct pairs p = { .a = a, .b = b };
		size_t na, nb;

		strcpy(wa, rows[i].a);
		strcpy(wb, rows[i].b);
		na = split(wa, a);
		nb = split(wb, b);
		config_align(a, na, b, nb, pair, &p);
		assert_string_equal(p.text, rows[i].want);
	}
}

static bool is_disks(const char *name)
{
	return !strcmp(name, "disks");
}

static void json_becomes_paths_and_values(void **state)
{
	static const char *const want[][2] = {
		{ "c_info.name", "x" },	      { "b_info.max_vcpus", "2" },
		{ "b_info.avail", "0,1" },    { "b_info.big", "18446744073709551615" },
		{ "b_info.acpi", "True" },    { "b_info.l.0.a", "1" },
		{ "b_info.l.1.disks", "y" },  { "b_info.empty", "" },
		{ "b_info.nothing", "null" },
	};
	struct config_fields f = { 0 };
	struct json_object *o = json_tokener_parse(
		"{\"c_info\": {\"name\": \"x\"}, \"b_info\": {\"max_vcpus\": 2, \"avail\": [0, 1], "
		"\"big\": 18446744073709551615, \"acpi\": \"True\", \"l\": [{\"a\": 1}, "
		"{\"disks\": \"y\"}], \"empty\": [], \"map\": {}, \"nothing\": null}, "
		"\"disks\": [{\"vdev\": \"xvda\"}]}");

	(void)state;
	assert_non_null(o);
	config_fields_json(&f, "", o, is_disks);
	json_object_put(o);
	assert_int_equal(f.n, ARRAY_LEN(want));
	for (size_t i = 0; i < f.n; i++) {
		assert_string_equal(f.v[i].path, want[i][0]);
		assert_string_equal(f.v[i].value, want[i][1]);
	}
	config_fields_fini(&f);
}

/* ---- views ---- */

static char text_name[] = "pv1", reason[] = "backend is in state 1 (Initialising)", none[] = "";
static char vbd[] = "vbd", vif[] = "vif";
static char xvda[] = "xvda", xvdb[] = "xvdb", zero[] = "0";
static char vbd_xvda[] = "vbd xvda", vbd_xvdb[] = "vbd xvdb", vif_0[] = "vif 0";

static struct config_field domain_live[] = { { (char[]){ "c_info.name" }, text_name },
					     { (char[]){ "b_info.target_memkb" },
					       (char[]){ "1024" } },
					     { (char[]){ "b_info.video_memkb" }, zero } };
static struct config_field domain_persistent[] = { { (char[]){ "c_info.name" }, text_name },
						   { (char[]){ "b_info.target_memkb" },
						     (char[]){ "2048" } } };
static struct config_field disk_live[] = { { (char[]){ "vdev" }, xvda },
					   { (char[]){ "pdev_path" }, (char[]){ "/dev/a" } } };
static struct config_field disk_persistent[] = { { (char[]){ "pdev_path" }, (char[]){ "/dev/b" } },
						 { (char[]){ "vdev" }, xvda } };
static struct config_field nic[] = { { (char[]){ "devid" }, zero } };

#define DEVICE(CLASS, ID, TITLE, FIELDS, N, IN, VERDICT, REASON)                                   \
	{                                                                                          \
		.class = CLASS, .id = ID, .title = TITLE, .fields = { FIELDS, N, N },              \
		.in_view = IN, .judged = true, .verdict = VERDICT, .reason = REASON                \
	}

static struct config_device devices_live[] = {
	DEVICE(vbd, xvda, vbd_xvda, disk_live, 2, true, DROVER_CHANGED, none),
	DEVICE(vbd, xvdb, vbd_xvdb, NULL, 0, false, DROVER_HALF_ADDED, reason),
	DEVICE(vif, zero, vif_0, nic, 1, true, DROVER_STORE_ONLY, none),
};
static struct config_device devices_persistent[] = {
	DEVICE(vbd, xvda, vbd_xvda, disk_persistent, 2, true, DROVER_CHANGED, none),
	DEVICE(vbd, xvdb, vbd_xvdb, NULL, 0, false, DROVER_HALF_ADDED, reason),
	DEVICE(vif, zero, vif_0, NULL, 0, false, DROVER_STORE_ONLY, none),
};
static const struct config_picture live = {
	.domid = 7, .domain = { domain_live, 3, 3 }, .devices = devices_live, .n_devices = 3
};
static const struct config_picture persistent = { .domid = 7,
						  .domain = { domain_persistent, 2, 2 },
						  .devices = devices_persistent,
						  .n_devices = 3 };

static char *print(const struct config_diff *d, size_t *ret_n)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	*ret_n = config_diff_print(f, d);
	fclose(f);
	return text;
}

static void what_differs_is_told_side_by_side(void **state)
{
	const struct config_diff d = { .live = &live, .persistent = &persistent };
	size_t n;
	char *text = print(&d, &n);

	(void)state;
	assert_int_equal(n, 4);
	assert_string_equal(text, "FIELD                LIVE           PERSISTENT\n"
				  "b_info.target_memkb  1024        |  2048\n"
				  "b_info.video_memkb   0           <\n"
				  "vbd xvda             changed        changed\n"
				  "  vdev               xvda           xvda\n"
				  "  pdev_path          /dev/a      |  /dev/b\n"
				  "vif 0                store-only  <  -\n"
				  "  devid              0           <\n");
	free(text);
}

static void equal_views_say_nothing(void **state)
{
	struct config_diff d = { .live = &live, .persistent = &live };
	size_t n;
	char *text = print(&d, &n);

	(void)state;
	assert_int_equal(n, 0);
	assert_string_equal(text, "");
	free(text);
	d.full = true;
	text = print(&d, &n);
	assert_int_equal(n, 0);
	assert_non_null(strstr(text, "c_info.name          pv1           pv1\n"));
	assert_null(strstr(text, "xvdb")); /* which is in neither */
	free(text);
}

static void programs_are_told_the_same(void **state)
{
	const struct config_diff d = { .live = &live, .persistent = &persistent };
	size_t n;
	struct json_object *o = config_diff_json(&d, &n);

	(void)state;
	assert_int_equal(n, 4);
	assert_string_equal(
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"domid\":7,\"differences\":4,\"domain\":["
		"{\"path\":\"b_info.target_memkb\",\"live\":\"1024\",\"persistent\":\"2048\"},"
		"{\"path\":\"b_info.video_memkb\",\"live\":\"0\",\"persistent\":null}],"
		"\"devices\":[{\"class\":\"vbd\",\"id\":\"xvda\",\"verdict\":\"changed\","
		"\"reason\":\"\",\"live\":{\"vdev\":\"xvda\",\"pdev_path\":\"/dev/a\"},"
		"\"persistent\":{\"pdev_path\":\"/dev/b\",\"vdev\":\"xvda\"}},"
		"{\"class\":\"vif\",\"id\":\"0\",\"verdict\":\"store-only\",\"reason\":\"\","
		"\"live\":{\"devid\":\"0\"},\"persistent\":null}]}");
	json_object_put(o);
}

static void long_values_keep_to_their_column(void **state)
{
	const struct config_diff d = { .live = &live, .persistent = &persistent, .width = 40 };
	size_t n;
	char *text = print(&d, &n), *rest = text, *line;

	(void)state;
	while ((line = strsep(&rest, "\n")))
		assert_true(strlen(line) <= 40);
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_stand_beside_their_like),
		cmocka_unit_test(json_becomes_paths_and_values),
		cmocka_unit_test(what_differs_is_told_side_by_side),
		cmocka_unit_test(equal_views_say_nothing),
		cmocka_unit_test(programs_are_told_the_same),
		cmocka_unit_test(long_values_keep_to_their_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
