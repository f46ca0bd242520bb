/* SPDX-License-Identifier: MIT */
/*
 * Giving all away. Invariant: nothing is read from a transport from the first look to the last
 * octet of the image, and what was received is served but for less than a request; so what the
 * image says of a connection is all that there is of it.
 */
#include "xenstored/give.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "keeper/proto.h"
#include "state/write.h"

#define ANSWER "OK"

struct give {
	const struct give_order *order; /* borrowed */
	struct core *core;		/* borrowed */
	struct state_write_options what;
	struct drover_writer *writer;	   /* owned */
	struct proto_image_client *client; /* owned */
	size_t n_clients;
	uint8_t *output; /* owned: of who asked, with the answer */
	uint64_t *quiet; /* owned array: connections that were quiesced by request */
	size_t n_quiet;
};

/* ---- all that was received is served ---- */

/* Octets of the first request at in; 0: it is not whole. */
static size_t request_len(const uint8_t *in, size_t len)
{
	struct xsd_sockmsg head;

	if (len < sizeof(head))
		return 0;
	memcpy(&head, in, sizeof(head));
	return len - sizeof(head) < head.len ? 0 : sizeof(head) + head.len;
}

static bool has_request(const struct conn *c)
{
	uint8_t in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];

	return !c->closing && !c->failed && request_len(in, conn_peek_input(c, in, sizeof(in)));
}

static const struct conn *first_behind(const struct core *core, uint64_t asked_by)
{
	const struct conn *c;

	list_for_each(c, &core->conns.all, all)
		if (c->id != asked_by && has_request(c))
			return c;
	return NULL;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int drain(struct core *core, uint64_t asked_by)
{
	uint64_t begin = core->now_ms, start = now_ms();
	const struct conn *c = NULL;

	do {
		while (core_round(core, begin + now_ms() - start))
			;
		c = first_behind(core, asked_by);
		if (!c)
			return 0;
		poll(NULL, 0, 1); /* for who waits for another's time to be over */
	} while (now_ms() - start < GIVE_WAIT_MS);
	log_error("connection %llu has requests that wait", (unsigned long long)c->id);
	return -EBUSY;
}

/* ---- the image ---- */

static int write_fd(void *ctx, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(*(const int *)ctx, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int table_read(struct give *g)
{
	struct stat st;
	size_t len;

	if (fstat(g->order->table_fd, &st))
		return FAULT(-errno);
	len = (size_t)st.st_size;
	g->client = malloc(len + 1);
	if (!g->client)
		return FAULT(-ENOMEM);
	if (pread(g->order->table_fd, g->client, len, 0) != (ssize_t)len)
		return FAULT(-EIO);
	g->n_clients = len / sizeof(g->client[0]);
	return 0;
}

static int client_cmp(const void *a, const void *b)
{
	const struct proto_image_client *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int32_t fd_of(void *data, const struct conn *c)
{
	const struct give *g = data;
	struct proto_image_client key = { .number = c->peer_id };
	const struct proto_image_client *found;

	if (!g->n_clients)
		return -1;
	found = bsearch(&key, g->client, g->n_clients, sizeof(key), client_cmp);
	return found ? found->fd : -1;
}

/* Who asked: its request is handled, and its answer the last of its output. */
static int put_asker(struct give *g, struct drover_connection *rec)
{
	size_t len = request_len(rec->input.data, rec->input.len), n = rec->output.len;
	struct xsd_sockmsg head;

	if (!len)
		return 0;
	g->output = malloc(n + sizeof(head) + sizeof(ANSWER));
	if (!g->output)
		return FAULT(-ENOMEM);
	memcpy(&head, rec->input.data, sizeof(head));
	head.len = sizeof(ANSWER);
	if (n)
		memcpy(g->output, rec->output.data, n);
	memcpy(g->output + n, &head, sizeof(head));
	memcpy(g->output + n + sizeof(head), ANSWER, sizeof(ANSWER));
	rec->output.data = g->output;
	rec->output.len = n + sizeof(head) + sizeof(ANSWER);
	rec->input.data = (const uint8_t *)rec->input.data + len;
	rec->input.len -= len;
	return 0;
}

static bool is_asker(const struct give *g, uint32_t conn_id)
{
	const struct conn *c;

	list_for_each(c, &g->core->conns.all, all)
		if (c->id == g->order->asked_by && !c->closing)
			return rec_conn_id(c) == conn_id;
	return false;
}

/* Those that were quiesced by request are so in the journal, and stay so. */
static bool was_quiet(const struct give *g, uint64_t id)
{
	for (size_t i = 0; i < g->n_quiet; i++)
		if (g->quiet[i] == id)
			return true;
	return false;
}

/* state_sink.put */
static int put(void *data, const struct drover_record *rec)
{
	struct give *g = data;
	struct drover_record mine = *rec;
	int r = 0;

	if (rec->type == DROVER_RECORD_END)
		r = drover_writer_end(g->writer);
	if (rec->type == DROVER_RECORD_END)
		return -r;
	if (rec->type == DROVER_RECORD_CONNECTION) {
		if (is_asker(g, rec->connection.conn_id))
			r = put_asker(g, &mine.connection);
		mine.connection.mfn = 0; /* the grant for xenstore is what it maps */
	}
	if (rec->type == DROVER_RECORD_CONN_STATE && !was_quiet(g, rec->conn_state.id))
		mine.conn_state.flags &= ~DROVER_CONN_STATE_QUIESCED;
	if (rec->type == DROVER_RECORD_DOMAIN_STATE)
		mine.domain_state.counters = 0; /* a place in an area that the reader has not */
	if (!r)
		r = -drover_writer_put(g->writer, &mine);
	if (r == -EINVAL)
		log_error("image: %s", drover_writer_error(g->writer)->text);
	return r;
}

static int write_image(struct give *g)
{
	int fd = g->order->image_fd;
	struct drover_writer_options options = {
		.write = write_fd,
		.ctx = &fd,
		.format = { .layout = DROVER_LAYOUT_UPSTREAM, .version = 1 },
	};
	struct state_sink sink = { .put = put, .data = g };
	int r;

	options.format.big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	if (g->order->version)
		options.format.version = g->order->version;
	if (drover_writer_new(&options, &g->writer))
		r = FAULT(-ENOMEM);
	else
		r = state_write(g->core, &g->what, &sink);
	drover_writer_free(g->writer);
	return r;
}

/* A socket that the keeper has not any more, and so the reader will not have, is at its end. */
static void close_lost(struct give *g)
{
	struct conn *c;

	list_for_each(c, &g->core->conns.all, all)
		if (!c->domain && !c->closing && fd_of(g, c) < 0)
			conn_close(c);
}

static void tell_loss(void *data, const char *line)
{
	(void)data;
	log_notice("the other daemon cannot hold this: %s", line);
}

/* ---- the calm before ---- */

void calm_begin(struct calm *c, struct core *core, uint64_t until_ms, bool force)
{
	static const struct state_write_options plain = { .plain = true };

	state_degrades(core, &plain, tell_loss, NULL);
	*c = (struct calm){ .on = true, .force = force, .until_ms = until_ms };
	core_calm(core, true);
}

/* Who still has transactions, as far as there is room. */
static void name_open(const struct core *core, char *to, size_t room)
{
	size_t at = (size_t)snprintf(to, room, "transactions are open:");
	const struct conn *c;
	int n;

	list_for_each(c, &core->conns.all, all) {
		if (c->closing || !c->n_txns)
			continue;
		if (c->domain)
			n = snprintf(to + at, room - at, " domain %u: %u;", c->domain->domid,
				     c->n_txns);
		else
			n = snprintf(to + at, room - at, " connection %llu: %u;",
				     (unsigned long long)c->id, c->n_txns);
		if (n < 0 || (size_t)n >= room - at)
			break;
		at += (size_t)n;
	}
	to[at - 1] = '\0';
}

int calm_look(const struct calm *c, const struct core *core, uint64_t now_ms, char *why,
	      size_t room)
{
	if (!core_open_txns(core))
		return 0;
	if (now_ms < c->until_ms)
		return EAGAIN;
	name_open(core, why, room);
	if (!c->force)
		return EBUSY;
	log_warning("lost by force: %s", why);
	return 0;
}

void calm_end(struct calm *c, struct core *core)
{
	if (c->on)
		core_calm(core, false);
	c->on = false;
}

/* ---- giving ---- */

static int quiesce_all(struct give *g)
{
	struct core *core = g->core;
	struct conn *c;

	g->quiet = calloc(core->conns.n + 1, sizeof(g->quiet[0]));
	if (!g->quiet)
		return FAULT(-ENOMEM);
	list_for_each(c, &core->conns.all, all)
		if (c->quiesced)
			g->quiet[g->n_quiet++] = c->id;
	list_for_each(c, &core->conns.all, all)
		if (!c->closing)
			conn_quiesce(c, true);
	return 0;
}

int give_image(struct core *core, const struct give_order *order, const struct state_host *host,
	       struct give **ret)
{
	struct give *g = calloc(1, sizeof(*g));
	int r;

	*ret = g;
	if (!g)
		return FAULT(-ENOMEM);
	g->core = core;
	g->order = order;
	g->what = (struct state_write_options){
		.plain = !order->version,
		.plain_watches = order->version < 2,
		.unique_ids = order->version >= 2,
		.socket_fd = order->socket_fd,
		.evtchn_fd = order->evtchn_fd,
		.fd_of = fd_of,
		.data = g,
		.host = *host,
	};
	if (!g->what.plain) /* else it was told when the calm began */
		state_degrades(core, &g->what, tell_loss, NULL);
	r = table_read(g);
	if (!r)
		close_lost(g);
	if (!r)
		r = quiesce_all(g);
	if (!r)
		r = drain(core, order->asked_by);
	if (!r)
		r = conn_commit(&core->conns);
	if (!r)
		r = write_image(g);
	if (r)
		log_error("image for the other daemon: %s", strerror(-r));
	return r;
}

void give_undo(struct give *g)
{
	struct conn *c;

	if (!g)
		return;
	list_for_each(c, &g->core->conns.all, all)
		if (g->quiet && !c->closing && !was_quiet(g, c->id))
			conn_quiesce(c, false);
	free(g->client);
	free(g->output);
	free(g->quiet);
	free(g);
}
