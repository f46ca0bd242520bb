/* SPDX-License-Identifier: MIT */
/*
 * The table of settings, for settings.c alone.
 */
#ifndef DROVER_HOSTD_SETTINGS_KEYS_H
#define DROVER_HOSTD_SETTINGS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/own.h"
#include "hostd/settings.h"

#define SETTINGS_KEYS_MAX 64u

enum settings_type {
	SET_TEXT,
	SET_PATH, /* absolute */
	SET_BOOL, /* yes, no */
	SET_LIST,
	SET_NUMBER, /* uint32_t, min to max */
	SET_MODE,   /* uint32_t, octal */
	SET_PORT,   /* uint16_t */
};

enum {
	SET_NOT_IN_FILE = 1u << 0,
};

struct settings_key {
	const char *name; /* NULL: the end of the table */
	enum settings_type type;
	size_t offset;	   /* in struct settings */
	const char *words; /* the only values, apart by ", "; NULL: any */
	uint64_t min, max; /* of numbers */
	unsigned int flags;
	const char *fallback; /* NULL: none */
	const char *help;
};

const struct settings_key *settings_table(void);

/* 0; EINVAL: no memory, said on stderr. */
int settings_defaults(struct settings *s);
/* What no value alone shows: keys that contradict. 0; EINVAL, said on stderr. */
int settings_check(const struct settings *s);
bool settings_word_is(const char *words, const char *value);

static inline void settings_text_freep(char **p)
{
	free(*p);
}

#endif
