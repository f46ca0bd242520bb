/* SPDX-License-Identifier: MIT */
/*
 * A device in words. Invariant: a word that both would understand is ours where it stands alone,
 * and xl's where it is one of several between commas; the few such keys mean the same in both.
 */
#include "cli/config_words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"

DEFINE_CLEANUP(struct drover_device *, drover_device_free)

/* Octets of the key in front of '='; 0: there is none. */
static size_t key_len(const char *word)
{
	size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789_.-");

	return word[len] == '=' ? len : 0;
}

bool config_word_is_field(const char *word)
{
	size_t len = key_len(word);

	if (!len)
		return false;
	return !strchr(word + len, ',') || memchr(word, '_', len) || memchr(word, '.', len);
}

int config_words_fields(struct drover_config *c, struct drover_device *device, char **words, int n,
			const char **ret_word)
{
	for (int i = 0; i < n; i++) {
		size_t len = key_len(words[i]);
		char *key;
		int r;

		*ret_word = words[i];
		if (!len)
			return -EINVAL;
		key = cli_must(strndup(words[i], len));
		r = drover_device_set(c, device, key, words[i] + len + 1);
		free(key);
		if (r)
			return r;
	}
	*ret_word = NULL;
	return 0;
}

/* Those of the words that are wanted, joined by commas; NULL: there are none. */
static char *join(char **words, int n, bool fields, bool others)
{
	size_t len;
	char *text;
	FILE *to = cli_must(open_memstream(&text, &len));
	const char *between = "";

	for (int i = 0; i < n; i++) {
		if (config_word_is_field(words[i]) ? !fields : !others)
			continue;
		fprintf(to, "%s%s", between, words[i]);
		between = ",";
	}
	fclose(to);
	cli_must(text);
	if (*between)
		return text;
	free(text);
	return NULL;
}

static int device_xl(struct drover_config *c, const char *class, char *joined,
		     struct drover_device **ret)
{
	int r = drover_device_new(class, ret);

	if (!r && joined)
		r = drover_device_set_xl(c, *ret, joined);
	return r;
}

/* Our fields over what xl's words say. */
static int device_mixed(struct drover_config *c, const char *class, char **words, int n,
			struct drover_device **ret)
{
	char *joined = join(words, n, false, true);
	int r = device_xl(c, class, joined, ret);

	free(joined);
	for (int i = 0; !r && i < n; i++) {
		const char *word;

		if (config_word_is_field(words[i]))
			r = config_words_fields(c, *ret, &words[i], 1, &word);
	}
	return r;
}

/* Whether xl has words for the class: none at all are wrong then, and not unknown. */
static bool has_xl(const char *class)
{
	CLEANUP(drover_device_free) struct drover_device *probe = NULL;

	return !drover_device_new(class, &probe) &&
	       drover_device_set_xl(NULL, probe, "") != -EOPNOTSUPP;
}

static int device_fields(struct drover_config *c, const char *class, char **words, int n,
			 struct drover_device **ret, char **ret_why)
{
	const char *word;
	int r = drover_device_new(class, ret);

	if (r)
		return r;
	r = config_words_fields(c, *ret, words, n, &word);
	if (r && key_len(word))
		*ret_why = cli_must(strdup(drover_config_error(c)));
	else if (r && asprintf(ret_why, "%s: '%s' is no KEY=VALUE", class, word) < 0)
		cli_must(NULL);
	return r;
}

int config_words_device(struct drover_config *c, const char *class, char **words, int n,
			struct drover_device **ret, char **ret_why)
{
	CLEANUP(drover_device_free) struct drover_device *ours = NULL, *theirs = NULL;
	char *joined, *why = NULL;
	int r;

	if (!has_xl(class)) {
		r = device_fields(c, class, words, n, &ours, ret_why);
		if (!r)
			*ret = TAKE(ours);
		return r;
	}
	r = device_mixed(c, class, words, n, &ours);
	if (!r) {
		*ret = TAKE(ours);
		return 0;
	}
	why = cli_must(strdup(drover_config_error(c)));
	joined = join(words, n, true, true);
	if (!device_xl(c, class, joined, &theirs)) {
		free(why);
		*ret = TAKE(theirs);
		r = 0;
	} else {
		*ret_why = why;
	}
	free(joined);
	return r;
}
