/* SPDX-License-Identifier: MIT */
/*
 * The heartbeat: data/hb is counted up at an interval, and data/gap tells the longest time, in
 * nanoseconds, from one answer to the next, by the guest's own time (machine_now_ns()).
 */
#ifndef GUEST_HEART_H
#define GUEST_HEART_H

#include <stdint.h>

/* 0: none. The next beat is now. */
void heart_set_interval(uint64_t interval_ms);

/* Beats if it is due. */
void heart_turn(void);

/* When the next is due; UINT64_MAX if none is. */
uint64_t heart_due_ns(void);

uint64_t heart_beats(void);
uint64_t heart_gap_ns(void);

/* The longest gap is looked for from now on. */
void heart_gap_reset(void);

/* The beat before the next is not asked for. */
void heart_skip(void);

#endif
