/* SPDX-License-Identifier: MIT */
/*
 * For tests: a store of a few nodes, played by a child process on a socket of its own. It answers
 * READ, DIRECTORY (in parts where the names are over part_octets), transactions (so many ends are
 * refused first) and WATCH, and can be told to misbehave.
 */
#ifndef DROVER_CONFIG_STORE_TEST_H
#define DROVER_CONFIG_STORE_TEST_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

enum fake_fault {
	FAKE_WELL,
	FAKE_SILENT,   /* reads, and says nothing */
	FAKE_CLOSES,   /* closes at the first request */
	FAKE_WRONG_ID, /* answers what was not asked */
	FAKE_TOO_LONG, /* an answer that states more than a message may have */
	FAKE_CHATTERS, /* an event before every answer, in small pieces */
	FAKE_RESTLESS, /* an event that may concern anybody, before every value */
};

struct fake_store {
	const char *const *nodes; /* path, value, path, value, …, NULL */
	unsigned int refusals;	  /* ends of transactions that are told EAGAIN */
	size_t part_octets;	  /* 0: any list fits in one answer */
	enum fake_fault fault;
	const char *event; /* told before each answer about a device, so many times */
	unsigned int events;
	char dir[32], path[48];
	pid_t pid;
};

static inline void fake_send_all(int fd, const void *data, size_t len, size_t piece)
{
	const char *p = data;

	while (len) {
		size_t n = piece && piece < len ? piece : len;
		ssize_t w = write(fd, p, n);

		if (w <= 0)
			_exit(0);
		p += w;
		len -= (size_t)w;
	}
}

static inline void fake_message(const struct fake_store *f, int fd, uint32_t type, uint32_t id,
				const void *data, size_t len)
{
	struct xsd_sockmsg hdr = { .type = type, .req_id = id, .len = (uint32_t)len };
	size_t piece = f->fault == FAKE_CHATTERS ? 7 : 0;

	if (f->fault == FAKE_WRONG_ID)
		hdr.req_id += 1000;
	if (f->fault == FAKE_TOO_LONG)
		hdr.len = 100000;
	fake_send_all(fd, &hdr, sizeof(hdr), piece);
	fake_send_all(fd, data, len, piece);
}

static inline const char *fake_value(const struct fake_store *f, const char *path)
{
	size_t i, n = strlen(path);

	for (i = 0; f->nodes[i]; i += 2)
		if (!strcmp(f->nodes[i], path))
			return f->nodes[i + 1];
	/* the parent of a node is there */
	for (i = 0; f->nodes[i]; i += 2)
		if (!strncmp(f->nodes[i], path, n) && f->nodes[i][n] == '/')
			return "";
	return NULL;
}

/* The names of the children, each once, with their NULs. */
static inline size_t fake_children(const struct fake_store *f, const char *path, char *out)
{
	size_t i, at, len = 0, n = strlen(path);

	for (i = 0; f->nodes[i]; i += 2) {
		const char *name;
		size_t name_len;
		bool have = false;

		if (strncmp(f->nodes[i], path, n) != 0 || f->nodes[i][n] != '/')
			continue;
		name = f->nodes[i] + n + 1;
		name_len = strcspn(name, "/");
		for (at = 0; at < len; at += strlen(out + at) + 1)
			have |= strlen(out + at) == name_len && !strncmp(out + at, name, name_len);
		if (have)
			continue;
		memcpy(out + len, name, name_len);
		out[len + name_len] = '\0';
		len += name_len + 1;
	}
	return len;
}

static inline void fake_error(const struct fake_store *f, int fd, uint32_t id, const char *name)
{
	fake_message(f, fd, XS_ERROR, id, name, strlen(name) + 1);
}

static inline void fake_part(const struct fake_store *f, int fd, const struct xsd_sockmsg *q,
			     const char *names, size_t len, size_t from)
{
	char out[8192];
	size_t n = 0;

	memcpy(out, "5", 2);
	while (from < len && n < f->part_octets) {
		size_t one = strlen(names + from) + 1;

		memcpy(out + 2 + n, names + from, one);
		n += one;
		from += one;
	}
	if (from >= len)
		out[2 + n++] = '\0';
	fake_message(f, fd, q->type, q->req_id, out, 2 + n);
}

static inline void fake_answer(struct fake_store *f, int fd, const struct xsd_sockmsg *q,
			       const char *payload)
{
	static char names[1 << 16];
	const char *value = fake_value(f, payload);
	size_t len;

	if (f->events && q->type == XS_READ && strstr(payload, "/device/")) {
		char text[128];
		int n = snprintf(text, sizeof(text), "%s%cdrover-guard", f->event, '\0');

		f->events--;
		fake_message(f, fd, XS_WATCH_EVENT, 0, text, (size_t)n + 1);
	}
	if (f->fault == FAKE_CHATTERS && q->type != XS_WATCH)
		fake_message(f, fd, XS_WATCH_EVENT, 0, "/a\0tok", 7);
	if (f->fault == FAKE_RESTLESS && q->type == XS_READ)
		fake_message(f, fd, XS_WATCH_EVENT, 0, "/a\0", 4);
	switch (q->type) {
	case XS_TRANSACTION_START:
		fake_message(f, fd, q->type, q->req_id, "7", 2);
		return;
	case XS_TRANSACTION_END:
		if (*payload == 'T' && f->refusals) {
			f->refusals--;
			fake_error(f, fd, q->req_id, "EAGAIN");
			return;
		}
		fake_message(f, fd, q->type, q->req_id, "OK", 3);
		return;
	case XS_WATCH:
		fake_message(f, fd, q->type, q->req_id, "OK", 3);
		fake_message(f, fd, XS_WATCH_EVENT, 0, payload, q->len);
		return;
	default:
		break;
	}
	if (!value) {
		fake_error(f, fd, q->req_id, "ENOENT");
		return;
	}
	if (q->type == XS_READ) {
		fake_message(f, fd, q->type, q->req_id, value, strlen(value));
		return;
	}
	len = fake_children(f, payload, names);
	if (q->type == XS_DIRECTORY_PART)
		fake_part(f, fd, q, names, len, strtoul(payload + strlen(payload) + 1, NULL, 10));
	else if (f->part_octets && len > f->part_octets)
		fake_error(f, fd, q->req_id, "E2BIG");
	else
		fake_message(f, fd, q->type, q->req_id, names, len);
}

static inline bool fake_read(int fd, void *to, size_t len)
{
	char *p = to;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static inline void fake_serve(struct fake_store *f, int fd)
{
	char payload[XENSTORE_PAYLOAD_MAX + 1];
	struct xsd_sockmsg q;

	while (fake_read(fd, &q, sizeof(q)) && q.len <= XENSTORE_PAYLOAD_MAX &&
	       fake_read(fd, payload, q.len)) {
		payload[q.len] = '\0';
		if (f->fault == FAKE_CLOSES)
			return;
		if (f->fault != FAKE_SILENT)
			fake_answer(f, fd, &q, payload);
	}
}

/* Starts it; f->path is where it listens. False: it could not. */
static inline bool fake_store_start(struct fake_store *f)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), conn;

	strcpy(f->dir, "/tmp/drover-test.XXXXXX");
	if (fd < 0 || !mkdtemp(f->dir))
		return false;
	snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	memcpy(addr.sun_path, f->path, strlen(f->path) + 1);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 8))
		return false;
	f->pid = fork();
	if (!f->pid) {
		/* a test that fails does not stop it */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_IGN);
		while ((conn = accept(fd, NULL, NULL)) >= 0) {
			fake_serve(f, conn);
			close(conn);
		}
		_exit(0);
	}
	close(fd);
	return f->pid > 0;
}

static inline void fake_store_stop(struct fake_store *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	unlink(f->path);
	rmdir(f->dir);
}

#endif
