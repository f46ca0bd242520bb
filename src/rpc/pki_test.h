/* SPDX-License-Identifier: MIT */
/*
 * A CA and certificates in a folder of the test's own.
 */
#ifndef DROVER_RPC_PKI_TEST_H
#define DROVER_RPC_PKI_TEST_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"

/* Not the test's failure, but nothing can be tested without it. */
#define PKI_MUST(what)                                                                             \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "pki: %s\n", #what);                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct pki_cert {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

struct pki {
	char dir[64];
	struct pki_cert ca, other; /* two CAs that know nothing of each other */
};

enum { PKI_CA = 1, PKI_EXPIRED = 2, PKI_OTHER_CA = 4, PKI_CLIENT_ONLY = 8, PKI_EARLY = 16 };

static inline void pki_path(const struct pki *p, const char *name, char ret[128])
{
	snprintf(ret, 128, "%s/%s", p->dir, name);
}

static inline void pki_write(const struct pki *p, const char *name, const void *data, size_t n)
{
	char path[128];
	FILE *f;

	pki_path(p, name, path);
	f = fopen(path, "w");
	PKI_MUST(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

static inline void pki_make(struct pki *p, struct pki_cert *c, const char *cn, unsigned int flags,
			    const struct pki_cert *by)
{
	static unsigned char serial = 1;
	time_t now = time(NULL);

	PKI_MUST(!gnutls_x509_privkey_init(&c->key) && !gnutls_x509_crt_init(&c->crt));
	PKI_MUST(!gnutls_x509_privkey_generate(
		c->key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	PKI_MUST(!gnutls_x509_crt_set_version(c->crt, 3));
	PKI_MUST(!gnutls_x509_crt_set_key(c->crt, c->key));
	PKI_MUST(!gnutls_x509_crt_set_serial(c->crt, &serial, 1));
	serial++;
	PKI_MUST(!gnutls_x509_crt_set_activation_time(c->crt, flags & PKI_EARLY ? now + 86400
										: now - 86400));
	PKI_MUST(!gnutls_x509_crt_set_expiration_time(
		c->crt, flags & PKI_EXPIRED ? now - 3600 : now + 2 * 86400));
	PKI_MUST(!gnutls_x509_crt_set_dn_by_oid(c->crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn,
						(unsigned int)strlen(cn)));
	PKI_MUST(!gnutls_x509_crt_set_basic_constraints(c->crt, !!(flags & PKI_CA), -1));
	PKI_MUST(!gnutls_x509_crt_set_key_usage(
		c->crt, flags & PKI_CA ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
				       : GNUTLS_KEY_DIGITAL_SIGNATURE));
	if (!(flags & PKI_CA)) {
		PKI_MUST(!gnutls_x509_crt_set_subject_alt_name(
			c->crt, GNUTLS_SAN_DNSNAME, cn, (unsigned int)strlen(cn), GNUTLS_FSAN_SET));
		PKI_MUST(!gnutls_x509_crt_set_key_purpose_oid(c->crt, GNUTLS_KP_TLS_WWW_CLIENT, 0));
		if (!(flags & PKI_CLIENT_ONLY))
			PKI_MUST(!gnutls_x509_crt_set_key_purpose_oid(c->crt,
								      GNUTLS_KP_TLS_WWW_SERVER, 0));
	}
	if (!by)
		by = flags & PKI_OTHER_CA ? &p->other : &p->ca;
	PKI_MUST(!gnutls_x509_crt_sign2(c->crt, by->crt, by->key, GNUTLS_DIG_SHA256, 0));
}

static inline void pki_store(struct pki *p, const struct pki_cert *c, const char *name)
{
	char file[64];
	gnutls_datum_t pem;

	PKI_MUST(!gnutls_x509_crt_export2(c->crt, GNUTLS_X509_FMT_PEM, &pem));
	snprintf(file, sizeof(file), "%s.pem", name);
	pki_write(p, file, pem.data, pem.size);
	gnutls_free(pem.data);
	PKI_MUST(!gnutls_x509_privkey_export2(c->key, GNUTLS_X509_FMT_PEM, &pem));
	snprintf(file, sizeof(file), "%s.key", name);
	pki_write(p, file, pem.data, pem.size);
	gnutls_free(pem.data);
}

static inline void pki_cert_fini(struct pki_cert *c)
{
	gnutls_x509_crt_deinit(c->crt);
	gnutls_x509_privkey_deinit(c->key);
}

/* NAME.pem and NAME.key, signed by a CA. */
static inline void pki_issue(struct pki *p, const char *name, const char *cn, unsigned int flags)
{
	struct pki_cert c;

	pki_make(p, &c, cn, flags, NULL);
	pki_store(p, &c, name);
	pki_cert_fini(&c);
}

/* NAME.crl with the certificate of that file. */
static inline void pki_revoke(struct pki *p, const char *name)
{
	char path[128], file[64];
	gnutls_datum_t pem;
	gnutls_x509_crl_t crl;
	gnutls_x509_crt_t crt;

	snprintf(file, sizeof(file), "%s.pem", name);
	pki_path(p, file, path);
	PKI_MUST(!gnutls_load_file(path, &pem) && !gnutls_x509_crt_init(&crt));
	PKI_MUST(!gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM));
	gnutls_free(pem.data);
	PKI_MUST(!gnutls_x509_crl_init(&crl) && !gnutls_x509_crl_set_version(crl, 2));
	PKI_MUST(!gnutls_x509_crl_set_this_update(crl, time(NULL) - 60));
	PKI_MUST(!gnutls_x509_crl_set_next_update(crl, time(NULL) + 86400));
	PKI_MUST(!gnutls_x509_crl_set_crt(crl, crt, time(NULL) - 60));
	PKI_MUST(!gnutls_x509_crl_sign2(crl, p->ca.crt, p->ca.key, GNUTLS_DIG_SHA256, 0));
	PKI_MUST(!gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem));
	snprintf(file, sizeof(file), "%s.crl", name);
	pki_write(p, file, pem.data, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_crl_deinit(crl);
	gnutls_x509_crt_deinit(crt);
}

static inline void pki_init(struct pki *p)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->dir, sizeof(p->dir), "/tmp/drover-pki-XXXXXX");
	PKI_MUST(mkdtemp(p->dir));
	pki_make(p, &p->ca, "a CA", PKI_CA, &p->ca);
	pki_make(p, &p->other, "another CA", PKI_CA, &p->other);
	pki_store(p, &p->ca, "ca");
	pki_store(p, &p->other, "other");
}

static inline void pki_fini(struct pki *p)
{
	char command[128];

	pki_cert_fini(&p->ca);
	pki_cert_fini(&p->other);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	PKI_MUST(!system(command)); /* NOLINT(cert-env33-c): a path of mkdtemp's */
}

#endif
