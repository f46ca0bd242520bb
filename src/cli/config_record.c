/* SPDX-License-Identifier: MIT */
/*
 * `drover config record`: a domain's record, written for a toolstack that creates one, and its
 * files removed when the domain is gone. Invariant: text that is not a configuration is refused
 * before the userdata directory is looked at.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/config.h"

#define RECORD_MAX (16u << 20) /* octets of a file that is taken */

/* A whole file, "-" for standard input, to be freed. 0 or an errno. */
static int file_read(const char *name, char **ret, size_t *ret_len)
{
	FILE *from = strcmp(name, "-") ? fopen(name, "re") : stdin;
	char *text = NULL;
	size_t len = 0, room = 0;
	int r = 0;

	if (!from)
		return errno;
	while (!feof(from) && !r) {
		if (len == room) {
			room = room ? 2 * room : 65536;
			text = cli_must(realloc(text, room));
		}
		len += fread(text + len, 1, room - len, from);
		if (ferror(from))
			r = errno;
		else if (len > RECORD_MAX)
			r = EFBIG;
	}
	if (from != stdin)
		fclose(from);
	if (r) {
		free(text);
		return r;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int create_run(struct config_call *call, const char *dom, const char *name, const char *text,
		      size_t len)
{
	struct drover_domain_config *config;
	uint32_t domid;
	int r = drover_domain_config_from_json(call->c, text, len, &config);

	if (r)
		return config_fail(call, name, r);
	r = config_find(call, dom, &domid);
	if (!r) {
		r = drover_config_record_create(call->c, domid, config);
		if (r)
			r = config_fail(call, NULL, r);
	}
	drover_domain_config_free(config);
	return r;
}

static int record_create(struct config_call *call, const char *dom, const char *name)
{
	size_t len = 0;
	char *text = NULL;
	int r = file_read(name, &text, &len);

	if (r) {
		config_say(name, strerror(r));
		return CONFIG_REFUSED;
	}
	r = config_open(call);
	if (!r)
		r = create_run(call, dom, strcmp(name, "-") ? name : "standard input", text, len);
	free(text);
	return r;
}

static bool is_uuid(const char *word)
{
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (!word[i] ||
		    (dash ? word[i] != '-' : !strchr("0123456789abcdefABCDEF", word[i])))
			return false;
	}
	return !word[36];
}

static int record_destroy(struct config_call *call, const char *dom, const char *uuid)
{
	unsigned long domid;
	int r;

	if (!cli_number("config", "record destroy", dom, UINT32_MAX - 1, &domid))
		return CLI_USAGE;
	if (!is_uuid(uuid))
		return cli_usage("config", "record destroy: '%s' is no uuid", uuid);
	r = config_open(call);
	if (r)
		return r;
	r = drover_config_record_destroy(call->c, (uint32_t)domid, uuid);
	return r ? config_fail(call, NULL, r) : 0;
}

int cli_config_record(int argc, char **argv)
{
	static const struct option options[] = { CONFIG_OPTIONS };
	struct config_call call = { 0 };
	int status;
	char **word;

	if (config_getopt(&call, argc, argv, CONFIG_LETTERS, options, &status) != -1)
		return status;
	word = argv + optind;
	if (argc - optind != 3)
		return cli_usage("config", "record: create DOM FILE, or destroy DOMID UUID");
	if (!strcmp(word[0], "create"))
		status = record_create(&call, word[1], word[2]);
	else if (!strcmp(word[0], "destroy"))
		status = record_destroy(&call, word[1], word[2]);
	else
		status = cli_usage("config", "record: '%s' is neither create nor destroy", word[0]);
	config_close(&call);
	return status;
}
