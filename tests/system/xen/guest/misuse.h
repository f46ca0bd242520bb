/* SPDX-License-Identifier: MIT */
/* What no guest should do to its ring. */
#ifndef GUEST_MISUSE_H
#define GUEST_MISUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

/*
 * Does it, number being its measure (0: a default), for so long; what was seen is added to out.
 * Tells whether the ring can be used as it is after that, or only by a new connection. Returns
 * false if there is no such kind.
 */
bool misuse(const char *kind, uint64_t number, uint64_t for_ms, bool *ret_whole, struct text *out);

#endif
