/* SPDX-License-Identifier: MIT */
/*
 * Operations: one table, and the checks common to all, whose order decides which error a client
 * sees: type ENOSYS, privilege EACCES, transaction id ENOENT, arguments EINVAL.
 */
#ifndef DROVER_OP_OP_H
#define DROVER_OP_OP_H

#include "op/core.h"

#define OP_WAIT 0x7fff /* not an errno: the request waits for a hold and is tried again */
#define OP_ARGS_MAX 3u

/* A request under way. */
struct op_call {
	struct core *core;
	struct conn *conn;
	const struct wire_msg *msg;
	struct txn *txn; /* borrowed; NULL: none */
	struct op_reply *reply;
	/* strings of the payload as its table row asks for */
	const char *arg[OP_ARGS_MAX];
	size_t arg_len[OP_ARGS_MAX];
	size_t n_args;
};

typedef int op_fn(struct op_call *o);

/* Handles a request of conn: false: to be tried again after its wake. */
bool op_handle(void *core, struct conn *c, const struct wire_msg *m);

/* --- for the families ------------------------------------------------------------------- */

/* Name of the operation under way, for reports. */
const char *op_name(const struct op_call *o);
static inline bool op_is_privileged(const struct op_call *o)
{
	return o->conn->watcher.privileged;
}
static inline struct tree *op_tree(const struct op_call *o)
{
	return o->txn ? &o->txn->tree : &o->core->store.live;
}
/* The path of argument 0, absolute. EINVAL. */
int op_path(const struct op_call *o, struct path *ret);
/*
 * Where the path leads, its access judged for want (PERM_READ, PERM_WRITE, PERM_OWNER). What is
 * judged, and saw of the node, is noted in the transaction. 0: the node exists. ENOENT, or
 * EACCES also for a missing node below an ancestor that lets nothing of want. ENOSPC, -ENOMEM.
 */
int op_find(struct op_call *o, const struct path *p, unsigned int want, unsigned int saw,
	    struct store_pos *ret);
/* Counts and tells of a refusal of the caller; returns ENOSPC. */
int op_refuse(const struct op_call *o, struct budget *b, enum quota_id q, const struct path *p,
	      uint64_t use);
/*
 * Whether owner may have so many nodes and octets more, in the call's transaction or live.
 * ENOSPC, refused and counted. ENOENT: no such owner.
 */
int op_room(struct op_call *o, const struct path *p, uint16_t owner, uint64_t nodes,
	    uint64_t octets);
/* Notes a touch in the call's transaction, nothing outside one. ENOSPC, -ENOMEM. */
int op_note(struct op_call *o, const struct path *p, unsigned int saw, unsigned int wrote);
/* What was noted is written now: after the edit, so that one that failed is not committed. */
void op_wrote(struct op_call *o, const char *path, size_t len, unsigned int wrote);
/*
 * Around an edit of a transaction's tree: what it copied, and the octets that it added, are
 * charged to the transaction. mark: of op_edit_mark before the edit.
 */
uint64_t op_edit_mark(const struct op_call *o);
void op_edited(struct op_call *o, uint64_t mark, uint64_t octets);
/* Outside a transaction: whether a hold lets path change now. 0, or OP_WAIT. */
int op_may_change(struct op_call *o, const struct path *p, bool removed);
/* Events of a change outside a transaction. */
void op_fire(struct op_call *o, const struct change *c);
void op_answer(struct op_call *o, const void *data, size_t len);
void op_answer_string(struct op_call *o, const char *str);

/* WATCH but for the reply and the initial event. Errors as the operation's; and it undone. */
int op_watch_add(struct op_call *o, struct watch **ret);
void op_watch_undo(struct op_call *o);
/* The domid of argument 0, of a domain that moves. EINVAL: it cannot. */
int vendor_domid(const struct op_call *o, uint16_t *ret);

op_fn op_directory, op_directory_part, op_read, op_write, op_mkdir, op_rm;
op_fn op_get_perms, op_set_perms;
op_fn op_watch, op_unwatch, op_reset_watches;
op_fn op_transaction_start, op_transaction_end;
op_fn op_introduce, op_release, op_get_domain_path, op_is_domain_introduced, op_resume,
	op_set_target, op_get_feature, op_set_feature, op_get_quota, op_set_quota, op_control;
op_fn op_quiesce, op_unquiesce, op_get_domain_watches, op_add_domain_watches,
	op_start_domain_transaction, op_export_domain, op_import_domain, op_why, op_get_domain_ring,
	op_put_domain_ring;

#endif
