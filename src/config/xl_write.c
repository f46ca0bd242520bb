/* SPDX-License-Identifier: MIT */
/*
 * A configuration as a file for `xl create`, and what such a file cannot say. Nothing is lost in
 * silence: a field leaves the writer's copy only when a word for it is in the file.
 */
#include "config/xl_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/session.h"

/* ---- text ---- */

static bool text_room(struct xl_text *t, size_t more)
{
	size_t room = t->room ? t->room : 256;
	char *v;

	while (room < t->n + more + 1)
		room *= 2;
	if (t->failed || room == t->room)
		return !t->failed;
	v = realloc(t->v, room);
	if (!v) {
		t->failed = true;
		return false;
	}
	t->v = v;
	t->room = room;
	return true;
}

void xl_text_add(struct xl_text *t, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n < 0)
		t->failed = true;
	else if (text_room(t, (size_t)n))
		t->n += (size_t)vsnprintf(t->v + t->n, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
}

void xl_text_clear(struct xl_text *t)
{
	t->n = 0;
	if (t->v)
		t->v[0] = '\0';
}

void xl_text_end(struct xl_text *t, struct xl_writer *w)
{
	w->out.failed |= t->failed;
	free(t->v);
	*t = (struct xl_text){ 0 };
}

/* xl's scanner ends a string at its quote or at a line's end, and takes all else as it is. */
void xl_text_quoted(struct xl_text *t, const char *s)
{
	xl_text_add(t, "\"");
	while (*s) {
		size_t plain = strcspn(s, "\"\\\n");

		xl_text_add(t, "%.*s", (int)plain, s);
		s += plain;
		if (*s == '\n')
			xl_text_add(t, "\\n");
		else if (*s)
			xl_text_add(t, "\\%c", *s);
		s += *s ? 1 : 0;
	}
	xl_text_add(t, "\"");
}

void xl_text_bits(struct xl_text *t, struct json_object *bits)
{
	size_t n = json_object_array_length(bits), j;

	for (size_t i = 0; i < n; i = j) {
		int64_t first = json_object_get_int64(json_object_array_get_idx(bits, i));
		int64_t last = first;

		for (j = i + 1; j < n; j++, last++) {
			if (json_object_get_int64(json_object_array_get_idx(bits, j)) != last + 1)
				break;
		}
		xl_text_add(t, "%s%" PRId64, i ? "," : "", first);
		if (last > first)
			xl_text_add(t, "-%" PRId64, last);
	}
}

/* ---- fields ---- */

/* The map that the last part of a path is in, and that part. */
static struct json_object *holder(struct json_object *object, const char *path,
				  const char **ret_last)
{
	const char *slash;

	while ((slash = strchr(path, '/'))) {
		char key[64];

		if ((size_t)(slash - path) >= sizeof(key))
			return NULL;
		snprintf(key, sizeof(key), "%.*s", (int)(slash - path), path);
		if (!json_object_object_get_ex(object, key, &object))
			return NULL;
		path = slash + 1;
	}
	*ret_last = path;
	return json_object_is_type(object, json_type_object) ? object : NULL;
}

struct json_object *xl_at(struct json_object *object, const char *path)
{
	struct json_object *value;
	const char *last;

	object = holder(object, path, &last);
	return object && json_object_object_get_ex(object, last, &value) ? value : NULL;
}

const char *xl_string_at(struct json_object *object, const char *path)
{
	struct json_object *value = xl_at(object, path);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

int64_t xl_int_at(struct json_object *object, const char *path, int64_t init)
{
	struct json_object *value = xl_at(object, path);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : init;
}

bool xl_is(struct json_object *object, const char *path, const char *value)
{
	const char *string = xl_string_at(object, path);

	return string && !strcmp(string, value);
}

void xl_done(struct json_object *object, const char *path)
{
	const char *last;

	object = holder(object, path, &last);
	if (object)
		json_object_object_del(object, last);
}

/* ---- what is lost ---- */

void xl_note(struct xl_writer *w, const char *path, const char *fmt, ...)
{
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	for (; *path; path++)
		xl_text_add(&w->lost, "%c", *path == '/' ? '.' : *path);
	xl_text_add(&w->lost, ": %s\n", why);
}

/* A path down the tree, as one goes. */
struct place {
	char v[512];
	size_t n;
};

/* What is not printable in a key is shown as '?': a line stays one line. */
static size_t place_enter(struct place *p, const char *key)
{
	size_t was = p->n;
	int n = snprintf(p->v + was, sizeof(p->v) - was, "%s%s", was ? "." : "", key);

	p->n = n < 0 || was + (size_t)n >= sizeof(p->v) ? sizeof(p->v) - 1 : was + (size_t)n;
	for (size_t i = was; i < p->n; i++) {
		if ((unsigned char)p->v[i] < 0x20 || p->v[i] == 0x7f)
			p->v[i] = '?';
	}
	return was;
}

static void place_leave(struct place *p, size_t was)
{
	p->n = was;
	p->v[was] = '\0';
}

/* Whether all of a list are plain values: told in one line. */
static bool is_plain(struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);

		if (json_object_is_type(entry, json_type_object))
			return false;
	}
	return true;
}

static void tell_rest(struct xl_writer *w, struct place *p, struct json_object *value)
{
	const char *text;
	char number[24];
	size_t was;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, field)
		{
			was = place_enter(p, key);
			tell_rest(w, p, field);
			place_leave(p, was);
		}
		return;
	}
	if (json_object_is_type(value, json_type_array) && !json_object_array_length(value))
		return;
	if (json_object_is_type(value, json_type_array) && !is_plain(value)) {
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			snprintf(number, sizeof(number), "%zu", i);
			was = place_enter(p, number);
			tell_rest(w, p, json_object_array_get_idx(value, i));
			place_leave(p, was);
		}
		return;
	}
	text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		w->lost.failed = true;
	else
		xl_text_add(&w->lost, "%s: %s\n", p->v, text);
}

/* ---- a device's words ---- */

void xl_spec_add(struct xl_spec *s, const char *fmt, ...)
{
	char *word = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&word, fmt, ap) < 0)
		s->words.failed = true;
	else
		xl_text_add(&s->words, "%s%s", s->words.n ? "," : "", word);
	va_end(ap);
	free(word);
}

bool xl_spec_string(struct xl_spec *s, const char *field, const char *key, const char *no)
{
	const char *value = xl_string_at(s->dev, field);

	if (!value || strpbrk(value, no))
		return false;
	xl_spec_add(s, "%s=%s", key, value);
	xl_done(s->dev, field);
	return true;
}

void xl_spec_number(struct xl_spec *s, const char *field, const char *key)
{
	struct json_object *value = xl_at(s->dev, field);

	if (json_object_is_type(value, json_type_boolean))
		xl_spec_add(s, "%s=%d", key, json_object_get_boolean(value) ? 1 : 0);
	else if (json_object_is_type(value, json_type_int))
		xl_spec_add(s, "%s=%" PRId64, key, json_object_get_int64(value));
	else
		return;
	xl_done(s->dev, field);
}

void xl_spec_backend(struct xl_spec *s, const char *no, bool wanted)
{
	int64_t domid = xl_int_at(s->dev, "backend_domid", 0);

	if (xl_spec_string(s, "backend_domname", "backend", no) || (!domid && !wanted))
		return;
	/* xl keeps the number as a name, and finds the domain by it all the same. */
	xl_spec_add(s, "backend=%" PRId64, domid);
	if (!xl_at(s->dev, "backend_domname"))
		xl_spec_note(s, "backend_domname",
			     "not there; the number of backend_domid is said");
}

void xl_spec_devid(struct xl_spec *s)
{
	char why[64];

	if (xl_int_at(s->dev, "devid", -1) == (int64_t)s->number) {
		xl_done(s->dev, "devid");
	} else if (!xl_at(s->dev, "devid")) {
		snprintf(why, sizeof(why), "not there; xl makes it %zu", s->number);
		xl_spec_note(s, "devid", why);
	}
}

void xl_spec_note(struct xl_spec *s, const char *field, const char *why)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%zu/%s", s->list, s->index, field);
	xl_note(s->w, path, "%s", why);
}

void xl_write_list_from(struct xl_writer *w, const char *list, const char *key, size_t i,
			xl_spec_fn *fn)
{
	struct json_object *devices = xl_at(w->rest, list);
	struct xl_spec s = { .w = w, .list = list, .number = i };
	size_t n = json_object_is_type(devices, json_type_array) ? json_object_array_length(devices)
								 : 0;
	bool any = false;

	for (; i < n; i++) {
		xl_text_clear(&s.words);
		s.dev = json_object_array_get_idx(devices, i);
		s.index = i;
		if (!fn(&s))
			continue;
		xl_text_add(&w->out, "%s%s", any ? "" : key, any ? ",\n\t" : " = [\n\t");
		xl_text_quoted(&w->out, s.words.v ? s.words.v : "");
		any = true;
		s.number++;
	}
	if (any)
		xl_text_add(&w->out, "\n]\n");
	xl_text_end(&s.words, w);
}

void xl_write_list(struct xl_writer *w, const char *list, const char *key, xl_spec_fn *fn)
{
	xl_write_list_from(w, list, key, 0, fn);
}

/* ---- the whole ---- */

int drover_domain_config_to_xl(const struct drover_domain_config *config, char **ret,
			       char **ret_lost)
{
	struct xl_writer w = { .whole = config->json, .type = "pv" };
	CLEANUP_JSON struct json_object *rest = NULL;
	struct place place = { .n = 0 };
	const char *type;
	int r = 0;

	if (json_object_deep_copy(config->json, &rest, NULL))
		return -ENOMEM;
	w.rest = rest;
	type = xl_string_at(config->json, "c_info/type");
	if (type)
		w.type = type;
	xl_text_add(&w.out, "%s", "");
	xl_text_add(&w.lost, "%s", "");
	xl_write_domain(&w);
	xl_write_cpus(&w);
	xl_write_devices(&w);
	xl_write_sound(&w);
	tell_rest(&w, &place, rest);
	if (w.out.failed || w.lost.failed) {
		r = -ENOMEM;
	} else {
		*ret = TAKE(w.out.v);
		*ret_lost = TAKE(w.lost.v);
	}
	free(w.out.v);
	free(w.lost.v);
	return r;
}
