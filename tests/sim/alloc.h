/* SPDX-License-Identifier: MIT */
/*
 * Allocation failures in turn. The programs of this folder are linked with --wrap for malloc,
 * calloc, realloc and free, so that the daemon's own code runs unchanged.
 */
#ifndef DROVER_SIM_ALLOC_H
#define DROVER_SIM_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* The n-th allocation from the next alloc_resume on, 1: the first, fails once. */
void alloc_fail_at(uint64_t n);
/* None fails any more. True: one did since alloc_fail_at. */
bool alloc_disarm(void);
/* Whether one failed since alloc_fail_at. */
bool alloc_has_failed(void);
/* Stops and resumes counting: the daemon's calls are between resume and pause. */
void alloc_pause(void);
void alloc_resume(void);

/* On: what is allocated between resume and pause is remembered until it is freed. */
void alloc_track(bool on);
/* Frees all that is remembered: its owner is no more. */
void alloc_abandon(void);

#endif
