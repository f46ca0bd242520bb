/* SPDX-License-Identifier: MIT */
/*
 * Any octets as a record. What is accepted has one canonical form, that both layouts print and
 * that is read back from either; every value that conf_json_each tells is what conf_json_get
 * says. Where the first octet is odd, the lines that follow it are a path and a value to be set:
 * what is set leaves the record canonical, and is the same when it is set again as it is told.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "config_fuzz: %s\n", what);
	abort();
}

static void must_say_why(const struct conf_err *err)
{
	must(*err->text && !strchr(err->text, '\n'), "refused without a line");
}

/* Canonical form, once more, changes nothing. */
static void must_be_canonical(struct json_object *o)
{
	char *was = conf_json_line(o), *is;
	struct conf_err err = { "" };

	must(!conf_json_canon(schema_domain_config(), o, &err), "canonical form is refused");
	is = conf_json_line(o);
	must(was && is && !strcmp(was, is), "canonical form is another the second time");
	free(was);
	free(is);
}

static void print_and_read(struct json_object *o, enum drover_config_layout layout)
{
	struct json_object *back = NULL;
	struct conf_err err = { "" };
	char *text = NULL;
	size_t len = 0;

	must(!conf_json_print(o, layout, &text, &len) && strlen(text) == len, "not printed");
	must(!conf_json_read(text, len + 1, &err, &back), "what was printed is refused");
	must(conf_json_equal(o, back) && conf_json_equal(back, o), "what was printed is another");
	json_object_put(back);
	free(text);
}

static int is_told(void *data, const char *path, const char *value)
{
	char *text = NULL;

	/* Keys that are not known have dots and all else in them, and are told as JSON. */
	if (conf_json_get(schema_domain_config(), data, path, &text))
		return 0;
	must(!text || !strcmp(text, value) || *value == '{' || *value == '[' || *value == '"',
	     "another value is told");
	free(text);
	return 0;
}

static void set(struct json_object *o, const char *path, const char *value)
{
	struct json_object *again = conf_json_copy(o);
	struct conf_err err = { "" };
	char *text = NULL;

	if (conf_json_set(schema_domain_config(), o, path, value, &err)) {
		must_say_why(&err);
		must_be_canonical(o);
		json_object_put(again);
		return;
	}
	must_be_canonical(o);
	if (!conf_json_get(schema_domain_config(), o, path, &text) && text && *text) {
		must(!conf_json_set(schema_domain_config(), again, path, value, &err) &&
			     !conf_json_set(schema_domain_config(), again, path, text, &err),
		     "what was told cannot be set");
		must(conf_json_equal(o, again), "what was told is another value");
	}
	free(text);
	json_object_put(again);
}

/* The next line of the input, to be freed. */
static char *line(const char **at, const char *end)
{
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));
	char *text = strndup(*at, (size_t)((nl ? nl : end) - *at));

	*at = nl ? nl + 1 : end;
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data + 1, *end = (const char *)data + size;
	char *path = NULL, *value = NULL;
	struct json_object *o = NULL, *copy;
	struct conf_err err = { "" };

	if (!size)
		return 0;
	if (data[0] & 1) {
		path = line(&at, end);
		value = line(&at, end);
	}
	if (conf_json_read(at, (size_t)(end - at), &err, &o)) {
		must(!o, "refused and given");
		must_say_why(&err);
	} else {
		must_be_canonical(o);
		copy = conf_json_copy(o);
		must(conf_json_equal(o, copy), "a copy is another");
		json_object_put(copy);
		print_and_read(o, DROVER_CONFIG_LAYOUT_4_17);
		print_and_read(o, DROVER_CONFIG_LAYOUT_NEWEST);
		conf_json_each(schema_domain_config(), o, is_told, o);
		if (path)
			set(o, path, value);
	}
	json_object_put(o);
	free(path);
	free(value);
	return 0;
}
