/* SPDX-License-Identifier: MIT */
/*
 * A connection to another daemon: looked up, made, greeted, and made again when it is cut.
 * Invariant: a link is up only after HELLO was answered over it, by somebody who has shown the
 * certificate that the migration's cookie names, if it names one.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/peer_own.h"
#include "hostd/settings.h"
#include "rpc/error.h"
#include "rpc/tls.h"

/* Apart from the link, since the loop closes it later. */
struct link_poll {
	uv_poll_t poll;
	struct link *link; /* borrowed; NULL: closed */
	int events;	   /* that are polled for */
};

struct lookup {
	uv_work_t work;
	struct link *link; /* borrowed; NULL: it is gone meanwhile */
	struct rpc_uri uri;
	struct rpc_dial dial;
	int result;
	char text[256];
};

static void on_poll_closed(uv_handle_t *handle)
{
	free(CONTAINER_OF((uv_poll_t *)handle, struct link_poll, poll));
}

static void poll_close(struct link *l)
{
	if (!l->poll)
		return;
	uv_poll_stop(&l->poll->poll);
	l->poll->link = NULL;
	uv_close((uv_handle_t *)&l->poll->poll, on_poll_closed);
	l->poll = NULL;
}

static void conn_drop(struct link *l)
{
	poll_close(l);
	rpc_conn_free(l->conn);
	l->conn = NULL;
}

void link_free(struct link *l)
{
	conn_drop(l);
	if (l->lookup)
		l->lookup->link = NULL;
	list_remove(&l->link);
	free(l);
}

void link_fail(struct link *l, const char *why)
{
	conn_drop(l);
	l->state = LINK_WAITING;
	l->retry_ms = hostd_now_ms(l->peers->host) + l->delay_ms;
	l->delay_ms = l->delay_ms * 2 < PEER_REDIAL_MAX_MS ? l->delay_ms * 2 : PEER_REDIAL_MAX_MS;
	peers_link_down(l, why);
}

static void on_hello(struct link *l, const struct rpc_frame *f)
{
	struct peer_hello hello = { 0 };

	if (f->head.status != RPC_OK ||
	    rpc_code_read(RPC_XDR(peer_hello), f->body, f->body_len, &hello, sizeof(hello))) {
		link_fail(l, "it does not greet as a drover-hostd does");
		return;
	}
	log_info("peer %s: host %s, version %s", l->address, hello.host, hello.drover);
	rpc_code_free(RPC_XDR(peer_hello), &hello, sizeof(hello));
	l->state = LINK_UP;
	l->down = false;
	l->delay_ms = PEER_REDIAL_MIN_MS;
	rpc_conn_keepalive(l->conn, PEER_KEEPALIVE_MS, PEER_KEEPALIVE_COUNT);
	peers_link_up(l);
}

static void on_answer(struct link *l, const struct rpc_frame *f)
{
	struct rpc_error err = { 0 };
	struct peer_ans ans = { 0 };

	if (f->head.status == RPC_ERROR) {
		if (rpc_code_read_error(f->body, f->body_len, &err))
			rpc_error_set(&err, RPC_ERR_RPC, RPC_FROM_RPC, "an error without a text");
		peers_reply(l, f->head.serial, NULL, err.message);
		return;
	}
	if (rpc_code_read(RPC_XDR(peer_ans), f->body, f->body_len, &ans, sizeof(ans))) {
		link_fail(l, "its answer cannot be read");
		return;
	}
	peers_reply(l, f->head.serial, &ans, NULL);
	rpc_code_free(RPC_XDR(peer_ans), &ans, sizeof(ans));
}

static void on_frame(void *data, struct rpc_conn *c, const struct rpc_frame *f)
{
	struct link *l = data;

	(void)c;
	if (f->head.type != RPC_REPLY || f->head.program != PEER_PROGRAM)
		return; /* libvirt's events and the like: nobody asked for them */
	if (l->state == LINK_GREETING && f->head.serial == l->hello_serial)
		on_hello(l, f);
	else
		on_answer(l, f);
}

static bool certificate_is_right(const struct link *l)
{
	return !l->fingerprint[0] || !l->uri.transport_given || l->uri.transport != RPC_TLS ||
	       !strcmp(rpc_conn_fingerprint(l->conn), l->fingerprint);
}

static void on_ready(void *data, struct rpc_conn *c)
{
	struct link *l = data;
	struct peer_hello hello;

	if (!certificate_is_right(l)) {
		link_fail(l, "its certificate is not the one that the cookie named");
		return;
	}
	peers_hello(l->peers->host, &hello);
	if (rpc_conn_call(c, PEER_PROGRAM, PEER_VERSION, PEER_HELLO, RPC_XDR(peer_hello), &hello,
			  &l->hello_serial))
		link_fail(l, "no greeting could be sent");
}

static void on_closed(void *data, struct rpc_conn *c, const char *why)
{
	(void)c;
	link_fail(data, why[0] ? why : "it closed the connection");
}

static const struct rpc_conn_ops ops = {
	.frame = on_frame,
	.ready = on_ready,
	.closed = on_closed,
};

static void on_poll(uv_poll_t *poll, int status, int events);

/* Polls for what the connection wants now. */
static void poll_set(struct link *l)
{
	short want = l->conn ? rpc_conn_events(l->conn) : 0;
	int events = (want & POLLIN ? UV_READABLE : 0) | (want & POLLOUT ? UV_WRITABLE : 0);

	if (!l->poll || l->poll->events == events)
		return;
	l->poll->events = events;
	if (events)
		uv_poll_start(&l->poll->poll, events, on_poll);
	else
		uv_poll_stop(&l->poll->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct link *l = CONTAINER_OF(poll, struct link_poll, poll)->link;
	short revents = (short)((events & UV_READABLE ? POLLIN : 0) |
				(events & UV_WRITABLE ? POLLOUT : 0) | (status ? POLLERR : 0));
	struct peers *p;

	if (!l || !l->conn)
		return;
	p = l->peers;
	rpc_conn_io(l->conn, revents, hostd_now_ms(p->host));
	poll_set(l);
	hostd_wake(p->host);
}

/* A connection over fd, which is its own from now on. */
static int conn_open(struct link *l, int fd, bool connecting)
{
	struct peers *p = l->peers;
	struct rpc_conn_options o = {
		.connecting = connecting,
		.tls = l->uri.transport == RPC_TLS ? p->cred : NULL,
		.peer_name = l->uri.host,
	};
	struct link_poll *poll;

	if (rpc_conn_new(fd, &o, &ops, l, hostd_now_ms(p->host), &l->conn))
		return FAULT(-ENOMEM);
	poll = calloc(1, sizeof(*poll));
	if (!poll || uv_poll_init(p->host->loop, &poll->poll, rpc_conn_fd(l->conn))) {
		free(poll);
		rpc_conn_free(l->conn);
		l->conn = NULL;
		return FAULT(-ENOMEM);
	}
	poll->link = l;
	l->poll = poll;
	poll_set(l);
	return 0;
}

/* Tries the addresses in turn, one each time. */
static void connect_start(struct link *l)
{
	char text[256] = "no address";
	int fd = -1, r;

	if (l->uri.transport == RPC_TLS && !l->peers->cred) {
		link_fail(l, "no certificate is configured to show to it");
		return;
	}
	if (l->next_addr >= l->dial.n)
		l->next_addr = 0;
	r = l->dial.n ? rpc_dial_start(&l->dial, l->next_addr++, &fd, text, sizeof(text))
		      : EHOSTUNREACH;
	if (r && r != EINPROGRESS) {
		link_fail(l, text);
		return;
	}
	l->state = LINK_GREETING;
	if (conn_open(l, fd, r == EINPROGRESS))
		link_fail(l, "no memory");
}

static void on_lookup(uv_work_t *work)
{
	struct lookup *k = CONTAINER_OF(work, struct lookup, work);

	k->result = rpc_dial_resolve(&k->uri, &k->dial, k->text, sizeof(k->text));
}

static void on_looked_up(uv_work_t *work, int status)
{
	struct lookup *k = CONTAINER_OF(work, struct lookup, work);
	struct link *l = k->link;

	if (!l) {
		free(k);
		return;
	}
	l->lookup = NULL;
	if (status || k->result) {
		link_fail(l, k->text);
	} else {
		l->dial = k->dial;
		connect_start(l);
	}
	free(k);
	hostd_wake(l->peers->host);
}

/* A name is looked up by a thread, what is a number at once. */
static void link_start(struct link *l)
{
	char text[256] = "";
	struct lookup *k;

	if (rpc_dial_is_numeric(&l->uri)) {
		if (rpc_dial_resolve(&l->uri, &l->dial, text, sizeof(text)))
			link_fail(l, text);
		else
			connect_start(l);
		return;
	}
	k = calloc(1, sizeof(*k));
	if (!k) {
		link_fail(l, "no memory");
		return;
	}
	k->link = l;
	k->uri = l->uri;
	l->state = LINK_RESOLVING;
	l->lookup = k;
	if (uv_queue_work(l->peers->host->loop, &k->work, on_lookup, on_looked_up)) {
		free(k);
		l->lookup = NULL;
		link_fail(l, "no thread");
	}
}

static struct link *link_new(struct peers *p, const char *address, const char *fingerprint)
{
	struct link *l = calloc(1, sizeof(*l));
	char text[256];

	if (!l) {
		hostd_fail(p->host, FAULT(-ENOMEM));
		return NULL;
	}
	if (rpc_address_parse(address, &l->uri, text, sizeof(text))) {
		log_error("peer %s: %s", address, text);
		free(l);
		return NULL;
	}
	list_init(&l->link);
	list_init(&l->follows);
	l->serials.key_len = sizeof(uint32_t);
	l->peers = p;
	snprintf(l->address, sizeof(l->address), "%s", address);
	snprintf(l->fingerprint, sizeof(l->fingerprint), "%s", fingerprint);
	l->delay_ms = PEER_REDIAL_MIN_MS;
	list_append(&p->links, &l->link);
	return l;
}

struct link *link_find(struct peers *p, const char *address, const char *fingerprint)
{
	struct link *l;

	list_for_each(l, &p->links, link) {
		if (!strcmp(l->address, address) && !strcmp(l->fingerprint, fingerprint))
			return l;
	}
	return link_new(p, address, fingerprint);
}

uint64_t link_tick(struct link *l, uint64_t now_ms)
{
	if (list_is_empty(&l->follows))
		return UINT64_MAX;
	if (l->state == LINK_WAITING && l->retry_ms <= now_ms)
		link_start(l);
	if (l->conn && rpc_conn_deadline_ms(l->conn) <= now_ms)
		rpc_conn_tick(l->conn, now_ms);
	poll_set(l);
	if (l->state == LINK_WAITING)
		return l->retry_ms;
	return l->conn ? rpc_conn_deadline_ms(l->conn) : UINT64_MAX;
}

void link_flush(struct link *l, uint64_t now_ms)
{
	if (l->conn)
		rpc_conn_flush(l->conn, now_ms);
	poll_set(l);
}

uint32_t link_send(struct link *l, const struct mig_msg *m)
{
	struct peer_msg msg = {
		.type = m->type,
		.epoch = m->epoch,
		.promise = m->promise,
		.arbiter = m->arbiter,
		.why = (char *)(uintptr_t)m->why,
		.blob = { (unsigned int)m->blob_len, (char *)(uintptr_t)m->blob },
		.host = (char *)(uintptr_t)m->host,
	};
	uint32_t serial = 0;

	if (l->state != LINK_UP)
		return 0;
	memcpy(msg.id, m->id.b, sizeof(msg.id));
	if (rpc_conn_call(l->conn, PEER_PROGRAM, PEER_VERSION, (int32_t)m->type, RPC_XDR(peer_msg),
			  &msg, &serial))
		return 0;
	return serial;
}
