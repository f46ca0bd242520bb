/* SPDX-License-Identifier: MIT */
/* Random guests, toolstacks and misfortunes, from one seed. */
#ifndef DROVER_SIM_GEN_H
#define DROVER_SIM_GEN_H

#include "base/prng.h"
#include "world.h"

#define GEN_GUESTS 6u /* domids 1 … 6 */

/* What may happen in a seed's world. */
struct gen {
	struct world *w; /* borrowed */
	struct prng prng;
	bool scribble; /* guests that spoil their rings, messages too long */
	bool faults;   /* allocations that fail */
	bool deaths;
	bool deaf;
	bool quotas;	/* set low */
	uint64_t kills; /* the daemon dies so many points apart, at most; 0: never */
	uint32_t step;
};

/* kills: as in struct gen. */
struct world *gen_world(struct gen *g, uint64_t seed, uint64_t kills, bool verbose);
/* One step: somebody does something, then the world turns a little. */
void gen_step(struct gen *g);
/* All calms down: everybody reads, time passes, everything is compared. */
void gen_end(struct gen *g);

/* A random request of p, whole, into its stream (gen_request.c). */
void gen_request(struct gen *g, struct peer *p);

#endif
