/* SPDX-License-Identifier: MIT */
/*
 * Files of a domain: replaced whole or not at all, under libxl's names; nobody else's are touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/userdata.h"
#include "config/userdata_priv.h"

#define UUID "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
#define OTHER "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"

struct world {
	char dir[64];
	struct userdata *u;
	struct conf_err err;
};

static int world_new(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	strcpy(w->dir, "/tmp/drover-userdata-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(userdata_open(w->dir, 1000, &w->err, &w->u), 0);
	*state = w;
	return 0;
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int world_free(void **state)
{
	struct world *w = *state;

	userdata_close(w->u);
	nftw(w->dir, drop, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

static int put(struct world *w, uint32_t domid, const char *uuid, const char *name,
	       const char *text)
{
	return userdata_write(w->u, domid, uuid, name, text, strlen(text), false, &w->err);
}

static void assert_file(struct world *w, const char *name, const char *text)
{
	char *data = NULL;
	size_t len = 0;

	assert_int_equal(userdata_read(w->u, 7, UUID, name, &w->err, &data, &len), 0);
	assert_int_equal(len, strlen(text));
	assert_string_equal(data, text);
	free(data);
}

/* A file of any name, as others leave them. */
static void touch(struct world *w, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	close(fd);
}

static bool is_there(struct world *w, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	return !access(path, F_OK);
}

static void a_file_is_written_under_libxls_name_and_read_back(void **state)
{
	struct world *w = *state;
	struct stat st;
	char *path;

	assert_int_equal(put(w, 7, UUID, USERDATA_RECORD, "{}"), 0);
	path = userdata_path(w->u, 'd', 7, UUID, USERDATA_RECORD);
	assert_non_null(strstr(path, "/userdata-d.7." UUID ".libxl-json"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_file(w, USERDATA_RECORD, "{}");
	assert_int_equal(put(w, 7, UUID, USERDATA_RECORD, "{ }\n"), 0);
	assert_file(w, USERDATA_RECORD, "{ }\n");
	assert_false(is_there(w, "userdata-n.7." UUID ".libxl-json"));
	free(path);
}

static void what_a_killed_writer_left_is_not_written_into(void **state)
{
	struct world *w = *state;
	char path[512], target[512];
	struct stat st;

	/* One of other rights, and one that leads elsewhere. */
	touch(w, "userdata-n.7." UUID ".libxl-json");
	assert_int_equal(put(w, 7, UUID, USERDATA_RECORD, "one"), 0);
	snprintf(path, sizeof(path), "%s/userdata-d.7." UUID ".libxl-json", w->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(target, sizeof(target), "%s/elsewhere", w->dir);
	snprintf(path, sizeof(path), "%s/userdata-n.7." UUID ".libxl-json", w->dir);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(put(w, 7, UUID, USERDATA_RECORD, "two"), 0);
	assert_file(w, USERDATA_RECORD, "two");
	assert_false(is_there(w, "elsewhere"));
}

static void a_first_file_is_refused_where_there_is_one(void **state)
{
	struct world *w = *state;

	assert_int_equal(userdata_write(w->u, 7, UUID, "x", "1", 1, true, &w->err), 0);
	assert_int_equal(userdata_write(w->u, 7, UUID, "x", "2", 1, true, &w->err), -EEXIST);
	assert_non_null(strstr(w->err.text, "userdata-d.7." UUID ".x: is there already"));
	assert_file(w, "x", "1");
	assert_false(is_there(w, "userdata-n.7." UUID ".x"));
}

static void a_disk_that_is_full_changes_nothing(void **state)
{
	struct world *w = *state;
	struct rlimit was, tiny = { 100, 0 };
	char big[1000];
	sighandler_t old;

	assert_int_equal(put(w, 7, UUID, "x", "before"), 0);
	memset(big, 'x', sizeof(big));
	old = signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	tiny.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tiny), 0);
	assert_int_equal(userdata_write(w->u, 7, UUID, "x", big, sizeof(big), false, &w->err),
			 -ENOSPC);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	signal(SIGXFSZ, old);
	assert_non_null(strstr(w->err.text, "userdata-n.7." UUID ".x: cannot be written"));
	assert_file(w, "x", "before");
	assert_false(is_there(w, "userdata-n.7." UUID ".x"));
}

#define IMPOSSIBLE 100 /* in a user namespace that knows nobody else */

/* As somebody who may not write: root may everything, so that is given up in a child. */
static int without_rights(struct world *w)
{
	if (!geteuid() && (setgid(65534) || setuid(65534)))
		return IMPOSSIBLE;
	if (put(w, 7, UUID, "x", "after") != -EACCES)
		return 1;
	if (!strstr(w->err.text, "userdata-n.7." UUID ".x: cannot be created"))
		return 2;
	if (userdata_remove(w->u, 7, UUID, "x", &w->err) != -EACCES)
		return 3;
	if (userdata_remove_all(w->u, 7, UUID, &w->err) != -EACCES)
		return 4;
	return 0;
}

static void a_directory_that_refuses_is_told_with_the_file(void **state)
{
	struct world *w = *state;
	int status;
	pid_t pid;

	assert_int_equal(put(w, 7, UUID, "x", "before"), 0);
	assert_int_equal(chmod(w->dir, 0555), 0);
	pid = fork();
	if (!pid)
		_exit(without_rights(w));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(w->dir, 0755), 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == IMPOSSIBLE)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_file(w, "x", "before");
}

static void what_cannot_be_read_is_an_error_with_its_path(void **state)
{
	struct world *w = *state;
	char path[512];
	char *data = NULL;
	size_t len;

	assert_int_equal(userdata_read(w->u, 7, UUID, "x", &w->err, &data, &len), -ENOENT);
	assert_non_null(strstr(w->err.text, "userdata-d.7." UUID ".x"));
	snprintf(path, sizeof(path), "%s/userdata-d.7." UUID ".x", w->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(userdata_read(w->u, 7, UUID, "x", &w->err, &data, &len), -EIO);
	assert_non_null(strstr(w->err.text, "is no regular file"));
	assert_int_equal(rmdir(path), 0);
	/* A pipe that nobody writes to must not hold us. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(userdata_read(w->u, 7, UUID, "x", &w->err, &data, &len), -EIO);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(userdata_read(w->u, 7, UUID, "x", &w->err, &data, &len), -EIO);
	assert_int_equal(unlink(path), 0);
	touch(w, "userdata-d.7." UUID ".x");
	assert_int_equal(truncate(path, (off_t)USERDATA_FILE_MAX + 1), 0);
	assert_int_equal(userdata_read(w->u, 7, UUID, "x", &w->err, &data, &len), -EFBIG);
	assert_int_equal(truncate(path, USERDATA_FILE_MAX), 0);
	assert_int_equal(userdata_read(w->u, 7, UUID, "x", &w->err, &data, &len), 0);
	assert_int_equal(len, USERDATA_FILE_MAX);
	assert_int_equal(data[len], 0);
	free(data);
	assert_int_equal(userdata_read(w->u, 7, "../../etc/passwd", "x", &w->err, &data, &len),
			 -EINVAL);
}

static void names_are_read_strictly(void **state)
{
	static const struct {
		const char *file;
		bool ok;
	} rows[] = {
		{ "userdata-d.7." UUID ".libxl-json", true },
		{ "userdata-l.0." UUID ".domain-userdata-lock", true },
		{ "userdata-n.4294967295." UUID ".x.y", true },
		{ "userdata-d.4294967296." UUID ".x", false },
		{ "userdata-d.99999999999999999999." UUID ".x", false },
		{ "userdata-d.07." UUID ".x", false },
		{ "userdata-d.-1." UUID ".x", false },
		{ "userdata-d.+1." UUID ".x", false },
		{ "userdata-d.." UUID ".x", false },
		{ "userdata-d.7." UUID ".", false },
		{ "userdata-d.7." UUID, false },
		{ "userdata-d.7.6F1C2B3A-0d4e-4f5a-9b6c-7d8e9f0a1b2c.x", false },
		{ "userdata-d.7.6f1c2b3a-0d4e.x", false },
		{ "userdata-x.7." UUID ".x", false },
		{ "userdata-d7." UUID ".x", false },
		{ "userdata-", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct userdata_name name;
		char again[NAME_MAX + 1];
		bool ok = userdata_name_parse(rows[i].file, &name);

		if (ok != rows[i].ok)
			fail_msg("\"%s\"", rows[i].file);
		if (!ok)
			continue;
		assert_true(userdata_file_name(name.what, name.domid, name.uuid, name.name, again));
		assert_string_equal(again, rows[i].file);
	}
}

struct seen {
	uint32_t domids[8];
	size_t n;
	int answer;
};

static int see(void *data, uint32_t domid, const char *uuid)
{
	struct seen *s = data;

	assert_int_equal(strlen(uuid), 36);
	s->domids[s->n++] = domid;
	return s->answer;
}

static void files_of_a_name_are_told_in_order(void **state)
{
	struct world *w = *state;
	struct seen s = { .n = 0 };

	touch(w, "userdata-d.10." UUID ".libxl-json");
	touch(w, "userdata-d.9." OTHER ".libxl-json");
	touch(w, "userdata-d.9." OTHER ".libxl-json2");
	touch(w, "userdata-n.8." OTHER ".libxl-json");
	touch(w, "userdata-l.8." OTHER ".libxl-json");
	touch(w, "lost+found");
	assert_int_equal(userdata_each(w->u, "libxl-json", see, &s), 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.domids[0], 9);
	assert_int_equal(s.domids[1], 10);
	s = (struct seen){ .answer = 5 };
	assert_int_equal(userdata_each(w->u, "libxl-json", see, &s), 5);
	assert_int_equal(s.n, 1);
}

static void all_files_of_one_domain_go_and_no_others(void **state)
{
	struct world *w = *state;
	struct userdata_lock held = USERDATA_LOCK_INIT;

	assert_int_equal(put(w, 7, UUID, USERDATA_RECORD, "{}"), 0);
	assert_int_equal(put(w, 7, UUID, "xl", "name=1"), 0);
	assert_int_equal(put(w, 7, OTHER, USERDATA_RECORD, "{}"), 0);
	assert_int_equal(put(w, 70, UUID, USERDATA_RECORD, "{}"), 0);
	touch(w, "userdata-n.7." UUID ".libxl-json");
	touch(w, "userdata-l.7." UUID ".libxl-device-changes-lock");
	touch(w, "userdata-l.70." UUID ".libxl-device-changes-lock");
	assert_int_equal(userdata_lock_take(w->u, 7, UUID, USERDATA_LOCK_RECORD, &w->err, &held),
			 0);
	assert_int_equal(userdata_remove_all(w->u, 7, UUID, &w->err), 0);
	assert_false(is_there(w, "userdata-d.7." UUID ".libxl-json"));
	assert_false(is_there(w, "userdata-d.7." UUID ".xl"));
	assert_false(is_there(w, "userdata-n.7." UUID ".libxl-json"));
	assert_false(is_there(w, "userdata-l.7." UUID ".libxl-device-changes-lock"));
	assert_true(is_there(w, "userdata-l.7." UUID ".domain-userdata-lock"));
	assert_true(is_there(w, "userdata-d.7." OTHER ".libxl-json"));
	assert_true(is_there(w, "userdata-d.70." UUID ".libxl-json"));
	assert_true(is_there(w, "userdata-l.70." UUID ".libxl-device-changes-lock"));
	userdata_lock_release(&held);
	assert_false(is_there(w, "userdata-l.7." UUID ".domain-userdata-lock"));
	assert_int_equal(userdata_remove_all(w->u, 7, UUID, &w->err), 0);
}

static void removing_what_is_not_there_is_done(void **state)
{
	struct world *w = *state;

	assert_int_equal(put(w, 7, UUID, "x", "1"), 0);
	assert_int_equal(userdata_remove(w->u, 7, UUID, "x", &w->err), 0);
	assert_false(is_there(w, "userdata-d.7." UUID ".x"));
	assert_int_equal(userdata_remove(w->u, 7, UUID, "x", &w->err), 0);
}

static void what_is_no_directory_is_refused(void **state)
{
	struct world *w = *state;
	struct userdata *u = NULL;
	char path[512];

	snprintf(path, sizeof(path), "%s/x", w->dir);
	assert_int_equal(userdata_open(path, 1, &w->err, &u), -ENOENT);
	touch(w, "x");
	assert_int_equal(userdata_open(path, 1, &w->err, &u), -ENOTDIR);
	assert_non_null(strstr(w->err.text, path));
	assert_null(u);
}

/* A relative directory stays the one that was opened. */
static void the_working_directory_may_change(void **state)
{
	struct world *w = *state;
	struct userdata_lock held = USERDATA_LOCK_INIT;
	struct userdata *u = NULL;
	char was[512];

	assert_non_null(getcwd(was, sizeof(was)));
	assert_int_equal(chdir(w->dir), 0);
	assert_int_equal(userdata_open(".", 1000, &w->err, &u), 0);
	assert_int_equal(chdir("/"), 0);
	assert_string_equal(userdata_dir(u), w->dir);
	assert_int_equal(userdata_lock_take(u, 7, UUID, "x", &w->err, &held), 0);
	assert_true(is_there(w, "userdata-l.7." UUID ".x"));
	userdata_lock_release(&held);
	assert_false(is_there(w, "userdata-l.7." UUID ".x"));
	userdata_close(u);
	assert_int_equal(chdir(was), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_written_under_libxls_name_and_read_back),
		TEST(what_a_killed_writer_left_is_not_written_into),
		TEST(a_first_file_is_refused_where_there_is_one),
		TEST(a_disk_that_is_full_changes_nothing),
		TEST(a_directory_that_refuses_is_told_with_the_file),
		TEST(what_cannot_be_read_is_an_error_with_its_path),
		TEST(names_are_read_strictly),
		TEST(files_of_a_name_are_told_in_order),
		TEST(all_files_of_one_domain_go_and_no_others),
		TEST(removing_what_is_not_there_is_done),
		TEST(what_is_no_directory_is_refused),
		TEST(the_working_directory_may_change),
	};

	return cmocka_run_group_tests_name("config/userdata", tests, NULL, NULL);
}
