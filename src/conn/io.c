/* SPDX-License-Identifier: MIT */
/*
 * Slots, positions and commits. Invariant: at every instant the area says of each connection what
 * is consumed and what is to be sent, such that who finds it then can go on: a block is named by
 * its slot before the word makes it needed, and until after the word has made it obsolete.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "conn/inner.h"
#include "conn/out.h"

#define SLOT_NONE UINT32_MAX

static_assert(CONN_SLOTS_PER_CHUNK * sizeof(struct conn_slot) <= 4080, "a chunk fills a page");

void io_root_set(struct conn_table *t, struct conn_root *root)
{
	t->root = root;
	t->scratch = root->scratch;
}

int io_root_new(struct conn_table *t)
{
	uint32_t ref = area_alloc(t->area, sizeof(struct conn_root) + CONN_INPUT_MAX);

	t->free_slot = SLOT_NONE;
	if (!ref)
		return FAULT(-ENOMEM);
	io_root_set(t, area_at(t->area, ref));
	memset(t->root, 0, sizeof(*t->root));
	__atomic_store_n(area_root(t->area, CONN_AREA_ROOT), ref, __ATOMIC_RELEASE);
	return 0;
}

/* --- slots ------------------------------------------------------------------------------- */

void io_slots_none(struct conn_table *t)
{
	t->free_slot = SLOT_NONE;
}

/* Free slots hang together by their words; last to first, so that low ones are used again. */
void io_slot_put(struct conn_table *t, uint32_t slot)
{
	struct conn_slot *s = io_slot_at(t, slot);

	__atomic_store_n(&s->id, 0, __ATOMIC_RELEASE);
	s->in_block = s->out_block = 0;
	s->word = t->free_slot;
	t->free_slot = slot;
}

static bool chunk_add(struct conn_table *t)
{
	struct conn_root *r = t->root;
	uint32_t n = r->n_chunks, ref;

	if (n == CONN_SLOT_CHUNKS)
		return false;
	ref = area_alloc(t->area, CONN_SLOTS_PER_CHUNK * sizeof(struct conn_slot));
	if (!ref)
		return false;
	t->chunk[n] = area_at(t->area, ref);
	memset(t->chunk[n], 0, CONN_SLOTS_PER_CHUNK * sizeof(struct conn_slot));
	r->chunk[n] = ref;
	__atomic_store_n(&r->n_chunks, n + 1, __ATOMIC_RELEASE);
	for (uint32_t i = CONN_SLOTS_PER_CHUNK; i-- > 0;)
		io_slot_put(t, n * CONN_SLOTS_PER_CHUNK + i);
	return true;
}

int io_slot_new(struct conn *c)
{
	struct conn_table *t = c->table;
	struct conn_slot *s;

	if (t->free_slot == SLOT_NONE && !chunk_add(t))
		return FAULT(-ENOMEM);
	c->slot = t->free_slot;
	s = io_slot(c);
	t->free_slot = (uint32_t)s->word;
	s->word = 0;
	if (t->root->next_id < t->next_id)
		t->root->next_id = t->next_id;
	__atomic_store_n(&s->id, c->id, __ATOMIC_RELEASE);
	return 0;
}

void io_slot_end(struct conn *c)
{
	__atomic_store_n(&io_slot(c)->id, 0, __ATOMIC_RELEASE);
}

static void untouch(struct conn *c)
{
	struct conn **p = &c->table->touched;

	if (!c->touched)
		return;
	while (*p != c)
		p = &(*p)->next_touched;
	*p = c->next_touched;
	c->touched = false;
	c->table->n_touched--;
}

void io_slot_free(struct conn *c)
{
	struct conn_slot *s = io_slot(c);
	uint32_t in = s->in_block, out = s->out_block;

	untouch(c);
	io_slot_put(c->table, c->slot);
	area_release(c->table->area, in);
	area_release(c->table->area, out);
}

/* --- commits ----------------------------------------------------------------------------- */

void io_touch(struct conn *c)
{
	struct conn_table *t = c->table;

	if (c->touched)
		return;
	c->touched = true;
	c->next_touched = t->touched;
	t->touched = c;
	t->n_touched++;
}

void io_sync_blocks(struct conn *c)
{
	struct area *a = c->table->area;
	struct conn_slot *s = io_slot(c);
	uint32_t in = area_ref(a, c->in), out = c->out ? c->out->ref : 0, was;

	if (s->in_block != in) {
		was = s->in_block;
		__atomic_store_n(&s->in_block, in, __ATOMIC_RELEASE);
		area_release(a, was);
	}
	if (s->out_block != out) {
		was = s->out_block;
		__atomic_store_n(&s->out_block, out, __ATOMIC_RELEASE);
		area_release(a, was);
	}
}

static uint64_t word_of(const struct conn *c)
{
	return conn_word_make(c->in_pos, c->out_pos);
}

void io_store(struct conn *c)
{
	__atomic_store_n(&io_slot(c)->word, word_of(c), __ATOMIC_RELEASE);
	io_sync_blocks(c);
}

static int words_reserve(struct conn_table *t, size_t n)
{
	size_t room = t->words_room ? t->words_room : 16;
	struct conn_word *p;

	if (n <= t->words_room)
		return 0;
	while (room < n)
		room *= 2;
	p = realloc(t->words, room * sizeof(*p));
	if (!p)
		return FAULT(-ENOMEM);
	t->words = p;
	t->words_room = room;
	return 0;
}

/* The log makes the words true together with what it was told of. */
static int commit_logged(struct conn_table *t, uint64_t seq)
{
	size_t n = 0;
	int r;

	r = words_reserve(t, t->n_touched);
	if (r)
		return r;
	for (struct conn *c = t->touched; c; c = c->next_touched)
		t->words[n++] =
			(struct conn_word){ .id = c->id, .word = word_of(c), .slot = c->slot };
	return t->log->commit(t->log_data, seq, t->words, n);
}

int conn_commit(struct conn_table *t)
{
	const struct conn_log_ops *log = t->log;
	bool changes = log && log->commit && log->has_changes && log->has_changes(t->log_data);
	bool logged = changes || (log && log->commit && t->n_touched > 1);
	uint64_t seq = t->root->commit_done + 1;
	struct conn *c;
	int r;

	if (logged) {
		r = commit_logged(t, seq);
		if (r)
			return r;
	}
	while ((c = t->touched)) {
		t->touched = c->next_touched;
		c->touched = false;
		__atomic_store_n(&io_slot(c)->word, word_of(c), __ATOMIC_RELEASE);
		/* a commit that failed before has left it with output that nobody tried to send */
		if (c->out && list_is_empty(&c->dirty) && !c->closing)
			list_append(&t->dirty, &c->dirty);
		c->next_touched = t->stored;
		t->stored = c;
	}
	t->n_touched = 0;
	if (logged)
		__atomic_store_n(&t->root->commit_done, seq, __ATOMIC_RELEASE);
	while ((c = t->stored)) {
		t->stored = c->next_touched;
		io_sync_blocks(c);
	}
	return 0;
}

/* --- what is under way ------------------------------------------------------------------- */

void io_cell_begin(struct conn_cell *cell, const struct conn *c, uint32_t pos, uint32_t at)
{
	cell->msg.msg_len = 0;
	cell->ring_len = 0;
	cell->slot = c->slot;
	cell->pos = pos;
	cell->at = at;
	__atomic_store_n(&cell->id, c->id, __ATOMIC_RELEASE);
}

void io_cell_end(struct conn_cell *cell)
{
	__atomic_store_n(&cell->id, 0, __ATOMIC_RELEASE);
}

void io_serving(const struct conn *c)
{
	struct conn_killer *s = &c->table->root->serving;

	s->slot = c->slot;
	s->in_pos = c->in_pos;
	__atomic_store_n(&s->id, c->id, __ATOMIC_RELEASE);
}

void io_served(const struct conn_table *t)
{
	__atomic_store_n(&t->root->serving.id, 0, __ATOMIC_RELEASE);
}

bool io_is_killer(const struct conn *c)
{
	const struct conn_root *r = c->table->root;

	for (size_t i = 0; i < CONN_KILLERS_MAX; i++)
		if (r->killer[i].id == c->id && r->killer[i].in_pos == c->in_pos &&
		    r->killer[i].deaths >= CONN_DEATHS_MAX)
			return true;
	return false;
}
