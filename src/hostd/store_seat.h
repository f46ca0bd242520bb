/* SPDX-License-Identifier: MIT */
/*
 * What the threads of hostd/store.c do: one seat for each thread, with its own connection to the
 * store, and one job at a time. Everything here may block, within the time limits of the options.
 */
#ifndef DROVER_HOSTD_STORE_SEAT_H
#define DROVER_HOSTD_STORE_SEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "config/client.h"
#include "config/err.h"
#include "hostd/store.h"
#include "vmm/def.h"

struct domain_octets;
struct drover_config;
struct hstore_blob;
struct json_object;
struct sim;

#define HSTORE_HOST_MAX 256u /* octets of a host's name and its NUL */

/* The same for all threads. */
struct hstore_shared {
	char *socket, *userdata, *sim; /* owned */
	bool joined;
	char host[HSTORE_HOST_MAX];
	uint32_t timeout_ms;
	_Atomic uint32_t next_domid; /* to try first; 0: not known yet */
};

struct hstore_seat {
	struct hstore_shared *shared; /* borrowed */
	struct drover_config *config; /* owned; NULL: not connected */
	struct sim *sim;	      /* owned; NULL: not opened yet */
	struct conf_batch batch;
	int batch_err; /* of the seat_add since seat_begin */
	struct conf_err err;
};

enum hstore_job_type {
	HSTORE_CREATE,
	HSTORE_JOIN,
	HSTORE_DESTROY,
	HSTORE_EXPORT,
	HSTORE_PREPARE,
	HSTORE_IMPORT,
	HSTORE_SERVE,
	HSTORE_FIND,
	HSTORE_SWEEP,
	HSTORE_JOBS,
};

struct hstore_job {
	struct list link;
	enum hstore_job_type type;
	uint8_t uuid[DEF_UUID_SIZE];
	char uuid_text[DEF_UUID_TEXT];
	uint64_t epoch;
	unsigned int flags;
	char *json; /* owned; NULL: none */
	size_t json_len;
	uint8_t *blob; /* owned: of an import what is given, of an export what it makes */
	size_t blob_len;
	uint8_t (*known)[DEF_UUID_SIZE]; /* owned */
	size_t n_known;
	uint64_t due_ms; /* to begin, monotonic */
	bool incoming;	 /* of a join */
	/* which one, of a join; how it ended */
	int domid;
	int err;
	char why[CONF_ERR_MAX];
	hstore_done_fn *done;
	hstore_export_fn *export_done;
	void *data; /* borrowed */
};

void hstore_seat_fini(struct hstore_seat *s);

/* Does the job; its err, domid, why and blob say how it ended. */
void hstore_seat_run(struct hstore_seat *s, struct hstore_job *job);

/* ---- requests, several at a time. Failures: a negative errno, why in s->err ---- */

struct conf_client *seat_client(struct hstore_seat *s);
void seat_begin(struct hstore_seat *s);
/* path and its NUL, then len octets of tail. */
void seat_add(struct hstore_seat *s, uint32_t type, const char *path, const void *tail, size_t len);
/* The same for an operation of a domain: "<domid>" is the path. */
void seat_add_domid(struct hstore_seat *s, uint32_t type, uint16_t domid, const void *tail,
		    size_t len);
/* Waits for all answers, refusals among them. */
int seat_send(struct hstore_seat *s);
const struct conf_reply *seat_reply(const struct hstore_seat *s, size_t i);
/* One request alone. *ret_err: 0, or what the store refused it with. */
int seat_call_domid(struct hstore_seat *s, uint32_t type, uint16_t domid, int *ret_err);
/* -EIO: "WHAT: reason", asking WHY where the store may know one. */
int seat_refused(struct hstore_seat *s, const char *what, int err, bool ask_why);

/* ---- /drover/guests/<uuid>: what there may be of a guest ---- */

enum hstore_state {
	HSTORE_MAKING,	 /* not all of it is there */
	HSTORE_PREPARED, /* waits for its image */
	HSTORE_HERE,
	HSTORE_ENDING, /* not all of it is gone */
	HSTORE_STATES,
};

struct hstore_mark {
	uint16_t domid;
	uint64_t unique; /* of the domain's life; 0: it may not have begun */
	uint64_t epoch;
	enum hstore_state state;
	char host[HSTORE_HOST_MAX];
};

#define HSTORE_MARK_MAX (HSTORE_HOST_MAX + 80u)

void mark_path(const char *uuid, char ret[64]);
/* A line of text, at most HSTORE_MARK_MAX octets and its NUL. */
size_t mark_print(const struct hstore_mark *m, char ret[HSTORE_MARK_MAX]);
/* -EBADMSG: it is none. */
int mark_parse(const char *text, size_t len, struct hstore_mark *ret);
/* -ENOENT: there is none; -EBADMSG. */
int mark_read(struct hstore_seat *s, const char *uuid, struct hstore_mark *ret);
int mark_write(struct hstore_seat *s, const char *uuid, const struct hstore_mark *m);

/* ---- a guest's part, as a whole ---- */

/*
 * Makes room for a guest of that epoch: -ESTALE, -EEXIST as hstore_create; else what there is of it
 * is gone. keep (may be NULL): a prepared domain of that very epoch stays, and is told; else
 * keep->domid is 0.
 */
int guest_clear(struct hstore_seat *s, const char *uuid, uint64_t epoch, struct hstore_mark *keep);
/* Removes all that the mark tells of, and the mark. */
int guest_wipe(struct hstore_seat *s, const char *uuid, struct hstore_mark *m);
/* A new domain in state making: its mark, then itself. */
int guest_begin(struct hstore_seat *s, const char *uuid, uint64_t epoch, struct hstore_mark *ret);
int guest_introduce(struct hstore_seat *s, const struct hstore_mark *m);
/*
 * Text of at most HSTORE_CONFIG_MAX octets as a canonical configuration of that guest, the
 * caller's. -EINVAL: it is none, or another guest's.
 */
int guest_config(struct hstore_seat *s, const char *uuid, const char *json, size_t len,
		 struct json_object **ret);
/* Begins it, and makes all of it from its configuration; a failure leaves nothing. */
int guest_make(struct hstore_seat *s, const char *uuid, uint64_t epoch, struct json_object *config,
	       int *ret_domid);
/* Removes what was begun; returns r, and the reason stays that of r. */
int guest_undo(struct hstore_seat *s, const char *uuid, struct hstore_mark *m, int r);
/* -ENOENT: not all of it is here, on this host. */
int guest_find(struct hstore_seat *s, const char *uuid, struct hstore_mark *ret);
/* The directories of its backends that exist: fn is called with each. */
typedef int guest_path_fn(void *data, const char *path);
int guest_each_backend(struct hstore_seat *s, uint16_t domid, guest_path_fn *fn, void *data);

/* ---- on the way: store_move.c, and where libxl makes domains store_join.c ---- */

#define HSTORE_CHUNK_SIZE (XENSTORE_PAYLOAD_MAX - 32u) /* of an image, beside three numbers */

/* -EOPNOTSUPP: a store that cannot. */
int move_quiesce(struct hstore_seat *s, uint16_t domid);
/* The image of a quiesced domain: its home, and paths ("0|" and more, each with its NUL). */
int move_fetch(struct hstore_seat *s, uint16_t domid, const struct domain_octets *paths,
	       struct domain_octets *image);
/* The blob's image as that of domid: judged, and the guest's own nodes only. -EBADMSG. */
int move_map(struct hstore_seat *s, const struct hstore_job *job, const struct hstore_blob *b,
	     uint16_t domid, struct domain_octets *ret);
/* -EEXIST, -EBADMSG, -EIO: refused, and why. */
int move_give(struct hstore_seat *s, uint16_t domid, const struct domain_octets *image);
/* Of a quiesced domain: page, HSTORE_PAGE_SIZE octets. */
int join_export_page(struct hstore_seat *s, uint16_t domid, uint8_t *page);
/* Whether the store has domid as the home of uuid. */
int guest_whose_home(struct hstore_seat *s, uint16_t domid, const char *uuid, int *ret);
/* What the mark tells of is gone but for the mark itself. */
int mark_remove(struct hstore_seat *s, const char *uuid);
int join_import(struct hstore_seat *s, struct hstore_job *job, const struct hstore_blob *b);

/* The jobs; 0 or a negative errno with s->err. */
int job_create(struct hstore_seat *s, struct hstore_job *job);
int job_join(struct hstore_seat *s, struct hstore_job *job);
int job_destroy(struct hstore_seat *s, struct hstore_job *job);
int job_export(struct hstore_seat *s, struct hstore_job *job);
int job_prepare(struct hstore_seat *s, struct hstore_job *job);
int job_import(struct hstore_seat *s, struct hstore_job *job);
int job_serve(struct hstore_seat *s, struct hstore_job *job);
int job_find(struct hstore_seat *s, struct hstore_job *job);
int job_sweep(struct hstore_seat *s, struct hstore_job *job);

#endif
