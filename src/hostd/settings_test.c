/* SPDX-License-Identifier: MIT */
/*
 * Settings: what is said on the command line goes before the file, which goes before defaults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostd/settings.h"
#include "hostd/settings_keys.h"

#define WORDS_MAX 16

struct said {
	const char *file;	      /* NULL: there is none */
	const char *words[WORDS_MAX]; /* of the command line, behind -c FILE */
};

static int read_said(const struct said *said, struct settings *ret)
{
	char path[] = "/tmp/drover-settings-XXXXXX", *argv[WORDS_MAX + 4] = { NULL };
	size_t n = 0;
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	if (said->file)
		assert_int_equal(write(fd, said->file, strlen(said->file)),
				 (int)strlen(said->file));
	close(fd);
	argv[n++] = (char *)(uintptr_t) "drover-hostd";
	argv[n++] = (char *)(uintptr_t) "-c";
	argv[n++] = path;
	for (size_t i = 0; said->words[i]; i++)
		argv[n++] = (char *)(uintptr_t)said->words[i];
	r = settings_read(ret, argv);
	unlink(path);
	return r;
}

static void defaults_are_sound(void **state)
{
	const struct said said = { .words = { "--store", "none" } };
	struct settings s;
	size_t n = 0;

	(void)state;
	assert_int_equal(read_said(&said, &s), 0);
	assert_string_equal(s.backend, "qemu");
	assert_int_equal(s.unix_mode, 0600);
	assert_int_equal(s.migration_port_min, 49152);
	assert_int_equal(s.max_clients, 5000);
	assert_true(s.libvirt_sockets);
	for (const struct settings_key *k = settings_table(); k->name; k++, n++)
		assert_true(k->help && *k->help);
	assert_true(n < SETTINGS_KEYS_MAX);
	settings_fini(&s);
}

/* Each default, said in a file, is taken. */
static void every_default_may_be_said(void **state)
{
	char text[8192] = "";
	struct said said = { .file = text, .words = { "--store=none" } };
	struct settings s;

	(void)state;
	for (const struct settings_key *k = settings_table(); k->name; k++)
		if (k->fallback)
			sprintf(text + strlen(text), " %s\t=  %s \r\n", k->name, k->fallback);
	assert_int_equal(read_said(&said, &s), 0);
	settings_fini(&s);
}

static void the_command_line_goes_before_the_file(void **state)
{
	const struct said said = {
		.file = "# a comment\n\nbackend = sim\nstore = none\nlog_dir = \"/a b\"\n"
			"listen = unix:///a, unix-ro:///b\nmax_clients = 7\nverbose = yes\n",
		.words = { "--max-clients", "8", "--listen=unix:///c", "--listen", "unix:///d",
			   "--libvirt_sockets=no", "--verbose", "no" },
	};
	struct settings s;

	(void)state;
	assert_int_equal(read_said(&said, &s), 0);
	assert_string_equal(s.backend, "sim");
	assert_string_equal(s.log_dir, "/a b");
	assert_int_equal(s.max_clients, 8);
	assert_int_equal(s.listen.n, 2);
	assert_string_equal(s.listen.v[0], "unix:///c");
	assert_string_equal(s.listen.v[1], "unix:///d");
	assert_false(s.libvirt_sockets);
	assert_false(s.verbose);
	settings_fini(&s);
}

/* Refused, and nothing is left to be freed that settings_fini does not free. */
static void what_makes_no_sense_is_refused(void **state)
{
	static const struct said all[] = {
		{ .file = "store = none\nmigration_port_min = 5\nmigration_port_max = 4\n" },
		{ .file = "store = none\nlibvirt_sockets = no\n" },
		{ .file = "store = none\ntls_client_cert = /a\n" },
		{ .file = "store = none\netcd_key = /a\n" },
		{ .file = "store = relative\nsim_dir = /a\n" },
		{ .file = "listen = a b c d e f g h i j k l m n o p q\n" },
		{ .file = "backend =\n" },
		{ .file = "max_clients = -1\n" },
		{ .file = "max_clients = 99999999999999999999\n" },
		{ .file = "migration_port_min = 70000\n" },
		{ .file = "= 1\n" },
		{ .words = { "--store=none", "word" } },
		{ .words = { "--store=none", "--" } },
		{ .words = { "--store=none", "--backend=" } },
		{ .words = { "--store=none", "--log-dir" } },
	};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		assert_int_equal(read_said(&all[i], &s), EINVAL);
		settings_fini(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_sound),
		cmocka_unit_test(every_default_may_be_said),
		cmocka_unit_test(the_command_line_goes_before_the_file),
		cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	if (!freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests_name("hostd/settings", tests, NULL, NULL);
}
