/* SPDX-License-Identifier: MIT */
/*
 * QUIESCE, UNQUIESCE, EXPORT_DOMAIN, IMPORT_DOMAIN, WHY, GET_DOMAIN_RING, PUT_DOMAIN_RING
 * (docs/protocol.md, "A domain that moves").
 * Invariant: what images under way take is counted in the core, and is let go of with the
 * connection that moves them, with the last chunk, or with a first one.
 */
#include "op/vendor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/ring.h"
#include "op/op.h"

/* --- sessions ---------------------------------------------------------------------------- */

struct vendor_session *vendor_find(struct core *core, const struct conn *c)
{
	struct vendor_session *s;

	list_for_each(s, &core->vendor, link)
		if (s->conn == c)
			return s;
	return NULL;
}

int vendor_get(struct core *core, struct conn *c, struct vendor_session **ret)
{
	struct vendor_session *s = vendor_find(core, c);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return FAULT(-ENOMEM);
		s->conn = c;
		list_append(&core->vendor, &s->link);
	}
	*ret = s;
	return 0;
}

static void image_drop(struct core *core, struct vendor_image *i)
{
	if (i->data)
		core->vendor_octets -= i->total;
	free(TAKE(i->data));
	i->len = i->total = 0;
}

/* data, total octets, is taken over. */
static void image_take(struct core *core, struct vendor_image *i, uint16_t domid, uint8_t *data,
		       size_t total)
{
	i->domid = domid;
	i->data = data;
	i->total = total;
	core->vendor_octets += total;
}

void vendor_gone(struct core *core, const struct conn *c)
{
	struct vendor_session *s = vendor_find(core, c);

	if (!s)
		return;
	image_drop(core, &s->export);
	image_drop(core, &s->import);
	list_remove(&s->link);
	free(s);
}

static bool is_busy(struct core *core, uint16_t domid)
{
	const struct domain *d = domain_find(&core->domains, domid);

	return d && d->conn && conn_is_busy(d->conn);
}

bool vendor_tick(struct core *core)
{
	struct vendor_session *s;
	bool woke = false;

	list_for_each(s, &core->vendor, link) {
		if (!s->quiescing || is_busy(core, s->domid))
			continue;
		s->quiescing = false;
		s->conn->contender.wake(&s->conn->contender);
		woke = true;
	}
	return woke;
}

/* --- a domain's requests ----------------------------------------------------------------- */

int vendor_domid(const struct op_call *o, uint16_t *ret)
{
	const struct domain *own = o->conn->domain;

	if (path_parse_domid(o->arg[0], o->arg_len[0], ret))
		return EINVAL;
	/* who asks must be able to hear the answer, and domain 0 does not move */
	if (!*ret || *ret >= HV_DOMID_FIRST_RESERVED || (own && own->domid == *ret))
		return EINVAL;
	return 0;
}

int op_quiesce(struct op_call *o)
{
	struct vendor_session *s;
	struct domain *d;
	uint16_t domid;
	int r;

	r = vendor_domid(o, &domid);
	if (!r)
		r = domain_get(&o->core->domains, domid, &d);
	if (!r)
		r = vendor_get(o->core, o->conn, &s);
	if (r)
		return r;
	domain_quiesce(&o->core->domains, d, true);
	if (!is_busy(o->core, domid))
		return 0;
	s->quiescing = true;
	s->domid = domid;
	return OP_WAIT;
}

int op_unquiesce(struct op_call *o)
{
	struct domain *d;
	uint16_t domid;
	int r;

	r = vendor_domid(o, &domid);
	if (r)
		return r;
	d = domain_find(&o->core->domains, domid);
	if (!d)
		return ENOENT;
	domain_quiesce(&o->core->domains, d, false);
	return 0;
}

/* --- images ------------------------------------------------------------------------------ */

static int refuse(struct core *core, struct vendor_session *s, const char *what, uint16_t domid,
		  int r)
{
	(void)core;
	if (!s->why[0])
		snprintf(s->why, sizeof(s->why), "%s", wire_errno_name(r < 0 ? -r : r));
	log_notice("%s of domain %u: %s", what, domid, s->why);
	return r;
}

static int no_room(struct vendor_session *s)
{
	snprintf(s->why, sizeof(s->why), "images under way would pass %u octets",
		 VENDOR_IMAGES_MAX);
	return ENOSPC;
}

/* Paths that follow the arguments: absolute, no special ones. EINVAL. */
static int more_paths(const struct op_call *o, struct path **ret, size_t *ret_n)
{
	const char *end = o->msg->payload + o->msg->hdr.len, *nul;
	const char *p = o->arg[1] + o->arg_len[1] + 1;
	size_t room = 0;
	int r = 0;

	*ret = NULL;
	*ret_n = 0;
	for (const char *q = p; q < end; q++)
		room += !*q;
	if (p < end && end[-1])
		return EINVAL;
	if (!room)
		return 0;
	*ret = malloc(room * sizeof(**ret));
	if (!*ret)
		return FAULT(-ENOMEM);
	for (; p < end && !r; p = nul + 1) {
		nul = memchr(p, '\0', (size_t)(end - p));
		r = path_make(&(*ret)[(*ret_n)++], NULL, p, (size_t)(nul - p));
	}
	return r;
}

/* Makes the image; it is kept for this connection until its last chunk was had. */
static int export_begin(struct op_call *o, struct vendor_session *s, uint16_t domid)
{
	struct core *core = o->core;
	struct path *paths;
	uint8_t *data = NULL;
	size_t n, len = 0;
	int r;

	image_drop(core, &s->export);
	s->why[0] = '\0';
	r = more_paths(o, &paths, &n);
	if (!r)
		r = core->opt.export_domain(core, domid, paths, n, &data, &len, s->why);
	free(paths);
	if (!r && len > VENDOR_IMAGES_MAX - core->vendor_octets) {
		free(data);
		r = no_room(s);
	}
	if (r)
		return refuse(core, s, "export", domid, r);
	image_take(core, &s->export, domid, data, len);
	s->export.len = len;
	return 0;
}

int op_export_domain(struct op_call *o)
{
	struct op_reply *reply = o->reply;
	struct vendor_session *s;
	uint32_t offset;
	size_t n, head;
	uint16_t domid;
	int r;

	if (!o->core->opt.export_domain)
		return ENOSYS;
	r = vendor_domid(o, &domid);
	if (!r)
		r = wire_parse_number(o->arg[1], o->arg_len[1], 9, &offset);
	if (!r)
		r = vendor_get(o->core, o->conn, &s);
	if (!r && !offset)
		r = export_begin(o, s, domid);
	if (r)
		return r;
	if (!s->export.data || s->export.domid != domid)
		return EAGAIN; /* from the beginning */
	if (offset > s->export.len)
		return EINVAL;
	head = (size_t)snprintf(reply->data, sizeof(reply->data), "%zu", s->export.len) + 1;
	n = s->export.len - offset;
	if (n > sizeof(reply->data) - head)
		n = sizeof(reply->data) - head;
	memcpy(reply->data + head, s->export.data + offset, n);
	reply->len = head + n;
	if (offset + n == s->export.len)
		image_drop(o->core, &s->export);
	return 0;
}

static int import_begin(struct op_call *o, struct vendor_session *s, uint16_t domid, size_t total)
{
	struct core *core = o->core;
	uint8_t *data;

	image_drop(core, &s->import);
	s->why[0] = '\0';
	if (!total)
		return EINVAL;
	if (total > VENDOR_IMAGES_MAX - core->vendor_octets)
		return refuse(core, s, "import", domid, no_room(s));
	data = malloc(total);
	if (!data)
		return FAULT(-ENOMEM);
	image_take(core, &s->import, domid, data, total);
	return 0;
}

int op_import_domain(struct op_call *o)
{
	struct core *core = o->core;
	struct vendor_session *s;
	struct vendor_image *i;
	const char *data;
	uint32_t offset, total;
	size_t n;
	uint16_t domid;
	int r;

	if (!core->opt.import_domain)
		return ENOSYS;
	r = vendor_domid(o, &domid);
	if (!r)
		r = wire_parse_number(o->arg[1], o->arg_len[1], 9, &offset);
	if (!r)
		r = wire_parse_number(o->arg[2], o->arg_len[2], 9, &total);
	if (!r)
		r = vendor_get(core, o->conn, &s);
	if (!r && !offset)
		r = import_begin(o, s, domid, total);
	if (r)
		return r;
	i = &s->import;
	data = o->arg[2] + o->arg_len[2] + 1;
	n = (size_t)(o->msg->payload + o->msg->hdr.len - data);
	if (!i->data || i->domid != domid || i->total != total)
		return EAGAIN; /* from the beginning */
	if (offset != i->len || !n || n > total - offset)
		return EINVAL;
	memcpy(i->data + offset, data, n);
	i->len += n;
	if (i->len < total)
		return 0;
	r = core->opt.import_domain(core, domid, i->data, total, s->why);
	image_drop(core, i);
	return r ? refuse(core, s, "import", domid, r) : 0;
}

int op_why(struct op_call *o)
{
	const struct vendor_session *s = vendor_find(o->core, o->conn);

	op_answer_string(o, s ? s->why : "");
	return 0;
}

/* --- the ring's page ---------------------------------------------------------------------- */

/* The ring of a domain that nobody reads or writes but its guest. */
static int find_quiet_ring(const struct op_call *o, struct ring_transport **ret)
{
	struct domain *d;
	uint16_t domid;
	int r;

	r = vendor_domid(o, &domid);
	if (r)
		return r;
	d = domain_find(&o->core->domains, domid);
	if (!d || !d->conn || d->conn->failed)
		return ENOENT;
	if (!d->quiesced || conn_is_busy(d->conn))
		return EBUSY;
	*ret = d->conn->transport;
	return 0;
}

int op_get_domain_ring(struct op_call *o)
{
	struct ring_transport *ring = NULL;
	int r;

	r = find_quiet_ring(o, &ring);
	if (r)
		return r;
	o->reply->len = sizeof(*ring->page);
	memcpy(o->reply->data, ring->page, o->reply->len);
	return 0;
}

int op_put_domain_ring(struct op_call *o)
{
	const char *data = o->arg[0] + o->arg_len[0] + 1;
	struct ring_transport *ring = NULL;
	int r;

	r = find_quiet_ring(o, &ring);
	if (r)
		return r;
	if ((size_t)(o->msg->payload + o->msg->hdr.len - data) != sizeof(*ring->page))
		return EINVAL;
	memcpy(ring->page, data, sizeof(*ring->page));
	ring_transport_offer(ring); /* what this daemon can, not what the other could */
	return 0;
}
