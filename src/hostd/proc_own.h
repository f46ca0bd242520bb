/* SPDX-License-Identifier: MIT */
/*
 * What proc_change.c and proc_define.c share.
 */
#ifndef DROVER_HOSTD_PROC_OWN_H
#define DROVER_HOSTD_PROC_OWN_H

#include <stdbool.h>

#include "hostd/call.h"
#include "hostd/host.h"

/*
 * For a dom_granted_fn: whether the call may go on. False: it was answered, and the guest, where it
 * was granted, is let go.
 */
bool change_may(struct call *c, struct dom *d, int code, const char *why, enum hostd_change what);

/* The caller's; NULL: the call has failed, naming what is wrong with the XML. */
struct guest_def *define_parse(struct call *c, const char *xml);
/*
 * The guest of that uuid and name, a new one where there is neither. NULL: the call has failed,
 * since one of the two is another guest's.
 */
struct dom *define_find(struct call *c, const struct guest_def *def);

#endif
