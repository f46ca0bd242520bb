/* SPDX-License-Identifier: MIT */
/*
 * Allocation failures in turn. Invariant: while paused or unarmed nothing is counted; armed
 * it is paused, so that only what is between resume and pause can fail.
 */
#include "alloc.h"

#include <errno.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

static struct {
	uint64_t left; /* 0: unarmed */
	bool paused;
	bool failed;
	bool tracking;
	uintptr_t *tracked; /* owned: a hash table, 0 where it is empty */
	size_t n_tracked;
	size_t room;
} state;

static size_t place_of(uintptr_t p)
{
	size_t i = (size_t)(p * 0x9e3779b97f4a7c15u >> 20) & (state.room - 1);

	while (state.tracked[i] && state.tracked[i] != p)
		i = (i + 1) & (state.room - 1);
	return i;
}

static void remember(void *p);

static void enlarge(void)
{
	uintptr_t *was = state.tracked;
	size_t room = state.room;

	state.room = room ? room * 2 : 4096;
	state.tracked = __real_calloc(state.room, sizeof(*was));
	if (!state.tracked)
		abort();
	state.n_tracked = 0;
	for (size_t i = 0; i < room; i++)
		if (was[i])
			remember((void *)was[i]);
	__real_free(was);
}

static void remember(void *p)
{
	if (!p)
		return;
	if (state.n_tracked * 2 >= state.room)
		enlarge();
	state.tracked[place_of((uintptr_t)p)] = (uintptr_t)p;
	state.n_tracked++;
}

/* Those behind it move up, so that no search ends too early. */
static void forget(void *p)
{
	size_t i, next;

	if (!p || !state.room)
		return;
	i = place_of((uintptr_t)p);
	if (!state.tracked[i])
		return;
	state.tracked[i] = 0;
	state.n_tracked--;
	for (next = (i + 1) & (state.room - 1); state.tracked[next];
	     next = (next + 1) & (state.room - 1)) {
		uintptr_t q = state.tracked[next];

		state.tracked[next] = 0;
		state.tracked[place_of(q)] = q;
	}
}

static void *note(void *p)
{
	if (state.tracking && !state.paused)
		remember(p);
	return p;
}

void alloc_track(bool on)
{
	state.tracking = on;
}

void alloc_abandon(void)
{
	for (size_t i = 0; i < state.room; i++)
		__real_free((void *)state.tracked[i]);
	__real_free(state.tracked);
	state.tracked = NULL;
	state.n_tracked = state.room = 0;
}

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
	return fails_now() ? NULL : note(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails_now() ? NULL : note(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *to;

	if (fails_now())
		return NULL;
	forget(p);
	to = __real_realloc(p, size);
	if (!to)
		abort();
	return note(to);
}

void __wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}
