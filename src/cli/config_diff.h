/* SPDX-License-Identifier: MIT */
/*
 * Two views of a domain side by side, without a terminal and without a store.
 */
#ifndef DROVER_CLI_CONFIG_DIFF_H
#define DROVER_CLI_CONFIG_DIFF_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/config_fields.h"

struct config_diff {
	const struct config_picture *live, *persistent; /* borrowed */
	bool full;					/* what is the same is told, too */
	unsigned int width;				/* of the screen; 0: no end */
	bool colour;
};

/*
 * Prints a row for each value that is not the same in both, and returns how many there were; a
 * device that only one view has is one, with its fields below it.
 */
size_t config_diff_print(FILE *to, const struct config_diff *d);

/*
 * The same as an object {"domain": [{path, live, persistent}], "devices": [{class, id, verdict,
 * reason, live, persistent}]}, with what differs alone, or all. The caller's.
 */
struct json_object *config_diff_json(const struct config_diff *d, size_t *ret_n);

#endif
