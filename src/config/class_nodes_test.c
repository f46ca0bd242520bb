/* SPDX-License-Identifier: MIT */
/*
 * What is written for a device, against what libxl writes, and what of it an update changes.
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

static const struct class_node *find(const struct class_nodes *nodes, const char *path)
{
	const struct class_node *found = NULL;

	for (size_t i = 0; i < nodes->n; i++) {
		if (strcmp(nodes->v[i].path, path) != 0)
			continue;
		if (found)
			fail_msg("%s: twice", path);
		found = &nodes->v[i];
	}
	return found;
}

static void expect(const struct class_nodes *nodes, const char *value, uint32_t owner,
		   uint32_t reader, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void expect(const struct class_nodes *nodes, const char *value, uint32_t owner,
		   uint32_t reader, const char *fmt, ...)
{
	const struct class_node *node;
	char path[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	node = find(nodes, path);
	if (!node)
		fail_msg("%s: missing", path);
	if (strcmp(node->value, value) != 0 || node->owner != owner || node->reader != reader)
		fail_msg("%s = \"%s\" (n%u,r%d), not \"%s\" (n%u,r%d)", path, node->value,
			 node->owner, (int)node->reader, value, owner, (int)reader);
}

/* The lines of a case; how many nodes they stand for. */
static size_t expect_lines(const struct class_nodes *nodes, const char *lines, const char *dir,
			   uint32_t owner, uint32_t reader)
{
	char *copy = strdup(lines), *save = NULL;
	size_t n = 0;

	assert_non_null(copy);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool ro = line[0] == '!';
		char *key = line + ro, *value = strchr(key, '=');

		assert_non_null(value);
		*value++ = '\0';
		expect(nodes, value, ro ? reader : owner, ro ? owner : reader, "%s/%s", dir, key);
		n++;
	}
	free(copy);
	return n;
}

static size_t expect_common(const struct class_nodes *nodes, const char *front, const char *back,
			    const char *libxl, uint32_t b)
{
	char backend_id[16];

	snprintf(backend_id, sizeof(backend_id), "%u", b);
	expect(nodes, "", 0, CLASS_DEVID_NONE, "%s", libxl);
	expect(nodes, front, 0, CLASS_DEVID_NONE, "%s/frontend", libxl);
	expect(nodes, back, 0, CLASS_DEVID_NONE, "%s/backend", libxl);
	expect(nodes, "7", 0, CLASS_DEVID_NONE, "%s/frontend-id", libxl);
	expect(nodes, "1", 0, CLASS_DEVID_NONE, "%s/online", libxl);
	expect(nodes, "1", 0, CLASS_DEVID_NONE, "%s/state", libxl);
	expect(nodes, "", b, 7, "%s", back);
	expect(nodes, front, b, 7, "%s/frontend", back);
	expect(nodes, "7", b, 7, "%s/frontend-id", back);
	expect(nodes, "1", b, 7, "%s/online", back);
	expect(nodes, "1", b, 7, "%s/state", back);
	expect(nodes, "", 7, b, "%s", front);
	expect(nodes, back, 7, b, "%s/backend", front);
	expect(nodes, backend_id, 7, b, "%s/backend-id", front);
	expect(nodes, "1", 7, b, "%s/state", front);
	return 15;
}

static void each_device_is_written_as_libxl_writes_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		const struct class_case *c = &class_cases[i];
		const struct conf_class *k = class_find(c->class);
		CLEANUP_JSON struct json_object *entry = case_entry(c);
		struct class_where where = case_where(entry);
		struct conf_err err = { "" };
		struct class_nodes nodes;
		char *front = NULL, *back = NULL, *libxl = NULL, expected[256];
		size_t n;

		if (class_nodes(k, entry, &where, &err, &nodes) ||
		    class_paths(k, entry, &where, &front, &back, &libxl, &err))
			fail_msg("%s: %s", c->entry, err.text);
		snprintf(expected, sizeof(expected), "/local/domain/%s", c->back);
		assert_string_equal(back, expected);
		n = expect_common(&nodes, front, back, libxl, where.backend_domid);
		n += expect_lines(&nodes, c->front, front, 7, where.backend_domid);
		n += expect_lines(&nodes, c->keys, back, where.backend_domid, 7);
		n += expect_lines(&nodes, c->keys, libxl, 0, CLASS_DEVID_NONE);
		if (n != nodes.n)
			fail_msg("%s: %zu nodes, not %zu", c->entry, nodes.n, n);
		class_nodes_fini(&nodes);
		free(front);
		free(back);
		free(libxl);
	}
}

static void a_directory_comes_before_what_is_in_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		CLEANUP_JSON struct json_object *entry = case_entry(&class_cases[i]);
		struct class_where where = case_where(entry);
		struct class_nodes nodes;

		assert_int_equal(
			class_nodes(class_find(class_cases[i].class), entry, &where, NULL, &nodes),
			0);
		for (size_t a = 0; a < nodes.n; a++)
			for (size_t b = a + 1; b < nodes.n; b++) {
				size_t len = strlen(nodes.v[b].path);

				if (!strncmp(nodes.v[a].path, nodes.v[b].path, len) &&
				    nodes.v[a].path[len] == '/')
					fail_msg("%s before %s", nodes.v[a].path, nodes.v[b].path);
			}
		class_nodes_fini(&nodes);
	}
}

/* ---- what is refused ---- */

static void what_cannot_be_written_is_named(void **state)
{
	static const struct {
		const char *class, *entry;
		int r;
		const char *named;
	} cases[] = {
		{ "vbd", "{\"pdev_path\":\"/x\",\"format\":\"raw\"}", -EINVAL, "vdev" },
		{ "vbd", "{\"pdev_path\":\"/x\",\"vdev\":\"nope\",\"format\":\"raw\"}", -EINVAL,
		  "nope" },
		{ "vbd", "{\"pdev_path\":\"/x\",\"vdev\":\"xvda\"}", -EINVAL, "format" },
		{ "vif", "{\"mac\":\"00:16:3e:00:00:01\"}", -EINVAL, "devid" },
		{ "vif", "{\"devid\":0}", -EINVAL, "mac" },
		{ "vtpm", "{\"devid\":0}", -EINVAL, "uuid" },
		{ "channel", "{\"devid\":1,\"name\":\"c\"}", -EINVAL, "connection" },
		{ "usbctrl", "{\"devid\":0,\"type\":\"devicemodel\"}", -EOPNOTSUPP, "type" },
		{ "usbdev", "{\"ctrl\":0,\"port\":1}", -EOPNOTSUPP, "usbdev" },
		{ "pci", "{\"bus\":3}", -EOPNOTSUPP, "pci" },
		{ "dtdev", "{\"path\":\"/soc\"}", -EOPNOTSUPP, "dtdev" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct class_case c = { .class = cases[i].class, .entry = cases[i].entry };
		CLEANUP_JSON struct json_object *entry = case_entry(&c);
		struct class_where where = case_where(entry);
		struct conf_err err = { "" };
		struct class_nodes nodes;

		assert_int_equal(class_nodes(class_find(c.class), entry, &where, &err, &nodes),
				 cases[i].r);
		if (!strstr(err.text, cases[i].named))
			fail_msg("%s: does not name %s", err.text, cases[i].named);
		assert_int_equal(nodes.n, 0);
	}
}

/* ---- updates ---- */

#define DISK "\"vdev\":\"hdc\",\"removable\":1,\"is_cdrom\":1,\"backend\":\"qdisk\""
#define NIC "\"devid\":0,\"mac\":\"00:16:3e:00:00:01\",\"nictype\":\"vif\""

static void an_update_writes_what_changes_and_names_what_cannot(void **state)
{
	static const struct {
		const char *class, *old, *new;
		int r;
		const char *expected; /* KEY=VALUE of the backend, or the field that is named */
	} cases[] = {
		{ "vif", "{" NIC ",\"bridge\":\"a\"}", "{" NIC ",\"bridge\":\"b\"}", 0,
		  "bridge=b\n" },
		{ "vif", "{" NIC "}", "{" NIC "}", 0, "" },
		{ "vif", "{" NIC ",\"ip\":\"10.0.0.1\"}", "{" NIC "}", 0, "ip=\n" },
		{ "vif", "{" NIC "}",
		  "{" NIC ",\"rate_bytes_per_interval\":5,\"rate_interval_usecs\":50000}", 0,
		  "rate=5,50000\n" },
		{ "vif", "{" NIC "}", "{" NIC ",\"mtu\":9000}", -EOPNOTSUPP, "mtu" },
		{ "vif", "{" NIC "}", "{" NIC ",\"backend_domid\":3}", -EOPNOTSUPP,
		  "backend_domid" },
		{ "vif", "{" NIC "}", "{" NIC ",\"model\":\"e1000\"}", -EOPNOTSUPP, "model" },
		{ "vbd", "{" DISK ",\"format\":\"empty\"}",
		  "{" DISK ",\"format\":\"raw\",\"pdev_path\":\"/x.iso\"}", 0,
		  "params=aio:/x.iso\n" },
		{ "vbd", "{" DISK ",\"format\":\"raw\",\"pdev_path\":\"/x.iso\"}",
		  "{" DISK ",\"format\":\"empty\"}", 0, "params=aio:\n" },
		{ "vbd", "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/a\"}",
		  "{\"vdev\":\"xvda\",\"format\":\"raw\",\"pdev_path\":\"/b\"}", -EOPNOTSUPP,
		  "pdev_path" },
		{ "vfb", "{\"devid\":0,\"vnc\":{},\"sdl\":{}}",
		  "{\"devid\":0,\"vnc\":{\"passwd\":\"x\"},\"sdl\":{}}", 0, "vncpasswd=x\n" },
		{ "vfb", "{\"devid\":0,\"vnc\":{},\"sdl\":{}}",
		  "{\"devid\":0,\"vnc\":{\"display\":2},\"sdl\":{}}", -EOPNOTSUPP, "vnc.display" },
		{ "pci", "{\"bus\":3}", "{\"bus\":3,\"permissive\":true}", -EOPNOTSUPP,
		  "permissive" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct class_case was = { .class = cases[i].class, .entry = cases[i].old };
		const struct class_case is = { .class = cases[i].class, .entry = cases[i].new };
		CLEANUP_JSON struct json_object *old = case_entry(&was), *new = case_entry(&is);
		const struct conf_class *k = class_find(cases[i].class);
		struct class_where where = case_where(old);
		char *front = NULL, *back = NULL, *libxl = NULL;
		struct conf_err err = { "" };
		struct class_nodes nodes;
		int r = class_update_nodes(k, old, new, &where, &err, &nodes);

		if (r != cases[i].r)
			fail_msg("%s: %d %s", cases[i].new, r, err.text);
		if (r) {
			assert_non_null(strstr(err.text, cases[i].expected));
			continue;
		}
		assert_int_equal(class_paths(k, old, &where, &front, &back, &libxl, &err), 0);
		assert_int_equal(
			expect_lines(&nodes, cases[i].expected, back, 0, 7) +
				expect_lines(&nodes, cases[i].expected, libxl, 0, CLASS_DEVID_NONE),
			nodes.n);
		class_nodes_fini(&nodes);
		free(front);
		free(back);
		free(libxl);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_device_is_written_as_libxl_writes_it),
		cmocka_unit_test(a_directory_comes_before_what_is_in_it),
		cmocka_unit_test(what_cannot_be_written_is_named),
		cmocka_unit_test(an_update_writes_what_changes_and_names_what_cannot),
	};

	return cmocka_run_group_tests_name("class_nodes", tests, NULL, NULL);
}
