/* SPDX-License-Identifier: MIT */
/*
 * Reading domains: a transaction for each, several side by side, a batch for each depth of the
 * tree. A round asks all that is known to be there by then, of all domains that are being read, so
 * the number of rounds depends on the depth alone.
 *
 * Invariant: what a round asks is in the list of asks, in the order of the batch. A domain that
 * failed asks nothing more, but its transaction is ended all the same.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/session.h"
#include "config/snapshot.h"
#include "wire/wire.h"

/* Domains that are read side by side: each has a transaction open. */
#define SNAPSHOT_WINDOW 16

/* A domain that keeps changing while it is read is read anew so often. */
#define SNAPSHOT_TRIES 32

/* Directories of devices of one domain. */
#define SNAPSHOT_DEVICES_MAX 4096

#define PATH_SIZE (XENSTORE_ABS_PATH_MAX + 1)

enum ask_what {
	ASK_START, /* the transaction */
	ASK_HERE,  /* /local/domain/N */
	ASK_VM,
	ASK_NAME,
	ASK_TYPE,
	ASK_VALUE,	/* key: the path below /local/domain/N */
	ASK_CPUS,	/* list of /local/domain/N/cpu */
	ASK_KINDS,	/* list of /libxl/N/device */
	ASK_DEVICES,	/* list of /libxl/N/device/KEY */
	ASK_LIBXL_LIST, /* of a device; key: the path below its directory, "" for itself */
	ASK_LIBXL_VALUE,
	ASK_BACK_LIST,
	ASK_BACK_VALUE,
	ASK_BACK_DOMAIN, /* /local/domain/B */
	ASK_END,
};

struct ask {
	enum ask_what what;
	unsigned int slot;
	size_t dev; /* index in the snapshot */
	char *key;  /* owned */
};

struct asks {
	struct ask *v; /* owned */
	size_t n, room;
};

struct slot {
	struct conf_snapshot *s; /* owned while it is read */
	struct conf_err *why;	 /* borrowed */
	size_t *nodes;		 /* owned: read of each device so far */
	int err;
	uint32_t domid, tx;
	unsigned int tries;
	bool done, waits; /* waits: something of it is in the next round */
};

struct reading {
	struct conf_client *c;
	struct conf_batch batch;
	struct asks now, next;
	struct slot slots[SNAPSHOT_WINDOW];
	unsigned int n_slots;
};

/* ---- asks ---- */

static void asks_clear(struct asks *a)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		free(a->v[i].key);
	a->n = 0;
}

static int ask(struct reading *rd, unsigned int slot, enum ask_what what, size_t dev,
	       const char *key)
{
	struct asks *a = &rd->next;
	struct ask q = { .what = what, .slot = slot, .dev = dev };

	if (a->n == a->room) {
		size_t room = a->room ? a->room * 2 : 64;
		struct ask *p = realloc(a->v, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		a->v = p;
		a->room = room;
	}
	if (key) {
		q.key = strdup(key);
		if (!q.key)
			return -ENOMEM;
	}
	rd->slots[slot].waits = true;
	a->v[a->n++] = q;
	return 0;
}

static int __attribute__((format(printf, 2, 3))) print_path(char *path, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, PATH_SIZE, fmt, ap);
	va_end(ap);
	return n < 0 || n >= PATH_SIZE ? -ENAMETOOLONG : 0;
}

/* The path that an ask is about. */
static int ask_path(const struct ask *q, const struct slot *t, char *path)
{
	const struct conf_dev *d = NULL;
	const char *below = q->key && *q->key ? "/" : "";

	if (q->what >= ASK_LIBXL_LIST && q->what <= ASK_BACK_DOMAIN)
		d = &t->s->devs[q->dev];
	switch (q->what) {
	case ASK_START:
		return print_path(path, "%s", "");
	case ASK_END:
		return print_path(path, "%s", t->err ? "F" : "T");
	case ASK_HERE:
		return print_path(path, "/local/domain/%" PRIu32, t->domid);
	case ASK_VM:
		return print_path(path, "/local/domain/%" PRIu32 "/vm", t->domid);
	case ASK_NAME:
		return print_path(path, "/local/domain/%" PRIu32 "/name", t->domid);
	case ASK_TYPE:
		return print_path(path, "/libxl/%" PRIu32 "/type", t->domid);
	case ASK_VALUE:
		return print_path(path, "/local/domain/%" PRIu32 "/%s", t->domid, q->key);
	case ASK_CPUS:
		return print_path(path, "/local/domain/%" PRIu32 "/cpu", t->domid);
	case ASK_KINDS:
		return print_path(path, "/libxl/%" PRIu32 "/device", t->domid);
	case ASK_DEVICES:
		return print_path(path, "/libxl/%" PRIu32 "/device/%s", t->domid, q->key);
	case ASK_LIBXL_LIST:
	case ASK_LIBXL_VALUE:
		return print_path(path, "%s%s%s", d->path, below, q->key);
	case ASK_BACK_LIST:
	case ASK_BACK_VALUE:
		return print_path(path, "%s%s%s", d->backend, below, q->key);
	case ASK_BACK_DOMAIN:
		return print_path(path, "/local/domain/%" PRIu32, d->backend_domid);
	}
	return -EINVAL;
}

static enum xsd_sockmsg_type ask_type(enum ask_what what)
{
	switch (what) {
	case ASK_START:
		return XS_TRANSACTION_START;
	case ASK_END:
		return XS_TRANSACTION_END;
	case ASK_CPUS:
	case ASK_KINDS:
	case ASK_DEVICES:
	case ASK_LIBXL_LIST:
	case ASK_BACK_LIST:
		return XS_DIRECTORY;
	default:
		return XS_READ;
	}
}

/* ---- devices ---- */

static int add_dev(struct reading *rd, unsigned int slot, const char *kind, uint32_t devid,
		   const char *path, size_t *ret)
{
	struct slot *t = &rd->slots[slot];
	struct conf_snapshot *s = t->s;
	struct conf_dev *d;
	void *p;

	if (s->n_devs == SNAPSHOT_DEVICES_MAX)
		return conf_fail(t->why, -EPROTO, "domain %" PRIu32 ": more than %d devices",
				 t->domid, SNAPSHOT_DEVICES_MAX);
	p = realloc(s->devs, (s->n_devs + 1) * sizeof(*s->devs));
	if (!p)
		return -ENOMEM;
	s->devs = p;
	p = realloc(t->nodes, (s->n_devs + 1) * sizeof(*t->nodes));
	if (!p)
		return -ENOMEM;
	t->nodes = p;
	t->nodes[s->n_devs] = 0;
	d = &s->devs[s->n_devs++];
	*d = (struct conf_dev){ .devid = devid, .backend_domain = true };
	d->kind = strdup(kind);
	d->path = strdup(path);
	if (!d->kind || !d->path)
		return -ENOMEM;
	*ret = s->n_devs - 1;
	return 0;
}

/* Of pci libxl keeps no directory of its own: only the backend in domain 0 tells. */
static int add_pci(struct reading *rd, unsigned int slot)
{
	uint32_t domid = rd->slots[slot].domid;
	struct conf_dev *d;
	char path[PATH_SIZE];
	size_t i;
	int r;

	snprintf(path, sizeof(path), "/local/domain/0/backend/pci/%" PRIu32 "/0", domid);
	r = add_dev(rd, slot, "pci", 0, path, &i);
	if (r)
		return r;
	d = &rd->slots[slot].s->devs[i];
	d->backend = strdup(path);
	d->backend_kind = strdup("pci");
	if (!d->backend || !d->backend_kind)
		return -ENOMEM;
	return ask(rd, slot, ASK_BACK_LIST, i, "");
}

/*
 * "/local/domain/B/backend/KIND/N/DEVID" of this device: B and KIND. False: anything else, which
 * is then not looked at.
 */
static bool parse_backend(const char *path, uint32_t domid, uint32_t devid, uint32_t *ret_domid,
			  char *kind, size_t kind_size)
{
	char again[PATH_SIZE], word[32];
	unsigned int b;

	static_assert(sizeof(word) == 32, "the format's width");
	if (sscanf(path, "/local/domain/%5u/backend/%31[^/]/", &b, word) != 2 || b > UINT16_MAX)
		return false;
	snprintf(again, sizeof(again), "/local/domain/%u/backend/%s/%" PRIu32 "/%" PRIu32, b, word,
		 domid, devid);
	if (strcmp(path, again) != 0)
		return false;
	*ret_domid = b;
	snprintf(kind, kind_size, "%s", word);
	return true;
}

static int found_backend(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	struct slot *t = &rd->slots[q->slot];
	struct conf_dev *d = &t->s->devs[q->dev];
	char kind[32];

	d->backend = strdup(a->data);
	if (!d->backend)
		return -ENOMEM;
	if (strlen(a->data) != a->len ||
	    !parse_backend(d->backend, t->domid, d->devid, &d->backend_domid, kind, sizeof(kind)))
		return 0;
	d->backend_kind = strdup(kind);
	if (!d->backend_kind)
		return -ENOMEM;
	return ask(rd, q->slot, ASK_BACK_LIST, q->dev, "");
}

/* ---- answers ---- */

/* What a refusal of the store is for the domain. */
static int refused(struct slot *t, const struct ask *q, int err_no)
{
	char path[PATH_SIZE];
	int code = err_no == EACCES ? -EACCES : -EIO;

	if (ask_path(q, t, path))
		path[0] = '\0';
	if (q->what == ASK_START)
		return conf_fail(t->why, err_no == EACCES ? code : -EAGAIN,
				 "store: no transaction to be had: %s", wire_errno_name(err_no));
	return conf_fail(t->why, code, "store: read %s: %s", path, wire_errno_name(err_no));
}

/* Calls fn for each name of a list. */
typedef int name_fn(struct reading *rd, const struct ask *q, const char *name);
static int each_name(struct reading *rd, const struct ask *q, const struct conf_reply *a,
		     name_fn *fn)
{
	size_t at;
	int r = 0;

	for (at = 0; !r && at < a->len; at += strlen(a->data + at) + 1)
		if (a->data[at])
			r = fn(rd, q, a->data + at);
	return r;
}

/* A list that did not fit in one answer costs round trips of its own. */
static int each_name_long(struct reading *rd, const struct ask *q, name_fn *fn)
{
	struct slot *t = &rd->slots[q->slot];
	struct conf_reply a = { 0 };
	char path[PATH_SIZE], *names = NULL;
	int r = ask_path(q, t, path);

	if (!r)
		r = conf_client_directory(rd->c, t->tx, path, t->why, &names, &a.len);
	if (r == -EFBIG && (q->what == ASK_LIBXL_LIST || q->what == ASK_BACK_LIST)) {
		t->s->devs[q->dev].overflow = true;
		return 0;
	}
	if (r)
		return r == -ENOENT ? 0 : r; /* gone since: the transaction will be told */
	a.data = names;
	r = each_name(rd, q, &a, fn);
	free(names);
	return r;
}

static int name_cpu(struct reading *rd, const struct ask *q, const char *name)
{
	char key[64];

	if (strlen(name) > 10 || name[strspn(name, "0123456789")])
		return 0;
	snprintf(key, sizeof(key), "cpu/%s/availability", name);
	return ask(rd, q->slot, ASK_VALUE, 0, key);
}

static int name_kind(struct reading *rd, const struct ask *q, const char *name)
{
	return ask(rd, q->slot, ASK_DEVICES, 0, name);
}

static int name_device(struct reading *rd, const struct ask *q, const char *name)
{
	struct slot *t = &rd->slots[q->slot];
	char path[PATH_SIZE];
	uint32_t devid;
	size_t i;
	int r;

	if (print_path(path, "/libxl/%" PRIu32 "/device/%s/%s", t->domid, q->key, name) ||
	    wire_parse_number(name, strlen(name), 10, &devid))
		return conf_fail(t->why, -EPROTO, "store: %s: no number of a device", path);
	r = add_dev(rd, q->slot, q->key, devid, path, &i);
	return r ? r : ask(rd, q->slot, ASK_LIBXL_LIST, i, "");
}

/* A node below a device's directory: its value is wanted. */
static int name_node(struct reading *rd, const struct ask *q, const char *name)
{
	struct slot *t = &rd->slots[q->slot];
	enum ask_what what = q->what == ASK_LIBXL_LIST ? ASK_LIBXL_VALUE : ASK_BACK_VALUE;
	char key[PATH_SIZE];

	if (t->nodes[q->dev]++ >= CONF_DEVICE_NODES_MAX) {
		t->s->devs[q->dev].overflow = true;
		return 0;
	}
	if (print_path(key, "%s%s%s", q->key, *q->key ? "/" : "", name)) {
		t->s->devs[q->dev].overflow = true;
		return 0;
	}
	return ask(rd, q->slot, what, q->dev, key);
}

static int got_list(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	static name_fn *const fns[] = {
		[ASK_CPUS] = name_cpu,	     [ASK_KINDS] = name_kind,
		[ASK_DEVICES] = name_device, [ASK_LIBXL_LIST] = name_node,
		[ASK_BACK_LIST] = name_node,
	};
	struct slot *t = &rd->slots[q->slot];
	bool itself = q->key && !*q->key;

	if (q->what == ASK_BACK_LIST && itself) {
		t->s->devs[q->dev].has_backend = !a->err || a->err == E2BIG;
		if (a->err == ENOENT)
			return ask(rd, q->slot, ASK_BACK_DOMAIN, q->dev, NULL);
	}
	/* libxl removes the directory with the last device in it; what it never removes is the type
	 */
	if (a->err == ENOENT && q->what == ASK_KINDS && t->domid != 0 && !t->s->type)
		return conf_fail(t->why, -EPROTO,
				 "store: no /libxl/%" PRIu32
				 "/type and no device: which devices there are is not told",
				 t->domid);
	if (a->err == ENOENT)
		return 0;
	if (a->err == E2BIG)
		return each_name_long(rd, q, fns[q->what]);
	if (a->err)
		return refused(t, q, a->err);
	return each_name(rd, q, a, fns[q->what]);
}

/* A device's node: nodes without a value may be directories. */
static int got_node(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	bool libxl = q->what == ASK_LIBXL_VALUE;
	struct conf_dev *d = &rd->slots[q->slot].s->devs[q->dev];
	const char *slash = q->key;
	int depth = 1, r;

	r = conf_values_put(libxl ? &d->libxl : &d->back, q->key, a->data, a->len);
	if (r)
		return r;
	if (libxl && !strcmp(q->key, "backend"))
		return found_backend(rd, q, a);
	while ((slash = strchr(slash, '/'))) {
		slash++;
		depth++;
	}
	if (a->len || depth >= CONF_DEPTH_MAX)
		return 0;
	return ask(rd, q->slot, libxl ? ASK_LIBXL_LIST : ASK_BACK_LIST, q->dev, q->key);
}

static int got_vm(struct slot *t, const struct conf_reply *a)
{
	if (a->err == ENOENT)
		return conf_parse_vm(t->why, t->domid, NULL, 0, t->s->uuid);
	return conf_parse_vm(t->why, t->domid, a->data, a->len, t->s->uuid);
}

static int put_string(char **to, const struct conf_reply *a)
{
	if (a->err || strlen(a->data) != a->len)
		return 0;
	*to = strdup(a->data);
	return *to ? 0 : -ENOMEM;
}

static int got_value(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	struct slot *t = &rd->slots[q->slot];

	if (a->err && a->err != ENOENT)
		return refused(t, q, a->err);
	switch (q->what) {
	case ASK_HERE:
		if (a->err)
			return conf_fail(t->why, -ENOENT, "domain %" PRIu32 " is not in the store",
					 t->domid);
		return 0;
	case ASK_VM:
		return got_vm(t, a);
	case ASK_NAME:
		return put_string(&t->s->name, a);
	case ASK_TYPE:
		return put_string(&t->s->type, a);
	case ASK_VALUE:
		return a->err ? 0 : conf_values_put(&t->s->domain, q->key, a->data, a->len);
	case ASK_BACK_DOMAIN:
		t->s->devs[q->dev].backend_domain = !a->err;
		return 0;
	default:
		/* gone since it was listed: the transaction will be told */
		return a->err ? 0 : got_node(rd, q, a);
	}
}

/* What is asked first of a domain, its transaction begun. */
static int got_start(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	static const char *const values[] = { "memory/target", "memory/static-max",
					      "memory/videoram" };
	static const enum ask_what others[] = { ASK_HERE, ASK_VM,   ASK_NAME,
						ASK_TYPE, ASK_CPUS, ASK_KINDS };
	struct slot *t = &rd->slots[q->slot];
	size_t i;
	int r = 0;

	if (a->err)
		return refused(t, q, a->err);
	if (wire_parse_number(a->data, strlen(a->data), 10, &t->tx))
		return conf_fail(t->why, -EIO, "store: a transaction without a number");
	t->s = calloc(1, sizeof(*t->s));
	if (!t->s)
		return -ENOMEM;
	t->s->domid = t->domid;
	for (i = 0; !r && i < ARRAY_LEN(others); i++)
		r = ask(rd, q->slot, others[i], 0, NULL);
	for (i = 0; !r && i < ARRAY_LEN(values); i++)
		r = ask(rd, q->slot, ASK_VALUE, 0, values[i]);
	return r ? r : add_pci(rd, q->slot);
}

static int dev_cmp(const void *a, const void *b)
{
	const struct conf_dev *x = a, *y = b;
	int r = strcmp(x->kind, y->kind);

	if (r)
		return r;
	if (x->devid != y->devid)
		return x->devid < y->devid ? -1 : 1;
	/* of two pci the one of libxl's directory comes first */
	return y->path[1] == 'l' && y->path[2] == 'i' ? 1 : -1;
}

/* Drops the pci that was only looked for, sorts what is to be searched. */
static void settle(struct conf_snapshot *s)
{
	size_t i, n = 0;

	if (s->n_devs)
		qsort(s->devs, s->n_devs, sizeof(*s->devs), dev_cmp);
	for (i = 0; i < s->n_devs; i++) {
		struct conf_dev *d = &s->devs[i];
		bool only_looked =
			!strcmp(d->kind, "pci") && !strcmp(d->path, d->backend ? d->backend : "");

		if (only_looked &&
		    (!d->has_backend || (n && !strcmp(s->devs[n - 1].kind, "pci")))) {
			free(d->kind);
			free(d->path);
			free(d->backend);
			free(d->backend_kind);
			conf_values_fini(&d->libxl);
			conf_values_fini(&d->back);
			continue;
		}
		conf_values_sort(&d->libxl);
		conf_values_sort(&d->back);
		s->devs[n++] = *d;
	}
	s->n_devs = n;
	conf_values_sort(&s->domain);
}

static void forget(struct slot *t)
{
	conf_snapshot_free(TAKE(t->s));
	free(TAKE(t->nodes));
	t->tx = 0;
}

static int got_end(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	struct slot *t = &rd->slots[q->slot];

	t->tx = 0;
	if (t->err || !a->err) {
		t->done = true;
		if (!t->err)
			settle(t->s);
		return 0;
	}
	if (a->err != EAGAIN)
		return refused(t, q, a->err);
	forget(t);
	if (++t->tries >= SNAPSHOT_TRIES)
		return conf_fail(t->why, -EAGAIN,
				 "domain %" PRIu32 ": the store kept changing while it was read",
				 t->domid);
	return ask(rd, q->slot, ASK_START, 0, NULL);
}

static int got(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	switch (q->what) {
	case ASK_START:
		return got_start(rd, q, a);
	case ASK_END:
		return got_end(rd, q, a);
	case ASK_CPUS:
	case ASK_KINDS:
	case ASK_DEVICES:
	case ASK_LIBXL_LIST:
	case ASK_BACK_LIST:
		return got_list(rd, q, a);
	default:
		return got_value(rd, q, a);
	}
}

/* ---- rounds ---- */

/* Sends what is to be asked; asks become those of now. */
static int send_round(struct reading *rd, struct conf_err *err)
{
	struct asks was = rd->now;
	char path[PATH_SIZE];
	size_t i;
	int r;

	rd->now = rd->next;
	rd->next = was;
	conf_batch_clear(&rd->batch);
	for (i = 0; i < rd->now.n; i++) {
		struct ask *q = &rd->now.v[i];
		struct slot *t = &rd->slots[q->slot];

		r = ask_path(q, t, path);
		if (!r)
			r = conf_batch_add(&rd->batch, ask_type(q->what), t->tx, path, NULL, 0,
					   NULL);
		if (r == -ENOMEM)
			return conf_no_memory(err);
		if (r)
			return conf_fail(err, -EPROTO, "store: a path that is too long: %s", path);
	}
	return conf_client_run(rd->c, &rd->batch, err);
}

static int take_round(struct reading *rd, struct conf_err *err)
{
	unsigned int k;
	size_t i;
	int r;

	for (k = 0; k < rd->n_slots; k++)
		rd->slots[k].waits = false;
	for (i = 0; i < rd->now.n; i++) {
		const struct ask *q = &rd->now.v[i];
		struct slot *t = &rd->slots[q->slot];

		if (t->err && q->what != ASK_END)
			continue;
		r = got(rd, q, conf_batch_reply(&rd->batch, i));
		if (r == -ENOMEM || r == -ECONNRESET || r == -ETIMEDOUT)
			return r == -ENOMEM ? conf_no_memory(err)
					    : conf_fail(err, r, "%s", t->why->text);
		if (r)
			t->err = r;
	}
	asks_clear(&rd->now);
	return 0;
}

/* A domain of which nothing is asked any more: its transaction ends. */
static int end_quiet(struct reading *rd)
{
	unsigned int k;
	int r = 0;

	for (k = 0; !r && k < rd->n_slots; k++) {
		struct slot *t = &rd->slots[k];

		if (t->done || (t->waits && !t->err))
			continue;
		if (t->tx)
			r = ask(rd, k, ASK_END, 0, NULL);
		else
			t->done = t->err != 0;
	}
	return r;
}

/* What a failed domain still asked in the next round is of no use. */
static void drop_failed(struct reading *rd)
{
	struct asks *a = &rd->next;
	size_t i, n = 0;

	for (i = 0; i < a->n; i++) {
		if (rd->slots[a->v[i].slot].err && a->v[i].what != ASK_END)
			free(a->v[i].key);
		else
			a->v[n++] = a->v[i];
	}
	a->n = n;
}

static int read_window(struct reading *rd, struct conf_err *err)
{
	unsigned int k;
	int r = 0;

	for (k = 0; !r && k < rd->n_slots; k++)
		r = ask(rd, k, ASK_START, 0, NULL);
	if (r)
		return conf_no_memory(err);
	while (!r && rd->next.n) {
		r = send_round(rd, err);
		if (!r)
			r = take_round(rd, err);
		if (!r && end_quiet(rd))
			r = conf_no_memory(err);
		drop_failed(rd);
	}
	return r;
}

int conf_snapshot_read_many(struct conf_client *c, const uint32_t *domids, size_t n,
			    struct conf_snapshot **rets, int *errs, struct conf_err *why)
{
	struct reading rd = { .c = c };
	struct conf_err err = { 0 };
	size_t at = 0;
	unsigned int k;
	int r = 0;

	for (at = 0; at < n; at++)
		rets[at] = NULL;
	for (at = 0; !r && at < n; at += rd.n_slots) {
		rd.n_slots = n - at < SNAPSHOT_WINDOW ? (unsigned int)(n - at) : SNAPSHOT_WINDOW;
		for (k = 0; k < rd.n_slots; k++)
			rd.slots[k] = (struct slot){ .domid = domids[at + k], .why = &why[at + k] };
		r = read_window(&rd, &err);
		for (k = 0; k < rd.n_slots; k++) {
			struct slot *t = &rd.slots[k];

			assert(r || t->done);
			errs[at + k] = r ? r : t->err;
			if (!errs[at + k])
				rets[at + k] = TAKE(t->s);
			forget(t);
		}
	}
	asks_clear(&rd.now);
	asks_clear(&rd.next);
	free(rd.now.v);
	free(rd.next.v);
	conf_batch_fini(&rd.batch);
	if (r) {
		for (at = 0; at < n; at++) {
			conf_snapshot_free(TAKE(rets[at]));
			errs[at] = r;
			why[at] = err;
		}
	}
	return r;
}

int conf_snapshot_read(struct conf_client *c, uint32_t domid, struct conf_err *err,
		       struct conf_snapshot **ret)
{
	struct conf_err why = { 0 };
	int each = 0;
	int r = conf_snapshot_read_many(c, &domid, 1, ret, &each, &why);

	if (!r)
		r = each;
	if (r)
		conf_fail(err, r, "%s", why.text);
	return r;
}
