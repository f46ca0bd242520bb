/* SPDX-License-Identifier: MIT */
/*
 * SipHash-1-3. Invariant: the result depends on key and octets only, never on alignment or on
 * the byte order of the machine.
 */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

struct sip {
	uint64_t a, b, c, d;
};

static inline uint64_t rotl(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip *s)
{
	s->a += s->b;
	s->c += s->d;
	s->b = rotl(s->b, 13) ^ s->a;
	s->d = rotl(s->d, 16) ^ s->c;
	s->a = rotl(s->a, 32);
	s->c += s->b;
	s->a += s->d;
	s->b = rotl(s->b, 17) ^ s->c;
	s->d = rotl(s->d, 21) ^ s->a;
	s->c = rotl(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t m)
{
	s->d ^= m;
	sip_round(s);
	s->a ^= m;
}

uint64_t siphash(const struct siphash_key *key, const void *data, size_t len)
{
	struct sip s = {
		key->k0 ^ 0x736f6d6570736575u,
		key->k1 ^ 0x646f72616e646f6du,
		key->k0 ^ 0x6c7967656e657261u,
		key->k1 ^ 0x7465646279746573u,
	};
	const unsigned char *p = data;
	uint64_t last = (uint64_t)len << 56, m;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&m, p + i, 8);
		sip_word(&s, le64toh(m));
	}
	for (size_t j = 0; i + j < len; j++)
		last |= (uint64_t)p[i + j] << 8 * j;
	sip_word(&s, last);
	s.c ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(&s);
	return s.a ^ s.b ^ s.c ^ s.d;
}
