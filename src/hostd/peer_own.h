/* SPDX-License-Identifier: MIT */
/* What peer.c (calls), peer_link.c (connections) and peer_serve.c share. */
#ifndef DROVER_HOSTD_PEER_OWN_H
#define DROVER_HOSTD_PEER_OWN_H

#include <uv.h>

#include "base/idtree.h"
#include "base/list.h"
#include "hostd/peer.h"
#include "rpc/conn.h"
#include "rpc/dial.h"
#include "rpc/peer.h"
#include "rpc/uri.h"

enum link_state {
	LINK_WAITING,	/* for the next try */
	LINK_RESOLVING, /* a thread looks its name up */
	LINK_GREETING,	/* connecting, and until HELLO is answered */
	LINK_UP,
};

struct lookup;

struct link {
	struct list link;    /* of peers */
	struct peers *peers; /* borrowed */
	char address[MIG_ADDRESS_MAX];
	char fingerprint[MIG_FINGERPRINT_MAX]; /* that its certificate has to have; "": any */
	struct rpc_uri uri;
	struct rpc_dial dial;
	size_t next_addr; /* of dial */
	enum link_state state;
	bool down; /* whoever follows it has been told so */
	uint64_t retry_ms;
	uint32_t delay_ms; /* until the next but one try */
	uint32_t hello_serial;
	struct rpc_conn *conn;	/* owned; NULL: none */
	struct link_poll *poll; /* owned by the loop once it is closed; NULL: none */
	struct list follows;	/* empty: to be freed at the end of the round */
	struct idtree serials;	/* of calls sent on this connection */
	struct lookup *lookup;	/* a thread's; NULL: none looks its name up */
};

/* A migration whose peer matters, and what is said to that. */
struct follow {
	struct list link, of_link; /* of peers; of its link */
	struct idtree_link ided;   /* by id */
	struct mig_id id;
	struct peers *peers; /* borrowed */
	struct link *to;     /* borrowed */
	bool told_down;
	struct outcall *calls[MIG_MSGS]; /* owned; NULL: none of that type is under way */
};

/* How long a call waits until it is sent again. */
enum peer_wait { PEER_WAIT_RETRY, PEER_WAIT_LATER, PEER_WAITS };

struct outcall {
	struct follow *of;   /* borrowed */
	struct list waiting; /* of peers, among those that wait as long; of none: until the link
			      * is back */
	uint64_t again_ms;   /* while it waits */
	struct idtree_link by_serial; /* of its link, while it has one */
	uint32_t serial; /* of the last time it was sent on this connection; 0: it was not */
	struct mig_msg msg;
	char why[MIG_WHY_MAX];
	uint8_t *blob; /* owned: msg.blob */
};

struct peers {
	struct host *host;	   /* borrowed */
	struct rpc_tls_cred *cred; /* owned; NULL: no TLS */
	struct list links, follows;
	struct idtree ids;		 /* of follows */
	struct list waiting[PEER_WAITS]; /* calls, by again_ms */
	uv_timer_t timer;
};

/* ---- peer_link.c ---- */

/*
 * The link to an address, made where there is none. NULL: no memory, or no address; logged. Whoever
 * asked puts himself on the list of its follows, and off it in the end.
 */
struct link *link_find(struct peers *p, const char *address, const char *fingerprint);
void link_free(struct link *l);
/* Does what is due; returns when to be called at the latest, monotonic ms. */
uint64_t link_tick(struct link *l, uint64_t now_ms);
/* What it holds leaves. */
void link_flush(struct link *l, uint64_t now_ms);
/* Sends a call; its serial, 0: it could not be sent. */
uint32_t link_send(struct link *l, const struct mig_msg *msg);
/* It is of no use: closed, and tried again later. */
void link_fail(struct link *l, const char *why);

/* ---- peer.c, called by peer_link.c ---- */

void peers_link_up(struct link *l);
void peers_link_down(struct link *l, const char *why);
/* A reply to a call: an answer, or an error's text. */
void peers_reply(struct link *l, uint32_t serial, const struct peer_ans *ans, const char *error);

/* What we say of ourselves. Borrowed strings. */
void peers_hello(const struct host *h, struct peer_hello *ret);

/* ---- peer_list.c ---- */

struct call;
/* PEER_LIST. */
void peer_serve_list(struct call *c, void *args);

#endif
