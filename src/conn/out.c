/* SPDX-License-Identifier: MIT */
/*
 * Queued output. Invariant: what is queued and unsent is charged to the connection's budget, to
 * the octet; a message leaves whole or stays. Octets up to the committed position do not change
 * where they are: a queue that grows or shrinks goes to another block.
 */
#include "conn/out.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/own.h"
#include "conn/inner.h"

/* With the heads of both kinds a block of 4096 octets. */
#define OUT_ROOM_MIN (4080u - sizeof(struct out_block))

static size_t msg_size(const struct conn_out *o, size_t at, uint32_t *ret_type)
{
	struct xsd_sockmsg hdr;

	memcpy(&hdr, o->buf + at, sizeof(hdr));
	*ret_type = hdr.type;
	return sizeof(hdr) + hdr.len;
}

static struct out_block *out_block(const struct conn_table *t, uint32_t ref)
{
	return area_at(t->area, ref);
}

void out_free(struct area *a, struct conn_out *o)
{
	if (!o)
		return;
	area_release(a, o->ref);
	free(o->seen);
	free(o);
}

/* A block whose octets begin at position base, with sent of them gone. 0: no memory. */
static uint32_t block_new(struct conn_table *t, size_t room, uint32_t base, size_t sent)
{
	uint32_t ref = area_alloc(t->area, sizeof(struct out_block) + room);
	struct out_block *b;

	if (!ref)
		return 0;
	b = out_block(t, ref);
	b->base = base;
	b->sent = base + (uint32_t)sent;
	return ref;
}

static void block_set(struct conn_table *t, struct conn_out *o, uint32_t ref)
{
	o->ref = ref;
	o->base = out_block(t, ref)->base;
	o->buf = out_block(t, ref)->data;
	o->room = area_room(t->area, ref) - sizeof(struct out_block);
}

/* Another block with the same, or with what is left of it, in one store. */
static void block_swap(struct conn *c, uint32_t ref)
{
	uint32_t was = c->out->ref;

	block_set(c->table, c->out, ref);
	__atomic_store_n(&io_slot(c)->out_block, ref, __ATOMIC_RELEASE);
	area_release(c->table->area, was);
}

static struct conn_out *out_make(struct conn_table *t)
{
	struct conn_out *o = t->spare;

	if (o) {
		t->spare = o->next;
		t->n_spare--;
		return o;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->ref = block_new(t, OUT_ROOM_MIN, 0, 0);
	if (!o->ref) {
		free(o);
		return NULL;
	}
	block_set(t, o, o->ref);
	return o;
}

/* The first message's queue. What was dropped and is not committed as such must go first. */
static struct conn_out *out_new(struct conn *c)
{
	struct conn_slot *s = io_slot(c);
	struct out_block *b;
	struct conn_out *o;

	if (s->out_block)
		return NULL;
	o = out_make(c->table);
	if (!o)
		return NULL;
	b = out_block(c->table, o->ref);
	o->base = b->base = b->sent = c->out_pos;
	__atomic_store_n(&s->out_block, o->ref, __ATOMIC_RELEASE);
	return o;
}

/* Kept for the next one who needs a queue, unless it grew. */
static void out_spare(struct conn_table *t, struct conn_out *o)
{
	if (t->n_spare >= CONN_SPARE_MAX || o->room > OUT_ROOM_MIN * 16) {
		out_free(t->area, o);
		return;
	}
	if (o->n_seen)
		memset(o->seen, 0, o->seen_room * sizeof(*o->seen));
	o->len = o->front = o->sent = o->events = o->replies = o->n_seen = o->n_ages = 0;
	o->next = t->spare;
	t->spare = o;
	t->n_spare++;
}

/* Empty again. */
static void out_retire(struct conn *c)
{
	struct conn_out *o = TAKE(c->out);

	list_remove(&c->stalled);
	__atomic_store_n(&io_slot(c)->out_block, 0, __ATOMIC_RELEASE);
	out_spare(c->table, o);
}

size_t out_committed(const struct conn *c)
{
	return conn_word_out(io_slot(c)->word) - c->out->base;
}

static uint64_t event_hash(const struct conn *c, const void *data, size_t len)
{
	return siphash(&c->table->key, data, len);
}

static void seen_insert(const struct conn *c, struct conn_out *o, size_t at)
{
	uint32_t type;
	size_t size = msg_size(o, at, &type), i;

	i = event_hash(c, o->buf + at + WIRE_HEADER_SIZE, size - WIRE_HEADER_SIZE);
	for (i &= o->seen_room - 1; o->seen[i]; i = (i + 1) & (o->seen_room - 1))
		;
	o->seen[i] = at + 1;
	o->n_seen++;
}

/* The hash of all unsent events anew, with room for more. Without memory there is none. */
static void seen_rebuild(const struct conn *c, struct conn_out *o)
{
	size_t room = OUT_SEEN_MIN, size;
	uint32_t type;

	while (room < o->events * 4)
		room *= 2;
	if (room != o->seen_room) {
		free(o->seen);
		o->seen = calloc(room, sizeof(*o->seen));
		o->seen_room = o->seen ? room : 0;
	} else {
		memset(o->seen, 0, room * sizeof(*o->seen));
	}
	o->n_seen = 0;
	if (!o->seen)
		return;
	for (size_t at = o->front; at < o->len; at += size) {
		size = msg_size(o, at, &type);
		if (type == XS_WATCH_EVENT && at >= o->sent)
			seen_insert(c, o, at);
	}
}

bool out_has_event(const struct conn *c, const void *path, size_t path_len, const void *token,
		   size_t token_len)
{
	struct conn_out *o = c->out;
	char payload[XENSTORE_PAYLOAD_MAX];
	uint32_t type;
	size_t i, len = path_len + token_len + 2;

	if (!o || !o->events)
		return false;
	if (!o->n_seen || o->n_seen * 2 > o->seen_room)
		seen_rebuild(c, o);
	if (!o->seen)
		return false;
	memcpy(payload, path, path_len);
	payload[path_len] = '\0';
	memcpy(payload + path_len + 1, token, token_len);
	payload[len - 1] = '\0';
	i = event_hash(c, payload, len);
	for (i &= o->seen_room - 1; o->seen[i]; i = (i + 1) & (o->seen_room - 1)) {
		size_t at = o->seen[i] - 1;

		if (at >= o->sent && msg_size(o, at, &type) == len + WIRE_HEADER_SIZE &&
		    !memcmp(o->buf + at + WIRE_HEADER_SIZE, payload, len))
			return true;
	}
	return false;
}

/*
 * Room for more octets. What is left goes to another block, without what is gone; octets that are
 * committed stay as they are until that is the slot's. Offsets move, so the hash goes.
 */
static bool out_reserve(struct conn *c, size_t more)
{
	struct conn_out *o = c->out;
	size_t cut = o->front, left = o->len - cut;
	uint32_t ref;

	if (o->len + more <= o->room)
		return true;
	/* half as much again: a slow reader does not make each event cost its queue */
	ref = block_new(c->table, left + (more > left / 2 ? more : left / 2),
			o->base + (uint32_t)cut, o->sent - cut);
	if (!ref)
		return false;
	memcpy(out_block(c->table, ref)->data, o->buf + cut, left);
	block_swap(c, ref);
	o->len = left;
	o->sent -= cut;
	o->front = 0;
	for (size_t i = 0; i < o->n_ages; i++)
		o->age[i].end = o->age[i].end > cut ? o->age[i].end - cut : 0;
	if (cut && o->n_seen)
		memset(o->seen, 0, o->seen_room * sizeof(*o->seen));
	if (cut)
		o->n_seen = 0;
	return true;
}

bool out_append(struct conn *c, const struct xsd_sockmsg *hdr, const void *data, size_t len)
{
	struct conn_out *o;
	size_t at;

	if (!c->out)
		c->out = out_new(c);
	o = c->out;
	if (!o)
		return false;
	if (!out_reserve(c, sizeof(*hdr) + len)) {
		if (!o->len)
			out_retire(c); /* or the line would be waited for with nothing to send */
		return false;
	}
	at = o->len;
	memcpy(o->buf + at, hdr, sizeof(*hdr));
	if (len)
		memcpy(o->buf + at + sizeof(*hdr), data, len);
	o->len += sizeof(*hdr) + len;
	c->out_pos += (uint32_t)(sizeof(*hdr) + len);
	io_touch(c);
	if (hdr->type == XS_WATCH_EVENT) {
		o->events++;
		/* a hash exists once somebody asked: kept complete from then on */
		if (o->n_seen && o->n_seen * 2 <= o->seen_room)
			seen_insert(c, o, at);
		else if (o->n_seen)
			seen_rebuild(c, o);
	} else {
		o->replies++;
	}
	budget_add(c->watcher.budget, QUOTA_MEMORY, o->len - at);
	if (list_is_empty(&c->dirty))
		list_append(&c->table->dirty, &c->dirty);
	return true;
}

/* n more octets are gone: whole messages are counted off. */
static void out_sent(struct conn *c, size_t n)
{
	struct conn_out *o = c->out;
	uint32_t type;
	size_t size;

	budget_sub(c->watcher.budget, QUOTA_MEMORY, n);
	o->sent += n;
	__atomic_store_n(&out_block(c->table, o->ref)->sent, o->base + (uint32_t)o->sent,
			 __ATOMIC_RELEASE);
	io_cell_end(&c->table->root->send);
	if (o->sent == o->len) {
		out_retire(c);
		return;
	}
	while (o->front < o->sent) {
		size = msg_size(o, o->front, &type);
		if (o->front + size > o->sent)
			break;
		o->front += size;
		if (type == XS_WATCH_EVENT)
			o->events--;
		else
			o->replies--;
	}
}

int out_flush(struct conn *c)
{
	struct conn_cell *cell = &c->table->root->send;
	struct conn_out *o;
	size_t end;
	ssize_t n;

	while ((o = c->out)) {
		end = out_committed(c);
		assert(end <= o->len && o->sent <= end);
		if (o->sent == end)
			break;
		io_cell_begin(cell, c, o->base + (uint32_t)o->sent, 0);
		n = c->ops->send(c->transport, cell, o->buf + o->sent, end - o->sent);
		if (n <= 0) {
			io_cell_end(cell);
			return (int)n;
		}
		out_sent(c, (size_t)n);
	}
	return 0;
}

void out_note_age(struct conn *c, uint64_t now_ms, uint64_t span_ms)
{
	struct conn_out *o = c->out;
	size_t n = o->n_ages;

	if (n && o->len <= o->age[n - 1].end)
		return;
	if (n == OUT_AGES || (n && now_ms - o->age[n - 1].since_ms < span_ms)) {
		o->age[n - 1].end = o->len;
		return;
	}
	o->age[n].end = o->len;
	o->age[n].since_ms = now_ms;
	o->n_ages++;
}

/* Where the part of the queue ends that is so old; its ages go. */
static size_t age_take(struct conn_out *o, uint64_t before_ms)
{
	size_t n = 0, end = 0;

	while (n < o->n_ages && o->age[n].since_ms <= before_ms)
		end = o->age[n++].end;
	o->n_ages -= n;
	memmove(o->age, o->age + n, o->n_ages * sizeof(o->age[0]));
	return end;
}

static bool is_stale(const struct conn_out *o, size_t at, size_t end, size_t *ret_size)
{
	uint32_t type;

	*ret_size = msg_size(o, at, &type);
	return type == XS_WATCH_EVENT && at >= o->sent && at < end;
}

/* The queue without octets of stale events, its end at the same position. False: no memory. */
static bool drop(struct conn *c, size_t end, size_t octets)
{
	struct conn_out *o = c->out;
	size_t left = o->len - o->front - octets, to = 0, size;
	uint32_t ref;
	uint8_t *p;

	ref = block_new(c->table, left, c->out_pos - (uint32_t)left, o->sent - o->front);
	if (!ref)
		return false;
	p = out_block(c->table, ref)->data;
	for (size_t at = o->front; at < o->len; at += size) {
		if (is_stale(o, at, end, &size))
			continue;
		memcpy(p + to, o->buf + at, size);
		to += size;
	}
	block_swap(c, ref);
	for (size_t i = 0; i < o->n_ages; i++)
		o->age[i].end -= octets + o->front;
	o->len = left;
	o->sent -= o->front;
	o->front = 0;
	return true;
}

size_t out_drop_stale(struct conn *c, uint64_t before_ms)
{
	struct conn_out *o = c->out;
	size_t size, dropped = 0, octets = 0, end;

	if (c->touched) /* its end is not committed: later */
		return 0;
	end = age_take(o, before_ms);
	for (size_t at = o->front; at < o->len; at += size) {
		if (is_stale(o, at, end, &size)) {
			dropped++;
			octets += size;
		}
	}
	if (!dropped)
		return 0;
	if (octets == o->len - o->sent) {
		out_retire(c);
	} else {
		if (!drop(c, end, octets))
			return 0;
		o->events -= dropped;
		seen_rebuild(c, o);
	}
	budget_sub(c->watcher.budget, QUOTA_MEMORY, octets);
	return dropped;
}

/* The block stays the slot's until it is committed that what is in it is dropped. */
void out_reset(struct conn *c)
{
	struct conn_out *o = c->out;

	if (!o)
		return;
	budget_sub(c->watcher.budget, QUOTA_MEMORY, o->len - o->sent);
	list_remove(&c->stalled);
	c->out_pos += CONN_POS_JUMP;
	io_touch(c);
	o->ref = 0;
	out_free(c->table->area, TAKE(c->out));
}

/* Counts the messages of a queue that came as octets. EINVAL: they are none. */
static int out_count(struct conn_out *o)
{
	struct xsd_sockmsg hdr;
	size_t at, size;

	for (at = 0; at < o->len; at += size) {
		if (o->len - at < sizeof(hdr))
			return EINVAL;
		memcpy(&hdr, o->buf + at, sizeof(hdr));
		size = sizeof(hdr) + (size_t)hdr.len;
		if (hdr.len > XENSTORE_PAYLOAD_MAX || size > o->len - at)
			return EINVAL;
		if (at + size <= o->sent) {
			o->front = at + size;
			continue;
		}
		if (hdr.type == XS_WATCH_EVENT)
			o->events++;
		else
			o->replies++;
	}
	return 0;
}

int out_restore(struct conn *c, uint32_t ref, uint32_t sent, uint32_t end)
{
	struct conn_out *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return FAULT(-ENOMEM);
	block_set(c->table, o, ref);
	o->len = end - o->base;
	o->sent = sent - o->base;
	r = out_count(o);
	if (r) {
		free(o);
		return r;
	}
	c->out = o;
	c->out_pos = end;
	budget_add(c->watcher.budget, QUOTA_MEMORY, o->len - o->sent);
	list_append(&c->table->dirty, &c->dirty);
	return 0;
}

int out_adopt(struct conn *c, const void *data, size_t len, size_t partial)
{
	/* the head that is gone says how much of its message is left */
	const struct xsd_sockmsg head = { .type = XS_READ, .len = (uint32_t)partial };
	size_t gone = partial ? sizeof(head) : 0;
	struct conn_out *o;
	int r;

	if (!len)
		return partial ? EINVAL : 0;
	if (partial > len || partial > XENSTORE_PAYLOAD_MAX)
		return EINVAL;
	o = c->out = out_new(c);
	if (!o || !out_reserve(c, gone + len))
		return FAULT(-ENOMEM);
	memcpy(o->buf, &head, gone);
	memcpy(o->buf + gone, data, len);
	o->len = gone + len;
	o->sent = gone;
	out_block(c->table, o->ref)->sent = o->base + (uint32_t)gone;
	r = out_count(o);
	if (r) {
		o->len = o->sent; /* nothing of it is charged */
		return r;
	}
	c->out_pos += (uint32_t)o->len;
	budget_add(c->watcher.budget, QUOTA_MEMORY, len);
	list_append(&c->table->dirty, &c->dirty);
	return 0;
}

static size_t partial(const struct conn_out *o)
{
	uint32_t type;

	return o->sent == o->front ? 0 : o->front + msg_size(o, o->front, &type) - o->sent;
}

struct conn_queued conn_queued(const struct conn *c)
{
	if (!c->out)
		return (struct conn_queued){ 0 };
	return (struct conn_queued){ .octets = c->out->len - c->out->sent,
				     .events = c->out->events,
				     .replies = c->out->replies,
				     .partial = partial(c->out) };
}

size_t conn_peek_output(const struct conn *c, void *buf, size_t room)
{
	size_t n = c->out ? c->out->len - c->out->sent : 0;

	if (n > room)
		n = room;
	if (n)
		memcpy(buf, c->out->buf + c->out->sent, n);
	return n;
}
