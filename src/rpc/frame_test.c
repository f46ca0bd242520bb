/* SPDX-License-Identifier: MIT */
/*
 * Frames: whole, cut, too long, too short, of kinds that there are none of.
 */
#include "rpc/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"

static const struct rpc_head head = {
	.program = 0x20008086,
	.version = 1,
	.procedure = 23,
	.type = RPC_CALL,
	.serial = 7,
	.status = RPC_OK,
};

static void push(struct rpc_parser *p, const void *data, size_t n)
{
	uint8_t *at = rpc_parser_room(p, n);

	assert_non_null(at);
	memcpy(at, data, n);
	rpc_parser_added(p, n);
}

/* A head says in 28 octets what it says here, and nothing else. */
static void a_head_is_as_the_protocol_has_it(void **state)
{
	static const uint8_t want[RPC_HEAD_SIZE] = { 0, 0, 0, 32, 0x20, 0,  0x80, 0x86, 0, 0,
						     0, 1, 0, 0,  0,	23, 0,	  0,	0, 0,
						     0, 0, 0, 7,  0,	0,  0,	  0 };
	uint8_t got[RPC_HEAD_SIZE];
	struct rpc_head back;

	(void)state;
	rpc_head_put(got, &head, 4);
	assert_memory_equal(got, want, sizeof(want));
	rpc_head_get(got, &back);
	assert_memory_equal(&back, &head, sizeof(head));
}

/* Three frames, cut in two at every place, and octet for octet, are the same three frames. */
static void frames_may_be_cut_anywhere(void **state)
{
	uint8_t stream[3 * RPC_HEAD_SIZE + 16];
	size_t len = 0;

	(void)state;
	for (uint8_t i = 0; i < 3; i++) {
		struct rpc_head h = head;

		h.serial = i;
		rpc_head_put(stream + len, &h, i * 4u);
		memset(stream + len + RPC_HEAD_SIZE, 'a' + i, i * 4u);
		len += RPC_HEAD_SIZE + i * 4u;
	}
	for (size_t cut = 0; cut <= len; cut++) {
		struct rpc_parser p;
		struct rpc_frame f;
		char text[100];
		uint32_t n = 0;

		rpc_parser_init(&p);
		for (size_t at = 0; at < len;) {
			size_t some = cut == len ? 1 : at < cut ? cut - at : len - at;

			push(&p, stream + at, some);
			at += some;
			for (; !rpc_parser_next(&p, &f, text, sizeof(text)); n++) {
				assert_int_equal(f.head.serial, n);
				assert_int_equal(f.body_len, n * 4);
				assert_true(!n || f.body[n * 4 - 1] == 'a' + n);
				rpc_parser_drop(&p, &f);
			}
		}
		assert_int_equal(n, 3);
		assert_int_equal(rpc_parser_held(&p), 0);
		rpc_parser_fini(&p);
	}
}

static void what_is_no_frame_is_named(void **state)
{
	static const struct {
		size_t at; /* of the head's word that is changed */
		uint32_t to;
		size_t octets; /* that come */
		int r;
		const char *text;
	} cases[] = {
		{ 0, 28, 28, 0, "" },
		{ 0, 27, 4, EPROTO, "a frame's length is 27, less than its head's 28" },
		{ 0, 0, 4, EPROTO, "a frame's length is 0, less than its head's 28" },
		{ 0, RPC_FRAME_MAX, 28, EAGAIN, "" },
		{ 0, RPC_FRAME_MAX + 1, 4, EPROTO,
		  "a frame's length is 33554437, more than 33554436" },
		{ 0, UINT32_MAX, 4, EPROTO, "a frame's length is 4294967295, more than 33554436" },
		{ 16, 7, 28, EPROTO, "a frame's type is 7, unknown" },
		{ 16, UINT32_MAX, 28, EPROTO, "a frame's type is 4294967295, unknown" },
		{ 24, 3, 28, EPROTO, "a frame's status is 3, unknown" },
		{ 16, 7, 27, EAGAIN, "" },
		{ 4, 1, 3, EAGAIN, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t octets[RPC_HEAD_SIZE];
		struct rpc_parser p;
		struct rpc_frame f;
		char text[100] = "";

		rpc_parser_init(&p);
		rpc_head_put(octets, &head, 0);
		for (size_t b = 0; b < 4; b++)
			octets[cases[i].at + b] = (uint8_t)(cases[i].to >> (24 - 8 * b));
		push(&p, octets, cases[i].octets);
		assert_int_equal(rpc_parser_next(&p, &f, text, sizeof(text)), cases[i].r);
		assert_string_equal(text, cases[i].text);
		rpc_parser_fini(&p);
	}
}

/* A length is believed only as far as octets follow it. */
static void memory_follows_what_came(void **state)
{
	uint8_t octets[RPC_HEAD_SIZE];
	struct rpc_parser p;
	struct rpc_frame f;
	char text[100];

	(void)state;
	rpc_parser_init(&p);
	rpc_head_put(octets, &head, RPC_FRAME_MAX - RPC_HEAD_SIZE);
	push(&p, octets, sizeof(octets));
	assert_int_equal(rpc_parser_next(&p, &f, text, sizeof(text)), EAGAIN);
	assert_true(p.size <= 8192);
	rpc_parser_fini(&p);
}

/* Frames without end pass through a buffer that does not grow, whatever part of one it ends with.
 */
static void a_long_stream_needs_no_more_memory(void **state)
{
	uint8_t octets[RPC_HEAD_SIZE + 300], *stream = malloc(sizeof(octets) * 1000);
	size_t len = 0;
	uint32_t n = 0;
	struct rpc_parser p;
	struct rpc_frame f;
	char text[100];

	(void)state;
	assert_non_null(stream);
	for (uint32_t i = 0; i < 1000; i++) {
		struct rpc_head h = head;

		h.serial = i;
		rpc_head_put(octets, &h, i % 301);
		memset(octets + RPC_HEAD_SIZE, (int)(i & 0xff), i % 301);
		memcpy(stream + len, octets, RPC_HEAD_SIZE + i % 301);
		len += RPC_HEAD_SIZE + i % 301;
	}
	rpc_parser_init(&p);
	for (size_t at = 0; at < len;) {
		size_t some = len - at < 977 ? len - at : 977;

		push(&p, stream + at, some);
		at += some;
		for (; !rpc_parser_next(&p, &f, text, sizeof(text)); n++) {
			assert_int_equal(f.head.serial, n);
			assert_int_equal(f.body_len, n % 301);
			assert_true(!f.body_len || f.body[f.body_len - 1] == (n & 0xff));
			rpc_parser_drop(&p, &f);
		}
	}
	assert_int_equal(n, 1000);
	assert_int_equal(p.size, 4096);
	rpc_parser_fini(&p);
	free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_as_the_protocol_has_it),
		cmocka_unit_test(frames_may_be_cut_anywhere),
		cmocka_unit_test(what_is_no_frame_is_named),
		cmocka_unit_test(memory_follows_what_came),
		cmocka_unit_test(a_long_stream_needs_no_more_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
