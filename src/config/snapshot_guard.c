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
#include "config/whose.h"

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

static void dirty(struct reading *rd, bool all, uint32_t domid)
{
	for (unsigned int k = 0; k < rd->n_slots; k++)
		rd->slots[k].dirty |= all || rd->slots[k].domid == domid;
}

static void take(struct reading *rd, const char *path)
{
	uint32_t domid;

	for (size_t i = 0; i < ARRAY_LEN(guard_paths); i++) {
		/* making a watch is an event, too */
		if (!strcmp(path, guard_paths[i]) && !rd->guard_seen[i]) {
			rd->guard_seen[i] = true;
			return;
		}
	}
	switch (whose_node(path, &domid)) {
	case WHOSE_ONE:
		dirty(rd, false, domid);
		break;
	case WHOSE_ANY:
		dirty(rd, true, 0);
		break;
	case WHOSE_NOBODY:
		break;
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
