/* SPDX-License-Identifier: MIT */
/*
 * xl's words for a disk. There xl has a scanner made of patterns, and where several match it
 * takes the one that matches most, of equals the first; commas, equal signs and colons end words
 * only by these patterns. So this is the same table of patterns with the same choice: what looks
 * odd to a reader (a key without a value, a colon in a target) comes out as it does there.
 */
#include "config/xl.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"

struct disk {
	const char *words;
	const char *at;		 /* the word that is being read */
	struct json_object *out; /* owned by the caller: the fields set so far */
	struct conf_err *err;
	bool prefixed;	 /* a word like "phy:" stands for the format */
	bool access_set; /* by position */
	bool writable, cdrom;
};

struct rule;
typedef int rule_fn(struct disk *d, const struct rule *rule, const char *value);

enum form {
	KEY,	/* word=value, up to a comma */
	REST,	/* word=value, up to the end of the line */
	WORD,	/* the word, and a comma or none */
	PREFIX, /* word: before more */
};

struct rule {
	enum form form;
	const char *word;
	rule_fn *fn;
	const char *field; /* of the entry */
	const char *value;
};

static int refuse(const struct disk *d, const char *word, const char *why)
{
	return conf_fail(d->err, -EINVAL, "disk, column %zu: \"%s\": %s",
			 (size_t)(d->at - d->words) + 1, word, why);
}

/* ---- fields ---- */

static int put(struct disk *d, const char *field, struct json_object *value)
{
	if (!value || json_object_object_add(d->out, field, value)) {
		json_object_put(value);
		return conf_no_memory(d->err);
	}
	return 0;
}

static const char *get(const struct disk *d, const char *field)
{
	struct json_object *value;

	return json_object_object_get_ex(d->out, field, &value) ? json_object_get_string(value)
								: NULL;
}

/* A string may be said once; where it was said to be empty, again. */
static int set_string(struct disk *d, const struct rule *rule, const char *value)
{
	const char *old = get(d, rule->field);

	if (old && *old)
		return refuse(d, value, "said twice");
	return put(d, rule->field, json_object_new_string(value));
}

static int set_named(struct disk *d, const char *field, const char *value)
{
	const struct rule rule = { .field = field };

	return set_string(d, &rule, value);
}

/* An enumeration may be said again only as it was. */
static int set_enum(struct disk *d, const char *field, const char *word, const char *name)
{
	const char *old = get(d, field);

	if (old && strcmp(old, name))
		return refuse(d, word, "contradicts what was said before");
	return put(d, field, json_object_new_string(name));
}

static int set_one_of(struct disk *d, const struct rule *rule, const char *value)
{
	const char *name = rule->value;

	/* rule->value: the names, each with a comma behind it. */
	while (*name) {
		size_t len = strcspn(name, ",");

		if (strlen(value) == len && !strncmp(name, value, len))
			return set_enum(d, rule->field, value, value);
		name += len + 1;
	}
	return refuse(d, value, "no such value");
}

static int set_format(struct disk *d, const struct rule *rule, const char *value)
{
	static const struct rule formats = { .field = "format",
					     .value = "raw,qcow,qcow2,vhd,empty,qed," };

	(void)rule;
	return set_one_of(d, &formats, *value ? value : "raw");
}

static int set_prefix_format(struct disk *d, const struct rule *rule, const char *value)
{
	(void)value;
	d->prefixed = true;
	return set_format(d, rule, rule->word);
}

static int set_prefix(struct disk *d, const struct rule *rule, const char *value)
{
	(void)rule;
	(void)value;
	d->prefixed = true;
	return 0;
}

/* "nbd:" and so on name the script that knows how to attach them. */
static int set_prefix_script(struct disk *d, const struct rule *rule, const char *value)
{
	char script[32] = "block-";

	(void)value;
	d->prefixed = true;
	strncat(script, rule->word, sizeof(script) - strlen(script) - 1);
	return set_named(d, "script", script);
}

static int set_access(struct disk *d, const struct rule *rule, const char *value)
{
	(void)rule;
	if (!strcmp(value, "r") || !strcmp(value, "ro"))
		d->writable = false;
	else if (!strcmp(value, "w") || !strcmp(value, "rw") || !*value)
		d->writable = true;
	else
		return refuse(d, value, "no access: r, ro, w or rw");
	return 0;
}

static int set_device_type(struct disk *d, const struct rule *rule, const char *value)
{
	(void)rule;
	if (strcmp(value, "cdrom") && strcmp(value, "disk"))
		return refuse(d, value, "no type of a disk: cdrom or disk");
	d->cdrom = !strcmp(value, "cdrom");
	return 0;
}

static int set_cdrom(struct disk *d, const struct rule *rule, const char *value)
{
	(void)rule;
	(void)value;
	d->cdrom = true;
	return 0;
}

static int set_port(struct disk *d, const struct rule *rule, const char *value)
{
	char *end;
	long port;

	errno = 0;
	port = strtol(value, &end, 10);
	if (errno || *end || end == value || port < 1 || port > 65535)
		return refuse(d, value, "no port");
	return put(d, rule->field, json_object_new_int64(port));
}

static int set_text(struct disk *d, const struct rule *rule, const char *value)
{
	(void)value;
	return put(d, rule->field, json_object_new_string(rule->value));
}

static int set_true(struct disk *d, const struct rule *rule, const char *value)
{
	(void)value;
	return put(d, rule->field, json_object_new_boolean(true));
}

/* "trusted" and "untrusted" are words since 4.18 only; the field is older. */
static const struct rule rules[] = {
	{ KEY, "format", set_format, NULL, NULL },
	{ WORD, "cdrom", set_cdrom, NULL, NULL },
	{ KEY, "devtype", set_device_type, NULL, NULL },
	{ KEY, "access", set_access, NULL, NULL },
	{ KEY, "backend", set_string, "backend_domname", NULL },
	{ KEY, "backendtype", set_one_of, "backend", "phy,tap,qdisk,standalone," },
	{ KEY, "specification", set_one_of, "specification", "xen,virtio," },
	{ KEY, "vdev", set_string, "vdev", NULL },
	{ KEY, "script", set_string, "script", NULL },
	{ WORD, "direct-io-safe", set_true, "direct_io_safe", NULL },
	{ WORD, "discard", set_text, "discard_enable", "True" },
	{ WORD, "no-discard", set_text, "discard_enable", "False" },
	{ WORD, "colo", set_text, "colo_enable", "True" },
	{ WORD, "no-colo", set_text, "colo_enable", "False" },
	{ KEY, "colo-host", set_string, "colo_host", NULL },
	{ KEY, "colo-port", set_port, "colo_port", NULL },
	{ KEY, "colo-export", set_string, "colo_export", NULL },
	{ KEY, "active-disk", set_string, "active_disk", NULL },
	{ KEY, "hidden-disk", set_string, "hidden_disk", NULL },
	{ WORD, "trusted", set_text, "trusted", "True" },
	{ WORD, "untrusted", set_text, "trusted", "False" },
	{ REST, "target", set_string, "pdev_path", NULL },
	{ PREFIX, "raw", set_prefix_format, NULL, NULL },
	{ PREFIX, "qcow", set_prefix_format, NULL, NULL },
	{ PREFIX, "qcow2", set_prefix_format, NULL, NULL },
	{ PREFIX, "vhd", set_prefix_format, NULL, NULL },
	{ PREFIX, "iscsi", set_prefix_script, NULL, NULL },
	{ PREFIX, "nbd", set_prefix_script, NULL, NULL },
	{ PREFIX, "enbd", set_prefix_script, NULL, NULL },
	{ PREFIX, "drbd", set_prefix_script, NULL, NULL },
	{ PREFIX, "tapdisk", set_prefix, NULL, NULL },
	{ PREFIX, "tap", set_prefix, NULL, NULL },
	{ PREFIX, "tap2", set_prefix, NULL, NULL },
	{ PREFIX, "aio", set_prefix, NULL, NULL },
	{ PREFIX, "ioemu", set_prefix, NULL, NULL },
	{ PREFIX, "file", set_prefix, NULL, NULL },
	{ PREFIX, "phy", set_prefix, NULL, NULL },
};

/* ---- what matches, and how much ---- */

struct match {
	const struct rule *rule; /* NULL: none of the table */
	enum { NOTHING, BLANK, KNOWN, UNKNOWN_KEY, UNKNOWN_PREFIX, POSITION } kind;
	size_t len;	 /* that it matches, what it only looks ahead at counted */
	size_t consumed; /* of it */
};

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static size_t line_len(const char *s)
{
	return strcspn(s, "\n");
}

static size_t comma_len(const char *s)
{
	return *s == ',' ? 1 : 0;
}

static void better(struct match *best, struct match m)
{
	if (m.len > best->len)
		*best = m;
}

static size_t rule_len(const struct rule *rule, const char *s, size_t *ret_consumed)
{
	size_t n = strlen(rule->word);

	if (strncmp(s, rule->word, n))
		return 0;
	s += n;
	if (rule->form == WORD)
		return *ret_consumed = n + comma_len(s);
	if (*s != (rule->form == PREFIX ? ':' : '='))
		return 0;
	s++;
	n++;
	if (rule->form == PREFIX) {
		*ret_consumed = n;
		return n + line_len(s);
	}
	n += rule->form == REST ? line_len(s) : strcspn(s, ",");
	if (rule->form == KEY)
		n += comma_len(s + strcspn(s, ","));
	return *ret_consumed = n;
}

/* [a-z][-a-z0-9]*=[^,],? */
static struct match unknown_key(const char *s)
{
	struct match m = { .kind = UNKNOWN_KEY };
	size_t n;

	if (!*s || !strchr(LOWER, *s))
		return m;
	n = strspn(s, LOWER DIGITS "-");
	if (s[n] != '=' || !s[n + 1] || s[n + 1] == ',')
		return m;
	m.len = m.consumed = n + 2 + comma_len(s + n + 2);
	return m;
}

/* [a-z][a-z0-9]*: before the end, or before what begins with neither a letter nor a digit */
static struct match unknown_prefix(const char *s)
{
	struct match m = { .kind = UNKNOWN_PREFIX };
	size_t n;

	if (!*s || !strchr(LOWER, *s))
		return m;
	n = strspn(s, LOWER DIGITS);
	if (s[n] != ':')
		return m;
	m.len = m.consumed = ++n;
	if (s[n] && !strchr(LOWER DIGITS, s[n]))
		m.len += 1 + line_len(s + n + 1);
	return m;
}

static struct match match(const char *s)
{
	struct match best = { .kind = NOTHING }, m = { .kind = BLANK };
	size_t n = strcspn(s, "=,");

	m.consumed = strspn(s, " \t\n");
	m.len = m.consumed ? m.consumed + line_len(s + m.consumed) : 0;
	better(&best, m);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		m = (struct match){ .rule = &rules[i], .kind = KNOWN };
		m.len = rule_len(&rules[i], s, &m.consumed);
		better(&best, m);
	}
	better(&best, unknown_key(s));
	better(&best, unknown_prefix(s));
	m = (struct match){ .kind = POSITION };
	m.len = m.consumed = n + comma_len(s + n);
	better(&best, m);
	return best;
}

/* ---- words without a key ---- */

/* "hdc:cdrom": a disk's name and its type. *ret_did: it was that. */
static int name_and_type(struct disk *d, char *word, bool *ret_did)
{
	char *colon = strrchr(word, ':');
	int r;

	*ret_did = colon;
	if (!colon)
		return 0;
	*colon = '\0';
	r = set_named(d, "vdev", word);
	return r ? r : set_device_type(d, NULL, colon + 1);
}

/* Target, format, name, access: the next that was not said yet. */
static int by_position(struct disk *d, char *word)
{
	const char *target = get(d, "pdev_path");
	bool did = false;
	int r = 0;

	if (!target)
		return put(d, "pdev_path", json_object_new_string(word));
	if (!d->prefixed && !get(d, "format")) {
		if (!*target)
			r = name_and_type(d, word, &did);
		if (r)
			return r;
		return did ? put(d, "format", json_object_new_string("empty"))
			   : set_format(d, NULL, word);
	}
	if (!get(d, "vdev")) {
		r = name_and_type(d, word, &did);
		return r || did ? r : set_named(d, "vdev", word);
	}
	if (d->access_set)
		return refuse(d, word, "one word too many");
	d->access_set = true;
	return set_access(d, NULL, word);
}

/* ---- the whole ---- */

static int read_word(struct disk *d, size_t *ret_consumed)
{
	struct match m = match(d->at);
	char *word, *value;
	size_t len = m.consumed;
	int r = 0;

	*ret_consumed = m.consumed;
	if (m.kind == BLANK)
		return 0;
	if (m.kind == NOTHING)
		return refuse(d, d->at, "not understood from here on");
	if (m.kind != UNKNOWN_PREFIX && !(m.rule && m.rule->form == PREFIX) && len &&
	    d->at[len - 1] == ',')
		len--;
	word = strndup(d->at, len);
	if (!word)
		return conf_no_memory(d->err);
	value = strchr(word, '=');
	if (m.rule) {
		r = m.rule->fn(d, m.rule, value ? value + 1 : "");
	} else if (m.kind == POSITION) {
		r = by_position(d, word);
	} else if (m.kind == UNKNOWN_KEY) {
		word[strcspn(word, "=")] = '\0';
		r = refuse(d, word, "no such parameter");
	} else {
		r = refuse(d, word, "no such prefix");
	}
	free(word);
	return r;
}

/* What follows from the rest, and what must be there. */
static int finish(struct disk *d)
{
	const char *target = get(d, "pdev_path"), *format = get(d, "format");
	int r = 0;

	d->at = d->words;
	if (!get(d, "vdev"))
		return refuse(d, d->words, "no vdev: the name that the guest gives to the disk");
	if (!target && !d->cdrom)
		return refuse(d, d->words, "no target, and no cdrom");
	if (!format)
		format = "raw";
	if (d->cdrom && (!target || !*target))
		format = "empty";
	r = put(d, "format", json_object_new_string(format));
	if (!r && d->cdrom)
		r = put(d, "removable", json_object_new_int64(1));
	if (!r && d->cdrom)
		r = put(d, "is_cdrom", json_object_new_int64(1));
	if (!r && d->writable && !d->cdrom)
		r = put(d, "readwrite", json_object_new_int64(1));
	return r;
}

static int take_over(const struct disk *d, struct json_object *entry)
{
	static const char *const flags[] = { "removable", "is_cdrom", "readwrite" };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		json_object_object_del(entry, flags[i]);
	json_object_object_foreach(d->out, key, value)
	{
		if (json_object_object_add(entry, key, json_object_get(value)))
			return conf_no_memory(d->err);
	}
	return 0;
}

int xl_disk_parse(const char *words, struct json_object *entry, struct conf_err *err)
{
	CLEANUP_JSON struct json_object *out = json_object_new_object();
	struct disk d = { .words = words, .at = words, .out = out, .err = err, .writable = true };
	int r = out ? xl_check_text("disk", words, err) : conf_no_memory(err);
	size_t consumed;

	while (!r && *d.at) {
		r = read_word(&d, &consumed);
		d.at += consumed;
	}
	if (!r)
		r = finish(&d);
	if (!r)
		r = take_over(&d, entry);
	return r;
}
