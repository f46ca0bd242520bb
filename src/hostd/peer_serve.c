/* SPDX-License-Identifier: MIT */
/*
 * What other daemons ask. Invariant: a peer speaks of a migration only if its certificate is the
 * one that this migration's cookie named, where it named one.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "hostd/front.h"
#include "hostd/peer_own.h"
#include "hostd/settings.h"
#include "rpc/error.h"

void peers_hello(const struct host *h, struct peer_hello *ret)
{
	const char *address = h->set->peer_address;

	memset(ret, 0, sizeof(*ret));
	ret->host = (char *)(uintptr_t)h->name;
	memcpy(ret->host_id, h->uuid, sizeof(ret->host_id));
	ret->address = (char *)(uintptr_t)(address ? address : "");
	ret->drover = (char *)(uintptr_t)DROVER_VERSION;
}

static void serve_hello(struct call *c, void *args)
{
	const struct peer_hello *hello = args;
	struct peer_hello mine;

	log_info("peer at %s: host %s, version %s", hello->address, hello->host, hello->drover);
	peers_hello(call_host(c), &mine);
	call_reply(c, &mine);
}

/* Whether the caller may speak of that migration; one that is not known concerns nobody. */
static bool may_speak(struct call *c, const struct mig_id *id)
{
	const struct mig_row *row = migrator_find(call_host(c)->migrator, id);
	struct caller *caller = call_caller(c);
	const char *shown = caller ? caller_fingerprint(caller) : "";

	return !row || !row->peer.fingerprint[0] || !shown[0] ||
	       !strcmp(row->peer.fingerprint, shown);
}

static void serve_msg(struct call *c, void *args)
{
	const struct peer_msg *m = args;
	struct mig_msg msg = {
		.type = (enum mig_msg_type)m->type,
		.epoch = m->epoch,
		.promise = m->promise,
		.arbiter = m->arbiter,
		.why = m->why,
		.host = m->host,
		.blob = (const uint8_t *)m->blob.blob_val,
		.blob_len = m->blob.blob_len,
	};

	memcpy(msg.id.b, m->id, sizeof(msg.id.b));
	if (m->type < MIG_MSG_START || m->type >= MIG_MSGS) {
		call_fail(c, RPC_ERR_INVALID_ARG, "type: %u is no message between daemons",
			  m->type);
		return;
	}
	if (!may_speak(c, &msg.id)) {
		call_fail(c, RPC_ERR_ACCESS_DENIED,
			  "id: another certificate than this connection's was named for this "
			  "migration");
		return;
	}
	migrator_peer_call(call_host(c)->migrator, &msg, call_caller_id(c), call_id(c));
}

const struct proc peer_procs[] = {
	{ PEER_START, serve_msg, PROC_PEER },
	{ PEER_STATE, serve_msg, PROC_PEER },
	{ PEER_ABORT, serve_msg, PROC_PEER },
	{ PEER_COMMIT, serve_msg, PROC_PEER },
	{ PEER_FAILED, serve_msg, PROC_PEER },
	{ PEER_TAKEN, serve_msg, PROC_PEER },
	{ PEER_RETURN, serve_msg, PROC_PEER },
	{ PEER_HELLO, serve_hello, PROC_PEER },
	{ PEER_STATUS, serve_hello, PROC_PEER },
	/* For people: whoever may list domains may. */
	{ PEER_LIST, peer_serve_list, PROC_READ_ONLY },
	{ 0 },
};
