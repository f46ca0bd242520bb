/* SPDX-License-Identifier: MIT */
/*
 * The journal's rows become migrations again. Only the newest row of a guest does anything to it:
 * what older ones asked for is done, and at most their peers have not heard of it.
 */
#include "migrate/machine.h"

#include <errno.h>
#include <string.h>

#include "base/fault.h"

/* A guest is busy with one migration at a time: whatever is before another one is over here. */
static bool is_superseded(const struct migration *g)
{
	const struct list *l;

	for (l = g->link.next; l != &g->m->all; l = l->next) {
		const struct migration *other = CONTAINER_OF(l, struct migration, link);

		if (memcmp(other->row.uuid, g->row.uuid, MIG_UUID_SIZE) == 0)
			return true;
	}
	return false;
}

static int row_take(struct migrator *m, const struct mig_row *row)
{
	struct migration *g;

	if (mig_row_check(row) || migration_find(m, &row->id))
		return FAULT(-EINVAL);
	g = migration_new(m, &row->id, row->side, row->phase);
	if (!g)
		return FAULT(-ENOMEM);
	g->row = g->shown = *row;
	g->was_shown = g->journalled = g->restored = true;
	list_remove(&g->touched);
	if (row->phase == MIG_DONE)
		migration_end(g);
	return 0;
}

int migrator_restore(struct migrator *m, const struct mig_row *rows, size_t n, uint64_t wall_ms,
		     uint64_t now_ms)
{
	struct migration *g;
	int r = 0;

	m->now_ms = now_ms;
	m->wall_ms = wall_ms;
	for (size_t i = 0; i < n && !r; i++)
		r = row_take(m, &rows[i]);
	if (r) {
		list_for_each(g, &m->all, link)
			migration_free(g);
		return r;
	}
	list_for_each(g, &m->open, open) {
		if (g->row.side == MIG_SOURCE)
			source_restore(g, is_superseded(g));
		else
			dest_restore(g, is_superseded(g));
		migration_settle(g);
	}
	return 0;
}
