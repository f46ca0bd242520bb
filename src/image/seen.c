/* SPDX-License-Identifier: MIT */
/*
 * The rules between records: references, parents, duplicates.
 * Invariant: the table holds a keyed hash of 64 bits of everything that may be referred to or
 * must not come again, and nothing else; so memory is 8 to 16 octets an object, whatever their
 * paths. Two that differ are taken for one with a chance of 2^-64 a pair.
 */
#include "image/seen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/record.h"
#include "wire/path.h"

#define FIRST_ROOM 256u

/* What a hash stands for, so that equal ids of different things differ. */
enum what {
	WHAT_CONNECTION = 1,
	WHAT_RING,
	WHAT_SOCKET,
	WHAT_WATCH,
	WHAT_TXN,
	WHAT_PENDING,
	WHAT_BASE,
	WHAT_ABOVE, /* an ancestor of a domain's subtree */
	WHAT_ONCE,  /* a record that comes at most once, by type and id */
};

void seen_init(struct seen *s, bool domain, const uint64_t key[2])
{
	memset(s, 0, sizeof(*s));
	s->domain = domain;
	s->key = (struct siphash_key){ key[0], key[1] };
}

void seen_fini(struct seen *s)
{
	free(s->slot);
	s->slot = NULL;
}

/* ---- the table ---- */

static size_t slot_of(const uint64_t *slot, size_t room, uint64_t hash)
{
	size_t i = hash & (room - 1);

	while (slot[i] && slot[i] != hash)
		i = (i + 1) & (room - 1);
	return i;
}

static bool has(const struct seen *s, uint64_t hash)
{
	return s->room && s->slot[slot_of(s->slot, s->room, hash)];
}

static int grow(struct seen *s)
{
	size_t room = s->room ? s->room * 2 : FIRST_ROOM;
	uint64_t *slot = calloc(room, sizeof(*slot));

	if (!slot)
		return ENOMEM;
	for (size_t i = 0; i < s->room; i++)
		if (s->slot[i])
			slot[slot_of(slot, room, s->slot[i])] = s->slot[i];
	free(s->slot);
	s->slot = slot;
	s->room = room;
	return 0;
}

/* EEXIST: it was there. ENOSPC: IMAGE_OBJECTS_MAX. ENOMEM. */
static int add(struct seen *s, uint64_t hash)
{
	size_t i;

	if (s->count >= s->room - s->room / 4) {
		int r = grow(s);

		if (r)
			return r;
	}
	i = slot_of(s->slot, s->room, hash);
	if (s->slot[i])
		return EEXIST;
	if (s->count >= IMAGE_OBJECTS_MAX)
		return ENOSPC;
	s->slot[i] = hash;
	s->count++;
	return 0;
}

static uint64_t hash_path(const struct seen *s, const char *path, size_t len)
{
	uint64_t h = siphash(&s->key, path, len);

	return h ? h : 1;
}

static uint64_t hash_ids(const struct seen *s, enum what what, uint32_t a, uint32_t b, uint64_t h,
			 uint64_t h2)
{
	const uint64_t words[] = { what, (uint64_t)a << 32 | b, h, h2 };
	/* No path is hashed with this key. */
	const struct siphash_key key = { s->key.k0, ~s->key.k1 };

	h = siphash(&key, words, sizeof(words));
	return h ? h : 1;
}

/* ---- verdicts ---- */

static int refuse(struct drover_image_error *err, uint32_t type, const char *field,
		  const char *rule)
{
	image_error_set(err, type, field, rule);
	return EINVAL;
}

/* Adds what must not be there yet. */
static int add_once(struct seen *s, uint64_t hash, uint32_t type, const char *field,
		    struct drover_image_error *err)
{
	int r = add(s, hash);

	if (r == EEXIST)
		return refuse(err, type, field, "came before");
	if (r == ENOSPC)
		return refuse(err, type, field, "one more than an image may hold");
	return r;
}

static int need_connection(const struct seen *s, uint32_t conn_id, uint32_t type,
			   struct drover_image_error *err)
{
	if (has(s, hash_ids(s, WHAT_CONNECTION, conn_id, 0, 0, 0)))
		return 0;
	return refuse(err, type, "conn-id", "of no connection that came before");
}

static int need_txn(const struct seen *s, uint32_t conn_id, uint32_t tx_id, uint32_t type,
		    struct drover_image_error *err)
{
	if (has(s, hash_ids(s, WHAT_TXN, conn_id, tx_id, 0, 0)))
		return 0;
	return refuse(err, type, "tx-id", "of no transaction that came before");
}

/* ---- records ---- */

static int see_connection(struct seen *s, const struct drover_record *rec,
			  struct drover_image_error *err)
{
	const struct drover_connection *c = &rec->connection;
	bool ring = c->kind == DROVER_CONN_RING;
	int r;

	if (s->domain && !ring)
		return refuse(err, rec->type, "conn-type", "a socket in a domain's image");
	if (s->domain && s->has_connection)
		return refuse(err, rec->type, "conn-id", "a second one in a domain's image");
	s->has_connection = true;
	r = add_once(s, hash_ids(s, WHAT_CONNECTION, c->conn_id, 0, 0, 0), rec->type, "conn-id",
		     err);
	if (r)
		return r;
	if (ring)
		return add_once(s, hash_ids(s, WHAT_RING, c->domid, 0, 0, 0), rec->type, "domid",
				err);
	if (c->fd < 0)
		return 0;
	return add_once(s, hash_ids(s, WHAT_SOCKET, (uint32_t)c->fd, 0, 0, 0), rec->type,
			"socket-fd", err);
}

static int see_watch(struct seen *s, const struct drover_record *rec,
		     struct drover_image_error *err)
{
	const struct drover_watch *w = &rec->watch;
	int r = need_connection(s, w->conn_id, rec->type, err);

	if (r)
		return r;
	return add_once(s,
			hash_ids(s, WHAT_WATCH, w->conn_id, 0,
				 hash_path(s, w->path.data, w->path.len),
				 siphash(&s->key, w->token.data, w->token.len)),
			rec->type, "wpath and token", err);
}

static int see_txn(struct seen *s, const struct drover_record *rec, struct drover_image_error *err)
{
	const struct drover_txn *t = &rec->txn;
	int r = need_connection(s, t->conn_id, rec->type, err);

	if (r)
		return r;
	return add_once(s, hash_ids(s, WHAT_TXN, t->conn_id, t->tx_id, 0, 0), rec->type, "tx-id",
			err);
}

/* A node of a transaction, in it or as it was when it began. */
static int see_txn_node(struct seen *s, const struct drover_record *rec, enum what what,
			struct drover_image_error *err)
{
	const struct drover_node *n = &rec->node;
	int r = need_txn(s, n->conn_id, n->tx_id, rec->type, err);

	if (r)
		return r;
	return add_once(
		s,
		hash_ids(s, what, n->conn_id, n->tx_id, hash_path(s, n->path.data, n->path.len), 0),
		rec->type, "path", err);
}

/* Whether the parent came already, which in preorder is seen by the node that came last. */
static bool knows_parent(struct seen *s, const char *path, size_t parent_len)
{
	if (s->last_len && parent_len >= s->last_top &&
	    path_is_below(s->last, s->last_len, path, parent_len))
		return true;
	if (s->domain)
		s->last_top = parent_len;
	return has(s, hash_path(s, path, parent_len));
}

/* A subtree's top: its ancestors are outside, and must not follow. */
static int see_top(struct seen *s, const char *path, size_t len, struct drover_image_error *err)
{
	s->last_top = len;
	for (size_t n = path_parent_len(path, len); n; n = path_parent_len(path, n)) {
		int r = add(s, hash_ids(s, WHAT_ABOVE, 0, 0, hash_path(s, path, n), 0));

		if (r == ENOSPC)
			return refuse(err, DROVER_RECORD_NODE, "path",
				      "one more than an image may hold");
		if (r)
			return r == EEXIST ? 0 : r;
	}
	return 0;
}

static int see_parent(struct seen *s, const char *path, size_t len, struct drover_image_error *err)
{
	size_t parent_len;

	/* The root, and special nodes. */
	if (len == 1 || path[0] == '@')
		return 0;
	parent_len = path_parent_len(path, len);
	if (knows_parent(s, path, parent_len))
		return 0;
	if (!s->domain)
		return refuse(err, DROVER_RECORD_NODE, "path", "its parent did not come before");
	return see_top(s, path, len, err);
}

static int see_node(struct seen *s, const struct drover_record *rec, struct drover_image_error *err)
{
	const char *path = rec->node.path.data;
	size_t len = rec->node.path.len;
	uint64_t hash = hash_path(s, path, len);
	int r;

	if (!rec->node.perms.n)
		return refuse(err, rec->type, "perm-count", "0 of a committed node");
	if (s->domain && has(s, hash_ids(s, WHAT_ABOVE, 0, 0, hash, 0)))
		return refuse(err, rec->type, "path", "a node below it came before");
	r = see_parent(s, path, len, err);
	if (r)
		return r;
	r = add_once(s, hash, rec->type, "path", err);
	if (r)
		return r;
	/* A special node is nobody's parent. */
	s->last_len = path[0] == '/' ? len : 0;
	memcpy(s->last, path, s->last_len);
	if (len == 1)
		s->last_top = 1;
	return 0;
}

static int see_own(struct seen *s, const struct drover_record *rec, struct drover_image_error *err)
{
	uint32_t type = rec->type;
	int r;

	switch (type) {
	case DROVER_RECORD_CONN_STATE:
		r = need_connection(s, rec->conn_state.conn_id, type, err);
		if (r)
			return r;
		return add_once(s, hash_ids(s, WHAT_ONCE, type, rec->conn_state.conn_id, 0, 0),
				type, "conn-id", err);
	case DROVER_RECORD_TXN_STATE:
		return need_txn(s, rec->txn_state.conn_id, rec->txn_state.tx_id, type, err);
	case DROVER_RECORD_TXN_ACCESS:
		return need_txn(s, rec->txn_access.conn_id, rec->txn_access.tx_id, type, err);
	case DROVER_RECORD_TXN_CHARGE:
		return need_txn(s, rec->txn_charge.conn_id, rec->txn_charge.tx_id, type, err);
	case DROVER_RECORD_TXN_BASE_NODE:
		return see_txn_node(s, rec, WHAT_BASE, err);
	case DROVER_RECORD_CONN_GONE:
	case DROVER_RECORD_UNWATCH:
	case DROVER_RECORD_TXN_END:
	case DROVER_RECORD_DOMAIN_GONE:
	case DROVER_RECORD_PERMS_STRIP:
	case DROVER_RECORD_COMMIT:
		return refuse(err, type, "type", "of a journal, not of an image");
	default:
		return 0;
	}
}

int seen_record(struct seen *s, const struct drover_record *rec, struct drover_image_error *err)
{
	switch (rec->type) {
	case DROVER_RECORD_CONNECTION:
		return see_connection(s, rec, err);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return see_watch(s, rec, err);
	case DROVER_RECORD_TXN:
		return see_txn(s, rec, err);
	case DROVER_RECORD_NODE:
		if (rec->node.conn_id)
			return see_txn_node(s, rec, WHAT_PENDING, err);
		return see_node(s, rec, err);
	case DROVER_RECORD_GLOBAL:
	case DROVER_RECORD_QUOTA:
		return add_once(s, hash_ids(s, WHAT_ONCE, rec->type, 0, 0, 0), rec->type, "type",
				err);
	case DROVER_RECORD_DOMAIN:
		return add_once(s, hash_ids(s, WHAT_ONCE, rec->type, rec->domain.domid, 0, 0),
				rec->type, "domain-id", err);
	default:
		return see_own(s, rec, err);
	}
}
