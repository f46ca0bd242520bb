/* SPDX-License-Identifier: MIT */
/*
 * Values as people write and read them. What json_leaf_text gives, json_leaf_from_text takes, and
 * the value is the same again.
 */
#include "config/json_own.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "config/json.h"

static int refuse(char why[JSON_WHY_MAX], const char *what)
{
	snprintf(why, JSON_WHY_MAX, "%s", what);
	return -EINVAL;
}

/* ---- from text ---- */

static int made(struct json_object *o, struct json_object **ret)
{
	if (!o)
		return -ENOMEM;
	*ret = o;
	return 0;
}

/* Decimal or 0x; *end is behind it. false: no number, or none of 64 bits. */
static bool read_number(const char *s, const char **end, uint64_t *ret)
{
	bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	char *stop;

	if (hex ? !isxdigit((unsigned char)s[2]) : !isdigit((unsigned char)*s))
		return false;
	errno = 0;
	*ret = strtoull(s, &stop, hex ? 16 : 10);
	*end = stop;
	return !errno;
}

static int number_from_text(const char *text, struct json_object **ret, char *why)
{
	bool negative = *text == '-';
	const char *end;
	uint64_t n;

	if (!read_number(text + negative, &end, &n) || *end ||
	    (negative && n > (uint64_t)INT64_MAX))
		return refuse(why, "is no whole number");
	if (negative)
		return made(json_object_new_int64(-(int64_t)n), ret);
	return made(n > INT64_MAX ? json_object_new_uint64(n) : json_object_new_int64((int64_t)n),
		    ret);
}

/* Whether text means true; -1: it means neither. */
static int truth(const char *text)
{
	static const char *const words[][2] = {
		{ "false", "true" },
		{ "0", "1" },
		{ "no", "yes" },
		{ "off", "on" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (int t = 0; t < 2; t++)
			if (!strcasecmp(text, words[i][t]))
				return t;
	return -1;
}

static int append(struct json_object *list, struct json_object *entry)
{
	if (!entry || json_object_array_add(list, entry)) {
		json_object_put(entry);
		return -ENOMEM;
	}
	return 0;
}

/* "0-3,5"; "none" has no bit. Of numbers that are no bits: no ranges. */
static int numbers_from_text(const char *text, bool bits, struct json_object **ret, char *why)
{
	CLEANUP_JSON struct json_object *list = json_object_new_array();
	uint64_t first, last;

	if (!list)
		return -ENOMEM;
	if (bits && !strcasecmp(text, "none"))
		return made(TAKE(list), ret);
	for (;; text++) {
		if (!read_number(text, &text, &first))
			return refuse(why, "is no list of numbers: 0-3,5");
		last = first;
		if (bits && *text == '-' && !read_number(text + 1, &text, &last))
			return refuse(why, "is no list of numbers: 0-3,5");
		if (first > last || last > JSON_BIT_MAX)
			return refuse(why, "has numbers that are descending or too large");
		for (uint64_t n = first; n <= last; n++)
			if (append(list, json_object_new_int64((int64_t)n)))
				return -ENOMEM;
		if (!*text)
			break;
		if (*text != ',')
			return refuse(why, "is no list of numbers: 0-3,5");
		if (json_object_array_length(list) > JSON_BIT_MAX)
			return refuse(why, "has too many numbers");
	}
	if (bits && json_bitmap_sort(list))
		return -ENOMEM;
	*ret = TAKE(list);
	return 0;
}

/* Commas divide; a backslash takes the meaning of what follows, and is nothing at the end. */
static int strings_from_text(const char *text, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *list = json_object_new_array();
	char *room = malloc(strlen(text) + 1), *to = room;
	int r = list && room ? 0 : -ENOMEM;

	for (; !r; text++) {
		if (*text == '\\' && text[1]) {
			*to++ = *++text;
		} else if (*text && *text != ',' && *text != '\\') {
			*to++ = *text;
		} else if (*text != '\\') {
			*to = '\0';
			r = append(list, json_object_new_string(room));
			to = room;
			if (!*text)
				break;
		}
	}
	free(room);
	if (!r)
		*ret = TAKE(list);
	return r;
}

static int json_from_text(const char *text, struct json_object **ret, char *why)
{
	struct conf_err err = { "" };
	int r = conf_json_parse(text, strlen(text), &err, ret);

	if (r == -EINVAL)
		snprintf(why, JSON_WHY_MAX, "is no JSON: %.100s", err.text);
	return r;
}

int json_leaf_from_text(const struct schema_type *type, const char *text, struct json_object **ret,
			char why[JSON_WHY_MAX])
{
	int t;

	switch (type->kind) {
	case SCHEMA_INT:
	case SCHEMA_UINT:
		return number_from_text(text, ret, why);
	case SCHEMA_BOOL:
	case SCHEMA_DEFBOOL:
		t = truth(text);
		if (t < 0)
			return refuse(why, "is neither true nor false");
		if (type->kind == SCHEMA_BOOL)
			return made(json_object_new_boolean(t), ret);
		return made(json_object_new_string(t ? "True" : "False"), ret);
	case SCHEMA_BITMAP:
	case SCHEMA_GENID:
		return numbers_from_text(text, type->kind == SCHEMA_BITMAP, ret, why);
	case SCHEMA_STRINGS:
		return strings_from_text(text, ret);
	case SCHEMA_KEY_VALUES:
	case SCHEMA_CPUID:
		return json_from_text(text, ret, why);
	case SCHEMA_STRING:
	case SCHEMA_ENUM:
	case SCHEMA_UUID:
	case SCHEMA_MAC:
		return made(json_object_new_string(text), ret);
	case SCHEMA_STRUCT:
		break;
	}
	return refuse(why, "is a structure: name a field of it");
}

/* ---- to text ---- */

static int64_t bit_at(struct json_object *list, size_t i)
{
	return json_object_get_int64(json_object_array_get_idx(list, i));
}

static void print_bits(FILE *f, struct json_object *list)
{
	size_t n = json_object_array_length(list);

	if (!n)
		fputs("none", f);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && bit_at(list, end) == bit_at(list, end - 1) + 1; end++)
			;
		fprintf(f, "%s%" PRId64, i ? "," : "", bit_at(list, i));
		if (end - i > 1)
			fprintf(f, "-%" PRId64, bit_at(list, end - 1));
	}
}

static void print_strings(FILE *f, struct json_object *list)
{
	size_t n = json_object_array_length(list);

	for (size_t i = 0; i < n; i++) {
		const char *s = json_object_get_string(json_object_array_get_idx(list, i));

		if (i)
			putc(',', f);
		if (n == 1 && !*s)
			putc('\\', f);
		for (; *s; s++)
			fprintf(f, "%s%c", *s == ',' || *s == '\\' ? "\\" : "", *s);
	}
}

static void print_numbers(FILE *f, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		fprintf(f, "%s%" PRId64, i ? "," : "", bit_at(list, i));
}

char *json_leaf_text(const struct schema_type *type, struct json_object *value)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;
	int bad;

	switch (type->kind) {
	case SCHEMA_STRING:
	case SCHEMA_ENUM:
	case SCHEMA_UUID:
	case SCHEMA_MAC:
		return strdup(json_object_get_string(value));
	case SCHEMA_DEFBOOL:
		return strdup(strcmp(json_object_get_string(value), "True") ? "false" : "true");
	case SCHEMA_BITMAP:
	case SCHEMA_STRINGS:
	case SCHEMA_GENID:
		break;
	default:
		return conf_json_line(value);
	}
	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	if (type->kind == SCHEMA_BITMAP)
		print_bits(f, value);
	else if (type->kind == SCHEMA_STRINGS)
		print_strings(f, value);
	else
		print_numbers(f, value);
	bad = ferror(f);
	if (fclose(f) || bad) {
		free(text);
		return NULL;
	}
	return text;
}
