/* SPDX-License-Identifier: MIT */
/*
 * Calls that change what a guest does. Invariant: each first takes the guest, and lets it go when
 * it has answered; what a migration does not allow is refused before anything is touched.
 */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/life.h"
#include "hostd/params.h"
#include "hostd/proc_own.h"
#include "hostd/save.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

DEFINE_CLEANUP(struct guest_def *, def_free)

enum { /* VIR_DOMAIN_START_* */
       START_PAUSED = 1u << 0,
       START_BYPASS_CACHE = 1u << 2, /* of the file it was saved in */
       START_FORCE_BOOT = 1u << 3,   /* though there is one */
       START_VALIDATE = 1u << 4,     /* XML is always read strictly */
       START_KNOWN = START_PAUSED | START_BYPASS_CACHE | START_FORCE_BOOT | START_VALIDATE,
};

enum { DESTROY_GRACEFUL = 1u << 0 };
enum { SHUTDOWN_ACPI = 1u << 0, SHUTDOWN_PARAVIRT = 1u << 4 };

bool change_may(struct call *c, struct dom *d, int code, const char *why, enum hostd_change what)
{
	struct host *h = call_host(c);
	char text[VMM_ERROR_MAX];
	char uuid[DEF_UUID_TEXT];

	if (code) {
		call_fail(c, code, "%s", why);
		return false;
	}
	if (d->removed) {
		def_uuid_print(d->uuid, uuid);
		call_fail(c, RPC_ERR_NO_DOMAIN, "no domain with matching uuid '%s' (%s)", uuid,
			  d->name);
	} else {
		if (h->hooks->may)
			code = h->hooks->may(h, d, what, text, sizeof(text));
		if (!code)
			return true;
		call_fail(c, code, "%s", text);
		/* One that this call has made is none: nothing is known of it but its name. */
		if (!d->persistent && !dom_is_active(d) && !d->ending && !d->migration)
			dom_remove(&h->doms, d);
	}
	dom_release(h, d);
	return false;
}

/* The common end: answered, and let go. A guest that came to nothing is forgotten. */
static void finish(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	struct host *h = call_host(c);
	struct rpc_dom_ret ret = { params_dom(d) };
	int32_t procedure = call_procedure(c);

	if (code && !d->persistent && !dom_is_active(d) && !d->ending)
		dom_remove(&h->doms, d);
	if (code)
		call_fail(c, code, "%s", why);
	else
		call_reply(c, procedure == RPC_DOMAIN_CREATE_WITH_FLAGS ||
					      procedure == RPC_DOMAIN_CREATE_XML
				      ? &ret
				      : NULL);
	dom_release(h, d);
}

/* Answers, of a call that holds the guest. */
static void refuse(struct call *c, struct dom *d, const char *why)
{
	struct host *h = call_host(c);

	call_fail(c, RPC_ERR_OPERATION_INVALID, "%s", why);
	dom_release(h, d);
}

static bool is_running(struct call *c, struct dom *d)
{
	if (dom_is_active(d) && d->guest)
		return true;
	refuse(c, d, "domain is not running");
	return false;
}

static void take(struct call *c, const rpc_dom *which, dom_granted_fn *granted)
{
	struct dom *d = call_dom(c, which->uuid, which->name);

	if (d)
		dom_take(call_host(c), d, call_name(c), granted, c);
}

static void take_flags(struct call *c, const void *args, unsigned int known,
		       dom_granted_fn *granted)
{
	const struct rpc_dom_flags_args *a = args;

	if (call_flags(c, a->flags, known))
		take(c, &a->dom, granted);
}

/* ---- start ---- */

static void start(struct call *c, struct dom *d, struct guest_def *def, unsigned int flags)
{
	if (!def) {
		struct host *h = call_host(c);

		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		dom_release(h, d);
		return;
	}
	life_start(call_host(c), d, def, flags & START_PAUSED, finish, c);
}

static void start_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	const struct rpc_dom_flags_args *a = call_args(c);
	unsigned int flags = call_procedure(c) == RPC_DOMAIN_CREATE ? 0 : a->flags;
	struct host *h = call_host(c);
	char text[VMM_ERROR_MAX] = "";

	if (!change_may(c, d, code, why, HOSTD_START))
		return;
	if (dom_is_active(d)) {
		refuse(c, d, "domain is already running");
		return;
	}
	if (flags & START_FORCE_BOOT)
		code = save_managed_remove(h, d, text, sizeof(text));
	if (!code && d->managed && flags & START_BYPASS_CACHE) {
		snprintf(text, sizeof(text), "VIR_DOMAIN_START_BYPASS_CACHE is not offered");
		code = RPC_ERR_ARGUMENT_UNSUPPORTED;
	}
	if (code)
		finish(c, d, code, text);
	else
		save_start(h, d, flags & START_PAUSED, finish, c);
}

static void on_create(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;

	take(c, &a->dom, start_granted);
}

static void on_create_flags(struct call *c, void *args)
{
	take_flags(c, args, START_KNOWN, start_granted);
}

/* Its XML was read and its guest found before; read again, so that nothing is kept meanwhile. */
static void create_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	const struct rpc_xml_flags_args *a = call_args(c);
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct host *h = call_host(c);

	if (!change_may(c, d, code, why, HOSTD_START))
		return;
	if (dom_is_active(d)) {
		refuse(c, d, "domain is already active");
		return;
	}
	def = define_parse(c, a->xml);
	if (!def) {
		dom_release(h, d);
		return;
	}
	/* Where the XML had no uuid it was made up for this guest. */
	memcpy(def->uuid, d->uuid, DEF_UUID_SIZE);
	start(c, d, TAKE(def), a->flags);
}

static void on_create_xml(struct call *c, void *args)
{
	const struct rpc_xml_flags_args *a = args;
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct dom *d;

	if (!call_flags(c, a->flags, START_KNOWN))
		return;
	def = define_parse(c, a->xml);
	if (!def)
		return;
	d = define_find(c, def);
	if (d)
		dom_take(call_host(c), d, call_name(c), create_granted, c);
}

/* ---- what runs ---- */

static void suspend_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;

	if (change_may(c, d, code, why, HOSTD_SUSPEND) && is_running(c, d))
		life_suspend(call_host(c), d, finish, c);
}

static void on_suspend(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;

	take(c, &a->dom, suspend_granted);
}

static void resume_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;

	if (!change_may(c, d, code, why, HOSTD_RESUME) || !is_running(c, d))
		return;
	if (d->state == DOM_RUNNING)
		refuse(c, d, "domain is already running");
	else
		life_resume(call_host(c), d, DOM_RUNNING_UNPAUSED, finish, c);
}

static void on_resume(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;

	take(c, &a->dom, resume_granted);
}

static void shutdown_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;

	if (change_may(c, d, code, why, HOSTD_SHUTDOWN) && is_running(c, d))
		life_shutdown(call_host(c), d, false, finish, c);
}

static void on_shutdown(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;

	take(c, &a->dom, shutdown_granted);
}

static void on_shutdown_flags(struct call *c, void *args)
{
	take_flags(c, args, SHUTDOWN_ACPI | SHUTDOWN_PARAVIRT, shutdown_granted);
}

static void reboot_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	struct host *h = call_host(c);

	if (!change_may(c, d, code, why, HOSTD_REBOOT) || !is_running(c, d))
		return;
	if (vmm_can(h->vmm) & VMM_CAN_REBOOT) {
		life_shutdown(h, d, true, finish, c);
		return;
	}
	call_fail(c, RPC_ERR_NO_SUPPORT, "guests of backend %s cannot be asked to reboot",
		  vmm_name(h->vmm));
	dom_release(h, d);
}

static void on_reboot(struct call *c, void *args)
{
	take_flags(c, args, SHUTDOWN_ACPI | SHUTDOWN_PARAVIRT, reboot_granted);
}

static void destroy_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	const struct rpc_dom_flags_args *a = call_args(c);
	bool graceful =
		call_procedure(c) == RPC_DOMAIN_DESTROY_FLAGS && a->flags & DESTROY_GRACEFUL;

	if (!change_may(c, d, code, why, HOSTD_DESTROY))
		return;
	if (dom_is_active(d))
		life_destroy(call_host(c), d, graceful, DOM_SHUTOFF_DESTROYED, finish, c);
	else
		refuse(c, d, "domain is not running");
}

static void destroyed(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;

	(void)d;
	if (code)
		call_fail(c, code, "%s", why);
	else
		call_reply(c, NULL);
}

/*
 * Whether it was being saved or restored: that is not waited for, since it may itself wait for a
 * process that does not answer, and it comes to nothing when the guest is gone.
 */
static bool destroy_at_once(struct call *c, const rpc_dom *which)
{
	struct host *h = call_host(c);
	struct dom *d = dom_find_uuid(&h->doms, (const uint8_t *)which->uuid);
	char text[VMM_ERROR_MAX];

	if (!d || !d->save || save_abort(d, text, sizeof(text)))
		return false;
	life_destroy(h, d, false, DOM_SHUTOFF_DESTROYED, destroyed, c);
	return true;
}

static void on_destroy(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args;

	if (!destroy_at_once(c, &a->dom))
		take(c, &a->dom, destroy_granted);
}

static void on_destroy_flags(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args;

	if (call_flags(c, a->flags, DESTROY_GRACEFUL) && !destroy_at_once(c, &a->dom))
		take(c, &a->dom, destroy_granted);
}

const struct proc *call_change_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_DOMAIN_CREATE, on_create, 0 },
		{ RPC_DOMAIN_CREATE_WITH_FLAGS, on_create_flags, 0 },
		{ RPC_DOMAIN_CREATE_XML, on_create_xml, 0 },
		{ RPC_DOMAIN_SUSPEND, on_suspend, 0 },
		{ RPC_DOMAIN_RESUME, on_resume, 0 },
		{ RPC_DOMAIN_SHUTDOWN, on_shutdown, 0 },
		{ RPC_DOMAIN_SHUTDOWN_FLAGS, on_shutdown_flags, 0 },
		{ RPC_DOMAIN_REBOOT, on_reboot, 0 },
		{ RPC_DOMAIN_DESTROY, on_destroy, 0 },
		{ RPC_DOMAIN_DESTROY_FLAGS, on_destroy_flags, 0 },
		{ 0 },
	};

	return procs;
}
