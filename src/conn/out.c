/* SPDX-License-Identifier: MIT */
/*
 * Queued output. Invariant: what is queued and unsent is charged to the connection's budget, to
 * the octet; a message leaves whole or stays.
 */
#include "conn/out.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/own.h"

#define OUT_ROOM_MIN 4096u

static size_t msg_size(const struct conn_out *o, size_t at, uint32_t *ret_type)
{
	struct xsd_sockmsg hdr;

	memcpy(&hdr, o->buf + at, sizeof(hdr));
	*ret_type = hdr.type;
	return sizeof(hdr) + hdr.len;
}

void out_free(struct conn_out *o)
{
	if (!o)
		return;
	free(o->buf);
	free(o->seen);
	free(o);
}

static struct conn_out *out_new(struct conn_table *t)
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
	o->buf = malloc(OUT_ROOM_MIN);
	o->room = OUT_ROOM_MIN;
	if (!o->buf)
		out_free(TAKE(o));
	return o;
}

/* Empty again: kept for the next one who needs a queue, unless it grew. */
static void out_retire(struct conn *c)
{
	struct conn_table *t = c->table;
	struct conn_out *o = TAKE(c->out);

	list_remove(&c->stalled);
	if (t->n_spare >= CONN_SPARE_MAX || o->room > OUT_ROOM_MIN * 16) {
		out_free(o);
		return;
	}
	if (o->n_seen)
		memset(o->seen, 0, o->seen_room * sizeof(*o->seen));
	o->len = o->front = o->sent = o->events = o->replies = o->n_seen = o->n_ages = 0;
	o->next = t->spare;
	t->spare = o;
	t->n_spare++;
}

/* Drops what is sent from the buffer's head; offsets move, so the hash goes. */
static void out_compact(struct conn_out *o)
{
	size_t cut = o->front;

	if (!cut)
		return;
	memmove(o->buf, o->buf + cut, o->len - cut);
	o->len -= cut;
	o->sent -= cut;
	o->front = 0;
	for (size_t i = 0; i < o->n_ages; i++)
		o->age[i].end = o->age[i].end > cut ? o->age[i].end - cut : 0;
	for (size_t i = 0; i < o->seen_room; i++)
		o->seen[i] = 0;
	o->n_seen = 0;
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

static bool out_reserve(struct conn_out *o, size_t more)
{
	size_t room = o->room;
	uint8_t *p;

	if (o->len + more <= room)
		return true;
	/* moving no more than what is gone: a slow reader does not make each event cost its queue
	 */
	if (o->front * 2 >= o->len)
		out_compact(o);
	while (room < o->len + more)
		room *= 2;
	if (room == o->room)
		return true;
	p = realloc(o->buf, room);
	if (!p)
		return false;
	o->buf = p;
	o->room = room;
	return true;
}

bool out_append(struct conn *c, const struct xsd_sockmsg *hdr, const void *data, size_t len)
{
	struct conn_out *o;
	size_t at;

	if (!c->out)
		c->out = out_new(c->table);
	o = c->out;
	if (!o)
		return false;
	if (!out_reserve(o, sizeof(*hdr) + len)) {
		if (o->sent == o->len)
			out_retire(c); /* or the line would be waited for with nothing to send */
		return false;
	}
	at = o->len;
	memcpy(o->buf + at, hdr, sizeof(*hdr));
	if (len)
		memcpy(o->buf + at + sizeof(*hdr), data, len);
	o->len += sizeof(*hdr) + len;
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
	ssize_t n;

	while (c->out && c->out->len > c->out->sent) {
		n = c->ops->send(c->transport, &c->table->send_cell, c->out->buf + c->out->sent,
				 c->out->len - c->out->sent);
		if (n < 0)
			return (int)n;
		if (!n)
			break;
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

size_t out_drop_stale(struct conn *c, uint64_t before_ms)
{
	struct conn_out *o = c->out;
	size_t to = o->front, size, dropped = 0, octets = 0, end = age_take(o, before_ms);
	uint32_t type;

	for (size_t at = o->front; at < o->len; at += size) {
		size = msg_size(o, at, &type);
		if (type == XS_WATCH_EVENT && at >= o->sent && at < end) {
			dropped++;
			octets += size;
			continue;
		}
		if (to != at)
			memmove(o->buf + to, o->buf + at, size);
		to += size;
	}
	o->len = to;
	o->events -= dropped;
	for (size_t i = 0; i < o->n_ages; i++)
		o->age[i].end -= octets;
	budget_sub(c->watcher.budget, QUOTA_MEMORY, octets);
	if (o->sent == o->len)
		out_retire(c);
	else
		seen_rebuild(c, o);
	return dropped;
}

void out_reset(struct conn *c)
{
	if (!c->out)
		return;
	budget_sub(c->watcher.budget, QUOTA_MEMORY, c->out->len - c->out->sent);
	out_retire(c);
}

struct conn_queued conn_queued(const struct conn *c)
{
	if (!c->out)
		return (struct conn_queued){ 0 };
	return (struct conn_queued){ .octets = c->out->len - c->out->sent,
				     .events = c->out->events,
				     .replies = c->out->replies };
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
