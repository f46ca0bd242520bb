/* SPDX-License-Identifier: MIT */
/*
 * libxenmanage (Xen 4.20 and later), which says which domain changed and numbers its lives.
 * Where it was not there at build time, or the hypervisor is older, manage_open gives NULL.
 */
#ifndef DROVER_HV_XEN_MANAGE_H
#define DROVER_HV_XEN_MANAGE_H

#include <stdint.h>

#include "hv/hv.h"

struct manage;

/* NULL: not available. */
struct manage *manage_open(void);
void manage_close(struct manage *m);
/* hv.h's domain_info. */
int manage_domain_info(struct manage *m, uint16_t domid, struct hv_dominfo *ret);
/* hv.h's next_changed, without its "all". */
int manage_next_changed(struct manage *m, uint16_t *ret_domid);

#endif
