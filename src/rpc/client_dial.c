/* SPDX-License-Identifier: MIT */
/*
 * How the blocking client reaches a daemon: a socket, TCP, TLS, or ssh's input and output.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "rpc/client_own.h"
#include "rpc/dial.h"

/* A path of the URI's pkipath directory, where it has one. */
static const char *pki_path(const struct rpc_uri *u, const char *name, char *buf, size_t room)
{
	if (!*u->pkipath)
		return NULL;
	snprintf(buf, room, "%s/%s", u->pkipath, name);
	return buf;
}

static int load_cred(struct rpc_client *c, const struct rpc_uri *u, struct rpc_error *err)
{
	char ca[300], cert[300], key[300], text[RPC_CONN_WHY_MAX];
	const struct rpc_tls_files of_uri = {
		.ca = pki_path(u, "cacert.pem", ca, sizeof(ca)),
		.cert = pki_path(u, "clientcert.pem", cert, sizeof(cert)),
		.key = pki_path(u, "clientkey.pem", key, sizeof(key)),
	};
	int r;

	if (c->cred)
		return 0;
	r = rpc_tls_cred_load(c->o.tls && !*u->pkipath ? c->o.tls : &of_uri, &c->cred, text,
			      sizeof(text));
	if (r)
		rpc_error_set(err, RPC_ERR_GNUTLS, RPC_FROM_RPC, "%s", text);
	return r;
}

/* Each address in turn, until one can be used. */
static int dial_all(struct rpc_client *c, const struct rpc_uri *u, const struct rpc_dial *d,
		    uint64_t by_ms, struct rpc_error *err)
{
	char text[RPC_CONN_WHY_MAX];
	int r = ENOENT, fd;

	for (size_t i = 0; i < d->n; i++) {
		struct rpc_conn_options o = {
			.tls = u->transport == RPC_TLS ? c->cred : NULL,
			.peer_name = u->no_verify ? NULL : u->host,
			.no_verify = u->no_verify,
		};

		r = rpc_dial_start(d, i, &fd, text, sizeof(text));
		if (r && r != EINPROGRESS) {
			rpc_error_set(err, RPC_ERR_SYSTEM, RPC_FROM_RPC, "%s", text);
			continue;
		}
		o.connecting = r == EINPROGRESS;
		r = rpc_client_adopt(c, fd, &o, by_ms, err);
		if (!r)
			return 0;
	}
	return r;
}

/* Where daemons of that driver listen. */
static void default_socket(const struct rpc_uri *u, bool read_only, char *ret, size_t room)
{
	const char *daemon = !strcmp(u->driver, "xen")	  ? "virtxend"
			     : !strcmp(u->driver, "qemu") ? "virtqemud"
							  : "libvirt";

	snprintf(ret, room, "/run/libvirt/%s-sock%s", daemon, read_only ? "-ro" : "");
	if (access(ret, F_OK) < 0)
		snprintf(ret, room, "/run/libvirt/libvirt-sock%s", read_only ? "-ro" : "");
}

/* Runs ssh with one end of a pair for its input and output. Only calls that are safe after fork. */
static void run_ssh(int fd, char *const *argv)
{
	if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

static int dial_ssh(struct rpc_client *c, const struct rpc_uri *u, uint64_t by_ms,
		    struct rpc_error *err)
{
	char socket_path[RPC_SOCKET_MAX], port[8], remote[400], *argv[20];
	const struct rpc_conn_options o = { 0 };
	int pair[2], n = 0;

	if (*u->socket)
		snprintf(socket_path, sizeof(socket_path), "%s", u->socket);
	else
		default_socket(u, c->o.read_only, socket_path, sizeof(socket_path));
	/* The remote shell sees these: words of a path, no more. */
	if (strpbrk(socket_path, "'\\\n") || strpbrk(u->netcat, "'\\\n") || u->host[0] == '-' ||
	    u->user[0] == '-') {
		rpc_error_set(err, RPC_ERR_INVALID_ARG, RPC_FROM_URI,
			      "a path or host in the URI has characters that ssh would not keep");
		return EINVAL;
	}
	snprintf(remote, sizeof(remote), "'%s' -U '%s'", *u->netcat ? u->netcat : "nc",
		 socket_path);
	snprintf(port, sizeof(port), "%u", u->port);
	argv[n++] = (char *)(uintptr_t)(*u->command ? u->command : "ssh");
	argv[n++] = (char *)(uintptr_t) "-T";
	if (u->port) {
		argv[n++] = (char *)(uintptr_t) "-p";
		argv[n++] = port;
	}
	if (*u->user) {
		argv[n++] = (char *)(uintptr_t) "-l";
		argv[n++] = (char *)(uintptr_t)u->user;
	}
	if (*u->keyfile) {
		argv[n++] = (char *)(uintptr_t) "-i";
		argv[n++] = (char *)(uintptr_t)u->keyfile;
	}
	if (u->no_tty) {
		argv[n++] = (char *)(uintptr_t) "-o";
		argv[n++] = (char *)(uintptr_t) "BatchMode=yes";
	}
	argv[n++] = (char *)(uintptr_t) "--";
	argv[n++] = (char *)(uintptr_t)u->host;
	argv[n++] = remote;
	argv[n] = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		rpc_error_set(err, RPC_ERR_SYSTEM, RPC_FROM_RPC, "a pair of sockets: %s",
			      strerror(errno));
		return errno;
	}
	c->helper = fork();
	if (!c->helper)
		run_ssh(pair[1], argv);
	close(pair[1]);
	if (c->helper < 0) {
		c->helper = 0;
		close(pair[0]);
		rpc_error_set(err, RPC_ERR_SSH, RPC_FROM_RPC, "ssh cannot be started");
		return EAGAIN;
	}
	return rpc_client_adopt(c, pair[0], &o, by_ms, err);
}

int rpc_client_dial(struct rpc_client *c, const struct rpc_uri *uri, uint64_t by_ms,
		    struct rpc_error *err)
{
	char text[RPC_CONN_WHY_MAX];
	struct rpc_uri u = *uri;
	struct rpc_dial d;
	int r;

	if (u.transport == RPC_SSH)
		return dial_ssh(c, &u, by_ms, err);
	if (u.transport == RPC_UNIX && !*u.socket)
		default_socket(&u, c->o.read_only, u.socket, sizeof(u.socket));
	if (u.transport == RPC_TLS) {
		r = load_cred(c, &u, err);
		if (r)
			return r;
	}
	r = rpc_dial_resolve(&u, &d, text, sizeof(text));
	if (r) {
		rpc_error_set(err, r == ENOENT ? RPC_ERR_UNKNOWN_HOST : RPC_ERR_INVALID_ARG,
			      RPC_FROM_RPC, "%s", text);
		return r;
	}
	return dial_all(c, &u, &d, by_ms, err);
}
