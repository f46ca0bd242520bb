/* SPDX-License-Identifier: MIT */
/*
 * Requests and events over a socket or a ring.
 *
 * Invariant: in[0, got) holds what came and was not yet parsed; it is larger than any message,
 * so that a whole one always fits.
 */
#include "cli/sim_client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hv/sim/sim.h"
#include "wire/wire.h"

#define CALL_TIMEOUT_MS 30000

struct sim_client {
	int fd;			 /* owned; -1: a ring */
	struct sim_guest *guest; /* owned; NULL: a socket */
	uint32_t req_id;
	int patience_ms; /* for a reply */
	sim_event_fn *on_event;
	void *on_event_data; /* borrowed */
	size_t got;
	char in[2 * (WIRE_HEADER_SIZE + XENSTORE_PAYLOAD_MAX)];
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* What is left of timeout_ms since start, for poll. */
static int left_ms(int64_t start, int timeout_ms)
{
	int64_t left = start + timeout_ms - now_ms();

	if (timeout_ms < 0)
		return -1;
	return left > 0 ? (int)left : 0;
}

int sim_client_connect(const char *path, struct sim_client **ret_client)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sim_client *c;

	if (strlen(path) >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	memcpy(un.sun_path, path, strlen(path));
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->patience_ms = CALL_TIMEOUT_MS;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&un, sizeof(un))) {
		int r = -errno;

		sim_client_free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

/* Whether a daemon has bound the domain's port. */
static int guest_introduced(const char *dir, uint16_t domid)
{
	struct sim_dominfo d;
	struct sim *s;
	int r;

	r = sim_open(dir, &s);
	if (r)
		return r;
	r = sim_domain_info(s, domid, &d);
	sim_close(s);
	if (r)
		return r;
	return d.bound ? 0 : -ENOTCONN;
}

/*
 * A ring begins where the domain's last speaker left it: with its watches, perhaps half a
 * message. Where the daemon can, it begins anew (xenstore-ring.txt: ring reconnection).
 */
static int guest_begin(struct sim_client *c)
{
	struct xenstore_domain_interface *ring = sim_guest_page(c->guest);
	int64_t start = now_ms();
	struct sim_reply reply;
	int r;

	if (!(__atomic_load_n(&ring->server_features, __ATOMIC_SEQ_CST) &
	      XENSTORE_SERVER_FEATURE_RECONNECTION)) {
		while (sim_guest_read(c->guest, c->in, sizeof(c->in)) > 0)
			;
		r = sim_client_call(c, XS_RESET_WATCHES, 0, "", 1, &reply);
		return r < 0 ? r : 0; /* an old daemon need not know it */
	}
	__atomic_store_n(&ring->connection, XENSTORE_RECONNECT, __ATOMIC_SEQ_CST);
	r = sim_guest_notify(c->guest);
	while (!r && __atomic_load_n(&ring->connection, __ATOMIC_SEQ_CST) != XENSTORE_CONNECTED) {
		if (!left_ms(start, CALL_TIMEOUT_MS))
			return -ETIMEDOUT;
		r = sim_guest_wait(c->guest, left_ms(start, CALL_TIMEOUT_MS));
		r = r < 0 ? r : 0;
	}
	return r == -ESRCH ? -EPIPE : r;
}

int sim_client_guest(const char *dir, uint16_t domid, bool as_left, struct sim_client **ret_client)
{
	struct sim_client *c;
	int r;

	r = guest_introduced(dir, domid);
	if (r)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = -1;
	c->patience_ms = CALL_TIMEOUT_MS;
	c->req_id = (uint32_t)now_ms(); /* unlike what replies left behind may carry */
	r = sim_guest_open(dir, domid, &c->guest);
	if (!r && !as_left)
		r = guest_begin(c);
	if (r) {
		sim_client_free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

pid_t sim_client_peer(const struct sim_client *c)
{
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return 0;
	return peer.pid;
}

void sim_client_patience(struct sim_client *c, int timeout_ms)
{
	c->patience_ms = timeout_ms;
}

int sim_client_fd(const struct sim_client *c)
{
	return c->fd;
}

void sim_client_free(struct sim_client *c)
{
	if (!c)
		return;
	sim_guest_close(c->guest);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void sim_client_on_event(struct sim_client *c, sim_event_fn *fn, void *data)
{
	c->on_event = fn;
	c->on_event_data = data;
}

/* The domain's end, or a ring that is no ring any more, is the end of the connection. */
static int guest_error(int r)
{
	return r == -ESRCH || r == -EIO ? -EPIPE : r;
}

static int client_put(struct sim_client *c, const char *data, size_t len)
{
	int64_t start = now_ms();

	while (len) {
		ssize_t n;

		if (!c->guest) {
			n = send(c->fd, data, len, MSG_NOSIGNAL);
			if (n < 0 && errno != EINTR)
				return errno == ECONNRESET ? -EPIPE : -errno;
		} else {
			n = sim_guest_write(c->guest, data, len);
			if (n < 0)
				return guest_error((int)n);
			sim_guest_notify(c->guest);
			if (!n && !left_ms(start, CALL_TIMEOUT_MS))
				return -ETIMEDOUT;
			if (!n)
				sim_guest_wait(c->guest, left_ms(start, CALL_TIMEOUT_MS));
		}
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* More octets into in[]; 0, -ETIMEDOUT, -EPIPE. */
static int client_fill(struct sim_client *c, int64_t start, int timeout_ms)
{
	size_t room = sizeof(c->in) - c->got;
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	ssize_t n;
	int r;

	for (;;) {
		if (c->guest) {
			n = sim_guest_read(c->guest, c->in + c->got, room);
			if (n < 0)
				return guest_error((int)n);
			if (!n) {
				r = sim_guest_wait(c->guest, left_ms(start, timeout_ms));
				if (r < 0)
					return guest_error(r);
			}
		} else {
			if (poll(&pfd, 1, left_ms(start, timeout_ms)) < 0 && errno != EINTR)
				return -errno;
			n = recv(c->fd, c->in + c->got, room, MSG_DONTWAIT);
			if (!n || (n < 0 && errno == ECONNRESET))
				return -EPIPE;
		}
		if (n > 0) {
			c->got += (size_t)n;
			return 0;
		}
		if (timeout_ms >= 0 && !left_ms(start, timeout_ms))
			return -ETIMEDOUT;
	}
}

static void client_event(struct sim_client *c, const struct sim_reply *event)
{
	size_t path_len = strlen(event->octets);

	if (c->on_event && path_len < event->len)
		c->on_event(c->on_event_data, event->octets, event->octets + path_len + 1);
}

/* The next message, whatever it is, its payload into *ret. */
static int client_next(struct sim_client *c, int timeout_ms, struct xsd_sockmsg *ret_hdr,
		       struct sim_reply *ret)
{
	int64_t start = now_ms();
	struct wire_msg msg;
	size_t size;
	int r;

	while ((r = wire_parse(c->in, c->got, &msg, &size)) == EAGAIN) {
		r = client_fill(c, start, timeout_ms);
		if (r)
			return r;
	}
	if (r)
		return -EPROTO;
	*ret_hdr = msg.hdr;
	memcpy(ret->octets, msg.payload, msg.hdr.len);
	ret->octets[msg.hdr.len] = '\0';
	ret->len = msg.hdr.len;
	c->got -= size;
	memmove(c->in, c->in + size, c->got);
	return 0;
}

int sim_client_call(struct sim_client *c, uint32_t type, uint32_t tx_id, const void *payload,
		    size_t len, struct sim_reply *ret_reply)
{
	struct xsd_sockmsg hdr = { .type = type, .tx_id = tx_id, .len = (uint32_t)len };
	int r;

	hdr.req_id = ++c->req_id;
	r = client_put(c, (const char *)&hdr, sizeof(hdr));
	if (!r)
		r = client_put(c, payload, len);
	if (r)
		return r;
	for (;;) {
		r = client_next(c, c->patience_ms, &hdr, ret_reply);
		if (r)
			return r;
		if (hdr.type == XS_WATCH_EVENT)
			client_event(c, ret_reply);
		else if (hdr.req_id == c->req_id)
			break;
		/* else: the answer to a question of the domain's last speaker */
	}
	if (hdr.type == XS_ERROR) {
		r = wire_errno_value(ret_reply->octets);
		return r ? r : EIO;
	}
	return hdr.type == type ? 0 : -EPROTO;
}

int sim_client_wait_event(struct sim_client *c, int timeout_ms)
{
	struct xsd_sockmsg hdr;
	struct sim_reply event;
	int r;

	r = client_next(c, timeout_ms, &hdr, &event);
	if (r)
		return r;
	if (hdr.type != XS_WATCH_EVENT)
		return -EPROTO;
	client_event(c, &event);
	return 0;
}
