/* SPDX-License-Identifier: MIT */
/*
 * The protocol of libvirt's clients, of any octets. The first one says what the rest is: frames (in
 * pieces of as many octets as the second one says), one body of the procedure that the next two
 * name, a URI, a peer's address, an error. What is decoded is encoded to the same octets again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/code.h"
#include "rpc/error.h"
#include "rpc/frame.h"
#include "rpc/libvirt.h"
#include "rpc/peer.h"
#include "rpc/proc.h"
#include "rpc/uri.h"

enum { FRAMES, ARGS, RET, PEER, URI, ADDRESS, WIRE_ERROR, KINDS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void read_body(xdrproc_t fn, size_t obj_size, const uint8_t *body, size_t len)
{
	const struct rpc_head head = { .program = RPC_PROGRAM, .version = RPC_VERSION };
	union {
		uint64_t align;
		uint8_t octets[RPC_PROC_SIZE_MAX];
	} obj;
	uint8_t *again;
	size_t again_len;

	if (rpc_code_read(fn, body, len, &obj, obj_size))
		return;
	if (fn) {
		must(!rpc_code_frame(&head, fn, &obj, &again, &again_len), "not encoded again");
		must(again_len == len + RPC_HEAD_SIZE && !memcmp(again + RPC_HEAD_SIZE, body, len),
		     "encoded otherwise");
		free(again);
	}
	rpc_code_free(fn, &obj, obj_size);
}

static void read_frame(const struct rpc_frame *f)
{
	const struct rpc_proc *p = rpc_proc_find(f->head.program, f->head.procedure);

	must(f->head.type < RPC_TYPES && f->head.status < RPC_STATUSES, "a head was not judged");
	if (!p)
		return;
	if (f->head.type == RPC_CALL || f->head.type == RPC_EVENT)
		read_body(p->args, p->args_size, f->body, f->body_len);
	else if (f->head.type == RPC_REPLY)
		read_body(p->ret, p->ret_size, f->body, f->body_len);
}

static void read_frames(const uint8_t *data, size_t size)
{
	size_t step = size ? data[0] + 1u : 1, taken = 0, given = 1;
	struct rpc_parser parser;
	struct rpc_frame f;
	char text[200] = "";
	int r = EAGAIN;

	rpc_parser_init(&parser);
	while (given < size && r == EAGAIN) {
		size_t n = size - given < step ? size - given : step;
		uint8_t *at = rpc_parser_room(&parser, n);

		must(at != NULL, "no memory");
		memcpy(at, data + given, n);
		rpc_parser_added(&parser, n);
		given += n;
		while (!(r = rpc_parser_next(&parser, &f, text, sizeof(text)))) {
			taken += RPC_HEAD_SIZE + f.body_len;
			read_frame(&f);
			rpc_parser_drop(&parser, &f);
		}
	}
	must(r == EAGAIN || (r == EPROTO && *text), "refused without a word");
	must(taken + rpc_parser_held(&parser) == given - 1 || !size, "octets were lost");
	must(parser.size <= 2 * size + 8192, "memory for what did not come");
	rpc_parser_fini(&parser);
}

/* One procedure's body, without a head to be guessed. */
static void read_one(uint32_t program, bool ret, const uint8_t *data, size_t size)
{
	size_t n;
	const struct rpc_proc *t = rpc_proc_table(program, &n), *p;

	if (!size)
		return;
	p = &t[data[0] % n];
	read_body(ret ? p->ret : p->args, ret ? p->ret_size : p->args_size, data + 1, size - 1);
}

static void read_uri(bool address, const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), why[300] = "", name[RPC_URI_MAX];
	struct rpc_uri u;
	int r;

	must(text != NULL, "no memory");
	memcpy(text, data, size);
	text[size] = '\0';
	r = address ? rpc_address_parse(text, &u, why, sizeof(why))
		    : rpc_uri_parse(text, &u, why, sizeof(why));
	must(r ? *why : !*why, "refused without a word, or not refused with one");
	if (!r && !address)
		must(!rpc_uri_name(&u, name, sizeof(name)), "no name");
	free(text);
}

static void read_error(const uint8_t *data, size_t size)
{
	struct rpc_error err;

	(void)rpc_code_read_error(data, size, &err);
	must(memchr(err.message, 0, sizeof(err.message)) != NULL, "a message without an end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % KINDS) {
	case FRAMES:
		read_frames(data + 1, size - 1);
		break;
	case ARGS:
		read_one(RPC_PROGRAM, false, data + 1, size - 1);
		break;
	case RET:
		read_one(RPC_PROGRAM, true, data + 1, size - 1);
		break;
	case PEER:
		read_one(PEER_PROGRAM, data[0] & 8, data + 1, size - 1);
		break;
	case URI:
		read_uri(false, data + 1, size - 1);
		break;
	case ADDRESS:
		read_uri(true, data + 1, size - 1);
		break;
	default:
		read_error(data + 1, size - 1);
	}
	return 0;
}
