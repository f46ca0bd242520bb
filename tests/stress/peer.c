/* SPDX-License-Identifier: MIT */
/*
 * Octets between a client and the daemon, without waiting for either.
 *
 * Invariant: [head, tail) of a buffer is what was queued and not sent, or received and not taken.
 */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hv/sim/sim.h"

#define CALL_TIMEOUT_MS 60000
#define PIECE_ONE_IN 8u
#define PIECE_WAIT_NS 3000000u

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int peer_open_socket(struct peer *p, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return -errno;
	return 0;
}

int peer_open_ring(struct peer *p, const char *sim_dir, uint16_t domid)
{
	p->fd = -1;
	return sim_guest_open(sim_dir, domid, &p->guest);
}

void peer_close(struct peer *p)
{
	if (p->guest)
		sim_guest_close(p->guest);
	else if (p->fd >= 0)
		close(p->fd);
	p->guest = NULL;
	p->fd = -1;
}

uint32_t peer_send(struct peer *p, uint32_t type, uint32_t tx, const void *body, size_t len)
{
	struct xsd_sockmsg head = {
		.type = type,
		.req_id = ++p->next_id,
		.tx_id = tx,
		.len = (uint32_t)len,
	};

	if (PEER_OUT_MAX - p->out_tail < sizeof(head) + len) {
		memmove(p->out, p->out + p->out_head, p->out_tail - p->out_head);
		p->out_tail -= p->out_head;
		p->out_head = 0;
	}
	if (PEER_OUT_MAX - p->out_tail < sizeof(head) + len)
		abort(); /* the owner queued more than it may */
	memcpy(p->out + p->out_tail, &head, sizeof(head));
	memcpy(p->out + p->out_tail + sizeof(head), body, len);
	p->out_tail += sizeof(head) + len;
	return head.req_id;
}

/* Octets sent of [data, data + len), 0 when there is no room. */
static ssize_t peer_put(struct peer *p, const char *data, size_t len)
{
	ssize_t n;

	if (p->guest) {
		n = sim_guest_write(p->guest, data, len);
		if (n > 0)
			sim_guest_notify(p->guest);
		return n;
	}
	n = send(p->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n < 0 ? -errno : n;
}

int peer_flush(struct peer *p, struct prng *prng, uint64_t now)
{
	while (p->out_head < p->out_tail && p->piece_ns <= now) {
		size_t len = p->out_tail - p->out_head;
		bool piece = prng && len > 1 && prng_once_in(prng, PIECE_ONE_IN);
		ssize_t n;

		if (piece)
			len = 1 + prng_below(prng, (uint32_t)len - 1);
		n = peer_put(p, p->out + p->out_head, len);
		if (n < 0)
			return (int)n;
		p->out_head += (size_t)n;
		p->octets_out += (uint64_t)n;
		if (piece) {
			p->piece_ns = now + prng_below(prng, PIECE_WAIT_NS);
			p->n_pieces++;
		}
		if ((size_t)n < len)
			break;
	}
	if (p->out_head == p->out_tail)
		p->out_head = p->out_tail = 0;
	return 0;
}

/* Octets taken in; 0: there are none now. */
static ssize_t peer_get(struct peer *p, char *data, size_t room)
{
	ssize_t n;

	if (p->guest)
		return sim_guest_read(p->guest, data, room);
	n = recv(p->fd, data, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (!n)
		return -ECONNRESET;
	return n < 0 ? -errno : n;
}

int peer_fill(struct peer *p)
{
	ssize_t n;

	if (p->guest)
		sim_guest_wait(p->guest, 0);
	memmove(p->in, p->in + p->in_head, p->in_tail - p->in_head);
	p->in_tail -= p->in_head;
	p->in_head = 0;
	while (p->in_tail < PEER_IN_MAX) {
		n = peer_get(p, p->in + p->in_tail, PEER_IN_MAX - p->in_tail);
		if (n <= 0)
			return (int)n;
		p->in_tail += (size_t)n;
		p->octets_in += (uint64_t)n;
	}
	return 0;
}

int peer_next(struct peer *p, struct message *ret)
{
	size_t have = p->in_tail - p->in_head;

	if (have < sizeof(ret->head))
		return 0;
	memcpy(&ret->head, p->in + p->in_head, sizeof(ret->head));
	if (ret->head.len > XENSTORE_PAYLOAD_MAX)
		return -EPROTO;
	if (have < sizeof(ret->head) + ret->head.len)
		return 0;
	ret->body = p->in + p->in_head + sizeof(ret->head);
	p->in_head += sizeof(ret->head) + ret->head.len;
	return 1;
}

void peer_poll(const struct peer *p, uint64_t now, struct pollfd *ret)
{
	bool more = p->out_head < p->out_tail && p->piece_ns <= now;

	ret->fd = p->guest ? sim_guest_fd(p->guest) : p->fd;
	ret->events = (short)((p->deaf_ns <= now ? POLLIN : 0) | (more && !p->guest ? POLLOUT : 0));
	ret->revents = 0;
}

int error_number(const char *body, size_t len)
{
	for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++) {
		const char *name = xsd_errors[i].errstring;

		if (len == strlen(name) + 1 && !memcmp(body, name, len))
			return xsd_errors[i].errnum;
	}
	return EIO;
}

int peer_call(struct peer *p, uint32_t type, uint32_t tx, const void *body, size_t len, char *ret,
	      size_t *ret_len)
{
	uint32_t id = peer_send(p, type, tx, body, len);
	uint64_t end = now_ns() + CALL_TIMEOUT_MS * UINT64_C(1000000);
	struct message m;
	struct pollfd pfd;
	int r;

	for (;;) {
		r = peer_flush(p, NULL, UINT64_MAX);
		while (!r && (r = peer_next(p, &m)) > 0) {
			if (m.head.type == XS_WATCH_EVENT) {
				r = 0;
				continue;
			}
			if (m.head.req_id != id)
				return -EPROTO;
			if (m.head.type == XS_ERROR)
				return error_number(m.body, m.head.len);
			if (ret && m.head.len <= *ret_len)
				memcpy(ret, m.body, m.head.len);
			if (ret_len)
				*ret_len = m.head.len;
			return 0;
		}
		if (r < 0)
			return r;
		if (now_ns() > end)
			return -ETIMEDOUT;
		peer_poll(p, UINT64_MAX, &pfd);
		poll(&pfd, 1, 100);
		r = peer_fill(p);
		if (r)
			return r;
	}
}
