/* SPDX-License-Identifier: MIT */
/*
 * `drover image`: the table of its commands. Invariant: none of them speaks to a daemon.
 */
#include "cli/image.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"

static const struct cli_part parts[] = {
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
	return cli_run_part("image", parts, ARRAY_LEN(parts),
			    "dump, verify, convert, diff, embed or extract", argc, argv);
}
