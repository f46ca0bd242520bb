/* SPDX-License-Identifier: MIT */
/*
 * Reading counters. Invariant: domains are kept by rising domid; an answer that breaks the order
 * or the form is refused as a whole, and one that asks to be asked from where it started, too,
 * so that the questions come to an end.
 */
#include "cli/stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/xs_client.h"

/* Shown with 0, too: a counter that is there from the start is one whose rise is seen. */
static const char *const known_kinds[] = {
	"nodes",     "watches",		  "transactions",     "outstanding",
	"memory",    "transaction-nodes", "node-permissions", "path-max",
	"node-size", "event-dropped",	  "protocol",	      "stall",
};

static const char *const limit_names[CLI_LIMIT_COUNT] = {
	[CLI_LIMIT_NODES] = "nodes",
	[CLI_LIMIT_WATCHES] = "watches",
	[CLI_LIMIT_TRANSACTIONS] = "transactions",
	[CLI_LIMIT_MEMORY] = "memory",
};

struct field {
	const char *key;
	size_t offset;
};

#define DAEMON(f) .key = #f, .offset = offsetof(struct cli_daemon_stats, f)
static const struct field daemon_fields[] = {
	{ DAEMON(nodes) },  { DAEMON(watches) },  { DAEMON(connections) }, { DAEMON(transactions) },
	{ DAEMON(rounds) }, { DAEMON(requests) }, { DAEMON(uptime_ms) },   { DAEMON(domains) },
};

#define DOMAIN(f) .key = #f, .offset = offsetof(struct cli_domain_stats, f)
static const struct field domain_fields[] = {
	{ DOMAIN(introduced) }, { DOMAIN(nodes) },	  { DOMAIN(memory) },
	{ DOMAIN(watches) },	{ DOMAIN(transactions) }, { DOMAIN(queued) },
	{ DOMAIN(events) },	{ DOMAIN(outstanding) },  { DOMAIN(requests) },
	{ DOMAIN(conflicts) },
};

const char *cli_limit_name(enum cli_limit limit)
{
	return limit_names[limit];
}

void cli_stats_init(struct cli_stats *s)
{
	memset(s, 0, sizeof(*s));
	for (; s->n_kinds < ARRAY_LEN(known_kinds); s->n_kinds++)
		snprintf(s->kind[s->n_kinds], CLI_KIND_SIZE, "%s", known_kinds[s->n_kinds]);
}

void cli_stats_fini(struct cli_stats *s)
{
	free(s->domain);
}

/* A run of the text without a NUL. */
struct word {
	const char *at;
	size_t len;
};

static bool word_is(struct word w, const char *s)
{
	return strlen(s) == w.len && !memcmp(w.at, s, w.len);
}

static bool word_starts(struct word *w, const char *prefix)
{
	size_t n = strlen(prefix);

	if (w->len < n || memcmp(w->at, prefix, n))
		return false;
	w->at += n;
	w->len -= n;
	return true;
}

/* The next word of the line, cut off from it; false at its end. */
static bool word_next(struct word *line, struct word *ret)
{
	while (line->len && *line->at == ' ') {
		line->at++;
		line->len--;
	}
	*ret = (struct word){ .at = line->at };
	while (ret->len < line->len && ret->at[ret->len] != ' ')
		ret->len++;
	line->at += ret->len;
	line->len -= ret->len;
	return ret->len > 0;
}

static bool word_number(struct word w, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < w.len; i++) {
		unsigned int digit = (unsigned int)(w.at[i] - '0');

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = 10 * v + digit;
	}
	*ret = v;
	return w.len > 0;
}

/* "key=value" taken apart. */
static bool word_pair(struct word w, struct word *ret_key, uint64_t *ret_value)
{
	const char *eq = memchr(w.at, '=', w.len);

	if (!eq || eq == w.at)
		return false;
	*ret_key = (struct word){ .at = w.at, .len = (size_t)(eq - w.at) };
	return word_number((struct word){ .at = eq + 1, .len = w.len - ret_key->len - 1 },
			   ret_value);
}

static void field_set(const struct field *fields, size_t n, void *record, struct word key,
		      uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (word_is(key, fields[i].key))
			memcpy((char *)record + fields[i].offset, &value, sizeof(value));
}

/* The number of a kind of refusal, a new one where there is room; -1 where it is no name. */
static int kind_find(struct cli_stats *s, struct word name)
{
	if (!name.len || name.len >= CLI_KIND_SIZE)
		return -1;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] != '-' && (name.at[i] < 'a' || name.at[i] > 'z'))
			return -1;
	for (size_t i = 0; i < s->n_kinds; i++)
		if (word_is(name, s->kind[i]))
			return (int)i;
	if (s->n_kinds == CLI_KINDS)
		return -1;
	memcpy(s->kind[s->n_kinds], name.at, name.len);
	return (int)s->n_kinds++;
}

static int parse_daemon(struct cli_stats *s, struct word line)
{
	struct word w, key;
	uint64_t value;

	while (word_next(&line, &w)) {
		if (!word_pair(w, &key, &value))
			return EBADMSG;
		field_set(daemon_fields, ARRAY_LEN(daemon_fields), &s->daemon, key, value);
	}
	return 0;
}

static struct cli_domain_stats *domain_add(struct cli_stats *s)
{
	if (s->n_domains == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->domain = cli_must(reallocarray(s->domain, s->room, sizeof(*s->domain)));
	}
	memset(&s->domain[s->n_domains], 0, sizeof(*s->domain));
	return &s->domain[s->n_domains++];
}

static int parse_domain(struct cli_stats *s, struct word line)
{
	struct cli_domain_stats *d;
	struct word w, key;
	uint64_t value;
	int kind;

	if (!word_next(&line, &w) || !word_number(w, &value) || value > UINT16_MAX)
		return EBADMSG;
	if (s->n_domains && value <= s->domain[s->n_domains - 1].domid)
		return EBADMSG;
	d = domain_add(s);
	d->domid = (uint32_t)value;
	while (word_next(&line, &w)) {
		if (!word_pair(w, &key, &value))
			return EBADMSG;
		if (word_starts(&key, "refused.")) {
			kind = kind_find(s, key);
			if (kind >= 0)
				d->refused[kind] = value;
		} else if (word_starts(&key, "limit.")) {
			for (size_t i = 0; i < CLI_LIMIT_COUNT; i++)
				if (word_is(key, limit_names[i]))
					d->limit[i] = value;
		} else {
			field_set(domain_fields, ARRAY_LEN(domain_fields), d, key, value);
		}
	}
	return 0;
}

int cli_stats_parse(struct cli_stats *s, const char *answer, uint32_t from, int32_t *ret_next)
{
	uint64_t next;
	int r = 0;

	for (const char *end; *answer && !r; answer = end + 1) {
		struct word line, w;

		end = strchr(answer, '\n');
		if (!end)
			return EBADMSG;
		line = (struct word){ .at = answer, .len = (size_t)(end - answer) };
		if (!word_next(&line, &w))
			return EBADMSG;
		if (word_is(w, "end")) {
			*ret_next = -1;
			return 0;
		}
		if (word_is(w, "next")) {
			if (!word_next(&line, &w) || !word_number(w, &next) || next <= from ||
			    next > UINT16_MAX)
				return EBADMSG;
			*ret_next = (int32_t)next;
			return 0;
		}
		if (word_is(w, "daemon"))
			r = parse_daemon(s, line);
		else if (word_is(w, "domain"))
			r = parse_domain(s, line);
	}
	return EBADMSG;
}

int cli_stats_read(struct xs_handle *xs, struct cli_stats *s)
{
	int32_t next = 0;

	while (next >= 0) {
		char from[16], *arg[] = { from }, *answer;
		uint32_t asked = (uint32_t)next;
		int r;

		snprintf(from, sizeof(from), "%u", asked);
		r = cli_control_call(xs, "stats", arg, asked ? 1 : 0, &answer);
		if (r)
			return r;
		r = cli_stats_parse(s, answer, asked, &next);
		free(answer);
		if (r)
			return r;
	}
	return 0;
}

int cli_stats_fail(const char *command, int err)
{
	if (err != EINVAL && err != EBADMSG && err != ENOSYS)
		return cli_fail(command, NULL, err);
	fprintf(stderr,
		"drover: %s: the daemon at %s does not tell its counters: it is not "
		"drover-xenstored, or another version of it\n",
		command, cli_socket_path());
	return CLI_FAILED;
}

const struct cli_domain_stats *cli_stats_find(const struct cli_stats *s, uint32_t domid)
{
	size_t low = 0, high = s->n_domains;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->domain[mid].domid == domid)
			return &s->domain[mid];
		if (s->domain[mid].domid < domid)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

uint64_t cli_stats_refusals(const struct cli_domain_stats *d)
{
	uint64_t n = 0;

	for (size_t i = 0; i < CLI_KINDS; i++)
		n += d->refused[i];
	return n;
}

uint64_t cli_stats_limit_of(const struct cli_domain_stats *d, const char *kind)
{
	for (size_t i = 0; i < CLI_LIMIT_COUNT; i++)
		if (!strcmp(limit_names[i], kind))
			return d->limit[i];
	return 0;
}
