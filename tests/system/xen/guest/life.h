/* SPDX-License-Identifier: MIT */
/*
 * The guest's life: its watches, what fires, being told to end, to be suspended or to do something,
 * and what is kept of the store across that.
 */
#ifndef GUEST_LIFE_H
#define GUEST_LIFE_H

#include <stdbool.h>
#include <stdint.h>

/* Tells what it can do, and watches; rewatch: whether also after a suspension. */
void life_start(bool rewatch);

/* Takes all events that came. */
void life_turn(void);

/* Another connection, with the watches of life_start(); the guest crashes where there is none. */
void life_reconnect(void);

/* Events that fired for watches other than the guest's own. */
uint64_t life_events(void);

#endif
