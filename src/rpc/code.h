/* SPDX-License-Identifier: MIT */
/*
 * Bodies of frames: XDR of the types that rpcgen makes of libvirt.x and peer.x. fn is the type's
 * xdr_ function, cast to xdrproc_t.
 */
#ifndef DROVER_RPC_CODE_H
#define DROVER_RPC_CODE_H

#include <rpc/types.h>
#include <rpc/xdr.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/frame.h"

struct rpc_error;

/* An xdr_ function that rpcgen made, as the table of procedures and the functions here take it. */
#define RPC_XDR(type) ((xdrproc_t)(void (*)(void))xdr_##type)

/*
 * Decodes all of body into obj (zeroed before; of fn's type), to be given to rpc_code_free. fn
 * NULL: the body must be empty. 0; EPROTO: it is too short, too long, passes a bound, or a string
 * has a NUL within it: obj is empty. ENOMEM.
 */
int rpc_code_read(xdrproc_t fn, const uint8_t *body, size_t len, void *obj, size_t obj_size);
/* Frees what obj refers to, and clears it. fn or obj may be NULL. */
void rpc_code_free(xdrproc_t fn, void *obj, size_t obj_size);

/*
 * A whole frame with obj (fn NULL: no body) for its body, in *ret, to be freed. obj is not changed.
 * 0; EMSGSIZE: obj passes a bound of its type, or of a frame; ENOMEM.
 */
int rpc_code_frame(const struct rpc_head *head, xdrproc_t fn, const void *obj, uint8_t **ret,
		   size_t *ret_len);
/* The body of a reply with status RPC_ERROR. As above. */
int rpc_code_error(const struct rpc_head *head, const struct rpc_error *err, uint8_t **ret,
		   size_t *ret_len);
/* Reads one. 0; EPROTO, and err says so. */
int rpc_code_read_error(const uint8_t *body, size_t len, struct rpc_error *err);

#endif
