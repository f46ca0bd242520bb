/* SPDX-License-Identifier: MIT */
/* What clients say of a migration, judged: flags, parameters, cookies, XML. */
#ifndef DROVER_HOSTD_MIGRATION_ARGS_H
#define DROVER_HOSTD_MIGRATION_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostd/call.h"
#include "hostd/migration.h"
#include "hostd/xml.h"
#include "rpc/libvirt.h"

/* The procedures of a migration, ends with number 0. */
extern const struct proc migration_procs[];

#define MIGRATION_MIB_MAX 8796093022207ull /* MiB a second that fit in 63 bits of octets */
#define MIGRATION_DOWNTIME_MS 300u	   /* where nothing was said */
#define MIGRATION_DOWNTIME_MAX_MS 2000000u /* as QEMU has it */

/* Borrowed from the call; NULL: not given. */
struct migration_args {
	uint32_t flags;
	const char *dname, *xml, *persist_xml, *uri;
	uint64_t bandwidth_mib; /* 0: not given */
};

/* All of these: false or NULL: the call has failed, and names what is wrong. */
bool migration_args_read(struct call *c, unsigned int flags, const rpc_params *params,
			 struct migration_args *ret);
/* Whether two daemons can speak to each other: of this one and of the cookie's, text says why not.
 */
bool migration_reaches_back(const struct call *c, const struct mig_cookie *cookie, char *text,
			    size_t room);
/* needed: an empty one is an error. */
bool migration_cookie_read(struct call *c, const rpc_cookie *cookie, bool needed,
			   struct mig_cookie *ret);
/* name: of the parameter. */
struct guest_def *migration_parse_xml(struct call *c, const char *name, const char *text);

/* A code for the machine's refusal of a client's call. */
int migration_refusal(int err);
/*
 * Begin: what its reply carries; *ret_xml is to be freed. False: the call has failed.
 */
bool migration_begin(struct call *c, struct dom *d, const struct migration_args *a,
		     struct mig_cookie *ret, char **ret_xml);
/* What Begin's reply carries, to be freed; NULL: the call has failed, and what has begun is over.
 */
char *migration_begin_cookie(struct call *c, const struct dom *d, uint32_t flags,
			     const struct mig_cookie *cookie, size_t *ret_len);
/* How, and where to, Perform is to send. */
void migration_options(struct run *run, const struct dom *d, const struct migration_args *a,
		       const char *uri);

/* Whether both hosts may have its disks open in turn; text names the one that they may not. */
bool migration_is_safe(const struct guest_def *def, char *text, size_t room);

/* The epoch that the guest runs in, or, if it does not, the latest one known here. */
uint64_t migration_epoch(struct host *h, const struct dom *d);

#endif
