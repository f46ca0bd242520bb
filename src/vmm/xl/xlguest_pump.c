/* SPDX-License-Identifier: MIT */
/*
 * A thread between libxl and the network: libxl writes into a pipe, and what comes out of it is
 * sent no faster than is allowed. Invariant: the pipe is always read to its end, whatever became of
 * the network, so that whoever writes into it never waits for nobody, nor is killed by SIGPIPE.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm/xl/xlguest.h"

#define PUMP_BUFFER 262144u
#define PUMP_PIPE (1 << 20) /* octets that may wait in the pipe, where the system allows it */
#define PUMP_SLICE_MS 50u   /* of the bandwidth: no longer does it sleep, nor hurry */

struct xlguest_pump {
	pthread_t thread;
	int in, out, done; /* done: an eventfd */
	_Atomic uint64_t octets, bandwidth_bps;
	atomic_int state;
	atomic_bool cancelled;
	uint64_t budget_ns; /* the thread's: not before this time */
	unsigned char buffer[PUMP_BUFFER];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void tell(struct xlguest_pump *p, int state)
{
	uint64_t one = 1;

	atomic_store(&p->state, state);
	if (write(p->done, &one, sizeof(one)) < 0)
		abort(); /* an eventfd takes it */
}

/* How much may be written at once, after waiting until anything may. */
static size_t take_turn(struct xlguest_pump *p, size_t len)
{
	uint64_t bps = atomic_load(&p->bandwidth_bps), now = now_ns(), slice;

	if (!bps)
		return len;
	if (p->budget_ns > now) {
		uint64_t ns = p->budget_ns - now;
		struct timespec ts = { .tv_nsec = (long)(ns < PUMP_SLICE_MS * 1000000u
								 ? ns
								 : PUMP_SLICE_MS * 1000000u) };

		nanosleep(&ts, NULL);
		return 0;
	}
	slice = bps * PUMP_SLICE_MS / 1000 + 1;
	if (len > slice)
		len = (size_t)slice;
	p->budget_ns = now + len * 1000000000u / bps;
	return len;
}

/* 0; or a negative errno. */
static int write_out(struct xlguest_pump *p, size_t len)
{
	size_t at = 0;

	while (at < len && !atomic_load(&p->cancelled)) {
		struct pollfd out = { .fd = p->out, .events = POLLOUT };
		size_t now = take_turn(p, len - at);
		ssize_t n;

		if (!now)
			continue;
		/* so that a cancel is seen although the other end reads nothing */
		if (poll(&out, 1, (int)PUMP_SLICE_MS) <= 0)
			continue;
		n = send(p->out, p->buffer + at, now, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += (size_t)n;
			atomic_fetch_add(&p->octets, (uint64_t)n);
		}
	}
	return atomic_load(&p->cancelled) ? -ECANCELED : 0;
}

static void *pump_run(void *data)
{
	struct xlguest_pump *p = data;
	int err = 0;

	for (;;) {
		ssize_t n = read(p->in, p->buffer, sizeof(p->buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (!err) {
			err = write_out(p, (size_t)n);
			if (err)
				tell(p, err);
		}
	}
	if (!err)
		tell(p, 1);
	return NULL;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

int xlguest_pump_new(int fd, uint64_t bandwidth_bps, struct xlguest_pump **ret, int *ret_fd)
{
	struct xlguest_pump *p = calloc(1, sizeof(*p));
	int ends[2] = { -1, -1 }, r = p ? 0 : -ENOMEM;

	if (r == 0) {
		atomic_init(&p->bandwidth_bps, bandwidth_bps);
		p->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = p->done < 0 || pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
		p->in = ends[0];
		p->out = fd;
	}
	if (r == 0) {
		/* refused where the user's pipes have too much already: it is but slower */
		(void)fcntl(ends[1], F_SETPIPE_SZ, PUMP_PIPE);
		r = -pthread_create(&p->thread, NULL, pump_run, p);
	}
	if (r < 0) {
		close_if(ends[0]);
		close_if(ends[1]);
		close_if(p ? p->done : -1);
		close(fd);
		free(p);
		return r;
	}
	*ret = p;
	*ret_fd = ends[1];
	return 0;
}

void xlguest_pump_free(struct xlguest_pump *p)
{
	if (!p)
		return;
	pthread_join(p->thread, NULL);
	close(p->in);
	close(p->out);
	close(p->done);
	free(p);
}

int xlguest_pump_fd(const struct xlguest_pump *p)
{
	return p->done;
}

void xlguest_pump_set_bandwidth(struct xlguest_pump *p, uint64_t bps)
{
	atomic_store(&p->bandwidth_bps, bps);
}

void xlguest_pump_cancel(struct xlguest_pump *p)
{
	atomic_store(&p->cancelled, true);
}

uint64_t xlguest_pump_octets(const struct xlguest_pump *p)
{
	return atomic_load(&p->octets);
}

int xlguest_pump_state(const struct xlguest_pump *p)
{
	return atomic_load(&p->state);
}
