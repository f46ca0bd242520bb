/* SPDX-License-Identifier: MIT */
/*
 * Ownership helpers: destructors at the end of scope, and handing a pointer on.
 */
#ifndef DROVER_BASE_OWN_H
#define DROVER_BASE_OWN_H

#include <stddef.h>

/* Runs fn##p on the variable's address when its scope ends. */
#define CLEANUP(fn) __attribute__((cleanup(fn##p)))

/* Defines fn##p for a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
	static inline void fn##p(type *p)                                                          \
	{                                                                                          \
		fn(*p);                                                                            \
	}

/* Moves the pointer out of its variable: the destructor then sees NULL. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) take_ = (p);                                                         \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
