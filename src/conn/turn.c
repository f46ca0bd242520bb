/* SPDX-License-Identifier: MIT */
/*
 * Rounds. Invariant: a connection is on the ready list exactly while it may have something to do,
 * on the dirty list while it has output that nobody tried to send yet; and what leaves was
 * committed before.
 */
#include <errno.h>
#include <string.h>

#include "conn/inner.h"
#include "conn/out.h"

/* Whether the peer must first read what it was sent. */
static bool output_is_full(struct conn *c)
{
	struct conn_queued q = conn_queued(c);
	uint64_t limit = c->watcher.budget->limits.hard[QUOTA_OUTSTANDING];

	if (q.octets > CONN_BACKLOG_MAX)
		return true;
	return c->domain && !c->watcher.budget->exempt && limit && q.replies >= limit;
}

static void set_want(struct conn *c)
{
	bool read = !c->blocked && !c->waiting && !c->failed && !c->quiesced && !c->kept_off;
	bool write = c->out && out_committed(c) > c->out->sent;

	if (!c->ops->want || (read == c->want_read && write == c->want_write))
		return;
	c->want_read = read;
	c->want_write = write;
	c->ops->want(c->transport, read, write);
}

/* True: it is as it should be. Of a quiesced one nothing leaves. */
static bool flush(struct conn *c)
{
	int r;

	if (c->quiesced)
		return true;
	r = out_flush(c);

	if (r == -EBADMSG)
		conn_fail(c, CONN_ERROR_RINGIDX, "ring index out of range");
	else if (r)
		conn_close(c);
	if (r)
		return false;
	if (!c->out) {
		list_remove(&c->stalled);
	} else {
		conn_note_unread(c);
	}
	return true;
}

bool conn_is_busy(const struct conn *c)
{
	uint8_t head[WIRE_HEADER_SIZE];
	struct xsd_sockmsg hdr;

	if (c->closing || c->failed || c->blocked)
		return false;
	if (conn_peek_input(c, head, sizeof(head)) < sizeof(head))
		return false;
	memcpy(&hdr, head, sizeof(hdr));
	return hdr.len > XENSTORE_PAYLOAD_MAX || c->in_len - sizeof(head) >= hdr.len;
}

/* All that requests made us pass so far: watches, places, siblings. */
static uint64_t steps_done(const struct conn_table *t)
{
	return t->watches->steps + t->store->steps;
}

/* One request, if it is not one that killed us before. False: not now. */
static bool handle(struct conn *c, const struct wire_msg *m)
{
	struct conn_table *t = c->table;
	bool done;

	if (t->n_killers && io_is_killer(c)) {
		if (t->log && t->log->refused)
			t->log->refused(t->log_data, c, m);
		conn_reply_error(c, &m->hdr, EIO);
		return true;
	}
	t->serving = c;
	io_serving(c);
	done = t->handle(t->data, c, m);
	io_served(t);
	t->serving = NULL;
	return done;
}

/*
 * Handles requests of buf until the connection's share of the round is used up, one must wait, or
 * output is full. A request counts by its steps, too: who removes a node above a thousand places
 * that are watched has his turn sooner over.
 */
static size_t handle_some(struct conn *c, const uint8_t *buf, size_t len, bool *ret_more)
{
	struct conn_table *t = c->table;
	struct wire_msg m;
	uint64_t steps = steps_done(t), n = 0;
	size_t at = 0, size;
	int r = EAGAIN;

	for (; !c->closing && !c->failed; n++) {
		r = wire_parse(buf + at, len - at, &m, &size);
		if (r ||
		    n + (steps_done(t) - steps) / CONN_STEPS_PER_REQUEST >= CONN_REQUESTS_PER_ROUND)
			break;
		if (output_is_full(c)) {
			c->blocked = true;
			break;
		}
		if (t->trace && !c->contender.wait_until_ms)
			t->trace(t->trace_data, c, false, &m);
		if (!handle(c, &m)) {
			c->waiting = true;
			break;
		}
		at += size;
		if (c->in_pos == t->turn_end) /* it was reset */
			continue;
		c->in_pos += (uint32_t)size;
		io_touch(c);
	}
	if (r == EMSGSIZE)
		conn_fail(c, CONN_ERROR_PROTO, "message over 4096 octets");
	*ret_more = !r;
	return at;
}

static void note_stall(struct conn *c)
{
	struct budget *b = c->watcher.budget;
	struct conn_queued q = conn_queued(c);

	budget_refuse(b, REFUSAL_STALL,
		      &(struct refusal){ .op = "requests wait until replies are read",
					 .limit = b->limits.hard[QUOTA_OUTSTANDING],
					 .use = q.replies });
}

/*
 * Begins anew where the peer asks for it. Looked at before anything else: a peer that asks may
 * have left its indices, full queues and half requests in any state. That all is forgotten is
 * committed first: who finds the peer still asking forgets it once more.
 */
static bool restart(struct conn *c)
{
	struct conn_table *t = c->table;

	if (!c->ops->restart || c->quiesced ||
	    c->ops->recv(c->transport, &t->root->recv, t->scratch, 0) != -ERESTART)
		return false;
	conn_reset(c);
	c->failed = false;
	conn_tell(c);
	if (!conn_commit(t))
		c->ops->restart(c->transport);
	return true;
}

/*
 * Octets behind those kept; *ret_len: of both, in the scratch, or where they are kept if none came.
 * 0, or the transport's error.
 */
static int receive(struct conn *c, const uint8_t **ret_buf, size_t *ret_len)
{
	struct conn_table *t = c->table;
	struct conn_cell *cell = &t->root->recv;
	size_t kept = c->in_len;
	ssize_t n = 0;

	if (!c->quiesced) {
		io_cell_begin(cell, c, c->in_pos + c->in_len, c->in_len);
		n = c->ops->recv(c->transport, cell, t->scratch + kept, conn_may_receive(c));
	}
	if (n <= 0) {
		io_cell_end(cell);
		*ret_buf = in_data(c);
		*ret_len = kept;
		return (int)n;
	}
	if (kept)
		memcpy(t->scratch, in_data(c), kept);
	*ret_buf = t->scratch;
	*ret_len = kept + (size_t)n;
	return 0;
}

/*
 * What a turn did becomes final, or its connection is lost to all: it is not known what of it the
 * others may see.
 */
static bool commit_turn(struct conn *c)
{
	struct conn_table *t = c->table;
	bool lost = conn_commit(t) != 0;

	if (lost) {
		conn_fail(c, CONN_ERROR_COMM, "its requests could not be made final");
		in_drop(c);
		out_reset(c);
		io_store(c);
	} else {
		io_sync_blocks(c);
	}
	if (c->closing) /* the rest of its input is not kept: who finds it must not go on */
		io_slot_end(c);
	t->turn = NULL;
	io_cell_end(&t->root->recv);
	return !lost;
}

/* Handles what is at hand, keeps the rest. */
static bool handle_turn(struct conn *c, const uint8_t *buf, size_t len)
{
	struct conn_table *t = c->table;
	bool more, received = buf == t->scratch;
	size_t done;

	t->turn = c;
	t->turn_end = c->in_pos + (uint32_t)len;
	done = handle_some(c, buf, len, &more);
	if (!c->closing && !c->failed) {
		if (!received)
			in_shrink(c, len - done);
		else if (in_keep(c, buf + done, len - done, done > 0))
			conn_fail(c, CONN_ERROR_COMM, "request lost for want of memory");
	}
	return commit_turn(c) && more;
}

/* A turn of one connection. True: it has more to do. */
static bool serve(struct conn *c)
{
	struct wire_msg m;
	const uint8_t *buf;
	size_t size, len;
	bool more, unread, was_blocked = c->blocked;
	int r = 0;

	if (restart(c))
		return !c->table->touched;
	if (c->failed || (c->out && !flush(c)))
		return false;
	/* whole requests are handled first; what was not read meanwhile nobody tells of again */
	buf = in_data(c);
	len = c->in_len;
	unread = wire_parse(buf, len, &m, &size) != EAGAIN;
	if (!unread)
		r = receive(c, &buf, &len);
	if (r == -ERESTART)
		return true;
	if (r == -EBADMSG)
		conn_fail(c, CONN_ERROR_RINGIDX, "ring index out of range");
	else if (r < 0)
		conn_close(c);
	if (r < 0)
		return false;
	c->blocked = false;
	if (!len)
		return false;
	more = handle_turn(c, buf, len);
	if (c->closing || c->failed)
		return false;
	if (c->blocked && !was_blocked) {
		/* many requests at once are no stall where their replies can leave at once */
		if (!flush(c))
			return false;
		c->blocked = output_is_full(c);
		if (c->blocked)
			note_stall(c);
	}
	if (c->blocked || c->waiting)
		return false;
	return more ||
	       (!c->quiesced && (unread || (c->ops->has_more && c->ops->has_more(c->transport))));
}

static void end_turn(struct conn *c)
{
	if (c->closing)
		return;
	set_want(c);
	if (c->ops->kick)
		c->ops->kick(c->transport);
}

bool conn_round(struct conn_table *t, uint64_t now_ms)
{
	struct list todo;
	struct conn *c;
	size_t n = 0;

	t->now_ms = now_ms;
	/* what was done since the last round; where it cannot be yet, nobody is told of it */
	conn_commit(t);
	/* those ready now, once each: who becomes ready meanwhile has its turn in the next round */
	list_init(&todo);
	while ((c = list_first(&t->ready, struct conn, ready))) {
		list_remove(&c->ready);
		list_append(&todo, &c->ready);
		n++;
	}
	while ((c = list_first(&todo, struct conn, ready))) {
		list_remove(&c->ready);
		if (c->waiting && !c->failed) {
			if (c->out && flush(c))
				end_turn(c);
			continue;
		}
		if (serve(c))
			conn_queue_ready(c);
		if (list_is_empty(&c->dirty))
			end_turn(c);
	}
	while ((c = list_first(&t->dirty, struct conn, dirty))) {
		list_remove(&c->dirty);
		if (c->closing)
			continue;
		if (flush(c) && c->blocked && !output_is_full(c))
			conn_queue_ready(c);
		end_turn(c);
	}
	return conn_reap(t) || !list_is_empty(&t->ready) || !list_is_empty(&t->dirty);
}
