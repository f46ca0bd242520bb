/* SPDX-License-Identifier: MIT */
/*
 * URIs and addresses, by tables.
 */
#include "rpc/uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"

/* All that a URI says, in a line. */
static void tell(const struct rpc_uri *u, char *ret, size_t room)
{
	static const char *const transports[] = { "unix", "tcp", "tls", "ssh" };

	snprintf(ret, room, "%s %s %s@%s:%u %s socket=%s%s%s", u->driver, transports[u->transport],
		 u->user, u->host, u->port, u->path, u->socket, u->no_verify ? " no_verify" : "",
		 u->no_tty ? " no_tty" : "");
}

static void uris_are_read(void **state)
{
	static const struct {
		const char *uri, *says, *name;
	} cases[] = {
		{ "xen:///system", "xen unix @:0 /system socket=", "xen:///system" },
		{ "xen:/system", "xen unix @:0 /system socket=", "xen:///system" },
		{ "xen:///", "xen unix @:0 / socket=", "xen:///" },
		{ "qemu+unix:///system?socket=/run/d/s", "qemu unix @:0 /system socket=/run/d/s",
		  "qemu:///system" },
		{ "test+unix:///system?socket=%2frun%2Fa%20b",
		  "test unix @:0 /system socket=/run/a b", "test:///system" },
		{ "xen+tcp://h/system", "xen tcp @h:0 /system socket=", "xen:///system" },
		{ "xen+tls://u@h.example:16515/system?no_verify=1&no_tty=0",
		  "xen tls u@h.example:16515 /system socket= no_verify", "xen:///system" },
		{ "xen://h/", "xen tls @h:0 / socket=", "xen:///" },
		{ "xen+tcp://[fe80::1]:7/system",
		  "xen tcp @fe80::1:7 /system socket=", "xen:///system" },
		{ "xen+ssh://root@h/system?socket=/s&no_tty=1;mode=direct",
		  "xen ssh root@h:0 /system socket=/s no_tty", "xen:///system" },
		{ "xen+tcp://h/?name=qemu:///system", "xen tcp @h:0 / socket=", "qemu:///system" },
		{ "xen+tcp://h", "xen tcp @h:0  socket=", "xen://" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rpc_uri u;
		char text[200] = "", says[800], name[200];

		if (rpc_uri_parse(cases[i].uri, &u, text, sizeof(text)))
			fail_msg("%s: %s", cases[i].uri, text);
		tell(&u, says, sizeof(says));
		assert_string_equal(says, cases[i].says);
		assert_int_equal(rpc_uri_name(&u, name, sizeof(name)), 0);
		assert_string_equal(name, cases[i].name);
		assert_int_equal(rpc_uri_name(&u, name, strlen(cases[i].name)), ENOSPC);
	}
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *uri, *text;
	} cases[] = {
		{ "", "the URI has no \"://\" after its driver" },
		{ "xen", "the URI has no \"://\" after its driver" },
		{ "xen:system", "the URI has no \"://\" after its driver" },
		{ ":///system", "the driver is not a word of small letters" },
		{ "XEN:///system", "the driver is not a word of small letters" },
		{ "xen+sctp://h/", "the transport 'sctp' is none of unix, tcp, tls and ssh" },
		{ "xen+://h/", "the transport '' is none of unix, tcp, tls and ssh" },
		{ "xen+tcp:///system", "the host is missing" },
		{ "xen+unix://h/system", "the host has no place in a URI with +unix" },
		{ "xen+tcp://h:0/", "the port is not a number from 1 to 65535" },
		{ "xen+tcp://h:65536/", "the port is not a number from 1 to 65535" },
		{ "xen+tcp://h:/", "the port is not a number from 1 to 65535" },
		{ "xen+tcp://h:1x/", "the port is not a number from 1 to 65535" },
		{ "xen+tcp://h:000001/", "the port is not a number from 1 to 65535" },
		{ "xen+tcp://[::1/", "the host has a '[' without a ']'" },
		{ "xen+tcp://[::1]x/", "the host is followed by something other than a port" },
		{ "xen+tcp://a%0ab/", "the host has a control character" },
		{ "xen+tcp://a%00b/", "the host has a control character" },
		{ "xen+tcp://a%2/", "the host has a '%' without two hexadecimal digits" },
		{ "xen+tcp://a%g1/", "the host has a '%' without two hexadecimal digits" },
		{ "xen:///system#a", "the URI has a fragment" },
		{ "xen:///system?socket=a", "socket is not an absolute path" },
		{ "xen:///system?socket", "a parameter has no value" },
		{ "xen:///system?sockets=/a", "the parameter 'sockets' is unknown" },
		{ "xen:///system?no_verify=yes", "no_verify is neither 0 nor 1" },
		{ "xen:///system?mode=best", "mode is none of auto, direct and legacy" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rpc_uri u;
		char text[200] = "";

		assert_int_equal(rpc_uri_parse(cases[i].uri, &u, text, sizeof(text)), EINVAL);
		assert_string_equal(text, cases[i].text);
	}
}

/* Each part one octet longer than fits: refused, not cut. */
static void nothing_is_cut(void **state)
{
	static const struct {
		const char *before, *after, *text;
		size_t n;
	} cases[] = {
		{ "", ":///s", "the driver is too long", 32 },
		{ "xen+tcp://", "/s", "the host is too long", 256 },
		{ "xen+tcp://", "@h/s", "the user is too long", 64 },
		{ "xen:///", "", "the path is too long", 127 },
		{ "xen:///s?socket=/", "", "socket is too long", 107 },
		{ "xen:///s?keyfile=", "", "keyfile is too long", 256 },
		{ "xen:///s?no_tty=", "", "the parameter 'no_tty' is too long", 16 },
		{ "xen:///", "", "the URI is too long", 2042 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char uri[4096], text[200] = "", many[2100];
		struct rpc_uri u;

		memset(many, 'a', cases[i].n);
		many[cases[i].n] = '\0';
		snprintf(uri, sizeof(uri), "%s%s%s", cases[i].before, many, cases[i].after);
		assert_int_equal(rpc_uri_parse(uri, &u, text, sizeof(text)), EINVAL);
		assert_string_equal(text, cases[i].text);
	}
}

static void addresses_of_peers(void **state)
{
	static const struct {
		const char *address;
		int r;
		const char *says;
	} cases[] = {
		{ "unix:///run/d", 0, " unix @:0  socket=/run/d" },
		{ "tcp://h:7", 0, " tcp @h:7  socket=" },
		{ "tls://h", 0, " tls @h:16514  socket=" },
		{ "tcp://[::1]", 0, " tcp @::1:16509  socket=" },
		{ "unix://run/d", EINVAL, "the path after unix:// is not absolute" },
		{ "tls://", EINVAL, "the host is missing" },
		{ "tls://h/x", EINVAL, "the address has something after its port" },
		{ "tls://h:7/x", EINVAL, "the port is not a number from 1 to 65535" },
		{ "tls://u@h", EINVAL, "the user has no place in an address" },
		{ "http://h", EINVAL,
		  "the address begins with none of unix://, tcp:// and tls://" },
		{ "", EINVAL, "the address begins with none of unix://, tcp:// and tls://" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rpc_uri u;
		char text[200] = "", says[800];

		assert_int_equal(rpc_address_parse(cases[i].address, &u, text, sizeof(text)),
				 cases[i].r);
		tell(&u, says, sizeof(says));
		assert_string_equal(cases[i].r ? text : says, cases[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uris_are_read),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(nothing_is_cut),
		cmocka_unit_test(addresses_of_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
