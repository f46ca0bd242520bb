/* SPDX-License-Identifier: MIT */
/*
 * The model's requests. Invariant: a request that gets an error changed nothing but, in a
 * transaction, what is noted as seen.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn/ring.h"
#include "model.h"

#define DOMID_SELF 0x7ff0u

struct mtree *mcall_tree(struct mcall *o)
{
	return o->txn ? &o->txn->tree : &o->m->live;
}

/* Octets that do not count for path-max. */
static size_t home_len(const struct path *p)
{
	unsigned int domid;
	int n = 0;

	if (strncmp(p->str, "/local/domain/", 14) || strspn(p->str + 14, "0123456789") == 0 ||
	    sscanf(p->str, "/local/domain/%u/%n", &domid, &n) != 1)
		return 0;
	return (size_t)n;
}

int mcall_path(struct mcall *o, struct path *ret)
{
	uint64_t limit = o->m->w->policy.limits.hard[QUOTA_PATH_MAX];
	char home[32];
	int r;

	if (o->arg[0][0] == '@')
		return EINVAL;
	snprintf(home, sizeof(home), "/local/domain/%u", o->c->domid);
	r = path_make(ret, home, o->arg[0], o->len[0]);
	if (r)
		return r;
	return limit && ret->len - home_len(ret) > limit ? EINVAL : 0;
}

int mcall_find(struct mcall *o, const struct path *p, unsigned int want, unsigned int saw)
{
	const struct mtree *t = mcall_tree(o);
	const struct mnode *n = mtree_find(t, p->str, p->len);
	unsigned int judged = o->c->privileged ? 0 : TXN_SAW_PERMS;
	size_t up = p->len;
	int r;

	if (n) {
		r = saw | judged ? mcall_note(o, p->str, p->len, saw | judged, 0) : 0;
		if (r)
			return r;
		return want & ~mperms_bits(o->m, &n->perms, o->c) ? EACCES : 0;
	}
	r = saw | judged ? mcall_note(o, p->str, p->len, TXN_SAW_EXISTENCE, 0) : 0;
	if (r)
		return r;
	while (!n) {
		up = path_parent_len(p->str, up);
		n = mtree_find(t, p->str, up);
	}
	r = judged ? mcall_note(o, p->str, up, TXN_SAW_PERMS, 0) : 0;
	if (r)
		return r;
	return want & mperms_bits(o->m, &n->perms, o->c) ? ENOENT : EACCES;
}

int mcall_room(struct mcall *o, uint16_t owner, int64_t nodes)
{
	struct model *m = o->m;
	int64_t had, has, base, octets;
	uint64_t limit = model_limit(m, owner, QUOTA_NODES);

	if (owner >= MODEL_DOMIDS || !m->dom[owner].known)
		return o->txn ? 0 : ENOENT;
	if (o->c->privileged || model_is_exempt(m, owner) || !nodes || !limit)
		return 0;
	mtree_owned(&m->live, owner, &had, &octets);
	has = had + nodes;
	if (o->txn) {
		mtree_owned(&o->txn->base, owner, &base, &octets);
		mtree_owned(&o->txn->tree, owner, &has, &octets);
		has = had + has - base + nodes;
	}
	return has > had && has > (int64_t)limit ? ENOSPC : 0;
}

static int answer(struct mcall *o, const void *data, size_t len)
{
	if (len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	memcpy(o->reply->data, data, len);
	o->reply->len = len;
	return 0;
}

static int answer_number(struct mcall *o, uint64_t n)
{
	o->reply->len = (size_t)sprintf(o->reply->data, "%lu", (unsigned long)n) + 1;
	return 0;
}

static int do_read(struct mcall *o)
{
	const struct mnode *n;
	struct path p;
	int r = mcall_path(o, &p);

	if (!r)
		r = mcall_find(o, &p, PERM_READ, TXN_SAW_VALUE);
	if (r)
		return r;
	n = mtree_find(mcall_tree(o), p.str, p.len);
	return answer(o, n->value, n->value_len);
}

/* The names of path's children, as far as there is room; the octets of all. */
static size_t children(const struct mtree *t, const struct path *p, char *names, size_t room)
{
	size_t sum = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct mnode *n = t->node[i];

		if (n->path_len > 1 && path_parent_len(n->path, n->path_len) == p->len &&
		    !memcmp(n->path, p->str, p->len)) {
			size_t from = p->len == 1 ? 1 : p->len + 1, len = n->path_len - from + 1;

			if (sum + len <= room)
				memcpy(names + sum, n->path + from, len);
			sum += len;
		}
	}
	return sum;
}

static int do_directory(struct mcall *o)
{
	bool part = o->msg->hdr.type == XS_DIRECTORY_PART;
	struct path p;
	char *end;
	size_t sum;
	int r = mcall_path(o, &p);

	if (!r && part) {
		strtoul(o->arg[1], &end, 10);
		r = !o->len[1] || *end ? EINVAL : 0;
	}
	if (!r)
		r = mcall_find(o, &p, PERM_READ, TXN_SAW_CHILDREN);
	if (r)
		return r;
	sum = children(mcall_tree(o), &p, o->reply->data, sizeof(o->reply->data));
	o->reply->own_check = true;
	o->reply->len = sum;
	return part || sum <= XENSTORE_PAYLOAD_MAX ? 0 : E2BIG;
}

static int do_get_perms(struct mcall *o)
{
	const struct mperms *perms;
	struct path p;
	char text[16];
	int r;

	if (!strcmp(o->arg[0], "@introduceDomain"))
		perms = &o->m->introduce_perms;
	else if (!strcmp(o->arg[0], "@releaseDomain"))
		perms = &o->m->release_perms;
	else
		perms = NULL;
	if (perms && !(mperms_bits(o->m, perms, o->c) & PERM_READ))
		return EACCES;
	if (!perms) {
		r = mcall_path(o, &p);
		if (!r)
			r = mcall_find(o, &p, PERM_READ, TXN_SAW_PERMS);
		if (r)
			return r;
		perms = &mtree_find(mcall_tree(o), p.str, p.len)->perms;
	}
	for (size_t i = 0; i < perms->n; i++) {
		size_t n = (size_t)sprintf(text, "%c%u", "nrwb"[perms->entry[i].bits],
					   perms -> entry[i].domid) +
			   1;

		memcpy(o->reply->data + o->reply->len, text, n);
		o->reply->len += n;
	}
	return 0;
}

static int do_domain_path(struct mcall *o)
{
	uint16_t domid;

	if (path_parse_domid(o->arg[0], o->len[0], &domid))
		return EINVAL;
	o->reply->len = (size_t)sprintf(o->reply->data, "/local/domain/%u", domid) + 1;
	return 0;
}

static int do_is_introduced(struct mcall *o)
{
	uint16_t domid;

	if (path_parse_domid(o->arg[0], o->len[0], &domid))
		return EINVAL;
	if (domid == DOMID_SELF || (domid < MODEL_DOMIDS && o->m->dom[domid].introduced))
		return answer(o, "T", 2);
	return answer(o, "F", 2);
}

static int do_resume(struct mcall *o)
{
	uint16_t domid;

	if (path_parse_domid(o->arg[0], o->len[0], &domid) || !domid)
		return EINVAL;
	if (domid >= MODEL_DOMIDS || !o->m->dom[domid].introduced)
		return ENOENT;
	o->m->dom[domid].shutdown = false;
	return 0;
}

static int do_feature(struct mcall *o)
{
	bool set = o->msg->hdr.type == WIRE_SET_FEATURE;
	struct domain *d;
	uint16_t domid;
	char *end = NULL;
	unsigned long v = 0;

	if (!set && (!o->n || !o->len[0]))
		return answer_number(o, RING_FEATURES);
	if (!set && !o->c->privileged)
		return EACCES;
	if (path_parse_domid(o->arg[0], o->len[0], &domid))
		return EINVAL;
	if (set) {
		v = strtoul(o->arg[1], &end, 10);
		if (!o->len[1] || *end || v > RING_FEATURES)
			return EINVAL;
	}
	if (model_dom_get(o->m, domid))
		return ENOENT;
	if (set)
		return o->m->dom[domid].introduced ? EBUSY : 0;
	d = domain_find(&o->m->w->core->domains, domid);
	return answer_number(o, d ? d->features : 99);
}

static int do_get_quota(struct mcall *o)
{
	enum quota_id q;
	uint16_t domid = 0;
	size_t last = o->n - 1;

	if (!o->n || (o->n == 1 && !o->len[0])) {
		o->reply->own_check = true;
		return 0;
	}
	if (o->n == 2 && path_parse_domid(o->arg[0], o->len[0], &domid))
		return EINVAL;
	if (o->n == 2 && model_dom_get(o->m, domid))
		return ENOENT;
	if (quota_find(o->arg[last], o->len[last], &q))
		return EINVAL;
	return answer_number(o, o->n == 2 ? model_limit(o->m, domid, q)
					  : o->m->w->policy.limits.hard[q]);
}

static int do_set_quota(struct mcall *o)
{
	size_t n = o->n > 3 ? 3 : o->n;
	enum quota_id q;
	uint16_t domid;
	char *end;

	strtoul(o->arg[n - 1], &end, 10);
	if (!o->len[n - 1] || *end || o->arg[n - 1][0] == '-')
		return EINVAL;
	if (n == 3 && path_parse_domid(o->arg[0], o->len[0], &domid))
		return EINVAL;
	if (n == 3 && model_dom_get(o->m, domid))
		return ENOENT;
	return quota_find(o->arg[n - 2], o->len[n - 2], &q) ? EINVAL : 0;
}

static int do_reset(struct mcall *o)
{
	model_conn_forget(o->c);
	o->txn = NULL;
	return 0;
}

static int do_control(struct mcall *o)
{
	(void)o;
	return ENOSYS;
}

#define PRIV 1u
#define NOTX 2u
#define TAIL 4u
#define MORE 8u

static const struct {
	int (*fn)(struct mcall *o);
	size_t min;
	size_t max;
	unsigned int flags;
} rows[WIRE_TYPE_COUNT] = {
	[XS_CONTROL] = { do_control, 0, 0, PRIV | TAIL },
	[XS_DIRECTORY] = { do_directory, 1, 1, 0 },
	[XS_READ] = { do_read, 1, 1, 0 },
	[XS_GET_PERMS] = { do_get_perms, 1, 1, 0 },
	[XS_WATCH] = { model_watch, 2, 3, NOTX | MORE },
	[XS_UNWATCH] = { model_unwatch, 2, 2, NOTX },
	[XS_TRANSACTION_START] = { model_start, 0, 0, TAIL },
	[XS_TRANSACTION_END] = { model_end, 1, 1, 0 },
	[XS_INTRODUCE] = { model_introduce, 3, 3, PRIV | MORE },
	[XS_RELEASE] = { model_release, 1, 1, PRIV },
	[XS_GET_DOMAIN_PATH] = { do_domain_path, 1, 1, 0 },
	[XS_WRITE] = { model_write, 1, 1, TAIL },
	[XS_MKDIR] = { model_mkdir, 1, 1, 0 },
	[XS_RM] = { model_rm, 1, 1, 0 },
	[XS_SET_PERMS] = { model_set_perms, 2, 2, TAIL },
	[XS_IS_DOMAIN_INTRODUCED] = { do_is_introduced, 1, 1, PRIV },
	[XS_RESUME] = { do_resume, 1, 1, PRIV },
	[XS_SET_TARGET] = { model_set_target, 2, 2, PRIV | MORE },
	[XS_RESET_WATCHES] = { do_reset, 0, 0, TAIL },
	[XS_DIRECTORY_PART] = { do_directory, 2, 2, MORE },
	[WIRE_GET_FEATURE] = { do_feature, 0, 1, 0 },
	[WIRE_SET_FEATURE] = { do_feature, 2, 2, PRIV },
	[WIRE_GET_QUOTA] = { do_get_quota, 0, 2, PRIV },
	[WIRE_SET_QUOTA] = { do_set_quota, 2, 3, PRIV | MORE },
};

/* The strings of a payload; false: what follows the last is not one. */
static bool split(struct mcall *o, const char *at, size_t len)
{
	const char *end = at + len, *nul;

	while (at < end && (nul = memchr(at, '\0', (size_t)(end - at)))) {
		if (o->n < 4) {
			o->arg[o->n] = at;
			o->len[o->n] = (size_t)(nul - at);
		}
		at = nul + 1;
		if (!o->n++) {
			o->tail = at;
			o->tail_len = (size_t)(end - at);
		}
	}
	return at == end;
}

int model_request(struct model *m, struct mconn *c, const struct wire_msg *msg,
		  struct mreply *reply)
{
	struct mcall o = { .m = m, .c = c, .msg = msg, .reply = reply };
	uint32_t type = msg->hdr.type;
	bool whole;

	/* of a domain that moves; only guests ask for them here */
	if (type >= WIRE_VENDOR_FIRST && type < WIRE_VENDOR_END && !c->privileged)
		return EACCES;
	if (type >= WIRE_TYPE_COUNT || !rows[type].fn)
		return ENOSYS;
	if (rows[type].flags & PRIV && !c->privileged)
		return EACCES;
	if (msg->hdr.tx_id && !(rows[type].flags & NOTX)) {
		for (o.txn = c->txn; o.txn && o.txn->id != msg->hdr.tx_id; o.txn = o.txn->next)
			;
		if (!o.txn)
			return ENOENT;
	}
	whole = split(&o, msg->payload, msg->hdr.len);
	if (o.n < rows[type].min)
		return EINVAL;
	if (!(rows[type].flags & (TAIL | MORE)) && (!whole || o.n > rows[type].max))
		return EINVAL;
	return rows[type].fn(&o);
}
