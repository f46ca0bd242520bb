/* SPDX-License-Identifier: MIT */
/*
 * The connection to a guest's monitor. It may break at any time, for a daemon or an emulator can
 * fail; while the process lives it is made again, and the state asked for anew: what was missed
 * meanwhile is then told as if it had only just happened.
 */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "vmm/qemu/inner.h"

static void rearm(struct qemu_guest *qg)
{
	uint64_t due, now;

	if (!qg->q)
		return;
	vmm_io_want(&qg->io, EPOLLIN | (qmp_wants_write(qg->q) ? (uint32_t)EPOLLOUT : 0));
	due = qmp_deadline_ms(qg->q);
	now = vmm_now_ms();
	if (due == UINT64_MAX)
		vmm_timer_stop(&qg->deadline);
	else if (list_is_empty(&qg->deadline.link))
		vmm_timer_set(qg->g->v, &qg->deadline, due > now ? due - now : 0, qg->deadline.run);
}

static void retry_due(struct vmm_timer *t)
{
	(void)qemu_monitor_connect(CONTAINER_OF(t, struct qemu_guest, retry));
}

static void connect_later(struct qemu_guest *qg)
{
	if (qg->retries++ < QEMU_RETRIES_MAX)
		vmm_timer_set(qg->g->v, &qg->retry, QEMU_RETRY_MS, retry_due);
	else
		log_error("guest %s: its monitor is given up; it can only be destroyed",
			  qg->g->name);
}

/* Reads and writes; a connection that ends is let go of, and made again. */
static void serve(struct qemu_guest *qg)
{
	if (!qg->q)
		return;
	if (qmp_serve(qg->q, vmm_now_ms()) < 0) {
		if (!qg->g->destroying)
			log_info("guest %s: %s", qg->g->name, qmp_why(qg->q));
		qemu_monitor_close(qg);
		connect_later(qg);
		return;
	}
	rearm(qg);
}

static void io_ready(struct vmm_io *io, uint32_t epoll_events)
{
	(void)epoll_events;
	serve(CONTAINER_OF(io, struct qemu_guest, io));
}

static void deadline_due(struct vmm_timer *t)
{
	serve(CONTAINER_OF(t, struct qemu_guest, deadline));
}

int qemu_monitor_connect(struct qemu_guest *qg)
{
	static const struct qmp_events events = { qemu_run_event };
	int fd = vmm_guest_connect(qg->g, "monitor", SOCK_STREAM), r;

	qg->deadline.run = deadline_due;
	qg->synced = qg->blinking = false;
	if (fd < 0) {
		connect_later(qg);
		return fd;
	}
	qg->q = qmp_new(fd, (uint32_t)vmm_now_ms(), &events, qg);
	if (!qg->q) {
		connect_later(qg);
		return FAULT(-ENOMEM);
	}
	r = vmm_io_add(qg->g->v, &qg->io, fd, EPOLLIN, io_ready);
	if (r < 0) {
		qemu_monitor_close(qg);
		connect_later(qg);
		return r;
	}
	qemu_run_sync(qg);
	return 0;
}

void qemu_monitor_close(struct qemu_guest *qg)
{
	vmm_timer_stop(&qg->deadline);
	vmm_io_remove(&qg->io);
	qmp_free(qg->q);
	qg->q = NULL;
}

int qemu_ask(struct qemu_guest *qg, const char *command, struct json_object *args, int fd,
	     qmp_done_fn *done)
{
	int r;

	if (!qg->q) {
		if (fd >= 0)
			close(fd);
		if (args)
			json_object_put(args);
		return -ENOTCONN;
	}
	r = qmp_call(qg->q, command, args, fd, vmm_now_ms(), done, qg);
	qmp_flush(qg->q);
	rearm(qg);
	return r;
}

int qemu_ask_call(struct qemu_guest *qg, const char *command, qmp_done_fn *done,
		  struct vmm_call *call)
{
	int r;

	if (!qg->q)
		return -ENOTCONN;
	r = qmp_call(qg->q, command, NULL, -1, vmm_now_ms(), done, call);
	qmp_flush(qg->q);
	rearm(qg);
	return r;
}

void qemu_monitor_drain(struct qemu_guest *qg)
{
	if (qg->q)
		(void)qmp_serve(qg->q, vmm_now_ms());
}

void qemu_monitor_await(struct qemu_guest *qg, uint64_t ms)
{
	uint64_t end = vmm_now_ms() + ms, now;

	while (qg->q && !qg->synced && (now = vmm_now_ms()) < end) {
		struct pollfd p = { .fd = qmp_fd(qg->q), .events = POLLIN };

		if (qmp_wants_write(qg->q))
			p.events |= POLLOUT;
		if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
			return;
		serve(qg);
	}
}
