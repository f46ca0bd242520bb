/* SPDX-License-Identifier: MIT */
/*
 * One end of a xenstore connection that never blocks: a socket, or a guest's ring. What is to be
 * sent is kept and leaves in pieces of any size, what came is taken message by message, and the
 * owner may be deaf for a while.
 *
 * All errors are negative errno; -ECONNRESET says that the other side ended the connection.
 */
#ifndef DROVER_STRESS_PEER_H
#define DROVER_STRESS_PEER_H

#include <errno.h> /* xs_wire.h has errors for those that it knows */
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

#include <xen/io/xs_wire.h> /* wants stdint.h first */

#define PEER_OUT_MAX 131072u
#define PEER_IN_MAX 65536u

struct sim_guest;

struct peer {
	int fd;			 /* owned; -1 on a ring */
	struct sim_guest *guest; /* owned; NULL on a socket */
	uint32_t next_id;
	uint64_t piece_ns; /* not before this goes on what was sent in part */
	uint64_t deaf_ns;  /* nothing is read before this */
	uint64_t n_pieces; /* requests that left in more than one piece */
	uint64_t octets_in;
	uint64_t octets_out;
	size_t out_head, out_tail;
	size_t in_head, in_tail;
	char out[PEER_OUT_MAX];
	char in[PEER_IN_MAX];
};

/* body is borrowed from the peer until the next peer_fill. */
struct message {
	struct xsd_sockmsg head;
	const char *body;
};

uint64_t now_ns(void);

/* p: all zeroes. */
int peer_open_socket(struct peer *p, const char *path);
int peer_open_ring(struct peer *p, const char *sim_dir, uint16_t domid);
void peer_close(struct peer *p);

/* Queues a request; its req_id. There must be room: PEER_OUT_MAX bounds what an owner queues. */
uint32_t peer_send(struct peer *p, uint32_t type, uint32_t tx, const void *body, size_t len);
/* Sends what it can; with prng now and then only a piece, and the rest a moment later. */
int peer_flush(struct peer *p, struct prng *prng, uint64_t now);
/* Takes in what there is. */
int peer_fill(struct peer *p);
/* The next whole message of what was taken in; -EPROTO for what cannot be one; 0: none; 1. */
int peer_next(struct peer *p, struct message *ret);
/* What the owner waits for at `now`. */
void peer_poll(const struct peer *p, uint64_t now, struct pollfd *ret);

/*
 * Sends a request and waits for its reply, passing over events: 0, or > 0 the errno that the
 * reply names. *ret_len is in: the room of ret, out: the reply's octets.
 */
int peer_call(struct peer *p, uint32_t type, uint32_t tx, const void *body, size_t len, char *ret,
	      size_t *ret_len);

/* The errno that an error's body names; EIO for one that is not in the table. */
int error_number(const char *body, size_t len);

#endif
