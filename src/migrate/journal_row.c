/* SPDX-License-Identifier: MIT */
/*
 * Rows of the journal. Invariant: what is read is judged like a stranger's: a row that this program
 * cannot have written is named, and nothing is made of it.
 */
#include <errno.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "migrate/journal_own.h"

static void bind_id(sqlite3_stmt *st, const struct mig_id *id)
{
	sqlite3_bind_blob(st, 1, id->b, (int)sizeof(id->b), SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
	sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static void bind_u64(sqlite3_stmt *st, int i, uint64_t v)
{
	sqlite3_bind_int64(st, i, (sqlite3_int64)v);
}

/* In the order of the table's columns, as JOURNAL_ROW_ALL has them, too. */
static int put_row(struct journal *j, const struct mig_row *row)
{
	sqlite3_stmt *st = j->st[JOURNAL_ROW_PUT];

	bind_id(st, &row->id);
	sqlite3_bind_int(st, 2, (int)row->side);
	sqlite3_bind_int(st, 3, (int)row->phase);
	sqlite3_bind_int(st, 4, (int)row->outcome);
	sqlite3_bind_blob(st, 5, row->uuid, (int)sizeof(row->uuid), SQLITE_STATIC);
	bind_text(st, 6, row->guest);
	bind_text(st, 7, row->new_name);
	bind_u64(st, 8, row->epoch);
	bind_u64(st, 9, row->flags);
	sqlite3_bind_int(st, 10, row->arbiter);
	sqlite3_bind_int(st, 11, row->was_running);
	sqlite3_bind_int(st, 12, row->told);
	bind_text(st, 13, row->peer.name);
	bind_text(st, 14, row->peer.address);
	bind_text(st, 15, row->peer.fingerprint);
	bind_u64(st, 16, row->begun_ms);
	bind_u64(st, 17, row->phase_ms);
	bind_text(st, 18, row->why);
	return journal_run(j, JOURNAL_ROW_PUT);
}

static int put_phase(struct journal *j, const struct mig_row *row)
{
	sqlite3_stmt *st = j->st[JOURNAL_PHASE_PUT];
	int r;

	bind_id(st, &row->id);
	sqlite3_bind_int(st, 2, (int)row->phase);
	bind_u64(st, 3, row->phase_ms);
	bind_text(st, 4, row->why);
	r = journal_run(j, JOURNAL_PHASE_PUT);
	if (r)
		return r;
	bind_id(j->st[JOURNAL_PHASE_THIN], &row->id);
	return journal_run(j, JOURNAL_PHASE_THIN);
}

/*
 * A phase that is entered decides, or leaves it as it was, in which epoch the guest is here. What
 * is written again, of the same migration or an older one, decides nothing: by then the guest may
 * have been started anew, or have come back from elsewhere.
 */
static int put_epoch(struct journal *j, const struct mig_row *row)
{
	bool given = false;
	uint64_t epoch = mig_row_epoch(row, &given);
	sqlite3_stmt *st = j->st[JOURNAL_EPOCH_PUT];

	sqlite3_bind_blob(st, 1, row->uuid, (int)sizeof(row->uuid), SQLITE_STATIC);
	bind_u64(st, 2, epoch);
	sqlite3_bind_int(st, 3, given);
	return journal_run(j, JOURNAL_EPOCH_PUT);
}

/* Whether the row is in another phase than it was, and one that is not only the end. */
static int enters_phase(struct journal *j, const struct mig_row *row, bool *ret)
{
	sqlite3_stmt *st = j->st[JOURNAL_ROW_PHASE];
	int code, r = 0;

	bind_id(st, &row->id);
	code = sqlite3_step(st);
	*ret = row->phase != MIG_DONE &&
	       (code != SQLITE_ROW || sqlite3_column_int(st, 0) != (int)row->phase);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		r = journal_fail(j, "reading a phase");
	sqlite3_reset(st);
	return r;
}

int journal_row_put(struct journal *j, const struct mig_row *row)
{
	bool enters = false;
	int r = enters_phase(j, row, &enters);

	r = r ? r : put_row(j, row);
	r = r ? r : put_phase(j, row);
	return r || !enters ? r : put_epoch(j, row);
}

int journal_row_drop(struct journal *j, const struct mig_id *id)
{
	int r;

	bind_id(j->st[JOURNAL_ROW_DROP], id);
	r = journal_run(j, JOURNAL_ROW_DROP);
	if (r)
		return r;
	bind_id(j->st[JOURNAL_PHASE_DROP], id);
	return journal_run(j, JOURNAL_PHASE_DROP);
}

static bool get_blob(sqlite3_stmt *st, int i, uint8_t *to, size_t size)
{
	const void *from = sqlite3_column_blob(st, i);

	if (!from || (size_t)sqlite3_column_bytes(st, i) != size)
		return false;
	memcpy(to, from, size);
	return true;
}

static bool get_text(sqlite3_stmt *st, int i, char *to, size_t room)
{
	const char *from = (const char *)sqlite3_column_text(st, i);
	size_t len = from ? (size_t)sqlite3_column_bytes(st, i) : room;

	if (len >= room || strlen(from) != len)
		return false;
	memcpy(to, from, len + 1);
	return true;
}

static bool get_number(sqlite3_stmt *st, int i, uint64_t max, uint64_t *ret)
{
	*ret = (uint64_t)sqlite3_column_int64(st, i);
	return sqlite3_column_type(st, i) == SQLITE_INTEGER && *ret <= max;
}

static bool get_numbers(sqlite3_stmt *st, struct mig_row *ret)
{
	uint64_t side, phase, outcome, flags, arbiter, was_running, told;

	if (!get_number(st, 1, MIG_DESTINATION, &side) ||
	    !get_number(st, 2, MIG_PHASES - 1, &phase) ||
	    !get_number(st, 3, MIG_OUTCOMES - 1, &outcome) ||
	    !get_number(st, 7, UINT64_MAX, &ret->epoch) || !get_number(st, 8, UINT32_MAX, &flags) ||
	    !get_number(st, 9, 1, &arbiter) || !get_number(st, 10, 1, &was_running) ||
	    !get_number(st, 11, 1, &told) || !get_number(st, 15, UINT64_MAX, &ret->begun_ms) ||
	    !get_number(st, 16, UINT64_MAX, &ret->phase_ms))
		return false;
	ret->side = (enum mig_side)side;
	ret->phase = (enum mig_phase)phase;
	ret->outcome = (enum mig_outcome)outcome;
	ret->flags = (uint32_t)flags;
	ret->arbiter = arbiter;
	ret->was_running = was_running;
	ret->told = told;
	return true;
}

static bool get_texts(sqlite3_stmt *st, struct mig_row *ret)
{
	return get_text(st, 5, ret->guest, sizeof(ret->guest)) &&
	       get_text(st, 6, ret->new_name, sizeof(ret->new_name)) &&
	       get_text(st, 12, ret->peer.name, sizeof(ret->peer.name)) &&
	       get_text(st, 13, ret->peer.address, sizeof(ret->peer.address)) &&
	       get_text(st, 14, ret->peer.fingerprint, sizeof(ret->peer.fingerprint)) &&
	       get_text(st, 17, ret->why, sizeof(ret->why));
}

int journal_row_get(const struct journal *j, sqlite3_stmt *st, struct mig_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (get_blob(st, 0, ret->id.b, sizeof(ret->id.b)) &&
	    get_blob(st, 4, ret->uuid, sizeof(ret->uuid)) && get_numbers(st, ret) &&
	    get_texts(st, ret) && !mig_row_check(ret))
		return 0;
	log_error("%s: row %lld of the migrations is none that this program wrote", j->path,
		  (long long)sqlite3_column_int64(st, 18));
	return FAULT(-EPROTO);
}
