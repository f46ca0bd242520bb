/* SPDX-License-Identifier: MIT */
/*
 * Two views side by side. Invariant: rows are the same for people and for programs, and what both
 * views say alike is never counted.
 */
#include "cli/config_diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_table.h"

static const struct config_column columns[] = {
	{ "FIELD", false },
	{ "LIVE", false },
	{ "", false },
	{ "PERSISTENT", false },
};

/* One list of fields against another, and where what is found goes. */
struct fields_pair {
	const struct config_diff *d;
	const struct config_fields *live, *persistent;
	struct config_table *table; /* for people, or NULL */
	struct json_object *list;   /* for programs, or NULL */
	const char *indent;
	bool all; /* rows that are the same, too */
	size_t differ;
};

static void row_add(struct config_table *table, const char *indent, const char *path,
		    const char *live, const char *persistent)
{
	bool same = live && persistent && !strcmp(live, persistent);
	const char *mark = same ? "" : !live ? ">" : !persistent ? "<" : "|";
	enum config_tint tint = same	      ? CONFIG_PLAIN
				: !live	      ? CONFIG_RED
				: !persistent ? CONFIG_GREEN
					      : CONFIG_YELLOW;
	char *name;

	if (asprintf(&name, "%s%s", indent, path) < 0)
		cli_must(NULL);
	config_table_add(table, tint, (const char *[]){ name, live, mark, persistent });
	free(name);
}

static void list_add(struct json_object *list, const char *path, const char *live,
		     const char *persistent)
{
	struct json_object *o = cli_must(json_object_new_object());

	config_json_add(o, "path", config_json_text(path));
	config_json_add(o, "live", config_json_text(live));
	config_json_add(o, "persistent", config_json_text(persistent));
	if (json_object_array_add(list, o))
		cli_must(NULL);
}

static void field_pair(void *data, size_t a, size_t b)
{
	struct fields_pair *p = data;
	const char *live = a == CONFIG_NONE ? NULL : p->live->v[a].value;
	const char *persistent = b == CONFIG_NONE ? NULL : p->persistent->v[b].value;
	const char *path = live ? p->live->v[a].path : p->persistent->v[b].path;
	bool same = live && persistent && !strcmp(live, persistent);

	p->differ += !same;
	if (same && !p->all)
		return;
	if (p->table)
		row_add(p->table, p->indent, path, live, persistent);
	if (p->list)
		list_add(p->list, path, live, persistent);
}

/* ---- devices ---- */

struct devices_pair {
	const struct config_diff *d;
	struct config_table *table;
	struct json_object *list;
	size_t differ;
};

static const char *verdict_of(const struct config_device *d)
{
	return d->judged ? drover_verdict_name(d->verdict) : NULL;
}

/* A view's fields of a device as an object; NULL: it is not in that view. */
static struct json_object *fields_object(const struct config_device *d)
{
	struct json_object *o;

	if (!d || !d->in_view)
		return NULL;
	o = cli_must(json_object_new_object());
	for (size_t i = 0; i < d->fields.n; i++)
		config_json_add(o, d->fields.v[i].path, config_json_text(d->fields.v[i].value));
	return o;
}

static void device_object(struct json_object *list, const struct config_device *any,
			  const struct config_device *live, const struct config_device *persistent)
{
	struct json_object *o = cli_must(json_object_new_object());

	config_json_add(o, "class", config_json_text(any->class));
	config_json_add(o, "id", config_json_text(any->id));
	config_json_add(o, "verdict", config_json_text(verdict_of(any)));
	config_json_add(o, "reason", config_json_text(any->reason));
	config_json_add(o, "live", fields_object(live));
	config_json_add(o, "persistent", fields_object(persistent));
	if (json_object_array_add(list, o))
		cli_must(NULL);
}

/* The row that names the device, with the verdict where it is; its fields come below. */
static void device_row(struct config_table *table, const struct config_device *any, bool live,
		       bool persistent)
{
	const char *word = verdict_of(any) ? verdict_of(any) : "there";
	const char *mark = live == persistent ? "" : live ? "<" : ">";
	enum config_tint tint = live == persistent ? CONFIG_BOLD : live ? CONFIG_GREEN : CONFIG_RED;

	config_table_add(
		table, tint,
		(const char *[]){ any->title, live ? word : "-", mark, persistent ? word : "-" });
}

static void device_pair(void *data, size_t a, size_t b)
{
	struct devices_pair *p = data;
	const struct config_device *live = a == CONFIG_NONE ? NULL : &p->d->live->devices[a];
	const struct config_device *persistent =
		b == CONFIG_NONE ? NULL : &p->d->persistent->devices[b];
	const struct config_device *any = live ? live : persistent;
	static const struct config_fields none;
	struct fields_pair f = { .d = p->d,
				 .live = live ? &live->fields : &none,
				 .persistent = persistent ? &persistent->fields : &none };
	bool in_live = live && live->in_view, in_persistent = persistent && persistent->in_view;

	if (!in_live && !in_persistent)
		return; /* of neither view: `check` tells about it */
	config_fields_align(f.live, f.persistent, field_pair, &f);
	if (!f.differ && in_live == in_persistent && !p->d->full)
		return;
	p->differ += f.differ || in_live != in_persistent;
	if (p->list)
		device_object(p->list, any, live, persistent);
	if (!p->table)
		return;
	device_row(p->table, any, in_live, in_persistent);
	f.table = p->table;
	f.indent = "  ";
	f.all = true;
	config_fields_align(f.live, f.persistent, field_pair, &f);
}

static size_t diff_walk(const struct config_diff *d, struct config_table *table,
			struct json_object *domain, struct json_object *devices)
{
	struct fields_pair f = { .d = d,
				 .live = &d->live->domain,
				 .persistent = &d->persistent->domain,
				 .table = table,
				 .list = domain,
				 .indent = "",
				 .all = d->full };
	struct devices_pair p = { .d = d, .table = table, .list = devices };

	config_fields_align(f.live, f.persistent, field_pair, &f);
	config_pictures_align(d->live, d->persistent, device_pair, &p);
	return f.differ + p.differ;
}

size_t config_diff_print(FILE *to, const struct config_diff *d)
{
	struct config_table table;
	size_t n;

	config_table_init(&table, columns, ARRAY_LEN(columns));
	n = diff_walk(d, &table, NULL, NULL);
	if (table.n)
		config_table_print(to, &table, d->width, d->colour);
	config_table_fini(&table);
	return n;
}

struct json_object *config_diff_json(const struct config_diff *d, size_t *ret_n)
{
	struct json_object *o = cli_must(json_object_new_object());
	struct json_object *domain = cli_must(json_object_new_array());
	struct json_object *devices = cli_must(json_object_new_array());

	*ret_n = diff_walk(d, NULL, domain, devices);
	config_json_add(o, "domid", cli_must(json_object_new_int64(d->live->domid)));
	config_json_add(o, "differences", cli_must(json_object_new_uint64(*ret_n)));
	config_json_add(o, "domain", domain);
	config_json_add(o, "devices", devices);
	return o;
}

/* ---- the command ---- */

static int picture_retrieve(struct config_call *call, uint32_t domid, enum drover_config_view view,
			    struct config_picture *ret)
{
	struct drover_domain_config *config;
	int r = drover_config_retrieve(call->c, domid, view, call->flags, &config);

	if (r)
		return config_fail(call, NULL, r);
	r = config_picture_take(config, ret);
	drover_domain_config_free(config);
	if (r) {
		config_say(NULL, strerror(-r));
		r = config_status(r);
	}
	return r;
}

static int diff_run(struct config_call *call, struct config_diff *d, const char *word)
{
	struct config_picture live = { 0 }, persistent = { 0 };
	uint32_t domid;
	size_t n = 0;
	int r = config_find(call, word, &domid);

	if (!r)
		r = picture_retrieve(call, domid, DROVER_VIEW_LIVE, &live);
	if (!r)
		r = picture_retrieve(call, domid, DROVER_VIEW_PERSISTENT, &persistent);
	if (!r) {
		d->live = &live;
		d->persistent = &persistent;
		if (call->json)
			config_json_print(config_diff_json(d, &n));
		else
			n = config_diff_print(stdout, d);
		r = n ? CLI_FAILED : CLI_OK;
	}
	config_picture_fini(&live);
	config_picture_fini(&persistent);
	return r;
}

int cli_config_diff(int argc, char **argv)
{
	static const struct option options[] = { { "full", no_argument, NULL, 'f' },
						 CONFIG_OPTIONS };
	struct config_call call = { 0 };
	struct config_diff d = { .width = config_screen_width(), .colour = config_screen_colour() };
	int c, status;

	while ((c = config_getopt(&call, argc, argv, "f" CONFIG_LETTERS, options, &status)) != -1) {
		if (c != 'f')
			return status;
		d.full = true;
	}
	if (argc - optind != 1)
		return cli_usage("config", "diff: which domain? One");
	status = config_open(&call);
	if (status)
		return status;
	status = diff_run(&call, &d, argv[optind]);
	config_close(&call);
	return status;
}
