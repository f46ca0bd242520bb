/* SPDX-License-Identifier: MIT */
/*
 * Messages: expected, queued, read. Invariant: a connection's messages are those not yet read
 * whole by its peer, in the order of the daemon's queue.
 */
#include "oracle_msg.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#define STALE_MS 20000u
#define STALE_LATE_MS 4000u

static size_t msg_size(const struct mmsg *m)
{
	return sizeof(m->hdr) + m->hdr.len;
}

void oracle_msgs_clear(struct mconn *c)
{
	for (size_t i = 0; i < c->n_msgs; i++)
		free(c->msg[i].payload);
	for (size_t i = 0; i < c->n_want; i++)
		free(c->want[i].payload);
	c->n_msgs = c->n_want = 0;
	c->end = c->read = c->skip = 0;
	c->q_before = 0;
}

void oracle_peek(struct oracle *o, struct conn *c, size_t size)
{
	size_t n;

	if (size > o->peek_room) {
		o->peek_room = size * 2;
		o->peek = realloc(o->peek, o->peek_room);
		assert(o->peek);
	}
	n = conn_peek_output(c, o->peek, size);
	assert(n == size);
}

void oracle_note(struct oracle *o, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		o->digest = (o->digest ^ p[i]) * 0x100000001b3u;
}

static const char *describe(const struct xsd_sockmsg *hdr, const char *payload)
{
	static char text[2][200];
	static int i;
	char *t = text[i ^= 1];
	int n = snprintf(t, 60, "%s tx %u, %u octets: ", wire_type_name(hdr->type), hdr->tx_id,
			 hdr->len);

	for (uint32_t k = 0; k < hdr->len && n < 190; k++)
		t[n++] = payload[k] < ' ' || payload[k] > '~' ? '|' : payload[k];
	t[n] = '\0';
	return t;
}

static bool has_name(const char *names, size_t len, const char *name, size_t name_len)
{
	for (size_t at = 0; at < len; at += strlen(names + at) + 1)
		if (strlen(names + at) == name_len && !memcmp(names + at, name, name_len))
			return true;
	return false;
}

static bool names_fit(const struct mreply *r, const char *data, size_t len)
{
	if (r->len > sizeof(r->data))
		return true;
	for (size_t at = 0; at < len; at += strnlen(data + at, len - at) + 1)
		if (!has_name(r->data, r->len, data + at, strnlen(data + at, len - at)))
			return false;
	return true;
}

/* Replies whose octets the daemon is free to order: lists of children. */
static bool own_check(const struct oracle *o, const struct xsd_sockmsg *hdr, const char *data)
{
	size_t head;

	if (hdr->type == XS_DIRECTORY)
		return hdr->len == o->reply->len && names_fit(o->reply, data, hdr->len);
	if (hdr->type != XS_DIRECTORY_PART)
		return hdr->type == WIRE_GET_QUOTA && hdr->len > 20;
	head = strnlen(data, hdr->len) + 1;
	if (head >= hdr->len || hdr->len > XENSTORE_PAYLOAD_MAX || data[hdr->len - 1])
		return false;
	/* from the start in one piece: all names, and the end's mark */
	if (o->reply->len + head + 1 == hdr->len)
		return names_fit(o->reply, data + head, hdr->len - head - 1);
	return hdr->len - head <= o->reply->len + 1;
}

static bool is_wanted(const struct oracle *o, const struct mmsg *m, const struct xsd_sockmsg *hdr,
		      const char *data)
{
	if (m->hdr.type != hdr->type || m->hdr.tx_id != hdr->tx_id || m->hdr.req_id != hdr->req_id)
		return false;
	if (hdr->type != XS_WATCH_EVENT && hdr->type != XS_ERROR && o->own_check)
		return own_check(o, hdr, data);
	return m->hdr.len == hdr->len && !memcmp(m->payload, data, hdr->len);
}

/* Takes the expected message that is equal, out of the first group that is not done. */
static bool take_wanted(struct oracle *o, struct mconn *c, const struct xsd_sockmsg *hdr,
			const char *data, bool lenient)
{
	unsigned int group = ~0u;

	for (size_t i = 0; i < c->n_want; i++)
		if (c->want[i].group < group)
			group = c->want[i].group;
	for (size_t i = 0; i < c->n_want; i++) {
		if ((c->want[i].group != group && !lenient) ||
		    !is_wanted(o, &c->want[i], hdr, data))
			continue;
		free(c->want[i].payload);
		memmove(c->want + i, c->want + i + 1, (--c->n_want - i) * sizeof(c->want[0]));
		return true;
	}
	return false;
}

static void append(struct oracle *o, struct mconn *c, const struct xsd_sockmsg *hdr,
		   const char *data)
{
	struct mmsg *m;

	if (c->n_msgs == c->msg_room) {
		c->msg_room = c->msg_room * 2 + 16;
		c->msg = realloc(c->msg, c->msg_room * sizeof(*m));
		assert(c->msg);
	}
	m = &c->msg[c->n_msgs++];
	*m = (struct mmsg){ .hdr = *hdr, .start = c->end, .queued_ms = o->w->now_ms };
	m->payload = malloc(hdr->len + 1);
	assert(m->payload);
	memcpy(m->payload, data, hdr->len);
	c->end += msg_size(m);
	oracle_note(o, hdr, sizeof(*hdr));
	oracle_note(o, data, hdr->len);
}

void oracle_append(struct oracle *o, struct mconn *c, const uint8_t *octets)
{
	struct xsd_sockmsg hdr;

	memcpy(&hdr, octets, sizeof(hdr));
	append(o, c, &hdr, (const char *)octets + sizeof(hdr));
}

static void wanted_left(struct oracle *o, struct mconn *c, uint64_t drops, bool fault)
{
	for (size_t i = 0; i < c->n_want; i++) {
		const struct mmsg *m = &c->want[i];

		if (m->hdr.type == XS_WATCH_EVENT && (fault || drops)) {
			drops -= drops > 0;
		} else {
			world_fail(o->w, "connection %lu of domain %u was not sent: %s",
				   (unsigned long)c->id, c->domid, describe(&m->hdr, m->payload));
		}
		free(m->payload);
	}
	c->n_want = 0;
}

void oracle_match(struct oracle *o, struct mconn *c, bool fault)
{
	size_t size = conn_queued(c->conn).octets, at = c->q_before;
	struct xsd_sockmsg hdr;
	uint64_t drops =
		c->conn->watcher.budget->counters->refused[REFUSAL_EVENT_DROPPED] - c->drops;
	bool lenient = fault || drops;

	if (size > at)
		oracle_peek(o, c->conn, size);
	while (at + sizeof(hdr) <= size) {
		const char *data = (char *)o->peek + at + sizeof(hdr);

		memcpy(&hdr, o->peek + at, sizeof(hdr));
		if (!take_wanted(o, c, &hdr, data, lenient) &&
		    !(fault && hdr.type == XS_WATCH_EVENT))
			world_fail(o->w, "connection %lu of domain %u was sent: %s; expected: %s",
				   (unsigned long)c->id, c->domid, describe(&hdr, data),
				   c->n_want ? describe(&c->want[0].hdr, c->want[0].payload)
					     : "nothing");
		append(o, c, &hdr, data);
		at += sizeof(hdr) + hdr.len;
	}
	wanted_left(o, c, drops, fault);
}

void oracle_first_event(struct oracle *o, struct mconn *c, const struct wire_msg *msg)
{
	const char *path = msg->payload, *token = path + strlen(path) + 1;
	struct mwatch x = { .depth = WATCH_DEPTH_ANY, .token = (char *)(uintptr_t)token };

	o->m.group++;
	model_event(&o->m, c, &x, path, strlen(path));
}

void oracle_stale(struct oracle *o, struct mconn *c)
{
	uint64_t sent = c->end - c->q_before, end;
	size_t size = conn_queued(c->conn).octets, at = 0, kept = 0;

	oracle_peek(o, c->conn, size);
	end = c->read;
	for (size_t i = 0; i < c->n_msgs; i++) {
		struct mmsg *m = &c->msg[i];
		uint64_t age = o->w->now_ms - m->queued_ms;
		bool there = m->start < sent;

		if (there) {
			at = m->start + msg_size(m) > sent ? m->start + msg_size(m) - sent : 0;
		} else if (at + msg_size(m) <= size &&
			   !memcmp(o->peek + at, &m->hdr, sizeof(m->hdr)) &&
			   !memcmp(o->peek + at + sizeof(m->hdr), m->payload, m->hdr.len)) {
			there = true;
			at += msg_size(m);
		}
		if (!there && (m->hdr.type != XS_WATCH_EVENT || age < STALE_MS))
			world_fail(o->w, "dropped after %lu ms: %s", (unsigned long)age,
				   describe(&m->hdr, m->payload));
		if (!there) {
			free(m->payload);
			continue;
		}
		if (m->start >= sent && m->hdr.type == XS_WATCH_EVENT &&
		    age > STALE_MS + STALE_LATE_MS)
			world_fail(o->w, "kept for %lu ms", (unsigned long)age);
		if (kept)
			m->start = end;
		end = m->start + msg_size(m);
		c->msg[kept++] = *m;
	}
	if (at != size)
		world_fail(o->w, "the queue of domain %u is not what it was", c->domid);
	c->n_msgs = kept;
	c->end = kept ? end : sent;
}

/* What the peer reads is what was queued, octet by octet. */
void oracle_read(struct oracle *o, struct conn *conn, const void *data, size_t len)
{
	struct mconn *c = o ? model_conn(&o->m, conn) : NULL;
	const uint8_t *p = data;
	size_t done = 0;

	if (!c || c->unread || c->restarting)
		return;
	while (len && c->skip) {
		c->skip--;
		len--;
		p++;
	}
	while (len) {
		struct mmsg *m = &c->msg[done];
		size_t from, n;

		if (done >= c->n_msgs) {
			world_fail(o->w, "domain %u reads %zu octets that were never queued",
				   c->domid, len);
			break;
		}
		from = (size_t)(c->read - m->start);
		n = msg_size(m) - from < len ? msg_size(m) - from : len;
		for (size_t i = 0; i < n; i++) {
			uint8_t want = from + i < sizeof(m->hdr)
					       ? ((const uint8_t *)&m->hdr)[from + i]
					       : (uint8_t)m->payload[from + i - sizeof(m->hdr)];

			if (p[i] != want) {
				world_fail(o->w, "domain %u reads other octets than queued",
					   c->domid);
				c->unread = true;
				goto out;
			}
		}
		c->read += n;
		p += n;
		len -= n;
		if (from + n == msg_size(m))
			free(c->msg[done++].payload);
	}
out:
	if (done)
		memmove(c->msg, c->msg + done, (c->n_msgs - done) * sizeof(c->msg[0]));
	c->n_msgs -= done;
}
