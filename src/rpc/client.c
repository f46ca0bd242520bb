/* SPDX-License-Identifier: MIT */
/*
 * The blocking client. Invariant: a reply belongs to the call with its serial, or is dropped; a
 * call's place is free again once its answer was given out, or nobody wants it.
 */
#include "rpc/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own.h"
#include "rpc/client_own.h"
#include "rpc/libvirt.h"

#define CONNECT_MS 15000u
#define CLOSE_MS 2000u /* for the answer to CONNECT_CLOSE */
#define FEATURE_KEEPALIVE 10

DEFINE_CLEANUP(struct rpc_client *, rpc_client_free)

uint64_t rpc_client_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct client_call *call_find(struct rpc_client *c, uint32_t serial)
{
	for (size_t i = 0; i < RPC_CLIENT_CALLS_MAX; i++)
		if (c->calls[i].serial == serial)
			return &c->calls[i];
	return NULL;
}

static void call_clear(struct client_call *call)
{
	free(call->body);
	memset(call, 0, sizeof(*call));
}

static void client_take_reply(struct rpc_client *c, const struct rpc_frame *f)
{
	struct client_call *call = f->head.serial ? call_find(c, f->head.serial) : NULL;

	if (!call || call->done)
		return;
	if (call->forgotten) {
		call_clear(call);
		return;
	}
	call->body = malloc(f->body_len + 1);
	if (!call->body) {
		rpc_conn_close(c->conn, false, "out of memory");
		return;
	}
	memcpy(call->body, f->body, f->body_len);
	call->body_len = f->body_len;
	call->head = f->head;
	call->done = true;
}

static void client_frame(void *data, struct rpc_conn *conn, const struct rpc_frame *f)
{
	struct rpc_client *c = data;

	(void)conn;
	if (f->head.type == RPC_REPLY)
		client_take_reply(c, f);
	else if (f->head.type == RPC_EVENT && f->head.program == RPC_PROGRAM && c->o.event)
		c->o.event(c->o.data, f->head.procedure, f->body, f->body_len);
}

static void client_ready(void *data, struct rpc_conn *conn)
{
	struct rpc_client *c = data;

	(void)conn;
	c->ready = true;
}

static void client_closed(void *data, struct rpc_conn *conn, const char *why)
{
	struct rpc_client *c = data;

	(void)conn;
	c->closed = true;
	snprintf(c->why, sizeof(c->why), "%s", *why ? why : "the daemon closed the connection");
}

static const struct rpc_conn_ops client_ops = {
	.frame = client_frame,
	.ready = client_ready,
	.closed = client_closed,
};

int rpc_client_round(struct rpc_client *c, int wake_fd, uint64_t by_ms)
{
	uint64_t now = rpc_client_now_ms(), until;
	struct pollfd p[2];
	int r, wait;

	rpc_conn_flush(c->conn, now);
	if (c->closed)
		return ECONNRESET;
	until = rpc_conn_deadline_ms(c->conn);
	if (by_ms < until)
		until = by_ms;
	wait = until <= now ? 0 : until - now > 60000 ? 60000 : (int)(until - now);
	p[0] = (struct pollfd){ .fd = rpc_conn_fd(c->conn), .events = rpc_conn_events(c->conn) };
	p[1] = (struct pollfd){ .fd = wake_fd, .events = POLLIN };
	r = poll(p, 2, wait);
	if (r < 0)
		return errno == EINTR ? EINTR : FAULT(-errno);
	now = rpc_client_now_ms();
	if (p[0].revents)
		rpc_conn_io(c->conn, p[0].revents, now);
	if (!c->closed)
		rpc_conn_tick(c->conn, now);
	if (p[1].revents)
		return EINTR;
	return c->closed ? ECONNRESET : 0;
}

int rpc_client_adopt(struct rpc_client *c, int fd, const struct rpc_conn_options *o, uint64_t by_ms,
		     struct rpc_error *err)
{
	uint64_t now = rpc_client_now_ms();
	int r;

	rpc_conn_free(c->conn);
	c->conn = NULL;
	c->closed = c->ready = false;
	if (rpc_conn_new(fd, o, &client_ops, c, now, &c->conn) < 0) {
		rpc_error_set(err, RPC_ERR_NO_MEMORY, RPC_FROM_RPC, "out of memory, or no TLS");
		return ENOMEM;
	}
	while (!c->ready && !c->closed) {
		if (rpc_client_now_ms() >= by_ms) {
			rpc_error_set(err, RPC_ERR_OPERATION_TIMEOUT, RPC_FROM_RPC,
				      "no connection within the time limit");
			return ETIMEDOUT;
		}
		r = rpc_client_round(c, c->wake_fd, by_ms);
		if (r == EINTR && c->wake_fd >= 0)
			rpc_error_set(err, RPC_ERR_OPERATION_ABORTED, RPC_FROM_RPC, "interrupted");
		if (r < 0 || (r == EINTR && c->wake_fd >= 0))
			return r;
	}
	if (!c->closed)
		return 0;
	rpc_error_set(err, RPC_ERR_RPC, RPC_FROM_RPC, "%s", c->why);
	return ECONNREFUSED;
}

static int client_start(struct rpc_client *c, uint32_t program, uint32_t version, int32_t procedure,
			xdrproc_t fn, const void *args, uint32_t *ret_serial, struct rpc_error *err)
{
	struct client_call *call = call_find(c, 0);
	int r;

	if (!call) {
		rpc_error_set(err, RPC_ERR_RPC, RPC_FROM_RPC, "%u calls are under way already",
			      RPC_CLIENT_CALLS_MAX);
		return EAGAIN;
	}
	r = rpc_conn_call(c->conn, program, version, procedure, fn, args, ret_serial);
	if (r) {
		rpc_error_set(err, r == EPIPE ? RPC_ERR_NO_CONNECT : RPC_ERR_RPC, RPC_FROM_RPC,
			      "procedure %d cannot be called: %s", procedure,
			      r == EPIPE ? (*c->why ? c->why : "the connection is over")
					 : strerror(r));
		return r == EPIPE ? ECONNRESET : r;
	}
	call->serial = *ret_serial;
	return 0;
}

/* The answer that is there. */
static int client_finish(struct client_call *call, xdrproc_t fn, void *ret, size_t ret_size,
			 struct rpc_error *err)
{
	int32_t procedure = call->head.procedure;
	int r;

	if (call->head.status == RPC_ERROR) {
		r = rpc_code_read_error(call->body, call->body_len, err);
		call_clear(call);
		return r ? r : EREMOTEIO;
	}
	r = rpc_code_read(fn, call->body, call->body_len, ret, ret_size);
	call_clear(call);
	if (r)
		rpc_error_set(err, RPC_ERR_RPC, RPC_FROM_RPC,
			      "the answer to procedure %d makes no sense", procedure);
	return r;
}

static int client_wait(struct rpc_client *c, uint32_t serial, xdrproc_t fn, void *ret,
		       size_t ret_size, uint32_t timeout_ms, struct rpc_error *err)
{
	uint64_t by = timeout_ms ? rpc_client_now_ms() + timeout_ms : UINT64_MAX;
	struct client_call *call = serial ? call_find(c, serial) : NULL;
	int r;

	if (!call) {
		rpc_error_set(err, RPC_ERR_RPC, RPC_FROM_RPC, "there is no such call");
		return EINVAL;
	}
	while (!call->done) {
		if (rpc_client_now_ms() >= by) {
			rpc_error_set(err, RPC_ERR_OPERATION_TIMEOUT, RPC_FROM_RPC,
				      "no answer within %u ms", timeout_ms);
			return ETIMEDOUT;
		}
		r = rpc_client_round(c, c->wake_fd, by);
		if (call->done)
			break;
		if (r == EINTR)
			rpc_error_set(err, RPC_ERR_OPERATION_ABORTED, RPC_FROM_RPC, "interrupted");
		else if (r)
			rpc_error_set(err, RPC_ERR_NO_CONNECT, RPC_FROM_RPC, "%s",
				      r < 0 ? strerror(-r) : c->why);
		if (r)
			return r;
	}
	return client_finish(call, fn, ret, ret_size, err);
}

int rpc_client_call_program(struct rpc_client *c, uint32_t program, uint32_t version,
			    int32_t procedure, xdrproc_t args_fn, const void *args,
			    xdrproc_t ret_fn, void *ret, size_t ret_size, uint32_t timeout_ms,
			    struct rpc_error *err)
{
	uint32_t serial;
	int r;

	rpc_error_set(err, RPC_ERR_OK, RPC_FROM_NONE, "%s", "");
	r = client_start(c, program, version, procedure, args_fn, args, &serial, err);
	if (r)
		return r;
	r = client_wait(c, serial, ret_fn, ret, ret_size, timeout_ms, err);
	if (r == ETIMEDOUT || r == EINTR)
		rpc_client_forget(c, serial);
	return r;
}

int rpc_client_call(struct rpc_client *c, int32_t procedure, xdrproc_t args_fn, const void *args,
		    xdrproc_t ret_fn, void *ret, size_t ret_size, uint32_t timeout_ms,
		    struct rpc_error *err)
{
	return rpc_client_call_program(c, RPC_PROGRAM, RPC_VERSION, procedure, args_fn, args,
				       ret_fn, ret, ret_size, timeout_ms, err);
}

int rpc_client_start(struct rpc_client *c, int32_t procedure, xdrproc_t args_fn, const void *args,
		     uint32_t *ret_serial, struct rpc_error *err)
{
	int r;

	rpc_error_set(err, RPC_ERR_OK, RPC_FROM_NONE, "%s", "");
	r = client_start(c, RPC_PROGRAM, RPC_VERSION, procedure, args_fn, args, ret_serial, err);
	if (!r)
		rpc_conn_flush(c->conn, rpc_client_now_ms());
	return r;
}

int rpc_client_wait(struct rpc_client *c, uint32_t serial, xdrproc_t ret_fn, void *ret,
		    size_t ret_size, uint32_t timeout_ms, struct rpc_error *err)
{
	rpc_error_set(err, RPC_ERR_OK, RPC_FROM_NONE, "%s", "");
	return client_wait(c, serial, ret_fn, ret, ret_size, timeout_ms, err);
}

void rpc_client_forget(struct rpc_client *c, uint32_t serial)
{
	struct client_call *call = serial ? call_find(c, serial) : NULL;

	if (!call)
		return;
	if (call->done)
		call_clear(call);
	else
		call->forgotten = true;
}

int rpc_client_poll(struct rpc_client *c, int wake_fd, uint32_t timeout_ms, struct rpc_error *err)
{
	uint64_t by = rpc_client_now_ms() + timeout_ms;
	int r = 0;

	rpc_error_set(err, RPC_ERR_OK, RPC_FROM_NONE, "%s", "");
	while (!r && rpc_client_now_ms() < by)
		r = rpc_client_round(c, wake_fd, by);
	if (r && r != EINTR)
		rpc_error_set(err, RPC_ERR_NO_CONNECT, RPC_FROM_RPC, "%s",
			      r < 0 ? strerror(-r) : c->why);
	return r ? r : ETIMEDOUT;
}

void rpc_client_set_wake(struct rpc_client *c, int wake_fd)
{
	c->wake_fd = wake_fd;
}

const char *rpc_client_fingerprint(const struct rpc_client *c)
{
	return rpc_conn_fingerprint(c->conn);
}

static int client_authenticate(struct rpc_client *c, uint32_t timeout_ms, struct rpc_error *err)
{
	rpc_auth_list_ret list;
	bool fine = false;
	int r = rpc_client_call(c, RPC_AUTH_LIST, NULL, NULL, RPC_XDR(rpc_auth_list_ret), &list,
				sizeof(list), timeout_ms, err);

	if (r)
		return r;
	for (unsigned int i = 0; i < list.types.types_len; i++)
		fine |= !list.types.types_val[i];
	fine |= !list.types.types_len;
	rpc_code_free(RPC_XDR(rpc_auth_list_ret), &list, sizeof(list));
	if (fine)
		return 0;
	rpc_error_set(err, RPC_ERR_AUTH_UNAVAILABLE, RPC_FROM_AUTH,
		      "the daemon wants SASL or polkit, which are not offered here");
	return EACCES;
}

/* Questions of our own only if the daemon says that it answers them. */
static int client_keepalive(struct rpc_client *c, uint32_t timeout_ms, struct rpc_error *err)
{
	rpc_int_args args = { .value = FEATURE_KEEPALIVE };
	rpc_int_ret ret;
	int r;

	if (!c->o.keepalive_ms)
		return 0;
	r = rpc_client_call(c, RPC_CONNECT_SUPPORTS_FEATURE, RPC_XDR(rpc_int_args), &args,
			    RPC_XDR(rpc_int_ret), &ret, sizeof(ret), timeout_ms, err);
	if (!r && ret.value)
		rpc_conn_keepalive(c->conn, c->o.keepalive_ms, c->o.keepalive_count);
	return r;
}

static int client_greet(struct rpc_client *c, const struct rpc_uri *u, uint32_t timeout_ms,
			struct rpc_error *err)
{
	char name[RPC_URI_MAX];
	rpc_string value = name;
	rpc_maybe_flags_args args = { .value = &value, .flags = c->o.read_only };
	int r = client_authenticate(c, timeout_ms, err);

	if (!r)
		r = client_keepalive(c, timeout_ms, err);
	if (r)
		return r;
	r = rpc_uri_name(u, name, sizeof(name));
	if (r) {
		rpc_error_set(err, RPC_ERR_INVALID_ARG, RPC_FROM_URI, "the URI is too long");
		return EINVAL;
	}
	return rpc_client_call(c, RPC_CONNECT_OPEN, RPC_XDR(rpc_maybe_flags_args), &args, NULL,
			       NULL, 0, timeout_ms, err);
}

int rpc_client_open(const char *uri, const struct rpc_client_options *o, struct rpc_client **ret,
		    struct rpc_error *err)
{
	CLEANUP(rpc_client_free) struct rpc_client *c = calloc(1, sizeof(*c));
	char text[RPC_CONN_WHY_MAX];
	struct rpc_uri u;
	uint32_t limit;
	int r;

	if (!c) {
		rpc_error_set(err, RPC_ERR_NO_MEMORY, RPC_FROM_RPC, "out of memory");
		return ENOMEM;
	}
	c->wake_fd = -1;
	if (o)
		c->o = *o;
	if (c->o.wake_fd > 0)
		c->wake_fd = c->o.wake_fd;
	limit = c->o.connect_ms ? c->o.connect_ms : CONNECT_MS;
	r = c->o.bare ? rpc_address_parse(uri, &u, text, sizeof(text))
		      : rpc_uri_parse(uri, &u, text, sizeof(text));
	if (r) {
		rpc_error_set(err, RPC_ERR_INVALID_ARG, RPC_FROM_URI, "'%.200s': %s", uri, text);
		return r;
	}
	r = rpc_client_dial(c, &u, rpc_client_now_ms() + limit, err);
	if (!r && !c->o.bare)
		r = client_greet(c, &u, limit, err);
	if (!r)
		*ret = TAKE(c);
	return r;
}

void rpc_client_free(struct rpc_client *c)
{
	if (!c)
		return;
	rpc_conn_free(c->conn);
	rpc_tls_cred_free(c->cred);
	for (size_t i = 0; i < RPC_CLIENT_CALLS_MAX; i++)
		call_clear(&c->calls[i]);
	if (c->helper > 0) {
		/* Its input is closed: it ends. */
		kill(c->helper, SIGTERM);
		while (waitpid(c->helper, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(c);
}

void rpc_client_close(struct rpc_client *c)
{
	struct rpc_error err;

	if (!c)
		return;
	if (!c->closed && !c->o.bare)
		(void)rpc_client_call(c, RPC_CONNECT_CLOSE, NULL, NULL, NULL, NULL, 0, CLOSE_MS,
				      &err);
	rpc_client_free(c);
}
