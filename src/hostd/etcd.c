/* SPDX-License-Identifier: MIT */
/*
 * Requests to etcd's JSON gateway and their answers. Invariant: only an answer that is understood
 * whole decides anything; whatever else came back counts as none.
 */
#include "hostd/etcd.h"

#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static void json_put_p(struct json_object **o)
{
	json_object_put(*o);
}
#define CLEANUP_JSON_PUT __attribute__((cleanup(json_put_p)))

static void tokener_free_p(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

static int value_print(const struct etcd_owner *o, char *ret)
{
	return snprintf(ret, ETCD_VALUE_MAX, "%" PRIu64 " %s", o->epoch, o->host);
}

/* A string in base64 as a member of `to`. False: no memory. */
static bool add_base64(struct json_object *to, const char *name, const char *text)
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)text, (unsigned int)strlen(text) };
	gnutls_datum_t out = { NULL, 0 };
	struct json_object *s;

	if (gnutls_base64_encode2(&in, &out) < 0)
		return false;
	s = json_object_new_string_len((const char *)out.data, (int)out.size);
	gnutls_free(out.data);
	return s && json_object_object_add(to, name, s) == 0;
}

/* A member of `to` that is an object, or of a list of one: {name: {}} or {name: [{}]}. */
static struct json_object *add_object(struct json_object *to, const char *name, bool in_list)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = in_list ? json_object_new_array() : NULL;

	if (!o || (in_list && !list))
		goto fail;
	if (in_list) {
		if (json_object_array_add(list, o))
			goto fail;
		if (json_object_object_add(to, name, list)) {
			json_object_put(list); /* and o with it */
			return NULL;
		}
		return o;
	}
	if (json_object_object_add(to, name, o))
		goto fail;
	return o;
fail:
	json_object_put(o);
	json_object_put(list);
	return NULL;
}

static bool add_put(struct json_object *to, const struct etcd_request *r)
{
	char value[ETCD_VALUE_MAX];

	value_print(&r->to, value);
	return to && add_base64(to, "key", r->key) && add_base64(to, "value", value);
}

static bool add_string(struct json_object *to, const char *name, const char *text)
{
	struct json_object *s = json_object_new_string(text);

	return s && json_object_object_add(to, name, s) == 0;
}

/* What must be so for the write to count: the value that is compared, or that nobody wrote. */
static bool add_compare(struct json_object *to, const struct etcd_request *r)
{
	char value[ETCD_VALUE_MAX];

	if (!to || !add_base64(to, "key", r->key) || !add_string(to, "result", "EQUAL"))
		return false;
	if (r->compare) {
		value_print(&r->from, value);
		return add_string(to, "target", "VALUE") && add_base64(to, "value", value);
	}
	snprintf(value, sizeof(value), "%" PRIu64, r->revision);
	return add_string(to, "target", "MOD") && add_string(to, "modRevision", value);
}

/* {compare: [...], success: [put], failure: [range]} */
static bool add_txn(struct json_object *to, const struct etcd_request *r)
{
	struct json_object *success, *failure;

	if (!add_compare(add_object(to, "compare", true), r))
		return false;
	success = add_object(to, "success", true);
	success = success ? add_object(success, "requestPut", false) : NULL;
	if (!add_put(success, r))
		return false;
	failure = add_object(to, "failure", true);
	failure = failure ? add_object(failure, "requestRange", false) : NULL;
	return failure && add_base64(failure, "key", r->key);
}

static char *body_of(struct json_object *top, bool whole)
{
	const char *text;

	text = whole ? json_object_to_json_string_ext(top, JSON_C_TO_STRING_PLAIN) : NULL;
	return text ? strdup(text) : NULL;
}

char *etcd_read_body(const struct etcd_request *r)
{
	CLEANUP_JSON_PUT struct json_object *top = json_object_new_object();

	return body_of(top, top && add_base64(top, "key", r->key));
}

char *etcd_request_body(const struct etcd_request *r)
{
	CLEANUP_JSON_PUT struct json_object *top = json_object_new_object();

	return body_of(top, top && add_txn(top, r));
}

static struct json_object *member(struct json_object *of, const char *name, enum json_type type)
{
	struct json_object *m = NULL;

	if (!of || !json_object_is_type(of, json_type_object) ||
	    !json_object_object_get_ex(of, name, &m) || !json_object_is_type(m, type))
		return NULL;
	return m;
}

static struct json_object *first_of(struct json_object *list)
{
	return list && json_object_array_length(list) ? json_object_array_get_idx(list, 0) : NULL;
}

/* Whether base64 text says the same as o. */
static bool value_is(const char *base64, const struct etcd_owner *o)
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)base64, (unsigned int)strlen(base64) };
	gnutls_datum_t out = { NULL, 0 };
	char value[ETCD_VALUE_MAX];
	int len = value_print(o, value);
	bool same;

	if (gnutls_base64_decode2(&in, &out) < 0)
		return false;
	same = len >= 0 && out.size == (unsigned int)len && !memcmp(out.data, value, out.size);
	gnutls_free(out.data);
	return same;
}

/* An answer to a transaction whose comparison failed: what the key says instead. */
static enum mig_arbiter failure_read(const struct etcd_request *r, struct json_object *top,
				     char *why, size_t room)
{
	struct json_object *range, *kv, *value;

	range = first_of(member(top, "responses", json_type_array));
	range = member(range, "response_range", json_type_object);
	if (!range) {
		snprintf(why, room, "its answer has no response_range");
		return MIG_ARB_UNREACHABLE;
	}
	kv = first_of(member(range, "kvs", json_type_array));
	if (!kv)
		return MIG_ARB_IS_OTHER; /* no such key */
	value = member(kv, "value", json_type_string);
	if (value && value_is(json_object_get_string(value), &r->to))
		return MIG_ARB_IS_TO;
	return MIG_ARB_IS_OTHER;
}

/* An answer as JSON with the header that each has; NULL: it is none, and why says so. */
static struct json_object *answer_parse(const char *text, size_t len, char *why, size_t room)
{
	__attribute__((cleanup(tokener_free_p))) struct json_tokener *t = json_tokener_new_ex(16);
	struct json_object *top = NULL;

	if (t && len <= ETCD_ANSWER_MAX)
		top = json_tokener_parse_ex(t, text, (int)len);
	if (top && member(top, "header", json_type_object))
		return top;
	json_object_put(top);
	snprintf(why, room, "its answer is no JSON object with a header");
	return NULL;
}

/* A decimal number in a string, as the gateway writes 64 bits. False: it is none. */
static bool number_read(struct json_object *s, uint64_t *ret)
{
	const char *text = s ? json_object_get_string(s) : "";
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	*ret = strtoull(text, &end, 10);
	return !*end && *ret < INT64_MAX;
}

enum mig_arbiter etcd_read_answer(struct etcd_request *r, const char *text, size_t len, char *why,
				  size_t room)
{
	CLEANUP_JSON_PUT struct json_object *top = answer_parse(text, len, why, room);
	struct json_object *kv, *value;

	if (!top)
		return MIG_ARB_UNREACHABLE;
	r->revision = 0;
	kv = first_of(member(top, "kvs", json_type_array));
	if (!kv)
		return MIG_ARB_IS_OTHER; /* no such key yet */
	if (!number_read(member(kv, "mod_revision", json_type_string), &r->revision)) {
		snprintf(why, room, "its answer has no mod_revision");
		return MIG_ARB_UNREACHABLE;
	}
	value = member(kv, "value", json_type_string);
	return value && value_is(json_object_get_string(value), &r->to) ? MIG_ARB_IS_TO
									: MIG_ARB_IS_OTHER;
}

enum mig_arbiter etcd_answer_read(const struct etcd_request *r, const char *text, size_t len,
				  char *why, size_t room)
{
	CLEANUP_JSON_PUT struct json_object *top = answer_parse(text, len, why, room);
	struct json_object *succeeded;

	if (!top)
		return MIG_ARB_UNREACHABLE;
	/* The gateway leaves out what is false. */
	succeeded = member(top, "succeeded", json_type_boolean);
	if (succeeded && json_object_get_boolean(succeeded))
		return MIG_ARB_YES;
	return failure_read(r, top, why, room);
}
