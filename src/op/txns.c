/* SPDX-License-Identifier: MIT */
/*
 * TRANSACTION_START, TRANSACTION_END (xenstore.txt, "Transactions").
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "op/op.h"

/* Ids rise from 1 and are never 0; one that is still open is passed over. */
static uint32_t next_id(struct conn *c)
{
	do {
		c->next_tx++;
	} while (!c->next_tx || txn_find(&c->txns, c->next_tx));
	return c->next_tx;
}

int op_transaction_start(struct op_call *o)
{
	struct core *core = o->core;
	struct conn *c = o->conn;
	struct budget *b = c->watcher.budget;
	char str[16];
	struct txn *t;
	int r;

	if (o->txn)
		return EBUSY;
	if (!op_is_privileged(o) && budget_check(b, QUOTA_TRANSACTIONS, 1))
		return op_refuse(o, b, QUOTA_TRANSACTIONS, NULL, b->used[QUOTA_TRANSACTIONS] + 1);
	if (!op_is_privileged(o) && budget_check(b, QUOTA_MEMORY, TXN_CHARGE))
		return op_refuse(o, b, QUOTA_MEMORY, NULL, b->used[QUOTA_MEMORY] + TXN_CHARGE);
	if (!hold_may_start(&core->holds, &c->contender, core->now_ms))
		return OP_WAIT;
	r = core_start_txn(core, c, next_id(c), &t);
	if (r)
		return r;
	hold_began(&core->holds, &c->contender, t->id, core->now_ms);
	snprintf(str, sizeof(str), "%" PRIu32, t->id);
	op_answer_string(o, str);
	return 0;
}

int op_transaction_end(struct op_call *o)
{
	struct core *core = o->core;
	struct conn *c = o->conn;
	const struct txn_ground ground = {
		.store = &core->store,
		.watches = &core->watches,
		.ledger = &core->domains.ledger,
		.holds = &core->holds,
		.now_ms = core->now_ms,
	};
	struct txn_conflict lost = { 0 };
	uint64_t mark;
	bool commit;
	int r = 0;

	if (o->arg_len[0] != 1 || (o->arg[0][0] != 'T' && o->arg[0][0] != 'F'))
		return EINVAL;
	if (!o->txn)
		return ENOENT;
	commit = o->arg[0][0] == 'T';
	mark = core->log ? core->log->mark(core->log_data) : 0;
	if (commit)
		r = txn_commit(&ground, o->txn, &c->contender, &lost);
	if (r && core->log)
		core->log->rewind(core->log_data, mark);
	if (r == EBUSY)
		return OP_WAIT;
	hold_wait_over(&c->contender);
	if (r == EAGAIN)
		c->watcher.budget->counters->conflicts++;
	hold_ended(&core->holds, &c->contender, o->txn->id, commit && !r,
		   r == EAGAIN ? lost.path : NULL, lost.len);
	txn_free(&core->store, &c->txns, o->txn);
	c->n_txns--;
	return r;
}
