/* SPDX-License-Identifier: MIT */
/*
 * Descriptors, timers and ended calls of one vmm: what vmm_dispatch works through. Invariant: while
 * something is deferred, the eventfd is readable, and with it vmm_fd; and whatever is removed in a
 * round is not called later in that round.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "vmm/inner.h"

uint64_t vmm_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int vmm_io_add(struct vmm *v, struct vmm_io *io, int fd, uint32_t epoll_events,
	       void (*ready)(struct vmm_io *io, uint32_t epoll_events))
{
	struct epoll_event ev = { .events = epoll_events, .data.ptr = io };

	if (epoll_ctl(v->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return FAULT(-errno);
	io->fd = fd;
	io->ready = ready;
	io->v = v;
	return 0;
}

void vmm_io_want(struct vmm_io *io, uint32_t epoll_events)
{
	struct epoll_event ev = { .events = epoll_events, .data.ptr = io };

	if (io->fd >= 0 && epoll_ctl(io->v->epoll, EPOLL_CTL_MOD, io->fd, &ev) < 0)
		FAULT(-errno);
}

void vmm_io_remove(struct vmm_io *io)
{
	struct vmm *v = io->v;

	if (io->fd < 0 || !v)
		return;
	epoll_ctl(v->epoll, EPOLL_CTL_DEL, io->fd, NULL);
	io->fd = -1;
	for (int i = 0; v->round && i < v->n_round; i++)
		if (v->round[i].data.ptr == io)
			v->round[i].data.ptr = NULL;
}

void vmm_timer_init(struct vmm_timer *t)
{
	list_init(&t->link);
}

void vmm_timer_set(struct vmm *v, struct vmm_timer *t, uint64_t in_ms,
		   void (*run)(struct vmm_timer *t))
{
	list_remove(&t->link);
	t->due_ms = vmm_now_ms() + in_ms;
	t->run = run;
	list_append(&v->timers, &t->link);
	if (in_ms == 0)
		loop_wake(v);
}

void vmm_timer_stop(struct vmm_timer *t)
{
	list_remove(&t->link);
}

int vmm_timeout_ms(const struct vmm *v)
{
	uint64_t now = vmm_now_ms(), least = UINT64_MAX;
	struct vmm_timer *t;

	if (!list_is_empty(&v->ended))
		return 0;
	list_for_each(t, &v->timers, link)
		if (t->due_ms < least)
			least = t->due_ms;
	if (least == UINT64_MAX)
		return -1;
	if (least <= now)
		return 0;
	return least - now > 3600000 ? 3600000 : (int)(least - now);
}

void loop_wake(struct vmm *v)
{
	uint64_t one = 1;

	/* EAGAIN: it is as readable as can be */
	if (write(v->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
		FAULT(-errno);
}

static void wake_ready(struct vmm_io *io, uint32_t epoll_events)
{
	uint64_t n;

	(void)epoll_events;
	if (read(io->fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		FAULT(-errno);
}

int loop_init(struct vmm *v)
{
	list_init(&v->timers);
	list_init(&v->ended);
	v->wake_io.fd = -1;
	v->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (v->epoll < 0)
		return FAULT(-errno);
	v->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->wake < 0)
		return FAULT(-errno);
	return vmm_io_add(v, &v->wake_io, v->wake, EPOLLIN, wake_ready);
}

void loop_fini(struct vmm *v)
{
	struct vmm_call *call;

	list_for_each(call, &v->ended, link)
		call_drop(call);
	if (v->wake >= 0)
		close(v->wake);
	if (v->epoll >= 0)
		close(v->epoll);
}

/* A timer that is set again while they run is for the next round. */
static void run_timers(struct vmm *v)
{
	uint64_t now = vmm_now_ms();
	struct list due;
	struct vmm_timer *t;

	list_init(&due);
	list_for_each(t, &v->timers, link) {
		if (t->due_ms > now)
			continue;
		list_remove(&t->link);
		list_append(&due, &t->link);
	}
	while ((t = list_first(&due, struct vmm_timer, link))) {
		list_remove(&t->link);
		t->run(t);
	}
}

/* Calls that end meanwhile are for the next round: one that always makes another starves none. */
static void run_ended(struct vmm *v)
{
	struct list ended;
	struct vmm_call *call;

	list_init(&ended);
	while ((call = list_first(&v->ended, struct vmm_call, link))) {
		list_remove(&call->link);
		list_append(&ended, &call->link);
	}
	while ((call = list_first(&ended, struct vmm_call, link))) {
		const char *why = call->why ? call->why : call->err ? "it failed" : "";

		list_remove(&call->link);
		if (call->done)
			call->done(call->data, call->err, why);
		call_drop(call);
	}
	if (!list_is_empty(&v->ended))
		loop_wake(v);
}

int vmm_dispatch(struct vmm *v)
{
	struct epoll_event round[VMM_EVENTS_PER_ROUND];

	v->n_round = epoll_wait(v->epoll, round, VMM_EVENTS_PER_ROUND, 0);
	if (v->n_round < 0 && errno != EINTR)
		return FAULT(-errno);
	v->round = round;
	for (int i = 0; i < v->n_round; i++) {
		struct vmm_io *io = round[i].data.ptr;

		if (io)
			io->ready(io, round[i].events);
	}
	v->round = NULL;
	run_timers(v);
	run_ended(v);
	return 0;
}
