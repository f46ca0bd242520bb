/* SPDX-License-Identifier: MIT */
/*
 * TLS under a connection. Both ends show a certificate that one CA signed. After the handshake the
 * server looks at the client's certificate and then says one octet, 1: you may. Both look at times,
 * signatures, purpose and revocation; the client also at the server's name.
 */
#ifndef DROVER_RPC_TLS_H
#define DROVER_RPC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RPC_TLS_CA "/etc/pki/CA/cacert.pem"
#define RPC_TLS_CRL "/etc/pki/CA/cacrl.pem"
#define RPC_TLS_SERVER_CERT "/etc/pki/libvirt/servercert.pem"
#define RPC_TLS_SERVER_KEY "/etc/pki/libvirt/private/serverkey.pem"
#define RPC_TLS_CLIENT_CERT "/etc/pki/libvirt/clientcert.pem"
#define RPC_TLS_CLIENT_KEY "/etc/pki/libvirt/private/clientkey.pem"
#define RPC_TLS_ALLOWED_MAX 1024u /* entries of the list of those who may */
#define RPC_FINGERPRINT_MAX 96u
#define RPC_DN_MAX 1024u

struct rpc_tls_cred;

struct rpc_tls_files {
	bool server; /* whose defaults; and how it is used */
	/* NULL: as above; crl NULL: as above if that is there. */
	const char *ca, *crl, *cert, *key;
	/*
	 * A server's: who may, "sha256:HEX" or a distinguished name in which '*' and '?' match as a
	 * shell's do. n_allowed 0: everyone with a certificate of the CA.
	 */
	const char *const *allowed;
	size_t n_allowed;
};

/*
 * Reads the files. 0; ENOENT, EACCES, EINVAL (broken, or key and certificate do not match, or an
 * entry of allowed is none) with text naming the file; ENOMEM.
 */
int rpc_tls_cred_load(const struct rpc_tls_files *files, struct rpc_tls_cred **ret, char *text,
		      size_t room);
void rpc_tls_cred_free(struct rpc_tls_cred *cred);
/* "sha256:..." of the certificate that it shows. */
const char *rpc_tls_cred_fingerprint(const struct rpc_tls_cred *cred);

/* ---- below: for conn.c ---- */

struct rpc_tls;

/* peer_name, of a client: to be verified; NULL: not. NULL: no memory, or GnuTLS will not. */
struct rpc_tls *rpc_tls_new(struct rpc_tls_cred *cred, int fd, const char *peer_name,
			    bool no_verify);
void rpc_tls_free(struct rpc_tls *t);
/* 0: both agree. EAGAIN: wait for rpc_tls_events. EPROTO, EACCES: text says why. */
int rpc_tls_handshake(struct rpc_tls *t, char *text, size_t room);
short rpc_tls_events(const struct rpc_tls *t); /* what the handshake waits for */
/* As recv and send: octets, 0 (end), or -1 with errno. text: why, when errno is EPROTO. */
ssize_t rpc_tls_read(struct rpc_tls *t, void *buf, size_t len, char *text, size_t room);
ssize_t rpc_tls_write(struct rpc_tls *t, const void *buf, size_t len, char *text, size_t room);
bool rpc_tls_has_more(const struct rpc_tls *t); /* octets that poll does not tell of */
void rpc_tls_bye(struct rpc_tls *t);
const char *rpc_tls_fingerprint(const struct rpc_tls *t);
const char *rpc_tls_dn(const struct rpc_tls *t);

#endif
