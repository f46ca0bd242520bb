/* SPDX-License-Identifier: MIT */
/*
 * What this host knows of migrations, for `drover migrations`. Invariant: the answer is what the
 * journal says, and the machine of what is under way; asking changes nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/peer_own.h"
#include "migrate/journal.h"
#include "rpc/error.h"

struct listing {
	struct host *host;
	const struct peer_list_args *args;
	struct peer_migration *m; /* owned */
	size_t n, room;
	bool begun; /* what comes is after args->after */
	bool more, failed;
};

static char *borrow(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* The text is the list's from now on. */
static char *keep(struct listing *l, const char *s)
{
	char *copy = strdup(s);

	l->failed |= !copy;
	return copy;
}

static void add_step(void *data, enum mig_phase phase, uint64_t wall_ms, const char *why)
{
	struct listing *l = data;
	struct peer_migration *m = &l->m[l->n];
	struct peer_step *s;

	if (m->steps.steps_len == PEER_STEPS_MAX)
		return;
	s = &m->steps.steps_val[m->steps.steps_len];
	s->phase = (int)phase;
	s->at_ms = wall_ms;
	s->why = keep(l, why);
	m->steps.steps_len += s->why != NULL;
}

static bool is_wanted(struct listing *l, const struct mig_row *row)
{
	const struct peer_list_args *a = l->args;

	if (a->id.id_len)
		return !memcmp(a->id.id_val, row->id.b, MIG_ID_SIZE);
	if (l->begun)
		return true;
	l->begun = !memcmp(a->after.after_val, row->id.b, MIG_ID_SIZE);
	return false;
}

static bool make_room(struct listing *l)
{
	size_t room = l->room ? 2 * l->room : 16;
	struct peer_migration *m;

	if (l->n < l->room)
		return true;
	m = realloc(l->m, room * sizeof(*m));
	if (!m)
		return false;
	l->m = m;
	l->room = room;
	return true;
}

/* Rows are borrowed until the answer was made, which is before anything else happens. */
static void add(void *data, const struct mig_row *row)
{
	struct listing *l = data;
	struct peer_migration *m;

	if (l->failed || !is_wanted(l, row))
		return;
	l->more |= l->n == PEER_LIST_MAX;
	if (l->more)
		return;
	l->failed = !make_room(l);
	if (l->failed)
		return;
	m = &l->m[l->n];
	*m = (struct peer_migration){
		.side = (int)row->side,
		.phase = (int)row->phase,
		.outcome = (int)row->outcome,
		.guest = borrow(row->guest),
		.new_name = borrow(row->new_name),
		.epoch = row->epoch,
		.flags = row->flags,
		.arbiter = row->arbiter,
		.peer_host = borrow(row->peer.name),
		.peer_address = borrow(row->peer.address),
		.begun_ms = row->begun_ms,
		.phase_ms = row->phase_ms,
		.why = borrow(row->why),
	};
	memcpy(m->id, row->id.b, sizeof(m->id));
	memcpy(m->uuid, row->uuid, sizeof(m->uuid));
	m->waits_for = keep(l, migrator_waits_for(l->host->migrator, &row->id));
	m->steps.steps_val = calloc(PEER_STEPS_MAX, sizeof(struct peer_step));
	l->failed |= !m->steps.steps_val;
	if (!l->failed)
		journal_history(l->host->journal, &row->id, add_step, l);
	l->n++;
}

static void listing_fini(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		for (unsigned int s = 0; s < l->m[i].steps.steps_len; s++)
			free(l->m[i].steps.steps_val[s].why);
		free(l->m[i].steps.steps_val);
		free(l->m[i].waits_for);
	}
	free(l->m);
}

void peer_serve_list(struct call *c, void *args)
{
	const struct peer_list_args *a = args;
	struct listing l = { .host = call_host(c), .args = a };
	struct peer_list_ret ret;

	if ((a->id.id_len && a->id.id_len != MIG_ID_SIZE) ||
	    (a->after.after_len && a->after.after_len != MIG_ID_SIZE)) {
		call_fail(c, RPC_ERR_INVALID_ARG, "%s: an id of %u octets, not %u",
			  a->id.id_len ? "id" : "after",
			  a->id.id_len ? a->id.id_len : a->after.after_len, MIG_ID_SIZE);
		return;
	}
	l.begun = !a->after.after_len;
	if (l.host->migrator)
		migrator_each(l.host->migrator, add, &l);
	if (l.failed) {
		call_fail(c, RPC_ERR_NO_MEMORY, "out of memory");
	} else {
		memset(&ret, 0, sizeof(ret));
		peers_hello(l.host, &ret.host);
		ret.migrations.migrations_len = (u_int)l.n;
		ret.migrations.migrations_val = l.m;
		ret.more = l.more;
		call_reply(c, &ret);
	}
	listing_fini(&l);
}
