/* SPDX-License-Identifier: MIT */
/* A core being built: between the files that build it. */
#ifndef DROVER_STATE_LOAD_TYPES_H
#define DROVER_STATE_LOAD_TYPES_H

#include <uv/tree.h>

#include "state/load.h"
#include "store/walk.h"

struct load_conn_entry {
	RB_ENTRY(load_conn_entry) by_id;
	struct load_conn c;
};
RB_HEAD(load_conns, load_conn_entry);

struct state_load {
	struct core *core; /* owned unless taken */
	bool taken;
	bool building;	/* nodes go to build */
	bool has_state; /* our own records say what others' say less well */
	struct tree_build build;
	struct load_conns conns; /* owned */
	struct load_host host;
	uint8_t named[(UINT16_MAX + 1u) / 8]; /* by domid: known as a target alone */
	const struct txn *chain; /* borrowed: whose state came last; NULL: it has ended */
	/* the list of the node before, which is mostly the next one's, too */
	struct perms *last_perms; /* owned reference; NULL: none */
	uint8_t last_raw[64];
	size_t last_raw_len;
	char why[200];
};

/* Says why, returns EINVAL. */
int load_fail(struct state_load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#ifdef __clang_analyzer__
#define load_fail(l, ...) ((void)(load_fail)((l), __VA_ARGS__), EINVAL) /* seen for what it is */
#endif

struct load_conn *load_find_conn(struct state_load *l, uint32_t conn_id);

/* The list of a record; *ret is the caller's reference. EINVAL, -ENOMEM. */
int load_perms(struct state_load *l, const struct drover_list *list, struct perms **ret);

/* The absolute path of a record. EINVAL. */
int load_path(struct state_load *l, const struct conn *c, const struct drover_octets *o,
	      struct path *ret);

/* NODE_DATA and what belongs to transactions: load_nodes.c. */
int load_node(struct state_load *l, const struct drover_node *n);
int load_base_node(struct state_load *l, const struct drover_node *n);
int load_txn(struct state_load *l, const struct drover_txn *t);
int load_txn_state(struct state_load *l, const struct drover_txn_state *t);
int load_txn_access(struct state_load *l, const struct drover_txn_access *a);
int load_txn_charge(struct state_load *l, const struct drover_txn_charge *c);
int load_txn_end(struct state_load *l, const struct drover_txn *t);

#endif
