/* SPDX-License-Identifier: MIT */
/*
 * Journals that are damaged, foreign, cut short or have no room. What a whole one holds, whatever
 * the instant, is compared in the seeded world: tests/sim/crash.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "op/world_test.h"
#include "recover/header.h"
#include "recover/recover.h"

#define BOOT "this boot"

struct rig {
	int fd[JOURNAL_FILES];
	struct journal *journal;
	struct world *w;
	char logged[512]; /* the last error */
};

static void keep_error(void *data, enum log_level level, const char *line)
{
	struct rig *r = data;

	if (level == LOG_LEVEL_ERROR)
		snprintf(r->logged, sizeof(r->logged), "%s", line);
}

/* A world with a bit of everything, and its journal. */
static void rig_init(struct rig *r)
{
	struct state_host host = { .started_ms = 7, .trace_on = true, .trace_path = "/a/trace" };

	memset(r, 0, sizeof(*r));
	for (unsigned int i = 0; i < JOURNAL_FILES; i++) {
		r->fd[i] = memfd_create(journal_file_name[i], MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_true(r->fd[i] >= 0);
	}
	r->w = world_new();
	for (unsigned int i = 0; i < 2; i++)
		r->w->socket[i].conn->peer_id = i + 1;
	assert_int_equal(journal_new(r->fd, BOOT, &r->journal), 0);
	assert_int_equal(journal_start(r->journal, r->w->core, &host, true), 0);
	world_guest(r->w, 2);
	assert_string_equal(ask(r->w, 0, XS_WRITE, "/s/x|1"), "OK|");
	assert_string_equal(ask(r->w, 0, XS_WATCH, "/s|t|"), "OK|");
	assert_string_equal(ask(r->w, 2, XS_WATCH, "@releaseDomain|u|1|"), "OK|");
	assert_string_equal(ask(r->w, 1, XS_TRANSACTION_START, "|"), "1|");
	assert_string_equal(ask_in(r->w, 1, 1, XS_WRITE, "/s/y|2"), "OK|");
	assert_string_equal(ask(r->w, 0, XS_RM, "/s/x|"), "OK|");
	assert_string_equal(ask(r->w, 0, XS_SET_PERMS, "/s|b0|r2|"), "OK|");
	assert_int_equal(conn_commit(&r->w->core->conns), 0);
	log_set_sink(keep_error, r);
}

static void rig_fini(struct rig *r)
{
	log_set_sink(NULL, NULL);
	journal_stop(r->journal);
	world_free(r->w);
	journal_free(r->journal);
	for (unsigned int i = 0; i < JOURNAL_FILES; i++)
		close(r->fd[i]);
}

/* Reads along, changing nothing. 0, ENOENT, EINVAL; then it is logged why. */
static int read_along(struct rig *r, const char *boot)
{
	struct quota_policy policy = r->w->policy;
	struct core_options opt = { .key = { 5, 6 },
				    .priv_domid = PERM_NO_DOMID,
				    .policy = &policy };
	struct recover *rec = NULL;
	struct journal *j;
	int e;

	r->logged[0] = '\0';
	e = journal_attach(r->fd, boot, false, &j);
	if (e)
		return e;
	assert_int_equal(recover_new(j, &opt, &rec), 0);
	e = recover_read(rec);
	if (e)
		assert_string_equal(recover_error(rec), r->logged);
	else
		assert_non_null(recover_core(rec));
	recover_free(rec);
	journal_free(j);
	return e;
}

static void what_is_written_can_be_read_along(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(read_along(&r, BOOT), 0);
	assert_string_equal(ask(r.w, 0, XS_WRITE, "/s/z|1"), "OK|");
	assert_int_equal(read_along(&r, BOOT), 0);
	rig_fini(&r);
}

static void files_of_another_boot_hold_no_journal(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(read_along(&r, "another boot"), ENOENT);
	rig_fini(&r);
}

static void empty_files_hold_no_journal(void **state)
{
	int fd[JOURNAL_FILES];
	struct journal *j;

	(void)state;
	for (unsigned int i = 0; i < JOURNAL_FILES; i++)
		fd[i] = memfd_create(journal_file_name[i], MFD_CLOEXEC);
	assert_int_equal(journal_attach(fd, BOOT, true, &j), ENOENT);
	for (unsigned int i = 0; i < JOURNAL_FILES; i++)
		close(fd[i]);
}

static uint8_t *map(int fd, size_t len)
{
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* Octets of a file that are used. */
static size_t used(const struct rig *r, unsigned int file)
{
	const struct journal_header *h = r->journal->header;

	if (!file)
		return 4096;
	return file % 2 ? h->base_len[(file - 1) / 2] : journal_log_end(h, (file - 2) / 2);
}

static void a_flipped_bit_is_refused_with_a_reason_or_harmless(void **state)
{
	unsigned int refused = 0, harmless = 0;
	struct rig r;

	(void)state;
	rig_init(&r);
	for (unsigned int file = 0; file < JOURNAL_FILES; file++) {
		size_t len = used(&r, file);
		uint8_t *p;

		if (!len)
			continue;
		p = map(r.fd[file], len);
		for (size_t at = 0; at < len; at++) {
			uint8_t bit = (uint8_t)(1u << (at * 5 + at / 8) % 8);
			int e;

			p[at] ^= bit;
			e = read_along(&r, BOOT);
			p[at] ^= bit;
			assert_true(e == 0 || e == EINVAL || e == ENOENT);
			if (e == EINVAL)
				assert_true(r.logged[0]);
			refused += e != 0;
			harmless += e == 0;
		}
		munmap(p, len);
	}
	assert_true(refused > 100);
	assert_true(harmless > 100);
	assert_int_equal(read_along(&r, BOOT), 0);
	rig_fini(&r);
}

static void a_file_that_is_cut_short_is_refused(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	for (unsigned int file = 1; file < JOURNAL_FILES; file++) {
		size_t len = used(&r, file);
		uint8_t *copy = malloc(len + 1);
		struct stat st;

		if (len)
			assert_int_equal(pread(r.fd[file], copy, len, 0), len);
		assert_int_equal(fstat(r.fd[file], &st), 0);
		for (size_t at = 0; at < len; at += 8) {
			assert_int_equal(ftruncate(r.fd[file], (off_t)at), 0);
			assert_int_equal(read_along(&r, BOOT), EINVAL);
			assert_non_null(strstr(r.logged, journal_file_name[file]));
		}
		/* the pages are gone: what is mapped sees the file's anew */
		assert_int_equal(ftruncate(r.fd[file], st.st_size), 0);
		if (len)
			assert_int_equal(pwrite(r.fd[file], copy, len, 0), len);
		assert_int_equal(read_along(&r, BOOT), 0);
		free(copy);
	}
	rig_fini(&r);
}

/* The daemon serves on; what the files hold is not taken for the present state. */
static void without_room_requests_are_served_and_nothing_old_is_kept(void **state)
{
	struct journal_stats stats;
	char text[4096];
	struct rig r;

	(void)state;
	rig_init(&r);
	for (unsigned int i = 1; i < JOURNAL_FILES; i++)
		assert_int_equal(fcntl(r.fd[i], F_ADD_SEALS, F_SEAL_GROW), 0);
	memset(text, 'v', sizeof(text));
	memcpy(text, "/s/v|", 5);
	text[2000] = '\0';
	for (unsigned int i = 0; i < 2000; i++) {
		text[5] = (char)('a' + i % 20);
		assert_string_equal(ask(r.w, 0, XS_WRITE, text), "OK|");
	}
	journal_stats(r.journal, &stats);
	assert_true(stats.broken);
	assert_int_equal(read_along(&r, BOOT), ENOENT);
	assert_string_equal(ask(r.w, 2, XS_READ, "/s/y|"), "ENOENT|");
	rig_fini(&r);
}

/* The log has no room to speak of, whatever the base has. */
static void a_log_that_hardly_grows_is_not_written_anew_with_each_commit(void **state)
{
	struct journal_stats stats;
	char text[4096];
	struct rig r;

	(void)state;
	rig_init(&r);
	r.journal->log_min = 4u << 20;
	for (unsigned int i = 2; i < JOURNAL_FILES; i += 2)
		assert_int_equal(fcntl(r.fd[i], F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	memset(text, 'v', sizeof(text));
	memcpy(text, "/s/v|", 5);
	text[2000] = '\0';
	for (unsigned int i = 0; i < 2000; i++)
		assert_string_equal(ask(r.w, 0, XS_WRITE, text), "OK|");
	journal_stats(r.journal, &stats);
	assert_true(stats.broken);
	assert_in_range(stats.checkpoints, 0, 3);
	assert_int_equal(read_along(&r, BOOT), ENOENT);
	rig_fini(&r);
}

static void checkpoints_follow_the_log(void **state)
{
	struct journal_stats stats;
	char text[64];
	struct rig r;

	(void)state;
	rig_init(&r);
	r.journal->log_min = 4000;
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "/s/%u|%u", i % 50, i);
		assert_string_equal(ask(r.w, 0, XS_WRITE, text), "OK|");
		while (journal_round(r.journal))
			;
		if (i % 50 == 0)
			assert_int_equal(read_along(&r, BOOT), 0);
	}
	journal_stats(r.journal, &stats);
	assert_true(stats.checkpoints > 5);
	assert_in_range(stats.log_octets, 0, 40000);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_can_be_read_along),
		cmocka_unit_test(files_of_another_boot_hold_no_journal),
		cmocka_unit_test(empty_files_hold_no_journal),
		cmocka_unit_test(a_flipped_bit_is_refused_with_a_reason_or_harmless),
		cmocka_unit_test(a_file_that_is_cut_short_is_refused),
		cmocka_unit_test(without_room_requests_are_served_and_nothing_old_is_kept),
		cmocka_unit_test(a_log_that_hardly_grows_is_not_written_anew_with_each_commit),
		cmocka_unit_test(checkpoints_follow_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
