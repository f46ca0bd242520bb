/* SPDX-License-Identifier: MIT */
/*
 * Whether a domain's image can be applied. Invariant: nothing is changed here, so whatever is
 * refused leaves nothing behind.
 */
#include "state/domain_plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "state/rec.h"
#include "wire/path.h"

static int no(struct domain_plan *p, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int no(struct domain_plan *p, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->why, CORE_WHY_MAX, fmt, ap);
	va_end(ap);
	return err;
}

int domain_plan_each(struct domain_plan *p,
		     int (*fn)(struct domain_plan *p, const struct drover_record *rec, void *data),
		     void *data)
{
	struct drover_record rec;
	size_t at = DROVER_IMAGE_HEADER_LEN, size;
	int r;

	do {
		r = drover_record_decode(&p->format, p->image + at, p->len - at, &rec, &size, NULL);
		if (r)
			return FAULT(-EIO); /* it was judged before */
		at += size;
		r = fn(p, &rec, data);
	} while (!r && rec.type != DROVER_RECORD_END);
	return r;
}

bool domain_plan_has(const struct domain_plan *p, const char *path, size_t len)
{
	for (size_t i = 0; i < p->n_tops; i++)
		if (path_is_below(path, len, p->top[i].data, p->top[i].len))
			return true;
	return false;
}

int domain_plan_perms(struct domain_plan *p, const struct drover_list *list, struct perms **ret)
{
	struct perm entry[STATE_PERMS_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < list->n; i++) {
		struct drover_perm e = drover_perm_at(list, i);
		unsigned int bits = 0;

		/* who was gone there is not whoever has the id here */
		if (i && e.flags & DROVER_PERM_STALE)
			continue;
		if (e.letter == 'r' || e.letter == 'b')
			bits |= PERM_READ;
		if (e.letter == 'w' || e.letter == 'b')
			bits |= PERM_WRITE;
		entry[n++] = (struct perm){ .domid = e.domid, .bits = (uint8_t)bits };
	}
	return perms_intern(p->core->perms, entry, n, ret);
}

/* --- the stream -------------------------------------------------------------------------- */

struct source {
	const uint8_t *at;
	size_t left;
};

static int source_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct source *s = ctx;
	size_t n = len < s->left ? len : s->left;

	if (n)
		memcpy(buf, s->at, n);
	s->at += n;
	s->left -= n;
	*ret_len = n;
	return 0;
}

/* All rules of the format, and those between records. */
static int check_stream(struct domain_plan *p)
{
	struct source source = { .at = p->image, .left = p->len };
	struct drover_reader_options opt = {
		.read = source_read,
		.ctx = &source,
		.layout = DROVER_LAYOUT_UPSTREAM,
		.flags = DROVER_READER_DOMAIN,
		.hash_key = { p->core->opt.key.k0, p->core->opt.key.k1 },
	};
	struct drover_reader *reader;
	struct drover_record rec;
	int r;

	if (drover_reader_new(&opt, &reader))
		return FAULT(-ENOMEM);
	r = drover_reader_format(reader, &p->format);
	while (!r)
		r = drover_reader_next(reader, &rec);
	if (r == EINVAL)
		drover_image_error_print(drover_reader_error(reader), p->why, CORE_WHY_MAX);
	drover_reader_free(reader);
	if (r == ENODATA)
		return 0;
	return r == ENOMEM ? FAULT(-ENOMEM) : r;
}

/* --- one record -------------------------------------------------------------------------- */

static bool exists(struct core *core, uint16_t domid)
{
	const struct domain *d = domain_find(&core->domains, domid);
	struct hv_dominfo info;

	if (d && !d->orphans)
		return true;
	return !core->hv->ops->domain_info(core->hv, domid, &info) && !info.dying;
}

static int add_top(struct domain_plan *p, const struct drover_octets *path)
{
	struct drover_octets *more;

	if (p->n_tops == DOMAIN_IMAGE_TOPS_MAX)
		return no(p, EINVAL, "more than %u subtrees", DOMAIN_IMAGE_TOPS_MAX);
	more = realloc(p->top, (p->n_tops + 1) * sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	p->top = more;
	p->top[p->n_tops++] = *path;
	return 0;
}

static int check_perms(struct domain_plan *p, const struct drover_node *n)
{
	uint16_t owner;

	if (!n->perms.n) /* removed in a transaction */
		return 0;
	if (n->perms.n > STATE_PERMS_MAX)
		return no(p, EINVAL, "%.*s has %u permissions", (int)n->path.len,
			  (const char *)n->path.data, n->perms.n);
	owner = drover_perm_at(&n->perms, 0).domid;
	if (!exists(p->core, owner))
		return no(p, ENOENT, "domain %u, which is to own %.*s, does not exist", owner,
			  (int)n->path.len, (const char *)n->path.data);
	return 0;
}

static int check_node(struct domain_plan *p, const struct drover_node *n)
{
	const char *path = n->path.data;
	int len = (int)n->path.len, r;

	if (path[0] == '@' || len == 1)
		return no(p, EINVAL, "%.*s is no domain's", len, path);
	if (n->value.len > XENSTORE_PAYLOAD_MAX)
		return no(p, EINVAL, "%.*s has a value of %zu octets", len, path, n->value.len);
	r = check_perms(p, n);
	if (r || n->conn_id)
		return r;
	if (domain_plan_has(p, path, n->path.len))
		return 0;
	/* what is below a node that does not exist does not either */
	if (store_find_node(p->core->store.live.root, path, n->path.len))
		return no(p, EEXIST, "%.*s exists already", len, path);
	return add_top(p, &n->path);
}

static int check_domid(struct domain_plan *p, uint16_t domid)
{
	if (domid == p->domid)
		return 0;
	return no(p, EINVAL, "the image is of domain %u", domid);
}

static int check_connection(struct domain_plan *p, const struct drover_connection *c)
{
	p->conn_id = c->conn_id;
	if (c->input.len > CONN_INPUT_MAX)
		return no(p, EINVAL, "unread input of %zu octets", c->input.len);
	return check_domid(p, c->domid);
}

static int check_watch(struct domain_plan *p, const struct drover_watch *w)
{
	const char *str = w->path.data;
	struct path path;

	if (w->path.len + w->token.len + 2 > XENSTORE_PAYLOAD_MAX)
		return no(p, EINVAL, "a watch of %zu octets", w->path.len + w->token.len);
	if (str[0] == '@')
		return w->path.len <= XENSTORE_REL_PATH_MAX ? 0 : no(p, EINVAL, "a watched path");
	if (p->d && p->d->conn && path_make(&path, p->d->prefix, str, w->path.len))
		return no(p, EINVAL, "watched path %.*s is not well-formed", (int)w->path.len, str);
	return 0;
}

static int check_record(struct domain_plan *p, const struct drover_record *rec, void *data)
{
	(void)data;
	switch (rec->type) {
	case DROVER_RECORD_DOMAIN_STATE:
		return check_domid(p, rec->domain_state.domid);
	case DROVER_RECORD_DOMAIN:
		return check_domid(p, rec->domain.domid);
	case DROVER_RECORD_CONNECTION:
		return check_connection(p, &rec->connection);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return check_watch(p, &rec->watch);
	case DROVER_RECORD_NODE:
		return check_node(p, &rec->node);
	case DROVER_RECORD_GLOBAL:
	case DROVER_RECORD_QUOTA:
	case DROVER_RECORD_STATE:
	case DROVER_RECORD_POLICY:
	case DROVER_RECORD_HOST:
		return no(p, EINVAL, "a record of a whole daemon (%s)",
			  drover_record_type_name(rec->type));
	default:
		return 0;
	}
}

/* --- the domain -------------------------------------------------------------------------- */

static int check_conn(struct domain_plan *p)
{
	const struct conn *c = p->d ? p->d->conn : NULL;
	struct conn_queued q;

	if (!c)
		return no(p, ENOENT, "domain %u is not introduced", p->domid);
	if (c->failed)
		return no(p, EIO, "the ring of domain %u is broken", p->domid);
	if (c->watcher.n)
		return no(p, EEXIST, "domain %u has watches already", p->domid);
	if (c->n_txns)
		return no(p, EEXIST, "domain %u has open transactions already", p->domid);
	q = conn_queued(c);
	if (c->in_len || q.octets)
		return no(p, EEXIST, "domain %u has messages under way already", p->domid);
	return 0;
}

static int check_domain(struct domain_plan *p)
{
	struct core *core = p->core;

	if (!exists(core, p->domid))
		return no(p, ENOENT, "domain %u does not exist", p->domid);
	p->d = domain_find(&core->domains, p->domid);
	if (!p->d)
		return 0;
	if (p->d->conn && !p->d->quiesced)
		return no(p, EBUSY, "domain %u is not quiesced", p->domid);
	return 0;
}

/* Those of the image would be mixed with what was there; one without any is a connection alone. */
static int check_owned(struct domain_plan *p)
{
	if (!p->d || !p->n_tops)
		return 0;
	store_settle(&p->core->store);
	if (p->d->budget.used[QUOTA_NODES])
		return no(p, EEXIST, "domain %u owns nodes already", p->domid);
	return 0;
}

int domain_plan_check(struct domain_plan *p)
{
	int r;

	r = check_stream(p);
	if (!r)
		r = check_domain(p);
	if (!r)
		r = domain_plan_each(p, check_record, NULL);
	if (!r)
		r = check_owned(p);
	if (!r && p->conn_id)
		r = check_conn(p);
	if (!r && p->conn_id)
		p->conn = p->d->conn;
	return r;
}

void domain_plan_fini(struct domain_plan *p)
{
	free(p->top);
}
