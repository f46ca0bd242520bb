/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: an input as a sequence of small choices, a world per input, and
 * the verdict on it. A target aborts where the core contradicts itself or leaves something behind.
 */
#ifndef DROVER_FUZZ_FUZZ_H
#define DROVER_FUZZ_FUZZ_H

#include "world.h"

/* What is left of the input. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* The next octet; 0 when there are no more. */
static inline uint8_t fuzz_octet(struct fuzz_input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static inline uint32_t fuzz_word(struct fuzz_input *in)
{
	uint32_t v = fuzz_octet(in);

	v |= (uint32_t)fuzz_octet(in) << 8;
	v |= (uint32_t)fuzz_octet(in) << 16;
	return v | (uint32_t)fuzz_octet(in) << 24;
}

/* At most len octets of the rest, borrowed. */
static inline size_t fuzz_take(struct fuzz_input *in, size_t len, const uint8_t **ret)
{
	size_t n = len < in->left ? len : in->left;

	*ret = in->at;
	in->at += n;
	in->left -= n;
	return n;
}

/*
 * A world with low quotas, so that a short input reaches them, and a silent log. oracle: whether
 * every reply and event is compared with the model's.
 */
struct world *fuzz_world(bool oracle);

/*
 * Everything settles, the core checks itself where size (the input's) is a multiple of 8, which
 * is most of an input's time, and the world is freed; aborts on a failure.
 */
void fuzz_end(struct world *w, size_t size);

/*
 * One request: type, a transaction id that is often open, and a payload made of a few words that
 * mean something (paths, domids, permissions, "T") or of raw octets.
 */
void fuzz_request(struct fuzz_input *in, struct peer *p);

#endif
