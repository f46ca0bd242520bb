/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259) as text to json-c's objects. json-c's own reader takes the last of two equal
 * keys, NaN, numbers out of range and half a surrogate pair without a word; a record that has
 * such is damaged, so this one refuses all of them, and says where.
 */
#include "config/json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/json_own.h"

struct reader {
	const char *text, *at, *end;
	struct conf_err *err;
	unsigned int depth;
	char *room; /* owned: a string, unescaped; never longer than the text that is left */
};

static int fail(struct reader *r, const char *at, const char *what)
{
	unsigned long line = 1, column = 1;

	for (const char *c = r->text; c < at; c++) {
		if (*c == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)*c & 0xc0) != 0x80) {
			column++;
		}
	}
	return conf_fail(r->err, -EINVAL, "line %lu, column %lu: %s", line, column, what);
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static int hex4(struct reader *r, unsigned int *ret)
{
	unsigned int n = 0;

	for (int i = 0; i < 4; i++, r->at++) {
		unsigned char c = r->at < r->end ? (unsigned char)*r->at : 0;

		if (!isxdigit(c))
			return fail(r, r->at, "four hexadecimal digits are missing");
		n = n << 4 | (unsigned int)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
	}
	*ret = n;
	return 0;
}

static char *put_utf8(char *to, unsigned int c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* What is behind a backslash. */
static int read_escape(struct reader *r, char **to)
{
	static const char from[] = "\"\\/bfnrt", is[] = "\"\\/\b\f\n\r\t";
	const char *start = r->at - 1, *f;
	unsigned int c, low;

	if (r->at == r->end)
		return fail(r, r->at, "the text ends within a string");
	f = *r->at ? strchr(from, *r->at) : NULL;
	if (f) {
		*(*to)++ = is[f - from];
		r->at++;
		return 0;
	}
	if (*r->at != 'u')
		return fail(r, start, "no such escape");
	r->at++;
	if (hex4(r, &c))
		return -EINVAL;
	if (c >= 0xd800 && c < 0xdc00) {
		if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
			return fail(r, start, "half a surrogate pair");
		r->at += 2;
		if (hex4(r, &low))
			return -EINVAL;
		if (low < 0xdc00 || low > 0xdfff)
			return fail(r, start, "half a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
	} else if (c >= 0xdc00 && c < 0xe000) {
		return fail(r, start, "half a surrogate pair");
	}
	if (!c)
		return fail(r, start, "a NUL in a string");
	*to = put_utf8(*to, c);
	return 0;
}

/* The length of a character of several octets, or 0: that is no UTF-8. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;

	if (s[0] < 0xc2 || s[0] > 0xf4 || left < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Too long a form, a surrogate, beyond the last character. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

bool conf_json_is_utf8(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = (unsigned char)s[i] < 0x80
				   ? 1
				   : utf8_len((const unsigned char *)s + i, len - i);

		if (!n)
			return false;
		i += n;
	}
	return true;
}

/* A string into r->room, with a NUL behind it. */
static int read_string(struct reader *r, size_t *ret_len)
{
	char *to = r->room;

	for (r->at++; r->at < r->end && *r->at != '"';) {
		unsigned char c = (unsigned char)*r->at;
		size_t len = 1;

		if (c == '\\') {
			r->at++;
			if (read_escape(r, &to))
				return -EINVAL;
			continue;
		}
		if (c < 0x20)
			return fail(r, r->at, "a control character in a string");
		if (c >= 0x80)
			len = utf8_len((const unsigned char *)r->at, (size_t)(r->end - r->at));
		if (!len)
			return fail(r, r->at, "not UTF-8");
		memcpy(to, r->at, len);
		to += len;
		r->at += len;
	}
	if (r->at == r->end)
		return fail(r, r->at, "the text ends within a string");
	r->at++;
	*to = '\0';
	*ret_len = (size_t)(to - r->room);
	return 0;
}

static const char *skip_digits(const char *at, const char *end)
{
	while (at < end && isdigit((unsigned char)*at))
		at++;
	return at;
}

/* Whole numbers of 64 bits as such; all others by their text, so that they stay what they are. */
static int read_number(struct reader *r, struct json_object **ret)
{
	const char *start = r->at, *digits, *next;
	bool whole = true;
	char *text;

	r->at += *r->at == '-';
	digits = r->at;
	r->at = skip_digits(digits, r->end);
	if (r->at == digits || (*digits == '0' && r->at > digits + 1))
		return fail(r, start, "no number");
	if (r->at < r->end && *r->at == '.') {
		next = skip_digits(r->at + 1, r->end);
		if (next == r->at + 1)
			return fail(r, start, "no number");
		r->at = next;
		whole = false;
	}
	if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
		const char *exponent = r->at + 1;

		exponent += exponent < r->end && (*exponent == '+' || *exponent == '-');
		next = skip_digits(exponent, r->end);
		if (next == exponent)
			return fail(r, start, "no number");
		r->at = next;
		whole = false;
	}

	text = r->room;
	memcpy(text, start, (size_t)(r->at - start));
	text[r->at - start] = '\0';
	errno = 0;
	if (whole && *text == '-') {
		long long n = strtoll(text, NULL, 10);

		*ret = errno ? NULL : json_object_new_int64(n);
	} else if (whole) {
		unsigned long long n = strtoull(text, NULL, 10);

		if (!errno)
			*ret = n > INT64_MAX ? json_object_new_uint64(n)
					     : json_object_new_int64((int64_t)n);
	}
	if (!whole || errno == ERANGE)
		*ret = json_object_new_double_s(strtod(text, NULL), text);
	return *ret ? 0 : conf_no_memory(r->err);
}

static int read_value(struct reader *r, struct json_object **ret);

static int read_list(struct reader *r, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *list = json_object_new_array();

	if (!list)
		return conf_no_memory(r->err);
	r->at++;
	skip_space(r);
	if (r->at < r->end && *r->at == ']')
		goto end;
	for (;; r->at++) {
		struct json_object *entry = NULL;
		int e = read_value(r, &entry);

		if (e)
			return e;
		if (json_object_array_add(list, entry)) {
			json_object_put(entry);
			return conf_no_memory(r->err);
		}
		skip_space(r);
		if (r->at < r->end && *r->at == ']')
			break;
		if (r->at == r->end || *r->at != ',')
			return fail(r, r->at, "',' or ']' is missing");
	}
end:
	r->at++;
	*ret = TAKE(list);
	return 0;
}

/* One key with its value. */
static int read_member(struct reader *r, struct json_object *map)
{
	CLEANUP_JSON struct json_object *value = NULL;
	const char *start;
	char *key;
	size_t len;
	int e;

	skip_space(r);
	start = r->at;
	if (r->at == r->end || *r->at != '"')
		return fail(r, r->at, "a key is missing");
	e = read_string(r, &len);
	if (e)
		return e;
	if (json_object_object_get_ex(map, r->room, NULL))
		return fail(r, start, "this key is there twice");
	key = strdup(r->room);
	if (!key)
		return conf_no_memory(r->err);
	skip_space(r);
	if (r->at == r->end || *r->at != ':') {
		free(key);
		return fail(r, r->at, "':' is missing");
	}
	r->at++;
	e = read_value(r, &value);
	if (!e && json_object_object_add(map, key, value))
		e = conf_no_memory(r->err);
	else if (!e)
		value = NULL;
	free(key);
	return e;
}

static int read_map(struct reader *r, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *map = json_object_new_object();

	if (!map)
		return conf_no_memory(r->err);
	r->at++;
	skip_space(r);
	if (r->at < r->end && *r->at == '}')
		goto end;
	for (;; r->at++) {
		int e = read_member(r, map);

		if (e)
			return e;
		skip_space(r);
		if (r->at < r->end && *r->at == '}')
			break;
		if (r->at == r->end || *r->at != ',')
			return fail(r, r->at, "',' or '}' is missing");
	}
end:
	r->at++;
	*ret = TAKE(map);
	return 0;
}

static int read_word(struct reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return fail(r, r->at, "no value");
	r->at += len;
	return 0;
}

static int read_value(struct reader *r, struct json_object **ret)
{
	size_t len;
	int e;

	skip_space(r);
	if (r->at == r->end)
		return fail(r, r->at, "the text ends where a value should be");
	switch (*r->at) {
	case '{':
	case '[':
		if (r->depth == CONF_JSON_DEPTH_MAX)
			return fail(r, r->at, "maps and lists too deep in each other");
		r->depth++;
		e = *r->at == '{' ? read_map(r, ret) : read_list(r, ret);
		r->depth--;
		return e;
	case '"':
		e = read_string(r, &len);
		if (e)
			return e;
		*ret = json_object_new_string_len(r->room, (int)len);
		return *ret ? 0 : conf_no_memory(r->err);
	case 't':
	case 'f':
		e = read_word(r, *r->at == 't' ? "true" : "false");
		if (e)
			return e;
		*ret = json_object_new_boolean(r->at[-2] == 'u');
		return *ret ? 0 : conf_no_memory(r->err);
	case 'n':
		*ret = NULL; /* json-c's null */
		return read_word(r, "null");
	default:
		if (*r->at != '-' && !isdigit((unsigned char)*r->at))
			return fail(r, r->at, "no value");
		return read_number(r, ret);
	}
}

int conf_json_parse(const char *text, size_t len, struct conf_err *err, struct json_object **ret)
{
	CLEANUP_JSON struct json_object *o = NULL;
	struct reader r = { .text = text, .at = text, .end = text + len, .err = err };
	int e;

	if (len > CONF_JSON_MAX)
		return conf_fail(err, -EINVAL, "%zu octets are more than %u", len, CONF_JSON_MAX);
	if (len && !text[len - 1])
		r.end--;
	skip_space(&r);
	if (r.at == r.end || (*r.at != '{' && *r.at != '['))
		return fail(&r, r.at, "neither a map nor a list");
	r.room = malloc(len + 1);
	if (!r.room)
		return conf_no_memory(err);
	e = read_value(&r, &o);
	skip_space(&r);
	if (!e && r.at < r.end)
		e = fail(&r, r.at, "text behind the end");
	free(r.room);
	if (!e)
		*ret = TAKE(o);
	return e;
}
