/* SPDX-License-Identifier: MIT */
/*
 * Where a daemon is: libvirt's connection URIs, and the addresses by which daemons name each other.
 *
 *   DRIVER[+TRANSPORT]://[USER@][HOST][:PORT]/PATH[?KEY=VALUE&...]
 *   unix:///PATH    tcp://HOST:PORT    tls://HOST:PORT
 */
#ifndef DROVER_RPC_URI_H
#define DROVER_RPC_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_URI_MAX 2048u /* octets of a URI */
#define RPC_URI_PORT_TLS 16514u
#define RPC_URI_PORT_TCP 16509u
#define RPC_HOST_MAX 256u
#define RPC_SOCKET_MAX 108u /* a unix socket's path and its NUL */

enum rpc_transport { RPC_UNIX, RPC_TCP, RPC_TLS, RPC_SSH, RPC_TRANSPORTS };

struct rpc_uri {
	char driver[32]; /* "xen", "qemu", "test"; "" of a peer's address */
	enum rpc_transport transport;
	bool transport_given;
	char user[64], host[RPC_HOST_MAX]; /* host without [ ] */
	uint16_t port;			   /* 0: none was given */
	char path[128];			   /* "/system" */
	char socket[RPC_SOCKET_MAX];	   /* ?socket=, or a peer's unix path */
	char netcat[128], command[128];	   /* ?netcat=, ?command= of ssh */
	char keyfile[256], pkipath[256];
	char name[128]; /* ?name=: what the daemon is told instead of driver and path */
	char mode[16];	/* "legacy", "direct", "auto" */
	bool no_verify, no_tty;
};

/* 0; EINVAL: text names the part. */
int rpc_uri_parse(const char *uri, struct rpc_uri *ret, char *text, size_t room);
int rpc_address_parse(const char *address, struct rpc_uri *ret, char *text, size_t room);
/*
 * What the daemon is told in CONNECT_OPEN: the URI without transport, host and what is the
 * client's business, as "xen:///system". 0; ENOSPC.
 */
int rpc_uri_name(const struct rpc_uri *u, char *ret, size_t room);

#endif
