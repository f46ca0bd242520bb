/* SPDX-License-Identifier: MIT */
/*
 * Errors as libvirt's clients know them: a code, who raised it, and a sentence. The numbers are
 * those of libvirt's virErrorNumber and virErrorDomain.
 */
#ifndef DROVER_RPC_ERROR_H
#define DROVER_RPC_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#define RPC_MESSAGE_MAX 1024u /* octets of a message and its NUL; longer ones are cut */

enum rpc_error_code {
	RPC_ERR_OK = 0,
	RPC_ERR_INTERNAL = 1,
	RPC_ERR_NO_MEMORY = 2,
	RPC_ERR_NO_SUPPORT = 3, /* the procedure, or the driver */
	RPC_ERR_UNKNOWN_HOST = 4,
	RPC_ERR_NO_CONNECT = 5,
	RPC_ERR_INVALID_CONN = 6,
	RPC_ERR_INVALID_DOMAIN = 7,
	RPC_ERR_INVALID_ARG = 8,
	RPC_ERR_OPERATION_FAILED = 9,
	RPC_ERR_OS_TYPE = 16,
	RPC_ERR_DRIVER_FULL = 25,
	RPC_ERR_CALL_FAILED = 26,
	RPC_ERR_XML = 27,
	RPC_ERR_DOM_EXIST = 28,
	RPC_ERR_OPERATION_DENIED = 29,
	RPC_ERR_OPEN_FAILED = 30,
	RPC_ERR_READ_FAILED = 31,
	RPC_ERR_PARSE_FAILED = 32,
	RPC_ERR_CONF_SYNTAX = 33,
	RPC_ERR_WRITE_FAILED = 34,
	RPC_ERR_XML_DETAIL = 35,
	RPC_ERR_SYSTEM = 38,
	RPC_ERR_RPC = 39,
	RPC_ERR_GNUTLS = 40,
	RPC_ERR_NO_DOMAIN = 42,
	RPC_ERR_AUTH_FAILED = 45,
	RPC_ERR_NO_SECURITY_MODEL = 54,
	RPC_ERR_OPERATION_INVALID = 55,
	RPC_ERR_CONFIG_UNSUPPORTED = 67,
	RPC_ERR_OPERATION_TIMEOUT = 68,
	RPC_ERR_MIGRATE_PERSIST_FAILED = 69,
	RPC_ERR_ARGUMENT_UNSUPPORTED = 74,
	RPC_ERR_OPERATION_ABORTED = 78,
	RPC_ERR_AUTH_CANCELLED = 79,
	RPC_ERR_NO_DOMAIN_METADATA = 80,
	RPC_ERR_MIGRATE_UNSAFE = 81,
	RPC_ERR_OVERFLOW = 82,
	RPC_ERR_OPERATION_UNSUPPORTED = 84,
	RPC_ERR_SSH = 85,
	RPC_ERR_RESOURCE_BUSY = 87,
	RPC_ERR_ACCESS_DENIED = 88,
	RPC_ERR_CPU_INCOMPATIBLE = 91,
	RPC_ERR_MIGRATE_FINISH_OK = 93, /* Finish says so although it was told "cancelled" */
	RPC_ERR_AUTH_UNAVAILABLE = 94,
	RPC_ERR_NO_HOSTNAME = 108,
	RPC_ERR_MULTIPLE_DOMAINS = 110,
};

enum rpc_error_domain {
	RPC_FROM_NONE = 0,
	RPC_FROM_XEN = 1,
	RPC_FROM_XML = 5,
	RPC_FROM_DOM = 6,
	RPC_FROM_RPC = 7,
	RPC_FROM_CONF = 9,
	RPC_FROM_QEMU = 10,
	RPC_FROM_TEST = 12,
	RPC_FROM_REMOTE = 13,
	RPC_FROM_DOMAIN = 20,
	RPC_FROM_EVENT = 40,
	RPC_FROM_LIBXL = 41,
	RPC_FROM_URI = 45,
	RPC_FROM_AUTH = 46,
};

enum rpc_error_level { RPC_LEVEL_NONE, RPC_LEVEL_WARNING, RPC_LEVEL_ERROR };

struct rpc_error {
	int code, domain, level; /* as they came from a daemon: any number */
	char message[RPC_MESSAGE_MAX];
};

/* Level ERROR. err may be NULL: then nothing is done. */
void rpc_error_set(struct rpc_error *err, int code, int domain, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void rpc_error_setv(struct rpc_error *err, int code, int domain, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));
/* A code's name, as "no domain"; NULL: not one of ours. */
const char *rpc_error_name(int code);
/* A code for a positive errno: EINVAL INVALID_ARG, ENOENT NO_DOMAIN, EBUSY OPERATION_INVALID... */
int rpc_error_of_errno(int err);

#endif
