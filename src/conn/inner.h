/* SPDX-License-Identifier: MIT */
/* What the files of this floor have in common and nobody else needs. */
#ifndef DROVER_CONN_INNER_H
#define DROVER_CONN_INNER_H

#include "conn/conn.h"

/* --- io.c: slots, positions, commits --- */

/* The root in t's area, fresh. -ENOMEM. */
int io_root_new(struct conn_table *t);
/* Where the root's parts are. */
void io_root_set(struct conn_table *t, struct conn_root *root);
/* No slot is free. */
void io_slots_none(struct conn_table *t);
/* It is free. */
void io_slot_put(struct conn_table *t, uint32_t slot);
/* A slot of its own for c, whose id is set. -ENOMEM. */
int io_slot_new(struct conn *c);
/* Nobody is to go on with c. */
void io_slot_end(struct conn *c);
/* The slot, its blocks and what c did since the last commit are no more. */
void io_slot_free(struct conn *c);

static inline struct conn_slot *io_slot_at(const struct conn_table *t, uint32_t slot)
{
	return &t->chunk[slot / CONN_SLOTS_PER_CHUNK][slot % CONN_SLOTS_PER_CHUNK];
}

static inline struct conn_slot *io_slot(const struct conn *c)
{
	return io_slot_at(c->table, c->slot);
}

/* A position of c moved: the next commit stores it. */
void io_touch(struct conn *c);
/*
 * Stores c's positions and blocks, whether or not all is committed that led there: for who is lost
 * to others anyway.
 */
void io_store(struct conn *c);
/* The slot gets c's blocks, and lets go of others: of use once the word is true. */
void io_sync_blocks(struct conn *c);

/* A transfer begins: its first octet has position pos. */
void io_cell_begin(struct conn_cell *cell, const struct conn *c, uint32_t pos, uint32_t at);
/* What it moved is where it belongs. */
void io_cell_end(struct conn_cell *cell);

/* The request at c's position is handled from now on; done: no more. */
void io_serving(const struct conn *c);
void io_served(const struct conn_table *t);
/* Whether it killed too many processes. */
bool io_is_killer(const struct conn *c);

/* --- calm.c --- */

/* How many octets may be received now behind those that are kept. */
size_t conn_may_receive(struct conn *c);

/* --- conn.c --- */

/* Dies with its transport, its charges and its slot; between two rounds. */
void conn_free(struct conn *c);

/* On the ready list. */
void conn_queue_ready(struct conn *c);
/* Output is left that its peer does not read: its age counts from now. */
void conn_note_unread(struct conn *c);
/* Frees closed connections, those with many watches a slice at a time. True: more remain. */
bool conn_reap(struct conn_table *t);

/* The log is told that c's state is another one. */
void conn_tell(struct conn *c);

/* --- in.c: input --- */

/* The octets that are kept. */
const uint8_t *in_data(const struct conn *c);
/* Of those that were kept len are left, the last ones. */
void in_shrink(struct conn *c, size_t len);
/*
 * These are kept: the rest of what was kept before and all that was received since. consumed: some
 * before them were handled. -ENOMEM: nothing changed.
 */
int in_keep(struct conn *c, const uint8_t *data, size_t len, bool consumed);
/* All that was received counts as consumed. */
void in_drop(struct conn *c);

#endif
