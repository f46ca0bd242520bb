/* SPDX-License-Identifier: MIT */
/*
 * N clients, each in an endless loop of start, read, write, commit: all on one node, each on a
 * node of its own, or each creating and removing a child of one directory. A client that meets
 * EAGAIN starts the same commit again: how many tries a commit needs is what its client feels.
 */
#include "tests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum rival_step { STEP_START, STEP_READ, STEP_WRITE, STEP_END, STEP_DONE };

struct rival {
	struct link *link;    /* owned */
	enum rival_step step; /* whose reply is awaited */
	unsigned int index;
	uint32_t tx;
	unsigned long tries; /* of the commit under way */
	unsigned long commits;
	char path[64];
};

struct contest {
	bool new_child;
	bool over; /* time is up: no new commit is begun */
	unsigned int n_live;
	unsigned long commits;
	unsigned long refused;
	unsigned long max_tries;
};

static void rival_send_change(const struct contest *c, struct rival *r, const struct message *m)
{
	char body[128], value[32];
	size_t len;

	if (c->new_child) {
		snprintf(body, sizeof(body), "%s/n%u", r->path, r->index);
		link_send(r->link, r->commits & 1 ? XS_RM : XS_MKDIR, r->tx, body,
			  strlen(body) + 1);
		return;
	}
	len = m->len < sizeof(value) ? m->len : sizeof(value) - 1;
	memcpy(value, m->body, len);
	value[len] = '\0';
	snprintf(value, sizeof(value), "%lu", strtoul(value, NULL, 10) + 1);
	len = body_pair(body, sizeof(body), r->path, value, false);
	link_send(r->link, XS_WRITE, r->tx, body, len);
}

static void rival_start(struct rival *r)
{
	link_send(r->link, XS_TRANSACTION_START, 0, "", 1);
	r->step = STEP_START;
}

static void rival_ended(struct contest *c, struct rival *r, const struct message *m)
{
	r->tries++;
	if (r->tries > c->max_tries)
		c->max_tries = r->tries;
	if (m->type == XS_ERROR) {
		if (m->len < 7 || strcmp(m->body, "EAGAIN"))
			bench_die("commit: %.*s", (int)m->len, m->body);
		c->refused++;
	} else {
		c->commits++;
		r->commits++;
		r->tries = 0;
	}
	if (c->over) {
		r->step = STEP_DONE;
		c->n_live--;
		return;
	}
	rival_start(r);
}

static void rival_reply(struct contest *c, struct rival *r, const struct message *m)
{
	if (m->type == XS_ERROR && r->step != STEP_END)
		bench_die("in a transaction, step %d: %.*s", (int)r->step, (int)m->len, m->body);
	switch (r->step) {
	case STEP_START:
		r->tx = (uint32_t)strtoul(m->body, NULL, 10);
		link_send(r->link, XS_READ, r->tx, r->path, strlen(r->path) + 1);
		r->step = STEP_READ;
		break;
	case STEP_READ:
		rival_send_change(c, r, m);
		r->step = STEP_WRITE;
		break;
	case STEP_WRITE:
		link_send(r->link, XS_TRANSACTION_END, r->tx, "T", 2);
		r->step = STEP_END;
		break;
	case STEP_END:
		rival_ended(c, r, m);
		break;
	case STEP_DONE:
		bench_die("a reply that nobody asked for");
	}
}

static void contest_turn(struct contest *c, int epoll_fd)
{
	struct epoll_event events[128];
	int n = epoll_wait(epoll_fd, events, 128, LINK_TIMEOUT_S * 1000);

	if (n <= 0)
		bench_die("no answer in %d s", LINK_TIMEOUT_S);
	for (int i = 0; i < n; i++) {
		struct rival *r = events[i].data.ptr;
		struct message m;

		link_fill(r->link);
		while (link_next(r->link, &m))
			rival_reply(c, r, &m);
	}
}

static struct rival *rivals_new(struct bench *b, const char *mode, unsigned int n, int epoll_fd)
{
	struct rival *rivals = calloc(n, sizeof(rivals[0]));
	struct link *l = link_new_socket(b->socket_path);

	if (!rivals)
		bench_die("out of memory");
	link_write(l, 0, "/b/cf", "");
	link_do(l, XS_RM, 0, "/b/cf", NULL);
	link_write(l, 0, "/b/cf", "");
	for (unsigned int i = 0; i < n; i++) {
		struct rival *r = &rivals[i];

		r->index = i;
		r->link = link_new_socket(b->socket_path);
		if (!strcmp(mode, "disjoint"))
			snprintf(r->path, sizeof(r->path), "/b/cf/%u/counter", i);
		else
			strcpy(r->path, strcmp(mode, "same") ? "/b/cf" : "/b/cf/counter");
		if (strcmp(mode, "newchild"))
			link_write(l, 0, r->path, "0");
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, r->link->fd,
			  &(struct epoll_event){ EPOLLIN, { .ptr = r } });
	}
	link_free(l);
	return rivals;
}

/* Every commit on the common node counted once: how many were lost. */
static double contest_lost(struct bench *b, const struct contest *c)
{
	struct link *l = link_new_socket(b->socket_path);
	char value[32] = "";
	struct message m;

	link_do(l, XS_READ, 0, "/b/cf/counter", &m);
	memcpy(value, m.body, m.len < sizeof(value) ? m.len : sizeof(value) - 1);
	link_free(l);
	return (double)c->commits - strtod(value, NULL);
}

void test_conflict(struct bench *b, char **args)
{
	const char *mode = args[0];
	unsigned int n = (unsigned int)arg_number(args, 1, 2);
	struct contest c = { .new_child = !strcmp(mode, "newchild"), .n_live = n };
	uint64_t start, cpu, wall = 0, length = (uint64_t)(b->seconds * 1e9);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct rival *rivals = rivals_new(b, mode, n, epoll_fd);
	unsigned long counted = 0, refused = 0, ended;
	char param[64];

	cpu = meter_server_cpu_ns(b);
	start = meter_now_ns();
	for (unsigned int i = 0; i < n; i++)
		rival_start(&rivals[i]);
	while (c.n_live) {
		contest_turn(&c, epoll_fd);
		if (c.over || meter_now_ns() - start < length)
			continue;
		wall = meter_now_ns() - start;
		cpu = meter_server_cpu_ns(b) - cpu;
		counted = c.commits;
		refused = c.refused;
		c.over = true;
	}
	ended = counted + refused ? counted + refused : 1;
	snprintf(param, sizeof(param), "%s-n%u", mode, n);
	meter_print(b, param, "commits/s", (double)counted * 1e9 / (double)wall);
	meter_print(b, param, "retry%", 100.0 * (double)refused / (double)ended);
	meter_print(b, param, "max_tries", (double)c.max_tries);
	if (b->server && counted)
		meter_print(b, param, "cpu/commit", (double)cpu / 1e3 / (double)counted);
	if (!strcmp(mode, "same"))
		meter_print(b, param, "lost", contest_lost(b, &c));
	for (unsigned int i = 0; i < n; i++)
		link_free(rivals[i].link);
	free(rivals);
	close(epoll_fd);
}
