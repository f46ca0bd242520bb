/* SPDX-License-Identifier: MIT */
/*
 * One record in memory, to octets and back.
 * Invariant: each record is described once, by a function that measures, writes and reads it, in
 * the order of the documents; so what one of the three does, the others do.
 */
#include <errno.h>
#include <string.h>

#include "image/record.h"
#include "image/record_own.h"
#include "image/xfer.h"

#define RECORD_ALIGN 8u

static size_t align(size_t n)
{
	return (n + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
}

/* ---- entries of lists ---- */

XFER void put_perm(unsigned char *out, const struct drover_list *list, uint32_t i, bool swap)
{
	struct drover_perm p = drover_perm_at(list, i);

	out[0] = p.letter;
	out[1] = p.flags;
	put16(out + 2, p.domid, swap);
}

XFER void put_u32(unsigned char *out, const struct drover_list *list, uint32_t i, bool swap)
{
	put32(out, drover_u32_at(list, i), swap);
}

/* ---- the records of the documents ---- */

XFER void xfer_global(struct xfer *x, const struct drover_image_format *f, struct drover_global *g)
{
	bool seed = f->layout == DROVER_LAYOUT_SEED;

	xfer_s32(x, "rw-socket-fd", &g->socket_fd);
	if (x->mode == XFER_READ)
		g->ro_socket_fd = g->evtchn_fd = -1;
	xfer_lacks(x, seed ? "evtchn-fd" : "ro-socket-fd",
		   (seed ? g->evtchn_fd : g->ro_socket_fd) != -1);
	if (seed)
		xfer_s32(x, "ro-socket-fd", &g->ro_socket_fd);
	else
		xfer_s32(x, "evtchn-fd", &g->evtchn_fd);
}

/* The seed layout keeps 24 octets before the data, and only output. */
XFER void xfer_connection_seed(struct xfer *x, struct drover_connection *c)
{
	uint16_t flags = c->flags & DROVER_CONN_READ_ONLY;

	xfer_lacks(x, "in-data", c->input.len);
	xfer_lacks(x, "out-resp-len", c->resp_len);
	xfer_lacks(x, "unique-id", c->flags & DROVER_CONN_UNIQUE_ID);
	xfer_u16(x, "flags", &flags);
	if (x->mode == XFER_READ) {
		if (flags & (c->kind == DROVER_CONN_SOCKET ? ~DROVER_CONN_READ_ONLY : ~0u))
			xfer_break(x, "flags", "unknown ones");
		c->flags = flags;
	}
	if (c->kind == DROVER_CONN_SOCKET) {
		xfer_s32(x, "socket-fd", &c->fd);
		xfer_pad(x, 12);
	} else {
		xfer_lacks(x, "flags", flags);
		xfer_u16(x, "domid", &c->domid);
		xfer_u16(x, "tdomid", &c->tdomid);
		xfer_u32(x, "evtchn", &c->evtchn);
		xfer_u64(x, "mfn", &c->mfn);
	}
	xfer_len32(x, "data", &c->output);
	xfer_octets(x, "data", &c->output);
}

XFER void xfer_connection_upstream(struct xfer *x, struct drover_connection *c)
{
	uint16_t fields = c->flags & DROVER_CONN_UNIQUE_ID ? 1 : 0;

	xfer_lacks(x, "read-only", c->flags & DROVER_CONN_READ_ONLY);
	xfer_lacks(x, "mfn", c->kind == DROVER_CONN_RING && c->mfn);
	xfer_u16(x, "fields", &fields);
	if (c->kind == DROVER_CONN_SOCKET) {
		xfer_s32(x, "socket-fd", &c->fd);
		xfer_pad(x, 4);
	} else {
		xfer_u16(x, "domid", &c->domid);
		xfer_u16(x, "tdomid", &c->tdomid);
		xfer_u32(x, "evtchn", &c->evtchn);
	}
	xfer_len16(x, "in-data", &c->input);
	xfer_u16(x, "out-resp-len", &c->resp_len);
	xfer_len32(x, "out-data", &c->output);
	xfer_octets(x, "in-data", &c->input);
	xfer_octets(x, "out-data", &c->output);
	if (!(fields & 1u))
		return;
	xfer_pad(x, align(x->at) - x->at);
	xfer_u64(x, "unique-id", &c->unique_id);
	if (x->mode == XFER_READ)
		c->flags |= DROVER_CONN_UNIQUE_ID;
}

XFER void xfer_connection(struct xfer *x, const struct drover_image_format *f,
			  struct drover_connection *c)
{
	xfer_u32(x, "conn-id", &c->conn_id);
	xfer_u16(x, "conn-type", &c->kind);
	if (c->kind > DROVER_CONN_SOCKET)
		xfer_break(x, "conn-type", "neither ring nor socket");
	if (f->layout == DROVER_LAYOUT_SEED)
		xfer_connection_seed(x, c);
	else
		xfer_connection_upstream(x, c);
}

XFER void xfer_watch(struct xfer *x, struct drover_watch *w)
{
	xfer_u32(x, "conn-id", &w->conn_id);
	xfer_strlen16(x, "wpath", &w->path);
	xfer_strlen16(x, "token", &w->token);
	xfer_string(x, "wpath", &w->path);
	xfer_string(x, "token", &w->token);
	if (x->mode == XFER_READ)
		w->depth = DROVER_DEPTH_ANY;
}

/* Where path and token of an extended watch start: 12 as documented, 10 or 8 as some write it. */
static size_t watch_depth_start(const struct xfer *x, const struct drover_watch *w)
{
	static const unsigned char starts[] = { 12, 10, 8 };

	for (size_t i = 0; i < sizeof(starts); i++) {
		const unsigned char *path = x->in + starts[i];
		size_t path_size = w->path.len + 1, token_size = w->token.len + 1;

		if (x->len >= starts[i] + path_size + token_size &&
		    memchr(path, 0, path_size) == path + path_size - 1 &&
		    memchr(path + path_size, 0, token_size) == path + path_size + token_size - 1)
			return starts[i];
	}
	return starts[0]; /* whose path then is what is broken */
}

XFER void xfer_watch_depth(struct xfer *x, const struct drover_image_format *f,
			   struct drover_watch *w)
{
	uint16_t depth = (uint16_t)w->depth; /* DROVER_DEPTH_ANY becomes 65535 */
	size_t start = 12;

	xfer_unknown(x, f->layout == DROVER_LAYOUT_SEED || f->version < 2);
	if (x->mode == XFER_MEASURE && w->depth >= UINT16_MAX && w->depth != DROVER_DEPTH_ANY)
		xfer_break(x, "depth", "more than 65534");
	xfer_u32(x, "conn-id", &w->conn_id);
	xfer_strlen16(x, "wpath", &w->path);
	xfer_strlen16(x, "token", &w->token);
	if (x->mode == XFER_READ && !xfer_broken(x))
		start = watch_depth_start(x, w);
	if (start > 8)
		xfer_u16(x, "depth", &depth);
	else
		depth = UINT16_MAX;
	if (start > 10)
		xfer_pad(x, 2);
	xfer_string(x, "wpath", &w->path);
	xfer_string(x, "token", &w->token);
	if (x->mode == XFER_READ)
		w->depth = depth == UINT16_MAX ? DROVER_DEPTH_ANY : depth;
}

XFER void xfer_txn(struct xfer *x, struct drover_txn *t)
{
	xfer_u32(x, "conn-id", &t->conn_id);
	xfer_u32(x, "tx-id", &t->tx_id);
}

XFER void xfer_perms(struct xfer *x, const struct drover_image_format *f, struct drover_list *perms)
{
	bool seed = f->layout == DROVER_LAYOUT_SEED;

	if (x->mode == XFER_MEASURE && seed)
		for (uint32_t i = 0; i < perms->n; i++)
			xfer_lacks(x, "stale permission", drover_perm_at(perms, i).flags);
	xfer_list(x, "permissions", perms, sizeof(struct drover_perm), put_perm);
	if (x->mode == XFER_READ)
		perms->no_flags = seed;
}

XFER void xfer_node(struct xfer *x, const struct drover_image_format *f, struct drover_node *n)
{
	xfer_u32(x, "conn-id", &n->conn_id);
	xfer_u32(x, "tx-id", &n->tx_id);
	if (f->layout == DROVER_LAYOUT_SEED) {
		xfer_u16(x, "access", &n->access);
		xfer_count16(x, "perm-count", &n->perms);
		xfer_perms(x, f, &n->perms);
		xfer_strlen16(x, "path", &n->path);
		xfer_len16(x, "value", &n->value);
	} else {
		xfer_strlen16(x, "path", &n->path);
		xfer_len16(x, "value", &n->value);
		xfer_u16(x, "access", &n->access);
		xfer_count16(x, "perm-count", &n->perms);
		xfer_perms(x, f, &n->perms);
	}
	xfer_string(x, "path", &n->path);
	xfer_octets(x, "value", &n->value);
}

XFER void xfer_quota(struct xfer *x, const struct drover_image_format *f, struct drover_quota *q)
{
	uint32_t n;

	xfer_unknown(x, f->layout == DROVER_LAYOUT_SEED);
	xfer_u16(x, "n-dom-quota", &q->n_dom);
	xfer_u16(x, "n-glob-quota", &q->n_glob);
	n = (uint32_t)q->n_dom + q->n_glob;
	if (x->mode == XFER_READ)
		q->values.n = n;
	else if (q->values.n != n)
		xfer_break(x, "quota-val", "not as many as stated");
	xfer_list(x, "quota-val", &q->values, sizeof(uint32_t), put_u32);
	xfer_names(x, "quota-names", &q->names, n);
}

XFER void xfer_domain(struct xfer *x, const struct drover_image_format *f, struct drover_domain *d)
{
	xfer_unknown(x, f->layout == DROVER_LAYOUT_SEED);
	xfer_lacks(x, "features", f->version < 2 && d->features);
	xfer_u16(x, "domain-id", &d->domid);
	xfer_count16(x, "n-quota", &d->values);
	if (f->version < 2)
		xfer_pad(x, 4);
	else
		xfer_u32(x, "features", &d->features);
	xfer_list(x, "quota-val", &d->values, sizeof(uint32_t), put_u32);
	xfer_names(x, "quota-names", &d->names, d->values.n);
}

XFER void xfer_raw(struct xfer *x, struct drover_octets *o)
{
	if (x->mode == XFER_READ)
		o->len = x->len;
	xfer_octets(x, "body", o);
}

/* ---- which is which ---- */

XFER void xfer_own(struct xfer *x, const struct drover_image_format *f, struct drover_record *r)
{
	switch (r->type) {
	case DROVER_RECORD_STATE:
		return xfer_state(x, &r->state);
	case DROVER_RECORD_CONN_STATE:
		return xfer_conn_state(x, &r->conn_state);
	case DROVER_RECORD_CONN_GONE:
		xfer_u32(x, "conn-id", &r->conn_gone.conn_id);
		return xfer_pad(x, 4);
	case DROVER_RECORD_UNWATCH:
		return xfer_watch(x, &r->watch);
	case DROVER_RECORD_TXN_STATE:
		return xfer_txn_state(x, &r->txn_state);
	case DROVER_RECORD_TXN_END:
		return xfer_txn(x, &r->txn);
	case DROVER_RECORD_TXN_ACCESS:
		return xfer_txn_access(x, &r->txn_access);
	case DROVER_RECORD_TXN_BASE_NODE:
		return xfer_node(x, f, &r->node);
	case DROVER_RECORD_DOMAIN_STATE:
		return xfer_domain_state(x, &r->domain_state);
	case DROVER_RECORD_DOMAIN_GONE:
		return xfer_domid(x, &r->domain_gone);
	case DROVER_RECORD_PERMS_STRIP:
		return xfer_domid(x, &r->perms_strip);
	case DROVER_RECORD_COMMIT:
		return xfer_commit(x, &r->commit);
	case DROVER_RECORD_POLICY:
		return xfer_policy(x, &r->policy);
	case DROVER_RECORD_TXN_CHARGE:
		return xfer_txn_charge(x, &r->txn_charge);
	case DROVER_RECORD_HOST:
		return xfer_host(x, &r->host);
	case DROVER_RECORD_DEATH:
		return xfer_death(x, &r->death);
	default:
		return xfer_raw(x, &r->raw);
	}
}

XFER void xfer_record(struct xfer *x, const struct drover_image_format *f, struct drover_record *r)
{
	switch (r->type) {
	case DROVER_RECORD_END:
		break;
	case DROVER_RECORD_GLOBAL:
		return xfer_global(x, f, &r->global);
	case DROVER_RECORD_CONNECTION:
		return xfer_connection(x, f, &r->connection);
	case DROVER_RECORD_WATCH:
		return xfer_watch(x, &r->watch);
	case DROVER_RECORD_TXN:
		return xfer_txn(x, &r->txn);
	case DROVER_RECORD_NODE:
		return xfer_node(x, f, &r->node);
	case DROVER_RECORD_QUOTA:
		return xfer_quota(x, f, &r->quota);
	case DROVER_RECORD_DOMAIN:
		return xfer_domain(x, f, &r->domain);
	case DROVER_RECORD_WATCH_DEPTH:
		return xfer_watch_depth(x, f, &r->watch);
	default:
		return xfer_own(x, f, r);
	}
}

/* Octets of the body without padding. EINVAL: x says what cannot be expressed. */
static int measure(const struct drover_image_format *f, const struct drover_record *rec,
		   struct xfer *x)
{
	struct xfer m = { .mode = XFER_MEASURE };

	xfer_record(&m, f, (struct drover_record *)(uintptr_t)rec);
	if (m.at > record_body_max(rec->type))
		xfer_break(&m, "body", "longer than its type may be");
	*x = m;
	return m.field ? EINVAL : 0;
}

size_t drover_record_size(const struct drover_image_format *format, const struct drover_record *rec)
{
	struct xfer x;

	(void)measure(format, rec, &x);
	return align(DROVER_RECORD_HEADER_LEN + x.at);
}

/*
 * The length that a header states. C xenstored finds the next record by it without rounding up,
 * so in its layout the padding counts; of a type that is not known the body is the caller's.
 */
static size_t body_len(const struct drover_image_format *format, const struct drover_record *rec,
		       size_t len, size_t size)
{
	if (format->layout == DROVER_LAYOUT_UPSTREAM && drover_record_type_known(rec->type))
		return size - DROVER_RECORD_HEADER_LEN;
	return len;
}

int drover_record_encode(const struct drover_image_format *format, const struct drover_record *rec,
			 void *buf, size_t room, size_t *ret_len, struct drover_image_error *err)
{
	bool swap = xfer_swaps(format->big_endian);
	struct xfer w, measured;
	unsigned char *out = buf;
	size_t size;
	int r;

	r = measure(format, rec, &measured);
	if (r) {
		image_error_set(err, rec->type, measured.field, measured.rule);
		return r;
	}
	size = align(DROVER_RECORD_HEADER_LEN + measured.at);
	if (size > room)
		return ENOBUFS;
	put32(out, rec->type, swap);
	put32(out + 4, (uint32_t)body_len(format, rec, measured.at, size), swap);
	w = (struct xfer){ .mode = XFER_WRITE,
			   .swap = swap,
			   .out = out + DROVER_RECORD_HEADER_LEN };
	xfer_record(&w, format, (struct drover_record *)(uintptr_t)rec);
	memset(w.out + w.at, 0, size - DROVER_RECORD_HEADER_LEN - w.at);
	*ret_len = size;
	return 0;
}

/* The type and the body's length. */
static void header_get(const struct drover_image_format *f, const unsigned char *buf,
		       uint32_t *ret_type, uint32_t *ret_len)
{
	bool swap = xfer_swaps(f->big_endian);

	memcpy(ret_type, buf, sizeof(*ret_type));
	memcpy(ret_len, buf + 4, sizeof(*ret_len));
	if (swap) {
		*ret_type = __builtin_bswap32(*ret_type);
		*ret_len = __builtin_bswap32(*ret_len);
	}
}

uint32_t record_type(const struct drover_image_format *format, const void *buf)
{
	uint32_t type, len;

	header_get(format, buf, &type, &len);
	return type;
}

int drover_record_length(const struct drover_image_format *format, const void *buf, size_t *ret_len)
{
	uint32_t type, len;

	header_get(format, buf, &type, &len);
	if (len > record_body_max(type))
		return EINVAL;
	*ret_len = align(DROVER_RECORD_HEADER_LEN + (size_t)len);
	return 0;
}

int drover_record_decode(const struct drover_image_format *format, const void *buf, size_t len,
			 struct drover_record *rec, size_t *ret_len, struct drover_image_error *err)
{
	struct xfer x = { .mode = XFER_READ, .swap = xfer_swaps(format->big_endian) };
	uint32_t type, body;
	int r;

	if (len < DROVER_RECORD_HEADER_LEN)
		return EAGAIN;
	header_get(format, buf, &type, &body);
	if (body > record_body_max(type)) {
		image_error_set(err, type, "length", "more than its type may have");
		return EINVAL;
	}
	if (len < align(DROVER_RECORD_HEADER_LEN + (size_t)body))
		return EAGAIN;
	memset(rec, 0, sizeof(*rec));
	rec->type = type;
	x.in = (const unsigned char *)buf + DROVER_RECORD_HEADER_LEN;
	x.len = body;
	xfer_record(&x, format, rec);
	/* Some writers count the padding in the length. */
	if (!x.field && x.len - x.at >= RECORD_ALIGN)
		xfer_break(&x, "length", "more than the record's fields");
	if (x.field) {
		image_error_set(err, type, x.field, x.rule);
		return EINVAL;
	}
	r = record_check(rec, err);
	if (r)
		return r;
	*ret_len = align(DROVER_RECORD_HEADER_LEN + (size_t)body);
	return 0;
}
