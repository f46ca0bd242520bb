/* SPDX-License-Identifier: MIT */
/*
 * The wait for backends: all that are awaited are watched at once, and whenever something moved
 * each is asked anew, in one batch. What a guest writes wakes nobody: only directories of the
 * backend's and the domain's own "vm", which no guest may write, are watched.
 *
 * Invariant: when change_await returns, its watches are gone; events of theirs that are still
 * under way carry tokens that nobody uses again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/change.h"

/* What is asked of each that is awaited, in this order. */
enum asked { ASKED_STATE, ASKED_ERROR, ASKED_SCRIPT, ASKED_WHY, ASKED_DOMAIN, ASKED_N };

static inline void batch_finip(struct conf_batch *b)
{
	conf_batch_fini(b);
}
#define CLEANUP_BATCH __attribute__((cleanup(batch_finip)))

/* ---- asking ---- */

static int add_read(struct conf_batch *b, struct conf_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int add_read(struct conf_batch *b, struct conf_err *err, const char *fmt, ...)
{
	char path[XENSTORE_ABS_PATH_MAX + 1];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	r = conf_batch_add(b, XS_READ, 0, path, NULL, 0, NULL);
	return r ? conf_no_memory(err) : 0;
}

/* The backend's path as its own driver knows it: "backend/vbd/7/51712". */
static const char *within_domain(const char *back)
{
	const char *p = strstr(back, "/backend/");

	return p ? p + 1 : back;
}

static int ask(struct conf_batch *b, const struct awaited *a, struct conf_err *err)
{
	int r = add_read(b, err, "%s/state", a->back);

	if (!r)
		r = add_read(b, err, "%s/error", a->back);
	if (!r)
		r = add_read(b, err, "%s/hotplug-error", a->back);
	if (!r)
		r = add_read(b, err, "/local/domain/%" PRIu32 "/error/%s/error", a->backend_domid,
			     within_domain(a->back));
	if (!r)
		r = add_read(b, err, "/local/domain/%" PRIu32, a->backend_domid);
	return r;
}

/* ---- what the answers say ---- */

static const struct conf_reply *answer(const struct conf_batch *b, size_t i, enum asked what)
{
	/* the first is about the domain itself */
	return conf_batch_reply(b, 1 + i * ASKED_N + (size_t)what);
}

static const char *text_of(const struct conf_reply *reply)
{
	return !reply->err && reply->len ? reply->data : NULL;
}

static int said_no(struct awaited *a, const struct conf_batch *b, size_t i, const char *state)
{
	const char *why = text_of(answer(b, i, ASKED_ERROR));

	if (!why)
		why = text_of(answer(b, i, ASKED_SCRIPT));
	if (!why)
		why = text_of(answer(b, i, ASKED_WHY));
	return conf_fail(&a->err, -EREMOTEIO, "backend %s is in state %s%s%s", a->back,
			 conf_state_name(state), why ? ": " : "", why ? why : "");
}

static int judge_connect(struct awaited *a, const struct conf_batch *b, size_t i, const char *state)
{
	if (answer(b, i, ASKED_DOMAIN)->err == ENOENT)
		return conf_fail(&a->err, -ENOENT, "backend %s: its domain %" PRIu32 " is gone",
				 a->back, a->backend_domid);
	if (!state)
		return conf_fail(&a->err, -EREMOTEIO, "backend %s: its directory was removed",
				 a->back);
	if (strcmp(state, "2") == 0 || strcmp(state, "3") == 0 || strcmp(state, "4") == 0 ||
	    strcmp(state, "8") == 0)
		return 0;
	if (strcmp(state, "5") == 0 || strcmp(state, "6") == 0 ||
	    text_of(answer(b, i, ASKED_ERROR)) || text_of(answer(b, i, ASKED_SCRIPT)))
		return said_no(a, b, i, state);
	return AWAIT_PENDING;
}

static int judge_one(struct awaited *a, const struct conf_batch *b, size_t i)
{
	const struct conf_reply *reply = answer(b, i, ASKED_STATE);
	const char *state = reply->err ? NULL : reply->data;

	a->gone = reply->err == ENOENT;
	if (reply->err && reply->err != ENOENT)
		return conf_fail(&a->err, reply->err == EACCES ? -EACCES : -EIO,
				 "store: %s/state: %s", a->back, strerror(reply->err));
	switch (a->what) {
	case AWAIT_CONNECT:
		return judge_connect(a, b, i, state);
	case AWAIT_CLOSE:
		return !state || strcmp(state, "6") == 0 ? 0 : AWAIT_PENDING;
	case AWAIT_GONE:
		return !state ? 0 : AWAIT_PENDING;
	}
	return -EINVAL;
}

static int judge_domain(uint32_t domid, const char *uuid, const struct conf_reply *reply,
			struct conf_err *err)
{
	const char *now = strrchr(reply->data, '/');

	if (reply->err == ENOENT)
		return conf_fail(err, -ENOENT, "domain %" PRIu32 " is gone", domid);
	if (reply->err)
		return conf_fail(err, -EIO, "store: /local/domain/%" PRIu32 "/vm: %s", domid,
				 strerror(reply->err));
	if (!now || strcasecmp(now + 1, uuid) != 0)
		return conf_fail(err, -ESTALE,
				 "domain %" PRIu32 " is another domain by now: %s, not %s", domid,
				 now ? now + 1 : "without a uuid", uuid);
	return 0;
}

/* Looks at all once. *ret_pending: how many have no result yet. */
static int look(struct drover_config *c, uint32_t domid, const char *uuid, struct awaited *v,
		size_t n, size_t *ret_pending)
{
	CLEANUP_BATCH struct conf_batch b = { .n = 0 };
	int r = add_read(&b, &c->err, "/local/domain/%" PRIu32 "/vm", domid);

	for (size_t i = 0; i < n && !r; i++)
		r = ask(&b, &v[i], &c->err);
	if (!r)
		r = conf_client_run(c->client, &b, &c->err);
	if (r)
		return r;
	*ret_pending = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i].result == AWAIT_PENDING)
			v[i].result = judge_one(&v[i], &b, i);
		*ret_pending += v[i].result == AWAIT_PENDING;
	}
	return judge_domain(domid, uuid, conf_batch_reply(&b, 0), &c->err);
}

/* ---- waiting ---- */

static int late(struct drover_config *c, struct awaited *a, uint64_t since_ms)
{
	char path[XENSTORE_ABS_PATH_MAX + 1], *state = NULL;

	snprintf(path, sizeof(path), "%s/state", a->back);
	if (conf_client_read(c->client, 0, path, NULL, &state, NULL))
		state = NULL;
	conf_fail(&a->err, -ETIMEDOUT, "backend %s is in state %s, after %" PRIu64 " ms", a->back,
		  state ? conf_state_name(state) : "none", conf_now_ms() - since_ms);
	free(state);
	return -ETIMEDOUT;
}

/* Watches (on), or no longer. */
static int watch_all(struct drover_config *c, uint32_t domid, const struct awaited *v, size_t n,
		     const char *token, bool on)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/vm", domid);
	r = on ? conf_client_watch(c->client, path, token, &c->err)
	       : conf_client_unwatch(c->client, path, token, NULL);
	for (size_t i = 0; i < n && (!r || !on); i++)
		r = on ? conf_client_watch(c->client, v[i].back, token, &c->err)
		       : conf_client_unwatch(c->client, v[i].back, token, NULL);
	return on ? r : 0;
}

/* Until an event of ours, or one that nobody knows. -ETIMEDOUT. */
static int next_event(struct drover_config *c, const char *token, uint64_t deadline_ms)
{
	for (;;) {
		char *path = NULL, *of = NULL;
		bool ours;
		int r = conf_client_event(c->client, deadline_ms, &c->err, &path, &of);

		if (r)
			return r;
		ours = !of[0] || strcmp(of, token) == 0;
		free(path);
		free(of);
		if (ours)
			return 0;
	}
}

int change_await(struct drover_config *c, uint32_t domid, const char *uuid, struct awaited *v,
		 size_t n, uint64_t deadline_ms)
{
	static _Atomic unsigned int seq;
	uint64_t since_ms = conf_now_ms();
	size_t pending = n;
	char token[32];
	int r;

	if (!n)
		return 0;
	for (size_t i = 0; i < n; i++)
		v[i].result = AWAIT_PENDING;
	snprintf(token, sizeof(token), "drover-await-%u", seq++);
	r = watch_all(c, domid, v, n, token, true);
	while (!r) {
		r = look(c, domid, uuid, v, n, &pending);
		if (r || !pending)
			break;
		r = next_event(c, token, deadline_ms);
		/* who keeps writing does not keep us waiting */
		if (!r && conf_now_ms() >= deadline_ms)
			r = -ETIMEDOUT;
	}
	if (r == -ETIMEDOUT && conf_now_ms() >= deadline_ms) {
		r = look(c, domid, uuid, v, n, &pending);
		for (size_t i = 0; i < n && !r; i++)
			if (v[i].result == AWAIT_PENDING)
				v[i].result = late(c, &v[i], since_ms);
	}
	watch_all(c, domid, v, n, token, false);
	return r;
}
