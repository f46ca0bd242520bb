/* SPDX-License-Identifier: MIT */
/*
 * The world around one core. Invariant: everything that happens follows from the calls made to
 * it, in their order: no clock, no address, nothing random.
 */
#include "world.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base/log.h"
#include "base/own.h"
#include "crash.h"
#include "oracle.h"

#define PIPE_ROOM 65536u
#define TURNS_MAX 20000u

void stream_add(struct stream *s, const void *data, size_t len)
{
	if (s->at && (s->at == s->len || s->len + len > s->room)) {
		memmove(s->buf, s->buf + s->at, s->len - s->at);
		s->len -= s->at;
		s->at = 0;
	}
	if (s->len + len > s->room) {
		s->room = (s->len + len) * 2 + 64;
		s->buf = realloc(s->buf, s->room);
		assert(s->buf);
	}
	if (len)
		memcpy(s->buf + s->len, data, len);
	s->len += len;
}

void stream_drop(struct stream *s, size_t len)
{
	assert(len <= stream_left(s));
	s->at += len;
}

void stream_fini(struct stream *s)
{
	free(s->buf);
	*s = (struct stream){ 0 };
}

void world_fail(struct world *w, const char *fmt, ...)
{
	char line[sizeof(w->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!w->failures++)
		memcpy(w->why, line, sizeof(line));
	if (w->verbose || w->failures < 4)
		printf("# %s\n", line);
}

/* --- sockets ------------------------------------------------------------------------------- */

static ssize_t pipe_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	struct peer *p = transport;
	size_t n = stream_left(&p->pipe);

	if (!room)
		return 0;
	if (!n)
		return p->hung_up ? -EPIPE : 0;
	if (n > room)
		n = room;
	crash_point(false);
	memcpy(buf, stream_head(&p->pipe), n);
	stream_drop(&p->pipe, n);
	conn_cell_note(cell, n);
	crash_point(false);
	return (ssize_t)n;
}

static ssize_t pipe_send(void *transport, struct conn_cell *cell, const void *buf, size_t len)
{
	struct peer *p = transport;
	size_t held = stream_left(&p->back);

	if (p->hung_up)
		return -EPIPE;
	if (held >= p->pipe_room)
		return 0;
	if (len > p->pipe_room - held)
		len = p->pipe_room - held;
	crash_point(false);
	alloc_pause();
	stream_add(&p->back, buf, len);
	alloc_resume();
	conn_cell_note(cell, len);
	crash_point(false);
	return (ssize_t)len;
}

static void pipe_want(void *transport, bool read, bool write)
{
	struct peer *p = transport;

	p->want_read = read;
	p->want_write = write;
}

static void pipe_free(void *transport)
{
	struct peer *p = transport;

	p->conn = NULL;
}

static const struct transport_ops pipe_ops = {
	.recv = pipe_recv,
	.send = pipe_send,
	.want = pipe_want,
	.free = pipe_free,
};

const struct transport_ops *world_pipe_ops(void)
{
	return &pipe_ops;
}

static struct peer *peer_new(struct world *w)
{
	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &w->peer[i];

		if (p->used)
			continue;
		*p = (struct peer){ .w = w, .used = true };
		p->want_read = true;
		p->pipe_room = PIPE_ROOM;
		return p;
	}
	assert(0 && "a peer is left");
	return NULL;
}

void peer_forget(struct peer *p)
{
	assert(!p->conn);
	stream_fini(&p->asks);
	stream_fini(&p->out);
	stream_fini(&p->pipe);
	stream_fini(&p->back);
	stream_fini(&p->in);
	p->used = false;
}

struct peer *world_socket(struct world *w)
{
	struct peer *p = peer_new(w);
	int r;

	p->peer_id = ++w->next_peer_id;
	alloc_track(w->crash);
	alloc_resume();
	r = core_add_socket(w->core, &pipe_ops, p, p->peer_id, &p->conn);
	if (!r)
		conn_commit(&w->core->conns);
	alloc_pause();
	alloc_track(false);
	if (r) {
		p->conn = NULL;
		peer_forget(p);
		return NULL;
	}
	oracle_conn_new(w->oracle, p->conn);
	return p;
}

void peer_hang_up(struct peer *p)
{
	p->hung_up = true;
	stream_drop(&p->pipe, stream_left(&p->pipe));
	stream_drop(&p->out, stream_left(&p->out));
}

static bool socket_io(struct peer *p)
{
	size_t n;
	bool moved = false;

	if (!p->conn)
		return false;
	n = stream_left(&p->out);
	if (n && stream_left(&p->pipe) < PIPE_ROOM) {
		if (n > PIPE_ROOM - stream_left(&p->pipe))
			n = PIPE_ROOM - stream_left(&p->pipe);
		if (p->burst && n > p->burst)
			n = p->burst;
		stream_add(&p->pipe, stream_head(&p->out), n);
		stream_drop(&p->out, n);
		moved = true;
	}
	n = stream_left(&p->back);
	if (n && !p->deaf) {
		oracle_read(p->w->oracle, p->conn, stream_head(&p->back), n);
		stream_add(&p->in, stream_head(&p->back), n);
		stream_drop(&p->back, n);
		moved = true;
	}
	if ((p->want_read && (stream_left(&p->pipe) || p->hung_up)) ||
	    (p->want_write && (p->hung_up || stream_left(&p->back) < p->pipe_room))) {
		conn_wake(p->conn);
		moved = true;
	}
	return moved;
}

/* --- rings --------------------------------------------------------------------------------- */

struct peer *world_ring(struct world *w, uint16_t domid)
{
	struct peer *p;

	for (size_t i = 0; i < WORLD_PEERS; i++) {
		p = &w->peer[i];
		if (p->used && p->is_ring && p->domid == domid)
			return p;
	}
	p = peer_new(w);
	p->is_ring = true;
	p->domid = domid;
	return p;
}

struct conn *peer_conn(const struct peer *p)
{
	struct domain *d;

	if (!p->is_ring)
		return p->conn;
	d = domain_find(&p->w->core->domains, p->domid);
	return d ? d->conn : NULL;
}

struct xenstore_domain_interface *peer_page(const struct peer *p)
{
	return fake_hv_page(&p->w->hv, p->domid);
}

static size_t ring_put(struct xenstore_domain_interface *r, const uint8_t *data, size_t len)
{
	uint32_t held = r->req_prod - r->req_cons;
	size_t n = 0;

	if (held > XENSTORE_RING_SIZE)
		return 0;
	while (n < len && held + n < XENSTORE_RING_SIZE) {
		r->req[MASK_XENSTORE_IDX(r->req_prod + (uint32_t)n)] = (char)data[n];
		n++;
	}
	r->req_prod += (uint32_t)n;
	return n;
}

static size_t ring_get(struct peer *p, struct xenstore_domain_interface *r, struct stream *s)
{
	uint32_t held = r->rsp_prod - r->rsp_cons;
	struct conn *c = peer_conn(p);

	if (held > XENSTORE_RING_SIZE)
		return 0;
	for (uint32_t i = 0; i < held; i++)
		stream_add(s, &r->rsp[MASK_XENSTORE_IDX(r->rsp_cons + i)], 1);
	r->rsp_cons += held;
	if (c && held)
		oracle_read(p->w->oracle, c, s->buf + s->len - held, held);
	return held;
}

static bool ring_io(struct peer *p)
{
	struct xenstore_domain_interface *r = peer_page(p);
	size_t moved = 0, n;

	if (!r)
		return false;
	if (stream_left(&p->out)) {
		n = stream_left(&p->out);
		if (p->burst && n > p->burst)
			n = p->burst;
		n = ring_put(r, stream_head(&p->out), n);
		stream_drop(&p->out, n);
		moved += n;
	}
	if (!p->deaf && fake_hv_take_notice(&p->w->hv, p->domid))
		moved += ring_get(p, r, &p->in);
	if (moved)
		fake_hv_kick(&p->w->hv, p->domid);
	return moved;
}

/* --- requests ------------------------------------------------------------------------------- */

void peer_send_raw(struct peer *p, const void *data, size_t len)
{
	p->raw = true;
	stream_add(&p->out, data, len);
}

uint32_t peer_send(struct peer *p, uint32_t type, uint32_t tx_id, const void *payload, size_t len)
{
	const struct xsd_sockmsg hdr = {
		.type = type, .req_id = ++p->next_req_id, .tx_id = tx_id, .len = (uint32_t)len
	};

	stream_add(&p->out, &hdr, sizeof(hdr));
	stream_add(&p->out, payload, len);
	if (!p->raw && !p->lossy) {
		stream_add(&p->asks, &hdr, sizeof(hdr));
		stream_add(&p->asks, payload, len);
	}
	p->asked++;
	return hdr.req_id;
}

bool peer_take(struct peer *p, struct xsd_sockmsg *hdr, char *payload)
{
	size_t left = stream_left(&p->in);

	if (left < sizeof(*hdr))
		return false;
	memcpy(hdr, stream_head(&p->in), sizeof(*hdr));
	if (hdr->len > XENSTORE_PAYLOAD_MAX) {
		world_fail(p->w, "a message of %u octets was sent", hdr->len);
		stream_drop(&p->in, left);
		return false;
	}
	if (left < sizeof(*hdr) + hdr->len)
		return false;
	memcpy(payload, stream_head(&p->in) + sizeof(*hdr), hdr->len);
	payload[hdr->len] = '\0';
	stream_drop(&p->in, sizeof(*hdr) + hdr->len);
	if (hdr->type != XS_WATCH_EVENT)
		p->answered++;
	return true;
}

/* --- time ------------------------------------------------------------------------------------ */

static void rings_note(struct world *w)
{
	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &w->peer[i];
		struct xenstore_domain_interface *r;

		if (!p->used || !p->is_ring)
			continue;
		r = peer_page(p);
		p->conn_id = peer_conn(p) ? peer_conn(p)->id : 0;
		p->busy = r && (stream_left(&p->out) || p->burst || r->req_prod != r->req_cons);
	}
}

/*
 * A guest whose ring was bound anew starts anew: what was under way may reach the new connection
 * as nonsense, which is the guest's fault.
 */
static void rings_restart(struct world *w)
{
	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &w->peer[i];

		if (!p->used || !p->is_ring || !p->conn_id ||
		    (peer_conn(p) && peer_conn(p)->id == p->conn_id))
			continue;
		w->violations += p->busy;
		p->lossy = true;
		stream_drop(&p->out, stream_left(&p->out));
	}
}

static void daemon_turn(struct world *w)
{
	int r;

	oracle_before_events(w->oracle);
	if (!w->hv.changed || w->crash) /* deaths are told of in full */
		alloc_resume();
	r = core_hv_events(w->core);
	alloc_pause();
	if (r < 0)
		world_fail(w, "hypervisor events: %d", r);
	oracle_after_events(w->oracle);
	oracle_before_round(w->oracle);
	alloc_resume();
	w->moved |= core_round(w->core, w->now_ms);
	crash_between_rounds(w);
	alloc_pause();
}

bool world_turn(struct world *w)
{
	w->moved = false;
	for (size_t i = 0; i < WORLD_PEERS; i++)
		if (w->peer[i].used)
			w->moved |=
				w->peer[i].is_ring ? ring_io(&w->peer[i]) : socket_io(&w->peer[i]);
	w->moved |= fake_hv_is_pending(&w->hv);
	rings_note(w);
	crash_run(w, daemon_turn);
	rings_restart(w);
	oracle_after_round(w->oracle);
	for (size_t i = 0; i < WORLD_PEERS; i++) {
		struct peer *p = &w->peer[i];

		if (p->used && !p->is_ring && !p->conn && !p->deaf && stream_left(&p->back)) {
			stream_add(&p->in, stream_head(&p->back), stream_left(&p->back));
			stream_drop(&p->back, stream_left(&p->back));
		}
	}
	return w->moved;
}

void world_run(struct world *w)
{
	for (unsigned int n = 0; world_turn(w); n++) {
		if (n > TURNS_MAX) {
			world_fail(w, "no end of activity: somebody is served over and over");
			return;
		}
	}
}

void world_advance(struct world *w, uint64_t ms)
{
	uint64_t end = w->now_ms + ms, due;

	while (w->now_ms < end) {
		due = core_deadline(w->core);
		w->now_ms = due > w->now_ms && due < end ? due : end;
		world_run(w);
	}
}

/* --- making and unmaking --------------------------------------------------------------------- */

static void no_log(void *data, enum log_level level, const char *line)
{
	struct world *w = data;

	(void)level;
	if (w->verbose) {
		alloc_pause();
		printf("# log: %s\n", line);
		alloc_resume();
	}
}

static void report(void *data, const char *line)
{
	no_log(data, LOG_LEVEL_NOTICE, line);
}

struct world *world_new(const struct world_options *opt)
{
	struct world *w = calloc(1, sizeof(*w));

	assert(w);
	w->opt = (struct core_options){
		.key = { 1, 2 },
		.event_timeout_ms = 20000,
		.priv_domid = opt->priv_domid,
		.dom0_ring = opt->dom0_ring,
		.control_data = w,
	};
	w->verbose = opt->verbose;
	w->now_ms = 1000;
	log_set_sink(no_log, w);
	fake_hv_init(&w->hv);
	w->hv.dom0_ring = opt->dom0_ring;
	w->hv.tell_all = opt->tell_all;
	quota_policy_init(&w->policy);
	w->policy.report = report;
	w->policy.report_data = w;
	w->opt.policy = &w->policy;
	if (opt->journal)
		crash_init(w);
	else if (core_new(&w->opt, &w->hv.hv, &w->core))
		abort();
	if (!opt->no_oracle)
		w->oracle = oracle_new(w);
	return w;
}

unsigned int world_free(struct world *w)
{
	unsigned int n;

	oracle_free(w->oracle);
	if (w->crash)
		journal_stop(w->crash->journal);
	core_free(w->core);
	crash_fini(w);
	n = fake_hv_leaks(&w->hv);
	if (n)
		world_fail(w, "%u ports or pages are still held", n);
	for (size_t i = 0; i < WORLD_PEERS; i++)
		if (w->peer[i].used)
			peer_forget(&w->peer[i]);
	log_set_sink(NULL, NULL);
	n = w->failures;
	free(w);
	return n;
}
