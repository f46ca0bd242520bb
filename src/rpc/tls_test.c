/* SPDX-License-Identifier: MIT */
/*
 * TLS between two connections: who is let in, who is not, and what is said about it; files that
 * are missing or broken.
 */
#include "rpc/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "rpc/conn.h"
#include "rpc/libvirt.h"
#include "rpc/pki_test.h"

static struct pki pki;

struct end {
	struct rpc_conn *c;
	bool ready, closed;
	char why[RPC_CONN_WHY_MAX];
	size_t got; /* octets of bodies */
	uint32_t frames;
};

static void on_frame(void *data, struct rpc_conn *c, const struct rpc_frame *f)
{
	struct end *e = data;

	e->frames++;
	e->got += f->body_len;
	if (f->head.type == RPC_CALL)
		assert_int_equal(rpc_conn_reply(c, &f->head, NULL, NULL), 0);
}

static void on_ready(void *data, struct rpc_conn *c)
{
	(void)c;
	((struct end *)data)->ready = true;
}

static void on_closed(void *data, struct rpc_conn *c, const char *why)
{
	struct end *e = data;

	(void)c;
	e->closed = true;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

static const struct rpc_conn_ops ops = { .frame = on_frame,
					 .ready = on_ready,
					 .closed = on_closed };

static void turn(struct end *e, uint64_t now)
{
	struct pollfd p = { .fd = rpc_conn_fd(e->c), .events = rpc_conn_events(e->c) };

	if (p.fd >= 0 && poll(&p, 1, 0) == 1)
		rpc_conn_io(e->c, p.revents, now);
	rpc_conn_tick(e->c, now);
	rpc_conn_flush(e->c, now);
}

/* Both ends by turns, until each is ready or closed. */
static void meet(struct end *server, struct end *client)
{
	for (int i = 0; i < 1000; i++) {
		turn(client, 1000);
		turn(server, 1000);
		if ((client->ready && server->ready) || (client->closed && server->closed))
			break;
	}
	for (int i = 0; i < 5; i++) {
		turn(client, 1000);
		turn(server, 1000);
	}
}

static struct rpc_tls_cred *load(bool server, const char *ca, const char *name, const char *crl,
				 const char *allowed)
{
	char ca_path[128], cert[128], key[128], crl_path[128], file[64], text[512];
	const char *const list[] = { allowed };
	struct rpc_tls_files f = { .server = server,
				   .ca = ca_path,
				   .cert = cert,
				   .key = key,
				   .allowed = list,
				   .n_allowed = allowed ? 1 : 0 };
	struct rpc_tls_cred *c;

	pki_path(&pki, ca, ca_path);
	snprintf(file, sizeof(file), "%s.pem", name);
	pki_path(&pki, file, cert);
	snprintf(file, sizeof(file), "%s.key", name);
	pki_path(&pki, file, key);
	if (crl) {
		pki_path(&pki, crl, crl_path);
		f.crl = crl_path;
	}
	if (rpc_tls_cred_load(&f, &c, text, sizeof(text)))
		fail_msg("%s", text);
	return c;
}

static void connect_ends(struct end *server, struct end *client, struct rpc_tls_cred *s,
			 struct rpc_tls_cred *c, const char *name, bool no_verify)
{
	const struct rpc_conn_options so = { .server = true, .tls = s };
	const struct rpc_conn_options co = { .tls = c, .peer_name = name, .no_verify = no_verify };
	int pair[2];

	memset(server, 0, sizeof(*server));
	memset(client, 0, sizeof(*client));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(rpc_conn_new(pair[0], &so, &ops, server, 1000, &server->c), 0);
	assert_int_equal(rpc_conn_new(pair[1], &co, &ops, client, 1000, &client->c), 0);
}

static void who_is_let_in(void **state)
{
	static const struct {
		const char *server, *client, *client_ca, *name, *crl, *allowed;
		bool no_verify;
		const char *server_says, *client_says; /* NULL: it is ready */
	} cases[] = {
		{ "server", "client", "ca.pem", "b.example", NULL, NULL, false, NULL, NULL },
		{ "server", "client", "ca.pem", "b.example", NULL, "CN=a.exam*", false, NULL,
		  NULL },
		{ "server", "client", "ca.pem", "b.example", "foe.crl", NULL, false, NULL, NULL },
		{ "server", "client", "ca.pem", NULL, NULL, NULL, false, NULL, NULL },
		{ "server", "client", "ca.pem", "c.example", NULL, NULL, true, NULL, NULL },
		{ "server", "client", "ca.pem", "c.example", NULL, NULL, false,
		  "the client is gone: ",
		  "the server's certificate (CN=b.example) for c.example is refused" },
		{ "server", "client", "ca.pem", "b.example", NULL, "CN=z*", false,
		  "the client's certificate is not among those allowed: sha256:", "" },
		{ "server", "foe", "ca.pem", "b.example", "foe.crl", NULL, false,
		  "the client's certificate (CN=foe) is refused", "" },
		{ "server", "stranger", "ca.pem", "b.example", NULL, NULL, false,
		  "TLS: the other end shows no certificate of our CA", "" },
		{ "server", "client", "other.pem", "b.example", NULL, NULL, false, "",
		  "the server's certificate (CN=b.example) for b.example is refused" },
		{ "client", "client", "ca.pem", "a.example", NULL, NULL, false, "",
		  "the server's certificate (CN=a.example) for a.example is refused" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rpc_tls_cred *s =
			load(true, "ca.pem", cases[i].server, cases[i].crl, cases[i].allowed);
		struct rpc_tls_cred *c =
			load(false, cases[i].client_ca, cases[i].client, NULL, NULL);
		struct end server, client;

		connect_ends(&server, &client, s, c, cases[i].name, cases[i].no_verify);
		meet(&server, &client);
		assert_int_equal(server.ready, !cases[i].server_says);
		assert_int_equal(client.ready, !cases[i].client_says);
		assert_int_equal(server.closed, !!cases[i].server_says);
		assert_int_equal(client.closed, !!cases[i].client_says);
		if (cases[i].server_says &&
		    strncmp(server.why, cases[i].server_says, strlen(cases[i].server_says)))
			fail_msg("%zu: server: %s", i, server.why);
		if (cases[i].client_says &&
		    strncmp(client.why, cases[i].client_says, strlen(cases[i].client_says)))
			fail_msg("%zu: client: %s", i, client.why);
		if (server.ready) {
			assert_string_equal(rpc_conn_fingerprint(server.c),
					    rpc_tls_cred_fingerprint(c));
			assert_string_equal(rpc_conn_fingerprint(client.c),
					    rpc_tls_cred_fingerprint(s));
			assert_int_equal(strlen(rpc_tls_cred_fingerprint(c)), 7 + 64);
			assert_string_equal(rpc_conn_peer_dn(server.c), "CN=a.example");
		}
		rpc_conn_free(server.c);
		rpc_conn_free(client.c);
		rpc_tls_cred_free(s);
		rpc_tls_cred_free(c);
	}
}

/* Its own fingerprint is as good as a name. */
static void a_fingerprint_lets_in(void **state)
{
	struct rpc_tls_cred *c = load(false, "ca.pem", "client", NULL, NULL);
	struct rpc_tls_cred *s = load(true, "ca.pem", "server", NULL, rpc_tls_cred_fingerprint(c));
	struct end server, client;

	(void)state;
	connect_ends(&server, &client, s, c, "b.example", false);
	meet(&server, &client);
	assert_true(server.ready && client.ready);
	rpc_conn_free(server.c);
	rpc_conn_free(client.c);
	rpc_tls_cred_free(s);
	rpc_tls_cred_free(c);
}

/* Much more than a record or a socket's buffer holds, both ways at once. */
static void frames_pass_whole(void **state)
{
	struct rpc_tls_cred *c = load(false, "ca.pem", "client", NULL, NULL);
	struct rpc_tls_cred *s = load(true, "ca.pem", "server", NULL, NULL);
	rpc_string_args args = { .value = malloc(3000001) };
	struct end server, client;
	uint32_t serial;

	(void)state;
	memset(args.value, 'x', 3000000);
	args.value[3000000] = '\0';
	connect_ends(&server, &client, s, c, "b.example", false);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rpc_conn_call(client.c, RPC_PROGRAM, 1, RPC_DOMAIN_DEFINE_XML,
					       RPC_XDR(rpc_string_args), &args, &serial),
				 0);
	assert_int_equal(serial, 3);
	for (int i = 0; i < 10000 && client.frames < 3; i++) {
		turn(&client, 1000);
		turn(&server, 1000);
	}
	assert_int_equal(server.got, 3 * 3000004);
	assert_int_equal(client.frames, 3);
	/* And an end is an end. */
	rpc_conn_free(client.c);
	for (int i = 0; i < 3; i++)
		turn(&server, 1000);
	assert_true(server.closed);
	assert_string_equal(server.why, "");
	rpc_conn_free(server.c);
	rpc_tls_cred_free(s);
	rpc_tls_cred_free(c);
	free(args.value);
}

/* Whoever connects and says nothing, or something else, does not stay. */
static void whoever_does_not_agree_goes(void **state)
{
	struct rpc_tls_cred *s = load(true, "ca.pem", "server", NULL, NULL);
	const struct rpc_conn_options o = { .server = true, .tls = s, .handshake_ms = 3000 };

	(void)state;
	for (int talks = 0; talks < 2; talks++) {
		struct end server = { 0 };
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		assert_int_equal(rpc_conn_new(pair[0], &o, &ops, &server, 1000, &server.c), 0);
		if (talks)
			assert_int_equal(send(pair[1], "hello, is there a daemon?", 25, 0), 25);
		turn(&server, 1000);
		if (!talks) {
			assert_int_equal(rpc_conn_deadline_ms(server.c), 4000);
			turn(&server, 3999);
			assert_false(server.closed);
			turn(&server, 4000);
		}
		assert_true(server.closed);
		assert_string_equal(server.why,
				    talks ? "TLS: An unexpected TLS packet was received."
					  : "agreeing on TLS took longer than 3000 ms");
		rpc_conn_free(server.c);
		close(pair[1]);
	}
	rpc_tls_cred_free(s);
}

/* A client without a certificate: the server asks for one. */
static void a_client_shows_a_certificate(void **state)
{
	struct rpc_tls_cred *s = load(true, "ca.pem", "server", NULL, NULL);
	const struct rpc_conn_options o = { .server = true, .tls = s };
	gnutls_certificate_credentials_t none;
	struct end server = { 0 };
	gnutls_session_t session;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(rpc_conn_new(pair[0], &o, &ops, &server, 1000, &server.c), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&none), 0);
	assert_int_equal(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK), 0);
	gnutls_set_default_priority(session);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, none);
	gnutls_transport_set_int(session, pair[1]);
	for (int i = 0; i < 1000 && !server.closed; i++) {
		gnutls_handshake(session);
		turn(&server, 1000);
	}
	assert_true(server.closed);
	assert_false(server.ready);
	assert_non_null(strstr(server.why, "shows no certificate of our CA"));
	gnutls_deinit(session);
	gnutls_certificate_free_credentials(none);
	close(pair[1]);
	rpc_conn_free(server.c);
	rpc_tls_cred_free(s);
}

static void a_bad_file_is_named(void **state)
{
	static const struct {
		const char *ca, *crl, *cert, *key, *allowed;
		int r;
		const char *text; /* after "DIR/" was taken out */
	} cases[] = {
		{ "no.pem", NULL, "server.pem", "server.key", NULL, ENOENT,
		  "CA certificate no.pem: No such file or directory" },
		{ "ca.pem", "no.crl", "server.pem", "server.key", NULL, ENOENT,
		  "list of revoked certificates no.crl: No such file or directory" },
		{ "ca.pem", NULL, "no.pem", "server.key", NULL, ENOENT,
		  "certificate no.pem: No such file or directory" },
		{ "ca.pem", NULL, "server.pem", "no.key", NULL, ENOENT,
		  "key no.key: No such file or directory" },
		{ "junk", NULL, "server.pem", "server.key", NULL, EINVAL, "CA certificate junk: " },
		{ "ca.pem", "junk", "server.pem", "server.key", NULL, EINVAL,
		  "list of revoked certificates junk: " },
		{ "ca.pem", NULL, "junk", "server.key", NULL, EINVAL, "certificate junk: " },
		{ "ca.pem", NULL, "server.pem", "junk", NULL, EINVAL,
		  "certificate server.pem with key junk: " },
		{ "ca.pem", NULL, "server.pem", "client.key", NULL, EINVAL,
		  "certificate server.pem with key client.key: " },
		{ "ca.pem", NULL, "old.pem", "old.key", NULL, EINVAL,
		  "certificate old.pem: it has expired" },
		{ "ca.pem", NULL, "early.pem", "early.key", NULL, EINVAL,
		  "certificate early.pem: it is not valid yet" },
		{ "ca.pem", NULL, "server.pem", "server.key", "sha256:12", EINVAL,
		  "'sha256:12' is neither" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char ca[128], crl[128], cert[128], key[128], text[512] = "", *at;
		struct rpc_tls_files f = { .server = true,
					   .ca = ca,
					   .cert = cert,
					   .key = key,
					   .allowed = &cases[i].allowed,
					   .n_allowed = cases[i].allowed ? 1 : 0 };
		struct rpc_tls_cred *c = NULL;
		size_t len = strlen(pki.dir) + 1;

		pki_path(&pki, cases[i].ca, ca);
		pki_path(&pki, cases[i].cert, cert);
		pki_path(&pki, cases[i].key, key);
		if (cases[i].crl) {
			pki_path(&pki, cases[i].crl, crl);
			f.crl = crl;
		}
		assert_int_equal(rpc_tls_cred_load(&f, &c, text, sizeof(text)), cases[i].r);
		while ((at = strstr(text, pki.dir)))
			memmove(at, at + len, strlen(at + len) + 1);
		if (strncmp(text, cases[i].text, strlen(cases[i].text)))
			fail_msg("%zu: %s", i, text);
		assert_null(c);
	}
}

static int setup(void **state)
{
	(void)state;
	pki_init(&pki);
	pki_issue(&pki, "server", "b.example", 0);
	pki_issue(&pki, "client", "a.example", PKI_CLIENT_ONLY);
	pki_issue(&pki, "stranger", "a.example", PKI_OTHER_CA);
	pki_issue(&pki, "foe", "foe", 0);
	pki_issue(&pki, "old", "b.example", PKI_EXPIRED);
	pki_issue(&pki, "early", "b.example", PKI_EARLY);
	pki_revoke(&pki, "foe");
	pki_write(&pki, "junk", "-----BEGIN JUNK-----\n", 21);
	return 0;
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
		cmocka_unit_test(who_is_let_in),
		cmocka_unit_test(a_fingerprint_lets_in),
		cmocka_unit_test(frames_pass_whole),
		cmocka_unit_test(whoever_does_not_agree_goes),
		cmocka_unit_test(a_client_shows_a_certificate),
		cmocka_unit_test(a_bad_file_is_named),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
