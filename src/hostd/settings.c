/* SPDX-License-Identifier: MIT */
/*
 * Configuration file and command line. Invariant: each key is a row of one table, whose name is the
 * file's and, with dashes, the command line's; a value that does not fit is refused with the place
 * where it was said, and then nothing is started.
 */
#include "hostd/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/own.h"
#include "hostd/settings_keys.h"

/* Where a value was said, for messages: a file's line, or the command line. */
struct place {
	const char *file; /* NULL: the command line */
	unsigned int line;
};

static int refuse(const struct place *at, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(const struct place *at, const char *key, const char *fmt, ...)
{
	va_list ap;

	if (at->file)
		fprintf(stderr, "drover-hostd: %s:%u: %s: ", at->file, at->line, key);
	else
		fprintf(stderr, "drover-hostd: --%s: ", key);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EINVAL;
}

static const struct settings_key *find_key(const char *name, size_t len)
{
	for (const struct settings_key *k = settings_table(); k->name; k++) {
		if (strlen(k->name) != len)
			continue;
		size_t i = 0;

		while (i < len && (k->name[i] == name[i] || (k->name[i] == '_' && name[i] == '-')))
			i++;
		if (i == len)
			return k;
	}
	return NULL;
}

static void list_clear(struct settings_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	l->n = 0;
}

/* Values apart by spaces or commas; said again, on the command line, they add to the former. */
static int set_list(const struct place *at, const struct settings_key *k, const char *value,
		    struct settings_list *l)
{
	CLEANUP(settings_text_free) char *copy = strdup(value);
	char *rest = NULL;

	if (!copy)
		return refuse(at, k->name, "no memory");
	for (char *w = strtok_r(copy, " \t,", &rest); w; w = strtok_r(NULL, " \t,", &rest)) {
		if (l->n >= SETTINGS_LIST_MAX)
			return refuse(at, k->name, "more than %u values", SETTINGS_LIST_MAX);
		l->v[l->n] = strdup(w);
		if (!l->v[l->n])
			return refuse(at, k->name, "no memory");
		l->n++;
	}
	return 0;
}

static int set_number(const struct place *at, const struct settings_key *k, const char *value,
		      void *field)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(value, &end, k->type == SET_MODE ? 8 : 10);
	if (*value < '0' || *value > '9' || *end || errno || v < k->min || v > k->max)
		return refuse(at, k->name, "\"%s\" is no %s from %llu to %llu", value,
			      k->type == SET_MODE ? "octal mode" : "number",
			      (unsigned long long)k->min, (unsigned long long)k->max);
	if (k->type == SET_PORT)
		*(uint16_t *)field = (uint16_t)v;
	else
		*(uint32_t *)field = (uint32_t)v;
	return 0;
}

static int set_bool(const struct place *at, const struct settings_key *k, const char *value,
		    bool *field)
{
	bool yes = !strcmp(value, "yes");

	if (!yes && strcmp(value, "no") != 0)
		return refuse(at, k->name, "\"%s\" is neither yes nor no", value);
	*field = yes;
	return 0;
}

static int set_text(const struct place *at, const struct settings_key *k, const char *value,
		    char **field)
{
	char *copy;

	if (!*value)
		return refuse(at, k->name, "no value");
	if (k->type == SET_PATH && *value != '/')
		return refuse(at, k->name, "\"%s\" is no absolute path", value);
	if (k->words && !settings_word_is(k->words, value))
		return refuse(at, k->name, "\"%s\" is none of: %s", value, k->words);
	copy = strdup(value);
	if (!copy)
		return refuse(at, k->name, "no memory");
	free(*field);
	*field = copy;
	return 0;
}

static int set(struct settings *s, const struct place *at, const struct settings_key *k,
	       const char *value)
{
	void *field = (char *)s + k->offset;

	switch (k->type) {
	case SET_TEXT:
	case SET_PATH:
		return set_text(at, k, value, field);
	case SET_BOOL:
		return set_bool(at, k, value, field);
	case SET_LIST:
		return set_list(at, k, value, field);
	case SET_NUMBER:
	case SET_MODE:
	case SET_PORT:
		return set_number(at, k, value, field);
	}
	return EINVAL;
}

static char *trim(char *p)
{
	char *end;

	p += strspn(p, " \t\r");
	end = p + strlen(p);
	while (end > p && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return p;
}

/* seen: a bit of each key that the file has said already. */
static int read_line(struct settings *s, const struct place *at, char *text, bool *seen)
{
	char *p = trim(text), *eq, *value;
	const struct settings_key *k;

	if (!*p || *p == '#')
		return 0;
	eq = strchr(p, '=');
	if (!eq)
		return refuse(at, p, "no \"=\"");
	*eq = '\0';
	p = trim(p);
	value = trim(eq + 1);
	if (strlen(value) >= 2 && *value == '"' && value[strlen(value) - 1] == '"') {
		value[strlen(value) - 1] = '\0';
		value++;
	}
	k = find_key(p, strlen(p));
	if (!k || k->flags & SET_NOT_IN_FILE)
		return refuse(at, p, "no such key");
	if (seen[k - settings_table()])
		return refuse(at, p, "said twice");
	seen[k - settings_table()] = true;
	if (k->type == SET_LIST)
		list_clear((struct settings_list *)(void *)((char *)s + k->offset));
	return set(s, at, k, value);
}

static void file_closep(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* asked: it was named on the command line, and has to be there. */
static int read_file(struct settings *s, const char *path, bool asked)
{
	__attribute__((cleanup(file_closep))) FILE *f = fopen(path, "re");
	CLEANUP(settings_text_free) char *text = NULL;
	struct place at = { path, 0 };
	bool seen[SETTINGS_KEYS_MAX] = { false };
	struct stat st;
	size_t room = 0;
	ssize_t n;
	int r = 0;

	if (!f && errno == ENOENT && !asked)
		return 0;
	if (!f || fstat(fileno(f), &st) || !S_ISREG(st.st_mode) || st.st_size > SETTINGS_FILE_MAX) {
		fprintf(stderr, "drover-hostd: %s: %s\n", path,
			f ? "no file of at most 1 MiB" : strerror(errno));
		return EINVAL;
	}
	while (!r && (n = getline(&text, &room, f)) >= 0) {
		at.line++;
		if ((size_t)n != strlen(text))
			return refuse(&at, "NUL", "an octet 0 in the line");
		if (n > 0 && text[n - 1] == '\n')
			text[n - 1] = '\0';
		r = read_line(s, &at, text, seen);
	}
	if (!r && ferror(f)) {
		fprintf(stderr, "drover-hostd: %s: %s\n", path, strerror(errno));
		return EINVAL;
	}
	return r;
}

/* One word of the command line and, where it takes it, the next one. *ret: what is left. */
static int read_word(struct settings *s, char **words, char ***ret, bool *cleared)
{
	static const struct place at = { NULL, 0 };
	const char *word = words[0], *next = words[1], *eq = strchr(word, '=');
	size_t len = eq ? (size_t)(eq - word) : strlen(word);
	const struct settings_key *k = len > 2 ? find_key(word + 2, len - 2) : NULL;

	*ret = words + 1;
	if (strncmp(word, "--", 2) != 0 || !k) {
		fprintf(stderr, "drover-hostd: %s: no such option\n", word);
		return EINVAL;
	}
	if (k->type == SET_LIST && !cleared[k - settings_table()]) {
		list_clear((struct settings_list *)(void *)((char *)s + k->offset));
		cleared[k - settings_table()] = true;
	}
	if (eq)
		return set(s, &at, k, eq + 1);
	if (k->type == SET_BOOL && (!next || *next == '-'))
		return set(s, &at, k, "yes");
	if (!next)
		return refuse(&at, k->name, "no value");
	*ret = words + 2;
	return set(s, &at, k, next);
}

static bool is_either(const char *word, const char *a, const char *b)
{
	return !strcmp(word, a) || !strcmp(word, b);
}

static int read_words(struct settings *s, char **words)
{
	bool cleared[SETTINGS_KEYS_MAX] = { false };
	int r = 0;

	while (!r && *words) {
		char **next = words + 1;

		if (is_either(*words, "-c", "--config"))
			next += *next != NULL;
		else if (is_either(*words, "-h", "--help"))
			s->help = true;
		else if (is_either(*words, "-V", "--version"))
			s->version = true;
		else if (!strcmp(*words, "-v"))
			s->verbose = true;
		else
			r = read_word(s, words, &next, cleared);
		words = next;
	}
	return r;
}

/* Which file was named; NULL: none. EINVAL: its name is missing. */
static int find_file(char **words, const char **ret)
{
	*ret = NULL;
	for (; *words; words++) {
		if (!is_either(*words, "-c", "--config"))
			continue;
		if (!words[1]) {
			fprintf(stderr, "drover-hostd: %s: no file\n", *words);
			return EINVAL;
		}
		*ret = *++words;
	}
	return 0;
}

int settings_read(struct settings *ret, char **argv)
{
	char *none[] = { NULL }, **words = argv[0] ? argv + 1 : none;
	const char *file = NULL;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = settings_defaults(ret);
	if (!r)
		r = find_file(words, &file);
	if (!r)
		r = read_file(ret, file ? file : SETTINGS_FILE, file != NULL);
	if (!r)
		r = read_words(ret, words);
	if (!r && !ret->help && !ret->version)
		r = settings_check(ret);
	return r;
}

void settings_fini(struct settings *s)
{
	for (const struct settings_key *k = settings_table(); k->name; k++) {
		void *field = (char *)s + k->offset;

		if (k->type == SET_LIST)
			list_clear(field);
		else if (k->type == SET_TEXT || k->type == SET_PATH)
			free(TAKE(*(char **)field));
	}
}
