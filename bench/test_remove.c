/* SPDX-License-Identifier: MIT */
/*
 * RM of a large tree while another client reads without a pause. Both connections belong to one
 * thread, so that neither has to wait for the other's turn on the client's processor: a reader's
 * wait is then the server's alone. Reading goes on for a while after the reply, because a server
 * may answer first and clear up later; as long a time before the RM shows what the machine
 * itself adds.
 */
#include "tests.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define BUILD_LIMIT_NS (180 * 1000000000ull)
#define QUIET_NS 300000000u

struct stall {
	struct link *reader;  /* borrowed */
	struct link *remover; /* borrowed */
	uint64_t sent_ns;     /* when the read under way was sent */
	uint64_t longest_ns;
	uint64_t removed_ns; /* when RM was answered; 0: not yet */
};

static void stall_read(struct stall *s)
{
	static const char path[] = "/b/a/one";

	s->sent_ns = meter_now_ns();
	link_send(s->reader, XS_READ, 0, path, sizeof(path));
}

/* Takes what came for either connection; a finished read is followed by the next. */
static void stall_turn(struct stall *s)
{
	struct pollfd fds[2] = {
		{ .fd = s->reader->fd, .events = POLLIN },
		{ .fd = s->remover->fd, .events = POLLIN },
	};
	struct message m;
	uint64_t now;

	if (poll(fds, 2, LINK_TIMEOUT_S * 1000) <= 0)
		bench_die("no answer in %d s", LINK_TIMEOUT_S);
	now = meter_now_ns();
	if (fds[1].revents) {
		link_receive(s->remover, &m);
		if (m.type == XS_ERROR)
			bench_die("RM: %.*s", (int)m.len, m.body);
		s->removed_ns = now;
	}
	if (fds[0].revents) {
		link_receive(s->reader, &m);
		if (now - s->sent_ns > s->longest_ns)
			s->longest_ns = now - s->sent_ns;
		stall_read(s);
	}
}

void test_remove(struct bench *b, char **args)
{
	unsigned long nodes = arg_number(args, 0, 0);
	struct stall s = {
		.reader = link_new_socket(b->socket_path),
		.remover = link_new_socket(b->socket_path),
	};
	static const char path[] = "/b/n";
	uint64_t start, cpu;

	ops_prepare(s.reader);
	if (populate_nodes(s.remover, "/b/n/%lu/%lu", 100, 0, nodes,
			   meter_now_ns() + BUILD_LIMIT_NS) < nodes)
		bench_die("nodes: out of time");
	meter_settle(b);
	start = meter_now_ns();
	for (stall_read(&s); meter_now_ns() - start < QUIET_NS;)
		stall_turn(&s);
	meter_print(b, args[0], "stall_before_ms", (double)s.longest_ns / 1e6);

	s.longest_ns = 0;
	cpu = meter_server_cpu_ns(b);
	start = meter_now_ns();
	link_send(s.remover, XS_RM, 0, path, sizeof(path));
	while (!s.removed_ns || meter_now_ns() - s.removed_ns < QUIET_NS)
		stall_turn(&s);
	meter_print(b, args[0], "rm_ms", (double)(s.removed_ns - start) / 1e6);
	meter_print(b, args[0], "stall_ms", (double)s.longest_ns / 1e6);
	meter_print(b, args[0], "cpu_ms", (double)(meter_server_cpu_ns(b) - cpu) / 1e6);
	link_free(s.reader);
	link_free(s.remover);
}
