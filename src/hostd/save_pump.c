/* SPDX-License-Identifier: MIT */
/*
 * The thread that moves a guest's memory. Invariant: until it has been joined it alone touches
 * what is its own (struct save_pump), but for `stop`; whoever stops it shuts its socket down, so
 * that it waits for nothing but the disk.
 */
#include "hostd/save_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own.h"

struct save_pump {
	uv_async_t ended;
	pthread_t thread;
	_Atomic bool stop;
	bool into_file;
	int sock, file;
	uint8_t *chunk; /* owned, SAVE_CHUNK octets */
	struct save_part part;
	int err;
	char why[SAVE_PUMP_TEXT];
	save_pump_fn *done;
	void *data;
};

static int fail(struct save_pump *p, int err, const char *what)
{
	p->err = err;
	snprintf(p->why, sizeof(p->why), "%s: %s", what, strerror(err));
	return -1;
}

/* ---- into the file ---- */

/* A whole chunk, or the last octets of all. How many; < 0: failed. */
static ssize_t take_chunk(struct save_pump *p)
{
	size_t len = 0;

	while (len < SAVE_CHUNK) {
		ssize_t n = recv(p->sock, p->chunk + len, SAVE_CHUNK - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(p, errno, "reading the guest's memory");
		if (!n)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static int write_chunk(struct save_pump *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = pwrite(p->file, p->chunk + at, len - at,
				   (off_t)(p->part.at + p->part.len + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(p, errno, "writing the guest's memory");
		at += (size_t)n;
	}
	return 0;
}

static void fill_file(struct save_pump *p)
{
	ssize_t n;

	p->part.len = 0;
	do {
		n = take_chunk(p);
		if (n <= 0 || write_chunk(p, (size_t)n))
			return;
		p->part.sum = save_sum_add(p->part.sum, p->chunk, (size_t)n);
		p->part.len += (uint64_t)n;
	} while (n == SAVE_CHUNK);
}

/* ---- out of it ---- */

static int read_chunk(struct save_pump *p, uint64_t at, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(p->file, p->chunk + have, len - have, (off_t)(at + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(p, n ? errno : EBADMSG, "reading the saved memory");
		have += (size_t)n;
	}
	return 0;
}

/* false: it wants no more. */
static bool give_chunk(struct save_pump *p, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = send(p->sock, p->chunk + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static void empty_file(struct save_pump *p)
{
	uint64_t left = p->part.len, at = p->part.at;
	bool wanted = true;

	while (left && !p->stop) {
		size_t n = left < SAVE_CHUNK ? (size_t)left : SAVE_CHUNK;

		if (read_chunk(p, at, n))
			return;
		p->part.sum = save_sum_add(p->part.sum, p->chunk, n);
		wanted = wanted && give_chunk(p, n);
		left -= n;
		at += n;
	}
}

/* ---- both ---- */

static void *run(void *data)
{
	struct save_pump *p = data;

	p->part.sum = save_sum_begin();
	if (p->into_file)
		fill_file(p);
	else
		empty_file(p);
	if (p->stop && !p->err)
		fail(p, ECANCELED, "the guest's memory");
	/* The other end sees the end of it only now; the number stays taken for save_pump_stop. */
	shutdown(p->sock, SHUT_RDWR);
	uv_async_send(&p->ended);
	return NULL;
}

static void pump_free(struct save_pump *p)
{
	if (!p)
		return;
	if (p->sock >= 0)
		close(p->sock);
	if (p->file >= 0)
		close(p->file);
	free(p->chunk);
	free(p);
}

static void on_closed(uv_handle_t *handle)
{
	pump_free(CONTAINER_OF((uv_async_t *)handle, struct save_pump, ended));
}

static void on_ended(uv_async_t *async)
{
	struct save_pump *p = CONTAINER_OF(async, struct save_pump, ended);

	pthread_join(p->thread, NULL);
	p->done(p->data, p->err, p->why, &p->part);
	uv_close((uv_handle_t *)async, on_closed);
}

int save_pump_start(uv_loop_t *loop, bool into_file, int sock, int file,
		    const struct save_part *part, save_pump_fn *done, void *data,
		    struct save_pump **ret)
{
	struct save_pump *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		close(sock);
		return FAULT(-ENOMEM);
	}
	p->into_file = into_file;
	p->sock = sock;
	p->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
	p->part = *part;
	p->done = done;
	p->data = data;
	p->chunk = malloc(SAVE_CHUNK);
	r = p->file < 0 ? -errno : p->chunk ? 0 : FAULT(-ENOMEM);
	if (!r && uv_async_init(loop, &p->ended, on_ended))
		r = FAULT(-ENOMEM);
	if (r) {
		pump_free(p);
		return r;
	}
	r = -pthread_create(&p->thread, NULL, run, p);
	if (r) {
		uv_close((uv_handle_t *)&p->ended, on_closed);
		return r;
	}
	*ret = p;
	return 0;
}

void save_pump_stop(struct save_pump *p)
{
	if (!p)
		return;
	p->stop = true;
	shutdown(p->sock, SHUT_RDWR);
}

void save_pump_drop(struct save_pump *p)
{
	if (!p)
		return;
	save_pump_stop(p);
	pthread_join(p->thread, NULL);
	uv_close((uv_handle_t *)&p->ended, on_closed);
}
