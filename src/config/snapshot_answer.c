/* SPDX-License-Identifier: MIT */
/*
 * The answers about domains that are being read: each is kept where it belongs, or the domain has
 * failed, and says why.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/session.h"
#include "config/snapshot_read.h"
#include "wire/wire.h"

/* A domain that keeps changing while it is read is read anew so often. */
#define SNAPSHOT_TRIES 32

/* Directories of devices of one domain. */
#define SNAPSHOT_DEVICES_MAX 4096

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

	assert(q->key); /* the kind */
	if (ask_path_print(path, "/libxl/%" PRIu32 "/device/%s/%s", t->domid, q->key, name) ||
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
	if (ask_path_join(key, q->key, name)) {
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

int slot_begin(struct reading *rd, unsigned int slot)
{
	static const char *const values[] = { "memory/target", "memory/static-max",
					      "memory/videoram" };
	static const enum ask_what others[] = { ASK_HERE, ASK_VM,   ASK_NAME,
						ASK_TYPE, ASK_CPUS, ASK_KINDS };
	struct slot *t = &rd->slots[slot];
	size_t i;
	int r = 0;

	t->dirty = false;
	t->s = calloc(1, sizeof(*t->s));
	if (!t->s)
		return -ENOMEM;
	t->s->domid = t->domid;
	for (i = 0; !r && i < ARRAY_LEN(others); i++)
		r = ask(rd, slot, others[i], 0, NULL);
	for (i = 0; !r && i < ARRAY_LEN(values); i++)
		r = ask(rd, slot, ASK_VALUE, 0, values[i]);
	return r ? r : add_pci(rd, slot);
}

static int got_start(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	struct slot *t = &rd->slots[q->slot];

	if (a->err)
		return refused(t, q, a->err);
	if (wire_parse_number(a->data, strlen(a->data), 10, &t->tx))
		return conf_fail(t->why, -EIO, "store: a transaction without a number");
	return slot_begin(rd, q->slot);
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

void slot_forget(struct slot *t)
{
	conf_snapshot_free(TAKE(t->s));
	free(TAKE(t->nodes));
	t->tx = 0;
}

int slot_end(struct reading *rd, unsigned int slot, bool changed)
{
	struct slot *t = &rd->slots[slot];

	if (!changed) {
		settle(t->s);
		t->done = true;
		return 0;
	}
	slot_forget(t);
	if (++t->tries >= SNAPSHOT_TRIES)
		return conf_fail(t->why, -EAGAIN,
				 "domain %" PRIu32 ": the store kept changing while it was read",
				 t->domid);
	if (rd->guarded && t->tries < GUARD_TRIES)
		return slot_begin(rd, slot);
	return ask(rd, slot, ASK_START, 0, NULL);
}

static int got_end(struct reading *rd, const struct ask *q, const struct conf_reply *a)
{
	struct slot *t = &rd->slots[q->slot];

	t->tx = 0;
	if (t->err) {
		t->done = true;
		return 0;
	}
	if (a->err && a->err != EAGAIN)
		return refused(t, q, a->err);
	return slot_end(rd, q->slot, a->err == EAGAIN);
}

int ask_answered(struct reading *rd, const struct ask *q, const struct conf_reply *a)
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
