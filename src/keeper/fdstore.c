/* SPDX-License-Identifier: MIT */
/*
 * systemd's store of descriptors. Invariant: a client's name holds its number, so that it comes
 * back under the same.
 */
#include "keeper/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define LISTENER "listen"
#define CLIENT "client-"

#ifdef HAVE_SYSTEMD

static bool is_offered(void)
{
	const char *most = getenv("FDSTORE"), *socket = getenv("NOTIFY_SOCKET");

	return socket && *socket && most && *most && strcmp(most, "0") != 0;
}

static int compare(const void *a, const void *b)
{
	const struct held *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* 0: not a client's. */
static uint64_t number_of(const char *name)
{
	uint64_t n;
	char rest;

	return sscanf(name, CLIENT "%" SCNu64 "%c", &n, &rest) == 1 ? n : 0;
}

int fdstore_take(struct clients *c)
{
	struct held *found = NULL;
	char **name = NULL;
	size_t count = 0;
	int n, r = 0;

	n = sd_listen_fds_with_names(0, &name);
	if (n > 0)
		found = calloc((size_t)n, sizeof(*found));
	if (n > 0 && !found)
		r = -ENOMEM;
	for (int i = 0; i < n; i++) {
		uint64_t number = number_of(name[i]);

		if (number && found)
			found[count++] = (struct held){ number, SD_LISTEN_FDS_START + i };
		free(name[i]);
	}
	free(name);
	if (count)
		qsort(found, count, sizeof(*found), compare);
	for (size_t i = 0; i < count && !r; i++) {
		if (found[i].number <= clients_last(c)) {
			close(found[i].fd);
			continue;
		}
		fcntl(found[i].fd, F_SETFL, O_NONBLOCK);
		r = clients_add(c, found[i].number, found[i].fd);
	}
	free(found);
	return r;
}

int fdstore_take_listener(void)
{
	char **name = NULL;
	int n = sd_listen_fds_with_names(0, &name), fd = -1;

	for (int i = 0; i < n; i++) {
		if (!strcmp(name[i], LISTENER))
			fd = SD_LISTEN_FDS_START + i;
		free(name[i]);
	}
	free(name);
	return fd;
}

static void put(const char *name, int fd)
{
	char str[96];

	snprintf(str, sizeof(str), "FDSTORE=1\nFDNAME=%s", name);
	sd_pid_notify_with_fds(0, 0, str, &fd, 1);
}

void fdstore_put_listener(int fd)
{
	if (is_offered())
		put(LISTENER, fd);
}

void fdstore_put_client(uint64_t number, int fd)
{
	char name[48];

	if (!is_offered())
		return;
	snprintf(name, sizeof(name), CLIENT "%" PRIu64, number);
	put(name, fd);
}

void fdstore_remove_client(uint64_t number)
{
	if (is_offered())
		sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=" CLIENT "%" PRIu64, number);
}

#else

int fdstore_take(struct clients *c)
{
	(void)c;
	return 0;
}

int fdstore_take_listener(void)
{
	return -1;
}

void fdstore_put_listener(int fd)
{
	(void)fd;
}

void fdstore_put_client(uint64_t number, int fd)
{
	(void)number;
	(void)fd;
}

void fdstore_remove_client(uint64_t number)
{
	(void)number;
}

#endif
