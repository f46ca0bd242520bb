/* SPDX-License-Identifier: MIT */
/*
 * For tests in which memory runs out in libraries, too: malloc and its kin of the whole program, of
 * which the one that `countdown` says fails, and those behind it where `all` is set. Where a
 * sanitizer has them there is no starving: STARVES is 0.
 */
#ifndef DROVER_CONFIG_STARVE_TEST_H
#define DROVER_CONFIG_STARVE_TEST_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static unsigned long countdown; /* 0: none fails; n: the nth from now, and all after it if `all` */
static bool all, failed;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#ifndef SANITIZED
#define STARVES 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool fails(void)
{
	if (!countdown || --countdown)
		return false;
	countdown = all;
	return failed = true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}
#else
#define STARVES 0
#endif

#endif
