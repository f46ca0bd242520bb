/* SPDX-License-Identifier: MIT */
/*
 * Events, to those who subscribed. Invariant: a subscription is on its connection's list and on the
 * host's, or on neither; its number is unique on its connection.
 */
#include "hostd/event.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/front.h"
#include "hostd/job_own.h"
#include "hostd/params.h"
#include "rpc/conn.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

struct subscription {
	struct list link, of_caller;
	struct caller *caller;
	int event_id, id;
	bool plain; /* of the older calls, which know no numbers */
	bool of_one;
	uint8_t uuid[DEF_UUID_SIZE];
};

static bool is_for(const struct subscription *s, const struct dom *d, int event_id)
{
	return s->event_id == event_id && (!s->of_one || !memcmp(s->uuid, d->uuid, DEF_UUID_SIZE));
}

/* Dropped where the connection does not read, which counts them. */
static void send_event(const struct subscription *s, int32_t procedure, xdrproc_t fn,
		       const void *obj)
{
	struct rpc_conn *conn = caller_conn(s->caller);

	if (conn)
		rpc_conn_event(conn, RPC_PROGRAM, RPC_VERSION, procedure, fn, obj);
}

void event_lifecycle(struct host *h, const struct dom *d, enum event_lifecycle event, int detail)
{
	struct rpc_callback_lifecycle m = { .msg = { .dom = params_dom(d), (int)event, detail } };
	struct subscription *s;

	list_for_each(s, &h->subscriptions, link) {
		if (!is_for(s, d, EVENT_ID_LIFECYCLE))
			continue;
		m.callback = s->id;
		if (s->plain)
			send_event(s, RPC_DOMAIN_EVENT_LIFECYCLE, RPC_XDR(rpc_event_lifecycle),
				   &m.msg);
		else
			send_event(s, RPC_DOMAIN_EVENT_CALLBACK_LIFECYCLE,
				   RPC_XDR(rpc_callback_lifecycle), &m);
	}
}

void event_reboot(struct host *h, const struct dom *d)
{
	struct rpc_callback_dom m = { .msg = { .dom = params_dom(d) } };
	struct subscription *s;

	list_for_each(s, &h->subscriptions, link) {
		if (!is_for(s, d, EVENT_ID_REBOOT))
			continue;
		m.callback = s->id;
		if (s->plain)
			send_event(s, RPC_DOMAIN_EVENT_REBOOT, RPC_XDR(rpc_event_dom), &m.msg);
		else
			send_event(s, RPC_DOMAIN_EVENT_CALLBACK_REBOOT, RPC_XDR(rpc_callback_dom),
				   &m);
	}
}

void event_iteration(struct host *h, const struct dom *d, int n)
{
	struct rpc_callback_iteration m = { .dom = params_dom(d), .iteration = n };
	struct subscription *s;

	list_for_each(s, &h->subscriptions, link) {
		if (s->plain || !is_for(s, d, EVENT_ID_MIGRATION_ITERATION))
			continue;
		m.callback = s->id;
		send_event(s, RPC_DOMAIN_EVENT_CALLBACK_MIGRATION_ITERATION,
			   RPC_XDR(rpc_callback_iteration), &m);
	}
}

void event_job_completed(struct host *h, const struct dom *d)
{
	struct rpc_callback_job m = { .dom = params_dom(d) };
	struct params p;
	struct subscription *s;

	job_params(h, &d->last, &p);
	m.params.rpc_params_len = p.n;
	m.params.rpc_params_val = p.v;
	list_for_each(s, &h->subscriptions, link) {
		if (s->plain || !is_for(s, d, EVENT_ID_JOB_COMPLETED))
			continue;
		m.callback = s->id;
		send_event(s, RPC_DOMAIN_EVENT_CALLBACK_JOB_COMPLETED, RPC_XDR(rpc_callback_job),
			   &m);
	}
}

/* ---- who subscribed ---- */

static bool is_known(int event_id)
{
	return event_id == EVENT_ID_LIFECYCLE || event_id == EVENT_ID_REBOOT ||
	       event_id == EVENT_ID_MIGRATION_ITERATION || event_id == EVENT_ID_JOB_COMPLETED;
}

static int subscribe(struct host *h, struct caller *c, int event_id, const uint8_t *uuid,
		     bool plain, int *ret_id, char *text, size_t room)
{
	struct subscription *s, *new;
	unsigned int n = 0;
	int id = 0;

	/* An event that never happens here may be waited for all the same. */
	if (event_id < 0 || event_id >= EVENT_IDS) {
		snprintf(text, room, "unknown event ID %d", event_id);
		return RPC_ERR_INVALID_ARG;
	}
	list_for_each(s, caller_subscriptions(c), of_caller) {
		n++;
		if (s->id >= id)
			id = s->id + 1;
	}
	new = n < EVENT_SUBSCRIPTIONS_MAX ? calloc(1, sizeof(*new)) : NULL;
	if (!new) {
		snprintf(text, room, "more than %u subscriptions of one connection",
			 EVENT_SUBSCRIPTIONS_MAX);
		return RPC_ERR_OPERATION_FAILED;
	}
	new->caller = c;
	new->event_id = event_id;
	new->plain = plain;
	new->id = id;
	if (uuid) {
		new->of_one = true;
		memcpy(new->uuid, uuid, DEF_UUID_SIZE);
	}
	list_append(&h->subscriptions, &new->link);
	list_append(caller_subscriptions(c), &new->of_caller);
	*ret_id = id;
	return 0;
}

int event_subscribe(struct host *h, struct caller *c, int event_id, const uint8_t *uuid,
		    int *ret_id, char *text, size_t room)
{
	return subscribe(h, c, event_id, uuid, false, ret_id, text, room);
}

static void subscription_free(struct subscription *s)
{
	list_remove(&s->link);
	list_remove(&s->of_caller);
	free(s);
}

int event_unsubscribe(struct host *h, struct caller *c, int id, char *text, size_t room)
{
	struct subscription *s;

	(void)h;
	list_for_each(s, caller_subscriptions(c), of_caller) {
		if (s->plain || s->id != id)
			continue;
		subscription_free(s);
		return 0;
	}
	snprintf(text, room, "domain event callback %d not registered", id);
	return RPC_ERR_INVALID_ARG;
}

void event_forget(struct host *h, struct caller *c)
{
	struct subscription *s;

	(void)h;
	list_for_each(s, caller_subscriptions(c), of_caller)
		subscription_free(s);
}

/* ---- the calls ---- */

static bool answer(struct call *c, int code, const char *text)
{
	if (code)
		call_fail(c, code, "%s", text);
	return !code;
}

static void on_register(struct call *c, void *args)
{
	const struct rpc_event_register_args *a = args;
	const uint8_t *uuid = a->dom ? (const uint8_t *)a->dom->uuid : NULL;
	struct rpc_int_ret ret = { 0 };
	char text[128];

	if (uuid && !call_dom(c, uuid, a->dom->name))
		return;
	if (answer(c,
		   event_subscribe(call_host(c), call_caller(c), a->event, uuid, &ret.value, text,
				   sizeof(text)),
		   text))
		call_reply(c, &ret);
}

static void on_deregister(struct call *c, void *args)
{
	const struct rpc_int_args *a = args;
	char text[128];

	if (answer(c, event_unsubscribe(call_host(c), call_caller(c), a->value, text, sizeof(text)),
		   text))
		call_reply(c, NULL);
}

static struct subscription *find_plain(struct call *c, int event_id)
{
	struct subscription *s;

	list_for_each(s, caller_subscriptions(call_caller(c)), of_caller)
		if (s->plain && s->event_id == event_id)
			return s;
	return NULL;
}

static bool plain_on(struct call *c, int event_id)
{
	char text[128];
	int id;

	if (!is_known(event_id) || event_id > EVENT_ID_REBOOT) {
		call_fail(c, RPC_ERR_INVALID_ARG, "event ID %d takes a callback's number",
			  event_id);
		return false;
	}
	if (find_plain(c, event_id)) {
		call_fail(c, RPC_ERR_INVALID_ARG, "event %d is registered already", event_id);
		return false;
	}
	return answer(c,
		      subscribe(call_host(c), call_caller(c), event_id, NULL, true, &id, text,
				sizeof(text)),
		      text);
}

static bool plain_off(struct call *c, int event_id)
{
	struct subscription *s = find_plain(c, event_id);

	if (!s) {
		call_fail(c, RPC_ERR_INVALID_ARG, "event %d is not registered", event_id);
		return false;
	}
	subscription_free(s);
	return true;
}

static void on_lifecycle_on(struct call *c, void *args)
{
	struct rpc_int_ret ret = { 1 };

	(void)args;
	if (plain_on(c, EVENT_ID_LIFECYCLE))
		call_reply(c, &ret);
}

static void on_lifecycle_off(struct call *c, void *args)
{
	struct rpc_int_ret ret = { 0 };

	(void)args;
	if (plain_off(c, EVENT_ID_LIFECYCLE))
		call_reply(c, &ret);
}

static void on_any_on(struct call *c, void *args)
{
	const struct rpc_int_args *a = args;

	if (plain_on(c, a->value))
		call_reply(c, NULL);
}

static void on_any_off(struct call *c, void *args)
{
	const struct rpc_int_args *a = args;

	if (plain_off(c, a->value))
		call_reply(c, NULL);
}

const struct proc *call_event_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_CONNECT_DOMAIN_EVENT_REGISTER, on_lifecycle_on, PROC_READ_ONLY },
		{ RPC_CONNECT_DOMAIN_EVENT_DEREGISTER, on_lifecycle_off, PROC_READ_ONLY },
		{ RPC_CONNECT_DOMAIN_EVENT_REGISTER_ANY, on_any_on, PROC_READ_ONLY },
		{ RPC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY, on_any_off, PROC_READ_ONLY },
		{ RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, on_register, PROC_READ_ONLY },
		{ RPC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, on_deregister, PROC_READ_ONLY },
		{ 0 },
	};

	return procs;
}
