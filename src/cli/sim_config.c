/* SPDX-License-Identifier: MIT */
/*
 * From a file to a domain's keys and record. Invariant: a file that is no configuration changes
 * nothing.
 */
#include "cli/sim_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "config/create.h"
#include "config/json.h"

/* A whole file of at most CONF_JSON_MAX octets, to be freed; 0 or a negative errno. */
static int file_read(const char *path, char **ret, size_t *ret_len)
{
	FILE *f = strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	char *text = NULL;
	size_t len = 0;
	int r = f ? 0 : -errno;

	if (!r) {
		text = cli_must(malloc(CONF_JSON_MAX + 1));
		len = fread(text, 1, CONF_JSON_MAX + 1, f);
		r = ferror(f) ? -EIO : len > CONF_JSON_MAX ? -EFBIG : 0;
	}
	if (f && f != stdin)
		fclose(f);
	if (r) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "drover sim: %s: %s\n", what, why);
	return CLI_FAILED;
}

int sim_config_create(const char *socket, const char *userdata, uint32_t domid, const char *file)
{
	struct drover_config_options opt = { .size = sizeof(opt),
					     .store = socket,
					     .userdata = userdata };
	CLEANUP_JSON struct json_object *config = NULL;
	struct drover_config *c = NULL;
	struct conf_err err = { "" };
	char *text;
	size_t len;
	int r;

	r = file_read(file, &text, &len);
	if (r)
		return fail(file, strerror(-r));
	r = conf_json_read(text, len, &err, &config);
	free(text);
	if (r)
		return fail(file, err.text);
	r = drover_config_open(&opt, &c);
	if (!r)
		r = conf_create(c, domid, config);
	if (r)
		fail(file, c ? drover_config_error(c) : strerror(-r));
	drover_config_close(c);
	return r ? CLI_FAILED : CLI_OK;
}
