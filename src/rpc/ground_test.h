/* SPDX-License-Identifier: MIT */
/*
 * A connection over a pair of sockets, one end ours, the other the test's, by a clock of the
 * test's.
 */
#ifndef DROVER_RPC_GROUND_TEST_H
#define DROVER_RPC_GROUND_TEST_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/conn.h"
#include "rpc/libvirt.h"

struct ground {
	struct rpc_conn *c;
	int fd; /* the test's end */
	uint64_t now;
	struct rpc_head heads[200]; /* frames that came, in order */
	unsigned int n, ready, closed, woken;
	char why[RPC_CONN_WHY_MAX];
	bool free_in_frame, free_in_closed, close_in_frame;
};

static inline void on_frame(void *data, struct rpc_conn *c, const struct rpc_frame *f)
{
	struct ground *g = data;

	assert_int_equal(g->ready, 1);
	assert_int_equal(g->closed, 0);
	assert_true(g->n < 200);
	g->heads[g->n++] = f->head;
	if (g->close_in_frame)
		rpc_conn_close(c, true, "enough");
	if (g->free_in_frame) {
		rpc_conn_free(c);
		g->c = NULL;
	}
}

static inline void on_ready(void *data, struct rpc_conn *c)
{
	struct ground *g = data;

	(void)c;
	g->ready++;
}

static inline void on_closed(void *data, struct rpc_conn *c, const char *why)
{
	struct ground *g = data;

	assert_true(rpc_conn_fd(c) >= 0);
	g->closed++;
	snprintf(g->why, sizeof(g->why), "%s", why);
	if (g->free_in_closed) {
		rpc_conn_free(c);
		g->c = NULL;
	}
}

static inline void on_wake(void *data, struct rpc_conn *c)
{
	struct ground *g = data;

	(void)c;
	g->woken++;
}

static const struct rpc_conn_ops ground_ops = {
	.frame = on_frame,
	.ready = on_ready,
	.closed = on_closed,
	.wake = on_wake,
};

static inline void ground_init(struct ground *g, uint32_t calls_max)
{
	const struct rpc_conn_options o = {
		.server = true, .calls_max = calls_max, .stall_ms = 5000, .id = 77
	};
	int pair[2], size = 4096;

	memset(g, 0, sizeof(*g));
	g->now = 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	/* So small that an end that reads nothing is noticed soon. */
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	g->fd = pair[1];
	assert_int_equal(rpc_conn_new(pair[0], &o, &ground_ops, g, g->now, &g->c), 0);
	assert_int_equal(rpc_conn_id(g->c), 77);
}

static inline void ground_fini(struct ground *g)
{
	rpc_conn_free(g->c);
	if (g->fd >= 0)
		close(g->fd);
}

/* Rounds until nothing more is to be done. */
static inline void run(struct ground *g)
{
	for (int i = 0; g->c && i < 100; i++) {
		struct pollfd p;
		bool due;

		rpc_conn_flush(g->c, g->now);
		if (!g->c || rpc_conn_fd(g->c) < 0)
			return;
		p = (struct pollfd){ .fd = rpc_conn_fd(g->c), .events = rpc_conn_events(g->c) };
		due = rpc_conn_deadline_ms(g->c) <= g->now;
		if (poll(&p, 1, 0) == 1)
			rpc_conn_io(g->c, p.revents, g->now);
		else if (!due)
			return;
		if (g->c)
			rpc_conn_tick(g->c, g->now);
	}
}

static inline void say(struct ground *g, uint32_t program, int32_t procedure, uint32_t type,
		       uint32_t serial)
{
	const struct rpc_head h = {
		.program = program,
		.version = 1,
		.procedure = procedure,
		.type = type,
		.serial = serial,
	};
	uint8_t octets[RPC_HEAD_SIZE];

	rpc_head_put(octets, &h, 0);
	assert_int_equal(write(g->fd, octets, sizeof(octets)), sizeof(octets));
}

static inline void call(struct ground *g, uint32_t serial)
{
	say(g, RPC_PROGRAM, RPC_CONNECT_GET_TYPE, RPC_CALL, serial);
}

/* The next frame that the connection wrote; false: there is none. */
static inline bool hear(struct ground *g, struct rpc_head *ret)
{
	uint8_t octets[65536];
	ssize_t n = recv(g->fd, octets, RPC_HEAD_SIZE, MSG_DONTWAIT);
	size_t len;

	if (n <= 0)
		return false;
	assert_int_equal(n, RPC_HEAD_SIZE);
	rpc_head_get(octets, ret);
	len = (size_t)octets[2] << 8 | octets[3];
	if (len > RPC_HEAD_SIZE)
		assert_int_equal(recv(g->fd, octets, len - RPC_HEAD_SIZE, 0), len - RPC_HEAD_SIZE);
	return true;
}

static inline void answer(struct ground *g, unsigned int i)
{
	rpc_string_ret ret = { .value = (char *)(uintptr_t) "Xen" };

	assert_int_equal(rpc_conn_reply(g->c, &g->heads[i], RPC_XDR(rpc_string_ret), &ret), 0);
}

#endif
