/* SPDX-License-Identifier: MIT */
/*
 * libvirt's five calls of a migration, its third version with parameters, and those about one that
 * is under way. Invariant: whatever a client sends is judged here, named and refused, before the
 * machine hears of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/front.h"
#include "hostd/migration_args.h"
#include "hostd/p2p.h"
#include "hostd/save.h"
#include "rpc/error.h"

DEFINE_CLEANUP(struct guest_def *, def_free)

static void text_freep(char **p)
{
	free(*p);
}

/* A code for the machine's refusal. */
int migration_refusal(int err)
{
	switch (err) {
	case EINVAL:
		return RPC_ERR_INVALID_ARG;
	case ECANCELED:
		return RPC_ERR_OPERATION_ABORTED;
	case EBUSY:
	case ENOENT:
		return RPC_ERR_OPERATION_INVALID;
	case ENOMEM:
		return RPC_ERR_NO_MEMORY;
	default:
		return RPC_ERR_OPERATION_FAILED;
	}
}

/* ---- Begin ---- */

/* What the destination is to be given: what the client wants, if it is the same machine, or ours.
 */
static char *begin_xml(struct call *c, struct dom *d, const struct migration_args *a)
{
	CLEANUP(def_free) struct guest_def *wanted = NULL;
	const struct guest_def *def = dom_def(d);
	struct xml_error err;
	char *text = NULL;

	if (a->flags & MIG_OFFLINE)
		def = d->persistent;
	if (a->xml) {
		wanted = migration_parse_xml(c, "destination_xml", a->xml);
		if (!wanted)
			return NULL;
		if (xml_check_abi(def, wanted, &err)) {
			call_fail(c, err.code, "destination_xml: %s", err.text);
			return NULL;
		}
		def = wanted;
	}
	if (xml_print(def, -1, XML_MIGRATABLE | XML_SECURE, &text)) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return NULL;
	}
	return text;
}

/* Whether the guest can be migrated at all, as it is now. */
static bool begin_check(struct call *c, struct dom *d, const struct migration_args *a)
{
	char text[512];

	if (a->flags & MIG_OFFLINE) {
		if (dom_is_active(d))
			call_fail(c, RPC_ERR_OPERATION_INVALID,
				  "domain '%s' is running: the flag offline is for one that is "
				  "not",
				  d->name);
		else if (!(a->flags & MIG_PERSIST_DEST))
			call_fail(c, RPC_ERR_OPERATION_INVALID,
				  "the flag offline needs the flag persistent");
		else
			return true;
		return false;
	}
	if (d->save) {
		call_fail(c, RPC_ERR_OPERATION_INVALID, "domain '%s' is being saved or restored",
			  d->name);
		return false;
	}
	if (!dom_is_active(d) || d->incoming || !d->guest) {
		call_fail(c, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
		return false;
	}
	if (!(a->flags & MIG_UNSAFE) && !migration_is_safe(d->live, text, sizeof(text))) {
		call_fail(c, RPC_ERR_MIGRATE_UNSAFE, "%s", text);
		return false;
	}
	return true;
}

static void begin_reply(struct call *c, const struct dom *d, uint32_t flags,
			const struct mig_cookie *cookie, char *xml)
{
	size_t len = 0;
	CLEANUP(text_free) char *text = migration_begin_cookie(c, d, flags, cookie, &len);
	struct rpc_begin_ret ret = { .xml = xml };

	ret.cookie.rpc_cookie_val = text;
	ret.cookie.rpc_cookie_len = (unsigned int)len;
	if (text)
		call_reply(c, &ret);
}

bool migration_begin(struct call *c, struct dom *d, const struct migration_args *a,
		     struct mig_cookie *ret, char **ret_xml)
{
	CLEANUP(text_free) char *xml = NULL;
	struct host *h = call_host(c);
	char text[512] = "";
	struct mig_begin b;
	struct run *run;
	int r;

	if (!begin_check(c, d, a))
		return false;
	xml = begin_xml(c, d, a);
	if (!xml)
		return false;
	b = (struct mig_begin){ .guest = d->name,
				.new_name = a->dname,
				.epoch = migration_epoch(h, d),
				.flags = a->flags,
				.running = d->state == DOM_RUNNING };
	memcpy(b.uuid, d->uuid, sizeof(b.uuid));
	r = migrator_begin(h->migrator, &b, call_caller_id(c), ret, text, sizeof(text));
	if (r) {
		call_fail(c, migration_refusal(r), "%s", text);
		return false;
	}
	run = run_new(h, &ret->id, MIG_SOURCE, d->uuid);
	if (!run) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return false;
	}
	run_set_dom(run, d);
	if (d->guest && vmm_guest_domid(d->guest) > 0)
		ret->domid = (uint16_t)vmm_guest_domid(d->guest);
	*ret_xml = TAKE(xml);
	return true;
}

static void proc_begin(struct call *c, void *args)
{
	const struct rpc_begin_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);
	CLEANUP(text_free) char *xml = NULL;
	struct migration_args a;
	struct mig_cookie cookie;

	if (d && migration_args_read(c, in->flags, &in->params, &a) &&
	    migration_begin(c, d, &a, &cookie, &xml))
		begin_reply(c, d, a.flags, &cookie, xml);
}

/* ---- Prepare ---- */

/* Whether a guest may come here; its name is def's. */
static bool prepare_check(struct call *c, const struct guest_def *def,
			  const struct mig_cookie *cookie)
{
	struct host *h = call_host(c);
	const struct dom *same = dom_find_uuid(&h->doms, def->uuid);
	const struct dom *named = dom_find_name(&h->doms, def->name);
	const struct mig_row *row = migrator_find(h->migrator, &cookie->id);
	char text[512] = "";

	if (memcmp(def->uuid, cookie->uuid, DEF_UUID_SIZE) != 0)
		call_fail(c, RPC_ERR_INVALID_ARG, "cookie: uuid is not the one in destination_xml");
	else if (row && row->side == MIG_SOURCE)
		call_fail(c, RPC_ERR_OPERATION_INVALID,
			  "domain '%s' is to be moved from this host: it cannot be its destination",
			  def->name);
	else if (run_find(h, &cookie->id))
		call_fail(c, RPC_ERR_OPERATION_INVALID,
			  "cookie: id is that of a migration that this host takes part in already");
	else if (same && (dom_is_active(same) || same->ending || same->again))
		call_fail(c, RPC_ERR_OPERATION_FAILED, "domain '%s' is active on this host already",
			  same->name);
	else if (named && named != same)
		call_fail(c, RPC_ERR_DOM_EXIST,
			  "domain '%s' exists on this host already, with another uuid",
			  named->name);
	else if (same && strcmp(same->name, def->name) != 0)
		call_fail(c, RPC_ERR_DOM_EXIST, "domain '%s' on this host has the same uuid",
			  same->name);
	else if (vmm_check(h->vmm, def, text, sizeof(text)))
		call_fail(c, RPC_ERR_CONFIG_UNSUPPORTED, "%s", text);
	else
		return true;
	return false;
}

static bool rename_def(struct call *c, struct guest_def *def, const char *name)
{
	char *copy = name ? strdup(name) : NULL;

	if (!name)
		return true;
	if (!copy) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return false;
	}
	free(def->name);
	def->name = copy;
	return true;
}

/* persistent_xml, or the source's definition, or NULL; false: the call has failed. */
static bool prepare_persist(struct call *c, const struct migration_args *a,
			    const rpc_cookie *cookie, const struct guest_def *def,
			    struct guest_def **ret)
{
	const char *name = a->persist_xml ? "persistent_xml" : "cookie: definition";
	const char *text = a->persist_xml ? a->persist_xml
					  : mig_cookie_definition(cookie->rpc_cookie_val,
								  cookie->rpc_cookie_len);
	struct guest_def *p;

	if (!text || !(a->flags & MIG_PERSIST_DEST))
		return true;
	p = migration_parse_xml(c, name, text);
	if (!p)
		return false;
	if (memcmp(p->uuid, def->uuid, DEF_UUID_SIZE) != 0) {
		call_fail(c, RPC_ERR_INVALID_ARG, "%s: <uuid> is another domain's", name);
		def_free(p);
		return false;
	}
	*ret = p;
	return rename_def(c, p, def->name);
}

/*
 * What is to be defined here, durably, before Prepare is answered: from then on the source may
 * undefine it, and either daemon be killed. 0, or an errno.
 */
static int prepare_keep(struct run *run, uint32_t flags)
{
	const struct dom *d = dom_find_uuid(&run->host->doms, run->uuid);
	int r;

	if (!(flags & MIG_PERSIST_DEST))
		return 0;
	if (!run->persist && (flags & MIG_OFFLINE || !d || !d->persistent)) {
		run->persist = def_copy(run->def);
		if (!run->persist)
			return ENOMEM;
	}
	r = run->persist ? run_keep_write(run) : 0;
	return r < 0 ? -r : r;
}

static void prepare_start(struct call *c, const struct mig_cookie *cookie,
			  const struct migration_args *a, struct guest_def **def,
			  struct guest_def **persist)
{
	struct host *h = call_host(c);
	char text[512] = "";
	struct run *run = run_new(h, &cookie->id, MIG_DESTINATION, cookie->uuid);
	int r = run ? 0 : ENOMEM;

	if (run)
		run->domid = cookie->domid;
	if (run && a->uri) {
		run->uri_in = strdup(a->uri);
		r = run->uri_in ? 0 : ENOMEM;
	}
	/* libvirt's client asks for an address also where nothing is sent to it. */
	if (run && a->flags & MIG_OFFLINE)
		snprintf(run->uri_out, sizeof(run->uri_out), "tcp://%s", h->name);
	if (!r) {
		run->def = TAKE(*def);
		run->persist = TAKE(*persist);
		r = prepare_keep(run, a->flags);
		if (r)
			snprintf(text, sizeof(text),
				 "what is to be defined here cannot be kept: %s", strerror(r));
	}
	if (!r) {
		r = migrator_prepare(h->migrator, cookie, a->flags, a->dname, call_caller_id(c),
				     call_id(c), text, sizeof(text));
	}
	if (r && run) {
		run_keep_remove(run);
		run_free(run);
	}
	if (r)
		call_fail(c, migration_refusal(r), "%s", r == ENOMEM ? "no memory" : text);
}

static void proc_prepare(struct call *c, void *args)
{
	const struct rpc_prepare_args *in = args;
	CLEANUP(def_free) struct guest_def *def = NULL;
	CLEANUP(def_free) struct guest_def *persist = NULL;
	struct migration_args a;
	struct mig_cookie cookie;
	struct data_uri uri;
	char text[512];

	if (!migration_args_read(c, in->flags, &in->params, &a) ||
	    !migration_cookie_read(c, &in->cookie, true, &cookie))
		return;
	if (a.uri && data_uri_parse(a.uri, &uri, text, sizeof(text))) {
		call_fail(c, RPC_ERR_INVALID_ARG, "migrate_uri: %s", text);
		return;
	}
	if (!a.xml) {
		call_fail(c, RPC_ERR_INVALID_ARG, "destination_xml: it is missing");
		return;
	}
	def = migration_parse_xml(c, "destination_xml", a.xml);
	if (!def || !rename_def(c, def, a.dname) || !prepare_check(c, def, &cookie) ||
	    !prepare_persist(c, &a, &in->cookie, def, &persist))
		return;
	prepare_start(c, &cookie, &a, &def, &persist);
}

/* ---- Perform ---- */

void migration_options(struct run *run, const struct dom *d, const struct migration_args *a,
		       const char *uri)
{
	run->send = (struct vmm_send_options){
		.bandwidth_bps = a->bandwidth_mib ? a->bandwidth_mib << 20 : d->migrate_speed_bps,
		.downtime_ms = d->migrate_downtime_ms,
		.live = a->flags & MIG_LIVE,
		.auto_converge = a->flags & MIG_AUTO_CONVERGE,
		.compressed = a->flags & MIG_COMPRESSED,
	};
	snprintf(run->uri, sizeof(run->uri), "%s", uri);
}

static void proc_perform(struct call *c, void *args)
{
	const struct rpc_perform_args *in = args;
	struct host *h = call_host(c);
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);
	struct migration_args a;
	struct mig_cookie cookie;
	struct data_uri uri;
	char text[512] = "";
	struct run *run;
	int r;

	if (!d || !migration_args_read(c, in->flags, &in->params, &a))
		return;
	if (a.flags & MIG_PEER2PEER) {
		p2p_start(c, d, &a, in->dconnuri ? *in->dconnuri : NULL);
		return;
	}
	if (in->dconnuri) {
		call_fail(c, RPC_ERR_INVALID_ARG, "dconnuri: only with the flag p2p");
		return;
	}
	if (!migration_cookie_read(c, &in->cookie, true, &cookie))
		return;
	if (!a.uri || data_uri_parse(a.uri, &uri, text, sizeof(text))) {
		call_fail(c, RPC_ERR_INVALID_ARG, "migrate_uri: %s",
			  a.uri ? text : "it is missing");
		return;
	}
	run = run_find(h, &cookie.id);
	if (!run || run->side != MIG_SOURCE || run->dom != d) {
		call_fail(c, RPC_ERR_INVALID_ARG,
			  "cookie: id is not that of a migration of domain '%s' that was begun "
			  "here",
			  d->name);
		return;
	}
	migration_options(run, d, &a, a.uri);
	r = migrator_perform(h->migrator, &cookie, in->flags, call_caller_id(c), call_id(c), text,
			     sizeof(text));
	if (r)
		call_fail(c, migration_refusal(r), "%s", text);
}

/* ---- Finish, Confirm ---- */

/* *ret_id: in the cookie; NULL: a client whose Perform failed has none to show. */
static bool end_read(struct call *c, unsigned int flags, const rpc_params *params,
		     const rpc_cookie *text, struct migration_args *a, struct mig_cookie *cookie,
		     const struct mig_id **ret_id)
{
	*ret_id = NULL;
	if (!migration_args_read(c, flags, params, a))
		return false;
	if (!text->rpc_cookie_len)
		return true;
	*ret_id = &cookie->id;
	return migration_cookie_read(c, text, true, cookie);
}

static void proc_finish(struct call *c, void *args)
{
	const struct rpc_finish_args *in = args;
	const struct mig_id *id;
	struct migration_args a;
	struct mig_cookie cookie;
	char text[512] = "";
	int r;

	if (!end_read(c, in->flags, &in->params, &in->cookie, &a, &cookie, &id))
		return;
	if (!id && !a.dname) {
		call_fail(c, RPC_ERR_INVALID_ARG,
			  "neither a cookie nor destination_name says which domain is meant");
		return;
	}
	r = migrator_finish(call_host(c)->migrator, id, a.dname, in->cancelled != 0,
			    call_caller_id(c), call_id(c), text, sizeof(text));
	if (r)
		call_fail(c, migration_refusal(r), "%s", text);
}

static void proc_confirm(struct call *c, void *args)
{
	const struct rpc_confirm_args *in = args;
	const struct mig_id *id;
	struct migration_args a;
	struct mig_cookie cookie;
	char text[512] = "";
	int r;

	if (!end_read(c, in->flags, &in->params, &in->cookie, &a, &cookie, &id))
		return;
	r = migrator_confirm(call_host(c)->migrator, id, (const uint8_t *)in->dom.uuid,
			     in->cancelled != 0, call_caller_id(c), call_id(c), text, sizeof(text));
	if (r)
		call_fail(c, migration_refusal(r), "%s", text);
}

/* ---- one that is under way ---- */

static void abort_save(struct call *c, struct dom *d)
{
	char text[512];
	int code = save_abort(d, text, sizeof(text));

	if (code)
		call_fail(c, code, "%s", text);
	else
		call_reply(c, NULL);
}

static void abort_job(struct call *c, struct dom *d)
{
	struct run *run = d->migration;
	char text[512] = "";
	int r;

	if (d->save) {
		abort_save(c, d);
		return;
	}
	r = migrator_abort(call_host(c)->migrator, d->uuid, "aborted by the client", text,
			   sizeof(text));
	if (r) {
		call_fail(c, migration_refusal(r), "%s", text);
		return;
	}
	if (run)
		run->aborted = true;
	call_reply(c, NULL);
}

static void proc_abort(struct call *c, void *args)
{
	const struct rpc_dom_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);

	if (d)
		abort_job(c, d);
}

static void proc_abort_flags(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);

	if (d && call_flags(c, in->flags, 0)) /* 1 is about post-copy, which there is not */
		abort_job(c, d);
}

/* What is under way follows at once. */
static void tune(struct dom *d)
{
	struct run *run = d->migration;

	if (!run || run->side != MIG_SOURCE || !d->guest)
		return;
	run->send.bandwidth_bps = d->migrate_speed_bps;
	run->send.downtime_ms = d->migrate_downtime_ms;
	vmm_send_tune(d->guest, &run->send);
}

static void proc_set_speed(struct call *c, void *args)
{
	const struct rpc_dom_u64_flags_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);

	if (!d || !call_flags(c, in->flags, 0))
		return;
	if (!(vmm_can(call_host(c)->vmm) & VMM_CAN_BANDWIDTH)) {
		call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "bandwidth: not with this backend");
		return;
	}
	if (in->value > MIGRATION_MIB_MAX) {
		call_fail(c, RPC_ERR_OVERFLOW, "bandwidth: must be less than %llu MiB/s",
			  MIGRATION_MIB_MAX + 1ull);
		return;
	}
	d->migrate_speed_bps = in->value << 20;
	tune(d);
	call_reply(c, NULL);
}

static void proc_get_speed(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);
	struct rpc_u64_ret ret;

	if (!d || !call_flags(c, in->flags, 0))
		return;
	ret.value = d->migrate_speed_bps ? d->migrate_speed_bps >> 20 : MIGRATION_MIB_MAX;
	call_reply(c, &ret);
}

static void proc_set_downtime(struct call *c, void *args)
{
	const struct rpc_dom_u64_flags_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);

	if (!d || !call_flags(c, in->flags, 0))
		return;
	if (!(vmm_can(call_host(c)->vmm) & VMM_CAN_DOWNTIME)) {
		call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "downtime: not with this backend");
		return;
	}
	if (in->value > MIGRATION_DOWNTIME_MAX_MS) {
		call_fail(c, RPC_ERR_INVALID_ARG, "downtime: at most %u ms",
			  MIGRATION_DOWNTIME_MAX_MS);
		return;
	}
	d->migrate_downtime_ms = (uint32_t)in->value;
	tune(d);
	call_reply(c, NULL);
}

static void proc_get_downtime(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *in = args;
	struct dom *d = call_dom(c, in->dom.uuid, in->dom.name);
	struct rpc_u64_ret ret;

	if (!d || !call_flags(c, in->flags, 0))
		return;
	ret.value = d->migrate_downtime_ms ? d->migrate_downtime_ms : MIGRATION_DOWNTIME_MS;
	call_reply(c, &ret);
}

static void proc_post_copy(struct call *c, void *args)
{
	(void)args;
	call_fail(c, RPC_ERR_OPERATION_UNSUPPORTED, "post-copy migration is not supported");
}

const struct proc migration_procs[] = {
	{ RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, proc_begin, 0 },
	{ RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, proc_prepare, 0 },
	{ RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, proc_perform, 0 },
	{ RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, proc_finish, 0 },
	{ RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS, proc_confirm, 0 },
	{ RPC_DOMAIN_ABORT_JOB, proc_abort, 0 },
	{ RPC_DOMAIN_ABORT_JOB_FLAGS, proc_abort_flags, 0 },
	{ RPC_DOMAIN_MIGRATE_SET_MAX_SPEED, proc_set_speed, 0 },
	{ RPC_DOMAIN_MIGRATE_GET_MAX_SPEED, proc_get_speed, PROC_READ_ONLY },
	{ RPC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, proc_set_downtime, 0 },
	{ RPC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME, proc_get_downtime, PROC_READ_ONLY },
	{ RPC_DOMAIN_MIGRATE_START_POST_COPY, proc_post_copy, 0 },
	{ 0 },
};
