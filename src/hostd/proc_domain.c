/* SPDX-License-Identifier: MIT */
/*
 * Calls that ask about one guest. Invariant: none of them changes it, but for the last job's
 * statistics, which a client may take along.
 */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/front.h"
#include "hostd/job_own.h"
#include "hostd/params.h"
#include "hostd/xml.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

enum { /* VIR_DOMAIN_JOB_STATS_* */
       JOB_COMPLETED = 1u << 0,
       JOB_KEEP_COMPLETED = 1u << 1,
};

enum { /* VIR_DOMAIN_VCPU_*: of DOMAIN_GET_VCPUS_FLAGS */
       VCPU_LIVE = 1u << 0,
       VCPU_CONFIG = 1u << 1,
       VCPU_MAXIMUM = 1u << 2,
};

/* The guest of a call that has it for its first argument. */
static struct dom *dom_of(struct call *c, const rpc_dom *d)
{
	return call_dom(c, d->uuid, d->name);
}

/* The same, of a call with flags besides. */
static struct dom *dom_flags_of(struct call *c, const void *args, unsigned int known)
{
	const struct rpc_dom_flags_args *a = args;

	return call_flags(c, a->flags, known) ? dom_of(c, &a->dom) : NULL;
}

static void reply_int(struct call *c, int value)
{
	struct rpc_int_ret ret = { value };

	call_reply(c, &ret);
}

static uint64_t cpu_ns(const struct dom *d)
{
	return d->guest ? vmm_guest_cpu_ns(d->guest) : 0;
}

static void on_info(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);
	struct rpc_dom_info_ret ret = { 0 };
	const struct guest_def *def;

	if (!d)
		return;
	def = dom_def(d);
	ret.state = (unsigned char)d->state;
	ret.cpu_ns = cpu_ns(d);
	if (def) {
		ret.max_kib = def->memory_kib;
		ret.memory_kib = def->current_kib;
		ret.vcpus = (unsigned short)(def->vcpus_current ? def->vcpus_current : def->vcpus);
	}
	call_reply(c, &ret);
}

static void on_state(struct call *c, void *args)
{
	const struct dom *d = dom_flags_of(c, args, 0);
	struct rpc_dom_state_ret ret;

	if (!d)
		return;
	ret.state = (int)d->state;
	ret.reason = d->reason;
	call_reply(c, &ret);
}

static void on_control_info(struct call *c, void *args)
{
	const struct dom *d = dom_flags_of(c, args, 0);
	struct rpc_dom_control_ret ret = { 0 };

	if (d)
		call_reply(c, &ret);
}

static void on_xml(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args;
	const struct dom *d =
		dom_flags_of(c, args, XML_SECURE | XML_INACTIVE | XML_UPDATE_CPU | XML_MIGRATABLE);
	const struct guest_def *def;
	struct rpc_string_ret ret;
	int id;

	if (!d)
		return;
	if (a->flags & XML_SECURE && caller_is_read_only(call_caller(c))) {
		call_fail(c, RPC_ERR_OPERATION_DENIED,
			  "VIR_DOMAIN_XML_SECURE on a read-only connection");
		return;
	}
	def = a->flags & XML_INACTIVE && d->persistent ? d->persistent : dom_def(d);
	id = a->flags & XML_INACTIVE ? -1 : d->id;
	if (!def || xml_print(def, id, a->flags, &ret.value)) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	call_reply(c, &ret);
	free(ret.value);
}

static void on_os_type(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);
	struct rpc_string_ret ret;

	if (!d)
		return;
	ret.value = (char *)(uintptr_t)(dom_def(d) ? def_os_name(dom_def(d)->os) : "");
	call_reply(c, &ret);
}

static void on_is_active(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);

	if (d)
		reply_int(c, dom_is_active(d));
}

static void on_is_persistent(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);

	if (d)
		reply_int(c, d->persistent != NULL);
}

static void on_autostart(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);

	if (d)
		reply_int(c, d->autostart);
}

static void on_has_managed(struct call *c, void *args)
{
	const struct dom *d = dom_flags_of(c, args, 0);

	if (d)
		reply_int(c, d->managed);
}

/* What there never is of a guest here: snapshots, changes by others. */
static void on_none(struct call *c, void *args)
{
	const struct dom *d = dom_flags_of(c, args, ~0u);

	if (d)
		reply_int(c, 0);
}

static void on_is_updated(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;

	if (dom_of(c, &a->dom))
		reply_int(c, 0);
}

static void on_snapshots(struct call *c, void *args)
{
	const struct rpc_dom_list_args *a = args;
	struct rpc_list_snapshots_ret ret = { 0 };

	if (dom_of(c, &a->dom))
		call_reply(c, &ret);
}

static void on_label(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	char nothing[] = "";
	struct rpc_dom_label_ret ret = { .label = { 1, nothing } };

	if (dom_of(c, &a->dom))
		call_reply(c, &ret);
}

static void on_messages(struct call *c, void *args)
{
	struct rpc_dom_messages_ret ret = { 0 };

	if (dom_flags_of(c, args, 3))
		call_reply(c, &ret);
}

static void on_max_memory(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);
	struct rpc_u64_ret ret;

	if (!d)
		return;
	ret.value = dom_def(d) ? dom_def(d)->memory_kib : 0;
	call_reply(c, &ret);
}

static void on_max_vcpus(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);

	if (d)
		reply_int(c, dom_def(d) ? (int)dom_def(d)->vcpus : 0);
}

/* The definition that LIVE or CONFIG ask for; NULL: there is none, and the call has failed. */
static const struct guest_def *def_of(struct call *c, const struct dom *d, unsigned int flags)
{
	if (flags & VCPU_LIVE && !dom_is_active(d)) {
		call_fail(c, RPC_ERR_OPERATION_INVALID, "domain is not running");
		return NULL;
	}
	if (flags & VCPU_CONFIG && !d->persistent) {
		call_fail(c, RPC_ERR_OPERATION_INVALID, "transient domains have no definition");
		return NULL;
	}
	if (!dom_def(d)) {
		call_fail(c, RPC_ERR_INTERNAL, "a domain without a definition");
		return NULL;
	}
	return flags & VCPU_CONFIG ? d->persistent : dom_def(d);
}

static void on_vcpus_flags(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args;
	const struct dom *d = dom_flags_of(c, args, VCPU_LIVE | VCPU_CONFIG | VCPU_MAXIMUM);
	const struct guest_def *def = d ? def_of(c, d, a->flags) : NULL;

	if (!def)
		return;
	reply_int(c, (int)(a->flags & VCPU_MAXIMUM || !def->vcpus_current ? def->vcpus
									  : def->vcpus_current));
}

/* ---- jobs ---- */

static void on_job_info(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;
	const struct dom *d = dom_of(c, &a->dom);
	struct rpc_job_info_ret ret = { 0 };
	const struct dom_job *j;

	if (!d)
		return;
	if (!dom_is_active(d) && d->job.type == DOM_JOB_NONE) {
		/* As after any other end: there is no job. */
		call_reply(c, &ret);
		return;
	}
	j = &d->job;
	ret.type = (int)j->type;
	if (j->type != DOM_JOB_NONE) {
		ret.elapsed_ms = hostd_now_ms(call_host(c)) - j->started_ms;
		ret.data_total = ret.memory_total = j->progress.memory_total;
		ret.data_processed = ret.memory_processed = j->progress.memory_processed;
		ret.data_remaining = ret.memory_remaining = j->progress.memory_remaining;
	}
	call_reply(c, &ret);
}

static void on_job_stats(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args;
	struct dom *d = dom_flags_of(c, args, JOB_COMPLETED | JOB_KEEP_COMPLETED);
	struct rpc_job_stats_ret ret = { 0 };
	struct params p = { .n = 0 };
	struct dom_job j;

	if (!d)
		return;
	j = d->job;
	if (a->flags & JOB_COMPLETED)
		job_last(call_host(c), d, &j);
	ret.type = (int)j.type;
	if (j.type != DOM_JOB_NONE)
		job_params(call_host(c), &j, &p);
	ret.params.rpc_params_val = p.v;
	ret.params.rpc_params_len = p.n;
	call_reply(c, &ret);
}

/* ---- statistics ---- */

enum { /* VIR_DOMAIN_STATS_* that there are */
       STATS_STATE = 1u << 0,
       STATS_CPU = 1u << 1,
       STATS_BALLOON = 1u << 2,
       STATS_VCPU = 1u << 3,
       STATS_KNOWN = STATS_STATE | STATS_CPU | STATS_BALLOON | STATS_VCPU,
       STATS_ENFORCE = 1u << 31, /* a flag: what there is not is an error */
};

static void put_stats(const struct dom *d, unsigned int what, struct params *p)
{
	const struct guest_def *def = dom_def(d);

	p->n = 0;
	if (what & STATS_STATE) {
		params_put_int(p, "state.state", (int)d->state);
		params_put_int(p, "state.reason", d->reason);
	}
	if (what & STATS_CPU && dom_is_active(d))
		params_put_u64(p, "cpu.time", cpu_ns(d));
	if (what & STATS_BALLOON && def) {
		params_put_u64(p, "balloon.current", def->current_kib);
		params_put_u64(p, "balloon.maximum", def->memory_kib);
	}
	if (what & STATS_VCPU && def) {
		params_put_uint(p, "vcpu.current",
				def->vcpus_current ? def->vcpus_current : def->vcpus);
		params_put_uint(p, "vcpu.maximum", def->vcpus);
	}
}

static void reply_stats(struct call *c, struct dom *const *doms, size_t n, unsigned int what)
{
	struct rpc_stats *v = calloc(n + 1, sizeof(*v));
	struct params *p = calloc(n + 1, sizeof(*p));
	struct rpc_stats_ret ret = { 0 };

	if (!v || !p) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	} else {
		for (size_t i = 0; i < n; i++) {
			put_stats(doms[i], what ? what : ~0u, &p[i]);
			v[i].dom = params_dom(doms[i]);
			v[i].params.params_val = p[i].v;
			v[i].params.params_len = p[i].n;
		}
		ret.doms.doms_val = v;
		ret.doms.doms_len = (unsigned int)n;
		call_reply(c, &ret);
	}
	free(v);
	free(p);
}

static void on_stats(struct call *c, void *args)
{
	const struct rpc_stats_args *a = args;
	const struct registry *r = &call_host(c)->doms;
	struct dom **v;
	size_t n = 0;

	if (a->flags & STATS_ENFORCE && a->stats & ~(unsigned int)STATS_KNOWN) {
		call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "stats: there are none of 0x%x",
			  a->stats & ~(unsigned int)STATS_KNOWN);
		return;
	}
	if (!a->doms.doms_len) {
		reply_stats(c, r->by_name, r->n, a->stats);
		return;
	}
	v = calloc(a->doms.doms_len, sizeof(*v));
	if (!v) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	/* One that is gone meanwhile is left out. */
	for (unsigned int i = 0; i < a->doms.doms_len; i++) {
		v[n] = dom_find_uuid(r, (const uint8_t *)a->doms.doms_val[i].uuid);
		n += v[n] != NULL;
	}
	reply_stats(c, v, n, a->stats);
	free((void *)v);
}

const struct proc *call_domain_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_DOMAIN_GET_INFO, on_info, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_STATE, on_state, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_CONTROL_INFO, on_control_info, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_XML_DESC, on_xml, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_OS_TYPE, on_os_type, PROC_READ_ONLY },
		{ RPC_DOMAIN_IS_ACTIVE, on_is_active, PROC_READ_ONLY },
		{ RPC_DOMAIN_IS_PERSISTENT, on_is_persistent, PROC_READ_ONLY },
		{ RPC_DOMAIN_IS_UPDATED, on_is_updated, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_AUTOSTART, on_autostart, PROC_READ_ONLY },
		{ RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, on_has_managed, PROC_READ_ONLY },
		{ RPC_DOMAIN_SNAPSHOT_NUM, on_none, PROC_READ_ONLY },
		{ RPC_DOMAIN_HAS_CURRENT_SNAPSHOT, on_none, PROC_READ_ONLY },
		{ RPC_DOMAIN_LIST_ALL_SNAPSHOTS, on_snapshots, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_SECURITY_LABEL, on_label, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_MESSAGES, on_messages, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_MAX_MEMORY, on_max_memory, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_MAX_VCPUS, on_max_vcpus, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_VCPUS_FLAGS, on_vcpus_flags, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_JOB_INFO, on_job_info, PROC_READ_ONLY },
		{ RPC_DOMAIN_GET_JOB_STATS, on_job_stats, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_ALL_DOMAIN_STATS, on_stats, PROC_READ_ONLY },
		{ 0 },
	};

	return procs;
}
