/* SPDX-License-Identifier: MIT */
/*
 * The loop. Invariant: poll callbacks only note who is ready; all work is done in the round that
 * follows, from the check handle, so handlers never nest.
 */
#include "xenstored/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/socket.h"
#include "control/control.h"

#define ACCEPT_PER_ROUND 64
#define ACCEPT_RETRY_MS 100u

struct server {
	uv_loop_t loop;
	uv_poll_t listener;
	uv_poll_t channel;
	uv_check_t check;
	uv_idle_t busy;
	uv_timer_t timer;
	uv_timer_t accept_timer;
	uv_signal_t hup, term, intr;
	struct core *core;
	struct hv *hv;	     /* borrowed */
	struct trace *trace; /* borrowed */
	struct control_host host;
	int listen_fd;
	int result;
	bool channel_ready;
	bool has_channel;
	bool out_of_fds;   /* told already */
	uint64_t timer_at; /* ms; UINT64_MAX: not set */
	uint64_t started_ms;
};

/* A client socket. */
struct client {
	struct socket_transport socket;
	uv_poll_t poll;
	struct conn *conn; /* borrowed */
};

static void on_client(uv_poll_t *poll, int status, int events)
{
	struct client *cl = poll->data;

	(void)events;
	/* on an error libuv has stopped polling */
	if (status < 0)
		conn_close(cl->conn);
	else
		conn_wake(cl->conn);
}

static void client_poll(struct socket_transport *s, bool read, bool write)
{
	struct client *cl = CONTAINER_OF(s, struct client, socket);
	int events = (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0);

	/* nothing wanted: its end is still noticed, when something is wanted again */
	if (events)
		uv_poll_start(&cl->poll, events, on_client);
	else
		uv_poll_stop(&cl->poll);
}

static void on_client_closed(uv_handle_t *h)
{
	struct client *cl = h->data;

	close(cl->socket.fd);
	free(cl);
}

static void client_release(struct socket_transport *s)
{
	struct client *cl = CONTAINER_OF(s, struct client, socket);

	uv_poll_stop(&cl->poll);
	uv_close((uv_handle_t *)&cl->poll, on_client_closed);
}

static void client_add(struct server *s, int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));
	int r;

	if (!cl) {
		log_error("no memory for a new connection");
		close(fd);
		return;
	}
	cl->socket.fd = fd;
	cl->socket.poll = client_poll;
	cl->socket.release = client_release;
	r = uv_poll_init(&s->loop, &cl->poll, fd);
	if (r) {
		log_error("new connection: %s", uv_strerror(r));
		close(fd);
		free(cl);
		return;
	}
	cl->poll.data = cl;
	if (core_add_socket(s->core, socket_transport_ops(), &cl->socket, 0, &cl->conn))
		return; /* released */
	uv_poll_start(&cl->poll, UV_READABLE, on_client);
	/* what the client sent with its connect is there already */
	conn_wake(cl->conn);
}

static void on_listener(uv_poll_t *poll, int status, int events);

static void on_accept_again(uv_timer_t *timer)
{
	struct server *s = timer->data;

	uv_poll_start(&s->listener, UV_READABLE, on_listener);
}

/* Without a descriptor to accept with, clients wait in the backlog instead of spinning the loop. */
static void accept_failed(struct server *s, int err)
{
	if (err == EAGAIN || err == EINTR || err == ECONNABORTED)
		return;
	if (!s->out_of_fds)
		log_error("connections wait: accept: %s", strerror(err));
	s->out_of_fds = true;
	uv_poll_stop(&s->listener);
	uv_timer_start(&s->accept_timer, on_accept_again, ACCEPT_RETRY_MS, 0);
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;
	int fd;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_PER_ROUND; i++) {
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			accept_failed(s, errno);
			return;
		}
		s->out_of_fds = false;
		client_add(s, fd);
	}
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;

	(void)status;
	(void)events;
	s->channel_ready = true;
}

static void on_busy(uv_idle_t *idle)
{
	(void)idle; /* its being active is what keeps poll from waiting */
}

static void on_timer(uv_timer_t *timer)
{
	struct server *s = timer->data;

	s->timer_at = UINT64_MAX;
	/* timers are run before the poll, rounds after it: it must not wait */
	uv_idle_start(&s->busy, on_busy);
}

/* Wakes the loop at the core's deadline; the timer is touched only when that moves. */
static void set_timer(struct server *s)
{
	uint64_t at = core_deadline(s->core), now = uv_now(&s->loop);

	if (at == s->timer_at)
		return;
	s->timer_at = at;
	if (at == UINT64_MAX)
		uv_timer_stop(&s->timer);
	else
		uv_timer_start(&s->timer, on_timer, at > now ? at - now : 0, 0);
}

static void on_check(uv_check_t *check)
{
	struct server *s = check->data;
	bool more = false;
	int r;

	if (s->channel_ready) {
		r = core_hv_events(s->core);
		if (r < 0) {
			log_error("event channel: %s", strerror(-r));
			s->result = r;
			uv_stop(&s->loop);
			return;
		}
		s->channel_ready = r > 0;
		more = r > 0;
	}
	more |= core_round(s->core, uv_now(&s->loop));
	if (more)
		uv_idle_start(&s->busy, on_busy);
	else
		uv_idle_stop(&s->busy);
	set_timer(s);
}

static void on_hup(uv_signal_t *sig, int number)
{
	struct server *s = sig->data;

	(void)number;
	trace_reopen(s->trace);
}

static void on_end(uv_signal_t *sig, int number)
{
	struct server *s = sig->data;

	log_notice("ends on signal %d", number);
	uv_stop(&s->loop);
}

static void host_trace_enable(void *data, bool on)
{
	struct server *s = data;

	trace_enable(s->trace, on);
}

static int host_trace_to(void *data, const char *path)
{
	struct server *s = data;

	return trace_open(s->trace, path);
}

static const char *host_trace_path(void *data)
{
	struct server *s = data;

	return trace_path(s->trace);
}

static uint64_t host_uptime(void *data)
{
	struct server *s = data;

	return uv_now(&s->loop) - s->started_ms;
}

/* Handles that the loop always has; each call's failure is latched in r. */
static int loop_init(struct server *s)
{
	struct {
		uv_signal_t *handle;
		uv_signal_cb cb;
		int number;
	} signals[] = {
		{ &s->hup, on_hup, SIGHUP },
		{ &s->term, on_end, SIGTERM },
		{ &s->intr, on_end, SIGINT },
	};
	int fd = s->hv->ops->fd(s->hv), r = 0;

	uv_check_init(&s->loop, &s->check);
	uv_idle_init(&s->loop, &s->busy);
	uv_timer_init(&s->loop, &s->timer);
	uv_timer_init(&s->loop, &s->accept_timer);
	s->check.data = s->timer.data = s->accept_timer.data = s;
	s->listener.data = s->channel.data = s;
	r = uv_poll_init(&s->loop, &s->listener, s->listen_fd);
	if (!r)
		r = uv_poll_start(&s->listener, UV_READABLE, on_listener);
	if (!r && fd >= 0) {
		r = uv_poll_init(&s->loop, &s->channel, fd);
		if (!r)
			r = uv_poll_start(&s->channel, UV_READABLE, on_channel);
	}
	for (size_t i = 0; i < ARRAY_LEN(signals) && !r; i++) {
		r = uv_signal_init(&s->loop, signals[i].handle);
		signals[i].handle->data = s;
		if (!r)
			r = uv_signal_start(signals[i].handle, signals[i].cb, signals[i].number);
	}
	if (!r)
		r = uv_check_start(&s->check, on_check);
	return r;
}

int server_new(const struct core_options *opt, struct hv *hv, struct trace *trace, int listen_fd,
	       struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	struct core_options mine = *opt;
	int r;

	if (!s || uv_loop_init(&s->loop)) {
		free(s);
		close(listen_fd);
		return FAULT(-ENOMEM);
	}
	s->hv = hv;
	s->trace = trace;
	s->listen_fd = listen_fd;
	s->timer_at = UINT64_MAX;
	s->started_ms = uv_now(&s->loop);
	s->channel_ready = true; /* what came before there was a loop */
	s->host = (struct control_host){
		.trace_enable = host_trace_enable,
		.trace_to = host_trace_to,
		.trace_path = host_trace_path,
		.uptime_ms = host_uptime,
		.data = s,
	};
	mine.control = control_handle;
	mine.control_data = &s->host;
	mine.trace = trace_message;
	mine.trace_data = trace;
	r = core_new(&mine, hv, &s->core);
	if (!r)
		r = loop_init(s);
	if (r) {
		server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

int server_run(struct server *s)
{
	/* hypervisor events that are pending already: one round without waiting */
	uv_idle_start(&s->busy, on_busy);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	return s->result;
}

static void close_handle(uv_handle_t *h, void *data)
{
	(void)data;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	core_free(TAKE(s->core)); /* clients close their own handles */
	uv_walk(&s->loop, close_handle, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	close(s->listen_fd);
	free(s);
}
