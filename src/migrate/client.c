/* SPDX-License-Identifier: MIT */
/*
 * The five calls of a client, which may come in any order, twice, late, or not at all. They start a
 * migration, and may stop it while it may be stopped; who gets the guest they are told.
 */
#include "migrate/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What both ends have to have been told alike. */
#define FLAGS_ALIKE ((uint32_t)(MIG_LIVE | MIG_PERSIST_DEST | MIG_UNDEFINE_SOURCE | MIG_OFFLINE))

static int refuse(int err, char *text, size_t room, const char *why)
{
	snprintf(text, room, "%s", why);
	return err;
}

static int flags_check(uint32_t flags, char *text, size_t room)
{
	if (flags & MIG_TUNNELLED && !(flags & MIG_PEER2PEER))
		return refuse(EINVAL, text, room, "TUNNELLED needs PEER2PEER");
	if (flags & MIG_OFFLINE && !(flags & MIG_PERSIST_DEST))
		return refuse(EINVAL, text, room, "OFFLINE needs PERSIST_DEST");
	if (flags & MIG_OFFLINE && flags & (MIG_NON_SHARED_DISK | MIG_NON_SHARED_INC))
		return refuse(EINVAL, text, room, "OFFLINE copies no storage");
	if (flags & MIG_NON_SHARED_DISK && flags & MIG_NON_SHARED_INC)
		return refuse(EINVAL, text, room,
			      "NON_SHARED_DISK and NON_SHARED_INC exclude each other");
	return 0;
}

/*
 * The oldest of those that stayed, of which only a destination has to hear yet, is over: whoever
 * asks about it is told the same.
 */
static void make_room(struct migrator *m)
{
	struct migration *g;

	list_for_each(g, &m->open, open) {
		if (g->row.phase != MIG_ABORTED || !g->settled)
			continue;
		g->row.told = true;
		migration_settle(g);
		return;
	}
}

/* ENOSPC, or EBUSY with what the other migration waits for. */
static int room_for(struct migrator *m, const uint8_t *uuid, char *text, size_t room)
{
	const struct migration *g;

	list_for_each(g, &m->open, open) {
		if (memcmp(g->row.uuid, uuid, MIG_UUID_SIZE) != 0 || !migration_is_busy(g))
			continue;
		snprintf(text, room, "the guest is being migrated (%s, waits for %s)",
			 mig_phase_name(g->row.phase), migrator_waits_for(m, &g->row.id));
		return EBUSY;
	}
	if (m->n_jobs >= MIG_JOBS_MAX)
		make_room(m);
	if (m->n_jobs >= MIG_JOBS_MAX)
		return refuse(ENOSPC, text, room, "too many migrations on this host");
	return 0;
}

int migrator_begin(struct migrator *m, const struct mig_begin *b, uint64_t client,
		   struct mig_cookie *ret, char *text, size_t room)
{
	struct migration *g;
	struct mig_id id;
	int r;

	r = flags_check(b->flags, text, room);
	if (r)
		return r;
	if (b->epoch > MIG_EPOCH_MAX)
		return refuse(EINVAL, text, room, "the guest's epoch is too large");
	r = room_for(m, b->uuid, text, room);
	if (r)
		return r;
	m->ops->random_id(m->data, &id);
	if (migration_find(m, &id))
		return refuse(EBUSY, text, room, "the migration's id is taken");
	g = migration_new(m, &id, MIG_SOURCE, MIG_BEGUN);
	if (!g)
		return refuse(ENOSPC, text, room, "no memory");
	memcpy(g->row.uuid, b->uuid, sizeof(g->row.uuid));
	snprintf(g->row.guest, sizeof(g->row.guest), "%s", b->guest);
	snprintf(g->row.new_name, sizeof(g->row.new_name), "%s", b->new_name ? b->new_name : "");
	g->row.epoch = b->epoch;
	g->row.flags = b->flags;
	g->row.was_running = b->running;
	g->row.arbiter = m->self.arbiter && !(b->flags & MIG_OFFLINE);
	g->client = client;
	if (!(b->flags & MIG_CHANGE_PROTECTION))
		g->due_ms = m->now_ms + m->self.limits.begin_ms;
	(void)effect_add(m, g, MIG_DO_CHANGED, NULL);
	row_cookie(g, ret);
	return 0;
}

/* One call of each kind waits at a time. */
static int wait_for_end(struct migration *g, enum wait_for w, bool cancelled, uint64_t client,
			uint64_t call, char *text, size_t room)
{
	if (g->waits[w].call)
		return refuse(EBUSY, text, room, "another call waits for this migration already");
	g->waits[w] = (struct wait){ .client = client, .call = call, .cancelled = cancelled };
	return 0;
}

int migrator_prepare(struct migrator *m, const struct mig_cookie *cookie, uint32_t flags,
		     const char *new_name, uint64_t client, uint64_t call, char *text, size_t room)
{
	struct migration *g = migration_find(m, &cookie->id);
	int r;

	if (g && g->row.side == MIG_SOURCE)
		return refuse(EINVAL, text, room, "the guest is on this host already");
	if (g)
		return refuse(EBUSY, text, room, "this migration was prepared already");
	r = flags_check(flags, text, room);
	if (r)
		return r;
	if ((flags ^ cookie->flags) & FLAGS_ALIKE)
		return refuse(EINVAL, text, room, "the flags are not those of Begin");
	if (cookie->epoch > MIG_EPOCH_MAX)
		return refuse(EINVAL, text, room, "the guest's epoch is too large");
	r = room_for(m, cookie->uuid, text, room);
	if (r)
		return r;
	g = migration_new(m, &cookie->id, MIG_DESTINATION, MIG_PREPARED);
	if (!g)
		return refuse(ENOSPC, text, room, "no memory");
	memcpy(g->row.uuid, cookie->uuid, sizeof(g->row.uuid));
	memcpy(g->row.guest, cookie->guest, sizeof(g->row.guest));
	snprintf(g->row.new_name, sizeof(g->row.new_name), "%s", new_name ? new_name : "");
	g->row.epoch = cookie->epoch;
	g->row.flags = flags;
	g->row.arbiter = m->self.arbiter && cookie->arbiter;
	g->row.peer = cookie->host;
	g->client = client;
	(void)wait_for_end(g, WAIT_PREPARE, false, client, call, text, room);
	(void)effect_add(m, g, MIG_DO_CHANGED, NULL);
	if (flags & MIG_OFFLINE)
		migrator_incoming_ready(m, &cookie->id, 0, "");
	else
		(void)effect_add(m, g, MIG_DO_INCOMING, NULL);
	return 0;
}

int migrator_perform(struct migrator *m, const struct mig_cookie *cookie, uint32_t flags,
		     uint64_t client, uint64_t call, char *text, size_t room)
{
	struct migration *g = migration_find(m, &cookie->id);

	if (!g || g->row.side != MIG_SOURCE)
		return refuse(ENOENT, text, room, "this migration was not begun here");
	if (memcmp(g->row.uuid, cookie->uuid, sizeof(g->row.uuid)) != 0 ||
	    g->row.epoch != cookie->epoch)
		return refuse(EINVAL, text, room, "the cookie is another guest's");
	if ((flags ^ g->row.flags) & FLAGS_ALIKE)
		return refuse(EINVAL, text, room, "the flags are not those of Begin");
	if (g->row.flags & MIG_OFFLINE)
		return refuse(EINVAL, text, room, "nothing is to be performed with OFFLINE");
	if (g->row.phase == MIG_DONE && g->row.outcome == MIG_STAYED) {
		snprintf(text, room, "this migration is over: %s", g->row.why);
		return g->err ? g->err : ECANCELED;
	}
	if (g->row.phase != MIG_BEGUN)
		return refuse(EBUSY, text, room, "this migration was performed already");
	if (g->row.flags & MIG_CHANGE_PROTECTION && g->client != client)
		return refuse(EBUSY, text, room, "this migration is another connection's");
	g->row.flags |=
		flags & (MIG_PAUSED | MIG_ABORT_ON_ERROR | MIG_AUTO_CONVERGE | MIG_COMPRESSED);
	g->row.arbiter = g->row.arbiter && cookie->arbiter;
	g->row.peer = cookie->host;
	g->client = client;
	(void)wait_for_end(g, WAIT_PERFORM, false, client, call, text, room);
	source_perform(g);
	return 0;
}

/* The newest of that side whose guest has the name, old or new, or the uuid. */
static struct migration *newest(const struct migrator *m, enum mig_side side, const char *guest,
				const uint8_t *uuid)
{
	struct migration *g, *found = NULL;

	list_for_each(g, &m->all, link) {
		const char *name = g->row.new_name[0] ? g->row.new_name : g->row.guest;

		if (g->row.side != side)
			continue;
		if (guest && strcmp(name, guest) == 0)
			found = g;
		if (!guest && uuid && !memcmp(g->row.uuid, uuid, MIG_UUID_SIZE))
			found = g;
	}
	return found;
}

int migrator_finish(struct migrator *m, const struct mig_id *id, const char *guest, bool cancelled,
		    uint64_t client, uint64_t call, char *text, size_t room)
{
	struct migration *g = id ? migration_find(m, id) : newest(m, MIG_DESTINATION, guest, NULL);
	int r;

	if (!g || g->row.side != MIG_DESTINATION)
		return refuse(ENOENT, text, room, "no such migration was prepared here");
	r = wait_for_end(g, WAIT_FINISH, cancelled, client, call, text, room);
	if (r)
		return r;
	if (dest_has_asked(g) || g->row.phase >= MIG_OWNED)
		migration_settle(g);
	else if (cancelled)
		dest_drop(g, ECANCELED, "the client cancelled it", false);
	else if (g->row.phase == MIG_PREPARED && g->row.flags & MIG_OFFLINE)
		dest_ready(g);
	else if (g->row.phase == MIG_PREPARED)
		dest_drop(g, EIO, "the source has not sent it", false);
	return 0;
}

int migrator_confirm(struct migrator *m, const struct mig_id *id, const uint8_t *uuid,
		     bool cancelled, uint64_t client, uint64_t call, char *text, size_t room)
{
	struct migration *g = id ? migration_find(m, id) : newest(m, MIG_SOURCE, NULL, uuid);
	int r;

	if (!g || g->row.side != MIG_SOURCE)
		return refuse(ENOENT, text, room, "this migration was not begun here");
	if (memcmp(g->row.uuid, uuid, MIG_UUID_SIZE) != 0)
		return refuse(EINVAL, text, room, "the cookie is another guest's");
	r = wait_for_end(g, WAIT_CONFIRM, cancelled, client, call, text, room);
	if (r)
		return r;
	if (g->row.phase == MIG_BEGUN)
		source_abort(g, ECANCELED,
			     cancelled ? "the client cancelled it" : "it was never performed");
	else if (cancelled)
		source_abort(g, ECANCELED, "the client cancelled it");
	migration_settle(g);
	return 0;
}

int migrator_abort(struct migrator *m, const uint8_t *uuid, const char *why, char *text,
		   size_t room)
{
	struct migration *g, *job = NULL;

	list_for_each(g, &m->open, open) {
		if (memcmp(g->row.uuid, uuid, MIG_UUID_SIZE) == 0 && migration_is_busy(g))
			job = g;
	}
	if (!job)
		return refuse(ENOENT, text, room, "the guest is not being migrated");
	if (job->row.outcome == MIG_MOVED || dest_has_asked(job))
		return refuse(EBUSY, text, room,
			      "it is too late: the guest is given away, or about to be");
	if (job->row.side == MIG_SOURCE)
		source_abort(job, ECANCELED, why);
	else
		dest_drop(job, ECANCELED, why, false);
	return 0;
}

void migrator_client_closed(struct migrator *m, uint64_t client)
{
	struct migration *g;

	list_for_each(g, &m->open, open) {
		for (unsigned int w = 0; w < WAITS; w++) {
			if (g->waits[w].client == client)
				g->waits[w] = (struct wait){ 0 };
		}
		if (g->client != client)
			continue;
		g->client = 0;
		if (g->row.side == MIG_SOURCE)
			source_abort(g, ECANCELED, "its client went away");
		else if (!dest_has_asked(g))
			dest_drop(g, ECANCELED, "its client went away", false);
	}
}
