/* SPDX-License-Identifier: MIT */
/*
 * Held sockets. Invariant: numbers rise along the table; closed places are fewer than
 * CLIENTS_SLACK, or than those in use, when a call returns.
 */
#include "keeper/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"

#define CLIENTS_SLACK 64u

int clients_add(struct clients *c, uint64_t number, int fd)
{
	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 64;
		struct held *at = realloc(c->at, room * sizeof(*at));

		if (!at) {
			close(fd);
			return FAULT(-ENOMEM);
		}
		c->at = at;
		c->room = room;
	}
	c->at[c->n++] = (struct held){ .number = number, .fd = fd };
	return 0;
}

/* Where the first number above this one is, or would be. */
static size_t place_above(const struct clients *c, uint64_t number)
{
	size_t low = 0, high = c->n, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (c->at[mid].number > number)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void compact(struct clients *c)
{
	size_t n = 0;

	/* the last stays, closed or not: its number must not come again */
	for (size_t i = 0; i < c->n; i++)
		if (c->at[i].fd >= 0 || i + 1 == c->n)
			c->at[n++] = c->at[i];
	c->n = n;
	c->closed = c->at[n - 1].fd < 0;
}

void clients_close(struct clients *c, uint64_t number)
{
	size_t i = place_above(c, number);

	if (!i || c->at[i - 1].number != number || c->at[i - 1].fd < 0)
		return;
	close(c->at[i - 1].fd);
	c->at[i - 1].fd = -1;
	if (++c->closed > CLIENTS_SLACK && c->closed > c->n / 2)
		compact(c);
}

uint64_t clients_last(const struct clients *c)
{
	return c->n ? c->at[c->n - 1].number : 0;
}

const struct held *clients_next(const struct clients *c, uint64_t number)
{
	for (size_t i = place_above(c, number); i < c->n; i++)
		if (c->at[i].fd >= 0)
			return &c->at[i];
	return NULL;
}

uint64_t clients_tell(const struct clients *c, uint64_t number, struct proto_msg *m)
{
	const struct held *h;

	proto_init(m, PROTO_CLIENTS, 0, NULL);
	while (m->n_fds < PROTO_FDS_MAX && (h = clients_next(c, number))) {
		number = m->id[m->n_ids++] = h->number;
		m->fd[m->n_fds++] = h->fd;
	}
	m->value = m->n_fds;
	return number;
}

void clients_fini(struct clients *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->at[i].fd >= 0)
			close(c->at[i].fd);
	free(c->at);
	*c = (struct clients){ 0 };
}
