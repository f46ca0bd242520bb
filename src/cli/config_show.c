/* SPDX-License-Identifier: MIT */
/*
 * `drover config show`: one domain's configuration, as text, as libxl's JSON, or as a file for
 * `xl create`. Invariant: what a form cannot say is said beside it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_fields.h"
#include "cli/config_table.h"
#include "cli/text.h"

struct showing {
	struct config_call call;
	enum drover_config_view view;
	enum drover_config_layout layout;
	bool xl;
};

/* "  path  value", the paths as wide as the widest of them. */
static void print_fields(const struct config_fields *f)
{
	size_t wide = 0;

	for (size_t i = 0; i < f->n; i++)
		wide = strlen(f->v[i].path) > wide ? strlen(f->v[i].path) : wide;
	for (size_t i = 0; i < f->n; i++) {
		char *path = cli_text_escape(f->v[i].path, strlen(f->v[i].path), false);
		char *value = cli_text_escape(f->v[i].value, strlen(f->v[i].value), false);

		printf("  %-*s  %s\n", (int)wide, path, value);
		free(path);
		free(value);
	}
}

static enum config_tint device_tint(const struct config_device *d)
{
	if (!d->judged)
		return CONFIG_BOLD;
	if (drover_verdict_is_fault(d->verdict))
		return CONFIG_RED;
	return d->verdict == DROVER_ATTACHED ? CONFIG_BOLD : CONFIG_YELLOW;
}

static void print_device(const struct config_device *d, bool colour)
{
	char *line, *text;

	if (asprintf(&text, "%s: %s%s%s%s", d->title,
		     d->judged ? drover_verdict_name(d->verdict) : "as recorded",
		     d->in_view ? "" : ", not in this view", *d->reason ? ": " : "", d->reason) < 0)
		cli_must(NULL);
	line = cli_text_escape(text, strlen(text), false);
	putchar('\n');
	config_tint_line(stdout, device_tint(d), colour, line);
	print_fields(&d->fields);
	free(line);
	free(text);
}

static int show_text(struct showing *s, struct drover_domain_config *config)
{
	bool colour = config_screen_colour();
	struct config_picture p;
	char *line, *text;
	int r = config_picture_take(config, &p);

	if (r)
		return r;
	if (asprintf(&text, "%s (%" PRIu32 "), %s%s", p.name, p.domid,
		     s->view == DROVER_VIEW_LIVE ? "live" : "persistent",
		     p.degraded ? ", degraded: from the store alone, the record is no good" : "") <
	    0)
		cli_must(NULL);
	line = cli_text_escape(text, strlen(text), false);
	config_tint_line(stdout, p.degraded ? CONFIG_RED : CONFIG_BOLD, colour, line);
	print_fields(&p.domain);
	for (size_t i = 0; i < p.n_devices; i++)
		print_device(&p.devices[i], colour);
	free(line);
	free(text);
	config_picture_fini(&p);
	return 0;
}

static int show_json(struct showing *s, struct drover_domain_config *config)
{
	char *text;
	size_t len;
	int r = drover_domain_config_to_json(config, s->layout, &text, &len);

	if (r)
		return r;
	fputs(text, stdout);
	if (!len || text[len - 1] != '\n')
		putchar('\n');
	free(text);
	return 0;
}

static int show_xl(struct drover_domain_config *config)
{
	char *text, *lost, *rest, *line;
	int r = drover_domain_config_to_xl(config, &text, &lost);

	if (r)
		return r;
	if (*lost)
		puts("# An xl config file has no words for:");
	for (rest = lost; (line = strsep(&rest, "\n"));)
		if (*line)
			printf("#   %s\n", line);
	fputs(text, stdout);
	free(text);
	free(lost);
	return 0;
}

static int show_run(struct showing *s, const char *word)
{
	struct drover_domain_config *config;
	uint32_t domid;
	int r = config_find(&s->call, word, &domid);

	if (r)
		return r;
	r = drover_config_retrieve(s->call.c, domid, s->view, s->call.flags, &config);
	if (r)
		return config_fail(&s->call, NULL, r);
	if (drover_domain_config_degraded(config) && (s->xl || s->call.json))
		config_say(word, "degraded: from the store alone, the record is no good");
	if (s->xl)
		r = show_xl(config);
	else if (s->call.json)
		r = show_json(s, config);
	else
		r = show_text(s, config);
	if (r) {
		config_say(word, strerror(-r));
		r = config_status(r);
	}
	drover_domain_config_free(config);
	return r;
}

static bool layout_parse(const char *word, enum drover_config_layout *ret)
{
	*ret = strcmp(word, "4.17") ? DROVER_CONFIG_LAYOUT_NEWEST : DROVER_CONFIG_LAYOUT_4_17;
	if (!strcmp(word, "4.17") || !strcmp(word, "newest"))
		return true;
	cli_usage("config", "--layout: '%s' is neither 4.17 nor newest", word);
	return false;
}

int cli_config_show(int argc, char **argv)
{
	static const struct option options[] = { { "live", no_argument, NULL, 'L' },
						 { "persistent", no_argument, NULL, 'P' },
						 { "xl", no_argument, NULL, 'x' },
						 { "layout", required_argument, NULL, 'a' },
						 CONFIG_OPTIONS };
	struct showing s = { .view = DROVER_VIEW_LIVE, .layout = DROVER_CONFIG_LAYOUT_4_17 };
	int c, status;

	while ((c = config_getopt(&s.call, argc, argv, CONFIG_LETTERS, options, &status)) != -1) {
		if (c == 'L' || c == 'P')
			s.view = c == 'L' ? DROVER_VIEW_LIVE : DROVER_VIEW_PERSISTENT;
		else if (c == 'x')
			s.xl = true;
		else if (c != 'a')
			return status;
		else if (!layout_parse(optarg, &s.layout))
			return CLI_USAGE;
	}
	if (argc - optind != 1)
		return cli_usage("config", "show: which domain? One");
	if (s.xl && s.call.json)
		return cli_usage("config", "show: --json or --xl");
	status = config_open(&s.call);
	if (status)
		return status;
	status = show_run(&s, argv[optind]);
	config_close(&s.call);
	return status;
}
