/* SPDX-License-Identifier: MIT */
/*
 * Calls of clients: the table of procedures, and how a handler answers. Checks that are common to
 * all procedures are made before the handler, in one place (call.c).
 */
#ifndef DROVER_HOSTD_CALL_H
#define DROVER_HOSTD_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostd/dom.h"
#include "hostd/host.h"

struct caller; /* front.h */
struct call;

#define CALLS_MAX 16384u /* under way, of all connections */

enum {				 /* struct proc's flags */
       PROC_EARLY = 1u << 0,	 /* before the connection was opened */
       PROC_READ_ONLY = 1u << 1, /* a read-only connection may */
       PROC_PEER = 1u << 2,	 /* of the program of peers, and for them alone */
};

/*
 * A procedure; what it carries is in rpc/proc.h. handler answers exactly once, at once or later:
 * call_reply or call_fail. args are the call's, valid until it is answered; NULL where nothing is
 * carried.
 */
struct proc {
	int32_t number; /* 0: the end of a table */
	void (*handler)(struct call *c, void *args);
	unsigned int flags;
};

struct host *call_host(const struct call *c);
/* Never 0, never used twice, also known to the migrator. */
uint64_t call_id(const struct call *c);
/* The connection's id; as call_id. */
uint64_t call_caller_id(const struct call *c);
/* NULL: the connection is gone; answers then go nowhere. */
struct caller *call_caller(const struct call *c);
int32_t call_procedure(const struct call *c);
const char *call_name(const struct call *c); /* the procedure's, a constant */
void *call_args(const struct call *c);
/* A call under way; NULL: it is answered. */
struct call *call_find(const struct host *h, uint64_t id);

/* ret is of the procedure's type, not changed; NULL where there is none. */
void call_reply(struct call *c, const void *ret);
/* code: libvirt's (rpc/error.h). */
void call_fail(struct call *c, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The guest of a call's argument, borrowed; NULL: there is none, and the call has failed
 * (VIR_ERR_NO_DOMAIN). By uuid; name is for the message.
 */
struct dom *call_dom(struct call *c, const void *uuid, const char *name);
/* False: other flags than `known` are set, and the call has failed, naming them. */
bool call_flags(struct call *c, unsigned int flags, unsigned int known);

/* The daemon ends: all that is left of calls is freed. */
void call_drop_all(struct host *h);

#endif
