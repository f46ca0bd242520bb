/* SPDX-License-Identifier: MIT */
/*
 * Allocation failures in turn. Invariant: while paused or unarmed nothing is counted; armed
 * it is paused, so that only what is between resume and pause can fail.
 */
#include "alloc.h"

#include <errno.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static struct {
	uint64_t left; /* 0: unarmed */
	bool paused;
	bool failed;
} state;

void alloc_fail_at(uint64_t n)
{
	state.left = n;
	state.failed = false;
	state.paused = true;
}

bool alloc_disarm(void)
{
	bool failed = state.failed;

	state.left = 0;
	state.failed = false;
	return failed;
}

bool alloc_has_failed(void)
{
	return state.failed;
}

void alloc_pause(void)
{
	state.paused = true;
}

void alloc_resume(void)
{
	state.paused = false;
}

static bool fails_now(void)
{
	if (!state.left || state.paused || --state.left)
		return false;
	state.failed = true;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails_now() ? NULL : __real_realloc(p, size);
}
