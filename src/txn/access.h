/* SPDX-License-Identifier: MIT */
/* What a transaction touched: between txn.c and commit.c. */
#ifndef DROVER_TXN_ACCESS_H
#define DROVER_TXN_ACCESS_H

#include "txn/txn.h"

struct txn_access {
	RB_ENTRY(txn_access) by_path;
	struct list link; /* in the order of first touch */
	uint8_t saw;	  /* TXN_SAW_* */
	uint8_t wrote;	  /* TXN_* */
	uint16_t len;
	char path[];
};

/* The access of path, or NULL. */
struct txn_access *txn_access_find(struct txn *t, const char *path, size_t len);

/* Adds to a sum; a failure is latched in it. */
void txn_sum_add(struct txn_sum *sum, uint16_t domid, int64_t nodes, int64_t octets);
void txn_sum_fini(struct txn_sum *sum);

#endif
