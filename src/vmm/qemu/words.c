/* SPDX-License-Identifier: MIT */
/*
 * Words of a command line. Invariant: n words are there, whatever failed.
 */
#include "vmm/qemu/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void words_init(struct words *w)
{
	memset(w, 0, sizeof(*w));
}

void words_fini(struct words *w)
{
	if (w->open)
		(void)fclose(w->open);
	free(w->text);
	for (size_t i = 0; i < w->n; i++)
		free(w->word[i]);
	free(w->word);
	words_init(w);
}

/* Takes the word. */
static void append(struct words *w, char *word)
{
	if (!word && !w->err)
		w->err = -ENOMEM;
	if (!w->err && w->n >= WORDS_MAX)
		w->err = -E2BIG;
	if (!w->err && w->n + 1 >= w->room) {
		size_t room = w->room ? w->room * 2 : 64;
		char **grown = reallocarray(w->word, room, sizeof(*grown));

		if (grown) {
			w->word = grown;
			w->room = room;
		} else {
			w->err = -ENOMEM;
		}
	}
	if (w->err) {
		free(word);
		return;
	}
	w->word[w->n++] = word;
	w->word[w->n] = NULL;
}

void words_add(struct words *w, const char *word)
{
	append(w, strdup(word));
}

void words_begin(struct words *w)
{
	w->open = open_memstream(&w->text, &w->text_len);
	if (!w->open && !w->err)
		w->err = -ENOMEM;
}

void words_put(struct words *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->open)
		return;
	va_start(ap, fmt);
	if (vfprintf(w->open, fmt, ap) < 0 && !w->err)
		w->err = -ENOMEM;
	va_end(ap);
}

void words_value(struct words *w, const char *key, const char *value)
{
	if (!w->open)
		return;
	words_put(w, "%s%s=", ftell(w->open) > 0 ? "," : "", key);
	for (const char *c = value; *c; c++)
		words_put(w, *c == ',' ? ",%c" : "%c", *c);
}

void words_close(struct words *w)
{
	char *text;

	if (!w->open)
		return;
	if (fclose(w->open) && !w->err)
		w->err = -ENOMEM;
	w->open = NULL;
	text = w->text;
	w->text = NULL;
	append(w, text);
}

int words_end(struct words *w)
{
	return w->err;
}
