/* SPDX-License-Identifier: MIT */
/*
 * Documents as tools make them: each file of tests/hostd/xml is read, and printed as the file
 * beside it has it. With XML_TEST_WRITE set the files beside are written instead, to be looked at.
 */
#include <dirent.h>
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
#include "hostd/xml.h"
#include "hostd/xml_test.h"
#include "vmm/xl_config.h"

#define FILES_MAX 64
#define FILE_MAX 65536

/* A document of the corpus; text has FILE_MAX octets. */
struct document {
	char name[128];
	char text[FILE_MAX];
	size_t len;
};

static const char *folder(void)
{
	const char *source = getenv("DROVER_SOURCE");
	static char path[512];

	assert_non_null(source);
	(void)snprintf(path, sizeof(path), "%s/tests/hostd/xml", source);
	return path;
}

static size_t file_read(const char *name, const char *suffix, char text[FILE_MAX])
{
	char path[1024];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s%s", folder(), name, suffix);
	f = fopen(path, "r");
	if (!f)
		return 0;
	n = fread(text, 1, FILE_MAX - 1, f);
	(void)fclose(f);
	text[n] = '\0';
	return n;
}

/* Compares with the file NAME.SUFFIX, or writes it. */
static void file_is(const char *name, const char *suffix, const char *text)
{
	static char want[FILE_MAX];
	char path[1024];
	FILE *f;

	if (getenv("XML_TEST_WRITE")) {
		(void)snprintf(path, sizeof(path), "%s/%s%s", folder(), name, suffix);
		f = fopen(path, "w");
		assert_non_null(f);
		assert_true(fputs(text, f) >= 0);
		assert_int_equal(fclose(f), 0);
		return;
	}
	assert_true(file_read(name, suffix, want) > 0);
	assert_string_equal(text, want);
}

/* Calls fn for each document. */
static void each_document(void (*fn)(struct document *doc))
{
	DIR *d = opendir(folder());
	struct document *doc = malloc(sizeof(*doc));
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	assert_non_null(doc);
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 4, ".xml") != 0)
			continue;
		assert_true(len - 4 < sizeof(doc->name));
		memcpy(doc->name, e->d_name, len - 4);
		doc->name[len - 4] = '\0';
		doc->len = file_read(doc->name, ".xml", doc->text);
		assert_true(doc->len > 0);
		fn(doc);
		n++;
	}
	(void)closedir(d);
	free(doc);
	assert_true(n >= 9);
}

/* What was accepted is printed so that it is read and printed the same again. */
static void must_round_trip(const char *text, size_t len)
{
	struct guest_def *def = NULL, *again = NULL;
	char *once = NULL, *twice = NULL;
	struct xml_error err;
	int r = xml_parse(text, len, test_random, NULL, &def, &err);

	if (r) {
		assert_int_equal(r, EINVAL);
		assert_true(*err.text && strlen(err.text) < XML_ERROR_MAX);
		assert_null(strchr(err.text, '\n'));
		return;
	}
	assert_int_equal(xml_print(def, -1, 0, &once), 0);
	r = xml_parse(once, strlen(once), test_random, NULL, &again, &err);
	if (r)
		fail_msg("printed XML is refused: %s\n%s", err.text, once);
	assert_int_equal(xml_print(again, -1, 0, &twice), 0);
	assert_string_equal(once, twice);
	assert_int_equal(xml_check_abi(def, again, &err), 0);
	free(once);
	free(twice);
	def_free(def);
	def_free(again);
}

static void check_normal_form(struct document *doc)
{
	struct guest_def *def = test_parse(doc->text), *copy = def_copy(def);
	char *text = NULL;

	assert_non_null(copy);
	assert_int_equal(xml_print(copy, -1, XML_SECURE, &text), 0);
	file_is(doc->name, ".want", text);
	free(text);
	def_free(copy);
	def_free(def);
	must_round_trip(doc->text, doc->len);
}

static void documents_are_printed_in_their_normal_form(void **state)
{
	(void)state;
	each_document(check_normal_form);
}

static void check_libxl(struct document *doc)
{
	struct guest_def *def = test_parse(doc->text);
	struct json_object *config = NULL;
	struct conf_err why = { "" };
	char text[XML_ERROR_MAX], *json = NULL, *again = NULL;
	size_t len = 0, again_len = 0;

	assert_int_equal(xl_config_print(def, &json, &len, text, sizeof(text)), 0);
	assert_int_equal(strlen(json), len);
	file_is(doc->name, ".json", json);
	assert_int_equal(conf_json_read(json, len, &why, &config), 0);
	assert_int_equal(conf_json_print(config, DROVER_CONFIG_LAYOUT_4_17, &again, &again_len), 0);
	assert_string_equal(json, again);
	json_object_put(config);
	free(json);
	free(again);
	def_free(def);
}

static void documents_are_configurations_of_libxl(void **state)
{
	(void)state;
	each_document(check_libxl);
}

static void check_truncations(struct document *doc)
{
	for (size_t len = 0; len < doc->len; len += 2) {
		char *exact = malloc(len + 1);

		assert_non_null(exact);
		memcpy(exact, doc->text, len); /* so that a sanitizer sees what lies behind */
		must_round_trip(exact, len);
		free(exact);
	}
}

static void documents_cut_short_are_refused_or_whole(void **state)
{
	(void)state;
	each_document(check_truncations);
}

static void check_mutations(struct document *doc)
{
	static const char octets[] = "<>&'\"/= 9a\n\xc3";
	uint32_t seed = 1;

	for (size_t at = 0; at < doc->len; at += 3) {
		char was = doc->text[at];

		seed = seed * 1664525 + 1013904223;
		doc->text[at] = octets[(seed >> 16) % (sizeof(octets) - 1)];
		must_round_trip(doc->text, doc->len);
		doc->text[at] = was;
	}
}

static void documents_with_an_octet_changed_are_refused_or_round_trip(void **state)
{
	(void)state;
	each_document(check_mutations);
}

/* Drops each line in turn: elements come to lie elsewhere, or are missing. */
static void check_lines(struct document *doc)
{
	char *less = malloc(doc->len + 1);

	assert_non_null(less);
	for (const char *line = doc->text; *line;) {
		size_t len = strcspn(line, "\n") + 1, before = (size_t)(line - doc->text);
		size_t behind = before + len < doc->len ? doc->len - before - len : 0;

		memcpy(less, doc->text, before);
		memcpy(less + before, doc->text + before + len, behind);
		must_round_trip(less, before + behind);
		line += behind ? len : strlen(line);
	}
	free(less);
}

static void documents_without_one_of_their_lines_are_refused_or_round_trip(void **state)
{
	(void)state;
	each_document(check_lines);
}

static void a_guest_that_runs_shows_what_was_chosen_for_it(void **state)
{
	static const char *const lines[] = {
		"<domain type='test' id='7'>",
		"<console type='pty' tty='/dev/pts/3'>",
		"<source path='/dev/pts/3'/>",
		"port='5907' autoport='yes'",
	};
	struct guest_def *def = test_parse(
		"<domain type='test'><name>n</name><memory>65536</memory><os><type>hvm</type></os>"
		"<devices><serial type='pty'/><graphics type='vnc'/></devices></domain>");
	char *live = NULL, *inactive = NULL, *off = NULL;

	(void)state;
	assert_int_equal(xml_print(def, -1, 0, &off), 0);
	def->serials[0].source = strdup("/dev/pts/3");
	def->graphics[0].port = 5907;
	assert_int_equal(xml_print(def, 7, 0, &live), 0);
	assert_int_equal(xml_print(def, 7, XML_INACTIVE, &inactive), 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_non_null(strstr(live, lines[i]));
	assert_string_equal(inactive, off);
	free(inactive);
	assert_int_equal(xml_print(def, 7, XML_MIGRATABLE, &inactive), 0);
	assert_non_null(strstr(inactive, "id='7'"));
	assert_null(strstr(inactive, "/dev/pts/3"));
	assert_null(strstr(inactive, "5907"));
	must_round_trip(live, strlen(live));
	free(live);
	free(inactive);
	free(off);
	def_free(def);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_printed_in_their_normal_form),
		cmocka_unit_test(documents_are_configurations_of_libxl),
		cmocka_unit_test(documents_cut_short_are_refused_or_whole),
		cmocka_unit_test(documents_with_an_octet_changed_are_refused_or_round_trip),
		cmocka_unit_test(documents_without_one_of_their_lines_are_refused_or_round_trip),
		cmocka_unit_test(a_guest_that_runs_shows_what_was_chosen_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
