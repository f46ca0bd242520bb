/* SPDX-License-Identifier: MIT */
/*
 * Calls: from a frame to a handler, and from its answer to a frame. Invariant: each call that was
 * taken is answered exactly once, or its connection is gone; the checks below are made in one
 * order, so that what a client is told does not depend on which procedure it called.
 */
#include "hostd/call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/front.h"
#include "rpc/conn.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"
#include "rpc/peer.h"
#include "rpc/proc.h"

struct call {
	struct list link, of_caller;
	struct idtree_link ided; /* by id */
	struct host *host;
	struct caller *caller; /* NULL: it is gone */
	uint64_t id, caller_id;
	struct rpc_head head;
	const struct rpc_proc *what;
	union {
		max_align_t align;
		unsigned char octets[RPC_PROC_SIZE_MAX];
	} args;
};

/* What libvirt's clients are used to read before a sentence of that code. */
static const char *preamble(int code)
{
	switch (code) {
	case RPC_ERR_INTERNAL:
		return "internal error: ";
	case RPC_ERR_NO_SUPPORT:
		return "this function is not supported by the connection driver: ";
	case RPC_ERR_INVALID_ARG:
		return "invalid argument: ";
	case RPC_ERR_OPERATION_FAILED:
		return "operation failed: ";
	case RPC_ERR_OPERATION_DENIED:
		return "operation forbidden: ";
	case RPC_ERR_NO_DOMAIN:
		return "Domain not found: ";
	case RPC_ERR_OPERATION_INVALID:
		return "Requested operation is not valid: ";
	case RPC_ERR_CONFIG_UNSUPPORTED:
		return "unsupported configuration: ";
	case RPC_ERR_OPERATION_TIMEOUT:
		return "Timed out during operation: ";
	case RPC_ERR_ARGUMENT_UNSUPPORTED:
		return "argument unsupported: ";
	case RPC_ERR_OPERATION_ABORTED:
		return "operation aborted: ";
	case RPC_ERR_OPERATION_UNSUPPORTED:
		return "Operation not supported: ";
	case RPC_ERR_XML:
		return "XML error: ";
	default:
		return "";
	}
}

static int from_of(int code)
{
	switch (code) {
	case RPC_ERR_RPC:
		return RPC_FROM_RPC;
	case RPC_ERR_XML:
	case RPC_ERR_XML_DETAIL:
		return RPC_FROM_DOMAIN;
	default:
		return RPC_FROM_DOM;
	}
}

static void fail_frame(struct caller *from, const struct rpc_head *head, int code, const char *fmt,
		       ...) __attribute__((format(printf, 4, 5)));

static void failv(struct caller *from, const struct rpc_head *head, int code, const char *fmt,
		  va_list ap)
{
	struct rpc_conn *conn = caller_conn(from);
	const char *before = preamble(code);
	char text[RPC_MESSAGE_MAX];
	struct rpc_error err;

	assert(fmt); /* which a sanitizer's build doubts */
	vsnprintf(text, sizeof(text), fmt, ap);
	/* What another daemon said, and is passed on, has it already. */
	if (!strncmp(text, before, strlen(before)))
		before = "";
	rpc_error_set(&err, code, from_of(code), "%s%s", before, text);
	if (conn)
		rpc_conn_fail(conn, head, &err);
}

static void fail_frame(struct caller *from, const struct rpc_head *head, int code, const char *fmt,
		       ...)
{
	va_list ap;

	va_start(ap, fmt);
	failv(from, head, code, fmt, ap);
	va_end(ap);
}

/* ---- what a call is ---- */

struct host *call_host(const struct call *c)
{
	return c->host;
}

uint64_t call_id(const struct call *c)
{
	return c->id;
}

uint64_t call_caller_id(const struct call *c)
{
	return c->caller_id;
}

struct caller *call_caller(const struct call *c)
{
	return c->caller;
}

int32_t call_procedure(const struct call *c)
{
	return c->what->number;
}

const char *call_name(const struct call *c)
{
	return c->what->name;
}

void *call_args(const struct call *c)
{
	return (void *)(uintptr_t)c->args.octets;
}

struct call *call_find(const struct host *h, uint64_t id)
{
	struct idtree_link *l = idtree_find(&h->call_ids, &id);

	return l ? CONTAINER_OF(l, struct call, ided) : NULL;
}

static void call_free(struct call *c)
{
	list_remove(&c->link);
	list_remove(&c->of_caller);
	idtree_remove(&c->host->call_ids, &c->ided);
	c->host->n_calls--;
	rpc_code_free(c->what->args, c->args.octets, c->what->args_size);
	free(c);
}

void call_reply(struct call *c, const void *ret)
{
	struct rpc_conn *conn = c->caller ? caller_conn(c->caller) : NULL;

	if (conn)
		rpc_conn_reply(conn, &c->head, c->what->ret, ret);
	call_free(c);
}

void call_fail(struct call *c, int code, const char *fmt, ...)
{
	va_list ap;

	if (c->caller) {
		va_start(ap, fmt);
		failv(c->caller, &c->head, code, fmt, ap);
		va_end(ap);
	}
	call_free(c);
}

struct dom *call_dom(struct call *c, const void *uuid, const char *name)
{
	struct dom *d = dom_find_uuid(&c->host->doms, uuid);
	char text[DEF_UUID_TEXT];

	if (d)
		return d;
	def_uuid_print(uuid, text);
	call_fail(c, RPC_ERR_NO_DOMAIN, "no domain with matching uuid '%s' (%.256s)", text, name);
	return NULL;
}

bool call_flags(struct call *c, unsigned int flags, unsigned int known)
{
	if (!(flags & ~known))
		return true;
	call_fail(c, RPC_ERR_INVALID_ARG, "unsupported flags (0x%x) in %s", flags & ~known,
		  call_name(c));
	return false;
}

/* ---- from a frame ---- */

static const struct proc *find_in(const struct proc *table, int32_t number)
{
	for (const struct proc *p = table; p && p->number; p++)
		if (p->number == number)
			return p;
	return NULL;
}

static const struct proc *find_proc(const struct host *h, uint32_t program, int32_t number)
{
	const struct proc *const tables[] = {
		call_connect_procs(), call_list_procs(),   call_domain_procs(),
		call_change_procs(),  call_define_procs(), call_event_procs(),
		call_save_procs(),    call_native_procs(), h->hooks->procs,
	};
	const struct proc *p = NULL;

	if (program == PEER_PROGRAM)
		return find_in(h->hooks->peer_procs, number);
	for (size_t i = 0; !p && i < ARRAY_LEN(tables); i++)
		p = find_in(tables[i], number);
	return p;
}

/* Whether this caller may call it. False: it has failed. */
static bool is_allowed(struct caller *from, const struct rpc_head *head, const struct proc *p,
		       const char *name)
{
	if (p->flags & PROC_PEER) {
		if (!caller_is_peer(from))
			fail_frame(from, head, RPC_ERR_ACCESS_DENIED,
				   "access denied: %s on a connection that is no daemon's", name);
		return caller_is_peer(from);
	}
	if (!(p->flags & PROC_EARLY) && !caller_is_open(from))
		fail_frame(from, head, RPC_ERR_INTERNAL, "%s before the connection was opened",
			   name);
	else if (!(p->flags & PROC_READ_ONLY) && caller_is_read_only(from))
		fail_frame(from, head, RPC_ERR_OPERATION_DENIED, "%s on a read-only connection",
			   name);
	else
		return true;
	return false;
}

/* Everything that can be said without knowing what the call is about. NULL: it has failed. */
static void fail_unknown(struct caller *from, const struct rpc_head *head)
{
	const char *name = head->program == RPC_PROGRAM ? rpc_proc_name(head->procedure) : NULL;

	if (name)
		fail_frame(from, head, RPC_ERR_NO_SUPPORT, "%s (procedure %d) is not served", name,
			   (int)head->procedure);
	else
		fail_frame(from, head, RPC_ERR_NO_SUPPORT, "unknown procedure: %d",
			   (int)head->procedure);
}

static const struct proc *check(struct host *h, struct caller *from, const struct rpc_frame *f,
				const struct rpc_proc **ret_what)
{
	const struct rpc_head *head = &f->head;
	const struct proc *p = find_proc(h, head->program, head->procedure);

	*ret_what = rpc_proc_find(head->program, head->procedure);
	if (head->version != RPC_VERSION)
		fail_frame(from, head, RPC_ERR_RPC, "unknown version %u of the protocol",
			   (unsigned int)head->version);
	else if (head->status != RPC_OK)
		fail_frame(from, head, RPC_ERR_RPC, "a call with status %u",
			   (unsigned int)head->status);
	else if (head->type == RPC_CALL_FDS)
		fail_frame(from, head, RPC_ERR_NO_SUPPORT, "descriptors with a call");
	else if (!p || !*ret_what)
		fail_unknown(from, head);
	else if (h->n_calls >= CALLS_MAX)
		fail_frame(from, head, RPC_ERR_OPERATION_FAILED, "too many calls are under way");
	else if (is_allowed(from, head, p, (*ret_what)->name))
		return p;
	return NULL;
}

void call_frame(struct host *h, struct caller *from, const struct rpc_frame *f)
{
	const struct rpc_proc *what;
	const struct proc *p;
	struct call *c;
	int r;

	if (f->head.type != RPC_CALL && f->head.type != RPC_CALL_FDS) {
		caller_close(from, "a frame that is no call");
		return;
	}
	p = check(h, from, f, &what);
	if (!p)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		fail_frame(from, &f->head, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	assert(what->args_size <= sizeof(c->args));
	c->host = h;
	c->head = f->head;
	c->what = what;
	r = rpc_code_read(what->args, f->body, f->body_len, c->args.octets, what->args_size);
	if (r) {
		fail_frame(from, &f->head, RPC_ERR_RPC, "%s: its arguments cannot be decoded",
			   what->name);
		free(c);
		return;
	}
	c->caller = from;
	c->caller_id = caller_id(from);
	c->id = ++h->last_id;
	list_append(&h->calls, &c->link);
	list_append(caller_calls(from), &c->of_caller);
	idtree_add(&h->call_ids, &c->ided, &c->id);
	h->n_calls++;
	p->handler(c, what->args ? c->args.octets : NULL);
}

void call_forget(struct caller *from)
{
	struct call *c;

	list_for_each(c, caller_calls(from), of_caller) {
		list_remove(&c->of_caller);
		c->caller = NULL;
	}
}

void call_drop_all(struct host *h)
{
	struct call *c;

	list_for_each(c, &h->calls, link)
		call_free(c);
}
