/* SPDX-License-Identifier: MIT */
/*
 * Addresses of migration data, read and printed. Invariant: what is printed is read back the same.
 */
#include "hostd/data_uri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int bad(char *text, size_t room, const char *uri, const char *what)
{
	snprintf(text, room, "migration URI \"%.200s\": %s", uri, what);
	return EINVAL;
}

static int parse_unix(const char *uri, const char *path, struct data_uri *ret, char *text,
		      size_t room)
{
	if (path[0] != '/')
		return bad(text, room, uri, "the socket's path is not absolute");
	if (strlen(path) > DATA_PATH_MAX)
		return bad(text, room, uri, "the socket's path is longer than 107 octets");
	if (strpbrk(path, "?#"))
		return bad(text, room, uri, "nothing may follow the socket's path");
	ret->is_unix = true;
	memcpy(ret->path, path, strlen(path) + 1);
	return 0;
}

/* A port's digits up to the end of the text, 1 to 65535; 0: it is none. */
static uint16_t parse_port(const char *digits)
{
	char *end;
	unsigned long v;

	if (digits[0] < '0' || digits[0] > '9' || strlen(digits) > 5)
		return 0;
	v = strtoul(digits, &end, 10);
	return *end || v > UINT16_MAX ? 0 : (uint16_t)v;
}

static bool host_is_sound(const char *host, bool in_brackets)
{
	for (const char *c = host; *c; c++) {
		bool alnum = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
			     (*c >= 'A' && *c <= 'Z');

		if (!alnum && !strchr(in_brackets ? ":.%" : ".-_", *c))
			return false;
	}
	return host[0] != '\0';
}

static int parse_tcp(const char *uri, const char *rest, struct data_uri *ret, char *text,
		     size_t room)
{
	bool in_brackets = rest[0] == '[';
	const char *host = in_brackets ? rest + 1 : rest;
	size_t len = strcspn(host, in_brackets ? "]" : ":/");
	const char *after = host + len;

	if (in_brackets && *after++ != ']')
		return bad(text, room, uri, "the host's bracket is not closed");
	if (len > DATA_HOST_MAX)
		return bad(text, room, uri, "the host is longer than 254 octets");
	memcpy(ret->host, host, len);
	ret->host[len] = '\0';
	if (!host_is_sound(ret->host, in_brackets))
		return bad(text, room, uri, "the host is missing or is no name");
	if (*after == ':') {
		char digits[8];
		size_t n = strcspn(after + 1, "/");

		if (n >= sizeof(digits))
			return bad(text, room, uri, "the port is no number from 1 to 65535");
		memcpy(digits, after + 1, n);
		digits[n] = '\0';
		ret->port = parse_port(digits);
		if (!ret->port)
			return bad(text, room, uri, "the port is no number from 1 to 65535");
		after += 1 + n;
	}
	if (strcmp(after, "") != 0 && strcmp(after, "/") != 0)
		return bad(text, room, uri, "nothing may follow the host and port");
	return 0;
}

int data_uri_parse(const char *uri, struct data_uri *ret, char *text, size_t room)
{
	memset(ret, 0, sizeof(*ret));
	if (!strncmp(uri, "unix://", 7))
		return parse_unix(uri, uri + 7, ret, text, room);
	if (!strncmp(uri, "tcp://", 6))
		return parse_tcp(uri, uri + 6, ret, text, room);
	if (!strncmp(uri, "tcp:", 4))
		return parse_tcp(uri, uri + 4, ret, text, room);
	return bad(text, room, uri, "only tcp://host[:port] and unix:///path can be used");
}

void data_uri_print(const struct data_uri *u, char ret[DATA_URI_MAX])
{
	bool colons = strchr(u->host, ':') != NULL;
	int len;

	if (u->is_unix) {
		snprintf(ret, DATA_URI_MAX, "unix://%s", u->path);
		return;
	}
	len = snprintf(ret, DATA_URI_MAX, colons ? "tcp://[%s]" : "tcp://%s", u->host);
	if (u->port && len > 0 && (unsigned int)len < DATA_URI_MAX)
		snprintf(ret + len, DATA_URI_MAX - (unsigned int)len, ":%u", (unsigned int)u->port);
}
