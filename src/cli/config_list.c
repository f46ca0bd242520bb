/* SPDX-License-Identifier: MIT */
/*
 * `drover config list`: domains, a row or an object each. Invariant: every domain that the store
 * lists is in the table; one whose configuration cannot be told says why, and fails the command.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_table.h"

struct listing {
	struct config_call *call;
	bool whole;		  /* -l: configurations */
	struct config_table rows; /* for people */
	struct json_object *list; /* owned: for programs */
	FILE *text;		  /* -l: the objects between the brackets */
	bool failed;
	uint32_t *bare; /* owned: those without a record, which are asked for again */
	size_t n_bare;
};

static const struct config_column columns[] = {
	{ "NAME", false }, { "ID", true },	 { "TYPE", false },    { "MEM", true },
	{ "VCPUS", true }, { "DEVICES", false }, { "VERDICT", false },
};

static uint64_t number_of(struct drover_domain_config *config, const char *path)
{
	const char *text = drover_domain_config_get(config, path);

	return text ? strtoull(text, NULL, 10) : 0;
}

/* How many numbers a set has that is told as "0-3,5". */
static uint64_t count_of(struct drover_domain_config *config, const char *path)
{
	const char *text = drover_domain_config_get(config, path);
	uint64_t n = 0;

	while (text && *text) {
		char *end;
		uint64_t from = strtoull(text, &end, 10), to = from;

		if (end == text)
			break;
		if (*end == '-')
			to = strtoull(end + 1, &end, 10);
		n += to >= from ? to - from + 1 : 0;
		text = *end ? end + 1 : end;
	}
	return n;
}

/* "2 vbd, 1 vif", to be freed. */
static char *devices_text(const struct drover_domain_config *config)
{
	const char *class, *between = "";
	char *text;
	size_t len;
	FILE *to = cli_must(open_memstream(&text, &len));

	for (size_t i = 0; (class = drover_class_name(i)); i++) {
		size_t n = drover_domain_config_devices(config, class);

		if (n)
			fprintf(to, "%s%zu %s", between, n, class);
		if (n)
			between = ", ";
	}
	fclose(to);
	return cli_must(text);
}

/* "ok", or what is not as it should be: "vbd xvdd half-added". To be freed. */
static char *verdict_text(const struct drover_domain_config *config, bool bare,
			  enum config_tint *ret_tint)
{
	size_t n = drover_domain_config_report_len(config), len;
	const char *between = "";
	char *text;
	FILE *to;

	*ret_tint = CONFIG_PLAIN;
	if (bare) /* so that all its devices are of the store alone */
		return cli_must(strdup("no record"));
	to = cli_must(open_memstream(&text, &len));
	if (drover_domain_config_degraded(config)) {
		fputs("degraded: no good record", to);
		between = ", ";
		*ret_tint = CONFIG_RED;
	}
	for (size_t i = 0; i < n; i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);
		bool fault = drover_verdict_is_fault(item->verdict);

		/* What is as it should be, and never leaves a table, would hide the rest. */
		if (!fault && item->verdict != DROVER_ADDING && item->verdict != DROVER_REMOVING &&
		    item->verdict != DROVER_CHANGED && item->verdict != DROVER_STORE_ONLY)
			continue;
		fprintf(to, "%s%s %s %s", between, item->class_name, item->id,
			drover_verdict_name(item->verdict));
		between = ", ";
		if (fault)
			*ret_tint = CONFIG_RED;
		else if (*ret_tint == CONFIG_PLAIN)
			*ret_tint = CONFIG_YELLOW;
	}
	if (!*between)
		fputs("ok", to);
	fclose(to);
	return cli_must(text);
}

static void list_row(struct listing *l, uint32_t domid, struct drover_domain_config *config,
		     bool bare)
{
	char id[16], mem[24], vcpus[48], *name, *type, *devices, *verdict;
	uint64_t kb = number_of(config, "b_info.target_memkb");
	enum config_tint tint;
	const char *word;

	if (!kb)
		kb = number_of(config, "b_info.max_memkb");
	snprintf(id, sizeof(id), "%" PRIu32, domid);
	snprintf(mem, sizeof(mem), "%" PRIu64, kb / 1024);
	snprintf(vcpus, sizeof(vcpus), "%" PRIu64 "/%" PRIu64,
		 count_of(config, "b_info.avail_vcpus"), number_of(config, "b_info.max_vcpus"));
	word = drover_domain_config_get(config, "c_info.name");
	name = cli_must(strdup(word ? word : "-"));
	word = drover_domain_config_get(config, "c_info.type");
	type = cli_must(strdup(word ? word : "-"));
	devices = devices_text(config);
	verdict = verdict_text(config, bare, &tint);
	config_table_add(&l->rows, tint,
			 (const char *[]){ name, id, type, mem, vcpus, devices, verdict });
	free(name);
	free(type);
	free(devices);
	free(verdict);
}

static void json_number(struct json_object *o, const char *name, uint64_t value)
{
	config_json_add(o, name, cli_must(json_object_new_uint64(value)));
}

static void list_object(struct listing *l, uint32_t domid, struct drover_domain_config *config)
{
	struct json_object *o = cli_must(json_object_new_object());
	struct json_object *devices = cli_must(json_object_new_object());
	struct json_object *verdicts = cli_must(json_object_new_object());
	uint64_t count[DROVER_VERDICTS] = { 0 }, faults = 0;
	const char *class;

	json_number(o, "domid", domid);
	config_json_add(o, "name",
			config_json_text(drover_domain_config_get(config, "c_info.name")));
	config_json_add(o, "uuid",
			config_json_text(drover_domain_config_get(config, "c_info.uuid")));
	config_json_add(o, "type",
			config_json_text(drover_domain_config_get(config, "c_info.type")));
	json_number(o, "memory_kb", number_of(config, "b_info.target_memkb"));
	json_number(o, "max_memory_kb", number_of(config, "b_info.max_memkb"));
	json_number(o, "vcpus", count_of(config, "b_info.avail_vcpus"));
	json_number(o, "max_vcpus", number_of(config, "b_info.max_vcpus"));
	for (size_t i = 0; (class = drover_class_name(i)); i++)
		if (drover_domain_config_devices(config, class))
			json_number(devices, class, drover_domain_config_devices(config, class));
	for (size_t i = 0; i < drover_domain_config_report_len(config); i++) {
		enum drover_verdict v = drover_domain_config_report(config, i)->verdict;

		count[v]++;
		faults += drover_verdict_is_fault(v);
	}
	for (int v = 0; v < DROVER_VERDICTS; v++)
		if (count[v])
			json_number(verdicts, drover_verdict_name((enum drover_verdict)v),
				    count[v]);
	config_json_add(o, "devices", devices);
	config_json_add(o, "verdicts", verdicts);
	json_number(o, "faults", faults);
	config_json_add(o, "degraded",
			json_object_new_boolean(drover_domain_config_degraded(config)));
	if (json_object_array_add(l->list, o))
		cli_must(NULL);
}

/* The configuration, further in: as a member of an object of a list. */
static int list_whole(struct listing *l, uint32_t domid, struct drover_domain_config *config)
{
	char *text, *line, *rest;
	int r = drover_domain_config_to_json(config, DROVER_CONFIG_LAYOUT_4_17, &text, NULL);

	if (r)
		return r;
	fprintf(l->text, "%s\n    {\n        \"domid\": %" PRIu32 ",\n        \"config\": ",
		ftell(l->text) > 0 ? "," : "", domid);
	rest = text;
	line = strsep(&rest, "\n");
	fputs(line, l->text);
	while ((line = strsep(&rest, "\n")) && (*line || rest))
		fprintf(l->text, *line ? "\n        %s" : "\n%s", line);
	fputs("\n    }", l->text);
	free(text);
	return 0;
}

static void list_error(struct listing *l, uint32_t domid, int err, const char *why)
{
	bool bare = err == -ENODATA, fault = !bare && config_is_fault(domid, err);
	char id[16], *text;

	l->failed |= fault;
	snprintf(id, sizeof(id), "%" PRIu32, domid);
	if (l->whole) {
		if (config_is_fault(domid, err))
			config_say(id, why);
		return;
	}
	if (l->call->json) {
		if (json_object_array_add(l->list, config_json_error(domid, err, why)))
			cli_must(NULL);
		return;
	}
	if (asprintf(&text, "%s%s", bare ? "no record" : "cannot be told: ", bare ? "" : why) < 0)
		cli_must(NULL);
	config_table_add(&l->rows, fault ? CONFIG_RED : CONFIG_PLAIN,
			 (const char *[]){ "-", id, "-", "-", "-", "-", text });
	free(text);
}

static void list_domain(void *data, uint32_t domid, int err, const char *why,
			struct drover_domain_config *config)
{
	struct listing *l = data;

	if (err == -ENODATA && !l->whole) {
		l->bare = cli_must(reallocarray(l->bare, l->n_bare + 1, sizeof(*l->bare)));
		l->bare[l->n_bare++] = domid;
		return;
	}
	if (!err && l->whole)
		err = list_whole(l, domid, config);
	else if (!err && l->call->json)
		list_object(l, domid, config);
	else if (!err)
		list_row(l, domid, config, false);
	if (err)
		list_error(l, domid, err, *why ? why : strerror(-err));
	drover_domain_config_free(config);
}

/* One without a record, as the store knows it: many a domain was never given one. */
static int list_bare(void *data, uint32_t domid, int err, struct drover_domain_config *config)
{
	struct listing *l = data;

	if (err == -ENOENT)
		return 0; /* it went */
	if (err)
		list_error(l, domid, -ENODATA, "no record");
	else if (l->call->json)
		list_object(l, domid, config);
	else
		list_row(l, domid, config, true);
	drover_domain_config_free(config);
	return 0;
}

static int rows_by_domid(const void *pa, const void *pb)
{
	const struct config_row *a = pa, *b = pb;
	unsigned long x = strtoul(a->cell[1], NULL, 10), y = strtoul(b->cell[1], NULL, 10);

	return x < y ? -1 : x > y;
}

static int objects_by_domid(const void *pa, const void *pb)
{
	struct json_object *const *a = pa, *const *b = pb;
	int64_t x = json_object_get_int64(json_object_object_get(*a, "domid"));
	int64_t y = json_object_get_int64(json_object_object_get(*b, "domid"));

	return x < y ? -1 : x > y;
}

static int list_all(struct listing *l, char **words, int n)
{
	int r = config_each(l->call, words, n, DROVER_VIEW_LIVE, list_domain, l);

	if (r || !l->n_bare)
		return r;
	r = drover_config_retrieve_many(l->call->c, l->bare, l->n_bare, DROVER_VIEW_LIVE,
					DROVER_RETRIEVE_DEGRADED, list_bare, l);
	if (r)
		return config_fail(l->call, NULL, r);
	if (l->rows.n)
		qsort(l->rows.rows, l->rows.n, sizeof(*l->rows.rows), rows_by_domid);
	json_object_array_sort(l->list, objects_by_domid);
	return 0;
}

static int list_run(struct listing *l, char **words, int n)
{
	char *text = NULL;
	size_t len = 0;
	int r;

	config_table_init(&l->rows, columns, ARRAY_LEN(columns));
	l->list = cli_must(json_object_new_array());
	l->text = cli_must(open_memstream(&text, &len));
	r = list_all(l, words, n);
	fclose(l->text);
	cli_must(text);
	if (!r && l->whole)
		printf("[%s\n]\n", len ? text : "\n");
	else if (!r && l->call->json)
		config_json_print(json_object_get(l->list));
	else if (!r)
		config_table_print(stdout, &l->rows, config_screen_width(), config_screen_colour());
	free(text);
	free(l->bare);
	json_object_put(l->list);
	config_table_fini(&l->rows);
	return r ? r : l->failed ? CLI_FAILED : CLI_OK;
}

int cli_config_list(int argc, char **argv)
{
	static const struct option options[] = { { "long", no_argument, NULL, 'l' },
						 CONFIG_OPTIONS };
	struct config_call call = { 0 };
	struct listing l = { .call = &call };
	int c, status;

	while ((c = config_getopt(&call, argc, argv, "l" CONFIG_LETTERS, options, &status)) != -1) {
		if (c != 'l')
			return status;
		l.whole = true;
	}
	status = config_open(&call);
	if (status)
		return status;
	status = list_run(&l, argv + optind, argc - optind);
	config_close(&call);
	return status;
}
