/* SPDX-License-Identifier: MIT */
/* Text without a C library: what is added to a buffer, and words of a command. */
#ifndef GUEST_TEXT_H
#define GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A buffer that what does not fit is left out of; always terminated. */
struct text {
	char *at;    /* borrowed */
	size_t size; /* octets, the terminator included */
	size_t len;
};

#define TEXT_OF(array)                                                                             \
	{                                                                                          \
		.at = (array), .size = sizeof(array), .len = 0                                     \
	}

void text_add(struct text *t, const char *s);
void text_add_u64(struct text *t, uint64_t value);

/* Adds name=value with a blank before it. */
void text_add_field(struct text *t, const char *name, uint64_t value);

bool text_equal(const char *a, const char *b);

/* Decimal digits up to the first other character; more than 64 bits wrap. */
uint64_t text_u64(const char *s);

/*
 * Cuts the next word, which blanks end, off *rest, which is changed. Returns the empty string at
 * the end.
 */
char *text_word(char **rest);

/* What the compiler calls. */
void *memcpy(void *to, const void *from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int octet, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);

#endif
