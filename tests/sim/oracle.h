/* SPDX-License-Identifier: MIT */
/*
 * The oracle: a plain model of the store that answers every request a second time, in the order
 * in which the daemon took them, and compares each reply, each event and all budgets. All calls
 * accept a NULL oracle and then do nothing.
 */
#ifndef DROVER_SIM_ORACLE_H
#define DROVER_SIM_ORACLE_H

#include "world.h"

struct oracle;

struct oracle *oracle_new(struct world *w);
void oracle_free(struct oracle *o);

/* A connection that the daemon has taken. */
void oracle_conn_new(struct oracle *o, struct conn *c);
/* Around core_hv_events: deaths and shutdowns. */
void oracle_before_events(struct oracle *o);
void oracle_after_events(struct oracle *o);
/* Around core_round: stale events; what was sent. */
void oracle_before_round(struct oracle *o);
void oracle_after_round(struct oracle *o);
/* What a peer has read off its connection. */
void oracle_read(struct oracle *o, struct conn *c, const void *data, size_t len);
/* The peer of a ring asks for a fresh connection now. */
void oracle_restart(struct oracle *o, struct conn *c);
/* The peer of a ring spoils what it would read. */
void oracle_spoilt(struct oracle *o, struct conn *c);
/* One of the open transactions of a connection, 0 where it has none; any: which. */
uint32_t oracle_txn(const struct oracle *o, const struct conn *c, uint32_t any);
/* A number made of all requests taken and messages queued so far. */
uint64_t oracle_digest(const struct oracle *o);
/* Keeps what is now, which is committed. */
void oracle_save(struct oracle *o);
/* The daemon died: back to what was kept. */
void oracle_rollback(struct oracle *o);
/* The world has another core, which took over from one that died. */
void oracle_recovered(struct oracle *o);
/* Compares the whole tree, all access lists and all budgets. */
void oracle_compare(struct oracle *o);

#endif
