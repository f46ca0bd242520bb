/* SPDX-License-Identifier: MIT */
/* A connection's queued output: between conn.c and out.c. */
#ifndef DROVER_CONN_OUT_H
#define DROVER_CONN_OUT_H

#include "conn/conn.h"

#define OUT_SEEN_MIN 16u
/* The age of an event is known to a part of the time after which it is stale. */
#define OUT_AGE_PARTS 16u
#define OUT_AGES (OUT_AGE_PARTS + 4u)

/*
 * Whole messages one after the other. Octets before sent are gone; front is where the first
 * message that is not gone whole starts.
 */
struct conn_out {
	struct conn_out *next; /* spare list */
	uint32_t ref;	       /* owned: struct out_block */
	uint32_t base;	       /* position of buf's first octet */
	uint8_t *buf;	       /* in it */
	size_t room;
	size_t len;
	size_t front;
	size_t sent;
	size_t events;
	size_t replies;
	/* a hash of unsent events: offset in buf + 1, 0: empty; seen_room is a power of two */
	size_t *seen; /* owned */
	size_t seen_room;
	size_t n_seen;
	/* what was queued from since_ms on, up to end; ages within a span are told as one */
	struct {
		size_t end;
		uint64_t since_ms;
	} age[OUT_AGES];
	size_t n_ages;
	uint64_t looked_ms; /* when stale events were last looked for */
};

/* Its block in a is free, too. Accepts NULL. */
void out_free(struct area *a, struct conn_out *o);

/* Octets of c's queue up to which all is committed; at most these leave. */
size_t out_committed(const struct conn *c);

/*
 * A queue for c, which has none, of what is in the block ref, claimed: up to position end, sent up
 * to position sent. EINVAL: these are not messages; -ENOMEM. The block is c's only when it is 0.
 */
int out_restore(struct conn *c, uint32_t ref, uint32_t sent, uint32_t end);

/*
 * A queue for c, which has none, of len octets; the first partial are of a message whose head was
 * sent. EINVAL: these are not messages; -ENOMEM. There may be half a queue then.
 */
int out_adopt(struct conn *c, const void *data, size_t len, size_t partial);

/* Appends a message. False: no memory. */
bool out_append(struct conn *c, const struct xsd_sockmsg *hdr, const void *data, size_t len);

/* Whether this event is queued already, unsent. */
bool out_has_event(const struct conn *c, const void *path, size_t path_len, const void *token,
		   size_t token_len);

/* Sends what the transport takes. 0, or the transport's error. */
int out_flush(struct conn *c);

/* What is queued now is no older than now_ms; ages less than span apart are told as one. */
void out_note_age(struct conn *c, uint64_t now_ms, uint64_t span_ms);

/* Drops whole unsent events that were queued at before_ms or earlier; their number. */
size_t out_drop_stale(struct conn *c, uint64_t before_ms);

/* Drops everything. */
void out_reset(struct conn *c);

#endif
