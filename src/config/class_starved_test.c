/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out while a device is checked, written or read: each allocation fails in turn,
 * in json-c too, and the answer is -ENOMEM or what it always is. (See json_starved_test.c for why
 * malloc and its kin are defined here.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/class_cases_test.h"
#include "config/starve_test.h"

#include <errno.h>

/* What is done with a case's device; the answer as text, to be freed, or NULL. */
struct starved {
	const struct conf_class *k;
	struct json_object *entry;
	struct class_where where;
	struct conf_dev dev;
};

static void dev_make(struct starved *s)
{
	static char kind[64];
	char *front, *back, *libxl;
	struct class_nodes nodes;

	assert_int_equal(class_nodes(s->k, s->entry, &s->where, NULL, &nodes), 0);
	assert_int_equal(class_paths(s->k, s->entry, &s->where, &front, &back, &libxl, NULL), 0);
	s->dev = (struct conf_dev){ .has_backend = true, .backend_domain = true };
	assert_int_equal(class_devid(s->k, s->entry, &s->dev.devid, NULL), 0);
	for (size_t i = 0; i < nodes.n; i++) {
		const char *path = nodes.v[i].path, *value = nodes.v[i].value;
		size_t b = strlen(back), l = strlen(libxl);

		if (!strncmp(path, back, b) && path[b] == '/')
			conf_values_put(&s->dev.back, path + b + 1, value, strlen(value));
		if (!strncmp(path, libxl, l) && path[l] == '/')
			conf_values_put(&s->dev.libxl, path + l + 1, value, strlen(value));
	}
	conf_values_sort(&s->dev.back);
	conf_values_sort(&s->dev.libxl);
	sscanf(back, "/local/domain/%u/backend/%63[^/]", &s->dev.backend_domid, kind);
	s->dev.kind = strdup(class_kind_of(s->k, s->entry));
	s->dev.backend_kind = kind;
	s->dev.backend = back;
	s->dev.path = libxl;
	class_nodes_fini(&nodes);
	free(front);
}

static void starved_fini(struct starved *s)
{
	conf_values_fini(&s->dev.back);
	conf_values_fini(&s->dev.libxl);
	free(s->dev.kind);
	free(s->dev.backend);
	free(s->dev.path);
	json_object_put(s->entry);
}

static int run_validate(struct starved *s, size_t *ret)
{
	(void)ret;
	return class_validate(s->k, s->entry, NULL);
}

static int run_nodes(struct starved *s, size_t *ret)
{
	struct class_nodes nodes;
	int r = class_nodes(s->k, s->entry, &s->where, NULL, &nodes);

	*ret = nodes.n;
	class_nodes_fini(&nodes);
	return r;
}

static int run_paths(struct starved *s, size_t *ret)
{
	char *front, *back, *libxl;
	int r = class_paths(s->k, s->entry, &s->where, &front, &back, &libxl, NULL);

	*ret = (size_t)(front ? 1 : 0) + (back ? 1 : 0) + (libxl ? 1 : 0);
	free(front);
	free(back);
	free(libxl);
	return r;
}

static int run_from_store(struct starved *s, size_t *ret)
{
	struct json_object *entry = NULL;
	int r = class_from_store(s->k, &s->dev, "", NULL, &entry);

	*ret = entry ? (size_t)json_object_object_length(entry) : 0;
	json_object_put(entry);
	return r;
}

static int run_overlay(struct starved *s, size_t *ret)
{
	char changed[256];
	int r = class_overlay(s->k, &s->dev, "", s->entry, changed, sizeof(changed), NULL);

	*ret = r ? 0 : strlen(changed);
	return r;
}

static int (*const runs[])(struct starved *s, size_t *ret) = { run_validate, run_nodes, run_paths,
							       run_from_store, run_overlay };

static void starve(struct starved *s, int (*run)(struct starved *, size_t *), const char *entry)
{
	size_t whole = 0, got;
	int r = run(s, &whole);

	if (r)
		fail_msg("%s: %d", entry, r);
	for (int a = 0; a < 2; a++)
		for (unsigned long n = 1; STARVES; n++) {
			got = 0;
			all = a;
			failed = false;
			countdown = n;
			r = run(s, &got);
			countdown = 0;
			if (r != (failed ? -ENOMEM : 0) && !(failed && !r && got == whole))
				fail_msg("%s: allocation %lu: %d, %zu", entry, n, r, got);
			if (!failed)
				break;
		}
}

static void memory_that_runs_out_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CLASS_CASES; i++) {
		struct starved s = { .k = class_find(class_cases[i].class) };

		s.entry = case_entry(&class_cases[i]);
		s.where = case_where(s.entry);
		dev_make(&s);
		for (size_t n = 0; n < sizeof(runs) / sizeof(runs[0]); n++)
			starve(&s, runs[n], class_cases[i].entry);
		starved_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_that_runs_out_is_told),
	};

	return cmocka_run_group_tests_name("class_starved", tests, NULL, NULL);
}
