/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD library: a request that kills. Whoever copies a value that is POISON, and nothing
 * else with it, dies on the spot, as it would of a bug that only such a value brings out: a worker
 * while it handles the WRITE, and no program that merely passes the message on.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#define POISON "poison: whoever copies this dies"
#define EXPORT __attribute__((visibility("default")))

typedef void *copy_function(void *restrict to, const void *restrict from, size_t len);

static _Bool is_poison(const void *from, size_t len)
{
	const volatile char *octet = from; /* comparing must not call what is replaced here */
	const size_t poison_len = sizeof(POISON) - 1;

	if (len != poison_len)
		return 0;
	for (size_t i = 0; i < poison_len; i++)
		if (octet[i] != POISON[i])
			return 0;
	return 1;
}

EXPORT void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
	static copy_function *next;

	if (is_poison(from, len))
		__builtin_trap();
	if (!next)
		*(void **)(void *)&next = dlsym(RTLD_NEXT, "memcpy");
	return next(to, from, len);
}
