/* SPDX-License-Identifier: MIT */
/*
 * Tests on a small store: one operation at a time, and many connections with many requests
 * outstanding.
 */
#include "tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define NODE_SMALL "/b/a/one"
#define NODE_LARGE "/b/a/two"
#define NODE_DIR "/b/d"
#define NODE_NEW "/b/m/new"
#define NODE_COUNTER "/b/x/counter"
#define LARGE_LEN 2000
#define WARM_UP 50
#define WARM_UP_NS 50000000u

static const char *large_value(void)
{
	static char value[LARGE_LEN + 1];

	memset(value, 'x', LARGE_LEN);
	return value;
}

void ops_prepare(struct link *l)
{
	char path[64];

	link_write(l, 0, NODE_SMALL, BENCH_VALUE);
	link_write(l, 0, NODE_LARGE, large_value());
	link_write(l, 0, NODE_COUNTER, BENCH_VALUE);
	link_write(l, 0, "/b/m", "");
	for (int i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), NODE_DIR "/child%d", i);
		link_write(l, 0, path, "v");
	}
}

void op_read(struct bench *b, struct link *l)
{
	(void)b;
	link_do(l, XS_READ, 0, NODE_SMALL, NULL);
}

void op_write(struct bench *b, struct link *l)
{
	(void)b;
	link_write(l, 0, NODE_SMALL, BENCH_VALUE);
}

static void op_directory(struct bench *b, struct link *l)
{
	(void)b;
	link_do(l, XS_DIRECTORY, 0, NODE_DIR, NULL);
}

static void op_get_perms(struct bench *b, struct link *l)
{
	(void)b;
	link_do(l, XS_GET_PERMS, 0, NODE_SMALL, NULL);
}

static void op_read_large(struct bench *b, struct link *l)
{
	(void)b;
	link_do(l, XS_READ, 0, NODE_LARGE, NULL);
}

static void op_write_large(struct bench *b, struct link *l)
{
	(void)b;
	link_write(l, 0, NODE_LARGE, large_value());
}

void op_mkdir_rm(struct bench *b, struct link *l)
{
	(void)b;
	link_do(l, XS_MKDIR, 0, NODE_NEW, NULL);
	link_do(l, XS_RM, 0, NODE_NEW, NULL);
}

void op_transaction(struct bench *b, struct link *l)
{
	uint32_t tx = link_begin(l);

	(void)b;
	link_do(l, XS_READ, tx, NODE_COUNTER, NULL);
	link_write(l, tx, NODE_COUNTER, BENCH_VALUE);
	if (link_commit(l, tx))
		bench_die("a transaction without a rival got EAGAIN");
}

void op_visit(struct bench *b, struct link *l)
{
	struct link *own = link_new_socket(b->socket_path);

	(void)l;
	op_read(b, own);
	link_free(own);
}

void bench_measure(struct bench *b, const char *param, const char *prefix, struct link *l,
		   bench_op *op)
{
	uint64_t start = meter_now_ns(), before, now, cpu, length = (uint64_t)(b->seconds * 1e9);

	for (int i = 0; i < WARM_UP && meter_now_ns() - start < WARM_UP_NS; i++)
		op(b, l);
	b->n_samples = 0;
	cpu = meter_server_cpu_ns(b);
	start = now = meter_now_ns();
	while (now - start < length && b->n_samples < METER_MAX_SAMPLES) {
		before = now;
		op(b, l);
		now = meter_now_ns();
		meter_sample_add(b, now - before);
	}
	cpu = meter_server_cpu_ns(b) - cpu;
	meter_print_samples(b, param, prefix, now - start, cpu);
}

void test_lat(struct bench *b, char **args)
{
	static const struct {
		const char *name;
		bench_op *op;
	} ops[] = {
		{ "read", op_read },	     { "write", op_write },
		{ "dir", op_directory },     { "perms", op_get_perms },
		{ "mkdirrm", op_mkdir_rm },  { "txn", op_transaction },
		{ "read2k", op_read_large }, { "write2k", op_write_large },
	};
	struct link *l = link_new_socket(b->socket_path);

	ops_prepare(l);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!args[0] || !strcmp(args[0], ops[i].name))
			bench_measure(b, ops[i].name, "op", l, ops[i].op);
	link_free(l);
}

/* A pipelined load: each reply sends the next request on its connection. */
struct pipe_load {
	bool write;
	size_t body_len;
	char body[64];
};

static void pipe_send(const struct pipe_load *load, struct link *l)
{
	link_send(l, load->write ? XS_WRITE : XS_READ, 0, load->body, load->body_len);
}

static unsigned long pipe_turn(const struct pipe_load *load, int epoll_fd)
{
	struct epoll_event events[128];
	unsigned long done = 0;
	struct message m;
	int n = epoll_wait(epoll_fd, events, 128, LINK_TIMEOUT_S * 1000);

	if (n <= 0)
		bench_die("no answer in %d s", LINK_TIMEOUT_S);
	for (int i = 0; i < n; i++) {
		struct link *l = events[i].data.ptr;

		link_fill(l);
		while (link_next(l, &m)) {
			if (m.type == XS_ERROR)
				bench_die("pipelined request: %.*s", (int)m.len, m.body);
			done++;
			pipe_send(load, l);
		}
	}
	return done;
}

void test_pipe(struct bench *b, char **args)
{
	struct pipe_load load = { .write = !strcmp(args[0], "write") };
	unsigned long k = arg_number(args, 1, 1), depth = arg_number(args, 2, 1), done = 0;
	uint64_t start, now, cpu, length = (uint64_t)(b->seconds * 1e9);
	struct link **links = calloc(k, sizeof(links[0]));
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	char param[64];

	if (!links || epoll_fd < 0)
		bench_die("pipe: %s", strerror(errno));
	load.body_len = body_pair(load.body, sizeof(load.body), NODE_SMALL,
				  load.write ? BENCH_VALUE : "", false);
	for (unsigned long i = 0; i < k; i++) {
		links[i] = link_new_socket(b->socket_path);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, links[i]->fd,
			  &(struct epoll_event){ EPOLLIN, { .ptr = links[i] } });
	}
	ops_prepare(links[0]);
	cpu = meter_server_cpu_ns(b);
	start = meter_now_ns();
	for (unsigned long i = 0; i < k * depth; i++)
		pipe_send(&load, links[i % k]);
	do {
		done += pipe_turn(&load, epoll_fd);
		now = meter_now_ns();
	} while (now - start < length);
	cpu = meter_server_cpu_ns(b) - cpu;
	snprintf(param, sizeof(param), "%s-k%lu-d%lu", args[0], k, depth);
	meter_print(b, param, "ops", (double)done * 1e9 / (double)(now - start));
	if (b->server)
		meter_print(b, param, "cpu", (double)cpu / 1e3 / (double)done);
	for (unsigned long i = 0; i < k; i++)
		link_free(links[i]);
	free(links);
	close(epoll_fd);
}
