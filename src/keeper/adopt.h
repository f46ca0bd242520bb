/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that C xenstored hands over, by its own live update and to it; see
 * docs/decisions/0011-adoption.md.
 */
#ifndef DROVER_KEEPER_ADOPT_H
#define DROVER_KEEPER_ADOPT_H

#define ADOPT_IMAGE "state_dump" /* C xenstored's, below the run directory */
#define ADOPT_DUMP "db"		 /* oxenstored's */
#define ADOPT_TRIES 2u		 /* workers that may be killed before one has read it */

struct keeper;

/*
 * This process was C xenstored, or oxenstored: takes the sockets and the device that it left open,
 * and opens its image for the workers (seat.image). Of the image the first record alone is looked
 * at. -ENOENT, -EPROTO, -errno; logged with the file's name.
 */
int adopt_take(struct keeper *k);
/* A worker serves what was in the image: it is removed. */
void adopt_done(struct keeper *k);
/*
 * No worker came to serve it: this process becomes the former program again, which finds the image
 * and its descriptors as it left them. Returns where there is no such program, or no image.
 */
void adopt_back(struct keeper *k);

/*
 * An update to a program that knows no journal of ours: the worker writes an image, and is
 * killed; then this process becomes the program. update_fail where that cannot be.
 */
void adopt_give(struct keeper *k);
/* The same for one that knows no transactions: first none shall be open. */
void adopt_calm(struct keeper *k);
/* None is. */
void adopt_calmed(struct keeper *k);
/* The image is written. */
void adopt_give_written(struct keeper *k);
/* Part of update_fail: nobody is to find the image. */
void adopt_give_undo(struct keeper *k);

#endif
