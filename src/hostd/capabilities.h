/* SPDX-License-Identifier: MIT */
/*
 * What `virsh capabilities` and `virsh domcapabilities` show.
 */
#ifndef DROVER_HOSTD_CAPABILITIES_H
#define DROVER_HOSTD_CAPABILITIES_H

#include "hostd/host.h"

/* The host's architecture, as "x86_64"; a constant. */
const char *capabilities_arch(void);
/* XML, to be freed; NULL: no memory. */
char *capabilities_print(const struct host *h);

/* What `virsh domcapabilities` asks for; NULL: nothing was said. The emulator is not looked at. */
struct domcaps_ask {
	const char *arch, *machine, *type;
};

/* *ret is to be freed. 0; libvirt's code with text. */
int domcaps_print(const struct host *h, const struct domcaps_ask *ask, char **ret, char *text,
		  size_t room);

#endif
