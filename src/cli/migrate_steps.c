/* SPDX-License-Identifier: MIT */
/*
 * The five phases of a migration, in the order and with the errors' ways of libvirt's own client:
 *
 *   Begin (source) → Prepare (destination) → Perform (source) → Finish (destination) → Confirm
 *   Prepare fails: Confirm, cancelled, if the source is protected; Perform fails: Finish, cancelled
 *
 * Invariant: none of them decides where the guest runs; an error here is a reason to ask.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/migrate.h"
#include "config/client.h"
#include "vmm/def.h"

#define FEATURE_CHANGE_PROTECTION 7
#define FEATURE_PARAMS 13
#define STATE_PAUSED 3 /* of a domain */

/* Not the destination's business. */
#define SOURCE_FLAGS ((uint32_t)(MIG_ABORT_ON_ERROR | MIG_AUTO_CONVERGE))

static int call(struct move *m, struct rpc_client *c, int32_t procedure, xdrproc_t args_fn,
		const void *args, xdrproc_t ret_fn, void *ret, size_t ret_size)
{
	struct rpc_error err;
	uint32_t serial;
	int r = rpc_client_start(c, procedure, args_fn, args, &serial, &err);

	if (!r)
		return move_await(m, c, serial, ret_fn, ret, ret_size);
	if (!m->err.code)
		m->err = err;
	return r;
}

#define CALL(m, c, procedure, args_type, args, ret_type, ret)                                      \
	call(m, c, procedure, RPC_XDR(args_type), args, RPC_XDR(ret_type), ret, sizeof(*(ret)))

/* ---- beforehand ---- */

static int connect_to(struct move *m, const char *uri, struct rpc_client **ret)
{
	struct rpc_client_options o = { .keepalive_ms = 5000, .keepalive_count = 5 };
	struct rpc_error err;
	int r = rpc_client_open(uri, &o, ret, &err);

	if (r) {
		rpc_error_set(&m->err, err.code, err.domain, "%.300s: %.600s", uri, err.message);
		*ret = NULL;
	}
	return r;
}

static int find_guest(struct move *m)
{
	const char *word = m->o.guest;
	struct rpc_string_args name = { .value = (char *)(uintptr_t)word };
	struct rpc_int_args id = { .value = (int)strtol(word, NULL, 10) };
	struct rpc_uuid_args uuid;
	struct rpc_dom_ret dom;
	int r;

	if (def_uuid_parse(word, (uint8_t *)uuid.uuid))
		r = CALL(m, m->src, RPC_DOMAIN_LOOKUP_BY_UUID, rpc_uuid_args, &uuid, rpc_dom_ret,
			 &dom);
	else
		r = CALL(m, m->src, RPC_DOMAIN_LOOKUP_BY_NAME, rpc_string_args, &name, rpc_dom_ret,
			 &dom);
	if (r == EREMOTEIO && *word && word[strspn(word, "0123456789")] == '\0') {
		m->err.code = 0;
		r = CALL(m, m->src, RPC_DOMAIN_LOOKUP_BY_ID, rpc_int_args, &id, rpc_dom_ret, &dom);
	}
	if (r)
		return r;
	m->dom = dom.dom;
	m->dom.name = cli_must(strdup(dom.dom.name));
	rpc_code_free(RPC_XDR(rpc_dom_ret), &dom, sizeof(dom));
	return 0;
}

static int has_feature(struct move *m, struct rpc_client *c, int feature, bool *ret)
{
	struct rpc_int_args args = { .value = feature };
	struct rpc_int_ret answer;
	int r = CALL(m, c, RPC_CONNECT_SUPPORTS_FEATURE, rpc_int_args, &args, rpc_int_ret, &answer);

	if (!r)
		*ret = answer.value != 0;
	return r;
}

static int check_features(struct move *m)
{
	bool src = false, dst = false, protection = false;
	int r = has_feature(m, m->src, FEATURE_PARAMS, &src);

	if (!r)
		r = has_feature(m, m->dst, FEATURE_PARAMS, &dst);
	if (!r)
		r = has_feature(m, m->src, FEATURE_CHANGE_PROTECTION, &protection);
	if (r)
		return r;
	if (!src || !dst) {
		rpc_error_set(&m->err, RPC_ERR_NO_SUPPORT, RPC_FROM_NONE,
			      "the %s's daemon knows no migration of version 3 with parameters",
			      src ? "destination" : "source");
		return ENOTSUP;
	}
	m->is_protected = protection;
	if (protection)
		m->flags |= MIG_CHANGE_PROTECTION;
	return 0;
}

int move_open(struct move *m)
{
	int r = connect_to(m, m->o.connect, &m->src);

	if (!r)
		r = connect_to(m, m->o.dest, &m->dst);
	if (!r)
		r = find_guest(m);
	m->flags = m->o.flags;
	return r ? r : check_features(m);
}

/* ---- what goes along ---- */

static struct rpc_param *param_of(struct move *m, const char *name)
{
	struct rpc_param *p;

	for (unsigned int i = 0; i < m->n_params; i++)
		if (!strcmp(m->param[i].name, name))
			return &m->param[i];
	p = m->n_params < MOVE_PARAMS_MAX ? &m->param[m->n_params++] : NULL;
	if (p)
		p->name = (char *)(uintptr_t)name;
	return p;
}

void move_set_string(struct move *m, const char *name, const char *value)
{
	struct rpc_param *p = value ? param_of(m, name) : NULL;

	if (!p)
		return;
	p->value.type = RPC_PARAM_STRING;
	p->value.rpc_value_u.s = (char *)(uintptr_t)value;
}

void move_set_u64(struct move *m, const char *name, uint64_t value)
{
	struct rpc_param *p = param_of(m, name);

	if (!p)
		return;
	p->value.type = RPC_PARAM_ULLONG;
	p->value.rpc_value_u.ul = value;
}

static rpc_params params_of(struct move *m)
{
	return (rpc_params){ .rpc_params_len = m->n_params, .rpc_params_val = m->param };
}

static rpc_cookie cookie_of(const struct move *m)
{
	return (rpc_cookie){ .rpc_cookie_len = (u_int)m->cookie_len, .rpc_cookie_val = m->cookie };
}

/* The cookie of an answer is that of the next call. */
static void keep_cookie(struct move *m, const rpc_cookie *c)
{
	struct mig_cookie own;
	char text[256];

	free(m->cookie);
	m->cookie = NULL;
	m->cookie_len = c->rpc_cookie_len;
	if (m->cookie_len) {
		m->cookie = cli_must(malloc(m->cookie_len));
		memcpy(m->cookie, c->rpc_cookie_val, m->cookie_len);
	}
	if (m->cookie_len &&
	    !mig_cookie_parse(m->cookie, m->cookie_len, &own, text, sizeof(text))) {
		m->id = own.id;
		m->has_id = true;
	}
}

/* ---- the phases ---- */

static int begin(struct move *m)
{
	struct rpc_begin_args args = { .dom = m->dom, .params = params_of(m), .flags = m->flags };
	struct rpc_begin_ret ret;
	int r = CALL(m, m->src, RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, rpc_begin_args, &args,
		     rpc_begin_ret, &ret);

	if (r)
		return r;
	keep_cookie(m, &ret.cookie);
	m->xml = cli_must(strdup(ret.xml));
	move_set_string(m, "destination_xml", m->xml);
	rpc_code_free(RPC_XDR(rpc_begin_ret), &ret, sizeof(ret));
	return 0;
}

/* One that is paused is to stay so. */
static int look_at_state(struct move *m)
{
	struct rpc_dom_flags_args args = { .dom = m->dom };
	struct rpc_dom_state_ret ret;
	int r;

	if (m->flags & MIG_OFFLINE)
		return 0;
	r = CALL(m, m->src, RPC_DOMAIN_GET_STATE, rpc_dom_flags_args, &args, rpc_dom_state_ret,
		 &ret);
	if (!r && ret.state == STATE_PAUSED)
		m->flags |= MIG_PAUSED;
	return r;
}

static int prepare(struct move *m)
{
	struct rpc_prepare_args args = { .params = params_of(m),
					 .cookie = cookie_of(m),
					 .flags = m->flags & ~SOURCE_FLAGS };
	struct rpc_prepare_ret ret;
	int r = CALL(m, m->dst, RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, rpc_prepare_args, &args,
		     rpc_prepare_ret, &ret);

	if (r)
		return r;
	keep_cookie(m, &ret.cookie);
	if (ret.uri)
		m->uri = cli_must(strdup(*ret.uri));
	rpc_code_free(RPC_XDR(rpc_prepare_ret), &ret, sizeof(ret));
	move_set_string(m, "migrate_uri", m->uri);
	if (m->uri || m->o.migrate_uri || m->flags & MIG_OFFLINE)
		return 0;
	rpc_error_set(&m->err, RPC_ERR_INTERNAL, RPC_FROM_NONE,
		      "the destination does not say where the guest is to be sent");
	return EPROTO;
}

static int perform(struct move *m)
{
	struct rpc_perform_args args = {
		.dom = m->dom, .params = params_of(m), .cookie = cookie_of(m), .flags = m->flags
	};
	struct rpc_cookie_ret ret;
	int r;

	if (m->flags & MIG_OFFLINE)
		return 0;
	r = CALL(m, m->src, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_perform_args, &args,
		 rpc_cookie_ret, &ret);
	if (r)
		return r;
	keep_cookie(m, &ret.cookie);
	rpc_code_free(RPC_XDR(rpc_cookie_ret), &ret, sizeof(ret));
	return 0;
}

static int finish(struct move *m, bool cancelled)
{
	struct rpc_finish_args args = { .cookie = cookie_of(m),
					.flags = m->flags & ~SOURCE_FLAGS,
					.cancelled = cancelled };
	struct rpc_finish_ret ret;
	int r;

	move_set_string(m, "destination_name", m->o.dname ? m->o.dname : m->dom.name);
	args.params = params_of(m);
	r = CALL(m, m->dst, RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, rpc_finish_args, &args,
		 rpc_finish_ret, &ret);
	if (r)
		return r;
	keep_cookie(m, &ret.cookie);
	rpc_code_free(RPC_XDR(rpc_finish_ret), &ret, sizeof(ret));
	return 0;
}

static int confirm(struct move *m, bool cancelled)
{
	struct rpc_confirm_args args = { .dom = m->dom,
					 .params = params_of(m),
					 .cookie = cookie_of(m),
					 .flags = m->flags,
					 .cancelled = cancelled };

	return call(m, m->src, RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS, RPC_XDR(rpc_confirm_args), &args,
		    NULL, NULL, 0);
}

int move_run(struct move *m)
{
	int r, performed;

	m->begun_ms = conf_now_ms();
	r = begin(m);
	if (r)
		return r;
	r = look_at_state(m);
	if (!r)
		r = prepare(m);
	if (r || m->cancelled) {
		if (m->is_protected)
			confirm(m, true);
		return r ? r : ECANCELED;
	}
	performed = perform(m);
	/* Whoever lost count of the signals leaves all to the daemons. */
	if (performed == EINTR) {
		m->o.settle_ms = 0;
		return EINTR;
	}
	r = finish(m, performed != 0);
	if (performed)
		return performed;
	if (confirm(m, r != 0) && !r)
		m->err.code = 0; /* it runs there: that its source is slow to agree is no failure */
	return r;
}

void move_fini(struct move *m)
{
	rpc_client_close(m->src);
	rpc_client_close(m->dst);
	free(m->dom.name);
	free(m->cookie);
	free(m->xml);
	free(m->uri);
	free(m->o.xml);
}
