/* SPDX-License-Identifier: MIT */
/*
 * Who has the guest, after a migration whose end was not heard, or not a good one. Invariant:
 * nothing is concluded from silence.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/migrate.h"
#include "config/client.h"
#include "rpc/peer.h"

#define ASK_MS 3000u  /* for an answer, and for a connection */
#define AGAIN_MS 200u /* until they are asked again */
#define STATE_RUNNING 1

const char *move_default_uri(void)
{
	const char *env = getenv("LIBVIRT_DEFAULT_URI");

	if (env && *env)
		return env;
	/* Of this host's daemon, whichever guests it runs. */
	return access("/run/libvirt/virtxend-sock", F_OK) < 0 &&
			       access("/run/libvirt/virtqemud-sock", F_OK) == 0
		       ? "qemu:///system"
		       : "xen:///system";
}

/* What one daemon says. */
struct side {
	const char *uri;
	struct rpc_client **client;
	bool answered;
	bool has;    /* knows the guest */
	int state;   /* libvirt's */
	int id;	     /* -1: it does not run */
	bool row;    /* knows the migration */
	int outcome; /* enum mig_outcome */
	char phase[32], waits_for[200], why[256];
};

static struct rpc_client *client_of(struct side *s)
{
	struct rpc_client_options o = { .connect_ms = ASK_MS };
	struct rpc_error err;

	if (!*s->client && rpc_client_open(s->uri, &o, s->client, &err)) {
		snprintf(s->why, sizeof(s->why), "%.250s", err.message);
		*s->client = NULL;
	}
	return *s->client;
}

/* Lost: another connection next time. */
static void drop(struct side *s, const struct rpc_error *err)
{
	snprintf(s->why, sizeof(s->why), "%.250s", err->message);
	rpc_client_free(*s->client);
	*s->client = NULL;
}

static bool ask_guest(struct side *s, const struct rpc_dom *dom)
{
	struct rpc_uuid_args args;
	struct rpc_dom_flags_args of;
	struct rpc_dom_state_ret state;
	struct rpc_dom_ret ret;
	struct rpc_error err;
	int r;

	memcpy(args.uuid, dom->uuid, sizeof(args.uuid));
	r = rpc_client_call(*s->client, RPC_DOMAIN_LOOKUP_BY_UUID, RPC_XDR(rpc_uuid_args), &args,
			    RPC_XDR(rpc_dom_ret), &ret, sizeof(ret), ASK_MS, &err);
	if (r == EREMOTEIO && err.code == RPC_ERR_NO_DOMAIN)
		return true;
	if (r) {
		drop(s, &err);
		return false;
	}
	of = (struct rpc_dom_flags_args){ .dom = ret.dom };
	r = rpc_client_call(*s->client, RPC_DOMAIN_GET_STATE, RPC_XDR(rpc_dom_flags_args), &of,
			    RPC_XDR(rpc_dom_state_ret), &state, sizeof(state), ASK_MS, &err);
	s->has = !r;
	s->id = ret.dom.id;
	s->state = r ? 0 : state.state;
	rpc_code_free(RPC_XDR(rpc_dom_ret), &ret, sizeof(ret));
	if (r && r != EREMOTEIO) {
		drop(s, &err);
		return false;
	}
	return true; /* between the two calls it may have gone */
}

/* What our own daemons know of the migration; others know no such procedure. */
static void ask_row(struct side *s, const struct mig_id *id)
{
	struct peer_list_args args = { .id = { .id_len = sizeof(id->b),
					       .id_val = (char *)(uintptr_t)id->b } };
	struct peer_list_ret ret;
	struct rpc_error err;
	int r = rpc_client_call_program(*s->client, PEER_PROGRAM, PEER_VERSION, PEER_LIST,
					RPC_XDR(peer_list_args), &args, RPC_XDR(peer_list_ret),
					&ret, sizeof(ret), ASK_MS, &err);

	if (r)
		return;
	s->row = ret.migrations.migrations_len > 0;
	if (s->row) {
		const struct peer_migration *m = &ret.migrations.migrations_val[0];

		s->outcome = m->outcome;
		snprintf(s->phase, sizeof(s->phase), "%.31s",
			 m->phase >= 0 && m->phase < MIG_PHASES
				 ? mig_phase_name((enum mig_phase)m->phase)
				 : "?");
		snprintf(s->waits_for, sizeof(s->waits_for), "%.199s", m->waits_for);
		snprintf(s->why, sizeof(s->why), "%.255s", m->why);
	}
	rpc_code_free(RPC_XDR(peer_list_ret), &ret, sizeof(ret));
}

static void ask(struct move *m, struct side *s)
{
	s->answered = s->has = s->row = false;
	s->id = -1;
	s->outcome = MIG_OPEN;
	s->phase[0] = s->waits_for[0] = s->why[0] = '\0';
	s->answered = client_of(s) && ask_guest(s, &m->dom);
	if (s->answered && m->has_id)
		ask_row(s, &m->id);
}

static bool runs(const struct side *s)
{
	return s->has && s->id >= 0 && s->state == STATE_RUNNING;
}

static bool is_active(const struct side *s)
{
	return s->has && s->id >= 0;
}

/* Of a guest that does not run anyway, or is to be paused where it arrives. */
static enum move_verdict judge_still(const struct move *m, const struct side *src,
				     const struct side *dst)
{
	if (m->flags & MIG_OFFLINE)
		return dst->has ? MOVE_IS_THERE : src->has ? MOVE_IS_HERE : MOVE_IS_NOWHERE;
	if (is_active(dst) && !is_active(src))
		return MOVE_IS_THERE;
	if (is_active(src) && !is_active(dst))
		return MOVE_IS_HERE;
	return is_active(src) ? MOVE_IS_UNKNOWN : MOVE_IS_NOWHERE;
}

/* *ret_settled: nothing will change any more. */
static enum move_verdict judge(const struct move *m, const struct side *src, const struct side *dst,
			       bool *ret_settled)
{
	bool open =
		(src->row && src->outcome == MIG_OPEN) || (dst->row && dst->outcome == MIG_OPEN);

	*ret_settled = src->answered && dst->answered && !open;
	/* A journal's word holds, also without the other's. */
	if (dst->row && dst->outcome == MIG_MOVED && (!src->row || src->outcome != MIG_STAYED))
		return MOVE_IS_THERE;
	if (src->row && src->outcome == MIG_STAYED)
		return MOVE_IS_HERE;
	if (!src->answered || !dst->answered)
		return MOVE_IS_UNKNOWN;
	if (runs(src) && runs(dst))
		return MOVE_IS_TWICE;
	if (open)
		return MOVE_IS_UNKNOWN;
	if (runs(dst))
		return MOVE_IS_THERE;
	if (runs(src))
		return MOVE_IS_HERE;
	return judge_still(m, src, dst);
}

static void describe(const struct side *s, char *ret, size_t room)
{
	static const char *const states[] = { "has it, in no state",   "runs it",
					      "has it, blocked",       "has it paused",
					      "has it, shutting down", "has it shut off",
					      "has it crashed",	       "has it suspended" };

	if (!s->answered)
		snprintf(ret, room, "does not answer: %s", s->why);
	else if (s->row && s->outcome == MIG_OPEN)
		snprintf(ret, room, "%s%s%s",
			 !s->has					      ? "does not have it"
			 : s->state >= 0 && s->state < (int)ARRAY_LEN(states) ? states[s->state]
									      : "has it",
			 *s->waits_for ? ", waits for " : ", is at ",
			 *s->waits_for ? s->waits_for : s->phase);
	else if (!s->has)
		snprintf(ret, room, "does not have it");
	else
		snprintf(ret, room, "%s",
			 s->state >= 0 && s->state < (int)ARRAY_LEN(states) ? states[s->state]
									    : "has it");
}

void move_find_truth(struct move *m, struct move_truth *ret)
{
	struct side src = { .uri = m->o.connect, .client = &m->src };
	struct side dst = { .uri = m->o.dest, .client = &m->dst };
	struct pollfd wake = { .fd = m->wake_fd, .events = POLLIN };
	uint64_t by = conf_now_ms() + m->o.settle_ms;
	bool settled = false;

	for (;;) {
		ask(m, &src);
		ask(m, &dst);
		ret->verdict = judge(m, &src, &dst, &settled);
		if (settled || conf_now_ms() >= by || poll(&wake, 1, AGAIN_MS) > 0)
			break;
	}
	describe(&src, ret->source, sizeof(ret->source));
	describe(&dst, ret->destination, sizeof(ret->destination));
}
