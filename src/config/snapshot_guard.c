/* SPDX-License-Identifier: MIT */
/*
 * Watches in place of a transaction: what changes while domains are read is told in time, and who
 * it concerns is read anew, in a transaction where it happens again. Changes below a frontend, and
 * whatever else the guest may write, are not looked at.
 *
 * Invariant: when the answers of a round are taken, so are the events of all that changed before
 * the last of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/snapshot_read.h"
#include "wire/path.h"

#define GUARD_TOKEN "drover-guard"

/* Events taken at a time: more than the client keeps, and no more, whoever goes on making them. */
#define GUARD_EVENTS_MAX 8192

static const char *const guard_paths[] = { "/libxl", "/local/domain" };

static int request(struct reading *rd, enum xsd_sockmsg_type type, struct conf_err *err)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; !r && i < ARRAY_LEN(guard_paths); i++)
		r = conf_batch_add(&b, type, 0, guard_paths[i], GUARD_TOKEN, sizeof(GUARD_TOKEN),
				   NULL);
	if (r)
		return conf_no_memory(err);
	r = conf_client_run(rd->c, &b, err);
	for (i = 0; !r && i < b.n; i++)
		if (conf_batch_reply(&b, i)->err)
			r = conf_fail(err, -EACCES, "store: watch %s: %s", guard_paths[i],
				      strerror(conf_batch_reply(&b, i)->err));
	return r;
}

int guard_begin(struct reading *rd, struct conf_err *err)
{
	return request(rd, XS_WATCH, err);
}

/* A component as a domid. */
static bool is_domid(const char *at, uint32_t *ret)
{
	uint16_t domid;

	if (path_parse_domid(at, strcspn(at, "/"), &domid))
		return false;
	*ret = domid;
	return true;
}

static const char *next(const char *at)
{
	at += strcspn(at, "/");
	return *at ? at + 1 : at;
}

static bool is_word(const char *at, const char *word)
{
	size_t n = strlen(word);

	return !strncmp(at, word, n) && (at[n] == '/' || !at[n]);
}

static void dirty(struct reading *rd, bool all, uint32_t domid)
{
	for (unsigned int k = 0; k < rd->n_slots; k++)
		rd->slots[k].dirty |= all || rd->slots[k].domid == domid;
}

static void take(struct reading *rd, const char *path)
{
	const char *at = path;
	uint32_t domid;

	for (size_t i = 0; i < ARRAY_LEN(guard_paths); i++) {
		/* making a watch is an event, too */
		if (!strcmp(path, guard_paths[i]) && !rd->guard_seen[i]) {
			rd->guard_seen[i] = true;
			return;
		}
	}
	if (!strncmp(path, "/libxl/", 7)) {
		if (is_domid(path + 7, &domid))
			dirty(rd, false, domid);
		return;
	}
	if (strncmp(path, "/local/domain/", 14) != 0 || !is_domid(path + 14, &domid)) {
		dirty(rd, true, 0); /* of many, or it cannot be told of whom */
		return;
	}
	at = next(path + 14);
	if (!*at) {
		dirty(rd, true, 0); /* a domain came or went, maybe with backends of others */
	} else if (is_word(at, "backend")) {
		at = next(next(at));
		if (is_domid(at, &domid))
			dirty(rd, false, domid);
		else if (!*at)
			dirty(rd, true, 0);
	} else if (is_word(at, "vm") || is_word(at, "name") || is_word(at, "memory") ||
		   is_word(at, "cpu")) {
		dirty(rd, false, domid);
	}
}

int guard_take(struct reading *rd, struct conf_err *err)
{
	struct conf_err quiet = { 0 };
	char *path, *token;
	size_t n;
	int r = 0;

	for (n = 0; n < GUARD_EVENTS_MAX; n++) {
		r = conf_client_event(rd->c, 0, &quiet, &path, &token);
		if (r)
			break;
		take(rd, path);
		free(path);
		free(token);
	}
	return !r || r == -ETIMEDOUT ? 0 : conf_fail(err, r, "%s", quiet.text);
}

int guard_end(struct reading *rd, struct conf_err *err)
{
	int r = request(rd, XS_UNWATCH, err);

	/* what is still to be told of is nobody's business any more */
	return r ? r : guard_take(rd, err);
}
