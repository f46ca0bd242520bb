/* SPDX-License-Identifier: MIT */
/*
 * Pseudo-random numbers from a seed: the same seed gives the same run everywhere. For tests and
 * simulations; not for secrets.
 */
#ifndef DROVER_BASE_PRNG_H
#define DROVER_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

struct prng {
	uint64_t s[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);

/* 0 … n - 1; n must not be 0. */
static inline uint32_t prng_below(struct prng *p, uint32_t n)
{
	return (uint32_t)(((prng_next(p) >> 32) * n) >> 32);
}

/* True once in n times. */
static inline bool prng_once_in(struct prng *p, uint32_t n)
{
	return !prng_below(p, n);
}

#endif
