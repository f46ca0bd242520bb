/* SPDX-License-Identifier: MIT */
/*
 * The worker's part of giving the whole state away to a daemon that reads images and no journal;
 * see docs/decisions/0011-adoption.md.
 */
#ifndef DROVER_XENSTORED_GIVE_H
#define DROVER_XENSTORED_GIVE_H

#include "op/core.h"
#include "state/checkpoint.h"

#define GIVE_WAIT_MS 5000u /* for requests under way that wait for others */

/*
 * What comes before an image for a reader that knows no transactions: until none is open, or for a
 * while, a calm. All else is served meanwhile.
 */
struct calm {
	bool on;
	bool force;	   /* what is open in the end is lost */
	uint64_t until_ms; /* on core_round's clock */
};

/* Says in the log what the reader cannot hold, and begins. */
void calm_begin(struct calm *c, struct core *core, uint64_t until_ms, bool force);
/*
 * 0: the image can be written; EAGAIN: not yet; EBUSY: it is not to be, and why, room octets, says
 * who still has transactions. To be asked after each round.
 */
int calm_look(const struct calm *c, const struct core *core, uint64_t now_ms, char *why,
	      size_t room);
/* All goes on; c may be off. */
void calm_end(struct calm *c, struct core *core);

struct give_order {
	int image_fd;	   /* to be written, empty */
	int table_fd;	   /* struct proto_image_client */
	int32_t socket_fd; /* as the reader will have them */
	int32_t evtchn_fd;
	unsigned int version; /* of the image, with our own records; 0: 1, without them */
	uint64_t asked_by; /* the connection whose request is to be answered "OK" by the reader */
};

struct give;

/*
 * Serves what was received whole, says in the log what the reader cannot hold, and writes the
 * image. From then on, whatever it returns, nothing may be done before give_undo of *ret, which
 * may be NULL. 0; -EBUSY: requests wait for others for too long; -ENOMEM; or an error of a file;
 * logged. order and core are borrowed.
 */
int give_image(struct core *core, const struct give_order *order, const struct state_host *host,
	       struct give **ret);

/* All goes on as if it had not been asked for. Accepts NULL. */
void give_undo(struct give *g);

#endif
