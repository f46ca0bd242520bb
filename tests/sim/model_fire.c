/* SPDX-License-Identifier: MIT */
/*
 * The model's events: every watch of every connection is looked at. Invariant: what is expected
 * of one change is one group, in any order.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static bool lets_read(const struct model *m, const struct mconn *c, const struct mnode *n)
{
	return n && mperms_bits(m, &n->perms, c) & PERM_READ;
}

static bool same_message(const struct mmsg *m, const void *payload, size_t len)
{
	return m->hdr.type == XS_WATCH_EVENT && m->hdr.len == len &&
	       !memcmp(m->payload, payload, len);
}

/* Whether an equal event is unread, whole. */
static bool is_pending(const struct mconn *c, const void *payload, size_t len)
{
	uint64_t sent = c->end - c->q_before;

	for (size_t i = 0; i < c->n_msgs; i++)
		if (c->msg[i].start >= sent && same_message(&c->msg[i], payload, len))
			return true;
	for (size_t i = 0; i < c->n_want; i++)
		if (same_message(&c->want[i], payload, len))
			return true;
	return false;
}

void model_expect(struct model *m, struct mconn *c, const struct xsd_sockmsg *hdr,
		  const void *payload)
{
	struct mmsg *x;

	if (c->n_want == c->want_room) {
		c->want_room = c->want_room * 2 + 8;
		c->want = realloc(c->want, c->want_room * sizeof(*x));
		assert(c->want);
	}
	x = &c->want[c->n_want++];
	*x = (struct mmsg){ .hdr = *hdr, .group = m->group };
	x->payload = malloc(hdr->len + 1);
	assert(x->payload);
	if (hdr->len)
		memcpy(x->payload, payload, hdr->len);
}

void model_event(struct model *m, struct mconn *c, const struct mwatch *x, const char *path,
		 size_t len)
{
	struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT };
	char payload[XENSTORE_PAYLOAD_MAX * 2], home[32];
	size_t skip = 0, token_len = strlen(x->token);

	if (c->restarting || c->conn->closing || c->conn->failed)
		return;
	if (x->relative)
		skip = (size_t)snprintf(home, sizeof(home), "/local/domain/%u/", c->domid);
	len -= skip;
	if (len + token_len + 2 > XENSTORE_PAYLOAD_MAX)
		return;
	memcpy(payload, path + skip, len);
	payload[len] = '\0';
	memcpy(payload + len + 1, x->token, token_len + 1);
	hdr.len = (uint32_t)(len + token_len + 2);
	if (path[0] != '@' && is_pending(c, payload, hdr.len))
		return;
	model_expect(m, c, &hdr, payload);
}

static size_t levels(const char *path, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && len > 1; i++)
		n += path[i] == '/';
	return n;
}

/* A watch below what was removed: the node that was at its path, or the nearest above. */
static bool below_is_seen(const struct model *m, const struct mconn *c, const struct mtree *before,
			  const struct mwatch *x, size_t top)
{
	size_t len = x->path_len;

	if (c->privileged || lets_read(m, c, mtree_find(before, x->path, len)))
		return true;
	do {
		len = path_parent_len(x->path, len);
		if (mtree_find(before, x->path, len))
			return lets_read(m, c, mtree_find(before, x->path, len));
	} while (len > top);
	return false;
}

void model_fire(struct model *m, const struct mtree *before, const struct mtree *after,
		const char *path, size_t len, bool removed)
{
	m->group++;
	for (struct mconn *c = m->conns; c; c = c->next) {
		bool seen = c->privileged || lets_read(m, c, mtree_find(before, path, len)) ||
			    lets_read(m, c, mtree_find(after, path, len)) ||
			    lets_read(m, c, mtree_parent(before, path, len)) ||
			    lets_read(m, c, mtree_parent(after, path, len));

		for (struct mwatch *x = c->watch; x; x = x->next) {
			if (x->path[0] == '@')
				continue;
			if (model_is_below(path, len, x->path, x->path_len)) {
				if (seen &&
				    levels(path, len) - levels(x->path, x->path_len) <= x->depth)
					model_event(m, c, x, path, len);
			} else if (removed && model_is_below(x->path, x->path_len, path, len) &&
				   below_is_seen(m, c, before, x, len)) {
				model_event(m, c, x, x->path, x->path_len);
			}
		}
	}
}

void model_fire_special(struct model *m, const char *name, uint16_t domid,
			const struct mperms *perms)
{
	char with[64];

	m->group++;
	snprintf(with, sizeof(with), "%s/%u", name, domid);
	for (struct mconn *c = m->conns; c; c = c->next) {
		if (!(mperms_bits(m, perms, c) & PERM_READ))
			continue;
		for (struct mwatch *x = c->watch; x; x = x->next) {
			if (!strcmp(x->path, name) && x->depth != 1)
				model_event(m, c, x, name, strlen(name));
			else if (!strcmp(x->path, name) || !strcmp(x->path, with))
				model_event(m, c, x, with, strlen(with));
		}
	}
}
