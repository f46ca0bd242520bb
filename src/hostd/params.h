/* SPDX-License-Identifier: MIT */
/*
 * Our things as the protocol's types, and lists of named values.
 */
#ifndef DROVER_HOSTD_PARAMS_H
#define DROVER_HOSTD_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostd/dom.h"
#include "rpc/libvirt.h"

/* Borrows d's name. */
rpc_dom params_dom(const struct dom *d);

/*
 * Named values of one answer, at most RPC_PARAMS_MAX of them. Names are constants, borrowed; a
 * string is borrowed as well. More than that are left out.
 */
struct params {
	rpc_param v[RPC_PARAMS_MAX];
	unsigned int n;
};

void params_put_int(struct params *p, const char *name, int value);
void params_put_uint(struct params *p, const char *name, unsigned int value);
void params_put_u64(struct params *p, const char *name, uint64_t value);
void params_put_bool(struct params *p, const char *name, bool value);
void params_put_text(struct params *p, const char *name, const char *value);

/* What was asked for by name; NULL: it was not, or is of another type. */
const char *params_find_text(const rpc_param *v, unsigned int n, const char *name);
const uint64_t *params_find_u64(const rpc_param *v, unsigned int n, const char *name);

#endif
