/* SPDX-License-Identifier: MIT */
/*
 * What a record must say, as far as it can be judged alone.
 * Invariant: a record that passed holds well-formed paths of lawful length, known letters, ids
 * that are ids; whether what it refers to exists is the reader's to know.
 */
#include <errno.h>
#include <string.h>

#include "image/record.h"
#include "wire/path.h"

#define DOMID_FIRST_RESERVED 0x7ff0u /* xen.h: what is above is no domain */

/* The rule that was broken, by field; NULL: none. */
struct verdict {
	const char *field;
	const char *rule;
};

static const struct verdict good = { NULL, NULL };

static struct verdict bad(const char *field, const char *rule)
{
	return (struct verdict){ field, rule };
}

static struct verdict check_conn_id(uint32_t conn_id)
{
	return conn_id ? good : bad("conn-id", "0");
}

static struct verdict check_tx(uint32_t conn_id, uint32_t tx_id)
{
	if (!conn_id)
		return bad("conn-id", "0");
	return tx_id ? good : bad("tx-id", "0");
}

/* Of a node: absolute, or special. */
static struct verdict check_path(const struct drover_octets *path)
{
	const char *str = path->data;

	if (!path->len || (str[0] != '/' && str[0] != '@'))
		return bad("path", "neither absolute nor special");
	if (path->len >= XENSTORE_ABS_PATH_MAX)
		return bad("path", "longer than a path may be");
	return path_is_valid(str, path->len) ? good : bad("path", "malformed");
}

/* Of a watch: relative ones are lawful, too. */
static struct verdict check_watch_path(const struct drover_octets *path)
{
	const char *str = path->data;

	if (!path->len)
		return bad("wpath", "empty");
	if (path->len > (str[0] == '/' ? XENSTORE_ABS_PATH_MAX - 1 : XENSTORE_REL_PATH_MAX))
		return bad("wpath", "longer than a path may be");
	return path_is_valid(str, path->len) ? good : bad("wpath", "malformed");
}

static struct verdict check_domid(const char *field, uint16_t domid)
{
	return domid < DOMID_FIRST_RESERVED ? good : bad(field, "no domain's");
}

static struct verdict check_perms(const struct drover_list *perms)
{
	for (uint32_t i = 0; i < perms->n; i++) {
		struct drover_perm p = drover_perm_at(perms, i);

		if (p.letter != 'n' && p.letter != 'r' && p.letter != 'w' && p.letter != 'b')
			return bad("permissions", "a letter other than n, r, w, b");
		if (p.flags & ~DROVER_PERM_STALE)
			return bad("permissions", "unknown flags");
	}
	return good;
}

static struct verdict check_global(const struct drover_global *g)
{
	if (g->socket_fd < -1 || g->ro_socket_fd < -1)
		return bad("socket-fd", "below -1");
	return g->evtchn_fd < -1 ? bad("evtchn-fd", "below -1") : good;
}

static struct verdict check_connection(const struct drover_connection *c)
{
	if (!c->conn_id)
		return bad("conn-id", "0");
	if (c->resp_len > c->output.len)
		return bad("out-resp-len", "more than out-data-len");
	if (c->kind == DROVER_CONN_SOCKET)
		return c->fd < -1 ? bad("socket-fd", "below -1") : good;
	if (c->tdomid != DROVER_DOMID_NONE && c->tdomid >= DOMID_FIRST_RESERVED)
		return bad("tdomid", "no domain's");
	return check_domid("domid", c->domid);
}

static struct verdict check_watch(const struct drover_watch *w)
{
	return w->conn_id ? check_watch_path(&w->path) : bad("conn-id", "0");
}

static struct verdict check_node(const struct drover_node *n, bool base)
{
	struct verdict v = check_path(&n->path);

	if (v.field)
		return v;
	if (base || n->conn_id) {
		v = check_tx(n->conn_id, n->tx_id);
		if (v.field)
			return v;
	}
	if (!n->perms.n && n->value.len)
		return bad("value", "of a node that was deleted");
	if (!base && n->conn_id) {
		if (n->access & ~(DROVER_ACCESS_READ | DROVER_ACCESS_WRITTEN))
			return bad("access", "unknown bits");
		if (!n->access != !n->perms.n)
			return bad("access", "0 is for what was deleted, which has no permissions");
	}
	return check_perms(&n->perms);
}

static struct verdict check_in_txn(uint32_t conn_id, uint32_t tx_id,
				   const struct drover_octets *path)
{
	struct verdict v = check_tx(conn_id, tx_id);

	return v.field ? v : check_path(path);
}

static struct verdict check_own(const struct drover_record *r)
{
	switch (r->type) {
	case DROVER_RECORD_CONN_STATE:
		return check_conn_id(r->conn_state.conn_id);
	case DROVER_RECORD_CONN_GONE:
		return check_conn_id(r->conn_gone.conn_id);
	case DROVER_RECORD_UNWATCH:
		return check_watch(&r->watch);
	case DROVER_RECORD_TXN_STATE:
		return check_tx(r->txn_state.conn_id, r->txn_state.tx_id);
	case DROVER_RECORD_TXN_END:
		return check_tx(r->txn.conn_id, r->txn.tx_id);
	case DROVER_RECORD_TXN_ACCESS:
		return check_in_txn(r->txn_access.conn_id, r->txn_access.tx_id,
				    &r->txn_access.path);
	case DROVER_RECORD_TXN_CHARGE:
		return check_tx(r->txn_charge.conn_id, r->txn_charge.tx_id);
	case DROVER_RECORD_TXN_BASE_NODE:
		return check_node(&r->node, true);
	case DROVER_RECORD_DOMAIN_STATE:
		if (r->domain_state.target > DROVER_TARGET_NONE)
			return bad("target", "no domain's");
		return check_domid("domid", r->domain_state.domid);
	default:
		return good;
	}
}

static struct verdict check(const struct drover_record *r)
{
	switch (r->type) {
	case DROVER_RECORD_GLOBAL:
		return check_global(&r->global);
	case DROVER_RECORD_CONNECTION:
		return check_connection(&r->connection);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return check_watch(&r->watch);
	case DROVER_RECORD_TXN:
		return check_tx(r->txn.conn_id, r->txn.tx_id);
	case DROVER_RECORD_NODE:
		return check_node(&r->node, false);
	case DROVER_RECORD_DOMAIN:
		return check_domid("domain-id", r->domain.domid);
	default:
		return check_own(r);
	}
}

int record_check(const struct drover_record *rec, struct drover_image_error *err)
{
	struct verdict v = check(rec);

	if (!v.field)
		return 0;
	image_error_set(err, rec->type, v.field, v.rule);
	return EINVAL;
}
