/* SPDX-License-Identifier: MIT */
/*
 * Where a guest's memory is sent to: "tcp://host", "tcp://host:port", "tcp:host:port" (as libvirt
 * writes it), "unix:///path"; a host may be an IPv6 address in brackets. Pure.
 */
#ifndef DROVER_HOSTD_DATA_URI_H
#define DROVER_HOSTD_DATA_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATA_HOST_MAX 254u
#define DATA_PATH_MAX 107u /* octets of a unix socket's path, as the system has it */
#define DATA_URI_MAX 300u  /* octets of a printed one and its NUL */

struct data_uri {
	bool is_unix;
	char host[DATA_HOST_MAX + 1]; /* without brackets */
	uint16_t port;		      /* 0: none was given */
	char path[DATA_PATH_MAX + 1];
};

/* 0; EINVAL: text (room octets) says which part is wrong. */
int data_uri_parse(const char *uri, struct data_uri *ret, char *text, size_t room);
/* As libvirt's client takes it: "tcp://host:port" or "unix:///path". */
void data_uri_print(const struct data_uri *u, char ret[DATA_URI_MAX]);

#endif
