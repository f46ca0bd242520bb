/* SPDX-License-Identifier: MIT */
/*
 * A connection: octets in, requests out, replies and events queued, over a transport (a socket,
 * a ring). It holds watches and transactions. It knows no operation: each whole request goes to
 * the table's handler.
 *
 * Rounds: the loop marks connections ready; conn_round serves each ready one a bounded number of
 * requests, then sends what was queued, one receive and one send per round and connection.
 */
#ifndef DROVER_CONN_CONN_H
#define DROVER_CONN_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/siphash.h"
#include "conn/io.h"
#include "txn/hold.h"
#include "txn/txn.h"
#include "watch/watch.h"
#include "wire/wire.h"

#define CONN_REQUESTS_PER_ROUND 32u
#define CONN_STEPS_PER_REQUEST 64u /* a request with more is counted as several */
#define CONN_INPUT_MAX 65536u	   /* octets taken in one receive, and kept unparsed */
#define CONN_SPARE_MAX 64u
#define CONN_REAP_PER_ROUND 1000u   /* watches of closed connections removed between two rounds */
#define CONN_OUTPUT_MAX (16u << 20) /* unsent octets at which events are dropped */
#define CONN_BACKLOG_MAX (1u << 20) /* unsent octets at which a socket is no longer read */

struct conn;

/* Where a transport fails for good. */
enum conn_error {
	CONN_ERROR_COMM = XENSTORE_ERROR_COMM,
	CONN_ERROR_RINGIDX = XENSTORE_ERROR_RINGIDX,
	CONN_ERROR_PROTO = XENSTORE_ERROR_PROTO,
};

struct transport_ops {
	/*
	 * Octets received, at most room. 0: none now. -EPIPE: closed. -EBADMSG: indices broken.
	 * -ERESTART: the peer asks for a fresh connection, see restart; room may be 0 to ask
	 * for just that. cell is in the area: msg.msg_len is to say how many octets were moved
	 * as soon as they cannot be had again.
	 */
	ssize_t (*recv)(void *transport, struct conn_cell *cell, void *buf, size_t room);
	/*
	 * The first octets that recv would give, which stay where they are; at most len. NULL: it
	 * cannot tell, and a calm does not hold for it.
	 */
	size_t (*peek)(void *transport, void *buf, size_t len);
	/* Octets taken, maybe fewer than len, 0: full. Errors as recv. */
	ssize_t (*send)(void *transport, struct conn_cell *cell, const void *buf, size_t len);
	/*
	 * How many octets a call moved whose process is gone, and what it left half done is
	 * finished: cell is as that process left it. NULL: what cell->msg.msg_len says.
	 */
	size_t (*recover)(void *transport, const struct conn_cell *cell, bool sent);
	/* Which of the two is waited for: conn_wake when it may be had. NULL: always told. */
	void (*want)(void *transport, bool read, bool write);
	/* Both directions empty again, the peer told. NULL: never asked for. */
	void (*restart)(void *transport);
	/* The end of a turn: what was received or sent is made known to the peer. May be NULL. */
	void (*kick)(void *transport);
	/*
	 * After recv: whether octets came since that conn_wake will not tell of. NULL: it tells as
	 * long as there are any.
	 */
	bool (*has_more)(void *transport);
	/* An error that ends the connection; NULL where the transport has no way to say it. */
	void (*set_error)(void *transport, enum conn_error err);
	/* The connection is gone: closes and frees the transport. */
	void (*free)(void *transport);
};

/*
 * Told of what is to outlive the process, and asked to make it so. All may be NULL: then it is in
 * the area alone.
 */
struct conn_log_ops {
	/* A connection is new and complete: see conn_opened. */
	void (*opened)(void *data, const struct conn *c);
	/* It failed, began anew, or is quiesced or no more. That it goes, table.gone says. */
	void (*changed)(void *data, const struct conn *c);
	/* It is about to close: nothing more comes of it, what it had goes with it. */
	void (*closed)(void *data, const struct conn *c);
	/* Whether anything was told of since the last commit, by these calls or by others. */
	bool (*has_changes)(void *data);
	/*
	 * Makes final, at once and as one, all that was told of since the last commit and the I/O
	 * words. seq goes with it, and back to conn_apply_words if it is the last one of all. n may
	 * be 0. < 0: nothing of it is. The connection whose turn it is then fails; what else was
	 * done goes with the next commit, and is not seen by anybody before.
	 */
	int (*commit)(void *data, uint64_t seq, const struct conn_word *words, size_t n);
	/* A request that was under way at CONN_DEATHS_MAX deaths is answered EIO and consumed. */
	void (*refused)(void *data, const struct conn *c, const struct wire_msg *m);
};

struct conn_table {
	const struct conn_log_ops *log; /* borrowed; NULL: nobody wants to know */
	void *log_data;			/* borrowed */
	struct list all;
	struct list ready;
	struct list dirty;  /* with output to send */
	struct list closed; /* to be reaped */
	size_t n;
	uint64_t next_id;
	uint64_t now_ms;
	uint64_t event_timeout_ms; /* 0: none. How long a guest may leave an event unread */
	struct list stalled;	   /* guests with unread output, the oldest first */
	struct siphash_key key;
	struct hold_table *holds;    /* borrowed */
	struct store *store;	     /* borrowed */
	struct watch_index *watches; /* borrowed */
	/* Handles one request. True: done, false: not now; the connection's wake will say when. */
	bool (*handle)(void *data, struct conn *c, const struct wire_msg *m);
	/* A connection is about to be freed. */
	void (*gone)(void *data, struct conn *c);
	/* Each octet sequence in and out, for the trace file. NULL: not traced. */
	void (*trace)(void *data, const struct conn *c, bool out, const struct wire_msg *m);
	void *trace_data;	/* borrowed */
	void *data;		/* borrowed */
	struct area *area;	/* borrowed, or own_area */
	struct area *own_area;	/* owned; NULL: area is somebody else's */
	struct conn_root *root; /* in the area, as all of these */
	uint8_t *scratch;	/* what is being parsed */
	struct conn_slot *chunk[CONN_SLOT_CHUNKS];
	uint32_t free_slot;
	struct conn *touched; /* borrowed: those with positions that are not committed */
	struct conn *stored;  /* borrowed: with words that are, and blocks that are not */
	size_t n_touched;
	struct conn_word *words; /* owned: room for a commit's */
	size_t words_room;
	struct conn *turn; /* borrowed: whose turn it is */
	uint32_t turn_end; /* up to which position its octets are at hand */
	struct {	   /* see conn_table_settle: received by a process that is gone */
		struct conn *c;
		uint32_t at;
		uint32_t len;
	} held;
	uint8_t *restored; /* owned: slots with a connection, by bit; NULL: all have one */
	size_t n_killers;
	struct conn_out *spare; /* owned: empty queues, at most CONN_SPARE_MAX */
	size_t n_spare;
	struct conn *serving; /* borrowed: whose request is handled now */
	bool calm;	      /* see conn_table_calm */
};

struct conn_out;

struct conn {
	struct watcher watcher; /* its budget is the connection's */
	struct contender contender;
	struct txn_set txns;
	struct list all;
	struct list ready;
	struct list dirty;
	struct list stalled;
	struct conn_table *table; /* borrowed */
	const struct transport_ops *ops;
	void *transport;       /* owned */
	struct domain *domain; /* borrowed: whose ring it is; NULL: a socket */
	const char *prefix;    /* borrowed: "/local/domain/5", what relative paths are below */
	uint64_t id;
	uint64_t peer_id; /* of a socket, as its maker numbers it; 0: a ring */
	uint32_t next_tx;
	uint32_t n_txns;
	struct in_block *in; /* owned: received, not yet handled; NULL: nothing */
	uint32_t in_len;
	uint32_t in_pos;      /* of the first octet that is not handled */
	uint32_t out_pos;     /* of the octet after the last one queued */
	struct conn_out *out; /* owned: NULL: nothing queued */
	uint32_t slot;	      /* in the area; its number for others is slot + 1 */
	bool waiting;	      /* the first request of in waits to be woken */
	bool blocked;	      /* output full: not read until it drains */
	bool failed;	      /* broken: neither read nor written */
	bool quiesced;	      /* its transport is left alone */
	bool kept_off;	      /* by a calm: what it sent is not received */
	bool closing;	      /* on the closed list */
	bool want_read;
	bool want_write;
	bool touched;
	struct conn *next_touched; /* borrowed */
};

/*
 * area is borrowed and outlives the table; NULL: the table has one of its own, in memory of this
 * process alone. -ENOMEM.
 */
int conn_table_init(struct conn_table *t, struct area *area);
/* Closes all connections. Accepts a zeroed table. */
void conn_table_fini(struct conn_table *t);

/*
 * A connection over transport, which it owns from now on, also on failure. budget is borrowed
 * and outlives it. peer_id is whatever the maker knows the peer by, 0 for rings. -ENOMEM.
 */
int conn_new(struct conn_table *t, const struct transport_ops *ops, void *transport,
	     struct budget *budget, bool privileged, uint64_t peer_id, struct conn **ret);

/* It is complete: its domain, prefix and target are set. conn_log_ops.opened is told. */
void conn_opened(struct conn *c);

/*
 * Makes final what connections received and queued and what the log was told of. Done at the end
 * of each turn and before each round; nothing is sent before. 0, or what the log's commit said.
 */
int conn_commit(struct conn_table *t);

/*
 * On: nothing more is read from the transport, nor written to it; whole requests that were taken
 * are served as far as their replies have room. Off: it is looked at again.
 */
void conn_quiesce(struct conn *c, bool on);

/*
 * A calm: who has no transaction starts none. The request stays in the transport, and all behind
 * it, so that whoever has the transport next finds it there. All else is received and served.
 */
void conn_table_calm(struct conn_table *t, bool on);

/*
 * Taking over from a process that is gone, in this order: conn_make for each connection that the
 * log knows; conn_table_attach; conn_apply_words with what the last commit of all said;
 * conn_restore for each; area_settle, when others have claimed theirs too; conn_table_settle.
 * Where the former process stopped between two rounds the area may be read-only up to the last of
 * these, which is where the first thing is written.
 */

/*
 * A connection without transport, of the number slot + 1 and no more than that: it may have
 * watches and transactions, and hears nothing. Its id may be set. -ENOMEM.
 */
int conn_make(struct conn_table *t, uint32_t slot, uint64_t peer_id, struct budget *budget,
	      bool privileged, struct conn **ret);
/* Unmakes it, before it has a transport; the log is not told. */
void conn_discard(struct conn *c);

/*
 * The area that the former process had takes the place of the table's own: t was made with
 * conn_table_init(t, NULL) and has no connection with a transport. EINVAL: it is damaged. -ENOMEM.
 */
int conn_table_attach(struct conn_table *t, struct area *area);
/* EINVAL: a commit of that number cannot have been. */
int conn_apply_words(struct conn_table *t, uint64_t seq, const struct conn_word *words, size_t n);
/*
 * c, which was made, gets its transport, and what it had received and had not sent under its slot
 * and id. It is woken. transport is owned from now on; on failure it is freed, and c stays as it
 * was, to be discarded. ENOENT: there is no such connection any more: its end was under way.
 * EINVAL: damaged. -ENOMEM.
 */
int conn_restore(struct conn *c, const struct transport_ops *ops, void *transport);
/* Slots that nobody restored are free. */
void conn_table_settle(struct conn_table *t);

/* What a connection brings along that was served elsewhere. */
struct conn_freight {
	const void *in; /* borrowed: received, not handled */
	size_t in_len;
	const void *out; /* borrowed: not sent; whole messages but for the first */
	size_t out_len;
	size_t out_partial; /* octets at its beginning, of a message whose head was sent */
};

/*
 * c, which was made, gets its transport, a slot of its own, and the freight. Otherwise as
 * conn_restore. EINVAL: the freight is no messages.
 */
int conn_adopt(struct conn *c, const struct transport_ops *ops, void *transport,
	       const struct conn_freight *freight);

/*
 * c, which is quiesced and has neither input nor output, gets the freight, with the commit that
 * follows. On failure it has some of it: conn_reset. Errors as conn_adopt.
 */
int conn_load(struct conn *c, const struct conn_freight *freight);

/* Whether a whole request that was taken is still to be served, and can be. */
bool conn_is_busy(const struct conn *c);

/* Something may be had from or put to the transport. */
void conn_wake(struct conn *c);

/* To be freed between rounds; at once deaf and dumb. */
void conn_close(struct conn *c);
/* Forgets watches, transactions, half messages and unsent output. */
void conn_reset(struct conn *c);
/* Broken by its peer: reset, error told, ignored from now on (a ring) or closed (a socket). */
void conn_fail(struct conn *c, enum conn_error err, const char *what);
/* Watches and transactions only: RESET_WATCHES. */
void conn_forget(struct conn *c);

/* Queues a reply. len at most XENSTORE_PAYLOAD_MAX. */
void conn_reply(struct conn *c, const struct xsd_sockmsg *req, uint32_t type, const void *data,
		size_t len);
/* Queues ERROR with the errno's name. */
void conn_reply_error(struct conn *c, const struct xsd_sockmsg *req, int err);

/* Serves everything ready once; true: more is ready now. */
bool conn_round(struct conn_table *t, uint64_t now_ms);

/* Drops stale events. The next deadline in ms, UINT64_MAX: none. */
uint64_t conn_tick(struct conn_table *t, uint64_t now_ms);

/* Queued and unsent: octets, events, replies. */
struct conn_queued {
	size_t octets;
	size_t events;
	size_t replies;
	size_t partial; /* octets of a message that is sent in part: the first ones */
};
struct conn_queued conn_queued(const struct conn *c);

/*
 * Copies of everything queued but unsent, for who wants to look (tests): at most room octets.
 */
size_t conn_peek_output(const struct conn *c, void *buf, size_t room);
/* The same of what was received and is not handled. */
size_t conn_peek_input(const struct conn *c, void *buf, size_t room);

#endif
