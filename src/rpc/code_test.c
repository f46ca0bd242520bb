/* SPDX-License-Identifier: MIT */
/*
 * Bodies: there and back, cut anywhere, too long, beyond a bound; the table of procedures; errors.
 */
#include "rpc/code.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"
#include "rpc/peer.h"
#include "rpc/proc.h"

static const struct rpc_head head = { .program = RPC_PROGRAM, .version = 1, .procedure = 1 };

/* The body of obj, to be freed. */
static uint8_t *body_of(xdrproc_t fn, const void *obj, size_t *ret_len)
{
	uint8_t *frame;
	size_t len;

	assert_int_equal(rpc_code_frame(&head, fn, obj, &frame, &len), 0);
	memmove(frame, frame + RPC_HEAD_SIZE, len - RPC_HEAD_SIZE);
	*ret_len = len - RPC_HEAD_SIZE;
	return frame;
}

/* What a lookup of "tick" is, octet for octet. */
static void a_body_is_as_the_protocol_has_it(void **state)
{
	static const uint8_t want[] = { 0, 0, 0, 5, 't', 'i', 'c', 'k', '1', 0, 0, 0 };
	rpc_string_args args = { .value = (char *)(uintptr_t) "tick1" };
	size_t len;
	uint8_t *body = body_of(RPC_XDR(rpc_string_args), &args, &len);

	(void)state;
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(body, want, len);
	free(body);
}

static void sample(rpc_perform_args *a, rpc_param params[7], rpc_maybe uri)
{
	*a = (rpc_perform_args){
		.dom = { .name = (char *)(uintptr_t) "tick", .uuid = "0123456789abcde", .id = -1 },
		.dconnuri = uri,
		.params = { .rpc_params_len = 7, .rpc_params_val = params },
		.cookie = { .rpc_cookie_len = 3, .rpc_cookie_val = (char *)(uintptr_t) "abc" },
		.flags = 1,
	};
	for (int i = 0; i < 7; i++) {
		params[i] = (rpc_param){ .name = (char *)(uintptr_t) "a", .value.type = i + 1 };
		params[i].value.rpc_value_u.ul = 0;
	}
	params[3].value.rpc_value_u.ul = UINT64_MAX;
	params[4].value.rpc_value_u.d = 0.5;
	params[6].value.rpc_value_u.s = (char *)(uintptr_t) "tcp://b";
}

/* Every kind of parameter, a string that is there, a domain: as they were, and freed. */
static void what_was_encoded_is_decoded(void **state)
{
	char dest[] = "xen+tls://b/system";
	rpc_string uri = dest;
	rpc_param params[7];
	rpc_perform_args a, b;
	uint8_t *body;
	size_t len;

	(void)state;
	sample(&a, params, &uri);
	body = body_of(RPC_XDR(rpc_perform_args), &a, &len);
	assert_int_equal(rpc_code_read(RPC_XDR(rpc_perform_args), body, len, &b, sizeof(b)), 0);
	assert_string_equal(b.dom.name, "tick");
	assert_int_equal(b.dom.id, -1);
	assert_string_equal(*b.dconnuri, dest);
	assert_int_equal(b.params.rpc_params_len, 7);
	assert_true(b.params.rpc_params_val[3].value.rpc_value_u.ul == UINT64_MAX);
	assert_true(b.params.rpc_params_val[4].value.rpc_value_u.d == 0.5);
	assert_string_equal(b.params.rpc_params_val[6].value.rpc_value_u.s, "tcp://b");
	assert_memory_equal(b.cookie.rpc_cookie_val, "abc", 3);
	rpc_code_free(RPC_XDR(rpc_perform_args), &b, sizeof(b));
	assert_null(b.dconnuri);
	free(body);
}

/* Less than all of it, or an octet more, is nothing. */
static void a_body_is_taken_whole(void **state)
{
	rpc_param params[7];
	rpc_perform_args a, b;
	uint8_t *body;
	size_t len;

	(void)state;
	sample(&a, params, NULL);
	body = body_of(RPC_XDR(rpc_perform_args), &a, &len);
	body = realloc(body, len + 8);
	memset(body + len, 0, 8);
	for (size_t n = 0; n <= len + 8; n++) {
		int r = rpc_code_read(RPC_XDR(rpc_perform_args), body, n, &b, sizeof(b));

		assert_int_equal(r, n == len ? 0 : EPROTO);
		rpc_code_free(RPC_XDR(rpc_perform_args), &b, sizeof(b));
	}
	assert_int_equal(rpc_code_read(NULL, body, 4, NULL, 0), EPROTO);
	assert_int_equal(rpc_code_read(NULL, body, 0, NULL, 0), 0);
	free(body);
}

/* 65 parameters, a type of parameter that there is not, a string that goes on after its NUL. */
static void bounds_are_kept(void **state)
{
	static const struct {
		size_t len;
		uint8_t body[12];
	} strings[] = {
		{ 4, { 0, 0x40, 0, 1 } },	       /* longer than may be */
		{ 4, { 0xff, 0xff, 0xff, 0xff } },     /* and than there is memory */
		{ 8, { 0, 0, 0, 3, 'a', 0, 'b', 0 } }, /* a NUL within */
		{ 8, { 0, 0, 0, 8, 'a', 'b', 'c', 'd' } },
	};
	rpc_job_stats_ret many = { .type = 1 };
	rpc_string_args s;
	rpc_param one = { .name = (char *)(uintptr_t) "a", .value.type = 99 };
	uint8_t *frame;
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		assert_int_equal(rpc_code_read(RPC_XDR(rpc_string_args), strings[i].body,
					       strings[i].len, &s, sizeof(s)),
				 EPROTO);
	many.params.rpc_params_len = 1;
	many.params.rpc_params_val = &one;
	assert_int_equal(rpc_code_frame(&head, RPC_XDR(rpc_job_stats_ret), &many, &frame, &len),
			 EMSGSIZE);
	many.params.rpc_params_len = 65;
	many.params.rpc_params_val = calloc(65, sizeof(rpc_param));
	assert_int_equal(rpc_code_frame(&head, RPC_XDR(rpc_job_stats_ret), &many, &frame, &len),
			 EMSGSIZE);
	free(many.params.rpc_params_val);
}

static void a_refusal_travels(void **state)
{
	struct rpc_error err, back;
	uint8_t *frame;
	size_t len;

	(void)state;
	rpc_error_set(&err, RPC_ERR_NO_DOMAIN, RPC_FROM_DOMAIN, "no domain '%s'", "tick");
	assert_int_equal(rpc_code_error(&head, &err, &frame, &len), 0);
	assert_int_equal(rpc_code_read_error(frame + RPC_HEAD_SIZE, len - RPC_HEAD_SIZE, &back), 0);
	assert_int_equal(back.code, 42);
	assert_int_equal(back.domain, RPC_FROM_DOMAIN);
	assert_int_equal(back.level, RPC_LEVEL_ERROR);
	assert_string_equal(back.message, "no domain 'tick'");
	assert_int_equal(rpc_code_read_error(frame + RPC_HEAD_SIZE, len - RPC_HEAD_SIZE - 4, &back),
			 EPROTO);
	assert_int_equal(back.code, RPC_ERR_RPC);
	free(frame);
	assert_string_equal(rpc_error_name(RPC_ERR_NO_DOMAIN), "no domain");
	assert_null(rpc_error_name(12345));
	assert_int_equal(rpc_error_of_errno(EINVAL), RPC_ERR_INVALID_ARG);
	assert_int_equal(rpc_error_of_errno(EXDEV), RPC_ERR_SYSTEM);
}

/* In order, each findable, none with more than fits; and nothing is what makes no sense to it. */
static void the_table_is_in_order(void **state)
{
	static const uint32_t programs[] = { RPC_PROGRAM, PEER_PROGRAM };
	union {
		uint64_t align;
		uint8_t octets[RPC_PROC_SIZE_MAX];
	} obj;
	size_t n;

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(programs); p++) {
		const struct rpc_proc *t = rpc_proc_table(programs[p], &n);

		for (size_t i = 0; i < n; i++) {
			assert_true(!i || t[i].number > t[i - 1].number);
			assert_ptr_equal(rpc_proc_find(programs[p], t[i].number), &t[i]);
			assert_true(t[i].args_size <= sizeof(obj) && t[i].ret_size <= sizeof(obj));
			assert_int_equal(!t[i].args, !t[i].args_size);
			assert_int_equal(!t[i].ret, !t[i].ret_size);
			assert_int_equal(rpc_code_read(t[i].args, (const uint8_t *)"abc", 3, &obj,
						       t[i].args_size),
					 EPROTO);
		}
	}
	assert_null(rpc_proc_find(RPC_PROGRAM, 0));
	assert_null(rpc_proc_find(RPC_PROGRAM, -1));
	assert_null(rpc_proc_find(RPC_PROGRAM, INT32_MAX));
	assert_null(rpc_proc_find(RPC_PROGRAM, 8));
	assert_null(rpc_proc_find(1, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_as_the_protocol_has_it),
		cmocka_unit_test(what_was_encoded_is_decoded),
		cmocka_unit_test(a_body_is_taken_whole),
		cmocka_unit_test(bounds_are_kept),
		cmocka_unit_test(a_refusal_travels),
		cmocka_unit_test(the_table_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
