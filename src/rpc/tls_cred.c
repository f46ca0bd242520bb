/* SPDX-License-Identifier: MIT */
/*
 * Certificates from files. Every error names the file, and what in it is wrong: a daemon that does
 * not start for them is read about in a log.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "rpc/tls_own.h"

#define CHAIN_MAX 16u /* certificates in one file that are looked at */

DEFINE_CLEANUP(struct rpc_tls_cred *, rpc_tls_cred_free)

void rpc_tls_cert_fingerprint(gnutls_x509_crt_t crt, char ret[RPC_FINGERPRINT_MAX])
{
	uint8_t sum[32];
	size_t len = sizeof(sum), at;

	ret[0] = '\0';
	if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, sum, &len) < 0)
		return;
	at = (size_t)snprintf(ret, RPC_FINGERPRINT_MAX, "sha256:");
	for (size_t i = 0; i < len; i++)
		at += (size_t)snprintf(ret + at, RPC_FINGERPRINT_MAX - at, "%02x", sum[i]);
}

void rpc_tls_cert_dn(gnutls_x509_crt_t crt, char ret[RPC_DN_MAX])
{
	size_t len = RPC_DN_MAX;

	if (gnutls_x509_crt_get_dn(crt, ret, &len) < 0)
		ret[0] = '\0';
}

/* 0; or an errno, and text says which file cannot be read. */
static int check_readable(const char *what, const char *path, char *text, size_t room)
{
	if (!access(path, R_OK))
		return 0;
	snprintf(text, room, "%s %s: %s", what, path, strerror(errno));
	return errno == EACCES || errno == ENOENT ? errno : EINVAL;
}

static int check_times(const char *what, const char *path, gnutls_x509_crt_t crt, char *text,
		       size_t room)
{
	time_t now = time(NULL), from = gnutls_x509_crt_get_activation_time(crt),
	       to = gnutls_x509_crt_get_expiration_time(crt);

	if (from == (time_t)-1 || to == (time_t)-1)
		snprintf(text, room, "%s %s: its times of validity cannot be read", what, path);
	else if (now < from)
		snprintf(text, room, "%s %s: it is not valid yet", what, path);
	else if (now > to)
		snprintf(text, room, "%s %s: it has expired", what, path);
	else
		return 0;
	return EINVAL;
}

/* The first certificate of a file that must be valid now. */
static int cred_look(struct rpc_tls_cred *c, const char *what, const char *path, bool ours,
		     char *text, size_t room)
{
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned int n = CHAIN_MAX;
	gnutls_datum_t pem = { 0 };
	int r = gnutls_load_file(path, &pem), bad = 0;

	if (r >= 0) {
		/* An array that is too small is still filled. */
		r = gnutls_x509_crt_list_import(chain, &n, &pem, GNUTLS_X509_FMT_PEM, 0);
		gnutls_free(pem.data);
	}
	if (r < 0) {
		snprintf(text, room, "%s %s: %s", what, path, gnutls_strerror(r));
		return EINVAL;
	}
	for (unsigned int i = 0; i < (unsigned int)r && !bad; i++)
		bad = check_times(what, path, chain[i], text, room);
	if (ours && r > 0)
		rpc_tls_cert_fingerprint(chain[0], c->fingerprint);
	for (unsigned int i = 0; i < (unsigned int)r; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return bad;
}

static bool is_fingerprint(const char *s)
{
	const char *digit = s + strlen("sha256:");
	unsigned int n = 0;

	if (strncmp(s, "sha256:", strlen("sha256:")) != 0)
		return false;
	while (n < 64 && *digit && strchr("0123456789abcdef", *digit)) {
		digit++;
		n++;
	}
	return n == 64 && !*digit;
}

static int cred_allow(struct rpc_tls_cred *c, const struct rpc_tls_files *files, char *text,
		      size_t room)
{
	if (files->n_allowed > RPC_TLS_ALLOWED_MAX) {
		snprintf(text, room, "more than %u are allowed to connect by name",
			 RPC_TLS_ALLOWED_MAX);
		return EINVAL;
	}
	if (!files->n_allowed)
		return 0;
	c->allowed = calloc(files->n_allowed, sizeof(*c->allowed));
	if (!c->allowed)
		return ENOMEM;
	for (size_t i = 0; i < files->n_allowed; i++) {
		const char *one = files->allowed[i];

		if (!is_fingerprint(one) && !strchr(one, '=')) {
			snprintf(text, room,
				 "'%.200s' is neither \"sha256:\" and 64 hexadecimal digits (small "
				 "letters) nor a distinguished name",
				 one);
			return EINVAL;
		}
		c->allowed[c->n_allowed] = strdup(one);
		if (!c->allowed[c->n_allowed])
			return ENOMEM;
		c->n_allowed++;
	}
	return 0;
}

/* The list of revoked certificates: one that was named has to be there. */
static int cred_revoke(struct rpc_tls_cred *c, const char *crl, char *text, size_t room)
{
	const char *path = crl ? crl : RPC_TLS_CRL;
	int r;

	if (!crl && access(path, F_OK) < 0)
		return 0;
	r = check_readable("list of revoked certificates", path, text, room);
	if (r)
		return r;
	r = gnutls_certificate_set_x509_crl_file(c->x509, path, GNUTLS_X509_FMT_PEM);
	if (r > 0)
		return 0;
	snprintf(text, room, "list of revoked certificates %s: %s", path,
		 r ? gnutls_strerror(r) : "there is none in it");
	return EINVAL;
}

static int cred_trust(struct rpc_tls_cred *c, const char *ca, char *text, size_t room)
{
	int r = check_readable("CA certificate", ca, text, room);

	if (r)
		return r;
	r = cred_look(c, "CA certificate", ca, false, text, room);
	if (r)
		return r;
	r = gnutls_certificate_set_x509_trust_file(c->x509, ca, GNUTLS_X509_FMT_PEM);
	if (r > 0)
		return 0;
	snprintf(text, room, "CA certificate %s: %s", ca,
		 r ? gnutls_strerror(r) : "there is none in it");
	return EINVAL;
}

static int cred_show(struct rpc_tls_cred *c, const char *cert, const char *key, char *text,
		     size_t room)
{
	int r = check_readable("certificate", cert, text, room);

	if (!r)
		r = cred_look(c, "certificate", cert, true, text, room);
	if (!r)
		r = check_readable("key", key, text, room);
	if (r)
		return r;
	r = gnutls_certificate_set_x509_key_file(c->x509, cert, key, GNUTLS_X509_FMT_PEM);
	if (r >= 0)
		return 0;
	snprintf(text, room, "certificate %s with key %s: %s", cert, key, gnutls_strerror(r));
	return EINVAL;
}

int rpc_tls_cred_load(const struct rpc_tls_files *f, struct rpc_tls_cred **ret, char *text,
		      size_t room)
{
	CLEANUP(rpc_tls_cred_free) struct rpc_tls_cred *c = calloc(1, sizeof(*c));
	const char *cert = f->server ? RPC_TLS_SERVER_CERT : RPC_TLS_CLIENT_CERT;
	const char *key = f->server ? RPC_TLS_SERVER_KEY : RPC_TLS_CLIENT_KEY;
	int r;

	if (room)
		text[0] = '\0';
	if (!c)
		return ENOMEM;
	c->server = f->server;
	if (gnutls_certificate_allocate_credentials(&c->x509) < 0)
		return ENOMEM;
	r = cred_trust(c, f->ca ? f->ca : RPC_TLS_CA, text, room);
	if (!r)
		r = cred_revoke(c, f->crl, text, room);
	if (!r)
		r = cred_show(c, f->cert ? f->cert : cert, f->key ? f->key : key, text, room);
	if (!r)
		r = cred_allow(c, f, text, room);
	if (r)
		return r;
	*ret = TAKE(c);
	return 0;
}

void rpc_tls_cred_free(struct rpc_tls_cred *cred)
{
	if (!cred)
		return;
	if (cred->x509)
		gnutls_certificate_free_credentials(cred->x509);
	for (size_t i = 0; i < cred->n_allowed; i++)
		free(cred->allowed[i]);
	free(cred->allowed);
	free(cred);
}

const char *rpc_tls_cred_fingerprint(const struct rpc_tls_cred *cred)
{
	return cred->fingerprint;
}
