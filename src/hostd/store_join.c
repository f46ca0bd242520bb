/* SPDX-License-Identifier: MIT */
/*
 * A guest whose domain is libxl's: known here by its mark, and given at its destination what libxl
 * does not carry (docs/decisions/0016-real-xen.md). Invariant: what names a host's own devices is
 * libxl's, here and there; nothing else of the guest is lost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/store_blob.h"
#include "hostd/store_seat.h"
#include "image/domain_map.h"
#include "wire/wire.h"

#define RING_SIZE sizeof(struct xenstore_domain_interface)

/* ---- joining ---- */

static int is_its_home(struct hstore_seat *s, const struct hstore_job *job)
{
	int whose = 0, r = 0;

	if (job->domid > 0 && job->domid < 0x7ff0)
		r = guest_whose_home(s, (uint16_t)job->domid, job->uuid_text, &whose);
	if (!r && whose <= 0)
		r = conf_fail(&s->err, -ENOENT, "store: domain %d is not guest %s", job->domid,
			      job->uuid_text);
	return r;
}

int job_join(struct hstore_seat *s, struct hstore_job *job)
{
	struct hstore_mark m = {
		.domid = (uint16_t)job->domid,
		.epoch = job->epoch,
		.state = job->incoming ? HSTORE_PREPARED : HSTORE_HERE,
	};
	int r = is_its_home(s, job);

	snprintf(m.host, sizeof(m.host), "%s", s->shared->host);
	return r ? r : mark_write(s, job->uuid_text, &m);
}

/* ---- the ring ---- */

int join_export_page(struct hstore_seat *s, uint16_t domid, uint8_t *page)
{
	const struct conf_reply *reply;
	int r;

	seat_begin(s);
	seat_add_domid(s, WIRE_GET_DOMAIN_RING, domid, NULL, 0);
	r = seat_send(s);
	if (r)
		return r;
	reply = seat_reply(s, 0);
	if (reply->err)
		return seat_refused(s, "the guest's ring", reply->err, false);
	if (reply->len != RING_SIZE)
		return conf_fail(&s->err, -EIO, "store: a ring of %zu octets, not %zu", reply->len,
				 RING_SIZE);
	memset(page, 0, HSTORE_PAGE_SIZE);
	memcpy(page, reply->data, RING_SIZE);
	return 0;
}

/* The ring as the guest left it, and all that the other daemon knew of the connection. */
static int go_on(struct hstore_seat *s, uint16_t domid, const struct hstore_blob *b,
		 const struct domain_octets *image)
{
	struct domain_octets bare = { .len = 0 };
	char text[300] = "";
	int r, err;

	seat_begin(s);
	seat_add_domid(s, WIRE_PUT_DOMAIN_RING, domid, b->page, RING_SIZE);
	r = seat_send(s);
	if (r)
		return r;
	err = seat_reply(s, 0)->err;
	if (err)
		return seat_refused(s, "the guest's ring", err, false);
	r = domain_image_without_nodes(image, &bare, text, sizeof(text));
	if (r == ENOMEM)
		r = conf_no_memory(&s->err);
	else if (r)
		r = conf_fail(&s->err, -EBADMSG, "the guest's image: %s", text);
	if (!r)
		r = move_give(s, domid, &bare);
	free(bare.data);
	return r;
}

/* ---- nodes ---- */

/* Two passes over the nodes: what there is of each, and then what is to be done about it. */
struct nodes {
	struct hstore_seat *s;
	char home[24];
	uint16_t domid;
	size_t i;	   /* of the node, in the second pass */
	uint8_t *is_there; /* owned: enum there, of each */
	size_t n;
};

enum there { NOT_THERE, THERE, THERE_AND_ITS_OWN };

/*
 * Whether a node of the guest's home goes along at all: what is of devices, and what a toolstack
 * asks of the guest, is said anew at each host.
 */
static bool goes_along(const struct nodes *n, const char *path, size_t len)
{
	static const char *const stays[] = { "device",		 "backend",
					     "console",		 "store",
					     "serial",		 "device-model",
					     "control/shutdown", "control/sysrq" };
	size_t home = strlen(n->home);

	if (len <= home || memcmp(path, n->home, home) != 0 || path[home] != '/')
		return false;
	path += home + 1;
	len -= home + 1;
	for (size_t i = 0; i < ARRAY_LEN(stays); i++) {
		size_t m = strlen(stays[i]);

		if (len >= m && !memcmp(path, stays[i], m) && (len == m || path[m] == '/'))
			return false;
	}
	return true;
}

static int ask(void *data, const struct drover_record *rec)
{
	const struct drover_node *node = &rec->node;
	struct nodes *n = data;

	if (rec->type != DROVER_RECORD_NODE || node->conn_id ||
	    !goes_along(n, node->path.data, node->path.len))
		return 0;
	seat_add(n->s, XS_GET_PERMS, node->path.data, NULL, 0);
	n->n++;
	return 0;
}

/* "n5|r0|": whose a node is. */
static enum there there_of(const struct conf_reply *reply, uint16_t domid)
{
	if (reply->err)
		return NOT_THERE;
	return reply->len > 1 && strtoul(reply->data + 1, NULL, 10) == domid ? THERE_AND_ITS_OWN
									     : THERE;
}

static void set_perms(struct nodes *n, const struct drover_node *node)
{
	char text[XENSTORE_PAYLOAD_MAX];
	size_t len = 0;

	for (uint32_t i = 0; i < node->perms.n && len < sizeof(text) - 16; i++) {
		struct drover_perm p = drover_perm_at(&node->perms, i);

		if (!(p.flags & DROVER_PERM_STALE))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%c%u", p.letter,
						p.domid) +
			       1;
	}
	seat_add(n->s, XS_SET_PERMS, node->path.data, text, len);
}

static int make(void *data, const struct drover_record *rec)
{
	const struct drover_node *node = &rec->node;
	struct nodes *n = data;
	enum there there;
	bool own;

	if (rec->type != DROVER_RECORD_NODE || node->conn_id ||
	    !goes_along(n, node->path.data, node->path.len))
		return 0;
	there = n->is_there[n->i++];
	own = node->perms.n && drover_perm_at(&node->perms, 0).domid == n->domid;
	if (there == THERE || (there == THERE_AND_ITS_OWN && !own))
		return 0;
	seat_add(n->s, XS_WRITE, node->path.data, node->value.data, node->value.len);
	if (there == NOT_THERE)
		set_perms(n, node);
	return 0;
}

static int each(struct nodes *n, const struct domain_octets *image, domain_image_record_fn *fn)
{
	char text[300] = "";
	int r;

	seat_begin(n->s);
	r = domain_image_each(image, fn, n, text, sizeof(text));
	if (r == ENOMEM)
		return conf_no_memory(&n->s->err);
	if (r)
		return conf_fail(&n->s->err, -EBADMSG, "the guest's image: %s", text);
	return seat_send(n->s);
}

static int make_nodes(struct hstore_seat *s, uint16_t domid, const struct domain_octets *image)
{
	struct nodes n = { .s = s, .domid = domid };
	int r;

	snprintf(n.home, sizeof(n.home), "/local/domain/%u", domid);
	r = each(&n, image, ask);
	if (r)
		return r;
	n.is_there = malloc(n.n + 1);
	if (!n.is_there)
		return conf_no_memory(&s->err);
	for (size_t i = 0; i < n.n; i++)
		n.is_there[i] = (uint8_t)there_of(seat_reply(s, i), domid);
	r = each(&n, image, make);
	for (size_t i = 0; !r && i < s->batch.n; i++)
		if (seat_reply(s, i)->err)
			r = seat_refused(s, "a node of the guest's", seat_reply(s, i)->err, false);
	free(n.is_there);
	return r;
}

/* ---- arriving ---- */

static int import_into(struct hstore_seat *s, const struct hstore_job *job,
		       const struct hstore_blob *b, uint16_t domid)
{
	struct domain_octets image = { .len = 0 };
	int r = move_map(s, job, b, domid, &image);

	if (!r)
		r = move_quiesce(s, domid);
	if (!r)
		r = make_nodes(s, domid, &image);
	if (!r && b->page)
		r = go_on(s, domid, b, &image);
	free(image.data);
	return r;
}

int join_import(struct hstore_seat *s, struct hstore_job *job, const struct hstore_blob *b)
{
	struct hstore_mark m;
	int r = mark_read(s, job->uuid_text, &m);

	if (r)
		return r;
	if (m.state == HSTORE_HERE && m.epoch == job->epoch) {
		job->domid = m.domid;
		return 0; /* it was done before */
	}
	if (!b->image_len && !(job->flags & HSTORE_UNSAFE))
		return conf_fail(&s->err, -EOPNOTSUPP,
				 "the guest's part of the store did not come along");
	m.state = HSTORE_MAKING;
	r = mark_write(s, job->uuid_text, &m);
	if (!r && b->image_len)
		r = import_into(s, job, b, m.domid);
	m.state = HSTORE_HERE;
	m.epoch = job->epoch;
	if (!r)
		r = mark_write(s, job->uuid_text, &m);
	if (!r)
		job->domid = m.domid;
	return r;
}
