/* SPDX-License-Identifier: MIT */
/*
 * What the machine answers to a client's Prepare, Perform, Finish or Confirm. A client that is gone
 * is told nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call.h"
#include "hostd/migration.h"
#include "hostd/p2p.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

static void text_freep(char **p)
{
	free(*p);
}

int migration_code(int err)
{
	switch (err) {
	case ECANCELED:
		return RPC_ERR_OPERATION_ABORTED;
	case EINVAL:
		return RPC_ERR_OPERATION_INVALID;
	case ENOMEM:
		return RPC_ERR_NO_MEMORY;
	case ETIMEDOUT:
		return RPC_ERR_OPERATION_TIMEOUT;
	case EOPNOTSUPP:
		return RPC_ERR_CONFIG_UNSUPPORTED;
	default:
		return RPC_ERR_OPERATION_FAILED;
	}
}

static void reply_prepare(struct call *c, const struct mig_effect *e, rpc_cookie cookie)
{
	struct run *run = run_find(call_host(c), &e->id);
	char *uri = run && run->uri_out[0] ? run->uri_out : NULL;
	struct rpc_prepare_ret ret = { .cookie = cookie, .uri = uri ? &uri : NULL };

	call_reply(c, &ret);
}

/* The domain as it is now; it may have ended again since. */
static void reply_finish(struct call *c, const struct mig_effect *e, rpc_cookie cookie)
{
	const struct mig_row *row = e->row;
	const struct dom *d = dom_find_uuid(&call_host(c)->doms, row->uuid);
	const char *name = d ? d->name : row->new_name[0] ? row->new_name : row->guest;
	struct rpc_finish_ret ret = { .cookie = cookie };

	ret.dom.name = (char *)(uintptr_t)name;
	memcpy(ret.dom.uuid, row->uuid, sizeof(row->uuid));
	ret.dom.id = d ? d->id : -1;
	call_reply(c, &ret);
}

void migration_reply(struct host *h, const struct mig_effect *e)
{
	struct call *c = call_find(h, e->call);
	CLEANUP(text_free) char *text = NULL;
	struct rpc_cookie_ret perform;
	rpc_cookie cookie = { 0, NULL };
	size_t len = 0;

	if (!c || p2p_performed(h, e))
		return;
	if (e->err) {
		call_fail(c, migration_code(e->err), "%s", e->why);
		return;
	}
	if (e->cookie) {
		text = mig_cookie_print(e->cookie, &len);
		if (!text) {
			call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
			return;
		}
		cookie.rpc_cookie_val = text;
		cookie.rpc_cookie_len = (unsigned int)len;
	}
	switch (call_procedure(c)) {
	case RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS:
		reply_prepare(c, e, cookie);
		break;
	case RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS:
		perform.cookie = cookie;
		call_reply(c, &perform);
		break;
	case RPC_DOMAIN_MIGRATE_FINISH3_PARAMS:
		reply_finish(c, e, cookie);
		break;
	default:
		call_reply(c, NULL);
		break;
	}
}
