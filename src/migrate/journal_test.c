/* SPDX-License-Identifier: MIT */
/*
 * The journal: what it keeps and refuses, and that what it said was durable is there after any
 * death: a disk in memory loses power at each write, sync and truncation in turn, and what is read
 * then is what some number of calls had written, all of those that had returned among them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/own.h"
#include "migrate/journal.h"
#include "migrate/journal_disk_test.h"

#define WRITES_MAX 400u

static char folder[] = "/tmp/drover-journal-XXXXXX";
static char path[64];

static void quiet(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	(void)line;
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/journal", folder);
	log_set_sink(quiet, NULL);
	return 0;
}

static int wipe(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	char name[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		unlink(name);
	}
	return 0;
}

static int teardown(void **state)
{
	wipe(state);
	return rmdir(folder);
}

/* ---- a story of writes, and what is to be found after each ---- */

#define STORY 3u

static const enum mig_phase story[STORY] = { MIG_PERFORMING, MIG_GIVEN, MIG_DONE };

/* The nth write: the row of one of four migrations at a time, a phase further, then the next. */
static struct mig_row row_of(unsigned int n)
{
	unsigned int id = n / STORY;
	struct mig_row row = {
		.id = { { (uint8_t)id, (uint8_t)(id >> 8), 7 } },
		.side = MIG_SOURCE,
		.phase = story[n % STORY],
		.uuid = { (uint8_t)(id % 4) },
		.epoch = 1 + id,
		.begun_ms = 1000 + id,
		.phase_ms = 1000 + n,
		.was_running = true,
		.peer = { "there", "unix:///there", "sha256:00" },
	};

	row.outcome = row.phase == MIG_PERFORMING ? MIG_OPEN : MIG_MOVED;
	snprintf(row.guest, sizeof(row.guest), "guest%u", id % 4);
	snprintf(row.why, sizeof(row.why), "write %u", n);
	return row;
}

/* Whose row goes with the nth write: the migration that was done four before. */
static bool gone_of(unsigned int n, struct mig_id *ret)
{
	unsigned int back = 4 * STORY;

	if (n < back || n % STORY != 0)
		return false;
	*ret = row_of(n - back).id;
	return true;
}

static int write_nth(struct journal *j, unsigned int n)
{
	struct mig_row row = row_of(n);
	const struct mig_row *rows[] = { &row };
	struct mig_id gone;
	bool any = gone_of(n, &gone);

	return journal_write(j, rows, 1, &gone, any);
}

/* How many writes the rows are what is left of; -1: of no number of them. */
static int story_told(const struct mig_row *rows, size_t n)
{
	unsigned int last, first;

	if (!n)
		return 0;
	if (sscanf(rows[n - 1].why, "write %u", &last) != 1)
		return -1;
	first = last / STORY >= 4 ? last / STORY - 3 : 0;
	if (n != last / STORY - first + 1)
		return -1;
	for (size_t i = 0; i < n; i++) {
		unsigned int at =
			(first + (unsigned int)i) * STORY + (i + 1 == n ? last % STORY : STORY - 1);
		struct mig_row want = row_of(at);

		if (memcmp(&rows[i].id, &want.id, sizeof(want.id)) != 0 ||
		    strcmp(rows[i].why, want.why) != 0 || rows[i].phase != want.phase ||
		    rows[i].outcome != want.outcome || rows[i].epoch != want.epoch ||
		    strcmp(rows[i].peer.address, want.peer.address) != 0)
			return -1;
	}
	return (int)last + 1;
}

/* Epochs and phases were written with the rows: they are of the same writes. */
static bool rest_is_told(struct journal *j, unsigned int writes)
{
	struct mig_row last;
	uint64_t epoch = 0;
	bool given = false;

	if (!writes)
		return true;
	last = row_of(writes - 1);
	if (journal_epoch_get(j, last.uuid, &epoch, &given))
		return false;
	return epoch == last.epoch && given == (last.phase != MIG_PERFORMING);
}

/* ---- power ---- */

/* Opens what is left, and goes on: at least `acked` writes are there, at most one more. */
static void judge_left(unsigned int acked, uint64_t at, uint64_t seed)
{
	struct journal *j = NULL;
	struct mig_row *rows = NULL;
	size_t n = 0;
	int found;

	if (journal_open(path, &j) || journal_read(j, &rows, &n))
		fail_msg("dead at %lu, seed %lu: it cannot be read", at, seed);
	found = story_told(rows, n);
	free(rows);
	if (found < (int)acked || found > (int)acked + 1 || !rest_is_told(j, (unsigned int)found))
		fail_msg("dead at %lu, seed %lu: %u writes were promised, %d are there", at, seed,
			 acked, found);
	if (write_nth(j, (unsigned int)found))
		fail_msg("dead at %lu, seed %lu: it cannot be written on", at, seed);
	journal_close(j);
}

/* Writes until the disk dies or all is written. False: it lived. */
static bool tell(unsigned int writes, uint64_t at, uint64_t seed)
{
	struct journal *j = NULL;
	unsigned int acked = 0;
	bool dead;

	disk_wipe();
	disk.dies_at = at;
	if (!journal_open(path, &j)) {
		while (acked < writes && !write_nth(j, acked))
			acked++;
	}
	journal_close(j);
	dead = disk.dead;
	disk_power(seed);
	judge_left(acked, at, seed);
	return dead;
}

static void what_was_promised_outlives_a_power_loss_at_every_write(void **state)
{
	uint64_t at = 1;

	(void)state;
	disk_use(true);
	for (bool dead = true; dead; at++) {
		dead = false;
		for (uint64_t seed = 1; seed <= 4; seed++)
			dead = tell(9, at, seed) || dead;
	}
	assert_true(at > 40);
	disk_wipe();
	disk_use(false);
}

/* Long enough that the log is written back into the file, more than once. */
static void a_power_loss_while_the_log_is_written_back_loses_nothing(void **state)
{
	(void)state;
	disk_use(true);
	disk_wipe();
	assert_false(tell(WRITES_MAX, 0, 1));
	for (uint64_t at = 400; tell(WRITES_MAX, at, at); at += 151)
		;
	disk_wipe();
	disk_use(false);
}

static void a_write_that_fails_is_an_error_and_the_file_stays_good(void **state)
{
	static const struct {
		int code, err;
	} table[] = { { SQLITE_FULL, -ENOSPC }, { SQLITE_IOERR_WRITE, -EIO } };

	(void)state;
	disk_use(true);
	for (size_t t = 0; t < ARRAY_LEN(table); t++) {
		for (uint64_t at = 1; at < 8; at++) {
			struct journal *j = NULL;
			int r = 0;

			disk_wipe();
			assert_int_equal(journal_open(path, &j), 0);
			assert_int_equal(write_nth(j, 0), 0);
			disk.fails_with = table[t].code;
			disk.fails_at = disk.ops + at;
			for (unsigned int n = 1; n < 6 && !r; n++)
				r = write_nth(j, n);
			if (r != table[t].err)
				fail_msg("operation %lu: %d", at, r);
			journal_close(j);
			disk_power(at);
			assert_int_equal(journal_open(path, &j), 0);
			journal_close(j);
		}
	}
	disk_wipe();
	disk_use(false);
}

/* ---- a file ---- */

static void rows_come_back_as_they_were_written(void **state)
{
	struct journal *j = NULL;
	struct mig_row *rows = NULL;
	size_t n = 0;
	struct stat st;

	(void)state;
	assert_int_equal(journal_open(path, &j), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(write_nth(j, i), 0);
	journal_close(j);
	assert_int_equal(journal_open(path, &j), 0);
	assert_int_equal(journal_read(j, &rows, &n), 0);
	assert_int_equal(story_told(rows, n), 20);
	free(rows);
	journal_close(j);
}

static void one_process_at_a_time_has_it(void **state)
{
	struct journal *j = NULL, *other = NULL;

	(void)state;
	assert_int_equal(journal_open(path, &j), 0);
	assert_int_equal(write_nth(j, 0), 0);
	assert_int_equal(journal_open(path, &other), -EBUSY);
	assert_null(other);
	journal_close(j);
	assert_int_equal(journal_open(path, &other), 0);
	journal_close(other);
}

static void spoil(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_file_that_is_none_of_ours_is_refused_and_left_alone(void **state)
{
	static const char text[] = "this is no database, and long enough to be looked at as one: "
				   "0123456789012345678901234567890123456789012345678901234567890";
	struct journal *j = NULL;
	char found[sizeof(text)];
	FILE *f;

	(void)state;
	spoil("CREATE TABLE other(a)");
	assert_int_equal(journal_open(path, &j), -EPROTO);
	spoil("INSERT INTO other VALUES(1)");
	wipe(NULL);
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(journal_open(path, &j), -EPROTO);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(found, 1, sizeof(found), f), sizeof(found));
	fclose(f);
	assert_memory_equal(found, text, sizeof(text));
}

static void a_later_versions_file_and_rows_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *sql;
		int open, read;
	} table[] = {
		{ "PRAGMA user_version = 2", -EPROTO, 0 },
		{ "UPDATE migration SET phase = 99", 0, -EPROTO },
		{ "UPDATE migration SET phase = 0", 0, -EPROTO },
		{ "UPDATE migration SET phase = 'given'", 0, -EPROTO },
		{ "UPDATE migration SET side = 1", 0, -EPROTO },
		{ "UPDATE migration SET outcome = 2", 0, -EPROTO },
		{ "UPDATE migration SET uuid = x'00'", 0, -EPROTO },
		{ "UPDATE migration SET guest = NULL", 0, -EPROTO },
		{ "UPDATE migration SET guest = hex(zeroblob(200))", 0, -EPROTO },
		{ "UPDATE migration SET epoch = -1", 0, -EPROTO },
		{ "UPDATE migration SET told = 2", 0, -EPROTO },
		{ "UPDATE migration SET why = why", 0, 0 },
		{ "DROP TABLE guest", -EIO, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct journal *j = NULL;
		struct mig_row *rows = NULL;
		size_t n = 0;

		wipe(state);
		assert_int_equal(journal_open(path, &j), 0);
		assert_int_equal(write_nth(j, 0), 0);
		assert_int_equal(write_nth(j, 1), 0);
		journal_close(j);
		spoil(table[i].sql);
		j = NULL;
		if (journal_open(path, &j) != table[i].open)
			fail_msg("open after %s", table[i].sql);
		if (j && journal_read(j, &rows, &n) != table[i].read)
			fail_msg("read after %s", table[i].sql);
		free(rows);
		journal_close(j);
	}
}

static void a_damaged_file_is_refused(void **state)
{
	struct journal *j = NULL;
	uint8_t junk[4096];
	int fd;

	(void)state;
	assert_int_equal(journal_open(path, &j), 0);
	for (unsigned int i = 0; i < 60; i++)
		assert_int_equal(write_nth(j, i), 0);
	journal_close(j);
	memset(junk, 0xa5, sizeof(junk));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 4096), sizeof(junk));
	close(fd);
	j = NULL;
	assert_int_equal(journal_open(path, &j), -EIO);
	assert_null(j);
}

struct told {
	unsigned int n;
	enum mig_phase phases[128];
};

static void phase_note(void *data, enum mig_phase phase, uint64_t wall_ms, const char *why)
{
	struct told *t = data;

	assert_true(wall_ms >= 1000 && strncmp(why, "write ", 6) == 0);
	assert_true(t->n < 128);
	t->phases[t->n++] = phase;
}

static void phases_are_kept_in_order_once_each_and_bounded(void **state)
{
	struct mig_row row = row_of(0), done = row_of(1);
	const struct mig_row *rows[] = { &row };
	struct mig_id id = row.id;
	struct told t = { 0 };
	struct journal *j = NULL;

	(void)state;
	assert_int_equal(journal_open(path, &j), 0);
	assert_int_equal(write_nth(j, 0), 0);
	assert_int_equal(write_nth(j, 0), 0);
	assert_int_equal(write_nth(j, 1), 0);
	assert_int_equal(write_nth(j, 2), 0);
	assert_int_equal(journal_history(j, &id, phase_note, &t), 0);
	assert_int_equal(t.n, 3);
	assert_memory_equal(t.phases, story, sizeof(story));
	for (unsigned int i = 0; i < 200; i++) {
		rows[0] = i % 2 ? &done : &row;
		assert_int_equal(journal_write(j, rows, 1, NULL, 0), 0);
	}
	t.n = 0;
	assert_int_equal(journal_history(j, &id, phase_note, &t), 0);
	assert_int_equal(t.n, JOURNAL_PHASES_MAX);
	assert_int_equal(journal_write(j, NULL, 0, &id, 1), 0);
	t.n = 0;
	assert_int_equal(journal_history(j, &id, phase_note, &t), 0);
	assert_int_equal(t.n, 0);
	journal_close(j);
}

static void phases_that_are_entered_tell_the_epoch_and_rows_written_again_do_not(void **state)
{
	static const struct {
		enum mig_phase phase;
		enum mig_outcome outcome;
		uint64_t epoch, found;
		uint8_t id;
		bool given;
	} table[] = {
		{ MIG_PERFORMING, MIG_OPEN, 5, 5, 1, false },
		{ MIG_ABORTED, MIG_STAYED, 5, 7, 1, false },
		{ MIG_PERFORMING, MIG_OPEN, 7, 7, 2, false },
		{ MIG_GIVEN, MIG_MOVED, 7, 7, 2, true },
		{ MIG_ABORTED, MIG_STAYED, 5, 7, 1, true }, /* its peer has heard */
		{ MIG_DONE, MIG_STAYED, 5, 7, 1, true },
		{ MIG_DONE, MIG_MOVED, 7, 7, 2, true },
		/* Another guest of this uuid, made elsewhere, where nobody knew of any epoch. */
		{ MIG_RECEIVING, MIG_OPEN, 1, 2, 3, true },
		{ MIG_OWNED, MIG_MOVED, 1, 2, 3, false },
		{ MIG_DONE, MIG_MOVED, 1, 2, 3, false },
	};
	struct mig_row row = row_of(0);
	const struct mig_row *rows[] = { &row };
	struct journal *j = NULL;
	uint64_t epoch = 9;
	bool given = true;

	(void)state;
	assert_int_equal(journal_open(path, &j), 0);
	assert_int_equal(journal_epoch_get(j, row.uuid, &epoch, &given), 0);
	assert_true(epoch == 0 && !given);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		row.id.b[0] = table[i].id;
		row.side = table[i].id == 3 ? MIG_DESTINATION : MIG_SOURCE;
		row.phase = table[i].phase;
		row.outcome = table[i].outcome;
		row.epoch = table[i].epoch;
		assert_int_equal(journal_write(j, rows, 1, NULL, 0), 0);
		assert_int_equal(journal_epoch_get(j, row.uuid, &epoch, &given), 0);
		if (epoch != table[i].found || given != table[i].given)
			fail_msg("%zu: %lu %d", i, epoch, given);
	}
	assert_int_equal(journal_epoch_set(j, row.uuid, 3, true), 0);
	row.told = true;
	assert_int_equal(journal_write(j, rows, 1, NULL, 0), 0);
	assert_int_equal(journal_epoch_get(j, row.uuid, &epoch, &given), 0);
	assert_true(epoch == 3 && given);
	journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(rows_come_back_as_they_were_written, wipe),
		cmocka_unit_test_teardown(one_process_at_a_time_has_it, wipe),
		cmocka_unit_test_teardown(a_file_that_is_none_of_ours_is_refused_and_left_alone,
					  wipe),
		cmocka_unit_test_teardown(a_later_versions_file_and_rows_that_cannot_be_are_refused,
					  wipe),
		cmocka_unit_test_teardown(a_damaged_file_is_refused, wipe),
		cmocka_unit_test_teardown(phases_are_kept_in_order_once_each_and_bounded, wipe),
		cmocka_unit_test_teardown(
			phases_that_are_entered_tell_the_epoch_and_rows_written_again_do_not, wipe),
		cmocka_unit_test_teardown(what_was_promised_outlives_a_power_loss_at_every_write,
					  wipe),
		cmocka_unit_test_teardown(a_power_loss_while_the_log_is_written_back_loses_nothing,
					  wipe),
		cmocka_unit_test_teardown(a_write_that_fails_is_an_error_and_the_file_stays_good,
					  wipe),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
