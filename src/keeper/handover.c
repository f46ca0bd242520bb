/* SPDX-License-Identifier: MIT */
/*
 * The keeper becomes another program and stays the same process: descriptors stay open over exec,
 * and a table in a memfd says what each of them is. Invariant: when exec fails, all is as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "keeper/inside.h"

/*
 * The table is text, a word and numbers a line, so that versions may add lines; whoever does not
 * know a word passes over it. It ends in "end". Verdict text comes last, to the end of its line.
 */
#define TABLE_HEAD "drover-keeper 1"
#define LINE_ROOM 1024

/* The single descriptors, by name. */
struct named {
	const char *name;
	int *fd;
};

#define NAMED_COUNT (7 + SEAT_JOURNAL_FILES)

static void name_all(struct keeper *k, struct named n[NAMED_COUNT])
{
	static const char *const journal[SEAT_JOURNAL_FILES] = { "area", "base0", "log0", "base1",
								 "log1" };
	size_t i = 0;

	n[i++] = (struct named){ "listen", &k->listen };
	n[i++] = (struct named){ "lock", &k->seat.lock };
	n[i++] = (struct named){ "netns", &k->seat.netns };
	n[i++] = (struct named){ "evtchn", &k->seat.hv.evtchn_fd };
	n[i++] = (struct named){ "pidfile", &k->pid_fd };
	n[i++] = (struct named){ "link", &k->worker.link };
	n[i++] = (struct named){ "call", &k->worker.call };
	for (size_t f = 0; f < SEAT_JOURNAL_FILES; f++)
		n[i++] = (struct named){ journal[f], &k->seat.journal[f] };
}

/* Whether descriptors outlive exec. */
static void set_inherited(struct keeper *k, bool inherited)
{
	struct named n[NAMED_COUNT];
	int flag = inherited ? 0 : FD_CLOEXEC;

	name_all(k, n);
	for (size_t i = 0; i < NAMED_COUNT; i++)
		if (*n[i].fd >= 0)
			fcntl(*n[i].fd, F_SETFD, flag);
	for (size_t i = 0; i < k->clients.n; i++)
		if (k->clients.at[i].fd >= 0)
			fcntl(k->clients.at[i].fd, F_SETFD, flag);
}

static void write_table(struct keeper *k, FILE *f)
{
	struct named n[NAMED_COUNT];
	const struct child *w = &k->worker;

	fprintf(f, "%s\n", TABLE_HEAD);
	name_all(k, n);
	for (size_t i = 0; i < NAMED_COUNT; i++)
		if (*n[i].fd >= 0)
			fprintf(f, "fd %s %d\n", n[i].name, *n[i].fd);
	for (size_t i = 0; i < k->clients.n; i++)
		if (k->clients.at[i].fd >= 0 || i + 1 == k->clients.n)
			fprintf(f, "client %" PRIu64 " %d\n", k->clients.at[i].number,
				k->clients.at[i].fd);
	fprintf(f, "boot %s\n", k->seat.boot_id);
	fprintf(f, "deaths %" PRIu64 "\n", k->seat.deaths);
	fprintf(f, "virq %u\n", k->seat.hv.virq);
	fprintf(f, "rank %d %d\n", k->rank.policy, k->rank.priority);
	fprintf(f, "worker %d %" PRIu64 " %" PRIu64 "\n", (int)w->pid, w->started_ms, w->told);
	if (k->verdict.n_ids)
		fprintf(f, "verdict %" PRIu64 " %" PRIu64 " %.512s\n", k->verdict.id[PROTO_CONN],
			k->verdict.id[PROTO_POSITION], k->verdict.text);
	fprintf(f, "end\n");
}

static int table_fd(struct keeper *k, int *ret_fd)
{
	int fd = memfd_create("drover-keeper", 0), copy;
	FILE *f;

	if (fd < 0)
		return -errno;
	copy = dup(fd);
	f = copy < 0 ? NULL : fdopen(copy, "w");
	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	write_table(k, f);
	if (fclose(f)) {
		close(fd);
		return -EIO;
	}
	*ret_fd = fd;
	return 0;
}

int handover_exec(struct keeper *k, const char *file, char **argv)
{
	static char word[] = "--keeper-state";
	char number[16], **args;
	size_t n = 0;
	int fd = -1, r;

	child_kill(&k->update.former); /* dead, and nobody would reap it */
	while (argv[n])
		n++;
	args = calloc(n + 3, sizeof(*args));
	if (!args)
		return -ENOMEM;
	r = table_fd(k, &fd);
	if (r) {
		free(args);
		return r;
	}
	snprintf(number, sizeof(number), "%d", fd);
	memcpy(args, argv, n * sizeof(*args));
	args[n] = word;
	args[n + 1] = number;
	set_inherited(k, true);
	fflush(NULL);
	/* a program takes a while to start */
	child_rank(0, NULL);
	execv(file, args);
	r = -errno;
	child_rank(0, &k->rank);
	set_inherited(k, false);
	close(fd);
	free(args);
	return r;
}

static int take_fd(struct keeper *k, const char *line)
{
	struct named n[NAMED_COUNT];
	char name[16];
	int fd;

	if (sscanf(line, "fd %15s %d", name, &fd) != 2 || fcntl(fd, F_GETFD) < 0)
		return -EPROTO;
	name_all(k, n);
	for (size_t i = 0; i < NAMED_COUNT; i++)
		if (!strcmp(name, n[i].name))
			*n[i].fd = fd;
	return 0;
}

static int take_verdict(struct keeper *k, const char *line)
{
	uint64_t conn, position;
	int at = 0;

	if (sscanf(line, "verdict %" SCNu64 " %" SCNu64 " %n", &conn, &position, &at) < 2 || !at)
		return -EPROTO;
	proto_init(&k->verdict, PROTO_VERDICT, 0, line + at);
	k->verdict.n_ids = 2;
	k->verdict.id[PROTO_CONN] = conn;
	k->verdict.id[PROTO_POSITION] = position;
	return 0;
}

static int take_line(struct keeper *k, const char *line)
{
	uint64_t number;
	int fd, pid;

	if (!strncmp(line, "fd ", 3))
		return take_fd(k, line);
	if (!strncmp(line, "client ", 7)) {
		if (sscanf(line, "client %" SCNu64 " %d", &number, &fd) != 2 ||
		    number <= clients_last(&k->clients))
			return -EPROTO;
		return clients_add(&k->clients, number, fd);
	}
	if (!strncmp(line, "verdict ", 8))
		return take_verdict(k, line);
	sscanf(line, "boot %36s", k->seat.boot_id);
	sscanf(line, "deaths %" SCNu64, &k->seat.deaths);
	sscanf(line, "virq %u", &k->seat.hv.virq);
	if (sscanf(line, "rank %d %d", &k->rank.policy, &k->rank.priority) == 2)
		child_rank(0, &k->rank);
	if (sscanf(line, "worker %d %" SCNu64 " %" SCNu64, &pid, &k->worker.started_ms,
		   &k->worker.told) == 3)
		k->worker.pid = pid;
	return 0;
}

int handover_take(struct keeper *k, int fd)
{
	FILE *f = fdopen(fd, "r");
	char line[LINE_ROOM];
	bool whole = false;
	int r = 0;

	if (!f)
		return -errno;
	rewind(f);
	if (!fgets(line, sizeof(line), f) || strcmp(line, TABLE_HEAD "\n") != 0)
		r = -EPROTO;
	while (!r && !whole && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		whole = !strcmp(line, "end");
		if (!whole)
			r = take_line(k, line);
	}
	fclose(f);
	if (!whole || k->worker.pid <= 0 || k->worker.link < 0 || k->listen < 0)
		r = r ? r : -EPROTO;
	if (r) {
		log_error("keeper: what the former program left is not understood");
		return r;
	}
	k->worker.serve_sent = k->worker.serving = true;
	k->was_ready = true;
	set_inherited(k, false);
	return 0;
}
