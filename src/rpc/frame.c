/* SPDX-License-Identifier: MIT */
/*
 * Frames in memory. Invariant of a parser: start <= end <= size, and the octets between start and
 * end are those that came and were not dropped, in order.
 */
#include "rpc/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_SIZE (64u << 10) /* a buffer that grew beyond this is given back once it is empty */

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void rpc_parser_init(struct rpc_parser *p)
{
	memset(p, 0, sizeof(*p));
}

void rpc_parser_fini(struct rpc_parser *p)
{
	free(p->buf);
	rpc_parser_init(p);
}

/* All that is held to the front, so that room is at the end. */
static void parser_move(struct rpc_parser *p)
{
	if (!p->start)
		return;
	memmove(p->buf, p->buf + p->start, p->end - p->start);
	p->end -= p->start;
	p->start = 0;
}

uint8_t *rpc_parser_room(struct rpc_parser *p, size_t want)
{
	size_t size = p->size ? p->size : 4096;
	uint8_t *buf;

	if (p->size - p->end >= want)
		return p->buf + p->end;
	if (p->buf)
		parser_move(p);
	if (p->size - p->end >= want)
		return p->buf + p->end;
	while (size - p->end < want)
		size *= 2;
	buf = realloc(p->buf, size);
	if (!buf)
		return NULL;
	p->buf = buf;
	p->size = size;
	return p->buf + p->end;
}

void rpc_parser_added(struct rpc_parser *p, size_t n)
{
	assert(n <= p->size - p->end);
	p->end += n;
}

size_t rpc_parser_held(const struct rpc_parser *p)
{
	return p->end - p->start;
}

void rpc_head_put(uint8_t out[RPC_HEAD_SIZE], const struct rpc_head *h, size_t body_len)
{
	assert(body_len <= RPC_FRAME_MAX - RPC_HEAD_SIZE);
	put_u32(out, (uint32_t)(body_len + RPC_HEAD_SIZE));
	put_u32(out + 4, h->program);
	put_u32(out + 8, h->version);
	put_u32(out + 12, (uint32_t)h->procedure);
	put_u32(out + 16, h->type);
	put_u32(out + 20, h->serial);
	put_u32(out + 24, h->status);
}

void rpc_head_get(const uint8_t *in, struct rpc_head *ret)
{
	ret->program = get_u32(in + 4);
	ret->version = get_u32(in + 8);
	ret->procedure = (int32_t)get_u32(in + 12);
	ret->type = get_u32(in + 16);
	ret->serial = get_u32(in + 20);
	ret->status = get_u32(in + 24);
}

int rpc_parser_next(const struct rpc_parser *p, struct rpc_frame *ret, char *text, size_t room)
{
	size_t have = p->end - p->start;
	const uint8_t *at;
	uint32_t len;

	if (have < 4)
		return EAGAIN;
	at = p->buf + p->start;
	len = get_u32(at);
	if (len < RPC_HEAD_SIZE) {
		snprintf(text, room, "a frame's length is %u, less than its head's %u", len,
			 RPC_HEAD_SIZE);
		return EPROTO;
	}
	if (len > RPC_FRAME_MAX) {
		snprintf(text, room, "a frame's length is %u, more than %u", len, RPC_FRAME_MAX);
		return EPROTO;
	}
	if (have < RPC_HEAD_SIZE)
		return EAGAIN;
	/* The head is judged before the body is waited for. */
	rpc_head_get(at, &ret->head);
	if (ret->head.type >= RPC_TYPES) {
		snprintf(text, room, "a frame's type is %u, unknown", ret->head.type);
		return EPROTO;
	}
	if (ret->head.status >= RPC_STATUSES) {
		snprintf(text, room, "a frame's status is %u, unknown", ret->head.status);
		return EPROTO;
	}
	if (have < len)
		return EAGAIN;
	ret->body = at + RPC_HEAD_SIZE;
	ret->body_len = len - RPC_HEAD_SIZE;
	return 0;
}

void rpc_parser_drop(struct rpc_parser *p, const struct rpc_frame *f)
{
	assert(f->body == p->buf + p->start + RPC_HEAD_SIZE);
	assert(f->body_len <= p->end - p->start - RPC_HEAD_SIZE);
	p->start += RPC_HEAD_SIZE + f->body_len;
	if (p->start != p->end)
		return;
	p->start = p->end = 0;
	if (p->size > KEEP_SIZE) {
		free(p->buf);
		p->buf = NULL;
		p->size = 0;
	}
}
