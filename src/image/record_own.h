/* SPDX-License-Identifier: MIT */
/*
 * Drover's own records, each described once; for record.c alone.
 */
#ifndef DROVER_IMAGE_RECORD_OWN_H
#define DROVER_IMAGE_RECORD_OWN_H

#include "image/xfer.h"

/* ---- entries of lists ---- */

XFER void put_limit(unsigned char *out, const struct drover_list *list, uint32_t i, bool swap)
{
	struct drover_limit l = drover_limit_at(list, i);

	put64(out, l.hard, swap);
	put64(out + 8, l.soft, swap);
	put32(out + 16, l.own, swap);
	put32(out + 20, 0, swap);
}

XFER void put_policy_limit(unsigned char *out, const struct drover_list *list, uint32_t i,
			   bool swap)
{
	struct drover_policy_limit l = drover_policy_limit_at(list, i);

	put64(out, l.hard, swap);
	put64(out + 8, l.soft, swap);
}

XFER void put_word(unsigned char *out, const struct drover_list *list, uint32_t i, bool swap)
{
	struct drover_word w = drover_word_at(list, i);

	put64(out, w.id, swap);
	put64(out + 8, w.io_word, swap);
	put32(out + 16, w.slot, swap);
	put32(out + 20, 0, swap);
}

/* ---- our own records ---- */

XFER void xfer_state(struct xfer *x, struct drover_state *s)
{
	xfer_u32(x, "journal-version", &s->journal_version);
	xfer_u32(x, "flags", &s->flags);
	xfer_u64(x, "next-conn-id", &s->next_conn_id);
	xfer_u64(x, "store-gen", &s->store_gen);
	xfer_u64(x, "deaths", &s->deaths);
	xfer_u64(x, "started", &s->started_ms);
	xfer_u64(x, "spare", &s->spare[0]);
	xfer_u64(x, "spare", &s->spare[1]);
}

XFER void xfer_conn_state(struct xfer *x, struct drover_conn_state *s)
{
	xfer_u32(x, "conn-id", &s->conn_id);
	xfer_u32(x, "flags", &s->flags);
	xfer_u32(x, "next-tx", &s->next_tx);
	xfer_u32(x, "slot", &s->slot);
	xfer_u64(x, "peer-id", &s->peer_id);
	xfer_u16(x, "domid", &s->domid);
	xfer_pad(x, 6);
	xfer_u64(x, "id", &s->id);
}

XFER void xfer_txn_state(struct xfer *x, struct drover_txn_state *s)
{
	xfer_u32(x, "conn-id", &s->conn_id);
	xfer_u32(x, "tx-id", &s->tx_id);
	xfer_u32(x, "flags", &s->flags);
	xfer_pad(x, 4);
	xfer_u64(x, "deaths-at-start", &s->deaths_at_start);
	xfer_u64(x, "serial", &s->serial);
	xfer_u64(x, "charge", &s->charge);
}

XFER void xfer_txn_access(struct xfer *x, struct drover_txn_access *a)
{
	xfer_u32(x, "conn-id", &a->conn_id);
	xfer_u32(x, "tx-id", &a->tx_id);
	xfer_u16(x, "saw", &a->saw);
	xfer_u16(x, "wrote", &a->wrote);
	xfer_strlen16(x, "path", &a->path);
	xfer_pad(x, 2);
	xfer_string(x, "path", &a->path);
}

XFER void xfer_txn_charge(struct xfer *x, struct drover_txn_charge *c)
{
	xfer_u32(x, "conn-id", &c->conn_id);
	xfer_u32(x, "tx-id", &c->tx_id);
	xfer_u64(x, "octets", &c->octets);
}

XFER void xfer_domain_state(struct xfer *x, struct drover_domain_state *s)
{
	xfer_u16(x, "domid", &s->domid);
	xfer_u16(x, "flags", &s->flags);
	xfer_u32(x, "target", &s->target);
	xfer_u64(x, "unique", &s->unique);
	xfer_u64(x, "gfn", &s->gfn);
	xfer_u32(x, "remote-port", &s->remote_port);
	xfer_u32(x, "local-port", &s->local_port);
	xfer_u32(x, "features", &s->features);
	xfer_u32(x, "counters", &s->counters);
	xfer_u32(x, "n-limits", &s->limits.n);
	xfer_pad(x, 4);
	xfer_list(x, "limits", &s->limits, sizeof(struct drover_limit), put_limit);
}

XFER void xfer_domid(struct xfer *x, struct drover_domid *d)
{
	xfer_u16(x, "domid", &d->domid);
	xfer_pad(x, 6);
}

XFER void xfer_death(struct xfer *x, struct drover_death *d)
{
	xfer_u16(x, "domid", &d->domid);
	xfer_pad(x, 6);
	xfer_u64(x, "count", &d->count);
}

XFER void xfer_commit(struct xfer *x, struct drover_commit *c)
{
	uint64_t octets, stated;

	xfer_u32(x, "n", &c->words.n);
	xfer_pad(x, 4);
	xfer_u64(x, "seq", &c->seq);
	xfer_list(x, "words", &c->words, sizeof(struct drover_word), put_word);
	octets = stated = DROVER_RECORD_HEADER_LEN + x->at + sizeof(octets);
	xfer_u64(x, "octets", &stated);
	if (stated != octets)
		xfer_break(x, "octets", "not those of the record");
}

XFER void xfer_policy(struct xfer *x, struct drover_policy *p)
{
	xfer_u32(x, "n-limits", &p->limits.n);
	xfer_u32(x, "flags", &p->flags);
	xfer_list(x, "limits", &p->limits, sizeof(struct drover_policy_limit), put_policy_limit);
}

XFER void xfer_host(struct xfer *x, struct drover_host *h)
{
	xfer_u32(x, "flags", &h->flags);
	xfer_strlen16(x, "path", &h->path);
	xfer_pad(x, 2);
	xfer_string(x, "path", &h->path);
}

#endif
