/* SPDX-License-Identifier: MIT */
/*
 * The model of a client's own keys, and what every reply and every event is held against.
 *
 * Invariant: the model is as the store will be once everything that was sent is handled; what a
 * reply must say is noted in its expectation when the request is sent.
 */
#include "tests/stress/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEAF_ONE_IN 4000u
#define DEAF_NS 300000000u
#define PUBLISH_ONE_IN 16u

void client_fail(struct client *c, const char *fmt, ...)
{
	va_list ap;

	c->load->failures++;
	fprintf(stderr, "failure: client %u (%s %u): ", c->number, c->domid ? "guest" : "socket",
		c->domid);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

struct expect *client_ask(struct client *c, enum expect_kind kind, uint32_t type, uint32_t tx,
			  const void *body, size_t len)
{
	struct expect *e = &c->expect[c->n_last++ % CLIENT_EXPECTS];

	*e = (struct expect){ .kind = kind, .type = type, .tx_id = tx, .stamp = ++c->stamp };
	e->sent_ns = now_ns();
	e->req_id = peer_send(&c->peer, type, tx, body, len);
	return e;
}

struct expect *client_ask_node(struct client *c, enum expect_kind kind, uint32_t type, uint32_t tx,
			       const char *path, const char *value, size_t len)
{
	char body[XENSTORE_PAYLOAD_MAX];
	size_t n = strlen(path) + 1;

	memcpy(body, path, n);
	if (len)
		memcpy(body + n, value, len);
	return client_ask(c, kind, type, tx, body, n + len);
}

/* What a key holds at a version: nothing that any other key or version holds. */
static void value_make(const struct client *c, uint32_t key, uint32_t version, size_t len,
		       char *ret)
{
	char head[48];
	size_t n = (size_t)snprintf(head, sizeof(head), "%u.%u.%u.", c->number, key, version);

	memset(ret, (int)('a' + version % 26u), len);
	memcpy(ret, head, n < len ? n : len);
}

static uint32_t value_len(struct client *c)
{
	uint32_t most = c->domid ? GUEST_VALUE_MAX : CLIENT_VALUE_MAX;

	return prng_once_in(&c->prng, 10) ? most - prng_below(&c->prng, 100)
					  : 24 + prng_below(&c->prng, 120);
}

static void key_path(const struct client *c, uint32_t key, char *ret, size_t size)
{
	snprintf(ret, size, "%s/k/%u", c->home, key);
}

/* A change of key k is sent: what the reply must find. */
static void key_changes(struct key *k, struct expect *e, uint32_t number)
{
	e->key = number;
	e->event = k->watched;
	k->pending++;
}

static void ask_write(struct client *c, uint32_t number)
{
	struct key *k = &c->key[number];
	char path[96], value[CLIENT_VALUE_MAX];

	key_path(c, number, path, sizeof(path));
	k->len = value_len(c);
	if (!k->version)
		k->reader = 0;
	k->version = ++k->last_version;
	value_make(c, number, k->version, k->len, value);
	key_changes(k, client_ask_node(c, EXPECT_CHANGE, XS_WRITE, 0, path, value, k->len), number);
	c->load->writes++;
}

static void ask_remove(struct client *c, uint32_t number)
{
	struct key *k = &c->key[number];
	struct expect *e;
	char path[96];

	key_path(c, number, path, sizeof(path));
	e = client_ask_node(c, EXPECT_CHANGE, XS_RM, 0, path, NULL, 0);
	key_changes(k, e, number);
	e->event = k->watched && k->version; /* what is not there does not change */
	k->version = 0;
}

static void ask_perms_change(struct client *c, uint32_t number)
{
	struct key *k = &c->key[number];
	uint32_t reader = c->load->any_guest == c->domid ? 0 : c->load->any_guest;
	char path[96], perms[48];
	int len;

	key_path(c, number, path, sizeof(path));
	len = snprintf(perms, sizeof(perms), "n%u%cr%u", c->domid, '\0', reader);
	k->reader = reader;
	if (reader == 0)
		len = snprintf(perms, sizeof(perms), "n%u", c->domid);
	key_changes(
		k, client_ask_node(c, EXPECT_CHANGE, XS_SET_PERMS, 0, path, perms, (size_t)len + 1),
		number);
}

static void ask_look(struct client *c, uint32_t number, bool perms)
{
	struct key *k = &c->key[number];
	struct expect *e;
	char path[96];

	key_path(c, number, path, sizeof(path));
	e = client_ask_node(c, perms ? EXPECT_PERMS : EXPECT_VALUE, perms ? XS_GET_PERMS : XS_READ,
			    0, path, NULL, 0);
	e->key = number;
	e->version = k->version;
	e->len = k->len;
	e->reader = k->reader;
	k->pending++;
	c->load->reads++;
}

static void ask_list(struct client *c)
{
	struct expect *e;
	char path[96];

	snprintf(path, sizeof(path), "%s/k", c->home);
	e = client_ask_node(c, EXPECT_LIST, XS_DIRECTORY, 0, path, NULL, 0);
	for (uint32_t i = 0; i < CLIENT_KEYS; i++)
		e->present |= c->key[i].version ? 1u << i : 0;
}

static void ask_watch(struct client *c, uint32_t number)
{
	struct key *k = &c->key[number];
	char path[96], token[16];

	key_path(c, number, path, sizeof(path));
	snprintf(token, sizeof(token), "w%u", number);
	client_ask_node(c, k->watched ? EXPECT_UNWATCH : EXPECT_WATCH,
			k->watched ? XS_UNWATCH : XS_WATCH, 0, path, token, strlen(token) + 1)
		->key = number;
	k->changing = true;
	k->pending++;
}

static void ask_publish(struct client *c)
{
	char path[64], value[16];

	snprintf(path, sizeof(path), "/stress/pub/%u", c->number);
	snprintf(value, sizeof(value), "%u", ++c->published);
	client_ask_node(c, EXPECT_PUBLISH, XS_WRITE, 0, path, value, strlen(value));
}

static unsigned int neighbour(const struct client *c)
{
	return (c->number + 1u) % c->load->n_clients;
}

static void ask_seen(struct client *c)
{
	char path[64];

	snprintf(path, sizeof(path), "/stress/pub/%u", neighbour(c));
	client_ask_node(c, EXPECT_SEEN, XS_READ, 0, path, NULL, 0);
	c->dirty = false;
	c->reading = true;
}

void client_fence(struct client *c)
{
	char path[64];

	c->fenced = false;
	snprintf(path, sizeof(path), "/stress/pub/%u", c->number);
	client_ask_node(c, EXPECT_FENCE, XS_READ, 0, path, NULL, 0);
}

/* One request more on a key of its own. */
static void ask_something(struct client *c)
{
	uint32_t number = prng_below(&c->prng, CLIENT_KEYS), what = prng_below(&c->prng, 100);
	struct key *k = &c->key[number];

	if (prng_once_in(&c->prng, PUBLISH_ONE_IN))
		ask_publish(c);
	else if (k->changing)
		ask_list(c);
	else if (what < 45)
		ask_write(c, number);
	else if (what < 70)
		ask_look(c, number, false);
	else if (what < 78)
		ask_look(c, number, true);
	else if (what < 85)
		ask_remove(c, number);
	else if (what < 90)
		ask_list(c);
	else if (!k->pending)
		ask_watch(c, number);
	else if (k->version)
		ask_perms_change(c, number);
}

void client_turn(struct client *c, uint64_t now)
{
	int r;

	if (c->dirty && !c->reading)
		ask_seen(c);
	txn_turn(c, now);
	while (!c->load->draining && c->n_last - c->n_first < CLIENT_DEPTH)
		ask_something(c);
	if (!c->load->draining && c->peer.deaf_ns <= now && prng_once_in(&c->prng, DEAF_ONE_IN)) {
		c->peer.deaf_ns = now + prng_below(&c->prng, DEAF_NS);
		c->load->deaf++;
	}
	r = peer_flush(&c->peer, &c->prng, now);
	if (r < 0)
		client_fail(c, "sending: %s", strerror(-r));
}

static bool is(const struct message *m, const char *text, size_t len)
{
	return m->head.len == len && !memcmp(m->body, text, len);
}

static void check_value(struct client *c, const struct expect *e, int err, const struct message *m)
{
	char want[CLIENT_VALUE_MAX];

	c->key[e->key].pending--;
	if (!e->version) {
		if (err != ENOENT)
			client_fail(c, "key %u was removed, and a READ says %s: %.*s", e->key,
				    strerror(err), (int)m->head.len, m->body);
		return;
	}
	value_make(c, e->key, e->version, e->len, want);
	if (err || !is(m, want, e->len))
		client_fail(c, "key %u is to be %.24s… (%u octets), not (error %d) %.*s…", e->key,
			    want, e->len, err, m->head.len < 24 ? (int)m->head.len : 24, m->body);
}

static void check_change(struct client *c, const struct expect *e, int err)
{
	struct key *k = &c->key[e->key];

	k->pending--;
	if (err)
		client_fail(c, "operation %u on key %u: %s", e->type, e->key, strerror(err));
	if (e->event && k->event_stamp < e->stamp)
		client_fail(c, "operation %u on key %u, which is watched, led to no event", e->type,
			    e->key);
}

static void check_perms(struct client *c, const struct expect *e, int err, const struct message *m)
{
	char want[48];
	int len;

	c->key[e->key].pending--;
	if (!e->version) {
		if (err != ENOENT)
			client_fail(c, "key %u was removed, and has permissions", e->key);
		return;
	}
	len = snprintf(want, sizeof(want), "n%u", c->domid) + 1;
	if (e->reader)
		len += snprintf(want + len, sizeof(want) - (size_t)len, "r%u", e->reader) + 1;
	if (err || !is(m, want, (size_t)len))
		client_fail(c, "key %u's permissions are to be n%u r%u, not (error %d) %.*s",
			    e->key, c->domid, e->reader, err, (int)m->head.len, m->body);
}

static void check_list(struct client *c, const struct expect *e, int err, const struct message *m)
{
	uint32_t present = 0, at = 0;

	while (!err && at < m->head.len) {
		unsigned long n = strtoul(m->body + at, NULL, 10);

		if (n >= CLIENT_KEYS || present & 1u << n)
			err = EIO;
		else
			present |= 1u << n;
		at += (uint32_t)strnlen(m->body + at, m->head.len - at) + 1;
	}
	if (err || present != e->present)
		client_fail(c, "children are to be %06x, not (error %d) %06x", e->present, err,
			    present);
}

static void check_watch(struct client *c, const struct expect *e, int err)
{
	struct key *k = &c->key[e->key];

	k->pending--;
	k->changing = false;
	k->watched = e->kind == EXPECT_WATCH;
	k->initial_due = k->watched;
	if (err)
		client_fail(c, "%s of key %u: %s", k->watched ? "WATCH" : "UNWATCH", e->key,
			    strerror(err));
}

static void check_seen(struct client *c, int err, const struct message *m)
{
	const struct client *n = &c->load->client[neighbour(c)];
	uint32_t seen;
	char text[16] = "";

	memcpy(text, m->body, m->head.len < 15 ? m->head.len : 15);
	seen = (uint32_t)strtoul(text, NULL, 10);
	c->reading = false;
	if (err || seen < c->seen || seen > n->published)
		client_fail(c, "neighbour's node holds (error %d) %u after %u; %u was written last",
			    err, seen, c->seen, n->published);
	c->seen = seen;
}

static void reply_judge(struct client *c, const struct expect *e, const struct message *m)
{
	int err = m->head.type == XS_ERROR ? error_number(m->body, m->head.len) : 0;

	switch (e->kind) {
	case EXPECT_VALUE:
		check_value(c, e, err, m);
		break;
	case EXPECT_CHANGE:
		check_change(c, e, err);
		break;
	case EXPECT_PERMS:
		check_perms(c, e, err, m);
		break;
	case EXPECT_LIST:
		check_list(c, e, err, m);
		break;
	case EXPECT_WATCH:
	case EXPECT_UNWATCH:
		check_watch(c, e, err);
		break;
	case EXPECT_SEEN:
		check_seen(c, err, m);
		break;
	case EXPECT_FENCE:
		c->fenced = true;
		/* fall through */
	case EXPECT_PUBLISH:
		if (err)
			client_fail(c, "operation %u: %s", e->type, strerror(err));
		break;
	case EXPECT_SHORT:
	case EXPECT_HELD:
		txn_reply(c, e, err, m);
	}
}

static void take_reply(struct client *c, const struct message *m, uint64_t now)
{
	const struct expect *e = &c->expect[c->n_first % CLIENT_EXPECTS];
	uint64_t took;

	if (c->n_first == c->n_last) {
		client_fail(c, "a reply to nothing: type %u, req_id %u", m->head.type,
			    m->head.req_id);
		return;
	}
	if (m->head.req_id != e->req_id || m->head.tx_id != e->tx_id ||
	    (m->head.type != e->type && m->head.type != XS_ERROR)) {
		client_fail(c,
			    "reply of type %u, req_id %u, tx_id %u, not type %u, req_id %u, "
			    "tx_id %u",
			    m->head.type, m->head.req_id, m->head.tx_id, e->type, e->req_id,
			    e->tx_id);
		return;
	}
	took = now > e->sent_ns ? now - e->sent_ns : 0;
	if (took > c->load->longest_ns)
		c->load->longest_ns = took;
	c->n_first++;
	c->done++;
	c->load->ops++;
	reply_judge(c, e, m);
}

static void take_event(struct client *c, const struct message *m)
{
	size_t path_len = strnlen(m->body, m->head.len);
	const char *token = m->body + path_len + 1;
	struct key *k;
	char path[96];
	unsigned long n;

	c->load->events++;
	if (path_len + 2 > m->head.len || m->body[m->head.len - 1]) {
		client_fail(c, "an event of %u octets that are no event", m->head.len);
		return;
	}
	if (!strcmp(token, "neighbour")) {
		snprintf(path, sizeof(path), "/stress/pub/%u", neighbour(c));
		if (strcmp(m->body, path))
			client_fail(c, "the neighbour's event names %s", m->body);
		c->dirty = true;
		return;
	}
	n = *token == 'w' ? strtoul(token + 1, NULL, 10) : CLIENT_KEYS;
	if (n >= CLIENT_KEYS) {
		client_fail(c, "an event of nobody's: %s %s", m->body, token);
		return;
	}
	k = &c->key[n];
	key_path(c, (uint32_t)n, path, sizeof(path));
	if (strcmp(m->body, path) || (!k->watched && !k->changing))
		client_fail(c, "an event that nobody asked for: %s %s", m->body, token);
	k->event_stamp = ++c->stamp;
	k->initial_due = false;
}

void client_receive(struct client *c, uint64_t now)
{
	int r = peer_fill(&c->peer), got;
	struct message m;

	while ((got = peer_next(&c->peer, &m)) > 0 && !c->load->failures) {
		c->heard_ns = now;
		if (m.head.type == XS_WATCH_EVENT)
			take_event(c, &m);
		else
			take_reply(c, &m, now);
	}
	if (got < 0)
		client_fail(c, "octets that are no message");
	if (r < 0)
		client_fail(c, "its connection: %s", strerror(-r));
}

/* By anybody's READ: every key, and what was committed to the node that is held. */
int client_audit(struct client *c, struct peer *by)
{
	char path[96], want[CLIENT_VALUE_MAX], got[XENSTORE_PAYLOAD_MAX];
	size_t len;
	int r;

	for (uint32_t i = 0; i <= CLIENT_KEYS; i++) {
		uint32_t version = i < CLIENT_KEYS ? c->key[i].version : c->held_version;
		uint32_t want_len = c->key[i % CLIENT_KEYS].len;

		if (i < CLIENT_KEYS) {
			key_path(c, i, path, sizeof(path));
			value_make(c, i, version, want_len, want);
		} else {
			snprintf(path, sizeof(path), "%s/held", c->home);
			want_len = (uint32_t)snprintf(want, sizeof(want), "%u", version);
		}
		len = sizeof(got);
		r = peer_call(by, XS_READ, 0, path, strlen(path) + 1, got, &len);
		if (r < 0)
			return r;
		if (version ? r || len != want_len || memcmp(got, want, len) : r != ENOENT)
			client_fail(c, "%s, read by another, is not version %u (error %d)", path,
				    version, r);
	}
	if (c->seen != c->load->client[neighbour(c)].published)
		client_fail(c, "it saw its neighbour's node at %u; %u was written last", c->seen,
			    c->load->client[neighbour(c)].published);
	return 0;
}

bool client_idle(const struct client *c)
{
	for (uint32_t i = 0; i < CLIENT_KEYS; i++)
		if (c->key[i].initial_due)
			return false;
	return c->n_first == c->n_last && !c->dirty && txn_idle(c);
}

int client_open(struct client *c)
{
	char body[128];
	int r, len;

	prng_init(&c->prng, c->load->seed * 1000u + c->number);
	if (c->domid) {
		snprintf(c->home, sizeof(c->home), "/local/domain/%u/data", c->domid);
		r = peer_open_ring(&c->peer, c->load->sim_dir, c->domid);
	} else {
		snprintf(c->home, sizeof(c->home), "/stress/c%u", c->number);
		r = peer_open_socket(&c->peer, c->load->socket_path);
	}
	if (r)
		return r;
	len = snprintf(body, sizeof(body), "%s/k", c->home);
	r = peer_call(&c->peer, XS_MKDIR, 0, body, (size_t)len + 1, NULL, NULL);
	if (r)
		return r;
	len = snprintf(body, sizeof(body), "/stress/pub/%u%cneighbour", neighbour(c), '\0');
	r = peer_call(&c->peer, XS_WATCH, 0, body, (size_t)len + 1, NULL, NULL);
	c->heard_ns = now_ns();
	return r;
}

void client_close(struct client *c)
{
	peer_close(&c->peer);
}
