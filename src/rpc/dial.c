/* SPDX-License-Identifier: MIT */
/*
 * Addresses and connecting to them. Keeps nothing.
 */
#include "rpc/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

bool rpc_dial_is_numeric(const struct rpc_uri *u)
{
	struct in6_addr any;

	return u->transport == RPC_UNIX || inet_pton(AF_INET, u->host, &any) == 1 ||
	       inet_pton(AF_INET6, u->host, &any) == 1;
}

static int resolve_unix(const struct rpc_uri *u, struct rpc_dial *ret, char *text, size_t room)
{
	struct sockaddr_un *a = (struct sockaddr_un *)&ret->to[0].addr;
	size_t len = strlen(u->socket);

	if (!len || len >= sizeof(a->sun_path)) {
		snprintf(text, room, "the path of the socket is %s", len ? "too long" : "missing");
		return EINVAL;
	}
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, u->socket, len + 1);
	ret->to[0].len = sizeof(*a);
	ret->n = 1;
	return 0;
}

int rpc_dial_resolve(const struct rpc_uri *u, struct rpc_dial *ret, char *text, size_t room)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list;
	char port[8];
	int r;

	memset(ret, 0, sizeof(*ret));
	if (u->transport == RPC_UNIX)
		return resolve_unix(u, ret, text, room);
	if (rpc_dial_is_numeric(u))
		hints.ai_flags |= AI_NUMERICHOST;
	snprintf(port, sizeof(port), "%u",
		 u->port		   ? u->port
		 : u->transport == RPC_TLS ? RPC_URI_PORT_TLS
					   : RPC_URI_PORT_TCP);
	r = getaddrinfo(u->host, port, &hints, &list);
	if (r) {
		snprintf(text, room, "host '%s': %s", u->host, gai_strerror(r));
		return ENOENT;
	}
	for (struct addrinfo *a = list; a && ret->n < RPC_DIAL_MAX; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(ret->to[0].addr))
			continue;
		memcpy(&ret->to[ret->n].addr, a->ai_addr, a->ai_addrlen);
		ret->to[ret->n++].len = a->ai_addrlen;
	}
	freeaddrinfo(list);
	if (ret->n)
		return 0;
	snprintf(text, room, "host '%s' has no address", u->host);
	return ENOENT;
}

int rpc_dial_start(const struct rpc_dial *d, size_t i, int *ret_fd, char *text, size_t room)
{
	int family = d->to[i].addr.ss_family, one = 1, r;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char name[RPC_HOST_MAX];

	if (fd >= 0) {
		if (family != AF_UNIX)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		do {
			r = connect(fd, (const struct sockaddr *)&d->to[i].addr, d->to[i].len);
		} while (r < 0 && errno == EINTR);
		if (!r || errno == EINPROGRESS) {
			*ret_fd = fd;
			return r ? EINPROGRESS : 0;
		}
	}
	/* Of a unix socket EAGAIN says that its queue is full: to be tried again by who wants. */
	r = errno;
	rpc_dial_name(d, i, name, sizeof(name));
	snprintf(text, room, "cannot connect to %s: %s", name, strerror(r));
	if (fd >= 0)
		close(fd);
	return r;
}

void rpc_dial_name(const struct rpc_dial *d, size_t i, char *ret, size_t room)
{
	const struct sockaddr *a = (const struct sockaddr *)&d->to[i].addr;
	char host[128], port[8];

	if (a->sa_family == AF_UNIX)
		snprintf(ret, room, "%s", ((const struct sockaddr_un *)(const void *)a)->sun_path);
	else if (getnameinfo(a, d->to[i].len, host, sizeof(host), port, sizeof(port),
			     NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(ret, room, "an address without a name");
	else
		snprintf(ret, room, a->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}
