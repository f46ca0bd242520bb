/* SPDX-License-Identifier: MIT */
/*
 * Questions about migrations: answered from the rows as they are durable, so that nobody is told
 * what a crash would take back.
 */
#include "migrate/machine.h"

#include <stdio.h>
#include <string.h>

/* One that no round has ended with is what it is: nothing of it has left the daemon. */
static const struct mig_row *row_of(const struct migration *g)
{
	return g->was_shown ? &g->shown : &g->row;
}

const struct mig_row *migrator_job(const struct migrator *m, const uint8_t *uuid)
{
	const struct migration *g;

	list_for_each(g, &m->open, open) {
		if (memcmp(g->row.uuid, uuid, MIG_UUID_SIZE) == 0 && migration_is_busy(g))
			return row_of(g);
	}
	return NULL;
}

const struct mig_row *migrator_find(const struct migrator *m, const struct mig_id *id)
{
	const struct migration *g = migration_find(m, id);

	return g ? row_of(g) : NULL;
}

void migrator_each(const struct migrator *m, void (*fn)(void *data, const struct mig_row *row),
		   void *data)
{
	const struct migration *g;

	list_for_each(g, &m->all, link)
		fn(data, row_of(g));
}

static const char *source_waits_for(const struct migration *g)
{
	switch (g->row.phase) {
	case MIG_BEGUN:
		return "the client to perform it";
	case MIG_PERFORMING:
		if (!g->started)
			return "the arbiter";
		return g->sending ? "the guest's memory to be sent" : "the destination's answer";
	case MIG_SENT:
		return "the destination to ask for the guest";
	case MIG_ABORTING:
		return g->sending || g->exporting
			       ? "the sending to end"
			       : "the destination or the arbiter to leave it here";
	case MIG_GIVEN:
		return g->destroying ? "the paused guest to be destroyed"
				     : "the destination to say that it took it";
	case MIG_ABORTED:
		return g->settled ? "the destination to hear that it stays here"
				  : "the guest to run again";
	default:
		return "";
	}
}

static const char *dest_waits_for(const struct migration *g)
{
	switch (g->row.phase) {
	case MIG_PREPARED:
		return g->incoming ? "the source to send it" : "a guest that waits";
	case MIG_RECEIVING:
		if (g->restored)
			return "the source to say whether it gave it";
		return g->received ? "its part of the store" : "the guest's memory";
	case MIG_READY:
		return g->arb_asked ? "the source or the arbiter to give it"
				    : "the source to give it";
	case MIG_OWNED:
		return g->settled ? "the source to hear that it was taken" : "the guest to run";
	case MIG_RETURNED:
	case MIG_DROPPED:
		return g->settled ? "the source to hear that it is not here"
				  : "what was received to be destroyed";
	default:
		return "";
	}
}

const char *migrator_waits_for(const struct migrator *m, const struct mig_id *id)
{
	const struct migration *g = migration_find(m, id);

	if (!g)
		return "";
	return g->row.side == MIG_SOURCE ? source_waits_for(g) : dest_waits_for(g);
}
