/* SPDX-License-Identifier: MIT */
/*
 * A set of 65,536 numbers in shared memory, changed by several processes without a lock. One
 * summary bit stands for 64 members, so that finding one costs the same however many there
 * are. Whoever dies between a member and its summary bit leaves a member that is found late, at
 * the next change of its word or bits_repair; nothing is found that was not set.
 *
 * The content is other processes' word: every loop here is bounded whatever it says.
 */
#ifndef DROVER_HV_SIM_BITS_H
#define DROVER_HV_SIM_BITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BITS_SIZE 65536u
#define BITS_WORDS (BITS_SIZE / 64u)

struct bits {
	_Atomic uint64_t summary[BITS_WORDS / 64u];
	_Atomic uint64_t word[BITS_WORDS];
};

static inline void bits_summarize(struct bits *b, uint32_t w)
{
	atomic_fetch_or(&b->summary[w / 64u], UINT64_C(1) << (w % 64u));
}

/* Whether this call added i: false when it was a member. */
static inline bool bits_set(struct bits *b, uint32_t i)
{
	uint64_t bit = UINT64_C(1) << (i % 64u);
	uint64_t was = atomic_fetch_or(&b->word[i / 64u], bit);

	if (!(was & bit))
		bits_summarize(b, i / 64u);
	return !(was & bit);
}

/* Whether this call removed i: of several at once, one. */
static inline bool bits_clear(struct bits *b, uint32_t i)
{
	uint64_t bit = UINT64_C(1) << (i % 64u);
	uint32_t w = i / 64u;
	uint64_t was = atomic_fetch_and(&b->word[w], ~bit);

	if (!(was & ~bit)) {
		atomic_fetch_and(&b->summary[w / 64u], ~(UINT64_C(1) << (w % 64u)));
		if (atomic_load(&b->word[w]))
			bits_summarize(b, w); /* set between the two */
	}
	return (was & bit) != 0;
}

static inline bool bits_has(struct bits *b, uint32_t i)
{
	return (atomic_load(&b->word[i / 64u]) >> (i % 64u)) & 1u;
}

/* The lowest member from `from` on, -1: none. */
static inline int32_t bits_find(struct bits *b, uint32_t from)
{
	uint64_t v;
	uint32_t w;

	if (from >= BITS_SIZE)
		return -1;
	w = from / 64u;
	v = atomic_load(&b->word[w]) & (~UINT64_C(0) << (from % 64u));
	if (v)
		return (int32_t)(w * 64u + (uint32_t)__builtin_ctzll(v));
	for (w++; w < BITS_WORDS; w = (w / 64u + 1u) * 64u) {
		uint64_t s = atomic_load(&b->summary[w / 64u]) & (~UINT64_C(0) << (w % 64u));

		for (; s; s &= s - 1) {
			uint32_t at = (w / 64u) * 64u + (uint32_t)__builtin_ctzll(s);

			v = atomic_load(&b->word[at]);
			if (v)
				return (int32_t)(at * 64u + (uint32_t)__builtin_ctzll(v));
		}
	}
	return -1;
}

/* Removes and returns a member, the first from `from` on and then around; -1: none. */
static inline int32_t bits_take(struct bits *b, uint32_t from)
{
	for (uint32_t tries = 0; tries < BITS_SIZE; tries++) {
		int32_t i = bits_find(b, from);

		if (i < 0 && from)
			i = bits_find(b, 0);
		if (i < 0)
			return -1;
		if (bits_clear(b, (uint32_t)i))
			return i;
	}
	return -1;
}

/* Adds and returns a number that was none, the first from `from` on and then around; -1: full. */
static inline int32_t bits_claim(struct bits *b, uint32_t from)
{
	uint32_t w = from % BITS_SIZE / 64u;
	uint64_t mask = ~UINT64_C(0) << (from % 64u);

	/* One word more than there are: the first is seen from its middle, then whole. */
	for (uint32_t n = 0; n <= BITS_WORDS; n++) {
		uint64_t v = ~atomic_load(&b->word[w]) & mask;

		for (; v; v &= v - 1) {
			uint32_t i = w * 64u + (uint32_t)__builtin_ctzll(v);

			if (bits_set(b, i))
				return (int32_t)i;
		}
		w = (w + 1u) % BITS_WORDS;
		mask = ~UINT64_C(0);
	}
	return -1;
}

/* Makes the summary say what the words say. */
static inline void bits_repair(struct bits *b)
{
	for (uint32_t w = 0; w < BITS_WORDS; w++)
		if (atomic_load(&b->word[w]))
			bits_summarize(b, w);
}

#endif
