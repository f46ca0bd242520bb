/* SPDX-License-Identifier: MIT */
/*
 * Our things as the protocol's. Invariant: nothing here owns memory; what is made lives as long as
 * what it was made of.
 */
#include "hostd/params.h"

#include <string.h>

rpc_dom params_dom(const struct dom *d)
{
	rpc_dom w = { .name = d->name, .id = d->id };

	memcpy(w.uuid, d->uuid, sizeof(w.uuid));
	return w;
}

static rpc_param *put(struct params *p, const char *name, int type)
{
	static rpc_param too_many; /* written to, never read */
	rpc_param *at = p->n < RPC_PARAMS_MAX ? &p->v[p->n++] : &too_many;

	memset(at, 0, sizeof(*at));
	at->name = (char *)(uintptr_t)name;
	at->value.type = type;
	return at;
}

void params_put_int(struct params *p, const char *name, int value)
{
	put(p, name, RPC_PARAM_INT)->value.rpc_value_u.i = value;
}

void params_put_uint(struct params *p, const char *name, unsigned int value)
{
	put(p, name, RPC_PARAM_UINT)->value.rpc_value_u.u = value;
}

void params_put_u64(struct params *p, const char *name, uint64_t value)
{
	put(p, name, RPC_PARAM_ULLONG)->value.rpc_value_u.ul = value;
}

void params_put_bool(struct params *p, const char *name, bool value)
{
	put(p, name, RPC_PARAM_BOOLEAN)->value.rpc_value_u.b = value;
}

void params_put_text(struct params *p, const char *name, const char *value)
{
	put(p, name, RPC_PARAM_STRING)->value.rpc_value_u.s = (char *)(uintptr_t)value;
}

static const rpc_param *find(const rpc_param *v, unsigned int n, const char *name, int type)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return v[i].value.type == type ? &v[i] : NULL;
	return NULL;
}

const char *params_find_text(const rpc_param *v, unsigned int n, const char *name)
{
	const rpc_param *p = find(v, n, name, RPC_PARAM_STRING);

	return p ? p->value.rpc_value_u.s : NULL;
}

const uint64_t *params_find_u64(const rpc_param *v, unsigned int n, const char *name)
{
	const rpc_param *p = find(v, n, name, RPC_PARAM_ULLONG);

	return p ? (const uint64_t *)&p->value.rpc_value_u.ul : NULL;
}
