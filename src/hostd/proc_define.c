/* SPDX-License-Identifier: MIT */
/*
 * Calls that change what is defined. Invariant: a definition is told of when it is durable on disk,
 * and not before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/defs.h"
#include "hostd/event.h"
#include "hostd/params.h"
#include "hostd/proc_own.h"
#include "hostd/save.h"
#include "hostd/xml.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

DEFINE_CLEANUP(struct guest_def *, def_free)

enum { DEFINE_VALIDATE = 1u << 0 }; /* XML is always read strictly */
enum {
	UNDEFINE_MANAGED_SAVE = 1u << 0,
	UNDEFINE_KNOWN = 0x7f, /* about snapshots and the like, too, which there never are */
};

struct guest_def *define_parse(struct call *c, const char *xml)
{
	struct host *h = call_host(c);
	struct guest_def *def = NULL;
	char text[VMM_ERROR_MAX];
	struct xml_error err;
	int r = xml_parse(xml, strlen(xml), NULL, NULL, &def, &err);

	if (r < 0) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return NULL;
	}
	if (r) {
		call_fail(c, err.code, "%s", err.text);
		return NULL;
	}
	if (vmm_check(h->vmm, def, text, sizeof(text))) {
		call_fail(c, RPC_ERR_CONFIG_UNSUPPORTED, "%s", text);
		def_free(def);
		return NULL;
	}
	return def;
}

struct dom *define_find(struct call *c, const struct guest_def *def)
{
	struct registry *r = &call_host(c)->doms;
	struct dom *d = dom_find_uuid(r, def->uuid), *named = dom_find_name(r, def->name);
	char uuid[DEF_UUID_TEXT];
	int err;

	if (d && d == named)
		return d;
	if (d) {
		def_uuid_print(def->uuid, uuid);
		call_fail(c, RPC_ERR_OPERATION_FAILED,
			  "domain '%s' is already defined with uuid %s", d->name, uuid);
		return NULL;
	}
	if (named) {
		def_uuid_print(named->uuid, uuid);
		call_fail(c, RPC_ERR_OPERATION_FAILED, "domain '%s' already exists with uuid %s",
			  named->name, uuid);
		return NULL;
	}
	err = dom_new(r, def->uuid, def->name, &d);
	if (!err)
		return d;
	if (err > 0)
		call_fail(c, RPC_ERR_OPERATION_FAILED, "there are %u domains", DOM_MAX);
	else
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	return NULL;
}

static void forget_if_nothing(struct host *h, struct dom *d)
{
	if (!d->persistent && !dom_is_active(d) && !d->ending && !d->removed)
		dom_remove(&h->doms, d);
}

/* Makes def what is defined; taken over. */
static void define(struct call *c, struct dom *d, struct guest_def *def)
{
	CLEANUP(def_free) struct guest_def *own = def;
	struct host *h = call_host(c);
	bool update = d->persistent != NULL;
	struct rpc_dom_ret ret;
	int r = defs_write(h, own);

	if (r) {
		call_fail(c, RPC_ERR_OPERATION_FAILED, "the definition cannot be written: %s",
			  strerror(-r));
		forget_if_nothing(h, d);
		return;
	}
	def_free(d->persistent);
	d->persistent = TAKE(own);
	ret.dom = params_dom(d);
	event_lifecycle(h, d, EVENT_DEFINED, update ? EVENT_DEFINED_UPDATED : EVENT_DEFINED_ADDED);
	call_reply(c, &ret);
}

static const char *xml_of(struct call *c)
{
	const struct rpc_string_args *a = call_args(c);
	const struct rpc_xml_flags_args *b = call_args(c);

	return call_procedure(c) == RPC_DOMAIN_DEFINE_XML ? a->value : b->xml;
}

static void define_granted(void *data, struct dom *d, int code, const char *why)
{
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct call *c = data;
	struct host *h = call_host(c);

	if (!change_may(c, d, code, why, HOSTD_DEFINE))
		return;
	def = define_parse(c, xml_of(c));
	if (def) {
		memcpy(def->uuid, d->uuid, DEF_UUID_SIZE);
		define(c, d, TAKE(def));
	}
	dom_release(h, d);
}

static void on_define(struct call *c, void *args)
{
	CLEANUP(def_free) struct guest_def *def = NULL;
	const struct rpc_xml_flags_args *a = args;
	struct dom *d;

	if (call_procedure(c) == RPC_DOMAIN_DEFINE_XML_FLAGS &&
	    !call_flags(c, a->flags, DEFINE_VALIDATE))
		return;
	def = define_parse(c, xml_of(c));
	if (!def)
		return;
	d = define_find(c, def);
	if (d)
		dom_take(call_host(c), d, call_name(c), define_granted, c);
}

/* A file that was kept for it goes with it, where that was asked for. */
static bool undefine_managed(struct call *c, struct dom *d)
{
	const struct rpc_dom_flags_args *a = call_args(c);
	bool remove =
		call_procedure(c) == RPC_DOMAIN_UNDEFINE_FLAGS && a->flags & UNDEFINE_MANAGED_SAVE;
	char text[VMM_ERROR_MAX] = "";
	int code;

	if (!d->managed)
		return true;
	if (!remove) {
		call_fail(c, RPC_ERR_OPERATION_INVALID,
			  "domain '%s' has a managed save image, which goes with it only where "
			  "the flag managed-save says so",
			  d->name);
		return false;
	}
	code = save_managed_remove(call_host(c), d, text, sizeof(text));
	if (code)
		call_fail(c, code, "the managed save image cannot be removed: %s", text);
	return !code;
}

static void undefine_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	struct host *h = call_host(c);
	int r;

	if (!change_may(c, d, code, why, HOSTD_UNDEFINE))
		return;
	if (!d->persistent) {
		call_fail(c, RPC_ERR_OPERATION_INVALID, "cannot undefine transient domain");
		dom_release(h, d);
		return;
	}
	if (!undefine_managed(c, d)) {
		dom_release(h, d);
		return;
	}
	r = defs_remove(h, d->uuid);
	if (r) {
		call_fail(c, RPC_ERR_OPERATION_FAILED, "the definition cannot be removed: %s",
			  strerror(-r));
	} else {
		def_free(TAKE(d->persistent));
		d->autostart = false;
		event_lifecycle(h, d, EVENT_UNDEFINED, 0);
		call_reply(c, NULL);
		forget_if_nothing(h, d);
	}
	dom_release(h, d);
}

static void on_undefine(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args; /* without flags it begins the same way */
	struct dom *d;

	if (call_procedure(c) == RPC_DOMAIN_UNDEFINE_FLAGS &&
	    !call_flags(c, a->flags, UNDEFINE_KNOWN))
		return;
	d = call_dom(c, a->dom.uuid, a->dom.name);
	if (d)
		dom_take(call_host(c), d, call_name(c), undefine_granted, c);
}

static void autostart_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	const struct rpc_dom_int_args *a = call_args(c);
	struct host *h = call_host(c);
	int r;

	if (!change_may(c, d, code, why, HOSTD_DEFINE))
		return;
	r = d->persistent ? defs_set_autostart(h, d->uuid, a->value) : 0;
	if (!d->persistent) {
		call_fail(c, RPC_ERR_OPERATION_INVALID,
			  "cannot set autostart for transient domain");
	} else if (r) {
		call_fail(c, RPC_ERR_OPERATION_FAILED, "autostart cannot be written: %s",
			  strerror(-r));
	} else {
		d->autostart = a->value;
		call_reply(c, NULL);
	}
	dom_release(h, d);
}

static void on_autostart(struct call *c, void *args)
{
	const struct rpc_dom_int_args *a = args;
	struct dom *d = call_dom(c, a->dom.uuid, a->dom.name);

	if (d)
		dom_take(call_host(c), d, call_name(c), autostart_granted, c);
}

const struct proc *call_define_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_DOMAIN_DEFINE_XML, on_define, 0 },
		{ RPC_DOMAIN_DEFINE_XML_FLAGS, on_define, 0 },
		{ RPC_DOMAIN_UNDEFINE, on_undefine, 0 },
		{ RPC_DOMAIN_UNDEFINE_FLAGS, on_undefine, 0 },
		{ RPC_DOMAIN_SET_AUTOSTART, on_autostart, 0 },
		{ 0 },
	};

	return procs;
}
