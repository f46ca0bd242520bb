/* SPDX-License-Identifier: MIT */
/*
 * `drover config check` and `repair`: what is not as it should be, and putting it right.
 * Invariant: a repair that was cut short by its reader's end is cut between domains, never within
 * one: a domain's lines are printed when its repair is over.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_table.h"
#include "cli/text.h"

/* ---- check ---- */

struct checking {
	struct config_call *call;
	bool faults_only, named;
	struct config_table rows;
	struct json_object *list; /* owned */
	bool fault;
};

static const struct config_column columns[] = {
	{ "NAME", false },   { "ID", true },	   { "CLASS", false },
	{ "DEVICE", false }, { "VERDICT", false }, { "REASON", false },
};

static enum config_tint item_tint(const struct drover_report_item *item)
{
	if (drover_verdict_is_fault(item->verdict))
		return CONFIG_RED;
	return item->verdict == DROVER_ATTACHED || item->verdict == DROVER_RECORD_ONLY ||
			       item->verdict == DROVER_IMPLIED
		       ? CONFIG_PLAIN
		       : CONFIG_YELLOW;
}

static struct json_object *item_object(const struct drover_report_item *item)
{
	struct json_object *o = cli_must(json_object_new_object());

	config_json_add(o, "class", config_json_text(item->class_name));
	config_json_add(o, "id", config_json_text(item->id));
	config_json_add(o, "verdict", config_json_text(drover_verdict_name(item->verdict)));
	config_json_add(o, "fault",
			json_object_new_boolean(drover_verdict_is_fault(item->verdict)));
	config_json_add(o, "reason", config_json_text(item->reason));
	config_json_add(o, "path", config_json_text(item->path));
	config_json_add(o, "live", json_object_new_boolean(item->in_live));
	config_json_add(o, "persistent", json_object_new_boolean(item->in_persistent));
	return o;
}

static void check_report(struct checking *k, uint32_t domid, struct drover_domain_config *config)
{
	size_t n = drover_domain_config_report_len(config);
	const char *word = drover_domain_config_get(config, "c_info.name");
	char *name = cli_must(strdup(word ? word : "-")), id[16];
	struct json_object *o = cli_must(json_object_new_object());
	struct json_object *items = cli_must(json_object_new_array());

	snprintf(id, sizeof(id), "%" PRIu32, domid);
	for (size_t i = 0; i < n; i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);

		if (drover_verdict_is_fault(item->verdict))
			k->fault = true;
		else if (k->faults_only)
			continue;
		config_table_add(&k->rows, item_tint(item),
				 (const char *[]){ name, id, item->class_name, item->id,
						   drover_verdict_name(item->verdict),
						   item->reason });
		if (json_object_array_add(items, item_object(item)))
			cli_must(NULL);
	}
	if (drover_domain_config_degraded(config)) {
		k->fault = true;
		config_table_add(&k->rows, CONFIG_RED,
				 (const char *[]){ name, id, "-", "-", "degraded",
						   "there is no good record" });
	}
	config_json_add(o, "domid", cli_must(json_object_new_int64(domid)));
	config_json_add(o, "name", config_json_text(name));
	config_json_add(o, "degraded",
			json_object_new_boolean(drover_domain_config_degraded(config)));
	config_json_add(o, "items", items);
	if (json_object_array_add(k->list, o))
		cli_must(NULL);
	free(name);
}

static void check_domain(void *data, uint32_t domid, int err, const char *why,
			 struct drover_domain_config *config)
{
	struct checking *k = data;
	char id[16];

	if (!err) {
		check_report(k, domid, config);
		drover_domain_config_free(config);
		return;
	}
	snprintf(id, sizeof(id), "%" PRIu32, domid);
	why = *why ? why : strerror(-err);
	if (!k->named && !config_is_fault(domid, err))
		return;
	k->fault = true;
	config_table_add(&k->rows, CONFIG_RED,
			 (const char *[]){ "-", id, "-", "-", "cannot be told", why });
	if (json_object_array_add(k->list, config_json_error(domid, err, why)))
		cli_must(NULL);
}

static int check_run(struct checking *k, char **words, int n)
{
	int r;

	config_table_init(&k->rows, columns, ARRAY_LEN(columns));
	k->list = cli_must(json_object_new_array());
	r = config_each(k->call, words, n, DROVER_VIEW_LIVE, check_domain, k);
	if (!r && k->call->json)
		config_json_print(json_object_get(k->list));
	else if (!r && k->rows.n)
		config_table_print(stdout, &k->rows, config_screen_width(), config_screen_colour());
	json_object_put(k->list);
	config_table_fini(&k->rows);
	return r ? r : k->fault ? CLI_FAILED : CLI_OK;
}

int cli_config_check(int argc, char **argv)
{
	static const struct option options[] = { { "all", no_argument, NULL, 'a' },
						 { "faults", no_argument, NULL, 'f' },
						 CONFIG_OPTIONS };
	struct config_call call = { 0 };
	struct checking k = { .call = &call };
	bool all = false;
	int c, status;

	while ((c = config_getopt(&call, argc, argv, "af" CONFIG_LETTERS, options, &status)) !=
	       -1) {
		if (c == 'a')
			all = true;
		else if (c == 'f')
			k.faults_only = true;
		else
			return status;
	}
	if (all && optind < argc)
		return cli_usage("config", "check: --all, or which domains?");
	k.named = optind < argc;
	status = config_open(&call);
	if (status)
		return status;
	status = check_run(&k, argv + optind, argc - optind);
	config_close(&call);
	return status;
}

/* ---- repair ---- */

struct repairing {
	struct config_call *call;
	unsigned int flags;
	bool named;
	uint32_t domid;
	FILE *text;		  /* of the domain at hand */
	struct json_object *list; /* owned */
	size_t n;		  /* actions of the domain at hand */
	bool found;
	int status; /* of the domains that could not be repaired */
};

/* A line of the domain at hand, with nothing in it that a terminal obeys. */
static void repair_line(struct repairing *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void repair_line(struct repairing *r, const char *fmt, ...)
{
	char *line, *escaped;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		cli_must(NULL);
	escaped = cli_text_escape(line, (size_t)n, false);
	fprintf(r->text, "%" PRIu32 ": %s\n", r->domid, escaped);
	free(escaped);
	free(line);
}

static void repair_action(void *data, const struct drover_repair_action *a)
{
	struct repairing *r = data;
	struct json_object *o = cli_must(json_object_new_object());

	r->n++;
	r->found = true;
	repair_line(r, "%s %s: %s: %s", a->class_name, a->id, drover_verdict_name(a->found),
		    a->action);
	if (a->entry)
		repair_line(r, "  was: %s", a->entry);
	config_json_add(o, "domid", cli_must(json_object_new_int64(r->domid)));
	config_json_add(o, "class", config_json_text(a->class_name));
	config_json_add(o, "id", config_json_text(a->id));
	config_json_add(o, "found", config_json_text(drover_verdict_name(a->found)));
	config_json_add(o, "action", config_json_text(a->action));
	config_json_add(o, "entry", a->entry ? json_tokener_parse(a->entry) : NULL);
	if (json_object_array_add(r->list, o))
		cli_must(NULL);
}

static void repair_domain(struct repairing *r, uint32_t domid)
{
	char *text, where[16];
	size_t len;
	int e;

	r->domid = domid;
	r->n = 0;
	r->text = cli_must(open_memstream(&text, &len));
	e = drover_config_repair(r->call->c, domid, r->flags, repair_action, r);
	if (!e && !r->n && r->named)
		repair_line(r, "nothing to repair");
	fclose(r->text);
	cli_must(text);
	if (!r->call->json)
		fputs(text, stdout);
	fflush(stdout);
	snprintf(where, sizeof(where), "%" PRIu32, domid);
	if (e && (r->named || (config_is_fault(domid, e) && e != -ENOENT))) {
		int status = config_fail(r->call, where, e);

		r->status = status > r->status ? status : r->status;
	}
	free(text);
}

static int repair_run(struct repairing *r, char **words, int n)
{
	uint32_t *domids;
	size_t n_domids;
	int e = config_domids(r->call, words, n, &domids, &n_domids);

	if (e)
		return e;
	r->list = cli_must(json_object_new_array());
	for (size_t i = 0; i < n_domids; i++)
		repair_domain(r, domids[i]);
	if (r->call->json)
		config_json_print(json_object_get(r->list));
	json_object_put(r->list);
	free(domids);
	if (r->status)
		return r->status;
	return r->found && r->flags & DROVER_REPAIR_DRY_RUN ? CLI_FAILED : CLI_OK;
}

int cli_config_repair(int argc, char **argv)
{
	static const struct option options[] = { { "all", no_argument, NULL, 'a' },
						 { "dry-run", no_argument, NULL, 'n' },
						 { "force", no_argument, NULL, 'f' },
						 CONFIG_OPTIONS };
	struct config_call call = { 0 };
	struct repairing r = { .call = &call };
	bool all = false;
	int c, status;

	while ((c = config_getopt(&call, argc, argv, "anf" CONFIG_LETTERS, options, &status)) !=
	       -1) {
		if (c == 'a')
			all = true;
		else if (c == 'n')
			r.flags |= DROVER_REPAIR_DRY_RUN;
		else if (c == 'f')
			r.flags |= DROVER_REPAIR_FORCE;
		else
			return status;
	}
	if (all == (optind < argc))
		return cli_usage("config", "repair: --all, or which domains?");
	r.named = !all;
	status = config_open(&call);
	if (status)
		return status;
	status = repair_run(&r, argv + optind, argc - optind);
	config_close(&call);
	return status;
}
