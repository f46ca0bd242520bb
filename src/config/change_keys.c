/* SPDX-License-Identifier: MIT */
/*
 * A device's keys, written or removed in one transaction.
 *
 * Invariant: a transaction is committed only if everything in it was answered as expected, and
 * the domain is the one that was meant; else it is aborted and the store is as it was.
 *
 * All steps go out as one batch, checks and edits together: what the checks say is judged before
 * the commit, so that a refused edit costs no more than an abort.
 */
#include "config/change.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

/* Directories above one that is removed which may become empty by it. */
#define KEYS_ABOVE_MAX 8

static inline void batch_finip(struct conf_batch *b)
{
	conf_batch_fini(b);
}
#define CLEANUP_BATCH __attribute__((cleanup(batch_finip)))

/* ---- steps ---- */

void keys_fini(struct keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		free(keys->v[i].path);
		free(keys->v[i].value);
	}
	free(keys->v);
	memset(keys, 0, sizeof(*keys));
}

int keys_add(struct keys *keys, enum keys_op op, const char *path, const char *value,
	     uint32_t owner, uint32_t reader, struct conf_err *err)
{
	struct keys_step s = { .op = op, .owner = owner, .reader = reader };

	if (keys->n == keys->room) {
		size_t room = keys->room ? keys->room * 2 : 32;
		struct keys_step *p = realloc(keys->v, room * sizeof(*p));

		if (!p)
			return conf_no_memory(err);
		keys->v = p;
		keys->room = room;
	}
	s.path = strdup(path);
	s.value = value ? strdup(value) : NULL;
	if (!s.path || (value && !s.value)) {
		free(s.path);
		free(s.value);
		return conf_no_memory(err);
	}
	keys->v[keys->n++] = s;
	return 0;
}

int keys_add_nodes(struct keys *keys, const struct class_nodes *nodes, struct conf_err *err)
{
	int r = 0;

	for (size_t i = 0; i < nodes->n && !r; i++)
		r = keys_add(keys, KEYS_WRITE, nodes->v[i].path, nodes->v[i].value,
			     nodes->v[i].owner, nodes->v[i].reader, err);
	return r;
}

/* ---- as requests ---- */

static int add_write(struct conf_batch *b, uint32_t tx, const struct keys_step *s)
{
	char perms[32];
	int n, r = conf_batch_add(b, XS_WRITE, tx, s->path, s->value, strlen(s->value), NULL);

	if (r || s->owner == CLASS_DEVID_NONE)
		return r;
	n = snprintf(perms, sizeof(perms), "n%" PRIu32, s->owner) + 1;
	if (s->reader != CLASS_DEVID_NONE)
		n += snprintf(perms + n, sizeof(perms) - (size_t)n, "r%" PRIu32, s->reader) + 1;
	return conf_batch_add(b, XS_SET_PERMS, tx, s->path, perms, (size_t)n, NULL);
}

/* One request for a step, two for KEYS_WRITE with permissions. */
static int add_step(struct conf_batch *b, uint32_t tx, const struct keys_step *s)
{
	switch (s->op) {
	case KEYS_ABSENT:
	case KEYS_EXPECT:
		return conf_batch_add(b, XS_READ, tx, s->path, NULL, 0, NULL);
	case KEYS_REMOVE:
	case KEYS_CLEAN:
		return conf_batch_add(b, XS_RM, tx, s->path, NULL, 0, NULL);
	case KEYS_WRITE:
		return add_write(b, tx, s);
	}
	return -EINVAL;
}

static int add_all(struct conf_batch *b, uint32_t tx, const struct conf_domain *d,
		   const struct keys *keys, struct conf_err *err)
{
	char vm[64];
	int r;

	snprintf(vm, sizeof(vm), "/local/domain/%" PRIu32 "/vm", d->domid);
	r = conf_batch_add(b, XS_READ, tx, vm, NULL, 0, NULL);
	for (size_t i = 0; i < keys->n && !r; i++) {
		r = add_step(b, tx, &keys->v[i]);
		if (r == -EINVAL)
			return conf_fail(err, r, "store: %s: longer than a message may be",
					 keys->v[i].path);
	}
	return r ? conf_no_memory(err) : 0;
}

/* ---- as answers ---- */

static int refused(const struct keys_step *s, int e, struct conf_err *err)
{
	int code = e == EACCES || e == EPERM ? -EACCES : e == EAGAIN ? -EAGAIN : -EIO;

	return conf_fail(err, code, "store: %s: %s", s->path, strerror(e));
}

static int check_domain(const struct conf_domain *d, const struct conf_reply *reply,
			struct conf_err *err)
{
	const char *uuid = strrchr(reply->data, '/');

	if (reply->err == ENOENT)
		return conf_fail(err, -ENOENT, "domain %" PRIu32 " is gone", d->domid);
	if (reply->err)
		return conf_fail(err, -EIO, "store: /local/domain/%" PRIu32 "/vm: %s", d->domid,
				 strerror(reply->err));
	if (!uuid || strcasecmp(uuid + 1, d->uuid) != 0)
		return conf_fail(err, -ESTALE,
				 "domain %" PRIu32 " is another domain by now: %s, not %s",
				 d->domid, uuid ? uuid + 1 : "without a uuid", d->uuid);
	return 0;
}

static int check_step(const struct keys_step *s, const struct conf_reply *reply,
		      struct conf_err *err)
{
	switch (s->op) {
	case KEYS_ABSENT:
		if (reply->err == ENOENT)
			return 0;
		if (reply->err)
			return refused(s, reply->err, err);
		return conf_fail(err, -EEXIST, "store: %s is there already", s->path);
	case KEYS_EXPECT:
		if (reply->err && reply->err != ENOENT)
			return refused(s, reply->err, err);
		if (s->value ? !reply->err && reply->len == strlen(s->value) &&
				       !memcmp(reply->data, s->value, reply->len)
			     : reply->err == ENOENT)
			return 0;
		return conf_fail(err, -EAGAIN, "store: %s was changed by somebody else meanwhile",
				 s->path);
	case KEYS_REMOVE:
	case KEYS_CLEAN:
		return reply->err && reply->err != ENOENT ? refused(s, reply->err, err) : 0;
	case KEYS_WRITE:
		return reply->err ? refused(s, reply->err, err) : 0;
	}
	return -EINVAL;
}

/* Stores take no node for a domain that the hypervisor does not know. */
static int check_perms(const struct keys_step *s, const struct conf_reply *reply,
		       struct conf_err *err)
{
	if (reply->err == ENOENT)
		return conf_fail(err, -ENOENT,
				 "store: %s: not to be had for domain %" PRIu32
				 ": the hypervisor knows it, or another that may read it, no more",
				 s->path, s->owner);
	return reply->err ? refused(s, reply->err, err) : 0;
}

static int check_all(const struct conf_batch *b, const struct conf_domain *d,
		     const struct keys *keys, struct conf_err *err)
{
	size_t at = 0;
	int r = 0;

	if (!keys->anyway)
		r = check_domain(d, conf_batch_reply(b, at), err);
	at++;
	for (size_t i = 0; i < keys->n && !r; i++) {
		const struct keys_step *s = &keys->v[i];

		r = check_step(s, conf_batch_reply(b, at++), err);
		if (!r && s->op == KEYS_WRITE && s->owner != CLASS_DEVID_NONE)
			r = check_perms(s, conf_batch_reply(b, at++), err);
	}
	return r;
}

/* ---- what becomes empty ---- */

/* The directory of a domain or libxl's of one: never removed, whatever is left in it. */
static bool is_root(const char *path)
{
	size_t depth = 0;

	for (const char *p = path; *p; p++)
		depth += *p == '/';
	return depth <= (strncmp(path, "/local/", 7) == 0 ? 3 : 2);
}

/* Cuts the last component off. False: what is left is not for us to remove. */
static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return false;
	*slash = '\0';
	return !is_root(path);
}

/* Whether the listing of a directory has at most this one child. */
static bool holds_only(const struct conf_reply *list, const char *child)
{
	if (list->err)
		return false;
	return !list->len || (list->len == strlen(child) + 1 && !strcmp(list->data, child));
}

/*
 * Removes the topmost directory above path that is empty but for what was removed. Like libxl,
 * which leaves no empty "device/vbd" behind. One batch asks about all of them.
 */
static int clean_above(struct conf_client *c, uint32_t tx, const char *path, struct conf_err *err)
{
	char up[KEYS_ABOVE_MAX][XENSTORE_ABS_PATH_MAX + 1];
	CLEANUP_BATCH struct conf_batch b = { .n = 0 };
	const char *child = "";
	size_t n = 0, top = 0;
	int r = 0;

	snprintf(up[0], sizeof(up[0]), "%s", path);
	while (n < KEYS_ABOVE_MAX && go_up(up[n]) && !r) {
		r = conf_batch_add(&b, XS_READ, tx, up[n], NULL, 0, NULL);
		if (!r)
			r = conf_batch_add(&b, XS_DIRECTORY, tx, up[n], NULL, 0, NULL);
		if (++n < KEYS_ABOVE_MAX)
			memcpy(up[n], up[n - 1], sizeof(up[n]));
	}
	if (r)
		return conf_no_memory(err);
	r = conf_client_run(c, &b, err);
	for (top = 0; top < n && !r; top++) {
		const struct conf_reply *value = conf_batch_reply(&b, 2 * top);

		if (value->err || value->len ||
		    !holds_only(conf_batch_reply(&b, 2 * top + 1), child))
			break;
		child = strrchr(up[top], '/') + 1;
	}
	if (r || !top)
		return r;
	conf_batch_clear(&b);
	r = conf_batch_add(&b, XS_RM, tx, up[top - 1], NULL, 0, NULL);
	return r ? conf_no_memory(err) : conf_client_run(c, &b, err);
}

/* ---- the transaction ---- */

/* One try. -EAGAIN without a line: others were faster. */
static int try_commit(struct drover_config *c, const struct conf_domain *d, const struct keys *keys,
		      bool *ret_lost)
{
	CLEANUP_BATCH struct conf_batch b = { .n = 0 };
	uint32_t tx;
	int r = conf_client_begin(c->client, &c->err, &tx);

	if (r)
		return r;
	r = add_all(&b, tx, d, keys, &c->err);
	if (!r)
		r = conf_client_run(c->client, &b, &c->err);
	if (!r)
		r = check_all(&b, d, keys, &c->err);
	for (size_t i = 0; i < keys->n && !r; i++)
		if (keys->v[i].op == KEYS_CLEAN)
			r = clean_above(c->client, tx, keys->v[i].path, &c->err);
	if (r) {
		conf_client_abort(c->client, tx);
		return r;
	}
	r = conf_client_commit(c->client, tx, &c->err);
	*ret_lost = r == -EAGAIN;
	return r;
}

int keys_commit(struct drover_config *c, const struct conf_domain *d, const struct keys *keys)
{
	for (int i = 0; i < CHANGE_TRIES; i++) {
		bool lost = false;
		int r = try_commit(c, d, keys, &lost);

		if (!lost)
			return r;
	}
	return conf_fail(&c->err, -EAGAIN,
			 "domain %" PRIu32 ": the store kept changing: %d transactions lost",
			 d->domid, CHANGE_TRIES);
}

int keys_remove_place(struct drover_config *c, const struct conf_domain *d,
		      const struct change_place *p, bool anyway)
{
	const char *paths[] = { p->front, p->back, p->libxl };
	__attribute__((cleanup(keys_fini))) struct keys keys = { .anyway = anyway };
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(paths) && !r; i++)
		if (paths[i])
			r = keys_add(&keys, KEYS_CLEAN, paths[i], NULL, CLASS_DEVID_NONE,
				     CLASS_DEVID_NONE, &c->err);
	return r ? r : keys_commit(c, d, &keys);
}

/* One try, given the state as it is now; NULL: no state that any backend has. */
static int try_ask(struct drover_config *c, const struct conf_domain *d, const char *back,
		   const char *state)
{
	__attribute__((cleanup(keys_fini))) struct keys keys = { .n = 0 };
	char path[XENSTORE_ABS_PATH_MAX + 1];
	int r = 0;

	snprintf(path, sizeof(path), "%s/state", back);
	if (state)
		r = keys_add(&keys, KEYS_EXPECT, path, state, 0, 0, &c->err);
	if (!r && (!state || strcmp(state, "6") != 0))
		r = keys_add(&keys, KEYS_WRITE, path, "5", CLASS_DEVID_NONE, 0, &c->err);
	snprintf(path, sizeof(path), "%s/online", back);
	if (!r)
		r = keys_add(&keys, KEYS_WRITE, path, "0", CLASS_DEVID_NONE, 0, &c->err);
	return r ? r : keys_commit(c, d, &keys);
}

int change_ask_to_go(struct drover_config *c, const struct conf_domain *d, const char *back)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	int r = -EAGAIN;

	snprintf(path, sizeof(path), "%s/state", back);
	for (int i = 0; r == -EAGAIN && i < CHANGE_TRIES; i++) {
		char *state = NULL;
		size_t len = 0;

		r = conf_client_read(c->client, 0, path, &c->err, &state, &len);
		if (r == -ENOENT)
			return 0;
		if (!r)
			r = try_ask(c, d, back, len == 1 && *state ? state : NULL);
		free(state);
	}
	return r;
}
