/* SPDX-License-Identifier: MIT */
/*
 * Intents in their file: a JSON list, one object for each, replaced as a whole. What does not read
 * as such a list is damage and told as that: an intent that is overlooked would turn a change cut
 * short into one that never was.
 */
#include "config/intent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/class.h"
#include "config/intent_owner.h"
#include "config/json.h"

static const char *const op_names[] = {
	[INTENT_ADD] = "attach",
	[INTENT_REMOVE] = "detach",
	[INTENT_UPDATE] = "update",
};

const char *intent_op_name(enum intent_op op)
{
	return op_names[op];
}

static void intent_fini(struct intent *i)
{
	free(i->id);
	json_object_put(i->old);
	json_object_put(i->new);
}

void intents_fini(struct intents *s)
{
	for (size_t i = 0; i < s->n; i++)
		intent_fini(&s->v[i]);
	free(s->v);
	memset(s, 0, sizeof(*s));
}

/* ---- reading ---- */

static bool text_field(struct json_object *from, const char *key, const char **ret)
{
	struct json_object *o;

	if (!json_object_object_get_ex(from, key, &o) || !json_object_is_type(o, json_type_string))
		return false;
	*ret = json_object_get_string(o);
	/* One with a NUL within names nothing. */
	return strlen(*ret) == (size_t)json_object_get_string_len(o);
}

static bool number_field(struct json_object *from, const char *key, int64_t *ret)
{
	struct json_object *o;

	if (!json_object_object_get_ex(from, key, &o) || !json_object_is_type(o, json_type_int))
		return false;
	*ret = json_object_get_int64(o);
	return *ret >= 0;
}

static bool op_field(struct json_object *from, enum intent_op *ret)
{
	const char *name;

	if (!text_field(from, "op", &name))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(op_names); i++)
		if (!strcmp(name, op_names[i])) {
			*ret = (enum intent_op)i;
			return true;
		}
	return false;
}

/* An entry, a reference of one's own; NULL where it may be absent and is. */
static bool entry_field(struct json_object *from, const char *key, bool needed,
			struct json_object **ret)
{
	struct json_object *o;

	if (!json_object_object_get_ex(from, key, &o))
		return !needed;
	if (!json_object_is_type(o, json_type_object))
		return false;
	*ret = json_object_get(o);
	return true;
}

/* The name of the field that is missing or no such value, or NULL. */
static const char *owner_read(struct json_object *from, struct intent *ret)
{
	const char *boot;
	int64_t n;

	if (!number_field(from, "pid", &n) || n > INT32_MAX)
		return "pid";
	ret->pid = (pid_t)n;
	if (!number_field(from, "start", &n))
		return "start";
	ret->start_ticks = (uint64_t)n;
	if (!number_field(from, "pid_ns", &n))
		return "pid_ns";
	ret->pid_ns = (uint64_t)n;
	if (!text_field(from, "boot", &boot) || strlen(boot) >= sizeof(ret->boot_id))
		return "boot";
	memcpy(ret->boot_id, boot, strlen(boot) + 1);
	return number_field(from, "time", &ret->time_s) ? NULL : "time";
}

static const char *intent_read(struct json_object *from, struct intent *ret)
{
	const struct conf_class *k;
	const char *class, *id;

	if (!json_object_is_type(from, json_type_object))
		return "object";
	if (!op_field(from, &ret->op))
		return "op";
	k = text_field(from, "class", &class) ? class_find(class) : NULL;
	if (!k)
		return "class";
	ret->class = class_name(k);
	if (!text_field(from, "id", &id) || !*id || strlen(id) >= CLASS_ID_MAX)
		return "id";
	if (!entry_field(from, "old", ret->op == INTENT_UPDATE, &ret->old))
		return "old";
	if (!entry_field(from, "new", ret->op != INTENT_REMOVE, &ret->new))
		return "new";
	ret->id = strdup(id);
	return owner_read(from, ret);
}

static int list_read(struct json_object *list, const char *path, struct conf_err *err,
		     struct intents *ret)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	const char *wrong;

	if (!json_object_is_type(list, json_type_array))
		return conf_fail(err, -EBADMSG, "%s: is no list", path);
	if (n > INTENTS_MAX)
		return conf_fail(err, -EBADMSG, "%s: %zu intents, more than %d", path, n,
				 INTENTS_MAX);
	ret->v = calloc(n ? n : 1, sizeof(*ret->v));
	if (!ret->v)
		return conf_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		struct intent *new = &ret->v[ret->n++];

		wrong = intent_read(json_object_array_get_idx(list, i), new);
		if (wrong)
			return conf_fail(err, -EBADMSG,
					 "%s: intent %zu: \"%s\" is missing or malformed", path, i,
					 wrong);
		if (!new->id)
			return conf_no_memory(err);
	}
	return 0;
}

int intents_read(struct userdata *u, uint32_t domid, const char *uuid, struct conf_err *err,
		 struct intents *ret)
{
	CLEANUP_JSON struct json_object *list = NULL;
	struct intents s = { 0 };
	char *text = NULL, *path;
	size_t len = 0;
	int r;

	path = userdata_path(u, 'd', domid, uuid, USERDATA_INTENTS);
	if (!path)
		return conf_no_memory(err);
	r = userdata_read(u, domid, uuid, USERDATA_INTENTS, err, &text, &len);
	if (!r) {
		r = conf_json_parse(text, len, err, &list);
		if (r == -EINVAL)
			r = conf_fail_in(err, -EBADMSG, "%s", path);
		if (!r)
			r = list_read(list, path, err, &s);
	} else if (r == -ENOENT) {
		if (err)
			err->text[0] = '\0';
		r = 0;
	}
	free(text);
	free(path);
	if (r)
		intents_fini(&s);
	else
		*ret = s;
	return r;
}

/* s->n where there is none. */
static size_t index_of(const struct intents *s, const char *class, const char *id)
{
	size_t i = 0;

	while (i < s->n && (strcmp(s->v[i].class, class) || strcmp(s->v[i].id, id)))
		i++;
	return i;
}

const struct intent *intents_find(const struct intents *s, const char *class, const char *id)
{
	size_t i = index_of(s, class, id);

	return i < s->n ? &s->v[i] : NULL;
}

/* ---- writing ---- */

/* Puts a value of one's own, which may be NULL: memory is out. */
static bool put(struct json_object *to, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(to, key, value))
		return true;
	json_object_put(value);
	return false;
}

static struct json_object *intent_to_json(const struct intent *i)
{
	CLEANUP_JSON struct json_object *o = json_object_new_object();

	if (!o || !put(o, "op", json_object_new_string(op_names[i->op])) ||
	    !put(o, "class", json_object_new_string(i->class)) ||
	    !put(o, "id", json_object_new_string(i->id)) ||
	    (i->old && !put(o, "old", json_object_get(i->old))) ||
	    (i->new && !put(o, "new", json_object_get(i->new))) ||
	    !put(o, "pid", json_object_new_int64(i->pid)) ||
	    !put(o, "start", json_object_new_int64((int64_t)i->start_ticks)) ||
	    !put(o, "pid_ns", json_object_new_int64((int64_t)i->pid_ns)) ||
	    !put(o, "boot", json_object_new_string(i->boot_id)) ||
	    !put(o, "time", json_object_new_int64(i->time_s)))
		return NULL;
	return TAKE(o);
}

/* The file as the list says, and `more` behind it unless NULL. */
static int intents_write(struct userdata *u, uint32_t domid, const char *uuid,
			 const struct intents *s, const struct intent *more, struct conf_err *err)
{
	CLEANUP_JSON struct json_object *list = json_object_new_array();
	const char *text;
	size_t len;

	if (!s->n && !more)
		return userdata_remove(u, domid, uuid, USERDATA_INTENTS, err);
	for (size_t i = 0; list && i < s->n + (more ? 1 : 0); i++) {
		struct json_object *o = intent_to_json(i < s->n ? &s->v[i] : more);

		if (!o || json_object_array_add(list, o)) {
			json_object_put(o);
			return conf_no_memory(err);
		}
	}
	text = list ? json_object_to_json_string_length(
			      list, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len)
		    : NULL;
	if (!text)
		return conf_no_memory(err);
	return userdata_write(u, domid, uuid, USERDATA_INTENTS, text, len, false, err);
}

int intents_add(struct userdata *u, uint32_t domid, const char *uuid, enum intent_op op,
		const char *class, const char *id, struct json_object *old, struct json_object *new,
		struct conf_err *err)
{
	struct intent i = { .op = op, .class = class, .old = old, .new = new };
	struct intents s = { 0 };
	int r;

	r = intents_read(u, domid, uuid, err, &s);
	if (r)
		return r;
	if (intents_find(&s, class, id))
		r = conf_fail(err, -EBUSY, "%s %s of domain %" PRIu32 ": a change is under way",
			      class, id, domid);
	else if (s.n == INTENTS_MAX)
		r = conf_fail(err, -EBUSY, "domain %" PRIu32 ": %d changes are under way", domid,
			      INTENTS_MAX);
	if (!r)
		r = intent_owner_self(&i, err);
	if (!r) {
		i.time_s = time(NULL);
		i.id = strdup(id);
		r = i.id ? intents_write(u, domid, uuid, &s, &i, err) : conf_no_memory(err);
		/* Written, and perhaps not for good: it must not stand for a change that is not
		 * made. */
		if (r == -EIO)
			intents_write(u, domid, uuid, &s, NULL, NULL);
		free(i.id);
	}
	intents_fini(&s);
	return r;
}

/* Reads all, and writes them without that of a device, or with it disowned. */
static int intents_edit(struct userdata *u, uint32_t domid, const char *uuid, const char *class,
			const char *id, bool drop, struct conf_err *err)
{
	struct intents s = { 0 };
	size_t at;
	int r;

	r = intents_read(u, domid, uuid, err, &s);
	if (r)
		return r;
	at = index_of(&s, class, id);
	if (at < s.n) {
		if (drop) {
			intent_fini(&s.v[at]);
			s.v[at] = s.v[--s.n];
		} else {
			s.v[at].pid = 0;
		}
		r = intents_write(u, domid, uuid, &s, NULL, err);
	}
	intents_fini(&s);
	return r;
}

int intents_drop(struct userdata *u, uint32_t domid, const char *uuid, const char *class,
		 const char *id, struct conf_err *err)
{
	return intents_edit(u, domid, uuid, class, id, true, err);
}

int intents_disown(struct userdata *u, uint32_t domid, const char *uuid, const char *class,
		   const char *id, struct conf_err *err)
{
	return intents_edit(u, domid, uuid, class, id, false, err);
}

/* ---- all of them ---- */

struct each {
	struct userdata *u;
	drover_lock_fn *fn;
	void *data;
};

static int each_of_domain(void *data, uint32_t domid, const char *uuid)
{
	const struct each *e = data;
	char what[CLASS_ID_MAX + 64];
	struct drover_lock_info info = { .domid = domid, .uuid = uuid, .name = USERDATA_INTENTS };
	struct intents s = { 0 };
	struct conf_err err;
	char *path = userdata_path(e->u, 'd', domid, uuid, USERDATA_INTENTS);
	int r;

	if (!path)
		return -ENOMEM;
	info.path = path;
	r = intents_read(e->u, domid, uuid, &err, &s);
	if (r == -EBADMSG) {
		info.pid = -1;
		info.what = err.text;
		r = e->fn(e->data, &info);
	}
	for (size_t i = 0; !r && i < s.n; i++) {
		bool alive = intent_owner_alive(&s.v[i]);

		info.pid = alive ? s.v[i].pid : 0;
		snprintf(what, sizeof(what), "%s %s %s, owner %s", op_names[s.v[i].op],
			 s.v[i].class, s.v[i].id, alive ? "alive" : "dead");
		info.what = what;
		r = e->fn(e->data, &info);
	}
	intents_fini(&s);
	free(path);
	return r;
}

int intents_each(struct userdata *u, drover_lock_fn *fn, void *data)
{
	struct each e = { u, fn, data };

	return userdata_each(u, USERDATA_INTENTS, each_of_domain, &e);
}
