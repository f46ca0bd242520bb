/* SPDX-License-Identifier: MIT */
/*
 * A client that knows what it must see. It works on keys of its own, of which it has a model; on
 * accounts and counters that all share, in transactions whose effects a common ledger adds up;
 * and it watches a node that its neighbour writes.
 *
 * What it holds the daemon to:
 *   - each request is answered once, in order, with its own type, req_id and tx_id
 *   - what was acknowledged is read back: values, permissions, children, absence
 *   - a change of a watched key leads to an event that comes after the request was sent and
 *     before its reply; the neighbour's last change is seen; an ended watch says nothing more
 *   - a transaction is all or nothing, sees one state, and may stay open for long
 *   - its connection is never closed
 */
#ifndef DROVER_STRESS_CLIENT_H
#define DROVER_STRESS_CLIENT_H

#include "tests/stress/peer.h"

#define CLIENT_KEYS 24u
#define CLIENT_DEPTH 12u /* requests outstanding; a transaction's own come on top */
#define CLIENT_EXPECTS 64u
#define CLIENT_VALUE_MAX 3800u
#define GUEST_VALUE_MAX 2000u
#define LOAD_CLIENTS 256u
#define LOAD_ACCOUNTS 48u
#define LOAD_COUNTERS 8u
#define LOAD_AUDIT 16u	       /* accounts read by a transaction that only reads */
#define ACCOUNT_START 1000000l /* transfers are between 2n and 2n + 1: the two keep their sum */

struct client;

/* What all clients of a run share. */
struct load {
	const char *socket_path;
	const char *sim_dir;
	uint64_t seed;
	bool strict;   /* open transactions outlive whatever happens to the daemon */
	bool draining; /* no new work; transactions come to their end */
	bool calm;     /* no new transactions */
	unsigned int n_clients;
	struct client *client; /* owned */
	uint16_t any_guest;    /* 0: there is none */
	long account[LOAD_ACCOUNTS];
	long counter[LOAD_COUNTERS];
	uint64_t ops, writes, reads, commits, conflicts, lost, held, events, audits, settles;
	uint64_t longest_ns, longest_held_ns, deaf;
	unsigned int failures;
};

enum expect_kind {
	EXPECT_VALUE,  /* READ of a key */
	EXPECT_CHANGE, /* WRITE, RM, SET_PERMS of a key */
	EXPECT_PERMS,
	EXPECT_LIST,
	EXPECT_WATCH,
	EXPECT_UNWATCH,
	EXPECT_PUBLISH, /* WRITE of the node that a neighbour watches */
	EXPECT_SEEN,	/* READ of the neighbour's */
	EXPECT_FENCE,
	EXPECT_SHORT, /* a step of the short transaction */
	EXPECT_HELD,  /* a step of the one that is held open */
};

/* A request under way, and what its reply must be. */
struct expect {
	enum expect_kind kind;
	uint32_t type;
	uint32_t req_id;
	uint32_t tx_id;
	uint32_t key;
	uint32_t version; /* 0: absent */
	uint32_t len;
	uint32_t reader;
	uint32_t present; /* EXPECT_LIST: a bit per key */
	bool event;	  /* of the key, since `stamp` */
	uint64_t stamp;
	uint64_t sent_ns;
};

struct key {
	uint32_t version;      /* 0: absent */
	uint32_t last_version; /* never used again */
	uint32_t len;
	uint32_t reader; /* domid that may read, 0: only the owner */
	unsigned int pending;
	bool watched;
	bool changing;	  /* WATCH or UNWATCH under way */
	bool initial_due; /* the event that every WATCH leads to */
	uint64_t event_stamp;
};

enum short_kind { SHORT_TRANSFER, SHORT_COUNT, SHORT_AUDIT };
enum txn_state { TXN_IDLE, TXN_STARTING, TXN_READING, TXN_WRITING, TXN_OPEN, TXN_ENDING };

struct txn {
	enum txn_state state;
	enum short_kind kind;
	uint32_t id;
	unsigned int node[LOAD_AUDIT];
	long value[LOAD_AUDIT];
	unsigned int n_nodes, n_done;
	long amount;
	bool failed; /* a step said that the daemon knows it no more */
	bool let_go; /* held: it reads what others see, and must end in EAGAIN */
	uint64_t started_ns, until_ns;
	uint32_t version;
};

struct client {
	struct load *load; /* borrowed */
	unsigned int number;
	uint16_t domid; /* 0: on a socket */
	char home[64];
	struct prng prng;
	uint64_t stamp; /* counts messages, either way */
	uint64_t heard_ns;
	uint64_t done, done_told;
	struct key key[CLIENT_KEYS];
	struct txn brief, held;
	uint32_t held_version; /* committed */
	uint32_t published;    /* what this client wrote last for its neighbour */
	uint32_t seen;	       /* what it saw of its neighbour's */
	bool dirty;	       /* an event came, the neighbour's node is to be read */
	bool reading;
	bool fenced;
	struct expect expect[CLIENT_EXPECTS];
	unsigned int n_first, n_last;
	struct peer peer;
};

/* c: all zeroes but load, number and domid. Registers its watch of the neighbour. */
int client_open(struct client *c);
void client_close(struct client *c);

/* Sends what there is to be sent, and makes up more while the load is not draining. */
void client_turn(struct client *c, uint64_t now);
/* Takes in what came, and holds it against what was expected. */
void client_receive(struct client *c, uint64_t now);
/* Nothing is under way. */
bool client_idle(const struct client *c);
/* After the drain: a request behind which there is no event of what was before. */
void client_fence(struct client *c);

/* After the fence: what `by` reads, and what this client saw. 0, or a negative errno of by's. */
int client_audit(struct client *c, struct peer *by);

/* Says what was wrong and counts it; the run ends. */
void client_fail(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* For txn.c: a request with an expectation, and one of a node. */
struct expect *client_ask(struct client *c, enum expect_kind kind, uint32_t type, uint32_t tx,
			  const void *body, size_t len);
struct expect *client_ask_node(struct client *c, enum expect_kind kind, uint32_t type, uint32_t tx,
			       const char *path, const char *value, size_t len);

/* Transactions (txn.c). */
void txn_turn(struct client *c, uint64_t now);
bool txn_idle(const struct client *c);
/* None is open, not even held. */
bool txn_none(const struct client *c);
/* err: what the reply says, 0 for its own type. */
void txn_reply(struct client *c, const struct expect *e, int err, const struct message *m);

#endif
