/* SPDX-License-Identifier: MIT */
/*
 * `drover config locks`: the lock files and intents of the userdata directory. Invariant: it takes
 * none of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_table.h"

struct locks {
	struct config_table rows;
	struct json_object *list; /* owned */
};

static const struct config_column columns[] = {
	{ "ID", true },	     { "UUID", false }, { "NAME", false },
	{ "HOLDER", false }, { "WHAT", false },
};

static int lock_row(void *data, const struct drover_lock_info *info)
{
	struct locks *l = data;
	struct json_object *o = cli_must(json_object_new_object());
	char id[16], pid[16];

	snprintf(id, sizeof(id), "%" PRIu32, info->domid);
	snprintf(pid, sizeof(pid), "%d", info->pid);
	config_table_add(&l->rows, info->pid ? CONFIG_YELLOW : CONFIG_PLAIN,
			 (const char *[]){ id, info->uuid, info->name,
					   !info->pid	   ? "nobody"
					   : info->pid < 0 ? "somebody"
							   : pid,
					   info->what });
	config_json_add(o, "domid", cli_must(json_object_new_int64(info->domid)));
	config_json_add(o, "uuid", config_json_text(info->uuid));
	config_json_add(o, "name", config_json_text(info->name));
	config_json_add(o, "path", config_json_text(info->path));
	config_json_add(o, "held", json_object_new_boolean(info->pid != 0));
	config_json_add(o, "pid", info->pid > 0 ? cli_must(json_object_new_int(info->pid)) : NULL);
	config_json_add(o, "what", config_json_text(info->what));
	if (json_object_array_add(l->list, o))
		cli_must(NULL);
	return 0;
}

int cli_config_locks(int argc, char **argv)
{
	static const struct option options[] = { CONFIG_OPTIONS };
	struct config_call call = { 0 };
	struct locks l = { .list = NULL };
	int status, r;

	if (config_getopt(&call, argc, argv, CONFIG_LETTERS, options, &status) != -1)
		return status;
	if (optind < argc)
		return cli_usage("config", "locks: '%s' is not expected", argv[optind]);
	status = config_open(&call);
	if (status)
		return status;
	config_table_init(&l.rows, columns, ARRAY_LEN(columns));
	l.list = cli_must(json_object_new_array());
	r = drover_config_locks(call.c, lock_row, &l);
	if (r)
		status = config_fail(&call, NULL, r);
	else if (call.json)
		config_json_print(json_object_get(l.list));
	else if (l.rows.n)
		config_table_print(stdout, &l.rows, config_screen_width(), config_screen_colour());
	json_object_put(l.list);
	config_table_fini(&l.rows);
	config_close(&call);
	return status;
}
