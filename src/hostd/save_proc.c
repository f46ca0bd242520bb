/* SPDX-License-Identifier: MIT */
/*
 * Calls about saved guests. Invariant: a path that a client named is touched by a thread only, and
 * a guest is taken before anything is done to it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/params.h"
#include "hostd/proc_own.h"
#include "hostd/save.h"
#include "hostd/xml.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"

DEFINE_CLEANUP(struct guest_def *, def_free)

enum { /* VIR_DOMAIN_SAVE_* */
       SAVE_BYPASS_CACHE = 1u << 0,
       SAVE_RUNNING = 1u << 1,
       SAVE_PAUSED = 1u << 2,
       SAVE_RESET_NVRAM = 1u << 3,
};

enum { IMAGE_SECURE = 1u << 0 }; /* nothing is secret here */

/* What any of these calls says of file, definition and flags. */
struct save_args {
	const char *path, *xml; /* NULL: nothing was said */
	unsigned int flags;
	int run; /* -1: nothing was said */
};

static bool args_flags(struct call *c, struct save_args *a)
{
	const char *name = a->flags & SAVE_BYPASS_CACHE	 ? "BYPASS_CACHE"
			   : a->flags & SAVE_RESET_NVRAM ? "RESET_NVRAM"
							 : NULL;

	if (name) {
		call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "VIR_DOMAIN_SAVE_%s is not offered",
			  name);
		return false;
	}
	if (!call_flags(c, a->flags, SAVE_RUNNING | SAVE_PAUSED))
		return false;
	if ((a->flags & SAVE_RUNNING) && (a->flags & SAVE_PAUSED)) {
		call_fail(c, RPC_ERR_INVALID_ARG,
			  "the flags running and paused exclude each other");
		return false;
	}
	a->run = a->flags & SAVE_RUNNING ? 1 : a->flags & SAVE_PAUSED ? 0 : -1;
	return true;
}

static bool args_params(struct call *c, const rpc_param *v, unsigned int n, struct save_args *a)
{
	for (unsigned int i = 0; i < n; i++) {
		const char **to = !strcmp(v[i].name, "file")   ? &a->path
				  : !strcmp(v[i].name, "dxml") ? &a->xml
							       : NULL;

		if (!to) {
			call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "parameter '%s' is not offered",
				  v[i].name);
			return false;
		}
		if (v[i].value.type != RPC_PARAM_STRING || *to) {
			call_fail(c, RPC_ERR_INVALID_ARG, "parameter '%s': one string is expected",
				  v[i].name);
			return false;
		}
		*to = v[i].value.rpc_value_u.s;
	}
	return true;
}

/* False: the call has failed. */
static bool args_read(struct call *c, struct save_args *ret)
{
	const void *args = call_args(c);
	const struct rpc_save_flags_args *save = args;
	const struct rpc_restore_flags_args *restore = args;
	const struct rpc_save_params_args *sp = args;
	const struct rpc_restore_params_args *rp = args;

	*ret = (struct save_args){ .run = -1 };
	switch (call_procedure(c)) {
	case RPC_DOMAIN_SAVE:
		ret->path = ((const struct rpc_save_args *)args)->to;
		return true;
	case RPC_DOMAIN_RESTORE:
		ret->path = ((const struct rpc_string_args *)args)->value;
		return true;
	case RPC_DOMAIN_SAVE_FLAGS:
		ret->path = save->to;
		ret->xml = save->xml ? *save->xml : NULL;
		ret->flags = save->flags;
		break;
	case RPC_DOMAIN_RESTORE_FLAGS:
		ret->path = restore->from;
		ret->xml = restore->xml ? *restore->xml : NULL;
		ret->flags = restore->flags;
		break;
	case RPC_DOMAIN_SAVE_PARAMS:
		ret->flags = sp->flags;
		if (!args_params(c, sp->params.rpc_params_val, sp->params.rpc_params_len, ret))
			return false;
		break;
	case RPC_DOMAIN_RESTORE_PARAMS:
		ret->flags = rp->flags;
		if (!args_params(c, rp->params.rpc_params_val, rp->params.rpc_params_len, ret))
			return false;
		break;
	default:
		ret->flags = ((const struct rpc_dom_flags_args *)args)->flags;
	}
	return args_flags(c, ret);
}

static void finish(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	struct host *h = call_host(c);

	if (code && !d->persistent && !dom_is_active(d) && !d->ending && !d->removed)
		dom_remove(&h->doms, d);
	if (code)
		call_fail(c, code, "%s", why);
	else
		call_reply(c, NULL);
	dom_release(h, d);
}

/* ---- save ---- */

/* *ret NULL: nothing was given. False: the call has failed. */
static bool save_def(struct call *c, const struct dom *d, const char *xml, struct guest_def **ret)
{
	struct xml_error err;

	if (!xml || !d->live)
		return true;
	*ret = define_parse(c, xml);
	if (!*ret)
		return false;
	if (!xml_check_abi(d->live, *ret, &err))
		return true;
	call_fail(c, err.code, "%s", err.text);
	return false;
}

static void save_granted(void *data, struct dom *d, int code, const char *why)
{
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct call *c = data;
	struct host *h = call_host(c);
	struct save_args a;
	struct save_how how;

	if (!change_may(c, d, code, why, HOSTD_SAVE))
		return;
	if (!args_read(c, &a) || !save_def(c, d, a.xml, &def)) {
		dom_release(h, d);
		return;
	}
	how = (struct save_how){ .path = a.path, .def = def, .run = a.run };
	save_guest(h, d, &how, finish, c);
}

/* Flags and parameters are read before a guest is waited for, and again when it is there. */
static void on_save(struct call *c, void *args)
{
	const struct rpc_dom_args *a = args; /* any of them begins with the guest */
	struct save_args read;
	struct dom *d;

	if (!args_read(c, &read))
		return;
	d = call_dom(c, a->dom.uuid, a->dom.name);
	if (d)
		dom_take(call_host(c), d, call_name(c), save_granted, c);
}

/* ---- restore ---- */

struct restoring {
	struct call *call;	  /* borrowed */
	struct save_image *image; /* owned */
	int run;
};

static void restore_granted(void *data, struct dom *d, int code, const char *why)
{
	struct restoring *r = data;
	struct save_image *image = r->image;
	struct call *c = r->call;
	int run = r->run;

	free(r);
	if (change_may(c, d, code, why, HOSTD_START))
		save_restore(call_host(c), d, image, false, run, finish, c);
	else
		save_image_free(image);
}

/* What it is to be started as, where that was given. */
static bool restore_def(struct call *c, struct save_image *image, const char *xml)
{
	struct guest_def *def;
	struct xml_error err;

	if (!xml)
		return true;
	def = define_parse(c, xml);
	if (!def)
		return false;
	if (xml_check_abi(image->def, def, &err)) {
		call_fail(c, err.code, "%s", err.text);
		def_free(def);
		return false;
	}
	def_free(image->def);
	image->def = def;
	return true;
}

static void restore_read(void *data, struct save_image *image, int code, const char *why)
{
	struct call *c = data;
	struct restoring *r = NULL;
	struct save_args a;
	struct dom *d = NULL;

	if (code) {
		call_fail(c, code, "%s", why);
		return;
	}
	if (args_read(c, &a) && restore_def(c, image, a.xml))
		d = define_find(c, image->def);
	if (d)
		r = malloc(sizeof(*r));
	if (r) {
		*r = (struct restoring){ .call = c, .image = image, .run = a.run };
		dom_take(call_host(c), d, call_name(c), restore_granted, r);
		return;
	}
	if (d)
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	save_image_free(image);
}

static void on_restore(struct call *c, void *args)
{
	struct save_args a;

	(void)args;
	if (!args_read(c, &a))
		return;
	if (!a.path)
		call_fail(c, RPC_ERR_INVALID_ARG, "parameter 'file' is missing");
	else
		save_image_read(call_host(c), a.path, restore_read, c);
}

/* ---- files ---- */

static void xml_read(void *data, struct save_image *image, int code, const char *why)
{
	struct call *c = data;
	struct rpc_string_ret ret = { NULL };

	if (code) {
		call_fail(c, code, "%s", why);
		return;
	}
	if (xml_print(image->def, -1, XML_INACTIVE | XML_SECURE, &ret.value))
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	else
		call_reply(c, &ret);
	free(ret.value);
	save_image_free(image);
}

static void defined(void *data, struct save_image *image, int code, const char *why)
{
	struct call *c = data;

	(void)image;
	if (code)
		call_fail(c, code, "%s", why);
	else
		call_reply(c, NULL);
}

static void on_image_xml(struct call *c, void *args)
{
	const struct rpc_image_flags_args *a = args;

	if (call_flags(c, a->flags, IMAGE_SECURE))
		save_image_read(call_host(c), a->file, xml_read, c);
}

static void on_image_define(struct call *c, void *args)
{
	const struct rpc_image_define_args *a = args;
	struct save_args flags = { .flags = a->flags };

	if (args_flags(c, &flags))
		save_image_define(call_host(c), a->file, a->xml, flags.run, defined, c);
}

/* Of the file that is kept for a guest; NULL: there is none, and the call has failed. */
static char *managed_path(struct call *c, const rpc_dom *which)
{
	struct dom *d = call_dom(c, which->uuid, which->name);
	char *path;

	if (!d)
		return NULL;
	if (!d->managed) {
		call_fail(c, RPC_ERR_OPERATION_INVALID,
			  "domain '%s' does not have a managed save image", d->name);
		return NULL;
	}
	path = save_managed_path(call_host(c), d->uuid);
	if (!path)
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	return path;
}

static void on_managed_xml(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args;
	char *path;

	if (!call_flags(c, a->flags, IMAGE_SECURE))
		return;
	path = managed_path(c, &a->dom);
	if (path)
		save_image_read(call_host(c), path, xml_read, c);
	free(path);
}

static void on_managed_define(struct call *c, void *args)
{
	const struct rpc_managed_define_args *a = args;
	struct save_args flags = { .flags = a->flags };
	char *path;

	if (!args_flags(c, &flags))
		return;
	if (!a->xml) {
		call_fail(c, RPC_ERR_INVALID_ARG, "the definition is missing");
		return;
	}
	path = managed_path(c, &a->dom);
	if (path)
		save_image_define(call_host(c), path, *a->xml, flags.run, defined, c);
	free(path);
}

static void remove_granted(void *data, struct dom *d, int code, const char *why)
{
	struct call *c = data;
	char text[VMM_ERROR_MAX] = "";

	if (!change_may(c, d, code, why, HOSTD_DEFINE))
		return;
	code = save_managed_remove(call_host(c), d, text, sizeof(text));
	finish(c, d, code, text);
}

/* Where there is none, that is done. */
static void on_managed_remove(struct call *c, void *args)
{
	const struct rpc_dom_flags_args *a = args;
	struct dom *d;

	if (!call_flags(c, a->flags, 0))
		return;
	d = call_dom(c, a->dom.uuid, a->dom.name);
	if (d)
		dom_take(call_host(c), d, call_name(c), remove_granted, c);
}

const struct proc *call_save_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_DOMAIN_SAVE, on_save, 0 },
		{ RPC_DOMAIN_SAVE_FLAGS, on_save, 0 },
		{ RPC_DOMAIN_SAVE_PARAMS, on_save, 0 },
		{ RPC_DOMAIN_MANAGED_SAVE, on_save, 0 },
		{ RPC_DOMAIN_RESTORE, on_restore, 0 },
		{ RPC_DOMAIN_RESTORE_FLAGS, on_restore, 0 },
		{ RPC_DOMAIN_RESTORE_PARAMS, on_restore, 0 },
		{ RPC_DOMAIN_SAVE_IMAGE_GET_XML_DESC, on_image_xml, 0 },
		{ RPC_DOMAIN_SAVE_IMAGE_DEFINE_XML, on_image_define, 0 },
		{ RPC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, on_managed_xml, 0 },
		{ RPC_DOMAIN_MANAGED_SAVE_DEFINE_XML, on_managed_define, 0 },
		{ RPC_DOMAIN_MANAGED_SAVE_REMOVE, on_managed_remove, 0 },
		{ 0 },
	};

	return procs;
}
