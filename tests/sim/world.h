/* SPDX-License-Identifier: MIT */
/*
 * A world around one core: a hypervisor in memory, sockets and guests' rings, a clock. Peers send
 * whole or half requests; world_run lets everything happen that can happen without time passing.
 */
#ifndef DROVER_SIM_WORLD_H
#define DROVER_SIM_WORLD_H

#include "fakehv.h"
#include "op/core.h"

#define WORLD_PEERS 48u
#define WORLD_GUEST_PORT 3u

struct world;
struct oracle;
struct crash;

/* Octets in order. */
struct stream {
	uint8_t *buf; /* owned */
	size_t len;
	size_t room;
	size_t at; /* taken from the front */
};

void stream_add(struct stream *s, const void *data, size_t len);
void stream_drop(struct stream *s, size_t len);
void stream_fini(struct stream *s);
static inline size_t stream_left(const struct stream *s)
{
	return s->len - s->at;
}
static inline const uint8_t *stream_head(const struct stream *s)
{
	return s->buf + s->at;
}

struct peer {
	struct world *w;
	struct conn *conn; /* borrowed: a socket's, NULL: closed. A ring's: peer_conn */
	uint16_t domid;	   /* of a ring */
	char name;	   /* of a socket, in a scenario */
	bool used;
	bool is_ring;
	bool deaf;	/* reads nothing */
	bool hung_up;	/* a socket whose client has closed */
	bool want_read; /* what the daemon waits for on a socket */
	bool want_write;
	uint64_t peer_id;      /* of a socket: as the daemon's journal knows it */
	struct conn *was_conn; /* borrowed: conn, as a daemon has left it that died */
	size_t burst;	       /* octets sent in one turn at most, 0: all */
	bool lossy;	       /* requests of it may have been dropped */
	size_t pipe_room;      /* octets that a socket holds unread towards the client */
	struct stream asks;    /* whole requests, until the daemon takes them */
	size_t taken;	       /* octets of them that it took and has not committed */
	bool raw;	       /* other octets than requests were sent, too */
	struct stream out;     /* to be sent by the client */
	struct stream pipe;    /* a socket: sent, not yet taken by the daemon */
	struct stream back;    /* a socket: sent by the daemon, not yet read by the client */
	struct stream in;      /* read by the client */
	size_t asked;	       /* requests sent whole */
	size_t answered;       /* replies read */
	uint32_t next_req_id;
	uint64_t conn_id; /* of the ring's connection when it was last looked at */
	bool busy;	  /* something of a request was on its way then */
};

struct world_options {
	bool dom0_ring;
	bool tell_all;
	uint32_t priv_domid; /* PERM_NO_DOMID: none */
	bool verbose;
	bool no_oracle;
	bool journal; /* the daemon can die: see crash.h */
};

struct world {
	struct fake_hv hv;
	struct core *core;
	struct quota_policy policy;
	struct peer peer[WORLD_PEERS];
	struct oracle *oracle;	 /* owned; NULL: none */
	struct crash *crash;	 /* owned; NULL: the daemon lives on and on */
	struct core_options opt; /* of the core */
	uint64_t next_peer_id;
	bool moved; /* something happened in the daemon's turn */
	uint64_t now_ms;
	bool verbose;
	unsigned int failures;
	unsigned int violations; /* protocol errors that a peer caused */
	char why[512];		 /* the first failure */
};

struct world *world_new(const struct world_options *opt);
/* Checks that nothing is left behind; the number of failures over its life. */
unsigned int world_free(struct world *w);

void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct peer *world_socket(struct world *w);
/* A guest: its domain is made, given a home that it owns, and introduced by toolstack. */
struct peer *world_guest(struct world *w, struct peer *toolstack, uint16_t domid);
/* The peer that speaks for a domain's ring, whether or not it is introduced. */
struct peer *world_ring(struct world *w, uint16_t domid);
/* Gives the slot of a peer that is gone back. */
void peer_forget(struct peer *p);
/* The client of a socket closes. */
void peer_hang_up(struct peer *p);

struct conn *peer_conn(const struct peer *p);
struct xenstore_domain_interface *peer_page(const struct peer *p);

/* A whole request; its req_id is returned. */
uint32_t peer_send(struct peer *p, uint32_t type, uint32_t tx_id, const void *payload, size_t len);
/* Any octets. */
void peer_send_raw(struct peer *p, const void *data, size_t len);

/* The next message that the client has read: false: none. The payload follows the header. */
bool peer_take(struct peer *p, struct xsd_sockmsg *hdr, char *payload);

/* Lets everything happen that can, at one instant. */
void world_run(struct world *w);
/* Just one round of it; true: something happened. */
bool world_turn(struct world *w);
/* How the daemon reaches a socket, its transport being the peer. */
const struct transport_ops *world_pipe_ops(void);
/* Time passes, in steps no longer than the daemon's deadlines. */
void world_advance(struct world *w, uint64_t ms);

#endif
