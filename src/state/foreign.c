/* SPDX-License-Identifier: MIT */
/*
 * Invariant: records come in the order in which C xenstored writes them itself: connections, each
 * with its watches behind it, special nodes, nodes parents first.
 */
#include "state/foreign.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "store/walk.h"

#define INPUT_ROOM (CONN_INPUT_MAX + sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)

size_t foreign_request_len(const uint8_t *in, size_t len)
{
	struct xsd_sockmsg head;

	if (len < sizeof(head))
		return 0;
	memcpy(&head, in, sizeof(head));
	return len - sizeof(head) < head.len ? 0 : sizeof(head) + head.len;
}

/* The answer to the request at in, behind out; its length. */
static size_t answer(uint8_t *out, const uint8_t *in)
{
	static const char ok[] = "OK";
	struct xsd_sockmsg head;

	memcpy(&head, in, sizeof(head));
	head.len = sizeof(ok);
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), ok, sizeof(ok));
	return sizeof(head) + sizeof(ok);
}

#define ANSWER_ROOM (sizeof(struct xsd_sockmsg) + 3)

/* in has INPUT_ROOM octets, out those queued and ANSWER_ROOM. */
static int put_octets(struct conn *c, const struct foreign_host *host, struct drover_record *rec,
		      uint8_t *in, uint8_t *out, const struct state_sink *s)
{
	struct conn_queued queued = conn_queued(c);
	size_t in_len = conn_peek_input(c, in, INPUT_ROOM), skip = 0;
	size_t out_len = conn_peek_output(c, out, queued.octets);

	if (c->id == host->asked_by)
		skip = foreign_request_len(in, in_len);
	if (skip)
		out_len += answer(out + out_len, in);
	in_len -= skip;
	if (in_len > FOREIGN_INPUT_MAX || foreign_request_len(in + skip, in_len)) {
		log_error("connection %u has requests that were not served", rec_conn_id(c));
		return EINVAL;
	}
	rec->connection.input = (struct drover_octets){ .data = in + skip, .len = in_len };
	rec->connection.output = (struct drover_octets){ .data = out, .len = out_len };
	rec->connection.resp_len = (uint16_t)queued.partial;
	return s->put(s->data, rec);
}

static int put_conn(struct conn *c, const struct foreign_host *host, const struct state_sink *s)
{
	struct drover_record rec = { .type = DROVER_RECORD_CONNECTION };
	uint8_t *in = malloc(INPUT_ROOM), *out = malloc(conn_queued(c).octets + ANSWER_ROOM);
	int r = -ENOMEM;

	rec.connection.conn_id = rec_conn_id(c);
	rec.connection.kind = c->domain ? DROVER_CONN_RING : DROVER_CONN_SOCKET;
	rec.connection.fd = c->domain ? -1 : host->fd_of(host->data, c->peer_id);
	rec.connection.tdomid = DROVER_DOMID_NONE;
	if (c->domain) {
		rec.connection.domid = c->domain->domid;
		rec.connection.evtchn = c->domain->local_port;
		if (c->domain->target)
			rec.connection.tdomid = c->domain->target->domid;
	}
	if (in && out)
		r = put_octets(c, host, &rec, in, out, s);
	else
		FAULT(r);
	free(in);
	free(out);
	return r;
}

static int put_watches(const struct conn *c, const struct state_sink *s)
{
	const struct watch *w;
	int r = 0;

	for (w = watch_first(&c->watcher); w && !r; w = watch_next(w))
		r = rec_put_watch(s, w, false, true);
	return r;
}

/* Closed sockets and rings without a domain behind them are nobody's any more. */
static bool is_there(const struct conn *c, const struct foreign_host *host)
{
	if (c->closing)
		return false;
	return c->domain ? c->domain->introduced || !c->domain->domid
			 : host->fd_of(host->data, c->peer_id) >= 0;
}

static int put_nodes(const struct core *core, const struct state_sink *s)
{
	struct tree_walk walk;
	const struct node *n;
	int r = 0;

	tree_walk_init(&walk, core->store.live.root, "/", 1);
	while (!r && (n = tree_walk_next(&walk)))
		r = rec_put_node(s, 0, 0, walk.path.str, walk.path.len, n);
	if (!r && walk.failed)
		r = FAULT(-ENOMEM);
	tree_walk_fini(&walk);
	return r;
}

int foreign_put(struct core *core, const struct foreign_host *host, const struct state_sink *s)
{
	struct drover_record rec = { .type = DROVER_RECORD_GLOBAL };
	struct conn *c;
	int r;

	rec.global.socket_fd = host->socket_fd;
	rec.global.ro_socket_fd = -1;
	rec.global.evtchn_fd = host->evtchn_fd;
	r = s->put(s->data, &rec);
	list_for_each(c, &core->conns.all, all) {
		if (!r && is_there(c, host)) {
			r = put_conn(c, host, s);
			if (!r)
				r = put_watches(c, s);
		}
	}
	if (!r)
		r = rec_put_special(s, "@releaseDomain", core->domains.release_perms);
	if (!r)
		r = rec_put_special(s, "@introduceDomain", core->domains.introduce_perms);
	return r ? r : put_nodes(core, s);
}

static void conn_name(const struct conn *c, char *ret, size_t size)
{
	if (c->domain)
		snprintf(ret, size, "domain %u", c->domain->domid);
	else
		snprintf(ret, size, "socket %llu", (unsigned long long)c->peer_id);
}

void foreign_losses(const struct core *core, void (*say)(void *data, const char *line), void *data)
{
	const struct conn *c;
	const struct domain *d;
	const struct watch *w;
	char line[128], name[32];

	list_for_each(c, &core->conns.all, all) {
		size_t depths = 0;

		for (w = watch_first(&c->watcher); w; w = watch_next(w))
			depths += w->depth != WATCH_DEPTH_ANY;
		conn_name(c, name, sizeof(name));
		snprintf(line, sizeof(line), "%s: %u open transactions are lost", name, c->n_txns);
		if (c->n_txns)
			say(data, line);
		snprintf(line, sizeof(line), "%s: %zu watches lose their depth", name, depths);
		if (depths)
			say(data, line);
	}
	list_for_each(d, &core->domains.all, all) {
		bool own = false;

		for (uint32_t q = 0; q < QUOTA_COUNT; q++)
			own |= d->budget.own_limit[q];
		snprintf(line, sizeof(line), "domain %u: its own limits are lost", d->domid);
		if (own)
			say(data, line);
	}
}
