/* SPDX-License-Identifier: MIT */
/*
 * This daemon as the client of another one. Invariant: a thread of the pool has the object to
 * itself between uv_queue_work and its end, but for what wakes it; whoever called is answered once,
 * and if he goes away, so does this.
 *
 *   begun here ─► thread: connect, Prepare there ─► performed here ─► thread: Finish there ─► told
 */
#include "hostd/p2p.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/params.h"
#include "hostd/peer.h"
#include "rpc/client.h"
#include "rpc/error.h"

struct p2p {
	struct list link;
	struct host *host;
	uv_work_t work;
	bool busy;	       /* a thread has it */
	bool abandoned;	       /* the daemon ends: freed when the thread is done */
	int wake;	       /* an eventfd: ends what the thread waits for */
	uint64_t call, caller; /* the client's */
	struct mig_id id;
	struct rpc_client *peer;
	struct rpc_tls_files files; /* certificates of this host */
	/* Owned copies of what the client said; NULL: it did not. */
	char *uri, *dname, *xml, *persist_xml, *migrate_uri;
	char *name_there; /* owned: its name at the destination */
	uint32_t flags;	  /* as given */
	uint64_t bandwidth_mib;
	char *cookie; /* owned: for the next call there */
	size_t cookie_len;
	/* Of Prepare */
	char *uri_out;
	int prepared; /* 0, or an errno with error */
	/* Of Perform, here */
	int code; /* 0, or libvirt's with why */
	char why[VMM_ERROR_MAX];
	struct rpc_error error;
};

static void p2p_free(struct p2p *p)
{
	list_remove(&p->link);
	rpc_client_free(p->peer);
	if (p->wake >= 0)
		close(p->wake);
	free(p->uri);
	free(p->dname);
	free(p->name_there);
	free(p->xml);
	free(p->persist_xml);
	free(p->migrate_uri);
	free(p->cookie);
	free(p->uri_out);
	free(p);
}

/* Nobody waits for what it does any more. */
static void p2p_wake(struct p2p *p)
{
	uint64_t one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		log_warning("peer to peer: its thread ends by its time limit: %s", strerror(errno));
}

void p2p_caller_closed(struct host *h, uint64_t caller)
{
	struct p2p *p;

	list_for_each(p, &h->migration->p2ps, link) {
		if (p->caller != caller)
			continue;
		/* Its thread's end finds that there is no call; what is performed tells nobody. */
		if (p->busy)
			p2p_wake(p);
		else
			p2p_free(p);
	}
}

void p2p_drop_all(struct host *h)
{
	struct p2p *p;

	list_for_each(p, &h->migration->p2ps, link) {
		list_remove(&p->link);
		list_init(&p->link);
		p->abandoned = true;
		if (p->busy)
			p2p_wake(p);
		else
			p2p_free(p);
	}
}

/* ---- in a thread ---- */

static void put(struct params *out, const char *name, const char *value)
{
	if (value)
		params_put_text(out, name, value);
}

static rpc_cookie cookie_of(const struct p2p *p)
{
	rpc_cookie c = { (unsigned int)p->cookie_len, p->cookie };

	return c;
}

/* What is the client's business alone is not passed on. */
static unsigned int flags_there(const struct p2p *p)
{
	return p->flags & ~(unsigned int)(MIG_PEER2PEER | MIG_CHANGE_PROTECTION);
}

static int take_prepared(struct p2p *p, struct rpc_prepare_ret *ret)
{
	free(p->cookie);
	p->cookie = ret->cookie.rpc_cookie_val;
	p->cookie_len = ret->cookie.rpc_cookie_len;
	ret->cookie.rpc_cookie_val = NULL;
	ret->cookie.rpc_cookie_len = 0;
	if (ret->uri) {
		p->uri_out = *ret->uri;
		*ret->uri = NULL;
		free(ret->uri);
		ret->uri = NULL;
	} else if (p->migrate_uri) {
		p->uri_out = strdup(p->migrate_uri);
	}
	return 0;
}

static void on_prepare(uv_work_t *work)
{
	struct p2p *p = CONTAINER_OF(work, struct p2p, work);
	struct rpc_client_options o = { .connect_ms = P2P_CONNECT_MS,
					.wake_fd = p->wake,
					.tls = &p->files };
	char text[RPC_MESSAGE_MAX];
	struct rpc_prepare_args args = { .flags = flags_there(p), .cookie = cookie_of(p) };
	struct rpc_prepare_ret ret = { 0 };
	struct params out = { .n = 0 };

	p->prepared = rpc_client_open(p->uri, &o, &p->peer, &p->error);
	if (p->prepared) {
		snprintf(text, sizeof(text), "%s", p->error.message);
		rpc_error_set(&p->error, p->error.code, p->error.domain, "%.256s: %s", p->uri,
			      text);
		return;
	}
	put(&out, "destination_name", p->dname);
	put(&out, "destination_xml", p->xml);
	put(&out, "persistent_xml", p->persist_xml);
	put(&out, "migrate_uri", p->migrate_uri);
	if (p->bandwidth_mib)
		params_put_u64(&out, "bandwidth", p->bandwidth_mib);
	args.params.rpc_params_len = out.n;
	args.params.rpc_params_val = out.v;
	p->prepared = rpc_client_call(p->peer, RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS,
				      RPC_XDR(rpc_prepare_args), &args, RPC_XDR(rpc_prepare_ret),
				      &ret, sizeof(ret), P2P_PREPARE_MS, &p->error);
	if (!p->prepared)
		p->prepared = take_prepared(p, &ret);
	rpc_code_free(RPC_XDR(rpc_prepare_ret), &ret, sizeof(ret));
}

/* What it answers changes nothing any more: who runs the guest is settled. */
static void on_finish(uv_work_t *work)
{
	struct p2p *p = CONTAINER_OF(work, struct p2p, work);
	struct rpc_finish_args args = { .flags = flags_there(p),
					.cancelled = p->code != 0,
					.cookie = cookie_of(p) };
	struct rpc_finish_ret ret = { 0 };
	struct params out = { .n = 0 };

	put(&out, "destination_name", p->name_there);
	args.params.rpc_params_len = out.n;
	args.params.rpc_params_val = out.v;
	p->prepared = rpc_client_call(p->peer, RPC_DOMAIN_MIGRATE_FINISH3_PARAMS,
				      RPC_XDR(rpc_finish_args), &args, RPC_XDR(rpc_finish_ret),
				      &ret, sizeof(ret), P2P_FINISH_MS, &p->error);
	rpc_code_free(RPC_XDR(rpc_finish_ret), &ret, sizeof(ret));
	rpc_client_close(p->peer);
	p->peer = NULL;
}

/* ---- on the loop ---- */

static void answer(struct p2p *p)
{
	struct call *c = call_find(p->host, p->call);
	struct rpc_cookie_ret ret = { { 0, NULL } };

	if (c && p->code)
		call_fail(c, p->code, "%s", p->why);
	else if (c)
		call_reply(c, &ret);
	hostd_wake(p->host);
	p2p_free(p);
}

/*
 * It does not come to be sent: the machine is told, and the destination by the closed connection.
 * Another migration of the guest may have begun since this one ended.
 */
static void give_up(struct p2p *p, int code, const char *why)
{
	const struct mig_row *row = migrator_find(p->host->migrator, &p->id);
	char text[256];

	if (row && row->phase == MIG_BEGUN)
		(void)migrator_abort(p->host->migrator, row->uuid, why, text, sizeof(text));
	p->code = code;
	snprintf(p->why, sizeof(p->why), "%s", why);
	answer(p);
}

/* Nothing was performed: what Finish says is all there is, or what became of it by then. */
static void finished_offline(struct p2p *p)
{
	const struct mig_row *row = migrator_find(p->host->migrator, &p->id);
	/* What is given only may be given back yet. */
	bool moved = row && row->phase == MIG_DONE && row->outcome == MIG_MOVED &&
		     p->prepared != EREMOTEIO;

	if (p->prepared && !moved)
		give_up(p, p->error.code ? p->error.code : RPC_ERR_OPERATION_FAILED,
			p->error.message);
	else
		answer(p);
}

static void on_finished(uv_work_t *work, int status)
{
	struct p2p *p = CONTAINER_OF(work, struct p2p, work);

	(void)status;
	p->busy = false;
	if (p->abandoned) {
		p2p_free(p);
		return;
	}
	if (p->flags & MIG_OFFLINE) {
		finished_offline(p);
		return;
	}
	if (p->prepared && !p->code) /* it has moved: what follows there, its own daemon does */
		log_warning("the destination's daemon, asked how it ended: %s", p->error.message);
	answer(p);
}

static void finish(struct p2p *p)
{
	p->busy = true;
	if (!uv_queue_work(p->host->loop, &p->work, on_finish, on_finished))
		return;
	p->busy = false;
	answer(p);
}

static void perform(struct p2p *p, struct run *run)
{
	const struct migration_args a = { .flags = p->flags, .bandwidth_mib = p->bandwidth_mib };
	struct call *c = call_find(p->host, p->call);
	struct mig_cookie cookie;
	char text[512] = "";
	int r;

	r = mig_cookie_parse(p->cookie, p->cookie_len, &cookie, text, sizeof(text));
	if (r || !p->uri_out || !migration_reaches_back(c, &cookie, text, sizeof(text))) {
		give_up(p, RPC_ERR_OPERATION_FAILED,
			r ? "the destination's daemon is no drover-hostd: its cookie is not ours"
			: p->uri_out
				? text
				: "the destination's daemon did not say where to send the guest");
		return;
	}
	if (p->flags & MIG_OFFLINE) {
		finish(p);
		return;
	}
	migration_options(run, run->dom, &a, p->uri_out);
	r = migrator_perform(p->host->migrator, &cookie, p->flags, call_caller_id(c), p->call, text,
			     sizeof(text));
	if (r)
		give_up(p, migration_refusal(r), text);
}

static void on_prepared(uv_work_t *work, int status)
{
	struct p2p *p = CONTAINER_OF(work, struct p2p, work);
	struct run *run;

	p->busy = false;
	if (p->abandoned) {
		p2p_free(p);
		return;
	}
	run = run_find(p->host, &p->id);
	if (status || p->prepared)
		give_up(p, p->error.code ? p->error.code : RPC_ERR_OPERATION_FAILED,
			p->error.message);
	else if (!run || !run->dom || !call_find(p->host, p->call))
		give_up(p, RPC_ERR_OPERATION_ABORTED, "aborted by the client");
	else
		perform(p, run);
}

bool p2p_performed(struct host *h, const struct mig_effect *e)
{
	struct p2p *p, *found = NULL;
	char *text;
	size_t len;

	list_for_each(p, &h->migration->p2ps, link) {
		if (p->call == e->call)
			found = p;
	}
	if (!found)
		return false;
	p = found;
	if (e->err) {
		p->code = migration_code(e->err);
		snprintf(p->why, sizeof(p->why), "%s", e->why);
	}
	text = e->cookie ? mig_cookie_print(e->cookie, &len) : NULL;
	if (text) {
		free(p->cookie);
		p->cookie = text;
		p->cookie_len = len;
	}
	finish(p);
	return true;
}

static bool copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static bool copy_args(struct p2p *p, const struct migration_args *a, const char *dconnuri)
{
	p->flags = a->flags;
	p->bandwidth_mib = a->bandwidth_mib;
	return copy(&p->uri, dconnuri) && copy(&p->dname, a->dname) &&
	       copy(&p->persist_xml, a->persist_xml) && copy(&p->migrate_uri, a->uri);
}

void p2p_start(struct call *c, struct dom *d, const struct migration_args *a, const char *dconnuri)
{
	struct host *h = call_host(c);
	struct mig_cookie cookie;
	struct p2p *p;

	if (!dconnuri) {
		call_fail(c, RPC_ERR_INVALID_ARG, "dconnuri: it is missing");
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	list_append(&h->migration->p2ps, &p->link);
	p->host = h;
	peers_tls_files(h->set, &p->files);
	p->call = call_id(c);
	p->caller = call_caller_id(c);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake < 0 || !copy_args(p, a, dconnuri) ||
	    !copy(&p->name_there, a->dname ? a->dname : d->name)) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory, or no descriptor");
		p2p_free(p);
		return;
	}
	if (!migration_begin(c, d, a, &cookie, &p->xml)) {
		p2p_free(p);
		return;
	}
	p->id = cookie.id;
	p->cookie = migration_begin_cookie(c, d, a->flags, &cookie, &p->cookie_len);
	if (!p->cookie) { /* told */
		p2p_free(p);
		return;
	}
	p->busy = !uv_queue_work(h->loop, &p->work, on_prepare, on_prepared);
	if (!p->busy)
		give_up(p, RPC_ERR_NO_MEMORY, "no memory");
}
