/* SPDX-License-Identifier: MIT */
/*
 * Codes of errors and their names. A message is always a whole string, cut if it has to be.
 */
#include "rpc/error.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/own.h"

static const struct {
	int code;
	const char *name;
} names[] = {
	{ RPC_ERR_OK, "no error" },
	{ RPC_ERR_INTERNAL, "internal error" },
	{ RPC_ERR_NO_MEMORY, "out of memory" },
	{ RPC_ERR_NO_SUPPORT, "not supported" },
	{ RPC_ERR_UNKNOWN_HOST, "unknown host" },
	{ RPC_ERR_NO_CONNECT, "no connection" },
	{ RPC_ERR_INVALID_CONN, "invalid connection" },
	{ RPC_ERR_INVALID_DOMAIN, "invalid domain" },
	{ RPC_ERR_INVALID_ARG, "invalid argument" },
	{ RPC_ERR_OPERATION_FAILED, "operation failed" },
	{ RPC_ERR_OS_TYPE, "unknown type of guest" },
	{ RPC_ERR_DRIVER_FULL, "too many" },
	{ RPC_ERR_CALL_FAILED, "call failed" },
	{ RPC_ERR_XML, "XML error" },
	{ RPC_ERR_DOM_EXIST, "domain exists" },
	{ RPC_ERR_OPERATION_DENIED, "operation denied" },
	{ RPC_ERR_OPEN_FAILED, "cannot open" },
	{ RPC_ERR_READ_FAILED, "cannot read" },
	{ RPC_ERR_PARSE_FAILED, "cannot parse" },
	{ RPC_ERR_CONF_SYNTAX, "configuration error" },
	{ RPC_ERR_WRITE_FAILED, "cannot write" },
	{ RPC_ERR_XML_DETAIL, "XML not well-formed" },
	{ RPC_ERR_SYSTEM, "system error" },
	{ RPC_ERR_RPC, "protocol error" },
	{ RPC_ERR_GNUTLS, "TLS error" },
	{ RPC_ERR_NO_DOMAIN, "no domain" },
	{ RPC_ERR_AUTH_FAILED, "authentication failed" },
	{ RPC_ERR_NO_SECURITY_MODEL, "no security model" },
	{ RPC_ERR_OPERATION_INVALID, "operation invalid now" },
	{ RPC_ERR_CONFIG_UNSUPPORTED, "configuration not supported" },
	{ RPC_ERR_OPERATION_TIMEOUT, "time limit passed" },
	{ RPC_ERR_MIGRATE_PERSIST_FAILED, "migrated, but not defined" },
	{ RPC_ERR_ARGUMENT_UNSUPPORTED, "argument not supported" },
	{ RPC_ERR_OPERATION_ABORTED, "operation aborted" },
	{ RPC_ERR_AUTH_CANCELLED, "authentication cancelled" },
	{ RPC_ERR_NO_DOMAIN_METADATA, "no metadata" },
	{ RPC_ERR_MIGRATE_UNSAFE, "unsafe migration" },
	{ RPC_ERR_OVERFLOW, "number too large" },
	{ RPC_ERR_OPERATION_UNSUPPORTED, "operation not supported" },
	{ RPC_ERR_SSH, "ssh error" },
	{ RPC_ERR_RESOURCE_BUSY, "busy" },
	{ RPC_ERR_ACCESS_DENIED, "access denied" },
	{ RPC_ERR_CPU_INCOMPATIBLE, "processors do not match" },
	{ RPC_ERR_MIGRATE_FINISH_OK, "migrated all the same" },
	{ RPC_ERR_AUTH_UNAVAILABLE, "authentication unavailable" },
	{ RPC_ERR_NO_HOSTNAME, "no host name" },
	{ RPC_ERR_MULTIPLE_DOMAINS, "several domains match" },
};

static const struct {
	int err, code;
} errnos[] = {
	{ 0, RPC_ERR_OK },
	{ EACCES, RPC_ERR_ACCESS_DENIED },
	{ EBUSY, RPC_ERR_OPERATION_INVALID },
	{ ECANCELED, RPC_ERR_OPERATION_ABORTED },
	{ ECONNREFUSED, RPC_ERR_NO_CONNECT },
	{ ECONNRESET, RPC_ERR_NO_CONNECT },
	{ EEXIST, RPC_ERR_DOM_EXIST },
	{ EINVAL, RPC_ERR_INVALID_ARG },
	{ ENOENT, RPC_ERR_NO_DOMAIN },
	{ ENOMEM, RPC_ERR_NO_MEMORY },
	{ ENOSPC, RPC_ERR_DRIVER_FULL },
	{ ENOSYS, RPC_ERR_NO_SUPPORT },
	{ ENOTSUP, RPC_ERR_OPERATION_UNSUPPORTED },
	{ EPERM, RPC_ERR_OPERATION_DENIED },
	{ EPROTO, RPC_ERR_RPC },
	{ ERANGE, RPC_ERR_OVERFLOW },
	{ ETIMEDOUT, RPC_ERR_OPERATION_TIMEOUT },
};

void rpc_error_setv(struct rpc_error *err, int code, int domain, const char *fmt, va_list ap)
{
	if (!err)
		return;
	err->code = code;
	err->domain = domain;
	err->level = RPC_LEVEL_ERROR;
	if (vsnprintf(err->message, sizeof(err->message), fmt, ap) < 0)
		err->message[0] = '\0';
}

void rpc_error_set(struct rpc_error *err, int code, int domain, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	rpc_error_setv(err, code, domain, fmt, ap);
	va_end(ap);
}

const char *rpc_error_name(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].code == code)
			return names[i].name;
	return NULL;
}

int rpc_error_of_errno(int err)
{
	for (size_t i = 0; i < ARRAY_LEN(errnos); i++)
		if (errnos[i].err == err)
			return errnos[i].code;
	return RPC_ERR_SYSTEM;
}
