/* SPDX-License-Identifier: MIT */
/*
 * A guest's memory between its process and a file: a thread reads the one and writes the other,
 * and makes the checksum on the way, for both may block for long and the loop must not.
 */
#ifndef DROVER_HOSTD_SAVE_PUMP_H
#define DROVER_HOSTD_SAVE_PUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "hostd/save_file.h"

#define SAVE_PUMP_TEXT 200u /* octets of the reason of a failure */

struct save_pump;

/*
 * From the loop, once: moved: how much, and its checksum. err: 0, or a positive errno with why:
 * ECANCELED: it was stopped; EBADMSG: the file ended before.
 */
typedef void save_pump_fn(void *data, int err, const char *why, const struct save_part *moved);

/*
 * Into the file from part->at on, until sock ends; or out of it, part->len octets from there. Where
 * the reader wants no more of them the rest is looked at all the same, for the checksum. sock and a
 * duplicate of file are the pump's from now on (also on failure): sock is closed at the end. < 0:
 * -ENOMEM or the system's error, and done is not called.
 */
int save_pump_start(uv_loop_t *loop, bool into_file, int sock, int file,
		    const struct save_part *part, save_pump_fn *done, void *data,
		    struct save_pump **ret);
/* Ends it soon; done comes as ever. Accepts NULL. */
void save_pump_stop(struct save_pump *p);
/* Ends it, and waits for that: done is not called. Accepts NULL. */
void save_pump_drop(struct save_pump *p);

#endif
