/* SPDX-License-Identifier: MIT */
/*
 * Command lines of daemons. Invariant: at[n] is NULL, and every word is in text or the caller's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/adopt.h"

void adopt_words_fini(struct adopt_words *w)
{
	free(w->text);
	memset(w, 0, sizeof(*w));
}

bool adopt_words_add(struct adopt_words *w, const char *word)
{
	if (w->n >= ADOPT_WORDS_MAX)
		return false;
	w->at[w->n++] = (char *)(uintptr_t)word; /* execve's words are not const, and not written */
	w->at[w->n] = NULL;
	return true;
}

bool adopt_words_split(struct adopt_words *ret, const char *text, size_t len)
{
	memset(ret, 0, sizeof(*ret));
	ret->text = malloc(len + 1);
	if (!ret->text)
		return false;
	memcpy(ret->text, text, len);
	ret->text[len] = '\0';
	for (size_t at = 0; at < len; at += strlen(ret->text + at) + 1)
		if (!adopt_words_add(ret, ret->text + at))
			return false;
	return true;
}

/* Of the start that a live update made, and of no later one. */
static bool is_of_that_start(const char *word)
{
	return !strcmp(word, "-U") || !strcmp(word, "--live-update");
}

/* Program, and the words of `more` behind those that are there. */
static bool begin(struct adopt_words *ret, const char *program, const char *more)
{
	memset(ret, 0, sizeof(*ret));
	ret->text = strdup(more ? more : "");
	return ret->text && adopt_words_add(ret, program);
}

static bool add_more(struct adopt_words *ret)
{
	char *rest = ret->text, *word;

	while ((word = strtok_r(rest, " \t", &rest)))
		if (!adopt_words_add(ret, word))
			return false;
	return true;
}

bool adopt_words_for_ours(struct adopt_words *ret, const struct adopt_daemon *from,
			  const char *program, const char *more)
{
	bool has_hv = false;

	if (!begin(ret, program, more))
		return false;
	for (size_t i = 1; from && i < from->words.n; i++)
		if (!is_of_that_start(from->words.at[i]) &&
		    !adopt_words_add(ret, from->words.at[i]))
			return false;
	if (!add_more(ret))
		return false;
	for (size_t i = 1; i < ret->n; i++)
		has_hv |= !strncmp(ret->at[i], "--hv", strlen("--hv"));
	return has_hv || adopt_words_add(ret, "--hv=xen");
}

/* Words that mean something to drover-xenstored alone. */
static bool is_ours_alone(const char *word)
{
	static const char *const ours[] = { "--discard-state", "--no-journal", "--no-sandbox" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (!strcmp(word, ours[i]))
			return true;
	return !strncmp(word, "--hv=", strlen("--hv="));
}

bool adopt_words_for_c(struct adopt_words *ret, const struct adopt_daemon *from,
		       const char *program, const char *more)
{
	if (!begin(ret, program, more))
		return false;
	for (size_t i = 1; i < from->words.n; i++) {
		const char *word = from->words.at[i];

		if (!strcmp(word, "--hv"))
			i++; /* its value is the next word */
		else if (!is_of_that_start(word) && !is_ours_alone(word) &&
			 !adopt_words_add(ret, word))
			return false;
	}
	return add_more(ret);
}

const char *adopt_words_line(const struct adopt_words *w)
{
	static char line[XENSTORE_PAYLOAD_MAX];
	size_t len = 0;

	line[0] = '\0';
	for (size_t i = 1; i < w->n; i++) {
		if (!*w->at[i] || strpbrk(w->at[i], " \t"))
			return NULL;
		len += (size_t)snprintf(line + len, sizeof(line) - len, "%s%s", i > 1 ? " " : "",
					w->at[i]);
		if (len >= sizeof(line))
			return NULL;
	}
	return line;
}
