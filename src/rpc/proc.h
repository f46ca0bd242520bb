/* SPDX-License-Identifier: MIT */
/*
 * The procedures and events of libvirt.x and peer.x: what each carries.
 */
#ifndef DROVER_RPC_PROC_H
#define DROVER_RPC_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/code.h"

struct rpc_proc {
	int32_t number;
	const char *name;    /* the constant of the .x, "RPC_DOMAIN_GET_INFO" */
	xdrproc_t args, ret; /* NULL: nothing is carried. An event has args alone */
	size_t args_size, ret_size;
};

/* NULL: none of that number. program: RPC_PROGRAM or PEER_PROGRAM. */
const struct rpc_proc *rpc_proc_find(uint32_t program, int32_t number);
/* The table, in order of numbers. */
const struct rpc_proc *rpc_proc_table(uint32_t program, size_t *ret_n);

/* "domain-attach-device" of any procedure of libvirt's, served or not; NULL: a later libvirt's. */
const char *rpc_proc_name(int32_t number);

#define RPC_PROC_SIZE_MAX 512u /* octets: every args_size and ret_size is at most that */

#endif
