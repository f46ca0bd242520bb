/* SPDX-License-Identifier: MIT */
/*
 * Where a saved guest's heads are.
 */
#ifndef DROVER_HOSTD_SAVE_HEAD_H
#define DROVER_HOSTD_SAVE_HEAD_H

#include "hostd/save_file.h"

/* The place of the head of that generation: never that of the one before. */
static inline uint64_t save_head_place(uint32_t generation)
{
	return (uint64_t)((generation - 1) % SAVE_HEADS) * SAVE_HEAD_STEP;
}

#endif
