/* SPDX-License-Identifier: MIT */
/*
 * A command line as it grows: words, and options made of "key=value,…" in which a value cannot end
 * itself. Failures latch, and words_end tells.
 */
#ifndef DROVER_VMM_QEMU_WORDS_H
#define DROVER_VMM_QEMU_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define WORDS_MAX 2048u /* of one command line; more is -E2BIG */

struct words {
	char **word; /* owned, NULL-terminated once words_end said 0 */
	size_t n, room;
	FILE *open; /* the word that is being made, NULL: none */
	char *text; /* its octets */
	size_t text_len;
	int err;
};

void words_init(struct words *w);
void words_fini(struct words *w);

/* One whole word, as it is. */
void words_add(struct words *w, const char *word);

/* One word in pieces: begin, any of the others, end. */
void words_begin(struct words *w);
void words_put(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* ",key=value", or "key=value" at the start of a word; commas of the value are doubled. */
void words_value(struct words *w, const char *key, const char *value);
void words_close(struct words *w);

/* 0: word[n] is NULL; -ENOMEM; -E2BIG. */
int words_end(struct words *w);

#endif
