/* SPDX-License-Identifier: MIT */
/*
 * Any words for a disk or a nic, and any record as a file for xl. What words mean is canonical, and
 * the words that a file has for it mean the same again, unless some of it was told to be lost. The
 * first octet says which: d, n, or a record.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/session.h"
#include "config/xl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

struct kind {
	const char *list, *key;
	int (*parse)(const char *words, struct json_object *entry, struct conf_err *err);
};

/* The first string of the list KEY in a file, its quotes and backslashes taken off. */
static char *first_words(const char *file, const char *key)
{
	char head[16], *words, *to;
	const char *p;

	snprintf(head, sizeof(head), "%s = [\n\t\"", key);
	p = strstr(file, head);
	if (!p)
		return NULL;
	p += strlen(head);
	to = words = malloc(strlen(p) + 1);
	must(words, "no memory");
	for (; *p != '"'; p++) {
		must(*p && *p != '\n', "a string without an end");
		if (*p == '\\' && *++p == 'n')
			*to++ = '\n';
		else
			*to++ = *p;
	}
	*to = '\0';
	return words;
}

/* Whether a line tells of a field of the list's first, but for the number that xl gives it. */
static bool is_lost(const char *lost, const char *list)
{
	char head[24];

	snprintf(head, sizeof(head), "%s.0.", list);
	for (lost = strstr(lost, head); lost; lost = strstr(lost + 1, head)) {
		if (strncmp(lost + strlen(head), "devid: not there", 16))
			return true;
	}
	return false;
}

static void say_again(const struct kind *k, struct json_object *entry)
{
	struct drover_domain_config config = { .json = json_object_new_object() };
	CLEANUP_JSON struct json_object *again = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct conf_err err = { "" };
	char *file, *lost, *words;

	json_object_array_add(list, json_object_get(entry));
	json_object_object_add(config.json, k->list, list);
	must(!drover_domain_config_to_xl(&config, &file, &lost), "no file");
	words = first_words(file, k->key);
	must(words || is_lost(lost, k->list), "left out without a word");
	if (words && !is_lost(lost, k->list)) {
		must(!k->parse(words, again, &err), err.text);
		must(json_object_equal(entry, again), "our own words mean otherwise");
	}
	free(words);
	free(file);
	free(lost);
	json_object_put(config.json);
}

static void read_words(const struct kind *k, const char *words)
{
	CLEANUP_JSON struct json_object *entry = json_object_new_object();
	CLEANUP_JSON struct json_object *canonical = NULL;
	struct conf_err err = { "" };

	if (k->parse(words, entry, &err)) {
		must(*err.text && json_object_object_length(entry) == 0, "refused by halves");
		return;
	}
	canonical = conf_json_copy(entry);
	must(canonical && !conf_json_canon(schema_of_list(k->list), canonical, &err), err.text);
	must(json_object_equal(entry, canonical), "words that are not canonical");
	say_again(k, entry);
}

static void write_record(const char *text, size_t len)
{
	struct drover_domain_config *config;
	char *file, *lost;

	if (drover_domain_config_from_json(NULL, text, len, &config))
		return;
	must(!drover_domain_config_to_xl(config, &file, &lost), "no file");
	must(!*lost || lost[strlen(lost) - 1] == '\n', "a line without an end");
	free(file);
	free(lost);
	drover_domain_config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kind disk = { "disks", "disk", xl_disk_parse };
	static const struct kind nic = { "nics", "vif", xl_nic_parse };
	char *text = strndup((const char *)data + (size ? 1 : 0), size ? size - 1 : 0);

	must(text, "no memory");
	if (size && *data == 'd')
		read_words(&disk, text);
	else if (size && *data == 'n')
		read_words(&nic, text);
	else if (size)
		write_record(text, strlen(text));
	free(text);
	return 0;
}
