/* SPDX-License-Identifier: MIT */
/*
 * Whose configuration a change in the store may concern.
 */
#ifndef DROVER_CONFIG_WHOSE_H
#define DROVER_CONFIG_WHOSE_H

#include <stdint.h>

enum whose {
	WHOSE_NOBODY, /* what the guest may write, say: it decides nothing */
	WHOSE_ONE,
	WHOSE_ANY, /* of many, or it cannot be told of whom */
};

/* Of a watch event's path; "" (events were dropped) is anybody's. *ret_domid of WHOSE_ONE alone. */
enum whose whose_node(const char *path, uint32_t *ret_domid);

#endif
