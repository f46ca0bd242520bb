/* SPDX-License-Identifier: MIT */
/*
 * `drover config canon`: a record's JSON, read strictly and printed as libxl prints it. Nothing is
 * printed of a record that is refused.
 */
#include "cli/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "config/json.h"

enum { OPT_LAYOUT = CONFIG_OPT_OWN };

static bool read_layout(const char *word, enum drover_config_layout *ret)
{
	if (!strcmp(word, "4.17"))
		*ret = DROVER_CONFIG_LAYOUT_4_17;
	else if (!strcmp(word, "newest"))
		*ret = DROVER_CONFIG_LAYOUT_NEWEST;
	else
		return false;
	return true;
}

/* All of a file, to be freed. One octet more than a record may have is enough to refuse it. */
static int read_all(FILE *f, char **ret, size_t *ret_len)
{
	size_t room = 65536, len = 0;
	char *text = cli_must(malloc(room));

	for (size_t n; (n = fread(text + len, 1, room - len, f)) > 0;) {
		len += n;
		if (len > CONF_JSON_MAX)
			break;
		if (len == room) {
			room *= 2;
			text = cli_must(realloc(text, room));
		}
	}
	if (ferror(f)) {
		free(text);
		return -EIO;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int print(struct json_object *o, enum drover_config_layout layout)
{
	char *text = NULL;
	size_t len = 0;
	bool bad;

	if (conf_json_print(o, layout, &text, &len))
		cli_must(NULL);
	bad = fwrite(text, 1, len, stdout) != len;
	/* json-c ends without one, and a terminal wants it. */
	bad |= len && text[len - 1] != '\n' && putchar('\n') == EOF;
	free(text);
	if (fflush(stdout) || bad)
		return cli_fail("config canon", NULL, errno);
	return CLI_OK;
}

int cli_config_canon(int argc, char **argv)
{
	static const struct option options[] = {
		{ "layout", required_argument, NULL, OPT_LAYOUT },
		CONFIG_OPTIONS,
	};
	enum drover_config_layout layout = DROVER_CONFIG_LAYOUT_4_17;
	CLEANUP_JSON struct json_object *o = NULL;
	struct config_call call = { 0 };
	struct conf_err err = { "" };
	const char *name;
	char *text = NULL;
	size_t len = 0;
	int status, letter, r;
	FILE *f;

	while ((letter = config_getopt(&call, argc, argv, CONFIG_LETTERS, options, &status)) != -1)
		if (letter != OPT_LAYOUT)
			return status;
		else if (!read_layout(optarg, &layout))
			return cli_usage("config", "canon: no such layout: %s", optarg);
	if (optind + 1 != argc)
		return cli_usage("config", "canon: FILE is missing, or more than one");
	name = argv[optind];
	f = strcmp(name, "-") != 0 ? fopen(name, "r") : stdin;
	if (!f)
		return config_say(name, strerror(errno)), CONFIG_REFUSED;
	r = read_all(f, &text, &len);
	if (f != stdin)
		fclose(f);
	if (r)
		return config_say(name, strerror(EIO)), CONFIG_REFUSED;
	r = conf_json_read(text, len, &err, &o);
	free(text);
	if (!r)
		return print(o, layout);
	if (r == -ENOMEM)
		cli_must(NULL);
	config_say(name, err.text);
	return CLI_USAGE;
}
