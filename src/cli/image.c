/* SPDX-License-Identifier: MIT */
/*
 * `drover image`: the table of its commands. Invariant: none of them speaks to a daemon.
 */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "dump", cli_image_dump },	  { "verify", cli_image_verify },
	{ "convert", cli_image_convert }, { "diff", cli_image_diff },
	{ "embed", cli_image_embed },	  { "extract", cli_image_extract },
};

int image_word(const char *option, const char *word, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], word))
			return i;
	fprintf(stderr, "drover: image: --%s: '%s' is none of", option, word);
	for (int i = 0; names[i]; i++)
		fprintf(stderr, " %s", names[i]);
	fputs("; see 'drover help image'\n", stderr);
	return -1;
}

bool image_how_option(struct image_how *how, int c, const char *arg)
{
	static const char *const layouts[] = { "upstream", "seed", NULL };
	static const char *const scopes[] = { "auto", "store", "domain", NULL };
	int n = c == 'L' ? image_word("layout", arg, layouts) : image_word("scope", arg, scopes);

	if (n < 0)
		return false;
	if (c == 'L')
		how->layout = n ? DROVER_LAYOUT_SEED : DROVER_LAYOUT_UPSTREAM;
	else
		how->scope = (enum image_scope)n;
	return true;
}

int cli_image(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		cli_help(stdout, "image");
		return CLI_OK;
	}
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		argv[1] = argv[0];
		optind = 0;
		return commands[i].run(argc - 1, argv + 1);
	}
	if (argc > 1)
		return cli_usage("image", "'%s' is none of its commands", argv[1]);
	return cli_usage("image", "what? dump, verify, convert, diff, embed or extract");
}
