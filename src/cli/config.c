/* SPDX-License-Identifier: MIT */
/*
 * `drover config`: the table of its commands, and what they share. Invariant: whatever is refused
 * is said in one line on stderr, with nothing in it that a terminal obeys.
 */
#include "cli/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config_host.h"
#include "cli/text.h"

#define TIMEOUT_MS_MAX 86400000ul

static const struct cli_part parts[] = {
	{ "list", cli_config_list },	 { "show", cli_config_show },
	{ "diff", cli_config_diff },	 { "check", cli_config_check },
	{ "repair", cli_config_repair }, { "attach", cli_config_attach },
	{ "detach", cli_config_detach }, { "update", cli_config_update },
	{ "watch", cli_config_watch },	 { "canon", cli_config_canon },
	{ "locks", cli_config_locks },	 { "record", cli_config_record },
};

int cli_config(int argc, char **argv)
{
	return cli_run_part("config", parts, ARRAY_LEN(parts),
			    "list, show, diff, check, repair, attach, detach, update, watch, "
			    "canon, locks or record",
			    argc, argv);
}

/* Milliseconds; 0 would mean the default, and 1 is as good. */
static bool timeout_parse(const char *option, const char *word, uint32_t *ret_ms)
{
	unsigned long ms;

	if (!cli_number("config", option, word, TIMEOUT_MS_MAX, &ms))
		return false;
	*ret_ms = ms ? (uint32_t)ms : 1;
	return true;
}

int config_getopt(struct config_call *call, int argc, char **argv, const char *letters,
		  const struct option *options, int *ret_status)
{
	bool good = true;
	int c;

	while (good) {
		c = cli_getopt(argc, argv, letters, options, ret_status);
		if (c == 'd')
			call->opt.userdata = optarg;
		else if (c == CONFIG_OPT_LOCK)
			good = timeout_parse("--lock-timeout", optarg, &call->opt.lock_timeout_ms);
		else if (c == CONFIG_OPT_BACKEND)
			good = timeout_parse("--backend-timeout", optarg,
					     &call->opt.backend_timeout_ms);
		else if (c == CONFIG_OPT_SCRIPTS)
			call->opt.no_scripts = true;
		else if (c == CONFIG_OPT_DEGRADED)
			call->flags |= DROVER_RETRIEVE_DEGRADED;
		else if (c == CONFIG_OPT_JSON)
			call->json = true;
		else
			return c;
	}
	*ret_status = CLI_USAGE;
	return '?';
}

int config_status(int err)
{
	return err == -EINVAL || err == -EOPNOTSUPP ? CLI_USAGE : CONFIG_REFUSED;
}

void config_say(const char *where, const char *why)
{
	char *place = where ? cli_text_escape(where, strlen(where), false) : NULL;
	char *text = cli_text_escape(why, strlen(why), false);

	fflush(stdout); /* what came before it is seen before it */
	fprintf(stderr, "drover: config: %s%s%s\n", place ? place : "", place ? ": " : "", text);
	free(place);
	free(text);
}

int config_fail(struct config_call *call, const char *where, int err)
{
	const char *why = call->c ? drover_config_error(call->c) : "";

	config_say(where, *why ? why : strerror(-err));
	return config_status(err);
}

int config_open(struct config_call *call)
{
	int r;

	call->opt.size = sizeof(call->opt);
	call->opt.host = cli_config_host("config");
	r = drover_config_open(&call->opt, &call->c);
	if (!r)
		return 0;
	r = config_fail(call, NULL, r);
	config_close(call);
	return r;
}

void config_close(struct config_call *call)
{
	drover_config_close(call->c);
	call->c = NULL;
	cli_config_host_close();
}

int config_find(struct config_call *call, const char *word, uint32_t *ret_domid)
{
	int r = drover_config_find(call->c, word, ret_domid);

	return r ? config_fail(call, NULL, r) : 0;
}

/* ---- many domains ---- */

struct each {
	struct config_call *call;
	config_each_fn *fn;
	void *data;
	bool named;
	uint32_t *gone; /* owned: those that were said not to be there */
	size_t n_gone;
	int status; /* why it ended before the last */
};

/* What keeps one from telling about a domain, other than how its record and keys are. */
static bool is_refusal(int err)
{
	return err && err != -ENODATA && err != -EBADMSG && err != -EPROTO;
}

static int each_domain(void *data, uint32_t domid, int err, struct drover_domain_config *config)
{
	struct each *e = data;

	if (err == -ENOENT && !e->named) {
		e->gone = cli_must(reallocarray(e->gone, e->n_gone + 1, sizeof(*e->gone)));
		e->gone[e->n_gone++] = domid;
		return 0;
	}
	if (e->named && is_refusal(err)) {
		e->status = config_fail(e->call, NULL, err);
		return 1;
	}
	e->fn(e->data, domid, err, err ? drover_config_error(e->call->c) : "", config);
	return 0;
}

/* Of those that could not be found, the ones that the store lists still. */
static int each_gone(struct each *e)
{
	uint32_t *domids = NULL;
	size_t n = 0;
	int r;

	if (!e->n_gone)
		return 0;
	r = drover_config_domids(e->call->c, &domids, &n);
	for (size_t i = 0; !r && i < e->n_gone; i++)
		for (size_t k = 0; k < n; k++)
			if (domids[k] == e->gone[i])
				e->fn(e->data, e->gone[i], -ENOENT,
				      "in the list of domains, but no domain", NULL);
	free(domids);
	return r;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Each once and in ascending order, in which all take their locks. */
static size_t domids_sort(uint32_t *domids, size_t n)
{
	size_t kept = 0;

	qsort(domids, n, sizeof(*domids), by_number);
	for (size_t i = 0; i < n; i++)
		if (!kept || domids[i] != domids[kept - 1])
			domids[kept++] = domids[i];
	return kept;
}

int config_domids(struct config_call *call, char **words, int n, uint32_t **ret, size_t *ret_n)
{
	uint32_t *domids;
	int r;

	if (!n) {
		r = drover_config_domids(call->c, ret, ret_n);
		return r ? config_fail(call, NULL, r) : 0;
	}
	domids = cli_must(calloc((size_t)n, sizeof(*domids)));
	for (int i = 0; i < n; i++) {
		r = config_find(call, words[i], &domids[i]);
		if (r) {
			free(domids);
			return r;
		}
	}
	*ret_n = domids_sort(domids, (size_t)n);
	*ret = domids;
	return 0;
}

int config_each(struct config_call *call, char **words, int n, enum drover_config_view view,
		config_each_fn *fn, void *data)
{
	struct each e = { .call = call, .fn = fn, .data = data, .named = n > 0 };
	uint32_t *domids;
	size_t n_domids;
	int r = config_domids(call, words, n, &domids, &n_domids);

	if (r)
		return r;
	r = drover_config_retrieve_many(call->c, domids, n_domids, view, call->flags, each_domain,
					&e);
	if (!r)
		r = each_gone(&e);
	r = e.status ? e.status : r ? config_fail(call, NULL, r) : 0;
	free(domids);
	free(e.gone);
	return r;
}

bool config_is_fault(uint32_t domid, int err)
{
	return domid || (err != -ENODATA && err != -EPROTO);
}

/* ---- output ---- */

struct json_object *config_json_text(const char *text)
{
	struct json_object *o;
	char *escaped;

	if (!text)
		return NULL;
	if (cli_text_is_utf8(text, strlen(text)))
		return cli_must(json_object_new_string(text));
	escaped = cli_text_escape(text, strlen(text), false);
	o = cli_must(json_object_new_string(escaped));
	free(escaped);
	return o;
}

void config_json_add(struct json_object *o, const char *name, struct json_object *member)
{
	if (json_object_object_add(o, name, member))
		cli_must(NULL);
}

void config_json_print(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(
		o,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

	puts(cli_must((void *)(uintptr_t)text));
	json_object_put(o);
}

struct json_object *config_json_error(uint32_t domid, int err, const char *why)
{
	struct json_object *o = cli_must(json_object_new_object());

	config_json_add(o, "domid", cli_must(json_object_new_int64(domid)));
	config_json_add(o, "error", config_json_text(strerrorname_np(-err)));
	config_json_add(o, "why", config_json_text(why));
	return o;
}
