/* SPDX-License-Identifier: MIT */
/*
 * URIs. Parts are copied into fixed fields, or the URI is refused for the part that does not fit:
 * nothing is cut.
 */
#include "rpc/uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

struct text {
	char *at;
	size_t room;
};

static int refuse(const struct text *t, const char *part, const char *what)
{
	snprintf(t->at, t->room, "%s %s", part, what);
	return EINVAL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n octets of s, %XX decoded, to ret. */
static int copy(const struct text *t, const char *part, const char *s, size_t n, char *ret,
		size_t room)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (c == '%') {
			int high = n - i > 2 ? hex(s[i + 1]) : -1;
			int low = n - i > 2 ? hex(s[i + 2]) : -1;

			if (high < 0 || low < 0)
				return refuse(t, part, "has a '%' without two hexadecimal digits");
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!c || (unsigned char)c < 0x20 || c == 0x7f)
			return refuse(t, part, "has a control character");
		if (at + 1 >= room)
			return refuse(t, part, "is too long");
		ret[at++] = c;
	}
	ret[at] = '\0';
	return 0;
}

static int parse_port(const struct text *t, const char *s, size_t n, uint16_t *ret)
{
	unsigned int port = 0;

	if (!n || n > 5 || strspn(s, "0123456789") < n)
		return refuse(t, "the port", "is not a number from 1 to 65535");
	for (size_t i = 0; i < n; i++)
		port = port * 10 + (unsigned int)(s[i] - '0');
	if (!port || port > 65535)
		return refuse(t, "the port", "is not a number from 1 to 65535");
	*ret = (uint16_t)port;
	return 0;
}

/* [USER@][HOST][:PORT] */
static int parse_place(const struct text *t, const char *s, size_t n, struct rpc_uri *u)
{
	const char *end = s + n, *at = memchr(s, '@', n), *colon;
	int r;

	if (at) {
		r = copy(t, "the user", s, (size_t)(at - s), u->user, sizeof(u->user));
		if (r)
			return r;
		s = at + 1;
	}
	if (s < end && *s == '[') {
		const char *close = memchr(s, ']', (size_t)(end - s));

		if (!close)
			return refuse(t, "the host", "has a '[' without a ']'");
		r = copy(t, "the host", s + 1, (size_t)(close - s - 1), u->host, sizeof(u->host));
		if (r || close + 1 == end)
			return r;
		if (close[1] != ':')
			return refuse(t, "the host", "is followed by something other than a port");
		return parse_port(t, close + 2, (size_t)(end - close - 2), &u->port);
	}
	colon = memchr(s, ':', (size_t)(end - s));
	r = copy(t, "the host", s, (size_t)((colon ? colon : end) - s), u->host, sizeof(u->host));
	if (r || !colon)
		return r;
	return parse_port(t, colon + 1, (size_t)(end - colon - 1), &u->port);
}

static int parse_flag(const struct text *t, const char *key, const char *value, bool *ret)
{
	if (strcmp(value, "0") && strcmp(value, "1"))
		return refuse(t, key, "is neither 0 nor 1");
	*ret = *value == '1';
	return 0;
}

static int parse_parameter(const struct text *t, const char *s, size_t n, struct rpc_uri *u)
{
	const struct {
		const char *key;
		char *to;
		size_t room;
	} texts[] = {
		{ "socket", u->socket, sizeof(u->socket) },
		{ "netcat", u->netcat, sizeof(u->netcat) },
		{ "command", u->command, sizeof(u->command) },
		{ "keyfile", u->keyfile, sizeof(u->keyfile) },
		{ "pkipath", u->pkipath, sizeof(u->pkipath) },
		{ "mode", u->mode, sizeof(u->mode) },
		{ "name", u->name, sizeof(u->name) },
	};
	const char *equal = memchr(s, '=', n);
	char value[16], message[64];
	size_t key_len = equal ? (size_t)(equal - s) : n;
	size_t value_len = equal ? n - key_len - 1 : 0;
	int r;

	if (!equal)
		return refuse(t, "a parameter", "has no value");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (strlen(texts[i].key) == key_len && !memcmp(texts[i].key, s, key_len))
			return copy(t, texts[i].key, equal + 1, value_len, texts[i].to,
				    texts[i].room);
	snprintf(message, sizeof(message), "the parameter '%.*s'", key_len > 40 ? 40 : (int)key_len,
		 s);
	r = copy(t, message, equal + 1, value_len, value, sizeof(value));
	if (key_len == 9 && !memcmp(s, "no_verify", 9))
		return r ? r : parse_flag(t, "no_verify", value, &u->no_verify);
	if (key_len == 6 && !memcmp(s, "no_tty", 6))
		return r ? r : parse_flag(t, "no_tty", value, &u->no_tty);
	return refuse(t, message, "is unknown");
}

static int parse_parameters(const struct text *t, const char *s, struct rpc_uri *u)
{
	while (*s) {
		size_t n = strcspn(s, "&;");
		int r = n ? parse_parameter(t, s, n, u) : 0;

		if (r)
			return r;
		s += n;
		if (*s)
			s++;
	}
	if (*u->mode && strcmp(u->mode, "auto") && strcmp(u->mode, "direct") &&
	    strcmp(u->mode, "legacy"))
		return refuse(t, "mode", "is none of auto, direct and legacy");
	if (*u->socket && *u->socket != '/')
		return refuse(t, "socket", "is not an absolute path");
	return 0;
}

static int parse_scheme(const struct text *t, const char *s, size_t n, struct rpc_uri *u)
{
	static const char *const transports[RPC_TRANSPORTS] = { "unix", "tcp", "tls", "ssh" };
	const char *plus = memchr(s, '+', n);
	size_t driver = plus ? (size_t)(plus - s) : n;
	size_t rest = plus ? n - driver - 1 : 0;
	char message[64];
	int r = copy(t, "the driver", s, driver, u->driver, sizeof(u->driver));

	if (r)
		return r;
	if (!driver || strspn(u->driver, "abcdefghijklmnopqrstuvwxyz0123456789-.") < driver)
		return refuse(t, "the driver", "is not a word of small letters");
	if (!plus)
		return 0;
	u->transport_given = true;
	for (int i = 0; i < RPC_TRANSPORTS; i++) {
		if (strlen(transports[i]) != rest || memcmp(transports[i], plus + 1, rest))
			continue;
		u->transport = (enum rpc_transport)i;
		return 0;
	}
	snprintf(message, sizeof(message), "the transport '%.*s'", rest > 20 ? 20 : (int)rest,
		 plus + 1);
	return refuse(t, message, "is none of unix, tcp, tls and ssh");
}

int rpc_uri_parse(const char *uri, struct rpc_uri *ret, char *text, size_t room)
{
	const struct text t = { text, room };
	const char *colon, *place, *path, *query;
	size_t len = strnlen(uri, RPC_URI_MAX + 1);
	int r;

	memset(ret, 0, sizeof(*ret));
	if (len > RPC_URI_MAX)
		return refuse(&t, "the URI", "is too long");
	colon = strchr(uri, ':');
	if (!colon || strncmp(colon, ":/", 2))
		return refuse(&t, "the URI", "has no \"://\" after its driver");
	r = parse_scheme(&t, uri, (size_t)(colon - uri), ret);
	if (r)
		return r;
	/* xen:/system is as good as xen:///system. */
	place = colon + 1;
	if (!strncmp(place, "//", 2)) {
		size_t n = strcspn(place + 2, "/?#");

		r = parse_place(&t, place + 2, n, ret);
		if (r)
			return r;
		path = place + 2 + n;
	} else {
		path = place;
	}
	query = path + strcspn(path, "?#");
	r = copy(&t, "the path", path, (size_t)(query - path), ret->path, sizeof(ret->path));
	if (!r && *query == '#')
		return refuse(&t, "the URI", "has a fragment");
	if (!r && *query == '?')
		r = parse_parameters(&t, query + 1, ret);
	if (r)
		return r;
	if (!ret->transport_given)
		ret->transport = *ret->host ? RPC_TLS : RPC_UNIX;
	if (ret->transport == RPC_UNIX && *ret->host)
		return refuse(&t, "the host", "has no place in a URI with +unix");
	if (ret->transport != RPC_UNIX && !*ret->host)
		return refuse(&t, "the host", "is missing");
	return 0;
}

int rpc_address_parse(const char *address, struct rpc_uri *ret, char *text, size_t room)
{
	const struct text t = { text, room };
	size_t len = strnlen(address, RPC_URI_MAX + 1);
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->transport_given = true;
	if (len > RPC_URI_MAX)
		return refuse(&t, "the address", "is too long");
	if (!strncmp(address, "unix://", 7)) {
		if (address[7] != '/')
			return refuse(&t, "the path after unix://", "is not absolute");
		ret->transport = RPC_UNIX;
		return copy(&t, "the path", address + 7, len - 7, ret->socket, sizeof(ret->socket));
	}
	if (!strncmp(address, "tcp://", 6))
		ret->transport = RPC_TCP;
	else if (!strncmp(address, "tls://", 6))
		ret->transport = RPC_TLS;
	else
		return refuse(&t, "the address", "begins with none of unix://, tcp:// and tls://");
	r = parse_place(&t, address + 6, len - 6, ret);
	if (r)
		return r;
	if (*ret->user)
		return refuse(&t, "the user", "has no place in an address");
	if (!*ret->host)
		return refuse(&t, "the host", "is missing");
	if (strpbrk(ret->host, "/?#"))
		return refuse(&t, "the address", "has something after its port");
	if (!ret->port)
		ret->port = ret->transport == RPC_TLS ? RPC_URI_PORT_TLS : RPC_URI_PORT_TCP;
	return 0;
}

int rpc_uri_name(const struct rpc_uri *u, char *ret, size_t room)
{
	int n = *u->name ? snprintf(ret, room, "%s", u->name)
			 : snprintf(ret, room, "%s://%s", u->driver, u->path);

	return n < 0 || (size_t)n >= room ? ENOSPC : 0;
}
