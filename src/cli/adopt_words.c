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
	free(w->back);
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

bool adopt_words_split_line(struct adopt_words *ret, char *text, size_t len)
{
	for (size_t at = 0; at < len; at += strnlen(text + at, len - at) + 1) {
		size_t n = strlen(ADOPT_MORE);

		if (len - at < n || strncmp(text + at, ADOPT_MORE, n) != 0)
			continue;
		memmove(text + at, text + at + n, len - at - n);
		len -= n;
		for (size_t i = at; i < len && text[i]; i++)
			text[i] = text[i] == ' ' ? '\0' : text[i];
	}
	return adopt_words_split(ret, text, len);
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
	ret->back = NULL;
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

/* The program that goes on where ours cannot. */
static bool add_back(struct adopt_words *ret, const char *exe)
{
	if (asprintf(&ret->back, "--back=%s", exe) < 0) {
		ret->back = NULL;
		return false;
	}
	return adopt_words_add(ret, ret->back);
}

/* A line "key = value" of oxenstored's settings. */
static const char *setting(char *line, const char *key)
{
	size_t len = strlen(key);
	char *at = line + strspn(line, " \t");

	if (strncmp(at, key, len) != 0)
		return NULL;
	at += len + strspn(at + len, " \t");
	if (*at != '=')
		return NULL;
	at += 1 + strspn(at + 1, " \t");
	at[strcspn(at, " \t\r\n")] = '\0';
	return *at ? at : NULL;
}

struct settings {
	char pid_file[PATH_MAX];
	char quotas[256]; /* words */
};

/* Limits that are above ours: guests may use them up. */
static void read_settings(const char *path, struct settings *s)
{
	static const struct {
		const char *key;
		char letter;
		unsigned long ours;
	} quotas[] = {
		{ "quota-maxentity", 'E', 1000 }, { "quota-maxsize", 'S', 2048 },
		{ "quota-maxwatch", 'W', 512 },	  { "quota-transaction", 't', 50 },
		{ "quota-path-max", 'M', 2048 },
	};
	FILE *f = fopen(path, "re");
	char line[PATH_MAX + 64];

	while (f && fgets(line, sizeof(line), f)) {
		const char *value = setting(line, "pid-file");

		if (value)
			snprintf(s->pid_file, sizeof(s->pid_file), "%s", value);
		for (size_t i = 0; !value && i < ARRAY_LEN(quotas); i++) {
			unsigned long n;
			size_t len = strlen(s->quotas);

			value = setting(line, quotas[i].key);
			n = value ? strtoul(value, NULL, 10) : 0;
			if (n > quotas[i].ours)
				snprintf(s->quotas + len, sizeof(s->quotas) - len, " -%c %lu",
					 quotas[i].letter, n);
		}
	}
	if (f)
		fclose(f);
}

bool adopt_words_after_ocaml(struct adopt_words *ret, const struct adopt_daemon *from,
			     const char *program, const char *more)
{
	const char *config = "/etc/xen/oxenstored.conf", *pid_file = NULL;
	struct settings s = { 0 };
	char *all;
	bool done;

	for (size_t i = 1; i + 1 < from->words.n; i++) {
		if (!strcmp(from->words.at[i], "--config-file"))
			config = from->words.at[i + 1];
		if (!strcmp(from->words.at[i], "--pid-file"))
			pid_file = from->words.at[i + 1];
	}
	read_settings(config, &s);
	if (!pid_file)
		pid_file = s.pid_file;
	if (asprintf(&all, "--hv=xen%s%s%s%s%s", *pid_file ? " --pid-file " : "", pid_file,
		     s.quotas, more ? " " : "", more ? more : "") < 0)
		return false;
	done = begin(ret, program, all) && add_more(ret) && add_back(ret, from->exe);
	free(all);
	return done;
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
	if (!has_hv && !adopt_words_add(ret, "--hv=xen"))
		return false;
	return !from || add_back(ret, from->exe);
}

/* Words that mean something to drover-xenstored alone. */
static bool is_ours_alone(const char *word)
{
	static const char *const ours[] = { "--discard-state", "--no-journal", "--no-sandbox",
					    /* oxenstored's, which was here before */
					    "--live", "--restart", "--no-access-log",
					    "--reraise-top-level" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (!strcmp(word, ours[i]))
			return true;
	return !strncmp(word, "--hv=", strlen("--hv=")) ||
	       !strncmp(word, "--back=", strlen("--back="));
}

bool adopt_words_for_c(struct adopt_words *ret, const struct adopt_daemon *from,
		       const char *program, const char *more)
{
	if (!begin(ret, program, more))
		return false;
	for (size_t i = 1; i < from->words.n; i++) {
		const char *word = from->words.at[i];

		if (!strcmp(word, "--hv") || !strcmp(word, "--config-file"))
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
