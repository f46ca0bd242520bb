/* SPDX-License-Identifier: MIT */
/*
 * Calls about the connection and the host. Invariant: none of them changes a guest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/capabilities.h"
#include "hostd/front.h"
#include "hostd/settings.h"
#include "rpc/conn.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"
#include "rpc/uri.h"

#define LIB_VERSION 9000000u /* the release of libvirt whose protocol this is */

enum { /* VIR_DRV_FEATURE_* */
       FEATURE_TYPED_PARAM_STRING = 9,
       FEATURE_PROGRAM_KEEPALIVE = 10,
       FEATURE_XML_MIGRATABLE = 11,
       FEATURE_REMOTE_EVENT_CALLBACK = 14,
       FEATURE_REMOTE_CLOSE_CALLBACK = 15,
};

enum { /* CONNECT_OPEN's flags: VIR_CONNECT_* */
       OPEN_READ_ONLY = 1u << 0,
       OPEN_NO_ALIASES = 1u << 1,
};

static void on_auth_list(struct call *c, void *args)
{
	int none = 0; /* whoever reached the socket may use it */
	struct rpc_auth_list_ret ret = { .types = { 1, &none } };

	(void)args;
	call_reply(c, &ret);
}

static void on_feature(struct call *c, void *args)
{
	static const uint64_t ours =
		1u << FEATURE_TYPED_PARAM_STRING | 1u << FEATURE_PROGRAM_KEEPALIVE |
		1u << FEATURE_XML_MIGRATABLE | 1u << FEATURE_REMOTE_EVENT_CALLBACK |
		1u << FEATURE_REMOTE_CLOSE_CALLBACK;
	const struct rpc_int_args *a = args;
	const struct host *h = call_host(c);
	uint64_t all = ours | h->hooks->features;
	struct rpc_int_ret ret = { a->value > 0 && a->value < 64 && all >> a->value & 1 };

	/* Whoever asks knows of it, and may be asked. */
	if (a->value == FEATURE_PROGRAM_KEEPALIVE)
		rpc_conn_keepalive(caller_conn(call_caller(c)), h->set->keepalive_interval_s * 1000,
				   h->set->keepalive_count);
	call_reply(c, &ret);
}

static const char *own_uri(const struct host *h)
{
	return !strcmp(h->set->backend, "qemu") ? "qemu:///system" : "xen:///system";
}

/* 0; a code and text: it is not for this daemon. */
static int check_uri(const char *uri, char *text, size_t room)
{
	struct rpc_uri u;

	if (rpc_uri_parse(uri, &u, text, room))
		return RPC_ERR_INVALID_ARG;
	if (strcmp(u.driver, "xen") != 0 && strcmp(u.driver, "qemu") != 0 &&
	    strcmp(u.driver, "drover") != 0) {
		snprintf(text, room, "%s: this daemon is no %s driver", uri, u.driver);
		return RPC_ERR_NO_CONNECT;
	}
	if (*u.path && strcmp(u.path, "/system") != 0 && strcmp(u.path, "/") != 0) {
		snprintf(text, room, "%s: path '%s' is neither / nor /system", uri, u.path);
		return RPC_ERR_NO_CONNECT;
	}
	return 0;
}

static void on_open(struct call *c, void *args)
{
	const struct rpc_maybe_flags_args *a = args;
	const char *uri = a->value && **a->value ? *a->value : own_uri(call_host(c));
	struct caller *from = call_caller(c);
	char text[512];
	int code;

	if (!call_flags(c, a->flags, OPEN_READ_ONLY | OPEN_NO_ALIASES))
		return;
	if (caller_is_open(from)) {
		call_fail(c, RPC_ERR_INTERNAL, "the connection is open already");
		return;
	}
	code = check_uri(uri, text, sizeof(text));
	if (code) {
		call_fail(c, code, "%s", text);
		return;
	}
	if (caller_set_open(from, true, uri)) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	if (a->flags & OPEN_READ_ONLY)
		caller_set_read_only(from);
	call_reply(c, NULL);
}

/* The client closes the socket next. */
static void on_close(struct call *c, void *args)
{
	struct caller *from = call_caller(c);

	(void)args;
	if (caller_set_open(from, false, "")) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	call_reply(c, NULL);
}

static void on_nothing(struct call *c, void *args)
{
	(void)args;
	call_reply(c, NULL);
}

static void reply_text(struct call *c, const char *text)
{
	struct rpc_string_ret ret = { (char *)(uintptr_t)text };

	call_reply(c, &ret);
}

static void on_uri(struct call *c, void *args)
{
	(void)args;
	reply_text(c, caller_uri(call_caller(c)));
}

static void on_type(struct call *c, void *args)
{
	(void)args;
	reply_text(c, !strcmp(call_host(c)->set->backend, "qemu") ? "QEMU" : "Xen");
}

static void on_hostname(struct call *c, void *args)
{
	(void)args;
	reply_text(c, call_host(c)->name);
}

static void on_version(struct call *c, void *args)
{
	struct rpc_u64_ret ret;
	unsigned long number = 0;

	(void)args;
	vmm_version(call_host(c)->vmm, &number);
	ret.value = number;
	call_reply(c, &ret);
}

static void on_lib_version(struct call *c, void *args)
{
	struct rpc_u64_ret ret = { LIB_VERSION };

	(void)args;
	call_reply(c, &ret);
}

static void on_max_vcpus(struct call *c, void *args)
{
	struct rpc_int_ret ret = { DEF_VCPUS_MAX };

	(void)args;
	call_reply(c, &ret);
}

static void on_secure(struct call *c, void *args)
{
	const struct rpc_conn *conn = caller_conn(call_caller(c));
	struct rpc_int_ret ret = { conn && rpc_conn_is_secure(conn) };

	(void)args;
	call_reply(c, &ret);
}

static void on_node_info(struct call *c, void *args)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct rpc_node_info_ret ret = { .nodes = 1, .sockets = 1, .threads = 1 };
	struct sysinfo si;

	(void)args;
	if (sysinfo(&si)) {
		call_fail(c, RPC_ERR_SYSTEM, "sysinfo: %s", strerror(errno));
		return;
	}
	snprintf(ret.model, sizeof(ret.model), "%s", capabilities_arch());
	ret.memory_kib = (uint64_t)si.totalram * si.mem_unit / 1024;
	ret.cpus = ret.cores = cpus > 0 ? (int)cpus : 1;
	call_reply(c, &ret);
}

static void on_free_memory(struct call *c, void *args)
{
	struct rpc_u64_ret ret;
	struct sysinfo si;

	(void)args;
	if (sysinfo(&si)) {
		call_fail(c, RPC_ERR_SYSTEM, "sysinfo: %s", strerror(errno));
		return;
	}
	ret.value = (uint64_t)si.freeram * si.mem_unit;
	call_reply(c, &ret);
}

static void on_capabilities(struct call *c, void *args)
{
	char *text = capabilities_print(call_host(c));

	(void)args;
	if (!text) {
		call_fail(c, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	reply_text(c, text);
	free(text);
}

static void on_domain_capabilities(struct call *c, void *args)
{
	const struct rpc_domain_capabilities_args *a = args;
	const struct domcaps_ask ask = {
		.arch = a->arch ? *a->arch : NULL,
		.machine = a->machine ? *a->machine : NULL,
		.type = a->virt_type ? *a->virt_type : NULL,
	};
	char text[256] = "no memory", *found = NULL;
	int code;

	if (!call_flags(c, a->flags, 0))
		return;
	code = domcaps_print(call_host(c), &ask, &found, text, sizeof(text));
	if (code) {
		call_fail(c, code, "%s", text);
		return;
	}
	reply_text(c, found);
	free(found);
}

/* There is none: two empty strings. */
static void on_security_model(struct call *c, void *args)
{
	char nothing[] = "";
	struct rpc_security_model_ret ret = { .model = { 1, nothing }, .doi = { 1, nothing } };

	(void)args;
	call_reply(c, &ret);
}

static void on_cpu_map(struct call *c, void *args)
{
	const struct rpc_cpu_map_args *a = args;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char map[DEF_VCPUS_MAX / 8] = { 0 };
	struct rpc_cpu_map_ret ret = { 0 };

	if (!call_flags(c, a->flags, 0))
		return;
	if (cpus < 1)
		cpus = 1;
	if (cpus > (long)DEF_VCPUS_MAX)
		cpus = DEF_VCPUS_MAX;
	for (long i = 0; i < cpus; i++)
		map[i / 8] = (char)(map[i / 8] | 1 << i % 8);
	ret.online = (unsigned int)cpus;
	ret.ret = (int)cpus;
	if (a->need_map) {
		ret.map.map_len = ((unsigned int)cpus + 7) / 8;
		ret.map.map_val = map;
	}
	call_reply(c, &ret);
}

const struct proc *call_connect_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_AUTH_LIST, on_auth_list, PROC_EARLY | PROC_READ_ONLY },
		{ RPC_CONNECT_SUPPORTS_FEATURE, on_feature, PROC_EARLY | PROC_READ_ONLY },
		{ RPC_CONNECT_OPEN, on_open, PROC_EARLY | PROC_READ_ONLY },
		{ RPC_CONNECT_CLOSE, on_close, PROC_EARLY | PROC_READ_ONLY },
		{ RPC_CONNECT_REGISTER_CLOSE_CALLBACK, on_nothing, PROC_READ_ONLY },
		{ RPC_CONNECT_UNREGISTER_CLOSE_CALLBACK, on_nothing, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_URI, on_uri, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_TYPE, on_type, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_HOSTNAME, on_hostname, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_VERSION, on_version, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_LIB_VERSION, on_lib_version, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_MAX_VCPUS, on_max_vcpus, PROC_READ_ONLY },
		{ RPC_CONNECT_IS_SECURE, on_secure, PROC_READ_ONLY },
		{ RPC_NODE_GET_INFO, on_node_info, PROC_READ_ONLY },
		{ RPC_NODE_GET_FREE_MEMORY, on_free_memory, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_CAPABILITIES, on_capabilities, PROC_READ_ONLY },
		{ RPC_CONNECT_GET_DOMAIN_CAPABILITIES, on_domain_capabilities, PROC_READ_ONLY },
		{ RPC_NODE_GET_SECURITY_MODEL, on_security_model, PROC_READ_ONLY },
		{ RPC_NODE_GET_CPU_MAP, on_cpu_map, PROC_READ_ONLY },
		{ 0 },
	};

	return procs;
}
