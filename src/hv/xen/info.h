/* SPDX-License-Identifier: MIT */
/*
 * What a Xen hypervisor tells about a domain to whoever may ask, over libxenctrl.
 */
#ifndef DROVER_HV_XEN_INFO_H
#define DROVER_HV_XEN_INFO_H

#include <stdint.h>

struct xen_info;

/* -EACCES, -ENOENT, …: no hypervisor to be asked. */
int xen_info_open(struct xen_info **ret);
void xen_info_close(struct xen_info *info);

/* The domain's handle as 36 characters. -ENOENT: no such domain. */
int xen_info_uuid(struct xen_info *info, uint32_t domid, char ret[37]);

/*
 * The scheduler of the domain's pool and the domain's parameters with it, as libxl names them:
 * put is called with "sched" and a name, then with numbers in decimal. -ENOENT; -EOPNOTSUPP: a
 * scheduler that is not known. Of one without parameters the name alone.
 */
int xen_info_sched(struct xen_info *info, uint32_t domid,
		   void (*put)(void *arg, const char *field, const char *value), void *arg);

#endif
