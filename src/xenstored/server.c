/* SPDX-License-Identifier: MIT */
/*
 * A worker's loop. Invariant: poll callbacks only note who is ready; all work is done in the round
 * that follows, from the check handle, so handlers never nest. Sockets are the keeper's as well:
 * one that is not needed any more is shut down first, so that its peer notices at once.
 */
#include "xenstored/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/socket.h"
#include "state/domain_image.h"
#include "xenstored/give.h"
#include "xenstored/host.h"

#define LINK_PER_ROUND 64u

struct server {
	uv_loop_t loop;
	uv_poll_t link;
	uv_poll_t channel;
	uv_check_t check;
	uv_idle_t busy;
	uv_timer_t timer;
	uv_signal_t hup, term;
	struct core *core; /* borrowed, as the next five; NULL: not started */
	struct hv *hv;
	struct journal *journal;
	struct trace *trace;
	const struct worker_seat *seat;
	struct list waiting; /* struct client: sockets without a connection */
	struct host host;
	struct calm calm;
	int result;
	bool channel_ready;
	bool calming;	   /* a calm that is not there yet */
	bool ending;	   /* sockets are left as they are: the keeper has them */
	bool served;	   /* by the keeper's word */
	uint64_t timer_at; /* ms; UINT64_MAX: not set */
};

/* A client socket. */
struct client {
	struct socket_transport socket;
	uv_poll_t poll;
	struct server *server; /* borrowed */
	struct list link;      /* of waiting */
	struct conn *conn;     /* borrowed; NULL: none yet */
	uint64_t number;       /* the keeper's */
};

static void on_client(uv_poll_t *poll, int status, int events)
{
	struct client *cl = poll->data;

	/* on an error libuv has stopped polling */
	if (status < 0 || events & UV_DISCONNECT)
		conn_close(cl->conn);
	else
		conn_wake(cl->conn);
}

static void client_poll(struct socket_transport *s, bool read, bool write)
{
	struct client *cl = CONTAINER_OF(s, struct client, socket);
	int events = (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0);

	/* who waits for a live update gives it up by closing */
	if (cl->conn && control_update_is_awaited(&cl->server->host.update, cl->conn))
		events |= UV_DISCONNECT;
	/* nothing wanted: its end is still noticed, when something is wanted again */
	if (events)
		uv_poll_start(&cl->poll, events, on_client);
	else
		uv_poll_stop(&cl->poll);
}

static void on_client_closed(uv_handle_t *h)
{
	struct client *cl = h->data;

	if (!cl->server->ending) {
		shutdown(cl->socket.fd, SHUT_RDWR);
		seat_closed(cl->server->seat, cl->number);
	}
	close(cl->socket.fd);
	free(cl);
}

static void client_release(struct socket_transport *s)
{
	struct client *cl = CONTAINER_OF(s, struct client, socket);
	struct server *server = cl->server;

	list_remove(&cl->link);
	if (cl->conn && !server->ending &&
	    control_update_is_awaited(&server->host.update, cl->conn)) {
		control_update_forget(&server->host.update);
		seat_tell(server->seat, PROTO_ABORT, 0, NULL);
	}
	uv_poll_stop(&cl->poll);
	uv_close((uv_handle_t *)&cl->poll, on_client_closed);
}

/* The keeper has a new client; fd is owned. */
static int client_new(struct server *s, uint64_t number, int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));
	int r;

	if (!cl) {
		close(fd);
		return FAULT(-ENOMEM);
	}
	cl->server = s;
	cl->number = number;
	cl->socket.fd = fd;
	cl->socket.poll = client_poll;
	cl->socket.release = client_release;
	list_init(&cl->link);
	r = uv_poll_init(&s->loop, &cl->poll, fd);
	if (r) {
		log_error("new connection: %s", uv_strerror(r));
		close(fd);
		free(cl);
		return r;
	}
	cl->poll.data = cl;
	list_append(&s->waiting, &cl->link);
	return 0;
}

/* A connection that did not exist before. */
static void client_start(struct client *cl)
{
	struct core *core = cl->server->core;

	list_remove(&cl->link);
	if (core_add_socket(core, socket_transport_ops(), &cl->socket, cl->number, &cl->conn))
		return; /* released */
	uv_poll_start(&cl->poll, UV_READABLE, on_client);
	/* what the client sent with its connect is there already */
	conn_wake(cl->conn);
}

static void clients_start(struct server *s)
{
	struct client *cl;

	while ((cl = list_first(&s->waiting, struct client, link)))
		client_start(cl);
}

int server_find_client(void *data, uint64_t number, struct conn *c,
		       const struct transport_ops **ret_ops, void **ret_transport)
{
	struct server *s = data;
	struct client *cl;

	list_for_each(cl, &s->waiting, link) {
		if (cl->number != number)
			continue;
		list_remove(&cl->link);
		cl->conn = c;
		uv_poll_start(&cl->poll, UV_READABLE, on_client);
		*ret_ops = socket_transport_ops();
		*ret_transport = &cl->socket;
		return 0;
	}
	return ENOENT;
}

static void take_clients(struct server *s, struct proto_msg *m)
{
	for (uint32_t i = 0; i < m->n_ids; i++)
		if (i >= m->n_fds || client_new(s, m->id[i], m->fd[i]))
			seat_closed(s->seat, m->id[i]);
	m->n_fds = 0;
}

static void take_verdict(struct server *s, const struct proto_msg *m)
{
	if (m->n_ids < 2)
		return;
	if (s->core)
		calm_end(&s->calm, s->core);
	s->calming = false;
	if (control_update_decide(&s->host.update, s->core, m->id[PROTO_CONN],
				  m->id[PROTO_POSITION], m->text) &&
	    s->journal)
		journal_freeze(s->journal, false);
}

/* Until the keeper says RESUME; or kills. */
static int await_resume(struct server *s)
{
	struct proto_msg m;
	int r;

	for (;;) {
		r = proto_recv(s->seat->link, &m, true);
		if (r || m.type == PROTO_RESUME)
			return r;
		if (m.type == PROTO_CLIENTS)
			take_clients(s, &m);
	}
}

/*
 * A live update: this process touches nothing until it is told to go on, or killed. Everything it
 * did is committed; the loop stands still.
 */
static int stand_still(struct server *s)
{
	int r;

	r = conn_commit(&s->core->conns);
	if (!r)
		r = seat_tell(s->seat, PROTO_STOPPED, 0, NULL);
	return r ? r : await_resume(s);
}

/*
 * A live update to a program that reads an image: as above, but that nothing of it is left to be
 * done, and that what goes wrong is told.
 */
static int give_away(struct server *s, const struct proto_msg *order)
{
	struct give_order o = {
		.image_fd = order->fd[0],
		.table_fd = order->fd[1],
		.socket_fd = (int32_t)order->id[PROTO_IMAGE_LISTEN],
		.evtchn_fd = (int32_t)order->id[PROTO_IMAGE_EVTCHN],
		.version = (unsigned int)order->id[PROTO_IMAGE_VERSION],
		.asked_by = order->id[PROTO_IMAGE_CONN],
	};
	struct state_host host = { .started_ms = s->host.started_ms,
				   .trace_on = trace_wanted(s->trace),
				   .trace_path = trace_path(s->trace) };
	struct give *g = NULL;
	int r;

	if (order->n_fds != 2 || order->n_ids < PROTO_IMAGE_WORDS)
		return -EPROTO;
	r = give_image(s->core, &o, &host, &g);
	r = r ? seat_tell(s->seat, PROTO_FAILED, 0, strerror(-r))
	      : seat_tell(s->seat, PROTO_STOPPED, 0, NULL);
	if (!r)
		r = await_resume(s);
	give_undo(g);
	return r;
}

static void on_busy(uv_idle_t *idle)
{
	(void)idle; /* its being active is what keeps poll from waiting */
}

/*
 * A live update to a program that knows no transactions. No candidate reads the journal, which may
 * take up a while: its checkpoints go on.
 */
static void begin_calm(struct server *s, const struct proto_msg *m)
{
	journal_freeze(s->journal, false);
	calm_begin(&s->calm, s->core, uv_now(&s->loop) + m->id[0], m->value);
	s->calming = true;
	uv_idle_start(&s->busy, on_busy); /* none may be open: look at once */
}

/* Whether it is calm now is told once. */
static void look_at_calm(struct server *s)
{
	char why[256];
	int r = calm_look(&s->calm, s->core, uv_now(&s->loop), why, sizeof(why));

	if (r == EAGAIN)
		return;
	s->calming = false;
	seat_tell(s->seat, r ? PROTO_FAILED : PROTO_CALMED, 0, r ? why : NULL);
}

static int link_message(struct server *s, struct proto_msg *m)
{
	switch (m->type) {
	case PROTO_CLIENTS:
		take_clients(s, m);
		return 0;
	case PROTO_SERVE:
		s->served = true;
		take_verdict(s, m);
		return 0;
	case PROTO_VERDICT:
		take_verdict(s, m);
		return 0;
	case PROTO_STOP:
		return stand_still(s);
	case PROTO_IMAGE:
		return give_away(s, m);
	case PROTO_CALM:
		begin_calm(s, m);
		return 0;
	default:
		return 0;
	}
}

/* What is there, at most LINK_PER_ROUND messages. 0, or the link's error. */
static int read_link(struct server *s)
{
	struct proto_msg m;
	int r = 0;

	for (unsigned int i = 0; i < LINK_PER_ROUND && !r; i++) {
		r = proto_recv(s->seat->link, &m, false);
		if (r)
			break;
		r = link_message(s, &m);
		while (m.n_fds)
			close(m.fd[--m.n_fds]);
	}
	return r == -EAGAIN ? 0 : r;
}

static void on_link(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;
	int r = status < 0 ? status : read_link(s);

	(void)events;
	if (r) {
		s->result = r;
		uv_stop(&s->loop);
		return;
	}
	clients_start(s);
}

int server_await_clients(struct server *s)
{
	struct proto_msg m;
	int r = 0;

	while (!s->served && !r) {
		r = proto_recv(s->seat->link, &m, true);
		if (!r)
			r = link_message(s, &m);
	}
	return r;
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;

	(void)status;
	(void)events;
	s->channel_ready = true;
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

	if (s->calming && s->calm.until_ms < at)
		at = s->calm.until_ms;
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
	more |= journal_round(s->journal);
	if (s->calming)
		look_at_calm(s);
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

	(void)number; /* the keeper has told of it */
	uv_stop(&s->loop);
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
	};
	int r = 0;

	uv_check_init(&s->loop, &s->check);
	uv_idle_init(&s->loop, &s->busy);
	uv_timer_init(&s->loop, &s->timer);
	s->check.data = s->timer.data = s->link.data = s->channel.data = s;
	r = uv_poll_init(&s->loop, &s->link, s->seat->link);
	for (size_t i = 0; i < ARRAY_LEN(signals) && !r; i++) {
		r = uv_signal_init(&s->loop, signals[i].handle);
		signals[i].handle->data = s;
		if (!r)
			r = uv_signal_start(signals[i].handle, signals[i].cb, signals[i].number);
	}
	return r;
}

int server_new(const struct worker_seat *seat, struct trace *trace, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s || uv_loop_init(&s->loop)) {
		free(s);
		return FAULT(-ENOMEM);
	}
	s->seat = seat;
	s->trace = trace;
	s->timer_at = UINT64_MAX;
	list_init(&s->waiting);
	host_init(&s->host, seat, trace);
	r = loop_init(s);
	if (r) {
		server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void server_set_started(struct server *s, uint64_t real_ms)
{
	if (real_ms)
		s->host.started_ms = real_ms;
}

void server_core_options(struct server *s, struct core_options *opt)
{
	opt->control = control_handle;
	opt->control_data = &s->host.control;
	opt->export_domain = domain_image_export;
	opt->import_domain = domain_image_import;
	opt->trace = trace_message;
	opt->trace_data = s->trace;
}

int server_start(struct server *s, struct core *core, struct hv *hv, struct journal *journal)
{
	int fd = hv->ops->fd(hv), r;

	s->core = core;
	s->hv = hv;
	s->journal = s->host.journal = journal;
	s->channel_ready = true; /* what came before there was a loop */
	r = uv_poll_start(&s->link, UV_READABLE, on_link);
	if (!r && fd >= 0) {
		r = uv_poll_init(&s->loop, &s->channel, fd);
		if (!r)
			r = uv_poll_start(&s->channel, UV_READABLE, on_channel);
	}
	if (!r)
		r = uv_check_start(&s->check, on_check);
	if (!r)
		clients_start(s);
	return r;
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

void server_end(struct server *s)
{
	s->ending = true;
}

void server_free(struct server *s)
{
	struct client *cl;

	if (!s)
		return;
	s->ending = true;
	while ((cl = list_first(&s->waiting, struct client, link)))
		client_release(&cl->socket);
	uv_walk(&s->loop, close_handle, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	free(s);
}
