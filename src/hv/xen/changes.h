/* SPDX-License-Identifier: MIT */
/*
 * Which domains' states changed, where the hypervisor only says that some did (libxenctrl): a
 * scan of all domains, in batches, compared with the scan before.
 */
#ifndef DROVER_HV_XEN_CHANGES_H
#define DROVER_HV_XEN_CHANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/hv.h"

#define CHANGES_WORDS ((HV_DOMID_FIRST_RESERVED + 63u) / 64u)

/* A bit a domid. */
struct domain_states {
	uint64_t exists[CHANGES_WORDS];
	uint64_t shutdown[CHANGES_WORDS];
	uint64_t dying[CHANGES_WORDS];
};

struct changes {
	struct domain_states known;
	uint64_t pending[CHANGES_WORDS]; /* changed, and not yet taken */
};

/* Enters one domain into states. */
void changes_enter(struct domain_states *states, uint16_t domid, bool shutdown, bool dying);
/*
 * Somebody was told that domid exists. It may be gone before the next scan: that is a change,
 * though no scan ever saw it.
 */
void changes_told(struct changes *c, uint16_t domid);
/* What differs from what was known becomes pending, and what has shut down; now becomes known. */
void changes_update(struct changes *c, const struct domain_states *now);
/* The lowest pending domid: 1; or 0. */
int changes_take(struct changes *c, uint16_t *ret_domid);

#endif
