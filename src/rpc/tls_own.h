/* SPDX-License-Identifier: MIT */
/*
 * Credentials from within: tls_cred.c loads them, tls.c uses them.
 */
#ifndef DROVER_RPC_TLS_OWN_H
#define DROVER_RPC_TLS_OWN_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "rpc/tls.h"

struct rpc_tls_cred {
	gnutls_certificate_credentials_t x509; /* owned */
	bool server;
	char fingerprint[RPC_FINGERPRINT_MAX];
	char **allowed; /* owned, both */
	size_t n_allowed;
};

/* "" where there is none. */
void rpc_tls_cert_fingerprint(gnutls_x509_crt_t crt, char ret[RPC_FINGERPRINT_MAX]);
void rpc_tls_cert_dn(gnutls_x509_crt_t crt, char ret[RPC_DN_MAX]);

#endif
