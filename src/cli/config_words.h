/* SPDX-License-Identifier: MIT */
/*
 * A device in the words of a command line: KEY=VALUE by our fields, or xl's own.
 */
#ifndef DROVER_CLI_CONFIG_WORDS_H
#define DROVER_CLI_CONFIG_WORDS_H

#include <drover/config.h>
#include <stdbool.h>

/*
 * Whether a word can only be a field of ours: KEY=VALUE without a comma in VALUE, or with a KEY
 * that xl has none like ('_' or '.' in it).
 */
bool config_word_is_field(const char *word);

/*
 * Sets fields from words that are KEY=VALUE, each. 0, or what drover_device_set returned; the
 * session's error tells about it. -EINVAL, and *ret_word: it is no KEY=VALUE.
 */
int config_words_fields(struct drover_config *c, struct drover_device *device, char **words, int n,
			const char **ret_word);

/*
 * A device of a class from n words. Those that are fields are set one by one; the others, joined
 * by commas, are xl's words; where a field is none of ours, all of them are taken as xl's. Of a
 * class that xl has no words for, all are fields. 0, or a negative errno, and *ret_why (to be
 * freed; NULL: memory is out) says why.
 */
int config_words_device(struct drover_config *c, const char *class, char **words, int n,
			struct drover_device **ret, char **ret_why);

#endif
