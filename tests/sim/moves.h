/* SPDX-License-Identifier: MIT */
/*
 * Domains of a seeded world that move: what a domain leaves with arrives elsewhere, and where it
 * was everything goes on as if nobody had asked.
 */
#ifndef DROVER_SIM_MOVES_H
#define DROVER_SIM_MOVES_H

#include "world.h"

/*
 * Each guest that can leave at this instant is quiesced and exported, arrives in a core of its
 * own, and goes on where it was. What differs is a failure of the world. Not in a world whose
 * daemon dies: what is done here is not within its turn.
 */
void moves_check(struct world *w);

#endif
