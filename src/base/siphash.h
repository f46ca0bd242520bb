/* SPDX-License-Identifier: MIT */
/*
 * SipHash-1-3, the keyed hash behind every table that a guest can feed.
 * Reference: Aumasson, Bernstein: "SipHash: a fast short-input PRF", with 1 compression and 3
 * finalization rounds.
 */
#ifndef DROVER_BASE_SIPHASH_H
#define DROVER_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0;
	uint64_t k1;
};

/* len in octets. */
uint64_t siphash(const struct siphash_key *key, const void *data, size_t len);

#endif
