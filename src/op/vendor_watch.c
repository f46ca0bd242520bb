/* SPDX-License-Identifier: MIT */
/*
 * GET_DOMAIN_WATCHES, ADD_DOMAIN_WATCHES, START_DOMAIN_TRANSACTION (docs/protocol.md, "A domain
 * that moves"): what a toolstack does in a domain's place.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "op/op.h"
#include "op/vendor.h"

/* The domain whose ring serves; ENOENT. */
static int find_conn(const struct op_call *o, struct conn **ret)
{
	struct domain *d;
	uint16_t domid;

	if (vendor_domid(o, &domid))
		return EINVAL;
	d = domain_find(&o->core->domains, domid);
	if (!d || !d->conn || d->conn->failed)
		return ENOENT;
	*ret = d->conn;
	return 0;
}

/* "path|token|" as the domain wrote it; its length. out: room for it. */
static size_t print_watch(const struct conn *c, const struct watch *w, char *out)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	size_t len = watch_path(w, path), skip = w->relative ? c->watcher.rel_len : 0;

	len -= skip;
	memcpy(out, path + skip, len);
	out[len++] = '\0';
	memcpy(out + len, w->token, w->token_len);
	len += w->token_len;
	out[len++] = '\0';
	return len;
}

/*
 * "<gencnt>|(<path>|<token>|)*". The count is a keyed hash of the whole list: another list has
 * another one, whatever became of the process meanwhile.
 */
int op_get_domain_watches(struct op_call *o)
{
	const struct siphash_key *key = &o->core->opt.key;
	char one[XENSTORE_ABS_PATH_MAX + XENSTORE_PAYLOAD_MAX + 2], *out = o->reply->data;
	size_t len, at = 0, room = XENSTORE_PAYLOAD_MAX - 21;
	uint64_t gen = 0, word[2];
	uint32_t index, i = 0;
	const struct watch *w;
	struct conn *c;
	bool full = false;
	int r;

	r = find_conn(o, &c);
	if (!r)
		r = wire_parse_number(o->arg[1], o->arg_len[1], 10, &index);
	if (r)
		return r;
	/* behind where the count comes, which is not known before the end */
	for (w = watch_first(&c->watcher); w; w = watch_next(w), i++) {
		len = print_watch(c, w, one);
		word[0] = gen;
		word[1] = siphash(key, one, len);
		gen = siphash(key, word, sizeof(word));
		full |= i >= index && len > room - at;
		if (i < index || full)
			continue;
		memcpy(out + 21 + at, one, len);
		at += len;
	}
	len = (size_t)snprintf(one, sizeof(one), "%" PRIu64, gen) + 1;
	memcpy(out, one, len);
	memmove(out + len, out + 21, at);
	o->reply->len = len + at;
	return 0;
}

#define WATCH_MIN_OCTETS 3u /* "a", no token, two NULs */

/* The watches of a request, in the domain's place; next is where the following one is. */
struct adding {
	struct op_call as;
	const char *next;
	const char *end;
};

static struct adding adding_begin(const struct op_call *o, struct conn *c)
{
	struct adding a = { .as = *o };

	a.as.conn = c;
	a.as.n_args = 2;
	a.next = o->arg[0] + o->arg_len[0] + 1;
	a.end = o->msg->payload + o->msg->hdr.len;
	return a;
}

/* Whether there is one more, in as.arg. */
static bool adding_next(struct adding *a)
{
	if (a->next >= a->end)
		return false;
	for (size_t i = 0; i < 2; i++) {
		const char *nul =
			a->next < a->end ? memchr(a->next, '\0', (size_t)(a->end - a->next)) : NULL;

		a->as.n_args = i;
		if (!nul)
			return true;
		a->as.arg[i] = a->next;
		a->as.arg_len[i] = (size_t)(nul - a->next);
		a->next = nul + 1;
		a->as.n_args = i + 1;
	}
	return true;
}

int op_add_domain_watches(struct op_call *o)
{
	struct watch *added[XENSTORE_PAYLOAD_MAX / WATCH_MIN_OCTETS];
	struct core *core = o->core;
	struct adding a;
	struct conn *c;
	uint64_t mark;
	size_t n = 0;
	int r;

	r = find_conn(o, &c);
	if (r)
		return r;
	mark = core->log ? core->log->mark(core->log_data) : 0;
	for (a = adding_begin(o, c); !r && adding_next(&a); n += !r)
		r = a.as.n_args == 2 ? op_watch_add(&a.as, &added[n]) : EINVAL;
	a = adding_begin(o, c);
	for (size_t i = 0; i < n && adding_next(&a); i++) {
		if (r)
			op_watch_undo(&a.as);
		else
			c->watcher.event(&c->watcher, added[i], a.as.arg[0], a.as.arg_len[0]);
	}
	if (!r)
		return 0;
	if (core->log)
		core->log->rewind(core->log_data, mark);
	return r;
}

int op_start_domain_transaction(struct op_call *o)
{
	struct core *core = o->core;
	struct budget *b;
	struct conn *c;
	struct txn *t;
	uint32_t id;
	int r;

	r = find_conn(o, &c);
	if (!r)
		r = wire_parse_number(o->arg[1], o->arg_len[1], 10, &id);
	if (!r && !id)
		r = EINVAL;
	if (r)
		return r;
	if (txn_find(&c->txns, id))
		return EEXIST;
	b = c->watcher.budget;
	if (budget_check(b, QUOTA_TRANSACTIONS, 1))
		return op_refuse(o, b, QUOTA_TRANSACTIONS, NULL, b->used[QUOTA_TRANSACTIONS] + 1);
	r = core_start_txn(core, c, id, &t);
	if (r)
		return r;
	if (c->next_tx < id)
		c->next_tx = id; /* or the domain's next START would be given it again */
	txn_doom(&core->store, &core->ages, t);
	return 0;
}
