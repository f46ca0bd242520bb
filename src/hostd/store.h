/* SPDX-License-Identifier: MIT */
/*
 * A guest's part of the store: the domain that stands for it, its keys and its record, made when
 * it starts, moved when it migrates, gone when it ends. The store may be any xenstored; to move a
 * guest's watches and transactions it has to be drover-xenstored (docs/protocol.md, "A domain that
 * moves").
 *
 * Nothing here blocks the loop: threads of its own talk to the store, one operation of a guest
 * after the other, in the order in which they were asked for, and each ends in its callback, on the
 * loop, never from within the call that asked. A store that does not answer ends an operation with
 * -ETIMEDOUT. Whatever instant the daemon is killed at, a node of its own in the store,
 * /drover/guests/<uuid>, tells of what there may be of a guest: it is written first and goes last.
 *
 * Without a store ("none") every operation succeeds: domid -1, an empty image.
 *
 * Where libxl makes guests' domains (joined), it makes and removes their part of the store, too.
 * Then hstore_create and hstore_prepare do nothing, the guest is known here from hstore_join on,
 * and what is exported and imported is what libxl would lose (docs/decisions/0016-real-xen.md).
 *
 * err of the callbacks: 0, or a negative errno, and why in words ("" for 0). These mean the same
 * everywhere: -ECONNREFUSED, -ECONNRESET, -ETIMEDOUT: the store cannot be had, and it is not known
 * how much was done; -EIO: it, or the directory of records, refused; -ENOMEM.
 */
#ifndef DROVER_HOSTD_STORE_H
#define DROVER_HOSTD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "vmm/def.h"

#define HSTORE_THREADS 4u
#define HSTORE_QUEUE_MAX 4096u	     /* operations that wait */
#define HSTORE_TIMEOUT_MS 5000u	     /* for each answer of the store */
#define HSTORE_QUEUE_MS 30000u	     /* that an operation may wait before it begins */
#define HSTORE_CONFIG_MAX (1u << 20) /* octets of a configuration */

struct hstore;

struct hstore_options {
	const char *socket;   /* the store's; NULL: there is none. All copied */
	const char *userdata; /* directory of records; created where missing. NULL: /var/lib/xen */
	bool joined;	      /* domains are libxl's */
	const char *sim;      /* the simulated hypervisor's directory; needed if they are not */
	const char *host;     /* this host's name: two hosts that share a store are told apart */
	uint32_t timeout_ms;  /* 0: HSTORE_TIMEOUT_MS */
};

/*
 * Opens it; the store need not be there yet. text (room octets) says why not: -EINVAL: sim is
 * missing; -ENOTDIR and the like: userdata; the system's error; -ENOMEM.
 */
int hstore_open(const struct hstore_options *opt, uv_loop_t *loop, struct hstore **ret, char *text,
		size_t room);
/*
 * Waits for what a thread is doing (at most its time limits), drops what waits, calls no callback
 * any more. The loop has to run once more for its handles: done (may be NULL) is called then.
 * Accepts NULL.
 */
void hstore_close(struct hstore *s, void (*done)(void *data), void *data);

/* Whether there is one at all. */
bool hstore_is_none(const struct hstore *s);
/* Whether domains are libxl's. False where there is no store. */
bool hstore_is_joined(const struct hstore *s);

/* domid: -1 where there is no store, or no such guest in it. */
typedef void hstore_done_fn(void *data, int err, const char *why, int domid);
/* blob is borrowed, for the call. */
typedef void hstore_export_fn(void *data, int err, const char *why, const uint8_t *blob,
			      size_t len);

enum {
	/*
	 * The store cannot move watches and transactions: the configuration alone goes along, and
	 * the guest's keys are made anew. Without it that is -EOPNOTSUPP, by name.
	 */
	HSTORE_UNSAFE = 1u << 0,
	/*
	 * Joined: the guest does not know that it was stopped, and goes on with the ring that it
	 * has: its watches, transactions and messages come along. Every other guest sets up its
	 * ring anew, and its watches with it.
	 */
	HSTORE_UNAWARE = 1u << 1,
};

/*
 * All that follow return 0, and done is called once (but for hstore_close), or -ENOMEM, or -ENOSPC:
 * too many wait. done may be NULL. uuids are copied.
 */

/*
 * A guest is about to start: a new domain, introduced, with its keys and record. json: its
 * configuration as libxl's JSON (vmm/xl_config.h), len octets, copied. Whatever there is of the
 * guest from an epoch that is not later is removed first, so it may be repeated. -EINVAL: the
 * configuration, with line and field; -ESTALE: the store has a later epoch of it; -EEXIST: another
 * host has it in the same store. A failure leaves nothing.
 */
int hstore_create(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		  const char *json, size_t len, hstore_done_fn *done, void *data);

/*
 * Joined only: the guest is domain domid, which libxl has made; incoming: and what there was of it
 * elsewhere is still to be imported. May be repeated, with another domid, too. -ENOENT: that domain
 * is not introduced as this guest's.
 */
int hstore_join(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch, int domid,
		bool incoming, hstore_done_fn *done, void *data);

/* It has ended, or left: nothing of it stays. 0 also where nothing is there. */
int hstore_destroy(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], hstore_done_fn *done,
		   void *data);

/*
 * The guest has stopped, and may leave: its ring is quiesced, and all that is its own is in the
 * image, at most MIG_BLOB_MAX octets. On failure it is served as before. -ENOENT: it is not in the
 * store; -EOPNOTSUPP; -EFBIG.
 */
int hstore_export(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], unsigned int flags,
		  hstore_export_fn *done, void *data);

/*
 * Optional, before hstore_import, so that less is left to do while the guest stands still: a
 * domain, introduced and quiesced, and its record. json as for hstore_create: the configuration
 * that the guest is to have here.
 */
int hstore_prepare(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		   const char *json, size_t len, hstore_done_fn *done, void *data);

/*
 * What hstore_export of another host made, judged as an enemy's. blob is copied. json, len: the
 * configuration that it is to have here (another name, say); NULL: the blob's. The guest's ring is
 * left alone until hstore_serve. All or nothing, and may be repeated. -EBADMSG: the blob is broken,
 * or another guest's; -EEXIST, -EOPNOTSUPP: as above, or what is in the way, by its path. Joined:
 * after hstore_join with incoming, else -ENOENT; not all or nothing, json is not looked at.
 */
int hstore_import(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		  unsigned int flags, const uint8_t *blob, size_t blob_len, const char *json,
		  size_t len, hstore_done_fn *done, void *data);

/* The guest is about to run: its ring is served, in that epoch. May be repeated. -ENOENT. */
int hstore_serve(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		 hstore_done_fn *done, void *data);

/* Which domain it is; -1: none. */
int hstore_find(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], hstore_done_fn *done,
		void *data);

/*
 * After a restart, before anything else: removes what is there of guests of this host that are not
 * among these n. done's domid: how many that were.
 */
int hstore_sweep(struct hstore *s, const uint8_t (*known)[DEF_UUID_SIZE], size_t n,
		 hstore_done_fn *done, void *data);

#endif
