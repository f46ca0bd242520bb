/* SPDX-License-Identifier: MIT */
/*
 * Frames: a length that counts itself, a head of six words, a body. All numbers are big-endian.
 * The layout is libvirt's (docs/protocol-hostd.md, "Frames").
 */
#ifndef DROVER_RPC_FRAME_H
#define DROVER_RPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define RPC_HEAD_SIZE 28u		 /* octets of length and head */
#define RPC_FRAME_MAX ((32u << 20) + 4u) /* of a whole frame */
#define RPC_KEEPALIVE_PROGRAM 0x6b656570u
#define RPC_KEEPALIVE_VERSION 1u

enum rpc_type {
	RPC_CALL,
	RPC_REPLY,
	RPC_EVENT,
	RPC_STREAM,
	RPC_CALL_FDS, /* descriptors come with it: never accepted */
	RPC_REPLY_FDS,
	RPC_STREAM_HOLE,
	RPC_TYPES,
};

enum rpc_status { RPC_OK, RPC_ERROR, RPC_CONTINUE, RPC_STATUSES };

struct rpc_head {
	uint32_t program, version;
	int32_t procedure;
	uint32_t type, serial, status;
};

/* A frame that came; body is borrowed from the parser until its next call. */
struct rpc_frame {
	struct rpc_head head;
	const uint8_t *body;
	size_t body_len;
};

/*
 * Octets in, frames out. Pure. What is held is at most RPC_FRAME_MAX and what one rpc_parser_room
 * gave; memory follows the octets that came, not the length that was announced.
 */
struct rpc_parser {
	uint8_t *buf; /* owned */
	size_t start, end, size;
};

void rpc_parser_init(struct rpc_parser *p);
void rpc_parser_fini(struct rpc_parser *p);
/* Where at least `want` octets may be put now; rpc_parser_added tells how many were. NULL: memory.
 */
uint8_t *rpc_parser_room(struct rpc_parser *p, size_t want);
void rpc_parser_added(struct rpc_parser *p, size_t n);
/*
 * The first frame that is complete, left where it is until rpc_parser_drop. 0: here it is; EAGAIN:
 * more octets are needed; EPROTO: text says what is wrong; nothing after it can be read.
 */
int rpc_parser_next(const struct rpc_parser *p, struct rpc_frame *ret, char *text, size_t room);
void rpc_parser_drop(struct rpc_parser *p, const struct rpc_frame *f);
/* Octets that are held. */
size_t rpc_parser_held(const struct rpc_parser *p);

/* Length and head of a frame with body_len octets (at most RPC_FRAME_MAX - RPC_HEAD_SIZE). */
void rpc_head_put(uint8_t out[RPC_HEAD_SIZE], const struct rpc_head *h, size_t body_len);
/* The other way round, without looking at the length: in has RPC_HEAD_SIZE octets. */
void rpc_head_get(const uint8_t *in, struct rpc_head *ret);

#endif
