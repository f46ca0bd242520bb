/* SPDX-License-Identifier: MIT */
/*
 * A store as plain as can be: a flat sorted list of paths, a full copy of it for each
 * transaction, every question answered by looking at everything. It knows the protocol by its
 * documents (docs/protocol.md, docs/limits.md, docs/decisions) and shares no code with the daemon
 * but the path and access list syntax.
 */
#ifndef DROVER_SIM_MODEL_H
#define DROVER_SIM_MODEL_H

#include "world.h"

#define MODEL_DOMIDS FAKE_DOMIDS
#define MODEL_PATH (XENSTORE_ABS_PATH_MAX + 1)

/* A list of access. */
struct mperms {
	struct perm *entry; /* owned */
	size_t n;
};

/* Never changed once made. */
struct mnode {
	unsigned int refs;
	size_t path_len;
	size_t value_len;
	struct mperms perms;
	char *value; /* in the same block */
	char path[];
};

struct mtree {
	struct mnode **node; /* owned references, by path */
	size_t n;
	size_t room;
};

struct mwatch {
	struct mwatch *next; /* owned */
	uint32_t depth;
	bool relative;
	size_t path_len;
	char *path;  /* owned */
	char *token; /* owned */
};

struct maccess {
	struct maccess *next; /* owned: as first touched */
	unsigned int saw;     /* TXN_SAW_* */
	unsigned int wrote;   /* TXN_* */
	size_t len;
	char path[];
};

struct mtxn {
	struct mtxn *next; /* owned */
	uint32_t id;
	bool wrote;
	bool fuzzy; /* a request in it failed half way: its conflicts are not foretold */
	uint64_t deaths;
	size_t n_accesses;
	struct mtree base;
	struct mtree tree;
	struct maccess *access; /* owned */
};

/* A message, in the order in which the daemon has queued it. */
struct mmsg {
	struct xsd_sockmsg hdr;
	uint64_t start; /* octets queued before it, in the connection's life */
	uint64_t queued_ms;
	unsigned int group; /* of expected ones: order is free within */
	char *payload;	    /* owned */
};

struct mconn {
	struct mconn *next; /* owned */
	uint64_t id;
	struct conn *conn; /* borrowed: the daemon's */
	uint16_t domid;
	bool is_ring;
	bool privileged;
	struct mwatch *watch; /* owned */
	struct mtxn *txn;     /* owned */
	uint32_t last_tx;
	uint64_t waits_since; /* 0: does not */
	size_t q_before;      /* octets queued before what happens now */
	uint64_t drops;	      /* events its budget had dropped before */
	uint64_t end;	      /* octets queued in all */
	uint64_t read;	      /* octets read by the peer */
	uint64_t skip;	      /* octets of the connection before it, still unread on the ring */
	bool unread;	      /* its peer's reading is not compared */
	bool restarting;      /* asked for a fresh connection: nothing is expected until it is */
	struct peer *peer;    /* borrowed: a socket's */
	struct mmsg *msg;     /* owned: unread or partly so */
	size_t n_msgs;
	size_t msg_room;
	struct mmsg *want; /* owned: expected now */
	size_t n_want;
	size_t want_room;
};

struct mdom {
	bool known;
	bool introduced;
	bool shutdown;
	uint16_t target; /* 0xffff: none */
	uint64_t unique;
	uint64_t serial; /* in the order in which they became known */
	uint64_t gfn;
	uint32_t port;
	uint64_t died; /* deaths, its last one included */
};

struct model {
	struct world *w; /* borrowed */
	struct mtree live;
	struct mconn *conns; /* owned */
	struct mdom dom[MODEL_DOMIDS];
	struct mperms introduce_perms;
	struct mperms release_perms;
	uint64_t serial;
	uint64_t deaths;
	unsigned int group;
};

/* What a request is answered with. */
struct mreply {
	int err;
	int actual;	/* what the daemon said: only asked where conflicts are not foretold */
	bool own_check; /* not compared octet by octet */
	size_t len;
	char data[XENSTORE_PAYLOAD_MAX * 2];
};

/* One request. */
struct mcall {
	struct model *m;
	struct mconn *c;
	const struct wire_msg *msg;
	struct mtxn *txn;
	struct mreply *reply;
	const char *arg[4];
	size_t len[4];
	size_t n;	  /* strings in all, the first four kept */
	const char *tail; /* behind the first string */
	size_t tail_len;
};

/* --- lists and trees (model.c) ---------------------------------------------------------------- */

struct mnode *mtree_find(const struct mtree *t, const char *path, size_t len);
void mtree_put(struct mtree *t, const char *path, size_t len, const void *value, size_t value_len,
	       const struct mperms *p);
void mtree_remove_below(struct mtree *t, const char *path, size_t len);
void mtree_copy(struct mtree *to, const struct mtree *from);
void mtree_fini(struct mtree *t);
struct mnode *mtree_parent(const struct mtree *t, const char *path, size_t len);
bool mtree_same_children(const struct mtree *a, const struct mtree *b, const char *path,
			 size_t len);
/* Nodes and octets that domid owns. */
void mtree_owned(const struct mtree *t, uint16_t domid, int64_t *nodes, int64_t *octets);
/* Is it path itself or below? */
bool model_is_below(const char *path, size_t len, const char *base, size_t base_len);

void mperms_set(struct mperms *p, const struct perm *entry, size_t n);
bool mperms_equal(const struct mperms *a, const struct mperms *b);
unsigned int mperms_bits(const struct model *m, const struct mperms *p, const struct mconn *c);

struct mconn *model_conn(struct model *m, const struct conn *c);
struct mconn *model_conn_new(struct model *m, struct conn *c);
void model_conn_forget(struct mconn *c);
void model_conn_free(struct model *m, struct mconn *c);
void mtxn_free(struct mtxn *t);

void model_init(struct model *m, struct world *w);
void model_fini(struct model *m);

/* --- events (model_fire.c) ---------------------------------------------------------------------
 */

/* A change of path between two trees. */
void model_fire(struct model *m, const struct mtree *before, const struct mtree *after,
		const char *path, size_t len, bool removed);
void model_fire_special(struct model *m, const char *name, uint16_t domid,
			const struct mperms *perms);
void model_expect(struct model *m, struct mconn *c, const struct xsd_sockmsg *hdr,
		  const void *payload);
void model_event(struct model *m, struct mconn *c, const struct mwatch *x, const char *path,
		 size_t len);

/* --- domains (model_dom.c) ---------------------------------------------------------------------
 */

/* Known from now on, if the hypervisor knows it. */
int model_dom_get(struct model *m, uint16_t domid);
void model_dom_died(struct model *m, uint16_t domid);
/* A look at it after the hypervisor said that it changed. */
void model_dom_look(struct model *m, uint16_t domid);
/* The same of all, in the order in which they became known. */
void model_dom_look_all(struct model *m);
void model_strip(struct model *m, uint16_t domid);
uint64_t model_limit(const struct model *m, uint16_t domid, enum quota_id q);
bool model_is_exempt(const struct model *m, uint16_t domid);
int model_introduce(struct mcall *o);
int model_release(struct mcall *o);
int model_set_target(struct mcall *o);

/* --- requests (model_ops.c, model_txn.c) -------------------------------------------------------
 */

/* The errno, the reply's data in reply; events and changes are made. */
int model_request(struct model *m, struct mconn *c, const struct wire_msg *msg,
		  struct mreply *reply);

struct mtree *mcall_tree(struct mcall *o);
int mcall_path(struct mcall *o, struct path *ret);
int mcall_find(struct mcall *o, const struct path *p, unsigned int want, unsigned int saw);
int mcall_note(struct mcall *o, const char *path, size_t len, unsigned int saw, unsigned int wrote);
/* Whether owner may have so many nodes more. */
int mcall_room(struct mcall *o, uint16_t owner, int64_t nodes);
int model_start(struct mcall *o);
int model_end(struct mcall *o);
int model_write(struct mcall *o);
int model_mkdir(struct mcall *o);
int model_rm(struct mcall *o);
int model_set_perms(struct mcall *o);
int model_watch(struct mcall *o);
int model_unwatch(struct mcall *o);

#endif
