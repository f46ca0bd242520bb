/* SPDX-License-Identifier: MIT */
/*
 * The parts of `drover image`. argv[0] is "image", for help; they return an exit status.
 */
#ifndef DROVER_CLI_IMAGE_H
#define DROVER_CLI_IMAGE_H

#include <getopt.h>
#include <stdint.h>

#include "cli/image_io.h"

int cli_image_dump(int argc, char **argv);
int cli_image_verify(int argc, char **argv);
int cli_image_convert(int argc, char **argv);
int cli_image_diff(int argc, char **argv);
int cli_image_embed(int argc, char **argv);
int cli_image_extract(int argc, char **argv);

/* How to read images, for all of them. */
#define IMAGE_HOW_LETTERS "h"
#define IMAGE_HOW_OPTIONS                                                                          \
	{ "read-layout", required_argument, NULL, 'L' },                                           \
		{ "scope", required_argument, NULL, 'S' },                                         \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}

/* Takes c, an option of those, into *how. False: its argument is none, which was said. */
bool image_how_option(struct image_how *how, int c, const char *arg);

/* The number of word in names, which ends in NULL; -1, and said: it is none of them. */
int image_word(const char *option, const char *word, const char *const *names);

#endif
