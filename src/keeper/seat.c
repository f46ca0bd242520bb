/* SPDX-License-Identifier: MIT */
/*
 * A worker's seat. Invariant: a descriptor that is not there is -1 on both sides; in a HELLO those
 * that are there come in one order, and a mask says which.
 */
#include "keeper/seat.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"

enum hello_word {
	HELLO_MASK, /* bit i: the i-th of seat_fds is there */
	HELLO_DEATHS,
	HELLO_VIRQ,
	HELLO_WORDS,
};

#define HELLO_FDS (SEAT_JOURNAL_FILES + 4)

/* The descriptors, in their order on the wire. */
static void seat_fds(struct worker_seat *s, int *fd[HELLO_FDS])
{
	size_t n = 0;

	fd[n++] = &s->call;
	fd[n++] = &s->lock;
	fd[n++] = &s->netns;
	fd[n++] = &s->hv.evtchn_fd;
	for (size_t i = 0; i < SEAT_JOURNAL_FILES; i++)
		fd[n++] = &s->journal[i];
}

void seat_to_hello(const struct worker_seat *seat, struct proto_msg *m)
{
	struct worker_seat s = *seat;
	int *fd[HELLO_FDS];

	proto_init(m, PROTO_HELLO, PROTO_VERSION, s.boot_id);
	m->n_ids = HELLO_WORDS;
	m->id[HELLO_MASK] = 0;
	m->id[HELLO_DEATHS] = s.deaths;
	m->id[HELLO_VIRQ] = s.hv.virq;
	seat_fds(&s, fd);
	for (unsigned int i = 0; i < HELLO_FDS; i++) {
		if (*fd[i] < 0)
			continue;
		m->id[HELLO_MASK] |= 1u << i;
		m->fd[m->n_fds++] = *fd[i];
	}
}

int seat_from_hello(int link, struct worker_seat *ret)
{
	struct worker_seat s = { .link = link, .image = -1, .candidate = true };
	uint32_t taken = 0;
	struct proto_msg m;
	int *fd[HELLO_FDS];
	int r;

	r = proto_recv(link, &m, true);
	if (r)
		return r;
	if (m.type != PROTO_HELLO || m.value != PROTO_VERSION || m.n_ids < HELLO_WORDS ||
	    m.text_len != SEAT_BOOT_ID_LEN)
		r = -EPROTO;
	seat_fds(&s, fd);
	for (unsigned int i = 0; i < HELLO_FDS; i++) {
		*fd[i] = -1;
		if (!r && m.id[HELLO_MASK] & 1u << i && taken < m.n_fds)
			*fd[i] = m.fd[taken++];
	}
	while (m.n_fds > taken)
		close(m.fd[--m.n_fds]);
	if (r)
		return r;
	s.deaths = m.id[HELLO_DEATHS];
	s.hv.virq = (uint32_t)m.id[HELLO_VIRQ];
	memcpy(s.boot_id, m.text, SEAT_BOOT_ID_LEN);
	*ret = s;
	return 0;
}

int seat_open_file(const struct worker_seat *seat, enum proto_open how, const char *path)
{
	struct proto_msg m;
	int r;

	proto_init(&m, PROTO_OPEN, how, path);
	if (m.text_len != strlen(path))
		return -ENAMETOOLONG;
	r = proto_send(seat->call, &m, true);
	if (!r)
		r = proto_recv(seat->call, &m, true);
	if (r)
		return r;
	if (m.type == PROTO_FILE && m.n_fds == 1)
		return m.fd[0];
	while (m.n_fds)
		close(m.fd[--m.n_fds]);
	return m.value ? -(int)m.value : -EPROTO;
}

int seat_tell(const struct worker_seat *seat, enum proto_type type, uint32_t value,
	      const char *text)
{
	struct proto_msg m;

	proto_init(&m, type, value, text);
	return proto_send(seat->link, &m, true);
}

int seat_closed(const struct worker_seat *seat, uint64_t number)
{
	struct proto_msg m;

	proto_init(&m, PROTO_CLOSED, 0, NULL);
	m.id[m.n_ids++] = number;
	return proto_send(seat->link, &m, true);
}
