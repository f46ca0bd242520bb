/* SPDX-License-Identifier: MIT */
/* What journal.c (the file) and journal_row.c (rows) share. */
#ifndef DROVER_MIGRATE_JOURNAL_OWN_H
#define DROVER_MIGRATE_JOURNAL_OWN_H

#include <sqlite3.h>

#include "migrate/journal.h"

enum journal_statement {
	JOURNAL_BEGIN,
	JOURNAL_COMMIT,
	JOURNAL_ROLLBACK,
	JOURNAL_ROW_PHASE,
	JOURNAL_ROW_PUT,
	JOURNAL_ROW_DROP,
	JOURNAL_ROW_ALL,
	JOURNAL_PHASE_PUT,
	JOURNAL_PHASE_THIN,
	JOURNAL_PHASE_DROP,
	JOURNAL_PHASE_ALL,
	JOURNAL_EPOCH_PUT,
	JOURNAL_EPOCH_GET,
	JOURNAL_STATEMENTS,
};

struct journal {
	sqlite3 *db; /* owned */
	char *path;  /* owned */
	sqlite3_stmt *st[JOURNAL_STATEMENTS];
};

/* Logs what SQLite says, as one of the header's errors. */
int journal_fail(const struct journal *j, const char *what);
/* Runs a statement that gives no rows, with what is bound to it, and resets it. */
int journal_run(struct journal *j, enum journal_statement which);

/* One row and its phase and epoch; one removal. Within a transaction. */
int journal_row_put(struct journal *j, const struct mig_row *row);
int journal_row_drop(struct journal *j, const struct mig_id *id);
/* A row of JOURNAL_ROW_ALL. -EPROTO: it cannot be one of ours; logged. */
int journal_row_get(const struct journal *j, sqlite3_stmt *st, struct mig_row *ret);

#endif
