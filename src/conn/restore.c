/* SPDX-License-Identifier: MIT */
/*
 * Taking connections over: from the area of a process that is gone, or as octets from elsewhere.
 * Invariant: whatever the area says is judged before it is used, and nothing is stored there before
 * conn_table_settle, except what a death under way has left to be told apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "conn/inner.h"
#include "conn/out.h"

/* --- the table --------------------------------------------------------------------------- */

static int claim(struct area *a, uint32_t ref, size_t size, void **ret)
{
	if (area_claim(a, ref) || area_room(a, ref) < size)
		return EINVAL;
	*ret = area_at(a, ref);
	return 0;
}

static int claim_root(struct conn_table *t, struct area *area)
{
	void *p;

	if (claim(area, *area_root(area, CONN_AREA_ROOT), sizeof(struct conn_root) + CONN_INPUT_MAX,
		  &p))
		return EINVAL;
	io_root_set(t, p);
	if (t->root->n_chunks > CONN_SLOT_CHUNKS)
		return EINVAL;
	for (uint32_t i = 0; i < t->root->n_chunks; i++) {
		if (claim(area, t->root->chunk[i], CONN_SLOTS_PER_CHUNK * sizeof(struct conn_slot),
			  &p))
			return EINVAL;
		t->chunk[i] = p;
	}
	return 0;
}

static uint32_t slots(const struct conn_table *t)
{
	return t->root->n_chunks * CONN_SLOTS_PER_CHUNK;
}

/* Whether the request is still to be handled. */
static bool is_pending(const struct conn_table *t, const struct conn_killer *k)
{
	const struct conn_slot *s;

	if (!k->id || k->slot >= slots(t))
		return false;
	s = io_slot_at(t, k->slot);
	return s->id == k->id && (int32_t)(k->in_pos - conn_word_in(s->word)) >= 0;
}

/* One more death is put down to the request that was being handled, if that is what there was. */
static void note_death(struct conn_table *t)
{
	struct conn_killer *s = &t->root->serving, *k, *place = NULL;

	for (k = t->root->killer; k < t->root->killer + CONN_KILLERS_MAX; k++) {
		if (k->id && !is_pending(t, k))
			k->id = 0;
		if (is_pending(t, s) && k->id == s->id && k->in_pos == s->in_pos)
			break;
		if (!place || k->deaths < place->deaths || !k->id)
			place = k;
	}
	if (k == t->root->killer + CONN_KILLERS_MAX) {
		k = place;
		*k = *s;
		k->deaths = 0;
	}
	k->deaths++;
	io_served(t);
}

int conn_table_attach(struct conn_table *t, struct area *area)
{
	struct conn_root *r;

	memset(t->chunk, 0, sizeof(t->chunk));
	if (claim_root(t, area))
		return EINVAL;
	r = t->root;
	area_free(TAKE(t->own_area));
	t->area = area;
	t->restored = calloc(slots(t) / 8 + 1, 1);
	if (!t->restored)
		return FAULT(-ENOMEM);
	if (t->next_id < r->next_id)
		t->next_id = r->next_id;
	if (r->serving.id)
		note_death(t);
	for (size_t i = 0; i < CONN_KILLERS_MAX; i++)
		t->n_killers += r->killer[i].id && r->killer[i].deaths >= CONN_DEATHS_MAX;
	return 0;
}

int conn_apply_words(struct conn_table *t, uint64_t seq, const struct conn_word *words, size_t n)
{
	if (seq <= t->root->commit_done)
		return 0;
	if (seq != t->root->commit_done + 1)
		return EINVAL;
	for (size_t i = 0; i < n; i++) {
		struct conn_slot *s;

		if (words[i].slot >= slots(t))
			return EINVAL;
		s = io_slot_at(t, words[i].slot);
		if (s->id == words[i].id)
			__atomic_store_n(&s->word, words[i].word, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&t->root->commit_done, seq, __ATOMIC_RELEASE);
	return 0;
}

/* --- a connection ------------------------------------------------------------------------ */

static bool is_cell_of(const struct conn_cell *cell, const struct conn *c)
{
	return cell->id == c->id && cell->slot == c->slot;
}

/* How many octets a transfer moved that was under way. */
static uint32_t moved(const struct conn *c, const struct transport_ops *ops, void *transport,
		      const struct conn_cell *cell, bool sent)
{
	if (!is_cell_of(cell, c))
		return 0;
	return ops->recover ? (uint32_t)ops->recover(transport, cell, sent) : cell->msg.msg_len;
}

/* The block; beyond: more is consumed than it has, which came with what was received last. */
static int restore_kept(struct conn *c, const struct conn_slot *s, bool *ret_beyond)
{
	struct in_block *b;
	uint32_t done;
	void *p;

	*ret_beyond = false;
	if (!s->in_block)
		return 0;
	if (claim(c->table->area, s->in_block, sizeof(*b), &p))
		return EINVAL;
	b = p;
	done = c->in_pos - b->base;
	if (done == (uint32_t)-CONN_POS_JUMP)
		return 0; /* freight whose commit never was */
	if (b->len > area_room(c->table->area, s->in_block) - sizeof(*b))
		return EINVAL;
	*ret_beyond = done > b->len;
	if (done >= b->len)
		return 0;
	c->in = b;
	c->in_len = b->len - done;
	return c->in_len > CONN_INPUT_MAX ? EINVAL : 0;
}

/* What was received last is in the scratch; what of it is not in the block is held. */
static int restore_input(struct conn *c, const struct transport_ops *ops, void *transport,
			 const struct conn_slot *s)
{
	struct conn_table *t = c->table;
	const struct conn_cell *cell = &t->root->recv;
	uint32_t n = moved(c, ops, transport, cell, false), have, from;
	bool beyond;
	int r;

	c->in_pos = conn_word_in(s->word);
	r = restore_kept(c, s, &beyond);
	if (r)
		return r;
	have = c->in_pos + c->in_len;
	from = have - cell->pos;
	if (!n)
		return beyond ? EINVAL : 0;
	if (from == n)
		return 0;
	if (from > n || cell->at > CONN_INPUT_MAX || n > CONN_INPUT_MAX - cell->at)
		return EINVAL;
	t->held.c = c;
	t->held.at = cell->at + from;
	t->held.len = n - from;
	return 0;
}

static int restore_output(struct conn *c, const struct transport_ops *ops, void *transport,
			  const struct conn_slot *s)
{
	struct conn_table *t = c->table;
	const struct conn_cell *cell = &t->root->send;
	uint32_t len, sent, n;
	struct out_block *b;
	size_t room;
	void *p;

	c->out_pos = conn_word_out(s->word);
	n = moved(c, ops, transport, cell, true);
	if (!s->out_block)
		return 0;
	if (claim(t->area, s->out_block, sizeof(*b), &p))
		return EINVAL;
	b = p;
	room = area_room(t->area, s->out_block) - sizeof(*b);
	len = c->out_pos - b->base;
	if (len == (uint32_t)-CONN_POS_JUMP)
		return 0; /* freight whose commit never was */
	if (len >= CONN_POS_JUMP && len - CONN_POS_JUMP <= room)
		return 0; /* dropped */
	sent = (n ? cell->pos + n : b->sent) - b->base;
	if (len > room || sent > len)
		return EINVAL;
	return sent == len ? 0 : out_restore(c, s->out_block, b->base + sent, c->out_pos);
}

/* As it was before there was a transport. What was claimed for it is lost: damage costs memory. */
static void unmake(struct conn *c)
{
	struct conn_table *t = c->table;

	if (t->held.c == c)
		memset(&t->held, 0, sizeof(t->held));
	if (c->out) {
		struct conn_queued q = conn_queued(c);

		budget_sub(c->watcher.budget, QUOTA_MEMORY, q.octets);
		c->out->ref = 0;
		out_free(t->area, TAKE(c->out));
	}
	list_remove(&c->dirty);
	c->in = NULL;
	c->in_len = 0;
}

int conn_restore(struct conn *c, const struct transport_ops *ops, void *transport)
{
	struct conn_table *t = c->table;
	const struct conn_slot *s = c->slot < slots(t) ? io_slot_at(t, c->slot) : NULL;
	int r;

	if (!s || !t->restored || s->id != c->id || t->restored[c->slot / 8] & 1u << c->slot % 8) {
		ops->free(transport);
		return ENOENT;
	}
	r = restore_input(c, ops, transport, s);
	if (!r)
		r = restore_output(c, ops, transport, s);
	if (r) {
		unmake(c);
		ops->free(transport);
		return r;
	}
	t->restored[c->slot / 8] |= (uint8_t)(1u << c->slot % 8);
	if (c->in_len)
		budget_add(c->watcher.budget, QUOTA_MEMORY, c->in_len);
	c->ops = ops;
	c->transport = transport;
	conn_wake(c);
	return 0;
}

/* --- from then on ------------------------------------------------------------------------ */

/* What was received last is kept like everything else, before its cell is used again. */
static void keep_held(struct conn_table *t)
{
	struct conn *c = t->held.c;
	const uint8_t *from = t->scratch + t->held.at;
	size_t len = c ? c->in_len + t->held.len : 0;
	uint8_t *both;

	if (!c)
		return;
	memset(&t->held, 0, sizeof(t->held));
	both = malloc(len);
	if (!both) {
		conn_fail(c, CONN_ERROR_COMM, "request lost for want of memory");
		return;
	}
	if (c->in_len)
		memcpy(both, in_data(c), c->in_len);
	memcpy(both + c->in_len, from, len - c->in_len);
	if (in_keep(c, both, len, true))
		conn_fail(c, CONN_ERROR_COMM, "request lost for want of memory");
	free(both);
}

static void settle_conn(struct conn *c)
{
	struct conn_slot *s = io_slot(c);
	struct out_block *b;

	if (s->in_block != area_ref(c->table->area, c->in) ||
	    s->out_block != (c->out ? c->out->ref : 0))
		io_sync_blocks(c);
	if (!c->out)
		return;
	b = area_at(c->table->area, c->out->ref);
	__atomic_store_n(&b->sent, c->out->base + (uint32_t)c->out->sent, __ATOMIC_RELEASE);
}

void conn_table_settle(struct conn_table *t)
{
	struct conn *c;

	keep_held(t);
	list_for_each(c, &t->all, all)
		if (c->ops)
			settle_conn(c);
	io_cell_end(&t->root->recv);
	io_cell_end(&t->root->send);
	io_slots_none(t);
	for (uint32_t i = slots(t); i-- > 0;)
		if (!(t->restored[i / 8] & 1u << i % 8))
			io_slot_put(t, i);
	free(TAKE(t->restored));
}

static int adopt_input(struct conn *c, const struct conn_freight *f)
{
	if (f->in_len > CONN_INPUT_MAX)
		return EINVAL;
	if (!f->in_len)
		return 0;
	return in_keep(c, f->in, f->in_len, true);
}

int conn_adopt(struct conn *c, const struct transport_ops *ops, void *transport,
	       const struct conn_freight *freight)
{
	uint32_t slot = c->slot;
	int r = io_slot_new(c);

	if (!r) {
		r = adopt_input(c, freight);
		if (!r)
			r = out_adopt(c, freight->out, freight->out_len, freight->out_partial);
		if (r) {
			in_drop(c);
			out_reset(c);
			io_slot_free(c);
			c->slot = slot;
		}
	}
	if (r) {
		ops->free(transport);
		return r;
	}
	c->ops = ops;
	c->transport = transport;
	io_store(c);
	conn_wake(c);
	return 0;
}

/*
 * Both blocks lie a jump ahead of the word, so that whoever finds them before it moved knows that
 * they are nothing yet.
 */
int conn_load(struct conn *c, const struct conn_freight *f)
{
	struct conn_slot *s = io_slot(c);
	uint32_t was = s->in_block;
	int r;

	if (f->in_len) {
		c->in_pos += CONN_POS_JUMP;
		r = adopt_input(c, f);
		if (r)
			return r;
		__atomic_store_n(&s->in_block, area_ref(c->table->area, c->in), __ATOMIC_RELEASE);
		area_release(c->table->area, was);
	}
	if (f->out_len) {
		c->out_pos += CONN_POS_JUMP;
		r = out_adopt(c, f->out, f->out_len, f->out_partial);
		if (r)
			return r;
	}
	io_touch(c);
	return 0;
}
