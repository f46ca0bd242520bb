/* SPDX-License-Identifier: MIT */
/*
 * XDR from and to memory. A body is taken whole or not at all: what was decoded, encoded again, is
 * what came, or some of it was not looked at (octets at the end, or after a string's NUL).
 */
#include "rpc/code.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/error.h"
#include "rpc/libvirt.h"

/* Every fn is called in this way, as all of rpcgen's take two arguments. */
static bool code_run(xdrproc_t fn, XDR *x, void *obj)
{
	return fn(x, obj);
}

void rpc_code_free(xdrproc_t fn, void *obj, size_t obj_size)
{
	XDR x = { .x_op = XDR_FREE };

	if (!obj)
		return;
	if (fn)
		(void)code_run(fn, &x, obj);
	memset(obj, 0, obj_size);
}

/* 0: obj says all that body does; EPROTO; ENOMEM. */
static int code_compare(xdrproc_t fn, const uint8_t *body, size_t len, void *obj)
{
	char *again = malloc(len + 1);
	bool same;
	XDR x;

	if (!again)
		return ENOMEM;
	xdrmem_create(&x, again, (unsigned int)len, XDR_ENCODE);
	same = code_run(fn, &x, obj) && xdr_getpos(&x) == len && !memcmp(again, body, len);
	xdr_destroy(&x);
	free(again);
	return same ? 0 : EPROTO;
}

int rpc_code_read(xdrproc_t fn, const uint8_t *body, size_t len, void *obj, size_t obj_size)
{
	int r = EPROTO;
	XDR x;

	if (obj)
		memset(obj, 0, obj_size);
	if (!fn)
		return len ? EPROTO : 0;
	if (len > RPC_FRAME_MAX)
		return EPROTO;
	/* It only reads; its argument is as it is because it writes, too. */
	xdrmem_create(&x, (char *)(uintptr_t)body, (unsigned int)len, XDR_DECODE);
	if (code_run(fn, &x, obj))
		r = code_compare(fn, body, len, obj);
	xdr_destroy(&x);
	if (r)
		rpc_code_free(fn, obj, obj_size);
	return r;
}

int rpc_code_frame(const struct rpc_head *head, xdrproc_t fn, const void *obj, uint8_t **ret,
		   size_t *ret_len)
{
	/* Encoding changes nothing, whatever the type of its argument says. */
	void *from = (void *)(uintptr_t)obj;
	size_t body = fn ? xdr_sizeof(fn, from) : 0;
	uint8_t *frame;
	bool fine = true;
	XDR x;

	/* 0 is both a bound that was passed and a type of nothing, which there is none of. */
	if ((fn && !body) || body > RPC_FRAME_MAX - RPC_HEAD_SIZE)
		return EMSGSIZE;
	frame = malloc(RPC_HEAD_SIZE + body);
	if (!frame)
		return ENOMEM;
	rpc_head_put(frame, head, body);
	if (fn) {
		xdrmem_create(&x, (char *)frame + RPC_HEAD_SIZE, (unsigned int)body, XDR_ENCODE);
		fine = code_run(fn, &x, from) && xdr_getpos(&x) == body;
		xdr_destroy(&x);
	}
	if (!fine) {
		free(frame);
		return EMSGSIZE;
	}
	*ret = frame;
	*ret_len = RPC_HEAD_SIZE + body;
	return 0;
}

int rpc_code_error(const struct rpc_head *head, const struct rpc_error *err, uint8_t **ret,
		   size_t *ret_len)
{
	char text[RPC_MESSAGE_MAX];
	rpc_string message = text;
	rpc_wire_error wire = {
		.code = err->code,
		.domain = err->domain,
		.level = err->level,
		.message = &message,
		/* Clients of libvirt show str1 where there is a format to it. */
		.str1 = &message,
	};
	size_t len = strnlen(err->message, sizeof(text) - 1);

	memcpy(text, err->message, len);
	text[len] = '\0';
	return rpc_code_frame(head, RPC_XDR(rpc_wire_error), &wire, ret, ret_len);
}

int rpc_code_read_error(const uint8_t *body, size_t len, struct rpc_error *err)
{
	rpc_wire_error wire;
	int r = rpc_code_read(RPC_XDR(rpc_wire_error), body, len, &wire, sizeof(wire));

	if (r) {
		rpc_error_set(
			err, RPC_ERR_RPC, RPC_FROM_RPC,
			"an answer says that there was an error, but not in a way known here");
		return r;
	}
	rpc_error_set(err, wire.code, wire.domain, "%s", wire.message ? *wire.message : "");
	err->level = wire.level;
	rpc_code_free(RPC_XDR(rpc_wire_error), &wire, sizeof(wire));
	return 0;
}
