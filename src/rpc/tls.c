/* SPDX-License-Identifier: MIT */
/*
 * A TLS session. Invariant: rpc_tls_handshake says 0 only after the other end's certificate was
 * looked at and, of a client, after the server said that it has looked at ours.
 */
#include "rpc/tls.h"

#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "rpc/tls_own.h"

#define WELCOME 1 /* the octet by which a server says that the client may go on */

enum tls_step { TLS_SHAKE, TLS_JUDGE, TLS_WELCOME, TLS_DONE };

struct rpc_tls {
	gnutls_session_t session;  /* owned */
	struct rpc_tls_cred *cred; /* borrowed */
	bool no_verify;
	bool begun;
	enum tls_step step;
	char name[256]; /* of the server; "": any */
	char fingerprint[RPC_FINGERPRINT_MAX];
	char dn[RPC_DN_MAX];
};

static bool is_numeric(const char *name)
{
	struct in6_addr any;

	return inet_pton(AF_INET, name, &any) == 1 || inet_pton(AF_INET6, name, &any) == 1;
}

struct rpc_tls *rpc_tls_new(struct rpc_tls_cred *cred, int fd, const char *peer_name,
			    bool no_verify)
{
	struct rpc_tls *t = calloc(1, sizeof(*t));
	unsigned int side = cred->server ? GNUTLS_SERVER : GNUTLS_CLIENT;

	if (!t)
		return NULL;
	t->cred = cred;
	t->no_verify = no_verify && !cred->server;
	if (peer_name &&
	    (size_t)snprintf(t->name, sizeof(t->name), "%s", peer_name) >= sizeof(t->name))
		goto fail;
	if (gnutls_init(&t->session, side | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
		t->session = NULL;
		goto fail;
	}
	if (gnutls_set_default_priority(t->session) < 0 ||
	    gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, cred->x509) < 0)
		goto fail;
	if (cred->server)
		gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
	else if (*t->name && !is_numeric(t->name) &&
		 gnutls_server_name_set(t->session, GNUTLS_NAME_DNS, t->name, strlen(t->name)) < 0)
		goto fail;
	gnutls_transport_set_int(t->session, fd);
	return t;
fail:
	rpc_tls_free(t);
	return NULL;
}

void rpc_tls_free(struct rpc_tls *t)
{
	if (!t)
		return;
	if (t->session)
		gnutls_deinit(t->session);
	free(t);
}

/* Certificates of the other end: signed, in time, not revoked, for this purpose, with this name. */
static int tls_verify(struct rpc_tls *t, char *text, size_t room)
{
	gnutls_typed_vdata_st data[2] = { 0 };
	unsigned int n = 0, status = 0;
	gnutls_datum_t said = { 0 };
	int r;

	data[n].type = GNUTLS_DT_KEY_PURPOSE_OID;
	data[n++].data = (unsigned char *)(uintptr_t)(t->cred->server ? GNUTLS_KP_TLS_WWW_CLIENT
								      : GNUTLS_KP_TLS_WWW_SERVER);
	if (!t->cred->server && *t->name) {
		data[n].type = GNUTLS_DT_DNS_HOSTNAME;
		data[n++].data = (unsigned char *)t->name;
	}
	r = gnutls_certificate_verify_peers(t->session, data, n, &status);
	if (r < 0) {
		snprintf(text, room, "the %s's certificate cannot be looked at: %s",
			 t->cred->server ? "client" : "server", gnutls_strerror(r));
		return EACCES;
	}
	if (!status || t->no_verify)
		return 0;
	r = gnutls_certificate_verification_status_print(
		status, gnutls_certificate_type_get2(t->session, GNUTLS_CTYPE_PEERS), &said, 0);
	snprintf(text, room, "the %s's certificate (%.300s)%s%.100s is refused: %.400s",
		 t->cred->server ? "client" : "server", t->dn, *t->name ? " for " : "", t->name,
		 r < 0 ? "invalid" : (const char *)said.data);
	gnutls_free(said.data);
	for (size_t n_text = strlen(text); n_text && text[n_text - 1] == ' ';)
		text[--n_text] = '\0';
	return EACCES;
}

static bool tls_is_allowed(const struct rpc_tls *t)
{
	const struct rpc_tls_cred *c = t->cred;

	for (size_t i = 0; i < c->n_allowed; i++)
		if (!strcmp(c->allowed[i], t->fingerprint) ||
		    (*t->dn && !fnmatch(c->allowed[i], t->dn, FNM_NOESCAPE)))
			return true;
	return !c->n_allowed;
}

static int tls_judge(struct rpc_tls *t, char *text, size_t room)
{
	unsigned int n = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(t->session, &n);
	gnutls_x509_crt_t crt;
	int r;

	if (!list || !n) {
		snprintf(text, room, "the other end shows no certificate");
		return EACCES;
	}
	if (gnutls_x509_crt_init(&crt) < 0)
		return ENOMEM;
	r = gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER);
	if (r >= 0) {
		rpc_tls_cert_fingerprint(crt, t->fingerprint);
		rpc_tls_cert_dn(crt, t->dn);
	}
	gnutls_x509_crt_deinit(crt);
	if (r < 0) {
		snprintf(text, room, "the other end's certificate cannot be read: %s",
			 gnutls_strerror(r));
		return EACCES;
	}
	r = tls_verify(t, text, room);
	if (!r && !tls_is_allowed(t)) {
		snprintf(text, room,
			 "the client's certificate is not among those allowed: %s (%.300s)",
			 t->fingerprint, t->dn);
		r = EACCES;
	}
	return r;
}

/* -1 with errno, as read(2) has it; text of what is not to be tried again. */
static ssize_t tls_failed(const struct rpc_tls *t, ssize_t n, char *text, size_t room)
{
	int of_socket = errno;

	if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
		errno = EAGAIN;
		return -1;
	}
	if (n == GNUTLS_E_FATAL_ALERT_RECEIVED || n == GNUTLS_E_WARNING_ALERT_RECEIVED)
		snprintf(text, room, "TLS: the other end says: %s",
			 gnutls_alert_get_name(gnutls_alert_get(t->session)));
	else if (n == GNUTLS_E_CERTIFICATE_REQUIRED || n == GNUTLS_E_NO_CERTIFICATE_FOUND)
		snprintf(text, room, "TLS: the other end shows no certificate of our CA");
	else if (n == GNUTLS_E_PULL_ERROR || n == GNUTLS_E_PUSH_ERROR)
		snprintf(text, room, "%s", strerror(of_socket));
	else if (n == GNUTLS_E_PREMATURE_TERMINATION)
		snprintf(text, room, "TLS: closed by the other end");
	else
		snprintf(text, room, "TLS: %s", gnutls_strerror((int)n));
	errno = EPROTO;
	return -1;
}

static int tls_welcome(struct rpc_tls *t, char *text, size_t room)
{
	uint8_t octet = WELCOME;
	char said[200] = "";
	ssize_t n;

	if (t->cred->server)
		n = rpc_tls_write(t, &octet, 1, said, sizeof(said));
	else
		n = rpc_tls_read(t, &octet, 1, said, sizeof(said));
	if (n < 0 && errno == EAGAIN)
		return EAGAIN;
	if (n == 1 && octet == WELCOME)
		return 0;
	if (t->cred->server)
		snprintf(text, room, "the client is gone: %s", said);
	else if (n == 1)
		snprintf(text, room, "the server says %u after TLS was agreed on, not 1", octet);
	else
		snprintf(text, room, "the server refuses our certificate%s%s", *said ? ": " : "",
			 said);
	return EACCES;
}

int rpc_tls_handshake(struct rpc_tls *t, char *text, size_t room)
{
	int r;

	if (room)
		text[0] = '\0';
	t->begun = true;
	if (t->step == TLS_SHAKE) {
		do {
			r = gnutls_handshake(t->session);
		} while (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r));
		if (r == GNUTLS_E_AGAIN)
			return EAGAIN;
		if (r < 0) {
			(void)tls_failed(t, r, text, room);
			return EPROTO;
		}
		t->step = TLS_JUDGE;
	}
	if (t->step == TLS_JUDGE) {
		r = tls_judge(t, text, room);
		if (r) {
			(void)gnutls_alert_send(t->session, GNUTLS_AL_FATAL,
						GNUTLS_A_BAD_CERTIFICATE);
			return r;
		}
		t->step = TLS_WELCOME;
	}
	if (t->step == TLS_WELCOME) {
		r = tls_welcome(t, text, room);
		if (r)
			return r;
		t->step = TLS_DONE;
	}
	return 0;
}

short rpc_tls_events(const struct rpc_tls *t)
{
	/* The client speaks first. */
	if (!t->begun && !t->cred->server)
		return POLLOUT;
	return gnutls_record_get_direction(t->session) ? POLLOUT : POLLIN;
}

ssize_t rpc_tls_read(struct rpc_tls *t, void *buf, size_t len, char *text, size_t room)
{
	ssize_t n = gnutls_record_recv(t->session, buf, len);

	/* Who closes without a word has closed. */
	if (n == GNUTLS_E_PREMATURE_TERMINATION)
		return 0;
	return n < 0 ? tls_failed(t, n, text, room) : n;
}

ssize_t rpc_tls_write(struct rpc_tls *t, const void *buf, size_t len, char *text, size_t room)
{
	ssize_t n = gnutls_record_send(t->session, buf, len);

	return n < 0 ? tls_failed(t, n, text, room) : n;
}

bool rpc_tls_has_more(const struct rpc_tls *t)
{
	return gnutls_record_check_pending(t->session) > 0;
}

void rpc_tls_bye(struct rpc_tls *t)
{
	(void)gnutls_bye(t->session, GNUTLS_SHUT_WR);
}

const char *rpc_tls_fingerprint(const struct rpc_tls *t)
{
	return t->fingerprint;
}

const char *rpc_tls_dn(const struct rpc_tls *t)
{
	return t->dn;
}
