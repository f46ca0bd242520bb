/* SPDX-License-Identifier: MIT */
/*
 * What `virsh capabilities` shows.
 */
#ifndef DROVER_HOSTD_CAPABILITIES_H
#define DROVER_HOSTD_CAPABILITIES_H

#include "hostd/host.h"

/* The host's architecture, as "x86_64"; a constant. */
const char *capabilities_arch(void);
/* XML, to be freed; NULL: no memory. */
char *capabilities_print(const struct host *h);

#endif
