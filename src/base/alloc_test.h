/* SPDX-License-Identifier: MIT */
/*
 * Allocations that fail when a test says so. Only for tests that are named in floor_starved: the
 * linker sends malloc, calloc and realloc of everything linked statically here.
 */
#ifndef DROVER_BASE_ALLOC_TEST_H
#define DROVER_BASE_ALLOC_TEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static unsigned long alloc_countdown; /* 0: none fails; n: the nth from now */
static bool alloc_all_after;	      /* and every one after it */
static bool alloc_failed;

static bool alloc_fails(void)
{
	if (!alloc_countdown)
		return false;
	if (alloc_countdown > 1) {
		alloc_countdown--;
		return false;
	}
	if (!alloc_all_after)
		alloc_countdown = 0;
	alloc_failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return alloc_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return alloc_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return alloc_fails() ? NULL : __real_realloc(p, size);
}

static void alloc_quiet(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	(void)line;
}

/* The nth allocation from now fails; all: those after it, too. What the program logs is dropped. */
static inline void alloc_fail_nth(unsigned long n, bool all)
{
	log_set_sink(alloc_quiet, NULL);
	alloc_failed = false;
	alloc_all_after = all;
	alloc_countdown = n;
}

/* None fails any more. Whether one had. */
static inline bool alloc_fail_end(void)
{
	alloc_countdown = 0;
	log_set_sink(NULL, NULL);
	return alloc_failed;
}

#endif
