/* SPDX-License-Identifier: MIT */
/*
 * The sockets that the keeper holds, each under a number that rises and is never used again.
 */
#ifndef DROVER_KEEPER_CLIENTS_H
#define DROVER_KEEPER_CLIENTS_H

#include <stddef.h>
#include <stdint.h>

#include "keeper/proto.h"

struct held {
	uint64_t number;
	int fd; /* owned; -1: closed */
};

struct clients {
	struct held *at; /* owned; by rising number */
	size_t n;
	size_t room;
	size_t closed; /* of the n */
};

/* number is above all others. fd is owned, also on failure. -ENOMEM. */
int clients_add(struct clients *c, uint64_t number, int fd);
/* A number that is not there is no matter. */
void clients_close(struct clients *c, uint64_t number);
/* The highest number ever added, 0: none. */
uint64_t clients_last(const struct clients *c);
/* The first held socket above number, NULL: none. */
const struct held *clients_next(const struct clients *c, uint64_t number);
/*
 * As many as fit of those above number, as a CLIENTS message. The last one's number; number itself
 * where there are none.
 */
uint64_t clients_tell(const struct clients *c, uint64_t number, struct proto_msg *m);
/* Closes the descriptors, in a child too. */
void clients_fini(struct clients *c);

#endif
