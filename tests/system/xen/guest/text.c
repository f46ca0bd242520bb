/* SPDX-License-Identifier: MIT */
/*
 * Text without a C library. Invariant: nothing is written behind the end of a buffer.
 */
#include "text.h"

void *memcpy(void *to, const void *from, size_t len)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t len)
{
	char *t = to;
	const char *f = from;

	if (t <= f)
		return memcpy(to, from, len);
	while (len--)
		((volatile char *)t)[len] = f[len];
	return to;
}

void *memset(void *to, int octet, size_t len)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(octet) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;

	for (; len; len--, x++, y++)
		if (*x != *y)
			return *x < *y ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	const volatile char *at = s;

	while (*at)
		at++;
	return (size_t)(at - s);
}

void text_add(struct text *t, const char *s)
{
	for (; *s && t->len + 1 < t->size; s++)
		t->at[t->len++] = *s;
	t->at[t->len] = '\0';
}

void text_add_u64(struct text *t, uint64_t value)
{
	char digits[21];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	text_add(t, digits + at);
}

void text_add_field(struct text *t, const char *name, uint64_t value)
{
	text_add(t, " ");
	text_add(t, name);
	text_add(t, "=");
	text_add_u64(t, value);
}

bool text_equal(const char *a, const char *b)
{
	return strlen(a) == strlen(b) && memcmp(a, b, strlen(a)) == 0;
}

uint64_t text_u64(const char *s)
{
	uint64_t value = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		value = value * 10 + (uint64_t)(*s - '0');
	return value;
}

char *text_word(char **rest)
{
	char *word = *rest, *end;

	while (*word == ' ')
		word++;
	for (end = word; *end && *end != ' '; end++)
		;
	*rest = end;
	if (*end) {
		*end = '\0';
		*rest = end + 1;
	}
	return word;
}
