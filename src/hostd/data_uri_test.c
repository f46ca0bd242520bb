/* SPDX-License-Identifier: MIT */
/*
 * Addresses of migration data: what is read, what is refused, and that printing reads back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "hostd/data_uri.h"

static void what_libvirt_writes_is_read(void **state)
{
	static const struct {
		const char *uri, *host, *path;
		unsigned int port;
		const char *printed;
	} cases[] = {
		{ "tcp://127.0.0.1", "127.0.0.1", "", 0, "tcp://127.0.0.1" },
		{ "tcp://127.0.0.1/", "127.0.0.1", "", 0, "tcp://127.0.0.1" },
		{ "tcp:host-a.test:49152", "host-a.test", "", 49152, "tcp://host-a.test:49152" },
		{ "tcp://[fe80::1%eth0]:1", "fe80::1%eth0", "", 1, "tcp://[fe80::1%eth0]:1" },
		{ "tcp://[::1]", "::1", "", 0, "tcp://[::1]" },
		{ "tcp://h:65535", "h", "", 65535, "tcp://h:65535" },
		{ "unix:///run/x.sock", "", "/run/x.sock", 0, "unix:///run/x.sock" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256] = "", printed[DATA_URI_MAX];
		struct data_uri u, again;

		assert_int_equal(data_uri_parse(cases[i].uri, &u, text, sizeof(text)), 0);
		assert_string_equal(u.host, cases[i].host);
		assert_string_equal(u.path, cases[i].path);
		assert_int_equal(u.port, cases[i].port);
		data_uri_print(&u, printed);
		assert_string_equal(printed, cases[i].printed);
		assert_int_equal(data_uri_parse(printed, &again, text, sizeof(text)), 0);
		assert_memory_equal(&u, &again, sizeof(u));
	}
}

static void what_is_wrong_is_named(void **state)
{
	static const char *const cases[][2] = {
		{ "", "only tcp" },
		{ "rdma://h", "only tcp" },
		{ "tcp://", "host" },
		{ "tcp://:1", "host" },
		{ "tcp://a b", "host" },
		{ "tcp://h:", "port" },
		{ "tcp://h:0", "port" },
		{ "tcp://h:65536", "port" },
		{ "tcp://h:+1", "port" },
		{ "tcp://h:1x", "port" },
		{ "tcp://h:123456789", "port" },
		{ "tcp://h:1/x", "follow" },
		{ "tcp://[::1", "bracket" },
		{ "tcp://[]", "host" },
		{ "unix://x", "absolute" },
		{ "unix://", "absolute" },
		{ "unix:///x?y", "follow" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256] = "";
		struct data_uri u;

		assert_int_equal(data_uri_parse(cases[i][0], &u, text, sizeof(text)), EINVAL);
		assert_non_null(strstr(text, cases[i][1]));
	}
}

static void lengths_are_bounded(void **state)
{
	char uri[600] = "tcp://", text[256];
	struct data_uri u;

	(void)state;
	memset(uri + 6, 'h', DATA_HOST_MAX);
	assert_int_equal(data_uri_parse(uri, &u, text, sizeof(text)), 0);
	uri[6 + DATA_HOST_MAX] = 'h';
	assert_int_equal(data_uri_parse(uri, &u, text, sizeof(text)), EINVAL);

	memset(uri, 0, sizeof(uri));
	memcpy(uri, "unix:///", 8);
	memset(uri + 8, 'p', DATA_PATH_MAX - 1);
	assert_int_equal(data_uri_parse(uri, &u, text, sizeof(text)), 0);
	uri[7 + DATA_PATH_MAX] = 'p';
	assert_int_equal(data_uri_parse(uri, &u, text, sizeof(text)), EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_libvirt_writes_is_read),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(lengths_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
