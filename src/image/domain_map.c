/* SPDX-License-Identifier: MIT */
/*
 * An image for another domid. Invariant: what is not told of is as it was.
 */
#include "image/domain_map.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "wire/path.h"

#define PERMS_MAX 2048u /* entries of a list: see the daemon's SET_PERMS */

int domain_octets_add(struct domain_octets *o, const void *data, size_t len)
{
	size_t room = o->room ? o->room : 65536;
	uint8_t *p;

	while (room - o->len < len)
		room *= 2;
	if (room != o->room) {
		p = realloc(o->data, room);
		if (!p)
			return ENOMEM;
		o->data = p;
		o->room = room;
	}
	if (len)
		memcpy(o->data + o->len, data, len);
	o->len += len;
	return 0;
}

/* --- reading ----------------------------------------------------------------------------- */

struct source {
	const struct domain_octets *o;
	size_t at;
};

static int source_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct source *s = ctx;
	size_t left = s->o->len - s->at, n = len < left ? len : left;

	if (n)
		memcpy(buf, s->o->data + s->at, n);
	s->at += n;
	*ret_len = n;
	return 0;
}

static int open_reader(struct source *source, struct drover_reader **ret)
{
	struct drover_reader_options opt = {
		.read = source_read,
		.ctx = source,
		.layout = DROVER_LAYOUT_UPSTREAM,
		.flags = DROVER_READER_DOMAIN,
	};

	if (getrandom(opt.hash_key, sizeof(opt.hash_key), 0) != sizeof(opt.hash_key))
		return EIO;
	return drover_reader_new(&opt, ret);
}

/* How reading ended: 0 at a good end. */
static int end_of(struct drover_reader *reader, int r, char *text, size_t room)
{
	if (r == EINVAL)
		drover_image_error_print(drover_reader_error(reader), text, room);
	return r == ENODATA ? 0 : r;
}

int domain_image_whose(const struct domain_octets *image, uint16_t *ret_domid, char *text,
		       size_t room)
{
	struct source source = { .o = image };
	struct drover_reader *reader;
	struct drover_record rec;
	long domid = -1;
	int r;

	r = open_reader(&source, &reader);
	if (r)
		return r;
	while (!(r = drover_reader_next(reader, &rec))) {
		if (rec.type == DROVER_RECORD_DOMAIN_STATE)
			domid = rec.domain_state.domid;
		else if (rec.type == DROVER_RECORD_CONNECTION)
			domid = rec.connection.domid;
		else if (rec.type == DROVER_RECORD_DOMAIN)
			domid = rec.domain.domid;
	}
	r = end_of(reader, r, text, room);
	drover_reader_free(reader);
	if (!r && domid < 0) {
		snprintf(text, room, "does not say whose image it is");
		return EINVAL;
	}
	*ret_domid = (uint16_t)domid;
	return r;
}

int domain_image_each(const struct domain_octets *image, domain_image_record_fn *fn, void *data,
		      char *text, size_t room)
{
	struct source source = { .o = image };
	struct drover_reader *reader;
	struct drover_record rec;
	int r;

	r = open_reader(&source, &reader);
	if (r)
		return r;
	while (!(r = drover_reader_next(reader, &rec)) && rec.type != DROVER_RECORD_END) {
		r = fn(data, &rec);
		if (r)
			break;
	}
	if (r == ENODATA)
		r = 0;
	else if (r == EINVAL && !text[0])
		drover_image_error_print(drover_reader_error(reader), text, room);
	drover_reader_free(reader);
	return r;
}

struct node_call {
	domain_image_node_fn *fn;
	void *data;
};

static int call_node(void *data, const struct drover_record *rec)
{
	const struct node_call *call = data;

	if (rec->type != DROVER_RECORD_NODE || rec->node.conn_id)
		return 0; /* those of a transaction are its own affair */
	return call->fn(call->data, rec->node.path.data, rec->node.path.len);
}

int domain_image_each_node(const struct domain_octets *image, domain_image_node_fn *fn, void *data,
			   char *text, size_t room)
{
	struct node_call call = { .fn = fn, .data = data };

	return domain_image_each(image, call_node, &call, text, room);
}

/* --- mapping ----------------------------------------------------------------------------- */

struct map {
	uint16_t from, to;
	char was[8], is[8]; /* the same as text */
	bool alone;
	FILE *report;	/* borrowed; NULL */
	bool too_long;	/* a path became so */
	bool not_alone; /* and it was to be */
	/* of the record under way */
	char path[XENSTORE_ABS_PATH_MAX + 64];
	char value[XENSTORE_ABS_PATH_MAX + 64];
	struct drover_perm perm[PERMS_MAX];
};

__attribute__((format(printf, 2, 3))) static void tell(const struct map *m, const char *fmt, ...)
{
	va_list ap;

	if (!m->report)
		return;
	va_start(ap, fmt);
	vfprintf(m->report, fmt, ap);
	va_end(ap);
}

/* Whether the component that follows these says a domain's number. */
static bool names_domain(const char *path, size_t len)
{
	static const char *const whole[] = { "/local/domain/", "/libxl/", "@releaseDomain/",
					     "@introduceDomain/" };
	static const char backend[] = "backend/", model[] = "device-model/";
	size_t at;

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (len == strlen(whole[i]) && !memcmp(path, whole[i], len))
			return true;
	if (len >= strlen(model) && !memcmp(path + len - strlen(model), model, strlen(model)))
		return len == strlen(model) || path[len - strlen(model) - 1] == '/';
	/* .../backend/TYPE/ */
	if (!len || path[len - 1] != '/')
		return false;
	for (at = len - 1; at && path[at - 1] != '/'; at--)
		;
	if (at < strlen(backend) || memcmp(path + at - strlen(backend), backend, strlen(backend)))
		return false;
	at -= strlen(backend);
	return !at || path[at - 1] == '/';
}

/* path, len octets, to out, whose room is that of struct map. Whether anything is another. */
static bool map_path(struct map *m, const char *path, size_t len, char *out, size_t *ret_len)
{
	const char *slash, *put;
	size_t at = 0, to = 0, n, put_len;
	bool changed = false;

	for (; at < len && to < XENSTORE_ABS_PATH_MAX; at += n) {
		slash = memchr(path + at, '/', len - at);
		n = slash ? (size_t)(slash - path) - at : len - at;
		put = path + at;
		put_len = n;
		if (n == strlen(m->was) && !memcmp(path + at, m->was, n) &&
		    names_domain(path, at)) {
			put = m->is;
			put_len = strlen(m->is);
			changed = true;
		}
		if (put_len > XENSTORE_ABS_PATH_MAX - to)
			break;
		memcpy(out + to, put, put_len);
		to += put_len;
		n += slash != NULL;
		if (slash)
			out[to++] = '/';
	}
	m->too_long |= at < len;
	*ret_len = to;
	return changed;
}

static bool map_octets(struct map *m, struct drover_octets *o, char *out)
{
	struct drover_octets was = *o;
	size_t len;

	if (o->len > XENSTORE_ABS_PATH_MAX || !map_path(m, o->data, o->len, out, &len))
		return false;
	*o = (struct drover_octets){ .data = out, .len = len };
	tell(m, "%.*s -> %.*s\n", (int)was.len, (const char *)was.data, (int)len, out);
	return true;
}

/* was: the node's path before. */
static void map_value(struct map *m, struct drover_node *n, const struct drover_octets *was)
{
	static const char *const numbers[] = { "domid", "frontend-id", "backend-id" };
	const char *path = was->data, *value = n->value.data;
	const char *name = path_basename(path, was->len);
	size_t name_len = was->len - (size_t)(name - path), len = n->value.len, to;

	if (len && value[0] == '/' && len < XENSTORE_ABS_PATH_MAX && path_is_valid(value, len) &&
	    map_path(m, value, len, m->value, &to)) {
		tell(m, "%.*s: value %.*s -> %.*s\n", (int)was->len, path, (int)len, value, (int)to,
		     m->value);
		n->value = (struct drover_octets){ .data = m->value, .len = to };
		return;
	}
	if (len != strlen(m->was) || memcmp(value, m->was, len))
		return;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (name_len != strlen(numbers[i]) || memcmp(name, numbers[i], name_len))
			continue;
		tell(m, "%.*s: value %s -> %s\n", (int)was->len, path, m->was, m->is);
		n->value = (struct drover_octets){ .data = m->is, .len = strlen(m->is) };
	}
}

/* An access list without those of others; the first entry is whose the node is. */
static bool keep_perm(struct map *m, const struct drover_node *n, uint32_t i, uint16_t domid)
{
	if (!m->alone || !domid || domid == m->from)
		return true;
	if (!i)
		m->not_alone = true;
	else
		tell(m, "%.*s: permissions of %u left out\n", (int)n->path.len,
		     (const char *)n->path.data, domid);
	return false;
}

static int map_perms(struct map *m, struct drover_node *n)
{
	uint32_t kept = 0;
	bool changed = false;

	if (n->perms.n > PERMS_MAX)
		return E2BIG;
	for (uint32_t i = 0; i < n->perms.n; i++) {
		struct drover_perm *p = &m->perm[kept];

		*p = drover_perm_at(&n->perms, i);
		if (!keep_perm(m, n, i, p->domid)) {
			changed = true;
			continue;
		}
		kept++;
		if (p->domid != m->from || m->from == m->to)
			continue;
		p->domid = m->to;
		tell(m, "%.*s: permissions %c%u -> %c%u\n", (int)n->path.len,
		     (const char *)n->path.data, p->letter, m->from, p->letter, m->to);
		changed = true;
	}
	if (changed)
		n->perms = (struct drover_list){ .entry = m->perm, .n = kept };
	return 0;
}

static int map_node(struct map *m, struct drover_node *n)
{
	const struct drover_octets was = n->path;
	int r = map_perms(m, n);

	if (map_octets(m, &n->path, m->path))
		map_value(m, n, &was);
	return r;
}

static void map_domid(const struct map *m, uint16_t *domid)
{
	if (*domid == m->from)
		*domid = m->to;
}

static int map_record(struct map *m, struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_CONNECTION:
		map_domid(m, &rec->connection.domid);
		if (rec->connection.input.len || rec->connection.output.len)
			tell(m, "unread messages stay as they are\n");
		return 0;
	case DROVER_RECORD_CONN_STATE:
		map_domid(m, &rec->conn_state.domid);
		return 0;
	case DROVER_RECORD_DOMAIN_STATE:
		map_domid(m, &rec->domain_state.domid);
		return 0;
	case DROVER_RECORD_DOMAIN:
		map_domid(m, &rec->domain.domid);
		return 0;
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		map_octets(m, &rec->watch.path, m->path);
		return 0;
	case DROVER_RECORD_NODE:
	case DROVER_RECORD_TXN_BASE_NODE:
		return map_node(m, &rec->node);
	case DROVER_RECORD_TXN_ACCESS:
		map_octets(m, &rec->txn_access.path, m->path);
		return 0;
	default:
		return 0;
	}
}

static int write_octets(void *ctx, const void *data, size_t len)
{
	return domain_octets_add(ctx, data, len);
}

static struct map *map_new(const struct domain_image_map *map)
{
	struct map *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->from = map->from;
	m->to = map->to;
	m->alone = map->alone;
	m->report = map->report;
	snprintf(m->was, sizeof(m->was), "%u", map->from);
	snprintf(m->is, sizeof(m->is), "%u", map->to);
	return m;
}

/* Where a record goes on to, and what is said if it cannot. */
struct rewriting {
	struct drover_writer *writer;
	void *data;
	char *text;
	size_t room;
};

static int put(const struct rewriting *w, const struct drover_record *rec)
{
	int r = drover_writer_put(w->writer, rec);

	if (r == EINVAL)
		drover_image_error_print(drover_writer_error(w->writer), w->text, w->room);
	return r;
}

/* Every record but the end's through fn, which puts it, or something else, or nothing. */
static int rewrite(const struct domain_octets *image, struct domain_octets *ret,
		   int (*fn)(const struct rewriting *w, struct drover_record *rec),
		   struct rewriting *w)
{
	struct drover_writer_options opt = { .write = write_octets, .ctx = ret };
	struct source source = { .o = image };
	struct drover_reader *reader = NULL;
	struct drover_record rec;
	int r;

	r = open_reader(&source, &reader);
	if (!r)
		r = drover_reader_format(reader, &opt.format);
	if (!r)
		r = drover_writer_new(&opt, &w->writer);
	while (!r && !(r = drover_reader_next(reader, &rec)) && rec.type != DROVER_RECORD_END)
		r = fn(w, &rec);
	if (!r)
		r = drover_writer_end(w->writer);
	drover_writer_free(w->writer);
	drover_reader_free(reader);
	return r;
}

/* One record on. */
static int pass(const struct rewriting *w, struct drover_record *rec)
{
	struct map *m = w->data;
	int r = map_record(m, rec);

	if (!r && m->too_long)
		r = ENAMETOOLONG;
	if (!r && m->not_alone) {
		snprintf(w->text, w->room, "%.*s belongs to another domain",
			 (int)rec->node.path.len, (const char *)rec->node.path.data);
		return EINVAL;
	}
	return r ? r : put(w, rec);
}

int domain_image_map(const struct domain_octets *image, const struct domain_image_map *map,
		     struct domain_octets *ret, char *text, size_t room)
{
	struct rewriting w = { .data = map_new(map), .text = text, .room = room };
	int r = w.data ? rewrite(image, ret, pass, &w) : ENOMEM;

	free(w.data);
	return r;
}

static int pass_unless_node(const struct rewriting *w, struct drover_record *rec)
{
	return rec->type == DROVER_RECORD_NODE && !rec->node.conn_id ? 0 : put(w, rec);
}

int domain_image_without_nodes(const struct domain_octets *image, struct domain_octets *ret,
			       char *text, size_t room)
{
	struct rewriting w = { .text = text, .room = room };

	return rewrite(image, ret, pass_unless_node, &w);
}
