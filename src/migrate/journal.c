/* SPDX-License-Identifier: MIT */
/*
 * The journal's file. Invariant: between two calls no transaction is open; whatever failed was
 * rolled back, and the connection can be used on.
 */
#include "migrate/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "migrate/journal_own.h"

#define JOURNAL_APPLICATION 0x44724a31 /* "DrJ1" */
#define JOURNAL_VERSION 1

static const char schema[] =
	"CREATE TABLE migration(id BLOB NOT NULL UNIQUE, side INTEGER, phase INTEGER,"
	" outcome INTEGER, uuid BLOB, guest TEXT, new_name TEXT, epoch INTEGER, flags INTEGER,"
	" arbiter INTEGER, was_running INTEGER, told INTEGER, peer_name TEXT, peer_address TEXT,"
	" peer_fingerprint TEXT, begun_ms INTEGER, phase_ms INTEGER, why TEXT);"
	"CREATE TABLE phase(id BLOB NOT NULL, phase INTEGER, wall_ms INTEGER, why TEXT);"
	"CREATE INDEX phase_id ON phase(id);"
	"CREATE TABLE guest(uuid BLOB NOT NULL PRIMARY KEY, epoch INTEGER, given INTEGER)"
	" WITHOUT ROWID;";

#define COLUMNS                                                                                    \
	"id, side, phase, outcome, uuid, guest, new_name, epoch, flags, arbiter, was_running, "    \
	"told, peer_name, peer_address, peer_fingerprint, begun_ms, phase_ms, why"

static const char *const statements[JOURNAL_STATEMENTS] = {
	[JOURNAL_BEGIN] = "BEGIN IMMEDIATE",
	[JOURNAL_COMMIT] = "COMMIT",
	[JOURNAL_ROLLBACK] = "ROLLBACK",
	[JOURNAL_ROW_PHASE] = "SELECT phase FROM migration WHERE id = ?1",
	[JOURNAL_ROW_PUT] =
		"INSERT INTO migration(" COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
		"?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) ON CONFLICT(id) DO UPDATE SET "
		"side = ?2, phase = ?3, outcome = ?4, uuid = ?5, guest = ?6, new_name = ?7, "
		"epoch = ?8, flags = ?9, arbiter = ?10, was_running = ?11, told = ?12, "
		"peer_name = ?13, peer_address = ?14, peer_fingerprint = ?15, begun_ms = ?16, "
		"phase_ms = ?17, why = ?18",
	[JOURNAL_ROW_DROP] = "DELETE FROM migration WHERE id = ?1",
	[JOURNAL_ROW_ALL] = "SELECT " COLUMNS ", rowid FROM migration ORDER BY rowid",
	/* A row that was written again in the phase it was in is no other phase. */
	[JOURNAL_PHASE_PUT] =
		"INSERT INTO phase(id, phase, wall_ms, why) SELECT ?1, ?2, ?3, ?4 WHERE ?2 IS NOT "
		"(SELECT phase FROM phase WHERE id = ?1 ORDER BY rowid DESC LIMIT 1)",
	[JOURNAL_PHASE_THIN] =
		"DELETE FROM phase WHERE id = ?1 AND rowid = (SELECT rowid FROM phase WHERE "
		"id = ?1 ORDER BY rowid LIMIT 1 OFFSET 32) AND "
		"(SELECT count(*) FROM phase WHERE id = ?1) > 64",
	[JOURNAL_PHASE_DROP] = "DELETE FROM phase WHERE id = ?1",
	[JOURNAL_PHASE_ALL] = "SELECT phase, wall_ms, why FROM phase WHERE id = ?1 ORDER BY rowid",
	[JOURNAL_EPOCH_PUT] =
		"INSERT INTO guest(uuid, epoch, given) VALUES(?1, ?2, ?3) ON CONFLICT(uuid) DO "
		"UPDATE SET epoch = ?2, given = ?3",
	[JOURNAL_EPOCH_GET] = "SELECT epoch, given FROM guest WHERE uuid = ?1",
};

static int error_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOTADB:
		return -EPROTO;
	default:
		return -EIO;
	}
}

int journal_fail(const struct journal *j, const char *what)
{
	int code = j->db ? sqlite3_extended_errcode(j->db) : SQLITE_NOMEM;

	log_error("%s: %s: %s", j->path, what, j->db ? sqlite3_errmsg(j->db) : "no memory");
	return error_of(code);
}

int journal_run(struct journal *j, enum journal_statement which)
{
	sqlite3_stmt *st = j->st[which];
	int r = sqlite3_step(st) == SQLITE_DONE ? 0 : journal_fail(j, statements[which]);

	sqlite3_reset(st);
	return r;
}

/* Ends a transaction: keeps all of it if r is 0, else nothing. */
static int end(struct journal *j, int r)
{
	if (!r)
		r = journal_run(j, JOURNAL_COMMIT);
	/* A full disk may have rolled it back already. */
	if (r && !sqlite3_get_autocommit(j->db))
		journal_run(j, JOURNAL_ROLLBACK);
	return r;
}

/* ---- open ---- */

static int exec(struct journal *j, const char *sql)
{
	return sqlite3_exec(j->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : journal_fail(j, sql);
}

/* The number that a PRAGMA answers with. */
static int ask_number(struct journal *j, const char *sql, int *ret)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(j->db, sql, -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW)
		r = journal_fail(j, sql);
	else
		*ret = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return r;
}

/* "ok", or what is damaged. */
static int check(struct journal *j)
{
	sqlite3_stmt *st = NULL;
	const char *said = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(j->db, "PRAGMA quick_check(1)", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW) {
		r = journal_fail(j, "check");
	} else {
		said = (const char *)sqlite3_column_text(st, 0);
		if (!said || strcmp(said, "ok") != 0) {
			log_error("%s: damaged: %s", j->path, said ? said : "no memory");
			r = -EIO;
		}
	}
	sqlite3_finalize(st);
	return r;
}

/* An empty file becomes a journal; another one has to be one, and not of a later version. */
static int set_up(struct journal *j)
{
	char sql[sizeof(schema) + 128];
	int application = 0, version = 0, pages = 0, r;

	r = exec(j, "PRAGMA locking_mode = EXCLUSIVE");
	r = r ? r : ask_number(j, "PRAGMA application_id", &application);
	r = r ? r : ask_number(j, "PRAGMA user_version", &version);
	r = r ? r : ask_number(j, "SELECT count(*) FROM sqlite_schema", &pages);
	if (r)
		return r;
	if (pages && application != JOURNAL_APPLICATION) {
		log_error("%s: it is a database, but no journal of migrations", j->path);
		return -EPROTO;
	}
	if (pages && version != JOURNAL_VERSION) {
		log_error("%s: its version is %d, this program knows %d", j->path, version,
			  JOURNAL_VERSION);
		return -EPROTO;
	}
	r = exec(j, "PRAGMA journal_mode = WAL");
	r = r ? r : exec(j, "PRAGMA synchronous = FULL");
	if (r || pages)
		return r ? r : check(j);
	snprintf(sql, sizeof(sql),
		 "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d; %s COMMIT",
		 JOURNAL_APPLICATION, JOURNAL_VERSION, schema);
	return exec(j, sql);
}

static int prepare(struct journal *j)
{
	for (size_t i = 0; i < JOURNAL_STATEMENTS; i++) {
		if (sqlite3_prepare_v3(j->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &j->st[i], NULL) != SQLITE_OK)
			return journal_fail(j, statements[i]);
	}
	return 0;
}

/* So that SQLite does not make it with another mode. */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		log_error("%s: %s", path, strerror(errno));
		return -EIO;
	}
	close(fd);
	return 0;
}

int journal_open(const char *path, struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));
	int r;

	if (j)
		j->path = strdup(path);
	if (!j || !j->path) {
		free(j);
		return FAULT(-ENOMEM);
	}
	r = make_file(path);
	if (!r && sqlite3_open_v2(path, &j->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL))
		r = journal_fail(j, "open");
	r = r ? r : set_up(j);
	r = r ? r : prepare(j);
	if (r) {
		journal_close(j);
		return r;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < JOURNAL_STATEMENTS; i++)
		sqlite3_finalize(j->st[i]);
	sqlite3_close(j->db);
	free(j->path);
	free(j);
}

/* ---- rows ---- */

int journal_write(struct journal *j, const struct mig_row *const *rows, size_t n,
		  const struct mig_id *gone, size_t n_gone)
{
	int r;

	if (!n && !n_gone)
		return 0;
	r = journal_run(j, JOURNAL_BEGIN);
	for (size_t i = 0; !r && i < n; i++)
		r = journal_row_put(j, rows[i]);
	for (size_t i = 0; !r && i < n_gone; i++)
		r = journal_row_drop(j, &gone[i]);
	return end(j, r);
}

static int grow(struct mig_row **rows, size_t n, size_t *room)
{
	struct mig_row *more;

	if (n < *room)
		return 0;
	*room = *room ? *room * 2 : 64;
	more = reallocarray(*rows, *room, sizeof(*more));
	if (!more)
		return FAULT(-ENOMEM);
	*rows = more;
	return 0;
}

int journal_read(struct journal *j, struct mig_row **ret, size_t *ret_n)
{
	sqlite3_stmt *st = j->st[JOURNAL_ROW_ALL];
	struct mig_row *rows = NULL;
	size_t n = 0, room = 0;
	int r = 0, code;

	while ((code = sqlite3_step(st)) == SQLITE_ROW && !r) {
		r = grow(&rows, n, &room);
		r = r ? r : journal_row_get(j, st, &rows[n]);
		n++;
	}
	if (!r && code != SQLITE_DONE)
		r = journal_fail(j, "reading");
	sqlite3_reset(st);
	if (r) {
		free(rows);
		return r;
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

int journal_history(struct journal *j, const struct mig_id *id, journal_phase_fn *fn, void *data)
{
	sqlite3_stmt *st = j->st[JOURNAL_PHASE_ALL];
	int r = 0, code;

	sqlite3_bind_blob(st, 1, id->b, (int)sizeof(id->b), SQLITE_STATIC);
	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		int phase = sqlite3_column_int(st, 0);
		const char *why = (const char *)sqlite3_column_text(st, 2);

		if (phase >= 0 && phase < MIG_PHASES)
			fn(data, (enum mig_phase)phase, (uint64_t)sqlite3_column_int64(st, 1),
			   why ? why : "");
	}
	if (code != SQLITE_DONE)
		r = journal_fail(j, "reading phases");
	sqlite3_reset(st);
	return r;
}

int journal_epoch_get(struct journal *j, const uint8_t *uuid, uint64_t *ret, bool *ret_given)
{
	sqlite3_stmt *st = j->st[JOURNAL_EPOCH_GET];
	int code, r = 0;

	sqlite3_bind_blob(st, 1, uuid, MIG_UUID_SIZE, SQLITE_STATIC);
	code = sqlite3_step(st);
	*ret = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	*ret_given = code == SQLITE_ROW && sqlite3_column_int(st, 1) != 0;
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		r = journal_fail(j, "reading an epoch");
	sqlite3_reset(st);
	return r;
}

int journal_epoch_set(struct journal *j, const uint8_t *uuid, uint64_t epoch, bool given)
{
	sqlite3_stmt *st = j->st[JOURNAL_EPOCH_PUT];
	int r = journal_run(j, JOURNAL_BEGIN);

	if (r)
		return r;
	sqlite3_bind_blob(st, 1, uuid, MIG_UUID_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, (sqlite3_int64)epoch);
	sqlite3_bind_int(st, 3, given);
	return end(j, journal_run(j, JOURNAL_EPOCH_PUT));
}
