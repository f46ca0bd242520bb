/* SPDX-License-Identifier: MIT */
/*
 * Scripts as they come: they succeed, fail, say why, never end, leave children behind, or are not
 * there at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/client.h"
#include "config/script.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/drover-script-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* Writes a script and returns its path, in memory that lasts for one test. */
static const char *script(const char *name, const char *body, mode_t mode)
{
	static char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", body);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static int run(const char *path, uint32_t timeout_ms, struct conf_err *err)
{
	const char *const argv[] = { path, "add", NULL };
	struct script_env env = { .n = 0 };
	int r = script_env_add(&env, err, "XENBUS_PATH=backend/vbd/7/%d", 51712);

	assert_int_equal(r, 0);
	r = script_run(argv, &env, timeout_ms, err);
	script_env_fini(&env);
	return r;
}

/* What a script ends with, and what is told of it. */
static void an_end_has_its_errno_and_its_last_line(void **state)
{
	static const struct {
		const char *name, *body;
		int r;
		const char *said; /* in the line, NULL: no line */
	} cases[] = {
		{ "good", "exit 0", 0, NULL },
		{ "silent", "exit 3", -EREMOTEIO, "silent add: exit status 3" },
		{ "why", "echo first; echo 'no such volume' >&2; exit 1", -EREMOTEIO,
		  "exit status 1: no such volume" },
		{ "unended", "printf 'half a line' >&2; exit 1", -EREMOTEIO, "1: half a line" },
		{ "blank", "echo text; echo; echo; exit 1", -EREMOTEIO, "1: text" },
		{ "escape", "printf '\\033[31mred\\n' >&2; exit 1", -EREMOTEIO, "1: \\x1b[31mred" },
		{ "signal", "kill -TERM $$", -EREMOTEIO, "killed by signal 15" },
		{ "env", "[ \"$XENBUS_PATH\" = backend/vbd/7/51712 ] && [ \"$1\" = add ]", 0,
		  NULL },
		{ "input", "read line && exit 1 || exit 0", 0, NULL },
		{ "flood",
		  "i=0; while [ $i -lt 20000 ]; do echo $i$i$i$i; i=$((i+1)); done; exit 1",
		  -EREMOTEIO, "1: 19999199991999919999" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct conf_err err = { "" };
		int r = run(script(cases[i].name, cases[i].body, 0755), 20000, &err);

		if (r != cases[i].r)
			fail_msg("%s: %d, not %d: %s", cases[i].name, r, cases[i].r, err.text);
		if (!cases[i].said)
			assert_string_equal(err.text, "");
		else if (!strstr(err.text, cases[i].said))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].name, err.text,
				 cases[i].said);
	}
}

/* The group dies with it: a child that would hold the pipe for ever holds nobody up. */
static void one_that_never_ends_is_killed_with_its_children(void **state)
{
	struct conf_err err = { "" };
	char path[128], body[256];
	uint64_t began = conf_now_ms();
	FILE *f;
	int pid = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/child", dir);
	snprintf(body, sizeof(body), "sleep 1000 & echo $! > %s; echo waiting; wait", path);
	assert_int_equal(run(script("endless", body, 0755), 300, &err), -ETIMEDOUT);
	assert_in_range(conf_now_ms() - began, 300, 10000);
	assert_non_null(strstr(err.text, "no end after 300 ms, killed: waiting"));
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	/* the child is init's to reap: dead is a zombie, or nothing */
	for (;;) {
		char stat[64], line[256] = "";

		snprintf(stat, sizeof(stat), "/proc/%d/stat", pid);
		f = fopen(stat, "r");
		if (!f)
			break;
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		fclose(f);
		if (!line[0] || strstr(line, ") Z "))
			break;
		assert_in_range(conf_now_ms() - began, 0, 10000);
	}
}

/* A daemon that a script starts keeps its output: that is no reason to wait for the daemon. */
static void what_it_leaves_behind_is_not_awaited(void **state)
{
	struct conf_err err = { "" };
	char body[256], path[128];
	int pid = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/left", dir);
	snprintf(body, sizeof(body), "sleep 1000 & echo $! > %s; exit 0", path);
	/* waiting for it would end in -ETIMEDOUT */
	assert_int_equal(run(script("leaves", body, 0755), 20000, &err), 0);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	assert_int_equal(kill(pid, SIGKILL), 0);
	unlink(path);
}

static void what_cannot_be_run_is_told_before(void **state)
{
	struct conf_err err = { "" };
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/nowhere", dir);
	assert_int_equal(script_check(path, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(run(path, 1000, &err), -ENOENT);
	assert_int_equal(script_check(dir, &err), -EACCES);
	assert_int_equal(script_check("block", &err), -EACCES);
	assert_int_equal(script_check(script("plain", "exit 0", 0644), &err), -EACCES);
	assert_int_equal(script_check(script("program", "exit 0", 0755), &err), 0);
}

/* Our own variable goes before one of the same name that we inherited. */
static void a_variable_is_set_once(void **state)
{
	struct conf_err err = { "" };

	(void)state;
	setenv("XENBUS_PATH", "of somebody else", 1);
	setenv("XENBUS_PATHS", "kept", 1);
	assert_int_equal(run(script("once",
				    "[ \"$(env | grep -c ^XENBUS_PATH=)\" = 1 ] && "
				    "[ $XENBUS_PATH = backend/vbd/7/51712 ] && "
				    "[ $XENBUS_PATHS = kept ]",
				    0755),
			     20000, &err),
			 0);
	unsetenv("XENBUS_PATH");
	unsetenv("XENBUS_PATHS");
}

static void an_end_that_is_lost_is_told(void **state)
{
	struct conf_err err = { "" };

	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(run(script("lost", "exit 0", 0755), 20000, &err), -ECHILD);
	signal(SIGCHLD, SIG_DFL);
}

/* The signals that we block or ignore are no affair of the script's. */
static void signals_are_as_a_program_expects_them(void **state)
{
	struct conf_err err = { "" };
	sigset_t set, was;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, &was);
	assert_int_equal(run(script("mask", "kill -TERM $$; exit 0", 0755), 20000, &err),
			 -EREMOTEIO);
	sigprocmask(SIG_SETMASK, &was, NULL);
	signal(SIGPIPE, SIG_DFL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_has_its_errno_and_its_last_line),
		cmocka_unit_test(one_that_never_ends_is_killed_with_its_children),
		cmocka_unit_test(what_it_leaves_behind_is_not_awaited),
		cmocka_unit_test(what_cannot_be_run_is_told_before),
		cmocka_unit_test(a_variable_is_set_once),
		cmocka_unit_test(an_end_that_is_lost_is_told),
		cmocka_unit_test(signals_are_as_a_program_expects_them),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
