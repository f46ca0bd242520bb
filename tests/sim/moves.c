/* SPDX-License-Identifier: MIT */
/*
 * A domain's image, and the domain that another core makes of it, as octets. Invariant: of the
 * world only the domain's quiescence is touched, and that is as before when moves_check is done.
 */
#include "moves.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "conn/ring.h"
#include "drover/image.h"
#include "gen.h"
#include "image/domain_map.h"
#include "state/domain_image.h"
#include "wire/path.h"

#define ROUNDS_MAX 20000u
#define OTHER_DOMID (FAKE_DOMIDS - 1u) /* of no guest */
#define OTHER_EVERY 8u		       /* so few arrive as another, too */
#define CONN_ID 1u		       /* for all that are given to connections */

static const struct drover_image_format format = {
	.layout = DROVER_LAYOUT_UPSTREAM,
	.version = 2,
	.big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
};

struct slice {
	uint8_t *data; /* borrowed */
	size_t len;
};

/* What an image says, without what is another on each host. */
struct view {
	uint8_t *image; /* owned */
	size_t image_len;
	uint8_t *buf; /* owned: the records, one behind the other */
	size_t len;
	struct slice *watch; /* owned: in buf, in order */
	size_t n_watches;
	struct slice *edit; /* owned: of one transaction at a time */
	size_t n_edits;
	size_t n_nodes;
	size_t n_owned; /* of them by the domain itself */
	size_t n_txns;
	struct drover_octets input; /* in image */
	struct drover_octets output;
	bool has_home;
};

struct move {
	struct world *w;
	const struct domain *d;
	uint16_t to;	   /* as which domain it arrives */
	struct core *core; /* owned: where it arrives */
	struct quota_policy policy;
	struct view left, arrived;
	char why[CORE_WHY_MAX];
};

/* Its ports and pages belong to one move at a time. */
static struct fake_hv there;

/* --- views ------------------------------------------------------------------------------------ */

/* Limits of its own go along, all others are the host's. */
static void mask_domain(struct drover_domain_state *s, struct drover_limit *limit)
{
	assert(s->limits.n <= QUOTA_COUNT);
	for (uint32_t q = 0; q < s->limits.n; q++) {
		limit[q] = drover_limit_at(&s->limits, q);
		if (!limit[q].own)
			limit[q] = (struct drover_limit){ 0 };
	}
	s->limits = (struct drover_list){ .entry = limit, .n = s->limits.n };
	s->flags &= (uint16_t) ~(DROVER_DOMAIN_SHUTDOWN | DROVER_DOMAIN_EDGES_LOST);
	s->target = s->remote_port = s->local_port = s->counters = 0;
	s->unique = s->gfn = 0;
}

static void mask_conn(struct drover_connection *c, struct view *v)
{
	v->input = c->input;
	v->output = c->output;
	c->output.len = 0;
	c->resp_len = 0;
	c->conn_id = CONN_ID;
	c->evtchn = 0;
	c->unique_id = 0;
	c->tdomid = 0;
}

static void mask_node(struct drover_node *n, struct view *v, uint16_t domid, const char *home)
{
	if (n->conn_id) {
		n->conn_id = CONN_ID;
		return;
	}
	v->n_nodes++;
	v->n_owned += drover_perm_at(&n->perms, 0).domid == domid;
	v->has_home |= n->path.len == strlen(home) && !memcmp(n->path.data, home, n->path.len);
}

static void mask(struct drover_record *rec, struct view *v, const struct domain *d,
		 struct drover_limit *limit)
{
	switch (rec->type) {
	case DROVER_RECORD_DOMAIN_STATE:
		mask_domain(&rec->domain_state, limit);
		break;
	case DROVER_RECORD_CONNECTION:
		mask_conn(&rec->connection, v);
		break;
	case DROVER_RECORD_CONN_STATE:
		rec->conn_state.conn_id = CONN_ID;
		rec->conn_state.slot = 0;
		rec->conn_state.id = 0;
		/* its ring says so itself to who looks at it */
		rec->conn_state.flags &= ~DROVER_CONN_STATE_FAILED;
		break;
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		rec->watch.conn_id = CONN_ID;
		break;
	case DROVER_RECORD_NODE:
		mask_node(&rec->node, v, d->domid, d->prefix);
		break;
	case DROVER_RECORD_TXN:
		rec->txn.conn_id = CONN_ID;
		v->n_txns++;
		break;
	case DROVER_RECORD_TXN_STATE:
		rec->txn_state.conn_id = CONN_ID;
		rec->txn_state.deaths_at_start = rec->txn_state.serial = 0;
		break;
	case DROVER_RECORD_TXN_ACCESS:
		rec->txn_access.conn_id = CONN_ID;
		break;
	default:
		break;
	}
}

static int by_octets(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	int r = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

/* n records one behind the other, of which the order says nothing, into one order. */
static void sort(struct slice *s, size_t n)
{
	size_t at = 0, len = 0;
	uint8_t *copy, *from;

	if (!n)
		return;
	from = s[0].data;
	for (size_t i = 0; i < n; i++)
		len += s[i].len;
	qsort(s, n, sizeof(*s), by_octets);
	copy = malloc(len);
	assert(copy);
	for (size_t i = 0; i < n; i++) {
		memcpy(copy + at, s[i].data, s[i].len);
		at += s[i].len;
	}
	memcpy(from, copy, len);
	free(copy);
	for (size_t i = 0; i < n; i++) {
		s[i].data = from;
		from += s[i].len;
	}
}

/* Watches of a connection, or nodes of a transaction. */
static void note(struct view *v, const struct drover_record *rec, struct slice slice)
{
	if (rec->type == DROVER_RECORD_WATCH || rec->type == DROVER_RECORD_WATCH_DEPTH) {
		v->watch[v->n_watches++] = slice;
	} else if (rec->type == DROVER_RECORD_NODE && rec->node.conn_id) {
		v->edit[v->n_edits++] = slice;
	} else {
		sort(v->edit, v->n_edits);
		v->n_edits = 0;
	}
}

/* The image is taken over; what else the view has is made of it. */
static void view_fill(struct view *v, const struct domain *d)
{
	struct drover_limit limit[QUOTA_COUNT];
	size_t at = DROVER_IMAGE_HEADER_LEN, size, out;
	struct drover_image_error err;
	struct drover_record rec;

	v->buf = malloc(v->image_len);
	v->watch = calloc(v->image_len / 8 + 1, sizeof(*v->watch));
	v->edit = calloc(v->image_len / 8 + 1, sizeof(*v->edit));
	assert(v->buf && v->watch && v->edit);
	do {
		if (drover_record_decode(&format, v->image + at, v->image_len - at, &rec, &size,
					 &err)) {
			printf("# its record cannot be read: %s\n", err.text);
			abort();
		}
		at += size;
		mask(&rec, v, d, limit);
		if (drover_record_encode(&format, &rec, v->buf + v->len, v->image_len - v->len,
					 &out, &err)) {
			printf("# its record cannot be had: %s\n", err.text);
			abort();
		}
		note(v, &rec, (struct slice){ .data = v->buf + v->len, .len = out });
		v->len += out;
	} while (rec.type != DROVER_RECORD_END);
	sort(v->watch, v->n_watches);
}

static void view_fini(struct view *v)
{
	free(v->image);
	free(v->buf);
	free(v->watch);
	free(v->edit);
	*v = (struct view){ 0 };
}

/*
 * The domain's image as it is in core now. What export says. A request that has to wait, its
 * replies being unread or its ring broken, is looked at in its new place before it is found to wait
 * there, too.
 */
static int leave(struct move *m, struct core *core, uint16_t domid, struct view *v)
{
	struct conn *c = domain_find(&core->domains, domid)->conn;
	bool blocked = c && c->blocked;
	int r;

	view_fini(v);
	m->why[0] = '\0';
	if (c && core == m->core)
		c->blocked = true;
	r = domain_image_export(core, domid, NULL, 0, &v->image, &v->image_len, m->why);
	if (c)
		c->blocked = blocked;
	return r;
}

static int view_take(struct move *m, struct core *core, struct view *v)
{
	int r = leave(m, core, m->d->domid, v);

	if (!r)
		view_fill(v, m->d);
	return r;
}

static void compare(struct move *m, const char *what, const struct view *a, const struct view *b)
{
	struct drover_record rec = { .type = DROVER_RECORD_NONE };
	size_t at = 0, len = 0;

	if (a->len == b->len && !memcmp(a->buf, b->buf, a->len))
		return;
	for (; at < a->len && at < b->len; at += len) {
		if (drover_record_decode(&format, a->buf + at, a->len - at, &rec, &len, NULL))
			break;
		if (at + len > b->len || memcmp(a->buf + at, b->buf + at, len))
			break;
	}
	world_fail(m->w, "domain %u: %s differs at offset %zu of %zu and %zu: record %u (%s)",
		   m->d->domid, what, at, a->len, b->len, rec.type,
		   drover_record_type_name(rec.type) ? drover_record_type_name(rec.type) : "?");
}

/* --- what it hears there ---------------------------------------------------------------------- */

static bool is_elsewhere(const struct move *m, const struct drover_octets *path)
{
	const char *str = path->data;

	if (str[0] == '@')
		return true;
	if (!m->left.has_home)
		return true;
	if (str[0] != '/')
		return false;
	return !path_is_below(str, path->len, m->d->prefix, strlen(m->d->prefix));
}

/* Takes the event of a watch from those in queue, size octets; false: it is not there. */
static bool take_event(uint8_t *queue, size_t *size, const struct drover_watch *w)
{
	size_t len = w->path.len + w->token.len + 2, at = 0;
	struct xsd_sockmsg hdr;

	for (; at + sizeof(hdr) <= *size; at += sizeof(hdr) + hdr.len) {
		const uint8_t *p = queue + at + sizeof(hdr);

		memcpy(&hdr, queue + at, sizeof(hdr));
		if (hdr.type != XS_WATCH_EVENT || hdr.len != len ||
		    memcmp(p, w->path.data, w->path.len) || p[w->path.len] ||
		    memcmp(p + w->path.len + 1, w->token.data, w->token.len))
			continue;
		*size -= sizeof(hdr) + len;
		memmove(queue + at, p + len, *size - at);
		return true;
	}
	return false;
}

/* Whether the event may be missing: it waits already, or there is no room for it. */
static bool may_lack(const struct move *m, const struct drover_watch *w)
{
	const struct domain *d = domain_find(&m->core->domains, m->d->domid);
	const struct drover_octets *out = &m->left.output;
	size_t len = w->path.len + w->token.len + 2;
	const uint8_t *p = out->data;

	if (budget_check(&d->budget, QUOTA_MEMORY, len + sizeof(struct xsd_sockmsg)) ||
	    out->len > CONN_OUTPUT_MAX)
		return true;
	for (size_t at = 0; at + len <= out->len; at++)
		if (!memcmp(p + at, w->path.data, w->path.len) && !p[at + w->path.len] &&
		    !memcmp(p + at + w->path.len + 1, w->token.data, w->token.len))
			return true;
	return false;
}

/* All that was queued, then one event of each watch of what did not come along. */
static void compare_output(struct move *m)
{
	const struct drover_octets *a = &m->left.output, *b = &m->arrived.output;
	uint8_t *queue;
	size_t size;

	if (b->len < a->len || (a->len && memcmp(a->data, b->data, a->len))) {
		world_fail(m->w, "domain %u: of %zu octets of unsent output %zu arrived",
			   m->d->domid, a->len, b->len);
		return;
	}
	size = b->len - a->len;
	queue = malloc(size + 1);
	assert(queue);
	if (size)
		memcpy(queue, (const uint8_t *)b->data + a->len, size);
	for (size_t i = 0; i < m->left.n_watches; i++) {
		const struct slice *s = &m->left.watch[i];
		struct drover_record rec;
		size_t len;

		if (drover_record_decode(&format, s->data, s->len, &rec, &len, NULL))
			abort();
		if (is_elsewhere(m, &rec.watch.path) && !take_event(queue, &size, &rec.watch) &&
		    !may_lack(m, &rec.watch))
			world_fail(m->w, "domain %u does not hear of %.*s", m->d->domid,
				   (int)rec.watch.path.len, (const char *)rec.watch.path.data);
	}
	if (size)
		world_fail(m->w, "domain %u hears more: %zu octets", m->d->domid, size);
	free(queue);
}

/* --- arriving --------------------------------------------------------------------------------- */

/* A host with the domains that are or were here; this one is introduced and quiesced. */
static void prepare(struct move *m, uint16_t to)
{
	struct core_options opt = m->w->opt;
	const struct fake_hv *here = &m->w->hv;
	uint16_t domid = m->d->domid;
	struct domain *d;
	int r;

	m->to = to;
	m->policy = m->w->policy;
	opt.policy = &m->policy;
	opt.area = NULL;
	opt.counters = NULL;
	opt.dom0_ring = false;
	if (opt.priv_domid == domid)
		opt.priv_domid = to;
	fake_hv_init(&there);
	for (uint16_t i = 1; i < FAKE_DOMIDS; i++)
		if (here->dom[i].exists || i == OTHER_DOMID || domain_find(&m->w->core->domains, i))
			fake_hv_create(&there, i);
	if (here->dom[domid].exists)
		memcpy(there.dom[to].page->octets, here->dom[domid].page->octets, HV_RING_SIZE);
	r = core_new(&opt, &there.hv, &m->core);
	if (!r)
		r = core_hv_events(m->core);
	if (r >= 0)
		r = domain_get(&m->core->domains, to, &d);
	if (r) {
		printf("# no place for domain %u to arrive in: %d\n", domid, r);
		abort();
	}
	domain_quiesce(&m->core->domains, d, true);
	if (m->d->conn && domain_introduce(&m->core->domains, to, m->d->gfn, m->d->remote_port))
		world_fail(m->w, "domain %u cannot be introduced elsewhere", domid);
}

static int import(struct move *m, uint16_t domid)
{
	m->why[0] = '\0';
	return domain_image_import(m->core, domid, m->left.image, m->left.image_len, m->why);
}

static void compare_charges(struct move *m)
{
	const struct domain *d = domain_find(&m->core->domains, m->d->domid);
	const uint64_t *a = m->d->budget.used, *b = d->budget.used;

	if (b[QUOTA_NODES] != m->left.n_owned || a[QUOTA_WATCHES] != b[QUOTA_WATCHES] ||
	    a[QUOTA_TRANSACTIONS] != b[QUOTA_TRANSACTIONS])
		world_fail(m->w, "domain %u is charged otherwise where it arrived", m->d->domid);
	if (core_check(m->core))
		world_fail(m->w, "domain %u: contradictions where it arrived", m->d->domid);
}

static void arrive(struct move *m)
{
	int r;

	r = import(m, OTHER_DOMID);
	if (r != EINVAL)
		world_fail(m->w, "the image of domain %u as another's: %d", m->d->domid, r);
	r = import(m, m->d->domid);
	if (r) {
		world_fail(m->w, "domain %u cannot arrive: %d %s", m->d->domid, r, m->why);
		return;
	}
	if (view_take(m, m->core, &m->arrived)) {
		world_fail(m->w, "domain %u cannot leave again: %s", m->d->domid, m->why);
		return;
	}
	compare(m, "what arrived", &m->left, &m->arrived);
	compare_output(m);
	compare_charges(m);
}

/* Nothing comes of a second arrival, if there was anything in the first. */
static void arrive_again(struct move *m)
{
	const struct view *v = &m->arrived;
	struct view after = { 0 };
	int r, want = v->n_nodes || v->n_watches || v->n_txns || v->input.len || v->output.len
			      ? EEXIST
			      : 0;

	r = import(m, m->d->domid);
	if (r != want)
		world_fail(m->w, "domain %u arrives again: %d %s", m->d->domid, r, m->why);
	if (view_take(m, m->core, &after))
		world_fail(m->w, "domain %u cannot leave then: %s", m->d->domid, m->why);
	else
		compare(m, "what arrived twice", v, &after);
	if (after.output.len != v->output.len)
		world_fail(m->w, "domain %u hears of its second arrival", m->d->domid);
	view_fini(&after);
}

/* The guest goes on there: its ring is served as far as it goes. */
static void go_on(struct move *m)
{
	struct domain *d = domain_find(&m->core->domains, m->to);
	unsigned int n = 0;

	domain_quiesce(&m->core->domains, d, false);
	while (core_hv_events(m->core) > 0 || core_round(m->core, m->w->now_ms)) {
		if (n++ > ROUNDS_MAX) {
			world_fail(m->w, "domain %u is served over and over", m->d->domid);
			return;
		}
	}
	if (core_check(m->core))
		world_fail(m->w, "domain %u: contradictions when it went on", m->d->domid);
}

static void close_there(struct move *m)
{
	unsigned int n;

	go_on(m);
	core_free(TAKE(m->core));
	n = fake_hv_leaks(&there);
	if (n)
		world_fail(m->w, "domain %u: %u ports or pages are held elsewhere", m->d->domid, n);
}

/* An image that is taken over, as one of the domain to instead of from. False: it has no such. */
static bool rename_image(struct move *m, struct view *v, uint16_t from, uint16_t to)
{
	struct domain_octets image = { .data = v->image, .len = v->image_len }, mapped = { 0 };
	char *told;
	size_t told_len;
	FILE *report = open_memstream(&told, &told_len);
	struct domain_image_map map = { .from = from, .to = to, .report = report };
	int r;

	assert(report);
	r = domain_image_map(&image, &map, &mapped, m->why, sizeof(m->why));
	fclose(report);
	free(told);
	free(v->image);
	v->image = mapped.data;
	v->image_len = mapped.len;
	if (r && r != ENAMETOOLONG)
		world_fail(m->w, "domain %u as %u: %d %s", from, to, r, m->why);
	return !r;
}

/* It arrives as another, and what leaves there is the same again under the name it had. */
static void arrive_as_other(struct move *m)
{
	struct view *v = &m->arrived;
	uint16_t domid = m->d->domid;
	int r;

	view_fini(v);
	v->image_len = m->left.image_len;
	v->image = malloc(v->image_len);
	assert(v->image);
	memcpy(v->image, m->left.image, v->image_len);
	if (!rename_image(m, v, domid, OTHER_DOMID))
		return;
	prepare(m, OTHER_DOMID);
	r = domain_image_import(m->core, OTHER_DOMID, v->image, v->image_len, m->why);
	if (!r)
		r = leave(m, m->core, OTHER_DOMID, v);
	if (r) {
		world_fail(m->w, "domain %u cannot arrive as another: %d %s", domid, r, m->why);
	} else if (rename_image(m, v, OTHER_DOMID, domid)) {
		view_fill(v, m->d);
		compare(m, "what arrived as another's", &m->left, v);
		if (core_check(m->core))
			world_fail(m->w, "domain %u: contradictions as another", domid);
	}
	close_there(m);
}

static void move(struct world *w, struct domain *d)
{
	struct move m = { .w = w, .d = d };
	bool busy = d->conn && conn_is_busy(d->conn);
	int r;

	r = view_take(&m, w->core, &m.left);
	if (r != (busy ? EBUSY : 0))
		world_fail(w, "domain %u cannot leave: %d %s", d->domid, r, m.why);
	if (!r) {
		prepare(&m, d->domid);
		arrive(&m);
		if (m.arrived.image)
			arrive_again(&m);
		close_there(&m);
		if (!((w->now_ms + d->domid) % OTHER_EVERY))
			arrive_as_other(&m);
	}
	view_fini(&m.left);
	view_fini(&m.arrived);
}

void moves_check(struct world *w)
{
	for (uint16_t domid = 1; domid <= GEN_GUESTS; domid++) {
		struct domain *d = domain_find(&w->core->domains, domid);

		if (!d || d->orphans || d->quiesced)
			continue;
		domain_quiesce(&w->core->domains, d, true);
		move(w, d);
		domain_quiesce(&w->core->domains, d, false);
	}
}
