/* SPDX-License-Identifier: MIT */
/*
 * Calls that list guests, or find one. Invariant: what an answer refers to belongs to the registry,
 * and is encoded before the handler returns.
 */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/params.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

enum { /* VIR_CONNECT_LIST_DOMAINS_* */
       LIST_ACTIVE = 1u << 0,
       LIST_INACTIVE = 1u << 1,
       LIST_PERSISTENT = 1u << 2,
       LIST_TRANSIENT = 1u << 3,
       LIST_RUNNING = 1u << 4,
       LIST_PAUSED = 1u << 5,
       LIST_SHUTOFF = 1u << 6,
       LIST_OTHER = 1u << 7,
       LIST_MANAGEDSAVE = 1u << 8,
       LIST_NO_MANAGEDSAVE = 1u << 9,
       LIST_AUTOSTART = 1u << 10,
       LIST_NO_AUTOSTART = 1u << 11,
       LIST_HAS_SNAPSHOT = 1u << 12,
       LIST_NO_SNAPSHOT = 1u << 13,
       LIST_HAS_CHECKPOINT = 1u << 14,
       LIST_NO_CHECKPOINT = 1u << 15,
       LIST_ALL = (1u << 16) - 1,
};

static unsigned int traits(const struct dom *d)
{
	unsigned int is = LIST_NO_SNAPSHOT | LIST_NO_CHECKPOINT;

	is |= d->managed ? LIST_MANAGEDSAVE : LIST_NO_MANAGEDSAVE;
	is |= dom_is_active(d) ? LIST_ACTIVE : LIST_INACTIVE;
	is |= d->persistent ? LIST_PERSISTENT : LIST_TRANSIENT;
	is |= d->autostart ? LIST_AUTOSTART : LIST_NO_AUTOSTART;
	switch (d->state) {
	case DOM_RUNNING:
		return is | LIST_RUNNING;
	case DOM_PAUSED:
		return is | LIST_PAUSED;
	case DOM_SHUTOFF:
		return is | LIST_SHUTOFF;
	default:
		return is | LIST_OTHER;
	}
}

/* Of each group of which anything is asked for, it has to have one. */
static bool is_wanted(const struct dom *d, unsigned int flags)
{
	static const unsigned int groups[] = {
		LIST_ACTIVE | LIST_INACTIVE,
		LIST_PERSISTENT | LIST_TRANSIENT,
		LIST_RUNNING | LIST_PAUSED | LIST_SHUTOFF | LIST_OTHER,
		LIST_MANAGEDSAVE | LIST_NO_MANAGEDSAVE,
		LIST_AUTOSTART | LIST_NO_AUTOSTART,
		LIST_HAS_SNAPSHOT | LIST_NO_SNAPSHOT,
		LIST_HAS_CHECKPOINT | LIST_NO_CHECKPOINT,
	};
	unsigned int is = traits(d);

	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (flags & groups[i] && !(flags & groups[i] & is))
			return false;
	return true;
}

static void on_list_all(struct call *c, void *args)
{
	const struct rpc_list_all_args *a = args;
	const struct registry *r = &call_host(c)->doms;
	struct rpc_list_all_ret ret = { 0 };
	rpc_dom *v;

	if (!call_flags(c, a->flags, LIST_ALL))
		return;
	v = calloc(r->n + 1, sizeof(*v));
	if (!v) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	for (size_t i = 0; i < r->n; i++)
		if (is_wanted(r->by_name[i], a->flags))
			v[ret.ret++] = params_dom(r->by_name[i]);
	ret.doms.doms_val = v;
	ret.doms.doms_len = a->want ? ret.ret : 0;
	call_reply(c, &ret);
	free(v);
}

static int count(const struct host *h, bool active)
{
	int n = 0;

	for (size_t i = 0; i < h->doms.n; i++)
		n += dom_is_active(h->doms.by_name[i]) == active;
	return n;
}

static void on_count_active(struct call *c, void *args)
{
	struct rpc_int_ret ret = { count(call_host(c), true) };

	(void)args;
	call_reply(c, &ret);
}

static void on_count_defined(struct call *c, void *args)
{
	struct rpc_int_ret ret = { count(call_host(c), false) };

	(void)args;
	call_reply(c, &ret);
}

/* How many a client wants at most; false: that is none, and the call has failed. */
static bool want_of(struct call *c, int max, unsigned int *ret)
{
	if (max < 0 || (unsigned int)max > RPC_DOMAINS_MAX) {
		call_fail(c, RPC_ERR_RPC, "%d domains are asked for: 0 to %u", max,
			  (unsigned int)RPC_DOMAINS_MAX);
		return false;
	}
	*ret = (unsigned int)max;
	return true;
}

static void on_list_ids(struct call *c, void *args)
{
	const struct rpc_int_args *a = args;
	const struct registry *r = &call_host(c)->doms;
	struct rpc_list_ids_ret ret = { 0 };
	int ids[DOM_MAX];
	unsigned int max;

	if (!want_of(c, a->value, &max))
		return;
	ret.ids.ids_val = ids;
	for (size_t i = 0; i < r->n && ret.ids.ids_len < max; i++)
		if (dom_is_active(r->by_name[i]))
			ids[ret.ids.ids_len++] = r->by_name[i]->id;
	call_reply(c, &ret);
}

static void on_list_defined(struct call *c, void *args)
{
	const struct rpc_int_args *a = args;
	const struct registry *r = &call_host(c)->doms;
	struct rpc_list_names_ret ret = { 0 };
	rpc_string names[DOM_MAX];
	unsigned int max;

	if (!want_of(c, a->value, &max))
		return;
	ret.names.names_val = names;
	for (size_t i = 0; i < r->n && ret.names.names_len < max; i++)
		if (!dom_is_active(r->by_name[i]))
			names[ret.names.names_len++] = r->by_name[i]->name;
	call_reply(c, &ret);
}

static void reply_dom(struct call *c, const struct dom *d)
{
	struct rpc_dom_ret ret = { params_dom(d) };

	call_reply(c, &ret);
}

static void on_by_id(struct call *c, void *args)
{
	const struct rpc_int_args *a = args;
	const struct dom *d = dom_find_id(&call_host(c)->doms, a->value);

	if (d)
		reply_dom(c, d);
	else
		call_fail(c, RPC_ERR_NO_DOMAIN, "no domain with matching id %d", a->value);
}

static void on_by_name(struct call *c, void *args)
{
	const struct rpc_string_args *a = args;
	const struct dom *d = dom_find_name(&call_host(c)->doms, a->value);

	if (d)
		reply_dom(c, d);
	else
		call_fail(c, RPC_ERR_NO_DOMAIN, "no domain with matching name '%.256s'", a->value);
}

static void on_by_uuid(struct call *c, void *args)
{
	const struct rpc_uuid_args *a = args;
	const struct dom *d = dom_find_uuid(&call_host(c)->doms, (const uint8_t *)a->uuid);
	char text[DEF_UUID_TEXT];

	if (d) {
		reply_dom(c, d);
		return;
	}
	def_uuid_print((const uint8_t *)a->uuid, text);
	call_fail(c, RPC_ERR_NO_DOMAIN, "no domain with matching uuid '%s'", text);
}

const struct proc *call_list_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_CONNECT_LIST_ALL_DOMAINS, on_list_all, PROC_READ_ONLY },
		{ RPC_CONNECT_NUM_OF_DOMAINS, on_count_active, PROC_READ_ONLY },
		{ RPC_CONNECT_NUM_OF_DEFINED_DOMAINS, on_count_defined, PROC_READ_ONLY },
		{ RPC_CONNECT_LIST_DOMAINS, on_list_ids, PROC_READ_ONLY },
		{ RPC_CONNECT_LIST_DEFINED_DOMAINS, on_list_defined, PROC_READ_ONLY },
		{ RPC_DOMAIN_LOOKUP_BY_ID, on_by_id, PROC_READ_ONLY },
		{ RPC_DOMAIN_LOOKUP_BY_NAME, on_by_name, PROC_READ_ONLY },
		{ RPC_DOMAIN_LOOKUP_BY_UUID, on_by_uuid, PROC_READ_ONLY },
		{ 0 },
	};

	return procs;
}
