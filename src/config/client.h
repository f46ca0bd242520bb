/* SPDX-License-Identifier: MIT */
/*
 * A connection to any xenstored, for many requests at a time: a batch is sent as a whole and its
 * answers are read as they come, so that it costs one round trip. (libxenstore waits for each
 * answer before it sends the next request.)
 */
#ifndef DROVER_CONFIG_CLIENT_H
#define DROVER_CONFIG_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#include "config/err.h"

struct conf_client;

/*
 * Connects. socket NULL: $XENSTORED_PATH, else the socket in $XENSTORED_RUNDIR, else
 * /run/xenstored/socket, else a guest's device /dev/xen/xenbus. timeout_ms: for each answer.
 * -ECONNREFUSED: nobody listens, or there is no such file; -EACCES.
 */
int conf_client_open(const char *socket, uint32_t timeout_ms, struct conf_err *err,
		     struct conf_client **ret);
void conf_client_close(struct conf_client *c);

/*
 * Whether the connection failed: no more requests are answered, and of those that were on their way
 * it is not known whether they were done.
 */
bool conf_client_is_dead(const struct conf_client *c);

/* Batches run so far. */
uint64_t conf_client_round_trips(const struct conf_client *c);

/* An answer. */
struct conf_reply {
	int err;	  /* 0, or the positive errno that the store named */
	const char *data; /* len octets and a NUL; borrowed from the batch */
	size_t len;
};

/* Requests to be sent together; zeroed before the first use, then conf_batch_fini. */
struct conf_batch {
	struct conf_request *requests; /* owned */
	size_t n, room;
	char *out; /* owned: the requests as they are sent */
	size_t out_len, out_room;
	char *in; /* owned: the answers */
	size_t in_len, in_room;
	size_t sent, n_left; /* octets sent, answers to come */
	size_t n_taken;	     /* the first of them that were given out */
	uint32_t first;	     /* the first request's id */
};

void conf_batch_fini(struct conf_batch *b);

/* Forgets all, to be filled again. */
void conf_batch_clear(struct conf_batch *b);

/*
 * One more request: path and its NUL, then tail_len octets. *ret_i (may be NULL) is for
 * conf_batch_reply. -ENOMEM, -EINVAL: longer than a message may be.
 */
int conf_batch_add(struct conf_batch *b, enum xsd_sockmsg_type type, uint32_t tx, const char *path,
		   const void *tail, size_t tail_len, size_t *ret_i);

/* Sends all and waits until all are answered. Refusals are answers. -ECONNRESET, -ETIMEDOUT. */
int conf_client_run(struct conf_client *c, struct conf_batch *b, struct conf_err *err);

/*
 * The same in two steps, for whoever has something to do while the store answers: what can be sent
 * at once is. After a start that succeeded nothing else is asked of the client before its finish.
 */
int conf_client_start(struct conf_client *c, struct conf_batch *b, struct conf_err *err);
int conf_client_finish(struct conf_client *c, struct conf_batch *b, struct conf_err *err);

/*
 * Waits until more answers are there than before, in place of the finish: *ret_n is how many from
 * the first on. What they point to moves with the next call. To be called until it is all of them.
 */
int conf_client_some(struct conf_client *c, struct conf_batch *b, struct conf_err *err,
		     size_t *ret_n);

const struct conf_reply *conf_batch_reply(const struct conf_batch *b, size_t i);

/* ---- one request at a time ---- */

int conf_client_begin(struct conf_client *c, struct conf_err *err, uint32_t *ret_tx);

/* -EAGAIN: lost against others (no line is written for it). */
int conf_client_commit(struct conf_client *c, uint32_t tx, struct conf_err *err);
void conf_client_abort(struct conf_client *c, uint32_t tx);

/* A node's value, to be freed; its NUL is not in *ret_len (may be NULL). -ENOENT, -EACCES. */
int conf_client_read(struct conf_client *c, uint32_t tx, const char *path, struct conf_err *err,
		     char **ret, size_t *ret_len);

/*
 * The names of a node's children, each with its NUL, one after the other, to be freed; in parts
 * where they are too many for one answer. -ENOENT, -EACCES, -EFBIG: over 1 MiB of names.
 */
int conf_client_directory(struct conf_client *c, uint32_t tx, const char *path,
			  struct conf_err *err, char **ret, size_t *ret_len);

/* ---- events ---- */

int conf_client_watch(struct conf_client *c, const char *path, const char *token,
		      struct conf_err *err);
int conf_client_unwatch(struct conf_client *c, const char *path, const char *token,
			struct conf_err *err);

/*
 * Whether events come in order with answers: before those to what was asked after the change. On a
 * socket they do; the kernel's device hands the two on by different ways.
 */
bool conf_client_orders_events(const struct conf_client *c);

/* Of the socket, to poll; conf_client_event may have events although it is silent. */
int conf_client_fd(const struct conf_client *c);

/*
 * The next event, to be freed both; waits until deadline_ms (conf_now_ms). -ETIMEDOUT. An empty
 * path: events were too many to be kept; anything may have happened.
 */
int conf_client_event(struct conf_client *c, uint64_t deadline_ms, struct conf_err *err,
		      char **ret_path, char **ret_token);

/* The monotonic clock. */
uint64_t conf_now_ms(void);

#endif
