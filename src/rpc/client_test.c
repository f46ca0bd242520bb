/* SPDX-License-Identifier: MIT */
/*
 * The blocking client against a daemon of the test's own, which a thread runs: over a socket, TCP,
 * TLS and a helper; several calls at once, events between, daemons that refuse, hang or die.
 */
#include "rpc/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/conn.h"
#include "rpc/libvirt.h"
#include "rpc/pki_test.h"
#include "rpc/tls.h"

#define LIMIT_MS 20000u

struct daemon {
	pthread_t thread;
	int listener, stop[2];
	uint16_t port;
	char path[128];
	struct rpc_tls_cred *cred; /* NULL: plain */
	struct rpc_conn *c;
	struct rpc_head perform; /* under way, if its serial is not 0 */
	int auth;		 /* how clients have to authenticate */
	char opened[200];
	bool closed;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void daemon_fail(struct daemon *d, const struct rpc_head *h, int code)
{
	struct rpc_error err;

	rpc_error_set(&err, code, RPC_FROM_QEMU, "no, says procedure %d", h->procedure);
	assert_int_equal(rpc_conn_fail(d->c, h, &err), 0);
}

static void daemon_open(struct daemon *d, const struct rpc_frame *f)
{
	rpc_maybe_flags_args a;

	assert_int_equal(
		rpc_code_read(RPC_XDR(rpc_maybe_flags_args), f->body, f->body_len, &a, sizeof(a)),
		0);
	snprintf(d->opened, sizeof(d->opened), "%s %u", *a.value, a.flags);
	rpc_code_free(RPC_XDR(rpc_maybe_flags_args), &a, sizeof(a));
	rpc_conn_reply(d->c, &f->head, NULL, NULL);
}

static void daemon_frame(void *data, struct rpc_conn *c, const struct rpc_frame *f)
{
	struct daemon *d = data;
	rpc_string_ret name = { .value = (char *)(uintptr_t) "b.example" };
	rpc_auth_list_ret auth = { .types = { 1, &d->auth } };
	rpc_event_closed event = { .reason = 3 };
	rpc_int_ret yes = { .value = 1 };

	switch (f->head.procedure) {
	case RPC_AUTH_LIST:
		rpc_conn_reply(c, &f->head, RPC_XDR(rpc_auth_list_ret), &auth);
		break;
	case RPC_CONNECT_OPEN:
		daemon_open(d, f);
		break;
	case RPC_CONNECT_SUPPORTS_FEATURE:
		rpc_conn_reply(c, &f->head, RPC_XDR(rpc_int_ret), &yes);
		break;
	case RPC_CONNECT_GET_HOSTNAME:
		rpc_conn_reply(c, &f->head, RPC_XDR(rpc_string_ret), &name);
		break;
	case RPC_CONNECT_CLOSE:
	case RPC_CONNECT_UNREGISTER_CLOSE_CALLBACK:
		rpc_conn_reply(c, &f->head, NULL, NULL);
		break;
	case RPC_CONNECT_REGISTER_CLOSE_CALLBACK:
		rpc_conn_event(c, RPC_PROGRAM, 1, RPC_CONNECT_EVENT_CONNECTION_CLOSED,
			       RPC_XDR(rpc_event_closed), &event);
		rpc_conn_reply(c, &f->head, NULL, NULL);
		break;
	case RPC_CONNECT_GET_TYPE: /* an answer of another kind */
		rpc_conn_reply(c, &f->head, RPC_XDR(rpc_int_ret), &yes);
		break;
	case RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS:
		d->perform = f->head;
		break;
	case RPC_DOMAIN_ABORT_JOB:
		daemon_fail(d, &d->perform, RPC_ERR_OPERATION_ABORTED);
		rpc_conn_reply(c, &f->head, NULL, NULL);
		break;
	case RPC_CONNECT_GET_VERSION:
		rpc_conn_close(c, false, "killed");
		break;
	default:
		daemon_fail(d, &f->head, RPC_ERR_NO_SUPPORT);
	}
}

static void daemon_closed(void *data, struct rpc_conn *c, const char *why)
{
	struct daemon *d = data;

	(void)why;
	rpc_conn_free(c);
	d->c = NULL;
	d->closed = true;
}

static const struct rpc_conn_ops daemon_ops = { .frame = daemon_frame, .closed = daemon_closed };

static void daemon_accept(struct daemon *d)
{
	const struct rpc_conn_options o = { .server = true, .tls = d->cred };
	int fd = accept4(d->listener, NULL, NULL, SOCK_NONBLOCK);

	assert_true(fd >= 0);
	assert_null(d->c);
	assert_int_equal(rpc_conn_new(fd, &o, &daemon_ops, d, now_ms(), &d->c), 0);
}

static void *daemon_run(void *data)
{
	struct daemon *d = data;

	for (;;) {
		struct pollfd p[3] = {
			{ .fd = d->stop[0], .events = POLLIN },
			{ .fd = d->c ? -1 : d->listener, .events = POLLIN },
			{ .fd = d->c ? rpc_conn_fd(d->c) : -1,
			  .events = d->c ? rpc_conn_events(d->c) : (short)0 },
		};
		uint64_t by = d->c ? rpc_conn_deadline_ms(d->c) : UINT64_MAX;
		int wait = by == UINT64_MAX ? -1 : by <= now_ms() ? 0 : (int)(by - now_ms());

		poll(p, 3, wait);
		if (p[0].revents)
			return NULL;
		if (p[1].revents)
			daemon_accept(d);
		if (d->c && p[2].revents)
			rpc_conn_io(d->c, p[2].revents, now_ms());
		if (d->c)
			rpc_conn_tick(d->c, now_ms());
		if (d->c)
			rpc_conn_flush(d->c, now_ms());
	}
}

static struct pki pki;

static void daemon_start(struct daemon *d, bool tcp, bool tls)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	memset(d, 0, sizeof(*d));
	pki_path(&pki, "daemon.sock", d->path);
	if (tls) {
		char ca[128], cert[128], key[128], text[400];
		const struct rpc_tls_files f = {
			.server = true, .ca = ca, .cert = cert, .key = key
		};

		pki_path(&pki, "ca.pem", ca);
		pki_path(&pki, "server.pem", cert);
		pki_path(&pki, "server.key", key);
		assert_int_equal(rpc_tls_cred_load(&f, &d->cred, text, sizeof(text)), 0);
	}
	assert_int_equal(pipe(d->stop), 0);
	d->listener = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
	unlink(d->path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", d->path);
	if (tcp)
		assert_int_equal(bind(d->listener, (struct sockaddr *)&in, sizeof(in)), 0);
	else
		assert_int_equal(bind(d->listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(d->listener, 5), 0);
	if (tcp) {
		assert_int_equal(getsockname(d->listener, (struct sockaddr *)&in, &len), 0);
		d->port = ntohs(in.sin_port);
	}
	assert_int_equal(pthread_create(&d->thread, NULL, daemon_run, d), 0);
}

static void daemon_stop(struct daemon *d)
{
	assert_int_equal(write(d->stop[1], "x", 1), 1);
	assert_int_equal(pthread_join(d->thread, NULL), 0);
	rpc_conn_free(d->c);
	rpc_tls_cred_free(d->cred);
	close(d->stop[0]);
	close(d->stop[1]);
	close(d->listener);
	unlink(d->path);
}

static struct rpc_client *open_path(struct daemon *d, const struct rpc_client_options *o)
{
	struct rpc_client *c = NULL;
	struct rpc_error err;
	char uri[300];

	snprintf(uri, sizeof(uri), "xen+unix:///system?socket=%s", d->path);
	if (rpc_client_open(uri, o, &c, &err))
		fail_msg("%s", err.message);
	return c;
}

static int call(struct rpc_client *c, int32_t procedure, uint32_t ms, struct rpc_error *err)
{
	return rpc_client_call(c, procedure, NULL, NULL, NULL, NULL, 0, ms, err);
}

static void expect_name(struct rpc_client *c)
{
	struct rpc_error err;
	rpc_string_ret name;

	if (rpc_client_call(c, RPC_CONNECT_GET_HOSTNAME, NULL, NULL, RPC_XDR(rpc_string_ret), &name,
			    sizeof(name), LIMIT_MS, &err))
		fail_msg("%s", err.message);
	assert_string_equal(name.value, "b.example");
	rpc_code_free(RPC_XDR(rpc_string_ret), &name, sizeof(name));
}

static void every_way_leads_to_the_daemon(void **state)
{
	static const struct {
		bool tcp, tls;
		const char *uri;
	} cases[] = {
		{ false, false, "test+unix:///default?socket=%1$s/daemon.sock" },
		{ true, false, "test+tcp://127.0.0.1:%2$u/default" },
		{ true, false, "test+tcp://localhost:%2$u/default" },
		{ true, true, "test+tls://localhost:%2$u/default?pkipath=%1$s" },
		{ true, true, "test+tls://127.0.0.1:%2$u/default?pkipath=%1$s&no_verify=1" },
		{ false, false,
		  "test+ssh://there/default?socket=%1$s/daemon.sock&command=%1$s/ssh" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct rpc_client_options o = { .keepalive_ms = 5000, .keepalive_count = 3 };
		struct rpc_client *c = NULL;
		struct rpc_error err;
		struct daemon d;
		char uri[400];

		daemon_start(&d, cases[i].tcp, cases[i].tls);
		/* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral) */
		snprintf(uri, sizeof(uri), cases[i].uri, pki.dir, d.port);
		if (rpc_client_open(uri, &o, &c, &err))
			fail_msg("%s: %s", uri, err.message);
		expect_name(c);
		assert_int_equal(*rpc_client_fingerprint(c) != 0, cases[i].tls);
		rpc_client_close(c);
		daemon_stop(&d);
		assert_string_equal(d.opened, "test:///default 0");
	}
}

static void what_the_daemon_says_is_told(void **state)
{
	struct rpc_client *c;
	struct rpc_error err;
	struct daemon d;

	(void)state;
	daemon_start(&d, false, false);
	c = open_path(&d, NULL);
	assert_int_equal(call(c, 9999, LIMIT_MS, &err), EREMOTEIO);
	assert_int_equal(err.code, RPC_ERR_NO_SUPPORT);
	assert_int_equal(err.domain, RPC_FROM_QEMU);
	assert_string_equal(err.message, "no, says procedure 9999");
	assert_int_equal(call(c, RPC_CONNECT_GET_TYPE, LIMIT_MS, &err), EPROTO);
	assert_string_equal(err.message, "the answer to procedure 3 makes no sense");
	expect_name(c);
	assert_int_equal(call(c, RPC_CONNECT_GET_VERSION, LIMIT_MS, &err), ECONNRESET);
	assert_string_equal(err.message, "the daemon closed the connection");
	assert_int_equal(call(c, RPC_CONNECT_GET_HOSTNAME, LIMIT_MS, &err), ECONNRESET);
	rpc_client_free(c);
	daemon_stop(&d);
}

/* Perform is under way while others are asked and answered, and ends when it is aborted. */
static void calls_overlap(void **state)
{
	struct rpc_client *c;
	struct rpc_error err;
	struct daemon d;
	uint32_t serial;

	(void)state;
	daemon_start(&d, false, false);
	c = open_path(&d, NULL);
	assert_int_equal(
		rpc_client_start(c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, NULL, NULL, &serial, &err),
		0);
	assert_int_equal(rpc_client_wait(c, serial, NULL, NULL, 0, 20, &err), ETIMEDOUT);
	expect_name(c);
	assert_int_equal(call(c, RPC_DOMAIN_ABORT_JOB, LIMIT_MS, &err), 0);
	assert_int_equal(rpc_client_wait(c, serial, NULL, NULL, 0, LIMIT_MS, &err), EREMOTEIO);
	assert_int_equal(err.code, RPC_ERR_OPERATION_ABORTED);
	assert_int_equal(rpc_client_wait(c, serial, NULL, NULL, 0, LIMIT_MS, &err), EINVAL);
	rpc_client_close(c);
	daemon_stop(&d);
}

/* An answer that comes too late is not another call's. */
static void late_answers_are_dropped(void **state)
{
	struct rpc_client *c;
	struct rpc_error err;
	struct daemon d;
	uint32_t serial;

	(void)state;
	daemon_start(&d, false, false);
	c = open_path(&d, NULL);
	assert_int_equal(call(c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, 10, &err), ETIMEDOUT);
	assert_string_equal(err.message, "no answer within 10 ms");
	assert_int_equal(call(c, RPC_DOMAIN_ABORT_JOB, LIMIT_MS, &err), 0);
	expect_name(c);
	/* All places are in use: the next one is refused, and one that is forgotten is not. */
	for (unsigned int i = 0; i < RPC_CLIENT_CALLS_MAX; i++)
		assert_int_equal(rpc_client_start(c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, NULL, NULL,
						  &serial, &err),
				 0);
	assert_int_equal(call(c, RPC_CONNECT_GET_HOSTNAME, LIMIT_MS, &err), EAGAIN);
	rpc_client_forget(c, serial);
	rpc_client_forget(c, 4711);
	rpc_client_free(c);
	daemon_stop(&d);
}

static void note_event(void *data, int32_t procedure, const uint8_t *body, size_t len)
{
	rpc_event_closed event;

	if (procedure == RPC_CONNECT_EVENT_CONNECTION_CLOSED &&
	    !rpc_code_read(RPC_XDR(rpc_event_closed), body, len, &event, sizeof(event)))
		*(int *)data += event.reason;
}

static void events_come_while_it_waits(void **state)
{
	int sum = 0, wake[2];
	const struct rpc_client_options o = { .event = note_event, .data = &sum };
	struct rpc_client *c;
	struct rpc_error err;
	struct daemon d;

	(void)state;
	assert_int_equal(pipe(wake), 0);
	daemon_start(&d, false, false);
	c = open_path(&d, &o);
	assert_int_equal(call(c, RPC_CONNECT_REGISTER_CLOSE_CALLBACK, LIMIT_MS, &err), 0);
	assert_int_equal(sum, 3);
	assert_int_equal(rpc_client_poll(c, -1, 10, &err), ETIMEDOUT);
	assert_int_equal(write(wake[1], "x", 1), 1);
	assert_int_equal(rpc_client_poll(c, wake[0], LIMIT_MS, &err), EINTR);
	rpc_client_set_wake(c, wake[0]);
	assert_int_equal(call(c, RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, LIMIT_MS, &err), EINTR);
	rpc_client_set_wake(c, -1);
	expect_name(c);
	rpc_client_close(c);
	daemon_stop(&d);
	close(wake[0]);
	close(wake[1]);
}

static void a_place_where_nobody_is(void **state)
{
	const struct rpc_client_options peer = { .bare = true };
	struct rpc_client *c = NULL;
	struct rpc_error err;
	struct daemon d;
	char uri[300];

	(void)state;
	assert_int_equal(rpc_client_open("xen", NULL, &c, &err), EINVAL);
	assert_string_equal(err.message, "'xen': the URI has no \"://\" after its driver");
	assert_int_equal(rpc_client_open("tcp://h:x", &peer, &c, &err), EINVAL);
	assert_int_equal(rpc_client_open("xen+unix:///?socket=/no/such/place", NULL, &c, &err),
			 ENOENT);
	assert_string_equal(err.message,
			    "cannot connect to /no/such/place: No such file or directory");
	assert_int_equal(rpc_client_open("xen+tcp://127.0.0.1:1/", NULL, &c, &err), ECONNREFUSED);
	assert_string_equal(err.message, "cannot connect: Connection refused");
	assert_int_equal(rpc_client_open("xen+tls://127.0.0.1:1/?pkipath=/no", NULL, &c, &err),
			 ENOENT);
	assert_int_equal(err.code, RPC_ERR_GNUTLS);
	assert_null(c);
	/* Somebody is there, and wants polkit. */
	daemon_start(&d, false, false);
	d.auth = 2;
	snprintf(uri, sizeof(uri), "xen+unix:///system?socket=%s", d.path);
	assert_int_equal(rpc_client_open(uri, NULL, &c, &err), EACCES);
	assert_int_equal(err.code, RPC_ERR_AUTH_UNAVAILABLE);
	daemon_stop(&d);
}

/* A helper that ends at once is a connection that is over; the client reaps it. */
static void a_helper_that_fails(void **state)
{
	struct rpc_client *c = NULL;
	struct rpc_error err;

	(void)state;
	assert_int_equal(
		rpc_client_open("xen+ssh://h/?socket=/s&command=/bin/false", NULL, &c, &err),
		ECONNRESET);
	assert_int_equal(rpc_client_open("xen+ssh://-oProxyCommand=x/?socket=/s", NULL, &c, &err),
			 EINVAL);
	assert_null(c);
}

static int setup(void **state)
{
	static const char relay[] =
		"#!/usr/bin/python3\n"
		"# Stands for ssh HOST -- \"'nc' -U 'PATH'\": copies both ways.\n"
		"import os, select, shlex, socket, sys\n"
		"assert sys.argv[1:4] == ['-T', '--', 'there'], sys.argv\n"
		"nc, option, path = shlex.split(sys.argv[4])\n"
		"s = socket.socket(socket.AF_UNIX)\n"
		"s.connect(path)\n"
		"while True:\n"
		"    for f in select.select([s, 0], [], [])[0]:\n"
		"        data = s.recv(65536) if f is s else os.read(0, 65536)\n"
		"        if not data:\n"
		"            sys.exit(0)\n"
		"        s.sendall(data) if f == 0 else os.write(1, data)\n";
	char path[128];

	(void)state;
	pki_init(&pki);
	pki_issue(&pki, "server", "localhost", 0);
	pki_issue(&pki, "client", "a.example", PKI_CLIENT_ONLY);
	for (int i = 0; i < 3; i++) {
		static const char *const names[][2] = { { "ca.pem", "cacert.pem" },
							{ "client.pem", "clientcert.pem" },
							{ "client.key", "clientkey.pem" } };
		char from[128], to[128];

		pki_path(&pki, names[i][0], from);
		pki_path(&pki, names[i][1], to);
		if (link(from, to) < 0)
			return -1;
	}
	pki_write(&pki, "ssh", relay, strlen(relay));
	pki_path(&pki, "ssh", path);
	return chmod(path, 0700);
}

static int teardown(void **state)
{
	(void)state;
	pki_fini(&pki);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_leads_to_the_daemon),
		cmocka_unit_test(what_the_daemon_says_is_told),
		cmocka_unit_test(calls_overlap),
		cmocka_unit_test(late_answers_are_dropped),
		cmocka_unit_test(events_come_while_it_waits),
		cmocka_unit_test(a_place_where_nobody_is),
		cmocka_unit_test(a_helper_that_fails),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
