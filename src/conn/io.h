/* SPDX-License-Identifier: MIT */
/*
 * What of connections lies in the area and outlives the process: for each a slot, with blocks of
 * unread input and unsent output, and one set of cells that say what the turn under way has done.
 * See docs/decisions/0010-journal-and-recovery.md.
 *
 * Positions count the octets of a connection's two streams, modulo 2^32. The I/O word says what is
 * committed: input is consumed up to in, output ends at out. Blocks are written ahead of the word
 * and never behind it: what lies beyond is not there.
 */
#ifndef DROVER_CONN_IO_H
#define DROVER_CONN_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/area.h"

#define CONN_AREA_ROOT 0u /* of the area: struct conn_root */
#define CONN_SLOTS_PER_CHUNK 170u
#define CONN_SLOT_CHUNKS 768u /* 130560 connections */
#define CONN_KILLERS_MAX 8u
#define CONN_DEATHS_MAX 2u /* of a request; then it is refused */

struct conn_slot {
	uint64_t id;	    /* of the connection; 0: free */
	uint64_t word;	    /* committed: see conn_word_make */
	uint32_t in_block;  /* struct in_block; 0: nothing kept */
	uint32_t out_block; /* struct out_block; 0: nothing unsent */
};

/* Octets of input from position base on. Those before the word's are consumed. */
struct in_block {
	uint32_t base;
	uint32_t len;
	uint8_t data[];
};

/* Whole messages from position base on, to the word's; sent up to sent. */
struct out_block {
	uint32_t base;
	uint32_t sent;
	uint8_t data[];
};

/*
 * Output that is dropped makes its end jump by so much, and its block no longer fits the word. Nor
 * does freight that is not committed yet, which lies as far ahead: see conn_load.
 */
#define CONN_POS_JUMP (1u << 30)

static inline uint64_t conn_word_make(uint32_t in_pos, uint32_t out_pos)
{
	return (uint64_t)in_pos << 32 | out_pos;
}

static inline uint32_t conn_word_in(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint32_t conn_word_out(uint64_t word)
{
	return (uint32_t)word;
}

/* A word that a commit makes true, as it stands in the COMMIT record. */
struct conn_word {
	uint64_t id;
	uint64_t word;
	uint32_t slot;
	uint32_t zero;
};

/*
 * A transfer under way. The kernel stores the count in msg.msg_len within the very call that moves
 * the octets, so it is never unknown; a ring's transport says first what it is about to do.
 */
struct conn_cell {
	uint64_t id;	   /* of the connection; 0: none is under way */
	uint32_t slot;	   /* its slot */
	uint32_t pos;	   /* of the first octet moved */
	uint32_t at;	   /* where it is in the scratch, if received */
	uint32_t ring_at;  /* a ring's own index before */
	uint32_t ring_len; /* and by how much it is about to move; 0: not yet */
	uint32_t zero;
	struct mmsghdr msg;
	struct iovec iov;
};

/* For transports that have no kernel behind them: so many octets were moved. */
static inline void conn_cell_note(struct conn_cell *cell, size_t n)
{
	__atomic_store_n(&cell->msg.msg_len, (unsigned int)n, __ATOMIC_RELEASE);
}

/* A request that was being handled when a process died. */
struct conn_killer {
	uint64_t id;
	uint32_t slot;
	uint32_t in_pos;
	uint32_t deaths;
	uint32_t zero;
};

/* What the area's root points to; what is received comes into the scratch that follows. */
struct conn_root {
	uint64_t next_id;     /* of connections: the last one given */
	uint64_t commit_done; /* the last commit whose words are all in their slots */
	/* the request that is handled now; deaths is not used, id 0: none is */
	struct conn_killer serving;
	struct conn_killer killer[CONN_KILLERS_MAX];
	struct conn_cell recv;
	struct conn_cell send;
	uint32_t n_chunks;
	uint32_t chunk[CONN_SLOT_CHUNKS]; /* blocks of CONN_SLOTS_PER_CHUNK slots each */
	uint8_t scratch[];
};

#endif
