/* SPDX-License-Identifier: MIT */
/*
 * What clients say of a migration. Invariant: a flag or parameter that is not acted upon is
 * refused by its name, never passed over.
 */
#include "hostd/migration_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/own.h"
#include "hostd/settings.h"
#include "rpc/error.h"
#include "rpc/uri.h"

static void text_freep(char **p)
{
	free(*p);
}

/* VIR_MIGRATE_*, by bit; those that are served have no reason. */
static const struct {
	const char *name, *why;
} flag_names[] = {
	[0] = { "live", NULL },
	[1] = { "p2p", NULL },
	[2] = { "tunnelled", "not supported" },
	[3] = { "persistent", NULL },
	[4] = { "undefinesource", NULL },
	[5] = { "suspend", NULL },
	[6] = { "copy-storage-all", "not supported: disks have to be shared" },
	[7] = { "copy-storage-inc", "not supported: disks have to be shared" },
	[8] = { "change-protection", NULL },
	[9] = { "unsafe", NULL },
	[10] = { "offline", NULL },
	[11] = { "compressed", NULL },
	[12] = { "abort-on-error", NULL },
	[13] = { "auto-converge", NULL },
	[14] = { "rdma-pin-all", "not supported" },
	[15] = { "postcopy", "not supported" },
	[16] = { "tls", "not supported for the guest's memory" },
	[17] = { "parallel", "not supported" },
	[18] = { "copy-storage-synchronous-writes", "not supported: disks have to be shared" },
	[19] = { "postcopy-resume", "not supported" },
	[20] = { "zerocopy", "not supported" },
};

static bool flags_check(struct call *c, unsigned int flags)
{
	unsigned int can = vmm_can(call_host(c)->vmm);

	for (unsigned int i = 0; i < 32; i++) {
		if (!(flags & 1u << i))
			continue;
		if (i >= ARRAY_LEN(flag_names)) {
			call_fail(c, RPC_ERR_INVALID_ARG, "flags: 0x%x is not known", 1u << i);
			return false;
		}
		if (flag_names[i].why) {
			call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "flag %s: %s",
				  flag_names[i].name, flag_names[i].why);
			return false;
		}
	}
	if ((flags & MIG_COMPRESSED && !(can & VMM_CAN_COMPRESS)) ||
	    (flags & MIG_AUTO_CONVERGE && !(can & VMM_CAN_AUTO_CONVERGE))) {
		call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "flag %s: not with the backend %s",
			  flags & MIG_COMPRESSED && !(can & VMM_CAN_COMPRESS) ? "compressed"
									      : "auto-converge",
			  vmm_name(call_host(c)->vmm));
		return false;
	}
	return true;
}

/* libvirt's names of parameters, VIR_MIGRATE_PARAM_*. */
static const char *const unsupported[] = {
	"graphics_uri",
	"listen_address",
	"migrate_disks",
	"disks_port",
	"disks_uri",
	"compression",
	"compression.mt.level",
	"compression.mt.threads",
	"compression.mt.dthreads",
	"compression.xbzrle.cache",
	"auto_converge.initial",
	"auto_converge.increment",
	"bandwidth.postcopy",
	"parallel.connections",
	"tls.destination",
	"compression.zlib.level",
	"compression.zstd.level",
};

static bool take_text(struct call *c, const rpc_param *p, const char **to)
{
	if (p->value.type != RPC_PARAM_STRING) {
		call_fail(c, RPC_ERR_INVALID_ARG, "%s: it is no string", p->name);
		return false;
	}
	*to = p->value.rpc_value_u.s;
	return true;
}

static bool take_bandwidth(struct call *c, const rpc_param *p, struct migration_args *ret)
{
	if (p->value.type != RPC_PARAM_ULLONG) {
		call_fail(c, RPC_ERR_INVALID_ARG, "bandwidth: it is no unsigned 64-bit number");
		return false;
	}
	if (p->value.rpc_value_u.ul > MIGRATION_MIB_MAX) {
		call_fail(c, RPC_ERR_OVERFLOW, "bandwidth: must be less than %llu MiB/s",
			  MIGRATION_MIB_MAX + 1ull);
		return false;
	}
	ret->bandwidth_mib = p->value.rpc_value_u.ul;
	return true;
}

static bool param_take(struct call *c, const rpc_param *p, struct migration_args *ret)
{
	const struct {
		const char *name;
		const char **to;
	} texts[] = {
		{ "destination_name", &ret->dname },
		{ "destination_xml", &ret->xml },
		{ "persistent_xml", &ret->persist_xml },
		{ "migrate_uri", &ret->uri },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (strcmp(p->name, texts[i].name) != 0)
			continue;
		if (*texts[i].to) {
			call_fail(c, RPC_ERR_INVALID_ARG, "%s: it is given twice", p->name);
			return false;
		}
		return take_text(c, p, texts[i].to);
	}
	if (!strcmp(p->name, "bandwidth"))
		return take_bandwidth(c, p, ret);
	for (size_t i = 0; i < ARRAY_LEN(unsupported); i++) {
		if (!strcmp(p->name, unsupported[i])) {
			call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "%s: not supported", p->name);
			return false;
		}
	}
	call_fail(c, RPC_ERR_INVALID_ARG, "%.64s: no such parameter of a migration", p->name);
	return false;
}

bool migration_args_read(struct call *c, unsigned int flags, const rpc_params *params,
			 struct migration_args *ret)
{
	*ret = (struct migration_args){ .flags = flags };
	if (!flags_check(c, flags))
		return false;
	for (unsigned int i = 0; i < params->rpc_params_len; i++) {
		if (!param_take(c, &params->rpc_params_val[i], ret))
			return false;
	}
	if (ret->dname &&
	    (!ret->dname[0] || strlen(ret->dname) >= MIG_NAME_MAX || strpbrk(ret->dname, "/\n"))) {
		call_fail(c, RPC_ERR_INVALID_ARG, "destination_name: it is no domain's name");
		return false;
	}
	if (ret->bandwidth_mib && !(vmm_can(call_host(c)->vmm) & VMM_CAN_BANDWIDTH)) {
		call_fail(c, RPC_ERR_ARGUMENT_UNSUPPORTED, "bandwidth: not with the backend %s",
			  vmm_name(call_host(c)->vmm));
		return false;
	}
	return true;
}

bool migration_reaches_back(const struct call *c, const struct mig_cookie *cookie, char *text,
			    size_t room)
{
	const char *mine = call_host(c)->set->peer_address;
	char why[128] = "";
	struct rpc_uri uri;

	if (!mine || !*mine)
		snprintf(text, room, "this host's daemon tells no address (peer_address)");
	else if (!cookie->host.address[0])
		snprintf(text, room, "host %s tells no address (peer_address)", cookie->host.name);
	else if (rpc_address_parse(cookie->host.address, &uri, why, sizeof(why)))
		snprintf(text, room, "the address of host %s: %s", cookie->host.name, why);
	else
		return true;
	return false;
}

bool migration_cookie_read(struct call *c, const rpc_cookie *cookie, bool needed,
			   struct mig_cookie *ret)
{
	char text[512] = "";

	if (!cookie->rpc_cookie_len && needed) {
		call_fail(c, RPC_ERR_INVALID_ARG,
			  "cookie: it is missing: the other host is no drover-hostd, or was not "
			  "asked first");
		return false;
	}
	if (mig_cookie_parse(cookie->rpc_cookie_val, cookie->rpc_cookie_len, ret, text,
			     sizeof(text)) ||
	    !migration_reaches_back(c, ret, text, sizeof(text))) {
		call_fail(c, RPC_ERR_INVALID_ARG, "cookie: %s", text);
		return false;
	}
	return true;
}

/*
 * The cookie of Begin's reply. Where the guest is to be persistent at its destination it is to be
 * defined there as it is here, and that need not be what runs. NULL: the call has failed, and what
 * has begun is over.
 */
char *migration_begin_cookie(struct call *c, const struct dom *d, uint32_t flags,
			     const struct mig_cookie *cookie, size_t *ret_len)
{
	CLEANUP(text_free) char *text = mig_cookie_print(cookie, ret_len);
	CLEANUP(text_free) char *definition = NULL;
	char why[256];
	int r = text ? 0 : ENOMEM;

	if (!r && flags & MIG_PERSIST_DEST && !(flags & MIG_OFFLINE) && d->persistent) {
		r = -xml_print(d->persistent, -1, XML_INACTIVE | XML_SECURE, &definition);
		if (!r)
			r = mig_cookie_add(&text, ret_len, definition);
	}
	if (!r)
		return TAKE(text);
	(void)migrator_abort(call_host(c)->migrator, d->uuid, "its cookie cannot be made", why,
			     sizeof(why));
	if (r == E2BIG)
		call_fail(c, RPC_ERR_OPERATION_FAILED,
			  "domain '%s': its definition is too long to be carried along", d->name);
	else
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	return NULL;
}

struct guest_def *migration_parse_xml(struct call *c, const char *name, const char *text)
{
	struct guest_def *def = NULL;
	struct xml_error err;
	int r = xml_parse(text, strlen(text), NULL, NULL, &def, &err);

	if (r < 0)
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
	else if (r)
		call_fail(c, err.code, "%s: %s", name, err.text);
	return r ? NULL : def;
}

/* File systems that several hosts may have mounted, by their numbers in statfs(2). */
static bool is_shared(const char *path)
{
	static const uint32_t shared[] = {
		0x6969,	    /* NFS */
		0x01161970, /* GFS2 */
		0x7461636f, /* OCFS2 */
		0x5346414f, /* AFS */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB2 */
		0x00c36400, /* Ceph */
		0x19830326, /* BeeGFS */
		0x65735546, /* FUSE: Gluster and others */
		0x0bd00bd0, /* Lustre */
	};
	struct statfs s;

	if (statfs(path, &s))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		if ((uint32_t)s.f_type == shared[i])
			return true;
	}
	return false;
}

bool migration_is_safe(const struct guest_def *def, char *text, size_t room)
{
	for (size_t i = 0; i < def->n_disks; i++) {
		const struct def_disk *d = &def->disks[i];
		bool uncached =
			d->cache && (!strcmp(d->cache, "none") || !strcmp(d->cache, "directsync"));

		if (!d->source || d->readonly || d->shareable)
			continue;
		if (d->type && !strcmp(d->type, "block") && uncached)
			continue;
		if (!is_shared(d->source) && !(d->type && !strcmp(d->type, "block"))) {
			snprintf(text, room,
				 "disk %s: %s is on no file system that is shared between hosts; "
				 "the flag unsafe migrates all the same",
				 d->target, d->source);
			return false;
		}
		if (!uncached) {
			snprintf(text, room,
				 "disk %s: its cache mode is neither none nor directsync, so the "
				 "other host may read old data; the flag unsafe migrates all the "
				 "same",
				 d->target);
			return false;
		}
	}
	return true;
}
